//! One bit, or one byte, anywhere in the folder: nothing wrong is ever read, and a refusal says what to do.

use std::{collections::BTreeMap, path::PathBuf};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

const RUNS: u64 = 4;
const EVENTS: u64 = 30;
/// Flips in each file, beside those in the places that are looked at in any case.
const ANYWHERE: usize = 60;
const SEED: u64 = 6;
/// The pieces in which sled takes its file, and the bytes that each starts with.
const SEGMENT: usize = 512 << 10;
const SEGMENT_HEAD: usize = 20;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A folder that was opened, written and closed twice, so that it has everything that sled keeps.
async fn written() -> Files {
    let folder = TempDir::new().unwrap();
    for half in 0..2 {
        let store = open(&folder);
        for seq in half * EVENTS / 2..(half + 1) * EVENTS / 2 {
            for n in 1..=RUNS {
                store.append(nth(n, seq)).await.unwrap();
            }
        }
        store.put_blob(blob(half), FOR_LONG).await.unwrap();
    }
    let mut files = Files::new();
    for subfolder in ["", "store", "blobs"] {
        for entry in fs::read_dir(folder.path().join(subfolder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && path.file_name().unwrap() != "lock" {
                files.insert(path.strip_prefix(folder.path()).unwrap().to_owned(), fs::read(path).unwrap());
            }
        }
    }
    files
}

fn nth(n: u64, seq: u64) -> Append {
    let mut append = append(run(n), seq, 1);
    append.events = vec![suite::event(seq + 1, &text(n, seq + 1))];
    append
}

fn text(n: u64, seq: u64) -> String {
    format!("{n} {seq} {}", "x".repeat(if seq.is_multiple_of(7) { 20_000 } else { 200 }))
}

fn blob(number: u64) -> Bytes {
    Bytes::from(format!("{number} {}", "b".repeat(100_000)))
}

/// What became of a damaged folder.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Fate {
    /// All is there.
    Whole,
    /// It opens, and what can not be read is said to be damaged.
    PartlyRead,
    /// Refused, with words.
    Refused,
}

/// Opens the damaged folder and reads all there is.
async fn fate(files: &Files, about: &str) -> Fate {
    let folder = TempDir::new().unwrap();
    for (path, bytes) in files {
        fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
        fs::write(folder.path().join(path), bytes).unwrap();
    }
    let opened = DataDir::open(folder.path()).and_then(|data| SledStore::open(&data));
    let store = match opened {
        Ok(store) => store,
        Err(error) => {
            check_words(&error, about);
            return Fate::Refused;
        }
    };
    let mut fate = Fate::Whole;
    for n in 1..=RUNS {
        match store.events(run(n), 0, usize::MAX).await {
            Ok(events) => {
                let expected: Vec<_> = (1..=EVENTS).map(|seq| suite::event(seq, &text(n, seq))).collect();
                assert!(events == expected, "{about}: run {n} has {} events, or other ones", events.len());
            }
            Err(error) => {
                check_words(&error, about);
                fate = Fate::PartlyRead;
            }
        }
    }
    for number in 0..2 {
        match store.blob(Digest::of(&blob(number))).await {
            Ok(bytes) => assert_eq!(bytes, Some(blob(number)), "{about}"),
            Err(error) => {
                check_words(&error, about);
                fate = Fate::PartlyRead;
            }
        }
    }
    fate
}

#[track_caller]
fn check_words(error: &Error, about: &str) {
    let says_so = matches!(error, Error::Damaged { .. } | Error::Layout { .. });
    assert!(says_so && error.hint().is_some(), "{about}: {error}");
}

/// Every byte that starts something, and some of the others.
fn places(path: &Path, bytes: &[u8], rng: &mut StdRng) -> Vec<usize> {
    let mut places: Vec<usize> = (0..ANYWHERE).map(|_| rng.random_range(0..bytes.len())).collect();
    places.extend(bytes.len().saturating_sub(16)..bytes.len());
    if path.ends_with("store/db") {
        for start in (0..bytes.len()).step_by(SEGMENT) {
            places.extend((start..start + SEGMENT_HEAD).filter(|place| *place < bytes.len()));
            // The first records of a segment, byte by byte.
            places.extend((start + SEGMENT_HEAD..bytes.len().min(start + SEGMENT_HEAD + 64)).step_by(3));
        }
    } else {
        places.extend(0..bytes.len().min(24));
    }
    places
}

#[tokio::test(flavor = "multi_thread")]
async fn no_flipped_bit_is_read_as_if_it_were_right() {
    let files = written().await;
    let mut rng = StdRng::seed_from_u64(SEED);
    let mut fates = BTreeMap::<(PathBuf, Fate), usize>::new();
    for (path, bytes) in &files {
        for place in places(path, bytes, &mut rng) {
            let mut damaged = files.clone();
            damaged.get_mut(path).unwrap()[place] ^= 1 << rng.random_range(0..8);
            let about = format!("a bit at {place} of the {} of `{}`", bytes.len(), path.display());
            *fates.entry((path.clone(), fate(&damaged, &about).await)).or_default() += 1;
        }
    }
    // The test has to have met what it is about.
    assert!(
        fates.keys().any(|(path, fate)| path.ends_with("store/db") && *fate == Fate::Refused),
        "{fates:#?}"
    );
}

/// What a torn write leaves of the end, wherever it is torn: commits that were acknowledged are missed.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_cut_off_is_missed_wherever_it_is_cut() {
    let files = written().await;
    let log = PathBuf::from("store/db");
    let written = files[&log].iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut rng = StdRng::seed_from_u64(SEED);
    let mut cuts: Vec<usize> = (0..ANYWHERE / 2).map(|_| rng.random_range(0..written)).collect();
    cuts.extend((written - 40..written).step_by(2));
    cuts.extend([0, 1, SEGMENT_HEAD - 1, SEGMENT_HEAD, SEGMENT_HEAD + 1]);
    for cut in cuts {
        for zeros in [false, true] {
            let mut damaged = files.clone();
            let bytes = damaged.get_mut(&log).unwrap();
            let length = bytes.len();
            bytes.truncate(cut);
            if zeros {
                bytes.resize(length, 0);
            }
            let about = format!("the log without its end from {cut} of {written} on, zeros: {zeros}");
            assert_eq!(fate(&damaged, &about).await, Fate::Refused, "{about}");
        }
    }
}
