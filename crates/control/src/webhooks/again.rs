//! Sending on demand: a test, the past once more, and what was given up.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_domain::Timestamp;
use tenantry_domain::audit::Category;
use tenantry_domain::code::FieldError;
use tenantry_domain::id::{EventId, WebhookId};
use tenantry_domain::webhook::Pattern;
use tenantry_store::{AttemptRow, DeadFilter, EndpointRow, LaneId, NewReplay, Subject};
use tenantry_webhooks::{Answer, Message, Verdict, judge};
use uuid::Uuid;

use super::endpoint::{entry, host, lock, open_towards, permit};
use super::{keys, payload, read};
use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::refusal::Refusal;
use crate::tenants::edit::{Opened, TenantRef, open, refuse_store, remember, replayed, require};

/// Dead letters that one request puts back.
pub const MOST_REDRIVEN: u32 = 100_000;

/// Replays of an endpoint that may be under way.
const MOST_REPLAYS: i64 = 5;

/// What a test led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Tested {
    /// The attempt, as it is logged.
    pub attempt: AttemptRow,
}

/// The word of a verdict in logs.
pub(super) const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Delivered => "delivered",
        Verdict::Failed => "failed",
        Verdict::Throttled(_) => "throttled",
        Verdict::Gone => "gone",
        Verdict::Refused => "refused",
    }
}

pub(super) fn is_disabled(row: &EndpointRow) -> Result<(), Refusal> {
    if row.disabled.is_some() { Err(Refusal::WebhookDisabled(row.id.to_string())) } else { Ok(()) }
}

/// Sends a test event at once and tells what came back. It has no number, is not tried again, and says nothing about how the endpoint
/// stands.
///
/// # Errors
/// There is no such endpoint, or it is disabled.
pub async fn test(cx: &Ctx, deps: &Deps, id: WebhookId) -> Result<Tested, Refusal> {
    let found = read::known(cx, deps, id).await?;
    let permit = permit(cx, "webhook.test", found.subject)?;
    is_disabled(&found)?;
    let sender = deps.outbound().sender(deps.options()).ok_or(Refusal::NoWebhooks)?;
    // A repetition is another test: what counts is what the receiver says now.
    let fresh = Ctx { idempotency: None, ..cx.clone() };
    let event = mint::event();
    if let Opened::Fresh(mut tx) = open(&fresh, deps, &permit).await? {
        lock(&mut tx, &found).await?;
        let mut audit = cx.audit(&permit, Category::Access, format!("webhook/{id}"));
        audit.changes = json!({ "endpoint": id, "host": host(&found.target), "event": event });
        tx.commit(vec![entry(found.subject, audit, Vec::new())]).await.map_err(refuse_store)?;
    }
    let at = deps.now();
    let body = payload::test(&cx.environment, found.subject, event, at, &id.to_string());
    let signer = keys::signer(deps.outbound().key(), &found, at).map_err(|_| Refusal::NoRandomness)?;
    let signature = signer.sign(&event.to_string(), at.as_second(), &body).map_err(|_| Refusal::NoRandomness)?;
    let message = Message { id: event.to_string(), timestamp: at.as_second(), signature, body: body.into() };
    let answer = sender.send(&found.target, &message).await;
    let attempt = logged(&found, event, at, answer);
    let lane = LaneId { environment: cx.environment.clone(), endpoint: id };
    deps.store().webhook_log(&lane, &attempt).await.map_err(refuse_store)?;
    Ok(Tested { attempt })
}

fn logged(row: &EndpointRow, event: EventId, at: Timestamp, answer: Answer) -> AttemptRow {
    let verdict = judge(&answer);
    AttemptRow {
        id: Uuid::now_v7(),
        event,
        kind: payload::TEST.to_owned(),
        subject: row.subject,
        sequence: None,
        attempt: 1,
        at,
        took: answer.took.min(Duration::from_secs(3600)),
        outcome: word(verdict).to_owned(),
        status: answer.status.ok(),
        fault: answer.status.err().map(|fault| fault.as_str().to_owned()),
        answer: (!answer.excerpt.is_empty()).then_some(answer.excerpt),
        is_replay: false,
    }
}

/// What is to be sent again. All that is given must hold, and so must the endpoint's own filter.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// Of this tenant; a tenant's endpoint means its own.
    pub tenant: Option<TenantRef>,
    /// Behind this number of the tenant.
    pub after: Option<i64>,
    /// From this moment on.
    pub since: Option<Timestamp>,
    /// Before this moment; until now when absent.
    pub until: Option<Timestamp>,
    /// Of these types.
    pub types: Vec<Pattern>,
}

/// A replay that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Its id.
    pub id: Uuid,
}

/// Sends events of the past again, with the ids and bytes that they had. They go out beside new ones, as fast as the endpoint takes
/// them; those that wait already are not sent twice.
///
/// # Errors
/// There is no such endpoint, it is disabled, the range makes no sense, or too many replays are under way.
pub async fn replay(cx: &Ctx, deps: &Deps, id: WebhookId, wanted: Replay) -> Result<Begun, Refusal> {
    let found = read::known(cx, deps, id).await?;
    let permit = permit(cx, "webhook.replay", found.subject)?;
    is_disabled(&found)?;
    let subject = match (&wanted.tenant, found.subject) {
        (Some(tenant), _) => Some(Subject::Tenant(require(cx, deps, tenant).await?.id)),
        (None, own @ Subject::Tenant(_)) => Some(own),
        (None, Subject::Environment) => None,
    };
    check(&wanted, found.subject, subject)?;
    let mut tx = match open_towards(cx, deps, &permit, found.terms.region.as_ref()).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let row = lock(&mut tx, &found).await?;
    is_disabled(&row)?;
    if tx.webhooks().open_replays(id).await.map_err(refuse_store)? >= MOST_REPLAYS {
        return Err(Refusal::WebhookReplays);
    }
    let begun = Begun { id: Uuid::now_v7() };
    let new = NewReplay {
        id: begun.id,
        types: wanted.types,
        subject,
        after: wanted.after.unwrap_or(0),
        since: wanted.since,
        until: wanted.until.unwrap_or(cx.now),
    };
    tx.webhooks().replay(id, &new);
    remember(cx, &mut tx, &begun, None);
    let mut audit = cx.audit(&permit, Category::Access, format!("webhook/{id}"));
    audit.changes = json!({
        "endpoint": id, "replay": begun.id, "tenant": subject.and_then(Subject::tenant), "after": new.after, "since": new.since,
        "until": new.until, "types": new.types,
    });
    tx.commit(vec![entry(row.subject, audit, Vec::new())]).await.map_err(refuse_store)?;
    deps.nudge();
    Ok(begun)
}

fn check(wanted: &Replay, whose: Subject, subject: Option<Subject>) -> Result<(), Refusal> {
    let mut wrong = Vec::new();
    if whose.tenant().is_some() && subject != Some(whose) {
        wrong.push(FieldError::new("tenant", "the endpoint hears of another tenant"));
    }
    if wanted.after.is_some() && subject.is_none() {
        wrong.push(FieldError::new("after", "numbers are those of one tenant; name it by `tenant`"));
    }
    if wanted.after.is_some_and(|after| after < 0) {
        wrong.push(FieldError::new("after", "must be a whole number from 0"));
    }
    if let (Some(since), Some(until)) = (wanted.since, wanted.until)
        && since >= until
    {
        wrong.push(FieldError::new("until", "must lie behind `since`"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(Refusal::Request(wrong)) }
}

/// What was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redriven {
    /// How many dead letters.
    pub count: i64,
    /// Whether there may be more that fit.
    pub has_more: bool,
}

/// Puts dead letters back into the queue, with all attempts before them.
///
/// # Errors
/// There is no such endpoint, or it is disabled.
pub async fn redrive(cx: &Ctx, deps: &Deps, id: WebhookId, filter: &DeadFilter) -> Result<Redriven, Refusal> {
    let found = read::known(cx, deps, id).await?;
    let permit = permit(cx, "webhook.redrive", found.subject)?;
    let mut tx = match open_towards(cx, deps, &permit, found.terms.region.as_ref()).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let row = lock(&mut tx, &found).await?;
    is_disabled(&row)?;
    let count = tx.webhooks().redrive(id, filter, MOST_REDRIVEN).await.map_err(refuse_store)?;
    let redriven = Redriven { count, has_more: count == i64::from(MOST_REDRIVEN) };
    remember(cx, &mut tx, &redriven, None);
    let mut audit = cx.audit(&permit, Category::Access, format!("webhook/{id}"));
    audit.changes = json!({
        "endpoint": id, "redriven": count, "events": filter.events.len(), "types": filter.types, "cause": filter.cause,
        "since": filter.since, "until": filter.until,
    });
    tx.commit(vec![entry(row.subject, audit, Vec::new())]).await.map_err(refuse_store)?;
    deps.nudge();
    Ok(redriven)
}
