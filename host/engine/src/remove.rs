//! The end of runs and blobs that nobody wants any more.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use stepcell_core::RunId;

use crate::{Error, engine::Inner};

/// How often blobs whose time is over are looked for. Bounds how much longer than promised they take up room.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Removes a run that has ended.
pub(crate) async fn run(engine: &Inner, run: RunId) -> Result<(), Error> {
    match engine.store.remove_run(run).await {
        Ok(true) => {
            tracing::info!(run_id = %run, "run removed");
            Ok(())
        }
        Ok(false) => Err(Error::NoSuchRun(run)),
        Err(stepcell_store::Error::Unfinished { run, status }) => Err(Error::Unfinished { run, status }),
        Err(error) => Err(error.into()),
    }
}

/// Lets the store clear away what nobody holds any more, until the engine stops.
pub(crate) async fn sweep(engine: &Arc<Inner>) {
    loop {
        // What is left is found again the next time.
        if let Err(error) = engine.store.sweep(Timestamp::now()).await {
            tracing::warn!(%error, "blobs whose time is over could not be removed");
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}
