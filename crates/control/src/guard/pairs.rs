//! What the leak probe found last on a cell, pair by pair, with how much it tried.

use tenantry_dataplane::guard::Tried;
use tenantry_domain::Timestamp;
use tenantry_domain::name::CellName;
use tenantry_store::{LookKind, PairRow, Reader};

use super::read::PLACES_MAX;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;

/// The leak probe on a cell as it ended last.
#[derive(Debug, Clone)]
pub struct ProbeView {
    /// When every pair had been tried; absent before the first time.
    pub ended_at: Option<Timestamp>,
    /// When the next run is due; absent when the probe does not run.
    pub due_at: Option<Timestamp>,
    /// Whether it is running.
    pub is_running: bool,
    /// Why the last run did not reach every pair.
    pub failure: Option<String>,
    /// Probes of all pairs that came through.
    pub leaks: u64,
    /// Probes of all pairs that were sent.
    pub probes: u64,
    /// How many pairs there are.
    pub pairs_count: usize,
    /// The pairs, those that leak first.
    pub pairs: Vec<PairView>,
}

/// One pair of canary tenants.
#[derive(Debug, Clone)]
pub struct PairView {
    /// The pair as it was found.
    pub row: PairRow,
    /// How much was tried; absent in a report of an older release.
    pub tried: Option<Tried>,
}

/// What is kept of the probe on a cell; nothing where it never ran and does not.
pub(super) async fn probe(deps: &Deps, reader: &Reader, cell: &CellName) -> Result<Option<ProbeView>, Refusal> {
    let is_on = deps.options().guard.probe.is_some();
    let turn = reader.isolation_turn(cell, LookKind::Probe).await.map_err(refuse_store)?;
    let rows = reader.isolation_pairs(cell).await.map_err(refuse_store)?;
    let ended_at = turn.as_ref().and_then(|turn| turn.ended_at);
    if !is_on && rows.is_empty() && ended_at.is_none() {
        return Ok(None);
    }
    let mut pairs: Vec<PairView> = rows
        .into_iter()
        .map(|row| PairView { tried: row.tried.clone().and_then(|tried| serde_json::from_value(tried).ok()), row })
        .collect();
    let view = ProbeView {
        ended_at,
        due_at: turn.as_ref().map(|turn| turn.due_at).filter(|_| is_on),
        is_running: turn.as_ref().is_some_and(|turn| turn.is_running),
        failure: turn.and_then(|turn| turn.failure),
        leaks: pairs.iter().map(|pair| pair.row.place.counts.critical).sum(),
        probes: pairs.iter().filter_map(|pair| pair.tried.as_ref()).map(|tried| tried.probes).sum(),
        pairs_count: pairs.len(),
        pairs: Vec::new(),
    };
    pairs.truncate(PLACES_MAX);
    Ok(Some(ProbeView { pairs, ..view }))
}
