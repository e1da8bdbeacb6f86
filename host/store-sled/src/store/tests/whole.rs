//! Whether a store's bookkeeping is right, row by row.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{holds, keys};

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
}
