//! Certificate and key of the gateway, and what of them a login binds to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{self, Algorithm, SHA256, SHA384, SHA512};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::ObjectIdentifier;

/// The name of PostgreSQL's protocol inside of TLS, which a client that begins with TLS has to give.
pub const ALPN: &[u8] = b"postgresql";

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("`{path}` cannot be read: {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// The chain is empty.
    #[error("`{0}` holds no certificate")]
    Empty(PathBuf),
    /// Certificate and key do not fit, or are of a kind that is not supported.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// What is offered at present. Cheap to clone; all clones see a reload.
#[derive(Clone)]
pub struct Tls {
    chain: PathBuf,
    key: PathBuf,
    offer: Arc<ArcSwap<Offer>>,
}

/// One certificate.
pub struct Offer {
    /// Makes connections out of sockets.
    pub acceptor: TlsAcceptor,
    /// The hash that `tls-server-end-point` binds to; empty if the certificate has none.
    pub end_point: Vec<u8>,
}

impl Tls {
    /// Reads a chain of certificates and its key, both in PEM.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn read(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        let offer = Arc::new(ArcSwap::from_pointee(read(chain, key)?));
        Ok(Self { chain: chain.to_owned(), key: key.to_owned(), offer })
    }

    /// Reads the files again; what they held before stays when they cannot be used.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn reload(&self) -> Result<(), TlsError> {
        self.offer_from_now(self.prepare()?);
        Ok(())
    }

    /// Reads the files, and leaves what is offered as it is.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn prepare(&self) -> Result<Offer, TlsError> {
        read(&self.chain, &self.key)
    }

    /// Offers what was prepared.
    pub fn offer_from_now(&self, offer: Offer) {
        self.offer.store(Arc::new(offer));
    }

    /// What is offered now.
    #[must_use]
    pub fn offer(&self) -> Arc<Offer> {
        self.offer.load_full()
    }
}

fn read(chain: &Path, key: &Path) -> Result<Offer, TlsError> {
    let file = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::File { path, source }
    };
    let certificates = CertificateDer::pem_file_iter(chain).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(file(chain))?;
    let first = certificates.first().ok_or_else(|| TlsError::Empty(chain.to_owned()))?;
    let end_point = end_point(first);
    let secret = PrivateKeyDer::from_pem_file(key).map_err(file(key))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let mut config =
        builder.with_safe_default_protocol_versions()?.with_no_client_auth().with_single_cert(certificates, secret)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Offer { acceptor: TlsAcceptor::from(Arc::new(config)), end_point })
}

/// RFC 5929, 4.1: the certificate under the hash of its signature, SHA-256 at least.
fn end_point(certificate: &CertificateDer<'_>) -> Vec<u8> {
    let hash = Certificate::from_der(certificate).ok().and_then(|found| hash_of(found.signature_algorithm.oid));
    hash.map(|hash| digest::digest(hash, certificate).as_ref().to_vec()).unwrap_or_default()
}

fn hash_of(signature: ObjectIdentifier) -> Option<&'static Algorithm> {
    match signature.to_string().as_str() {
        // MD5 and SHA-1 with RSA count as SHA-256; then RSA and ECDSA with SHA-256.
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" => {
            Some(&SHA256)
        }
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(&SHA384),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(&SHA512),
        // Ed25519 and RSA-PSS have no hash that can be read off their name.
        _ => None,
    }
}
