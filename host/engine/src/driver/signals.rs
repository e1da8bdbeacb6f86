//! What comes to a run from outside: cancel, due timers; and parking until something comes.

use jiff::Timestamp;
use serde_json::json;
use stepcell_core::{
    EventKind, StepId,
    event::{RunCancelled, StepResumed, Wait},
    run::{RunStatus, StepStatus},
};

use super::{Command, Driver};
use crate::Error;

impl Driver {
    pub(super) async fn command(&mut self, command: Command) -> Result<(), Error> {
        match command {
            Command::Cancel { reason, answer } => {
                self.cancel_run(reason)?;
                self.outbox.synced(&self.engine, &self.state).await?;
                // Nobody may be listening any more; the cancel holds all the same.
                let _ = answer.send(Ok(self.view()));
            }
            Command::Sync { answer } => {
                self.outbox.synced(&self.engine, &self.state).await?;
                let _ = answer.send(());
            }
            Command::Timer { step, answer } => {
                self.timer_due(&step)?;
                self.outbox.synced(&self.engine, &self.state).await?;
                let _ = answer.send(());
            }
        }
        Ok(())
    }

    /// Parks the run where nothing is left but waits. Gives whether it did: something may have come meanwhile.
    pub(super) async fn park(&mut self) -> Result<bool, Error> {
        if self.state.status != RunStatus::Waiting {
            self.emit(None, EventKind::RunWaiting)?;
        }
        self.outbox.synced(&self.engine, &self.state).await?;
        let parked = self.engine.leave(self.run, &self.mailbox);
        if parked {
            tracing::debug!(run_id = %self.run, "run parked");
            self.engine.timers.changed();
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

    /// Lets a step go on whose timer is due. A timer that fires twice, or too early, changes nothing.
    fn timer_due(&mut self, id: &StepId) -> Result<(), Error> {
        let Some(seen) = self.state.steps.get(id) else { return Ok(()) };
        let due = match &seen.wait {
            Some(Wait::Timer { until }) => Some((*until, json!({"kind": "timer"}))),
            Some(Wait::Signal { deadline: Some(deadline), .. }) => {
                Some((*deadline, json!({"kind": "timeout"})))
            }
            _ => None,
        };
        let Some((at, signal)) = due else { return Ok(()) };
        if seen.status != StepStatus::Waiting || at > Timestamp::now() {
            return Ok(());
        }
        let Some(at) = self.at(id.as_str()) else { return Ok(()) };
        self.emit(Some(id.clone()), EventKind::StepResumed(StepResumed { signal: signal.into() }))?;
        self.ready.push_back(at);
        Ok(())
    }
}
