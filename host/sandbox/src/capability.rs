//! What a cell may reach outside, one file each. A component asks by importing; the operator grants.
//!
//! All of them work on one [`Session`], so that what they use is counted together.

pub(crate) mod http;

use std::{sync::Arc, time::Instant};

use stepcell_core::{RunId, StepId, event::CapabilityDenied};
use stepcell_engine::{
    meter::{Exhausted, Meter, Resource},
    runner::Blobs,
};

use crate::{
    access::{Access, Refuser},
    connector::Connector,
    limits::Effective,
    vault::{Swap, Vault},
};

/// Different refusals that one execution can put into its run's log. Protects the log.
pub(crate) const MAX_DENIED: usize = 32;

/// What all cells share to reach outside.
pub(crate) struct Services {
    pub(crate) connector: Connector,
    pub(crate) vault: Vault,
}

/// Whose execution it is, and what it was handed.
pub(crate) struct Caller {
    pub(crate) run: RunId,
    /// None where a plugin describes itself.
    pub(crate) step: Option<StepId>,
    /// Names of the secrets whose placeholders stand in the config.
    pub(crate) secrets: Vec<String>,
    pub(crate) meter: Arc<Meter>,
    /// None where a plugin describes itself.
    pub(crate) blobs: Option<Arc<dyn Blobs>>,
}

/// What one cell may reach, and what it has used of it.
pub(crate) struct Session {
    pub(crate) services: Arc<Services>,
    pub(crate) access: Arc<Access>,
    pub(crate) caller: Caller,
    pub(crate) limits: Effective,
    /// The attempt's: nothing that the cell asks for outlives it.
    pub(crate) deadline: Instant,
    pub(crate) usage: Usage,
    /// What may be swapped in this execution's requests: made when the first one leaves.
    swaps: Option<Vec<Swap>>,
    /// Each refusal once.
    pub(crate) denied: Vec<CapabilityDenied>,
}

/// For the step's receipt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) requests: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) rows: u64,
}

/// There were too many requests, or the run's budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Spent {
    #[error("it would be one request more than the {0} that `limits.requests` allows")]
    Requests(u64),
    #[error("the run's budget of {} for {} is used up", .0.budget, .0.resource)]
    Budget(Exhausted),
}

impl Caller {
    /// For a cell that runs for no step.
    pub(crate) fn none() -> Self {
        let (run, meter) = (RunId::from_bytes([0; 16]), Arc::new(Meter::unlimited()));
        Self { run, step: None, secrets: Vec::new(), meter, blobs: None }
    }
}

impl Session {
    pub(crate) fn new(
        services: Arc<Services>,
        access: Arc<Access>,
        caller: Caller,
        limits: Effective,
        deadline: Instant,
    ) -> Self {
        let usage = Usage::default();
        Self { services, access, caller, limits, deadline, usage, swaps: None, denied: Vec::new() }
    }

    /// Counts a request that is about to be made: a statement, a mail. What goes through the connector is counted
    /// there, hop by hop.
    pub(crate) fn count_request(&mut self) -> Result<(), Spent> {
        let most = self.limits.requests.value;
        if self.usage.requests >= most {
            return Err(Spent::Requests(most));
        }
        self.caller.meter.take(Resource::Requests, 1).map_err(Spent::Budget)?;
        self.usage.requests += 1;
        Ok(())
    }

    /// Counts what was sent or received after the fact; the run ends where it was too much.
    pub(crate) fn count_bytes(&mut self, sent: u64, received: u64) -> Result<(), Spent> {
        self.usage.sent_bytes += sent;
        self.usage.received_bytes += received;
        self.caller.meter.take(Resource::Bytes, sent.saturating_add(received)).map_err(Spent::Budget)
    }

    /// Counts rows that were read or changed.
    pub(crate) fn count_rows(&mut self, rows: u64) -> Result<(), Spent> {
        self.usage.rows += rows;
        self.caller.meter.take(Resource::Rows, rows).map_err(Spent::Budget)
    }

    /// Keeps a refusal for the run's log, with the lines that would allow it.
    pub(crate) fn deny(&mut self, event: CapabilityDenied) {
        if self.denied.len() < MAX_DENIED && !self.denied.contains(&event) {
            self.denied.push(event);
        }
    }

    /// What may be swapped in requests: the placeholders of the config, and those that were asked for since.
    pub(crate) fn swaps(&mut self) -> &mut Vec<Swap> {
        let Caller { run, step, secrets, .. } = &self.caller;
        let vault = &self.services.vault;
        self.swaps.get_or_insert_with(|| {
            let swap = |name: &String| vault.swap(*run, step.as_ref()?, name);
            secrets.iter().filter_map(swap).collect()
        })
    }

    /// Who refuses, as a message says it: `grants.TYPE` of the config, or the flow's or step's own `grants`.
    pub(crate) fn refuser(&self, refuser: Refuser) -> String {
        match refuser {
            Refuser::Operator => format!("no grant of `{}`", self.access.kind),
            Refuser::Narrowing(0) => "the flow's `grants`".to_owned(),
            Refuser::Narrowing(_) => "the step's `grants`".to_owned(),
        }
    }
}
