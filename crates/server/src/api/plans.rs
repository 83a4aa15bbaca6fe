//! Versions of plans: who has which, and moving tenants from one to another.

use axum::Json;
use axum::extract::State as With;
use tenantry_api::parse;
use tenantry_api::v1::Page;
use tenantry_api::v1::plan::{PlanBinding, PlanUpgrade, PlanUpgradeRequest};
use tenantry_control::plans::{self, Asked, Who};
use tenantry_control::tenants::TenantRef;
use tenantry_domain::code::Code;
use tenantry_domain::name::PlanCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfName};
use crate::State;
use crate::convert;
use crate::extract::{Call, JsonBody, NamePath, PageParams, Params};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(bindings)).routes(routes!(upgrade))
}

fn code(name: &str) -> Result<PlanCode> {
    PlanCode::parse(name).map_err(|error| Failure::field(Code::InvalidParameter, "name", error))
}

/// List the versions of a plan with the tenants that have them
///
/// Newest first, each with what it says differently from the version before.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/plans/{name}/bindings", tag = "catalog", operation_id = "listPlanBindings",
    params(InEnvironment, OfName, PageParams),
    responses((status = 200, description = "A page of versions.", body = Page<PlanBinding>)),
)]
async fn bindings(
    With(state): With<State>,
    call: Call,
    NamePath(name): NamePath,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<PlanBinding>>> {
    let size = i64::from(page.size()?.get());
    let number = |token: &str| token.strip_prefix("below.").and_then(|text| text.parse::<i64>().ok());
    let below = match page.page_token.as_deref().map(number) {
        None => i64::MAX,
        Some(Some(below)) if below >= 1 => below,
        Some(_) => return Err(Failure::field(Code::InvalidCursor, "pageToken", "is not one of this list")),
    };
    let mut found = plans::versions(&call.read(), state.deps(), &code(&name)?, below, size + 1).await?;
    let has_more = i64::try_from(found.len()).is_ok_and(|count| count > size);
    found.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    let last = found.last().filter(|_| has_more).map(|version| format!("below.{}", version.version));
    let items = found.into_iter().map(convert::plan::binding).collect();
    Ok(Json(Page { items, next_page_token: last }))
}

/// Move tenants of a plan to one of its versions
///
/// A batch of at most 50 tenants, each by itself: one that cannot be moved is named in `refused` and has what it had, and the
/// others go on. Ask again with `after` until the answer has no `next`. A tenant that has the version is left alone, so a
/// repetition does no harm and needs no key. The same checks as for a change of plan; an older version takes an upgrade back.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/plans/{name}/@upgrade", tag = "catalog", operation_id = "upgradePlanTenants",
    params(InEnvironment, OfName),
    request_body(content = PlanUpgradeRequest, example = json!({ "to": 3, "share": 10 })),
    responses((status = 200, description = "What was done.", body = PlanUpgrade)),
)]
async fn upgrade(
    With(state): With<State>,
    call: Call,
    NamePath(name): NamePath,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<Json<PlanUpgrade>> {
    let plan = code(&name)?;
    let body = parse::upgrade(&body)?;
    let read = |name: &String| {
        name.parse::<TenantRef>().map_err(|error| Failure::field(Code::InvalidParameter, "tenants", error))
    };
    let tenants = body.tenants.map(|names| names.iter().map(read).collect::<Result<Vec<_>>>()).transpose()?;
    let asked = Asked {
        to: body.to,
        from: body.from,
        who: tenants.map_or(Who::Share(body.share), Who::Tenants),
        after: body.after,
        dry_run: body.dry_run,
    };
    let done = plans::upgrade(&call.read(), state.deps(), &plan, &asked).await?;
    Ok(Json(convert::plan::upgraded(name, asked.dry_run, done)))
}
