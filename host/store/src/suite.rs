//! What every backend must do, as one list of behaviours.
//!
//! A backend calls [`compliance!`](crate::compliance) in its tests with an async function that gives a fresh,
//! empty store; each behaviour becomes a test of its own name.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test library: a broken expectation is to fail the test that calls it"
)]

use std::{any::Any, fmt};

use bytes::Bytes;
use jiff::Timestamp;
use stepcell_core::{Digest, Event, EventKind, RunId, StepId, event::StepLog};

use crate::{Append, BlobRef, RunStatus, RunSummary, SharedStore, TimerChange};

pub mod append;
pub mod blobs;
pub mod claims;
pub mod events;
pub mod listing;
pub mod load;
pub mod news;
pub mod reading;
pub mod removal;
pub mod retention;
pub mod timers;
pub mod waits;

/// Makes one tokio test of each behaviour. `$fresh` is a function `async fn() -> Fixture`.
#[macro_export]
macro_rules! compliance {
    ($fresh:expr) => {
        $crate::compliance! { @ $fresh;
            append::a_new_run_starts_at_one
            append::a_stale_writer_is_refused
            append::a_writer_that_is_ahead_is_refused
            append::a_gap_is_refused
            append::an_append_without_events_is_refused
            append::a_refused_append_changes_nothing
            append::appends_keep_their_order_without_waiting
            append::an_append_behind_a_refused_one_is_refused
            append::an_append_that_nobody_waits_for_is_done
            reading::events_come_in_pages
            reading::pages_start_within_an_append
            reading::no_such_run_has_nothing
            reading::events_come_back_as_they_were
            reading::large_events_come_back_whole
            reading::the_summary_is_that_of_the_last_append
            listing::runs_are_listed_newest_first
            listing::pages_join_without_gaps
            listing::runs_are_listed_by_status
            listing::runs_are_listed_by_flow
            listing::flow_names_may_hold_anything
            listing::filters_combine
            listing::unfinished_runs_are_queued_or_running
            listing::queued_runs_come_oldest_first
            timers::due_timers_come_earliest_first
            timers::a_timer_is_due_to_the_nanosecond
            timers::a_timer_stays_until_it_is_cleared
            timers::an_append_sets_and_clears_at_once
            timers::timers_of_a_refused_append_are_not_set
            timers::items_of_a_fan_out_have_their_own
            timers::a_run_has_a_timer_of_its_own
            blobs::bytes_come_back
            blobs::the_same_bytes_are_kept_once
            blobs::large_blobs_come_back
            blobs::an_unknown_digest_has_no_bytes
            blobs::a_blob_is_kept_until_its_time_is_over
            blobs::the_latest_time_counts
            blobs::an_append_holds_what_it_names
            blobs::an_append_brings_what_is_not_there
            blobs::an_append_that_names_what_is_not_there_is_refused
            blobs::blobs_of_a_refused_append_are_not_held
            blobs::what_a_run_holds_is_listed_in_pages
            removal::nothing_of_a_removed_run_is_left
            removal::only_a_run_that_has_ended_is_removed
            removal::a_removed_run_is_in_no_listing
            removal::large_events_go_with_their_run
            removal::a_long_run_goes_whole
            removal::a_blob_goes_with_the_last_run_that_holds_it
            removal::a_blob_of_a_run_outlives_its_time
            removal::what_a_run_puts_before_its_first_event_is_its_own
            removal::timers_that_a_removed_run_left_go_when_they_are_due
            removal::appends_and_removals_of_one_blob_take_turns
            removal::sweeping_twice_writes_nothing
            claims::a_claim_finds_its_run
            claims::a_key_is_claimed_once
            claims::of_many_claims_at_a_time_one_wins
            claims::a_claim_that_comes_late_is_refused
            claims::a_refused_append_claims_nothing
            claims::a_claim_goes_with_its_run
            waits::who_waits_is_found_by_name
            waits::waits_come_in_pages
            waits::a_wait_ends_where_it_is_cleared
            waits::a_wait_that_is_set_again_takes_its_place
            waits::waits_of_a_refused_append_are_not_set
            waits::what_is_too_large_to_match_is_left_to_the_log
            waits::a_removed_run_waits_for_nothing
            waits::who_waits_and_who_sends_do_not_miss_each_other
            events::an_event_is_kept_once
            events::events_come_oldest_first_and_in_pages
            events::events_of_the_same_instant_are_all_found
            events::an_event_is_found_by_its_name_and_id
            events::a_run_finds_what_it_may_have
            events::one_of_many_takes_an_event
            events::an_event_that_all_have_taken_is_nobodys
            events::an_event_is_kept_until_its_time_is_over
            events::payloads_of_all_sizes_come_back
            events::an_event_that_is_too_large_is_refused
            events::a_flood_of_events_is_forgotten_in_one_sweep
            retention::finished_runs_come_by_when_they_ended
            retention::a_run_that_says_not_when_it_ended_is_as_old_as_it_is
            retention::finished_runs_are_counted
            retention::many_runs_are_removed_together
            news::appends_are_told_of
            news::what_is_told_of_can_be_read
            news::a_refused_append_is_not_told_of
            load::writers_on_many_runs_all_get_through
            load::writers_on_one_run_take_turns
        }
    };
    (@ $fresh:expr; $($group:ident :: $name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let fixture = ($fresh)().await;
                $crate::suite::$group::$name(&fixture.store).await;
            }
        )*
    };
}

/// A store under test, and what has to live as long as it does, such as its folder.
pub struct Fixture {
    pub store: SharedStore,
    // Behind the store, so that it is dropped after it.
    _kept: Option<Box<dyn Any + Send>>,
}

impl Fixture {
    pub fn new(store: SharedStore) -> Self {
        Self { store, _kept: None }
    }

    /// Drops `kept` after the store.
    pub fn keeping(store: SharedStore, kept: impl Any + Send) -> Self {
        Self { store, _kept: Some(Box::new(kept)) }
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").field("store", &self.store).finish_non_exhaustive()
    }
}

/// Run number `n`: a higher number is a newer run.
pub fn run(n: u64) -> RunId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    RunId::from_bytes(bytes)
}

/// The instant `seconds` after a fixed one.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

/// A step's id.
pub fn step(id: &str) -> StepId {
    StepId::new(id).unwrap()
}

/// An event that carries `text`.
pub fn event(seq: u64, text: &str) -> Event {
    let log = StepLog { attempt: 1, text: text.to_owned(), dropped_bytes: 0, receipt: None };
    Event { seq, at: at(0), step: Some(step("a")), kind: EventKind::StepLog(log) }
}

/// A text that packing makes no shorter, another one for each seed.
pub fn noise(bytes: usize, seed: u64) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let blocks = (0_u64..).map(|n| Digest::of(&[seed, n].map(u64::to_be_bytes).concat()));
    let letters = blocks.flat_map(|block| *block.as_bytes()).map(|byte| LETTERS[usize::from(byte % 64)]);
    letters.take(bytes).map(char::from).collect()
}

/// The listing entry of a running run of the flow `f` that is at event `seq`.
pub fn summary(seq: u64) -> RunSummary {
    RunSummary { flow: "f".to_owned(), status: RunStatus::Running, created_at: at(0), finished_at: None, seq }
}

/// `count` events that go on from `expected`, each with a text of its own.
pub fn append(run: RunId, expected: u64, count: u64) -> Append {
    let last = expected + count;
    let events = (expected + 1..=last).map(|seq| event(seq, &format!("{run} {seq}"))).collect();
    Append {
        run,
        expected,
        events,
        summary: summary(last),
        timers: Vec::new(),
        waits: Vec::new(),
        claim: None,
        blobs: Vec::new(),
    }
}

/// The first event of a run.
pub fn first(run: RunId) -> Append {
    append(run, 0, 1)
}

/// The first event of a run with this status and flow.
pub fn first_as(run: RunId, status: RunStatus, flow: &str) -> Append {
    let mut append = first(run);
    append.summary.status = status;
    append.summary.flow = flow.to_owned();
    append
}

/// The only event of a run that has ended, with these blobs.
pub fn ended(run: RunId, blobs: Vec<BlobRef>) -> Append {
    Append { blobs, ..first_as(run, RunStatus::Succeeded, "f") }
}

/// A reference that brings its bytes.
pub fn bringing(bytes: &Bytes) -> BlobRef {
    BlobRef { digest: Digest::of(bytes), bytes: Some(bytes.clone()) }
}

/// A reference to what is there.
pub fn naming(bytes: &Bytes) -> BlobRef {
    BlobRef { digest: Digest::of(bytes), bytes: None }
}

/// One more event, and these timers.
pub fn with_timers(run: RunId, expected: u64, timers: Vec<TimerChange>) -> Append {
    Append { timers, ..append(run, expected, 1) }
}
