//! What the engine's handle, its drivers and its tasks share.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jiff::Timestamp;
use stepcell_core::{Event, EventKind, RunId, event::RunCreated, run::RunState};
use stepcell_store::BlobRef;
use tokio::sync::{mpsc, oneshot};

use super::{Inner, Submit};
use crate::{
    Error, blobs,
    driver::{Command, Driver, Outbox, Synced},
    load,
    prepared::Prepared,
    view::RunView,
};

/// How long after the store refused an append a run is taken up again from its log.
const REVIVE_AFTER: Duration = Duration::from_secs(5);
/// How often that pause is doubled, to some five minutes.
const MAX_REVIVE_DOUBLINGS: u32 = 6;

/// A run that has ended, or why its driver could not go on.
pub(super) type Ending = Result<RunView, stepcell_store::Error>;

/// A run that has begun.
pub(super) struct Begun {
    pub(super) run: RunId,
    /// Done when the run's first event is on the disk; at once where that was not asked for.
    pub(super) synced: Synced,
    /// Gets the run when it has ended.
    pub(super) ended: oneshot::Receiver<Ending>,
}

/// Gives up a place among those who wait for a run's end, also where the caller goes away.
pub(super) struct Forget<'a>(pub(super) &'a Inner, pub(super) RunId);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.forget_waiters(self.1);
    }
}

impl Inner {
    pub(super) async fn begin(self: &Arc<Self>, submit: Submit, sync: bool) -> Result<Begun, Error> {
        let Submit { plan, input, idempotency_key } = submit;
        plan.check_input(&input).map_err(Error::InvalidInput)?;
        self.admit()?;
        let mut refs = blobs::of_input(self, &input).await?;
        // A run's first event names its flow by digest: the definition gets to the disk with it.
        refs.push(BlobRef { digest: plan.digest, bytes: Some(plan.source.clone()) });
        let run = RunId::from_uuid(uuid::Uuid::now_v7());
        let created = Event {
            seq: 1,
            at: Timestamp::now(),
            step: None,
            kind: EventKind::RunCreated(RunCreated {
                flow: plan.flow.name.clone(),
                flow_digest: plan.digest,
                input,
                idempotency_key,
                plugins: plan.pins(),
                deadline: None,
                retry_of: None,
            }),
        };
        let damaged =
            |error: stepcell_core::run::FoldError| Error::Damaged { run, reason: error.to_string() };
        let mut state = RunState::new(&created).map_err(damaged)?;
        let mut outbox = Outbox::begin(run, created, refs);
        outbox.emit(&mut state, None, EventKind::RunStarted).map_err(damaged)?;
        if sync {
            outbox.flush(self, &state);
        }
        let synced = outbox.last();
        // Who waits for the sync alone needs no place among those who wait for the end.
        let ended = if sync { oneshot::channel().1 } else { self.waiter(run) };
        self.submitted.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(run_id = %run, flow = %plan.flow.name, "run created");
        self.drive(run, plan, state, outbox, None);
        Ok(Begun { run, synced, ended })
    }

    fn admit(&self) -> Result<(), Error> {
        if self.stopping.is_cancelled() {
            return Err(Error::Stopping);
        }
        let active = self.active.lock().len();
        if active < self.max_active_runs { Ok(()) } else { Err(Error::Busy { active }) }
    }

    /// Gives the run a driver, unless it has one. `first` is the first thing that the driver hears.
    pub(crate) fn drive(
        self: &Arc<Self>,
        run: RunId,
        plan: Arc<Prepared>,
        state: RunState,
        outbox: Outbox,
        first: Option<Command>,
    ) {
        let mut active = self.active.lock();
        if let Some(mailbox) = active.get(&run) {
            // The receiver lives as long as the entry, so that nothing sent here is lost.
            let _ = first.map(|command| mailbox.send(command));
            return;
        }
        let (sender, mailbox) = mpsc::unbounded_channel();
        let _ = first.map(|command| sender.send(command));
        active.insert(run, sender);
        drop(active);
        let driver = Driver::new(self.clone(), run, plan, state, outbox, mailbox);
        self.tasks.spawn_on(driver.drive(), &self.runtime);
    }

    /// Hands a command to the run's driver, or back where it has none.
    pub(crate) fn send(&self, run: RunId, command: Command) -> Option<Command> {
        match self.active.lock().get(&run) {
            Some(mailbox) => mailbox.send(command).err().map(|refused| refused.0),
            None => Some(command),
        }
    }

    /// A driver leaves its parked run, unless something has come for it.
    pub(crate) fn leave(&self, run: RunId, mailbox: &mpsc::UnboundedReceiver<Command>) -> bool {
        let mut active = self.active.lock();
        let idle = mailbox.is_empty();
        if idle {
            active.remove(&run);
        }
        idle
    }

    /// A run has ended, and that is on the disk.
    pub(crate) fn run_ended(&self, run: RunId, view: RunView) {
        self.active.lock().remove(&run);
        self.revivals.lock().remove(&run);
        self.ended.fetch_add(1, Ordering::Relaxed);
        for waiter in self.waiters.lock().remove(&run).unwrap_or_default() {
            // Whoever waited may have gone.
            let _ = waiter.send(Ok(view.clone()));
        }
    }

    /// A driver could not go on. What it had not got to the disk is decided anew, from the log: at once where
    /// another driver was ahead of it, else after a pause that grows.
    pub(crate) fn run_broke(self: &Arc<Self>, run: RunId, error: &Error) {
        self.active.lock().remove(&run);
        for waiter in self.waiters.lock().remove(&run).unwrap_or_default() {
            if let Error::Store(error) = error {
                let _ = waiter.send(Err(error.clone()));
            }
        }
        if let Error::Store(error @ stepcell_store::Error::Failed { .. }) = error {
            *self.broken.lock() = Some(error.clone());
            return;
        }
        let overtaken = matches!(error, Error::Store(stepcell_store::Error::Conflict { .. }));
        let pause = if overtaken { Duration::ZERO } else { self.next_revival(run) };
        let engine = self.clone();
        self.spawn(async move {
            tokio::time::sleep(pause).await;
            load::revive(&engine, run).await;
        });
    }

    fn next_revival(&self, run: RunId) -> Duration {
        let mut revivals = self.revivals.lock();
        let count = revivals.entry(run).or_default();
        *count += 1;
        REVIVE_AFTER.saturating_mul(1 << (*count - 1).min(MAX_REVIVE_DOUBLINGS))
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
        if self.send(run, Command::Sync { answer }).is_none() {
            // A driver that ends instead of answering has synced as well.
            let _ = synced.await;
        }
    }

    pub(super) fn waiter(&self, run: RunId) -> oneshot::Receiver<Ending> {
        let (sender, receiver) = oneshot::channel();
        self.waiters.lock().entry(run).or_default().push(sender);
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
}
