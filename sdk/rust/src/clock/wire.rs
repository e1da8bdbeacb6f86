//! The host's virtual clock.

use std::time::{Duration, SystemTime};

mod bindings {
    #![allow(unsafe_code, clippy::allow_attributes_without_reason, reason = "wit-bindgen writes it")]
    wit_bindgen::generate!({ path: "wasi/clocks", world: "imports", generate_unused_types: true });
}

use bindings::wasi::clocks::wall_clock;

pub(super) fn now() -> SystemTime {
    let wall_clock::Datetime { seconds, nanoseconds } = wall_clock::now();
    let since = Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanoseconds.into()));
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}
