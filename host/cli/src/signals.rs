//! Being asked to stop: Ctrl-C, or SIGTERM from a service manager.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::Error;

/// Listens for both signals from the moment it is made; from then on they no longer end the process.
#[derive(Debug)]
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    pub(crate) fn listen() -> Result<Self, Error> {
        let listen =
            |kind| signal(kind).map_err(|error| Error::system("signals can not be listened for", error));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Done at the next signal; may be asked again.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
