//! What happened to a run. A run *is* its events; everything else is read off them.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeMap};
use serde_json::value::RawValue;

use crate::{Digest, Failure, Json, RunId, StepId};

/// One thing that happened. `seq` counts from 1 within the run, without gaps.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub seq: u64,
    pub at: Timestamp,
    /// The step it happened to; none for events of the run itself.
    pub step: Option<StepId>,
    pub kind: EventKind,
}

/// A run was submitted. The first event of every run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunCreated {
    pub flow: String,
    /// The flow's definition is a blob of this digest, as JSON.
    pub flow_digest: Digest,
    pub input: Json,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// What the run pins: for each step type, the components that may serve it.
    pub plugins: BTreeMap<String, Vec<Digest>>,
    /// When the run fails, if it has not ended before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The run that this one tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<RetryOf>,
}

/// An earlier run, whose results are taken over where nothing that they rest on has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryOf {
    pub run: RunId,
    /// This step and what depends on it runs anew, whatever it gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<StepId>,
}

/// A value in the log: itself, or a reference where it is too big.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    Value(Json),
    /// Kept whole as a blob; `fields` is what cells see of it.
    Blob {
        digest: Digest,
        bytes: u64,
        fields: Json,
    },
}

impl Payload {
    /// Of the whole value's text, wherever it is kept.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Value(value) => Digest::of(value.text().as_bytes()),
            Self::Blob { digest, .. } => *digest,
        }
    }
}

/// What one attempt used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub fuel: u64,
    /// Microseconds from the start of the attempt to its end, waiting for a cell included.
    pub total_us: u64,
    /// Microseconds of those that were spent in host calls.
    #[serde(default)]
    pub host_us: u64,
    /// HTTP requests, redirects included; statements; mails.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub requests: u64,
    /// Of bodies, statements and mails.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sent_bytes: u64,
    /// Of bodies and results.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub received_bytes: u64,
    /// Of databases: read, or changed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows: u64,
    /// Of language models, as the step's output tells.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tokens: u64,
}

impl std::ops::AddAssign for Receipt {
    fn add_assign(&mut self, other: Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.fuel, other.fuel);
        add(&mut self.total_us, other.total_us);
        add(&mut self.host_us, other.host_us);
        add(&mut self.requests, other.requests);
        add(&mut self.sent_bytes, other.sent_bytes);
        add(&mut self.received_bytes, other.received_bytes);
        add(&mut self.rows, other.rows);
        add(&mut self.tokens, other.tokens);
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a parked step waits for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum Wait {
    Timer {
        until: Timestamp,
    },
    Signal {
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        form: Option<serde_json::Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        matching: Option<serde_json::Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        deadline: Option<Timestamp>,
    },
    Items {
        count: u64,
        concurrency: u32,
        keep_going: bool,
        /// A JSON array.
        items: Payload,
        /// What runs for each of them: `{"step": …}`, `{"steps": […]}` or `{"flow": …}`.
        body: Payload,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRouted {
    /// The file that serves this step.
    pub plugin: String,
    pub digest: Digest,
    pub why: String,
    /// Names the resolved config, secrets by name and not by placeholder, with what else of the flow the step rests on:
    /// the first 16 hex digits of a sha256. A later run that tries this one again knows by it whether the step would do
    /// the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepStarted {
    pub attempt: u32,
    pub idempotency_key: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepSucceeded {
    pub output: Payload,
    pub receipt: Receipt,
    /// It did not run: its result is that of an earlier run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
}

/// Where a result comes from that was taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub run: RunId,
    /// The port that the step took there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
}

/// How a flow goes on after a failed step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handled {
    /// `on_error: fail`: the run fails.
    Fail,
    /// `on_error: continue`: the step stays failed, its output is `{"error": …}`.
    Continue,
    /// `on_error: {use: value}`: this value is its output.
    Use(Json),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepFailed {
    pub error: Failure,
    pub handled: Handled,
    pub receipt: Receipt,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRetrying {
    /// The attempt that comes next.
    pub attempt: u32,
    /// When it starts.
    pub at: Timestamp,
    pub error: Failure,
    pub receipt: Receipt,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepLog {
    pub attempt: u32,
    pub text: String,
    /// Bytes that were printed past the limit and not kept.
    #[serde(default)]
    pub dropped_bytes: u64,
    /// What an attempt used that was stopped, and so ended after its step. Others say so when they end it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapabilityDenied {
    /// `http`, `database`, …
    pub capability: String,
    /// What was asked for.
    pub target: String,
    pub message: String,
    /// The YAML that would allow it.
    pub allow: String,
}

/// Declares the event types once: variant, name on the wire, data.
macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal $(($data:ty))? ),* $(,)?) => {
        /// What happened, with its data.
        #[derive(Debug, Clone, PartialEq)]
        pub enum EventKind { $( $(#[$doc])* $variant $(($data))? ),* }

        impl EventKind {
            /// Every type there is, by its name on the wire.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// The type's name on the wire, such as `step.started`.
            pub fn name(&self) -> &'static str {
                match self { $( kinds!(@pattern $variant $(($data))?) => $name ),* }
            }

            fn serialize_data<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                match self { $( kinds!(@bind $variant data $(($data))?) => kinds!(@write map data $(($data))?) ),* }
            }

            fn from_wire(name: &str, data: &str) -> Result<Self, serde_json::Error> {
                match name {
                    $( $name => kinds!(@read data $variant $(($data))?), )*
                    _ => Err(serde_json::Error::custom(format_args!("unknown event type `{name}`"))),
                }
            }
        }
    };
    (@pattern $variant:ident) => { Self::$variant };
    (@pattern $variant:ident ($data:ty)) => { Self::$variant(_) };
    (@bind $variant:ident $bound:ident) => { Self::$variant };
    (@bind $variant:ident $bound:ident ($data:ty)) => { Self::$variant($bound) };
    (@write $map:ident $bound:ident) => { $map.serialize_entry("data", &Empty {}) };
    (@write $map:ident $bound:ident ($data:ty)) => { $map.serialize_entry("data", $bound) };
    (@read $text:ident $variant:ident) => { Ok(Self::$variant) };
    (@read $text:ident $variant:ident ($data:ty)) => { serde_json::from_str($text).map(Self::$variant) };
}

kinds! {
    RunCreated = "run.created" (RunCreated),
    RunStarted = "run.started",
    /// Every step that is not done is parked.
    RunWaiting = "run.waiting",
    RunSucceeded = "run.succeeded" (RunSucceeded),
    RunFailed = "run.failed" (RunFailed),
    RunCancelled = "run.cancelled" (RunCancelled),
    StepRouted = "step.routed" (StepRouted),
    StepStarted = "step.started" (StepStarted),
    StepSucceeded = "step.succeeded" (StepSucceeded),
    StepFailed = "step.failed" (StepFailed),
    StepRetrying = "step.retrying" (StepRetrying),
    StepWaiting = "step.waiting" (StepWaiting),
    StepResumed = "step.resumed" (StepResumed),
    StepSkipped = "step.skipped" (StepSkipped),
    /// Which port a step takes; `step.succeeded` follows.
    StepBranched = "step.branched" (StepBranched),
    StepCancelled = "step.cancelled",
    StepLog = "step.log" (StepLog),
    CapabilityDenied = "capability.denied" (CapabilityDenied),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSucceeded {
    pub output: Payload,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFailed {
    pub error: Failure,
    /// The step that failed the run, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_step: Option<StepId>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunCancelled {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepWaiting {
    pub wait: Wait,
    /// What the step used until it parked.
    #[serde(default)]
    pub receipt: Receipt,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepResumed {
    /// What the step's `resume` gets: `{"kind": "timer" | "signal" | "timeout" | "items", …}`.
    pub signal: Json,
    /// The id of the event that it is, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepSkipped {
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepBranched {
    pub port: String,
}

impl<'de> Deserialize<'de> for Wait {
    /// Reads all keys in one go: serde would keep the rest aside until it has seen `for`, and JSON text can not be read
    /// from what it keeps.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum What {
            Timer,
            Signal,
            Items,
        }
        #[derive(Deserialize)]
        struct Wire {
            #[serde(rename = "for")]
            what: What,
            until: Option<Timestamp>,
            name: Option<String>,
            form: Option<serde_json::Value>,
            matching: Option<serde_json::Value>,
            deadline: Option<Timestamp>,
            count: Option<u64>,
            concurrency: Option<u32>,
            keep_going: Option<bool>,
            items: Option<Payload>,
            body: Option<Payload>,
        }
        let wire = Wire::deserialize(deserializer)?;
        let Wire { form, matching, deadline, .. } = wire;
        let missing = D::Error::missing_field;
        Ok(match wire.what {
            What::Timer => Self::Timer { until: wire.until.ok_or_else(|| missing("until"))? },
            What::Signal => {
                Self::Signal { name: wire.name.ok_or_else(|| missing("name"))?, form, matching, deadline }
            }
            What::Items => Self::Items {
                count: wire.count.ok_or_else(|| missing("count"))?,
                concurrency: wire.concurrency.ok_or_else(|| missing("concurrency"))?,
                keep_going: wire.keep_going.ok_or_else(|| missing("keep_going"))?,
                items: wire.items.ok_or_else(|| missing("items"))?,
                body: wire.body.ok_or_else(|| missing("body"))?,
            },
        })
    }
}

#[derive(Serialize)]
struct Empty {}

impl Serialize for Event {
    /// `{"seq", "at", "type", "step"?, "data"}`; the API adds `run_id`, which the store knows from the key.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("seq", &self.seq)?;
        map.serialize_entry("at", &self.at)?;
        map.serialize_entry("type", self.kind.name())?;
        if let Some(step) = &self.step {
            map.serialize_entry("step", step)?;
        }
        self.kind.serialize_data(&mut map)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            seq: u64,
            at: Timestamp,
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
            #[serde(default)]
            step: Option<StepId>,
            #[serde(borrow)]
            data: &'a RawValue,
        }
        let wire = Wire::deserialize(deserializer)?;
        let kind = EventKind::from_wire(&wire.kind, wire.data.get()).map_err(D::Error::custom)?;
        Ok(Self { seq: wire.seq, at: wire.at, step: wire.step, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_wire() {
        let event = Event {
            seq: 3,
            at: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            step: Some(StepId::new("a").unwrap()),
            kind: EventKind::StepSucceeded(StepSucceeded {
                output: Payload::Value(Json::parse(r#"{"x": [1]}"#.to_owned()).unwrap()),
                receipt: Receipt { fuel: 1, total_us: 2, ..Receipt::default() },
                kept: None,
            }),
        };
        let text = serde_json::to_string(&event).unwrap();
        assert!(text.contains(r#""type":"step.succeeded""#), "{text}");
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);

        let list = |text: &str| Payload::Value(Json::parse(text.to_owned()).unwrap());
        let items = Wait::Items {
            count: 1,
            concurrency: 2,
            keep_going: true,
            items: list(r#"[{"x":1}]"#),
            body: list(r#"{"step":{}}"#),
        };
        let signal = Wait::Signal {
            name: "paid".to_owned(),
            form: None,
            matching: Some(serde_json::json!({"id": 7})),
            deadline: Some("2026-01-02T03:04:05Z".parse().unwrap()),
        };
        for wait in [items, signal, Wait::Timer { until: event.at }] {
            let kind = EventKind::StepWaiting(StepWaiting { wait, receipt: Receipt::default() });
            let parked = Event { kind, ..event.clone() };
            let text = serde_json::to_string(&parked).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), parked, "{text}");
        }

        let bare = Event { kind: EventKind::RunStarted, step: None, ..event };
        let text = serde_json::to_string(&bare).unwrap();
        assert_eq!(text, r#"{"seq":3,"at":"2026-01-02T03:04:05.678Z","type":"run.started","data":{}}"#);
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), bare);
    }
}
