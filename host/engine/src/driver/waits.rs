//! Steps that wait for a signal: a person's word, or an event.
//!
//! An event is kept before those that wait are looked for, and a wait is on the disk before kept events are looked
//! for: so that one of the two finds the other. A run says that it is parked only after that look, so that a run
//! which a crash stops in between is taken up and looks again.

use std::{collections::HashSet, sync::Arc};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use jiff::Timestamp;
use serde_json::Value;
use stepcell_core::{
    EventKind, Failure, Fault, Json, StepId,
    event::{StepResumed, Wait},
    run::{RunStatus, StepState, StepStatus},
    schema::Schema,
};
use stepcell_store::{Error as StoreError, KeptEvent, Looker, Taken};

use super::{At, Driver, Synced};
use crate::{
    Error, Resume,
    engine::Inner,
    events::{APPROVAL, Delivery},
    matching::matches,
    waiting::{self, Signal},
};

/// Kept events read from the store at a time.
const EVENTS_PER_READ: usize = 16;
/// Steps of a run that look for kept events at the same time. Bounds what they read.
const MAX_LOOKS: usize = 16;

/// Looks at the events that were sent before a step waited for them.
#[derive(Default)]
pub(super) struct Looks {
    /// Steps that wait and have not looked, with the last event that they have seen.
    due: Vec<(StepId, Option<Place>)>,
    under_way: FuturesUnordered<BoxFuture<'static, Result<Look, StoreError>>>,
}

/// Where an event stands among those of its name.
type Place = (Timestamp, String);

/// What a step has found.
pub(super) struct Look {
    step: StepId,
    event: Option<KeptEvent>,
}

impl Looks {
    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty() && self.under_way.is_empty()
    }

    /// Nobody waits any more.
    pub(super) fn clear(&mut self) {
        self.due.clear();
        self.under_way.clear();
    }

    /// The next look that is over; pending where none is under way.
    pub(super) async fn next(&mut self) -> Result<Look, StoreError> {
        match self.under_way.next().await {
            Some(look) => look,
            None => std::future::pending().await,
        }
    }
}

impl Driver {
    /// Resumes a waiting step with what was sent, or says why it can not.
    pub(super) fn resume(&mut self, resume: &Resume) -> Result<Result<(), Error>, Error> {
        let (step, at) = match self.resumable(resume) {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        let approved = resume.approved.unwrap_or(true);
        let signal =
            Signal { approved, ..Signal::new(&resume.payload, resume.by.as_deref(), Timestamp::now()) };
        self.signal((step, at), &signal, None).map(Ok)
    }

    /// Resumes a waiting step with an event that was sent; what comes of it is on the disk.
    pub(super) async fn hears(&mut self, step: &StepId, event: &Delivery) -> Result<bool, Error> {
        let heard = self.hear(step, event).await?;
        if heard {
            self.outbox.synced(&self.engine, &self.state).await?;
        }
        Ok(heard)
    }

    /// Resumes a waiting step with an event, if it is one that the step waits for and that the run has not had.
    async fn hear(&mut self, step: &StepId, delivery: &Delivery) -> Result<bool, Error> {
        let event = &delivery.event;
        let Some(at) = self.at(step.as_str()) else { return Ok(false) };
        let admits = self.awaited(step).is_some_and(|wait| wait.admits(event));
        if !admits || self.state.heard.contains(&(event.name.clone(), event.id.clone())) {
            return Ok(false);
        }
        // An event is for every run that was there when it came. Of those that began later, one may have it where
        // nobody else has: which is noted before the first of the others goes on, whatever becomes of the rest.
        let mine = |taker| self.engine.store.take_event(&event.name, &event.id, taker);
        if self.state.created_at > event.at {
            if !mine(Taken::Run(self.run)).await? {
                return Ok(false);
            }
        } else {
            delivery.noted.get_or_try_init(|| mine(Taken::All)).await?;
        }
        let signal = Signal::new(&event.payload, event.by.as_deref(), event.at);
        self.signal((step.clone(), at), &signal, Some(event.id.clone()))?;
        Ok(true)
    }

    /// A step that has begun to wait looks for events that came before.
    pub(super) fn look(&mut self, step: At) {
        let waits = self.seen(step).is_some_and(|seen| Awaited::of(seen).is_some());
        let id = self.scopes.step_id(step).filter(|_| waits).cloned();
        self.looks.due.extend(id.map(|id| (id, None)));
    }

    /// A run that did not get to park may not have looked. One that did has, and hears of all that came since.
    pub(super) fn look_again(&mut self) {
        if self.state.status != RunStatus::Waiting {
            let waiting = self.state.steps.iter().filter(|(_, seen)| Awaited::of(seen).is_some());
            self.looks.due.extend(waiting.map(|(id, _)| (id.clone(), None)));
        }
    }

    /// Begins the looks that are due, as far as there is room, once the waits are on the disk.
    pub(super) fn begin_looks(&mut self) {
        if self.looks.due.is_empty() || self.looks.under_way.len() >= MAX_LOOKS {
            return;
        }
        self.outbox.flush(&self.engine, &self.state);
        while self.looks.under_way.len() < MAX_LOOKS {
            let Some((step, after)) = self.looks.due.pop() else { break };
            let Some(wait) = self.awaited(&step).map(Awaited::into_owned) else { continue };
            let name = wait.name.clone();
            let of_name = self.state.heard.iter().filter(|(heard, _)| *heard == name);
            let search = Search {
                looker: Looker { run: self.run, since: self.state.created_at },
                heard: of_name.map(|(_, id)| id.clone()).collect(),
                wait,
                after,
            };
            let look = search.find(self.engine.clone(), self.outbox.last(), step);
            self.looks.under_way.push(Box::pin(look));
        }
    }

    /// A look is over.
    pub(super) async fn looked(&mut self, look: Look) -> Result<(), Error> {
        let Look { step, event } = look;
        let Some(event) = event else { return Ok(()) };
        let found = Delivery::of(event);
        if !self.hear(&step, &found).await? && self.awaited(&step).is_some() {
            // Somebody else has it: there may be another one.
            self.looks.due.push((step, Some((found.event.at, found.event.id))));
        }
        Ok(())
    }

    fn signal(
        &mut self,
        (step, at): (StepId, At),
        signal: &Signal<'_>,
        event: Option<String>,
    ) -> Result<(), Error> {
        let damaged = |reason: String| Error::Damaged { run: self.run, reason };
        let signal = Json::from_serialize(signal).map_err(|error| damaged(error.to_string()))?;
        self.emit(Some(step), EventKind::StepResumed(StepResumed { signal, event }))?;
        self.ready.push_back(at);
        Ok(())
    }

    fn resumable(&self, resume: &Resume) -> Result<(StepId, At), Error> {
        let step =
            waiting::target(self.run, &self.state, resume.step.as_deref()).map_err(
                |error| match &resume.step {
                    Some(step) if matches!(error, Error::NotWaiting { .. }) && self.is_no_step(step) => {
                        Error::NoSuchStep { run: self.run, step: step.clone() }
                    }
                    _ => error,
                },
            )?;
        let form = self.state.steps.get(&step).and_then(|seen| match &seen.wait {
            Some(Wait::Signal { form, .. }) => form.as_ref(),
            _ => None,
        });
        match form {
            Some(form) if resume.approved != Some(false) => waiting::check_form(form, &resume.payload)?,
            _ => {}
        }
        let at = self.at(step.as_str());
        at.map(|at| (step, at)).ok_or(Error::NotWaiting { run: self.run, step: resume.step.clone() })
    }

    fn is_no_step(&self, step: &str) -> bool {
        !self.state.steps.contains_key(step) && self.at(step).is_none()
    }

    /// What events a step waits for.
    fn awaited(&self, step: &StepId) -> Option<Awaited<'_>> {
        self.state.steps.get(step).and_then(Awaited::of)
    }
}

/// Why a step can not wait for what it asked for.
pub(super) fn bad_form(wait: &Wait) -> Option<Failure> {
    let Wait::Signal { form: Some(form), .. } = wait else { return None };
    let error = Schema::compile(form).err()?;
    let place = if error.path.is_empty() { "form".to_owned() } else { format!("form.{}", error.path) };
    let message = format!("`{place}` is not a JSON Schema that can be used: {}", error.message);
    Some(Failure::system(Fault::Config, "form_invalid", message))
}

/// Which events a step waits for.
struct Awaited<'a> {
    name: &'a str,
    form: Option<&'a Value>,
    matching: Option<&'a Value>,
}

impl<'a> Awaited<'a> {
    fn of(seen: &'a StepState) -> Option<Self> {
        match &seen.wait {
            Some(Wait::Signal { name, form, matching, .. })
                if seen.status == StepStatus::Waiting && name != APPROVAL =>
            {
                Some(Self { name, form: form.as_ref(), matching: matching.as_ref() })
            }
            _ => None,
        }
    }

    fn admits(&self, event: &KeptEvent) -> bool {
        event.name == self.name
            && self.matching.is_none_or(|matching| matches(event.payload.value(), matching))
            && self.form.is_none_or(|form| waiting::check_form(form, &event.payload).is_ok())
    }

    fn into_owned(self) -> OwnedWait {
        OwnedWait { name: self.name.to_owned(), form: self.form.cloned(), matching: self.matching.cloned() }
    }
}

struct OwnedWait {
    name: String,
    form: Option<Value>,
    matching: Option<Value>,
}

/// A search for an event that was kept.
struct Search {
    looker: Looker,
    /// Ids of events of this name that the run has had.
    heard: HashSet<String>,
    wait: OwnedWait,
    after: Option<Place>,
}

impl Search {
    /// The oldest event that may be the step's, once `before` is on the disk.
    async fn find(mut self, engine: Arc<Inner>, before: Synced, step: StepId) -> Result<Look, StoreError> {
        before.await?;
        loop {
            // Where it is closed the engine stops.
            let _turn = engine.events.reading.acquire().await;
            let page =
                engine.store.kept_events(&self.wait.name, self.looker, self.after.clone(), EVENTS_PER_READ);
            let page = page.await?;
            let full = page.len() == EVENTS_PER_READ;
            let last = page.last().map(|event| (event.at, event.id.clone()));
            let now = Timestamp::now();
            if let Some(event) = page.into_iter().find(|event| self.fits(event, now)) {
                return Ok(Look { step, event: Some(event) });
            }
            if !full {
                return Ok(Look { step, event: None });
            }
            self.after = last;
            tokio::task::yield_now().await;
        }
    }

    fn fits(&self, event: &KeptEvent, now: Timestamp) -> bool {
        let OwnedWait { name, form, matching } = &self.wait;
        let wait = Awaited { name, form: form.as_ref(), matching: matching.as_ref() };
        event.until > now && !self.heard.contains(&event.id) && wait.admits(event)
    }
}
