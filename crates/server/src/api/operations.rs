//! Long work: reading it, following it, steering it.
//!
//! An operation's id is enough to find it, whatever its environment; who may not see the environment finds nothing.

use std::convert::Infallible;
use std::time::Duration;

use aws_lc_rs::digest;
use axum::Json;
use axum::extract::State as With;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::stream::{Stream, unfold};
use serde::Deserialize;
use tenantry_api::v1::Page;
use tenantry_api::v1::operation::Operation;
use tenantry_control::tenants::read::identify;
use tenantry_control::view::OperationStatus;
use tenantry_control::{Ctx, Refusal, operations, view};
use tenantry_domain::code::Code;
use tenantry_domain::id::OperationId;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfOperation, OfTenant, OptionalKey, answer};
use crate::State;
use crate::convert;
use crate::extract::{Call, Caller, NoBody, OperationPath, PageParams, Params, TenantPath, WaitParams};
use crate::problem::{Failure, Result};
use crate::stream::{self, Watch, Watcher};

/// The least time between two looks of a stream: ten states a second are more than anybody reads.
const REST: Duration = Duration::from_millis(100);

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(of_tenant))
        .routes(routes!(get_in))
        .routes(routes!(get))
        .routes(routes!(watch))
        .routes(routes!(cancel))
        .routes(routes!(retry))
}

/// Which operations.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only those that stand like this. A page may then hold fewer items than asked for although another one follows.
    #[param(schema_with = tenantry_api::v1::words::progress)]
    status: Option<String>,
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    page_size: Option<String>,
    /// `nextPageToken` of the page before.
    page_token: Option<String>,
}

/// List an environment's operations
///
/// Newest first.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/operations", tag = "operations", operation_id = "listOperations",
    params(InEnvironment, ListParams),
    responses((status = 200, description = "A page of operations.", body = Page<Operation>)),
)]
async fn list(
    With(state): With<State>,
    call: Call,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<Operation>>> {
    let status = params.status.as_deref().map(status).transpose()?;
    let size = crate::extract::page_size(params.page_size.as_deref())?;
    let wanted = operations::Wanted { tenant: None, status };
    let page = operations::list(&call.read(), state.deps(), wanted, size, params.page_token.as_deref()).await?;
    Ok(Json(convert::page(page, |view| convert::operation::operation(&view))))
}

fn status(text: &str) -> Result<OperationStatus> {
    use OperationStatus as S;
    let known = [S::Waiting, S::Running, S::Completed, S::Failed, S::Stuck];
    known.into_iter().find(|status| convert::word(status) == text).ok_or_else(|| {
        let known = known.map(|status| convert::word(&status)).join(", ");
        Failure::field(Code::InvalidParameter, "status", format_args!("must be one of {known}"))
    })
}

/// List a tenant's operations
///
/// Newest first.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/operations", tag = "operations", operation_id = "listTenantOperations",
    params(InEnvironment, OfTenant, PageParams),
    responses((status = 200, description = "A page of operations.", body = Page<Operation>)),
)]
async fn of_tenant(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<Operation>>> {
    let (size, cx) = (page.size()?, call.read());
    let tenant = identify(&cx, state.deps(), &tenant).await?;
    let wanted = operations::Wanted { tenant: Some(tenant), status: None };
    let found = operations::list(&cx, state.deps(), wanted, size, page.page_token.as_deref()).await?;
    Ok(Json(convert::page(found, |view| convert::operation::operation(&view))))
}

async fn shown(state: &State, cx: &Ctx, id: OperationId, wait: Option<Duration>) -> Result<Json<Operation>> {
    if let Some(wait) = wait {
        answer::settle(state, cx, id, wait).await?;
    }
    let view = operations::get(cx, state.deps(), id).await?;
    Ok(Json(convert::operation::operation(&view)))
}

/// Read an operation of an environment
#[utoipa::path(
    get, path = "/v1/environments/{environment}/operations/{operation}", tag = "operations", operation_id = "getEnvironmentOperation",
    params(InEnvironment, OfOperation, WaitParams),
    responses((status = 200, description = "The operation.", body = Operation)),
)]
async fn get_in(
    With(state): With<State>,
    call: Call,
    OperationPath(id): OperationPath,
    Params(wait): Params<WaitParams>,
) -> Result<Json<Operation>> {
    let wait = wait.span()?;
    shown(&state, &call.read(), id, wait).await
}

/// Read an operation
///
/// With `wait`, not before it ended or the time is over.
#[utoipa::path(
    get, path = "/v1/operations/{operation}", tag = "operations", operation_id = "getOperation",
    params(OfOperation, WaitParams),
    responses((status = 200, description = "The operation.", body = Operation)),
)]
async fn get(
    With(state): With<State>,
    caller: Caller,
    OperationPath(id): OperationPath,
    Params(wait): Params<WaitParams>,
) -> Result<Json<Operation>> {
    let wait = wait.span()?;
    let (cx, _) = find(&state, &caller, id).await?;
    shown(&state, &cx, id, wait).await
}

/// Looks for an operation in the environments that the caller reaches. An environment whose operations the caller may not
/// read ends the search of no other one; if no other one has the operation, the denial is the answer.
async fn find(state: &State, caller: &Caller, id: OperationId) -> Result<(Ctx, view::Operation)> {
    let mut absent = Refusal::NoOperation(id.to_string());
    for environment in caller.reached(state).await? {
        let cx = caller.enter(state, environment).await?;
        match operations::get(&cx, state.deps(), id).await {
            Ok(found) => return Ok((cx, found)),
            Err(Refusal::NoOperation(_)) => {}
            Err(denied @ Refusal::Denied(_)) => absent = denied,
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Err(absent.into())
}

/// Stop an operation and undo it
#[utoipa::path(
    post, path = "/v1/operations/{operation}/@cancel", tag = "operations", operation_id = "cancelOperation",
    params(OfOperation, OptionalKey),
    responses((status = 200, description = "It is turning round.", body = Operation)),
)]
async fn cancel(
    With(state): With<State>,
    caller: Caller,
    OperationPath(id): OperationPath,
    _: Params<Nothing>,
    _: NoBody,
) -> Result<Json<Operation>> {
    let (cx, _) = find(&state, &caller, id).await?;
    let view = operations::cancel(&caller.write(cx), state.deps(), id).await?;
    Ok(Json(convert::operation::operation(&view)))
}

/// Let a stuck operation try again
#[utoipa::path(
    post, path = "/v1/operations/{operation}/@retry", tag = "operations", operation_id = "retryOperation",
    params(OfOperation, OptionalKey),
    responses((status = 200, description = "It goes on.", body = Operation)),
)]
async fn retry(
    With(state): With<State>,
    caller: Caller,
    OperationPath(id): OperationPath,
    _: Params<Nothing>,
    _: NoBody,
) -> Result<Json<Operation>> {
    let (cx, _) = find(&state, &caller, id).await?;
    let view = operations::retry(&caller.write(cx), state.deps(), id).await?;
    Ok(Json(convert::operation::operation(&view)))
}

/// Follow an operation
///
/// Server-sent events: the present state first, then each change, until it ended. `Last-Event-ID` skips a state that
/// was seen already.
#[utoipa::path(
    get, path = "/v1/operations/{operation}/events", tag = "operations", operation_id = "watchOperation",
    params(OfOperation),
    responses((status = 200, description = "Events named `operation`, each with an operation as data.", body = String, content_type = "text/event-stream")),
)]
async fn watch(
    With(state): With<State>,
    caller: Caller,
    OperationPath(id): OperationPath,
    watcher: Watcher,
    headers: HeaderMap,
    _: Params<Nothing>,
) -> Result<Response> {
    let (cx, _) = find(&state, &caller, id).await?;
    let seen = headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let changes = state.deps().changes();
    let watch = watcher.open(&state)?;
    Ok(stream::answer(states(Following { watch, cx, id, seen, changes, has_ended: false })))
}

struct Following {
    watch: Watch,
    cx: Ctx,
    id: OperationId,
    seen: Option<String>,
    changes: tokio::sync::watch::Receiver<u64>,
    has_ended: bool,
}

fn states(following: Following) -> impl Stream<Item = std::result::Result<Event, Infallible>> {
    unfold(following, |mut following| async move {
        let event = following.next().await?;
        following.watch.told();
        Some((Ok(event), following))
    })
}

impl Following {
    /// The next state that differs from the one that was seen last; nothing behind the last one, when the process
    /// ends, or when the database is away: the client comes back.
    async fn next(&mut self) -> Option<Event> {
        let draining = self.watch.state().draining();
        loop {
            if self.has_ended || draining.is_cancelled() {
                return None;
            }
            if !self.watch.holds().await {
                self.has_ended = true;
                return Some(stream::ended("token"));
            }
            let began = tokio::time::Instant::now();
            let view = operations::get(&self.cx, self.watch.state().deps(), self.id).await.ok()?;
            let rest = answer::rest(REST, began.elapsed());
            self.has_ended = view.status.is_final();
            let data = serde_json::to_string(&convert::operation::operation(&view)).ok()?;
            let name = fingerprint(&data);
            // The last state is told in any case, so that nobody waits for an end that has passed.
            if self.seen.as_ref() != Some(&name) || self.has_ended {
                self.seen = Some(name.clone());
                return Some(Event::default().event("operation").id(name).data(data));
            }
            if self.watch.is_silent() {
                return Some(stream::beat());
            }
            tokio::select! {
                () = changed_after(&mut self.changes, rest) => {}
                () = tokio::time::sleep(answer::LOOK.max(rest)) => {}
                () = draining.cancelled() => return None,
            }
        }
    }
}

/// Rests first: whatever is at work in the process changes something every few milliseconds, and each look reads all of
/// the operation.
async fn changed_after(changes: &mut tokio::sync::watch::Receiver<u64>, rest: Duration) {
    tokio::time::sleep(rest).await;
    // Nobody is left to change anything when this fails, so the timer beside it decides.
    if changes.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A state's name: the same state has the same name in every process.
fn fingerprint(data: &str) -> String {
    let hash = digest::digest(&digest::SHA256, data.as_bytes());
    hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
