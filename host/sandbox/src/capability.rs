//! What a cell may reach outside, one file each. A component asks by importing; the operator grants.
//!
//! All of them work on one [`Session`], so that what they use is counted together.

mod allow;
mod blobs;
pub(crate) mod database;
mod email;
pub(crate) mod http;
mod ledger;
mod room;
mod secrets;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod wasi_http;

use std::{sync::Arc, time::Instant};

use stepcell_core::{RunId, StepId, event::CapabilityDenied};
use stepcell_database::Databases;
use stepcell_engine::{meter::Meter, runner::Blobs};
use tokio::{runtime::Handle, sync::Semaphore};

use database::Transactions;
pub(crate) use ledger::{Ledger, Spent, Usage};
pub(crate) use room::{Full, Held, Room, Shares};

use crate::{
    access::Access,
    connector::Connector,
    limits::Effective,
    mail::Mailer,
    vault::{Swap, Vault},
};

/// Blobs that are read for cells at the same time. Bounds what the host holds of them before they have found room.
pub(crate) const BLOB_READS_MAX: usize = 4;

/// What all cells share to reach outside.
pub(crate) struct Services {
    pub(crate) connector: Connector,
    /// Of what all cells send.
    pub(crate) outgoing: Room,
    /// Of what all cells receive; the connector's too.
    pub(crate) incoming: Room,
    /// Blobs that are being read: how large one is, is known when it is there.
    pub(crate) blob_reads: Semaphore,
    pub(crate) vault: Vault,
    /// None where nothing is run.
    pub(crate) databases: Option<Databases>,
    /// None where the config names no mail server.
    pub(crate) mailer: Option<Arc<Mailer>>,
    /// Does the waiting: cells run on threads of their own.
    pub(crate) runtime: Handle,
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
    /// What it has used and what it was refused; requests that are under way while the cell goes on share it.
    pub(crate) ledger: Arc<Ledger>,
    /// What may be swapped in this execution's requests: made when the first one leaves.
    swaps: Option<Vec<Swap>>,
    /// Mails that were on their way.
    mails: u32,
    /// Those of this cell alone.
    transactions: Transactions,
    /// Made when the first request leaves by `wasi:http`, which may then be under way while the cell goes on.
    outgoing: Option<Arc<wasi_http::Outgoing>>,
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
        let ledger = Ledger::new(limits.requests.value, Arc::clone(&caller.meter));
        Self {
            services,
            access,
            caller,
            limits,
            deadline,
            ledger: Arc::new(ledger),
            swaps: None,
            mails: 0,
            transactions: Transactions::default(),
            outgoing: None,
        }
    }

    /// Counts a request that is about to be made, a statement or a mail, with its bytes. What goes through the
    /// connector is counted there, hop by hop.
    pub(crate) fn count_request(&mut self, sent: u64) -> Result<(), Spent> {
        self.ledger.count_request(sent)
    }

    /// Counts what came back; the run ends where it was too much.
    pub(crate) fn count_received(&mut self, bytes: u64) -> Result<(), Spent> {
        self.ledger.count_received(bytes)
    }

    /// Rolls back what was not committed, before anybody hears that the cell is over and goes on to the same database.
    pub(crate) fn end(&mut self) {
        self.transactions = Transactions::default();
    }

    /// Counts rows that were read or changed.
    pub(crate) fn count_rows(&mut self, rows: u64) -> Result<(), Spent> {
        self.ledger.count_rows(rows)
    }

    /// Keeps a refusal for the run's log, with the lines that would allow it.
    pub(crate) fn deny(&mut self, event: CapabilityDenied) {
        self.ledger.deny(event);
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
}
