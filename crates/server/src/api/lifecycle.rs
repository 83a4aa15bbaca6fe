//! The verbs of the lifecycle.

use axum::extract::State as With;
use serde_json::{Value, json};
use tenantry_api::parse;
use tenantry_api::v1::tenant::{Rollback, Suspension, Tenant};
use tenantry_control::tenants;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{InEnvironment, OfTenant, OptionalKey, Precondition, answer};
use crate::State;
use crate::extract::{Call, IfMatch, JsonBody, NoBody, Params, TenantPath, WaitParams};
use crate::problem::Result;

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(activate))
        .routes(routes!(suspend))
        .routes(routes!(resume))
        .routes(routes!(archive))
        .routes(routes!(restore))
        .routes(routes!(undelete))
        .routes(routes!(rollback))
}

/// A verb without a body: its function, route, id, and what it does.
macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident, $use_case:path, $path:literal, $id:literal;)*) => {$(
        $(#[$doc])*
        #[utoipa::path(
            post, path = $path, tag = "tenants", operation_id = $id,
            params(InEnvironment, OfTenant, Precondition, OptionalKey, WaitParams),
            responses(
                (status = 200, description = "Already so, or done in time.", body = Tenant),
                (status = 202, description = "Recorded; the operation follows.", body = Tenant),
            ),
        )]
        async fn $name(
            With(state): With<State>,
            call: Call,
            TenantPath(tenant): TenantPath,
            IfMatch(expected): IfMatch,
            Params(wait): Params<WaitParams>,
            _: NoBody,
        ) -> Result {
            let wait = wait.span()?;
            let cx = call.write(&Value::Null);
            let accepted = $use_case(&cx, state.deps(), &tenant, expected).await?;
            answer::accepted(&state, &cx, accepted, wait).await
        }
    )*};
}

verbs! {
    /// Bring a draft into service
    activate, tenants::activate, "/v1/environments/{environment}/tenants/{tenant}/@activate", "activateTenant";
    /// Return a suspended tenant to service
    resume, tenants::resume, "/v1/environments/{environment}/tenants/{tenant}/@resume", "resumeTenant";
    /// Retire a suspended tenant
    ///
    /// Its data is kept until the plan's retention ends.
    archive, tenants::archive, "/v1/environments/{environment}/tenants/{tenant}/@archive", "archiveTenant";
    /// Return an archived tenant to service
    restore, tenants::restore, "/v1/environments/{environment}/tenants/{tenant}/@restore", "restoreTenant";
    /// Take a waiting deletion back
    undelete, tenants::undelete, "/v1/environments/{environment}/tenants/{tenant}/@undelete", "undeleteTenant";
}

/// Take access away from an active tenant
///
/// Its sessions are ended; its data stays.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/@suspend", tag = "tenants", operation_id = "suspendTenant",
    params(InEnvironment, OfTenant, Precondition, OptionalKey, WaitParams),
    request_body(content = Suspension, example = json!({"reason": "commercial", "note": "third reminder unpaid"})),
    responses(
        (status = 200, description = "Already so, or done in time.", body = Tenant),
        (status = 202, description = "Recorded; the operation follows.", body = Tenant),
    ),
)]
async fn suspend(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    IfMatch(expected): IfMatch,
    Params(wait): Params<WaitParams>,
    JsonBody(body): JsonBody,
) -> Result {
    let (wait, suspension) = (wait.span()?, parse::suspension(&body)?);
    let cx = call.write(&body);
    let accepted = tenants::suspend(&cx, state.deps(), &tenant, expected, suspension).await?;
    answer::accepted(&state, &cx, accepted, wait).await
}

/// Go back to an earlier version
///
/// Its content becomes a new version. The state of the lifecycle is not gone back to.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/@rollback", tag = "tenants", operation_id = "rollbackTenant",
    params(InEnvironment, OfTenant, Precondition, OptionalKey, WaitParams),
    request_body(content = Rollback),
    responses(
        (status = 200, description = "Already so, or done in time.", body = Tenant),
        (status = 202, description = "Recorded; the operation follows.", body = Tenant),
    ),
)]
async fn rollback(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    IfMatch(expected): IfMatch,
    Params(wait): Params<WaitParams>,
    JsonBody(body): JsonBody,
) -> Result {
    let (wait, to) = (wait.span()?, parse::rollback(&body)?);
    let cx = call.write(&json!({ "to": to }));
    let accepted = tenants::rollback(&cx, state.deps(), &tenant, expected, to).await?;
    answer::accepted(&state, &cx, accepted, wait).await
}
