//! Which URLs an endpoint may have.
//!
//! A URL is read once, by the parser that the sender uses as well, so that what was looked at is what is called. Whatever
//! could be read in two ways (spaces, control characters, a backslash, a user, an odd number as address) is refused instead
//! of being mended. What a name resolves to is looked at when a connection is made, not here.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use crate::address::{Egress, Forbidden};

/// The longest URL, in bytes.
pub const LONGEST: usize = 2048;

/// What is allowed here, apart from what is never allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Which part of the world may be reached.
    pub egress: Egress,
    /// Ports besides which none is called.
    pub ports: Vec<u16>,
    /// Hosts of ours, and everything below them: the sender shall not call itself.
    pub own: Vec<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { egress: Egress::Public, ports: vec![443, 8443], own: Vec::new() }
    }
}

/// Why a URL is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Empty, or too long.
    #[error("must have 1 to {LONGEST} characters")]
    Length,
    /// A character that no URL has, and that parsers treat differently.
    #[error("has a space, a control character or a backslash")]
    Characters,
    /// No URL.
    #[error("is not a URL")]
    Malformed,
    /// Not https.
    #[error("must begin with `https://`")]
    Scheme,
    /// A user or a password.
    #[error("must not have a user or a password; deliveries prove themselves by their signature")]
    User,
    /// `#…`.
    #[error("must not have a fragment (`#…`)")]
    Fragment,
    /// No host, or one that cannot be called from anywhere.
    #[error("has no host that can be reached from anywhere")]
    Host,
    /// A name that means another machine depending on where it is looked up.
    #[error("`{0}` is a name of a local network")]
    Local(String),
    /// The name leads to an address that is none of the public internet.
    #[error("its name does not lead to the public internet")]
    Resolved,
    /// One of our own hosts.
    #[error("`{0}` is a host of this installation")]
    Own(String),
    /// Another port.
    #[error("port {0} is not allowed")]
    Port(u16),
    /// An address that is not of the public internet.
    #[error(transparent)]
    Address(#[from] Forbidden),
}

/// A URL that may be called, as far as can be seen from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
}

/// Names of local networks, of this machine, and of machines' metadata; all that is below them too. RFC 6761, 6762, 8375, 9476
/// and what networks use in their place.
const LOCAL: &[&str] = &[
    "alt",
    "arpa",
    "corp",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "private",
    "svc",
    "test",
    "workgroup",
];

fn is_below(host: &str, suffix: &str) -> bool {
    host.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn parse(text: &str, rules: &Rules) -> Result<Self, TargetError> {
        if text.is_empty() || text.len() > LONGEST {
            return Err(TargetError::Length);
        }
        let is_odd = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '\\';
        if text.chars().any(is_odd) || text.chars().any(is_invisible) {
            return Err(TargetError::Characters);
        }
        let is_lab = rules.egress == Egress::Lab;
        let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
        let is_tls = lower.starts_with("https://");
        if !(is_tls || is_lab && lower.starts_with("http://")) {
            return Err(TargetError::Scheme);
        }
        let rest = text.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(TargetError::User);
        }
        // The parser would read `https:///host` as `https://host`, and an escaped letter as the letter.
        if authority.is_empty() || authority.contains('%') {
            return Err(TargetError::Host);
        }
        let url = Url::parse(text).map_err(|_| TargetError::Malformed)?;
        if url.fragment().is_some() {
            return Err(TargetError::Fragment);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::User);
        }
        let is_own_machine = match url.host() {
            None => return Err(TargetError::Host),
            Some(Host::Ipv4(ip)) => {
                // `0x7f.1`, `2130706433` and `127.1` are addresses to the parser and names to a reader.
                if authority.split(':').next() != Some(ip.to_string().as_str()) {
                    return Err(TargetError::Host);
                }
                rules.egress.vet(IpAddr::V4(ip))?.ip().is_loopback()
            }
            Some(Host::Ipv6(ip)) => rules.egress.vet(IpAddr::V6(ip))?.ip().is_loopback(),
            Some(Host::Domain(host)) => {
                name(host, rules)?;
                false
            }
        };
        if !is_tls && !is_own_machine {
            return Err(TargetError::Scheme);
        }
        let port = url.port_or_known_default().unwrap_or(0);
        if !(rules.ports.contains(&port) || is_own_machine && port != 0) {
            return Err(TargetError::Port(port));
        }
        Ok(Self { url })
    }

    /// As it is called; names in their ASCII form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Its host: a name, or an address in the brackets of URLs.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// As the HTTP client takes it.
    pub(crate) fn uri(&self) -> Option<hyper::Uri> {
        self.url.as_str().parse().ok()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str())
    }
}

/// Letters without a shape, which hide what a name says.
const fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// Refuses what is no name of a host on the public internet.
fn name(host: &str, rules: &Rules) -> Result<(), TargetError> {
    let labels: Vec<&str> = host.split('.').collect();
    let is_label = |label: &&str| {
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(is_letter)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = labels.last().copied().unwrap_or_default();
    // One without a dot is completed by the search list of whoever resolves it.
    let is_name =
        host.len() <= 253 && labels.iter().all(is_label) && last.bytes().any(|byte| byte.is_ascii_alphabetic());
    if let Some(local) = LOCAL.iter().find(|local| is_below(host, local)) {
        return Err(TargetError::Local((*local).to_owned()));
    }
    if !is_name || labels.len() < 2 {
        return Err(TargetError::Host);
    }
    match rules.own.iter().find(|own| is_below(host, own)) {
        Some(own) => Err(TargetError::Own(own.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use super::*;

    fn rules() -> Rules {
        Rules { own: vec!["tenantry.example.com".to_owned()], ..Rules::default() }
    }

    #[test]
    fn ordinary_receivers_are_accepted_and_written_in_one_way() {
        for (text, written) in [
            ("https://hooks.example.com/in?tenant=acme", "https://hooks.example.com/in?tenant=acme"),
            ("HTTPS://Hooks.Example.COM:443/In", "https://hooks.example.com/In"),
            ("https://hooks.example.com:8443", "https://hooks.example.com:8443/"),
            ("https://bücher.example.com/ä", "https://xn--bcher-kva.example.com/%C3%A4"),
            ("https://8.8.8.8/x", "https://8.8.8.8/x"),
            ("https://[2606:4700:4700::1111]/x", "https://[2606:4700:4700::1111]/x"),
            ("https://not-tenantry.example.com", "https://not-tenantry.example.com/"),
            ("https://a_b.example.com/", "https://a_b.example.com/"),
        ] {
            assert_eq!(
                Target::parse(text, &rules()).map(|target| target.to_string()),
                Ok(written.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn each_rule_refuses_by_its_name() {
        let why = |text: &str| Target::parse(text, &rules()).unwrap_err();
        assert_eq!(why(""), TargetError::Length);
        assert_eq!(why(&format!("https://a.example.com/{}", "x".repeat(2048))), TargetError::Length);
        assert_eq!(why("https://a.example.com/\r\nHost: b"), TargetError::Characters);
        assert_eq!(why("https://a.example.com\\@b.example.com/"), TargetError::Characters);
        assert_eq!(why("http://a.example.com/"), TargetError::Scheme);
        assert_eq!(why("ftp://a.example.com/"), TargetError::Scheme);
        assert_eq!(why("https://user:pw@a.example.com/"), TargetError::User);
        assert_eq!(why("https://a.example.com/#x"), TargetError::Fragment);
        assert_eq!(why("https://a.example.com:22/"), TargetError::Port(22));
        assert_eq!(why("https://printer/"), TargetError::Host);
        assert_eq!(why("https://2130706433/"), TargetError::Host);
        assert_eq!(why("https://db.corp.internal/"), TargetError::Local("internal".to_owned()));
        assert_eq!(why("https://tenantry.example.com/v1"), TargetError::Own("tenantry.example.com".to_owned()));
        assert_eq!(why("https://x.tenantry.example.com/"), TargetError::Own("tenantry.example.com".to_owned()));
        assert!(matches!(why("https://169.254.169.254/latest/meta-data"), TargetError::Address(_)));
        assert!(matches!(why("https://[::ffff:a9fe:a9fe]/"), TargetError::Address(_)));
    }

    #[test]
    fn the_lab_adds_this_machine_without_tls() {
        let lab = Rules { egress: Egress::Lab, ..rules() };
        for good in ["http://127.0.0.1:4711/x", "https://127.0.0.1:4711/", "http://[::1]:80/", "https://a.example.com/"]
        {
            assert!(Target::parse(good, &lab).is_ok(), "{good}");
        }
        for wrong in
            ["http://a.example.com/", "http://10.0.0.1/", "http://localhost/", "http://8.8.8.8/", "https://10.1.1.1/"]
        {
            assert!(Target::parse(wrong, &lab).is_err(), "{wrong}");
        }
    }
}
