//! Being told of new events.

use tokio::sync::broadcast::error::TryRecvError;

use crate::{
    SharedStore,
    suite::{append, first, run},
};

pub async fn appends_are_told_of(store: &SharedStore) {
    let mut one = store.subscribe();
    let mut other = store.subscribe();
    store.append(first(run(1))).await.unwrap();
    store.append(first(run(2))).await.unwrap();
    store.append(append(run(1), 1, 2)).await.unwrap();
    for news in [&mut one, &mut other] {
        assert_eq!(news.recv().await.unwrap(), run(1));
        assert_eq!(news.recv().await.unwrap(), run(2));
        assert_eq!(news.recv().await.unwrap(), run(1));
        assert_eq!(news.try_recv(), Err(TryRecvError::Empty));
    }
}

pub async fn what_is_told_of_can_be_read(store: &SharedStore) {
    let mut news = store.subscribe();
    for seq in 0..20 {
        drop(store.append(append(run(1), seq, 1)));
    }
    let mut read = 0;
    while read < 20 {
        assert_eq!(news.recv().await.unwrap(), run(1));
        let events = store.events(run(1), read, 100).await.unwrap();
        // A later piece of news may be of events that an earlier read has already brought.
        read += events.len() as u64;
        assert!(read > 0, "told of a run without events");
    }
    assert_eq!(read, 20);
}

pub async fn a_refused_append_is_not_told_of(store: &SharedStore) {
    store.append(first(run(1))).await.unwrap();
    let mut news = store.subscribe();
    assert!(store.append(first(run(1))).await.is_err());
    store.append(first(run(2))).await.unwrap();
    assert_eq!(news.recv().await.unwrap(), run(2));
}
