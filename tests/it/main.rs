//! Stories of users, told against the real binary: a host on a port, a folder of plugins, a shell.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests too: what does not hold fails the test"
)]

mod cli;
mod durability;
mod survival;
mod events;
mod flows;
mod http;
mod inline_code;
mod limits;
mod plugins_folder;

// What waits, fans out and is tried again.
mod approvals;
mod events_sent;
mod for_each;
mod sub_flow;
mod retry_policy;
mod retry_run;

// How much goes on at a time, and for how long.
mod idempotency;
mod many_runs;
mod queue;
mod deadline;
mod drain;
mod retention;

// What a step reaches outside.
mod grants;
mod narrowing;
mod learning;
mod budget;
mod secrets;
mod secrets_in_steps;
mod network;
mod refused;
mod http_request;
mod wasi_http;
mod webhook;
mod llm_call;
mod sqlite;
mod postgres;
mod transactions;
mod email;
mod blobs;
mod files;
