//! Wakes runs whose timers are due: waits, long pauses before another attempt, and deadlines of runs. Timers are in
//! the store; this is one task for all of them.

use std::{collections::HashSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use parking_lot::Mutex;
use stepcell_core::{EventKind, Failure, Fault, RunId, StepId, event::RunFailed, run::RunState};
use stepcell_store::Timer;
use tokio::sync::{Notify, oneshot};

use crate::{Error, driver::Command, engine::Inner, load};

/// Timers that are read together.
const TIMERS_PER_ROUND: usize = 256;
/// Runs that are being woken at the same time. Bounds how many are taken up at once.
const MAX_WAKING: usize = 1_024;
/// How late a jump of the wall clock may be noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// A pause before another attempt that is longer than this is a timer in the store, so that the run can park. Shorter
/// ones cost less in memory than taking the run up again would.
const LONG_RETRY: Duration = Duration::from_secs(10);
/// The shortest pause between two looks: what is due within it is woken together.
const SHORTEST_SLEEP: Duration = Duration::from_millis(2);
/// How long to leave the store alone after it failed, and a run that could not be woken.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells the task that a timer may be due earlier than it thinks.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    change: Notify,
    /// Timers whose runs are being woken: the store holds them until the run's log has gone on.
    waking: Mutex<HashSet<(RunId, Option<StepId>)>>,
}

impl Timers {
    /// A timer was set.
    pub(crate) fn changed(&self) {
        self.change.notify_one();
    }
}

/// Whether a timer may be due before its task looks by itself, the time to write it down included.
pub(crate) fn is_soon(due: Timestamp) -> bool {
    is_within(due, LONGEST_SLEEP * 2)
}

/// Whether a step that is tried again then waits by a timer in the store.
pub(crate) fn is_long_retry(at: Timestamp) -> bool {
    !is_within(at, LONG_RETRY)
}

fn is_within(at: Timestamp, time: Duration) -> bool {
    Timestamp::now().checked_add(time).is_ok_and(|end| at <= end)
}

/// The end of a run whose deadline is over.
pub(crate) fn deadline_exceeded(state: &RunState) -> Option<EventKind> {
    let deadline = state.deadline.filter(|deadline| *deadline <= Timestamp::now() && !state.is_final())?;
    let message = format!("the run has not ended by its deadline, {deadline}");
    let error = Failure::system(Fault::Timeout, "deadline_exceeded", message).with_hint(
        "give the flow a longer `deadline`, or look at `started_at` of its steps for what took so long",
    );
    Some(EventKind::RunFailed(RunFailed { error, failed_step: None }))
}

/// Serves timers until the engine stops, or drains.
pub(crate) async fn serve(engine: &Arc<Inner>) {
    while !engine.draining.is_cancelled() {
        let pause = match round(engine).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(%error, "timers could not be served");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        tokio::select! {
            () = engine.draining.cancelled() => {}
            () = engine.timers.change.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Wakes what is due, and says when to look again. A run that can not be woken holds up no other.
async fn round(engine: &Arc<Inner>) -> Result<Duration, Error> {
    let now = Timestamp::now();
    let waking = engine.timers.waking.lock().len();
    if waking >= MAX_WAKING {
        return Ok(PAUSE);
    }
    let due = engine.store.due_timers(now, waking + TIMERS_PER_ROUND).await?;
    let mut woken = 0;
    for Timer { run, step, .. } in due {
        if engine.timers.waking.lock().insert((run, step.clone())) {
            woken += 1;
            engine.spawn(wake(engine.clone(), run, step));
        }
    }
    if woken > 0 {
        return Ok(Duration::ZERO);
    }
    let next = next(engine, now, waking).await?;
    let left = next.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
    Ok(left.unwrap_or(LONGEST_SLEEP).clamp(SHORTEST_SLEEP, LONGEST_SLEEP))
}

/// When the earliest timer is due whose run is not being woken: those that are stand before it for as long as that takes.
async fn next(engine: &Inner, now: Timestamp, waking: usize) -> Result<Option<Timestamp>, Error> {
    if waking == 0 {
        return Ok(engine.store.next_timer().await?);
    }
    let horizon = now.checked_add(LONGEST_SLEEP).unwrap_or(Timestamp::MAX);
    let first = engine.store.due_timers(horizon, waking + 1).await?;
    let woken = engine.timers.waking.lock();
    Ok(first
        .into_iter()
        .find(|timer| !woken.contains(&(timer.run, timer.step.clone())))
        .map(|timer| timer.due))
}

/// Tells a run of its timer and waits until the store no longer holds it.
async fn wake(engine: Arc<Inner>, run: RunId, step: Option<StepId>) {
    let (answer, handled) = oneshot::channel();
    let told = load::tell(&engine, run, Command::Timer { step: step.clone(), answer }).await;
    if let Err(error) = &told {
        tracing::error!(run_id = %run, %error, "run could not be woken");
    }
    // Where the run has ended meanwhile its timers are gone; where it could not go on yet it is told again.
    if told.is_err() || handled.await.is_err() {
        tokio::time::sleep(PAUSE).await;
    }
    engine.timers.waking.lock().remove(&(run, step));
    engine.timers.changed();
}
