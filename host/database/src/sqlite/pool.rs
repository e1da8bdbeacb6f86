//! Connections with a thread each, shared by all callers.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::connection::{Opener, Slot};
use crate::Error;

type Job = Box<dyn FnOnce(&mut Slot) + Send>;

/// Starts a thread where all that there are work and one more is allowed. They end with the pool.
pub(super) struct Pool {
    opener: Arc<Opener>,
    /// In the order in which they were asked for.
    turns: Arc<Semaphore>,
    /// The one used last knows most statements, and is taken first.
    idle: Mutex<Vec<Worker>>,
}

/// A thread with its connection; nobody else gives it work. Goes back to the pool with this value, so that no work of
/// it may be open then.
pub(super) struct Lease {
    worker: Worker,
    pool: Arc<Pool>,
    /// Given back after the worker.
    _turn: OwnedSemaphorePermit,
}

#[derive(Clone)]
struct Worker(mpsc::Sender<Job>);

impl Pool {
    pub(super) fn new(opener: Opener, size: usize) -> Arc<Self> {
        let (opener, turns) = (Arc::new(opener), Arc::new(Semaphore::new(size.min(Semaphore::MAX_PERMITS))));
        Arc::new(Self { opener, turns, idle: Mutex::default() })
    }

    /// Waits until one is free.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, Error> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| self.opener.origin.unavailable("the host stops"))?;
        let idle = self.idle.lock().pop();
        let worker = match idle {
            Some(worker) => worker,
            None => Worker::start(&self.opener)?,
        };
        Ok(Lease { worker, pool: Arc::clone(self), _turn: turn })
    }
}

impl Lease {
    /// Has the thread do this. The work gets the lease: as long as it holds it, nobody else gets the connection,
    /// also where nobody waits for the answer any more.
    pub(super) fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&mut Slot, Self) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (answer, answered) = oneshot::channel();
        let worker = self.worker.clone();
        let job: Job = Box::new(move |slot| {
            // Nobody waiting is no error.
            let _ = answer.send(work(slot, self));
        });
        // The thread takes work as long as somebody can give it some. Without it the answer never comes, which the
        // caller notices.
        let _ = worker.0.send(job);
        answered
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.idle.lock().push(self.worker.clone());
    }
}

impl Worker {
    fn start(opener: &Arc<Opener>) -> Result<Self, Error> {
        let (give, take) = mpsc::channel::<Job>();
        let mut slot = Slot::new(Arc::clone(opener));
        let work = move || {
            for job in take {
                // The library asserts its state. What the caller waits for is lost with the job, and noticed.
                if catch_unwind(AssertUnwindSafe(|| job(&mut slot))).is_err() {
                    slot.discard();
                }
            }
        };
        let started = thread::Builder::new().name("sqlite".to_owned()).spawn(work);
        started.map_err(|error| opener.origin.unavailable(&format!("there is no thread for it: {error}")))?;
        Ok(Self(give))
    }
}
