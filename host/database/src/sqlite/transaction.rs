//! Several statements that count together.

use std::{sync::Arc, time::Instant};

use serde_json::Value;

use super::{
    Shared,
    call::{Call, Outcome},
    pool::Lease,
    turn::Canceller,
};
use crate::{Error, Rows, Rule, statement::Statement};

/// Dropped, it is rolled back.
pub(crate) struct Transaction {
    shared: Arc<Shared>,
    rule: Rule,
    /// Gone after a call that did not succeed: then everything is undone already.
    held: Option<Held>,
}

/// A connection with an open transaction. Whoever drops it, wherever it is on its way, has it rolled back before
/// anybody else gets the connection.
struct Held(Option<Lease>);

impl Transaction {
    pub(super) async fn begin(shared: &Arc<Shared>, rule: &Rule) -> Result<Self, Error> {
        let canceller = Canceller::default();
        let (stop, access) = (canceller.stop(rule.deadline), rule.access);
        let lease = shared.lease(access, rule.deadline).await?;
        let answer = lease.run(move |slot, lease| {
            let connection = slot.open(stop)?;
            connection.begin(access)?;
            Ok(Held(Some(lease)))
        });
        let held = shared.answer(answer, rule.deadline).await??;
        Ok(Self { shared: Arc::clone(shared), rule: rule.clone(), held: Some(held) })
    }

    pub(crate) async fn query(
        &mut self,
        statement: &Statement<'_>,
        params: &[Value],
        deadline: Instant,
    ) -> Result<Rows, Error> {
        Ok(self.call(statement, params, deadline, true).await?.rows)
    }

    pub(crate) async fn execute(
        &mut self,
        statement: &Statement<'_>,
        params: &[Value],
        deadline: Instant,
    ) -> Result<u64, Error> {
        Ok(self.call(statement, params, deadline, false).await?.changed)
    }

    pub(crate) async fn commit(mut self, deadline: Instant) -> Result<(), Error> {
        let lease = self.held.take().and_then(Held::release).ok_or_else(|| self.over())?;
        let canceller = Canceller::default();
        let stop = canceller.stop(deadline);
        let answer = lease.run(move |slot, lease| {
            let held = Held(Some(lease));
            slot.open(stop)?.commit()?;
            // Nothing is open any more.
            drop(held.release());
            Ok(())
        });
        self.shared.answer(answer, deadline).await?
    }

    async fn call(
        &mut self,
        statement: &Statement<'_>,
        params: &[Value],
        deadline: Instant,
        wants_rows: bool,
    ) -> Result<Outcome, Error> {
        let canceller = Canceller::default();
        self.rule.deadline = deadline;
        let origin = &self.shared.origin;
        let call = Call::new(origin, statement, params, &self.rule, wants_rows, &canceller)?;
        // Taken out: where this future is dropped the statement stops, and all is undone.
        let lease = self.held.take().and_then(Held::release).ok_or_else(|| self.over())?;
        let answer = lease.run(move |slot, lease| {
            let held = Held(Some(lease));
            // An error drops what is held.
            slot.within(&call).map(|outcome| (outcome, held))
        });
        let (outcome, held) = self.shared.answer(answer, deadline).await??;
        self.held = Some(held);
        Ok(outcome)
    }

    fn over(&self) -> Error {
        let origin = &self.shared.origin;
        let message =
            format!("the transaction in {origin} is over: a statement in it failed, and all was undone");
        Error::Rejected { code: Some("SQLITE_ABORT_ROLLBACK".to_owned()), message }
    }
}

impl Held {
    fn release(mut self) -> Option<Lease> {
        self.0.take()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(lease) = self.0.take() else { return };
        // Nobody waits for the answer: whoever gets the connection next is behind it.
        drop(lease.run(|slot, _lease| {
            if let Some(connection) = slot.opened() {
                connection.undo();
            }
        }));
    }
}
