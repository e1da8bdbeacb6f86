//! What comes to a run from outside: cancel, due timers, signals; and parking until something comes.

use jiff::Timestamp;
use serde_json::json;
use stepcell_core::{
    EventKind, StepId,
    event::{RunCancelled, StepResumed, Wait},
    run::RunStatus,
};
use tokio::sync::mpsc;

use super::{At, Command, Driver, outbox::timer_of};
use crate::{
    Error,
    timers::{deadline_exceeded, is_long_retry},
};

impl Command {
    /// Says that it was not done, and why.
    pub(crate) fn refuse(self, why: &Error) {
        // Nobody may be listening any more.
        match self {
            Self::Cancel { answer, .. } | Self::Resume { answer, .. } => drop(answer.send(Err(why.clone()))),
            Self::Hear { answer, .. } => {
                // What it is about otherwise is in the log.
                if let Error::Store(why) = why {
                    let _ = answer.send(Err(why.clone()));
                }
            }
            Self::Sync { .. } | Self::Timer { .. } => {}
        }
    }

    /// Refuses what has come for a run that has no driver any more.
    pub(crate) fn refuse_all(mut mailbox: mpsc::UnboundedReceiver<Self>, why: &Error) {
        while let Ok(command) = mailbox.try_recv() {
            command.refuse(why);
        }
    }
}

impl Driver {
    pub(super) async fn command(&mut self, command: Command) -> Result<(), Error> {
        match command {
            Command::Cancel { reason, answer } => {
                self.cancel_run(reason)?;
                let synced = self.outbox.synced(&self.engine, &self.state).await;
                // Nobody may be listening any more; the cancel holds all the same.
                let _ = answer.send(synced.clone().map(|()| self.view()).map_err(Error::Store));
                synced?;
            }
            Command::Sync { answer } => {
                self.outbox.synced(&self.engine, &self.state).await?;
                let _ = answer.send(());
            }
            Command::Timer { step, answer } => {
                match &step {
                    Some(step) => self.timer_due(step).await?,
                    None => self.deadline_due()?,
                }
                self.outbox.synced(&self.engine, &self.state).await?;
                if !step.is_some_and(|step| self.is_due(&step)) {
                    let _ = answer.send(());
                }
            }
            Command::Resume { resume, answer } => {
                if let Err(refused) = self.resume(&resume)? {
                    let _ = answer.send(Err(refused));
                    return Ok(());
                }
                let synced = self.outbox.synced(&self.engine, &self.state).await;
                let _ = answer.send(synced.clone().map(|()| self.view()).map_err(Error::Store));
                synced?;
            }
            Command::Hear { step, event, answer } => {
                let heard = self.hears(&step, &event).await;
                let _ = answer.send(match &heard {
                    Ok(heard) => Ok(*heard),
                    Err(Error::Store(error)) => Err(error.clone()),
                    // The log tells whether it was heard.
                    Err(_) => return heard.map(drop),
                });
                heard?;
            }
        }
        Ok(())
    }

    /// Leaves the run, parked where nothing is left but waits. Gives whether it did: something may have come meanwhile.
    pub(super) async fn park(&mut self) -> Result<bool, Error> {
        // Where the engine drains, what is left is taken up at the next start.
        if self.is_idle() && self.state.status != RunStatus::Waiting {
            self.emit(None, EventKind::RunWaiting)?;
        }
        self.outbox.synced(&self.engine, &self.state).await?;
        let parked = self.engine.leave(self.run, &self.mailbox);
        if parked {
            tracing::debug!(run_id = %self.run, "run parked");
        }
        Ok(parked)
    }

    fn cancel_run(&mut self, reason: Option<String>) -> Result<(), Error> {
        if self.state.is_final() {
            return Ok(());
        }
        self.stop_steps()?;
        tracing::info!(run_id = %self.run, "run cancelled");
        self.emit(None, EventKind::RunCancelled(RunCancelled { reason })).map(drop)
    }

    /// The run has not ended in time.
    fn deadline_due(&mut self) -> Result<(), Error> {
        let Some(last) = deadline_exceeded(&self.state) else { return Ok(()) };
        self.stop_steps()?;
        tracing::info!(run_id = %self.run, "run failed: its deadline is over");
        self.emit(None, last).map(drop)
    }

    /// Lets a step go on whose timer is due. A timer that fires twice, or too early, changes nothing.
    async fn timer_due(&mut self, id: &StepId) -> Result<(), Error> {
        let Some(seen) = self.state.steps.get(id) else { return Ok(()) };
        let now = Timestamp::now();
        let due = match &seen.wait {
            Some(Wait::Timer { until }) => Some((*until, json!({"kind": "timer"}))),
            Some(Wait::Signal { deadline: Some(deadline), .. }) => {
                Some((*deadline, json!({"kind": "timeout"})))
            }
            _ => None,
        };
        let retries = seen.retry_at.is_some_and(|at| at <= now);
        let Some(at) = self.at(id.as_str()) else { return Ok(()) };
        if retries {
            self.retry_now(at);
            // The store holds the timer until the attempt has begun.
            return self.launch_ready().await;
        }
        let Some((due, signal)) = due.filter(|(due, _)| *due <= now) else { return Ok(()) };
        tracing::trace!(run_id = %self.run, step = %id, %due, "timer due");
        self.emit(
            Some(id.clone()),
            EventKind::StepResumed(StepResumed { signal: signal.into(), event: None }),
        )?;
        self.ready.push_back(at);
        Ok(())
    }

    /// Whether the store holds a timer of a step that is due.
    fn is_due(&self, id: &StepId) -> bool {
        let due = self.state.steps.get(id).and_then(timer_of);
        due.is_some_and(|due| due <= Timestamp::now())
    }

    /// A step waits for its next attempt, in memory or by a timer in the store. Which of them is decided here alone,
    /// also after a restart: the clock may be another one then, so that what the log says does not tell whether there
    /// is a timer.
    pub(super) fn retry_at(&mut self, at: Timestamp, step: At) {
        if is_long_retry(at) {
            let id = self.scopes.step_id(step);
            self.outbox.set_timer(id, at);
        } else {
            self.retries.push((at, step));
        }
    }

    /// A long pause before another attempt is over.
    fn retry_now(&mut self, step: At) {
        self.retries.retain(|(_, waiting)| *waiting != step);
        if !self.ready.contains(&step) {
            self.ready.push_back(step);
        }
    }
}
