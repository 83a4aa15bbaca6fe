//! What a client sends before the first tagged message: a request for encryption, a cancellation, or the start of a
//! session.
//!
//! INVARIANT: nothing longer than [`LONGEST_START`] is waited for, and what is read is read to its last byte, so that no
//! two readers of it can differ.

use std::collections::BTreeSet;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::body::Body;
use crate::write;

/// The longest start, in bytes behind its length word. PostgreSQL's own bound.
pub const LONGEST_START: usize = 10_000;

/// The newest minor version of protocol 3 that is spoken here.
pub const NEWEST_MINOR: u16 = 2;

/// The first byte of a TLS handshake. A start never begins with it, since that would be its length.
pub const TLS_HANDSHAKE: u8 = 0x16;

/// Fewest and most bytes of the secret that cancels a query. Before version 3.2 it has exactly four.
pub const SECRET: std::ops::RangeInclusive<usize> = 4..=256;

const MAJOR: u16 = 3;
/// Not versions: PostgreSQL keeps this major number for requests.
const REQUEST: u16 = 1234;
const CANCEL: u16 = 5678;
const SSL: u16 = 5679;
const GSS: u16 = 5680;

/// Names of parameters that speak of the protocol, not of a setting.
const PROTOCOL_NAMES: &str = "_pq_.";

/// The first thing a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum First {
    /// It asks for TLS: answer one byte, `S` or `N`.
    Ssl,
    /// It asks for GSSAPI encryption: answer one byte, `G` or `N`.
    Gss,
    /// It wants a query of another connection cancelled: do so, and close without an answer.
    Cancel(Cancel),
    /// It wants a session.
    Start(Start),
}

/// Whose query shall be cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancel {
    /// The process id that the session was told.
    pub pid: i32,
    /// The secret that the session was told, of 4 to 256 bytes.
    pub secret: Bytes,
}

/// A session is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The minor version that the client would like, which may be newer than [`NEWEST_MINOR`].
    pub minor: u16,
    /// Names and values in the order they came, each name once.
    pub params: Vec<(String, String)>,
    /// Names of options of the protocol (`_pq_.…`). None is known here, and they are not among the parameters.
    pub unknown: Vec<String>,
}

impl Start {
    /// A parameter's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The minor version that will be spoken.
    #[must_use]
    pub fn spoken(&self) -> u16 {
        self.minor.min(NEWEST_MINOR)
    }

    /// Whether the client has to be told what is spoken here: it wants a newer version, or options nobody knows.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        self.minor > NEWEST_MINOR || !self.unknown.is_empty()
    }

    /// Whether the client takes a cancellation secret that is longer than four bytes.
    #[must_use]
    pub const fn takes_long_secrets(&self) -> bool {
        self.minor >= 2
    }
}

/// Why bytes are no first message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The length is below 8 or beyond [`LONGEST_START`], or not what the request has. PostgreSQL's code is `08P01`.
    #[error("a start has the length {0}")]
    Length(u32),
    /// Another version than 3. PostgreSQL's code is `0A000`.
    #[error("the client speaks protocol {major}.{minor}, and 3.0 to 3.2 is spoken here")]
    Version {
        /// What the client speaks.
        major: u16,
        /// What the client speaks.
        minor: u16,
    },
    /// Names and values are not ended as they must be. PostgreSQL's code is `08P01`.
    #[error("the parameters of a start are not ended by a zero")]
    Layout,
    /// A name or value is not UTF-8. PostgreSQL's code for a name that cannot be is `22021`.
    #[error("the parameters of a start are not UTF-8")]
    NotUtf8,
    /// A name stands there twice. Readers may differ in which they take, so none is taken. Code `08P01`.
    #[error("the parameter `{0}` is given twice")]
    Twice(String),
    /// A word of `options` sets nothing. PostgreSQL's code is `42601`.
    #[error("`{0}` in the start's options is not of the form `-c name=value` or `--name=value`")]
    Option(String),
}

impl StartError {
    /// The code PostgreSQL has for it.
    #[must_use]
    pub const fn sqlstate(&self) -> &'static str {
        match self {
            Self::Length(_) | Self::Layout | Self::Twice(_) => "08P01",
            Self::Version { .. } => "0A000",
            Self::NotUtf8 => "22021",
            Self::Option(_) => "42601",
        }
    }
}

/// The first message and how many bytes it took; `None` as long as more bytes are needed.
///
/// # Errors
/// The bytes cannot become a first message, whatever follows.
pub fn first(bytes: &[u8]) -> Result<Option<(First, usize)>, StartError> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let claimed = u32::from_be_bytes(*length);
    let bad = StartError::Length(claimed);
    // The length word counts itself; the version behind it must be there.
    let Some(length) = usize::try_from(claimed).ok().and_then(|length| length.checked_sub(4)) else { return Err(bad) };
    if !(4..=LONGEST_START).contains(&length) {
        return Err(bad);
    }
    let Some(mut body) = rest.get(..length).map(Body::new) else { return Ok(None) };
    let Ok([a, b, c, d]) = body.chunk() else { return Err(bad) };
    let first = match (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])) {
        (REQUEST, SSL) => body.end().map(|()| First::Ssl).map_err(|_| bad)?,
        (REQUEST, GSS) => body.end().map(|()| First::Gss).map_err(|_| bad)?,
        (REQUEST, CANCEL) => match (body.int(), body.rest()) {
            (Ok(pid), secret) if SECRET.contains(&secret.len()) => {
                First::Cancel(Cancel { pid, secret: Bytes::copy_from_slice(secret) })
            }
            _ => return Err(bad),
        },
        (MAJOR, minor) => First::Start(start(minor, body)?),
        (major, minor) => return Err(StartError::Version { major, minor }),
    };
    Ok(Some((first, length + 4)))
}

fn start(minor: u16, mut body: Body<'_>) -> Result<Start, StartError> {
    let mut start = Start { minor, params: Vec::new(), unknown: Vec::new() };
    loop {
        let name = text(&mut body)?;
        if name.is_empty() {
            break;
        }
        let value = text(&mut body)?;
        if name.starts_with(PROTOCOL_NAMES) {
            start.unknown.push(name);
        } else {
            start.params.push((name, value));
        }
    }
    body.end().map_err(|_| StartError::Layout)?;
    let mut seen = BTreeSet::new();
    match start.params.iter().find(|(name, _)| !seen.insert(name.as_str())) {
        Some((name, _)) => Err(StartError::Twice(shown(name))),
        None => Ok(start),
    }
}

fn text(body: &mut Body<'_>) -> Result<String, StartError> {
    let text = body.text().map_err(|_| StartError::Layout)?;
    std::str::from_utf8(text).map(str::to_owned).map_err(|_| StartError::NotUtf8)
}

/// What an error may repeat of a client's text.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

/// The settings in the parameter `options`, in their order, cut into words as PostgreSQL does it: at blanks, and a
/// backslash takes the next character as it is. `-c name=value`, `-cname=value` and `--name=value` are known; a dash in a
/// name stands for an underscore.
///
/// # Errors
/// Anything else, which PostgreSQL would take as another switch of the server.
pub fn options(text: &str) -> Result<Vec<(String, String)>, StartError> {
    let mut words = split(text).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = if let Some(setting) = word.strip_prefix("--") {
            setting.to_owned()
        } else if word == "-c" {
            words.next().ok_or_else(|| StartError::Option(shown(&word)))?
        } else if let Some(setting) = word.strip_prefix("-c") {
            setting.to_owned()
        } else {
            return Err(StartError::Option(shown(&word)));
        };
        match setting.split_once('=') {
            Some((name, value)) if !name.is_empty() => settings.push((name.replace('-', "_"), value.to_owned())),
            _ => return Err(StartError::Option(shown(&setting))),
        }
    }
    Ok(settings)
}

fn split(text: &str) -> Vec<String> {
    let is_blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c');
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches(is_blank);
    while !rest.is_empty() {
        let mut word = String::new();
        let mut is_escaped = false;
        let mut end = rest.len();
        for (at, c) in rest.char_indices() {
            if !is_escaped && is_blank(c) {
                end = at;
                break;
            }
            is_escaped = !is_escaped && c == '\\';
            if !is_escaped {
                word.push(c);
            }
        }
        words.push(word);
        rest = rest.get(end..).unwrap_or_default().trim_start_matches(is_blank);
    }
    words
}

/// Asks for a session.
pub fn put_start(out: &mut BytesMut, minor: u16, params: &[(&str, &str)]) {
    write::counted(out, |out| {
        out.put_u16(MAJOR);
        out.put_u16(minor);
        for (name, value) in params {
            write::text(out, name.as_bytes());
            write::text(out, value.as_bytes());
        }
        out.put_u8(0);
    });
}

/// Asks for TLS.
pub fn put_ssl(out: &mut BytesMut) {
    request(out, SSL, |_| ());
}

/// Asks for GSSAPI encryption.
pub fn put_gss(out: &mut BytesMut) {
    request(out, GSS, |_| ());
}

/// Asks that a query of the session with this process id and secret be cancelled.
pub fn put_cancel(out: &mut BytesMut, pid: i32, secret: &[u8]) {
    request(out, CANCEL, |out| {
        out.put_i32(pid);
        out.put_slice(secret);
    });
}

fn request(out: &mut BytesMut, code: u16, body: impl FnOnce(&mut BytesMut)) {
    write::counted(out, |out| {
        out.put_u16(REQUEST);
        out.put_u16(code);
        body(out);
    });
}
