//! Flows made ready to run, kept so that submitting the same flow again costs a look-up.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Deref,
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;
use stepcell_core::{
    Catalog, Digest, StepId, StepType,
    grant::Grant,
    plan::{Plan, PlannedStep},
    schema::Schema,
};

/// A plan with the plugins that a run of it pins.
#[derive(Debug)]
pub struct Prepared {
    plan: Plan,
    pub(crate) types: BTreeMap<String, StepType>,
    /// The config schema of each pinned plugin, compiled.
    pub(crate) schemas: HashMap<Digest, Schema>,
    /// The definition as JSON text: the blob that a run's first event names.
    pub(crate) source: Bytes,
    pub(crate) outline: Arc<Outline>,
    /// How far the flow and each step narrow what is granted, by the position of the step.
    pub(crate) narrowings: Vec<Vec<Arc<Grant>>>,
}

/// The steps of a flow with their types, in order: all that a view needs of it.
pub(crate) type Outline = Vec<(StepId, String)>;

impl Prepared {
    pub(crate) fn new(plan: Plan, types: BTreeMap<String, StepType>) -> Self {
        let mut schemas = HashMap::new();
        for provider in types.values().flat_map(|kind| &kind.providers) {
            // A schema that does not compile was refused when the plugin was loaded.
            if let Ok(schema) = Schema::compile(&provider.describe.config_schema) {
                schemas.insert(provider.digest, schema);
            }
        }
        let source = Bytes::from(plan.flow.source.to_string());
        let outline = plan.flow.steps.values().map(|step| (step.id.clone(), step.kind.clone())).collect();
        let narrowings = narrowings(&plan);
        Self { plan, types, schemas, source, outline: Arc::new(outline), narrowings }
    }

    /// The digests that a run of this plan pins, by step type.
    pub(crate) fn pins(&self) -> BTreeMap<String, Vec<Digest>> {
        let digests = |kind: &StepType| kind.providers.iter().map(|provider| provider.digest).collect();
        self.types.iter().map(|(name, kind)| (name.clone(), digests(kind))).collect()
    }
}

/// Both places for each step, also where one of them says nothing: refusals go by the position.
fn narrowings(plan: &Plan) -> Vec<Vec<Arc<Grant>>> {
    let flow = Arc::new(plan.flow.grants.clone());
    let silent = Arc::new(Grant::default());
    let of_step = |planned: &PlannedStep| match &planned.step.grants {
        grants if *grants == *silent => silent.clone(),
        grants => Arc::new(grants.clone()),
    };
    plan.steps.iter().map(|planned| vec![flow.clone(), of_step(planned)]).collect()
}

impl Deref for Prepared {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.plan
    }
}

/// The step types of the catalog that a flow uses.
pub(crate) fn used_types<'a>(
    kinds: impl Iterator<Item = &'a String>,
    catalog: &Catalog,
) -> BTreeMap<String, StepType> {
    kinds.filter_map(|kind| Some((kind.clone(), catalog.types.get(kind)?.clone()))).collect()
}

/// The last flows used, by the digest of their definition and the catalog they were checked against.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_digest: HashMap<Digest, (Arc<Catalog>, Arc<Prepared>)>,
    /// Oldest first.
    order: VecDeque<Digest>,
}

/// Flows kept ready. Bounds memory: a flow of ten thousand steps takes some tens of megabytes.
const MAX_CACHED_FLOWS: usize = 64;

impl Cache {
    pub(crate) fn get(&self, digest: Digest, catalog: &Arc<Catalog>) -> Option<Arc<Prepared>> {
        let entries = self.entries.lock();
        let (seen, prepared) = entries.by_digest.get(&digest)?;
        Arc::ptr_eq(seen, catalog).then(|| prepared.clone())
    }

    pub(crate) fn put(&self, digest: Digest, catalog: Arc<Catalog>, prepared: Arc<Prepared>) {
        let mut entries = self.entries.lock();
        if entries.by_digest.insert(digest, (catalog, prepared)).is_none() {
            entries.order.push_back(digest);
        }
        while entries.order.len() > MAX_CACHED_FLOWS {
            if let Some(oldest) = entries.order.pop_front() {
                entries.by_digest.remove(&oldest);
            }
        }
    }
}
