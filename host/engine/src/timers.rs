//! Wakes runs whose timers are due. Timers are in the store; this is one task for all of them.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use jiff::Timestamp;
use stepcell_store::Timer;
use tokio::sync::{Notify, oneshot};

use crate::{Error, driver::Command, engine::Inner, load};

/// Timers that are handled together. Bounds how many runs are taken up at once.
const TIMERS_PER_ROUND: usize = 256;
/// How late a jump of the wall clock may be noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// How long to leave the store alone after it failed, or after a run could not be woken.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells the task that a timer may be due earlier than it thinks.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    change: Notify,
}

impl Timers {
    /// A timer was set.
    pub(crate) fn changed(&self) {
        self.change.notify_one();
    }
}

/// Serves timers until the engine stops.
pub(crate) async fn serve(engine: &Arc<Inner>) {
    loop {
        let pause = match round(engine).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(error = %error, "timers could not be served");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        tokio::select! {
            () = engine.timers.change.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Wakes what is due, and says when to look again.
async fn round(engine: &Arc<Inner>) -> Result<Duration, Error> {
    let now = Timestamp::now();
    let due = engine.store.due_timers(now, TIMERS_PER_ROUND).await?;
    if !due.is_empty() {
        let woken = join_all(due.into_iter().map(|timer| wake(engine, timer))).await;
        return Ok(if woken.into_iter().all(|woken| woken) { Duration::ZERO } else { PAUSE });
    }
    let next = engine.store.next_timer().await?;
    let left = next.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
    Ok(left.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP))
}

/// Tells a run of its timer and waits until the store no longer holds it. Gives whether that worked.
async fn wake(engine: &Arc<Inner>, timer: Timer) -> bool {
    let (answer, handled) = oneshot::channel();
    let Timer { run, step, .. } = timer;
    match load::tell(engine, run, Command::Timer { step, answer }).await {
        Ok(()) => handled.await.is_ok(),
        Err(error) => {
            tracing::error!(run_id = %run, error = %error, "run could not be woken");
            false
        }
    }
}
