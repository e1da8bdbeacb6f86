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
    Error, Phase, Target,
    admit::Admitted,
    connection::{Connection, Io, Key},
    error::reason,
    resolve::{self, Resolve},
    tls::Tls,
};

pub(super) struct Dialer {
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) tls: Tls,
    pub(super) timeout: Duration,
}

/// What is to be reached, for whom, and how far it has come.
pub(super) struct Call<'a> {
    pub(super) target: &'a Target,
    pub(super) admitted: &'a Admitted<'a>,
    /// The request's own word, where it has one; the shorter holds.
    pub(super) timeout: Option<Duration>,
    pub(super) count: &'a mut Count<'a>,
    pub(super) phase: &'a mut Phase,
}

/// Called before something is connected to; where it fails, nothing is.
pub(super) type Count<'a> = dyn FnMut() -> Result<(), Error> + Send + 'a;

impl Dialer {
    /// Resolves once and connects to the first checked address that answers.
    pub(super) async fn dial(&self, mut call: Call<'_>) -> Result<Connection, Error> {
        let after = call.timeout.map_or(self.timeout, |own| own.min(self.timeout));
        call.timeout = Some(after);
        let deadline = Instant::now() + after;
        match timeout_at(deadline, self.open(&mut call, deadline)).await {
            Ok(opened) => opened,
            Err(_) => Err(timed_out(&call)),
        }
    }

    async fn open(&self, call: &mut Call<'_>, deadline: Instant) -> Result<Connection, Error> {
        let target = call.target;
        let resolved = self.resolve(call).await?;
        let open = call.admitted.addresses(&resolved)?;
        (call.count)()?;
        *call.phase = Phase::Connecting;
        let connected = connect(&open, target.port(), deadline).await;
        let (stream, address) = connected.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => timed_out(call),
            _ => unavailable(call, &error),
        })?;
        // A step waits for each answer before it sends more: small packets must not wait for company.
        stream.set_nodelay(true).map_err(|error| unavailable(call, &error))?;
        let io: Io = match target.scheme() {
            Scheme::Http => Box::new(stream),
            Scheme::Https => {
                *call.phase = Phase::Securing;
                let secured = self.tls.secure(stream, target.host()).await;
                Box::new(secured.map_err(|error| unavailable(call, &error))?)
            }
        };
        Connection::start(Key::of(target), address, io).await.map_err(|error| unavailable(call, &error))
    }

    async fn resolve(&self, call: &mut Call<'_>) -> Result<Vec<IpAddr>, Error> {
        let name = match call.target.host() {
            Host::Address(address) => return Ok(vec![address.to_canonical()]),
            host if host.is_localhost() => return Ok(Host::LOCALHOST_ADDRESSES.to_vec()),
            Host::Name(name) => name.clone(),
        };
        *call.phase = Phase::Resolving;
        let (peer, phase) = (|| call.target.peer(), Phase::Resolving);
        let found = self.resolver.resolve(name).await.map_err(|error| Error::Unavailable {
            peer: peer(),
            phase,
            reason: format!("the name does not resolve: {}", reason(&error)),
        })?;
        let addresses = resolve::distinct(found);
        if addresses.is_empty() {
            return Err(Error::Unavailable {
                peer: peer(),
                phase,
                reason: "the name has no address".to_owned(),
            });
        }
        Ok(addresses)
    }
}

fn unavailable(call: &Call<'_>, error: &(dyn std::error::Error + 'static)) -> Error {
    Error::Unavailable { peer: call.target.peer(), phase: *call.phase, reason: reason(error) }
}

fn timed_out(call: &Call<'_>) -> Error {
    let after = call.timeout.unwrap_or_default();
    Error::Timeout { peer: call.target.peer(), phase: *call.phase, after }
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
