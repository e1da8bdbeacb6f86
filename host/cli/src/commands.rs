//! One file per command: its arguments and what it does.

pub mod compile_plugin;
pub mod explain;
pub mod plugins;
pub mod run;
pub mod runs;
pub mod serve;
pub mod submit;
pub mod validate;
