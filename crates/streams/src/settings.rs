//! Where the server is, who we are there, and which stream is ours.
//!
//! INVARIANT: nothing secret is in here, and nothing of it in what is printed: credentials are files, read at each connection, so
//! that one that was changed needs no restart.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

/// Most servers that may be named; those of one cluster.
const SERVERS_MAX: usize = 16;
/// The port of NATS.
const PORT: u16 = 4222;
/// Most bytes of a file with credentials; real ones have less than two thousand.
const CREDENTIAL_MAX: u64 = 64 * 1024;

/// Why a setting cannot be used. The values are not repeated where they might hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// Not the URL of a NATS server.
    #[error("must be nats://HOST:PORT or tls://HOST:PORT, several separated by commas")]
    Url,
    /// Users and passwords do not belong into a URL, which is printed.
    #[error("must hold no user, password or token: put them into a file and name it by TENANTRY_NATS_AUTH_FILE")]
    UrlSecret,
    /// None, or too many.
    #[error("must name 1 to {SERVERS_MAX} servers")]
    Count,
    /// Not a name of a stream.
    #[error("must be 1 to 64 letters, digits, `-` and `_`")]
    Stream,
    /// Not the beginning of subjects.
    #[error("must be 1 to 64 letters, digits, `-` and `_` in words separated by dots")]
    Prefix,
}

/// Addresses of the servers of one cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct Servers(Vec<Url>);

impl FromStr for Servers {
    type Err = SettingError;
    fn from_str(text: &str) -> Result<Self, SettingError> {
        let all: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        if all.is_empty() || all.len() > SERVERS_MAX {
            return Err(SettingError::Count);
        }
        all.into_iter().map(server).collect::<Result<_, _>>().map(Self)
    }
}

fn server(text: &str) -> Result<Url, SettingError> {
    let url = Url::parse(text).map_err(|_| SettingError::Url)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SettingError::UrlSecret);
    }
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "nats" | "tls") || !has_host || !is_bare {
        return Err(SettingError::Url);
    }
    Ok(url)
}

impl Servers {
    /// Each as `scheme://host:port`.
    pub fn addresses(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|url| {
            let (host, port) = (url.host_str().unwrap_or_default(), url.port().unwrap_or(PORT));
            format!("{}://{host}:{port}", url.scheme())
        })
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.addresses().collect::<Vec<_>>().join(","))
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The name of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamName(String);

impl FromStr for StreamName {
    type Err = SettingError;
    fn from_str(text: &str) -> Result<Self, SettingError> {
        if is_word(text) && text.len() <= 64 { Ok(Self(text.to_owned())) } else { Err(SettingError::Stream) }
    }
}

impl StreamName {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What subjects begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectPrefix(String);

impl FromStr for SubjectPrefix {
    type Err = SettingError;
    fn from_str(text: &str) -> Result<Self, SettingError> {
        if text.len() <= 64 && text.split('.').all(is_word) {
            Ok(Self(text.to_owned()))
        } else {
            Err(SettingError::Prefix)
        }
    }
}

impl SubjectPrefix {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// All subjects that begin with it.
    #[must_use]
    pub fn all(&self) -> String {
        format!("{}.>", self.0)
    }
}

/// What the server is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    #[default]
    None,
    /// A `.creds` file: a user's JWT and the seed of its key.
    Creds(PathBuf),
    /// A file with a token, or with `user:password`.
    File(PathBuf),
}

/// Reads a file with something secret.
pub(crate) async fn secret(path: &Path) -> std::io::Result<SecretString> {
    if tokio::fs::metadata(path).await?.len() > CREDENTIAL_MAX {
        return Err(std::io::Error::other("the file is too large to hold credentials"));
    }
    Ok(SecretString::from(tokio::fs::read_to_string(path).await?))
}

/// Everything about the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it is.
    pub servers: Servers,
    /// Who we are.
    pub credential: Credential,
    /// File with certificate authorities that are believed besides the system's, as PEM.
    pub authorities: Option<PathBuf>,
    /// The stream. It is made if it is missing.
    pub stream: StreamName,
    /// What its subjects begin with.
    pub prefix: SubjectPrefix,
    /// For how long the server knows a message by its id. What is published once does not rest on it.
    pub window: Duration,
    /// Copies that the server keeps, for a stream that is made: 1, 3 or 5.
    pub replicas: usize,
    /// How long a connection or an answer may take.
    pub patience: Duration,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use super::*;

    #[test]
    fn servers_are_addresses_without_secrets() {
        let servers: Servers = "nats://a, tls://b.example:5222".parse().unwrap();
        assert_eq!(servers.to_string(), "nats://a:4222,tls://b.example:5222");
        assert_eq!("nats://[::1]:4".parse::<Servers>().unwrap().to_string(), "nats://[::1]:4");
        for bad in ["a:4222", "http://a", "nats://", "nats://a/b", "nats://a?x=1", "ws://a"] {
            assert_eq!(bad.parse::<Servers>().unwrap_err(), SettingError::Url, "{bad}");
        }
        for bad in ["", " , ", &vec!["nats://a"; 17].join(",")] {
            assert_eq!(bad.parse::<Servers>().unwrap_err(), SettingError::Count, "{bad}");
        }
        for bad in ["nats://user:hunter2@a", "nats://token@a", "tls://:hunter2@a"] {
            let error = bad.parse::<Servers>().unwrap_err();
            assert_eq!(error, SettingError::UrlSecret, "{bad}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn names_are_words() {
        for good in ["TENANTRY", "a-b_c", "7"] {
            assert!(good.parse::<StreamName>().is_ok() && good.parse::<SubjectPrefix>().is_ok(), "{good}");
        }
        for bad in ["", "a.b", "a b", "*", ">", "ä", &"x".repeat(65)] {
            assert!(bad.parse::<StreamName>().is_err(), "{bad}");
        }
        assert_eq!("acme.tenantry".parse::<SubjectPrefix>().unwrap().all(), "acme.tenantry.>");
        for bad in ["", ".", "a.", "a..b", "a.*", "a.>", "$JS.API", "a b"] {
            assert!(bad.parse::<SubjectPrefix>().is_err(), "{bad}");
        }
    }
}
