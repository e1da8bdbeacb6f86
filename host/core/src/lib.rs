//! What a flow, a run and an event *are*: pure values and functions. No async, no IO, no clock.
//!
//! Read in this order.

pub mod ids;
pub mod json;
pub mod failure;
pub mod limits;
pub mod grant;
pub mod catalog;
pub mod event;
pub mod flow;
pub mod problem;
pub mod parse;
pub mod schema;
pub mod template;
pub mod plan;
pub mod run;

pub use catalog::{Catalog, StepType};
pub use event::{Event, EventKind};
pub use failure::{Failure, FailureKind, Fault};
pub use flow::Flow;
pub use ids::{Digest, RunId, StepId};
pub use json::Json;
pub use limits::{Budget, Limits};
pub use run::{RunState, RunStatus, StepState, StepStatus};
pub use template::Template;
