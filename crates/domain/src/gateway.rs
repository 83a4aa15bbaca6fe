//! Logins of the gateway: what an application's connection string names.
//!
//! [`login`] has the rules that a login keeps, [`address`] makes the connection string.

pub mod address;
pub mod login;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::TenantId;
use crate::name::AppName;

pub use address::{Address, AddressError};
pub use login::{Login, Standing};

/// Words of an enumeration, both ways.
macro_rules! words {
    ($name:ident, $what:literal, $($variant:ident = $word:literal),+) => {
        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in columns, documents and messages.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text).ok_or(UnknownWord($what))
            }
        }
    };
}

/// The text is none of the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a known {0}")]
pub struct UnknownWord(&'static str);

words!(Mode, "mode of a login", Transaction = "transaction", Session = "session");
words!(Access, "access of a login", ReadWrite = "read-write", ReadOnly = "read-only");
words!(Proof, "proof of a login", Password = "password", Token = "token");
words!(Server, "server of a login", Primary = "primary", PreferStandby = "prefer-standby", Standby = "standby");

/// The name of a gateway login, which clients give as their user.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LoginName(String);

/// Why a text cannot be a login's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginNameError {
    /// Fewer or more characters than allowed.
    #[error("must have 3 to 63 characters")]
    Length,
    /// Another character than allowed, or a first one that is no letter.
    #[error("must begin with a letter and may hold only a-z, 0-9, `_` and `-`")]
    Character,
    /// PostgreSQL or Tenantry keeps the name for itself.
    #[error("is reserved")]
    Reserved,
}

impl LoginName {
    /// Checks a text.
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, LoginNameError> {
        if !(3..=63).contains(&text.len()) {
            return Err(LoginNameError::Length);
        }
        let is_plain = text.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-'));
        if !is_plain || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(LoginNameError::Character);
        }
        if text.starts_with("pg_") || matches!(text, "postgres" | "tenantry" | "public" | "none") {
            return Err(LoginNameError::Reserved);
        }
        Ok(Self(text.to_owned()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LoginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LoginName {
    type Err = LoginNameError;
    fn from_str(text: &str) -> Result<Self, LoginNameError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for LoginName {
    type Error = LoginNameError;
    fn try_from(text: String) -> Result<Self, LoginNameError> {
        Self::parse(&text)
    }
}

impl From<LoginName> for String {
    fn from(name: LoginName) -> Self {
        name.0
    }
}

/// Which tenants a login may enter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Whose {
    /// This one.
    Tenant(TenantId),
    /// One that the client names, among those that are allowed.
    Service {
        /// Only tenants of this app.
        app: AppName,
        /// Which of them.
        tenants: Allowed,
    },
}

impl Whose {
    /// Whether a tenant of an app may be entered.
    #[must_use]
    pub fn allows(&self, tenant: TenantId, app: &AppName) -> bool {
        match self {
            Self::Tenant(own) => *own == tenant,
            Self::Service { app: own, tenants } => own == app && tenants.has(tenant),
        }
    }
}

/// The allow-list of a service login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Allowed {
    /// All tenants of the app.
    All,
    /// These, at most [`Allowed::MOST`].
    These(Vec<TenantId>),
}

impl Allowed {
    /// The longest list.
    pub const MOST: usize = 1000;

    /// Whether a tenant is on it.
    #[must_use]
    pub fn has(&self, tenant: TenantId) -> bool {
        match self {
            Self::All => true,
            Self::These(tenants) => tenants.contains(&tenant),
        }
    }
}

/// How long a client keeps a server session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// For a transaction.
    #[default]
    Transaction,
    /// For as long as it is connected; only where the tenant has a login of its own.
    Session,
}

/// Whether a login may write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// It may.
    #[default]
    ReadWrite,
    /// Its transactions are read only.
    ReadOnly,
}

/// Which server of a cell a login is served by. The words are those of libpq's `target_session_attrs`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Server {
    /// The one that takes writes.
    #[default]
    Primary,
    /// A standby that is not too far behind, else the primary.
    PreferStandby,
    /// A standby that is not too far behind, else none.
    Standby,
}

impl Server {
    /// Whether it may be a standby, which shows what was committed a moment ago.
    #[must_use]
    pub const fn may_be_standby(self) -> bool {
        !matches!(self, Self::Primary)
    }
}

/// How a login proves itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// By a password, which SCRAM never sends.
    #[default]
    Password,
    /// By an access token of a configured issuer in place of the password, over TLS only.
    Token,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_postgresql_and_urls_take_unquoted() {
        for good in ["chat", "chat-app", "a_1", &"a".repeat(63)] {
            assert_eq!(LoginName::parse(good).map(String::from).as_deref(), Ok(good));
        }
        for (bad, why) in [
            ("ab", LoginNameError::Length),
            (&"a".repeat(64), LoginNameError::Length),
            ("1chat", LoginNameError::Character),
            ("Chat", LoginNameError::Character),
            ("chat app", LoginNameError::Character),
            ("chät", LoginNameError::Character),
            ("-chat", LoginNameError::Character),
            ("pg_chat", LoginNameError::Reserved),
            ("postgres", LoginNameError::Reserved),
            ("tenantry", LoginNameError::Reserved),
        ] {
            assert_eq!(LoginName::parse(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn words_are_those_of_serde() {
        fn same<T: Serialize + Copy>(all: &[T], word: impl Fn(T) -> &'static str) {
            for one in all {
                assert_eq!(serde_json::to_value(one).unwrap(), word(*one));
            }
        }
        same(Mode::ALL, Mode::as_str);
        same(Access::ALL, Access::as_str);
        same(Proof::ALL, Proof::as_str);
        assert_eq!("read-only".parse(), Ok(Access::ReadOnly));
        assert!("readonly".parse::<Access>().is_err());
    }

    #[test]
    fn a_login_reaches_its_own_tenants_only() {
        let tenant = |number| TenantId::from_uuid(uuid::Uuid::from_u128(number));
        let (chat, shop) = (AppName::parse("chat").unwrap(), AppName::parse("shop").unwrap());
        let own = Whose::Tenant(tenant(1));
        assert!(own.allows(tenant(1), &chat) && !own.allows(tenant(2), &chat));
        let all = Whose::Service { app: chat.clone(), tenants: Allowed::All };
        assert!(all.allows(tenant(1), &chat) && !all.allows(tenant(1), &shop));
        let some = Whose::Service { app: chat.clone(), tenants: Allowed::These(vec![tenant(1)]) };
        assert!(some.allows(tenant(1), &chat) && !some.allows(tenant(2), &chat) && !some.allows(tenant(1), &shop));
    }
}
