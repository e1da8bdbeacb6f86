//! Finished runs that nobody wants any more go by themselves.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jiff::Timestamp;
use stepcell_core::RunId;

use crate::{Error, engine::Inner};

/// How long after the start the first look is: what people wait for then comes first.
const FIRST_AFTER: Duration = Duration::from_secs(2);
/// How often to look. Bounds how much longer than promised runs are kept.
const EVERY: Duration = Duration::from_secs(60);
/// Runs that are removed together. Bounds how long appends wait behind them.
const RUNS_PER_ROUND: usize = 64;

/// Removes what is past [`Retention`](crate::Retention) until the engine stops.
pub(crate) async fn keep_to(engine: &Arc<Inner>) {
    if engine.retention.age.is_none() && engine.retention.runs.is_none() {
        return;
    }
    tokio::time::sleep(FIRST_AFTER).await;
    loop {
        // What is left is found again the next time.
        match all_rounds(engine).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(runs = removed, "finished runs removed: they were past their time"),
            Err(error) => tracing::warn!(%error, "finished runs could not be removed"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// One round after the other until nothing is past its time; gives how many runs went.
pub(crate) async fn all_rounds(engine: &Inner) -> Result<u64, Error> {
    let mut removed = 0;
    loop {
        let due = due(engine).await?;
        if due.is_empty() {
            return Ok(removed);
        }
        match engine.store.remove_runs(due).await? {
            // What can not be removed now is tried again later, rather than at once and for ever.
            0 => return Ok(removed),
            gone => {
                removed += gone;
                engine.expired.fetch_add(gone, Ordering::Relaxed);
            }
        }
    }
}

/// Some runs that are to go, the oldest first.
async fn due(engine: &Inner) -> Result<Vec<RunId>, Error> {
    let now = Timestamp::now();
    let oldest = match engine.retention.age.and_then(|age| now.checked_sub(age).ok()) {
        Some(before) => engine.store.oldest_finished(before, RUNS_PER_ROUND).await?,
        None => Vec::new(),
    };
    if !oldest.is_empty() {
        return Ok(oldest.into_iter().map(|(_, run)| run).collect());
    }
    let Some(most) = engine.retention.runs else { return Ok(Vec::new()) };
    let over = engine.store.finished_count().await?.saturating_sub(most);
    let limit = usize::try_from(over).unwrap_or(usize::MAX).min(RUNS_PER_ROUND);
    if limit == 0 {
        return Ok(Vec::new());
    }
    let oldest = engine.store.oldest_finished(Timestamp::MAX, limit).await?;
    Ok(oldest.into_iter().map(|(_, run)| run).collect())
}
