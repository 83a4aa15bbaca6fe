//! Who calls, and where people of the operator sign in.

use axum::Json;
use axum::extract::State as With;
use tenantry_api::v1::person::{SignIn, SignInIssuer, Whoami};
use tenantry_control::people;
use tenantry_control::tokens::Bearer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use crate::State;
use crate::extract::{Caller, Params};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(whoami)).routes(routes!(sign_in))
}

/// Who you are here
///
/// Whatever a token may else do, it may ask this.
#[utoipa::path(
    get, path = "/v1/whoami", tag = "people", operation_id = "whoami",
    responses((status = 200, description = "The caller.", body = Whoami)),
)]
async fn whoami(caller: Caller, _: Params<Nothing>) -> Json<Whoami> {
    Json(shown(&caller.bearer))
}

/// Where people sign in
///
/// For the command line: issuers and the client to use there. Needs no token and holds no secret.
#[utoipa::path(
    get, path = "/v1/sign-in", tag = "people", operation_id = "signIn", security(()),
    responses((status = 200, description = "The issuers.", body = SignIn)),
)]
async fn sign_in(With(state): With<State>, _: Params<Nothing>) -> Json<SignIn> {
    let issuers = people::doors(state.deps()).into_iter().map(|door| SignInIssuer {
        discovery: format!("{}/.well-known/openid-configuration", door.issuer.trim_end_matches('/')),
        issuer: door.issuer,
        client_id: door.client,
        scopes: door.scopes,
        resource: door.resource,
    });
    Json(SignIn { issuers: issuers.collect() })
}

fn shown(bearer: &Bearer) -> Whoami {
    let texts = |roles: &mut dyn Iterator<Item = String>| roles.collect::<Vec<_>>();
    let (roles, only, environments) = match &bearer.reach {
        None => (bearer.rights.roles.clone(), None, bearer.environment.as_ref().map(|one| vec![one.to_string()])),
        Some(reach) => {
            let environments = reach.only().keys().map(ToString::to_string).collect();
            let is_limited = reach.everywhere().is_empty() && !reach.is_empty();
            (reach.anywhere(), Some(reach.only()), is_limited.then_some(environments))
        }
    };
    Whoami {
        actor: bearer.actor.to_string(),
        person: bearer.person.clone(),
        display: bearer.display.clone(),
        roles: texts(&mut roles.iter().map(ToString::to_string)),
        roles_by_environment: only
            .into_iter()
            .flatten()
            .map(|(name, roles)| (name.to_string(), texts(&mut roles.iter().map(ToString::to_string))))
            .collect(),
        scopes: bearer.rights.scopes.as_ref().map(|scopes| texts(&mut scopes.iter().map(ToString::to_string))),
        tenant: bearer.rights.tenant.map(|tenant| tenant.to_string()),
        environments,
        expires_at: bearer.expires,
    }
}
