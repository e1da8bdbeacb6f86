//! Resuming a step that waits for somebody's word.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use stepcell_core::{
    Event, EventKind, Json, RunId, StepId,
    event::Wait,
    problem::Problem,
    run::{RunState, StepState, StepStatus},
    schema::Schema,
};
use tokio::sync::oneshot;

use crate::{Error, driver::Command, engine::Inner, events::APPROVAL, load, view::RunView};

/// The largest payload of a resume. It stands in the run's log, and in the context of the step.
pub const MAX_PAYLOAD_BYTES: usize = 256 << 10;
/// The longest name of who sends a resume. It stands in the run's log.
const MAX_SENDER_BYTES: usize = 512;
/// Events read from the store at a time.
const EVENTS_PER_READ: usize = 1_000;

/// What a resume brings to a waiting step.
#[derive(Debug, Clone)]
pub struct Resume {
    /// The step; needed only where several wait.
    pub step: Option<String>,
    /// At most [`MAX_PAYLOAD_BYTES`] long.
    pub payload: Json,
    /// Absent counts as yes. A rejection needs no payload that fits the step's form.
    pub approved: Option<bool>,
    /// Who sent it, for the log.
    pub by: Option<String>,
}

/// What a step's `resume` gets of it, and what the log keeps.
#[derive(Debug, Serialize)]
pub(crate) struct Signal<'a> {
    pub(crate) kind: &'static str,
    pub(crate) payload: &'a Json,
    pub(crate) by: Option<&'a str>,
    pub(crate) at: Timestamp,
    pub(crate) approved: bool,
}

/// Resumes a waiting step; done when that is on the disk.
pub(crate) async fn resume(engine: &Arc<Inner>, run: RunId, resume: Resume) -> Result<RunView, Error> {
    check_sizes(&resume)?;
    let step = resume.step.clone();
    let (answer, result) = oneshot::channel();
    let resumed = match load::tell(engine, run, Command::Resume { resume, answer }).await {
        Ok(()) => match result.await {
            Ok(resumed) => resumed,
            Err(_) => Err(engine.unheard(run).await?),
        },
        Err(error) => Err(error),
    };
    match resumed {
        Err(error @ (Error::NotWaiting { .. } | Error::Finished { .. })) => {
            Err(resumed_before(engine, run, step.as_deref()).await?.unwrap_or(error))
        }
        resumed => resumed,
    }
}

/// The step that a resume is for. Where none is named it is the one that waits for a person's word, unless somebody gave
/// theirs to another step before: whoever sends the same answer twice means that one.
pub(crate) fn target(run: RunId, state: &RunState, step: Option<&str>) -> Result<StepId, Error> {
    let not_waiting = || Error::NotWaiting { run, step: step.map(str::to_owned) };
    if let Some(step) = step {
        let found = state.steps.get_key_value(step).filter(|(_, seen)| waits_for_signal(seen));
        return found.map(|(id, _)| id.clone()).ok_or_else(not_waiting);
    }
    let answered = state.steps.iter().find(|(_, seen)| has_a_persons_word(seen));
    let waiting: Vec<_> = state.steps.iter().filter(|(_, seen)| waits_for_approval(seen)).collect();
    match waiting.as_slice() {
        [] => Err(not_waiting()),
        [(id, _)] => match answered.and_then(|(step, seen)| Some((step, seen.signal.clone()?))) {
            Some((step, first)) => Err(Error::AlreadyResumed { run, step: step.clone(), first }),
            None => Ok((*id).clone()),
        },
        several => {
            let steps = several.iter().map(|(id, _)| (*id).clone()).collect();
            Err(Error::AmbiguousStep { run, steps })
        }
    }
}

/// Refuses a payload that does not fit the form.
pub(crate) fn check_form(form: &Value, payload: &Json) -> Result<(), Error> {
    let problem = |path: &str, message: String| Problem {
        path: path_in_payload(path),
        line: 0,
        column: 0,
        code: "payload_invalid",
        message,
        hint: None,
    };
    let problems = match Schema::compile(form) {
        Ok(schema) => {
            let errors = schema.check(payload.value());
            errors.into_iter().map(|error| problem(&error.path, error.message)).collect()
        }
        // The step was refused such a form when it asked for it, by the rules of then.
        Err(error) => vec![problem("", format!("the form of the step can not be used: {error}"))],
    };
    if problems.is_empty() { Ok(()) } else { Err(Error::PayloadInvalid(problems)) }
}

impl<'a> Signal<'a> {
    pub(crate) fn new(payload: &'a Json, by: Option<&'a str>, at: Timestamp) -> Self {
        Self { kind: "signal", payload, by, at, approved: true }
    }
}

fn waits_for_signal(seen: &StepState) -> bool {
    seen.status == StepStatus::Waiting && matches!(seen.wait, Some(Wait::Signal { .. }))
}

fn waits_for_approval(seen: &StepState) -> bool {
    let approval = matches!(&seen.wait, Some(Wait::Signal { name, .. }) if name == APPROVAL);
    waits_for_signal(seen) && approval
}

fn has_a_persons_word(seen: &StepState) -> bool {
    seen.event.is_none() && seen.signal.as_ref().is_some_and(is_signal)
}

fn check_sizes(resume: &Resume) -> Result<(), Error> {
    let too_large = |what, bytes, most| Error::PayloadTooLarge { what, bytes, most };
    if resume.payload.len() > MAX_PAYLOAD_BYTES {
        return Err(too_large("the payload", resume.payload.len(), MAX_PAYLOAD_BYTES));
    }
    match &resume.by {
        Some(by) if by.len() > MAX_SENDER_BYTES => Err(too_large("the sender", by.len(), MAX_SENDER_BYTES)),
        _ => Ok(()),
    }
}

fn path_in_payload(path: &str) -> String {
    match path {
        "" => "payload".to_owned(),
        item if item.starts_with('[') => format!("payload{item}"),
        key => format!("payload.{key}"),
    }
}

/// Whether the step was resumed already: its last wait ended with a signal, which the answer shows. Where no step is
/// named it is the only one that ever was.
async fn resumed_before(engine: &Inner, run: RunId, step: Option<&str>) -> Result<Option<Error>, Error> {
    let mut signals: BTreeMap<StepId, Json> = BTreeMap::new();
    let mut after = 0;
    loop {
        let events = engine.store.events(run, after, EVENTS_PER_READ).await?;
        let full = events.len() == EVENTS_PER_READ;
        for Event { seq, step: of, kind, .. } in events {
            after = seq;
            let (Some(of), EventKind::StepResumed(resumed)) = (of, kind) else { continue };
            if step.is_some_and(|step| step != of.as_str()) {
                continue;
            }
            if is_signal(&resumed.signal) {
                signals.insert(of, resumed.signal);
            } else {
                signals.remove(&of);
            }
        }
        if !full {
            break;
        }
    }
    let only = if signals.len() == 1 { signals.pop_first() } else { None };
    Ok(only.map(|(step, first)| Error::AlreadyResumed { run, step, first }))
}

fn is_signal(signal: &Json) -> bool {
    signal.value().get("kind").and_then(Value::as_str) == Some("signal")
}

#[cfg(test)]
mod tests;
