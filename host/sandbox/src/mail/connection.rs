//! From the config to a connection that takes mail.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use lettre::transport::smtp::{
    authentication::DEFAULT_MECHANISMS,
    client::{AsyncSmtpConnection, AsyncTokioStream, Certificate, TlsParameters},
    extension::ClientId,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OnceCell,
};
use tokio_rustls::TlsConnector;

use super::{
    Error,
    config::{MailConfig, Security},
};

/// What a server may say on one connection. Protects the host's memory from a server that never ends a line.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Opens connections. What TLS needs is read at the first one: the platform's roots take milliseconds.
pub(super) struct Dialer {
    config: Arc<MailConfig>,
    implicit: OnceCell<TlsConnector>,
    starttls: OnceCell<TlsParameters>,
}

impl Dialer {
    pub(super) fn new(config: Arc<MailConfig>) -> Self {
        Self { config, implicit: OnceCell::new(), starttls: OnceCell::new() }
    }

    /// Greeted, encrypted as the config says, and logged in.
    pub(super) async fn open(&self) -> Result<AsyncSmtpConnection, Error> {
        let config = &*self.config;
        let hello = ClientId::Domain(config.from.email.domain().to_owned());
        let stream = self.connect().await.map_err(|error| Error::broken(config, &error))?;
        let greeted = AsyncSmtpConnection::connect_with_transport(stream, &hello).await;
        let mut connection = greeted.map_err(|error| Error::of(config, &error))?;
        let upgrade = match config.security {
            Security::Required => true,
            Security::Opportunistic => connection.can_starttls(),
            Security::Plain | Security::Implicit => false,
        };
        if upgrade {
            if !connection.can_starttls() {
                return Err(Error::no_starttls(config));
            }
            let parameters = self.parameters().await.map_err(|error| Error::broken(config, &error))?;
            let upgraded = connection.starttls(parameters, &hello).await;
            upgraded.map_err(|error| Error::of(config, &error))?;
        }
        if let Some(login) = &config.login {
            let logged_in = connection.auth(DEFAULT_MECHANISMS, &login.credentials).await;
            logged_in.map_err(|error| Error::login(config, &error))?;
        }
        Ok(connection)
    }

    async fn connect(&self) -> io::Result<Box<dyn AsyncTokioStream>> {
        let MailConfig { host, port, security, .. } = &*self.config;
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        // One side waits for the other all the time: small packets must not wait for company.
        stream.set_nodelay(true)?;
        let peer = stream.peer_addr()?;
        if *security != Security::Implicit {
            return Ok(Box::new(Wire::new(stream, peer)));
        }
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        let config = Arc::clone(&self.config);
        let connector = self.implicit.get_or_try_init(|| blocking(move || connector(&config))).await?;
        Ok(Box::new(Wire::new(connector.connect(name, stream).await?, peer)))
    }

    async fn parameters(&self) -> io::Result<TlsParameters> {
        let config = Arc::clone(&self.config);
        self.starttls.get_or_try_init(|| blocking(move || parameters(&config))).await.cloned()
    }
}

async fn blocking<T: Send + 'static>(read: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

fn parameters(config: &MailConfig) -> io::Result<TlsParameters> {
    let mut builder = TlsParameters::builder(config.host.clone());
    for root in &config.roots {
        builder =
            builder.add_root_certificate(Certificate::from_der(root.to_vec()).map_err(io::Error::other)?);
    }
    builder.build_rustls().map_err(io::Error::other)
}

fn connector(config: &MailConfig) -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for root in &config.roots {
        roots.add(root.clone()).map_err(io::Error::other)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A stream that ends where the server says more than [`ANSWER_BYTES_MAX`].
struct Wire<S> {
    stream: S,
    peer: SocketAddr,
    left: usize,
}

impl<S> Wire<S> {
    fn new(stream: S, peer: SocketAddr) -> Self {
        Self { stream, peer, left: ANSWER_BYTES_MAX }
    }
}

impl<S> fmt::Debug for Wire<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> AsyncTokioStream for Wire<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = buffer.filled().len().saturating_sub(before);
        match self.left.checked_sub(read) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Ok(()))
            }
            None => {
                let message = format!("it says more than the {ANSWER_BYTES_MAX} bytes allowed");
                Poll::Ready(Err(io::Error::other(message)))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
