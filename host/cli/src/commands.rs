//! One file per command: its arguments and what it does.

pub mod run;
pub mod serve;
pub mod submit;
pub mod validate;
pub mod plugins;
pub mod runs;
pub mod compile_plugin;
