//! Sessions for the tests of the capabilities, without a cell.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;
use stepcell_core::{
    Budget, Limits,
    event::Receipt,
    grant::{Grant, Level},
};
use stepcell_engine::runner::LimitsRequest;

use super::*;
use crate::connector;

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a session is made of; everything is granted nothing, and there is nothing, unless it says otherwise.
pub(crate) struct Given {
    pub(crate) operator: Value,
    pub(crate) flow: Value,
    pub(crate) step: Value,
    pub(crate) limits: Limits,
    pub(crate) budget: Budget,
    pub(crate) blobs: Option<Arc<dyn Blobs>>,
    pub(crate) services: Services,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            operator: Value::Null,
            flow: Value::Null,
            step: Value::Null,
            limits: Limits::default(),
            budget: Budget::default(),
            blobs: None,
            services: Services::bare(),
        }
    }
}

impl Given {
    pub(crate) fn session(self) -> Session {
        let mut access = Access::new("my_step".into(), grant(&self.operator, Level::Operator));
        access.narrowings = vec![grant(&self.flow, Level::Narrowing), grant(&self.step, Level::Narrowing)];
        let caller = Caller {
            run: RunId::from_bytes([1; 16]),
            step: StepId::new("a").ok(),
            secrets: Vec::new(),
            meter: Arc::new(Meter::new(self.budget, &Receipt::default())),
            blobs: self.blobs,
        };
        let limits = Effective::new(&self.limits, None, &LimitsRequest::default());
        let deadline = Instant::now() + PATIENCE;
        Session::new(Arc::new(self.services), Arc::new(access), caller, limits, deadline)
    }
}

fn grant(written: &Value, level: Level) -> Arc<Grant> {
    let (grant, problems) = Grant::read(written, level);
    assert_eq!(problems, []);
    Arc::new(grant)
}

impl Services {
    /// A connector, and nothing else.
    pub(crate) fn bare() -> Self {
        let runtime = Handle::current();
        Self {
            connector: Connector::new(connector::Options::default(), Room::default(), runtime.clone()),
            outgoing: Room::default(),
            incoming: Room::default(),
            blob_reads: Semaphore::new(BLOB_READS_MAX),
            vault: Vault::new([7; 32], BTreeMap::new()),
            databases: None,
            mailer: None,
            runtime,
        }
    }
}

impl Session {
    /// The one refusal of this session: its target, and the lines that would allow it.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (String, String) {
        let mut denied = self.ledger.take_denied();
        assert_eq!(denied.len(), 1, "{denied:?}");
        let refusal = denied.remove(0);
        (refusal.target, refusal.allow)
    }
}
