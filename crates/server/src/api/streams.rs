//! Streams that events are published to, as operators see them.

use axum::Json;
use axum::extract::State as With;
use tenantry_api::v1::stream::Streams;
use tenantry_control::streams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::InEnvironment;
use super::history::Nothing;
use crate::State;
use crate::convert::stream as show;
use crate::extract::{Call, Params};
use crate::problem::Result;

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list))
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
