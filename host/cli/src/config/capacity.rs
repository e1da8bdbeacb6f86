//! How many runs and steps go on at a time, and how long what is over is kept.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value};
use stepcell_core::parse::units;
use stepcell_engine::MAX_EVENT_KEPT;

use super::reader::{Reader, join};

const CONCURRENCY_KEYS: &[&str] = &["runs", "queue", "flows", "steps"];
const RETENTION_KEYS: &[&str] = &["age", "runs"];
const EVENTS_KEYS: &[&str] = &["keep"];
/// The most runs that can be driven at a time, and steps that can go on at a time. Protects memory: each run that
/// is driven holds its state there.
const ACTIVE_MAX: u64 = 1_000_000;
/// The most runs that can wait for their turn. Protects the disk, which holds each with its input.
const QUEUE_MAX: u64 = 10_000_000;
/// The most finished runs that can be kept, far more than any disk holds. Protects arithmetic alone.
const KEPT_MAX: u64 = 1_000_000_000;

/// `concurrency` of the config. What is not set is the engine's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Concurrency {
    /// Runs that are driven at a time. A run that waits for a timer, an approval or an event is not driven.
    pub runs: Option<usize>,
    /// Runs that may wait for their turn; more are refused.
    pub queue: Option<usize>,
    /// Runs at a time by the name of their flow.
    pub flows: BTreeMap<String, usize>,
    /// Attempts at a time by step type.
    pub steps: BTreeMap<String, usize>,
}

/// `retention` of the config: when finished runs are removed. What is not set bounds nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Since the run's end.
    pub age: Option<Duration>,
    /// Beyond this many the oldest go first.
    pub runs: Option<u64>,
}

/// `concurrency`.
pub(super) fn concurrency(reader: &mut Reader, path: &str, value: &Value) -> Concurrency {
    let Some(keys) = reader.object(path, value, CONCURRENCY_KEYS) else { return Concurrency::default() };
    Concurrency {
        runs: number(reader, path, keys, "runs", ("a number of runs", 1, ACTIVE_MAX)),
        // A queue without room makes the limit on runs a hard one.
        queue: number(reader, path, keys, "queue", ("a number of runs", 0, QUEUE_MAX)),
        flows: by_name(reader, &join(path, "flows"), keys.get("flows"), "a number of runs"),
        steps: by_name(reader, &join(path, "steps"), keys.get("steps"), "a number of attempts"),
    }
}

/// `retention`.
pub(super) fn retention(reader: &mut Reader, path: &str, value: &Value) -> Retention {
    let Some(keys) = reader.object(path, value, RETENTION_KEYS) else { return Retention::default() };
    let age =
        keys.get("age").and_then(|value| reader.parsed(&join(path, "age"), value, "a time", units::duration));
    Retention { age, runs: number(reader, path, keys, "runs", ("a number of runs", 1, KEPT_MAX)) }
}

/// `events`: how long one is kept that came before anybody waited for it.
pub(super) fn events_kept(reader: &mut Reader, path: &str, value: &Value) -> Option<Duration> {
    let keys = reader.object(path, value, EVENTS_KEYS)?;
    let kept = |text: &str| match units::duration(text)? {
        time if time <= MAX_EVENT_KEPT => Ok(time),
        _ => Err(format!("{} is the longest there is", units::write_duration(MAX_EVENT_KEPT))),
    };
    reader.parsed(&join(path, "keep"), keys.get("keep")?, "a time", kept)
}

/// What a number has to be, the least and the most included.
type Bounds = (&'static str, u64, u64);

fn number<T: TryFrom<u64>>(
    reader: &mut Reader,
    path: &str,
    keys: &Map<String, Value>,
    key: &str,
    bounds: Bounds,
) -> Option<T> {
    bounded(reader, &join(path, key), keys.get(key)?, bounds)
}

fn by_name(
    reader: &mut Reader,
    path: &str,
    value: Option<&Value>,
    wanted: &'static str,
) -> BTreeMap<String, usize> {
    let named = value.and_then(|value| reader.any_object(path, value)).into_iter().flatten();
    let entry = |(name, value): (&String, &Value)| {
        let limit = bounded(reader, &join(path, name), value, (wanted, 1, ACTIVE_MAX))?;
        Some((name.clone(), limit))
    };
    named.filter_map(entry).collect()
}

fn bounded<T: TryFrom<u64>>(
    reader: &mut Reader,
    path: &str,
    value: &Value,
    (wanted, least, most): Bounds,
) -> Option<T> {
    reader.parsed(path, value, wanted, |text| {
        let within = units::count(text).ok().filter(|number| (least..=most).contains(number));
        let number = within.and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("write a whole number from {least} to {most}, such as `10K`"))
    })
}
