//! What Tenantry counts by itself under a quota's name, one row of a table for each kind.
//!
//! INVARIANT: what is counted is read from the rows themselves, in the transaction that changes them; so a counter cannot
//! drift away from what it counts.

use super::quota::QuotaName;

/// A kind of thing of the control plane that a tenant has a number of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counted {
    /// Members and open invitations.
    Users,
    /// The tenant's own logins of the gateway that are neither revoked nor over. Those of emergency access are the operator's.
    Logins,
    /// Webhook endpoints of the tenant, disabled ones too.
    Webhooks,
    /// Tokens that are bound to the tenant and neither revoked nor over.
    ApiKeys,
    /// Domains in the tenant's manifest, whether proven or not.
    Domains,
}

impl Counted {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Users, Self::Logins, Self::Webhooks, Self::ApiKeys, Self::Domains];

    /// The name in plans.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Logins => "logins",
            Self::Webhooks => "webhooks",
            Self::ApiKeys => "apiKeys",
            Self::Domains => "domains",
        }
    }

    /// What it counts, for people.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Users => "members and open invitations",
            Self::Logins => "logins of the gateway",
            Self::Webhooks => "webhook endpoints",
            Self::ApiKeys => "tokens that are bound to the tenant",
            Self::Domains => "domains in the manifest",
        }
    }

    /// The kind that a plan calls so; absent for everything that others count.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The quota.
    #[must_use]
    pub fn quota(self) -> QuotaName {
        QuotaName::known(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_of_quotas() {
        for kind in Counted::ALL {
            assert_eq!(QuotaName::parse(kind.as_str()), Ok(kind.quota()));
            assert_eq!(Counted::parse(kind.as_str()), Some(kind));
            assert_eq!(kind.quota().counted(), Some(kind.what()));
        }
        assert_eq!(Counted::parse("seats"), None);
    }
}
