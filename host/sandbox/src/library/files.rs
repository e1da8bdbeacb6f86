//! What is known of every file: a state machine that touches no disk.

use std::{
    collections::{BTreeMap, HashSet},
    mem,
    time::Duration,
};

use stepcell_core::Digest;

use crate::{
    folder::{Found, SETTLE, Stamp},
    plugin::{Described, Refusal},
};

/// How long a file that ends in the middle may stay as it is before it is called broken: a copy over a slow
/// link pauses for longer than [`SETTLE`].
const CUT_PATIENCE: Duration = Duration::from_secs(2);

/// A file by folder and name. Files are ordered as they win over each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) folder: usize,
    pub(super) name: String,
}

/// One file.
pub(super) struct File {
    stamp: Option<Stamp>,
    phase: Phase,
    /// What the file was until it changed: it stays in the catalog until its successor is known.
    previous: Option<Described>,
}

enum Phase {
    /// It changed, and must be left alone for this long before it is read.
    Settling(Duration),
    Loading,
    Ready(Described),
    Refused {
        refusal: Refusal,
        digest: Option<Digest>,
    },
}

/// What reading a file came to.
pub(super) enum Read {
    Ready(Described),
    Refused {
        refusal: Refusal,
        digest: Option<Digest>,
    },
    /// It ends in the middle.
    Cut,
    /// It was written to meanwhile.
    Changed,
}

/// How a file looks from outside.
pub(super) enum State<'a> {
    Loading,
    Ready(&'a Described),
    Refused { refusal: &'a Refusal, digest: Option<Digest> },
}

impl File {
    fn new(stamp: Option<Stamp>) -> Self {
        Self { stamp, phase: Phase::Settling(SETTLE), previous: None }
    }

    pub(super) fn state(&self) -> State<'_> {
        match &self.phase {
            Phase::Settling(_) | Phase::Loading => State::Loading,
            Phase::Ready(described) => State::Ready(described),
            Phase::Refused { refusal, digest } => State::Refused { refusal, digest: *digest },
        }
    }

    /// What the file puts into the catalog.
    pub(super) fn serves(&self) -> Option<&Described> {
        match &self.phase {
            Phase::Settling(_) | Phase::Loading => self.previous.as_ref(),
            Phase::Ready(described) => Some(described),
            Phase::Refused { .. } => None,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.stamp.map_or(0, |stamp| stamp.bytes())
    }

    fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Ready(_) | Phase::Refused { .. })
    }

    fn changed(&mut self, stamp: Stamp) {
        self.previous = match mem::replace(&mut self.phase, Phase::Settling(SETTLE)) {
            Phase::Ready(described) => Some(described),
            Phase::Refused { .. } => None,
            Phase::Settling(_) | Phase::Loading => self.previous.take(),
        };
        self.stamp = Some(stamp);
    }

    fn refuse(&mut self, refusal: Refusal, digest: Option<Digest>) {
        self.previous = None;
        self.phase = Phase::Refused { refusal, digest };
    }
}

/// All files of all folders.
#[derive(Default)]
pub(super) struct Files(BTreeMap<Key, File>);

impl Files {
    /// Takes in what a scan of one folder found; says whether anything changed.
    pub(super) fn scanned(&mut self, folder: usize, found: Vec<Found>) -> bool {
        let names: HashSet<&str> = found.iter().map(|found| found.name.as_str()).collect();
        let before = self.0.len();
        self.0.retain(|key, _| key.folder != folder || names.contains(key.name.as_str()));
        let mut changed = self.0.len() != before;
        for Found { name, stamp } in found {
            let file = self.0.entry(Key { folder, name });
            changed |= match stamp {
                Ok(stamp) => {
                    let file = file.or_insert_with(|| File::new(None));
                    let differs = file.stamp != Some(stamp);
                    if differs {
                        file.changed(stamp);
                    }
                    differs
                }
                Err(error) => {
                    let file = file.or_insert_with(|| File::new(None));
                    let was_done = file.is_done();
                    file.stamp = None;
                    file.refuse(
                        Refusal::new(format!("it can not be read: {error}"))
                            .with_hint("a link may not lead out of its folder; put the file itself there"),
                        None,
                    );
                    !was_done
                }
            };
        }
        changed
    }

    /// The files that have settled, which are read next.
    pub(super) fn start_reading(&mut self) -> Vec<(Key, Stamp)> {
        let mut settled = Vec::new();
        for (key, file) in &mut self.0 {
            let (Some(stamp), Phase::Settling(patience)) = (file.stamp, &file.phase) else { continue };
            if stamp.is_older_than(*patience) {
                file.phase = Phase::Loading;
                settled.push((key.clone(), stamp));
            }
        }
        settled
    }

    /// Takes in what reading a file came to, unless it changed or went meanwhile.
    pub(super) fn read(&mut self, key: &Key, stamp: Stamp, read: Read) {
        let Some(file) = self.0.get_mut(key).filter(|file| file.stamp == Some(stamp)) else { return };
        match read {
            Read::Ready(described) => {
                file.previous = None;
                file.phase = Phase::Ready(described);
            }
            Read::Refused { refusal, digest } => file.refuse(refusal, digest),
            Read::Changed => file.phase = Phase::Settling(SETTLE),
            Read::Cut if stamp.is_older_than(CUT_PATIENCE) => file.refuse(
                Refusal::new(format!("it ends in the middle, after {} bytes", stamp.bytes())).with_hint(
                    "copy it again; a file that is copied under another name and renamed is never seen half",
                ),
                None,
            ),
            Read::Cut => file.phase = Phase::Settling(CUT_PATIENCE),
        }
    }

    /// Whether nothing is on its way any more.
    pub(super) fn are_done(&self) -> bool {
        self.0.values().all(File::is_done)
    }

    /// Whether a file waits to be left alone, so that somebody should look again soon.
    pub(super) fn are_settling(&self) -> bool {
        self.0.values().any(|file| matches!(file.phase, Phase::Settling(_)))
    }

    /// In the order in which they win over each other.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &File)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    const OLD: Duration = Duration::from_secs(3600);

    fn found(name: &str, bytes: u64, age: Duration) -> Found {
        Found { name: name.to_owned(), stamp: Ok(Stamp::aged(bytes, age)) }
    }

    fn refused(files: &Files, name: &str) -> Option<String> {
        let (_, file) = files.iter().find(|(key, _)| key.name == name)?;
        match file.state() {
            State::Refused { refusal, .. } => Some(refusal.reason.clone()),
            _ => None,
        }
    }

    #[test]
    fn an_old_file_is_read_at_once_and_a_new_one_is_left_alone() {
        let mut files = Files::default();
        assert!(files.scanned(0, vec![found("old.wasm", 1, OLD), found("new.wasm", 1, Duration::ZERO)]));
        let reading = files.start_reading();
        assert_eq!(reading.len(), 1);
        assert_eq!(reading[0].0.name, "old.wasm");
        assert!(files.are_settling());
        assert!(files.start_reading().is_empty());
    }

    #[test]
    fn a_second_look_at_the_same_file_changes_nothing() {
        let mut files = Files::default();
        let stamp = Stamp::aged(1, OLD);
        let again = || vec![Found { name: "a.wasm".to_owned(), stamp: Ok(stamp) }];
        assert!(files.scanned(0, again()));
        assert!(!files.scanned(0, again()));
        assert!(!files.scanned(1, Vec::new()));
        assert!(files.scanned(0, Vec::new()));
        assert_eq!(files.iter().count(), 0);
    }

    #[test]
    fn what_changed_while_it_was_read_is_read_again() {
        let mut files = Files::default();
        files.scanned(0, vec![found("a.wasm", 1, OLD)]);
        let (key, stamp) = files.start_reading().remove(0);
        files.scanned(0, vec![found("a.wasm", 2, OLD)]);
        files.read(&key, stamp, Read::Refused { refusal: Refusal::new("stale"), digest: None });
        assert_eq!(refused(&files, "a.wasm"), None);
        assert_eq!(files.start_reading().len(), 1);
    }

    #[test]
    fn a_file_cut_short_is_given_time() {
        let mut files = Files::default();
        files.scanned(0, vec![found("a.wasm", 1, Duration::from_secs(1))]);
        let (key, stamp) = files.start_reading().remove(0);
        files.read(&key, stamp, Read::Cut);
        assert!(files.are_settling());
        assert!(files.start_reading().is_empty());

        files.scanned(0, vec![found("a.wasm", 1, OLD)]);
        let (key, stamp) = files.start_reading().remove(0);
        files.read(&key, stamp, Read::Cut);
        assert!(refused(&files, "a.wasm").unwrap().contains("ends in the middle"));
        assert!(files.are_done());
    }

    #[test]
    fn a_file_that_can_not_be_looked_at_is_refused() {
        let mut files = Files::default();
        let denied =
            || Found { name: "a.wasm".to_owned(), stamp: Err(io::ErrorKind::PermissionDenied.into()) };
        assert!(files.scanned(0, vec![denied()]));
        assert!(!files.scanned(0, vec![denied()]));
        assert!(refused(&files, "a.wasm").unwrap().contains("can not be read"));
    }
}
