//! Events as they happen.

use std::{collections::VecDeque, sync::Arc};

use futures_util::{Stream, stream};
use stepcell_core::{Event, EventKind, RunId};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{Error, engine::Inner};

/// Events read from the store at a time.
const EVENTS_PER_READ: usize = 500;

struct Follower {
    engine: Arc<Inner>,
    run: RunId,
    after: u64,
    read: VecDeque<Event>,
    news: Receiver<RunId>,
    over: bool,
}

/// A run's events past `after`, each once it is synced; ends after the run's last one.
pub(crate) fn events(
    engine: Arc<Inner>,
    run: RunId,
    after: u64,
) -> impl Stream<Item = Result<Event, Error>> + Send + 'static {
    // Listening begins before the first read, so that nothing falls between the two.
    let news = engine.store.subscribe();
    let follower = Follower { engine, run, after, read: VecDeque::new(), news, over: false };
    stream::unfold(follower, |mut follower| async move {
        match follower.next().await {
            Ok(event) => event.map(|event| (Ok(event), follower)),
            Err(error) => {
                follower.over = true;
                Some((Err(error), follower))
            }
        }
    })
}

impl Follower {
    async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.read.pop_front() {
                self.after = event.seq;
                self.over = is_last(&event.kind);
                return Ok(Some(event));
            }
            if self.over || self.engine.stopping.is_cancelled() {
                return Ok(None);
            }
            self.read = self.engine.store.events(self.run, self.after, EVENTS_PER_READ).await?.into();
            if self.read.is_empty() && !self.wait().await? {
                return Ok(None);
            }
        }
    }

    /// Waits until there may be more; gives whether there can be.
    async fn wait(&mut self) -> Result<bool, Error> {
        let summary = self.engine.store.summary(self.run).await?.ok_or(Error::NoSuchRun(self.run))?;
        if summary.status.is_final() && summary.seq <= self.after {
            return Ok(false);
        }
        if summary.seq > self.after {
            return Ok(true);
        }
        loop {
            let news = tokio::select! {
                () = self.engine.stopping.cancelled() => return Ok(false),
                news = self.news.recv() => news,
            };
            match news {
                Ok(run) if run == self.run => return Ok(true),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return Ok(true),
                Err(RecvError::Closed) => return Ok(false),
            }
        }
    }
}

fn is_last(kind: &EventKind) -> bool {
    matches!(kind, EventKind::RunSucceeded(_) | EventKind::RunFailed(_) | EventKind::RunCancelled(_))
}
