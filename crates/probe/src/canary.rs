//! Values that nobody can guess and everybody can recognise who has the key.
//!
//! A canary depends on the key, the tenant, the table, the column and a turn, so that planting again makes the same
//! values, and a value that comes back tells where it was. INVARIANT: without the key no canary can be computed from
//! another one.

use std::fmt;

use aws_lc_rs::hmac;
use uuid::Uuid;
use zeroize::Zeroizing;

/// The secret from which canaries are made. Derive one per installation; it opens nothing.
#[derive(Clone)]
pub struct CanaryKey(Zeroizing<[u8; 32]>);

impl CanaryKey {
    /// Takes 32 secret bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// 32 bytes for one thing, named by its parts.
    fn derive(&self, parts: &[&str]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        let mut context = hmac::Context::with_key(&key);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.sign().as_ref());
        bytes
    }

    /// The eight letters that open every text canary of a tenant, by which its rows are found again.
    pub(crate) fn stem(&self, tenant: Uuid) -> String {
        letters(&self.derive(&["stem", &tenant.to_string()]), 8)
    }

    /// What one column of one row is to hold.
    pub(crate) fn mark(&self, tenant: Uuid, table: &str, column: &str, turn: u32) -> Mark {
        let tenant_text = tenant.to_string();
        let bytes = self.derive(&["value", &tenant_text, table, column, &turn.to_string()]);
        let mut text = self.stem(tenant);
        text.push_str(&letters(&bytes, 16));
        Mark { text, bytes }
    }
}

impl fmt::Debug for CanaryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CanaryKey(…)")
    }
}

/// One canary, in the forms that columns of different types need.
pub(crate) struct Mark {
    /// 24 letters and digits, lower case.
    pub text: String,
    bytes: [u8; 32],
}

impl Mark {
    /// A whole number with exactly `digits` digits, at most 18.
    pub fn number(&self, digits: u32) -> u64 {
        let low = 10u64.pow(digits.clamp(1, 18) - 1);
        low + self.take(16) % (low * 9)
    }

    pub fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.bytes[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// A moment in 2031: date and time, and of the time the part that no time zone shifts.
    pub fn moment(&self) -> (String, String) {
        let (minute, second) = (self.take(0) % 60, self.take(2) % 60);
        // The last digit is not zero, or the server would not print it.
        let micros = (self.take(4) % 90_000 + 10_000) * 10 + 1 + self.take(12) % 9;
        let tail = format!("{minute:02}:{second:02}.{micros:06}");
        (format!("2031-03-04 05:{tail}"), tail)
    }

    fn take(&self, from: usize) -> u64 {
        self.bytes[from..from + 8].iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }
}

fn letters(bytes: &[u8], count: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    bytes.iter().take(count).map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(key: u8, tenant: u128, column: &str) -> Mark {
        CanaryKey::new([key; 32]).mark(Uuid::from_u128(tenant), "app.t", column, 0)
    }

    #[test]
    fn each_place_has_its_own_and_always_the_same() {
        assert_eq!(mark(1, 1, "a").text, mark(1, 1, "a").text);
        for other in [mark(2, 1, "a"), mark(1, 2, "a"), mark(1, 1, "b")] {
            assert_ne!(mark(1, 1, "a").text, other.text);
            assert_ne!(mark(1, 1, "a").uuid(), other.uuid());
            assert_ne!(mark(1, 1, "a").number(15), other.number(15));
        }
        assert_eq!(mark(1, 1, "a").text[..8], mark(1, 1, "b").text[..8]);
    }

    #[test]
    fn numbers_have_the_digits_they_were_asked_for() {
        for digits in 1..=18 {
            let text = mark(3, 9, "n").number(digits).to_string();
            assert_eq!(text.len(), digits as usize);
        }
    }
}
