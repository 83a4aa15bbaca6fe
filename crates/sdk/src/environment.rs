//! Settings out of environment variables: each field in capitals after `TENANTRY_`, times with their unit behind, as
//! the libraries for other languages name them. What is not set has its default; what cannot be read is an error.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::error::{Error, SettingsFault};
use crate::settings::{Settings, SslMode};

impl Settings {
    /// Reads the variables of this process.
    ///
    /// # Errors
    /// [`Error::SettingsInvalid`].
    pub fn from_env() -> Result<Self, Error> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// Reads variables from wherever they are.
    ///
    /// # Errors
    /// [`Error::SettingsInvalid`].
    pub fn from_variables(read: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let text = |name: &str| read(name).filter(|value| !value.is_empty());
        let url = text("TENANTRY_URL").unwrap_or_else(|| "http://127.0.0.1:7070".to_owned());
        let environment = text("TENANTRY_ENVIRONMENT").unwrap_or_else(|| "prod".to_owned());
        let mut settings = Self::bare(url, environment);
        settings.token = text("TENANTRY_TOKEN").map(SecretString::from);
        settings.token_file = text("TENANTRY_TOKEN_FILE").map(PathBuf::from);
        settings.base_domain = text("TENANTRY_BASE_DOMAIN");
        settings.sslrootcert = text("TENANTRY_SSLROOTCERT").map(PathBuf::from);
        if let Some(word) = text("TENANTRY_SSLMODE") {
            let fault = SettingsFault::Unreadable("disable, prefer, require or verify-full");
            settings.sslmode =
                Some(SslMode::of(&word).ok_or(Error::SettingsInvalid { name: "TENANTRY_SSLMODE", fault })?);
        }
        if let Some(word) = text("TENANTRY_ALLOW_HTTP") {
            let fault = SettingsFault::Unreadable("true or false");
            let read = word.parse().map_err(|_| Error::SettingsInvalid { name: "TENANTRY_ALLOW_HTTP", fault })?;
            settings.allow_http = read;
        }
        let times: [(&'static str, &mut Duration, Unit); 9] = [
            ("TENANTRY_REQUEST_TIMEOUT_SECONDS", &mut settings.request_timeout, Unit::Seconds),
            ("TENANTRY_MISSING_MAX_AGE_MS", &mut settings.missing_max_age, Unit::Millis),
            ("TENANTRY_STALE_SECONDS", &mut settings.stale, Unit::Seconds),
            ("TENANTRY_WAIT_SECONDS", &mut settings.wait, Unit::Seconds),
            ("TENANTRY_IDLE_SECONDS", &mut settings.idle, Unit::Seconds),
            ("TENANTRY_CONNECT_TIMEOUT_SECONDS", &mut settings.connect_timeout, Unit::Seconds),
            ("TENANTRY_STATEMENT_TIMEOUT_MS", &mut settings.statement_timeout, Unit::Millis),
            ("TENANTRY_LOCK_TIMEOUT_MS", &mut settings.lock_timeout, Unit::Millis),
            ("TENANTRY_IDLE_TRANSACTION_TIMEOUT_MS", &mut settings.idle_transaction_timeout, Unit::Millis),
        ];
        for (name, place, unit) in times {
            if let Some(word) = text(name) {
                *place = unit.read(name, &word)?;
            }
        }
        let counts: [(&'static str, &mut usize); 4] = [
            ("TENANTRY_CELL_CONNECTIONS", &mut settings.cell_connections),
            ("TENANTRY_LOGIN_CONNECTIONS", &mut settings.login_connections),
            ("TENANTRY_TENANT_CONNECTIONS", &mut settings.tenant_connections),
            ("TENANTRY_WAITING", &mut settings.waiting),
        ];
        for (name, place) in counts {
            if let Some(word) = text(name) {
                *place = number(name, &word)?;
            }
        }
        if let Some(word) = text("TENANTRY_CACHE_ENTRIES") {
            settings.cache_entries = number("TENANTRY_CACHE_ENTRIES", &word)?;
        }
        settings.check()?;
        Ok(settings)
    }
}

enum Unit {
    Seconds,
    Millis,
}

impl Unit {
    fn read(&self, name: &'static str, word: &str) -> Result<Duration, Error> {
        match self {
            Self::Millis => Ok(Duration::from_millis(number(name, word)?)),
            Self::Seconds => {
                let fault = SettingsFault::Unreadable("a number of seconds");
                let seconds = word.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                seconds.ok_or(Error::SettingsInvalid { name, fault })
            }
        }
    }
}

fn number<N: std::str::FromStr>(name: &'static str, word: &str) -> Result<N, Error> {
    let fault = SettingsFault::Unreadable("a whole number");
    word.parse().map_err(|_| Error::SettingsInvalid { name, fault })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, Error> {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Settings::from_variables(|name| pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()))
    }

    #[test]
    fn variables_are_read_and_checked() {
        let settings = read(&[
            ("TENANTRY_URL", "https://tenants.example.com"),
            ("TENANTRY_TOKEN_FILE", "/run/token"),
            ("TENANTRY_WAIT_SECONDS", "0.5"),
            ("TENANTRY_LOGIN_CONNECTIONS", "7"),
            ("TENANTRY_STATEMENT_TIMEOUT_MS", "1500"),
            ("TENANTRY_SSLMODE", "require"),
        ]);
        let settings = settings.unwrap();
        assert_eq!((settings.wait, settings.login_connections), (Duration::from_millis(500), 7));
        assert_eq!(
            (settings.statement_timeout, settings.sslmode),
            (Duration::from_millis(1500), Some(SslMode::Require))
        );
        assert_eq!(settings.environment, "prod");
        for bad in [
            ("TENANTRY_WAIT_SECONDS", "-1"),
            ("TENANTRY_WAIT_SECONDS", "soon"),
            ("TENANTRY_WAITING", "0"),
            ("TENANTRY_CACHE_ENTRIES", "x"),
            ("TENANTRY_SSLMODE", "maybe"),
            ("TENANTRY_ALLOW_HTTP", "yes"),
        ] {
            assert!(matches!(read(&[bad]), Err(Error::SettingsInvalid { .. })), "{bad:?}");
        }
    }
}
