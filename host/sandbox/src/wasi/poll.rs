//! `wasi:io/poll` on the cell's own clock: a wait for a timer ends at once and moves the clock.

use futures_util::FutureExt as _;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{
    DynPollable,
    bindings::io::poll::{Host, HostPollable},
};

use super::View;

/// The most pollables of one `poll`. Bounds what the host allocates for one call.
const POLLABLES_MAX: usize = 1_024;

impl View<'_> {
    /// Called when nothing was ready: either a timer was found and the clock stands on it now, or nothing will
    /// ever be ready, because there is nothing outside that could happen.
    fn pass_time(&mut self) -> wasmtime::Result<()> {
        if self.wasi.clock().sleep_until_next_timer()? {
            return Ok(());
        }
        wasmtime::bail!("the step waits for something that can not happen")
    }
}

impl Host for View<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.len() > POLLABLES_MAX {
            wasmtime::bail!("the step polls {} things at once, of {POLLABLES_MAX} allowed", pollables.len());
        }
        loop {
            let again = pollables.iter().map(|pollable| Resource::new_borrow(pollable.rep())).collect();
            match Host::poll(self.table, again).now_or_never() {
                Some(ready) => return ready,
                None => self.pass_time()?,
            }
        }
    }
}

impl HostPollable for View<'_> {
    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        loop {
            let again = Resource::new_borrow(pollable.rep());
            match HostPollable::block(self.table, again).now_or_never() {
                Some(done) => return done,
                None => self.pass_time()?,
            }
        }
    }

    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        // A guest that asks in a loop gets there: asking is a read of the clock.
        self.wasi.clock().read();
        HostPollable::ready(self.table, pollable).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        HostPollable::drop(self.table, pollable)
    }
}
