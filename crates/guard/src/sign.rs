//! Reports that can be handed on: signed with ed25519, so that any changed byte is found.
//!
//! The signed text is the canonical JSON of the whole document but its signature, after a line that says what is signed,
//! so that no signature of ours for another purpose can stand in for this one. A document must be in its canonical form
//! to the byte: there is then nothing in it that the signature does not cover.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::canonical;
use crate::report::Report;

const PURPOSE: &str = "tenantry isolation report 1\n";
const ALGORITHM: &str = "ed25519";
/// Larger ones are not read: 500 findings of each check need a few megabytes.
const LARGEST: usize = 64 << 20;

/// A key that signs reports.
pub struct SigningKey(Ed25519KeyPair);

/// A key that verifies them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// Why a report was not signed, or is not what it claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The bytes make no key.
    #[error("the bytes make no ed25519 key; a seed and a public key have 32 bytes each")]
    Key,
    /// It holds something that has no canonical form.
    #[error("the report cannot be written in its canonical form")]
    Form,
    /// It is not a signed report, or it was written anew by a program that spaces or orders it differently.
    #[error("this is not a signed report in its canonical form; use the file as it was written")]
    Document,
    /// Another key signed it.
    #[error("the report was signed with another key; ask for the key with the id that it names")]
    OtherKey,
    /// It was changed after it was signed.
    #[error("the signature does not fit: the report was changed after it was signed")]
    Changed,
}

impl SigningKey {
    /// Takes a secret seed of 32 bytes.
    ///
    /// # Errors
    /// The seed cannot be used.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, SignError> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_| SignError::Key)
    }

    /// The key that verifies.
    ///
    /// # Errors
    /// The key pair has no public half of 32 bytes, which no seed leads to.
    pub fn public_key(&self) -> Result<PublicKey, SignError> {
        self.0.public_key().as_ref().try_into().map(PublicKey).map_err(|_| SignError::Key)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

impl PublicKey {
    /// Takes the 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits in lower case.
    ///
    /// # Errors
    /// The text is something else.
    pub fn parse(text: &str) -> Result<Self, SignError> {
        unhex(text.trim()).and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(SignError::Key)
    }

    /// 64 hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// A short name of the key: the first half of its SHA-256, in hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        hex(digest(&SHA256, &self.0).as_ref().get(..16).unwrap_or_default())
    }
}

/// A report with its signature.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedReport {
    body: Value,
    key_id: String,
    signature: String,
}

/// The document as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    algorithm: String,
    key_id: String,
    report: Value,
    signature: String,
}

impl Report {
    /// Signs the report.
    ///
    /// # Errors
    /// It has no canonical form, or the key has no public half; neither happens with what this crate makes.
    pub fn sign(&self, key: &SigningKey) -> Result<SignedReport, SignError> {
        let body = serde_json::to_value(self).map_err(|_| SignError::Form)?;
        let key_id = key.public_key()?.id();
        let signature = hex(key.0.sign(signed_text(&body, &key_id)?.as_bytes()).as_ref());
        Ok(SignedReport { body, key_id, signature })
    }
}

impl SignedReport {
    /// Reads a document.
    ///
    /// # Errors
    /// It is not one, or not in its canonical form.
    pub fn parse(text: &str) -> Result<Self, SignError> {
        // The line's end that editors and shells add.
        let text = text.strip_suffix('\n').unwrap_or(text);
        if text.len() > LARGEST {
            return Err(SignError::Document);
        }
        let document: Document = serde_json::from_str(text).map_err(|_| SignError::Document)?;
        let read = Self { body: document.report, key_id: document.key_id, signature: document.signature };
        if document.algorithm != ALGORITHM || read.document()? != text {
            return Err(SignError::Document);
        }
        Ok(read)
    }

    /// The document to store, in its only form.
    ///
    /// # Errors
    /// The report has no canonical form, which no report of this crate comes to.
    pub fn document(&self) -> Result<String, SignError> {
        let document = json!({
            "algorithm": ALGORITHM, "keyId": self.key_id, "report": self.body, "signature": self.signature,
        });
        canonical::text(&document).ok_or(SignError::Form)
    }

    /// The id of the key that it claims to be signed with.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Checks the signature and gives the report.
    ///
    /// # Errors
    /// Another key signed it, or it was changed.
    pub fn verify(&self, key: &PublicKey) -> Result<Report, SignError> {
        if key.id() != self.key_id {
            return Err(SignError::OtherKey);
        }
        let signature = unhex(&self.signature).ok_or(SignError::Changed)?;
        UnparsedPublicKey::new(&ED25519, &key.0)
            .verify(signed_text(&self.body, &self.key_id)?.as_bytes(), &signature)
            .map_err(|_| SignError::Changed)?;
        serde_json::from_value(self.body.clone()).map_err(|_| SignError::Document)
    }
}

fn signed_text(body: &Value, key_id: &str) -> Result<String, SignError> {
    let signed = json!({ "algorithm": ALGORITHM, "keyId": key_id, "report": body });
    canonical::text(&signed).map(|text| format!("{PURPOSE}{text}")).ok_or(SignError::Form)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lower case only: two texts for one value would be a byte that can be changed.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair.first()?)? << 4 | digit(pair.get(1)?)?)).collect()
}
