//! A look ahead: what a change would come to, asked by the calls that make it, on a transaction that changes nothing.
//!
//! The server begins it read-only and in one snapshot, so no row is locked and nobody waits for it: a statement that locks
//! rows or writes is refused by PostgreSQL itself (advisory locks are not, and are left out here by hand). What the change
//! would have written is kept here as far as its own next decisions see it: documents of the catalog, places of cells, names of
//! tenants, approvals that are used up. What is gathered for a commit is dropped, and there is no commit. Not kept, because nothing that is decided in the same change asks for it but at the margin:
//! labels of tenants that have a place, and the promises of tenants that follow to a version of a plan by themselves.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tenantry_domain::cell::{Capacity, CellLoad};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::CellName;
use tenantry_domain::plan::promise::Promises;
use tenantry_domain::plan::version::held;
use uuid::Uuid;

use crate::StoreError;
use crate::catalog::{Catalog, CatalogKind, CatalogPut, CatalogRow};
use crate::chain::event_id;
use crate::columns::get;
use crate::line::Statement;
use crate::plans::{HeldPlan, PlanOf};
use crate::tenants::TenantRow;
use crate::tenants::names::Name;

/// A document that was removed goes on counting when it is made again.
const NEWEST: &str = "
    SELECT coalesce(max(version), 0) AS version FROM tenantry.catalog_version WHERE env = $1 AND kind = $2 AND name = $3";

/// What a look ahead would have written.
#[derive(Default)]
pub(crate) struct Ahead {
    documents: BTreeMap<(CatalogKind, String), CatalogRow>,
    /// Of the plans among them: the newest version that tenants follow to by themselves.
    floors: BTreeMap<String, i64>,
    /// Places taken, less those given back.
    places: BTreeMap<(CellName, Isolation), i64>,
    /// Names that were taken, and those that were given up.
    names: BTreeMap<Name, Fate>,
    /// Approvals that are used up.
    pub(crate) spent: BTreeSet<Uuid>,
}

/// What became of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Taken,
    GivenUp,
}

impl Ahead {
    /// A document that was written.
    pub(crate) fn document(&self, kind: CatalogKind, name: &str) -> Option<&CatalogRow> {
        self.documents.get(&(kind, name.to_owned()))
    }

    /// All documents of a kind, where these are the stored ones.
    pub(crate) fn documents(&self, kind: CatalogKind, stored: Vec<CatalogRow>) -> Vec<CatalogRow> {
        let written = self.documents.iter().filter(|((of, _), _)| *of == kind).map(|(_, row)| row.clone());
        let all: BTreeMap<String, CatalogRow> =
            stored.into_iter().chain(written).map(|row| (row.name.clone(), row)).collect();
        all.into_values().collect()
    }

    /// The default plan other than one, where this is the stored one.
    pub(crate) fn other_default(&self, plan: &str, stored: Option<String>) -> Option<String> {
        let is_default = |row: &CatalogRow| row.spec.get("default").and_then(Value::as_bool) == Some(true);
        let mut plans = self.documents.values().filter(|row| row.kind == CatalogKind::Plan && row.name != plan);
        let written = plans.find(|row| is_default(row)).map(|row| row.name.clone());
        written.or_else(|| stored.filter(|name| self.document(CatalogKind::Plan, name).is_none()))
    }

    /// A plan that was written, as whoever binds a tenant to it holds it.
    pub(crate) fn held_plan(&self, plan: &str) -> Option<HeldPlan> {
        let row = self.document(CatalogKind::Plan, plan)?;
        let floor = self.floors.get(plan).copied().unwrap_or_default();
        Some(HeldPlan { version: row.version, floor, spec: row.spec.clone() })
    }

    /// The cells with their places, where these are the stored ones.
    pub(crate) fn loads(&self, stored: Vec<CellLoad>) -> Result<Vec<CellLoad>, StoreError> {
        let mut all: BTreeMap<CellName, CellLoad> = stored.into_iter().map(|load| (load.name.clone(), load)).collect();
        for row in self.documents.values().filter(|row| row.kind == CatalogKind::Cell) {
            let name: CellName = row.name.parse().map_err(|_| StoreError::Unreadable { what: "name" })?;
            let spec = serde_json::from_value(row.spec.clone()).map_err(|_| StoreError::Unreadable { what: "spec" })?;
            let used = all.get(&name).map_or_else(Capacity::default, |load| load.used);
            all.insert(name.clone(), CellLoad { name, spec, used, promised: Promises::new() });
        }
        for ((cell, level), places) in &self.places {
            let Some(load) = all.get_mut(cell) else { continue };
            let used = match level {
                Isolation::Shared => &mut load.used.shared,
                Isolation::Schema => &mut load.used.schema,
                Isolation::Database => &mut load.used.database,
                Isolation::Cluster => continue,
            };
            *used = u32::try_from((i64::from(*used) + places).max(0)).unwrap_or(u32::MAX);
        }
        Ok(all.into_values().collect())
    }

    /// Takes places of a cell, or gives them back where there are less than none.
    pub(crate) fn place(&mut self, cell: &CellName, level: Isolation, places: i64) {
        *self.places.entry((cell.clone(), level)).or_default() += places;
    }

    /// Takes names of which some are stored with somebody else; gives the first that is not to be had.
    pub(crate) fn take(&mut self, wanted: Vec<Name>, stored: &BTreeSet<Name>) -> Option<Name> {
        let is_free = |name: &Name| match self.names.get(name) {
            Some(Fate::Taken) => false,
            Some(Fate::GivenUp) => true,
            None => !stored.contains(name),
        };
        if let Some(taken) = wanted.iter().find(|name| !is_free(name)) {
            return Some(taken.clone());
        }
        self.names.extend(wanted.into_iter().map(|name| (name, Fate::Taken)));
        None
    }

    /// Gives names up.
    pub(crate) fn give_up(&mut self, names: impl IntoIterator<Item = Name>) {
        self.names.extend(names.into_iter().map(|name| (name, Fate::GivenUp)));
    }
}

impl Catalog<'_> {
    /// What [`Catalog::put`] would have written.
    pub(crate) async fn put_ahead(&mut self, put: &CatalogPut) -> Result<CatalogRow, StoreError> {
        let old = self.get(put.kind, &put.name).await?;
        let current = old.as_ref().map_or(0, |row| row.version);
        if current != put.from_version {
            return Err(StoreError::StaleVersion { current });
        }
        let newest = Statement::new(NEWEST).bind(self.tx.env()).bind(put.kind.as_str()).bind(put.name.clone());
        let newest: i64 = get(self.tx.rows(newest).await?.first().ok_or(StoreError::NotFound)?, "version")?;
        let version = newest.max(current) + 1;
        let now = self.tx.now;
        if put.kind == CatalogKind::Plan {
            // As the table's trigger has it.
            let stays = put.spec.get("tenants").and_then(Value::as_str) == Some("keep");
            let floor = match self.hold_plan(&put.name).await? {
                Some(held) if stays => held.floor,
                _ => version,
            };
            if let Some(ahead) = &mut self.tx.ahead {
                ahead.floors.insert(put.name.clone(), floor);
            }
        }
        let row = CatalogRow {
            kind: put.kind,
            name: put.name.clone(),
            id: old.as_ref().map_or_else(|| event_id(now), |row| row.id),
            version,
            spec: put.spec.clone(),
            created_at: old.map_or(now, |row| row.created_at),
            updated_at: now,
        };
        if let Some(ahead) = &mut self.tx.ahead {
            ahead.documents.insert((put.kind, put.name.clone()), row.clone());
        }
        Ok(row)
    }

    /// The plan of a tenant, where a version of it was written: that one, or the older one that the tenant keeps.
    pub(crate) async fn plan_ahead(
        &mut self,
        plan: HeldPlan,
        tenant: &TenantRow,
    ) -> Result<Option<PlanOf>, StoreError> {
        let version = held(tenant.plan_version, plan.floor, plan.version);
        if version == plan.version {
            return Ok(Some(PlanOf { version, spec: plan.spec }));
        }
        let spec = self.plan_at(tenant.spec.plan.as_str(), version).await?;
        Ok(spec.map(|spec| PlanOf { version, spec }))
    }
}
