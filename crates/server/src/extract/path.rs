//! Parts of the path, parsed. An id of another kind of thing is told from an unknown one.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use tenantry_control::tenants::TenantRef;
use tenantry_domain::code::Code;
use tenantry_domain::gateway::LoginName;
use tenantry_domain::id::{ApprovalId, GrantId, IncidentId, OperationId, RolloutId, TokenId, WebhookId};

use crate::State;
use crate::problem::{Failure, Result};

/// One parameter of the matched route.
pub async fn path_value(parts: &mut Parts, state: &State, name: &'static str) -> Result<String> {
    let all = RawPathParams::from_request_parts(parts, state).await;
    let all = all.map_err(|_| Failure::field(Code::InvalidParameter, "path", "is not UTF-8"))?;
    let found = all.iter().find(|(found, _)| *found == name).map(|(_, value)| value.to_owned());
    found.ok_or_else(|| Failure::new(Code::RouteNotFound, format_args!("the route has no `{name}`")))
}

/// `{tenant}`: an id or a slug.
#[derive(Debug)]
pub struct TenantPath(pub TenantRef);

impl FromRequestParts<State> for TenantPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let text = path_value(parts, state, "tenant").await?;
        let parsed = text.parse::<TenantRef>();
        parsed.map(Self).map_err(|error| {
            Failure::field(Code::InvalidParameter, "tenant", error)
                .hint("Name the tenant by its slug (`acme`) or its id (`ten_…`).")
        })
    }
}

/// `{operation}`: an id.
#[derive(Debug)]
pub struct OperationPath(pub OperationId);

impl FromRequestParts<State> for OperationPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let text = path_value(parts, state, "operation").await?;
        let parsed = text.parse::<OperationId>();
        parsed.map(Self).map_err(|error| {
            Failure::field(Code::InvalidParameter, "operation", error).hint("Name the operation by its id (`op_…`).")
        })
    }
}

/// `{rollout}`: an id.
#[derive(Debug)]
pub struct RolloutPath(pub RolloutId);

impl FromRequestParts<State> for RolloutPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let text = path_value(parts, state, "rollout").await?;
        let parsed = text.parse::<RolloutId>();
        parsed.map(Self).map_err(|error| {
            Failure::field(Code::InvalidParameter, "rollout", error).hint("Name the rollout by its id (`rol_…`).")
        })
    }
}

/// `{grant}`: an id.
#[derive(Debug)]
pub struct GrantPath(pub GrantId);

impl FromRequestParts<State> for GrantPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let text = path_value(parts, state, "grant").await?;
        text.parse::<GrantId>().map(Self).map_err(|error| {
            Failure::field(Code::InvalidParameter, "grant", error).hint("Name the request by its id (`bg_…`).")
        })
    }
}

/// `{approval}`: an id.
#[derive(Debug)]
pub struct ApprovalPath(pub ApprovalId);

impl FromRequestParts<State> for ApprovalPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let text = path_value(parts, state, "approval").await?;
        text.parse::<ApprovalId>().map(Self).map_err(|error| {
            Failure::field(Code::InvalidParameter, "approval", error).hint("Name the approval by its id (`apv_…`).")
        })
    }
}

/// `{token}`: an id.
#[derive(Debug)]
pub struct TokenPath(pub TokenId);

impl FromRequestParts<State> for TokenPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let text = path_value(parts, state, "token").await?;
        text.parse::<TokenId>().map(Self).map_err(|error| {
            Failure::field(Code::InvalidParameter, "token", error).hint("Name the token by its public part (`tok_…`).")
        })
    }
}

/// `{webhook}`: an id.
#[derive(Debug)]
pub struct WebhookPath(pub WebhookId);

impl FromRequestParts<State> for WebhookPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let text = path_value(parts, state, "webhook").await?;
        text.parse::<WebhookId>().map(Self).map_err(|error| {
            Failure::field(Code::InvalidParameter, "webhook", error).hint("Name the endpoint by its id (`whe_…`).")
        })
    }
}

/// `{incident}`: an id.
#[derive(Debug)]
pub struct IncidentPath(pub IncidentId);

impl FromRequestParts<State> for IncidentPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let text = path_value(parts, state, "incident").await?;
        text.parse::<IncidentId>().map(Self).map_err(|error| {
            Failure::field(Code::InvalidParameter, "incident", error).hint("Name the incident by its id (`inc_…`).")
        })
    }
}

/// `{name}` of a catalog object. What is no name names nothing.
#[derive(Debug)]
pub struct NamePath(pub String);

impl FromRequestParts<State> for NamePath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let text = path_value(parts, state, "name").await?;
        tenantry_domain::name::check_label(&text, 1, 50)
            .map_err(|error| Failure::field(Code::InvalidParameter, "name", error))?;
        Ok(Self(text))
    }
}

/// `{name}` of a login. What is no name names nothing.
#[derive(Debug)]
pub struct LoginPath(pub LoginName);

impl FromRequestParts<State> for LoginPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let text = path_value(parts, state, "name").await?;
        let name = LoginName::parse(&text);
        name.map(Self).map_err(|error| Failure::field(Code::InvalidParameter, "name", error))
    }
}

/// `{domain}` in its one form. What a manifest cannot wish for is nobody's.
#[derive(Debug)]
pub struct DomainPath(pub String);

impl FromRequestParts<State> for DomainPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let text = path_value(parts, state, "domain").await?;
        tenantry_domain::access::domain::check(&text)
            .map_err(|error| Failure::field(Code::InvalidParameter, "domain", error))?;
        Ok(Self(text))
    }
}

/// `{version}`: a number from 1.
#[derive(Debug)]
pub struct VersionPath(pub i64);

impl FromRequestParts<State> for VersionPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let text = path_value(parts, state, "version").await?;
        match text.parse::<i64>() {
            Ok(version) if version >= 1 && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit()) => {
                Ok(Self(version))
            }
            _ => Err(Failure::field(Code::InvalidParameter, "version", "must be a whole number from 1")),
        }
    }
}
