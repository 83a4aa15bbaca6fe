//! Declarative change of many objects at once.

use axum::Json;
use axum::extract::State as With;
use serde_json::json;
use tenantry_api::v1::change::{Applied, Documents, Plan};
use tenantry_control::manifests;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{InEnvironment, RequiredKey, answer};
use crate::State;
use crate::convert;
use crate::extract::{Call, Manifests, Params, WaitParams};
use crate::problem::{Failure, Result, name_documents};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(plan)).routes(routes!(apply))
}

/// Preview manifests
///
/// Says what applying them would do: which fields change, which steps would run, where a new tenant would go. Nothing
/// is changed. What apply would refuse is refused here.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/manifests/@plan", tag = "manifests", operation_id = "planManifests",
    params(InEnvironment),
    request_body(content((Documents = "application/json"), (String = "application/yaml"))),
    responses((status = 200, description = "What would happen.", body = Plan)),
)]
async fn plan(With(state): With<State>, call: Call, body: Manifests) -> Result<Json<Plan>> {
    let understood = body.understand(call.environment())?;
    let cx = call.read();
    let planned = manifests::plan(&cx, state.deps(), &understood.manifests).await;
    let planned = planned.map_err(|refusal| name_documents(Failure::from(refusal), &understood.titles))?;
    Ok(Json(Plan { objects: planned.into_iter().map(convert::change::planned).collect() }))
}

/// Apply manifests
///
/// All documents take effect as records in one commit, or none does. Controllers then bring the world there; the
/// operation follows every tenant that was touched.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/manifests/@apply", tag = "manifests", operation_id = "applyManifests",
    params(InEnvironment, RequiredKey, WaitParams),
    request_body(content((Documents = "application/json"), (String = "application/yaml"))),
    responses(
        (status = 200, description = "Nothing is left to do.", body = Applied),
        (status = 202, description = "Recorded; the operation follows.", body = Applied),
    ),
)]
async fn apply(With(state): With<State>, call: Call, Params(wait): Params<WaitParams>, body: Manifests) -> Result {
    call.require_key()?;
    let wait = wait.span()?;
    let understood = body.understand(call.environment())?;
    let cx = call.write(&json!({ "documents": understood.canonical }));
    let applied = manifests::apply(&cx, state.deps(), &understood.manifests).await;
    let applied = applied.map_err(|refusal| name_documents(Failure::from(refusal), &understood.titles))?;
    let operation = applied.operation;
    let is_done = match (operation, wait) {
        (Some(id), Some(wait)) => answer::settle(&state, &cx, id, wait).await?,
        _ => false,
    };
    Ok(answer::following(&convert::change::applied(applied), operation, is_done))
}
