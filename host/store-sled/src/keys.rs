//! The layout of the tree: what each key is made of.
//!
//! | key | value |
//! | --- | --- |
//! | `e` run, last seq, part | the events of one append, see `parts` |
//! | `r` run | see `summary` |
//! | `s` status, run | |
//! | `f` flow, run | |
//! | `c` flow, status, run | |
//! | `t` due, run, step | the step's id |
//! | `b` digest, part | a small blob, see `parts` |
//! | `o` run, digest | the run holds the blob |
//! | `n` digest | how many runs hold the blob |
//! | `u` digest | until when the blob is held without a run |
//! | `w` until, digest | the same, by time |
//! | `x` run | the run was removed, and not all that it had is cleared away |
//! | `y` run | the run held a blob before there was a run |
//! | `h` finished, run | |
//! | `q` digest of the key | the run that was submitted under it, and the digest of what was |
//! | `g` run | the digest of its key |
//! | `a` name, run, step | what the step waits for, JSON |
//! | `d` run, name, step | the same wait, by run |
//! | `i` name, id | of a kept event: when it came, until when it is kept, whom it has woken |
//! | `k` name, at, id, part | the event, JSON, see `parts` |
//! | `l` until, name, id | the same, by time |
//! | `j` name, taker, at, id | a kept event that is not everybody's |
//! | `m` name | facts about the store: layout version, numbers of commits and of finished runs, a large batch under way |
//!
//! A blob is there as long as it has an `n` or a `u`; a large one, and the events of an append that are large, have
//! a file. Numbers are big-endian, so that keys sort as what they stand for. A name of any length, a flow's, a step's
//! or an event's, goes in as half of its digest: sled keeps up to 256 keys in one index page, and a page must stay small (see
//! [`VALUE_MAX`](crate::parts::VALUE_MAX)). Other first letters are free for what comes later.

mod signal;

use jiff::Timestamp;
use stepcell_core::{Digest, RunId, StepId};
use stepcell_store::{Query, RunStatus, RunSummary};

pub(crate) use signal::{EventId, WaitId, claim, claim_of_run, events_over_at, waits_of_run};

/// The version of this layout, kept under [`LAYOUT`].
pub(crate) const LAYOUT_VERSION: u8 = 3;
pub(crate) const LAYOUT: &[u8] = b"mlayout";
/// How many commits there were, and how many runs that have ended there are.
pub(crate) const COUNTS: &[u8] = b"mcounts";
/// The file of a batch that is done in steps, see `log`.
pub(crate) const UNDER_WAY: &[u8] = b"mbatch";

const EVENTS: u8 = b'e';
const RUN: u8 = b'r';
const BY_STATUS: u8 = b's';
const BY_FLOW: u8 = b'f';
const BY_FLOW_AND_STATUS: u8 = b'c';
const TIMER: u8 = b't';
const BLOB: u8 = b'b';
const OF_RUN: u8 = b'o';
const HOLDERS: u8 = b'n';
const UNTIL: u8 = b'u';
const BY_UNTIL: u8 = b'w';
const REMOVED: u8 = b'x';
const EARLY: u8 = b'y';
const FINISHED: u8 = b'h';

const RUN_BYTES: usize = 16;
const DIGEST_BYTES: usize = 32;
const HALF_DIGEST_BYTES: usize = 16;

/// Part `part` of the append whose last event is `last`.
pub(crate) fn events(run: RunId, last: u64, part: u16) -> [u8; 27] {
    let mut key = Key::new(EVENTS);
    key.put(run.as_bytes()).put(&last.to_be_bytes()).put(&part.to_be_bytes());
    key.done()
}

pub(crate) fn run(run: RunId) -> [u8; 17] {
    run_key(RUN, run)
}

/// Part `part` of a blob.
pub(crate) fn blob(digest: Digest, part: u16) -> [u8; 35] {
    let mut key = Key::new(BLOB);
    key.put(digest.as_bytes()).put(&part.to_be_bytes());
    key.done()
}

/// That a run holds a blob.
pub(crate) fn of_run(run: RunId, digest: Digest) -> [u8; 49] {
    let mut key = Key::new(OF_RUN);
    key.put(run.as_bytes()).put(digest.as_bytes());
    key.done()
}

/// What the keys of all holds of a run start with; the digest follows.
pub(crate) fn all_of_run(run: RunId) -> [u8; 17] {
    run_key(OF_RUN, run)
}

/// The digest that a key of a hold ends with.
pub(crate) fn held_digest(key: &[u8]) -> Option<Digest> {
    key.last_chunk::<DIGEST_BYTES>().map(|digest| Digest::from_bytes(*digest))
}

/// How many runs hold a blob.
pub(crate) fn holders(digest: Digest) -> [u8; 33] {
    digest_key(HOLDERS, digest)
}

/// Until when a blob is held without a run.
pub(crate) fn until(digest: Digest) -> [u8; 33] {
    digest_key(UNTIL, digest)
}

/// What is kept there; read by [`read_instant`].
pub(crate) fn instant(at: Timestamp) -> [u8; 16] {
    due_bytes(at)
}

pub(crate) fn read_instant(bytes: &[u8]) -> Option<Timestamp> {
    let nanos = u128::from_be_bytes(bytes.try_into().ok()?) ^ SIGN;
    Timestamp::from_nanosecond(nanos.cast_signed()).ok()
}

pub(crate) fn by_until(until: Timestamp, digest: Digest) -> [u8; 49] {
    let mut key = Key::new(BY_UNTIL);
    key.put(&due_bytes(until)).put(digest.as_bytes());
    key.done()
}

/// The keys of all blobs that are held until `now` at the latest, as the ends of a range that has both.
pub(crate) fn over_at(now: Timestamp) -> ([u8; 1], [u8; 49]) {
    ([BY_UNTIL], by_until(now, Digest::from_bytes([u8::MAX; DIGEST_BYTES])))
}

/// Until when the blob of this key is held, and which it is.
pub(crate) fn read_until(key: &[u8]) -> Option<(Timestamp, Digest)> {
    let (until, digest) = key.strip_prefix(&[BY_UNTIL])?.split_at_checked(16)?;
    Some((read_instant(until)?, held_digest(digest)?))
}

/// That a run was removed.
pub(crate) fn removed(run: RunId) -> [u8; 17] {
    run_key(REMOVED, run)
}

/// That a run which is not there holds a blob.
pub(crate) fn early(run: RunId) -> [u8; 17] {
    run_key(EARLY, run)
}

/// What the keys of [`removed`] and of [`early`] start with.
pub(crate) const ALL_REMOVED: [u8; 1] = [REMOVED];
pub(crate) const ALL_EARLY: [u8; 1] = [EARLY];

/// The timer of a step, or of the run itself.
pub(crate) fn timer(due: Timestamp, run: RunId, step: Option<&StepId>) -> [u8; 49] {
    let mut key = Key::new(TIMER);
    let step = step.map_or([0; HALF_DIGEST_BYTES], |step| half_digest(step.as_str()));
    key.put(&due_bytes(due)).put(run.as_bytes()).put(&step);
    key.done()
}

/// The keys of all timers that are due at `now`, as the ends of a range that has both.
pub(crate) fn timers_until(now: Timestamp) -> ([u8; 1], [u8; 49]) {
    let mut last = Key::new(TIMER);
    last.put(&due_bytes(now)).put(&[u8::MAX; RUN_BYTES + HALF_DIGEST_BYTES]);
    ([TIMER], last.done())
}

/// When the timer of this key is due, and of which run it is.
pub(crate) fn read_timer(key: &[u8]) -> Option<(Timestamp, RunId)> {
    let (due, rest) = key.strip_prefix(&[TIMER])?.split_first_chunk::<16>()?;
    let (run, _) = rest.split_first_chunk::<RUN_BYTES>()?;
    Some((read_instant(due)?, RunId::from_bytes(*run)))
}

pub(crate) fn finished(at: Timestamp, run: RunId) -> [u8; 33] {
    let mut key = Key::new(FINISHED);
    key.put(&due_bytes(at)).put(run.as_bytes());
    key.done()
}

/// The keys of all runs that ended before then, as the ends of a range that has the first only.
pub(crate) fn finished_before(at: Timestamp) -> ([u8; 1], [u8; 33]) {
    ([FINISHED], finished(at, RunId::from_bytes([0; RUN_BYTES])))
}

/// When the run of this key ended, and which it is.
pub(crate) fn read_finished(key: &[u8]) -> Option<(Timestamp, RunId)> {
    let (at, run) = key.strip_prefix(&[FINISHED])?.split_first_chunk::<16>()?;
    Some((read_instant(at)?, RunId::from_bytes(run.try_into().ok()?)))
}

/// The run that an index key, of any kind, ends with.
pub(crate) fn indexed_run(key: &[u8]) -> Option<RunId> {
    key.last_chunk::<RUN_BYTES>().map(|run| RunId::from_bytes(*run))
}

/// The keys by which a run is listed.
pub(crate) fn index_of(id: RunId, summary: &RunSummary) -> impl Iterator<Item = Vec<u8>> + use<> {
    let flow = half_digest(&summary.flow);
    let status = [status_byte(summary.status)];
    let key = |parts: &[&[u8]]| [parts.concat().as_slice(), id.as_bytes()].concat();
    let keys = [
        key(&[&[BY_STATUS], &status]),
        key(&[&[BY_FLOW], &flow]),
        key(&[&[BY_FLOW_AND_STATUS], &flow, &status]),
    ];
    keys.into_iter().chain(summary.ended_at().map(|at| finished(at, id).to_vec()))
}

/// What the keys of a listing start with; the run's id follows.
pub(crate) fn listing(query: &Query) -> Vec<u8> {
    let status = query.status.map(|status| [status_byte(status)]);
    let flow = query.flow.as_deref().map(half_digest);
    match (flow, status) {
        (None, None) => vec![RUN],
        (None, Some(status)) => [&[BY_STATUS], status.as_slice()].concat(),
        (Some(flow), None) => [&[BY_FLOW], flow.as_slice()].concat(),
        (Some(flow), Some(status)) => [&[BY_FLOW_AND_STATUS], flow.as_slice(), status.as_slice()].concat(),
    }
}

/// These bytes are on the disk: a new status gets a new one, an old one keeps its own.
pub(crate) fn status_byte(status: RunStatus) -> u8 {
    match status {
        RunStatus::Queued => b'q',
        RunStatus::Running => b'r',
        RunStatus::Waiting => b'w',
        RunStatus::Succeeded => b's',
        RunStatus::Failed => b'f',
        RunStatus::Cancelled => b'c',
    }
}

pub(crate) fn status_of(byte: u8) -> Option<RunStatus> {
    use RunStatus::{Cancelled, Failed, Queued, Running, Succeeded, Waiting};
    let all = [Queued, Running, Waiting, Succeeded, Failed, Cancelled];
    all.into_iter().find(|status| status_byte(*status) == byte)
}

/// Turns the order of signed numbers into that of unsigned ones.
const SIGN: u128 = 1 << 127;

fn due_bytes(due: Timestamp) -> [u8; 16] {
    (due.as_nanosecond().cast_unsigned() ^ SIGN).to_be_bytes()
}

fn run_key(kind: u8, run: RunId) -> [u8; 17] {
    let mut key = Key::new(kind);
    key.put(run.as_bytes());
    key.done()
}

fn digest_key(kind: u8, digest: Digest) -> [u8; 33] {
    let mut key = Key::new(kind);
    key.put(digest.as_bytes());
    key.done()
}

fn half_digest(name: &str) -> [u8; HALF_DIGEST_BYTES] {
    let mut half = [0; HALF_DIGEST_BYTES];
    half.iter_mut().zip(Digest::of(name.as_bytes()).as_bytes()).for_each(|(half, byte)| *half = *byte);
    half
}

/// A key of fixed length under construction.
struct Key<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Key<N> {
    fn new(kind: u8) -> Self {
        let mut key = Self { bytes: [0; N], len: 0 };
        key.put(&[kind]);
        key
    }

    fn put(&mut self, part: &[u8]) -> &mut Self {
        for (to, from) in self.bytes.iter_mut().skip(self.len).zip(part) {
            *to = *from;
        }
        self.len += part.len();
        self
    }

    fn done(self) -> [u8; N] {
        debug_assert_eq!(self.len, N, "a key is as long as its type says");
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn instant() -> impl Strategy<Value = Timestamp> {
        (Timestamp::MIN.as_nanosecond()..=Timestamp::MAX.as_nanosecond())
            .prop_map(|nanos| Timestamp::from_nanosecond(nanos).unwrap())
    }

    fn id() -> impl Strategy<Value = RunId> {
        any::<[u8; 16]>().prop_map(RunId::from_bytes)
    }

    proptest! {
        #[test]
        fn timers_sort_by_when_they_are_due(a in instant(), b in instant(), x in id(), y in id()) {
            let step = StepId::new("a").unwrap();
            let keys = timer(a, x, Some(&step)).cmp(&timer(b, y, Some(&step)));
            prop_assert_eq!(keys, (a, x).cmp(&(b, y)));
        }

        #[test]
        fn timers_are_read_back(due in instant(), run in id()) {
            let key = timer(due, run, Some(&StepId::new("a").unwrap()));
            prop_assert_eq!(read_timer(&key), Some((due, run)));
            let (first, last) = timers_until(due);
            prop_assert!(key.as_slice() >= first.as_slice() && key <= last);
        }

        #[test]
        fn events_sort_by_run_then_seq(x in id(), y in id(), a: u64, b: u64, p: u16, q: u16) {
            prop_assert_eq!(events(x, a, p).cmp(&events(y, b, q)), (x, a, p).cmp(&(y, b, q)));
        }
    }
}
