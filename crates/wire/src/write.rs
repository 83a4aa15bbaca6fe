//! Puts messages together. Lengths are filled in when the body is known.
//!
//! INVARIANT: a text ends at its first zero, so that what a caller passes on cannot become another field or message.

use bytes::{BufMut as _, BytesMut};

/// A tagged message.
pub(crate) fn frame(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    counted(out, body);
}

/// A length word that counts itself, and what it counts.
pub(crate) fn counted(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_u32(0);
    body(out);
    // A message beyond 4 GiB cannot be told; a length that nobody takes ends the connection, a wrong one would not.
    let length = u32::try_from(out.len().saturating_sub(at)).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// A text up to its first zero, and a zero.
pub(crate) fn text(out: &mut BytesMut, text: &[u8]) {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    out.put_slice(text.get(..end).unwrap_or_default());
    out.put_u8(0);
}

/// A length of 32 bits and the bytes; -1 for no value, and for one beyond 2 GiB, which cannot be told.
pub(crate) fn value(out: &mut BytesMut, value: Option<&[u8]>) {
    match value.and_then(|value| i32::try_from(value.len()).ok().map(|length| (length, value))) {
        Some((length, value)) => {
            out.put_i32(length);
            out.put_slice(value);
        }
        None => out.put_i32(-1),
    }
}

/// How many of `items` a count of 16 bits can tell.
pub(crate) fn counted_items<T>(out: &mut BytesMut, items: &[T], mut put: impl FnMut(&mut BytesMut, &T)) {
    let count = u16::try_from(items.len()).unwrap_or(u16::MAX);
    out.put_u16(count);
    for item in items.iter().take(usize::from(count)) {
        put(out, item);
    }
}
