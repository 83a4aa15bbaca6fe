//! Tenants: listing, finding, making, changing, deleting.

use axum::Json;
use axum::extract::State as With;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_api::parse::{self, Report};
use tenantry_api::problem::Rejection;
use tenantry_api::v1::Page;
use tenantry_api::v1::change::PlannedObject;
use tenantry_api::v1::tenant::{Tenant, TenantManifest, TenantPatch};
use tenantry_api::v1::version::Version;
use tenantry_control::tenants::read::Elsewhere;
use tenantry_control::tenants::{self, DeleteOutcome, DeleteRequest, TenantRef};
use tenantry_control::{Ctx, Label, Refusal, TenantFilter};
use tenantry_domain::code::Code;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::tenant::{Slug, Spec};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{InEnvironment, OfTenant, OptionalKey, Precondition, RequiredKey, answer};
use crate::State;
use crate::convert;
use crate::extract::{Call, IfMatch, JsonBody, Params, PatchBody, TenantPath, WaitParams, page_size, wait};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, replace, patch, delete))
}

/// Which tenants.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Bound to this plan.
    #[param(example = "standard")]
    plan: Option<String>,
    /// Served by this app.
    app: Option<String>,
    /// Placed in this region.
    region: Option<String>,
    /// Placed in this cell.
    cell: Option<String>,
    /// In this state.
    #[param(schema_with = tenantry_api::v1::words::state)]
    state: Option<String>,
    /// At this level.
    #[param(schema_with = tenantry_api::v1::words::isolation)]
    isolation: Option<String>,
    /// With this label, `key` or `key=value`; may be repeated, all must hold.
    #[serde(default)]
    #[param(example = json!(["segment=smb"]))]
    label: Vec<String>,
    /// With this id in another system, `stripe:cus_123`.
    external_id: Option<String>,
    /// With this id of an adopted system.
    alias: Option<String>,
    /// With words in name or display name that begin with these.
    #[param(max_length = 200)]
    q: Option<String>,
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    page_size: Option<String>,
    /// `nextPageToken` of the page before.
    page_token: Option<String>,
}

impl ListParams {
    fn filter(&self) -> Result<TenantFilter> {
        let report = Report::new();
        let filter = TenantFilter {
            plan: parsed(&report, "plan", self.plan.as_deref()),
            app: parsed(&report, "app", self.app.as_deref()),
            region: parsed(&report, "region", self.region.as_deref()),
            cell: parsed(&report, "cell", self.cell.as_deref()),
            isolation: parsed(&report, "isolation", self.isolation.as_deref()),
            phase: parsed(&report, "state", self.state.as_deref()),
            labels: self.label.iter().filter_map(|text| label(&report, text)).collect(),
            external_id: self.external_id.as_deref().and_then(|text| external(&report, text)),
            q: self.q.as_deref().and_then(|text| words(&report, text)),
        };
        if report.is_clean() {
            Ok(filter)
        } else {
            Err(Rejection::fields(Code::InvalidParameter, report.into_complaints()).into())
        }
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(report: &Report, name: &str, text: Option<&str>) -> Option<T> {
    text?.parse().map_err(|error| report.add(name, error)).ok()
}

fn label(report: &Report, text: &str) -> Option<Label> {
    let (key, value) = text.split_once('=').map_or((text, None), |(key, value)| (key, Some(value.to_owned())));
    if key.is_empty() || key.len() > 63 || value.as_ref().is_some_and(|value| value.chars().count() > 255) {
        report.add("label", "must be `key` or `key=value`");
        return None;
    }
    Some(Label { key: key.to_owned(), value })
}

fn external(report: &Report, text: &str) -> Option<(String, String)> {
    match text.split_once(':') {
        Some((system, id)) if !system.is_empty() && !id.is_empty() => Some((system.to_owned(), id.to_owned())),
        _ => {
            report.add("externalId", "must be `system:id`, such as `stripe:cus_123`");
            None
        }
    }
}

fn words(report: &Report, text: &str) -> Option<String> {
    if text.trim().is_empty() || text.chars().count() > 200 {
        report.add("q", "must have 1 to 200 characters");
        return None;
    }
    Some(text.to_owned())
}

/// List tenants
///
/// In the order of their making. All filters that are given must hold.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants", tag = "tenants", operation_id = "listTenants",
    params(InEnvironment, ListParams),
    responses((status = 200, description = "A page of tenants.", body = Page<Tenant>)),
)]
async fn list(With(state): With<State>, call: Call, Params(params): Params<ListParams>) -> Result<Json<Page<Tenant>>> {
    let (filter, size) = (params.filter()?, page_size(params.page_size.as_deref())?);
    let cx = call.read();
    let show = |tenant| convert::tenant::tenant(&tenant);
    if let Some(alias) = params.alias {
        // At most one tenant has it; other filters would only hide it.
        let found = match tenants::find(&cx, state.deps(), Elsewhere::Alias(alias)).await {
            Ok(tenant) => vec![show(tenant)],
            Err(Refusal::NoTenant(_)) => Vec::new(),
            Err(refusal) => return Err(refusal.into()),
        };
        return Ok(Json(Page { items: found, next_page_token: None }));
    }
    let page = tenants::list(&cx, state.deps(), &filter, size, params.page_token.as_deref()).await?;
    Ok(Json(convert::page(page, show)))
}

/// Make a tenant
///
/// From its manifest, as a draft or on its way to being active.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants", tag = "tenants", operation_id = "createTenant",
    params(InEnvironment, RequiredKey, WaitParams),
    request_body(content = TenantManifest),
    responses(
        (status = 200, description = "Made, and nothing is left to do.", body = Tenant),
        (status = 202, description = "Made; the operation follows.", body = Tenant),
    ),
)]
async fn create(
    With(state): With<State>,
    call: Call,
    Params(wait): Params<WaitParams>,
    JsonBody(body): JsonBody,
) -> Result {
    call.require_key()?;
    let wait = wait.span()?;
    let parsed = parse::tenant(&body, call.environment())?;
    let name = parsed.name.ok_or_else(|| Failure::field(Code::InvalidManifest, "metadata.name", "is required"))?;
    let cx = call.write(&body);
    let accepted = tenants::create(&cx, state.deps(), name, parsed.spec).await?;
    answer::accepted(&state, &cx, accepted, wait).await
}

/// When to look at.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct GetParams {
    /// What was wanted at this moment: the answer is a version instead of a tenant.
    #[param(schema_with = tenantry_api::v1::words::time)]
    as_of: Option<String>,
}

/// A tenant, or one of its versions when a moment was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "for the documentation")]
enum TenantOrVersion {
    Tenant(Box<Tenant>),
    Version(Version),
}

/// Read a tenant
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}", tag = "tenants", operation_id = "getTenant",
    params(InEnvironment, OfTenant, GetParams),
    responses((status = 200, description = "The tenant; with `asOf`, the version that was the newest then.", body = TenantOrVersion)),
)]
async fn get(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    Params(params): Params<GetParams>,
) -> Result {
    let cx = call.read();
    if let Some(text) = &params.as_of {
        let at = parse::parse_time(text).map_err(|message| Failure::field(Code::InvalidParameter, "asOf", message))?;
        let version = tenants::as_of(&cx, state.deps(), &tenant, at).await?;
        return Ok(answer::versioned(&convert::version::tenant(version.clone()), version.version));
    }
    let found = tenants::get(&cx, state.deps(), &tenant).await?;
    Ok(answer::versioned(&convert::tenant::tenant(&found), found.version))
}

/// Replace what is wanted of a tenant
#[utoipa::path(
    put, path = "/v1/environments/{environment}/tenants/{tenant}", tag = "tenants", operation_id = "replaceTenant",
    params(InEnvironment, OfTenant, Precondition, OptionalKey, WaitParams),
    request_body(content = TenantManifest),
    responses(
        (status = 200, description = "Already so, or done in time.", body = Tenant),
        (status = 202, description = "Recorded; the operation follows.", body = Tenant),
    ),
)]
async fn replace(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    IfMatch(expected): IfMatch,
    Params(wait): Params<WaitParams>,
    JsonBody(body): JsonBody,
) -> Result {
    let wait = wait.span()?;
    let parsed = parse::tenant(&body, call.environment())?;
    let cx = call.write(&body);
    if let Some(name) = &parsed.name {
        same_name(&state, &cx, &tenant, name).await?;
    }
    let accepted = tenants::update(&cx, state.deps(), &tenant, expected, parsed.spec).await?;
    answer::accepted(&state, &cx, accepted, wait).await
}

/// A body that names another tenant than the route is a mistake, not a rename.
async fn same_name(state: &State, cx: &Ctx, tenant: &TenantRef, name: &Slug) -> Result<()> {
    let slug = match tenant {
        TenantRef::Slug(slug) => slug.clone(),
        id @ TenantRef::Id(_) => tenants::get(cx, state.deps(), id).await?.slug,
    };
    if slug == *name {
        return Ok(());
    }
    let message = format!("is `{name}`, but the tenant is `{slug}`; names do not change");
    Err(Failure::field(Code::InvalidManifest, "metadata.name", message))
}

/// Change parts of what is wanted of a tenant
///
/// A JSON merge patch (RFC 7396) on `metadata.labels` and `spec`. The result is checked as a manifest.
#[utoipa::path(
    patch, path = "/v1/environments/{environment}/tenants/{tenant}", tag = "tenants", operation_id = "patchTenant",
    params(InEnvironment, OfTenant, Precondition, OptionalKey, WaitParams),
    request_body(content((TenantPatch = "application/merge-patch+json"), (TenantPatch = "application/json"))),
    responses(
        (status = 200, description = "Already so, or done in time.", body = Tenant),
        (status = 202, description = "Recorded; the operation follows.", body = Tenant),
    ),
)]
async fn patch(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    IfMatch(expected): IfMatch,
    Params(wait): Params<WaitParams>,
    PatchBody(body): PatchBody,
) -> Result {
    let wait = wait.span()?;
    if !body.is_object() {
        return Err(Failure::field(Code::InvalidManifest, "", "the patch must be a mapping with metadata or spec"));
    }
    parse::patch(&body)?;
    let environment = call.environment().clone();
    let cx = call.write(&body);
    let merged = |current: Value| patched(current, &body, &environment);
    let accepted = tenants::patch(&cx, state.deps(), &tenant, expected, merged).await?;
    answer::accepted(&state, &cx, accepted, wait).await
}

/// The stored spec with the patch merged in, in the shape that the caller sees.
fn patched(
    current: Value,
    patch: &Value,
    environment: &EnvironmentName,
) -> std::result::Result<Spec, Vec<tenantry_domain::code::FieldError>> {
    let unreadable = |_| {
        vec![tenantry_domain::code::FieldError::new(
            "spec",
            "was written by a newer release and cannot be patched by this one",
        )]
    };
    let current: Spec = serde_json::from_value(current).map_err(unreadable)?;
    let merged = tenantry_domain::diff::merge(convert::tenant::patchable(&current), patch);
    parse::tenant(&merged, environment).map(|body| body.spec).map_err(|rejection| rejection.errors)
}

/// How to delete.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct DeleteParams {
    /// The tenant's slug once more.
    #[param(required = true, example = "acme")]
    confirm: Option<String>,
    /// The removal request; not needed for synthetic tenants.
    #[param(max_length = 500)]
    reason: Option<String>,
    /// How long it can be taken back, `7d`; the installation's minimum unless given.
    #[param(example = "7d")]
    grace: Option<String>,
    /// `true`: only say what would happen.
    #[param(value_type = Option<bool>)]
    dry_run: Option<String>,
    /// Wait for the operation's end, `1s` to `30s`.
    wait: Option<String>,
}

impl DeleteParams {
    fn request(&self) -> Result<DeleteRequest> {
        let report = Report::new();
        if self.confirm.is_none() {
            report.add("confirm", "is required: the tenant's slug");
        }
        let reason = self.reason.as_deref().map(str::trim);
        if reason.is_some_and(|reason| {
            reason.is_empty() || reason.chars().count() > 500 || reason.contains(char::is_control)
        }) {
            report.add("reason", "must have 1 to 500 characters without control characters");
        }
        let grace = self
            .grace
            .as_deref()
            .and_then(|text| parse::parse_duration(text).map_err(|error| report.add("grace", error)).ok());
        let dry_run = match self.dry_run.as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                report.add("dryRun", "must be true or false");
                false
            }
        };
        if !report.is_clean() {
            return Err(Rejection::fields(Code::InvalidParameter, report.into_complaints()).into());
        }
        let confirm = self.confirm.clone().unwrap_or_default();
        Ok(DeleteRequest { confirm, reason: reason.map(ToOwned::to_owned), grace, dry_run })
    }
}

/// A tenant, or what would happen to it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "for the documentation")]
enum TenantOrPlan {
    Tenant(Box<Tenant>),
    Plan(PlannedObject),
}

/// Delete a tenant
///
/// Only drafts and archived tenants. Until the grace period ends, the deletion can be taken back.
#[utoipa::path(
    delete, path = "/v1/environments/{environment}/tenants/{tenant}", tag = "tenants", operation_id = "deleteTenant",
    params(InEnvironment, OfTenant, Precondition, OptionalKey, DeleteParams),
    responses(
        (status = 200, description = "What would happen (`dryRun`), or it is done.", body = TenantOrPlan),
        (status = 202, description = "Recorded; the operation follows.", body = Tenant),
    ),
)]
async fn delete(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    IfMatch(expected): IfMatch,
    Params(params): Params<DeleteParams>,
) -> Result {
    let (request, wait) = (params.request()?, wait(params.wait.as_deref())?);
    let cx = call.write(&json!({ "confirm": request.confirm, "reason": request.reason, "grace": params.grace, "dryRun": request.dry_run }));
    match tenants::delete(&cx, state.deps(), &tenant, expected, request).await? {
        DeleteOutcome::Planned(planned) => {
            Ok((StatusCode::OK, Json(convert::change::planned(planned))).into_response())
        }
        DeleteOutcome::Accepted(accepted) => answer::accepted(&state, &cx, accepted, wait).await,
    }
}
