//! Hosts as requests name them, in one form; and the tenant in front of a base domain.
//!
//! INVARIANT: a host is compared as a whole sequence of labels. `acme.example.com` belongs to `example.com`;
//! `evil-example.com`, `acme.example.com.evil.net` and `a.b.example.com` do not.

use std::fmt;
use std::str::FromStr;

use crate::tenant::Slug;

/// Why a text is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing, or nothing before the port.
    #[error("the host is empty")]
    Empty,
    /// More than 253 characters (RFC 1035, section 2.3.4).
    #[error("the host is longer than 253 characters")]
    Long,
    /// A label is empty, longer than 63 characters, or holds something else than letters, digits and inner hyphens.
    #[error("the host has a label that is not letters, digits and inner hyphens")]
    Label,
    /// What follows the colon is not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// An address instead of a name.
    #[error("the host is an address, not a name")]
    Address,
}

/// A host's name: lower case, without port and final dot. International names come in their ASCII form (`xn--…`) and are
/// left as they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(String);

impl Host {
    /// Longest name, in characters.
    pub const MAX: usize = 253;

    /// Reads the value of a `Host` header or the authority of a URL.
    ///
    /// # Errors
    /// See [`HostError`].
    pub fn parse(text: &str) -> Result<Self, HostError> {
        // The longest name with its final dot and port; beyond it nothing is looked at.
        if text.len() > Self::MAX + 7 {
            return Err(HostError::Long);
        }
        if text.starts_with('[') {
            return Err(HostError::Address);
        }
        let name = match text.split_once(':') {
            Some((name, port)) => {
                // `parse` alone would take a sign.
                let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
                if !is_number || port.parse::<u16>().is_ok_and(|port| port == 0) || port.parse::<u16>().is_err() {
                    return Err(HostError::Port);
                }
                name
            }
            None => text,
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() {
            return Err(HostError::Empty);
        }
        if name.len() > Self::MAX {
            return Err(HostError::Long);
        }
        if !name.split('.').all(is_label) {
            return Err(HostError::Label);
        }
        // RFC 1123, section 2.1: a name whose last label is a number can only be an address.
        if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(HostError::Address);
        }
        Ok(Self(name.to_ascii_lowercase()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Host {
    type Err = HostError;
    fn from_str(text: &str) -> Result<Self, HostError> {
        Self::parse(text)
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A domain below which every tenant has a subdomain, `app.example.com`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BaseDomain(Host);

/// What a host is to a base domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Below {
    /// The subdomain of the tenant with this slug.
    Tenant(Slug),
    /// The base itself: the tenant comes from elsewhere.
    Base,
    /// Below the base, and no tenant can have it: not a slug, or more labels than one.
    Nobody,
}

impl BaseDomain {
    /// Reads a configured base domain: at least two labels, without port.
    ///
    /// # Errors
    /// See [`HostError`].
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let host = Host::parse(text)?;
        if text.contains(':') {
            return Err(HostError::Port);
        }
        if !host.as_str().contains('.') && host.as_str() != "localhost" {
            return Err(HostError::Label);
        }
        Ok(Self(host))
    }

    /// What the host is to this base; nothing when it is outside of it.
    #[must_use]
    pub fn below(&self, host: &Host) -> Option<Below> {
        let front = host.as_str().strip_suffix(self.0.as_str())?;
        if front.is_empty() {
            return Some(Below::Base);
        }
        // The border of a label, or it is another domain that ends alike.
        let label = front.strip_suffix('.')?;
        // Words that are reserved today may be the slugs of older tenants.
        Some(match Slug::stored(label.to_owned()) {
            Ok(slug) => Below::Tenant(slug),
            Err(_) => Below::Nobody,
        })
    }

    /// The domain's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for BaseDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for BaseDomain {
    type Err = HostError;
    fn from_str(text: &str) -> Result<Self, HostError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn below(host: &str) -> Option<Below> {
        BaseDomain::parse("app.example.com").unwrap().below(&Host::parse(host).ok()?)
    }

    #[test]
    fn the_forms_of_one_host_are_one_host() {
        let acme = Some(Below::Tenant(Slug::parse("acme").unwrap()));
        for form in
            ["acme.app.example.com", "ACME.App.Example.COM", "acme.app.example.com.", "acme.app.example.com:8443"]
        {
            assert_eq!(below(form), acme, "{form}");
        }
        assert_eq!(below("app.example.com:443"), Some(Below::Base));
    }

    #[test]
    fn what_only_looks_alike_names_nobody() {
        let long = format!("{}.app.example.com", "a".repeat(300));
        let hosts = [
            "acme.app.example.com.evil.net",
            "evil-app.example.com",
            "acmeapp.example.com",
            "example.com",
            "acme.app.example.com..",
            ".app.example.com",
            "acme..app.example.com",
            "acme.app.example.com:",
            "acme.app.example.com:0",
            "acme.app.example.com:+80",
            "acme.app.example.com:99999",
            "acme.app.example.com:80:80",
            "acme%00.app.example.com",
            "acme\0.app.example.com",
            "acme .app.example.com",
            "acme@app.example.com",
            "acme/app.example.com",
            "аcme.app.example.com",
            "10.0.0.1",
            "10.0.0.1:80",
            "[::1]",
            "::1",
            "",
            ":80",
            ".",
            long.as_str(),
        ];
        for host in hosts {
            assert_eq!(below(host), None, "{host}");
        }
        for host in ["a.b.app.example.com", "x.app.example.com", "xn--cme-5cd.app.example.com"] {
            assert_eq!(below(host), Some(Below::Nobody), "{host}");
        }
    }

    #[test]
    fn a_base_is_a_name_of_two_labels() {
        for wrong in ["com", "10.0.0.1", "app.example.com:80", "", "*.example.com"] {
            assert!(BaseDomain::parse(wrong).is_err(), "{wrong}");
        }
        assert!(BaseDomain::parse("localhost").is_ok());
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_is_in_one_form(text in ".{0,300}") {
            if let Ok(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(host.as_str()), Ok(host.clone()));
                prop_assert_eq!(Host::parse(&format!("{}.", host.as_str().to_uppercase())), Ok(host));
            }
        }

        #[test]
        fn only_one_label_before_the_border_names_a_tenant(front in "[a-z0-9.-]{0,20}") {
            if let Some(Below::Tenant(slug)) = below(&format!("{front}app.example.com")) {
                prop_assert_eq!(front, format!("{slug}."));
            }
        }
    }
}
