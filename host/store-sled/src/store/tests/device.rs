//! A disk that does as it is told.

use std::{fs::File, io, ops::Deref, sync::Arc};

use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;

use crate::{DataDir, SledStore, disk::Device};

#[derive(Default)]
pub(super) struct TestDevice {
    state: Mutex<State>,
    changed: Condvar,
}

/// A store on such a disk. A test that fails while the gate is closed must not wait for its sync for ever.
pub(super) struct TestStore {
    store: SledStore,
    device: Arc<TestDevice>,
}

impl Deref for TestStore {
    type Target = SledStore;

    fn deref(&self) -> &SledStore {
        &self.store
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        self.device.open_gate();
    }
}

#[derive(Default)]
struct State {
    /// Syncs stop until it opens.
    closed: bool,
    /// Syncs that may pass all the same.
    passes: u64,
    /// Syncs that have come as far as the gate.
    arrived: u64,
    failing: bool,
    /// Bytes that are free, where they are not endless.
    free: Option<u64>,
}

impl TestDevice {
    pub(super) fn open_store(self: &Arc<Self>, folder: &TempDir) -> TestStore {
        let data = DataDir::open(folder.path()).unwrap();
        let store = SledStore::open_on(&data, Arc::<Self>::clone(self)).unwrap();
        TestStore { store, device: Arc::clone(self) }
    }

    pub(super) fn close_gate(&self) {
        self.state.lock().closed = true;
    }

    pub(super) fn open_gate(&self) {
        self.state.lock().closed = false;
        self.changed.notify_all();
    }

    pub(super) fn let_one_through(&self) {
        self.state.lock().passes += 1;
        self.changed.notify_all();
    }

    pub(super) fn fail_syncs(&self, failing: bool) {
        self.state.lock().failing = failing;
    }

    /// Leaves so many bytes free, any number by `None`.
    pub(super) fn fill(&self, free: Option<u64>) {
        self.state.lock().free = free;
    }

    /// Returns when one more sync than so far has come to the gate, begun by `begin`.
    pub(super) fn until_sync<T>(&self, begin: impl FnOnce() -> T) -> T {
        let before = self.state.lock().arrived;
        let begun = begin();
        let mut state = self.state.lock();
        while state.arrived == before {
            self.changed.wait(&mut state);
        }
        begun
    }
}

impl Device for TestDevice {
    fn free(&self, _: &File) -> io::Result<u64> {
        Ok(self.state.lock().free.unwrap_or(u64::MAX))
    }

    fn sync_log(&self, log: &File) -> io::Result<()> {
        let mut state = self.state.lock();
        state.arrived += 1;
        self.changed.notify_all();
        while state.closed && state.passes == 0 {
            self.changed.wait(&mut state);
        }
        state.passes = state.passes.saturating_sub(1);
        if state.failing {
            return Err(io::Error::other("the test says so"));
        }
        log.sync_data()
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }
}
