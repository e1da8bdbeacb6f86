//! Limits and budgets as they are written, in the config, in a grant and in a flow.

use serde_json::Value;

use super::write::{amount, object};
use crate::{
    flow::LimitsPatch,
    limits::Budget,
    parse::{Field, Fields, units},
    problem::Problems,
};

/// `limits`: those that are set.
pub(crate) fn limits(field: Field<'_, '_>, problems: &mut Problems) -> LimitsPatch {
    const KEYS: [&str; 7] = ["fuel", "memory", "time", "output", "request", "response", "requests"];
    let Some(fields) = Fields::of(field.node, field.path, &KEYS, problems) else {
        return LimitsPatch::default();
    };
    LimitsPatch {
        fuel: fields.get("fuel").and_then(|field| field.count(problems)),
        memory: fields.get("memory").and_then(|field| field.bytes(problems)),
        time: fields.get("time").and_then(|field| field.timeout(problems)),
        output: fields.get("output").and_then(|field| field.bytes(problems)),
        request: fields.get("request").and_then(|field| field.bytes(problems)),
        response: fields.get("response").and_then(|field| field.bytes(problems)),
        requests: fields.get("requests").and_then(|field| field.count(problems)),
    }
}

/// `budget`: what one run may use.
pub(crate) fn budget(field: Field<'_, '_>, problems: &mut Problems) -> Budget {
    const KEYS: [&str; 5] = ["fuel", "requests", "bytes", "rows", "tokens"];
    let Some(fields) = Fields::of(field.node, field.path, &KEYS, problems) else { return Budget::default() };
    Budget {
        fuel: fields.get("fuel").and_then(|field| field.count(problems)),
        requests: fields.get("requests").and_then(|field| field.count(problems)),
        bytes: fields.get("bytes").and_then(|field| field.bytes(problems)),
        rows: fields.get("rows").and_then(|field| field.count(problems)),
        tokens: fields.get("tokens").and_then(|field| field.count(problems)),
    }
}

impl LimitsPatch {
    /// As they may stand in the config; those that are set.
    pub fn to_value(&self) -> Value {
        let Self { fuel, memory, time, output, request, response, requests } = *self;
        object([
            ("fuel", fuel.map(units::write_count).map(amount)),
            ("memory", memory.map(units::write_bytes).map(amount)),
            ("time", time.map(units::write_duration).map(amount)),
            ("output", output.map(units::write_bytes).map(amount)),
            ("request", request.map(units::write_bytes).map(amount)),
            ("response", response.map(units::write_bytes).map(amount)),
            ("requests", requests.map(units::write_count).map(amount)),
        ])
    }
}

impl Budget {
    /// As it may stand in the config; what is set.
    pub fn to_value(&self) -> Value {
        let Self { fuel, requests, bytes, rows, tokens } = *self;
        object([
            ("fuel", fuel.map(units::write_count).map(amount)),
            ("requests", requests.map(units::write_count).map(amount)),
            ("bytes", bytes.map(units::write_bytes).map(amount)),
            ("rows", rows.map(units::write_count).map(amount)),
            ("tokens", tokens.map(units::write_count).map(amount)),
        ])
    }
}
