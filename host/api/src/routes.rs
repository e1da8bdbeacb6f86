//! Every call there is, one file for each group.

mod blobs;
mod catalog;
mod events;
mod health;
mod openapi;
mod plugins;
mod root;
mod runs;
mod submit;

use crate::route::Route;

/// All calls, in the order in which they are documented.
pub(crate) fn all() -> Vec<Route> {
    let groups = [
        submit::routes(),
        runs::routes(),
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
