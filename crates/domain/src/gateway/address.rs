//! Where clients find the gateway, and the connection URL that goes with a login.

use std::fmt;
use std::str::FromStr;

use super::LoginName;

/// The gateway's public address: `postgres://db.example.com:6432?sslmode=verify-full`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Host, and port if one is given.
    authority: String,
    /// Settings for the client, without the question mark; empty for none.
    query: String,
}

/// Why a text is no address of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Another scheme, or none.
    #[error("must begin with `postgres://`")]
    Scheme,
    /// User, password or database are the login's.
    #[error("must have no user, password or database: each login has its own")]
    Login,
    /// No host, or one that is none.
    #[error("must name a host, and a port if it is not 5432")]
    Host,
    /// A port that is none.
    #[error("must name a port between 1 and 65535")]
    Port,
    /// Settings that are none.
    #[error("must have settings of the form `name=value&name=value` behind the question mark")]
    Settings,
}

/// What stands for the tenant in the URL of a login that can enter several.
pub const TENANT: &str = "TENANT";

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        let rest = rest.ok_or(AddressError::Scheme)?;
        if rest.contains('@') {
            return Err(AddressError::Login);
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        if !path.is_empty() {
            return Err(AddressError::Login);
        }
        check_authority(authority)?;
        check_settings(query)?;
        Ok(Self { authority: authority.to_owned(), query: query.to_owned() })
    }

    /// The connection URL of a login. Names and our passwords hold nothing that a URL gives a meaning to.
    #[must_use]
    pub fn url(&self, login: &LoginName, password: Option<&str>, database: &str) -> String {
        let secret = password.map(|password| format!(":{password}")).unwrap_or_default();
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("postgres://{login}{secret}@{}/{database}{mark}{}", self.authority, self.query)
    }
}

/// A name, an IPv4 address, or an IPv6 address in brackets; then perhaps a port.
fn check_authority(authority: &str) -> Result<(), AddressError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(AddressError::Host)?;
            let is_address =
                !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte));
            if !is_address {
                return Err(AddressError::Host);
            }
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(AddressError::Port)?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:_".contains(&byte);
    if host.is_empty() || host.len() > 253 || !host.bytes().all(is_plain) {
        return Err(AddressError::Host);
    }
    match port {
        Some(port) if port.parse::<u16>().map_or(true, |port| port == 0) => Err(AddressError::Port),
        _ => Ok(()),
    }
}

/// Settings that clients know (`sslmode`, `sslrootcert`, …); none of those that a login decides.
fn check_settings(query: &str) -> Result<(), AddressError> {
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_value = |value: &str| value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/%~+,:".contains(&byte));
    for setting in query.split('&').filter(|_| !query.is_empty()) {
        let (name, value) = setting.split_once('=').ok_or(AddressError::Settings)?;
        if matches!(name, "user" | "password" | "dbname" | "passfile" | "service") {
            return Err(AddressError::Login);
        }
        if !is_name(name) || !is_value(value) {
            return Err(AddressError::Settings);
        }
    }
    Ok(())
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.query.is_empty() { "" } else { "?" };
        write!(f, "postgres://{}{mark}{}", self.authority, self.query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_login_password_database_and_settings() {
        let login = LoginName::parse("chat-app").unwrap();
        let address = Address::parse("postgresql://db.example.com:6432/?sslmode=verify-full").unwrap();
        assert_eq!(address.to_string(), "postgres://db.example.com:6432?sslmode=verify-full");
        assert_eq!(
            address.url(&login, Some("s3cret"), "acme"),
            "postgres://chat-app:s3cret@db.example.com:6432/acme?sslmode=verify-full"
        );
        let plain = Address::parse("postgres://[::1]:6432").unwrap();
        assert_eq!(plain.url(&login, None, TENANT), "postgres://chat-app@[::1]:6432/TENANT");
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        for (text, why) in [
            ("db.example.com:6432", AddressError::Scheme),
            ("http://db.example.com", AddressError::Scheme),
            ("postgres://u:p@db.example.com", AddressError::Login),
            ("postgres://db.example.com/acme", AddressError::Login),
            ("postgres://db.example.com?password=x", AddressError::Login),
            ("postgres://", AddressError::Host),
            ("postgres://:6432", AddressError::Host),
            ("postgres://db example", AddressError::Host),
            ("postgres://[::1", AddressError::Host),
            ("postgres://[x]:1", AddressError::Host),
            ("postgres://db:0", AddressError::Port),
            ("postgres://db:65536", AddressError::Port),
            ("postgres://[::1]6432", AddressError::Port),
            ("postgres://db?sslmode", AddressError::Settings),
            ("postgres://db?sslmode=a b", AddressError::Settings),
            ("postgres://db?=x", AddressError::Settings),
        ] {
            assert_eq!(Address::parse(text), Err(why), "{text}");
        }
    }
}
