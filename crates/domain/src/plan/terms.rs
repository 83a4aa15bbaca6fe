//! What a plan promises beyond amounts and features: its price, what is stamped for a tenant, its hosts, what a tenant may
//! change, how its data leaves.
//!
//! Every field may be left out, and a plan without one says nothing about it: nothing is forbidden then.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::code::FieldError;
use crate::isolation::Isolation;
use crate::tenant::Spec;

/// The terms of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terms {
    /// For people: what the plan is called where it is sold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it costs; absent means by agreement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Which resources are stamped for a tenant, by the name of a blueprint; absent means none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blueprint: Option<String>,
    /// How many databases of each kind serve a tenant (`postgresql`, `graph`, `document`); shared ones count.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub databases: BTreeMap<String, u32>,
    /// Under which host its tenants are found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// What its tenants may set for themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customization: Option<Customization>,
    /// How a tenant's data leaves; absent means that the plan says nothing about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exports: Option<BTreeSet<Export>>,
    /// Where its tenants' users are kept; absent means that it is nobody's concern here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// How people sign in to a pool of the tenant's own; absent means by address and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_in: Option<BTreeSet<SignIn>>,
    /// What people show besides, in a pool of the tenant's own; absent means nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_factor: Option<SecondFactor>,
}

/// A price, in the smallest unit of its currency, so that nothing is rounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Price {
    /// Three letters of ISO 4217, `EUR`.
    pub currency: String,
    /// Per tenant and month.
    pub monthly_minor: u64,
    /// Per user and month, on top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_user_minor: Option<u64>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$each])* #[serde(rename = $word)] $variant),* }

        impl $name {
            /// All, least first.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word in manifests.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    };
}

words! {
    /// Under which host tenants are found.
    Host {
        /// One host for all.
        Shared = "shared",
        /// A subdomain each.
        Subdomain = "subdomain",
        /// A subdomain, and domains of their own.
        Custom = "custom",
    }
}

words! {
    /// How much of the product a tenant may change.
    CustomizationClass {
        /// Nothing.
        None = "none",
        /// Some settings and features.
        Limited = "limited",
        /// Settings, code, schema and infrastructure.
        Full = "full",
    }
}

words! {
    /// How data leaves.
    Export {
        /// By hand, from a console.
        Manual = "manual",
        /// By the API.
        Api = "api",
        /// On a schedule.
        Scheduled = "scheduled",
        /// By reading the database.
        Direct = "direct",
    }
}

words! {
    /// Where a tenant's users are kept at the identity provider.
    Identity {
        /// Nowhere that Tenantry knows of.
        None = "none",
        /// In the installation's one pool, with those of other tenants; memberships tell them apart.
        Shared = "shared",
        /// In a pool of the tenant's own, which is made, disabled and deleted with the tenant.
        Own = "own",
    }
}

words! {
    /// How people sign in.
    SignIn {
        /// By address and password.
        Password = "password",
        /// By a link that is mailed to them.
        EmailLink = "emailLink",
        /// At the tenant's own identity provider, by OpenID Connect or SAML.
        Sso = "sso",
    }
}

words! {
    /// Whether people show something besides.
    SecondFactor {
        /// Nobody does.
        Off = "off",
        /// Who wants to does.
        Optional = "optional",
        /// Everybody does.
        Required = "required",
    }
}

/// What tenants of a plan may set for themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Customization {
    /// How much, in one word.
    pub class: CustomizationClass,
    /// Which keys of `settings`: names, and beginnings of names with `*` at their end. Read for class `limited` only.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub settings: BTreeSet<String>,
}

impl Customization {
    /// Whether a key of `settings` may be set.
    #[must_use]
    pub fn allows(&self, key: &str) -> bool {
        match self.class {
            CustomizationClass::None => false,
            CustomizationClass::Full => true,
            CustomizationClass::Limited => self.settings.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => key.starts_with(beginning),
                None => key == pattern,
            }),
        }
    }
}

impl Terms {
    /// Cheaper plans first; those by agreement last.
    #[must_use]
    pub fn rank(&self) -> u64 {
        self.price.as_ref().map_or(u64::MAX, |price| price.monthly_minor)
    }

    /// What contradicts itself or the plan's level, by paths below `spec`.
    #[must_use]
    pub fn check(&self, level: Isolation) -> Vec<FieldError> {
        let mut wrong = Vec::new();
        if let Some(price) = &self.price
            && (price.currency.len() != 3 || !price.currency.bytes().all(|byte| byte.is_ascii_uppercase()))
        {
            wrong.push(FieldError::new("price.currency", "must be three capital letters of ISO 4217, such as `EUR`"));
        }
        let postgresql = self.databases.get("postgresql").copied();
        if postgresql == Some(0) {
            let message = "must be at least 1: a tenant's rows are kept in PostgreSQL";
            wrong.push(FieldError::new("databases.postgresql", message));
        }
        if level == Isolation::Shared && self.exports.as_ref().is_some_and(|ways| ways.contains(&Export::Direct)) {
            let message = "`direct` needs tables of the tenant's own: level schema, database or cluster";
            wrong.push(FieldError::new("exports", message));
        }
        if let Some(customization) = &self.customization
            && customization.class != CustomizationClass::Limited
            && !customization.settings.is_empty()
        {
            let word = customization.class.as_str();
            let message = format_args!("goes with class `limited`; class `{word}` decides for all keys");
            wrong.push(FieldError::new("customization.settings", message));
        }
        let of_a_pool = [("signIn", self.sign_in.is_some()), ("secondFactor", self.second_factor.is_some())];
        for (field, is_set) in of_a_pool {
            if is_set && self.identity != Some(Identity::Own) {
                wrong.push(FieldError::new(field, "goes with `identity: own`; other pools are set up by their owner"));
            }
        }
        if self.sign_in.as_ref().is_some_and(BTreeSet::is_empty) {
            wrong.push(FieldError::new("signIn", "must name at least one way, or nobody could sign in"));
        }
        wrong
    }

    /// What a tenant wants and these terms do not allow, by paths of its manifest.
    #[must_use]
    pub fn refused(&self, spec: &Spec) -> Vec<FieldError> {
        let settings = spec.settings.keys().filter(|key| !self.customization.as_ref().is_none_or(|c| c.allows(key)));
        let settings =
            settings.map(|key| FieldError::new(format!("spec.settings.{key}"), "the plan allows no such setting"));
        let is_custom = self.host.is_none_or(|host| host == Host::Custom);
        let domains = (!is_custom && !spec.domains.is_empty())
            .then(|| FieldError::new("spec.domains", "the plan allows no domains of the tenant's own"));
        settings.chain(domains).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_told_by_field() {
        let terms = Terms {
            price: Some(Price { currency: "Euro".into(), monthly_minor: 1, per_user_minor: None }),
            databases: BTreeMap::from([("postgresql".into(), 0)]),
            exports: Some(BTreeSet::from([Export::Direct])),
            customization: Some(Customization {
                class: CustomizationClass::Full,
                settings: BTreeSet::from(["theme".to_owned()]),
            }),
            ..Terms::default()
        };
        let fields = |level| terms.check(level).into_iter().map(|wrong| wrong.field).collect::<Vec<_>>();
        assert_eq!(
            fields(Isolation::Shared),
            ["price.currency", "databases.postgresql", "exports", "customization.settings"]
        );
        assert!(!fields(Isolation::Schema).contains(&"exports".to_owned()));
        assert!(Terms::default().check(Isolation::Shared).is_empty());
    }

    #[test]
    fn ways_to_sign_in_belong_to_a_pool_of_the_tenants_own() {
        let fields = |identity, ways: &[SignIn]| {
            let sign_in = Some(ways.iter().copied().collect());
            let terms = Terms { identity, sign_in, second_factor: Some(SecondFactor::Off), ..Terms::default() };
            terms.check(Isolation::Shared).into_iter().map(|wrong| wrong.field).collect::<Vec<_>>()
        };
        assert!(fields(Some(Identity::Own), &[SignIn::Password, SignIn::Sso]).is_empty());
        assert_eq!(fields(Some(Identity::Own), &[]), ["signIn"]);
        for other in [None, Some(Identity::None), Some(Identity::Shared)] {
            assert_eq!(fields(other, &[SignIn::Password]), ["signIn", "secondFactor"], "{other:?}");
        }
    }

    #[test]
    fn customization_follows_its_class() {
        let class = |class, settings: &[&str]| Customization {
            class,
            settings: settings.iter().map(|key| (*key).to_owned()).collect(),
        };
        let limited = class(CustomizationClass::Limited, &["locale", "theme.*"]);
        assert!(limited.allows("locale") && limited.allows("theme.colour"));
        assert!(!limited.allows("locales") && !limited.allows("theme") && !limited.allows("sql"));
        assert!(!class(CustomizationClass::None, &[]).allows("locale"));
        assert!(class(CustomizationClass::Full, &[]).allows("sql"));
    }
}
