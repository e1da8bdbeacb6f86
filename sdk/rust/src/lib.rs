//! Write a Stepcell step as a plain typed function.
//!
//! ```
//! use stepcell::prelude::*;
//!
//! #[stepcell::data]
//! struct Config {
//!     name: String,
//! }
//!
//! /// Greets somebody.
//! #[stepcell::step(label = "Hello", icon = "hand", category = "custom")]
//! fn hello(config: Config) -> Result<Value, Failure> {
//!     Ok(json!({ "greeting": format!("Hello, {}!", config.name) }))
//! }
//! ```
//!
//! The function stays a function: a unit test calls it. [`testing`] runs a step
//! through its JSON edge, as the host does.

// With the feature, because a part of the text needs it.
#[cfg(all(doctest, feature = "http"))]
#[doc = include_str!("../README.md")]
struct Readme;

mod context;
mod control;
mod failure;
mod outcome;
mod step;

mod describe;
mod schema;

#[cfg(feature = "http")]
pub mod http;
pub mod prelude;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

#[cfg(target_family = "wasm")]
mod guest;

pub use context::{Context, FromContext, Input, StepInfo};
pub use failure::{Failure, Fault, Result};
pub use outcome::{FanOut, Outcome, Signal, SignalWait, Wait};
pub use stepcell_macros::{control, data, step};

// `#[stepcell::data]` writes these paths, so that a step needs one dependency only.
pub use schemars;
pub use serde;
pub use serde_json;

/// What the attributes expand to. No part of the public interface.
#[doc(hidden)]
pub mod __private {
    #[cfg(target_family = "wasm")]
    pub use crate::guest::{ControlOf, HandlerOf, control, step};
    pub use crate::{
        control::{Control, decision, never_waits},
        describe::Meta,
        failure::StepResult,
        outcome::{ControlResult, signal},
        step::{NoConfig, Step, config, output},
    };
}
