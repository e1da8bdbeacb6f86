//! An authority of the tests, and servers that have certificates of it.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use axum::{Router, serve::Listener};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Signs certificates; nobody trusts it who was not given its own.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    #[expect(clippy::new_without_default, reason = "each one is another")]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are fine");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("keys can be made");
        Self(CertifiedIssuer::self_signed(params, key).expect("it can sign"))
    }

    /// For the config: `network: { ca: FILE }`.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// The server's side of TLS, with a certificate for hosts and addresses.
    pub fn acceptor(&self, names: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().expect("keys can be made");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("these are names");
        let certificate = params.signed_by(&key, &self.0).expect("the authority signs");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("it is a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("these are the provider's own")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into()], key)
            .expect("key and certificate belong together");
        TlsAcceptor::from(Arc::new(config))
    }
}

/// An HTTPS server on loopback, for as long as the test's runtime lives.
pub struct Https {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    secured: Arc<AtomicUsize>,
}

impl Https {
    /// Starts the server on a free port. It has a certificate for `names`.
    pub async fn start(authority: &Authority, names: &[&str], app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let https = Self { address, accepted: Arc::default(), secured: Arc::default() };
        let listener = Secured {
            listener,
            acceptor: authority.acceptor(names),
            accepted: https.accepted.clone(),
            secured: https.secured.clone(),
        };
        tokio::spawn(async move { axum::serve(listener, app).await });
        https
    }

    /// `https://NAME:PORT`
    pub fn url(&self, name: &str) -> String {
        format!("https://{name}:{}", self.address.port())
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(SeqCst)
    }

    /// Those of them whose client trusted the server.
    pub fn secured(&self) -> usize {
        self.secured.load(SeqCst)
    }
}

struct Secured {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    accepted: Arc<AtomicUsize>,
    secured: Arc<AtomicUsize>,
}

impl Secured {
    async fn connection(&self) -> io::Result<(TlsStream<TcpStream>, SocketAddr)> {
        let (stream, address) = self.listener.accept().await?;
        self.accepted.fetch_add(1, SeqCst);
        let stream = self.acceptor.accept(stream).await?;
        self.secured.fetch_add(1, SeqCst);
        Ok((stream, address))
    }
}

impl Listener for Secured {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // A client that does not trust the server hangs up; others come.
            if let Ok(connection) = self.connection().await {
                return connection;
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
