//! What was found last: of a cell in short, with the leak probe; of one place in full.

use tenantry_dataplane::guard::Report;
use tenantry_domain::Timestamp;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::CellName;
use tenantry_store::{CatalogKind, CellGauge, Counts, LookKind, OpenFinding, PlaceRow, StoreError, TenantRow};

use super::Place;
use super::pairs::{ProbeView, probe};
use crate::catalog;
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, require};

/// The most places of a cell that are named; the worst come first.
pub const PLACES_MAX: usize = 200;

/// What reports are verified with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The id that a report names.
    pub id: String,
    /// The public key in hexadecimal digits.
    pub public: String,
}

/// A cell as it was found last.
#[derive(Debug, Clone)]
pub struct CellView {
    /// The cell.
    pub cell: CellName,
    /// When every place had been looked at.
    pub ended_at: Option<Timestamp>,
    /// When the next look is due; absent when nobody looks unasked.
    pub due_at: Option<Timestamp>,
    /// Whether somebody is looking.
    pub is_running: bool,
    /// Whether somebody asked for a look that has not ended.
    pub is_requested: bool,
    /// Why the last look did not reach every place.
    pub failure: Option<String>,
    /// Findings at all places.
    pub counts: Counts,
    /// How many places there are.
    pub places_count: usize,
    /// The worst of them, with their critical and high findings.
    pub places: Vec<PlaceRow>,
    /// What the leak probe found last; absent where it never ran and does not.
    pub probe: Option<ProbeView>,
}

/// One place in full.
#[derive(Debug, Clone)]
pub struct PlaceView {
    /// The cell.
    pub cell: CellName,
    /// The place.
    pub place: String,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// The critical and high findings, with the time since when each is known.
    pub open: Vec<OpenFinding>,
    /// The report.
    pub report: Report,
}

/// A signed report to the byte, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The place.
    pub place: String,
    /// One line of canonical JSON.
    pub text: String,
}

/// The key that reports are verified with.
///
/// # Errors
/// The root key makes none.
pub fn keys(deps: &Deps) -> Result<Keys, Refusal> {
    let public = deps.guard_key().and_then(|key| key.public_key().ok());
    let public = public.ok_or(Refusal::Internal(StoreError::Unreadable { what: "signing key" }))?;
    Ok(Keys { id: public.id(), public: public.to_hex() })
}

/// The name of a cell that exists.
pub(super) async fn cell_name(cx: &Ctx, deps: &Deps, name: &str) -> Result<CellName, Refusal> {
    let missing = || Refusal::NoObject { kind: CatalogKind::Cell.as_str().to_owned(), name: name.to_owned() };
    let cell = CellName::parse(name).map_err(|_| missing())?;
    catalog::get(cx, deps, CatalogKind::Cell, name).await?;
    Ok(cell)
}

/// The home that a tenant without a database of its own is in.
pub(super) fn home(row: &TenantRow) -> Place {
    Place::Home(row.spec.app.clone())
}

fn unseen(name: impl std::fmt::Display) -> Refusal {
    Refusal::NoObject { kind: "isolation report of".to_owned(), name: name.to_string() }
}

/// A cell as it was found last.
///
/// # Errors
/// There is no such cell, or nobody has looked at it yet.
pub async fn cell(cx: &Ctx, deps: &Deps, name: &str) -> Result<CellView, Refusal> {
    let view = status(cx, deps, name).await?;
    let was_probed = view.probe.as_ref().is_some_and(|probe| probe.ended_at.is_some() || probe.pairs_count > 0);
    if view.places.is_empty() && !was_probed { Err(unseen(name)) } else { Ok(view) }
}

/// The same, also where nobody has looked yet.
///
/// # Errors
/// There is no such cell.
pub async fn status(cx: &Ctx, deps: &Deps, name: &str) -> Result<CellView, Refusal> {
    cx.permit_environment("isolation.read")?;
    let cell = cell_name(cx, deps, name).await?;
    let reader = deps.store().read(&cx.environment);
    let turn = reader.isolation_turn(&cell, LookKind::Guard).await.map_err(refuse_store)?;
    let mut places = reader.isolation_places(&cell, LookKind::Guard).await.map_err(refuse_store)?;
    let mut counts = Counts::default();
    for place in &places {
        counts.critical += place.counts.critical;
        counts.high += place.counts.high;
        counts.medium += place.counts.medium;
        counts.low += place.counts.low;
    }
    let places_count = places.len();
    places.truncate(PLACES_MAX);
    let probe = probe(deps, &reader, &cell).await?;
    Ok(CellView {
        cell,
        ended_at: turn.as_ref().and_then(|turn| turn.ended_at),
        due_at: turn.as_ref().map(|turn| turn.due_at).filter(|_| deps.options().guard.every.is_some()),
        is_running: turn.as_ref().is_some_and(|turn| turn.is_running),
        is_requested: turn.as_ref().is_some_and(|turn| turn.requested_at.is_some()),
        failure: turn.and_then(|turn| turn.failure),
        counts,
        places_count,
        places,
        probe,
    })
}

/// The signed report of one place of a cell.
///
/// # Errors
/// There is no such cell, or nobody has looked at such a place yet.
pub async fn document(cx: &Ctx, deps: &Deps, name: &str, place: &Place) -> Result<Document, Refusal> {
    cx.permit_environment("isolation.read")?;
    let cell = cell_name(cx, deps, name).await?;
    let place = place.to_string();
    let found = deps.store().read(&cx.environment).isolation_document(&cell, LookKind::Guard, &place).await;
    let (text, _) = found.map_err(refuse_store)?.ok_or_else(|| unseen(format_args!("{name}, {place}")))?;
    Ok(Document { place, text })
}

/// Where a tenant's data is.
async fn whereabouts(cx: &Ctx, deps: &Deps, reference: &TenantRef) -> Result<(CellName, Place), Refusal> {
    let row = require(cx, deps, reference).await?;
    cx.permit("isolation.read", row.id)?;
    let Some(placement) = &row.placement else { return Err(Refusal::NoPlace(row.slug.to_string())) };
    let place = match placement.isolation {
        Isolation::Shared | Isolation::Schema => home(&row),
        Isolation::Database | Isolation::Cluster => Place::Own(row.id),
    };
    Ok((placement.cell.clone(), place))
}

/// The database that a tenant's data is in, as it was found last.
///
/// # Errors
/// There is no such tenant, it has no place, or nobody has looked at it yet.
pub async fn tenant(cx: &Ctx, deps: &Deps, reference: &TenantRef) -> Result<PlaceView, Refusal> {
    let (cell, place) = whereabouts(cx, deps, reference).await?;
    let place = place.to_string();
    let reader = deps.store().read(&cx.environment);
    let row = reader.isolation_place(&cell, LookKind::Guard, &place).await.map_err(refuse_store)?;
    let document = reader.isolation_document(&cell, LookKind::Guard, &place).await.map_err(refuse_store)?;
    let (Some(row), Some((text, since))) = (row, document) else { return Err(unseen(reference)) };
    // It is ours and was signed when it was stored; who wants proof takes the document.
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let report = serde_json::from_value(value["report"].take());
    let report = report.map_err(|_| Refusal::Internal(StoreError::Unreadable { what: "report" }))?;
    Ok(PlaceView { cell, place, since, open: row.open, report })
}

/// The same, signed.
///
/// # Errors
/// As for [`tenant`].
pub async fn tenant_document(cx: &Ctx, deps: &Deps, reference: &TenantRef) -> Result<Document, Refusal> {
    let (cell, place) = whereabouts(cx, deps, reference).await?;
    let place = place.to_string();
    let found = deps.store().read(&cx.environment).isolation_document(&cell, LookKind::Guard, &place).await;
    let (text, _) = found.map_err(refuse_store)?.ok_or_else(|| unseen(reference))?;
    Ok(Document { place, text })
}

/// All cells of the installation with what was found there; for counters.
///
/// # Errors
/// Our database does not answer.
pub async fn gauges(deps: &Deps) -> Result<Vec<CellGauge>, Refusal> {
    deps.store().isolation_gauges(LookKind::Guard).await.map_err(refuse_store)
}

/// All cells of the installation with what came through at the leak probe; for counters.
///
/// # Errors
/// Our database does not answer.
pub async fn leaks(deps: &Deps) -> Result<Vec<CellGauge>, Refusal> {
    deps.store().isolation_gauges(LookKind::Probe).await.map_err(refuse_store)
}
