//! States, tags and codes out of a server's messages. Bodies are given without tag and length.

use super::Status;
use crate::BodyError;
use crate::body::{Body, only_text};
use crate::start::SECRET;

/// PostgreSQL has about twenty kinds of fields; a server that sends more than this is not believed.
const MOST_FIELDS: usize = 64;

/// The longest list of mechanisms that is read.
const MOST_MECHANISMS: usize = 16;

/// Reads ReadyForQuery.
///
/// # Errors
/// The body is malformed, or its letter is none of `I`, `T` and `E`.
pub fn ready(body: &[u8]) -> Result<Status, BodyError> {
    let mut body = Body::new(body);
    let status = match body.byte()? {
        b'I' => Status::Idle,
        b'T' => Status::Open,
        b'E' => Status::Failed,
        other => return Err(BodyError::Kind(other)),
    };
    body.end()?;
    Ok(status)
}

/// Reads the tag of CommandComplete, such as `INSERT 0 1`.
///
/// # Errors
/// The body is malformed.
pub fn command(body: &[u8]) -> Result<&[u8], BodyError> {
    only_text(body)
}

/// The fields of ErrorResponse and NoticeResponse: a letter and a text each. Stops where the body is malformed.
pub fn fields(body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut body = Body::new(body);
    let next = move || match body.byte() {
        Ok(0) | Err(_) => None,
        Ok(letter) => Some((letter, body.text().ok()?)),
    };
    std::iter::from_fn(next).fuse().take(MOST_FIELDS)
}

/// The code in ErrorResponse or NoticeResponse.
#[must_use]
pub fn sqlstate(body: &[u8]) -> Option<&[u8]> {
    fields(body).find(|(letter, _)| *letter == b'C').map(|(_, code)| code)
}

/// Reads ParameterStatus: name and value.
///
/// # Errors
/// The body is malformed.
pub fn parameter(body: &[u8]) -> Result<(&[u8], &[u8]), BodyError> {
    let mut body = Body::new(body);
    let both = (body.text()?, body.text()?);
    body.end()?;
    Ok(both)
}

/// Reads BackendKeyData: process id, and a secret of 4 to 256 bytes.
///
/// # Errors
/// The body is malformed.
pub fn key(body: &[u8]) -> Result<(i32, &[u8]), BodyError> {
    let mut body = Body::new(body);
    let (pid, secret) = (body.int()?, body.rest());
    if SECRET.contains(&secret.len()) { Ok((pid, secret)) } else { Err(BodyError::Count) }
}

/// What a server asks of a client, or says, before it lets it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth<'a> {
    /// It is let in.
    Ok,
    /// The password as it is.
    Cleartext,
    /// The password hashed with this salt.
    Md5([u8; 4]),
    /// One of these mechanisms.
    Sasl(Vec<&'a [u8]>),
    /// The mechanism's next message.
    SaslContinue(&'a [u8]),
    /// The mechanism's last message.
    SaslFinal(&'a [u8]),
    /// Something else, by its number.
    Other(i32),
}

/// Reads any message of the authentication.
///
/// # Errors
/// The body is malformed, or lists more than sixteen mechanisms.
pub fn auth(body: &[u8]) -> Result<Auth<'_>, BodyError> {
    let mut body = Body::new(body);
    let auth = match body.int()? {
        0 => Auth::Ok,
        3 => Auth::Cleartext,
        5 => Auth::Md5(body.chunk()?),
        10 => Auth::Sasl(mechanisms(&mut body)?),
        11 => return Ok(Auth::SaslContinue(body.rest())),
        12 => return Ok(Auth::SaslFinal(body.rest())),
        other => return Ok(Auth::Other(other)),
    };
    body.end()?;
    Ok(auth)
}

fn mechanisms<'a>(body: &mut Body<'a>) -> Result<Vec<&'a [u8]>, BodyError> {
    let mut names = Vec::new();
    loop {
        match body.text()? {
            [] => return Ok(names),
            _ if names.len() == MOST_MECHANISMS => return Err(BodyError::Count),
            name => names.push(name),
        }
    }
}

/// The values of DataRow, `None` for NULL.
///
/// # Errors
/// The body is malformed; it is looked at as a whole before the first value is given.
pub fn row(body: &[u8]) -> Result<impl Iterator<Item = Option<&[u8]>>, BodyError> {
    let mut body = Body::new(body);
    let count = body.word()?;
    let mut values = body;
    for _ in 0..count {
        body.value()?;
    }
    body.end()?;
    Ok((0..count).map_while(move |_| values.value().ok()))
}
