//! What a fan-out runs for each item.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::Plan;
use crate::{StepType, problem::Problem};

/// What a fan-out runs for each of its items, made ready with the flow that holds it.
#[derive(Debug)]
pub struct Body {
    pub kind: BodyKind,
    /// The config value itself.
    pub source: Value,
    /// Of the kind [`BodyKind::Step`] it has one step, whose id is `item`.
    pub plan: Arc<Plan>,
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// One step without an id: item 3 of `m` is the step `m[3]`.
    Step,
    /// A list of steps: `m[3].x`.
    Steps,
    /// A flow of its own, which sees nothing of what is around it: its input is the item.
    Flow,
}

impl Body {
    /// A body that a plugin made in a run: `{"step": …}`, `{"steps": …}` or `{"flow": …}`. `types` are those that the
    /// run pins, `outer` the steps whose outputs it may read.
    pub fn build(
        source: &Value,
        types: &BTreeMap<String, StepType>,
        outer: &[&str],
    ) -> Result<Self, Vec<Problem>> {
        let _ = (source, types, outer);
        Err(Vec::new())
    }
}
