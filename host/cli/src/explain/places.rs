//! The steps of a flow with those of the bodies in it, each with all that narrows it.

use stepcell_core::{
    flow::{BodyKind, LimitsPatch},
    grant::Grant,
    plan::{Body, Plan, PlannedStep},
};

/// A step, and where it stands.
pub(super) struct Place<'p> {
    /// Its id; within the body of `m` it is `m[]`, or `m[].id`.
    pub(super) id: String,
    /// In the text of the flow, such as `steps[0].config.steps[1]`.
    pub(super) path: String,
    pub(super) planned: &'p PlannedStep,
    /// The flow's word, then those of what stands around the step, its own last.
    pub(super) levels: Vec<Level<'p>>,
}

/// One word of those who narrow what the operator allows.
#[derive(Clone)]
pub(super) struct Level<'p> {
    pub(super) whose: &'static str,
    /// Of the flow or step whose word it is; empty for the flow itself.
    pub(super) path: String,
    pub(super) grants: &'p Grant,
    pub(super) limits: &'p LimitsPatch,
}

/// All steps, in the order of the text.
pub(super) fn places(plan: &Plan) -> Vec<Place<'_>> {
    let mut found = Vec::new();
    let flow = Level {
        whose: "the flow",
        path: String::new(),
        grants: &plan.flow.grants,
        limits: &plan.flow.limits,
    };
    collect(plan, &[flow], |index| format!("steps[{index}]"), |id| id.to_owned(), &mut found);
    found
}

/// How deep bodies lie in each other is bounded by the parser.
fn collect<'p>(
    plan: &'p Plan,
    around: &[Level<'p>],
    path: impl Fn(usize) -> String,
    name: impl Fn(&str) -> String,
    found: &mut Vec<Place<'p>>,
) {
    for (index, planned) in plan.steps.iter().enumerate() {
        let (path, id) = (path(index), name(planned.step.id.as_str()));
        let (grants, limits) = (&planned.step.grants, &planned.step.limits);
        let own = Level { whose: "the step", path: path.clone(), grants, limits };
        let levels: Vec<_> = around.iter().cloned().chain([own]).collect();
        found.push(Place { id: id.clone(), path: path.clone(), planned, levels: levels.clone() });
        for body in &planned.bodies {
            let Some(at) = place_of(planned, body) else { continue };
            within(body, &levels, &format!("{path}.config.{at}"), &id, found);
        }
    }
}

fn within<'p>(body: &'p Body, around: &[Level<'p>], at: &str, id: &str, found: &mut Vec<Place<'p>>) {
    let mut levels = around.to_vec();
    if let Some(last) = levels.last_mut() {
        last.whose = "the step around it";
    }
    let plan = &*body.plan;
    match body.kind {
        BodyKind::Step => collect(plan, &levels, |_| at.to_owned(), |_| format!("{id}[]"), found),
        BodyKind::Steps => {
            collect(
                plan,
                &levels,
                |index| format!("{at}[{index}]"),
                |inner| format!("{id}[].{inner}"),
                found,
            );
        }
        BodyKind::Flow => {
            let (grants, limits) = (&plan.flow.grants, &plan.flow.limits);
            levels.push(Level { whose: "the flow within", path: at.to_owned(), grants, limits });
            let path = |index| format!("{at}.steps[{index}]");
            collect(plan, &levels, path, |inner| format!("{id}[].{inner}"), found);
        }
    }
}

/// The config key that holds the body.
fn place_of(planned: &PlannedStep, body: &Body) -> Option<String> {
    let config = planned.step.config.as_object()?;
    config.iter().find(|(_, value)| **value == body.source).map(|(key, _)| key.clone())
}
