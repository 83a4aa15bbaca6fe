//! Writes down what a look found, and tells the news.

use serde_json::json;
use tenantry_dataplane::guard::{Report, SignError};
use tenantry_domain::audit::Category;
use tenantry_domain::event::{Draft, Type};
use tenantry_domain::name::{CellName, EnvironmentName};
use tenantry_domain::policy::{self, Actor, Rights, Scope};
use tenantry_store::{Entry, LookKind, OpenFinding, PlaceRow, PlaceState, StoreError};

use super::Place;
use super::change::{Change, compare, counts};
use crate::ctx::Ctx;
use crate::deps::{Deps, mint};

/// The most findings that an event, an entry and the log name one by one; the report has all of them.
const NAMED_MAX: usize = 50;

/// How often a place that somebody else writes at the same time is tried.
const TRIES: usize = 3;

/// Why something was not written down.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Our database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The report could not be signed.
    #[error("the report could not be signed")]
    Sign(#[from] SignError),
    /// The installation's root key makes no signing key.
    #[error("there is no key to sign reports with")]
    NoKey,
}

/// Where something was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot<'a> {
    pub environment: &'a EnvironmentName,
    pub cell: &'a CellName,
    pub kind: LookKind,
    pub place: &'a Place,
}

/// Keeps a report as the place's state. An older one than is there is left out.
pub(crate) async fn record(deps: &Deps, spot: Spot<'_>, report: &Report) -> Result<(), RecordError> {
    let document = report.sign(deps.guard_key().ok_or(RecordError::NoKey)?)?.document()?;
    let findings = serde_json::to_vec(&report.section.findings).unwrap_or_default();
    let mut digest = [0; 32];
    digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &findings).as_ref());
    let state = |open: Vec<OpenFinding>| PlaceState {
        cell: spot.cell.clone(),
        kind: spot.kind,
        place: spot.place.to_string(),
        tenant: spot.place.tenant(),
        taken_at: report.taken_at,
        counts: counts(report),
        open,
        digest,
        document: document.clone(),
    };
    let news = |row: &Option<PlaceRow>| {
        compare(row.as_ref().map(|row| row.open.as_slice()).unwrap_or_default(), report, deps.now())
    };
    let is_older = |row: &Option<PlaceRow>| row.as_ref().is_some_and(|row| row.taken_at >= report.taken_at);
    let seq = |row: &Option<PlaceRow>| row.as_ref().map_or(0, |row| row.seq);
    let reader = deps.store().read(spot.environment);
    for _ in 0..TRIES {
        let row = reader.isolation_place(spot.cell, spot.kind, &spot.place.to_string()).await?;
        if is_older(&row) {
            return Ok(());
        }
        let change = news(&row);
        if change.is_quiet() {
            if deps.store().isolation_keep(spot.environment, &state(change.open), seq(&row)).await? {
                return Ok(());
            }
            continue;
        }
        let cx = context(deps, spot.environment);
        let permit = policy::controller("isolation.record", Scope::environment(spot.environment.clone()));
        let mut tx = deps.store().write(&permit, cx.now).await?;
        let row = tx.isolation().lock(spot.cell, spot.kind, &spot.place.to_string()).await?;
        let change = news(&row);
        if is_older(&row) || change.is_quiet() {
            tx.rollback().await;
            continue;
        }
        match tx.isolation().put(&state(change.open.clone()), seq(&row)).await {
            Ok(()) => {}
            Err(StoreError::StaleVersion { .. }) => continue,
            Err(error) => return Err(error.into()),
        }
        let slug = match spot.place.tenant() {
            Some(id) => tx.tenants().lock_many(&[id]).await?.pop().map(|row| row.slug.to_string()),
            None => None,
        };
        tx.commit(vec![entry(&cx, &permit, spot, slug, &change, None)]).await?;
        tell(spot, &change);
        return Ok(());
    }
    Ok(())
}

/// Forgets places that are no more. Their findings are closed with them.
pub(crate) async fn forget_all(deps: &Deps, turn: &tenantry_store::Turn, there: &[String]) -> Result<(), StoreError> {
    deps.store().isolation_prune(turn, there).await?;
    let rows = deps.store().read(&turn.environment).isolation_places(&turn.cell, turn.kind).await?;
    for row in rows.into_iter().filter(|row| !there.contains(&row.place)) {
        let Ok(place) = row.place.parse::<Place>() else { continue };
        let spot = Spot { environment: &turn.environment, cell: &turn.cell, kind: turn.kind, place: &place };
        let cx = context(deps, &turn.environment);
        let permit = policy::controller("isolation.record", Scope::environment(turn.environment.clone()));
        let mut tx = deps.store().write(&permit, cx.now).await?;
        let Some(row) = tx.isolation().lock(&turn.cell, turn.kind, &row.place).await? else {
            tx.rollback().await;
            continue;
        };
        tx.isolation().forget(&turn.cell, turn.kind, &row.place).await?;
        let change = Change { closed: row.open, ..Change::default() };
        // The tenant may be gone as well, so it goes on the environment's record.
        let mut entry = entry(&cx, &permit, spot, None, &change, Some("the place is gone"));
        entry.subject = tenantry_store::Subject::Environment;
        tx.commit(vec![entry]).await?;
    }
    Ok(())
}

fn context(deps: &Deps, environment: &EnvironmentName) -> Ctx {
    let request_id = mint::request();
    Ctx {
        actor: Actor::controller("guard"),
        person: None,
        rights: Rights::all(),
        environment: environment.clone(),
        request_id,
        correlation_id: request_id.to_string(),
        now: deps.now(),
        idempotency: None,
    }
}

fn entry(
    cx: &Ctx,
    permit: &policy::Permit,
    spot: Spot<'_>,
    slug: Option<String>,
    change: &Change,
    reason: Option<&str>,
) -> Entry {
    let target = slug.as_ref().map_or_else(|| format!("cell/{}", spot.cell), |slug| format!("tenant/{slug}"));
    let mut audit = cx.audit(permit, Category::Drift, target);
    audit.reason = reason.map(ToOwned::to_owned);
    audit.changes = json!({
        "cell": spot.cell, "place": spot.place.to_string(), "kind": spot.kind.as_str(),
        "opened": named(&change.opened), "openedCount": change.opened.len(),
        "closed": named(&change.closed), "closedCount": change.closed.len(),
    });
    let payload = |findings: &[OpenFinding]| {
        json!({
            "cell": spot.cell, "place": spot.place.to_string(), "kind": spot.kind.as_str(),
            "severity": findings.iter().map(|one| one.severity.as_str()).min(),
            "count": findings.len(), "findings": named(findings),
        })
    };
    let both = [(Type::IsolationFindingOpened, &change.opened), (Type::IsolationFindingClosed, &change.closed)];
    let events = both.into_iter().filter(|(_, findings)| !findings.is_empty());
    let events = events.map(|(kind, findings)| Draft::new(kind, payload(findings))).collect();
    match spot.place.tenant() {
        Some(id) if slug.is_some() => Entry::tenant(id, audit, events),
        _ => Entry::environment(audit, events),
    }
}

/// Names of objects and checks; no value of a tenant's row is ever in a finding.
fn named(findings: &[OpenFinding]) -> serde_json::Value {
    let one = |finding: &OpenFinding| {
        json!({
            "check": finding.check, "object": finding.object, "severity": finding.severity, "title": finding.title,
            "since": finding.since,
        })
    };
    findings.iter().take(NAMED_MAX).map(one).collect()
}

fn tell(spot: Spot<'_>, change: &Change) {
    let (cell, place, kind) = (spot.cell, spot.place, spot.kind.as_str());
    for OpenFinding { check, object, severity, title, .. } in change.opened.iter().take(NAMED_MAX) {
        tracing::error!(%cell, %place, kind, check, object, severity, title, "tenants may not be isolated");
    }
    for OpenFinding { check, object, .. } in change.closed.iter().take(NAMED_MAX) {
        tracing::info!(%cell, %place, kind, check, object, "an isolation finding is gone");
    }
}
