//! Where bundles come from: a folder, an address that serves an archive or an index, a registry of container images.
//!
//! INVARIANT: an address is `https`, or it is on this machine. What comes is bounded in bytes and in time, a digest
//! that was promised (by an index, by a reference) is compared, and nothing is believed because of where it came from.

mod http;
mod oci;

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;
use tenantry_domain::code::Code;

use crate::bundle::{Bundle, BundleError, Digest, MAX_BYTES};
use http::Remote;
pub use oci::Image;

/// How long one request may take.
const WITHIN: Duration = Duration::from_secs(20);

/// Most redirects of one request.
const REDIRECTS: usize = 3;

/// A place that serves bundles.
#[derive(Debug, Clone)]
pub enum Source {
    /// A folder on this machine.
    Folder(PathBuf),
    /// An archive, or an index that names one.
    Http(Url),
    /// An image in a registry.
    Oci(Image),
}

/// What a caller shows to a server.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A bearer token.
    Bearer(SecretString),
    /// Name and password.
    Basic(String, SecretString),
}

/// What a source had.
#[derive(Debug)]
pub enum Fetched {
    /// A bundle, and the tag by which the source tells whether it has changed.
    Bundle(Box<Bundle>, Option<String>),
    /// What the tag given stands for.
    Unchanged,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A text that names no source.
    #[error("`{0}` is no source: a folder, an https address (http on this machine only), or `oci://host/name:tag`")]
    Address(String),
    /// The server cannot be reached, or broke off.
    #[error("the source does not answer")]
    Http(#[from] reqwest::Error),
    /// Another status than 200.
    #[error("the source answers with status {status} for `{what}`")]
    Status {
        /// The status.
        status: u16,
        /// What was asked for.
        what: String,
    },
    /// More bytes than a bundle may have.
    #[error("what the source sends is larger than {} MiB", MAX_BYTES >> 20)]
    Large,
    /// Neither an archive nor an index.
    #[error("the source sends neither an archive (tar with gzip) nor an index of one")]
    Form,
    /// Other content than was promised.
    #[error("the source promised {promised} and sent {sent}")]
    Digest {
        /// By the index, the manifest or the reference.
        promised: Digest,
        /// What came.
        sent: Digest,
    },
    /// The image is no bundle.
    #[error("the image has {0} layers; a bundle's image has one, of tar with gzip")]
    Layers(usize),
    /// The registry asks for a login in a way that is not known.
    #[error("the registry asks for a login in a way that is not known")]
    Challenge,
    /// Files that are no bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

impl SourceError {
    /// The code that callers see.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Bundle(error) => error.code(),
            Self::Large | Self::Form | Self::Digest { .. } | Self::Layers(_) | Self::Address(_) => {
                Code::PolicyBundleInvalid
            }
            Self::Http(_) | Self::Status { .. } | Self::Challenge => Code::PolicyBundleUnreachable,
        }
    }
}

impl Source {
    /// Reads the name of one: an address, `oci://host/name:tag`, `oci://host/name@sha256:…`, or a folder.
    ///
    /// # Errors
    /// It names none, or an address that anybody on the way could answer for.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let refused = || SourceError::Address(text.chars().take(200).collect());
        if let Some(reference) = text.strip_prefix("oci://") {
            return Image::parse(reference).map(Self::Oci).ok_or_else(refused);
        }
        if text.contains("://") {
            let url = Url::parse(text).map_err(|_| refused())?;
            return if is_safe(&url) { Ok(Self::Http(url)) } else { Err(refused()) };
        }
        if text.is_empty() { Err(refused()) } else { Ok(Self::Folder(PathBuf::from(text))) }
    }

    /// Fetches what the source has now. With the tag of the last time, a source may say that nothing has changed.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub async fn fetch(&self, credential: Option<&Credential>, tag: Option<&str>) -> Result<Fetched, SourceError> {
        match self {
            Self::Folder(path) => {
                let path = path.clone();
                let shown = path.display().to_string();
                // Files block, and nobody says how slow the disk is.
                let read = tokio::task::spawn_blocking(move || Bundle::read_folder(&path)).await;
                let broken = |error: tokio::task::JoinError| BundleError::Read {
                    path: shown,
                    source: std::io::Error::other(error),
                };
                Ok(Fetched::Bundle(Box::new(read.map_err(broken)??), None))
            }
            Self::Http(url) => Remote::new(credential)?.bundle(url, tag).await,
            Self::Oci(image) => image.fetch(&Remote::new(credential)?, tag).await,
        }
    }
}

/// Whether nobody on the way can answer in the place of an address: it is encrypted, or on this machine.
pub(crate) fn is_safe(url: &Url) -> bool {
    let local = match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback()),
        None => false,
    };
    let plain = url.username().is_empty() && url.password().is_none();
    plain && (url.scheme() == "https" || (url.scheme() == "http" && local))
}
