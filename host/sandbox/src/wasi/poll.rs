//! `wasi:io/poll` on the cell's own clock: a wait for a timer ends at once and moves the clock.
//!
//! Once a cell has sent something by `wasi:http`, it lives in the world's time: a timer is then most often how long
//! it waits for an answer, and ends when that time is really over. The limit on its time bounds it all.

use std::time::Instant;

use futures_util::FutureExt as _;
use tokio::time::timeout;
use wasmtime::component::{Resource, ResourceTable};
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

    /// Waits until something outside makes one of them ready, or the next timer is due.
    async fn wait_outside<T>(&mut self, wait: impl AsyncFnOnce(&mut ResourceTable) -> T) -> Option<T> {
        let (started, timer) = (Instant::now(), self.wasi.clock().take_next_timer());
        let wait = wait(self.table);
        let ready = match timer {
            Some(pause) => timeout(pause, wait).await.ok(),
            None => Some(wait.await),
        };
        let passed = if ready.is_some() { started.elapsed() } else { timer.unwrap_or_default() };
        self.wasi.clock().pass(passed);
        ready
    }
}

impl Host for View<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.len() > POLLABLES_MAX {
            wasmtime::bail!("the step polls {} things at once, of {POLLABLES_MAX} allowed", pollables.len());
        }
        loop {
            let again = || pollables.iter().map(|pollable| Resource::new_borrow(pollable.rep())).collect();
            if let Some(ready) = Host::poll(self.table, again()).now_or_never() {
                return ready;
            }
            if !self.outside {
                self.pass_time()?;
            } else if let Some(ready) =
                self.wait_outside(async |table| Host::poll(table, again()).await).await
            {
                return ready;
            }
        }
    }
}

impl HostPollable for View<'_> {
    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        loop {
            let again = || Resource::new_borrow(pollable.rep());
            if let Some(done) = HostPollable::block(self.table, again()).now_or_never() {
                return done;
            }
            if !self.outside {
                self.pass_time()?;
            } else if let Some(done) =
                self.wait_outside(async |table| HostPollable::block(table, again()).await).await
            {
                return done;
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
