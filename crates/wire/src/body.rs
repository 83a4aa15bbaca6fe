//! Takes a message's body apart, from the front, and never looks behind its end.

use std::ffi::CStr;

/// Why a body is not what its tag says. PostgreSQL's code for all of them is `08P01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// A text has no terminating zero. In a prefix of a longer body: it may come yet.
    #[error("a text in the message has no end")]
    Unterminated,
    /// The body ends before what it must hold.
    #[error("the message ends too early")]
    Short,
    /// The body goes on behind what it can hold.
    #[error("the message goes on behind its end")]
    Trailing,
    /// A count or a length in it is negative or beyond its bound.
    #[error("a count or length in the message is out of bounds")]
    Count,
    /// A letter or number that has no meaning there.
    #[error("the message holds the unknown kind {0:#04x}")]
    Kind(u8),
}

/// What is left of a body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Up to the next zero, which is taken too.
    pub(crate) fn text(&mut self) -> Result<&'a [u8], BodyError> {
        let text = CStr::from_bytes_until_nul(self.0).map_err(|_| BodyError::Unterminated)?;
        self.0 = self.0.get(text.count_bytes() + 1..).unwrap_or_default();
        Ok(text.to_bytes())
    }

    pub(crate) fn chunk<const N: usize>(&mut self) -> Result<[u8; N], BodyError> {
        let (chunk, rest) = self.0.split_first_chunk::<N>().ok_or(BodyError::Short)?;
        self.0 = rest;
        Ok(*chunk)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, BodyError> {
        self.chunk::<1>().map(|[byte]| byte)
    }

    pub(crate) fn word(&mut self) -> Result<u16, BodyError> {
        self.chunk().map(u16::from_be_bytes)
    }

    pub(crate) fn int(&mut self) -> Result<i32, BodyError> {
        self.chunk().map(i32::from_be_bytes)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], BodyError> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(BodyError::Short)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A length of 32 bits and as many bytes; -1 says that there is no value.
    pub(crate) fn value(&mut self) -> Result<Option<&'a [u8]>, BodyError> {
        match self.int()? {
            -1 => Ok(None),
            length => self.bytes(usize::try_from(length).map_err(|_| BodyError::Count)?).map(Some),
        }
    }

    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) const fn end(self) -> Result<(), BodyError> {
        if self.0.is_empty() { Ok(()) } else { Err(BodyError::Trailing) }
    }
}

/// A body that is one text and nothing else.
pub(crate) fn only_text(body: &[u8]) -> Result<&[u8], BodyError> {
    let mut body = Body::new(body);
    let text = body.text()?;
    body.end()?;
    Ok(text)
}
