//! Which steps may start: the graph walked forwards, one finished step at a time.

use stepcell_core::{
    StepId,
    plan::{NeedKind, Plan},
    run::{RunState, StepStatus},
};

/// How a step ended, as those that need it see it.
#[derive(Debug, Clone, PartialEq)]
enum End {
    /// It has an output; `port` is the one it took, if it branches.
    Ran { port: Option<String> },
    /// It has none.
    Skipped,
}

/// What is left of the graph. It is derived from a plan and a run's state, and never stored.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Needs of each step that have not ended.
    open: Vec<usize>,
    ends: Vec<Option<End>>,
    unfinished: usize,
}

/// What a step may do now that all its needs have ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Decision {
    Start(usize),
    /// With the reason, for the log.
    Skip(usize, String),
}

impl Progress {
    /// Nothing has ended yet.
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            open: plan.steps.iter().map(|step| step.needs.len()).collect(),
            ends: vec![None; plan.steps.len()],
            unfinished: plan.steps.len(),
        }
    }

    /// Steps that need nothing, in the order of the flow.
    pub(crate) fn roots(&self) -> Vec<Decision> {
        let open = self.open.iter().enumerate();
        open.filter(|(_, needs)| **needs == 0).map(|(step, _)| Decision::Start(step)).collect()
    }

    /// Whether every step has ended.
    pub(crate) fn is_complete(&self) -> bool {
        self.unfinished == 0
    }

    /// A step ended with an output. Gives what may be decided because of it.
    pub(crate) fn ran(&mut self, plan: &Plan, step: usize, port: Option<String>) -> Vec<Decision> {
        self.end(plan, step, End::Ran { port })
    }

    /// A step was skipped. Gives what may be decided because of it.
    pub(crate) fn skipped(&mut self, plan: &Plan, step: usize) -> Vec<Decision> {
        self.end(plan, step, End::Skipped)
    }

    /// Replays what a run's log says has ended, and gives what is to be decided still: the same as if the
    /// host had never stopped. Steps that were started are not among it. `ids` are the names that the plan's steps
    /// have in the log.
    pub(crate) fn replay(&mut self, plan: &Plan, ids: &[StepId], state: &RunState) -> Vec<Decision> {
        let mut pending = self.roots();
        for (index, id) in ids.iter().enumerate() {
            let Some(seen) = state.steps.get(id) else { continue };
            match seen.status {
                StepStatus::Skipped => pending.extend(self.skipped(plan, index)),
                _ if seen.output_for_steps().is_some() && seen.finished_at.is_some() => {
                    pending.extend(self.ran(plan, index, seen.port.clone()));
                }
                _ => {}
            }
        }
        pending.retain(|decision| {
            let (Decision::Start(index) | Decision::Skip(index, _)) = decision;
            let seen = ids.get(*index).and_then(|id| state.steps.get(id));
            seen.is_none_or(|seen| seen.status == StepStatus::Pending)
        });
        pending
    }

    fn end(&mut self, plan: &Plan, step: usize, end: End) -> Vec<Decision> {
        let Some(slot @ None) = self.ends.get_mut(step) else { return Vec::new() };
        *slot = Some(end);
        self.unfinished -= 1;
        let Some(ended) = plan.steps.get(step) else { return Vec::new() };
        let mut decisions = Vec::new();
        for &dependent in &ended.dependents {
            let needs = plan.steps.get(dependent).map(|planned| planned.needs.as_slice()).unwrap_or_default();
            let of_this = needs.iter().filter(|need| need.step == step).count();
            let Some(open) = self.open.get_mut(dependent) else { continue };
            *open = open.saturating_sub(of_this);
            if *open == 0 {
                decisions.push(self.decide(plan, dependent));
            }
        }
        decisions
    }

    /// All needs have ended: a reference to a step without output skips; so does `after` where none of its
    /// entries has come true.
    fn decide(&self, plan: &Plan, index: usize) -> Decision {
        let Some(planned) = plan.steps.get(index) else { return Decision::Start(index) };
        let mut after = None;
        for need in &planned.needs {
            let name = plan.steps.get(need.step).map(|step| step.step.id.as_str()).unwrap_or_default();
            let met = match self.ends.get(need.step) {
                Some(Some(End::Ran { port })) => need.port.is_none() || need.port == *port,
                _ => false,
            };
            match (&need.kind, met) {
                (NeedKind::Reference, false) => {
                    return Decision::Skip(index, format!("step `{name}`, which it refers to, was skipped"));
                }
                (NeedKind::Reference, true) => {}
                (NeedKind::After, true) => after = Some(Ok(())),
                (NeedKind::After, false) if after.is_none() => {
                    after = Some(Err(unmet(name, need.port.as_deref())))
                }
                (NeedKind::After, false) => {}
            }
        }
        match after {
            Some(Err(reason)) => Decision::Skip(index, reason),
            _ => Decision::Start(index),
        }
    }
}

fn unmet(step: &str, port: Option<&str>) -> String {
    match port {
        Some(port) => format!("step `{step}` did not take `{port}`"),
        None => format!("step `{step}` was skipped"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use stepcell_core::{
        Catalog, Digest, StepType,
        catalog::{Describe, Provider},
        parse::{Format, parse},
    };

    use super::*;

    fn plan(steps: &str) -> Plan {
        let provider = |kind: &str, ports: &[&str]| {
            let describe: Describe = serde_json::from_value(json!({
                "type": kind, "label": kind, "icon": "x", "category": "custom", "description": "",
                "config_schema": {}, "ports": ports,
            }))
            .unwrap();
            let digest = Digest::of(kind.as_bytes());
            let provider = Provider {
                file: kind.into(),
                digest,
                describe: describe.into(),
                pure_step: true,
                control: false,
            };
            (kind.to_owned(), StepType { providers: vec![Arc::new(provider)] })
        };
        let types = [provider("plain", &[]), provider("fork", &["true", "false"])].into_iter().collect();
        let flow = format!("name: test\nsteps:\n{steps}");
        Plan::build(parse(&flow, Format::Yaml).unwrap(), &Catalog { types, ..Catalog::default() }).unwrap()
    }

    /// Walks the graph; `taken` is the port that every fork takes. Gives the steps that started, in order.
    fn walk(steps: &str, taken: &str) -> String {
        let plan = plan(steps);
        let mut progress = Progress::new(&plan);
        let mut started = Vec::new();
        let mut todo = progress.roots();
        while !todo.is_empty() {
            let mut next = Vec::new();
            for decision in todo {
                next.extend(match decision {
                    Decision::Start(index) => {
                        let step = &plan.steps[index].step;
                        started.push(step.id.to_string());
                        progress.ran(&plan, index, (step.kind == "fork").then(|| taken.to_owned()))
                    }
                    Decision::Skip(index, _) => progress.skipped(&plan, index),
                });
            }
            todo = next;
        }
        assert!(progress.is_complete());
        started.join(" ")
    }

    const FORKED: &str = "
  - { id: f, type: fork, config: {} }
  - { id: yes, type: plain, after: f.true, config: {} }
  - { id: no, type: plain, after: f.false, config: {} }
  - { id: below_no, type: plain, config: { x: '{{ steps.no }}' } }
  - { id: either, type: plain, after: [yes, no], config: {} }
  - { id: any, type: plain, after: f, config: {} }
";

    #[test]
    fn a_fork_walks_one_side_and_joins() {
        assert_eq!(walk(FORKED, "true"), "f yes any either");
        assert_eq!(walk(FORKED, "false"), "f no any below_no either");
    }

    #[test]
    fn a_reference_is_needed_whatever_else_ran() {
        let steps = "
  - { id: f, type: fork, config: {} }
  - { id: no, type: plain, after: f.false, config: {} }
  - { id: both, type: plain, after: [f.true], config: { x: '{{ steps.no }}' } }
";
        assert_eq!(walk(steps, "true"), "f");
    }

    #[test]
    fn a_step_waits_for_all_its_needs() {
        let steps = "
  - { id: last, type: plain, config: { x: '{{ steps.a }}{{ steps.b }}{{ steps.a }}' } }
  - { id: a, type: plain, config: {} }
  - { id: b, type: plain, after: a, config: {} }
";
        assert_eq!(walk(steps, ""), "a b last");
    }
}
