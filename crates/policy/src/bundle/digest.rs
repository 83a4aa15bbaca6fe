//! The one name of a bundle's content, whatever way it came: folder, archive, registry.
//!
//! `sha256` over a line that says what is hashed, then of every file but the signature, sorted by path: length of the
//! path, path, length of the content, content; lengths as eight bytes, the highest first.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::SIGNATURE;

/// What the digest is of, so that no other file of the world has the same one.
const DOMAIN: &[u8] = b"tenantry-policy-bundle/v1\n";

/// SHA-256 of a bundle.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a digest is `sha256:` and 64 hexadecimal digits in lower case")]
pub struct DigestError;

impl Digest {
    pub(super) fn of(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(DOMAIN);
        let mut add = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        for (path, bytes) in files.iter().filter(|(path, _)| path.as_str() != SIGNATURE) {
            add(path.as_bytes());
            add(bytes);
        }
        Self::finished(hash)
    }

    /// That of plain bytes, as registries use it.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(bytes);
        Self::finished(hash)
    }

    fn finished(hash: Context) -> Self {
        let mut own = [0; 32];
        own.iter_mut().zip(hash.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self(own)
    }

    /// The digits alone.
    #[must_use]
    pub fn hex(&self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a text cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digits = text.strip_prefix("sha256:").ok_or(DigestError)?.as_bytes();
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(DigestError),
        };
        if digits.len() != 64 {
            return Err(DigestError);
        }
        let mut own = [0; 32];
        for (to, pair) in own.iter_mut().zip(digits.chunks_exact(2)) {
            *to = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(own))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}
