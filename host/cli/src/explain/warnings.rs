//! What a valid flow asks for and will not get.

use stepcell_core::{
    flow::LimitsPatch,
    grant::Yaml,
    parse::{Parsed, units},
    plan::Plan,
    problem::Problem,
};

use super::{Capability, Explanation, Origin, PluginShare, StepShare};

/// Warnings in the places of `parsed`, the text that the plan was made of.
pub(crate) fn warnings(plan: &Plan, explanation: &Explanation, parsed: &Parsed) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut warn = |path: String, code: &'static str, message: String, hint: String| {
        let at = parsed.spans.locate(&path);
        let path = parsed.spans.full_path(&path);
        found.push(Problem { path, line: at.line, column: at.column, code, message, hint: Some(hint) });
    };
    for (index, (step, planned)) in explanation.steps.iter().zip(&plan.steps).enumerate() {
        for (message, hint) in step.plugins.first().into_iter().flat_map(|plugin| denied(step, plugin)) {
            warn(format!("steps[{index}].type"), "nothing_granted", message, hint);
        }
        let Some(plugin) = step.plugins.first() else { continue };
        for (key, message) in exceeding(&planned.step.limits, plugin) {
            let hint = raise(&step.kind, key);
            warn(format!("steps[{index}].limits.{key}"), "limit_exceeds", message, hint);
        }
    }
    // The flow's own limits hold for all steps: one warning is enough.
    let mut told = Vec::new();
    for step in &explanation.steps {
        for plugin in &step.plugins {
            for (key, message) in exceeding(&plan.flow.limits, plugin) {
                if !told.contains(&key) {
                    told.push(key);
                    warn(format!("limits.{key}"), "limit_exceeds", message, raise(&step.kind, key));
                }
            }
        }
    }
    found.sort_by_key(|problem| (problem.line, problem.column));
    found
}

/// What the operator gives a plugin nothing of, though it asks. What flow or step take away is meant so.
fn denied(step: &StepShare, plugin: &PluginShare) -> Vec<(String, String)> {
    let meant = |key: &str| Capability::ALL.iter().any(|one| one.key() == key && one.is_meant());
    let shares = plugin.capabilities.iter().filter(|share| {
        share.asked && share.gets.is_null() && share.narrowed_by.is_empty() && meant(share.capability)
    });
    let told = |share: &super::Share| {
        let kind = &step.kind;
        let message =
            format!("`{kind}` asks for `{}` and gets nothing of it: {}", share.capability, share.why);
        let entry = serde_json::json!({ share.capability: example(share.capability) });
        let hint = match share.origin {
            Origin::Type | Origin::File => {
                format!("add to its grant in stepcell.yaml, such as {}", Yaml(&entry))
            }
            Origin::Shipped | Origin::Nothing => {
                format!("add to stepcell.yaml, such as\ngrants:\n  {kind}: {}", Yaml(&entry))
            }
        };
        (message, hint)
    };
    shares.map(told).collect()
}

/// What a grant may look like.
fn example(capability: &str) -> serde_json::Value {
    match capability {
        "http" => serde_json::json!(["https://api.example.com"]),
        "databases" => serde_json::json!({ "main": "read" }),
        "email" => serde_json::json!(["*@example.com"]),
        "blobs" => serde_json::json!("read"),
        _ => serde_json::json!(["NAME"]),
    }
}

fn exceeding(asked: &LimitsPatch, plugin: &PluginShare) -> Vec<(&'static str, String)> {
    let allowed = plugin.limits.allowed;
    let amounts = [
        ("fuel", asked.fuel, allowed.fuel, units::write_count as fn(u64) -> String),
        ("memory", asked.memory, allowed.memory, units::write_bytes),
        ("output", asked.output, allowed.output, units::write_bytes),
        ("request", asked.request, allowed.request, units::write_bytes),
        ("response", asked.response, allowed.response, units::write_bytes),
        ("requests", asked.requests, allowed.requests, units::write_count),
    ];
    let over = |(key, asked, allowed, write): (&'static str, Option<u64>, u64, fn(u64) -> String)| {
        let asked = asked.filter(|asked| *asked > allowed)?;
        Some((key, less(key, &write(asked), &write(allowed))))
    };
    let mut found: Vec<_> = amounts.into_iter().filter_map(over).collect();
    if let Some(time) = asked.time.filter(|time| *time > allowed.time) {
        let message = less("time", &units::write_duration(time), &units::write_duration(allowed.time));
        found.push(("time", message));
    }
    found
}

fn less(key: &str, asked: &str, allowed: &str) -> String {
    format!("`{key}` is {asked} here, and the operator allows {allowed}: that holds")
}

fn raise(kind: &str, key: &str) -> String {
    format!("raise `limits.{key}` in stepcell.yaml, or `grants.{kind}.limits.{key}` for this type alone")
}
