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
    flow::LimitsPatch,
    grant::Grant,
    plan::{Body, BodyKind, Plan, PlannedStep},
    schema::Schema,
};

/// A plan with the plugins that a run of it pins.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) graph: Arc<Graph>,
    pub(crate) types: BTreeMap<String, StepType>,
    /// The config schema of each pinned plugin, compiled.
    pub(crate) schemas: HashMap<Digest, Schema>,
    /// The definition as JSON text: the blob that a run's first event names.
    pub(crate) source: Bytes,
    pub(crate) outline: Arc<Outline>,
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
        let graph = Arc::new(Graph::of_flow(Arc::new(plan)));
        Self { graph, types, schemas, source, outline: Arc::new(outline) }
    }

    /// The digests that a run of this plan pins, by step type.
    pub(crate) fn pins(&self) -> BTreeMap<String, Vec<Digest>> {
        let digests = |kind: &StepType| kind.providers.iter().map(|provider| provider.digest).collect();
        self.types.iter().map(|(name, kind)| (name.clone(), digests(kind))).collect()
    }
}

impl Deref for Prepared {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.graph
    }
}

/// A flow, or the body of a fan-out, with what those around it leave of grants and limits.
#[derive(Debug)]
pub(crate) struct Graph {
    plan: Arc<Plan>,
    /// `None` for the flow itself.
    pub(crate) kind: Option<BodyKind>,
    /// By the position of the step.
    pub(crate) bounds: Vec<Bounds>,
    /// The steps' own ids, which are their names in the log where the graph is the flow itself.
    pub(crate) ids: Arc<[StepId]>,
}

/// How far everything around a step, and the step itself, narrow what it may do.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// The flow's word, then that of each step on the way in, the step's own last; a flow within comes between. Also
    /// where one of them says nothing: refusals go by the position.
    pub(crate) grants: Vec<Arc<Grant>>,
    pub(crate) limits: LimitsPatch,
    /// What the step's config has to run for items, by the position in the plan.
    pub(crate) bodies: Vec<Arc<Graph>>,
}

impl Graph {
    fn of_flow(plan: Arc<Plan>) -> Self {
        let (grants, limits) = (vec![Arc::new(plan.flow.grants.clone())], plan.flow.limits);
        Self::within(plan, None, &grants, limits)
    }

    /// A body that a step with these bounds runs.
    pub(crate) fn of_body(body: &Body, bounds: &Bounds) -> Self {
        Self::of(body, &bounds.grants, bounds.limits)
    }

    fn of(body: &Body, outer: &[Arc<Grant>], limits: LimitsPatch) -> Self {
        let (plan, mut grants) = (body.plan.clone(), outer.to_vec());
        if body.kind != BodyKind::Flow {
            return Self::within(plan, Some(body.kind), &grants, limits);
        }
        grants.push(Arc::new(plan.flow.grants.clone()));
        let limits = narrower(limits, plan.flow.limits);
        Self::within(plan, Some(body.kind), &grants, limits)
    }

    fn within(plan: Arc<Plan>, kind: Option<BodyKind>, outer: &[Arc<Grant>], limits: LimitsPatch) -> Self {
        let silent = Arc::new(Grant::default());
        let bounds = |planned: &PlannedStep| {
            let own = match &planned.step.grants {
                grants if *grants == *silent => silent.clone(),
                grants => Arc::new(grants.clone()),
            };
            let grants: Vec<_> = outer.iter().cloned().chain([own]).collect();
            let limits = narrower(limits, planned.step.limits);
            let bodies = planned.bodies.iter().map(|body| Arc::new(Self::of(body, &grants, limits)));
            Bounds { bodies: bodies.collect(), grants, limits }
        };
        let bounds = plan.steps.iter().map(bounds).collect();
        let ids = plan.steps.iter().map(|planned| planned.step.id.clone()).collect();
        Self { plan, kind, bounds, ids }
    }
}

impl Deref for Graph {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.plan
    }
}

fn narrower(a: LimitsPatch, b: LimitsPatch) -> LimitsPatch {
    LimitsPatch {
        fuel: smaller(a.fuel, b.fuel),
        memory: smaller(a.memory, b.memory),
        time: smaller(a.time, b.time),
        output: smaller(a.output, b.output),
        request: smaller(a.request, b.request),
        response: smaller(a.response, b.response),
        requests: smaller(a.requests, b.requests),
    }
}

fn smaller<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The step types of the catalog that a plan uses.
pub(crate) fn used_types(plan: &Plan, catalog: &Catalog) -> BTreeMap<String, StepType> {
    let kinds = plan.kinds().into_iter();
    kinds.filter_map(|kind| Some((kind.to_owned(), catalog.types.get(kind)?.clone()))).collect()
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
