//! Runs that wait for their turn: on the disk with their first event, in memory as an id and no more.

use std::{sync::Arc, time::Duration};

use stepcell_core::{EventKind, RunId, event::RunCancelled, run::RunState};
use tokio::sync::mpsc;

use super::{
    Inner,
    inner::{Driven, Sent},
};
use crate::{
    Error,
    driver::{Command, Outbox},
    load,
    places::Own,
    prepared::Prepared,
    timers::deadline_exceeded,
    view::RunView,
};

/// Runs that are read from the store at a time.
const RUNS_PER_READ: usize = 1_000;
/// How long to leave the store alone after it failed.
const PAUSE: Duration = Duration::from_secs(1);

impl Inner {
    /// Reads the queue that an earlier process left behind.
    pub(super) async fn recover_queue(&self) -> Result<(), Error> {
        let mut after = None;
        loop {
            let page = self.store.queued(after, RUNS_PER_READ).await?;
            let mut runs = self.runs.lock();
            for (run, summary) in &page {
                runs.places.requeue(*run, &summary.flow);
            }
            drop(runs);
            match page.last() {
                Some((last, _)) if page.len() == RUNS_PER_READ => after = Some(*last),
                _ => return Ok(()),
            }
        }
    }

    /// Every run that an earlier process drove is driven again: those that queue may follow.
    pub(super) fn open_queue(self: &Arc<Self>) {
        self.runs.lock().places.open();
        self.start_queued();
    }

    pub(crate) fn is_queued(&self, run: RunId) -> bool {
        self.runs.lock().places.is_queued(run)
    }

    /// A queued run is on the disk.
    pub(super) fn settle(self: &Arc<Self>, run: RunId) {
        self.runs.lock().places.settle(run);
        self.start_queued();
    }

    /// A queued run did not get to the disk.
    pub(super) fn unqueue(self: &Arc<Self>, run: RunId, error: &stepcell_store::Error) {
        self.note(error);
        self.runs.lock().places.dequeue(run);
        self.start_queued();
    }

    /// A run that has found a place, or room in the queue, is not to be.
    pub(super) fn give_up(self: &Arc<Self>, plan: &Prepared, run: RunId, placed: bool) {
        let mut runs = self.runs.lock();
        if placed {
            runs.places.leave(&plan.flow.name);
        } else {
            runs.places.dequeue(run);
        }
        drop(runs);
        self.start_queued();
    }

    /// Starts queued runs as long as there are places.
    pub(super) fn start_queued(self: &Arc<Self>) {
        while !self.draining.is_cancelled() {
            let mut runs = self.runs.lock();
            let Some((run, flow)) = runs.places.next() else { return };
            let mailbox = runs.activate(run, flow);
            drop(runs);
            self.tasks.spawn_on(self.clone().start(run, mailbox), &self.runtime);
        }
    }

    /// Drives a run that has just left the queue. What comes for it meanwhile waits in its mailbox.
    async fn start(self: Arc<Self>, run: RunId, mailbox: mpsc::UnboundedReceiver<Command>) {
        let opened = tokio::select! {
            biased;
            () = self.stopping.cancelled() => return,
            opened = load::open(&self, run) => opened,
        };
        match opened {
            Ok(driven) => {
                self.learn(&driven);
                self.spawn_driver(driven, mailbox, None);
            }
            Err(error) => {
                self.release(run);
                self.not_started(run, &error);
                Command::refuse_all(mailbox, &error);
            }
        }
    }

    fn learn(self: &Arc<Self>, driven: &Driven) {
        self.runs.lock().places.learn(&driven.state.flow, Own::of(&driven.plan.flow));
        // There may be room for more of the flow than was known.
        self.start_queued();
    }

    fn not_started(self: &Arc<Self>, run: RunId, error: &Error) {
        match error {
            // It was cancelled, or removed, on its way out of the queue.
            Error::Finished { .. } | Error::NoSuchRun(_) => {}
            Error::Store(_) => {
                tracing::error!(run_id = %run, %error, "run could not be started, trying again");
                self.revive_after(run, PAUSE);
            }
            error => tracing::error!(run_id = %run, %error, "run could not be started"),
        }
    }

    /// Does what a command says to a run that waits for its turn. Nothing of it is under way, so that no driver is
    /// needed. Not to be dropped before it is done.
    pub(crate) async fn tell_queued(self: Arc<Self>, run: RunId, command: Command) {
        match command {
            Command::Cancel { .. } | Command::Timer { step: None, .. } => {
                self.end_early(run, command).await;
            }
            Command::Timer { step: Some(_), answer } | Command::Sync { answer } => {
                let _ = answer.send(());
            }
            Command::Resume { resume, answer } => {
                let _ = answer.send(Err(Error::NotWaiting { run, step: resume.step }));
            }
            Command::Hear { answer, .. } => {
                let _ = answer.send(Ok(false));
            }
        }
    }

    /// Ends a run that waits for its turn. One that has left the queue meanwhile hears of the command itself: it may
    /// have parked or ended since.
    async fn end_early(self: &Arc<Self>, run: RunId, mut command: Command) {
        loop {
            if let Some((flow, mailbox)) = self.take_out(run) {
                return self.end_queued(run, &flow, mailbox, command).await;
            }
            command = match self.send(run, command) {
                Sent::Told => return,
                // It is in the queue again.
                Sent::Queued(command) => command,
                Sent::Undriven(command) => {
                    return match load::open(self, run).await {
                        Ok(driven) => self.drive(driven, Some(command)),
                        Err(error) => command.refuse(&error),
                    };
                }
            };
        }
    }

    /// Takes a run out of the queue and keeps others from driving it.
    fn take_out(&self, run: RunId) -> Option<(Arc<str>, mpsc::UnboundedReceiver<Command>)> {
        let mut runs = self.runs.lock();
        let flow = runs.places.dequeue(run)?;
        let flow = runs.places.join(&flow);
        let mailbox = runs.activate(run, flow.clone());
        Some((flow, mailbox))
    }

    async fn end_queued(
        self: &Arc<Self>,
        run: RunId,
        flow: &str,
        mailbox: mpsc::UnboundedReceiver<Command>,
        command: Command,
    ) {
        let ended = match &command {
            Command::Cancel { reason, .. } => {
                let last =
                    |_: &RunState| Some(EventKind::RunCancelled(RunCancelled { reason: reason.clone() }));
                self.end_undriven(run, last).await
            }
            _ => self.end_undriven(run, deadline_exceeded).await,
        };
        match &ended {
            Ok(view) if view.is_final() => self.run_ended(run, view.clone()),
            Ok(_) | Err(_) => {
                self.release(run);
                self.runs.lock().places.requeue(run, flow);
                self.start_queued();
            }
        }
        // What has come meanwhile finds the run ended, or as it was.
        if let Err(error) = &ended {
            Command::refuse_all(mailbox, error);
        }
        // Nobody may be listening any more; what was done holds all the same.
        match (command, ended) {
            (Command::Cancel { answer, .. }, ended) => drop(answer.send(ended)),
            (Command::Timer { answer, .. }, Ok(_)) => drop(answer.send(())),
            _ => {}
        }
    }

    /// Ends a run that has not begun with the event that `last` gives, if any.
    async fn end_undriven(
        self: &Arc<Self>,
        run: RunId,
        last: impl FnOnce(&RunState) -> Option<EventKind>,
    ) -> Result<RunView, Error> {
        let mut state = load::state(self, run).await?;
        if let Some(kind) = last(&state) {
            let mut outbox = Outbox::new(run, state.seq);
            let emitted = outbox.emit(&mut state, None, kind);
            emitted.map_err(|error| Error::Damaged { run, reason: error.to_string() })?;
            outbox.synced(self, &state).await?;
        }
        self.show(run).await
    }
}
