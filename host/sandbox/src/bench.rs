//! The bare wasmtime loop: what a call costs with nothing around it, measured in the same process as the rest.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use stepcell_core::Digest;
use wasmtime::Store;

use crate::{Sandbox, bindings::exports::stepcell::step::handler, plugin::Exports};

/// Fuel of one call, as much as nothing short of a loop uses.
const FUEL: u64 = 10_000_000_000;

/// Calls a handler of a running sandbox over and over, each time in a fresh instance from the same pool, with
/// fuel, and on this thread: no lanes, no limits, no WASI, no checks on what comes back. Gives the time of each
/// call, or `None` where the plugin is not loaded, is no handler, or does not return.
///
/// It blocks the thread it is called on.
pub fn bare_call_loop(
    sandbox: &Sandbox,
    digest: Digest,
    config: &String,
    context: &String,
    calls: usize,
) -> Option<Vec<Duration>> {
    let plugin = sandbox.shared().library.loaded(digest)?.plugin;
    let Exports::Handler(indices) = plugin.exports() else { return None };
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let started = Instant::now();
        let state = sandbox.shared().cells.bare_state();
        let mut store = Store::new(plugin.engine(), state);
        store.set_fuel(FUEL).ok()?;
        // Nothing ticks for a call outside of the lanes, and nothing else ends it.
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = plugin.pre().instantiate_async(&mut store).now_or_never()?.ok()?;
        let guest: handler::Guest = indices.load(&mut store, &instance).ok()?;
        let returned = guest.call_execute(&mut store, config, context).now_or_never()?.ok()?;
        black_box(returned.ok()?);
        drop(store);
        times.push(started.elapsed());
    }
    Some(times)
}
