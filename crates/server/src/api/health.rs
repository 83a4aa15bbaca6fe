//! Whether the process lives, is ready, has started; its counters; and the OpenAPI document.

use std::sync::LazyLock;
use std::time::Duration;

use axum::Json;
use axum::extract::State as With;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use tenantry_api::v1::payload;
use tenantry_control::{guard, health, notify, rollouts, streams, webhooks};
use tenantry_domain::code::Code;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;
use crate::convert;
use crate::extract::Caller;
use crate::problem::{Failure, Result};

/// How long counters wait for the control database.
const PATIENCE: Duration = Duration::from_secs(1);

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .routes(routes!(startupz))
        .routes(routes!(metrics))
        .routes(routes!(openapi))
        .routes(routes!(asyncapi))
}

/// A good sign.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `live`, `ready` or `started`.
    #[schema(example = "ready")]
    status: &'static str,
}

/// Whether the process lives
///
/// Looks at nothing outside of the process: a database that is away is no reason to restart it.
#[utoipa::path(get, path = "/livez", tag = "health", operation_id = "live", security(()), responses((status = 200, description = "It lives.", body = Health)))]
async fn livez() -> Json<Health> {
    Json(Health { status: "live" })
}

/// Whether requests can be served
///
/// The control database answers, its tables fit this release, its clock and ours agree, and the process is not about to end.
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "ready", security(()), responses((status = 200, description = "They can.", body = Health)))]
async fn readyz(With(state): With<State>) -> Result<Json<Health>> {
    if state.is_draining() {
        return Err(Failure::new(Code::Overloaded, "the process is about to end"));
    }
    look(&state).await?;
    Ok(Json(Health { status: "ready" }))
}

/// Whether the process has been ready once
#[utoipa::path(get, path = "/startupz", tag = "health", operation_id = "started", security(()), responses((status = 200, description = "It has.", body = Health)))]
async fn startupz(With(state): With<State>) -> Result<Json<Health>> {
    if !state.was_ready() {
        look(&state).await?;
    }
    Ok(Json(Health { status: "started" }))
}

async fn look(state: &State) -> Result<()> {
    let found = health::readiness(state.deps()).await;
    if found.is_ready() {
        state.mark_ready();
        return Ok(());
    }
    let (code, detail) = match (found.database, found.schema) {
        (false, _) => (Code::DatabaseUnavailable, "the control database does not answer"),
        (true, false) => {
            (Code::SchemaUnfit, "the control database's tables are older or newer than this release can work with")
        }
        (true, true) => (Code::ClockApart, "the clock of the control database differs from ours"),
    };
    Err(Failure::new(code, detail))
}

/// Counters for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "metrics", responses((status = 200, description = "Counters in the text form of Prometheus.", body = String, content_type = "text/plain")))]
async fn metrics(With(state): With<State>, _: Caller) -> Response {
    // What the database knows is left out while it is away: counters must not wait for it.
    let deps = state.deps();
    let (found, leaks, moved, waiting, unpublished, untold) = tokio::join!(
        tokio::time::timeout(PATIENCE, guard::gauges(deps)),
        tokio::time::timeout(PATIENCE, guard::leaks(deps)),
        tokio::time::timeout(PATIENCE, rollouts::gauges(deps)),
        tokio::time::timeout(PATIENCE, webhooks::backlog(deps)),
        tokio::time::timeout(PATIENCE, streams::backlog(deps)),
        tokio::time::timeout(PATIENCE, notify::waiting(deps)),
    );
    let options = &deps.options().guard;
    let mut text = state.metrics().render();
    if let Ok(Ok(found)) = found {
        text.push_str(&convert::guard::lines(&found, options.every));
    }
    if let Ok(Ok(leaks)) = leaks {
        text.push_str(&convert::guard::leak_lines(&leaks, options.probe));
    }
    if let Ok(Ok(moved)) = moved {
        text.push_str(&convert::rollout::lines(&moved));
    }
    let counted = deps.outbound().stats().counted();
    text.push_str(&convert::webhook::lines(&counted, waiting.ok().flatten()));
    if let Some(options) = &deps.options().streams {
        let counted = deps.streams().stats().counted();
        let stream = options.settings.stream.as_str();
        text.push_str(&convert::stream::lines(stream, &counted, unpublished.ok().flatten()));
    }
    text.push_str(&convert::incident::lines(&deps.notified().counted(), untold.ok().flatten()));
    text.push_str(&deps.kept().render());
    text.push_str(&state.deps().rates().render());
    text.push_str(&state.deps().governance().render());
    text.push_str(&state.more_lines());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "health", operation_id = "openapi", security(()), responses((status = 200, description = "OpenAPI 3.1.", body = Object, content_type = "application/json")))]
async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], crate::openapi::text()).into_response()
}

/// The events' document
#[utoipa::path(get, path = "/v1/asyncapi.json", tag = "health", operation_id = "asyncapi", security(()), responses((status = 200, description = "AsyncAPI 3.0: all events, their payloads, and the ways on which they leave.", body = Object, content_type = "application/json")))]
async fn asyncapi() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| payload::asyncapi().to_string());
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}
