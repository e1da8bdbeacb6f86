//! A live stream of events (server-sent events), taken up again where it breaks.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use reqwest::{Method, StatusCode, header};
use stepcell_core::{Event, EventKind, RunId};
use tokio_util::{
    codec::{FramedRead, LinesCodec},
    io::StreamReader,
};

use super::{Client, refusal};
use crate::error::Error;

/// The longest line of a stream, in bytes: one event. Protects memory from a peer that is no stepcell server.
const LINE_BYTES_MAX: usize = 16 << 20;
/// How often in a row a stream may break without an event before the command gives up.
const BREAKS_MAX: u32 = 5;
/// The pause before a broken stream is taken up again.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a stream may be silent; the server sends a comment several times within this.
const SILENCE_MAX: Duration = Duration::from_secs(60);

pub(super) async fn events(
    client: &Client,
    run: RunId,
    mut after: u64,
    mut on_event: impl FnMut(Event) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut breaks = 0;
    loop {
        let before = after;
        match stream(client, run, &mut after, &mut on_event).await {
            Ok(End::OfRun) => return Ok(()),
            Err(Broken::Caller(error)) => return Err(error),
            Ok(End::OfStream) => tracing::debug!("event stream ended early"),
            Err(Broken::Stream(error)) => {
                tracing::debug!(%error, "event stream broke");
                if breaks == BREAKS_MAX {
                    return Err(error);
                }
            }
        }
        breaks = if after > before { 0 } else { breaks + 1 };
        if breaks > BREAKS_MAX {
            let reason = anyhow::anyhow!("the event stream ends again and again");
            return Err(Error::system(format!("run `{run}` can not be followed"), reason));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

enum End {
    OfRun,
    /// The server stops, or a proxy gave up.
    OfStream,
}

enum Broken {
    /// Worth another try.
    Stream(Error),
    /// The server says no, or the caller does.
    Caller(Error),
}

async fn stream(
    client: &Client,
    run: RunId,
    after: &mut u64,
    on_event: &mut impl FnMut(Event) -> Result<(), Error>,
) -> Result<End, Broken> {
    let query = [("after", after.to_string())];
    let request = client.request(Method::GET, &["runs", &run.to_string(), "events"], &query);
    let request = request.header(header::ACCEPT, "text/event-stream");
    let response = request.send().await.map_err(|error| Broken::Stream(client.unreachable(error)))?;
    match response.status() {
        StatusCode::NO_CONTENT => return Ok(End::OfRun),
        status if !status.is_success() => {
            let body = client.body(response).await.map_err(Broken::Stream)?;
            let error = refusal::error(status, &body, client.url());
            return Err(if matches!(error, Error::System { .. }) {
                Broken::Stream(error)
            } else {
                Broken::Caller(error)
            });
        }
        _ => {}
    }
    let bytes = StreamReader::new(response.bytes_stream().map_err(std::io::Error::other));
    let mut lines = FramedRead::new(bytes, LinesCodec::new_with_max_length(LINE_BYTES_MAX));
    let broken = |error: anyhow::Error| {
        Broken::Stream(Error::system(format!("the event stream of {} broke", client.url()), error))
    };
    // Each event is one `data` line; the id and the type are in it as well.
    while let Some(line) =
        tokio::time::timeout(SILENCE_MAX, lines.next()).await.map_err(|e| broken(e.into()))?
    {
        let line = line.map_err(|error| broken(error.into()))?;
        let Some(data) = line.strip_prefix("data:") else { continue };
        let event: Event = client.read(data.trim_start()).map_err(Broken::Caller)?;
        *after = event.seq;
        let last = is_last(&event.kind);
        on_event(event).map_err(Broken::Caller)?;
        if last {
            return Ok(End::OfRun);
        }
    }
    Ok(End::OfStream)
}

fn is_last(kind: &EventKind) -> bool {
    matches!(kind, EventKind::RunSucceeded(_) | EventKind::RunFailed(_) | EventKind::RunCancelled(_))
}
