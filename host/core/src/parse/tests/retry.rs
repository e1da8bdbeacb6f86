//! `retry` as it is written, and the rules that it makes.

use super::*;
use crate::{
    Fault,
    flow::{Backoff, Retry, Rule},
};

#[track_caller]
fn retry(text: &str) -> Retry {
    flow(&with_step(&format!("    retry: {text}\n"))).steps["a"].retry.clone()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[track_caller]
fn waits(rule: &Rule, expected: &[u64]) {
    let found: Vec<_> = (1..).map_while(|attempt| rule.wait_after(attempt)).collect();
    assert_eq!(found, expected.iter().copied().map(Duration::from_millis).collect::<Vec<_>>(), "{rule:?}");
}

#[test]
fn what_is_left_out_has_a_default() {
    let Retry { rule, faults, max_elapsed } = retry("{ max_attempts: 3 }");
    assert_eq!((rule, faults.len(), max_elapsed), (Rule { max_attempts: 3, ..Rule::default() }, 0, None));
    // The longest wait is never shorter than the first.
    let Backoff::Exponential { max, .. } = retry("{ max_attempts: 3, initial: 1m }").rule.backoff else {
        panic!("it is exponential")
    };
    assert_eq!(max, seconds(60));
}

#[test]
fn waits_grow_stay_or_stand_in_a_list() {
    waits(&retry("{ max_attempts: 5, initial: 1s, max: 5s }").rule, &[1_000, 2_000, 4_000, 5_000]);
    waits(&retry("{ max_attempts: 3, initial: 3s, backoff: constant }").rule, &[3_000, 3_000]);
    waits(&retry("{ backoff: [1s, 5s, 1m] }").rule, &[1_000, 5_000, 60_000]);
    waits(&retry("{ backoff: [1s, 5s, 1m], max_attempts: 2 }").rule, &[1_000]);
    waits(&retry("{ max_attempts: 1 }").rule, &[]);
    assert_eq!(retry("{ backoff: [1s], max_elapsed: 10m }").max_elapsed, Some(seconds(600)));
}

#[test]
fn a_rule_for_a_fault_takes_from_the_other_what_it_leaves_out() {
    let Retry { rule, faults, .. } = retry(
        "{ max_attempts: 3, initial: 1s, jitter: false, faults: { unavailable: { max_attempts: 5, factor: 3 }, \
         denied: { max_attempts: 1 }, limit: { backoff: [7s] }, failed: { backoff: constant }, config: {}, timeout: } }",
    );
    let names: Vec<_> = faults.keys().copied().collect();
    assert_eq!(names, [Fault::Config, Fault::Denied, Fault::Unavailable, Fault::Limit, Fault::Failed]);
    waits(&rule, &[1_000, 2_000]);
    waits(&faults[&Fault::Unavailable], &[1_000, 3_000, 9_000, 27_000]);
    waits(&faults[&Fault::Denied], &[]);
    waits(&faults[&Fault::Limit], &[7_000]);
    waits(&faults[&Fault::Failed], &[1_000, 1_000]);
    assert_eq!(faults[&Fault::Config], rule);
    assert!(faults.values().all(|rule| !rule.jitter));
    // Waits of one length have no most, and so take none over.
    let faults = retry(
        "{ max_attempts: 3, initial: 1s, max: 10s, faults: { limit: { backoff: constant, initial: 1m } } }",
    )
    .faults;
    waits(&faults[&Fault::Limit], &[60_000, 60_000]);
}

#[test]
fn a_rule_for_a_fault_may_take_or_replace_a_list() {
    let Retry { rule, faults, .. } = retry(
        "{ backoff: [1s, 2s, 3s], faults: { denied: { max_attempts: 2 }, failed: { backoff: exponential, initial: 4s } } }",
    );
    waits(&rule, &[1_000, 2_000, 3_000]);
    waits(&faults[&Fault::Denied], &[1_000]);
    waits(&faults[&Fault::Failed], &[4_000, 8_000, 16_000]);
}

#[test]
fn where_some_faults_have_rules_the_others_may_be_final() {
    let Retry { rule, faults, .. } = retry("{ faults: { unavailable: { max_attempts: 2, initial: 1s } } }");
    waits(&rule, &[]);
    waits(&faults[&Fault::Unavailable], &[1_000]);
}

#[test]
fn rules_that_say_nothing_or_two_things_are_refused() {
    let text = "name: x
steps:
  - { id: a, type: t, retry: { initial: 1s } }
  - { id: b, type: t, retry: { backoff: [1s, 2], max_elapsed: 0s } }
  - { id: c, type: t, retry: { backoff: [1s], max_attempts: 3, initial: 1s, max: 2s } }
  - { id: d, type: t, retry: { backoff: linear, max_attempts: 101 } }
  - { id: e, type: t, retry: { backoff: constant, max_attempts: 2, factor: 2, max: 1s } }
  - { id: f, type: t, retry: { backoff: [], faults: { unavailble: {}, failed: 3 } } }
  - { id: g, type: t, retry: { faults: { failed: { initial: 1s, max_elapsed: 1s }, limit: { max_attempts: 0 } } } }
  - { id: h, type: t, retry: { max_attempts: 3, max: 1s, faults: { failed: { initial: 2s }, limit: {} } } }
  - { id: i, type: t, retry: { backoff: [1s, 2s], faults: { failed: { max_attempts: 9 }, limit: { factor: 3 } } } }
  - { id: j, type: t, retry: { backoff: 3, max_attempts: 2 } }
  - { id: k, type: t, retry: 3 }
";
    insta::assert_snapshot!(listing(&problems(text)));
    let long = format!("[{}]", vec!["1s"; 100].join(","));
    let found = listing(&problems(&with_step(&format!("    retry: {{ backoff: {long} }}\n"))));
    assert!(found.contains("a list of waits has 1 to 99 of them"), "{found}");
}
