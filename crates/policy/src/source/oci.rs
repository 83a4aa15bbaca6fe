//! Bundles out of a registry of container images, by its distribution API: a manifest with one layer, which is the
//! archive.
//!
//! INVARIANT: a reference by digest gives exactly that manifest, and a layer is the one that its manifest names: both
//! are hashed here, whatever the registry's headers say.

use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Response, Url};
use secrecy::SecretString;
use serde::Deserialize;

use super::http::{Remote, body, unpack};
use super::{Credential, Fetched, SourceError, is_safe};
use crate::bundle::{Digest, MAX_BYTES};

/// Longest manifest that is read.
const MAX_MANIFEST: usize = 1 << 20;

/// Longest answer of a token service.
const MAX_TOKEN: usize = 64 << 10;

/// Kinds of manifest that are asked for.
const MANIFESTS: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// How layers of tar with gzip are called, by those who push them.
const LAYERS: [&str; 3] = [
    "application/vnd.tenantry.policy.bundle.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
];

/// An image in a registry: `host[:port]/name:tag` or `host[:port]/name@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    registry: Url,
    name: String,
    reference: String,
    digest: Option<Digest>,
}

#[derive(Deserialize)]
struct Manifest {
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: Digest,
    size: u64,
}

#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: SecretString,
}

impl Image {
    /// Reads a reference without its scheme. A registry on this machine is spoken to without TLS.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, rest) = text.split_once('/')?;
        let (name, reference, digest) = match rest.split_once('@') {
            Some((name, digest)) => (name, digest.to_owned(), Some(digest.parse().ok()?)),
            None => {
                let (name, tag) = rest.rsplit_once(':')?;
                (name, tag.to_owned(), None)
            }
        };
        let letter =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
        let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(letter);
        let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let is_tag = (1..=128).contains(&reference.len()) && reference.bytes().all(word) && !reference.starts_with('.');
        if !name.split('/').all(part) || !(digest.is_some() || is_tag) {
            return None;
        }
        let url = |scheme: &str| Url::parse(&format!("{scheme}://{host}/")).ok().filter(|url| url.path() == "/");
        let registry = url("http").filter(is_safe).or_else(|| url("https").filter(is_safe))?;
        Some(Self { registry, name: name.to_owned(), reference, digest })
    }

    pub(super) async fn fetch(&self, remote: &Remote, tag: Option<&str>) -> Result<Fetched, SourceError> {
        let path = format!("v2/{}/manifests/{}", self.name, self.reference);
        let mut accept = HeaderMap::new();
        accept.insert(ACCEPT, HeaderValue::from_static(MANIFESTS));
        let (response, login) = self.get(remote, &path, accept, remote.credential().cloned()).await?;
        let bytes = body(response, &self.registry, MAX_MANIFEST).await?;
        let digest = Digest::of_bytes(&bytes);
        if let Some(promised) = self.digest.filter(|promised| *promised != digest) {
            return Err(SourceError::Digest { promised, sent: digest });
        }
        let own = digest.to_string();
        if tag == Some(own.as_str()) {
            return Ok(Fetched::Unchanged);
        }
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|_| SourceError::Form)?;
        let layer = match manifest.layers.as_slice() {
            [layer] if LAYERS.contains(&layer.media_type.as_str()) => layer,
            layers => return Err(SourceError::Layers(layers.len())),
        };
        if layer.size > MAX_BYTES as u64 {
            return Err(SourceError::Large);
        }
        let path = format!("v2/{}/blobs/{}", self.name, layer.digest);
        let (response, _) = self.get(remote, &path, HeaderMap::new(), login).await?;
        let bytes = body(response, &self.registry, MAX_BYTES).await?;
        let sent = Digest::of_bytes(&bytes);
        if sent != layer.digest {
            return Err(SourceError::Digest { promised: layer.digest, sent });
        }
        Ok(Fetched::Bundle(Box::new(unpack(bytes).await?), Some(own)))
    }

    /// Asks the registry; when it wants a token of its own first, gets one and asks again.
    async fn get(
        &self,
        remote: &Remote,
        path: &str,
        headers: HeaderMap,
        login: Option<Credential>,
    ) -> Result<(Response, Option<Credential>), SourceError> {
        let url = self.registry.join(path).map_err(|_| SourceError::Address(path.to_owned()))?;
        let response = remote.send(&url, headers.clone(), login.as_ref()).await?;
        if response.status().as_u16() != 401 {
            return Ok((response, login));
        }
        let challenge = response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        // Without a token service, what was shown is not good enough.
        let Some(service) = challenge.and_then(|text| token_service(text, &self.name)) else {
            return Ok((response, login));
        };
        if !is_safe(&service) {
            return Err(SourceError::Challenge);
        }
        let response = remote.send(&service, HeaderMap::new(), remote.credential()).await?;
        let bytes = body(response, &service, MAX_TOKEN).await?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|_| SourceError::Challenge)?;
        let login = Some(Credential::Bearer(token.token));
        let response = remote.send(&url, headers, login.as_ref()).await?;
        Ok((response, login))
    }
}

/// Where a token for pulling an image is to be had: `Bearer realm="…",service="…"`.
fn token_service(challenge: &str, name: &str) -> Option<Url> {
    let parameters = challenge.strip_prefix("Bearer ")?;
    let value = |wanted: &str| {
        let (_, rest) = parameters.split_once(&format!("{wanted}=\""))?;
        rest.split_once('"').map(|(value, _)| value)
    };
    let mut url = Url::parse(value("realm")?).ok()?;
    {
        let mut pairs = url.query_pairs_mut();
        if let Some(service) = value("service") {
            pairs.append_pair("service", service);
        }
        pairs.append_pair("scope", &format!("repository:{name}:pull"));
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_name_host_name_and_tag_or_digest() {
        let image = Image::parse("images.example.com/acme/policies:3").unwrap();
        assert_eq!((image.registry.as_str(), image.reference.as_str()), ("https://images.example.com/", "3"));
        let local = Image::parse("127.0.0.1:5000/policies:latest").unwrap();
        assert_eq!(local.registry.as_str(), "http://127.0.0.1:5000/");
        let digest = format!("sha256:{}", "0a".repeat(32));
        let exact = Image::parse(&format!("images.example.com/p@{digest}")).unwrap();
        assert_eq!(exact.digest.unwrap().to_string(), digest);
        for wrong in ["", "host", "host/name", "host/../name:1", "host/Name:1", "a@b/name:1", "host/name@sha256:12"] {
            assert_eq!(Image::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn challenges_name_their_token_service() {
        let challenge = r#"Bearer realm="https://auth.example.com/token",service="registry",scope="x""#;
        let url = token_service(challenge, "acme/policies").unwrap();
        assert_eq!(
            url.as_str(),
            "https://auth.example.com/token?service=registry&scope=repository%3Aacme%2Fpolicies%3Apull"
        );
        assert_eq!(token_service("Basic realm=\"x\"", "p"), None);
    }
}
