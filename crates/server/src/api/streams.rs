//! Streams that events are published to, as operators see them.

use axum::Json;
use axum::extract::{FromRequestParts, State as With};
use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::Value;
use tenantry_api::v1::stream::{ForgottenStream, Streams};
use tenantry_control::streams::{self, StreamName};
use tenantry_domain::code::Code;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OptionalKey};
use crate::State;
use crate::convert::stream as show;
use crate::extract::{Call, Params, path_value};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(forget))
}

/// `{name}` of a stream.
#[derive(Debug)]
struct StreamPath(StreamName);

impl FromRequestParts<State> for StreamPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let text = path_value(parts, state, "name").await?;
        text.parse().map(Self).map_err(|error| Failure::field(Code::InvalidParameter, "name", error))
    }
}

/// `{name}` of a stream in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
struct OfStream {
    /// The stream's name.
    #[param(example = "TENANTRY", min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]{1,64}$")]
    name: String,
}

/// Say how publishing to streams stands
///
/// Each stream that a process of this installation publishes to, or did: who publishes, what of this environment waits, and
/// what is in the way.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/streams", tag = "events", operation_id = "listStreams",
    params(InEnvironment),
    responses((status = 200, description = "The streams.", body = Streams)),
)]
async fn list(With(state): With<State>, call: Call, _: Params<Nothing>) -> Result<Json<Streams>> {
    let found = streams::list(&call.read(), state.deps()).await?;
    Ok(Json(Streams { items: found.into_iter().map(show::stream).collect() }))
}

/// Forget a stream
///
/// Nothing is noted for it any more, of any environment. The stream itself stays as it is at its server. Refused while a process
/// publishes to it; one that is only told that the stream will not do is no hindrance. A process that is still configured for it
/// makes it known again, as new.
#[utoipa::path(
    delete, path = "/v1/environments/{environment}/streams/{name}", tag = "events", operation_id = "forgetStream",
    params(InEnvironment, OfStream, OptionalKey),
    responses((status = 200, description = "It is forgotten.", body = ForgottenStream)),
)]
async fn forget(
    With(state): With<State>,
    call: Call,
    StreamPath(name): StreamPath,
    _: Params<Nothing>,
) -> Result<Json<ForgottenStream>> {
    let forgotten = streams::forget(&call.write(&Value::Null), state.deps(), name.as_str()).await?;
    Ok(Json(ForgottenStream { name: forgotten.name, behind: forgotten.behind }))
}
