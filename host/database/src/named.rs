//! A database as the config names it.

use std::{fmt, time::Duration};

use rustls::pki_types::CertificateDer;

/// Where a database is and how far the host goes with it.
#[derive(Clone)]
pub struct Named {
    /// `sqlite:FILE` (relative to the data folder), `sqlite::memory:`, or `postgres://USER:PASSWORD@HOST/DATABASE`.
    pub url: String,
    /// PostgreSQL only: whom statements run as.
    pub role: Option<String>,
    /// Most connections at a time; SQLite has one more, the only one that writes.
    pub connections: Option<usize>,
    /// Most time of one statement, whatever the grants say.
    pub statement_time: Option<Duration>,
    /// PostgreSQL only: who may have signed the server's certificate, beside the platform's authorities.
    pub ca: Vec<CertificateDer<'static>>,
}

impl Named {
    /// With the defaults for all else.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), role: None, connections: None, statement_time: None, ca: Vec::new() }
    }
}

impl fmt::Debug for Named {
    /// Without what stands between scheme and host: a password is in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.url.split_once(':').map_or("", |(scheme, _)| scheme);
        f.debug_struct("Named")
            .field("url", &format_args!("{scheme}:…"))
            .field("role", &self.role)
            .field("connections", &self.connections)
            .field("statement_time", &self.statement_time)
            .field("ca", &self.ca.len())
            .finish()
    }
}
