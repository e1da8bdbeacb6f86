//! A run that is tried again: a new one, which takes over what still holds.

use std::sync::Arc;

use stepcell_core::{
    RunId, StepId,
    event::RetryOf,
    parse::Parsed,
    run::{RunState, RunStatus},
};

use crate::{
    Engine, Error, load,
    prepared::Prepared,
    view::{ItemsPage, RunView},
};

/// How a run is tried again.
#[derive(Debug, Clone, Default)]
pub struct Retry {
    /// This step and what depends on it runs anew, whatever it gave. Without it, what has no result runs.
    pub from: Option<String>,
    /// The flow to run instead, from [`Engine::plan`]. Without it, the same flow with the plugins of now.
    pub plan: Option<Arc<Prepared>>,
    /// Under one key there is one run, as with [`Submit`](crate::Submit).
    pub idempotency_key: Option<String>,
}

impl Engine {
    /// Starts a new run with the input of one that has ended; done when it is on the disk.
    ///
    /// A result of the earlier run is taken over where the step's component, its resolved config and what the steps
    /// before it gave are the same; an approval that was given is such a result.
    pub async fn retry(&self, run: RunId, retry: Retry) -> Result<RunView, Error> {
        let Retry { from, plan, idempotency_key } = retry;
        let state = load::state(self.inner(), run).await?;
        check(run, &state, from.is_some() || plan.is_some())?;
        let plan = match plan {
            Some(plan) => plan,
            None => self.flow_of(run, &state).await?,
        };
        let from = from.map(|step| named(run, &plan, step)).transpose()?;
        plan.check_input(&state.input).map_err(Error::InvalidInput)?;
        let of = RetryOf { run, from };
        let again = self.inner().submit_again(&plan, state.input, of, idempotency_key).await?;
        self.show(again).await
    }

    /// The items of a step that fanned out, at most `limit`; `cursor` is the `next` of the page before.
    pub async fn items(
        &self,
        run: RunId,
        step: &str,
        cursor: Option<u64>,
        limit: usize,
    ) -> Result<ItemsPage, Error> {
        let from = cursor.unwrap_or(0);
        let state = load::seen(self.inner(), run).await?;
        let no_such_step = || Error::NoSuchStep { run, step: step.to_owned() };
        match state.steps.get_key_value(step) {
            Some((id, _)) => ItemsPage::new(&state, id, from, limit)
                .ok_or_else(|| Error::NoItems { run, step: step.to_owned() }),
            None => {
                let known = load::outline(self.inner(), run, state.flow_digest).await?;
                let known = known.iter().any(|(id, _)| id.as_str() == step);
                Err(if known { Error::NoItems { run, step: step.to_owned() } } else { no_such_step() })
            }
        }
    }

    /// The flow of a run, with the plugins that there are now; with those that it pinned where it does not fit them.
    async fn flow_of(&self, run: RunId, state: &RunState) -> Result<Arc<Prepared>, Error> {
        let source = load::source(self.inner(), run, state.flow_digest).await?;
        match self.plan(Parsed::from_source(&source)) {
            Ok(plan) => Ok(plan),
            Err(_) => load::prepare(self.inner(), run, state).await,
        }
    }
}

fn check(run: RunId, state: &RunState, changed: bool) -> Result<(), Error> {
    let status = state.status;
    let refuse = |reason| Err(Error::NotRetryable { run, status, reason });
    match status {
        RunStatus::Queued | RunStatus::Running | RunStatus::Waiting => {
            refuse("only a run that has ended can be tried again")
        }
        RunStatus::Succeeded if !changed => {
            refuse("nothing of it has failed; name a step to run from, or another flow")
        }
        RunStatus::Succeeded | RunStatus::Failed | RunStatus::Cancelled => Ok(()),
    }
}

fn named(run: RunId, plan: &Prepared, step: String) -> Result<StepId, Error> {
    let index = plan.index(&step);
    let id = index.and_then(|index| plan.graph.ids.get(index)).cloned();
    id.ok_or(Error::NoSuchStep { run, step })
}
