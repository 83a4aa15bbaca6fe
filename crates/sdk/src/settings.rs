//! Settings: one value, checked before anything is opened. [`crate::environment`] reads it from variables.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use tenantry_domain::name::EnvironmentName;

use crate::error::{Error, SettingsFault};

/// How the connection to a database is protected, in libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// No encryption.
    Disable,
    /// Encryption where the server offers it.
    Prefer,
    /// Encryption, without asking who answers.
    Require,
    /// Encryption, and a certificate that names the server.
    VerifyFull,
}

impl SslMode {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyFull => "verify-full",
        }
    }

    pub(crate) fn of(word: &str) -> Option<Self> {
        [Self::Disable, Self::Prefer, Self::Require, Self::VerifyFull].into_iter().find(|mode| mode.word() == word)
    }
}

/// Everything that can be set. Make it with [`Settings::new`] and change fields; bounds are checked when it is used.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address of the control plane. Plain HTTP only to this machine, unless `allow_http` is set.
    pub url: String,
    /// The environment whose tenants this application serves.
    pub environment: String,
    /// The application's token. Prefer `token_file`.
    pub token: Option<SecretString>,
    /// File with the token; read again when the control plane refuses the one in use.
    pub token_file: Option<PathBuf>,
    /// Send the token over plain HTTP to another machine. For networks that encrypt by themselves.
    pub allow_http: bool,
    /// A base domain of the control plane; needed only to have contexts signed for tenants that no request named.
    pub base_domain: Option<String>,
    /// The longest wait for an answer of the control plane. 50 ms to 60 s.
    pub request_timeout: Duration,
    /// The most answers that are kept, per kind. 10 to 1,000,000.
    pub cache_entries: u64,
    /// How long "no such tenant" is believed, so that made-up hosts do not reach the control plane each time. To 60 s.
    pub missing_max_age: Duration,
    /// How old an answer may get while the control plane is unreachable. To 30 days.
    pub stale: Duration,
    /// The most database connections of this process to one cell, open ones that nobody uses included. 1 to 10,000.
    pub cell_connections: usize,
    /// The most of them with one login. 1 to 1,000.
    pub login_connections: usize,
    /// The most that one tenant uses at a time where its plan names no number. 1 to 1,000.
    pub tenant_connections: usize,
    /// The longest wait for a free connection. To 5 minutes.
    pub wait: Duration,
    /// The most callers that wait for a connection of one cell; one more is refused at once. 1 to 100,000.
    pub waiting: usize,
    /// Unused connections are closed after this long. To a day.
    pub idle: Duration,
    /// How long opening a connection may take. 1 s to 5 minutes.
    pub connect_timeout: Duration,
    /// PostgreSQL's `statement_timeout`; zero for none. To a day.
    pub statement_timeout: Duration,
    /// PostgreSQL's `lock_timeout`; zero for none. To a day.
    pub lock_timeout: Duration,
    /// PostgreSQL's `idle_in_transaction_session_timeout`; zero for none. To a day.
    pub idle_transaction_timeout: Duration,
    /// Absent: `prefer` to this machine, `verify-full` to others.
    pub sslmode: Option<SslMode>,
    /// Root certificates (PEM); absent means the machine's.
    pub sslrootcert: Option<PathBuf>,
    /// By which operators tell the connections apart.
    pub application_name: &'static str,
}

impl Settings {
    /// Defaults that suit production.
    pub fn new(url: impl Into<String>, token: impl Into<SecretString>, environment: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..Self::bare(url.into(), environment.into()) }
    }

    pub(crate) fn bare(url: String, environment: String) -> Self {
        Self {
            url,
            environment,
            token: None,
            token_file: None,
            allow_http: false,
            base_domain: None,
            request_timeout: Duration::from_secs(2),
            cache_entries: 10_000,
            missing_max_age: Duration::from_secs(1),
            stale: Duration::from_secs(86_400),
            cell_connections: 60,
            login_connections: 20,
            tenant_connections: 8,
            wait: Duration::from_secs(5),
            waiting: 1_000,
            idle: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(5),
            idle_transaction_timeout: Duration::from_secs(60),
            sslmode: None,
            sslrootcert: None,
            application_name: "tenantry rust",
        }
    }

    /// Checks every bound.
    pub(crate) fn check(&self) -> Result<EnvironmentName, Error> {
        const DAY_MS: u64 = 86_400_000;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let bounds = [
            ("request_timeout", millis(self.request_timeout), 50, 60_000),
            ("cache_entries", self.cache_entries, 10, 1_000_000),
            ("missing_max_age", millis(self.missing_max_age), 0, 60_000),
            ("stale", millis(self.stale), 0, 30 * DAY_MS),
            ("cell_connections", count(self.cell_connections), 1, 10_000),
            ("login_connections", count(self.login_connections), 1, 1_000),
            ("tenant_connections", count(self.tenant_connections), 1, 1_000),
            ("wait", millis(self.wait), 0, 300_000),
            ("waiting", count(self.waiting), 1, 100_000),
            ("idle", millis(self.idle), 0, DAY_MS),
            ("connect_timeout", millis(self.connect_timeout), 1_000, 300_000),
            ("statement_timeout", millis(self.statement_timeout), 0, DAY_MS),
            ("lock_timeout", millis(self.lock_timeout), 0, DAY_MS),
            ("idle_transaction_timeout", millis(self.idle_transaction_timeout), 0, DAY_MS),
        ];
        for (name, value, least, most) in bounds {
            if value < least || value > most {
                return Err(Error::SettingsInvalid { name, fault: SettingsFault::Bounds(least, most) });
            }
        }
        if self.url.starts_with("http://") && !self.allow_http && !is_this_machine(host_of(&self.url)) {
            return Err(Error::SettingsInvalid { name: "url", fault: SettingsFault::PlainHttp });
        }
        let unreadable = SettingsFault::Unreadable("the name of an environment");
        EnvironmentName::parse(&self.environment)
            .map_err(|_| Error::SettingsInvalid { name: "environment", fault: unreadable })
    }

    /// The token in use now.
    pub(crate) fn read_token(&self) -> Result<SecretString, Error> {
        let fault = |name, fault| Error::SettingsInvalid { name, fault };
        if let Some(token) = &self.token {
            return Ok(token.clone());
        }
        let file = self.token_file.as_ref().ok_or_else(|| fault("token", SettingsFault::Missing))?;
        let text = std::fs::read_to_string(file).map_err(|_| fault("token_file", SettingsFault::File))?;
        Ok(SecretString::from(text.trim().to_owned()))
    }

    /// The mode for a server.
    pub(crate) fn ssl(&self, host: &str) -> SslMode {
        let chosen = if is_this_machine(host) { SslMode::Prefer } else { SslMode::VerifyFull };
        self.sslmode.unwrap_or(chosen)
    }
}

/// Whether what is sent to this host leaves the machine.
fn is_this_machine(host: &str) -> bool {
    if host.starts_with('/') || host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The host of a URL, without port and credentials; empty when there is none.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    match place.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => place.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Settings)) -> &'static str {
        let mut settings = Settings::new("http://127.0.0.1:7070", "t", "prod");
        change(&mut settings);
        match settings.check() {
            Err(Error::SettingsInvalid { name, .. }) => name,
            Err(other) => panic!("{other}"),
            Ok(_) => "",
        }
    }

    #[test]
    fn bounds_hold() {
        assert_eq!(refused(|_| {}), "");
        assert_eq!(refused(|s| s.login_connections = 0), "login_connections");
        assert_eq!(refused(|s| s.stale = Duration::from_secs(40 * 86_400)), "stale");
        assert_eq!(refused(|s| s.environment = "Prod!".into()), "environment");
    }

    #[test]
    fn a_token_does_not_leave_the_machine_in_the_clear() {
        for url in
            ["http://10.0.0.1:1", "http://localhost.evil.net", "http://127.0.0.1@evil.net", "http://evil.net/127.0.0.1"]
        {
            assert_eq!(refused(|s| s.url = url.into()), "url", "{url}");
        }
        for url in ["http://[::1]:7070", "http://localhost:7070/x", "https://evil.net", "http://127.9.9.9"] {
            assert_eq!(refused(|s| s.url = url.into()), "", "{url}");
        }
        assert_eq!(refused(|s| (s.url, s.allow_http) = ("http://10.0.0.1".into(), true)), "");
    }

    #[test]
    fn the_token_is_not_shown() {
        let shown = format!("{:?}", Settings::new("http://127.0.0.1", "tnt_secret", "prod"));
        assert!(!shown.contains("tnt_secret"), "{shown}");
    }
}
