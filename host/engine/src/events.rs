//! Events from outside, for every run that waits for them.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::Serialize;
use stepcell_core::{Json, RunId};
use stepcell_store::{KeptEvent, Taken, Waiter};
use tokio::sync::{OnceCell, Semaphore, oneshot};

use crate::{Error, driver::Command, engine::Inner, load, matching::matches};

/// What a person's word to one run is called. No event has this name.
pub const APPROVAL: &str = "approval";

/// The longest that an event is kept, whatever its sender asks for. Bounds what nobody takes on the disk.
pub const MAX_EVENT_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Waiting steps that are read from the store at a time.
const WAITERS_PER_READ: usize = 256;
/// Runs that events wake at the same time, all events together. Bounds how many are taken up at once.
const MAX_WAKING: usize = 256;
/// Pages of kept events that are read at the same time. Bounds their memory.
const MAX_READING: usize = 64;

/// An event as it is sent.
#[derive(Debug, Clone)]
pub struct Incoming {
    pub payload: Json,
    /// Sent again with the same name and id it is the same event. Made up where it is absent.
    pub id: Option<String>,
    /// Who sent it, for the logs of the runs.
    pub by: Option<String>,
    /// How long it is kept for runs that do not wait yet, at most [`MAX_EVENT_KEPT`];
    /// [`Options::events_kept`](crate::Options::events_kept) where absent.
    pub keep: Option<Duration>,
}

/// What came of an event; serialises to the answer of `POST /events/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivered {
    /// Its name.
    pub event: String,
    pub id: String,
    /// Runs that it has woken now: those that have had it count no more when it is sent again.
    pub woken: u64,
    /// Until when it is kept for runs that do not wait yet; none where it is not.
    pub kept_until: Option<Timestamp>,
}

/// An event on its way to those that wait for it.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) event: KeptEvent,
    /// Set once it is on the disk that the event is for those that were there when it came. One who hears it sees to
    /// that for all.
    pub(crate) noted: OnceCell<bool>,
}

impl Delivery {
    pub(crate) fn of(event: KeptEvent) -> Self {
        Self { event, noted: OnceCell::new() }
    }
}

/// What all events share.
pub(crate) struct Events {
    kept: Duration,
    waking: Semaphore,
    pub(crate) reading: Semaphore,
}

impl Events {
    /// `kept` is how long, where the sender does not say.
    pub(crate) fn new(kept: Duration) -> Self {
        Self { kept, waking: Semaphore::new(MAX_WAKING), reading: Semaphore::new(MAX_READING) }
    }
}

/// Sends an event to all that wait for it; done when they have it in their logs.
pub(crate) async fn send(engine: &Arc<Inner>, name: &str, incoming: Incoming) -> Result<Delivered, Error> {
    if engine.draining.is_cancelled() {
        return Err(Error::Stopping);
    }
    let event = accept(name, incoming, engine.events.kept)?;
    // From here on it is done also where the sender goes away.
    let (answer, delivered) = oneshot::channel();
    let delivering = engine.clone();
    engine.spawn(async move {
        let _ = answer.send(deliver(&delivering, event).await);
    });
    delivered.await.unwrap_or(Err(Error::Stopping))
}

fn accept(name: &str, incoming: Incoming, kept: Duration) -> Result<KeptEvent, Error> {
    let Incoming { payload, id, by, keep } = incoming;
    if name == APPROVAL {
        return Err(Error::ReservedEvent { name: name.to_owned() });
    }
    for (what, text) in [("the name", Some(name)), ("the id", id.as_deref())] {
        if text == Some("") {
            return Err(Error::EventIncomplete { what });
        }
    }
    let at = Timestamp::now();
    let keep = keep.unwrap_or(kept).min(MAX_EVENT_KEPT);
    let event = KeptEvent {
        name: name.to_owned(),
        id: id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string()),
        at,
        until: at.checked_add(keep).unwrap_or(Timestamp::MAX),
        payload,
        by,
        taken: Taken::Nobody,
    };
    event.check().map_err(too_large)?;
    Ok(event)
}

/// Keeps the event, then wakes all that wait for it.
async fn deliver(engine: &Arc<Inner>, event: KeptEvent) -> Result<Delivered, Error> {
    let mut event = event;
    if engine.store.put_event(event.clone()).await.map_err(too_large)? {
        engine.events_taken.fetch_add(1, Ordering::Relaxed);
    } else {
        // Its first sender may have no answer: whoever has not heard of it yet does now.
        let first = engine.store.kept_event(&event.name, &event.id).await?;
        // There is none where its time was over in between.
        event = first.unwrap_or(event);
    }
    let delivery = Arc::new(Delivery::of(event));
    let woken = wake_all(engine, &delivery).await?;
    engine.woken.fetch_add(woken, Ordering::Relaxed);
    let event = &delivery.event;
    Ok(Delivered {
        event: event.name.clone(),
        id: event.id.clone(),
        woken,
        kept_until: (event.until > event.at).then_some(event.until),
    })
}

/// Wakes every run that waits for the event; gives how many.
async fn wake_all(engine: &Arc<Inner>, delivery: &Arc<Delivery>) -> Result<u64, Error> {
    let (event, mut after, mut woken) = (&delivery.event, None, 0);
    loop {
        let page = engine.store.waits(&event.name, after, WAITERS_PER_READ).await?;
        let full = page.len() == WAITERS_PER_READ;
        after = page.last().map(|waiter| (waiter.run, waiter.step.clone()));
        let fitting = page.into_iter().filter(|waiter| fits(waiter, event));
        let waking = stream::iter(fitting).map(|waiter| wake(engine, waiter, delivery));
        let of_page: Vec<bool> = waking.buffer_unordered(MAX_WAKING).try_collect().await?;
        woken += of_page.into_iter().map(u64::from).sum::<u64>();
        if !full {
            return Ok(woken);
        }
    }
}

/// What the index says; the run itself has the last word.
fn fits(waiter: &Waiter, event: &KeptEvent) -> bool {
    waiter.matching.as_ref().is_none_or(|matching| matches(event.payload.value(), matching))
}

/// Tells one run; gives whether it goes on because of the event. Only what keeps the event from being written down is
/// an error: a run that can not go on for a reason of its own says so in the log.
async fn wake(engine: &Arc<Inner>, waiter: Waiter, delivery: &Arc<Delivery>) -> Result<bool, Error> {
    let Waiter { run, step, .. } = waiter;
    let _turn = engine.events.waking.acquire().await;
    let (answer, heard) = oneshot::channel();
    let event = &delivery.event;
    match load::tell(engine, run, Command::Hear { step: step.clone(), event: delivery.clone(), answer }).await
    {
        Ok(()) => match heard.await {
            Ok(heard) => heard.map_err(Error::Store),
            Err(_) => has_heard(engine, run, event).await,
        },
        Err(Error::Finished { .. } | Error::NoSuchRun(_)) => Ok(false),
        Err(error @ (Error::Store(_) | Error::Stopping)) => Err(error),
        Err(error) => {
            tracing::error!(run_id = %run, %step, event = event.name, %error, "run could not be woken");
            Ok(false)
        }
    }
}

/// The run's driver left without an answer: the log has it.
async fn has_heard(engine: &Inner, run: RunId, event: &KeptEvent) -> Result<bool, Error> {
    let state = match load::state(engine, run).await {
        Ok(state) => state,
        Err(Error::NoSuchRun(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    let heard = state.heard.contains(&(event.name.clone(), event.id.clone()));
    if heard || state.is_final() { Ok(heard) } else { Err(engine.stopped()) }
}

fn too_large(error: stepcell_store::Error) -> Error {
    match error {
        stepcell_store::Error::EventTooLarge { what, bytes, most } => {
            Error::EventTooLarge { what, bytes, most }
        }
        error => Error::Store(error),
    }
}
