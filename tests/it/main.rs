//! Stories of users, told against the real binary: a host on a port, a folder of plugins, a shell.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests too: what does not hold fails the test"
)]

mod cli;
mod durability;
mod events;
mod flows;
mod http;
mod http_request;
mod inline_code;
mod limits;
mod plugins_folder;
