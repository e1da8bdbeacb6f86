//! From a target and the rules that admit it to an open connection.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use stepcell_core::grant::{Host, Scheme};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    Error, Phase, Target, admit,
    connection::{Connection, Io, Key},
    error::reason,
    resolve::{self, Resolve},
    tls::Tls,
};
use crate::{Grant, HttpRule};

pub(super) struct Dialer {
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) tls: Tls,
    pub(super) timeout: Duration,
}

/// What is to be reached, for whom, and how far it has come.
pub(super) struct Call<'a> {
    pub(super) target: &'a Target,
    pub(super) grant: &'a Grant,
    pub(super) rules: &'a [&'a HttpRule],
    pub(super) kind: &'a str,
    pub(super) phase: &'a mut Phase,
}

impl Dialer {
    /// Resolves once and connects to the first checked address that answers.
    pub(super) async fn dial(&self, mut call: Call<'_>) -> Result<Connection, Error> {
        let deadline = Instant::now() + self.timeout;
        match timeout_at(deadline, self.open(&mut call, deadline)).await {
            Ok(opened) => opened,
            Err(_) => Err(self.timed_out(&call)),
        }
    }

    async fn open(&self, call: &mut Call<'_>, deadline: Instant) -> Result<Connection, Error> {
        let target = call.target;
        let unavailable =
            |error: io::Error| Error::Unavailable { peer: target.peer(), reason: reason(&error) };
        let resolved = self.resolve(call).await?;
        let open = admit::addresses(call.grant, call.rules, call.kind, target, &resolved)?;
        *call.phase = Phase::Connecting;
        let connected = connect(&open, target.port(), deadline).await;
        let (stream, address) = connected.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => self.timed_out(call),
            _ => unavailable(error),
        })?;
        // A step waits for each answer before it sends more: small packets must not wait for company.
        stream.set_nodelay(true).map_err(unavailable)?;
        let io: Io = match target.scheme() {
            Scheme::Http => Box::new(stream),
            Scheme::Https => {
                *call.phase = Phase::Securing;
                Box::new(self.tls.secure(stream, target.host()).await.map_err(unavailable)?)
            }
        };
        Connection::start(Key::of(target), address, io)
            .await
            .map_err(|error| Error::Unavailable { peer: target.peer(), reason: reason(&error) })
    }

    fn timed_out(&self, call: &Call<'_>) -> Error {
        Error::Timeout { peer: call.target.peer(), phase: *call.phase, after: self.timeout }
    }

    async fn resolve(&self, call: &mut Call<'_>) -> Result<Vec<IpAddr>, Error> {
        let name = match call.target.host() {
            Host::Address(address) => return Ok(vec![address.to_canonical()]),
            host if host.is_localhost() => return Ok(Host::LOCALHOST_ADDRESSES.to_vec()),
            Host::Name(name) => name.clone(),
        };
        *call.phase = Phase::Resolving;
        let peer = || call.target.peer();
        let found = self.resolver.resolve(name).await.map_err(|error| Error::Unavailable {
            peer: peer(),
            reason: format!("the name does not resolve: {}", reason(&error)),
        })?;
        let addresses = resolve::distinct(found);
        if addresses.is_empty() {
            return Err(Error::Unavailable { peer: peer(), reason: "the name has no address".to_owned() });
        }
        Ok(addresses)
    }
}

/// In order, each with its share of the time left, so that a dead first address leaves some for the second.
async fn connect(addresses: &[IpAddr], port: u16, deadline: Instant) -> io::Result<(TcpStream, IpAddr)> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut waiting = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / waiting.max(1);
        waiting = waiting.saturating_sub(1);
        match timeout_at(now + share, TcpStream::connect(SocketAddr::new(*address, port))).await {
            Ok(Ok(stream)) => return Ok((stream, *address)),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}
