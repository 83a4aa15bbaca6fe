//! Endpoints as their owners see them, their logs and their dead letters.

use serde::{Deserialize, Serialize};
use tenantry_domain::Timestamp;
use tenantry_domain::id::{TenantId, WebhookId};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::page::PageSize;
use tenantry_domain::tenant::Slug;
use tenantry_domain::webhook::{Scheme, Standing, Terms, Why};
use tenantry_store::{
    AttemptFilter, AttemptRow, DeadFilter, DeadRow, EndpointFilter, EndpointRow, Page, ReplayRow, Subject,
};

use super::keys;
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, require};
use crate::tenants::read::request;

/// An endpoint. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Its id.
    pub id: WebhookId,
    /// The partition.
    pub environment: EnvironmentName,
    /// The tenant whose it is; absent for the environment's.
    pub tenant: Option<TenantId>,
    /// That tenant's name.
    pub slug: Option<Slug>,
    /// Its URL.
    pub url: String,
    /// What it wants.
    pub terms: Terms,
    /// Kind of its keys.
    pub scheme: Scheme,
    /// What its deliveries are verified with, where that is no secret.
    pub public_key: Option<String>,
    /// Until when the key before signs, too; absent when it does not.
    pub old_until: Option<Timestamp>,
    /// Version of its payloads.
    pub payload: i16,
    /// How it stands.
    pub standing: Standing,
    /// Since when it is disabled, and why.
    pub disabled: Option<(Timestamp, Why)>,
    /// Since when there were nothing but failures.
    pub failing_since: Option<Timestamp>,
    /// When something was delivered last.
    pub delivered_at: Option<Timestamp>,
    /// Rises with every change; the ETag.
    pub version: i64,
    /// Since when it exists.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Its last change.
    pub updated_at: Timestamp,
    /// When it got another key last.
    pub rotated_at: Option<Timestamp>,
}

pub(super) fn view(deps: &Deps, row: EndpointRow, now: Timestamp) -> Endpoint {
    let public_key = keys::newest(deps.outbound().key(), &row).ok().and_then(|key| key.public_text());
    Endpoint {
        id: row.id,
        tenant: row.subject.tenant(),
        slug: row.slug,
        url: row.target,
        scheme: row.keys.scheme,
        public_key,
        old_until: row.keys.old.map(|(_, until)| until).filter(|until| *until > now),
        payload: row.payload,
        standing: if row.disabled.is_some() { Standing::Disabled } else { Standing::Active },
        disabled: row.disabled,
        failing_since: row.failing_since,
        delivered_at: row.delivered_at,
        version: row.version,
        created_at: row.created_at,
        created_by: row.created_by,
        updated_at: row.updated_at,
        rotated_at: row.rotated_at,
        terms: row.terms,
        environment: row.environment,
    }
}

pub(super) fn missing(id: WebhookId) -> Refusal {
    Refusal::NoObject { kind: "webhook endpoint".to_owned(), name: id.to_string() }
}

/// Finds an endpoint. One that the caller may not know of is none.
pub(super) async fn known(cx: &Ctx, deps: &Deps, id: WebhookId) -> Result<EndpointRow, Refusal> {
    let row = deps.store().read(&cx.environment).webhook(id).await.map_err(refuse_store)?;
    let is_seen = |row: &EndpointRow| match row.subject {
        Subject::Tenant(tenant) => cx.sees(tenant),
        Subject::Environment => cx.rights.tenant.is_none(),
    };
    row.filter(is_seen).ok_or_else(|| missing(id))
}

/// One endpoint.
///
/// # Errors
/// There is none.
pub async fn get(cx: &Ctx, deps: &Deps, id: WebhookId) -> Result<Endpoint, Refusal> {
    cx.may("webhook.read")?;
    known(cx, deps, id).await.map(|row| view(deps, row, cx.now))
}

/// A page of endpoints, in the order of their making: of a tenant, or of everybody.
///
/// # Errors
/// There is no such tenant, or the page token is of no use here.
pub async fn list(
    cx: &Ctx,
    deps: &Deps,
    tenant: Option<&TenantRef>,
    size: PageSize,
    token: Option<&str>,
) -> Result<Page<Endpoint>, Refusal> {
    cx.may("webhook.read")?;
    let subject = match (tenant, cx.rights.tenant) {
        (Some(tenant), _) => Some(Subject::Tenant(require(cx, deps, tenant).await?.id)),
        // Whoever is bound to a tenant means its own.
        (None, Some(own)) => Some(Subject::Tenant(own)),
        (None, None) => {
            cx.permit_environment("webhook.read")?;
            None
        }
    };
    let principal = cx.actor.to_string();
    let reader = deps.store().read(&cx.environment);
    let page = reader.webhooks(&EndpointFilter { subject }, &request(cx, &principal, size, token)).await;
    let page = page.map_err(refuse_store)?;
    Ok(Page { items: page.items.into_iter().map(|row| view(deps, row, cx.now)).collect(), next: page.next })
}

/// A page of an endpoint's attempts, the newest first. The newest ten thousand are kept, for two weeks.
///
/// # Errors
/// There is no such endpoint, or the page token is of no use here.
pub async fn attempts(
    cx: &Ctx,
    deps: &Deps,
    id: WebhookId,
    filter: &AttemptFilter,
    size: PageSize,
    token: Option<&str>,
) -> Result<Page<AttemptRow>, Refusal> {
    cx.may("webhook.read")?;
    known(cx, deps, id).await?;
    let principal = cx.actor.to_string();
    let reader = deps.store().read(&cx.environment);
    reader.webhook_attempts(id, filter, &request(cx, &principal, size, token)).await.map_err(refuse_store)
}

/// A page of an endpoint's dead letters.
///
/// # Errors
/// There is no such endpoint, or the page token is of no use here.
pub async fn dead_letters(
    cx: &Ctx,
    deps: &Deps,
    id: WebhookId,
    filter: &DeadFilter,
    size: PageSize,
    token: Option<&str>,
) -> Result<Page<DeadRow>, Refusal> {
    cx.may("webhook.read")?;
    known(cx, deps, id).await?;
    let principal = cx.actor.to_string();
    let reader = deps.store().read(&cx.environment);
    reader.webhook_dead(id, filter, &request(cx, &principal, size, token)).await.map_err(refuse_store)
}

/// How much waits (exact up to 100,000), and for how many seconds the oldest event does that no attempt was made for; nothing while
/// the database is away.
pub async fn backlog(deps: &Deps) -> Option<(i64, f64)> {
    deps.store().webhook_backlog().await.ok()
}

/// Replays of an endpoint, the newest first.
///
/// # Errors
/// There is no such endpoint.
pub async fn replays(cx: &Ctx, deps: &Deps, id: WebhookId) -> Result<Vec<ReplayRow>, Refusal> {
    cx.may("webhook.read")?;
    known(cx, deps, id).await?;
    deps.store().read(&cx.environment).webhook_replays(id).await.map_err(refuse_store)
}
