//! The slug: a tenant's readable name, its subdomain, unique among the living of an environment.
//!
//! Rules: 3 to 40 characters of the label grammar, at least one letter, no reserved word and nothing that the eye
//! takes for one (`adm1n`, `4pi`), no punycode. Availability is not decided here but by a unique constraint.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::name::{NameError, check_label};

/// A tenant's readable name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(String);

/// Names that belong to the operator, to mail and web conventions or to Tenantry's own hosts.
pub const RESERVED: &[&str] = &[
    "abuse",
    "account",
    "accounts",
    "admin",
    "administrator",
    "api",
    "app",
    "apps",
    "assets",
    "auth",
    "autoconfig",
    "autodiscover",
    "backup",
    "beta",
    "billing",
    "blog",
    "broadcasthost",
    "cdn",
    "chat",
    "cloud",
    "cluster",
    "config",
    "connect",
    "console",
    "control",
    "customer",
    "dashboard",
    "data",
    "database",
    "default",
    "demo",
    "dev",
    "dns",
    "docs",
    "download",
    "email",
    "example",
    "files",
    "forum",
    "ftp",
    "gateway",
    "git",
    "global",
    "graphql",
    "health",
    "help",
    "host",
    "hostmaster",
    "http",
    "https",
    "imap",
    "info",
    "internal",
    "invite",
    "isatap",
    "jobs",
    "ldap",
    "legal",
    "local",
    "localdomain",
    "localhost",
    "login",
    "logout",
    "mail",
    "mailer-daemon",
    "mcp",
    "media",
    "metrics",
    "monitor",
    "mta-sts",
    "mx",
    "mysql",
    "news",
    "nobody",
    "noc",
    "no-reply",
    "noreply",
    "ns",
    "ns1",
    "ns2",
    "ns3",
    "null",
    "oauth",
    "ops",
    "origin",
    "owner",
    "payments",
    "pop",
    "pop3",
    "portal",
    "postgres",
    "postmaster",
    "preview",
    "private",
    "prod",
    "production",
    "proxy",
    "public",
    "register",
    "registry",
    "root",
    "router",
    "sales",
    "sandbox",
    "search",
    "secure",
    "security",
    "server",
    "service",
    "services",
    "shop",
    "signin",
    "signup",
    "smtp",
    "sso",
    "staging",
    "static",
    "stats",
    "status",
    "store",
    "support",
    "sys",
    "sysadmin",
    "system",
    "team",
    "tenant",
    "tenantry",
    "tenants",
    "test",
    "tmp",
    "trust",
    "undefined",
    "update",
    "upload",
    "uploads",
    "usenet",
    "user",
    "users",
    "uucp",
    "vpn",
    "webhook",
    "webhooks",
    "webmail",
    "webmaster",
    "websocket",
    "whois",
    "wpad",
    "www",
    "www1",
    "www2",
    "xmpp",
];

/// What the eye reads: digits and letter pairs that pass for other letters are folded together.
fn skeleton(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (folded, taken) = match c {
            'r' if rest.starts_with("rn") => ('m', 2),
            'v' if rest.starts_with("vv") => ('w', 2),
            '0' => ('o', 1),
            '1' | 'i' => ('l', 1),
            '3' => ('e', 1),
            '4' => ('a', 1),
            '5' => ('s', 1),
            '-' => {
                rest = &rest[1..];
                continue;
            }
            c => (c, 1),
        };
        out.push(folded);
        rest = &rest[taken..];
    }
    out
}

/// The reserved names by what the eye reads.
static LOOKS_RESERVED: LazyLock<HashMap<String, &'static str>> =
    LazyLock::new(|| RESERVED.iter().rev().map(|name| (skeleton(name), *name)).collect());

impl Slug {
    /// Fewest characters.
    pub const MIN: usize = 3;
    /// Most characters; shorter than a DNS label's 63 so that prefixes and suffixes fit beside it.
    pub const MAX: usize = 40;

    /// Parses a slug.
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check_label(text, Self::MIN, Self::MAX)?;
        if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
            return Err(NameError::OnlyDigits);
        }
        match LOOKS_RESERVED.get(skeleton(text).as_str()) {
            Some(name) => Err(NameError::Reserved { name: (*name).to_owned() }),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// A slug that was accepted once and comes back from where it was kept. Which words are reserved is not asked again:
    /// a release that reserves another one must not make its tenants unreadable.
    ///
    /// # Errors
    /// The text was never a slug.
    pub fn stored(text: String) -> Result<Self, NameError> {
        check_label(&text, Self::MIN, Self::MAX)?;
        Ok(Self(text))
    }

    /// The slug's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which look-alikes collide; unique in the store beside the slug itself.
    #[must_use]
    pub fn skeleton(&self) -> String {
        skeleton(&self.0)
    }
}

impl FromStr for Slug {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Slug {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> Self {
        slug.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn accepted_slugs_are_dns_labels(text in "[a-z0-9-]{0,45}") {
            if let Ok(slug) = Slug::parse(&text) {
                let text = slug.as_str();
                prop_assert!((3..=40).contains(&text.len()));
                prop_assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
                prop_assert!(!text.starts_with('-') && !text.ends_with('-') && !text.starts_with("xn--"));
                prop_assert!(text.bytes().any(|b| b.is_ascii_lowercase()));
            }
        }

        #[test]
        fn any_text_is_refused_without_panic(text in "\\PC{0,60}") {
            let _ = Slug::parse(&text);
        }
    }

    #[test]
    fn reserved_and_their_twins_are_refused() {
        for text in
            ["www", "api", "admin", "app", "adm1n", "a-p-i", "4pi", "rnail", "vvvvvv", "5upport", "l0gin", "1ogin"]
        {
            assert!(matches!(Slug::parse(text), Err(NameError::Reserved { .. })), "{text}");
        }
        for text in ["acme", "globex", "team-7", "acme-corp", "a1b"] {
            assert!(Slug::parse(text).is_ok(), "{text}");
        }
        for name in RESERVED.iter().filter(|name| name.len() >= Slug::MIN) {
            assert!(matches!(Slug::parse(name), Err(NameError::Reserved { .. })), "{name}");
        }
        assert_eq!(Slug::stored("admin".to_owned()).unwrap().as_str(), "admin");
        assert!(Slug::stored("a b".to_owned()).is_err());
        assert_eq!(Slug::parse("12345"), Err(NameError::OnlyDigits));
        assert_eq!(Slug::parse("ab"), Err(NameError::TooShort { min: 3 }));
        assert_eq!(Slug::parse("xn--bcher-kva"), Err(NameError::Hyphen));
    }
}
