//! Names, texts and answers out of a client's messages. Bodies are given without tag and length.

use super::Kind;
use crate::BodyError;
use crate::body::{Body, only_text};

/// A statement to be prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parse<'a> {
    /// What it shall be called; empty for the unnamed one.
    pub name: &'a [u8],
    /// Its text.
    pub query: &'a [u8],
    /// The types of its parameters as they came: a count of 16 bits and as many numbers of 32 bits.
    pub types: &'a [u8],
}

/// Reads Parse.
///
/// # Errors
/// The body is malformed.
pub fn parse(body: &[u8]) -> Result<Parse<'_>, BodyError> {
    let mut body = Body::new(body);
    let (name, query) = (body.text()?, body.text()?);
    let types = body.rest();
    let count = usize::from(body.word()?);
    body.bytes(count * 4)?;
    body.end()?;
    Ok(Parse { name, query, types })
}

/// A statement gets its parameters and becomes a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind<'a> {
    /// What the portal shall be called; empty for the unnamed one.
    pub portal: &'a [u8],
    /// Which statement.
    pub statement: &'a [u8],
    /// Formats and parameters, unread.
    pub rest: &'a [u8],
}

/// Reads the names in Bind. A beginning of the body that holds both is enough; `rest` is then what is there of it.
///
/// # Errors
/// [`BodyError::Unterminated`]: the second name does not end in what is there.
pub fn bind(body: &[u8]) -> Result<Bind<'_>, BodyError> {
    let mut body = Body::new(body);
    Ok(Bind { portal: body.text()?, statement: body.text()?, rest: body.rest() })
}

/// What Describe and Close speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'a> {
    /// What the name names.
    pub kind: Kind,
    /// The name.
    pub name: &'a [u8],
}

/// Reads Describe or Close.
///
/// # Errors
/// The body is malformed, or its letter is neither `S` nor `P`.
pub fn named(body: &[u8]) -> Result<Named<'_>, BodyError> {
    let mut body = Body::new(body);
    let kind = match body.byte()? {
        b'S' => Kind::Statement,
        b'P' => Kind::Portal,
        other => return Err(BodyError::Kind(other)),
    };
    let name = only_text(body.rest())?;
    Ok(Named { kind, name })
}

/// Reads the portal in Execute.
///
/// # Errors
/// The body is malformed.
pub fn execute(body: &[u8]) -> Result<&[u8], BodyError> {
    let mut body = Body::new(body);
    let portal = body.text()?;
    body.int()?;
    body.end()?;
    Ok(portal)
}

/// Reads the text of a simple query, without the zero at its end.
///
/// # Errors
/// The body is malformed; a zero inside the text is.
pub fn query(body: &[u8]) -> Result<&[u8], BodyError> {
    only_text(body)
}

/// Reads a password that was sent as it is.
///
/// # Errors
/// The body is malformed; a zero inside the password is.
pub fn password(body: &[u8]) -> Result<&[u8], BodyError> {
    only_text(body)
}

/// How a client begins SASL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaslInitial<'a> {
    /// The mechanism it chose.
    pub mechanism: &'a [u8],
    /// The mechanism's first message, unless it waits to be asked.
    pub data: Option<&'a [u8]>,
}

/// Reads SASLInitialResponse. Later messages are the mechanism's alone and are not read here.
///
/// # Errors
/// The body is malformed.
pub fn sasl_initial(body: &[u8]) -> Result<SaslInitial<'_>, BodyError> {
    let mut body = Body::new(body);
    let (mechanism, data) = (body.text()?, body.value()?);
    body.end()?;
    Ok(SaslInitial { mechanism, data })
}
