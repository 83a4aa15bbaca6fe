//! What a login of the gateway is to be, the rules that it keeps, and how it stands at a moment.
//!
//! Field names in complaints are those of the public contract.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{Access, Allowed, Mode, Proof, Server, Whose};
use crate::Timestamp;
use crate::code::FieldError;
use crate::isolation::Isolation;

/// What a login may do and for how long. Its name and its secret stand beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Login {
    /// Which tenants it may enter.
    pub whose: Whose,
    /// How long it keeps a server session.
    pub mode: Mode,
    /// Whether it may write.
    pub access: Access,
    /// Which server of the tenant's cell it is served by.
    #[serde(default)]
    pub server: Server,
    /// How it proves itself.
    pub proof: Proof,
    /// The most client connections of it on one gateway, 1 to [`Login::MOST_CONNECTIONS`]; absent for no bound of its own.
    pub connections: Option<u32>,
    /// From when on it is refused; absent for never.
    pub expires: Option<Timestamp>,
}

impl Login {
    /// The highest bound on client connections.
    pub const MOST_CONNECTIONS: u32 = 100_000;
    /// For how long the old password stays good after a rotation, unless somebody says otherwise.
    pub const GRACE: SignedDuration = SignedDuration::from_hours(24);
    /// The longest time for which two passwords are good: a month, in which every client is deployed anew once.
    pub const LONGEST_GRACE: SignedDuration = SignedDuration::from_hours(31 * 24);

    /// What is wrong with it at `now`. `isolation` is the level of the tenant whose login it is, where that is known
    /// already; the gateway looks again when somebody logs in.
    #[must_use]
    pub fn check(&self, now: Timestamp, isolation: Option<Isolation>) -> Vec<FieldError> {
        let mut wrong = Vec::new();
        if let Whose::Service { tenants: Allowed::These(tenants), .. } = &self.whose
            && !(1..=Allowed::MOST).contains(&tenants.len())
        {
            wrong.push(FieldError::new("only", format_args!("must name 1 to {} tenants", Allowed::MOST)));
        }
        if self.mode == Mode::Session && isolation.is_some_and(|level| !level.has_own_role()) {
            let message = "`session` needs a tenant with a login of its own on its server; this one shares tables";
            wrong.push(FieldError::new("mode", message));
        }
        if self.server.may_be_standby() && self.access != Access::ReadOnly {
            wrong.push(FieldError::new("server", "a standby takes no writes; make the login `read-only`"));
        }
        if self.server.may_be_standby() && self.mode == Mode::Session {
            wrong.push(FieldError::new("server", "a standby serves logins in mode `transaction` only"));
        }
        if self.connections.is_some_and(|most| !(1..=Self::MOST_CONNECTIONS).contains(&most)) {
            let message = format_args!("must be between 1 and {}", Self::MOST_CONNECTIONS);
            wrong.push(FieldError::new("connections", message));
        }
        wrong.extend(check_expiry(self.expires, now));
        wrong
    }
}

/// What is wrong with an end at `now`.
#[must_use]
pub fn check_expiry(expires: Option<Timestamp>, now: Timestamp) -> Option<FieldError> {
    let is_past = expires.is_some_and(|expires| expires <= now);
    is_past.then(|| FieldError::new("expiresAt", "must lie in the future"))
}

/// Until when the old password is good after a rotation at `now`, as far as the caller goes; [`within_life`] has the last word.
///
/// # Errors
/// The grace is negative or longer than [`Login::LONGEST_GRACE`].
pub fn old_until(now: Timestamp, grace: Option<SignedDuration>) -> Result<Timestamp, FieldError> {
    let grace = grace.unwrap_or(Login::GRACE);
    let days = Login::LONGEST_GRACE.as_hours() / 24;
    let wrong = || FieldError::new("grace", format_args!("must be between `0s` and `{days}d`"));
    if grace.is_negative() || grace > Login::LONGEST_GRACE {
        return Err(wrong());
    }
    now.checked_add(grace).map_err(|_| wrong())
}

/// The same, and no longer than the old password was to live: a rotation gives what has ended no second life.
#[must_use]
pub fn within_life(old_until: Timestamp, expires: Option<Timestamp>) -> Timestamp {
    expires.map_or(old_until, |end| old_until.min(end))
}

/// Whether a rotation makes a login's life longer, or gives one that has ended another.
#[must_use]
pub fn prolongs(wanted: Option<Timestamp>, expires: Option<Timestamp>) -> bool {
    wanted.zip(expires).is_some_and(|(wanted, end)| wanted > end)
}

/// How a login stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It is let in.
    Active,
    /// Its time is over.
    Expired,
    /// Somebody took it back.
    Revoked,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Active, Self::Expired, Self::Revoked];

    /// How a login with this end stands at `now`.
    #[must_use]
    pub fn at(now: Timestamp, expires: Option<Timestamp>, is_revoked: bool) -> Self {
        match expires {
            _ if is_revoked => Self::Revoked,
            Some(expires) if expires <= now => Self::Expired,
            _ => Self::Active,
        }
    }

    /// The word in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::TenantId;
    use crate::name::AppName;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    fn login() -> Login {
        Login {
            whose: Whose::Tenant(TenantId::from_uuid(Uuid::from_u128(1))),
            mode: Mode::Transaction,
            access: Access::ReadWrite,
            server: Server::Primary,
            proof: Proof::Password,
            connections: None,
            expires: None,
        }
    }

    fn fields(login: &Login, isolation: Option<Isolation>) -> Vec<String> {
        login.check(at(0), isolation).into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn sessions_are_kept_only_where_the_tenant_has_a_login_of_its_own() {
        let session = Login { mode: Mode::Session, ..login() };
        assert_eq!(fields(&session, Some(Isolation::Shared)), ["mode"]);
        for level in [None, Some(Isolation::Schema), Some(Isolation::Database), Some(Isolation::Cluster)] {
            assert!(fields(&session, level).is_empty(), "{level:?}");
        }
        assert!(fields(&login(), Some(Isolation::Shared)).is_empty());
    }

    #[test]
    fn a_standby_is_for_those_who_only_read_and_keep_no_session() {
        for server in [Server::PreferStandby, Server::Standby] {
            assert_eq!(fields(&Login { server, ..login() }, None), ["server"]);
            let reader = Login { server, access: Access::ReadOnly, ..login() };
            assert!(fields(&reader, None).is_empty());
            assert_eq!(fields(&Login { mode: Mode::Session, ..reader }, None), ["server"]);
        }
    }

    #[test]
    fn bounds_are_kept_and_all_complaints_are_made() {
        let tenants = |count: u128| (0..count).map(|number| TenantId::from_uuid(Uuid::from_u128(number))).collect();
        let service =
            |count| Whose::Service { app: AppName::parse("chat").unwrap(), tenants: Allowed::These(tenants(count)) };
        for count in [0, 1001] {
            let wrong = Login { whose: service(count), connections: Some(0), expires: Some(at(0)), ..login() };
            assert_eq!(fields(&wrong, None), ["only", "connections", "expiresAt"]);
        }
        let good =
            Login { whose: service(1000), connections: Some(Login::MOST_CONNECTIONS), expires: Some(at(1)), ..login() };
        assert!(fields(&good, None).is_empty());
        assert_eq!(fields(&Login { connections: Some(Login::MOST_CONNECTIONS + 1), ..login() }, None), ["connections"]);
    }

    #[test]
    fn an_old_password_has_an_end() {
        assert_eq!(old_until(at(0), None), Ok(at(24 * 3600)));
        assert_eq!(old_until(at(0), Some(SignedDuration::ZERO)), Ok(at(0)));
        assert_eq!([None, Some(at(5)), Some(at(90))].map(|end| within_life(at(60), end)), [at(60), at(5), at(60)]);
        for (wanted, end, expected) in [(Some(9), Some(5), true), (Some(5), Some(5), false), (Some(4), Some(5), false)]
        {
            assert_eq!(prolongs(wanted.map(at), end.map(at)), expected, "{wanted:?} {end:?}");
        }
        assert!(
            !prolongs(None, Some(at(1))) && !prolongs(Some(at(1)), None),
            "no word changes nothing, an end is an end"
        );
        for wrong in [SignedDuration::from_secs(-1), Login::LONGEST_GRACE + SignedDuration::from_secs(1)] {
            assert_eq!(old_until(at(0), Some(wrong)).unwrap_err().field, "grace");
        }
    }

    #[test]
    fn a_standing_follows_from_end_and_revocation() {
        assert_eq!(Standing::at(at(0), None, false), Standing::Active);
        assert_eq!(Standing::at(at(0), Some(at(1)), false), Standing::Active);
        assert_eq!(Standing::at(at(1), Some(at(1)), false), Standing::Expired);
        assert_eq!(Standing::at(at(2), Some(at(1)), true), Standing::Revoked);
    }
}
