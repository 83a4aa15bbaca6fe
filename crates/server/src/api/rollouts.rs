//! Rollouts: what they would do, beginning one, following it, stopping it, letting it go on.

use axum::Json;
use axum::extract::State as With;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_api::v1::Page;
use tenantry_api::v1::rollout::{Rollout, RolloutPlan, Target};
use tenantry_control::rollouts::{self, Steer};
use tenantry_domain::code::Code;
use tenantry_domain::name::AppName;
use tenantry_domain::rollout::TargetStatus;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfName, OfRollout, OptionalKey};
use crate::State;
use crate::convert;
use crate::extract::{Call, NamePath, NoBody, Params, RolloutPath, page_size};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(plan))
        .routes(routes!(run))
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(targets))
        .routes(routes!(pause))
        .routes(routes!(go_on))
        .routes(routes!(cancel))
}

fn app(name: &str) -> Result<AppName> {
    AppName::parse(name).map_err(|error| Failure::field(Code::InvalidParameter, "name", error))
}

/// Preview a rollout
///
/// What bringing everybody to the app's newest version would do now: the targets of each wave, and who has it already.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/apps/{name}/rollout-plan", tag = "rollouts", operation_id = "previewRollout",
    params(InEnvironment, OfName),
    responses((status = 200, description = "The plan.", body = RolloutPlan)),
)]
async fn plan(
    With(state): With<State>,
    call: Call,
    NamePath(name): NamePath,
    _: Params<Nothing>,
) -> Result<Json<RolloutPlan>> {
    let (version, planned) = rollouts::preview(&call.read(), state.deps(), &app(&name)?).await?;
    Ok(Json(convert::rollout::plan(name, version, &planned)))
}

/// Begin a rollout
///
/// Brings whoever does not have the app's newest version to it, those that failed before included. Applying a changed
/// app begins one by itself.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/apps/{name}/@rollout", tag = "rollouts", operation_id = "runRollout",
    params(InEnvironment, OfName, OptionalKey),
    responses((status = 202, description = "It has begun.", body = Rollout)),
)]
async fn run(
    With(state): With<State>,
    call: Call,
    NamePath(name): NamePath,
    _: Params<Nothing>,
    _: NoBody,
) -> Result<(StatusCode, Json<Rollout>)> {
    let view = rollouts::run(&call.write(&Value::Null), state.deps(), &app(&name)?).await?;
    Ok((StatusCode::ACCEPTED, Json(convert::rollout::rollout(&view))))
}

/// Which rollouts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only those of this app.
    #[param(nullable = false, max_length = 50, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    app: Option<String>,
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    page_size: Option<String>,
    /// `nextPageToken` of the page before.
    page_token: Option<String>,
}

/// List rollouts
///
/// Newest first.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/rollouts", tag = "rollouts", operation_id = "listRollouts",
    params(InEnvironment, ListParams),
    responses((status = 200, description = "A page of rollouts.", body = Page<Rollout>)),
)]
async fn list(With(state): With<State>, call: Call, Params(params): Params<ListParams>) -> Result<Json<Page<Rollout>>> {
    if let Some(name) = &params.app {
        AppName::parse(name).map_err(|error| Failure::field(Code::InvalidParameter, "app", error))?;
    }
    let size = page_size(params.page_size.as_deref())?;
    let token = params.page_token.as_deref();
    let page = rollouts::list(&call.read(), state.deps(), params.app.as_deref(), size, token).await?;
    Ok(Json(convert::page(page, |view| convert::rollout::rollout(&view))))
}

/// Read a rollout
#[utoipa::path(
    get, path = "/v1/environments/{environment}/rollouts/{rollout}", tag = "rollouts", operation_id = "getRollout",
    params(InEnvironment, OfRollout),
    responses((status = 200, description = "The rollout.", body = Rollout)),
)]
async fn get(
    With(state): With<State>,
    call: Call,
    RolloutPath(id): RolloutPath,
    _: Params<Nothing>,
) -> Result<Json<Rollout>> {
    let view = rollouts::get(&call.read(), state.deps(), id).await?;
    Ok(Json(convert::rollout::rollout(&view)))
}

/// Which targets.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct TargetParams {
    /// Only those that stand like this.
    #[param(schema_with = tenantry_api::v1::words::rollout_target)]
    status: Option<String>,
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    page_size: Option<String>,
    /// `nextPageToken` of the page before.
    page_token: Option<String>,
}

/// List the targets of a rollout
///
/// What the tenants of a cell share first, then the tenants with a place of their own.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/rollouts/{rollout}/targets", tag = "rollouts", operation_id = "listRolloutTargets",
    params(InEnvironment, OfRollout, TargetParams),
    responses((status = 200, description = "A page of targets.", body = Page<Target>)),
)]
async fn targets(
    With(state): With<State>,
    call: Call,
    RolloutPath(id): RolloutPath,
    Params(params): Params<TargetParams>,
) -> Result<Json<Page<Target>>> {
    let size = page_size(params.page_size.as_deref())?;
    let status = params.status.as_deref().map(str::parse::<TargetStatus>).transpose().map_err(|_| {
        let known = TargetStatus::ALL.map(TargetStatus::as_str).join(", ");
        Failure::field(Code::InvalidParameter, "status", format_args!("must be one of {known}"))
    })?;
    let page = rollouts::targets(&call.read(), state.deps(), id, status, size, params.page_token.as_deref()).await?;
    Ok(Json(convert::page(page, convert::rollout::target)))
}

async fn steer(state: &State, call: Call, id: RolloutPath, how: Steer) -> Result<Json<Rollout>> {
    let sent = json!({ "skipFailed": how == Steer::Continue { skip_failed: true } });
    let view = rollouts::steer(&call.write(&sent), state.deps(), id.0, how).await?;
    Ok(Json(convert::rollout::rollout(&view)))
}

/// Pause a rollout
///
/// Targets at work end; nobody else begins.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/rollouts/{rollout}/@pause", tag = "rollouts", operation_id = "pauseRollout",
    params(InEnvironment, OfRollout, OptionalKey),
    responses((status = 200, description = "It stands still.", body = Rollout)),
)]
async fn pause(
    With(state): With<State>,
    call: Call,
    id: RolloutPath,
    _: Params<Nothing>,
    _: NoBody,
) -> Result<Json<Rollout>> {
    steer(&state, call, id, Steer::Pause).await
}

/// What becomes of failed targets.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct ContinueParams {
    /// `retry` (unless given) tries them again, `skip` leaves them as they are.
    #[param(nullable = false, example = "retry", pattern = "^(retry|skip)$")]
    failed: Option<String>,
}

/// Let a rollout go on
///
/// Behind a pause, a wave that waits for approval, or a failure.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/rollouts/{rollout}/@continue", tag = "rollouts", operation_id = "continueRollout",
    params(InEnvironment, OfRollout, ContinueParams, OptionalKey),
    responses((status = 200, description = "It goes on.", body = Rollout)),
)]
async fn go_on(
    With(state): With<State>,
    call: Call,
    id: RolloutPath,
    Params(params): Params<ContinueParams>,
    _: NoBody,
) -> Result<Json<Rollout>> {
    let skip_failed = match params.failed.as_deref() {
        None | Some("retry") => false,
        Some("skip") => true,
        Some(_) => return Err(Failure::field(Code::InvalidParameter, "failed", "must be `retry` or `skip`")),
    };
    steer(&state, call, id, Steer::Continue { skip_failed }).await
}

/// Give a rollout up
///
/// Targets at work end. Who has not begun keeps its version until the app has a newer one, or another rollout begins.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/rollouts/{rollout}/@cancel", tag = "rollouts", operation_id = "cancelRollout",
    params(InEnvironment, OfRollout, OptionalKey),
    responses((status = 200, description = "It is given up.", body = Rollout)),
)]
async fn cancel(
    With(state): With<State>,
    call: Call,
    id: RolloutPath,
    _: Params<Nothing>,
    _: NoBody,
) -> Result<Json<Rollout>> {
    steer(&state, call, id, Steer::Cancel).await
}
