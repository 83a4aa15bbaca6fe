//! Where a database is and as whom to speak to it.
//!
//! A [`Target`] comes from a connection URL and keeps the password out of every output. It decides nothing about
//! pooling; [`crate::Pool`] and [`crate::Listener`] open connections through it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::task::AbortHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, CancelToken, Client, Config, NoTls, Socket};

use crate::PgError;
use crate::tls::{Trust, client_config, connector};

/// How long what was sent may stay without an acknowledgement before the connection counts as lost.
const UNHEARD: Duration = Duration::from_secs(30);

/// Why a text is not a usable connection URL. Never quotes the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It does not begin with `postgres://` or `postgresql://`.
    #[error("a database URL starts with `postgres://` or `postgresql://`")]
    Scheme,
    /// A part cannot be read, or an option is unknown.
    #[error("the database URL is malformed: {0}")]
    Malformed(String),
    /// No host, neither in the authority nor as `?host=`.
    #[error("the database URL names no host")]
    NoHost,
    /// No user name.
    #[error("the database URL names no user")]
    NoUser,
    /// Another `sslmode`.
    #[error("`sslmode` must be disable, prefer, require or verify-full")]
    SslMode,
}

/// A database, and the login to use there.
#[derive(Clone)]
pub struct Target {
    config: Config,
    password: Option<SecretString>,
    trust: Trust,
    roots: Option<PathBuf>,
}

/// How a connection is encrypted.
#[derive(Debug, Clone)]
pub struct Encryption {
    /// Whom it trusts.
    pub config: Arc<ClientConfig>,
    /// Whether a server without encryption is refused.
    pub is_required: bool,
}

/// What a connection is told when it starts.
pub(crate) struct Startup<'a> {
    pub application: &'a str,
    /// Server settings, already escaped (`-c name=value …`).
    pub settings: &'a str,
    pub limit: Duration,
}

impl Target {
    /// Reads a URL: `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=/path`.
    ///
    /// # Errors
    /// The first thing that cannot be used.
    pub fn parse(url: &SecretString) -> Result<Self, TargetError> {
        let text = url.expose_secret();
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(TargetError::Scheme);
        }
        // The two TLS options are ours: the driver knows neither `verify-full` nor certificate files.
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut ssl_mode, mut trust, mut roots) = (SslMode::Prefer, None, None);
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", mode)) => (ssl_mode, trust) = read_mode(mode)?,
                Some(("sslrootcert", path)) => roots = Some(PathBuf::from(percent_decode(path)?)),
                _ => rest.push(pair),
            }
        }
        let plain = if rest.is_empty() { address.to_owned() } else { format!("{address}?{}", rest.join("&")) };
        let mut config: Config = plain.parse().map_err(|error| TargetError::Malformed(reason(&error)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(TargetError::NoHost);
        }
        if config.get_user().is_none_or(str::is_empty) {
            return Err(TargetError::NoUser);
        }
        let password = match config.get_password() {
            Some(bytes) => Some(
                String::from_utf8(bytes.to_vec())
                    .map_err(|_| TargetError::Malformed("the password is not UTF-8".to_owned()))?
                    .into(),
            ),
            None => None,
        };
        config.password("").ssl_mode(ssl_mode);
        let trust = trust.unwrap_or(if roots.is_some() { Trust::Roots } else { Trust::Anyone });
        Ok(Self { config, password, trust, roots })
    }

    /// The same server and login, another database.
    #[must_use]
    pub fn with_database(mut self, database: &str) -> Self {
        self.config.dbname(database);
        self
    }

    /// The same database, another login.
    #[must_use]
    pub fn with_user(mut self, user: &str, password: &SecretString) -> Self {
        if self.config.get_dbname().is_none() {
            // The default database is the user's name, which must not change with the login.
            let database = self.database().to_owned();
            self.config.dbname(database);
        }
        self.config.user(user);
        self.password = Some(password.clone());
        self
    }

    /// The same database and login on another host.
    #[must_use]
    pub fn with_host(mut self, host: &str, port: u16) -> Self {
        let mut moved = Config::new();
        moved.host(host).port(port).ssl_mode(self.config.get_ssl_mode());
        if let Some(user) = self.config.get_user() {
            moved.user(user);
        }
        moved.dbname(self.database());
        if let Some(options) = self.config.get_options() {
            moved.options(options);
        }
        moved.channel_binding(self.config.get_channel_binding());
        self.config = moved;
        self
    }

    /// The first host: a name, an address or the folder of a socket.
    #[must_use]
    pub fn host(&self) -> String {
        match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            #[cfg(unix)]
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => self.config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default(),
        }
    }

    /// The first host's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.config.get_ports().first().copied().unwrap_or(5432)
    }

    /// The login's name.
    #[must_use]
    pub fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    /// The database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_else(|| self.user())
    }

    /// The login's password, for those who speak the protocol by themselves.
    #[must_use]
    pub const fn password(&self) -> Option<&SecretString> {
        self.password.as_ref()
    }

    /// How connections to it are encrypted, for those who speak the protocol by themselves; absent when they are not.
    ///
    /// # Errors
    /// The root certificates cannot be read.
    pub fn encryption(&self) -> Result<Option<Encryption>, PgError> {
        let mode = self.config.get_ssl_mode();
        if mode == SslMode::Disable {
            return Ok(None);
        }
        let config = Arc::new(client_config(self.trust, self.roots.as_deref())?);
        Ok(Some(Encryption { config, is_required: mode != SslMode::Prefer }))
    }

    pub(crate) async fn connect<F, N>(
        &self,
        startup: &Startup<'_>,
        on_message: F,
    ) -> Result<(Client, AbortHandle), PgError>
    where
        F: FnMut(AsyncMessage) -> N + Send + 'static,
        N: Future<Output = ()> + Send,
    {
        let mut config = self.config.clone();
        if let Some(password) = &self.password {
            config.password(password.expose_secret());
        }
        let own = self.config.get_options().map(|options| format!("{options} ")).unwrap_or_default();
        config
            .application_name(startup.application)
            .options(format!("{own}{}", startup.settings))
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(3)
            // A statement to a server that is gone is not acknowledged, which keeps keepalives from being sent.
            .tcp_user_timeout(UNHEARD);
        let connected = async {
            if config.get_ssl_mode() == SslMode::Disable {
                open(&config, NoTls, on_message).await
            } else {
                open(&config, connector(self.trust, self.roots.as_deref())?, on_message).await
            }
        };
        match tokio::time::timeout(startup.limit, connected).await {
            Ok(opened) => opened,
            Err(_) => Err(PgError::waited("a connection to be opened")),
        }
    }

    /// Asks the server to end whatever the connection of this token runs; failure is not worth knowing.
    pub(crate) async fn cancel(&self, token: CancelToken) {
        let limit = Duration::from_secs(2);
        if self.config.get_ssl_mode() == SslMode::Disable {
            let _ = tokio::time::timeout(limit, token.cancel_query(NoTls)).await;
        } else if let Ok(tls) = connector(self.trust, self.roots.as_deref()) {
            let _ = tokio::time::timeout(limit, token.cancel_query(tls)).await;
        }
    }
}

async fn open<T, F, N>(config: &Config, tls: T, mut on_message: F) -> Result<(Client, AbortHandle), PgError>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
    F: FnMut(AsyncMessage) -> N + Send + 'static,
    N: Future<Output = ()> + Send,
{
    let (client, mut connection) = config.connect(tls).await?;
    let task = tokio::spawn(async move {
        // An error ends the connection; the next statement on its client sees that.
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            on_message(message).await;
        }
    });
    Ok((client, task.abort_handle()))
}

fn read_mode(mode: &str) -> Result<(SslMode, Option<Trust>), TargetError> {
    match mode {
        "disable" => Ok((SslMode::Disable, None)),
        "prefer" => Ok((SslMode::Prefer, None)),
        "require" => Ok((SslMode::Require, None)),
        "verify-full" => Ok((SslMode::Require, Some(Trust::Roots))),
        _ => Err(TargetError::SslMode),
    }
}

/// The driver's reason names options, never their values.
fn reason(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| "unreadable".to_owned(), ToString::to_string)
}

fn percent_decode(text: &str) -> Result<String, TargetError> {
    let bad = || TargetError::Malformed("`sslrootcert` is not readable".to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|d| char::from(d).to_digit(16)).ok_or_else(bad);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| bad())?);
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}/{}", self.user(), self.host(), self.port(), self.database())
    }
}
