//! Makes connections.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use futures_util::future::poll_fn;
use rustls::pki_types::CertificateDer;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpStream, UnixStream, lookup_host},
    sync::OnceCell,
};
use tokio_postgres::{
    Client, Config, SimpleQueryMessage,
    config::{Host, SslMode, SslNegotiation, TargetSessionAttrs},
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    session::Session,
    stream::{Bounded, BoundedTls, Socket, Tripped},
    tls,
    url::{Address, Peer, reason},
};

/// Where a connection leads.
#[derive(Clone)]
pub(super) enum Place {
    /// The address, and the name that stood for it.
    Tcp(SocketAddr, String),
    Unix(PathBuf),
}

impl Place {
    pub(super) async fn reach(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(address, _) => TcpStream::connect(address).await.map(Socket::Tcp),
            Self::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
        }
    }

    /// For TLS.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Tcp(_, name) => name,
            Self::Unix(_) => "",
        }
    }
}

pub(super) struct Dialer {
    address: Address,
    authorities: Vec<CertificateDer<'static>>,
    tls: OnceCell<MakeRustlsConnect>,
}

impl Dialer {
    pub(super) fn new(address: Address, authorities: Vec<CertificateDer<'static>>) -> Self {
        Self { address, authorities, tls: OnceCell::new() }
    }

    async fn places(&self, peer: &Peer) -> Result<Vec<Place>, String> {
        let Peer { host, address, port } = peer;
        match (host, address) {
            (Host::Tcp(name), Some(address)) => {
                Ok(vec![Place::Tcp(SocketAddr::new(*address, *port), name.clone())])
            }
            (Host::Tcp(name), None) => {
                let found = lookup_host((name.as_str(), *port)).await;
                let found = found.map_err(|_| format!("`{name}` is not known to the name servers"))?;
                Ok(found.map(|address| Place::Tcp(address, name.clone())).collect())
            }
            (Host::Unix(folder), _) => Ok(vec![Place::Unix(folder.join(format!(".s.PGSQL.{port}")))]),
        }
    }

    async fn connect(&self, place: Place) -> Result<Session, String> {
        let login = &self.address.login;
        let socket = match login.get_connect_timeout() {
            Some(limit) => match tokio::time::timeout(*limit, place.reach()).await {
                Ok(reached) => reached,
                Err(_) => return Err(format!("no connection within {} s", limit.as_secs())),
            },
            None => place.reach().await,
        };
        let socket = socket.map_err(|error| error.kind().to_string())?;
        tune(&socket, login).map_err(|error| error.kind().to_string())?;
        let tls = self.tls().await?;
        let (client, driver, tripped) = start(login, socket, tls.clone(), place.name()).await?;
        check_target(&client, login).await?;
        Ok(Session::new(client, driver, place, tls, tripped))
    }

    async fn tls(&self) -> Result<MakeRustlsConnect, String> {
        let make = || async {
            let (security, authorities) = (self.address.security, self.authorities.clone());
            let made = tokio::task::spawn_blocking(move || tls::connector(security, &authorities)).await;
            made.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
        };
        self.tls.get_or_try_init(make).await.cloned()
    }
}

impl Manager for Dialer {
    type Type = Session;
    /// Why there is no connection.
    type Error = String;

    async fn create(&self) -> Result<Session, String> {
        let mut last = String::from("its name stands for no address");
        for peer in &self.address.hosts {
            let places = match self.places(peer).await {
                Ok(places) => places,
                Err(reason) => {
                    last = reason;
                    continue;
                }
            };
            for place in places {
                // Boxed: every call would carry the room for it, and hardly one connects.
                match Box::pin(self.connect(place)).await {
                    Ok(session) => return Ok(session),
                    Err(reason) => last = reason,
                }
            }
        }
        Err(last)
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<String> {
        if session.is_usable() { Ok(()) } else { Err(RecycleError::message("it is closed")) }
    }
}

fn tune(socket: &Socket, login: &Config) -> io::Result<()> {
    let Socket::Tcp(stream) = socket else { return Ok(()) };
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(login.get_keepalives_idle()))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(login.get_tcp_user_timeout().copied())?;
    Ok(())
}

/// Logs in and lets a task drive the connection. Notices are dropped: a statement may raise millions of them.
async fn start(
    login: &Config,
    socket: Socket,
    mut tls: MakeRustlsConnect,
    name: &str,
) -> Result<(Client, tokio::task::JoinHandle<()>, Tripped), String> {
    let tripped = Tripped::default();
    let socket = match (login.get_ssl_mode(), login.get_ssl_negotiation()) {
        (SslMode::Disable, _) => Bounded::outside(socket, false, Arc::clone(&tripped)),
        (_, SslNegotiation::Direct) => Bounded::opaque(socket, Arc::clone(&tripped)),
        _ => Bounded::outside(socket, true, Arc::clone(&tripped)),
    };
    let tls = MakeTlsConnect::<Bounded<Socket>>::make_tls_connect(&mut tls, name)
        .map_err(|error| error.to_string())?;
    let tls = BoundedTls { tls, tripped: Arc::clone(&tripped) };
    let (client, mut connection) = login.connect_raw(socket, tls).await.map_err(|error| reason(&error))?;
    let driver = tokio::spawn(async move {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            if let Err(error) = message {
                tracing::debug!(reason = reason(&error), "a database connection broke");
                break;
            }
        }
    });
    Ok((client, driver, tripped))
}

/// With several hosts, the URL may ask for the one that can be written to.
async fn check_target(client: &Client, login: &Config) -> Result<(), String> {
    let wanted = match login.get_target_session_attrs() {
        TargetSessionAttrs::ReadWrite => "off",
        TargetSessionAttrs::ReadOnly => "on",
        _ => return Ok(()),
    };
    let rows = client.simple_query("SHOW transaction_read_only").await.map_err(|error| reason(&error))?;
    let is_wanted =
        rows.iter().any(|row| matches!(row, SimpleQueryMessage::Row(row) if row.get(0) == Some(wanted)));
    if is_wanted { Ok(()) } else { Err("it is not what `target_session_attrs` asks for".to_owned()) }
}
