//! Whether a store's bookkeeping is right, row by row.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{
    holds,
    keys::{self, EventId, WaitId},
    opening, reader,
    signals::Kept,
};

/// Checks that what the store holds and what is held are the same.
#[track_caller]
pub(super) fn check(store: &SledStore) {
    let tree = &store.reader.tree;
    let rows = |kind: u8| tree.scan_prefix([kind]).map(Result::unwrap).collect::<Vec<_>>();
    let of = |kind: u8| rows(kind).into_iter().map(|(key, _)| keys::held_digest(&key).unwrap());
    let runs: BTreeSet<RunId> = rows(b'r').iter().map(|(key, _)| keys::indexed_run(key).unwrap()).collect();

    let mut holders = BTreeMap::<Digest, u64>::new();
    for (key, _) in rows(b'o') {
        let run = RunId::from_bytes(key[1..17].try_into().unwrap());
        let is_early = tree.contains_key(keys::early(run)).unwrap();
        assert!(runs.contains(&run) || is_early, "{run} is not there, and holds a blob");
        *holders.entry(keys::held_digest(&key).unwrap()).or_default() += 1;
    }
    let counted = rows(b'n').into_iter().map(|(key, count)| {
        (keys::held_digest(&key).unwrap(), u64::from_be_bytes(count.as_ref().try_into().unwrap()))
    });
    assert_eq!(counted.collect::<BTreeMap<_, _>>(), holders);

    let until = rows(b'u')
        .into_iter()
        .map(|(key, until)| (keys::read_instant(&until).unwrap(), keys::held_digest(&key).unwrap()));
    let by_time = rows(b'w').into_iter().map(|(key, _)| keys::read_until(&key).unwrap());
    assert_eq!(until.collect::<BTreeSet<_>>(), by_time.collect::<BTreeSet<_>>());

    let held: BTreeSet<Digest> = of(b'n').chain(of(b'u')).collect();
    for digest in &held {
        assert!(store.reader.files.has(*digest) || tree.contains_key(keys::blob(*digest, 0)).unwrap());
        assert!(holds::has(tree, *digest).unwrap());
    }
    let small = rows(b'b').into_iter().map(|(key, _)| Digest::from_bytes(key[1..33].try_into().unwrap()));
    for digest in small.chain(store.reader.files.all().unwrap()) {
        assert!(held.contains(&digest), "{digest} is kept, and nobody holds it");
    }
    for (key, _) in rows(b'e') {
        let run = RunId::from_bytes(key[1..17].try_into().unwrap());
        assert!(runs.contains(&run), "{run} is not there, and has events");
    }
    assert!(rows(b'x').is_empty(), "a removal is not done");
    for (key, _) in rows(b'y') {
        let run = keys::indexed_run(&key).unwrap();
        assert!(!runs.contains(&run), "{run} is there, and is marked as one that may not be");
    }
    assert!(tree.get(keys::UNDER_WAY).unwrap().is_none(), "a large batch is not done");
    check_finished(store, &runs);
    check_signals(store, &runs);
}

/// Checks that what has ended is what is indexed and counted.
#[track_caller]
fn check_finished(store: &SledStore, runs: &BTreeSet<RunId>) {
    let tree = &store.reader.tree;
    let ended = runs.iter().filter_map(|run| {
        let summary = reader::summary_in(tree, *run).unwrap().unwrap();
        summary.ended_at().map(|at| (at, *run))
    });
    let ended: BTreeSet<_> = ended.collect();
    let indexed = tree.scan_prefix([b'h']).map(|row| keys::read_finished(&row.unwrap().0).unwrap());
    assert_eq!(indexed.collect::<BTreeSet<_>>(), ended);
    let counted = opening::counts(tree).unwrap().finished;
    assert_eq!((counted, store.reader.view.finished()), (ended.len() as u64, ended.len() as u64));
}

/// Checks that claims, waits and kept events have all of their rows, and no others.
#[track_caller]
fn check_signals(store: &SledStore, runs: &BTreeSet<RunId>) {
    let tree = &store.reader.tree;
    let rows = |kind: u8| tree.scan_prefix([kind]).map(Result::unwrap).collect::<Vec<_>>();
    let claims = rows(b'q')
        .into_iter()
        .map(|(key, row)| (RunId::from_bytes(row[..16].try_into().unwrap()), key[1..33].to_vec()));
    let claims: BTreeSet<_> = claims.collect();
    let of_runs = rows(b'g').into_iter().map(|(key, row)| (keys::indexed_run(&key).unwrap(), row.to_vec()));
    assert_eq!(of_runs.collect::<BTreeSet<_>>(), claims);
    assert!(claims.iter().all(|(run, _)| runs.contains(run)), "a run that is not there has a key");

    let waits: BTreeSet<WaitId> = rows(b'a').iter().map(|(key, _)| WaitId::read(key).unwrap()).collect();
    let of_runs = rows(b'd').into_iter().map(|(key, _)| WaitId::read_of_run(&key).unwrap());
    assert_eq!(of_runs.collect::<BTreeSet<_>>(), waits);
    assert!(waits.iter().all(|wait| runs.contains(&wait.run)), "a run that is not there waits");

    let events: BTreeMap<_, _> =
        rows(b'i').into_iter().map(|(key, row)| (key.to_vec(), Kept::decode(&row).unwrap())).collect();
    let by_until: BTreeSet<_> = rows(b'l').into_iter().map(|(key, _)| key.to_vec()).collect();
    assert_eq!(by_until.len(), events.len());
    for key in by_until {
        let id = EventId::read_by_until(&key).unwrap();
        assert_eq!(id.by_until(events[&id.key()[..]].until)[..], key);
    }
    let free = events.iter().filter_map(|(key, kept)| {
        let id = EventId::read_by_until(&[&b"l"[..], &[0; 16], &key[1..]].concat()).unwrap();
        id.free(kept.taken, kept.at).map(|key| key.to_vec())
    });
    let found = rows(b'j').into_iter().map(|(key, _)| key.to_vec());
    assert_eq!(found.collect::<BTreeSet<_>>(), free.collect());
    let parts = rows(b'k').into_iter().map(|(key, _)| EventId::read_part(&key).unwrap());
    let parts: BTreeSet<_> = parts.map(|(at, id)| (id.key().to_vec(), at)).collect();
    assert_eq!(parts, events.into_iter().map(|(key, kept)| (key, kept.at)).collect());
}
