//! The threads that guests run on, apart from those of the API.
//!
//! Every execution starts in the express lane. Most are over within microseconds; one that is still running
//! after a slice moves to the long lane, whose threads have a lower priority and take turns. So a short step
//! never waits behind loops, and no number of loops starves the API.
//!
//! One that is expected to be over sooner than another thread is woken starts on its caller's thread, as a
//! guest there: after a tick it moves to the express lane. Where it waits in a host call it goes on upon the thread
//! that brings the answer, which is one of the callers' as well: a call that leaves the host then wakes no thread but
//! the one that its answer comes to.
//!
//! A thread runs a cell until it ends, waits in a host call or gives way at a tick of the engine's epoch.

mod queue;
mod ticker;

use std::{
    any::Any,
    cell::RefCell,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    thread,
};

use async_task::{FallibleTask, Runnable};
use tokio::runtime::Handle;
use wasmtime::Engine;

use crate::cell::{Stop, StopReason};

use queue::Queue;
use ticker::Ticker;

/// Ticks that end an execution's stay on its caller's thread. The first may come at any moment: two mean that
/// it really took long, one means nothing.
const VISIT_TICKS_MAX: u32 = 2;
/// Ticks that an execution may use in the express lane while nobody else waits there. A tick is a millisecond:
/// inline Python is done within it, a loop is not.
const EXPRESS_TICKS_MAX: u32 = 8;
/// Ticks after which an execution in the long lane gives way to the next. Long enough that changing costs
/// nothing, short enough that a hundred loops all move.
const LONG_TICKS: u32 = 5;
/// How much nicer than the API's threads the long lane's are.
const LONG_NICENESS: i32 = 10;

/// The two lanes with their threads.
pub(crate) struct Lanes(Arc<Inner>);

struct Inner {
    express: Queue,
    long: Queue,
    ticker: Ticker,
    /// The callers' threads.
    runtime: Handle,
}

impl Lanes {
    /// Starts the threads; `runtime` is where host calls find their timers and sockets.
    pub(crate) fn start(engine: &Engine, runtime: &Handle) -> io::Result<Self> {
        let inner = Arc::new(Inner {
            express: Queue::default(),
            long: Queue::default(),
            ticker: Ticker::start(engine.clone())?,
            runtime: runtime.clone(),
        });
        let lanes = Self(inner);
        let threads = thread::available_parallelism().map_or(2, usize::from);
        for index in 0..threads {
            lanes.start_thread(format!("cell-express-{index}"), Lane::Express)?;
            lanes.start_thread(format!("cell-long-{index}"), Lane::Long)?;
        }
        Ok(lanes)
    }

    fn start_thread(&self, name: String, lane: Lane) -> io::Result<()> {
        let inner = Arc::clone(&self.0);
        thread::Builder::new().name(name).spawn(move || {
            let _entered = inner.runtime.enter();
            match lane {
                Lane::Express => inner.work(&inner.express),
                Lane::Long => {
                    // Without it the lanes still take turns, only less kindly; nothing depends on it.
                    let _ = rustix::process::setpriority_process(None, LONG_NICENESS);
                    inner.work(&inner.long);
                }
            }
        })?;
        Ok(())
    }

    /// A turn for one execution.
    pub(crate) fn turn(&self) -> Arc<Turn> {
        Arc::new(Turn {
            stop: Stop::default(),
            long: AtomicBool::new(false),
            ticks: AtomicU32::new(0),
            gave_way: AtomicBool::new(false),
            visits: AtomicBool::new(false),
            waited: AtomicBool::new(false),
            lanes: Arc::clone(&self.0),
        })
    }

    /// Runs a future in the lanes. The result is `None` where it panicked or the lanes were closed.
    pub(crate) fn spawn<F>(&self, turn: Arc<Turn>, future: F) -> FallibleTask<F::Output, Arc<Turn>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (runnable, task) = async_task::Builder::new().metadata(turn).spawn(|_| future, Inner::schedule);
        runnable.schedule();
        task.fallible()
    }

    /// Runs a future on this thread until it ends, waits, or the ticks send it to the express lane: this thread and
    /// those that it goes on upon are taken for two milliseconds at most, and for as long as it takes to make a cell.
    pub(crate) fn visit<F>(&self, turn: Arc<Turn>, future: F) -> FallibleTask<F::Output, Arc<Turn>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        turn.visits.store(true, Relaxed);
        let (runnable, task) = async_task::Builder::new().metadata(turn).spawn(|_| future, Inner::schedule);
        self.0.run(runnable);
        task.fallible()
    }

    /// Ends an execution, wherever it is: running, waiting in a host call, or waiting for its turn.
    pub(crate) fn stop(&self, turn: &Arc<Turn>, reason: StopReason) {
        turn.stop.set(reason);
        // A stopped execution that waits in the long lane would wait for everyone before it.
        if let Some(runnable) = self.0.long.take(|waiting| Arc::ptr_eq(waiting.metadata(), turn)) {
            self.0.express.push(runnable);
        }
    }

    /// Ends the threads once they are through with what they run, and drops every execution that waits.
    pub(crate) fn close(&self) {
        self.0.express.close();
        self.0.long.close();
        self.0.ticker.close();
    }

    pub(crate) fn are_closed(&self) -> bool {
        self.0.express.is_closed()
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.close();
    }
}

#[derive(Clone, Copy)]
enum Lane {
    Express,
    Long,
}

impl Inner {
    fn schedule(runnable: Runnable<Arc<Turn>>) {
        let turn = Arc::clone(runnable.metadata());
        if turn.visits() && !turn.lanes.express.is_closed() {
            let inner = Arc::clone(&turn.lanes);
            drop(turn.lanes.runtime.spawn(async move { inner.run(runnable) }));
            return;
        }
        let queue = if turn.is_long() { &turn.lanes.long } else { &turn.lanes.express };
        queue.push(runnable);
    }

    fn work(&self, queue: &Queue) {
        while let Some(runnable) = queue.pop() {
            self.run(runnable);
        }
    }

    fn run(&self, runnable: Runnable<Arc<Turn>>) {
        self.ticker.guest_starts();
        // A panic was turned into a failure where it happened; this is for one on the way out of a cell.
        let _ = catch_unwind(AssertUnwindSafe(|| runnable.run()));
        let _ = catch_unwind(clean_up);
        self.ticker.guest_ends();
    }
}

/// Where one execution is between the lanes.
pub(crate) struct Turn {
    pub(crate) stop: Stop,
    long: AtomicBool,
    /// Since the execution started, or since it last gave way in the long lane.
    ticks: AtomicU32,
    gave_way: AtomicBool,
    /// It runs on its callers' threads.
    visits: AtomicBool,
    /// It comes from a host call, and has not ticked since.
    waited: AtomicBool,
    lanes: Arc<Inner>,
}

/// What a guest does at a tick.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tick {
    GoOn,
    GiveWay,
}

impl Turn {
    /// Whether it is on its callers' threads, or waits for what will wake it there.
    pub(crate) fn visits(&self) -> bool {
        self.visits.load(Relaxed)
    }

    /// Called from within the guest, so by one thread at a time.
    pub(crate) fn tick(&self) -> Tick {
        if self.visits() {
            return self.tick_of_visit();
        }
        let ticks = self.ticks.fetch_add(1, Relaxed) + 1;
        let give_way = if self.long.load(Relaxed) {
            ticks >= LONG_TICKS && !self.lanes.long.is_empty()
        } else {
            ticks >= EXPRESS_TICKS_MAX || !self.lanes.express.is_empty()
        };
        if !give_way {
            return Tick::GoOn;
        }
        self.long.store(true, Relaxed);
        self.ticks.store(0, Relaxed);
        self.gave_way.store(true, Relaxed);
        Tick::GiveWay
    }

    fn tick_of_visit(&self) -> Tick {
        // It stands for the time in which the execution waited.
        if self.waited.swap(false, Relaxed) {
            return Tick::GoOn;
        }
        if self.ticks.fetch_add(1, Relaxed) + 1 < VISIT_TICKS_MAX {
            return Tick::GoOn;
        }
        self.visits.store(false, Relaxed);
        self.gave_way.store(true, Relaxed);
        Tick::GiveWay
    }

    /// Whether the execution stands still because it gave way, and not because it waits for a host call.
    pub(crate) fn take_gave_way(&self) -> bool {
        self.gave_way.swap(false, Relaxed)
    }

    /// It goes on after a host call.
    pub(crate) fn has_waited(&self) {
        self.waited.store(true, Relaxed);
    }

    /// A stopped execution has only to be cleared away, which is short.
    fn is_long(&self) -> bool {
        self.long.load(Relaxed) && self.stop.reason().is_none()
    }
}

thread_local! {
    static LEFTOVER: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// Drops something after the running execution has handed over its result. Tearing a cell down takes as long
/// as building it, and nobody needs to wait for that.
pub(crate) fn drop_later(leftover: Box<dyn Any>) {
    let _before = LEFTOVER.replace(Some(leftover));
}

fn clean_up() {
    let _leftover = LEFTOVER.take();
}

#[cfg(test)]
mod tests;
