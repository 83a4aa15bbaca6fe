//! Calls about tenants.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::send::{Answer, Call};
use super::{Client, ClientError, Expected, PageQuery, segment};
use crate::v1::Page;
use crate::v1::audit::AuditEntry;
use crate::v1::change::PlannedObject;
use crate::v1::entitlement::Entitlements;
use crate::v1::event::{Drift, Event};
use crate::v1::operation::Operation;
use crate::v1::placement::PlacementView;
use crate::v1::rollout::Additions;
use crate::v1::tenant::{Rollback, Suspension, Tenant};
use crate::v1::version::{Comparison, Version};

/// Which tenants to list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantQuery {
    /// Bound to this plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Served by this app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Placed in this region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Placed in this cell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
    /// In this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// At this level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<String>,
    /// With these labels, each `key=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub label: Vec<String>,
    /// With this external id, `stripe:cus_123`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// With this id of an adopted system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Found by this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// Which page.
    #[serde(flatten)]
    pub page: PageQuery,
}

/// How to delete.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    /// The tenant's slug once more.
    pub confirm: String,
    /// The removal request; not needed for synthetic tenants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long it can be taken back, `7d`; absent means the installation's minimum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<String>,
    /// Only tell what would happen.
    pub dry_run: bool,
}

/// What became of a deletion.
#[derive(Debug, Clone, PartialEq)]
pub enum Deleted {
    /// Nothing: it was a dry run.
    Planned(Box<PlannedObject>),
    /// It is under way, or waits for its grace period.
    Accepted(Box<Answer<Tenant>>),
}

impl Client {
    /// Lists tenants.
    ///
    /// # Errors
    /// A parameter is wrong, or the server does not answer.
    pub async fn tenants(&self, query: &TenantQuery) -> Result<Page<Tenant>, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["tenants"])).query(query)).await?.value)
    }

    /// Reads a tenant by name or id.
    ///
    /// # Errors
    /// There is none.
    pub async fn tenant(&self, tenant: &str) -> Result<Answer<Tenant>, ClientError> {
        self.transport.send(Call::get(self.path(["tenants", segment(tenant)?]))).await
    }

    /// Reads what was wanted of a tenant at a moment.
    ///
    /// # Errors
    /// There is no such tenant, or it did not exist then.
    pub async fn tenant_as_of(&self, tenant: &str, at: Timestamp) -> Result<Version, ClientError> {
        let call = Call::get(self.path(["tenants", segment(tenant)?])).parameter("asOf", at.to_string());
        Ok(self.transport.send(call).await?.value)
    }

    /// Makes a tenant from its manifest.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub async fn create_tenant(&self, manifest: &Value, wait: Option<Duration>) -> Result<Answer<Tenant>, ClientError> {
        let call = Call::keyed(Method::POST, self.path(["tenants"])).body(manifest).waiting(wait);
        self.transport.send(call).await
    }

    /// Replaces what is wanted of a tenant.
    ///
    /// # Errors
    /// Everything that is wrong with it, or another version is current.
    pub async fn replace_tenant(
        &self,
        tenant: &str,
        expected: Expected,
        manifest: &Value,
        wait: Option<Duration>,
    ) -> Result<Answer<Tenant>, ClientError> {
        let call = Call::keyed(Method::PUT, self.path(["tenants", segment(tenant)?]));
        self.transport.send(call.expecting(expected).body(manifest).waiting(wait)).await
    }

    /// Changes parts of what is wanted of a tenant (RFC 7396 on `metadata.labels` and `spec`).
    ///
    /// # Errors
    /// Everything that is wrong with the result, or another version is current.
    pub async fn patch_tenant(
        &self,
        tenant: &str,
        expected: Expected,
        patch: &Value,
        wait: Option<Duration>,
    ) -> Result<Answer<Tenant>, ClientError> {
        let call = Call::keyed(Method::PATCH, self.path(["tenants", segment(tenant)?]));
        let call = call.expecting(expected).body(patch).content_type("application/merge-patch+json").waiting(wait);
        self.transport.send(call).await
    }

    /// Asks for a deletion.
    ///
    /// # Errors
    /// The confirmation is wrong, a reason is missing, or the state does not allow it.
    pub async fn delete_tenant(
        &self,
        tenant: &str,
        expected: Expected,
        deletion: &Deletion,
        wait: Option<Duration>,
    ) -> Result<Deleted, ClientError> {
        let call = Call::keyed(Method::DELETE, self.path(["tenants", segment(tenant)?]));
        let call = call.expecting(expected).query(deletion).waiting(wait);
        if deletion.dry_run {
            return Ok(Deleted::Planned(Box::new(self.transport.send(call).await?.value)));
        }
        Ok(Deleted::Accepted(Box::new(self.transport.send(call).await?)))
    }

    /// Walks an edge of the lifecycle that needs no further words: `activate`, `resume`, `archive`, `restore`,
    /// `undelete`.
    ///
    /// # Errors
    /// The state does not allow it, or another version is current.
    pub async fn tenant_verb(
        &self,
        tenant: &str,
        verb: &str,
        expected: Expected,
        wait: Option<Duration>,
    ) -> Result<Answer<Tenant>, ClientError> {
        let call = self.verb(tenant, verb)?.expecting(expected).waiting(wait);
        self.transport.send(call).await
    }

    /// Takes access away.
    ///
    /// # Errors
    /// The state does not allow it, or another version is current.
    pub async fn suspend_tenant(
        &self,
        tenant: &str,
        expected: Expected,
        suspension: &Suspension,
        wait: Option<Duration>,
    ) -> Result<Answer<Tenant>, ClientError> {
        let call = self.verb(tenant, "suspend")?.expecting(expected).body(suspension).waiting(wait);
        self.transport.send(call).await
    }

    /// Makes an old version's content the newest version.
    ///
    /// # Errors
    /// There is no such version, it cannot be gone back to, or another version is current.
    pub async fn rollback_tenant(
        &self,
        tenant: &str,
        expected: Expected,
        to: i64,
        wait: Option<Duration>,
    ) -> Result<Answer<Tenant>, ClientError> {
        let call = self.verb(tenant, "rollback")?.expecting(expected).body(&Rollback { to }).waiting(wait);
        self.transport.send(call).await
    }

    fn verb(&self, tenant: &str, verb: &str) -> Result<Call, ClientError> {
        let last = format!("{}:{}", segment(tenant)?, segment(verb)?);
        Ok(Call::keyed(Method::POST, self.path(["tenants", &last])))
    }

    async fn below<T: serde::de::DeserializeOwned>(
        &self,
        tenant: &str,
        name: &str,
        query: Value,
    ) -> Result<T, ClientError> {
        let call = Call::get(self.path(["tenants", segment(tenant)?, name])).query(&query);
        Ok(self.transport.send(call).await?.value)
    }

    /// A tenant's versions, newest first.
    ///
    /// # Errors
    /// There is no such tenant.
    pub async fn tenant_versions(&self, tenant: &str, page: &PageQuery) -> Result<Page<Version>, ClientError> {
        self.below(tenant, "versions", json!(page)).await
    }

    /// One version of a tenant.
    ///
    /// # Errors
    /// There is no such version.
    pub async fn tenant_version(&self, tenant: &str, version: i64) -> Result<Version, ClientError> {
        let call = Call::get(self.path(["tenants", segment(tenant)?, "versions", &version.to_string()]));
        Ok(self.transport.send(call).await?.value)
    }

    /// What differs between two versions of a tenant.
    ///
    /// # Errors
    /// There is no such version.
    pub async fn compare_versions(&self, tenant: &str, from: i64, to: i64) -> Result<Comparison, ClientError> {
        self.below(tenant, "versions:compare", json!({ "from": from, "to": to })).await
    }

    /// Where a tenant is, why, and how to reach it.
    ///
    /// # Errors
    /// There is no such tenant.
    pub async fn tenant_placement(&self, tenant: &str) -> Result<PlacementView, ClientError> {
        self.below(tenant, "placement", Value::Null).await
    }

    /// What a tenant is entitled to now.
    ///
    /// # Errors
    /// There is no such tenant.
    pub async fn tenant_entitlements(&self, tenant: &str) -> Result<Entitlements, ClientError> {
        self.below(tenant, "entitlements", Value::Null).await
    }

    /// Where a tenant's data plane deviates.
    ///
    /// # Errors
    /// There is no such tenant, or its cell does not answer.
    pub async fn tenant_drift(&self, tenant: &str) -> Result<Drift, ClientError> {
        self.below(tenant, "drift", Value::Null).await
    }

    /// What a tenant added to its own place.
    ///
    /// # Errors
    /// There is no such tenant, or its cell does not answer.
    pub async fn tenant_additions(&self, tenant: &str) -> Result<Additions, ClientError> {
        self.below(tenant, "additions", Value::Null).await
    }

    /// A tenant's audit entries.
    ///
    /// # Errors
    /// There is no such tenant.
    pub async fn tenant_audit(&self, tenant: &str, query: &super::AuditQuery) -> Result<Page<AuditEntry>, ClientError> {
        self.below(tenant, "audit", json!(query)).await
    }

    /// A tenant's events after a sequence number.
    ///
    /// # Errors
    /// There is no such tenant.
    pub async fn tenant_events(&self, tenant: &str, query: &super::EventQuery) -> Result<Page<Event>, ClientError> {
        self.below(tenant, "events", json!(query)).await
    }

    /// A tenant's operations, newest first.
    ///
    /// # Errors
    /// There is no such tenant.
    pub async fn tenant_operations(&self, tenant: &str, page: &PageQuery) -> Result<Page<Operation>, ClientError> {
        self.below(tenant, "operations", json!(page)).await
    }
}
