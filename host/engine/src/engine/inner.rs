//! What the engine's handle, its drivers and its tasks share.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use stepcell_core::{RunId, run::RunState};
use tokio::sync::{mpsc, oneshot};

use super::{Admission, Inner};
use crate::{
    Error,
    driver::{Command, Driver, Outbox, Synced},
    load,
    places::{Own, Places},
    prepared::Prepared,
    view::RunView,
};

/// How long after the store refused an append a run is taken up again from its log.
const REVIVE_AFTER: Duration = Duration::from_secs(5);
/// How often that pause is doubled, to some five minutes.
const MAX_REVIVE_DOUBLINGS: u32 = 6;

/// A run that has ended, or why its driver could not go on.
pub(super) type Ending = Result<RunView, stepcell_store::Error>;

/// Runs that have a driver, and those that wait for one.
///
/// A command is sent, and a driver leaves, only under the lock around this: so that none is sent to a driver that
/// has left.
pub(super) struct Runs {
    active: HashMap<RunId, Active>,
    pub(super) places: Places,
}

struct Active {
    mailbox: mpsc::UnboundedSender<Command>,
    flow: Arc<str>,
}

/// Where a command has got to.
pub(crate) enum Sent {
    /// To the run's driver.
    Told,
    /// Back: the run waits for its turn.
    Queued(Command),
    /// Back: the run is parked, or has ended, or there is none.
    Undriven(Command),
}

/// What makes a driver of a run.
pub(crate) struct Driven {
    pub(crate) run: RunId,
    pub(crate) plan: Arc<Prepared>,
    pub(crate) state: RunState,
    pub(crate) outbox: Outbox,
}

/// Gives up a place among those who wait for a run's end, also where the caller goes away.
pub(super) struct Forget<'a>(pub(super) &'a Inner, pub(super) RunId);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.forget_waiters(self.1);
    }
}

impl Runs {
    pub(super) fn new(admission: &Admission) -> Self {
        Self { active: HashMap::new(), places: Places::new(admission) }
    }

    /// Lets commands come for a run that holds a place.
    pub(super) fn activate(&mut self, run: RunId, flow: Arc<str>) -> mpsc::UnboundedReceiver<Command> {
        let (mailbox, receiver) = mpsc::unbounded_channel();
        self.active.insert(run, Active { mailbox, flow });
        receiver
    }

    fn deactivate(&mut self, run: RunId) {
        if let Some(active) = self.active.remove(&run) {
            self.places.leave(&active.flow);
        }
    }
}

impl Inner {
    /// Gives the run a driver, unless it has one, whether or not there is a place. `first` is the first thing that
    /// the driver hears.
    pub(crate) fn drive(self: &Arc<Self>, driven: Driven, first: Option<Command>) {
        let mut runs = self.runs.lock();
        if let Some(active) = runs.active.get(&driven.run) {
            // The receiver lives as long as the entry, so that nothing sent here is lost.
            let _ = first.map(|command| active.mailbox.send(command));
            return;
        }
        // What it is woken for may be there before the queue has been read.
        runs.places.dequeue(driven.run);
        let flow = runs.places.join(&driven.state.flow);
        runs.places.learn(&driven.state.flow, Own::of(&driven.plan.flow));
        let mailbox = runs.activate(driven.run, flow);
        let _ =
            first.and_then(|command| runs.active.get(&driven.run).map(|active| active.mailbox.send(command)));
        drop(runs);
        self.spawn_driver(driven, mailbox, None);
    }

    /// Drives a run that has its place, once `before` is on the disk.
    pub(super) fn spawn_driver(
        self: &Arc<Self>,
        driven: Driven,
        mailbox: mpsc::UnboundedReceiver<Command>,
        before: Option<Synced>,
    ) {
        let Driven { run, plan, state, outbox } = driven;
        let driver = Driver::new(self.clone(), run, plan, state, outbox, mailbox);
        let Some(before) = before else {
            self.tasks.spawn_on(driver.drive(), &self.runtime);
            return;
        };
        let engine = self.clone();
        let once_synced = async move {
            match before.await {
                Ok(()) => driver.drive().await,
                // Whoever waits for the same sync hears why.
                Err(error) => {
                    engine.note(&error);
                    engine.release(run);
                }
            }
        };
        self.tasks.spawn_on(once_synced, &self.runtime);
    }

    /// Hands a command to the run's driver, or back where it has none.
    pub(crate) fn send(&self, run: RunId, command: Command) -> Sent {
        let runs = self.runs.lock();
        match runs.active.get(&run) {
            Some(active) => match active.mailbox.send(command) {
                Ok(()) => Sent::Told,
                Err(refused) => Sent::Undriven(refused.0),
            },
            None if runs.places.is_queued(run) => Sent::Queued(command),
            None => Sent::Undriven(command),
        }
    }

    /// A driver leaves its run, parked or because the engine drains, unless something has come for it.
    pub(crate) fn leave(self: &Arc<Self>, run: RunId, mailbox: &mpsc::UnboundedReceiver<Command>) -> bool {
        let mut runs = self.runs.lock();
        let idle = mailbox.is_empty();
        if idle {
            runs.deactivate(run);
        }
        drop(runs);
        if idle {
            self.vacated();
        }
        idle
    }

    /// A run has ended, and that is on the disk.
    pub(crate) fn run_ended(self: &Arc<Self>, run: RunId, view: RunView) {
        // Whoever hears of the end finds the place free.
        self.runs.lock().deactivate(run);
        self.forget_revivals(run);
        self.ended.fetch_add(1, Ordering::Relaxed);
        for waiter in self.waiters.lock().remove(&run).unwrap_or_default() {
            // Whoever waited may have gone.
            let _ = waiter.send(Ok(view.clone()));
        }
        self.vacated();
    }

    /// A driver could not go on. What it had not got to the disk is decided anew, from the log: at once where
    /// another driver was ahead of it, else after a pause that grows.
    pub(crate) fn run_broke(self: &Arc<Self>, run: RunId, error: &Error) {
        self.release(run);
        for waiter in self.waiters.lock().remove(&run).unwrap_or_default() {
            if let Error::Store(error) = error {
                let _ = waiter.send(Err(error.clone()));
            }
        }
        if let Error::Store(error @ stepcell_store::Error::Failed { .. }) = error {
            self.note(error);
            return;
        }
        if let Error::Store(stepcell_store::Error::Conflict { .. }) = error {
            self.revive_after(run, Duration::ZERO);
        } else {
            self.revive_later(run);
        }
    }

    /// Takes a run up again after a pause that is longer each time.
    pub(crate) fn revive_later(self: &Arc<Self>, run: RunId) {
        self.revive_after(run, self.next_revival(run));
    }

    /// Takes a run up that has no driver, after a pause.
    pub(super) fn revive_after(self: &Arc<Self>, run: RunId, pause: Duration) {
        let engine = self.clone();
        self.spawn(async move {
            tokio::time::sleep(pause).await;
            load::revive(&engine, run).await;
        });
    }

    /// A run is to be taken up no more.
    pub(crate) fn forget_revivals(&self, run: RunId) {
        self.revivals.lock().remove(&run);
    }

    /// Takes note of a store that takes no more writes.
    pub(crate) fn note(&self, error: &stepcell_store::Error) {
        if matches!(error, stepcell_store::Error::Failed { .. }) {
            *self.broken.lock() = Some(error.clone());
        }
    }

    fn next_revival(&self, run: RunId) -> Duration {
        let mut revivals = self.revivals.lock();
        let count = revivals.entry(run).or_default();
        *count += 1;
        REVIVE_AFTER.saturating_mul(1 << (*count - 1).min(MAX_REVIVE_DOUBLINGS))
    }

    /// A run that held a place has no driver any more.
    pub(super) fn release(self: &Arc<Self>, run: RunId) {
        self.runs.lock().deactivate(run);
        self.vacated();
    }

    /// A place may have become free.
    fn vacated(self: &Arc<Self>) {
        self.start_queued();
        if self.draining.is_cancelled() && self.runs.lock().active.is_empty() {
            self.idle.notify_waiters();
        }
    }

    /// Done when no run has a driver.
    pub(super) async fn idle(&self) {
        loop {
            let left = self.idle.notified();
            tokio::pin!(left);
            // From here on it is told.
            left.as_mut().enable();
            if self.runs.lock().active.is_empty() {
                return;
            }
            left.await;
        }
    }

    /// Lets drivers that wait for something to come look up.
    pub(super) fn rouse(&self) {
        for active in self.runs.lock().active.values() {
            let (answer, _) = oneshot::channel();
            // A driver that has gone needs no telling.
            let _ = active.mailbox.send(Command::Sync { answer });
        }
    }

    /// Runs that are driven, and runs that wait for their turn.
    pub(super) fn load(&self) -> (usize, usize) {
        let runs = self.runs.lock();
        (runs.active.len(), runs.places.queued())
    }

    /// Runs something beside the drivers until it is done or the engine stops.
    pub(crate) fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        let until_stopped = async move {
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = work => {}
            }
        };
        self.tasks.spawn_on(until_stopped, &self.runtime);
    }

    /// Waits until what the run's driver has decided is on the disk.
    pub(super) async fn sync(self: &Arc<Self>, run: RunId) {
        let (answer, synced) = oneshot::channel();
        if let Sent::Told = self.send(run, Command::Sync { answer }) {
            // A driver that ends instead of answering has synced as well.
            let _ = synced.await;
        }
    }

    /// Why a run's driver left without an answer to what it was asked.
    pub(crate) async fn unheard(&self, run: RunId) -> Result<Error, Error> {
        let view = self.show(run).await?;
        Ok(if view.is_final() { Error::Finished { run, status: view.status } } else { self.stopped() })
    }

    /// Why nothing more is done.
    pub(crate) fn stopped(&self) -> Error {
        self.broken.lock().clone().map_or(Error::Stopping, Error::Store)
    }

    /// A run with all its steps.
    pub(crate) async fn show(&self, run: RunId) -> Result<RunView, Error> {
        let state = load::seen(self, run).await?;
        let outline = load::outline(self, run, state.flow_digest).await?;
        Ok(RunView::new(run, &state, &outline))
    }

    /// Waits for a run's end, at most this long; then gives the run as it is.
    pub(super) async fn wait(&self, run: RunId, at_most: Duration) -> Result<RunView, Error> {
        let _forgotten = Forget(self, run);
        let ended = self.waiter(run);
        match self.show(run).await {
            Ok(view) if !view.is_final() => match tokio::time::timeout(at_most, ended).await {
                Ok(Ok(ending)) => ending.map_err(Error::Store),
                Ok(Err(_)) | Err(_) => self.show(run).await,
            },
            ended => ended,
        }
    }

    /// Gets the run when it has ended; an error where the engine stops before.
    pub(super) fn waiter(&self, run: RunId) -> oneshot::Receiver<Ending> {
        let (sender, receiver) = oneshot::channel();
        let mut waiters = self.waiters.lock();
        if !self.stopping.is_cancelled() {
            waiters.entry(run).or_default().push(sender);
        }
        receiver
    }

    /// Drops the places of those who no longer wait.
    pub(super) fn forget_waiters(&self, run: RunId) {
        let mut waiters = self.waiters.lock();
        if let Some(of_run) = waiters.get_mut(&run) {
            of_run.retain(|waiter| !waiter.is_closed());
            if of_run.is_empty() {
                waiters.remove(&run);
            }
        }
    }

    /// Nobody need wait for an end that does not come in this process.
    pub(super) fn forget_all_waiters(&self) {
        self.waiters.lock().clear();
    }

    #[cfg(test)]
    pub(crate) fn drives(&self, run: RunId) -> bool {
        self.runs.lock().active.contains_key(&run)
    }

    #[cfg(test)]
    pub(crate) fn is_waited_for(&self, run: RunId) -> bool {
        self.waiters.lock().contains_key(&run)
    }
}
