//! Events as they are committed (server-sent events): of a tenant, or of the environment itself.
//!
//! A stream is a place in a subject's sequence and nothing else: what was not taken is read from the outbox again, so a reader
//! that is slow costs no memory, and one that comes back loses nothing and gets nothing twice.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State as With;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::stream::{Stream, unfold};
use serde::Deserialize;
use tenantry_control::tenants::TenantRef;
use tenantry_control::{Ctx, EventRow, events};
use tenantry_domain::code::Code;
use tenantry_domain::webhook::{Pattern, Terms};
use tokio::sync::watch::Receiver;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::events::number;
use super::{InEnvironment, OfTenant};
use crate::State;
use crate::convert;
use crate::extract::{Call, Params, TenantPath};
use crate::problem::{Failure, Result};
use crate::stream::{self, Watch, Watcher};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(all)).routes(routes!(of_tenant))
}

/// Events that are read at a time, and all that a stream holds.
const PAGE: u32 = 64;
/// The longest time between two looks, when no nudge comes.
const LOOK: Duration = Duration::from_secs(1);
/// The least time between two looks of one stream, however many nudges come.
const REST: Duration = Duration::from_millis(100);

/// From where, and which.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct FeedParams {
    /// Behind this number; from the first one unless given. `Last-Event-ID` goes before it.
    #[param(value_type = Option<i64>, minimum = 0, example = 0)]
    after: Option<String>,
    /// Only these types, separated by commas: `tenant.created`, or `tenant.*` for all of a noun. All unless given.
    #[param(max_length = 4000, example = "tenant.*,plan.changed")]
    types: Option<String>,
}

impl FeedParams {
    fn types(&self) -> Result<Vec<Pattern>> {
        let wrong = |message: String| Failure::field(Code::InvalidParameter, "types", message);
        let Some(types) = &self.types else { return Ok(Vec::new()) };
        let parsed: std::result::Result<Vec<_>, _> = types.split(',').map(str::trim).map(Pattern::parse).collect();
        let types = parsed.map_err(|error| wrong(error.to_string()))?;
        if types.len() > Terms::MOST_TYPES {
            return Err(wrong(format!("must not name more than {}", Terms::MOST_TYPES)));
        }
        Ok(types)
    }
}

/// Follow the environment's own events
///
/// Server-sent events: `id` is the sequence, `event` the type, `data` the event. Whoever comes back with `Last-Event-ID` loses
/// nothing and gets nothing twice. A comment comes every ten seconds at least. An event `end` says that there is nothing to come back for.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/events/stream", tag = "events", operation_id = "streamEvents",
    params(InEnvironment, FeedParams),
    responses((status = 200, description = "Events in order, without end.", body = String, content_type = "text/event-stream")),
)]
async fn all(
    With(state): With<State>,
    call: Call,
    watcher: Watcher,
    headers: HeaderMap,
    Params(params): Params<FeedParams>,
) -> Result<Response> {
    open(state, call, None, watcher, &headers, &params).await
}

/// Follow a tenant's events
///
/// As the environment's. It ends when the tenant is deleted and all was told.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/events/stream", tag = "events", operation_id = "streamTenantEvents",
    params(InEnvironment, OfTenant, FeedParams),
    responses((status = 200, description = "Events in order, without end.", body = String, content_type = "text/event-stream")),
)]
async fn of_tenant(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    watcher: Watcher,
    headers: HeaderMap,
    Params(params): Params<FeedParams>,
) -> Result<Response> {
    open(state, call, Some(&tenant), watcher, &headers, &params).await
}

async fn open(
    state: State,
    call: Call,
    tenant: Option<&TenantRef>,
    watcher: Watcher,
    headers: &HeaderMap,
    params: &FeedParams,
) -> Result<Response> {
    let seen = headers.get("last-event-id").map(|value| ("Last-Event-ID", value.to_str().unwrap_or("?")));
    let given = seen.or_else(|| params.after.as_deref().map(|after| ("after", after)));
    let after = given.map_or(Ok(0), |(name, text)| number(name, text))?;
    let types = params.types()?;
    let cx = call.read();
    let source = events::source(&cx, state.deps(), tenant).await?;
    let changes = state.deps().changes();
    let watch = watcher.open(&state)?;
    let feed = Feed { watch, cx, source, after, types, held: VecDeque::new(), changes, stage: Stage::Open };
    Ok(stream::answer(items(feed)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// More may come.
    Open,
    /// The last word was said.
    Ended,
}

struct Feed {
    watch: Watch,
    cx: Ctx,
    source: events::Source,
    /// The number that was told or passed over last.
    after: i64,
    types: Vec<Pattern>,
    held: VecDeque<EventRow>,
    changes: Receiver<u64>,
    stage: Stage,
}

fn items(feed: Feed) -> impl Stream<Item = std::result::Result<Event, Infallible>> {
    unfold(feed, |mut feed| async move {
        let event = feed.next().await?;
        feed.watch.told();
        Some((Ok(event), feed))
    })
}

impl Feed {
    /// What is sent next; nothing when the process ends or the database is away: the client comes back.
    async fn next(&mut self) -> Option<Event> {
        let draining = self.watch.state().draining();
        loop {
            if self.stage == Stage::Ended || draining.is_cancelled() {
                return None;
            }
            if !self.watch.holds().await {
                return Some(self.end("token"));
            }
            if let Some(row) = self.held.pop_front() {
                self.after = row.sequence;
                if self.types.is_empty() || self.types.iter().any(|types| types.meets(row.kind)) {
                    return told(row);
                }
                continue;
            }
            // What is committed after this look is not missed, for it moves the counter.
            self.changes.mark_unchanged();
            let found =
                events::behind(&self.cx, self.watch.state().deps(), self.source, self.after, PAGE).await.ok()?;
            if !found.is_empty() {
                self.held.extend(found);
                continue;
            }
            if self.watch.is_silent() {
                if events::is_over(&self.cx, self.watch.state().deps(), self.source).await.ok()? {
                    return Some(self.end("deleted"));
                }
                // With the number, so that what was passed over is not looked at again.
                return Some(stream::beat().id(self.after.to_string()));
            }
            let patience = self.watch.patience();
            tokio::select! {
                () = tokio::time::sleep(patience.min(LOOK)) => {}
                _ = self.changes.changed() => tokio::time::sleep(REST.min(patience)).await,
                () = draining.cancelled() => return None,
            }
        }
    }

    fn end(&mut self, reason: &str) -> Event {
        self.stage = Stage::Ended;
        stream::ended(reason)
    }
}

fn told(row: EventRow) -> Option<Event> {
    let (sequence, kind) = (row.sequence, row.kind);
    let data = serde_json::to_string(&convert::event::event(row)).ok()?;
    Some(Event::default().id(sequence.to_string()).event(kind.as_str()).data(data))
}
