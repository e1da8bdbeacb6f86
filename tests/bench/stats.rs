//! From many times to the few numbers that are shown.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

/// Percentiles of many samples.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Spread {
    pub(crate) samples: usize,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

pub(crate) fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// The spread of times in a unit. Fails where there are none.
pub(crate) fn spread(times: &[Duration], unit: fn(Duration) -> f64) -> Result<Spread> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| {
        let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(index).copied().map(unit).context("nothing was measured")
    };
    Ok(Spread { samples: sorted.len(), p50: at(50)?, p95: at(95)?, p99: at(99)? })
}

/// The middle of what the rounds gave. Fails where there was none.
pub(crate) fn median(rounds: &[f64]) -> Result<f64> {
    let mut sorted = rounds.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().context("nothing was measured")
}
