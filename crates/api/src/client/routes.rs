//! Whose request it is, and how to reach the tenant's data.

use serde::Serialize;

use super::send::Call;
use super::{Client, ClientError, segment};
use crate::v1::route::{CredentialRequest, CredentialView, KeySet, Resolution, TenantRoute};

/// What a request says of its tenant. All that is given must agree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SourceQuery {
    /// Its host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its `X-Tenant-ID`, from an authenticated peer: an id or a slug.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The tenant claim of a verified token: an id or a slug.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
}

impl Client {
    /// The tenant of a request.
    ///
    /// # Errors
    /// Nothing names a tenant, there is no such tenant, or sources disagree.
    pub async fn resolve(&self, sources: &SourceQuery) -> Result<Resolution, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["resolve"])).query(sources)).await?.value)
    }

    /// How to reach a tenant's data.
    ///
    /// # Errors
    /// There is no such tenant, or it has no place yet.
    pub async fn tenant_route(&self, tenant: &str) -> Result<TenantRoute, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["tenants", segment(tenant)?, "route"]))).await?.value)
    }

    /// The credential behind a route's `secretRef`. Every issue is in the audit.
    ///
    /// # Errors
    /// The reference leads nowhere.
    pub async fn credential(&self, secret_ref: &str) -> Result<CredentialView, ClientError> {
        let body = CredentialRequest { secret_ref: secret_ref.to_owned() };
        let call = Call::keyed(reqwest::Method::POST, self.path(["credentials"])).body(&body);
        Ok(self.transport.send(call).await?.value)
    }

    /// The keys that context tokens are verified with.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn context_keys(&self) -> Result<KeySet, ClientError> {
        Ok(self.transport.send(Call::get(["v1", "context-keys"])).await?.value)
    }
}
