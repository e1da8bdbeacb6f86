//! Many writers at once.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::{
    Error, SharedStore,
    suite::{append, run},
};

pub async fn writers_on_many_runs_all_get_through(store: &SharedStore) {
    const WRITERS: u64 = 64;
    const APPENDS: u64 = 20;
    let mut writers = JoinSet::new();
    for n in 1..=WRITERS {
        let store = Arc::clone(store);
        writers.spawn(async move {
            for seq in 0..APPENDS {
                store.append(append(run(n), seq, 1)).await.unwrap();
                let last = store.events(run(n), seq, 10).await.unwrap();
                assert_eq!(last, append(run(n), seq, 1).events, "what is acknowledged can be read");
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    for n in 1..=WRITERS {
        assert_eq!(store.events(run(n), 0, 100).await.unwrap(), append(run(n), 0, APPENDS).events);
    }
}

pub async fn writers_on_one_run_take_turns(store: &SharedStore) {
    const WRITERS: u64 = 16;
    const APPENDS: u64 = 10;
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let store = Arc::clone(store);
        writers.spawn(async move {
            let (mut won, mut at) = (0, 0);
            while won < APPENDS {
                match store.append(append(run(1), at, 1)).await {
                    Ok(()) => (won, at) = (won + 1, at + 1),
                    Err(Error::Conflict { found, .. }) => at = found,
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let events = store.events(run(1), 0, 1000).await.unwrap();
    assert_eq!(events, append(run(1), 0, WRITERS * APPENDS).events);
}
