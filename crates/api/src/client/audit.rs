//! Calls about the audit trail and the environment's events.

use jiff::Timestamp;
use reqwest::Method;
use serde::Serialize;

use super::send::Call;
use super::{Client, ClientError, PageQuery, segment};
use crate::v1::Page;
use crate::v1::audit::{AuditEntry, AuditReport};
use crate::v1::event::Event;

/// Which entries to list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditQuery {
    /// Of this action, `tenant.suspend`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// By this actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Of this category.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// With this outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Of this chain of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Not before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Which page.
    #[serde(flatten)]
    pub page: PageQuery,
}

/// Which events to list.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventQuery {
    /// After this sequence number; 0 means from the beginning.
    pub after: i64,
    /// Items per page; absent means the server's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u16>,
}

impl Client {
    /// The environment's audit entries, tenants' included, newest first.
    ///
    /// # Errors
    /// A parameter is wrong, or the server does not answer.
    pub async fn audit(&self, query: &AuditQuery) -> Result<Page<AuditEntry>, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["audit"])).query(query)).await?.value)
    }

    /// Verifies the chains of one tenant, or of all.
    ///
    /// # Errors
    /// There is no such tenant, or the server does not answer. A broken chain is a finding, not an error.
    pub async fn verify_audit(&self, tenant: Option<&str>) -> Result<AuditReport, ClientError> {
        let mut call = Call::keyed(Method::POST, self.path(["audit:verify"]));
        if let Some(tenant) = tenant {
            call = call.parameter("tenant", segment(tenant)?);
        }
        Ok(self.transport.send(call).await?.value)
    }

    /// The environment's own events after a sequence number.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn events(&self, query: &EventQuery) -> Result<Page<Event>, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["events"])).query(query)).await?.value)
    }
}
