//! Why a client is not let in: what it is told, and what the log says.

use std::time::Duration;

use tenantry_wire::server::{Report, Severity};

/// Why a client is not let in. Its display is for the log; [`Refused::said`] is for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It left, or the connection broke.
    #[error("the client left during the login")]
    Gone,
    /// It took too long.
    #[error("the login was not finished in time")]
    Deadline,
    /// Too many failures from its address.
    #[error("too many failed logins from this address; unheard for {} s more", wait.as_secs())]
    Crowd {
        /// Until it will be heard again.
        wait: Duration,
    },
    /// It does not keep to the protocol.
    #[error("protocol violation: {0}")]
    Protocol(&'static str),
    /// It wants what is not there.
    #[error("not supported: {0}")]
    Unsupported(&'static str),
    /// It does not say who it is.
    #[error("no user is named")]
    NoUser,
    /// The parameter `options` is not readable.
    #[error("the options are malformed at `{0}`")]
    Options(String),
    /// A setting that is not a client's.
    #[error("the setting `{0}` may not be given at the start")]
    Setting(String),
    /// The proof failed.
    #[error("`{user}`: {why}")]
    Credential {
        /// The login, as it was given.
        user: String,
        /// Why.
        why: Why,
    },
    /// The channel binding does not fit: somebody is between, or the client was told that we have none.
    #[error("channel binding failed: {0}")]
    Binding(&'static str),
    /// A token must not be sent in the clear.
    #[error("`{0}` takes tokens, and the connection has no TLS")]
    NeedsTls(String),
    /// Tokens cannot be checked now.
    #[error("tokens cannot be checked at present")]
    TokensAway,
    /// The login is not valid any more.
    #[error("`{0}` has expired")]
    Expired(String),
    /// The tenant's login names another database.
    #[error("`{user}` has no database `{database}`")]
    Database {
        /// The login.
        user: String,
        /// What it wanted.
        database: String,
    },
    /// The tenant of a service login is not named.
    #[error("`{0}` did not name a tenant")]
    NoneNamed(String),
    /// A tenant that the login may not enter, or that does not exist.
    #[error("`{user}` may not enter `{tenant}`, or there is none")]
    NotAllowed {
        /// The login.
        user: String,
        /// What it named.
        tenant: String,
    },
    /// Two places name different tenants.
    #[error("`{0}` named different tenants")]
    Disagree(String),
    /// The login's tenant does not exist any more.
    #[error("the tenant of `{0}` is gone")]
    NoTenant(String),
    /// The tenant is not ready.
    #[error("the tenant of `{0}` is being prepared")]
    Preparing(String),
    /// The tenant is suspended.
    #[error("the tenant of `{0}` is suspended")]
    Suspended(String),
    /// The tenant is archived.
    #[error("the tenant of `{0}` is archived")]
    Archived(String),
    /// The login wants a session of its own, and its tenant shares one with others.
    #[error("`{0}` is in session mode, and its tenant shares its database login")]
    SharedSession(String),
}

/// Why a proof failed. Only the log knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// There is no such login.
    #[error("no such login")]
    Unknown,
    /// It has no password that is still valid.
    #[error("no valid password is kept")]
    NoVerifier,
    /// The password is another one.
    #[error("wrong password")]
    Wrong,
    /// The token is not valid.
    #[error("the token is not valid")]
    Token,
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The SQLSTATE.
    pub code: &'static str,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub hint: Option<&'static str>,
}

impl Said {
    /// As a fatal error of the protocol.
    #[must_use]
    pub fn report(&self) -> Report<'_> {
        let Self { code, message, hint } = self;
        Report { severity: Severity::Fatal, code, message, detail: None, hint: *hint }
    }
}

impl Refused {
    /// One word for metrics and logs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Gone => "client_left",
            Self::Deadline => "too_slow",
            Self::Crowd { .. } => "too_many_failures",
            Self::Protocol(_) => "protocol",
            Self::Unsupported(_) => "unsupported",
            Self::NoUser | Self::Options(_) | Self::Setting(_) => "bad_start",
            Self::Credential { .. } => "wrong_credential",
            Self::Binding(_) => "channel_binding",
            Self::NeedsTls(_) => "needs_tls",
            Self::TokensAway => "tokens_away",
            Self::Expired(_) => "expired",
            Self::Database { .. } | Self::NoneNamed(_) | Self::NotAllowed { .. } | Self::Disagree(_) => "wrong_tenant",
            Self::NoTenant(_) => "tenant_gone",
            Self::Preparing(_) | Self::Suspended(_) | Self::Archived(_) => "tenant_shut",
            Self::SharedSession(_) => "session_mode",
        }
    }

    /// What the client is told; nothing to one that is gone.
    #[must_use]
    pub fn said(&self) -> Option<Said> {
        let (code, message, hint) = match self {
            Self::Gone => return None,
            Self::Deadline => ("57014", "canceling authentication due to timeout".to_owned(), None),
            Self::Crowd { wait } => {
                let wait = wait.as_secs().max(1);
                ("53300", format!("too many failed logins from this address; try again in {wait} s"), None)
            }
            Self::Protocol(what) => ("08P01", (*what).to_owned(), None),
            Self::Unsupported(what) => ("0A000", (*what).to_owned(), None),
            Self::NoUser => ("28000", "no user is named in the startup packet".to_owned(), None),
            Self::Options(part) => (
                "42601",
                format!("the startup option `{part}` is not of the form `-c name=value`"),
                Some(
                    "Give settings as options='-c name=value'; a blank in a value is written as a backslash and a blank.",
                ),
            ),
            Self::Setting(name) => (
                "42501",
                format!("permission denied to set parameter `{name}` at the start"),
                Some(
                    "Leave it out of the connection string. The gateway sets the tenant, the search path and the role.",
                ),
            ),
            // Whatever the reason was: one text.
            Self::Credential { user, .. } => {
                ("28P01", format!("password authentication failed for user `{user}`"), None)
            }
            Self::Binding(what) => (
                "28000",
                format!("channel binding failed: {what}"),
                Some(
                    "Something between client and gateway ends TLS, or the gateway's certificate was replaced just now.",
                ),
            ),
            Self::NeedsTls(user) => (
                "28000",
                format!("user `{user}` logs in with a token, which is only taken over TLS"),
                Some("Connect with sslmode=verify-full."),
            ),
            Self::TokensAway => (
                "57P03",
                "tokens cannot be checked at present".to_owned(),
                Some("Try again. If it lasts, the gateway has no issuers configured or cannot reach them."),
            ),
            Self::Expired(user) => {
                ("28000", format!("login `{user}` has expired"), Some("Make a new login, or one with a later end."))
            }
            Self::Database { database, .. } => (
                "3D000",
                format!("database `{database}` does not exist"),
                Some("A tenant's login has one database: leave the name out, or give the tenant's name or the app's."),
            ),
            Self::NoneNamed(_) => (
                "3D000",
                "no tenant is named".to_owned(),
                Some("Give the tenant's name or id as the database, or options='-c tenantry.tenant=NAME'."),
            ),
            Self::NotAllowed { tenant, .. } => (
                "28000",
                format!("no tenant `{tenant}` for this login"),
                Some("Check the name, and which tenants the login may enter."),
            ),
            Self::Disagree(_) => (
                "28000",
                "the connection names different tenants".to_owned(),
                Some("Database, options, host name and token must name the same tenant, or none."),
            ),
            Self::NoTenant(_) => ("3D000", "the tenant of this login does not exist any more".to_owned(), None),
            Self::Preparing(_) => ("57P03", "the tenant is being prepared".to_owned(), Some("Try again shortly.")),
            Self::Suspended(_) => {
                ("TN002", "the tenant is suspended".to_owned(), Some("It is let in again once it is resumed."))
            }
            Self::Archived(_) => {
                ("TN002", "the tenant is archived".to_owned(), Some("It is let in again once it is restored."))
            }
            Self::SharedSession(_) => (
                "0A000",
                "session mode needs a tenant with a database login of its own".to_owned(),
                Some("Use a login in transaction mode, or move the tenant to another isolation level."),
            ),
        };
        Some(Said { code, message, hint })
    }

    /// Whether it counts against the address: somebody may be guessing.
    #[must_use]
    pub const fn is_suspicious(&self) -> bool {
        match self {
            Self::Protocol(_)
            | Self::Credential { .. }
            | Self::Binding(_)
            | Self::Database { .. }
            | Self::NotAllowed { .. }
            | Self::Disagree(_) => true,
            Self::Gone
            | Self::Deadline
            | Self::Crowd { .. }
            | Self::Unsupported(_)
            | Self::NoUser
            | Self::Options(_)
            | Self::Setting(_)
            | Self::NeedsTls(_)
            | Self::TokensAway
            | Self::Expired(_)
            | Self::NoneNamed(_)
            | Self::NoTenant(_)
            | Self::Preparing(_)
            | Self::Suspended(_)
            | Self::Archived(_)
            | Self::SharedSession(_) => false,
        }
    }
}

/// What may be repeated of a client's text: no more than a name has, and nothing that would break a line of a log.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(63).flat_map(char::escape_debug).collect()
}
