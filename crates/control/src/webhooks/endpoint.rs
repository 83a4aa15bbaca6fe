//! Making, changing and removing endpoints.

use jiff::SignedDuration;
use secrecy::SecretString;
use serde_json::{Value, json};
use tenantry_domain::audit::Category;
use tenantry_domain::code::FieldError;
use tenantry_domain::event::{self, Type};
use tenantry_domain::id::{TenantId, WebhookId};
use tenantry_domain::limit::Counted;
use tenantry_domain::name::RegionName;
use tenantry_domain::policy::Permit;
use tenantry_domain::webhook::{self, MOST_OF_ENVIRONMENT, MOST_OF_TENANT, PAYLOAD, Scheme, Terms, Why};
use tenantry_store::{EndpointRow, Entry, NewEndpoint, StoreError, Subject, WriteTx};
use tenantry_webhooks::Target;

use super::keys;
use super::read::{Endpoint, known, missing, view};
use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::governance::{self, About};
use crate::quotas::counted;
use crate::refusal::Refusal;
use crate::tenants::edit::{
    Expected, Opened, TenantRef, lock_living, open, open_unruled, refuse_store, remember, replayed, require,
};

/// Which endpoint is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whose it is to be; absent for the environment's.
    pub tenant: Option<TenantRef>,
    /// Its URL.
    pub url: String,
    /// What it wants, without the tenants.
    pub terms: Terms,
    /// Only events of these tenants.
    pub only: Option<Vec<TenantRef>>,
    /// Kind of its keys.
    pub scheme: Scheme,
}

/// What is to be changed; absent stays as it is.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Another URL.
    pub url: Option<String>,
    /// Another description; an empty one takes it away.
    pub description: Option<String>,
    /// Other types; an empty list means all.
    pub types: Option<Vec<webhook::Pattern>>,
    /// Other tenants; an empty list means all.
    pub only: Option<Vec<TenantRef>>,
    /// Whether in order.
    pub fifo: Option<bool>,
    /// Another bound on attempts a second; 0 for none.
    pub rate: Option<u32>,
    /// Another bound on requests at a time.
    pub concurrency: Option<u16>,
    /// Where the receiver is.
    pub region: Option<RegionName>,
}

/// An endpoint with its new secret.
#[derive(Debug)]
pub struct Issued {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// What a receiver needs to verify deliveries, here and never again. Absent for ed25519, whose public key is no secret, and in
    /// the answer to a repetition.
    pub secret: Option<SecretString>,
}

/// Makes an endpoint. Its secret stands in the answer and nowhere else; a repetition gets the answer without it.
///
/// # Errors
/// The URL or the terms are not acceptable, there is no such tenant, or there are too many endpoints.
pub async fn create(cx: &Ctx, deps: &Deps, wanted: Wanted) -> Result<Issued, Refusal> {
    let subject = match &wanted.tenant {
        Some(tenant) => Subject::Tenant(require(cx, deps, tenant).await?.id),
        None => match cx.rights.tenant {
            Some(own) => Subject::Tenant(own),
            None => Subject::Environment,
        },
    };
    let permit = permit(cx, "webhook.create", subject)?;
    let only = named(cx, deps, wanted.only.as_deref()).await?;
    let terms = Terms { only, ..wanted.terms };
    check(&terms, subject)?;
    let target = look(deps, &wanted.url).await?;
    let nonce = keys::nonce()?;
    let mut tx = match open_towards(cx, deps, &permit, terms.region.as_ref()).await? {
        Opened::Replay(answer) => return Ok(Issued { endpoint: replayed(answer)?, secret: None }),
        Opened::Fresh(tx) => tx,
    };
    lock_subject(&mut tx, subject).await?;
    let most = if subject.tenant().is_some() { MOST_OF_TENANT } else { MOST_OF_ENVIRONMENT };
    if tx.webhooks().count(subject).await.map_err(refuse_store)? >= most {
        return Err(Refusal::WebhooksExceeded(most));
    }
    let id = mint::webhook();
    let target = target.to_string();
    let new = NewEndpoint { id, subject, target, terms, scheme: wanted.scheme, nonce, payload: PAYLOAD };
    let row = tx.webhooks().create(&new).await.map_err(refuse_store)?;
    issue(cx, deps, &permit, tx, row, Type::WebhookEndpointCreated).await
}

/// Changes an endpoint.
///
/// # Errors
/// There is none, it has another version than expected, or what is wanted is not acceptable.
pub async fn update(
    cx: &Ctx,
    deps: &Deps,
    id: WebhookId,
    expected: Expected,
    change: Change,
) -> Result<Endpoint, Refusal> {
    let found = known(cx, deps, id).await?;
    let permit = permit(cx, "webhook.update", found.subject)?;
    let only = match &change.only {
        None => found.terms.only.clone(),
        Some(none) if none.is_empty() => None,
        Some(some) => named(cx, deps, Some(some)).await?,
    };
    let target = match &change.url {
        Some(url) => look(deps, url).await?.to_string(),
        None => found.target.clone(),
    };
    let region = change.region.as_ref().or(found.terms.region.as_ref());
    let mut tx = match open_towards(cx, deps, &permit, region).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let row = lock(&mut tx, &found).await?;
    expected.check(row.version)?;
    let terms = Terms {
        description: change.description.or(row.terms.description).filter(|text| !text.is_empty()),
        types: change.types.unwrap_or(row.terms.types),
        only: if change.only.is_some() { only } else { row.terms.only },
        fifo: change.fifo.unwrap_or(row.terms.fifo),
        rate: change.rate.or(row.terms.rate).filter(|rate| *rate > 0),
        concurrency: change.concurrency.unwrap_or(row.terms.concurrency),
        region: change.region.or(row.terms.region),
    };
    check(&terms, row.subject)?;
    let target = if change.url.is_some() { target } else { row.target };
    let row = tx.webhooks().update(id, &target, &terms).await.map_err(refuse_store)?;
    finish(cx, deps, &permit, tx, row, Type::WebhookEndpointUpdated).await
}

/// Gives an endpoint another secret. The old one signs beside it for the overlap, so that the receiver may change over at any moment;
/// the one before that ends at once.
///
/// # Errors
/// There is none, or it has another version than expected.
pub async fn rotate(
    cx: &Ctx,
    deps: &Deps,
    id: WebhookId,
    expected: Expected,
    overlap: Option<SignedDuration>,
) -> Result<Issued, Refusal> {
    let until = webhook::old_until(cx.now, overlap).map_err(|wrong| Refusal::Request(vec![wrong]))?;
    let found = known(cx, deps, id).await?;
    let permit = permit(cx, "webhook.rotate", found.subject)?;
    let nonce = keys::nonce()?;
    let mut tx = match open(cx, deps, &permit).await? {
        Opened::Replay(answer) => return Ok(Issued { endpoint: replayed(answer)?, secret: None }),
        Opened::Fresh(tx) => tx,
    };
    let row = lock(&mut tx, &found).await?;
    expected.check(row.version)?;
    let row = tx.webhooks().rotate(id, nonce, until).await.map_err(refuse_store)?;
    issue(cx, deps, &permit, tx, row, Type::WebhookEndpointRotated).await
}

/// Ends deliveries to an endpoint: nothing is sent and nothing is kept for it from now on, and what waits becomes dead letters.
///
/// # Errors
/// There is none, or it has another version than expected.
pub async fn disable(cx: &Ctx, deps: &Deps, id: WebhookId, expected: Expected) -> Result<Endpoint, Refusal> {
    switch(cx, deps, id, expected, false).await
}

/// Lets events go to an endpoint again, those from now on.
///
/// # Errors
/// There is none, or it has another version than expected.
pub async fn enable(cx: &Ctx, deps: &Deps, id: WebhookId, expected: Expected) -> Result<Endpoint, Refusal> {
    switch(cx, deps, id, expected, true).await
}

async fn switch(cx: &Ctx, deps: &Deps, id: WebhookId, expected: Expected, on: bool) -> Result<Endpoint, Refusal> {
    let found = known(cx, deps, id).await?;
    let (action, kind) = if on {
        ("webhook.enable", Type::WebhookEndpointEnabled)
    } else {
        ("webhook.disable", Type::WebhookEndpointDisabled)
    };
    let permit = permit(cx, action, found.subject)?;
    if on {
        look(deps, &found.target).await?;
    }
    let mut tx = match open_towards(cx, deps, &permit, found.terms.region.as_ref()).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let row = lock(&mut tx, &found).await?;
    expected.check(row.version)?;
    if row.disabled.is_none() == on {
        tx.rollback().await;
        return Ok(view(deps, row, cx.now));
    }
    let row = if on { tx.webhooks().enable(id).await } else { tx.webhooks().disable(id, Why::Asked).await };
    finish(cx, deps, &permit, tx, row.map_err(refuse_store)?, kind).await
}

/// Removes an endpoint with its dead letters. What waits for it is not sent any more.
///
/// # Errors
/// There is none, or it has another version than expected.
pub async fn delete(cx: &Ctx, deps: &Deps, id: WebhookId, expected: Expected) -> Result<Endpoint, Refusal> {
    let found = known(cx, deps, id).await?;
    let permit = permit(cx, "webhook.delete", found.subject)?;
    let mut tx = match open(cx, deps, &permit).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let row = lock(&mut tx, &found).await?;
    expected.check(row.version)?;
    tx.webhooks().delete(id).await.map_err(refuse_store)?;
    finish(cx, deps, &permit, tx, row, Type::WebhookEndpointDeleted).await
}

/// Disables an endpoint that is gone, or failed for too long. Nothing happens when somebody was faster.
pub(super) async fn give_up(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    found: &EndpointRow,
    why: Why,
) -> Result<(), Refusal> {
    let mut tx = deps.store().write(permit, cx.now).await.map_err(refuse_store)?;
    let row = lock(&mut tx, found).await?;
    if row.disabled.is_some() || row.target != found.target {
        tx.rollback().await;
        return Ok(());
    }
    let row = tx.webhooks().disable(row.id, why).await.map_err(refuse_store)?;
    finish(cx, deps, permit, tx, row, Type::WebhookEndpointDisabled).await.map(|_| ())
}

pub(super) fn permit(cx: &Ctx, action: &'static str, subject: Subject) -> Result<Permit, Refusal> {
    Ok(match subject {
        Subject::Tenant(tenant) => cx.permit(action, tenant)?,
        Subject::Environment => cx.permit_environment(action)?,
    })
}

/// Opens a transaction for something that lets events go somewhere: the operator's rules are told in which region that is.
pub(super) async fn open_towards(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    region: Option<&RegionName>,
) -> Result<Opened, Refusal> {
    let mut opened = open_unruled(cx, deps, permit).await?;
    if let Opened::Fresh(tx) = &mut opened {
        let regions = region.map(ToString::to_string).into_iter().collect();
        governance::rule(cx, deps, permit, tx, About { regions, ..About::default() }).await?;
    }
    Ok(opened)
}

/// The tenants that an endpoint of the environment is to hear of.
async fn named(cx: &Ctx, deps: &Deps, only: Option<&[TenantRef]>) -> Result<Option<Vec<TenantId>>, Refusal> {
    let Some(only) = only else { return Ok(None) };
    if only.len() > Terms::MOST_TENANTS {
        let message = format!("must name 1 to {} tenants", Terms::MOST_TENANTS);
        return Err(Refusal::Request(vec![FieldError::new("only", message)]));
    }
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for (place, tenant) in only.iter().enumerate() {
        match require(cx, deps, tenant).await {
            Ok(row) => found.push(row.id),
            Err(refusal @ Refusal::NoTenant(_)) => wrong.push(FieldError::new(format!("only[{place}]"), refusal)),
            Err(refusal) => return Err(refusal),
        }
    }
    if !wrong.is_empty() {
        return Err(Refusal::Request(wrong));
    }
    found.sort_unstable();
    found.dedup();
    Ok(Some(found))
}

fn check(terms: &Terms, subject: Subject) -> Result<(), Refusal> {
    let wrong = terms.check(subject.tenant().is_some());
    if wrong.is_empty() { Ok(()) } else { Err(Refusal::Request(wrong)) }
}

/// Looks at a URL as the sender will.
async fn look(deps: &Deps, url: &str) -> Result<Target, Refusal> {
    let sender = deps.outbound().sender(deps.options()).ok_or(Refusal::NoWebhooks)?;
    sender.look(url).await.map_err(Refusal::WebhookTarget)
}

async fn lock_subject(tx: &mut WriteTx, subject: Subject) -> Result<(), Refusal> {
    match subject {
        Subject::Tenant(id) => lock_living(tx, id).await,
        Subject::Environment => tx.webhooks().lock_environment().await.map_err(refuse_store),
    }
}

/// Locks the tenant, then the endpoint, as a deletion of the tenant does.
pub(super) async fn lock(tx: &mut WriteTx, found: &EndpointRow) -> Result<EndpointRow, Refusal> {
    if let Subject::Tenant(id) = found.subject {
        match tx.tenants().lock(id).await {
            Ok(_) | Err(StoreError::NotFound) => {}
            Err(error) => return Err(refuse_store(error)),
        }
    }
    tx.webhooks().lock(found.id).await.map_err(refuse_store)?.ok_or_else(|| missing(found.id))
}

/// The host of a URL, which is all that evidence says of it.
pub(super) fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default().to_owned()
}

pub(super) fn told(row: &EndpointRow) -> Value {
    let terms = &row.terms;
    json!({
        "endpoint": row.id, "host": host(&row.target), "types": terms.types, "tenants": terms.only.as_ref().map(Vec::len),
        "fifo": terms.fifo, "region": terms.region, "rate": terms.rate, "concurrency": terms.concurrency, "scheme": row.keys.scheme,
        "oldSecretUntil": row.keys.old.as_ref().map(|(_, until)| *until), "disabled": row.disabled.map(|(_, why)| why),
    })
}

pub(super) fn entry(subject: Subject, audit: tenantry_domain::audit::Draft, events: Vec<event::Draft>) -> Entry {
    match subject {
        Subject::Tenant(tenant) => Entry::tenant(tenant, audit, events),
        Subject::Environment => Entry::environment(audit, events),
    }
}

/// Counts and records a change, and makes it last.
async fn finish(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    tx: WriteTx,
    row: EndpointRow,
    kind: Type,
) -> Result<Endpoint, Refusal> {
    let (subject, data) = (row.subject, told(&row));
    let is_other = matches!(kind, Type::WebhookEndpointCreated | Type::WebhookEndpointDeleted);
    let (mut tx, counted) = match subject {
        Subject::Tenant(tenant) if is_other => {
            let grown = u64::from(kind == Type::WebhookEndpointCreated);
            counted::close(cx, deps, permit, tx, tenant, (Counted::Webhooks, grown)).await?
        }
        _ => (tx, Vec::new()),
    };
    let endpoint = view(deps, row, cx.now);
    remember(cx, &mut tx, &endpoint, None);
    let mut audit = cx.audit(permit, Category::Access, format!("webhook/{}", endpoint.id));
    audit.changes = data.clone();
    let events = std::iter::once(event::Draft::new(kind, data)).chain(counted).collect();
    tx.commit(vec![entry(subject, audit, events)]).await.map_err(refuse_store)?;
    deps.nudge();
    Ok(endpoint)
}

/// The same, with the secret that the endpoint has from now on.
async fn issue(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    tx: WriteTx,
    row: EndpointRow,
    kind: Type,
) -> Result<Issued, Refusal> {
    let key = keys::newest(deps.outbound().key(), &row).map_err(|_| Refusal::NoRandomness)?;
    // Whoever has a private key could sign for us; its public half is in every view.
    let secret = (row.keys.scheme == Scheme::Hmac).then(|| key.text());
    Ok(Issued { endpoint: finish(cx, deps, permit, tx, row, kind).await?, secret })
}
