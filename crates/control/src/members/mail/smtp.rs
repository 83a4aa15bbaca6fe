//! A mail server that is spoken to by SMTP (RFC 5321), over TLS unless it is on this machine.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use secrecy::{ExposeSecret as _, SecretString};

use super::handover::{Stage, exchange, told};
use super::{Letter, Mailer, SendError};

/// How long it may take until a mail can be handed over: connection, TLS and login.
pub(super) const CONNECT: Duration = Duration::from_secs(20);

/// How long handing a mail over may take. A server that has all of it may look at it for minutes before it answers (RFC 5321
/// 4.5.3.2.6), and whoever goes away meanwhile sends it twice.
pub(super) const DELIVER: Duration = Duration::from_secs(300);

/// How long a farewell may take. Nothing depends on it any more, and nobody waits for it.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why a text names no mail server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SmtpError {
    /// Not a URL of a mail server.
    #[error("must be of the form smtps://user:password@mail.example.com or smtp://mail.example.com?tls=required")]
    Form,
    /// The password would be readable on its way.
    #[error("must be encrypted: use smtps://, or smtp:// with `?tls=required`; plain smtp:// is for this machine only")]
    Plain,
}

/// A mail server with the login for it.
#[derive(Clone)]
pub struct Smtp {
    server: Arc<Server>,
}

struct Server {
    /// As it is looked up, and as its certificate names it.
    host: String,
    port: u16,
    tls: Tls,
    login: Option<Credentials>,
}

enum Tls {
    /// To this machine.
    Absent,
    /// From the first byte.
    Whole(TlsParameters),
    /// By `STARTTLS`, before anything else is said.
    Upgrade(TlsParameters),
}

impl Smtp {
    /// Reads a URL; nothing is sent yet. User and password are percent-encoded in it.
    ///
    /// # Errors
    /// It is not one of a mail server, or would go over the net without encryption.
    pub fn parse(url: &SecretString) -> Result<Self, SmtpError> {
        let parsed = reqwest::Url::parse(url.expose_secret()).map_err(|_| SmtpError::Form)?;
        let host = parsed.host_str().ok_or(SmtpError::Form)?.trim_matches(['[', ']']).to_owned();
        let has_plain_path = matches!(parsed.path(), "" | "/") && parsed.fragment().is_none();
        let is_required = match parsed.query() {
            None => false,
            Some("tls=required") => true,
            Some(_) => return Err(SmtpError::Form),
        };
        let tls = || TlsParameters::new(host.clone()).map_err(|_| SmtpError::Form);
        let (usual, tls) = match parsed.scheme() {
            _ if !has_plain_path => return Err(SmtpError::Form),
            "smtps" if !is_required => (465, Tls::Whole(tls()?)),
            "smtp" if is_required => (587, Tls::Upgrade(tls()?)),
            "smtp" if is_local(&parsed) => (25, Tls::Absent),
            "smtp" => return Err(SmtpError::Plain),
            _ => return Err(SmtpError::Form),
        };
        let login = match parsed.password() {
            Some(password) => Some(Credentials::new(decoded(parsed.username())?, decoded(password)?)),
            None => None,
        };
        let port = parsed.port().unwrap_or(usual);
        Ok(Self { server: Arc::new(Server { host, port, tls, login }) })
    }

    /// A connection over which a mail can be handed over at once.
    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let Server { host, port, tls, login } = &*self.server;
        // Nobody outside needs to know how this machine is called.
        let hello = ClientId::Ipv4(Ipv4Addr::LOCALHOST);
        let whole = if let Tls::Whole(tls) = tls { Some(tls.clone()) } else { None };
        // An address that does not answer must leave time for the next one.
        let dial = Some(CONNECT / 2);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1((host.as_str(), *port), dial, &hello, whole, None).await?;
        if let Tls::Upgrade(tls) = tls {
            connection.starttls(tls.clone(), &hello).await?;
        }
        if let Some(login) = login {
            connection.auth(DEFAULT_MECHANISMS, login).await?;
        }
        Ok(connection)
    }
}

/// A part of a URL without its percent signs. One that stands for nothing stands for itself.
fn decoded(text: &str) -> Result<String, SmtpError> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, behind @ ..] = rest {
        let escaped = match behind {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        bytes.push(escaped.map_or(*first, |(high, low)| high * 16 + low));
        rest = if escaped.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
    }
    String::from_utf8(bytes).map_err(|_| SmtpError::Form)
}

impl std::str::FromStr for Smtp {
    type Err = SmtpError;
    fn from_str(text: &str) -> Result<Self, SmtpError> {
        Self::parse(&SecretString::from(text))
    }
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Smtp({})", self.server.host)
    }
}

/// Whether a URL leads to this very machine.
pub(crate) fn is_local(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Mailer for Smtp {
    async fn send(&self, letter: Letter) -> Result<(), SendError> {
        let message = letter.message().map_err(SendError::Refused)?;
        let late = || SendError::Later("the mail server did not answer in time".to_owned());
        let mut connection = match tokio::time::timeout(CONNECT, self.connect()).await {
            Ok(Ok(connection)) => connection,
            // Whatever is said before a recipient was named is about us.
            Ok(Err(error)) => return Err(SendError::Later(told(&error))),
            Err(_) => return Err(late()),
        };
        let mut stage = Stage::Sender;
        let handed = exchange(&mut connection, &mut stage, &message);
        match tokio::time::timeout(DELIVER, handed).await {
            Ok(outcome) => {
                // What became of the mail is known; whether the server answers a farewell changes nothing about it.
                tokio::spawn(async move { tokio::time::timeout(FAREWELL, connection.abort()).await });
                outcome
            }
            Err(_) if stage == Stage::Letter => Err(SendError::Unanswered("it did not answer in time".to_owned())),
            Err(_) => Err(late()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use super::*;

    #[test]
    fn a_server_is_encrypted_or_on_this_machine() {
        let parse = |text: &str| Smtp::parse(&SecretString::from(text)).map(|smtp| smtp.server.host.clone());
        for good in [
            "smtps://user:pass%40word@mail.example.com",
            "smtp://mail.example.com:587?tls=required",
            "smtp://127.0.0.1:2525",
            "smtp://localhost:2525",
            "smtp://[::1]:2525",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        assert_eq!(parse("smtp://user:pass@mail.example.com"), Err(SmtpError::Plain));
        assert_eq!(parse("smtp://127.0.0.1.example.com"), Err(SmtpError::Plain));
        for bad in [
            "mail.example.com:25",
            "https://mail.example.com",
            "smtp://mail.example.com?tls=opportunistic",
            "smtps://",
            "",
        ] {
            assert_eq!(parse(bad), Err(SmtpError::Form), "{bad}");
        }
        let smtp = Smtp::parse(&SecretString::from("smtps://user:hush@mail.example.com")).unwrap();
        assert_eq!(format!("{smtp:?}"), "Smtp(mail.example.com)");
    }

    #[test]
    fn a_login_is_read_as_it_was_meant() {
        for (text, meant) in [("p%40ss%2Fw%C3%B6rd", "p@ss/wörd"), ("50%off%", "50%off%"), ("%4", "%4"), ("", "")] {
            assert_eq!(decoded(text).as_deref(), Ok(meant), "{text}");
        }
        assert_eq!(decoded("%ff"), Err(SmtpError::Form));
        let smtp = Smtp::parse(&SecretString::from("smtps://us%40er:hu%73h@mail.example.com")).unwrap();
        assert_eq!(smtp.server.login, Some(Credentials::new("us@er".to_owned(), "hush".to_owned())));
        let ports = ["smtps://a.example", "smtp://a.example?tls=required", "smtp://[::1]", "smtps://a.example:2465"];
        let port = |text: &str| Smtp::parse(&SecretString::from(text)).unwrap().server.port;
        assert_eq!(ports.map(port), [465, 587, 25, 2465]);
    }
}
