//! The binary `stepcell`: the command line, the config file, and the one place that wires all parts.
//!
//! Read in this order: [`args`] is what can be asked for, [`commands`] what is done about it.

pub mod args;
pub mod commands;
pub mod config;
pub mod error;

mod app;
mod host;
mod client;
mod flow_file;
mod live;
mod listing;
mod logging;
mod output;
mod signals;
mod text;

pub use app::main;
