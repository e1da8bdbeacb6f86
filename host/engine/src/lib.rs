//! Decides what runs next: retries, waits, fan-out, recovery, cancel. Sees a store and a [`StepRunner`].

pub mod runner;

pub use runner::{Call, Completion, Entry, Outcome, PluginInfo, PluginState, Plugins, StepRunner};
