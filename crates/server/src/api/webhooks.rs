//! Webhooks: endpoints, attempts, dead letters, replays.
//!
//! Long because each of eleven routes has its documentation here.

use axum::Json;
use axum::extract::State as With;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tenantry_api::parse;
use tenantry_api::v1::Page;
use tenantry_api::v1::webhook::{
    DeadLetter, IssuedWebhook, RedriveRequest, Redriven, ReplayRequest, WebhookAttempt, WebhookChange, WebhookEndpoint,
    WebhookReplay, WebhookReplays, WebhookRequest, WebhookRotation,
};
use tenantry_control::tenants::TenantRef;
use tenantry_control::webhooks::{self, Change, Replay, Wanted};
use tenantry_control::{AttemptFilter, DeadFilter};
use tenantry_domain::code::Code;
use tenantry_domain::id::EventId;
use tenantry_domain::webhook::{Cause, Pattern};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfWebhook, OptionalKey, Precondition, RequiredKey, answer};
use crate::State;
use crate::convert;
use crate::extract::{Call, IfMatch, JsonBody, Params, WebhookPath, page_size};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, change, delete))
        .routes(routes!(rotate))
        .routes(routes!(enable))
        .routes(routes!(disable))
        .routes(routes!(test))
        .routes(routes!(replay))
        .routes(routes!(redrive))
        .routes(routes!(attempts))
        .routes(routes!(dead_letters))
        .routes(routes!(replays))
}

fn tenant(field: &str, text: &str) -> Result<TenantRef> {
    text.parse().map_err(|error| Failure::field(Code::InvalidParameter, field, error))
}

fn tenants(texts: Option<&[String]>) -> Result<Option<Vec<TenantRef>>> {
    let named = |(place, text): (usize, &String)| tenant(&format!("only[{place}]"), text);
    texts.map(|texts| texts.iter().enumerate().map(named).collect()).transpose()
}

fn flag(name: &str, text: Option<&str>) -> Result<bool> {
    match text {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Failure::field(Code::InvalidParameter, name, "must be `true` or `false`")),
    }
}

/// Make a webhook endpoint
///
/// Events that are committed from now on are sent to it. The answer has its secret, which is kept nowhere; a repetition under the
/// same key is answered without it.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/webhooks", tag = "webhooks", operation_id = "createWebhook",
    params(InEnvironment, RequiredKey),
    request_body(content = WebhookRequest, example = json!({ "url": "https://hooks.acme.example/tenantry", "tenant": "acme", "types": ["tenant.*"] })),
    responses((status = 201, description = "Made. Keep the secret; it is not shown again.", body = IssuedWebhook)),
)]
async fn create(With(state): With<State>, call: Call, _: Params<Nothing>, JsonBody(body): JsonBody) -> Result {
    call.require_key()?;
    let webhook = parse::webhook(&body)?;
    let wanted = Wanted {
        tenant: webhook.tenant.as_deref().map(|text| tenant("tenant", text)).transpose()?,
        url: webhook.url,
        terms: webhook.terms,
        only: tenants(webhook.only.as_deref())?,
        scheme: webhook.scheme,
    };
    let issued = webhooks::create(&call.write(&body), state.deps(), wanted).await?;
    let version = issued.endpoint.version;
    let mut response = answer::versioned(&convert::webhook::issued(issued), version);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// Which endpoints.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only those of this tenant, by name or id.
    #[param(
        nullable = false,
        max_length = 40,
        pattern = "^([a-z0-9]([a-z0-9-]*[a-z0-9])?|ten_[0-9a-hjkmnp-tv-z]{26})$"
    )]
    tenant: Option<String>,
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    page_size: Option<String>,
    /// `nextPageToken` of the page before.
    page_token: Option<String>,
}

/// List webhook endpoints
///
/// In the order of their making.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/webhooks", tag = "webhooks", operation_id = "listWebhooks",
    params(InEnvironment, ListParams),
    responses((status = 200, description = "A page of endpoints.", body = Page<WebhookEndpoint>)),
)]
async fn list(
    With(state): With<State>,
    call: Call,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<WebhookEndpoint>>> {
    let of = params.tenant.as_deref().map(|text| tenant("tenant", text)).transpose()?;
    let size = page_size(params.page_size.as_deref())?;
    let page = webhooks::list(&call.read(), state.deps(), of.as_ref(), size, params.page_token.as_deref()).await?;
    Ok(Json(convert::page(page, convert::webhook::endpoint)))
}

/// Read a webhook endpoint
#[utoipa::path(
    get, path = "/v1/environments/{environment}/webhooks/{webhook}", tag = "webhooks", operation_id = "getWebhook",
    params(InEnvironment, OfWebhook),
    responses((status = 200, description = "The endpoint.", body = WebhookEndpoint)),
)]
async fn get(With(state): With<State>, call: Call, WebhookPath(id): WebhookPath, _: Params<Nothing>) -> Result {
    let found = webhooks::get(&call.read(), state.deps(), id).await?;
    let version = found.version;
    Ok(answer::versioned(&convert::webhook::endpoint(found), version))
}

/// Change a webhook endpoint
///
/// What is left out stays as it is. What waits already is sent to the new address.
#[utoipa::path(
    patch, path = "/v1/environments/{environment}/webhooks/{webhook}", tag = "webhooks", operation_id = "changeWebhook",
    params(InEnvironment, OfWebhook, Precondition, OptionalKey),
    request_body(content = WebhookChange, example = json!({ "rate": 50 })),
    responses((status = 200, description = "The endpoint as it is now.", body = WebhookEndpoint)),
)]
async fn change(
    With(state): With<State>,
    call: Call,
    WebhookPath(id): WebhookPath,
    IfMatch(expected): IfMatch,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result {
    let wanted = parse::webhook_change(&body)?;
    let change = Change {
        url: wanted.url,
        description: wanted.description,
        types: wanted.types,
        only: tenants(wanted.only.as_deref())?,
        fifo: wanted.fifo,
        rate: wanted.rate,
        concurrency: wanted.concurrency,
        region: wanted.region,
    };
    let found = webhooks::update(&call.write(&body), state.deps(), id, expected, change).await?;
    let version = found.version;
    Ok(answer::versioned(&convert::webhook::endpoint(found), version))
}

/// Remove a webhook endpoint
///
/// With its dead letters. What waits for it is not sent any more.
#[utoipa::path(
    delete, path = "/v1/environments/{environment}/webhooks/{webhook}", tag = "webhooks", operation_id = "deleteWebhook",
    params(InEnvironment, OfWebhook, Precondition, OptionalKey),
    responses((status = 200, description = "It is removed; this is how it was.", body = WebhookEndpoint)),
)]
async fn delete(
    With(state): With<State>,
    call: Call,
    WebhookPath(id): WebhookPath,
    IfMatch(expected): IfMatch,
    _: Params<Nothing>,
) -> Result {
    let found = webhooks::delete(&call.write(&Value::Null), state.deps(), id, expected).await?;
    Ok(answer::versioned(&convert::webhook::endpoint(found.clone()), found.version))
}

/// Give a webhook endpoint another secret
///
/// The old one signs beside it for the overlap, so that the receiver may change over at any moment; the one before that ends at once.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/webhooks/{webhook}/@rotate", tag = "webhooks", operation_id = "rotateWebhook",
    params(InEnvironment, OfWebhook, Precondition, OptionalKey),
    request_body(content = WebhookRotation, example = json!({ "overlap": "24h" })),
    responses((status = 200, description = "Keep the secret; it is not shown again.", body = IssuedWebhook)),
)]
async fn rotate(
    With(state): With<State>,
    call: Call,
    WebhookPath(id): WebhookPath,
    IfMatch(expected): IfMatch,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result {
    let overlap = parse::webhook_rotation(&body)?;
    let issued = webhooks::rotate(&call.write(&body), state.deps(), id, expected, overlap).await?;
    let version = issued.endpoint.version;
    Ok(answer::versioned(&convert::webhook::issued(issued), version))
}

/// Enable a webhook endpoint
///
/// Events from now on are sent to it; those that it missed are had by a replay.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/webhooks/{webhook}/@enable", tag = "webhooks", operation_id = "enableWebhook",
    params(InEnvironment, OfWebhook, Precondition, OptionalKey),
    responses((status = 200, description = "It is active.", body = WebhookEndpoint)),
)]
async fn enable(
    With(state): With<State>,
    call: Call,
    WebhookPath(id): WebhookPath,
    IfMatch(expected): IfMatch,
    _: Params<Nothing>,
) -> Result {
    let found = webhooks::enable(&call.write(&Value::Null), state.deps(), id, expected).await?;
    let version = found.version;
    Ok(answer::versioned(&convert::webhook::endpoint(found), version))
}

/// Disable a webhook endpoint
///
/// Nothing is sent or kept for it from now on, and what waits becomes dead letters.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/webhooks/{webhook}/@disable", tag = "webhooks", operation_id = "disableWebhook",
    params(InEnvironment, OfWebhook, Precondition, OptionalKey),
    responses((status = 200, description = "It is disabled.", body = WebhookEndpoint)),
)]
async fn disable(
    With(state): With<State>,
    call: Call,
    WebhookPath(id): WebhookPath,
    IfMatch(expected): IfMatch,
    _: Params<Nothing>,
) -> Result {
    let found = webhooks::disable(&call.write(&Value::Null), state.deps(), id, expected).await?;
    let version = found.version;
    Ok(answer::versioned(&convert::webhook::endpoint(found), version))
}

/// Send a test event
///
/// At once, and tell what came back. It has no number, and is not tried again.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/webhooks/{webhook}/@test", tag = "webhooks", operation_id = "testWebhook",
    params(InEnvironment, OfWebhook),
    responses((status = 200, description = "What came of it; look at `outcome`.", body = WebhookAttempt)),
)]
async fn test(
    With(state): With<State>,
    call: Call,
    WebhookPath(id): WebhookPath,
    _: Params<Nothing>,
) -> Result<Json<WebhookAttempt>> {
    let tested = webhooks::test(&call.write(&Value::Null), state.deps(), id).await?;
    Ok(Json(convert::webhook::attempt(tested.attempt)))
}

/// Send events again
///
/// With the ids and bytes that they had, beside new ones. Those that wait already are not sent twice.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/webhooks/{webhook}/@replay", tag = "webhooks", operation_id = "replayWebhook",
    params(InEnvironment, OfWebhook, OptionalKey),
    request_body(content = ReplayRequest, example = json!({ "tenant": "acme", "after": 1200, "types": ["tenant.*"] })),
    responses((status = 202, description = "It is under way.", body = WebhookReplay)),
)]
async fn replay(
    With(state): With<State>,
    call: Call,
    WebhookPath(id): WebhookPath,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<WebhookReplay>)> {
    let wanted = parse::replay(&body)?;
    let wanted = Replay {
        tenant: wanted.tenant.as_deref().map(|text| tenant("tenant", text)).transpose()?,
        after: wanted.after,
        since: wanted.since,
        until: wanted.until,
        types: wanted.types,
    };
    let begun = webhooks::replay(&call.write(&body), state.deps(), id, wanted).await?;
    Ok((StatusCode::ACCEPTED, Json(convert::webhook::begun(&begun))))
}

/// Send dead letters again
///
/// With all attempts before them. A hundred thousand at most; ask again while `hasMore` says so.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/webhooks/{webhook}/@redrive", tag = "webhooks", operation_id = "redriveWebhook",
    params(InEnvironment, OfWebhook, OptionalKey),
    request_body(content = RedriveRequest, example = json!({ "cause": "attempts", "types": ["tenant.*"] })),
    responses((status = 200, description = "They wait for delivery again.", body = Redriven)),
)]
async fn redrive(
    With(state): With<State>,
    call: Call,
    WebhookPath(id): WebhookPath,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<Json<Redriven>> {
    let wanted = parse::redrive(&body)?;
    let filter = DeadFilter {
        events: wanted.events,
        types: wanted.types,
        cause: wanted.cause,
        since: wanted.since,
        until: wanted.until,
    };
    let redriven = webhooks::redrive(&call.write(&body), state.deps(), id, &filter).await?;
    Ok(Json(convert::webhook::redriven(redriven)))
}

/// Which attempts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct AttemptParams {
    /// Only those of this event.
    #[param(nullable = false, pattern = "^evt_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    event: Option<String>,
    /// `true` for those that failed.
    #[param(nullable = false, example = "false", pattern = "^(true|false)$")]
    failed: Option<String>,
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    page_size: Option<String>,
    /// `nextPageToken` of the page before.
    page_token: Option<String>,
}

/// List attempts of a webhook endpoint
///
/// The newest first. The newest ten thousand are kept, for two weeks.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/webhooks/{webhook}/attempts", tag = "webhooks", operation_id = "listWebhookAttempts",
    params(InEnvironment, OfWebhook, AttemptParams),
    responses((status = 200, description = "A page of attempts.", body = Page<WebhookAttempt>)),
)]
async fn attempts(
    With(state): With<State>,
    call: Call,
    WebhookPath(id): WebhookPath,
    Params(params): Params<AttemptParams>,
) -> Result<Json<Page<WebhookAttempt>>> {
    let event = params.event.as_deref().map(str::parse::<EventId>).transpose();
    let filter = AttemptFilter {
        event: event.map_err(|error| Failure::field(Code::InvalidParameter, "event", error))?,
        failed: flag("failed", params.failed.as_deref())?,
    };
    let size = page_size(params.page_size.as_deref())?;
    let token = params.page_token.as_deref();
    let page = webhooks::attempts(&call.read(), state.deps(), id, &filter, size, token).await?;
    Ok(Json(convert::page(page, convert::webhook::attempt)))
}

/// Which dead letters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct DeadParams {
    /// Only those of this type; `tenant.*` for all of a noun.
    #[serde(rename = "type")]
    #[param(nullable = false, max_length = 60, example = "tenant.*")]
    kind: Option<String>,
    /// Only those that were given up for this reason.
    #[param(nullable = false, pattern = "^(attempts|disabled|refused)$", example = "attempts")]
    cause: Option<String>,
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    page_size: Option<String>,
    /// `nextPageToken` of the page before.
    page_token: Option<String>,
}

/// List dead letters of a webhook endpoint
///
/// Deliveries that were given up, by tenant and number. They are kept for 90 days.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/webhooks/{webhook}/dead-letters", tag = "webhooks", operation_id = "listDeadLetters",
    params(InEnvironment, OfWebhook, DeadParams),
    responses((status = 200, description = "A page of dead letters.", body = Page<DeadLetter>)),
)]
async fn dead_letters(
    With(state): With<State>,
    call: Call,
    WebhookPath(id): WebhookPath,
    Params(params): Params<DeadParams>,
) -> Result<Json<Page<DeadLetter>>> {
    let kind = params.kind.as_deref().map(Pattern::parse).transpose();
    let kind = kind.map_err(|error| Failure::field(Code::InvalidParameter, "type", error))?;
    let cause = params.cause.as_deref().map(str::parse::<Cause>).transpose();
    let filter = DeadFilter {
        types: kind.into_iter().collect(),
        cause: cause.map_err(|error| Failure::field(Code::InvalidParameter, "cause", error))?,
        ..DeadFilter::default()
    };
    let size = page_size(params.page_size.as_deref())?;
    let token = params.page_token.as_deref();
    let page = webhooks::dead_letters(&call.read(), state.deps(), id, &filter, size, token).await?;
    Ok(Json(convert::page(page, convert::webhook::dead)))
}

/// List replays of a webhook endpoint
///
/// The newest first, with how far they are.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/webhooks/{webhook}/replays", tag = "webhooks", operation_id = "listReplays",
    params(InEnvironment, OfWebhook),
    responses((status = 200, description = "Replays.", body = WebhookReplays)),
)]
async fn replays(
    With(state): With<State>,
    call: Call,
    WebhookPath(id): WebhookPath,
    _: Params<Nothing>,
) -> Result<Json<WebhookReplays>> {
    let found = webhooks::replays(&call.read(), state.deps(), id).await?;
    Ok(Json(convert::webhook::replays(found)))
}
