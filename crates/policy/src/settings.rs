//! What a bundle says beside its rules: which rules of the shipped set are on and with which figures, named windows of
//! time, and values of the operator's own.
//!
//! Absent means the default, and the defaults change nothing for an installation that never heard of policy: only what
//! the rest of the product holds anyway (residency, legal holds) is on.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

macro_rules! settings {
    ($($(#[$about:meta])* $name:ident { $($(#[$field_about:meta])* $field:ident: $type:ty = $default:expr,)* })*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        pub struct $name {
            $($(#[$field_about])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    )*};
}

settings! {
    /// All of them.
    Settings {
        /// Where data may lie and go.
        residency: Residency = Residency::default(),
        /// How data has to be encrypted.
        encryption: Encryption = Encryption::default(),
        /// How long data has to be, and may be, kept.
        retention: Retention = Retention::default(),
        /// What may be done to a tenant in which phase.
        states: States = States::default(),
        /// Who else has to agree.
        four_eyes: FourEyes = FourEyes::default(),
        /// When maintenance may happen.
        patch_windows: PatchWindows = PatchWindows::default(),
        /// Data that must not be removed.
        legal_hold: LegalHold = LegalHold::default(),
        /// The bundle's own values; their type is `Own` of its schema.
        own: serde_json::Map<String, Value> = serde_json::Map::new(),
    }
    /// Rules `residency`, `residency-change`, `residency-unknown`.
    Residency {
        /// Data stays in the allowed regions.
        enabled: bool = true,
        /// Data may not go to a place whose region nobody said.
        refuse_unknown: bool = true,
        /// Nor may events to a webhook's receiver of which nobody said it.
        webhooks: bool = false,
    }
    /// Rule `encryption-required`.
    Encryption {
        /// Data may only lie and go where it is encrypted.
        enabled: bool = false,
        /// What counts as encrypted.
        accepted: BTreeSet<String> = set(&["atRest", "tenantKey"]),
        /// Plans whose tenants it holds for; empty means all.
        plans: BTreeSet<String> = BTreeSet::new(),
    }
    /// Rules `retention-minimum` and `retention-maximum`.
    Retention {
        /// The figures hold.
        enabled: bool = false,
        /// Fewest days; 0 means no bound.
        minimum_days: i64 = 0,
        /// Most days; 0 means no bound.
        maximum_days: i64 = 0,
    }
    /// Rules `allowed-in-*`: by phase, the names of the actions that change a tenant and are allowed.
    States {
        /// The lists hold.
        enabled: bool = false,
        /// While it is a draft.
        draft: BTreeSet<String> = set(&["tenant.create", "tenant.update", "tenant.rollback", "tenant.activate",
            "tenant.delete", "tenant.undelete", "placement.decide", "domain.verify"]),
        /// While it is active.
        active: BTreeSet<String> = set(&["tenant.update", "tenant.rollback", "tenant.suspend", "tenant.move",
            "tenant.clone", "tenant.export", "domain.verify", "credential.issue"]),
        /// While it is suspended.
        suspended: BTreeSet<String> = set(&["tenant.update", "tenant.rollback", "tenant.resume", "tenant.archive",
            "tenant.export"]),
        /// While it is archived.
        archived: BTreeSet<String> = set(&["tenant.restore", "tenant.delete", "tenant.undelete", "tenant.export"]),
        /// After it was deleted.
        deleted: BTreeSet<String> = set(&["tenant.purge"]),
    }
    /// Rule `four-eyes`.
    FourEyes {
        /// Destructive actions need others who agree.
        enabled: bool = false,
        /// How many others.
        needed: i64 = 1,
        /// Environments that it holds in; empty means all.
        environments: BTreeSet<String> = BTreeSet::new(),
        /// Synthetic tenants are free of it.
        exempt_synthetic: bool = true,
    }
    /// Rule `patch-window`.
    PatchWindows {
        /// Maintenance only while the window `patch` is open.
        enabled: bool = false,
        /// Environments that it holds in; empty means all.
        environments: BTreeSet<String> = BTreeSet::new(),
    }
    /// Rule `legal-hold`.
    LegalHold {
        /// Tenants under a legal hold keep their data.
        enabled: bool = true,
    }
}

/// Windows by name, as they stand in `policy.toml`.
pub type Windows = BTreeMap<String, Vec<String>>;

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Lays one value over another: members of objects one by one, everything else as a whole; null takes away.
pub fn overlay(below: &mut Value, above: &Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                if value.is_null() {
                    below.remove(key);
                } else {
                    overlay(below.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (below, above) => *below = above.clone(),
    }
}
