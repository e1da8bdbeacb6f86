//! Decides what runs next: retries, waits, fan-out, recovery, cancel. Sees a store and a [`StepRunner`].

pub mod runner;

mod error;
pub mod meter;
mod engine;
mod prepared;
mod load;
mod driver;
mod again;
mod places;
mod slots;
mod progress;
mod backoff;
mod context;
mod payload;
mod blobs;
mod remove;
mod retention;
mod timers;
mod waiting;
mod matching;
mod events;
mod follow;
pub mod view;

pub use again::Retry;
pub use blobs::{MAX_BLOB_BYTES, UPLOAD_KEPT, Upload};
pub use engine::{
    Admission, Counts, DEFAULT_ACTIVE_RUNS, DEFAULT_EVENTS_KEPT, DEFAULT_QUEUED_RUNS, Engine, Incomplete,
    Options, Retention, Submit,
};
pub use error::Error;
pub use events::{APPROVAL, Delivered, Incoming, MAX_EVENT_KEPT};
pub use meter::{Meter, Resource};
pub use prepared::Prepared;
pub use runner::{
    Blobs, Call, Completion, Entry, LimitsRequest, Outcome, PluginInfo, PluginState, Plugins, StepRunner,
};
pub use view::{ItemView, ItemsPage, RunView};
pub use waiting::{MAX_PAYLOAD_BYTES, Resume};

#[cfg(test)]
mod tests;
