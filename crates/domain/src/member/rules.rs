//! What a tenant's plan says about its people.
//!
//! A plan that says nothing sets no rule; `members.invite: false` and `members.roles: false` take something away, the
//! quota `users` counts members and open invitations, and binds where its mode is hard.

use serde_json::Value;

use crate::limit::Mode;
use crate::plan::entitlement::Entitlements;

/// The rules of one tenant at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether it may have more people than the one that it began with.
    pub invite: bool,
    /// Whether it may define roles.
    pub roles: bool,
    /// The most people, counting open invitations; absent for no bound.
    pub users: Option<u64>,
}

impl Rules {
    /// The feature without which nobody is invited.
    pub const INVITE: &'static str = "members.invite";
    /// The feature without which no role is defined.
    pub const ROLES: &'static str = "members.roles";
    /// The quota.
    pub const USERS: &'static str = "users";

    /// Those that follow from what a tenant is entitled to.
    #[must_use]
    pub fn of(entitlements: &Entitlements) -> Self {
        let is_on = |name: &str| entitlements.features.get(name).is_none_or(|found| found.value != Value::Bool(false));
        Self {
            invite: is_on(Self::INVITE),
            roles: is_on(Self::ROLES),
            users: entitlements
                .quotas
                .get(Self::USERS)
                .filter(|found| found.value.mode == Mode::Hard)
                .and_then(|found| found.value.limit.amount),
        }
    }
}
