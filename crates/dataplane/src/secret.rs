//! The installation's root key, and all the secrets that are derived from it.
//!
//! Passwords of database roles and the seals' keys are computed when they are needed and stored nowhere on our side.
//! A derived value says nothing about the root key or about any other derived value; two different lists of parts
//! never give the same value, because each part is preceded by its length. Whoever has the root key has everything:
//! it is read once, kept in memory that is wiped, and printed by nothing.

use std::fmt;
use std::path::Path;

use aws_lc_rs::hmac;
use secrecy::{ExposeSecret as _, SecretString};
use tenantry_domain::id::InstallationId;
use zeroize::{Zeroize as _, Zeroizing};

/// Why something is not a root key. Never quotes it.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyError {
    /// Neither 64 hexadecimal digits nor 32 bytes.
    #[error("a root key is 64 hexadecimal digits")]
    Form,
    /// The same byte over and over: a placeholder, not a key.
    #[error("the root key is a placeholder; make one with `openssl rand -hex 32`")]
    Placeholder,
    /// The file cannot be read.
    #[error("the root key's file cannot be read")]
    File(#[source] std::io::Error),
}

/// 32 secret bytes from which everything else is derived.
#[derive(Clone)]
pub struct RootKey(Zeroizing<[u8; 32]>);

impl RootKey {
    /// Takes 32 random bytes.
    ///
    /// # Errors
    /// They are all alike.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, RootKeyError> {
        let key = Zeroizing::new(bytes);
        if key.iter().all(|byte| *byte == key[0]) {
            return Err(RootKeyError::Placeholder);
        }
        Ok(Self(key))
    }

    /// Reads 64 hexadecimal digits, as an environment variable holds them; space around them is ignored.
    ///
    /// # Errors
    /// It is something else, or a placeholder.
    pub fn from_hex(text: &SecretString) -> Result<Self, RootKeyError> {
        let digits = text.expose_secret().trim().as_bytes();
        if digits.len() != 64 {
            return Err(RootKeyError::Form);
        }
        let mut bytes = Zeroizing::new([0; 32]);
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(RootKeyError::Form);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).map_err(|_| RootKeyError::Form)?;
        }
        Self::from_bytes(*bytes)
    }

    /// Reads a file that holds 64 hexadecimal digits or 32 bytes.
    ///
    /// # Errors
    /// It cannot be read, holds something else, or a placeholder.
    pub fn from_file(path: &Path) -> Result<Self, RootKeyError> {
        let content = Zeroizing::new(std::fs::read(path).map_err(RootKeyError::File)?);
        if let Ok(bytes) = <[u8; 32]>::try_from(content.as_slice()) {
            return Self::from_bytes(bytes);
        }
        let text = std::str::from_utf8(&content).map_err(|_| RootKeyError::Form)?;
        Self::from_hex(&SecretString::from(text))
    }

    /// The 32 bytes for one purpose and one thing, which is named by its parts.
    #[must_use]
    pub fn derive(&self, purpose: &str, parts: &[&str]) -> Zeroizing<[u8; 32]> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        let mut context = hmac::Context::with_key(&key);
        for part in std::iter::once(&purpose).chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let tag = context.sign();
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    /// What tells this key from others on an installation, and nothing about it.
    #[must_use]
    pub fn print(&self, installation: InstallationId) -> [u8; 32] {
        *self.derive("print", &[&installation.to_string()])
    }

    /// A password of 64 hexadecimal digits, which needs no quoting anywhere.
    #[must_use]
    pub fn password(&self, purpose: &str, parts: &[&str]) -> SecretString {
        let mut text = String::with_capacity(64);
        for byte in self.derive(purpose, parts).iter() {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        let password = SecretString::from(text.as_str());
        text.zeroize();
        password
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(…)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key() -> RootKey {
        RootKey::from_hex(&"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f".into()).unwrap()
    }

    #[test]
    fn another_purpose_another_part_or_another_split_gives_another_value() {
        let known = key().derive("role", &["ab", "c"]);
        for (purpose, parts) in
            [("role", vec!["a", "bc"]), ("role", vec!["abc"]), ("seal", vec!["ab", "c"]), ("role", vec!["ab", "c", ""])]
        {
            assert_ne!(known, key().derive(purpose, &parts));
        }
        assert_eq!(known, key().derive("role", &["ab", "c"]));
    }

    #[test]
    fn only_a_real_key_is_taken() {
        for text in ["", "00", &"0".repeat(64), &"g".repeat(64), &"a".repeat(65)] {
            assert!(RootKey::from_hex(&text.into()).is_err(), "{text}");
        }
        assert_eq!(format!("{:?}", key()), "RootKey(…)");
        assert_eq!(key().password("role", &[]).expose_secret().len(), 64);
    }

    #[test]
    fn a_file_may_hold_digits_or_bytes() {
        let folder = std::env::temp_dir().join(format!("root-key-{}", std::process::id()));
        std::fs::write(&folder, format!("{}\n", "0f".repeat(31) + "10")).unwrap();
        assert!(RootKey::from_file(&folder).is_ok());
        let bytes: Vec<u8> = (0..32).collect();
        std::fs::write(&folder, bytes).unwrap();
        assert_eq!(*RootKey::from_file(&folder).unwrap().0, *key().0);
        std::fs::remove_file(&folder).unwrap();
        assert!(matches!(RootKey::from_file(&folder), Err(RootKeyError::File(_))));
    }
}
