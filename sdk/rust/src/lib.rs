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

// With the features, because parts of the text need them.
#[cfg(all(
    doctest,
    feature = "http",
    feature = "database",
    feature = "secrets",
    feature = "email",
    feature = "blobs"
))]
#[doc = include_str!("../README.md")]
struct Readme;

mod context;
mod control;
mod failure;
mod outcome;
mod scalar;
mod step;
mod time_span;
mod timeout;

mod describe;
mod schema;

#[cfg(feature = "blobs")]
pub mod blobs;
#[cfg(feature = "clock")]
pub mod clock;
#[cfg(feature = "database")]
pub mod database;
#[cfg(feature = "email")]
pub mod email;
#[cfg(feature = "http")]
pub mod http;
pub mod prelude;
#[cfg(feature = "secrets")]
pub mod secrets;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

#[allow(dead_code, reason = "which of it is used depends on the features")]
mod capability;
#[cfg(not(target_family = "wasm"))]
#[allow(dead_code, reason = "unused where no capability is asked for")]
mod mocking;

#[cfg(target_family = "wasm")]
mod guest;

pub use context::{Context, FromContext, Input, StepInfo};
pub use failure::{Failure, Fault, Result};
pub use outcome::{FanOut, Outcome, Sent, Signal, SignalWait, Wait};
pub use scalar::Scalar;
pub use stepcell_macros::{control, data, step};
pub use time_span::TimeSpan;
pub use timeout::Timeout;

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
