//! A small mail server that keeps what it gets, and that misbehaves where it is told to.

mod conversation;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A server on loopback, for as long as the test's runtime lives.
pub struct Smtp {
    address: SocketAddr,
    tls: SmtpTls,
    authority: String,
    shared: Arc<Shared>,
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    None,
    /// Offered, and not asked for.
    Starttls,
    /// From the first byte.
    Implicit,
}

/// A mail that the server took.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Of the envelope.
    pub from: String,
    /// Of the envelope: also those whom nobody sees.
    pub to: Vec<String>,
    /// Headers and body as they came, without the dots that were doubled on the way.
    pub data: String,
    /// Whether it came over TLS.
    pub secure: bool,
    /// Who was logged in.
    pub user: Option<String>,
}

/// What to do instead of going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misbehave {
    /// Say this line.
    Say(&'static str),
    /// Say nothing any more.
    Hang,
    /// Close the connection.
    Drop,
    /// Say something that never ends.
    Babble,
}

#[derive(Default)]
struct Shared {
    /// User and password, where a login is needed.
    login: Option<(String, String)>,
    mails: Mutex<Vec<Mail>>,
    misbehaviour: Mutex<BTreeMap<&'static str, Misbehave>>,
    reached: Mutex<BTreeSet<String>>,
    accepted: AtomicUsize,
    open: AtomicUsize,
}

impl Smtp {
    /// Takes mail from everybody, in the open.
    pub async fn start() -> Self {
        Self::with(SmtpTls::None, None).await
    }

    /// Takes mail from whoever knows `login`: the user and the password.
    pub async fn with(tls: SmtpTls, login: Option<(&str, &str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
        let shared = Arc::new(Shared { login, ..Shared::default() });
        let (acceptor, authority) = secure();
        let serving = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.accepted.fetch_add(1, SeqCst);
                let (shared, acceptor) = (serving.clone(), acceptor.clone());
                tokio::spawn(async move {
                    shared.open.fetch_add(1, SeqCst);
                    // A client that goes away is what some tests wait for.
                    let _ = conversation::serve(&shared, stream, tls, &acceptor).await;
                    shared.open.fetch_sub(1, SeqCst);
                });
            }
        });
        Self { address, tls, authority, shared }
    }

    /// `smtp://127.0.0.1:PORT`, or `smtps://`; without a login and without `tls`.
    pub fn url(&self) -> String {
        let scheme = if self.tls == SmtpTls::Implicit { "smtps" } else { "smtp" };
        format!("{scheme}://{}", self.address)
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of the authority that signed the server's, for `127.0.0.1` and `localhost`, as PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What was taken so far.
    pub fn mails(&self) -> Vec<Mail> {
        held(&self.shared.mails).clone()
    }

    /// From now on, whenever `at` comes: `connect`, `EHLO`, `STARTTLS`, `AUTH`, `MAIL`, `RCPT`, `DATA`, `NOOP`, or
    /// `mail` for the end of one.
    pub fn misbehave(&self, at: &'static str, how: Misbehave) {
        held(&self.shared.misbehaviour).insert(at, how);
    }

    /// Behaves well again.
    pub fn behave(&self) {
        held(&self.shared.misbehaviour).clear();
    }

    /// Whether some client has come so far; see [`Self::misbehave`].
    pub fn reached(&self, at: &str) -> bool {
        held(&self.shared.reached).contains(at)
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(SeqCst)
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.shared.open.load(SeqCst)
    }
}

/// What a test that failed left behind is still good.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An authority of its own, and what it signed.
fn secure() -> (TlsAcceptor, String) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let names = ["127.0.0.1", "localhost"].map(str::to_owned);
    let params = CertificateParams::new(names).expect("good names");
    let certificate: CertificateDer<'static> =
        params.signed_by(&key, &authority).expect("a certificate").into();
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("known versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate that fits its key");
    (TlsAcceptor::from(Arc::new(config)), authority.pem())
}
