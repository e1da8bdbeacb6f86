//! What nearly every step needs: `use stepcell::prelude::*;`.

pub use std::time::Duration;

pub use serde_json::{Map, Value, json, value::RawValue};

pub use crate::{Context, Failure, Fault, Input, Outcome, Signal, StepInfo};
