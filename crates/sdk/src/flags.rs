//! Features of a tenant, as the control plane decides them.
//!
//! Nothing is remembered here: each question is asked, so that a switch holds for the next one. Keep an answer for as long as
//! a request takes, and not longer than an emergency may.

use std::collections::BTreeMap;

use serde_json::Value;
use tenantry_api::v1::flag::Features as Shown;
use tenantry_domain::code::Code;

use crate::error::Error;
use crate::tenant::Tenant;
use crate::tenantry::Tenantry;

/// The features of a tenant at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    plan: String,
    features: BTreeMap<String, Feature>,
}

/// What a feature is to a tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// What holds.
    pub value: Value,
    /// Who decided: `switch`, `override`, `cell`, `rollout`, `plan` or `default`; later releases may know more.
    pub source: String,
    /// Why, where somebody wrote it down.
    pub reason: Option<String>,
}

impl Features {
    fn read(shown: Shown) -> Self {
        let feature = |feature: tenantry_api::v1::flag::Feature| Feature {
            value: feature.value,
            source: feature.source,
            reason: feature.reason,
        };
        let features = shown.features.into_iter().map(|(name, found)| (name, feature(found))).collect();
        Self { plan: shown.plan, features }
    }

    /// The tenant's plan.
    #[must_use]
    pub fn plan(&self) -> &str {
        &self.plan
    }

    /// A feature; nothing when nobody says anything about it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Feature> {
        self.features.get(name)
    }

    /// Whether the tenant has a feature: one that nobody says anything about it has not.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|feature| tenantry_domain::flag::is_on(&feature.value))
    }

    /// All features, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Feature)> {
        self.features.iter().map(|(name, feature)| (name.as_str(), feature))
    }
}

impl Tenantry {
    /// The features that a tenant has now.
    ///
    /// # Errors
    /// [`Error::TenantNotFound`], [`Error::ControlPlaneUnavailable`], [`Error::ControlPlaneRefused`].
    pub async fn features(&self, tenant: &Tenant) -> Result<Features, Error> {
        let id = &tenant.id().to_string();
        self.0.plane.ask(|client| async move { client.features(id).await }).await.map(Features::read)
    }

    /// Uses a feature so many times: the use is counted, and the answer is what the feature is to the tenant. Nothing when
    /// the tenant does not have it; then nothing is counted. A use whose answer is lost may be counted.
    ///
    /// # Errors
    /// [`Error::TenantNotFound`], [`Error::ControlPlaneUnavailable`], [`Error::ControlPlaneRefused`].
    pub async fn use_feature(&self, tenant: &Tenant, name: &str, count: u32) -> Result<Option<Value>, Error> {
        let id = &tenant.id().to_string();
        match self.0.plane.ask(|client| async move { client.use_feature(id, name, count).await }).await {
            Ok(feature) => Ok(Some(feature.value)),
            Err(Error::ControlPlaneRefused(code)) if code == Code::FeatureOff.to_string() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_speaks_of_is_off() {
        let shown: Shown = serde_json::from_value(serde_json::json!({
            "plan": "gold",
            "features": {
                "ai": { "value": true, "source": "plan" },
                "old": { "value": false, "source": "switch", "reason": "it burns" },
                "theme": { "value": "rich", "source": "later-word" },
            },
        }))
        .unwrap();
        let features = Features::read(shown);
        assert_eq!((features.plan(), features.iter().count()), ("gold", 3));
        assert!(features.is_on("ai") && features.is_on("theme") && !features.is_on("old") && !features.is_on("new"));
        assert_eq!(features.get("old").and_then(|old| old.reason.as_deref()), Some("it burns"));
    }
}
