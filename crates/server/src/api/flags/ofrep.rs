//! The OpenFeature Remote Evaluation Protocol: flags for the SDKs of OpenFeature, in any language.
//!
//! The protocol says statuses, shapes and words of errors here, so they are not those of our other routes. The tenant is
//! named by `tenant` in the evaluation context, or else by `targetingKey`; the environment by the path, or else by the token.
//! Answers are worked out anew each time, so a switch reaches a client when it asks the next time.

use aws_lc_rs::digest;
use axum::Json;
use axum::extract::{FromRequestParts, State as With};
use axum::http::header::{ETAG, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_api::v1::flag::{OfrepConfiguration, OfrepEvaluation, OfrepFailure, OfrepFlags, OfrepRequest};
use tenantry_control::tenants::TenantRef;
use tenantry_control::{Ctx, Refusal, flags};
use tenantry_domain::flag::FlagName;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::InEnvironment;
use crate::State;
use crate::convert;
use crate::extract::{Call, Caller, JsonBody, path_value};
use crate::problem::{Failure, Foreign, Result};

/// The routes: below the root, for tokens of one environment, and below an environment.
pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(flag))
        .routes(routes!(all))
        .routes(routes!(configuration))
        .routes(routes!(flag_of))
        .routes(routes!(all_of))
        .routes(routes!(configuration_of))
}

/// `{key}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; the extractor reads the path")]
struct OfKey {
    /// The flag's name.
    #[param(example = "search.v2", max_length = 63)]
    key: String,
}

/// `If-None-Match` of a client that has an answer.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "for the documentation; the handler reads the header")]
struct Known {
    /// The ETag of the answer that the client has.
    #[serde(rename = "If-None-Match")]
    #[param(nullable = false)]
    if_none_match: Option<String>,
}

struct Key(String);

impl FromRequestParts<State> for Key {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        path_value(parts, state, "key").await.map(Self)
    }
}

type Body = Result<JsonBody>;

/// An answer in the protocol's words.
fn refuse(status: StatusCode, key: Option<&str>, code: &str, details: impl std::fmt::Display) -> Response {
    let failure =
        OfrepFailure { key: key.map(str::to_owned), error_code: code.to_owned(), error_details: details.to_string() };
    let mut response = (status, Json(failure)).into_response();
    response.extensions_mut().insert(Foreign);
    response
}

/// The environment of a call that names none: the token's, or the only one.
async fn enter(state: &State, caller: &Caller) -> Result<std::result::Result<Ctx, String>> {
    let known = match &caller.bearer.environment {
        Some(only) => vec![only.clone()],
        None => state.environments().await?,
    };
    match known.as_slice() {
        [only] => Ok(Ok(caller.enter(state, only.clone()).await?)),
        _ => Ok(Err("the token reaches several environments: use the base URL …/v1/environments/NAME".to_owned())),
    }
}

/// The tenant that the context names.
fn tenant(body: Body, key: Option<&str>) -> std::result::Result<TenantRef, Box<Response>> {
    let bad = |code, details: &dyn std::fmt::Display| Box::new(refuse(StatusCode::BAD_REQUEST, key, code, details));
    let JsonBody(body) = body.map_err(|failure| bad("PARSE_ERROR", &failure.problem.detail))?;
    let context = match body.get("context") {
        None | Some(Value::Null) => None,
        Some(Value::Object(context)) => Some(context),
        Some(_) => return Err(bad("INVALID_CONTEXT", &"`context` must be a mapping")),
    };
    let named = context.and_then(|context| context.get("tenant").or_else(|| context.get("targetingKey")));
    match named {
        None | Some(Value::Null) => {
            Err(bad("TARGETING_KEY_MISSING", &"the context names no tenant: set `tenant` or `targetingKey`"))
        }
        Some(Value::String(text)) => {
            text.parse::<TenantRef>().map_err(|error| bad("INVALID_CONTEXT", &format!("the tenant's name {error}")))
        }
        Some(_) => Err(bad("INVALID_CONTEXT", &"the tenant's name must be text")),
    }
}

/// What the use case refuses. Who may not ask is told as everywhere else; the protocol leaves that open.
fn refused(refusal: Refusal, key: Option<&str>) -> Result {
    match refusal {
        Refusal::NoTenant(_) => {
            Ok(refuse(StatusCode::BAD_REQUEST, key, "INVALID_CONTEXT", "there is no such tenant in this environment"))
        }
        refusal => Err(refusal.into()),
    }
}

async fn one(state: &State, cx: &Ctx, key: &str, body: Body) -> Result {
    let tenant = match tenant(body, Some(key)) {
        Ok(tenant) => tenant,
        Err(response) => return Ok(*response),
    };
    let missing = |details: &str| Ok(refuse(StatusCode::NOT_FOUND, Some(key), "FLAG_NOT_FOUND", details));
    let Ok(name) = key.parse::<FlagName>() else { return missing("the key is no name of a flag") };
    match flags::evaluate(cx, state.deps(), &tenant, &name).await {
        Ok((plan, Some(feature))) => Ok(Json(convert::flag::evaluation(&name, &plan, &feature)).into_response()),
        Ok((_, None)) => missing("nobody says anything about this feature for this tenant"),
        Err(refusal) => refused(refusal, Some(key)),
    }
}

async fn bulk(state: &State, cx: &Ctx, headers: &HeaderMap, body: Body) -> Result {
    let tenant = match tenant(body, None) {
        Ok(tenant) => tenant,
        Err(response) => return Ok(*response),
    };
    let found = match flags::features(cx, state.deps(), &tenant).await {
        Ok(found) => found,
        Err(refusal) => return refused(refusal, None),
    };
    let show = |(name, feature)| convert::flag::evaluation(name, &found.plan, feature);
    let answer = OfrepFlags { flags: found.features.iter().map(show).collect() };
    Ok(tagged(&answer, headers))
}

/// An answer with a tag of its content, or none of it for a client that has it.
fn tagged<T: serde::Serialize>(answer: &T, headers: &HeaderMap) -> Response {
    // Our own shapes hold nothing that JSON cannot say, and maps are written in the order of their keys.
    let text = serde_json::to_vec(answer).unwrap_or_default();
    let hash = digest::digest(&digest::SHA256, &text);
    let tag: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{tag}\"");
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|header| header.to_str().ok());
    let is_known = known.flat_map(|list| list.split(',')).map(str::trim).any(|known| {
        // A proxy that compressed an answer may have weakened its tag.
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    });
    let mut response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { Json(answer).into_response() };
    if let Ok(value) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, value);
    }
    response
}

fn setup(headers: &HeaderMap) -> Response {
    let polling = json!({ "enabled": true, "minPollingIntervalMs": 1000 });
    let capabilities = json!({
        "cacheInvalidation": { "polling": polling },
        "flagEvaluation": { "supportedTypes": ["boolean", "string", "int", "float", "object"] },
        // An answer that is kept hides a switch; whoever wants that says so at the client.
        "caching": { "enabled": false },
    });
    tagged(&OfrepConfiguration { name: "tenantry".to_owned(), capabilities }, headers)
}

/// Evaluate a flag for an OpenFeature SDK
///
/// OFREP, in the environment of the token. Counts as a use where the feature is on.
#[utoipa::path(
    post, path = "/ofrep/v1/evaluate/flags/{key}", tag = "features", operation_id = "ofrepEvaluateFlag",
    params(OfKey), request_body(content = OfrepRequest),
    responses(
        (status = 200, description = "The flag's value for the tenant.", body = OfrepEvaluation),
        (status = 400, description = "The context names no tenant that there is.", body = OfrepFailure),
        (status = 404, description = "Nobody says anything about this feature for this tenant.", body = OfrepFailure),
    ),
)]
async fn flag(With(state): With<State>, caller: Caller, Key(key): Key, body: Body) -> Result {
    match enter(&state, &caller).await? {
        Ok(cx) => one(&state, &cx, &key, body).await,
        Err(details) => Ok(refuse(StatusCode::BAD_REQUEST, Some(&key), "GENERAL", details)),
    }
}

/// Evaluate a flag of an environment for an OpenFeature SDK
///
/// OFREP, for tokens that reach several environments.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/ofrep/v1/evaluate/flags/{key}", tag = "features", operation_id = "ofrepEvaluateEnvironmentFlag",
    params(InEnvironment, OfKey), request_body(content = OfrepRequest),
    responses(
        (status = 200, description = "The flag's value for the tenant.", body = OfrepEvaluation),
        (status = 400, description = "The context names no tenant that there is.", body = OfrepFailure),
        (status = 404, description = "Nobody says anything about this feature for this tenant.", body = OfrepFailure),
    ),
)]
async fn flag_of(With(state): With<State>, call: Call, Key(key): Key, body: Body) -> Result {
    one(&state, &call.read(), &key, body).await
}

/// Evaluate all flags for an OpenFeature SDK
///
/// OFREP, in the environment of the token. With an ETag, so that a client which polls gets 304 while nothing changed.
#[utoipa::path(
    post, path = "/ofrep/v1/evaluate/flags", tag = "features", operation_id = "ofrepEvaluateFlags",
    params(Known), request_body(content = OfrepRequest),
    responses(
        (status = 200, description = "All flags of the tenant.", body = OfrepFlags),
        (status = 304, description = "They are what the client has."),
        (status = 400, description = "The context names no tenant that there is.", body = OfrepFailure),
    ),
)]
async fn all(With(state): With<State>, caller: Caller, headers: HeaderMap, body: Body) -> Result {
    match enter(&state, &caller).await? {
        Ok(cx) => bulk(&state, &cx, &headers, body).await,
        Err(details) => Ok(refuse(StatusCode::BAD_REQUEST, None, "GENERAL", details)),
    }
}

/// Evaluate all flags of an environment for an OpenFeature SDK
///
/// OFREP, for tokens that reach several environments.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/ofrep/v1/evaluate/flags", tag = "features", operation_id = "ofrepEvaluateEnvironmentFlags",
    params(InEnvironment, Known), request_body(content = OfrepRequest),
    responses(
        (status = 200, description = "All flags of the tenant.", body = OfrepFlags),
        (status = 304, description = "They are what the client has."),
        (status = 400, description = "The context names no tenant that there is.", body = OfrepFailure),
    ),
)]
async fn all_of(With(state): With<State>, call: Call, headers: HeaderMap, body: Body) -> Result {
    bulk(&state, &call.read(), &headers, body).await
}

/// Say how an OpenFeature provider is to be set up
///
/// OFREP: polling with an ETag, no oftener than each second; answers are not to be kept.
#[utoipa::path(
    get, path = "/ofrep/v1/configuration", tag = "features", operation_id = "ofrepConfiguration",
    params(Known),
    responses(
        (status = 200, description = "The setup.", body = OfrepConfiguration),
        (status = 304, description = "It is what the client has."),
    ),
)]
async fn configuration(_: Caller, headers: HeaderMap) -> Result {
    Ok(setup(&headers))
}

/// Say how an OpenFeature provider is to be set up for an environment
///
/// OFREP, for tokens that reach several environments.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/ofrep/v1/configuration", tag = "features", operation_id = "ofrepEnvironmentConfiguration",
    params(InEnvironment, Known),
    responses(
        (status = 200, description = "The setup.", body = OfrepConfiguration),
        (status = 304, description = "It is what the client has."),
    ),
)]
async fn configuration_of(_: Call, headers: HeaderMap) -> Result {
    Ok(setup(&headers))
}
