//! What a valid flow asks for and will not get.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stepcell_core::{
    flow::LimitsPatch,
    grant::{Grant, Level},
    parse::{Parsed, units},
    plan::Plan,
    problem::Problem,
};

use super::{
    Capability, Explanation, PluginShare, StepShare,
    places::{Level as Narrowing, Place, places},
};

/// Warnings in the places of `parsed`, the text that the plan was made of; in their order.
pub(crate) fn warnings(plan: &Plan, explanation: &Explanation, parsed: &Parsed) -> Vec<Problem> {
    let mut found = Warnings { parsed, list: Vec::new() };
    for (step, place) in explanation.steps.iter().zip(&places(plan)) {
        // Where several plugins may serve a step, what the first lacks is likely to be what all lack.
        let Some(plugin) = step.plugins.first() else { continue };
        found.denied(step, plugin, place);
        found.secrets(step, plugin, place);
        let (own, around) =
            place.levels.split_last().map_or((None, [].as_slice()), |(own, around)| (Some(own), around));
        found.limits(own, step, plugin);
        for plugin in &step.plugins {
            for level in around {
                found.limits(Some(level), step, plugin);
            }
        }
    }
    found.list.sort_by_key(|problem| (problem.line, problem.column));
    found.list
}

struct Warnings<'p> {
    parsed: &'p Parsed,
    list: Vec<Problem>,
}

impl Warnings<'_> {
    /// What the operator gives a plugin nothing of, though it asks. What flow or step take away is meant so.
    fn denied(&mut self, step: &StepShare, plugin: &PluginShare, place: &Place<'_>) {
        // Those that the config names are told one by one.
        let named = !place.planned.config.references().secrets.is_empty();
        let told = |capability| capability == Capability::Secrets && named;
        for capability in Capability::ALL.into_iter().filter(|one| one.is_meant() && !told(*one)) {
            let share = plugin.capabilities.iter().find(|share| share.capability == capability.key());
            let Some(share) = share.filter(|share| share.asked && share.gets.is_null()) else { continue };
            if !share.narrowed_by.is_empty() && capability.is_in(&plugin.word.grant) {
                continue;
            }
            let (kind, key) = (&step.kind, share.capability);
            let message = format!("`{kind}` asks for `{key}` and gets nothing of it: {}", share.why);
            let line = plugin.word.with(&example(capability));
            let hint = format!("allow it in stepcell.yaml, such as\n{line}");
            self.add(&format!("{}.type", place.path), "nothing_granted", message, hint);
        }
    }

    /// Secrets whose placeholders would be sent as they are.
    fn secrets(&mut self, step: &StepShare, plugin: &PluginShare, place: &Place<'_>) {
        for (name, places) in &place.planned.config.references().secrets {
            let has = |grant: &Grant| grant.secrets.as_ref().is_some_and(|names| names.contains(name));
            if has(&plugin.left) {
                continue;
            }
            let path = places.first().map(String::as_str).unwrap_or_default();
            let path = format!("{}.config.{path}", place.path);
            if has(&plugin.word.grant) {
                let message = format!("the `grants` of the flow or the step leave no secret `{name}`");
                self.add(
                    &path,
                    "secret_not_granted",
                    message,
                    format!("add `{name}` to `grants.secrets` there"),
                );
            } else {
                let message = format!("`{}` is not granted the secret `{name}`", step.kind);
                let more = Grant { secrets: Some(BTreeSet::from([name.clone()])), ..Grant::default() };
                let hint = format!("allow it in stepcell.yaml:\n{}", plugin.word.with(&more));
                self.add(&path, "secret_not_granted", message, hint);
            }
        }
    }

    /// Limits above the operator's, each once for its place.
    fn limits(&mut self, level: Option<&Narrowing<'_>>, step: &StepShare, plugin: &PluginShare) {
        let Some(level) = level else { return };
        let path = if level.path.is_empty() { "limits".to_owned() } else { format!("{}.limits", level.path) };
        let kind = &step.kind;
        for (key, asked, allowed) in exceeding(level.limits, plugin) {
            let message = format!("`{key}` is {asked} here, and the operator allows {allowed}: that holds");
            let hint = format!(
                "raise `limits.{key}` in stepcell.yaml, or `grants.{kind}.limits.{key}` for this type alone"
            );
            self.add(&format!("{path}.{key}"), "limit_exceeds", message, hint);
        }
    }

    fn add(&mut self, path: &str, code: &'static str, message: String, hint: String) {
        let at = self.parsed.spans.locate(path);
        let path = self.parsed.spans.full_path(path);
        let told = |problem: &Problem| {
            problem.code == code
                && problem.path == path
                && (code == "limit_exceeds" || problem.message == message)
        };
        if !self.list.iter().any(told) {
            let (line, column) = (at.line, at.column);
            self.list.push(Problem { path, line, column, code, message, hint: Some(hint) });
        }
    }
}

/// What a grant of it may look like.
fn example(capability: Capability) -> Grant {
    let written = match capability {
        Capability::Http => json!({ "http": ["https://api.example.com"] }),
        Capability::Secrets => json!({ "secrets": ["NAME"] }),
        Capability::Databases => json!({ "databases": { "main": "read" } }),
        Capability::Email => json!({ "email": ["*@example.com"] }),
        Capability::Blobs => json!({ "blobs": "write" }),
        Capability::Files => Value::Null,
    };
    Grant::read(&written, Level::Operator).0
}

/// The limits that are over what the operator allows: the key, what is asked for and what is allowed.
fn exceeding(asked: &LimitsPatch, plugin: &PluginShare) -> Vec<(&'static str, String, String)> {
    let allowed = &plugin.limits.allowed;
    let mut found = Vec::new();
    let mut over = |key: &'static str, asked: Option<u64>, allowed: u64, write: fn(u64) -> String| {
        if let Some(asked) = asked.filter(|asked| *asked > allowed) {
            found.push((key, write(asked), write(allowed)));
        }
    };
    over("fuel", asked.fuel, allowed.fuel, units::write_count);
    over("memory", asked.memory, allowed.memory, units::write_bytes);
    over("output", asked.output, allowed.output, units::write_bytes);
    over("request", asked.request, allowed.request, units::write_bytes);
    over("response", asked.response, allowed.response, units::write_bytes);
    over("requests", asked.requests, allowed.requests, units::write_count);
    if let Some(time) = asked.time.filter(|time| *time > allowed.time) {
        found.push(("time", units::write_duration(time), units::write_duration(allowed.time)));
    }
    found
}
