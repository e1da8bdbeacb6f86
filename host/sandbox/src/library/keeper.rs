//! The task that keeps the library up to date with its folders.

use std::{io, sync::Arc, time::Duration};

use stepcell_core::Digest;
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Library,
    files::{Files, Key, Read},
    watch::Watch,
};
use crate::{
    folder::{Folder, Found, Shape, Shipped, Stamp, shape},
    plugin::{Described, Refusal},
};

/// How often folders are looked at while a file in them is being written.
const SOON: Duration = Duration::from_millis(50);
/// How often folders are looked at although the system tells of changes: it may lose some, and knows nothing of
/// a folder that is made later.
const REGULARLY: Duration = Duration::from_secs(1);
/// Results of readings that wait to be taken in.
const RESULTS_MAX: usize = 64;

type Results = mpsc::Sender<(Key, Stamp, Read)>;

/// Follows the folders until it is told to stop; without `watch`, until every file of now is known.
pub(crate) async fn keep(library: Arc<Library>, watch: bool, stop: CancellationToken) {
    let mut keeper = Keeper::new(library);
    tokio::select! {
        () = stop.cancelled() => {}
        () = keeper.run(watch) => {}
    }
}

struct Keeper {
    library: Arc<Library>,
    files: Files,
    /// Which files have default grants.
    shipped: Arc<Shipped>,
    /// For each folder why it could not be looked at the last time, so that this is said once.
    failed: Vec<Option<String>>,
}

impl Keeper {
    fn new(library: Arc<Library>) -> Self {
        let failed = vec![None; library.folders.len()];
        Self { library, files: Files::default(), shipped: Arc::default(), failed }
    }

    async fn run(&mut self, watch: bool) {
        let _watch = watch.then(|| Watch::start(&self.library));
        let (results, mut read) = mpsc::channel(RESULTS_MAX);
        loop {
            let mut changed = self.scan().await;
            for (key, stamp) in self.files.start_reading() {
                self.start_reading(key, stamp, results.clone());
            }
            while let Ok((key, stamp, result)) = read.try_recv() {
                self.files.read(&key, stamp, result);
                changed = true;
            }
            let done = self.files.are_done();
            self.publish(changed, done);
            if done && !watch {
                return;
            }
            let pause = if self.files.are_settling() { SOON } else { REGULARLY };
            tokio::select! {
                () = self.library.look_again.notified() => {}
                () = sleep(pause) => {}
                Some((key, stamp, result)) = read.recv() => {
                    self.files.read(&key, stamp, result);
                    self.publish(true, self.files.are_done());
                }
            }
        }
    }

    async fn scan(&mut self) -> bool {
        let mut changed = false;
        for index in 0..self.library.folders.len() {
            let Some(folder) = self.library.folders.get(index).cloned() else { continue };
            let path = folder.path().display().to_string();
            let scanned = tokio::task::spawn_blocking(move || folder.scan()).await;
            let scanned = scanned.unwrap_or_else(|_| Err(io::Error::other("the scan was given up")));
            changed |= self.scanned(index, &path, scanned);
        }
        if changed {
            self.shipped = Arc::new(self.shipped().await);
        }
        changed
    }

    async fn shipped(&self) -> Shipped {
        let Some(folder) = self.library.folders.get(self.library.builtins_from).cloned() else {
            return Shipped::new();
        };
        tokio::task::spawn_blocking(move || folder.shipped()).await.unwrap_or_default()
    }

    fn scanned(&mut self, index: usize, path: &str, scanned: io::Result<Vec<Found>>) -> bool {
        let failure = scanned.as_ref().err().map(io::Error::to_string);
        if let Some(last) = self.failed.get_mut(index) {
            if let Some(error) = failure.as_ref().filter(|error| last.as_ref() != Some(error)) {
                tracing::warn!(folder = path, error, "a plugin folder can not be read");
            }
            *last = failure;
        }
        // What was there stays: a folder that can not be read for a moment is not an empty one.
        scanned.is_ok_and(|found| self.files.scanned(index, found))
    }

    fn start_reading(&self, key: Key, stamp: Stamp, results: Results) {
        let library = Arc::clone(&self.library);
        tokio::spawn(async move {
            let result = read(&library, &key, stamp).await;
            // Nobody waits for it once the keeper has stopped.
            let _ = results.send((key, stamp, result)).await;
            library.look_again.notify_one();
        });
    }

    fn publish(&self, changed: bool, done: bool) {
        if changed {
            self.library.publish(&self.files, &self.shipped);
        }
        if done {
            self.library.ready.send_if_modified(|ready| !std::mem::replace(ready, true));
        }
    }
}

/// Reads a file and makes a plugin of it.
async fn read(library: &Arc<Library>, key: &Key, stamp: Stamp) -> Read {
    let Some(folder) = library.folders.get(key.folder).cloned() else { return Read::Changed };
    let name = key.name.clone();
    let content = tokio::task::spawn_blocking(move || content(&folder, &name, stamp)).await;
    match content.unwrap_or(Content::Refused(Refusal::new("it could not be read"))) {
        Content::Changed => Read::Changed,
        Content::Cut => Read::Cut,
        Content::Refused(refusal) => Read::Refused { refusal, digest: None },
        Content::Whole(digest, bytes) => described(library.prepare(digest, bytes).await, digest),
    }
}

fn described(prepared: Result<Described, Refusal>, digest: Digest) -> Read {
    match prepared {
        Ok(described) => Read::Ready(described),
        Err(refusal) => Read::Refused { refusal, digest: Some(digest) },
    }
}

enum Content {
    Whole(Digest, Vec<u8>),
    Cut,
    Changed,
    Refused(Refusal),
}

fn content(folder: &Folder, name: &str, expected: Stamp) -> Content {
    match folder.read(name) {
        Ok((stamp, _)) if stamp != expected => Content::Changed,
        Ok((_, bytes)) => match shape(&bytes) {
            Shape::Whole => Content::Whole(Digest::of(&bytes), bytes),
            Shape::Cut => Content::Cut,
            Shape::NotWasm => Content::Refused(
                Refusal::new("it is no WebAssembly file")
                    .with_hint("a plugin starts with the bytes `\\0asm`"),
            ),
        },
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Content::Changed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Content::Changed,
        Err(error) => Content::Refused(Refusal::new(format!("it can not be read: {error}"))),
    }
}
