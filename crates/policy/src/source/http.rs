//! Bounded reads over HTTP, and bundles from plain web servers.
//!
//! An address serves the archive itself, or an index: `{"digest": "sha256:…", "url": "acme-3.tar.gz"}`, where the
//! address may be relative and the digest is the bundle's.

use reqwest::header::{ACCEPT, AUTHORIZATION, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::{Credential, Fetched, REDIRECTS, SourceError, WITHIN, is_safe};
use crate::bundle::{Bundle, Digest, MAX_BYTES};

/// A client with its credential.
pub struct Remote {
    client: Client,
    credential: Option<Credential>,
}

/// A page that names the archive.
#[derive(Deserialize)]
struct Index {
    digest: Digest,
    url: String,
}

impl Remote {
    pub fn new(credential: Option<&Credential>) -> Result<Self, SourceError> {
        // A redirect leads to a safe address, or the request ends with the redirect's status.
        let careful = Policy::custom(|attempt| {
            if attempt.previous().len() > REDIRECTS || !is_safe(attempt.url()) {
                attempt.stop()
            } else {
                attempt.follow()
            }
        });
        let client = Client::builder().redirect(careful).no_proxy().timeout(WITHIN).build()?;
        Ok(Self { client, credential: credential.cloned() })
    }

    /// What an address serves, as a bundle.
    pub async fn bundle(&self, url: &Url, tag: Option<&str>) -> Result<Fetched, SourceError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/gzip, application/json"));
        if let Some(tag) = tag.and_then(|tag| HeaderValue::from_str(tag).ok()) {
            headers.insert(IF_NONE_MATCH, tag);
        }
        let response = self.send(url, headers, self.credential.as_ref()).await?;
        if response.status().as_u16() == 304 && tag.is_some() {
            return Ok(Fetched::Unchanged);
        }
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let bytes = body(response, url, MAX_BYTES).await?;
        if bytes.starts_with(&[0x1f, 0x8b]) {
            return Ok(Fetched::Bundle(Box::new(unpack(bytes).await?), tag));
        }
        let index: Index = serde_json::from_slice(&bytes).map_err(|_| SourceError::Form)?;
        let archive = url.join(&index.url).ok().filter(is_safe);
        let archive = archive.ok_or_else(|| SourceError::Address(index.url.chars().take(200).collect()))?;
        // The credential is for the server that it was given for.
        let credential = self.credential.as_ref().filter(|_| archive.origin() == url.origin());
        let response = self.send(&archive, HeaderMap::new(), credential).await?;
        let bundle = unpack(body(response, &archive, MAX_BYTES).await?).await?;
        if bundle.digest() != index.digest {
            return Err(SourceError::Digest { promised: index.digest, sent: bundle.digest() });
        }
        Ok(Fetched::Bundle(Box::new(bundle), tag))
    }

    /// Sends a request; the answer may have any status.
    pub async fn send(
        &self,
        url: &Url,
        mut headers: HeaderMap,
        credential: Option<&Credential>,
    ) -> Result<Response, SourceError> {
        if let Some(Credential::Bearer(token)) = credential {
            let value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()));
            let mut value = value.map_err(|_| SourceError::Challenge)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut request = self.client.get(url.clone()).headers(headers);
        if let Some(Credential::Basic(name, password)) = credential {
            request = request.basic_auth(name, Some(password.expose_secret()));
        }
        Ok(request.send().await?)
    }

    /// What the server is shown, unless it hands out something better.
    pub const fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }
}

/// The body of an answer with status 200.
pub async fn body(mut response: Response, url: &Url, most: usize) -> Result<Vec<u8>, SourceError> {
    if response.status().as_u16() != 200 {
        return Err(SourceError::Status { status: response.status().as_u16(), what: url.path().to_owned() });
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > most {
            return Err(SourceError::Large);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Unpacks an archive, away from the threads that wait for sockets.
pub async fn unpack(bytes: Vec<u8>) -> Result<Bundle, SourceError> {
    let unpacked = tokio::task::spawn_blocking(move || Bundle::read_archive(&bytes)).await;
    Ok(unpacked.map_err(|_| SourceError::Form)??)
}
