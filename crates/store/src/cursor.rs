//! Page tokens: opaque, signed, bound to one query of one principal, and short-lived.
//!
//! A token holds the keys of the last row that was shown; a page goes on behind them, so rows that come or go in
//! between neither repeat nor hide others.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use tenantry_domain::Timestamp;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::page::PageSize;

use crate::Store;

/// Tokens live for a day: long enough for a list that is read over a night, short enough to change a key.
const LIFE_SECONDS: i64 = 24 * 60 * 60;
/// Bytes of a binding and of a signature.
const TAG: usize = 16;

/// Why a page token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// It was not made here, or was changed.
    #[error("the page token is malformed")]
    Malformed,
    /// It belongs to another query or another caller.
    #[error("the page token belongs to another query")]
    Foreign,
    /// It is older than a day.
    #[error("the page token has expired")]
    Expired,
}

/// The key that signs page tokens.
#[derive(Clone)]
pub struct CursorKey(Arc<hmac::Key>);

impl CursorKey {
    /// Takes 32 secret bytes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorKey(…)")
    }
}

/// Which page of a list, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest<'a> {
    /// The caller; its tokens are of no use to others.
    pub principal: &'a str,
    /// The token of the page before; absent for the first page.
    pub token: Option<&'a str>,
    /// How many items.
    pub size: PageSize,
    /// The moment; tokens live for a day.
    pub now: Timestamp,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The token of the page after; absent on the last page.
    pub next: Option<String>,
}

/// What a token is good for: one list with one filter in one environment, for one caller.
pub(crate) struct Binding {
    key: CursorKey,
    tag: [u8; TAG],
}

impl Binding {
    pub(crate) fn new(
        store: &Store,
        list: &str,
        environment: &EnvironmentName,
        filter: &impl fmt::Debug,
        page: &PageRequest<'_>,
    ) -> Self {
        let key = store.inner.cursor_key.clone();
        let mut context = hmac::Context::with_key(&key.0);
        for part in [list, environment.as_str(), page.principal, &format!("{filter:?}")] {
            // The length in front keeps one part from passing for the end of another.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        Self { tag: shortened(context.sign()), key }
    }

    /// The keys of the last row of the page before; nothing for the first page.
    pub(crate) fn open<const N: usize>(&self, page: &PageRequest<'_>) -> Result<Option<[u8; N]>, CursorError> {
        let Some(token) = page.token else { return Ok(None) };
        let bytes = decode(token).filter(|bytes| bytes.len() > 8 + 2 * TAG).ok_or(CursorError::Malformed)?;
        let (payload, signature) = bytes.split_at(bytes.len() - TAG);
        let expected = shortened(hmac::sign(&self.key.0, payload));
        aws_lc_rs::constant_time::verify_slices_are_equal(&expected, signature).map_err(|_| CursorError::Malformed)?;
        let (expiry, rest) = payload.split_at(8);
        let (tag, keys) = rest.split_at(TAG);
        if tag != self.tag {
            return Err(CursorError::Foreign);
        }
        let expiry = expiry.try_into().map(i64::from_be_bytes).map_err(|_| CursorError::Malformed)?;
        if page.now.as_second() >= expiry {
            return Err(CursorError::Expired);
        }
        keys.try_into().map(Some).map_err(|_| CursorError::Malformed)
    }

    /// Cuts a list that was read one item longer than the page, and makes the token of the page after.
    pub(crate) fn page<T, const N: usize>(
        &self,
        mut items: Vec<T>,
        page: &PageRequest<'_>,
        keys: impl Fn(&T) -> [u8; N],
    ) -> Page<T> {
        let size = usize::from(page.size.get());
        let has_more = items.len() > size;
        items.truncate(size);
        let next = items.last().filter(|_| has_more).map(|last| self.token(page, keys(last)));
        Page { items, next }
    }

    /// The token of the page that begins behind these keys.
    pub(crate) fn token<const N: usize>(&self, page: &PageRequest<'_>, keys: [u8; N]) -> String {
        let mut payload = page.now.as_second().saturating_add(LIFE_SECONDS).to_be_bytes().to_vec();
        payload.extend_from_slice(&self.tag);
        payload.extend_from_slice(&keys);
        let signature = shortened(hmac::sign(&self.key.0, &payload));
        payload.extend_from_slice(&signature);
        encode(&payload)
    }
}

fn shortened(tag: hmac::Tag) -> [u8; TAG] {
    let mut short = [0; TAG];
    short.copy_from_slice(&tag.as_ref()[..TAG]);
    short
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base 64 for URLs, without padding (RFC 4648, section 5).
fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            let digit = (bits >> (18 - 6 * place)) & 63;
            text.push(char::from(ALPHABET[digit as usize]));
        }
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for digit in chunk {
            bits = (bits << 6) | u32::try_from(ALPHABET.iter().position(|known| known == digit)?).ok()?;
        }
        bits <<= 6 * (4 - chunk.len());
        let held = match chunk.len() {
            1 => return None,
            len => len - 1,
        };
        bytes.extend_from_slice(&bits.to_be_bytes()[1..=held]);
        // Bits behind the last whole byte must be nought, or one value would have several texts.
        if bits & ((1 << (8 * (3 - held))) - 1) != 0 {
            return None;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_round_trips_and_has_one_text_per_value() {
        for length in 0..40_u8 {
            let bytes: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(37) ^ 0xa5).collect();
            assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
        assert_eq!(encode(b"\xfb\xff"), "-_8");
        for bad in ["A", "-_9", "a+b=", "ä"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
