//! Several statements that count together.

use std::{sync::Arc, time::Instant};

use serde_json::Value;
use stepcell_core::grant::DatabaseAccess;

use super::{
    Shared,
    call::{self, Call, End, Ended, Failed, Outcome},
    forget_types,
    lease::Lease,
};
use crate::{Error, Rows, Rule};

/// Dropped, it is rolled back. Over with the first statement that is refused or stopped: PostgreSQL goes on after
/// none, and a commit would only seem to work.
pub(crate) struct Transaction {
    shared: Arc<Shared>,
    rule: Rule,
    /// Gone where the transaction is over.
    lease: Option<Lease>,
}

impl Transaction {
    pub(super) async fn begin(shared: &Arc<Shared>, rule: &Rule) -> Result<Self, Error> {
        shared.check(rule)?;
        let begin = async {
            let lease = shared.lease(rule).await?;
            let opening = call::opening(rule, shared.role.as_deref());
            let opened = lease.session().client.batch_execute(&opening).await;
            lease.set_busy(false);
            opened.map_err(|refusal| shared.origin.refused(&refusal))?;
            Ok(lease)
        };
        let lease = shared.in_time(rule.deadline, begin).await?;
        Ok(Self { shared: Arc::clone(shared), rule: rule.clone(), lease: Some(lease) })
    }

    pub(crate) async fn query(
        &mut self,
        statement: &str,
        params: &[Value],
        deadline: Instant,
    ) -> Result<Rows, Error> {
        Ok(self.call(statement, params, true, deadline).await?.rows)
    }

    pub(crate) async fn execute(
        &mut self,
        statement: &str,
        params: &[Value],
        deadline: Instant,
    ) -> Result<u64, Error> {
        Ok(self.call(statement, params, false, deadline).await?.affected)
    }

    pub(crate) async fn commit(mut self, deadline: Instant) -> Result<(), Error> {
        let lease = self.lease.take().ok_or_else(over)?;
        let shared = &self.shared;
        lease.set_busy(true);
        // Some of what a function does counts in a read-only transaction too: older servers keep its large objects,
        // all of them send its notifications.
        let end = if self.rule.access == DatabaseAccess::Read { End::Undo } else { End::Commit };
        let commit = async {
            let Ended { result, is_clean, .. } = call::close(lease.session(), Ok(()), end).await;
            if is_clean {
                forget_types(lease.session(), &self.rule);
                lease.settle();
            }
            result.map_err(|failed| shared.error(failed))
        };
        shared.in_time(deadline, commit).await
    }

    async fn call(
        &mut self,
        text: &str,
        params: &[Value],
        wants_rows: bool,
        deadline: Instant,
    ) -> Result<Outcome, Error> {
        // Taken out: where this future is dropped the lease is as well, and the statement is stopped.
        let lease = self.lease.take().ok_or_else(over)?;
        self.rule.deadline = deadline;
        let (shared, rule) = (&self.shared, &self.rule);
        let call =
            Call { text, params, rule, wants_rows, role: shared.role.as_deref(), origin: &shared.origin };
        lease.set_busy(true);
        let work = async {
            let Ended { result, is_clean, was_known } = call.within(lease.session()).await;
            lease.set_busy(!is_clean);
            match result {
                Ok(outcome) => Ok((Ok(outcome), Some(lease))),
                // Nothing of ours reached the server.
                Err(Failed::Ours(error)) if is_clean => Ok((Err(error), Some(lease))),
                Err(failed) => Err(shared.told(shared.stopped(lease.session(), text, failed, was_known))),
            }
        };
        let (result, lease) = shared.in_time(deadline, work).await?;
        self.lease = lease;
        result
    }
}

fn over() -> Error {
    Error::Invalid(
        "the transaction is over: a statement in it was refused or stopped, and nothing of it counts"
            .to_owned(),
    )
}
