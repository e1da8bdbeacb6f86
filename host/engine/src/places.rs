//! Which runs may be driven now, and which wait for their turn. Pure: knows runs by their ids alone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use stepcell_core::{RunId, flow::Flow};

use crate::engine::Admission;

/// When to come back to a full queue: never sooner than this, nor later than that.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(60);
/// How many starts out of the queue its pace is taken over.
const PACE_OVER: u32 = 8;

/// Places for runs, and the queue in front of them.
///
/// The oldest run whose flow has room starts first, so that a flow at its limit holds up no other. Whoever was
/// driven before, and is woken, takes a place also where none is free.
#[derive(Debug)]
pub(crate) struct Places {
    active: usize,
    most_active: usize,
    most_queued: usize,
    configured: BTreeMap<String, usize>,
    flows: HashMap<Arc<str>, OfFlow>,
    /// Every run that has no place, also before it is on the disk.
    queued: HashMap<RunId, Arc<str>>,
    /// The oldest startable run of each flow that has room and such a run.
    heads: BTreeSet<(RunId, Arc<str>)>,
    /// Nothing starts out of the queue until those that were driven before have their places again.
    held: bool,
    pace: Pace,
}

#[derive(Debug, Default)]
struct OfFlow {
    active: usize,
    /// Of its runs without a place.
    queued: usize,
    /// Those of them that are on the disk, by age.
    startable: BTreeSet<RunId>,
    own: Own,
    /// What stands in [`Places::heads`].
    head: Option<RunId>,
}

/// What a flow says of its runs at a time; its newest definition counts.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) enum Own {
    /// No definition was seen since the start: one at a time, until there is one.
    #[default]
    Unknown,
    Unlimited,
    Most(usize),
}

impl Own {
    pub(crate) fn of(flow: &Flow) -> Self {
        flow.concurrency
            .map_or(Self::Unlimited, |most| Self::Most(usize::try_from(most).unwrap_or(usize::MAX)))
    }
}

/// The queue has no room.
#[derive(Debug, PartialEq)]
pub(crate) struct Full {
    pub(crate) queued: usize,
    pub(crate) retry_after: Duration,
}

impl Places {
    /// Holds what is queued until [`open`](Self::open).
    pub(crate) fn new(admission: &Admission) -> Self {
        Self {
            active: 0,
            most_active: admission.active,
            most_queued: admission.queue,
            configured: admission.flows.clone(),
            flows: HashMap::new(),
            queued: HashMap::new(),
            heads: BTreeSet::new(),
            held: true,
            pace: Pace::default(),
        }
    }

    /// Queued runs may start.
    pub(crate) fn open(&mut self) {
        self.held = false;
    }

    pub(crate) fn queued(&self) -> usize {
        self.queued.len()
    }

    /// Finds room for new runs of a flow, oldest first, all or none. Gives how many have a place; the others are
    /// queued and start after [`settle`](Self::settle).
    pub(crate) fn enter(&mut self, flow: &str, own: Own, runs: &[RunId]) -> Result<usize, Full> {
        let configured = self.configured.get(flow).copied();
        let name = self.name(flow);
        let free = self.most_active.saturating_sub(self.active);
        let overtaken = !self.heads.is_empty();
        let entry = self.flows.entry(name.clone()).or_default();
        let starting = match limit(own, configured).saturating_sub(entry.active).min(free).min(runs.len()) {
            _ if overtaken || entry.queued > 0 => 0,
            starting => starting,
        };
        let waiting = runs.get(starting..).unwrap_or_default();
        if !waiting.is_empty() && self.queued.len().saturating_add(waiting.len()) > self.most_queued {
            let full = Full {
                queued: self.queued.len(),
                retry_after: self.pace.time_for(waiting.len(), Instant::now()),
            };
            self.refresh(&name);
            return Err(full);
        }
        // What is submitted goes by the newest definition.
        entry.own = own;
        if self.queued.is_empty() && !waiting.is_empty() {
            self.pace.begins(Instant::now());
        }
        entry.active += starting;
        entry.queued += waiting.len();
        self.active += starting;
        self.queued.extend(waiting.iter().map(|run| (*run, name.clone())));
        self.refresh(&name);
        Ok(starting)
    }

    /// A queued run is on the disk: it may start when its turn comes. One that has left the queue does not come
    /// back.
    pub(crate) fn settle(&mut self, run: RunId) {
        let Some(flow) = self.queued.get(&run).cloned() else { return };
        if let Some(entry) = self.flows.get_mut(&flow) {
            entry.startable.insert(run);
        }
        self.refresh(&flow);
    }

    /// A run goes into the queue again, or for the first time in this process; it does so also where that is full.
    pub(crate) fn requeue(&mut self, run: RunId, flow: &str) {
        let name = self.name(flow);
        if self.queued.is_empty() {
            self.pace.begins(Instant::now());
        }
        if self.queued.insert(run, name.clone()).is_none() {
            self.flows.entry(name).or_default().queued += 1;
        }
        self.settle(run);
    }

    /// A run leaves the queue. Gives its flow, `None` where it is not in there.
    pub(crate) fn dequeue(&mut self, run: RunId) -> Option<Arc<str>> {
        let flow = self.queued.remove(&run)?;
        if self.queued.is_empty() {
            self.pace.stops();
        }
        if let Some(entry) = self.flows.get_mut(&flow) {
            entry.queued = entry.queued.saturating_sub(1);
            entry.startable.remove(&run);
        }
        self.refresh(&flow);
        Some(flow)
    }

    pub(crate) fn is_queued(&self, run: RunId) -> bool {
        self.queued.contains_key(&run)
    }

    /// The run whose turn it is gets a place.
    pub(crate) fn next(&mut self) -> Option<(RunId, Arc<str>)> {
        if self.held || self.active >= self.most_active {
            return None;
        }
        let (run, flow) = self.heads.first().cloned()?;
        self.pace.started(Instant::now());
        self.dequeue(run);
        self.join(&flow);
        Some((run, flow))
    }

    /// A run takes a place, whether or not one is free.
    pub(crate) fn join(&mut self, flow: &str) -> Arc<str> {
        let name = self.name(flow);
        self.active += 1;
        self.flows.entry(name.clone()).or_default().active += 1;
        self.refresh(&name);
        name
    }

    /// A definition of the flow was read that one of its runs began with. A newer one may be known.
    pub(crate) fn learn(&mut self, flow: &str, own: Own) {
        let name = self.name(flow);
        if let Some(entry) = self.flows.get_mut(&name).filter(|entry| entry.own == Own::Unknown) {
            entry.own = own;
        }
        self.refresh(&name);
    }

    /// A run gives its place up.
    pub(crate) fn leave(&mut self, flow: &str) {
        let name = self.name(flow);
        self.active = self.active.saturating_sub(1);
        if let Some(entry) = self.flows.get_mut(&name) {
            entry.active = entry.active.saturating_sub(1);
        }
        self.refresh(&name);
    }

    /// The flow's name as it is kept already.
    fn name(&self, flow: &str) -> Arc<str> {
        self.flows.get_key_value(flow).map_or_else(|| flow.into(), |(name, _)| name.clone())
    }

    /// Brings `heads` to where the flow is, and forgets a flow without runs.
    fn refresh(&mut self, flow: &Arc<str>) {
        let configured = self.configured.get(&**flow).copied();
        let Some(entry) = self.flows.get_mut(flow) else { return };
        let has_room = entry.active < limit(entry.own, configured);
        let head = entry.startable.first().copied().filter(|_| has_room);
        if head != entry.head {
            if let Some(old) = entry.head {
                self.heads.remove(&(old, flow.clone()));
            }
            self.heads.extend(head.map(|head| (head, flow.clone())));
            entry.head = head;
        }
        if entry.active == 0 && entry.queued == 0 {
            self.flows.remove(flow);
        }
    }
}

fn limit(own: Own, configured: Option<usize>) -> usize {
    let own = match own {
        Own::Unknown => 1,
        Own::Unlimited => usize::MAX,
        Own::Most(most) => most,
    };
    own.min(configured.unwrap_or(usize::MAX))
}

/// How fast the queue moves, while there is one.
#[derive(Debug, Default)]
struct Pace {
    /// When the last run left it, or when it began.
    last: Option<Instant>,
    mean: Duration,
}

impl Pace {
    /// The first run waits.
    fn begins(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// Nobody waits any more. The time until somebody does again tells nothing.
    fn stops(&mut self) {
        self.last = None;
    }

    fn started(&mut self, now: Instant) {
        if let Some(last) = self.last {
            let gap = now.saturating_duration_since(last);
            self.mean = (self.mean.saturating_mul(PACE_OVER - 1).saturating_add(gap)) / PACE_OVER;
        }
        self.last = Some(now);
    }

    /// About how long until this many have left the queue.
    fn time_for(&self, runs: usize, now: Instant) -> Duration {
        // A queue that stands still gets slower with every look.
        let since = self.last.map(|last| now.saturating_duration_since(last)).unwrap_or_default();
        let each = self.mean.max(since / PACE_OVER);
        each.saturating_mul(u32::try_from(runs).unwrap_or(u32::MAX)).clamp(SOONEST, LATEST)
    }
}

#[cfg(test)]
mod tests;
