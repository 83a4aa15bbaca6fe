//! What the leak probe found last at each pair of canary tenants of a cell, with how much it tried.
//!
//! A pair is kept like any other place, under its attacker; how much was tried is in its signed report and nowhere else.

use serde_json::Value;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName};
use tenantry_pg::Row;

use super::{LookKind, PlaceRow, read};
use crate::columns::{json_opt, parse_opt};
use crate::{Reader, StoreError};

/// A pair of canary tenants as the probe found it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairRow {
    /// The place of the tenant that attacks; every critical finding is a probe that came through.
    pub place: PlaceRow,
    /// Whose app it is; absent once the tenant is gone.
    pub app: Option<AppName>,
    /// The level of both; absent once the tenant is gone.
    pub isolation: Option<Isolation>,
    /// The report's account of what was tried; absent in one of an older release.
    pub tried: Option<Value>,
}

const PAIRS: &str = "
    SELECT p.cell, p.place, p.tenant, p.seq, p.taken_at, p.critical, p.high, p.medium, p.low, p.open, t.app, t.isolation,
        r.document::jsonb #> '{report,tried}' AS tried
    FROM tenantry.isolation_place AS p
    LEFT JOIN tenantry.isolation_report AS r
        ON r.env = p.env AND r.cell = p.cell AND r.kind = p.kind AND r.place = p.place AND r.seq = p.seq
    LEFT JOIN tenantry.tenant AS t ON t.env = p.env AND t.id = p.tenant
    WHERE p.env = $1 AND p.cell = $2 AND p.kind = $3 ORDER BY p.critical DESC, t.app, t.isolation, p.place";

fn pair(row: &Row) -> Result<PairRow, StoreError> {
    Ok(PairRow {
        place: read(row)?,
        app: parse_opt(row, "app")?,
        isolation: parse_opt(row, "isolation")?,
        tried: json_opt(row, "tried")?,
    })
}

impl Reader {
    /// The pairs of canary tenants of a cell as the probe found them last, those that leak first.
    ///
    /// # Errors
    /// The database's.
    pub async fn isolation_pairs(&self, cell: &CellName) -> Result<Vec<PairRow>, StoreError> {
        let kind = LookKind::Probe.as_str();
        let rows = self.store.query(PAIRS, &[&self.environment.as_str(), &cell.as_str(), &kind]).await?;
        rows.iter().map(pair).collect()
    }
}
