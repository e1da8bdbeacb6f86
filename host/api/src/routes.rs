//! Every call there is, one file for each group.

mod blobs;
mod catalog;
mod events;
mod health;
mod items;
mod openapi;
mod plugins;
mod retry;
mod root;
mod runs;
mod signals;
mod submit;

use crate::route::Route;

/// All calls, in the order in which they are documented.
pub(crate) fn all() -> Vec<Route> {
    let groups = [
        submit::routes(),
        runs::routes(),
        retry::routes(),
        signals::routes(),
        items::routes(),
        events::routes(),
        blobs::routes(),
        catalog::routes(),
        plugins::routes(),
        openapi::routes(),
        root::routes(),
        health::routes(),
    ];
    groups.into_iter().flatten().collect()
}
