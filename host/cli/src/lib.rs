//! The binary `stepcell`: the command line, the config file, and the one place that wires all parts.
//!
//! Read in this order: [`args`] is what can be asked for, [`commands`] what is done about it.

pub mod args;
pub mod commands;
pub mod config;
pub mod error;
pub mod listing;

mod app;
mod client;
mod explain;
mod flow_file;
mod host;
mod includes;
mod learn;
mod live;
mod logging;
mod output;
mod remote;
mod signals;
mod text;
mod waiting;

pub use app::main;
