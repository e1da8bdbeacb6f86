//! The thread that moves the engine's epoch on while guests run, and sleeps while none does.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, Thread},
    time::Duration,
};

use wasmtime::Engine;

/// The time between two ticks: how soon a guest notices that it is stopped or should give way.
const TICK: Duration = Duration::from_millis(1);
/// Ticks without a guest after which the thread sleeps. Between the steps of a run it stays awake, since
/// waking it costs as much as a short step.
const IDLE_TICKS_MAX: u32 = 50;

/// Counts the guests that run.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    running: AtomicUsize,
    started: AtomicU64,
    asleep: AtomicBool,
    closed: AtomicBool,
}

impl Ticker {
    pub(super) fn start(engine: Engine) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name("cell-ticker".to_owned()).spawn(move || for_thread.tick(&engine))?;
        Ok(Self { shared, thread: thread.thread().clone() })
    }

    pub(super) fn guest_starts(&self) {
        self.shared.started.fetch_add(1, SeqCst);
        self.shared.running.fetch_add(1, SeqCst);
        if self.shared.asleep.load(SeqCst) && self.shared.asleep.swap(false, SeqCst) {
            self.thread.unpark();
        }
    }

    pub(super) fn guest_ends(&self) {
        self.shared.running.fetch_sub(1, SeqCst);
    }

    pub(super) fn close(&self) {
        self.shared.closed.store(true, SeqCst);
        self.thread.unpark();
    }
}

impl Shared {
    fn tick(&self, engine: &Engine) {
        let mut idle_ticks = 0;
        let mut seen = 0;
        // A guest on a caller's thread may outlast the lanes, and hears of its end by a tick.
        while !self.closed.load(SeqCst) || self.running.load(SeqCst) > 0 {
            let started = self.started.load(SeqCst);
            let busy = self.running.load(SeqCst) > 0 || started != seen;
            seen = started;
            idle_ticks = if busy { 0 } else { idle_ticks + 1 };
            if idle_ticks > IDLE_TICKS_MAX {
                self.sleep();
                idle_ticks = 0;
                continue;
            }
            thread::sleep(TICK);
            if busy {
                engine.increment_epoch();
            }
        }
    }

    /// Until a guest starts. Says so first and looks again then, so that no start is missed.
    fn sleep(&self) {
        self.asleep.store(true, SeqCst);
        if self.running.load(SeqCst) > 0 {
            self.asleep.store(false, SeqCst);
            return;
        }
        while self.asleep.load(SeqCst) && !self.closed.load(SeqCst) {
            thread::park();
        }
    }
}
