//! Decides what runs next: retries, waits, fan-out, recovery, cancel. Sees a store and a [`StepRunner`].

pub mod runner;

mod error;
pub mod meter;
mod engine;
mod prepared;
mod load;
mod driver;
mod progress;
mod backoff;
mod context;
mod payload;
mod blobs;
mod remove;
mod timers;
mod follow;
pub mod view;

pub use blobs::{MAX_BLOB_BYTES, UPLOAD_KEPT, Upload};
pub use engine::{Counts, DEFAULT_MAX_ACTIVE_RUNS, Engine, Options, Submit};
pub use error::Error;
pub use meter::{Meter, Resource};
pub use prepared::Prepared;
pub use runner::{
    Blobs, Call, Completion, Entry, LimitsRequest, Outcome, PluginInfo, PluginState, Plugins, StepRunner,
};
pub use view::RunView;
