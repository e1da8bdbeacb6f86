//! Who holds what, over restarts.

use proptest::prelude::*;
use stepcell_store::{SharedStore, suite::bringing};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_never_began_holds_nothing_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let (never, begun) = (Bytes::from(vec![1; 100_000]), Bytes::from_static(b"begun"));
    {
        let store = open(&folder);
        store.put_blob(never.clone(), Hold::Run(run(1))).await.unwrap();
        store.put_blob(begun.clone(), Hold::Run(run(2))).await.unwrap();
        store.append(first(run(2))).await.unwrap();
        store.sweep(at(0)).await.unwrap();
        assert!(store.has_blob(Digest::of(&never)).await.unwrap(), "the run may still begin");
    }
    let store = open(&folder);
    store.sweep(at(0)).await.unwrap();
    assert!(!store.has_blob(Digest::of(&never)).await.unwrap());
    assert_eq!(store.blob(Digest::of(&begun)).await.unwrap(), Some(begun));
    whole::check(&store);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_was_cut_short_is_finished_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let blob = Bytes::from(vec![1; 100_000]);
    {
        let store = open(&folder);
        for seq in 0..10 {
            store.append(append(run(1), seq, 1)).await.unwrap();
        }
        let mut last = append(run(1), 10, 1);
        last.summary.status = RunStatus::Failed;
        last.blobs = vec![bringing(&blob)];
        store.append(last).await.unwrap();
        // What `remove_run` does first; its process is gone after that.
        store.write(Body::Remove(run(1))).await.unwrap();
    }
    let store = open(&folder);
    assert_eq!(store.summary(run(1)).await.unwrap(), None);
    store.sweep(at(0)).await.unwrap();
    assert!(!store.has_blob(Digest::of(&blob)).await.unwrap());
    whole::check(&store);
}

/// Something that is done to a store.
#[derive(Debug, Clone)]
enum Act {
    Upload {
        blob: usize,
        until: i64,
    },
    /// By a run that is there.
    Put {
        blob: usize,
        run: u64,
    },
    Begin {
        blobs: Vec<usize>,
    },
    Name {
        blob: usize,
    },
    Remove {
        run: u64,
    },
    Sweep {
        now: i64,
    },
    Reopen,
}

const BLOBS: usize = 4;
const TIMES: std::ops::Range<i64> = 0..6;

/// Two small ones, two large ones.
fn blob(number: usize) -> Bytes {
    Bytes::from(vec![number as u8; [10, 10_000, 70_000, 140_000][number]])
}

fn act() -> impl Strategy<Value = Act> {
    let (blob, run) = (0..BLOBS, 1..12_u64);
    prop_oneof![
        3 => (blob.clone(), TIMES).prop_map(|(blob, until)| Act::Upload { blob, until }),
        2 => (blob.clone(), run.clone()).prop_map(|(blob, run)| Act::Put { blob, run }),
        4 => prop::collection::vec(blob.clone(), 0..3).prop_map(|blobs| Act::Begin { blobs }),
        2 => blob.prop_map(|blob| Act::Name { blob }),
        4 => run.prop_map(|run| Act::Remove { run }),
        2 => TIMES.prop_map(|now| Act::Sweep { now }),
        1 => Just(Act::Reopen),
    ]
}

/// Does it; gives what a caller sees of it.
async fn perform(store: &SharedStore, act: &Act, begun: u64) -> String {
    match act {
        Act::Upload { blob: number, until } => {
            format!("{:?}", store.put_blob(blob(*number), Hold::Until(at(*until))).await)
        }
        Act::Put { blob: number, run: n } => match store.summary(run(*n)).await.unwrap() {
            Some(_) => format!("{:?}", store.put_blob(blob(*number), Hold::Run(run(*n))).await),
            None => String::new(),
        },
        Act::Begin { blobs } => {
            let blobs = blobs.iter().map(|number| bringing(&blob(*number))).collect();
            format!("{:?}", store.append(suite::ended(run(begun), blobs)).await)
        }
        Act::Name { blob: number } => {
            let named = vec![suite::naming(&blob(*number))];
            format!("{:?}", store.append(suite::ended(run(begun), named)).await)
        }
        Act::Remove { run: n } => format!("{:?}", store.remove_run(run(*n)).await),
        Act::Sweep { now } => format!("{:?}", store.sweep(at(*now)).await),
        Act::Reopen => String::new(),
    }
}

async fn blobs_of(store: &SharedStore) -> Vec<bool> {
    let mut there = Vec::new();
    for number in 0..BLOBS {
        let bytes = store.blob(Digest::of(&blob(number))).await.unwrap();
        assert!(bytes.as_ref().is_none_or(|bytes| *bytes == blob(number)));
        assert_eq!(store.has_blob(Digest::of(&blob(number))).await.unwrap(), bytes.is_some());
        there.push(bytes.is_some());
    }
    there
}

impl alike::Act for Act {
    type Seen = Vec<bool>;

    fn begins(&self) -> bool {
        matches!(self, Self::Begin { .. } | Self::Name { .. })
    }

    fn reopens(&self) -> bool {
        matches!(self, Self::Reopen)
    }

    async fn perform(&self, store: &SharedStore, begun: u64) -> String {
        perform(store, self, begun).await
    }

    async fn seen(store: &SharedStore) -> Vec<bool> {
        blobs_of(store).await
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_disk_keeps_what_memory_keeps(acts in prop::collection::vec(act(), 1..40)) {
        alike::check(acts);
    }
}
