use std::collections::BTreeMap;

use proptest::prelude::*;
use stepcell_core::{
    Fault,
    flow::{Backoff, Rule},
};

use super::*;

const FAULTS: [Fault; 6] =
    [Fault::Config, Fault::Denied, Fault::Unavailable, Fault::Timeout, Fault::Limit, Fault::Failed];

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn rule() -> Rule {
    let backoff = Backoff::Exponential { initial: millis(100), factor: 2.0, max: millis(500) };
    Rule { max_attempts: 5, backoff, jitter: false }
}

fn retry(rule: Rule) -> Retry {
    Retry { rule, ..Retry::default() }
}

fn passing() -> Failure {
    Failure::system(Fault::Unavailable, "x", "x").retryable()
}

/// The wait after `attempt`, in milliseconds.
fn wait(retry: &Retry, attempt: u32, failure: &Failure, spread: f64) -> Option<u128> {
    next_wait(retry, attempt, Duration::ZERO, failure, spread).map(|wait| wait.as_millis())
}

#[test]
fn waits_grow_up_to_the_most() {
    let waits: Vec<_> = (1..=5).map(|attempt| wait(&retry(rule()), attempt, &passing(), 0.0)).collect();
    assert_eq!(waits, [Some(100), Some(200), Some(400), Some(500), None]);
}

#[test]
fn jitter_keeps_the_upper_half() {
    let retry = retry(Rule { jitter: true, ..rule() });
    assert_eq!(wait(&retry, 1, &passing(), 0.0), Some(50));
    assert_eq!(wait(&retry, 1, &passing(), 1.0), Some(100));
}

#[test]
fn what_can_not_pass_is_not_tried_again() {
    for fault in FAULTS {
        let failure = Failure::system(fault, "x", "x");
        assert_eq!(wait(&retry(rule()), 1, &failure, 0.0), None, "{fault:?}");
        assert_eq!(wait(&retry(rule()), 1, &failure.retryable(), 0.0), Some(100), "{fault:?}");
    }
}

#[test]
fn a_fault_with_a_rule_of_its_own_goes_by_that_alone() {
    let often = Rule { max_attempts: 9, backoff: Backoff::Constant(millis(7)), jitter: false };
    let never = Rule { max_attempts: 1, ..rule() };
    let faults = BTreeMap::from([(Fault::Failed, often), (Fault::Unavailable, never)]);
    let retry = Retry { faults, ..retry(rule()) };
    let failed = Failure::system(Fault::Failed, "x", "x");
    assert!(!failed.retryable);
    assert_eq!(wait(&retry, 8, &failed, 0.0), Some(7));
    assert_eq!(wait(&retry, 9, &failed, 0.0), None);
    assert_eq!(wait(&retry, 1, &passing(), 0.0), None);
}

#[test]
fn the_other_side_may_ask_for_more() {
    let failure = Failure { retry_after_ms: Some(9_000), ..passing() };
    assert_eq!(wait(&retry(rule()), 1, &failure, 0.0), Some(9_000));
}

#[test]
fn no_wait_ends_past_the_most_total_time() {
    let retry = Retry { max_elapsed: Some(millis(1_000)), ..retry(rule()) };
    let wait = |elapsed, failure: &Failure| next_wait(&retry, 1, millis(elapsed), failure, 0.0);
    assert_eq!(wait(900, &passing()), Some(millis(100)));
    assert_eq!(wait(901, &passing()), None);
    // What the other side asks for is not cut to what is left.
    let failure = Failure { retry_after_ms: Some(600), ..passing() };
    assert_eq!(wait(400, &failure), Some(millis(600)));
    assert_eq!(wait(401, &failure), None);
}

#[test]
fn wild_numbers_stay_within_the_most() {
    let backoff = Backoff::Exponential { initial: millis(100), factor: 1e300, max: millis(500) };
    let retry = retry(Rule { max_attempts: u32::MAX, backoff, jitter: false });
    assert_eq!(wait(&retry, 4_000_000, &passing(), 0.0), Some(500));
}

fn any_backoff() -> impl Strategy<Value = Backoff> {
    let time = || (0u64..40_000_000).prop_map(millis);
    prop_oneof![
        (time(), 1.0..100.0, time()).prop_map(|(initial, factor, max)| Backoff::Exponential {
            initial,
            factor,
            max: max.max(initial)
        }),
        time().prop_map(Backoff::Constant),
        prop::collection::vec(time(), 1..9).prop_map(Backoff::Listed),
    ]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    (1u32..12, any_backoff(), any::<bool>()).prop_map(|(max_attempts, backoff, jitter)| Rule {
        max_attempts,
        backoff,
        jitter,
    })
}

fn any_retry() -> impl Strategy<Value = Retry> {
    let faults = prop::collection::btree_map(prop::sample::select(FAULTS.to_vec()), any_rule(), 0..3);
    let elapsed = prop::option::of((1u64..90_000_000).prop_map(millis));
    (any_rule(), faults, elapsed).prop_map(|(rule, faults, max_elapsed)| Retry { rule, faults, max_elapsed })
}

fn any_failure() -> impl Strategy<Value = Failure> {
    let asked = prop::option::of(0u32..80_000_000);
    (prop::sample::select(FAULTS.to_vec()), any::<bool>(), asked).prop_map(|(fault, retryable, asked)| {
        Failure { retryable, retry_after_ms: asked, ..Failure::system(fault, "x", "x") }
    })
}

/// The longest wait that a rule can ask for.
fn longest(rule: &Rule) -> Duration {
    match &rule.backoff {
        Backoff::Exponential { max, .. } => *max,
        Backoff::Constant(wait) => *wait,
        Backoff::Listed(waits) => waits.iter().copied().max().unwrap_or_default(),
    }
}

proptest! {
    #[test]
    fn a_wait_keeps_all_bounds(retry in any_retry(), failure in any_failure(), spread in 0.0..1.0) {
        let rule = retry.faults.get(&failure.fault).unwrap_or(&retry.rule);
        let asked = millis(failure.retry_after_ms.unwrap_or(0).into());
        let mut elapsed = Duration::ZERO;
        let mut attempt = 1;
        while let Some(wait) = next_wait(&retry, attempt, elapsed, &failure, spread) {
            prop_assert!(wait >= asked);
            prop_assert!(wait <= longest(rule).max(asked));
            elapsed += wait;
            attempt += 1;
            prop_assert!(retry.max_elapsed.is_none_or(|most| elapsed <= most));
        }
        prop_assert!(attempt <= rule.max_attempts);
        if !failure.retryable && !retry.faults.contains_key(&failure.fault) {
            prop_assert_eq!(attempt, 1);
        }
    }

    #[test]
    fn no_wait_is_shorter_than_half_of_its_rule(rule in any_rule(), attempt in 1u32..12, spread in 0.0..1.0) {
        let plain = rule.wait_after(attempt);
        let wait = next_wait(&retry(rule.clone()), attempt, Duration::ZERO, &passing(), spread);
        prop_assert_eq!(wait.is_some(), plain.is_some());
        if let (Some(wait), Some(plain)) = (wait, plain) {
            let least = if rule.jitter { plain / 2 } else { plain };
            prop_assert!(wait >= least && wait <= plain);
        }
    }

    #[test]
    fn exponential_waits_never_shrink(backoff in any_backoff()) {
        let rule = Rule { max_attempts: 100, backoff, jitter: false };
        let waits: Vec<_> = (1..100).map_while(|attempt| rule.wait_after(attempt)).collect();
        prop_assert!(matches!(rule.backoff, Backoff::Listed(_)) || waits.is_sorted());
    }
}
