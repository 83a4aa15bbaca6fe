//! Calls about approvals, and about how policy stands.

use reqwest::Method;
use serde::Serialize;

use super::send::Call;
use super::{Client, ClientError, PageQuery, segment};
use crate::v1::Page;
use crate::v1::approval::{Approval, ApprovalRequest, PolicyStatus};

/// Which approvals to list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalQuery {
    /// About this tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// `true` for those only that can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<bool>,
    /// Which page.
    #[serde(flatten)]
    pub page: PageQuery,
}

impl Client {
    /// Gives an approval.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn approve(&self, wish: &ApprovalRequest) -> Result<Approval, ClientError> {
        let call = Call::keyed(Method::POST, self.path(["approvals"])).body(wish);
        Ok(self.transport.send(call).await?.value)
    }

    /// A page of approvals, the newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn approvals(&self, query: &ApprovalQuery) -> Result<Page<Approval>, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["approvals"])).query(query)).await?.value)
    }

    /// One approval.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn approval(&self, id: &str) -> Result<Approval, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["approvals", segment(id)?]))).await?.value)
    }

    /// Takes an approval back.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn withdraw_approval(&self, id: &str) -> Result<Approval, ClientError> {
        let call = Call::keyed(Method::DELETE, self.path(["approvals", segment(id)?]));
        Ok(self.transport.send(call).await?.value)
    }

    /// How policy stands.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn policy(&self) -> Result<PolicyStatus, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["policy"]))).await?.value)
    }
}
