//! A thin client of the API: one method per route, typed both ways.
//!
//! Every mutation carries an idempotency key made once per call, so a repetition takes effect at most once; only
//! such calls and reads are repeated (three tries, full jitter, never before `Retry-After`). A problem of the server
//! arrives as the problem that it is. The token is kept as a secret and shows up in no message.

mod access;
mod approvals;
mod audit;
mod catalog;
mod directory;
mod domains;
mod error;
mod feed;
mod flags;
mod guard;
mod incidents;
mod logins;
mod manifests;
mod members;
mod operations;
mod people;
mod plans;
mod quotas;
mod rollouts;
mod routes;
mod send;
mod sse;
mod streams;
mod tenants;
mod tokens;
mod usage;
mod watch;
mod webhooks;

use std::time::Duration;

use secrecy::SecretString;
use serde::Serialize;
use tenantry_domain::name::EnvironmentName;

pub use access::{AccessQuery, AccessVerb};
pub use approvals::ApprovalQuery;
pub use audit::{AuditQuery, EventQuery};
pub use catalog::Kind;
pub use error::ClientError;
pub use feed::EventFeed;
pub use flags::UsageQuery;
pub use incidents::{IncidentQuery, NotificationQuery};
pub use logins::LoginQuery;
pub use members::{InvitationQuery, MemberQuery};
pub use operations::OperationQuery;
pub use rollouts::{RolloutQuery, TargetQuery};
pub use routes::SourceQuery;
pub use send::{Answer, Retry};
pub use tenants::{Deleted, Deletion, TenantQuery};
pub use tokens::TokenQuery;
pub use usage::UsageParams;
pub use watch::Watch;
pub use webhooks::{AttemptQuery, DeadQuery, WebhookQuery, WebhookSwitch};

use crate::problem::Rejection;
use send::{Call, Transport};

/// A session with one environment of one installation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
    environment: EnvironmentName,
}

/// Which version a change builds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Whatever is current: somebody else's change may be overwritten.
    Any,
    /// Exactly this one.
    Version(i64),
}

impl Expected {
    pub(super) fn header(self) -> String {
        match self {
            Self::Any => "*".to_owned(),
            Self::Version(version) => format!("\"v{version}\""),
        }
    }
}

/// Where a page of a list begins and how long it is.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PageQuery {
    /// Items per page; absent means the server's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u16>,
    /// From the page before; absent means the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}

impl Client {
    /// Prepares a client; nothing is sent yet.
    ///
    /// # Errors
    /// The URL is not one, or the machine's certificates cannot be read.
    pub fn new(url: &str, token: SecretString, environment: EnvironmentName) -> Result<Self, ClientError> {
        Ok(Self { transport: Transport::new(url, token)?, environment })
    }

    /// The same client for another environment.
    #[must_use]
    pub fn with_environment(mut self, environment: EnvironmentName) -> Self {
        self.environment = environment;
        self
    }

    /// The same client under a correlation id of the caller's; without one the server mints one per request.
    #[must_use]
    pub fn with_correlation_id(mut self, id: impl Into<String>) -> Self {
        self.transport.correlation_id = Some(id.into());
        self
    }

    /// The same client with other patience.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.transport.retry = retry;
        self
    }

    /// The environment that calls are about.
    #[must_use]
    pub const fn environment(&self) -> &EnvironmentName {
        &self.environment
    }

    /// The installation's address.
    #[must_use]
    pub fn url(&self) -> &str {
        self.transport.base.as_str()
    }

    /// Whether the server is ready to serve.
    ///
    /// # Errors
    /// It is not, or does not answer.
    pub async fn ready(&self) -> Result<(), ClientError> {
        self.transport.send::<serde_json::Value>(Call::get(["readyz"])).await.map(drop)
    }

    /// The OpenAPI document.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn openapi(&self) -> Result<serde_json::Value, ClientError> {
        Ok(self.transport.send(Call::get(["openapi.json"])).await?.value)
    }

    /// A path below the environment.
    fn path<'p>(&'p self, rest: impl IntoIterator<Item = &'p str>) -> Vec<String> {
        let head = ["v1", "environments", self.environment.as_str()];
        head.into_iter().chain(rest).map(ToOwned::to_owned).collect()
    }
}

/// A name or id as part of a path. Names never hold what paths give a meaning to; features and quotas have dots in theirs.
fn segment(text: &str) -> Result<&str, ClientError> {
    let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if is_plain && !matches!(text, "" | "." | "..") {
        return Ok(text);
    }
    let shown = crate::parse::read::shorten(text);
    let message = format!("`{shown}` is neither a name nor an id");
    Err(ClientError::Rejected(Box::new(Rejection::field(
        tenantry_domain::code::Code::InvalidParameter,
        "name",
        message,
    ))))
}

/// `30s`, as the `wait` parameter takes it: whole seconds, at most thirty.
fn wait_parameter(wait: Duration) -> String {
    format!("{}s", wait.as_secs().clamp(1, 30))
}
