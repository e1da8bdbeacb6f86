use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn run(n: u8) -> RunId {
    RunId::from_bytes([n; 16])
}

fn places(active: usize, queue: usize, flows: &[(&str, usize)]) -> Places {
    let flows = flows.iter().map(|(name, most)| ((*name).to_owned(), *most)).collect();
    let mut places = Places::new(&Admission { active, queue, flows, steps: BTreeMap::new() });
    places.open();
    places
}

/// Submits runs of a flow one by one; gives those that start at once.
fn submit(places: &mut Places, flow: &str, own: Own, runs: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let mut started = Vec::new();
    for n in runs {
        if places.enter(flow, own, &[run(n)]).unwrap() == 1 {
            started.push(n);
        } else {
            places.settle(run(n));
        }
    }
    started
}

fn next(places: &mut Places) -> Option<u8> {
    places.next().map(|(run, _)| run.as_bytes()[0])
}

#[test]
fn runs_start_while_there_are_places() {
    let mut places = places(2, 10, &[]);
    assert_eq!(submit(&mut places, "f", Own::Unlimited, 1..=4), [1, 2]);
    assert_eq!((places.queued(), next(&mut places)), (2, None));
    places.leave("f");
    assert_eq!((next(&mut places), next(&mut places)), (Some(3), None));
}

#[test]
fn a_flow_at_its_limit_holds_up_no_other() {
    let mut places = places(3, 10, &[("slow", 1)]);
    assert_eq!(submit(&mut places, "slow", Own::Unlimited, 1..=3), [1]);
    assert_eq!(submit(&mut places, "quick", Own::Unlimited, 4..=6), [4, 5]);
    places.leave("quick");
    assert_eq!(next(&mut places), Some(6));
    places.leave("slow");
    assert_eq!((next(&mut places), next(&mut places)), (Some(2), None));
}

#[test]
fn the_oldest_of_all_flows_is_next() {
    let mut places = places(1, 10, &[]);
    submit(&mut places, "a", Own::Unlimited, [1, 4]);
    submit(&mut places, "b", Own::Unlimited, [2, 5]);
    submit(&mut places, "c", Own::Unlimited, [3]);
    let mut order = Vec::new();
    let mut ended = "a".to_owned();
    loop {
        places.leave(&ended);
        let Some((run, flow)) = places.next() else { break };
        order.push(run.as_bytes()[0]);
        ended = flow.to_string();
    }
    assert_eq!(order, [2, 3, 4, 5]);
}

#[test]
fn the_smaller_of_both_limits_holds() {
    let mut narrow = places(9, 9, &[("f", 3)]);
    assert_eq!(submit(&mut narrow, "f", Own::Most(2), 1..=4), [1, 2]);
    let mut wide = places(9, 9, &[("f", 1)]);
    assert_eq!(submit(&mut wide, "f", Own::Most(2), 1..=4), [1]);
}

#[test]
fn the_newest_definition_counts() {
    let mut places = places(9, 9, &[]);
    submit(&mut places, "f", Own::Most(1), 1..=4);
    submit(&mut places, "f", Own::Most(3), [5]);
    assert_eq!((next(&mut places), next(&mut places), next(&mut places)), (Some(2), Some(3), None));
}

#[test]
fn an_older_definition_that_is_read_later_does_not_count() {
    let mut places = places(9, 9, &[]);
    assert_eq!(submit(&mut places, "f", Own::Most(1), 1..=4), [1]);
    // A run of the time before is woken.
    places.join("f");
    places.learn("f", Own::Unlimited);
    assert_eq!(next(&mut places), None);
}

#[test]
fn a_definition_whose_runs_were_refused_does_not_count() {
    let mut places = places(9, 2, &[]);
    assert_eq!(submit(&mut places, "f", Own::Most(1), 1..=3), [1]);
    assert!(places.enter("f", Own::Unlimited, &[run(4)]).is_err());
    assert_eq!(next(&mut places), None);
}

#[test]
fn a_flow_that_was_not_read_yet_runs_one_at_a_time() {
    let mut places = places(9, 9, &[]);
    (1..=3).for_each(|n| places.requeue(run(n), "f"));
    assert_eq!((next(&mut places), next(&mut places)), (Some(1), None));
    places.learn("f", Own::Unlimited);
    assert_eq!((next(&mut places), next(&mut places)), (Some(2), Some(3)));
}

#[test]
fn what_is_not_on_the_disk_does_not_start() {
    let mut places = places(1, 9, &[]);
    submit(&mut places, "f", Own::Unlimited, [1]);
    assert_eq!(places.enter("f", Own::Unlimited, &[run(2)]), Ok(0));
    places.leave("f");
    assert_eq!(next(&mut places), None);
    // Nobody else gets in before it.
    assert_eq!(places.enter("f", Own::Unlimited, &[run(3)]), Ok(0));
    places.settle(run(2));
    assert_eq!(next(&mut places), Some(2));
}

#[test]
fn who_leaves_the_queue_does_not_come_back() {
    let mut places = places(1, 9, &[]);
    submit(&mut places, "f", Own::Unlimited, 1..=3);
    assert_eq!(places.dequeue(run(2)).as_deref(), Some("f"));
    assert_eq!(places.dequeue(run(2)), None);
    places.settle(run(2));
    places.leave("f");
    assert_eq!(next(&mut places), Some(3));
}

#[test]
fn a_full_queue_takes_all_or_none() {
    let mut places = places(1, 2, &[]);
    let runs: Vec<_> = (1..=4).map(run).collect();
    let full = places.enter("f", Own::Unlimited, &runs).unwrap_err();
    assert_eq!(full.queued, 0);
    assert!((SOONEST..=LATEST).contains(&full.retry_after), "{full:?}");
    assert_eq!(places.enter("f", Own::Unlimited, &runs[..3]), Ok(1));
    assert_eq!(places.queued(), 2);
    assert!(places.enter("f", Own::Unlimited, &runs[3..]).is_err());
    assert_eq!(places.enter("f", Own::Unlimited, &[]), Ok(0));
}

#[test]
fn a_woken_run_takes_a_place_that_is_not_there() {
    let mut places = places(1, 9, &[]);
    submit(&mut places, "f", Own::Unlimited, 1..=2);
    places.join("f");
    places.leave("f");
    assert_eq!(next(&mut places), None);
    places.leave("f");
    assert_eq!(next(&mut places), Some(2));
}

#[test]
fn nothing_leaves_the_queue_before_it_is_open() {
    let mut places = Places::new(&Admission { active: 9, ..Admission::default() });
    places.requeue(run(1), "f");
    assert_eq!(places.enter("g", Own::Unlimited, &[run(2)]), Ok(0));
    places.settle(run(2));
    assert_eq!(next(&mut places), None);
    places.open();
    assert_eq!((next(&mut places), next(&mut places)), (Some(1), Some(2)));
}

#[test]
fn an_empty_queue_holds_up_nobody_at_the_start() {
    let mut places = Places::new(&Admission { active: 1, ..Admission::default() });
    assert_eq!(places.enter("g", Own::Unlimited, &[run(1)]), Ok(1));
    assert_eq!(places.enter("g", Own::Unlimited, &[run(2)]), Ok(0));
}

#[test]
fn the_pace_tells_when_to_come_back() {
    let mut pace = Pace::default();
    let start = Instant::now();
    assert_eq!(pace.time_for(1, start), SOONEST);
    let each = Duration::from_secs(2);
    (0..100).for_each(|n| pace.started(start + each * n));
    let now = start + each * 99;
    let five = pace.time_for(5, now).as_secs_f64();
    assert!((9.0..=10.0).contains(&five), "{five}");
    assert_eq!(pace.time_for(1_000_000, now), LATEST);
    // It has come to a stop.
    assert!(pace.time_for(1, now + LATEST * 10) > pace.time_for(1, now));
}

#[test]
fn a_time_without_a_queue_is_no_pace() {
    let mut pace = Pace::default();
    let start = Instant::now();
    let each = Duration::from_secs(1);
    pace.begins(start);
    (1..=100).for_each(|n| pace.started(start + each * n));
    pace.stops();
    let night = start + Duration::from_secs(8 * 60 * 60);
    assert!(pace.time_for(5, night) <= each * 5);
    pace.begins(night);
    pace.started(night + each);
    assert!(pace.time_for(5, night + each) <= each * 5);
}

#[test]
fn a_queue_that_empties_and_fills_keeps_its_pace() {
    let mut places = places(1, 9, &[]);
    submit(&mut places, "f", Own::Unlimited, 1..=2);
    assert!(places.pace.last.is_some());
    places.leave("f");
    assert_eq!((next(&mut places), places.pace.last), (Some(2), None));
    places.requeue(run(3), "f");
    assert!(places.pace.last.is_some());
    places.dequeue(run(3));
    assert_eq!(places.pace.last, None);
}

#[derive(Debug, Clone)]
enum Act {
    Submit {
        flow: usize,
        runs: u8,
        own: Option<u8>,
    },
    End {
        of: usize,
    },
    Cancel {
        of: usize,
    },
    /// With the definition that its run began with.
    Wake {
        flow: usize,
        own: Option<u8>,
    },
    Start,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (0..3_usize, 1..4_u8, proptest::option::of(1..4_u8)).prop_map(|(flow, runs, own)| Act::Submit {
            flow,
            runs,
            own
        }),
        any::<usize>().prop_map(|of| Act::End { of }),
        any::<usize>().prop_map(|of| Act::Cancel { of }),
        (0..3_usize, proptest::option::of(1..4_u8)).prop_map(|(flow, own)| Act::Wake { flow, own }),
        Just(Act::Start),
    ];
    prop::collection::vec(act, 0..80)
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn of_flow(active: &[usize], flow: usize) -> usize {
    active.iter().filter(|of| **of == flow).count()
}

proptest! {
    /// Whatever happens: no more start than there are places, per flow and in all, the queue is within its limit, and
    /// when everything has ended nothing is left.
    #[test]
    fn limits_hold_and_nobody_is_forgotten(acts in acts()) {
        let mut places = places(3, 5, &[("a", 2)]);
        let (mut active, mut waiting): (Vec<usize>, Vec<(RunId, usize)>) = (Vec::new(), Vec::new());
        // What each flow's newest definition says.
        let mut owns = [None; NAMES.len()];
        let most = |flow: usize, own: Option<u8>| {
            let configured = if flow == 0 { 2 } else { usize::MAX };
            own.map_or(usize::MAX, usize::from).min(configured)
        };
        let mut last = 0_u64;
        let mut fresh = || { last += 1; let mut id = [0; 16]; id[..8].copy_from_slice(&last.to_be_bytes()); RunId::from_bytes(id) };
        for act in acts {
            match act {
                Act::Submit { flow, runs, own } => {
                    let ids: Vec<_> = (0..runs).map(|_| fresh()).collect();
                    let entered = own.map_or(Own::Unlimited, |own| Own::Most(own.into()));
                    if let Ok(started) = places.enter(NAMES[flow], entered, &ids) {
                        owns[flow] = own;
                        prop_assert!(started == 0 || active.len() + started <= 3);
                        active.extend(std::iter::repeat_n(flow, started));
                        prop_assert!(started == 0 || of_flow(&active, flow) <= most(flow, own));
                        for id in &ids[started..] {
                            places.settle(*id);
                            waiting.push((*id, flow));
                        }
                    }
                }
                Act::End { of } if !active.is_empty() => {
                    let flow = active.swap_remove(of % active.len());
                    places.leave(NAMES[flow]);
                }
                Act::Cancel { of } if !waiting.is_empty() => {
                    let (id, flow) = waiting.swap_remove(of % waiting.len());
                    let left = places.dequeue(id);
                    prop_assert_eq!(left.as_deref(), Some(NAMES[flow]));
                }
                Act::Wake { flow, own } => {
                    let known = active.contains(&flow) || waiting.iter().any(|(_, of)| *of == flow);
                    places.join(NAMES[flow]);
                    places.learn(NAMES[flow], own.map_or(Own::Unlimited, |own| Own::Most(own.into())));
                    if !known {
                        owns[flow] = own;
                    }
                    active.push(flow);
                }
                Act::Start => {
                    let before = active.len();
                    if let Some((id, flow)) = places.next() {
                        prop_assert!(before < 3);
                        let position = waiting.iter().position(|(waiting, _)| *waiting == id).unwrap();
                        let (_, of) = waiting.remove(position);
                        prop_assert_eq!(&*flow, NAMES[of]);
                        prop_assert!(of_flow(&active, of) < most(of, owns[of]));
                        // It is the oldest of its flow.
                        prop_assert!(waiting.iter().all(|(other, flow)| *flow != of || *other > id));
                        active.push(of);
                    }
                }
                Act::End { .. } | Act::Cancel { .. } => {}
            }
            prop_assert_eq!(places.queued(), waiting.len());
            prop_assert!(waiting.len() <= 5);
        }
        // Everybody who waits gets a turn.
        loop {
            while let Some((id, flow)) = places.next() {
                waiting.retain(|(waiting, _)| *waiting != id);
                active.push(NAMES.iter().position(|name| **name == *flow).unwrap());
            }
            let Some(flow) = active.pop() else { break };
            places.leave(NAMES[flow]);
        }
        prop_assert!(waiting.is_empty(), "{waiting:?}");
        prop_assert!(places.flows.is_empty() && places.heads.is_empty() && places.queued.is_empty());
        prop_assert_eq!(places.active, 0);
    }
}
