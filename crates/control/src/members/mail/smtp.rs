//! A mail server that is spoken to by SMTP (RFC 5321), over TLS unless it is on this machine.

use std::fmt;
use std::time::Duration;

use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Letter, Mailer, SendError};

/// How long one attempt may take, from the connection to the server's last word.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Most characters of a server's words that are kept.
const WORDS: usize = 200;

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
    transport: AsyncSmtpTransport<Tokio1Executor>,
    host: String,
}

impl Smtp {
    /// Reads a URL; nothing is sent yet. User and password are percent-encoded in it.
    ///
    /// # Errors
    /// It is not one of a mail server, or would go over the net without encryption.
    pub fn parse(url: &SecretString) -> Result<Self, SmtpError> {
        let text = url.expose_secret();
        let parsed = reqwest::Url::parse(text).map_err(|_| SmtpError::Form)?;
        let host = parsed.host_str().ok_or(SmtpError::Form)?.to_owned();
        let has_plain_path = matches!(parsed.path(), "" | "/") && parsed.fragment().is_none();
        let is_required = match parsed.query() {
            None => false,
            Some("tls=required") => true,
            Some(_) => return Err(SmtpError::Form),
        };
        match parsed.scheme() {
            _ if !has_plain_path => return Err(SmtpError::Form),
            "smtps" if !is_required => {}
            "smtp" if is_required || is_local(&parsed) => {}
            "smtp" => return Err(SmtpError::Plain),
            _ => return Err(SmtpError::Form),
        }
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(text).map_err(|_| SmtpError::Form)?;
        // Nobody outside needs to know how this machine is called.
        let hello = ClientId::Ipv4(std::net::Ipv4Addr::LOCALHOST);
        let transport = builder.timeout(Some(Duration::from_secs(10))).hello_name(hello).build();
        Ok(Self { transport, host })
    }
}

impl std::str::FromStr for Smtp {
    type Err = SmtpError;
    fn from_str(text: &str) -> Result<Self, SmtpError> {
        Self::parse(&SecretString::from(text))
    }
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Smtp({})", self.host)
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
        match tokio::time::timeout(PATIENCE, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                let told = told(&error);
                let code = error.status().map(u16::from);
                if code.is_some_and(is_final) { Err(SendError::Refused(told)) } else { Err(SendError::Later(told)) }
            }
            Err(_) => Err(SendError::Later("the mail server did not answer in time".to_owned())),
        }
    }
}

/// Whether an answer is about this recipient or letter, and will be the same tomorrow. Those about our login or the
/// server's state are not: a wrong password must not lose mail.
const fn is_final(code: u16) -> bool {
    matches!(code, 550 | 551 | 553 | 554 | 556)
}

fn told(error: &lettre::transport::smtp::Error) -> String {
    let mut text = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        text = format!("{text}: {cause}");
    }
    text.chars().filter(|c| !c.is_control()).take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use super::*;

    #[test]
    fn a_server_is_encrypted_or_on_this_machine() {
        let parse = |text: &str| Smtp::parse(&SecretString::from(text)).map(|smtp| smtp.host);
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
}
