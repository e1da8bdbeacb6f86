//! What the clients submit.

use serde_json::{Value, json};

/// One flow for each way in which a run can be caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Steps that can be computed again.
    Pure,
    /// The same, and the submission waits for its end.
    Awaited,
    /// Two effects in a row.
    Effects,
    /// An effect that goes well the second time.
    Retried,
    /// An effect after a timer.
    Delayed,
    /// An effect for each item.
    Items,
    /// Effects for some seconds, which somebody stops at any moment.
    Cancelled,
    /// An effect after somebody's word.
    Approved,
    /// An effect after an event.
    Received,
}

impl Kind {
    pub(super) const ALL: [Self; 9] = [
        Self::Pure,
        Self::Awaited,
        Self::Effects,
        Self::Retried,
        Self::Delayed,
        Self::Items,
        Self::Cancelled,
        Self::Approved,
        Self::Received,
    ];

    pub(super) fn flow(self) -> Value {
        let effect = |id: &str, after: &[&str]| {
            json!({"id": id, "type": "http_request", "after": after,
                "config": {"method": "POST", "url": format!("{{{{ input.url }}}}/do/{{{{ input.label }}}}-{id}")}})
        };
        let pure =
            |id: &str, output: &str| json!({"id": id, "type": "transform", "config": {"output": output}});
        let (steps, output) = match self {
            Self::Pure | Self::Awaited => (
                json!([
                    pure("a", "{{ input.label }}"),
                    pure("b", "{{ steps.a }}!"),
                    pure("c", "{{ steps.b }}!")
                ]),
                "{{ steps.c }}",
            ),
            Self::Effects => (
                json!([effect("a", &[]), pure("b", "{{ steps.a.body.done }}"), effect("c", &["b"])]),
                "{{ steps.c.body.done }}",
            ),
            Self::Retried => {
                let mut once = effect("a", &[]);
                once["config"]["url"] = "{{ input.url }}/fail-once/{{ input.label }}-a".into();
                once["retry"] = json!({"max_attempts": 20, "initial": "5ms", "max": "20ms"});
                (json!([once, effect("b", &["a"])]), "{{ steps.b.body.done }}")
            }
            Self::Delayed => (
                json!([
                    effect("a", &[]),
                    {"id": "nap", "type": "delay", "after": ["a"], "config": {"seconds": "{{ input.nap }}"}},
                    effect("b", &["nap"]),
                ]),
                "{{ steps.b.body.done }}",
            ),
            Self::Items => (
                json!([
                    {"id": "m", "type": "for_each", "config": {"items": [0, 1, 2, 3], "concurrency": 2,
                        "step_config": {"type": "http_request", "config": {"method": "POST",
                            "url": "{{ input.url }}/do/{{ input.label }}-m[{{ item }}]"}}}},
                    effect("b", &["m"]),
                ]),
                "{{ steps.m.results[3].body.done }}",
            ),
            Self::Cancelled => {
                let mut item = effect("do", &[]);
                item["config"]["url"] = "{{ input.url }}/do/{{ input.label }}-m[{{ index }}].do".into();
                let nap = json!({"id": "nap", "type": "delay", "after": ["do"], "config": {"seconds": 0.2}});
                let items: Vec<u32> = (0..40).collect();
                let config = json!({"items": items, "concurrency": 2, "steps": [item, nap]});
                (json!([{"id": "m", "type": "for_each", "config": config}]), "{{ steps.m.count }}")
            }
            Self::Approved => (
                json!([
                    {"id": "ask", "type": "wait_for_approval", "config": {"label": "{{ input.label }}"}},
                    effect("b", &["ask"]),
                ]),
                "{{ steps.ask.payload }}",
            ),
            Self::Received => (
                json!([
                    {"id": "wait", "type": "wait_for_event",
                        "config": {"event_name": "paid", "match": {"label": "{{ input.label }}"}}},
                    effect("b", &["wait"]),
                ]),
                "{{ steps.wait.label }}",
            ),
        };
        json!({"name": format!("{self:?}").to_lowercase(), "steps": steps, "output": output})
    }

    /// The steps that the world sees, each of which is to be done, unless the run is cancelled.
    pub(super) fn effects(self) -> &'static [&'static str] {
        match self {
            Self::Pure | Self::Awaited => &[],
            Self::Effects => &["a", "c"],
            Self::Retried | Self::Delayed => &["a", "b"],
            Self::Items => &["m[0]", "m[1]", "m[2]", "m[3]", "b"],
            Self::Cancelled => &[],
            Self::Approved | Self::Received => &["b"],
        }
    }

    /// What the run gives.
    pub(super) fn output(self, label: &str) -> Value {
        match self {
            Self::Pure | Self::Awaited => format!("{label}!!").into(),
            Self::Effects => format!("{label}-c").into(),
            Self::Retried | Self::Delayed => format!("{label}-b").into(),
            Self::Items => format!("{label}-m[3]").into(),
            Self::Cancelled => Value::Null,
            Self::Approved => answer(label),
            Self::Received => label.into(),
        }
    }

    pub(super) fn status(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            _ => "succeeded",
        }
    }
}

/// What a client answers to the approval of its run.
pub(super) fn answer(label: &str) -> Value {
    json!({ "for": label })
}
