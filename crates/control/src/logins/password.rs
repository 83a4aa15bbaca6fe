//! Passwords of logins: random, long enough to stand any guessing, and plain in URLs and shells.

use aws_lc_rs::rand;
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::refusal::Refusal;

/// Digits and letters: nothing that a URL, a shell or a connection string gives a meaning to.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Characters: 43 · log2(62) is 256 bits.
const LENGTH: usize = 43;

/// Bytes from here on would make some characters likelier than others.
const FAIR: u8 = 248;

/// Makes a password.
///
/// # Errors
/// The operating system gives no randomness.
pub(crate) fn make() -> Result<SecretString, Refusal> {
    let mut text = Zeroizing::new(String::with_capacity(LENGTH));
    let mut bytes = Zeroizing::new([0_u8; 64]);
    while text.len() < LENGTH {
        rand::fill(bytes.as_mut_slice()).map_err(|_| Refusal::NoRandomness)?;
        let fair = bytes.iter().filter(|byte| **byte < FAIR);
        let missing = LENGTH - text.len();
        text.extend(fair.take(missing).map(|byte| char::from(ALPHABET[usize::from(byte % 62)])));
    }
    Ok(SecretString::from(text.as_str()))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn passwords_are_long_different_and_use_every_character_alike() {
        let mut seen = BTreeSet::new();
        let mut counts: BTreeMap<char, u32> = BTreeMap::new();
        for _ in 0..2_000 {
            let password = make().unwrap();
            let text = password.expose_secret().to_owned();
            assert!(text.len() == LENGTH && text.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{text}");
            text.chars().for_each(|c| *counts.entry(c).or_default() += 1);
            assert!(seen.insert(text));
        }
        // 1,387 of each are expected; ten standard deviations are 372.
        assert_eq!(counts.len(), 62);
        assert!(counts.values().all(|count| (1_015..1_760).contains(count)), "{counts:?}");
    }
}
