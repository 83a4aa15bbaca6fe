//! Where a message ends: one byte that says what it is, four that say how long it is, and its body.
//!
//! INVARIANT: a length is compared with the caller's bound before anything else is done with it.

/// Bytes of a message in front of its body.
pub const HEADER: usize = 5;

/// The first five bytes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub tag: u8,
    /// Bytes of the whole message: tag, length word and body.
    pub len: usize,
}

impl Header {
    /// Bytes of the body.
    #[must_use]
    pub const fn body(self) -> usize {
        self.len.saturating_sub(HEADER)
    }
}

/// Why bytes are not a message. PostgreSQL's code for both is `08P01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length word does not even cover itself.
    #[error("a message of type {tag:#04x} has the length {length}")]
    Short {
        /// What it is.
        tag: u8,
        /// What the length word says.
        length: u32,
    },
    /// It is longer than the caller takes.
    #[error("a message of type {tag:#04x} has the length {length}, more than {max}")]
    Long {
        /// What it is.
        tag: u8,
        /// What the length word says.
        length: u32,
        /// The longest whole message that is taken, in bytes.
        max: usize,
    },
}

/// Reads the head of the message that `bytes` begin with. `None` as long as they are fewer than five.
///
/// # Errors
/// The length word is smaller than itself, or the whole message is longer than `max` bytes.
pub fn header(bytes: &[u8], max: usize) -> Result<Option<Header>, FrameError> {
    let Some((&[tag, a, b, c, d], _)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
    let length = u32::from_be_bytes([a, b, c, d]);
    if length < 4 {
        return Err(FrameError::Short { tag, length });
    }
    // The tag is not counted by the length word.
    match usize::try_from(length).ok().and_then(|length| length.checked_add(1)) {
        Some(len) if len <= max => Ok(Some(Header { tag, len })),
        _ => Err(FrameError::Long { tag, length, max }),
    }
}

/// A whole message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub tag: u8,
    /// What it holds.
    pub body: &'a [u8],
    /// Bytes of the whole message.
    pub len: usize,
}

/// The message that `bytes` begin with, once it is there as a whole.
///
/// # Errors
/// Those of [`header`].
pub fn whole(bytes: &[u8], max: usize) -> Result<Option<Frame<'_>>, FrameError> {
    let Some(Header { tag, len }) = header(bytes, max)? else { return Ok(None) };
    Ok(bytes.get(HEADER..len).map(|body| Frame { tag, body, len }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_bounded_before_anything_else() {
        // No length: more bytes are needed. Nothing at all: it is refused.
        let cases: [(&[u8], Option<Option<usize>>); 8] = [
            (b"", Some(None)),
            (b"Q\0\0\0", Some(None)),
            (b"Q\0\0\0\x04", Some(Some(5))),
            (b"Q\0\0\0\x0b", Some(Some(12))),
            (b"Q\0\0\0\x0c", None),
            (b"Q\0\0\0\x03", None),
            (b"Q\xff\xff\xff\xff", None),
            (b"Q\x80\0\0\0 and more", None),
        ];
        for (bytes, wanted) in cases {
            let found = header(bytes, 12).map(|header| header.map(|header| header.len));
            assert_eq!(found.ok(), wanted, "{bytes:?}");
        }
    }

    #[test]
    fn a_body_is_what_the_length_says() {
        assert_eq!(whole(b"Z\0\0\0\x05IZ\0", 64), Ok(Some(Frame { tag: b'Z', body: b"I", len: 6 })));
        assert_eq!(whole(b"S\0\0\0\x04", 64), Ok(Some(Frame { tag: b'S', body: b"", len: 5 })));
        assert_eq!(whole(b"Z\0\0\0\x05", 64), Ok(None));
        assert_eq!(header(b"Z\0\0\0\x05I", 64).map(|header| header.map(Header::body)), Ok(Some(1)));
    }
}
