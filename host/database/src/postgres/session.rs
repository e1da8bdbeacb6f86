//! One connection with its prepared statements.

mod statements;

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{io::AsyncReadExt, task::JoinHandle};
use tokio_postgres::{Client, tls::MakeTlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

pub(super) use self::statements::Statements;
use super::{
    dialer::Place,
    stream::{Shared, Tripped},
};

/// For a cancel request until the server has taken it.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// What a step may have left behind, undone: `DISCARD ALL` without what it does to prepared statements, so that the
/// next step finds a session as new. Each part is a few microseconds where there is nothing to undo.
///
/// First the authorization, so that what follows is allowed.
pub(super) const RESET: &str = "SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL; CLOSE ALL; UNLISTEN *; \
     SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

/// The end of a transaction that changed nothing: settings, tables, cursors and listening go with it, locks of the
/// session do not.
pub(super) const UNDO: &str = "ROLLBACK; SELECT pg_catalog.pg_advisory_unlock_all()";

pub(super) struct Session {
    pub(super) client: Client,
    pub(super) statements: Mutex<Statements>,
    driver: JoinHandle<()>,
    place: Place,
    tls: MakeRustlsConnect,
    tripped: Tripped,
    is_clean: AtomicBool,
}

impl Session {
    pub(super) fn new(
        client: Client,
        driver: JoinHandle<()>,
        place: Place,
        tls: MakeRustlsConnect,
        tripped: Tripped,
    ) -> Self {
        let is_clean = AtomicBool::new(true);
        Self { client, statements: Mutex::default(), driver, place, tls, tripped, is_clean }
    }

    /// Whether another call may have it.
    pub(super) fn is_usable(&self) -> bool {
        self.is_clean.load(Ordering::Relaxed) && !self.client.is_closed()
    }

    pub(super) fn set_clean(&self, is_clean: bool) {
        self.is_clean.store(is_clean, Ordering::Relaxed);
    }

    /// Whether it broke since a message was too large.
    pub(super) fn was_flooded(&self) -> bool {
        self.tripped.load(Ordering::Relaxed)
    }

    /// Hangs up, without a word to the server.
    pub(super) fn close(&self) {
        self.driver.abort();
    }

    /// Ends what a call left behind. A session for which this fails is of no use any more.
    pub(super) async fn recover(&self, is_busy: bool) -> io::Result<()> {
        if is_busy {
            self.cancel().await?;
        }
        let clean = format!("ROLLBACK; {RESET}");
        self.client.batch_execute(&clean).await.map_err(io::Error::other)
    }

    /// Stops the statement. Comes back when the server has hung up, which it does after it sent the signal: so a
    /// late one can not hit the statement of somebody else.
    async fn cancel(&self) -> io::Result<()> {
        let cancel = async {
            let (given, mut kept) = Shared::new(self.place.reach().await?);
            let mut tls = self.tls.clone();
            let tls = MakeTlsConnect::<Shared>::make_tls_connect(&mut tls, self.place.name())
                .map_err(io::Error::other)?;
            let token = self.client.cancel_token();
            token.cancel_query_raw(given, tls).await.map_err(io::Error::other)?;
            // An error is an end as well.
            while kept.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
            Ok(())
        };
        tokio::time::timeout(CANCEL_TIMEOUT, cancel).await?
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A clean one says goodbye to the server; on any other there may be nobody who listens.
        if !self.is_usable() {
            self.close();
        }
    }
}
