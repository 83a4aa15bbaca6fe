//! Features of tenants: flags of the environment, what each tenant has and uses, who is at another level than paid for.

mod ofrep;

use axum::Json;
use axum::extract::{FromRequestParts, State as With};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::Value;
use tenantry_api::parse;
use tenantry_api::v1::Page;
use tenantry_api::v1::flag::{
    Feature, FeatureFlag, FeatureUsage, FeatureUseRequest, Features, FlagOffRequest, FlagSpec, LevelDeviation,
};
use tenantry_control::flags::{self, Wanted};
use tenantry_domain::code::Code;
use tenantry_domain::flag::FlagName;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfTenant, OptionalKey, Precondition, answer};
use crate::State;
use crate::convert;
use crate::extract::{Call, IfMatch, JsonBody, NoBody, PageParams, Params, TenantPath, path_value};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, put, delete))
        .routes(routes!(off))
        .routes(routes!(on))
        .routes(routes!(features))
        .routes(routes!(use_feature))
        .routes(routes!(usage))
        .routes(routes!(levels))
        .merge(ofrep::routes())
}

/// `{name}` of a flag or feature. What is no name names nothing.
#[derive(Debug)]
struct FlagPath(FlagName);

impl FromRequestParts<State> for FlagPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let text = path_value(parts, state, "name").await?;
        text.parse().map(Self).map_err(|error| Failure::field(Code::InvalidParameter, "name", error))
    }
}

/// `{name}` of a flag or feature in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
struct OfFlag {
    /// The feature's name.
    #[param(example = "search.v2", min_length = 1, max_length = 63, pattern = "^[A-Za-z][A-Za-z0-9_.-]{0,62}$")]
    name: String,
}

/// List flags
///
/// By name. Features that only plans and tenants name have none.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/flags", tag = "features", operation_id = "listFlags",
    params(InEnvironment, PageParams),
    responses((status = 200, description = "A page of flags.", body = Page<FeatureFlag>)),
)]
async fn list(
    With(state): With<State>,
    call: Call,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<FeatureFlag>>> {
    let cx = call.read();
    let found = flags::list(&cx, state.deps(), page.size()?, page.page_token.as_deref()).await?;
    Ok(Json(convert::page(found, |row| convert::flag::flag(row, &cx.environment))))
}

/// Read a flag
#[utoipa::path(
    get, path = "/v1/environments/{environment}/flags/{name}", tag = "features", operation_id = "getFlag",
    params(InEnvironment, OfFlag),
    responses((status = 200, description = "The flag.", body = FeatureFlag)),
)]
async fn get(With(state): With<State>, call: Call, FlagPath(name): FlagPath, _: Params<Nothing>) -> Result {
    let cx = call.read();
    let row = flags::get(&cx, state.deps(), &name).await?;
    let version = row.version;
    Ok(answer::versioned(&convert::flag::flag(row, &cx.environment), version))
}

/// Say what a flag is from now on
///
/// Be it there or not. Holds for every question that is asked after the answer. A feature that is switched off stays so: only
/// `:on` takes the emergency switch back.
#[utoipa::path(
    put, path = "/v1/environments/{environment}/flags/{name}", tag = "features", operation_id = "putFlag",
    params(InEnvironment, OfFlag, Precondition, OptionalKey),
    request_body(content = FlagSpec, example = json!({ "default": false, "rollout": { "value": true, "percent": 25 } })),
    responses(
        (status = 200, description = "It is so.", body = FeatureFlag),
        (status = 201, description = "There was none; it is so.", body = FeatureFlag),
    ),
)]
async fn put(
    With(state): With<State>,
    call: Call,
    FlagPath(name): FlagPath,
    IfMatch(expected): IfMatch,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result {
    let flag = parse::flag(&body)?;
    let cx = call.write(&body);
    let (row, is_new) = flags::put(&cx, state.deps(), &name, expected, flag).await?;
    let version = row.version;
    let mut response = answer::versioned(&convert::flag::flag(row, &cx.environment), version);
    if is_new {
        *response.status_mut() = StatusCode::CREATED;
    }
    Ok(response)
}

/// Remove a flag
///
/// Plans and overrides decide then. Its version goes on counting if it is made again.
#[utoipa::path(
    delete, path = "/v1/environments/{environment}/flags/{name}", tag = "features", operation_id = "deleteFlag",
    params(InEnvironment, OfFlag, Precondition, OptionalKey),
    responses((status = 200, description = "It is gone; the answer has no `spec` any more.", body = FeatureFlag)),
)]
async fn delete(
    With(state): With<State>,
    call: Call,
    FlagPath(name): FlagPath,
    IfMatch(expected): IfMatch,
    _: Params<Nothing>,
) -> Result {
    let cx = call.write(&Value::Null);
    let row = flags::delete(&cx, state.deps(), &name, expected).await?;
    let version = row.version;
    Ok(answer::versioned(&convert::flag::flag(row, &cx.environment), version))
}

/// Switch a feature off for everybody
///
/// The emergency switch: before overrides, cells, rollouts and plans. Needs no flag to be there, and no version. A feature whose
/// values are not `true` and `false` needs `offValue`, here or in the flag.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/flags/{name}/@off", tag = "features", operation_id = "switchFlagOff",
    params(InEnvironment, OfFlag, OptionalKey),
    request_body(content = FlagOffRequest, example = json!({ "reason": "the index is being rebuilt" })),
    responses((status = 200, description = "It is off.", body = FeatureFlag)),
)]
async fn off(
    With(state): With<State>,
    call: Call,
    FlagPath(name): FlagPath,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result {
    let (off, value) = parse::flag_off(&body)?;
    let cx = call.write(&body);
    let row = flags::switch(&cx, state.deps(), &name, Wanted::Off(off, value)).await?;
    let version = row.version;
    Ok(answer::versioned(&convert::flag::flag(row, &cx.environment), version))
}

/// Take the emergency switch back
///
/// Whoever decided before decides again.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/flags/{name}/@on", tag = "features", operation_id = "switchFlagOn",
    params(InEnvironment, OfFlag, OptionalKey),
    responses((status = 200, description = "It is as before.", body = FeatureFlag)),
)]
async fn on(With(state): With<State>, call: Call, FlagPath(name): FlagPath, _: Params<Nothing>, _: NoBody) -> Result {
    let cx = call.write(&Value::Null);
    let row = flags::switch(&cx, state.deps(), &name, Wanted::On).await?;
    let version = row.version;
    Ok(answer::versioned(&convert::flag::flag(row, &cx.environment), version))
}

/// Say which features a tenant has now
///
/// Each with who decided: the emergency switch, an override, its cell, a rollout, its plan, or the flag's default. Counts
/// as no use.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/features", tag = "features", operation_id = "getTenantFeatures",
    params(InEnvironment, OfTenant),
    responses((status = 200, description = "What holds now.", body = Features)),
)]
async fn features(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
) -> Result<Json<Features>> {
    let found = flags::features(&call.read(), state.deps(), &tenant).await?;
    Ok(Json(convert::flag::features(&found)))
}

/// Use a feature
///
/// For programs that let the server decide: a use is counted, or refused with the plans that have the feature.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/features/{name}/@use", tag = "features", operation_id = "useFeature",
    params(InEnvironment, OfTenant, OfFlag),
    request_body(content = FeatureUseRequest, example = json!({ "count": 1 })),
    responses((status = 200, description = "It is used.", body = Feature)),
)]
async fn use_feature(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    FlagPath(name): FlagPath,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<Json<Feature>> {
    let count = parse::feature_use(&body)?;
    let admitted = flags::admit(&call.read(), state.deps(), &tenant, &name, count).await?;
    Ok(Json(Feature::from(&admitted.feature)))
}

/// Which days.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct UsageParams {
    /// The first day, in UTC; 30 days before the last one unless given.
    #[param(nullable = false, example = "2027-03-01", pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    from: Option<String>,
    /// The last day, in UTC; today unless given.
    #[param(nullable = false, example = "2027-03-31", pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    to: Option<String>,
}

/// Say how often a tenant used its features
///
/// By day and feature: uses that were let in, and single evaluations by OpenFeature SDKs of features that are on. Kept for
/// 13 months. Other replicas write theirs within seconds.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/feature-usage", tag = "features", operation_id = "getFeatureUsage",
    params(InEnvironment, OfTenant, UsageParams),
    responses((status = 200, description = "The counts.", body = FeatureUsage)),
)]
async fn usage(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    Params(params): Params<UsageParams>,
) -> Result<Json<FeatureUsage>> {
    let (from, to) = (params.from.as_deref(), params.to.as_deref());
    let found = flags::usage(&call.read(), state.deps(), &tenant, from, to).await?;
    Ok(Json(convert::flag::usage(found)))
}

/// List tenants at another level than paid for
///
/// By place or by override, in the order of their making: what a plan promises and bills, beside what is.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/level-deviations", tag = "catalog", operation_id = "listLevelDeviations",
    params(InEnvironment, PageParams),
    responses((status = 200, description = "A page of tenants.", body = Page<LevelDeviation>)),
)]
async fn levels(
    With(state): With<State>,
    call: Call,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<LevelDeviation>>> {
    let found = flags::levels(&call.read(), state.deps(), page.size()?, page.page_token.as_deref()).await?;
    Ok(Json(convert::page(found, convert::flag::level)))
}
