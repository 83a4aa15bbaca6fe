//! Calls about emergency access.

use reqwest::Method;
use serde::Serialize;

use super::send::{Answer, Call};
use super::{Client, ClientError, PageQuery, segment};
use crate::v1::Page;
use crate::v1::access::{AccessRequest, AccessReview, AccessWish, OpenedAccess};

/// Which requests to list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessQuery {
    /// About this tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// `true` for those only that wait or hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<bool>,
    /// Which page.
    #[serde(flatten)]
    pub page: PageQuery,
}

/// What is done about a request without more words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessVerb {
    /// Somebody else agrees.
    Approve,
    /// Somebody says no.
    Refuse,
    /// It is over before its time.
    End,
}

impl AccessVerb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Refuse => "refuse",
            Self::End => "end",
        }
    }
}

impl Client {
    fn access_call(&self, id: &str, verb: &str) -> Result<Call, ClientError> {
        let last = format!("{}:{verb}", segment(id)?);
        Ok(Call::keyed(Method::POST, self.path(["access-requests", &last])))
    }

    /// Asks for access to a tenant's data.
    ///
    /// # Errors
    /// There is no such tenant, or the caller's token names no person.
    pub async fn request_access(&self, tenant: &str, wish: &AccessWish) -> Result<AccessRequest, ClientError> {
        let path = self.path(["tenants", segment(tenant)?, "access-requests"]);
        Ok(self.transport.send(Call::keyed(Method::POST, path).body(wish)).await?.value)
    }

    /// Lists requests, the newest first.
    ///
    /// # Errors
    /// A parameter is wrong, or the server does not answer.
    pub async fn access_requests(&self, query: &AccessQuery) -> Result<Page<AccessRequest>, ClientError> {
        Ok(self.transport.send(Call::get(self.path(["access-requests"])).query(query)).await?.value)
    }

    /// Reads a request.
    ///
    /// # Errors
    /// There is none.
    pub async fn access_request(&self, id: &str) -> Result<AccessRequest, ClientError> {
        let answer: Answer<_> = self.transport.send(Call::get(self.path(["access-requests", segment(id)?]))).await?;
        Ok(answer.value)
    }

    /// Answers a request, or ends what it led to.
    ///
    /// # Errors
    /// There is none, it stands otherwise, or the caller is not another person.
    pub async fn answer_access(&self, id: &str, verb: AccessVerb) -> Result<AccessRequest, ClientError> {
        let call = self.access_call(id, verb.as_str())?;
        Ok(self.transport.send(call).await?.value)
    }

    /// Gets the login of a request that was agreed to; its password is in this answer, once.
    ///
    /// # Errors
    /// There is none, it does not hold, or it is another person's.
    pub async fn open_access(&self, id: &str) -> Result<OpenedAccess, ClientError> {
        let call = self.access_call(id, "open")?;
        Ok(self.transport.send(call).await?.value)
    }

    /// Says what was found when looking back.
    ///
    /// # Errors
    /// There is none, it is not over, or the caller is the one who asked.
    pub async fn review_access(&self, id: &str, review: &AccessReview) -> Result<AccessRequest, ClientError> {
        let call = self.access_call(id, "review")?;
        Ok(self.transport.send(call.body(review)).await?.value)
    }
}
