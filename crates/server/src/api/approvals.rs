//! Approvals of what a rule holds up, and how policy stands.

use axum::Json;
use axum::extract::State as With;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde::Deserialize;
use serde_json::Value;
use tenantry_api::parse;
use tenantry_api::v1::Page;
use tenantry_api::v1::approval::{Approval, ApprovalRequest, PolicyStatus};
use tenantry_control::governance::approvals::{self, Wanted};
use tenantry_control::governance::status;
use tenantry_control::tenants::TenantRef;
use tenantry_domain::code::Code;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfApproval, OptionalKey, RequiredKey};
use crate::State;
use crate::convert;
use crate::extract::{ApprovalPath, Call, JsonBody, Params, page_size};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(give, list)).routes(routes!(get, withdraw)).routes(routes!(policy))
}

fn tenant_of(text: Option<&str>) -> Result<Option<TenantRef>> {
    let tenant = text.map(str::parse::<TenantRef>).transpose();
    tenant.map_err(|error| Failure::field(Code::InvalidParameter, "tenant", error))
}

/// Approve what somebody else wants to do
///
/// Where a rule asks for a second person. The approval is for one action of one principal on the tenant as it is now, once, within
/// a day at most. Whoever gives it is a person, and not the one who uses it.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/approvals", tag = "policy", operation_id = "giveApproval",
    params(InEnvironment, RequiredKey),
    request_body(content = ApprovalRequest, example = json!({ "action": "tenant.delete", "tenant": "acme", "holder": "operator:tok_01jd8x3v9mfk2t5h7q0w4z6y8c", "reason": "The contract has ended; ticket 815." })),
    responses((status = 201, description = "It can be used.", body = Approval)),
)]
async fn give(With(state): With<State>, call: Call, _: Params<Nothing>, JsonBody(body): JsonBody) -> Result {
    call.require_key()?;
    let wish = parse::approval(&body)?;
    let tenant = tenant_of(wish.tenant.as_deref())?;
    let wanted = Wanted {
        action: wish.action,
        tenant,
        tenant_version: wish.tenant_version,
        holder: wish.holder,
        reason: wish.reason,
        lasts: wish.lasts,
    };
    let approval = approvals::give(&call.write(&body), state.deps(), wanted).await?;
    Ok((StatusCode::CREATED, Json(convert::approval::approval(approval))).into_response())
}

/// Which approvals.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only those about this tenant, by name or id.
    #[param(
        nullable = false,
        max_length = 40,
        pattern = "^([a-z0-9]([a-z0-9-]*[a-z0-9])?|ten_[0-9a-hjkmnp-tv-z]{26})$"
    )]
    tenant: Option<String>,
    /// `true` for those only that can be used.
    #[param(nullable = false, example = "true", pattern = "^(true|false)$")]
    current: Option<String>,
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    page_size: Option<String>,
    /// `nextPageToken` of the page before.
    page_token: Option<String>,
}

/// List approvals
///
/// The newest first.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/approvals", tag = "policy", operation_id = "listApprovals",
    params(InEnvironment, ListParams),
    responses((status = 200, description = "A page of approvals.", body = Page<Approval>)),
)]
async fn list(
    With(state): With<State>,
    call: Call,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<Approval>>> {
    let only_current = match params.current.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Failure::field(Code::InvalidParameter, "current", "must be `true` or `false`")),
    };
    let tenant = tenant_of(params.tenant.as_deref())?;
    let size = page_size(params.page_size.as_deref())?;
    let token = params.page_token.as_deref();
    let page = approvals::list(&call.read(), state.deps(), tenant.as_ref(), only_current, size, token).await?;
    Ok(Json(convert::page(page, convert::approval::approval)))
}

/// Read an approval
///
/// How it stands, and what it is for.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/approvals/{approval}", tag = "policy", operation_id = "getApproval",
    params(InEnvironment, OfApproval),
    responses((status = 200, description = "The approval.", body = Approval)),
)]
async fn get(
    With(state): With<State>,
    call: Call,
    ApprovalPath(id): ApprovalPath,
    _: Params<Nothing>,
) -> Result<Json<Approval>> {
    Ok(Json(convert::approval::approval(approvals::get(&call.read(), state.deps(), id).await?)))
}

/// Take an approval back
///
/// One that was used stays used.
#[utoipa::path(
    delete, path = "/v1/environments/{environment}/approvals/{approval}", tag = "policy", operation_id = "withdrawApproval",
    params(InEnvironment, OfApproval, OptionalKey),
    responses((status = 200, description = "How it stands now.", body = Approval)),
)]
async fn withdraw(
    With(state): With<State>,
    call: Call,
    ApprovalPath(id): ApprovalPath,
    _: Params<Nothing>,
) -> Result<Json<Approval>> {
    let approval = approvals::withdraw(&call.write(&Value::Null), state.deps(), id).await?;
    Ok(Json(convert::approval::approval(approval)))
}

/// Read how policy stands
///
/// Which rules are in force, which are tried beside them, and what they did since the process that answers began.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/policy", tag = "policy", operation_id = "getPolicy",
    params(InEnvironment),
    responses((status = 200, description = "How policy stands.", body = PolicyStatus)),
)]
async fn policy(With(state): With<State>, call: Call, _: Params<Nothing>) -> Result<Json<PolicyStatus>> {
    Ok(Json(convert::approval::policy(status(&call.read(), state.deps())?)))
}
