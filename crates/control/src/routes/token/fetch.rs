//! Reads a key set from where the configuration says: a file, or an address over https.
//!
//! Bounded in size and time; follows no redirect, asks no proxy, sends nothing but the request.

use std::path::Path;
use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::redirect::Policy;
use tenantry_domain::access::token::KeysSpec;
use tokio::io::AsyncReadExt as _;

use super::jwks::MAX_BYTES;

/// The longest that a source may take.
const WITHIN: Duration = Duration::from_secs(3);

/// Why a source gave nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The file cannot be read.
    #[error("the file cannot be read")]
    File(#[from] std::io::Error),
    /// The source did not answer, or not in the way that is spoken here.
    #[error("the address does not answer")]
    Http(#[from] reqwest::Error),
    /// It answered with another status than 200; redirects are not followed.
    #[error("the address answers with status {0}")]
    Status(u16),
    /// It holds more than 1 MiB.
    #[error("the answer is larger than 1 MiB")]
    Large,
    /// It is an emulator, which has none.
    #[error("an emulator has no keys")]
    Keyless,
    /// It was not done within three seconds.
    #[error("the source takes longer than 3 s")]
    Slow,
}

/// How addresses are reached.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Door {
    /// The same address without TLS. Only tests can open it: no configuration leads here.
    #[cfg(test)]
    pub(super) is_plain: bool,
}

impl Door {
    const fn is_https_only(self) -> bool {
        #[cfg(test)]
        return !self.is_plain;
        #[cfg(not(test))]
        true
    }

    /// The bytes of a source.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub(super) async fn fetch(self, source: &KeysSpec) -> Result<Vec<u8>, FetchError> {
        let reading = async {
            match source {
                KeysSpec::File(path) => read(path).await,
                KeysSpec::Url(url) => self.get(url).await,
                KeysSpec::Emulator => Err(FetchError::Keyless),
            }
        };
        tokio::time::timeout(WITHIN, reading).await.unwrap_or(Err(FetchError::Slow))
    }

    async fn get(self, url: &str) -> Result<Vec<u8>, FetchError> {
        // Made for each fetch: they are minutes apart, and no connection should stay open between.
        let client = reqwest::Client::builder()
            .https_only(self.is_https_only())
            .redirect(Policy::none())
            .no_proxy()
            .timeout(WITHIN)
            .build()?;
        #[cfg(test)]
        let url = &if self.is_plain { url.replace("https://", "http://") } else { url.to_owned() };
        let mut response = client.get(url).header(ACCEPT, "application/json").send().await?;
        if response.status().as_u16() != 200 {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if bytes.len() + chunk.len() > MAX_BYTES {
                return Err(FetchError::Large);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, FetchError> {
    let file = tokio::fs::File::open(path).await?;
    let mut bytes = Vec::new();
    // One byte more than may be, to tell the two apart.
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).await?;
    if bytes.len() > MAX_BYTES { Err(FetchError::Large) } else { Ok(bytes) }
}
