//! The audit trail and its verification.

use axum::Json;
use axum::extract::State as With;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tenantry_api::parse::{self, Report};
use tenantry_api::problem::Rejection;
use tenantry_api::v1::Page;
use tenantry_api::v1::audit::{AuditEntry, AuditReport};
use tenantry_control::tenants::TenantRef;
use tenantry_control::tenants::read::identify;
use tenantry_control::{AuditFilter, Subject, audit};
use tenantry_domain::code::Code;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{InEnvironment, OfTenant};
use crate::State;
use crate::convert;
use crate::extract::{Call, NoBody, Params, TenantPath, page_size};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(of_tenant)).routes(routes!(verify))
}

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Of this action.
    #[param(example = "tenant.suspend")]
    action: Option<String>,
    /// By this actor, as entries show it.
    actor: Option<String>,
    /// `mutation`, `transition`, `workflow`, `drift`, `refusal` or `access`.
    category: Option<String>,
    /// `success`, `denied` or `failed`.
    outcome: Option<String>,
    /// Of this chain of requests.
    correlation_id: Option<String>,
    /// Not before this moment.
    #[param(schema_with = tenantry_api::v1::words::time)]
    since: Option<String>,
    /// Before this moment.
    #[param(schema_with = tenantry_api::v1::words::time)]
    until: Option<String>,
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    page_size: Option<String>,
    /// `nextPageToken` of the page before.
    page_token: Option<String>,
}

impl ListParams {
    fn filter(&self, subject: Option<Subject>) -> Result<AuditFilter> {
        let report = Report::new();
        let time = |name: &str, text: &Option<String>| {
            text.as_deref().and_then(|text| parse::parse_time(text).map_err(|error| report.add(name, error)).ok())
        };
        let filter = AuditFilter {
            subject,
            action: self.action.clone(),
            category: word(
                &report,
                "category",
                "mutation, transition, workflow, drift, refusal, access",
                self.category.as_deref(),
            ),
            outcome: word(&report, "outcome", "success, denied, failed", self.outcome.as_deref()),
            actor: self.actor.clone(),
            correlation_id: self.correlation_id.clone(),
            since: time("since", &self.since),
            until: time("until", &self.until),
        };
        if report.is_clean() {
            Ok(filter)
        } else {
            Err(Rejection::fields(Code::InvalidParameter, report.into_complaints()).into())
        }
    }
}

fn word<T: DeserializeOwned>(report: &Report, name: &str, known: &str, text: Option<&str>) -> Option<T> {
    let text = text?;
    let found = serde_json::from_value(Value::String(text.to_owned()));
    found
        .map_err(|_| {
            report.add(name, format_args!("`{}` is not known; expected one of {known}", parse::read::shorten(text)))
        })
        .ok()
}

/// List audit entries
///
/// Of the environment and all its tenants, newest first.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/audit", tag = "audit", operation_id = "listAudit",
    params(InEnvironment, ListParams),
    responses((status = 200, description = "A page of entries.", body = Page<AuditEntry>)),
)]
async fn list(
    With(state): With<State>,
    call: Call,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<AuditEntry>>> {
    let (filter, size) = (params.filter(None)?, page_size(params.page_size.as_deref())?);
    let page = audit::list(&call.read(), state.deps(), &filter, size, params.page_token.as_deref()).await?;
    Ok(Json(convert::page(page, convert::audit::entry)))
}

/// List a tenant's audit entries
///
/// Newest first.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/audit", tag = "audit", operation_id = "listTenantAudit",
    params(InEnvironment, OfTenant, ListParams),
    responses((status = 200, description = "A page of entries.", body = Page<AuditEntry>)),
)]
async fn of_tenant(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<AuditEntry>>> {
    let size = page_size(params.page_size.as_deref())?;
    // Bad parameters are told before anything is asked of the database.
    params.filter(None)?;
    let cx = call.read();
    let subject = Subject::Tenant(identify(&cx, state.deps(), &tenant).await?);
    let filter = params.filter(Some(subject))?;
    let page = audit::list(&cx, state.deps(), &filter, size, params.page_token.as_deref()).await?;
    Ok(Json(convert::page(page, convert::audit::entry)))
}

/// What to verify.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct VerifyParams {
    /// Only this tenant's chain, by slug or id; every chain of the environment unless given.
    #[param(example = "acme")]
    tenant: Option<String>,
}

/// Verify the audit
///
/// Walks the chains and compares every entry with its hash, every count and newest hash with the subject. What does
/// not verify is told as a finding.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/audit/@verify", tag = "audit", operation_id = "verifyAudit",
    params(InEnvironment, VerifyParams),
    responses((status = 200, description = "What was found.", body = AuditReport)),
)]
async fn verify(
    With(state): With<State>,
    call: Call,
    Params(params): Params<VerifyParams>,
    _: NoBody,
) -> Result<Json<AuditReport>> {
    let tenant = params.tenant.as_deref().map(str::parse::<TenantRef>).transpose();
    let tenant = tenant.map_err(|error| Failure::field(Code::InvalidParameter, "tenant", error))?;
    let report = audit::verify(&call.read(), state.deps(), tenant.as_ref()).await?;
    Ok(Json(convert::audit::report(report)))
}
