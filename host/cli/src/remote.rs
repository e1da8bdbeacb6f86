//! A run of a server, followed to its end.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stepcell_core::{RunId, run::RunStatus};

use crate::{
    client::Client,
    error::Error,
    live::{self, Live},
    output::Output,
};

/// What a server says of a run that it has taken.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Accepted {
    pub(crate) run_id: RunId,
    /// Left out by a server that has removed the run of an earlier call since.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<RunStatus>,
}

impl Accepted {
    /// The id on a line of its own, or as JSON all that is known.
    pub(crate) fn print(&self, output: Output) -> Result<(), Error> {
        if output.is_json() { output.json(self) } else { output.text(&format!("{}\n", self.run_id)) }
    }
}

/// A finished run, as far as it decides what is printed.
#[derive(Deserialize)]
struct Finished {
    status: RunStatus,
    output: Option<Box<RawValue>>,
}

/// Shows the run until it has ended.
pub(crate) async fn follow(client: &Client, run: RunId, live: Live) -> Result<(), Error> {
    // Events and the clock take turns on this one task, each for less than an await.
    let live = RefCell::new(live);
    let events = client.follow(run, 0, |event| {
        live.borrow_mut().event(&event);
        Ok(())
    });
    let ticks = async {
        let mut clock = tokio::time::interval(live::TICK);
        loop {
            clock.tick().await;
            live.borrow().tick();
        }
    };
    tokio::select! {
        ended = events => ended?,
        () = ticks => {}
    }
    live.into_inner().finish();
    Ok(())
}

/// The output of a run that succeeded, or as JSON the whole run either way, as the server tells it.
pub(crate) async fn print(output: Output, client: &Client, run: RunId) -> Result<(), Error> {
    let view: Box<RawValue> = client.get(&["runs", &run.to_string()], &[]).await?;
    let Finished { status, output: value } = client.read(view.get())?;
    let succeeded = status == RunStatus::Succeeded;
    if output.is_json() {
        output.json(&view)?;
    } else if succeeded {
        output.json(&value)?;
    }
    if succeeded { Ok(()) } else { Err(Error::RunFailed) }
}
