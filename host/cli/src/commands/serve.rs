//! `serve`: the HTTP API over a store that lasts.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stepcell_engine::Engine;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    args::{Global, HostArgs},
    config::{Config, Flags},
    error::Error,
    explain,
    host::Host,
    logging,
    output::Output,
    signals,
};

/// Serves the HTTP API until it is told to stop.
///
/// Prints one line when it listens. Runs are kept in the data folder: those that were under way when a server
/// stopped, or was killed, go on when the next one starts.
///
/// SIGTERM and Ctrl-C stop it: nothing new is taken or started, and what steps have under way may end, for at most
/// `drain` of the config (30s). A second signal ends it at once; what was under way then runs again.
///
/// stepcell serve --listen 127.0.0.1:0 --data /var/lib/stepcell
#[derive(Debug, Args)]
pub struct Serve {
    /// The address and port [default: 127.0.0.1:7420].
    ///
    /// Port 0 takes a free one, which the line on stdout names. Only loopback addresses are served: there are
    /// no tokens yet that could keep strangers out. STEPCELL_LISTEN means the same.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// The folder for runs and the host key [default: ./stepcell-data].
    ///
    /// One server at a time can use it. STEPCELL_DATA means the same.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub host: HostArgs,
}

impl Serve {
    pub async fn run(self, global: &Global) -> Result<(), Error> {
        logging::start(global, "info", None)?;
        let flags = Flags { listen: self.listen, data: self.data, ..Flags::from(&self.host) };
        let config = Config::load(&flags, None)?;
        if !config.listen.ip().is_loopback() {
            return Err(Error::call(
                "listen_refused",
                format!(
                    "`{}` is not a loopback address, and nothing would keep strangers out",
                    config.listen
                ),
                format!(
                    "listen on `127.0.0.1:{}`, behind a proxy that lets only your people in",
                    config.listen.port()
                ),
            ));
        }
        // Signals count from here on, so that none ends the process while the store is being opened.
        let stop = signals::Stop::listen()?;
        let listener = TcpListener::bind(config.listen).await.map_err(|error| {
            Error::system(format!("`{}` can not be listened on", config.listen), error)
                .or_hint("stop what listens there, or take another port with `--listen 127.0.0.1:0`")
        })?;
        let address =
            listener.local_addr().map_err(|error| Error::system("the listener has no address", error))?;
        open_files();
        let host = Host::lasting(&config, global).await?;
        let doubting = doubt(&host, &config);
        announce(Output::new(global.output), &format!("http://{address}"))?;
        let (once, twice) = told(stop);
        let drained = drained(host.engine(), config.drain, &once, &twice);
        let served = tokio::select! {
            served = stepcell_api::serve(listener, host.api(), drained) => served,
            () = twice.cancelled() => Ok(()),
        };
        doubting.abort();
        host.shutdown().await;
        served.map_err(|error| Error::system("serving ended", error))
    }
}

/// Cancelled when the server is told to stop, and when it is told so again.
fn told(mut stop: signals::Stop) -> (CancellationToken, CancellationToken) {
    let told = (CancellationToken::new(), CancellationToken::new());
    let (once, twice) = told.clone();
    tokio::spawn(async move {
        stop.asked().await;
        once.cancel();
        stop.asked().await;
        tracing::warn!("stopping at once; what is under way runs again at the next start");
        twice.cancel();
    });
    told
}

/// Done when the server was told to stop and has nothing under way any more. Until then it goes on answering: who waits
/// for a run that ends in this time gets it, and new work is refused.
async fn drained(engine: &Engine, at_most: Duration, once: &CancellationToken, twice: &CancellationToken) {
    once.cancelled().await;
    tracing::info!(?at_most, "stopping when what is under way has ended");
    tokio::select! {
        () = engine.drain(at_most) => tracing::info!("stopping"),
        () = twice.cancelled() => {}
    }
}

/// Says what in the config's grants is probably a slip, once it is known what the plugins provide.
fn doubt(host: &Host, config: &Config) -> JoinHandle<()> {
    let (plugins, config) = (host.plugins().clone(), config.clone());
    tokio::spawn(async move {
        plugins.ready().await;
        for doubt in explain::doubts(&config, &plugins.catalog()) {
            tracing::warn!("{doubt}");
        }
    })
}

/// Takes as many descriptors as the system lets this process have. The usual soft limit is what the API may have
/// connections, and would leave none for the store and for steps.
fn open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
}

/// The one line on stdout: whoever started the server learns from it that requests are answered, and where.
fn announce(output: Output, url: &str) -> Result<(), Error> {
    if output.is_json() {
        output.json(&serde_json::json!({ "listening": url }))
    } else {
        output.text(&format!("listening on {url}\n"))
    }
}
