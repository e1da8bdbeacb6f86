use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio_rustls::TlsAcceptor;

use super::super::{Error, Options, certificates_from_pem, connection::Io};
use super::support::{Names, Out, Server, text};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn acceptor(authority: &Authority, names: &[&str]) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let params =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    let certificate: CertificateDer<'static> = params.signed_by(&key, authority).unwrap().into();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A server that has a certificate for `names`.
async fn server(authority: &Authority, names: &[&str]) -> Server {
    let acceptor = acceptor(authority, names);
    let wrap = move |stream| -> futures_util::future::BoxFuture<'static, std::io::Result<Io>> {
        let acceptor = acceptor.clone();
        Box::pin(async move { Ok(Box::new(acceptor.accept(stream).await?) as Io) })
    };
    Server::http("127.0.0.1", |_| text("secure"), wrap).await
}

fn out(trusted: Option<&Authority>, names: &Arc<Names>) -> Out {
    let options = Options {
        extra_roots: trusted.map(|authority| authority.der().clone()).into_iter().collect(),
        resolver: names.clone(),
        ..Options::default()
    };
    Out::with(options, &["https://*:*"], &["127.0.0.1"])
}

#[tokio::test]
async fn a_known_authority_and_the_right_name_are_trusted() {
    let authority = authority();
    let server = server(&authority, &["a.example", "127.0.0.1"]).await;
    let names = Names::of("a.example", &[&["127.0.0.1"]]);
    let out = out(Some(&authority), &names);
    for _ in 0..3 {
        assert_eq!(out.get(&server.named("https", "a.example")).await.unwrap().body, b"secure");
    }
    assert_eq!((server.accepted(), out.idle()), (1, 1));
    assert_eq!(out.get(&server.named("https", "127.0.0.1")).await.unwrap().body, b"secure");
}

#[tokio::test]
async fn a_wrong_name_is_refused() {
    let authority = authority();
    let server = server(&authority, &["b.example"]).await;
    let names = Names::of("a.example", &[&["127.0.0.1"]]);
    let error = out(Some(&authority), &names).get(&server.named("https", "a.example")).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }));
    assert!(error.to_string().contains("not valid for name"), "{error}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let server = server(&authority(), &["a.example"]).await;
    let names = Names::of("a.example", &[&["127.0.0.1"]]);
    for trusted in [None, Some(&authority())] {
        let error = out(trusted, &names).get(&server.named("https", "a.example")).await.unwrap_err();
        assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn plain_http_is_no_tls() {
    let server = Server::start(|_| text("")).await;
    let names = Names::of("a.example", &[&["127.0.0.1"]]);
    let error = out(None, &names).get(&server.named("https", "a.example")).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}

#[test]
fn roots_are_read_from_pem() {
    let (one, two) = (authority(), authority());
    let both = format!("{}\n# the second\n{}", one.pem(), two.pem());
    assert_eq!(certificates_from_pem(both.as_bytes()).unwrap(), [one.der().clone(), two.der().clone()]);
    assert_eq!(certificates_from_pem(b"nothing").unwrap_err().to_string(), "the file holds no certificate");
    for bad in ["???", "AAAA"] {
        let pem = format!("-----BEGIN CERTIFICATE-----\n{bad}\n-----END CERTIFICATE-----\n");
        assert!(certificates_from_pem(pem.as_bytes()).is_err(), "{bad}");
    }
}
