//! Which provider, which project, and as whom.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;

use crate::credential::ServiceAccount;

/// Where the provider is.
const ENDPOINT: &str = "https://identitytoolkit.googleapis.com";

/// The id of a project at the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project(String);

/// The text is no id of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the id of a project: 6 to 30 of a to z, 0 to 9 and hyphens, beginning with a letter")]
pub struct ProjectError;

impl FromStr for Project {
    type Err = ProjectError;
    fn from_str(text: &str) -> Result<Self, ProjectError> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_id = (6..=30).contains(&text.len())
            && text.bytes().all(is_plain)
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-');
        if is_id { Ok(Self(text.to_owned())) } else { Err(ProjectError) }
    }
}

impl Project {
    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The address of an emulator on this machine. It believes whoever asks, and its tokens are not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emulator(SocketAddr);

/// The text is no address of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an address of this machine, such as 127.0.0.1:9099: an emulator believes anybody")]
pub struct EmulatorError;

impl FromStr for Emulator {
    type Err = EmulatorError;
    fn from_str(text: &str) -> Result<Self, EmulatorError> {
        // A name could be made to lead elsewhere; this one is read as the address that it stands for.
        let address = match text.strip_prefix("localhost:") {
            Some(port) => port.parse().ok().map(|port: u16| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
            None => text.parse().ok(),
        };
        address.filter(|address| address.ip().is_loopback() && address.port() > 0).map(Self).ok_or(EmulatorError)
    }
}

impl fmt::Display for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// As whom the provider is asked.
#[derive(Debug, Clone)]
pub enum Access {
    /// A service account of the provider.
    Account(ServiceAccount),
    /// Nobody: an emulator asks for no credential.
    Emulator(Emulator),
}

/// How long calls may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// One attempt, from the connection to the last byte.
    pub within: Duration,
    /// How often a call that may be repeated is tried, at least once.
    pub attempts: u32,
    /// The longest pause after the first attempt; the pause doubles with each, and a random part of it is waited.
    pub pause: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { within: Duration::from_secs(10), attempts: 3, pause: Duration::from_millis(400) }
    }
}

impl Bounds {
    /// The longest that one call can take, all attempts and pauses counted; for leases around it.
    #[must_use]
    pub fn longest(&self) -> Duration {
        (self.within + crate::call::LONGEST_PAUSE).saturating_mul(self.attempts.max(1))
    }
}

/// What is needed to speak to a provider.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose pools.
    pub project: Project,
    /// As whom.
    pub access: Access,
    /// How long.
    pub bounds: Bounds,
    /// Another address of the provider's, `https` or on this machine; only tests need one.
    pub endpoint: Option<Url>,
}

impl Options {
    /// With the usual bounds.
    #[must_use]
    pub fn new(project: Project, access: Access) -> Self {
        Self { project, access, bounds: Bounds::default(), endpoint: None }
    }

    /// What stands before the path of every call.
    pub(crate) fn base(&self) -> String {
        match (&self.access, &self.endpoint) {
            // The emulator answers for several services, by the name of each.
            (Access::Emulator(address), _) => format!("http://{address}/identitytoolkit.googleapis.com"),
            (Access::Account(_), Some(url)) => url.as_str().trim_end_matches('/').to_owned(),
            (Access::Account(_), None) => ENDPOINT.to_owned(),
        }
    }
}

/// Whether bytes sent to an address can be read by nobody else.
pub(crate) fn is_safe(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    match url.scheme() {
        "https" => !host.is_empty(),
        "http" => host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulator_is_on_this_machine() {
        for good in ["127.0.0.1:9099", "127.8.8.8:1", "[::1]:9099", "localhost:9099"] {
            assert!(good.parse::<Emulator>().is_ok(), "{good}");
        }
        assert_eq!("localhost:9099".parse::<Emulator>().unwrap().to_string(), "127.0.0.1:9099");
        for bad in [
            "",
            "127.0.0.1",
            "127.0.0.1:0",
            "0.0.0.0:9099",
            "10.0.0.1:9099",
            "[::]:9099",
            "[::ffff:10.0.0.1]:9099",
            "localhost.evil.example:9099",
            "localhost:",
            "localhost:9099@evil.example",
            "http://127.0.0.1:9099",
            "identitytoolkit.googleapis.com:443",
            "2130706433:9099",
        ] {
            assert_eq!(bad.parse::<Emulator>(), Err(EmulatorError), "{bad}");
        }
    }

    #[test]
    fn projects_are_ids() {
        for good in ["demo-tenancy", "acme-prod-1", "abcdef"] {
            assert!(good.parse::<Project>().is_ok(), "{good}");
        }
        for bad in ["", "short", "Upper-case", "1leading", "trailing-", "with/slash", "a..b..c", &"a".repeat(31)] {
            assert_eq!(bad.parse::<Project>(), Err(ProjectError), "{bad}");
        }
    }

    #[test]
    fn keys_and_tokens_go_to_safe_addresses() {
        for (url, safe) in [
            ("https://oauth2.googleapis.com/token", true),
            ("http://127.0.0.1:8080/token", true),
            ("http://[::1]:8080/token", true),
            ("http://oauth2.googleapis.com/token", false),
            ("http://localhost/token", false),
            ("ftp://127.0.0.1/", false),
        ] {
            assert_eq!(is_safe(&Url::parse(url).unwrap()), safe, "{url}");
        }
    }
}
