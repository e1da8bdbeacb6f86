//! TLS with the platform's roots and the operator's own.

use std::{io, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{net::TcpStream, sync::OnceCell};
use tokio_rustls::{TlsConnector, client::TlsStream};

use stepcell_core::grant::Host;

/// Reads every certificate of a PEM file. Unlike one of the platform's many, a root that the operator names
/// has to be good: it is tried here, at the start, not at the first request.
pub fn certificates_from_pem(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, RootsError> {
    let certificates =
        CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(RootsError::Pem)?;
    if certificates.is_empty() {
        return Err(RootsError::Empty);
    }
    for certificate in &certificates {
        RootCertStore::empty().add(certificate.clone()).map_err(RootsError::Unusable)?;
    }
    Ok(certificates)
}

/// Why a file holds no roots.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error("the file is no PEM")]
    Pem(#[source] rustls::pki_types::pem::Error),
    #[error("the file holds no certificate")]
    Empty,
    #[error("the file holds a certificate that can not be a root")]
    Unusable(#[source] rustls::Error),
}

pub(super) struct Tls {
    extra_roots: Vec<CertificateDer<'static>>,
    /// Read at the first https request: it takes milliseconds, which a start should not pay for.
    connector: OnceCell<TlsConnector>,
}

impl Tls {
    pub(super) fn new(extra_roots: Vec<CertificateDer<'static>>) -> Self {
        Self { extra_roots, connector: OnceCell::new() }
    }

    pub(super) async fn secure(&self, stream: TcpStream, host: &Host) -> io::Result<TlsStream<TcpStream>> {
        let name = match host {
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(io::Error::other)?,
            Host::Address(address) => ServerName::IpAddress((*address).into()),
        };
        let connector = self
            .connector
            .get_or_try_init(|| async {
                let extra_roots = self.extra_roots.clone();
                tokio::task::spawn_blocking(move || configure(&extra_roots))
                    .await
                    .map_err(io::Error::other)?
            })
            .await?;
        connector.connect(name, stream).await
    }
}

fn configure(extra_roots: &[CertificateDer<'static>]) -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "can not read a platform root certificate");
    }
    roots.add_parsable_certificates(native.certs);
    for root in extra_roots {
        roots.add(root.clone()).map_err(io::Error::other)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
