//! Opens a session on a server: encryption, start, login, and who it is.
//!
//! Everything here is bounded by the caller's deadline, and whatever fails closes the socket.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret as _;
use tenantry_pg::{PgError, Target};
use tenantry_wire::server::Auth;
use tenantry_wire::{client, frame, server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::backend::Backend;
use crate::socket::{Socket, Stream};

/// The longest message during a login or a preparation.
const LONGEST: usize = 64 * 1024;

/// Why no session could be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server cannot be reached, or ended the conversation.
    #[error("the server cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    /// It took too long.
    #[error("the server did not answer in time")]
    Slow,
    /// The server refused, with its code and message.
    #[error("the server refused ({code}): {message}")]
    Refused {
        /// SQLSTATE.
        code: String,
        /// The server's words.
        message: String,
    },
    /// It speaks no TLS, and the cell's URL asks for it.
    #[error("the server offers no encryption")]
    Unencrypted,
    /// It wants a proof that we do not give.
    #[error("the server asks for an unknown way of logging in")]
    Method,
    /// What it said cannot be read.
    #[error("the server does not speak PostgreSQL's protocol: {0}")]
    Protocol(&'static str),
    /// The root certificates cannot be used.
    #[error("encryption cannot be set up: {0}")]
    Encryption(PgError),
}

impl ConnectError {
    /// SQLSTATE of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}

/// By what a server lets its statements be cancelled.
#[derive(Debug, Clone)]
pub struct Key {
    /// Process id.
    pub pid: i32,
    /// The secret that goes with it.
    pub secret: Bytes,
}

/// A conversation in turns, for what happens before and between clients.
pub(super) struct Talk<'a> {
    pub stream: &'a mut Stream,
    pub unread: &'a mut BytesMut,
}

impl Talk<'_> {
    pub async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The next message: its tag and body.
    pub async fn hear(&mut self) -> Result<(u8, Bytes), ConnectError> {
        loop {
            let header = frame::header(self.unread, LONGEST).map_err(|_| ConnectError::Protocol("a bad length"))?;
            if let Some(header) = header
                && self.unread.len() >= header.len
            {
                let message = self.unread.split_to(header.len).freeze();
                return Ok((header.tag, message.slice(frame::HEADER..)));
            }
            if self.stream.read_buf(self.unread).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

/// Opens a session.
///
/// # Errors
/// See [`ConnectError`].
pub async fn open(target: &Target, settings: &[(&str, &str)], limit: Duration) -> Result<Backend, ConnectError> {
    let opened = Box::pin(open_now(target, settings));
    tokio::time::timeout(limit, opened).await.map_err(|_| ConnectError::Slow)?
}

async fn open_now(target: &Target, settings: &[(&str, &str)]) -> Result<Backend, ConnectError> {
    let mut stream = dial(target).await?;
    let mut unread = BytesMut::with_capacity(4096);
    let mut talk = Talk { stream: &mut stream, unread: &mut unread };
    let options = options(settings);
    let mut out = BytesMut::new();
    let params = [
        ("user", target.user()),
        ("database", target.database()),
        ("client_encoding", "UTF8"),
        ("application_name", "tenantry gateway"),
        ("options", &options),
    ];
    client::put_start(&mut out, 0, &params);
    talk.say(&out).await?;
    prove(&mut talk, target).await?;
    let (mut params, mut key) = (Vec::new(), None);
    loop {
        let (tag, body) = talk.hear().await?;
        match tag {
            b'S' => {
                let (name, value) = server::parameter(&body).map_err(|_| ConnectError::Protocol("a bad setting"))?;
                params.push((text(name), text(value)));
            }
            b'K' => {
                let (pid, secret) = server::key(&body).map_err(|_| ConnectError::Protocol("a bad key"))?;
                key = Some(Key { pid, secret: Bytes::copy_from_slice(secret) });
            }
            b'Z' => break,
            b'N' | b'v' => {}
            b'E' => return Err(refused(&body)),
            _ => return Err(ConnectError::Protocol("an unexpected message after the login")),
        }
    }
    let key = key.ok_or(ConnectError::Protocol("no key"))?;
    Ok(Backend::new(stream, target.clone(), key, params))
}

/// Connects, and encrypts as the URL says.
async fn dial(target: &Target) -> Result<Stream, ConnectError> {
    let host = target.host();
    if host.starts_with('/') {
        return Err(ConnectError::Protocol("a cell behind the gateway needs a TCP address"));
    }
    let mut socket = TcpStream::connect((host.as_str(), target.port())).await?;
    socket.set_nodelay(true)?;
    let alive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10));
    socket2::SockRef::from(&socket).set_tcp_keepalive(&alive)?;
    let Some(encryption) = target.encryption().map_err(ConnectError::Encryption)? else { return Ok(socket.into()) };
    let mut out = BytesMut::new();
    client::put_ssl(&mut out);
    socket.write_all(&out).await?;
    match socket.read_u8().await? {
        b'S' => {
            let name = ServerName::try_from(host).map_err(|_| ConnectError::Protocol("a host that is no name"))?;
            let connector = TlsConnector::from(Arc::clone(&encryption.config));
            let stream = connector.connect(name, Socket::Live(socket)).await?;
            Ok(Stream::Tls(Box::new(stream.into())))
        }
        b'N' if !encryption.is_required => Ok(socket.into()),
        b'N' => Err(ConnectError::Unencrypted),
        _ => Err(ConnectError::Protocol("a bad answer to the question for encryption")),
    }
}

/// Answers what the server asks for until it says that we are in.
async fn prove(talk: &mut Talk<'_>, target: &Target) -> Result<(), ConnectError> {
    let password = target.password().map(|password| password.expose_secret().as_bytes()).unwrap_or_default();
    let mut scram = None;
    let mut out = BytesMut::new();
    loop {
        let (tag, body) = talk.hear().await?;
        out.clear();
        match tag {
            b'R' => {}
            b'E' => return Err(refused(&body)),
            b'v' | b'N' => continue,
            _ => return Err(ConnectError::Protocol("an unexpected message during the login")),
        }
        match server::auth(&body).map_err(|_| ConnectError::Protocol("a bad request for a proof"))? {
            Auth::Ok => return Ok(()),
            Auth::Cleartext if talk.stream.is_encrypted() => client::put_password(&mut out, password),
            Auth::Md5(salt) => {
                let hash = md5_hash(target.user().as_bytes(), password, salt);
                client::put_password(&mut out, hash.as_bytes());
            }
            Auth::Sasl(names) if names.contains(&SCRAM_SHA_256.as_bytes()) => {
                let begun = ScramSha256::new(password, ChannelBinding::unsupported());
                client::put_sasl_initial(&mut out, SCRAM_SHA_256.as_bytes(), begun.message());
                scram = Some(begun);
            }
            Auth::SaslContinue(data) => {
                let scram = scram.as_mut().ok_or(ConnectError::Method)?;
                scram.update(data)?;
                client::put_sasl_response(&mut out, scram.message());
            }
            // Whoever cannot prove that it knows the verifier is not the server that we mean.
            Auth::SaslFinal(data) => scram.as_mut().ok_or(ConnectError::Method)?.finish(data)?,
            _ => return Err(ConnectError::Method),
        }
        if !out.is_empty() {
            talk.say(&out).await?;
        }
    }
}

/// What an error message says.
pub(super) fn refused(body: &[u8]) -> ConnectError {
    let (mut code, mut message) = (String::new(), String::new());
    for (field, value) in server::fields(body) {
        match field {
            b'C' => code = text(value),
            b'M' => message = text(value),
            _ => {}
        }
    }
    ConnectError::Refused { code, message }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Settings in the form of the start's `options`.
fn options(settings: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in settings {
        text.push_str("-c ");
        text.push_str(name);
        text.push('=');
        for c in value.chars() {
            if c.is_whitespace() || c == '\\' {
                text.push('\\');
            }
            text.push(c);
        }
        text.push(' ');
    }
    text
}

/// Asks a server to end what a session runs, and waits until it has taken the request.
///
/// # Errors
/// The server cannot be reached.
pub async fn cancel(target: &Target, key: &Key, limit: Duration) -> Result<(), ConnectError> {
    let asked = async {
        let mut stream = dial(target).await?;
        let mut out = BytesMut::new();
        client::put_cancel(&mut out, key.pid, &key.secret);
        stream.write_all(&out).await?;
        stream.flush().await?;
        // The server closes the connection once the signal is sent.
        let mut nothing = [0; 1];
        let _ = Pin::new(&mut stream).read(&mut nothing).await;
        Ok(())
    };
    tokio::time::timeout(limit, asked).await.map_err(|_| ConnectError::Slow)?
}

#[cfg(test)]
mod tests {
    #[test]
    fn settings_are_escaped_as_the_server_reads_them() {
        let text = super::options(&[("search_path", "pg_catalog,pg_temp"), ("a.b", "read committed\\x")]);
        assert_eq!(text, "-c search_path=pg_catalog,pg_temp -c a.b=read\\ committed\\\\x ");
        assert_eq!(tenantry_wire::start::options(&text).unwrap()[1].1, "read committed\\x");
    }
}
