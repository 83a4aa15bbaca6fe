//! Looking at all places of an app on a cell before a rollout: which of them have the structure already.
//!
//! A number of queries that does not grow with the number of places. What is in databases of tenants' own is not looked
//! at: a connection each would take longer than the migration that it might spare.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _};
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_pg::Pool;

use crate::catalog::{self, Fingerprint, get};
use crate::cell::Cell;
use crate::error::DataError;
use crate::ledger;
use crate::names::Place;
use crate::space::AppTarget;

/// Connections that look at schemas at a time: each keeps one processor of the server busy.
const LOOKS: usize = 2;

/// How a place stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The app's version that it was brought to.
    pub version: i64,
    /// Whether it is as it was left then, by the fingerprint of its catalog.
    pub is_intact: bool,
    /// Whether its tenant added something before files ran there, see [`Cell::overlay`].
    pub has_overlay: bool,
}

/// The places of an app on a cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    /// What its tenants share; absent when there is no such thing, or when it was never brought to the end.
    pub home: Option<Standing>,
    /// Tenants with a schema of their own; those that were never brought to the end are left out.
    pub schemas: BTreeMap<TenantId, Standing>,
}

/// How busy a cell's server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Sessions that wait for a lock.
    pub waiting: u32,
    /// Sessions of clients.
    pub connections: u32,
    /// Sessions that it allows.
    pub most: u32,
}

impl Cell {
    /// How the places of an app on this cell stand; nothing when the app has no home here. `schemas` are the tenants
    /// with a schema of their own.
    ///
    /// # Errors
    /// The server refuses, or is gone.
    pub async fn fleet(&self, app: &AppTarget, schemas: &[TenantId]) -> Result<Option<Fleet>, DataError> {
        if !self.has_home(app).await? {
            return Ok(None);
        }
        let names = self.names(app)?;
        let mut owners = BTreeMap::new();
        let mut places = vec![names.shared()];
        for tenant in schemas {
            let place = names.place(*tenant, Isolation::Schema)?;
            owners.insert(place.schema.as_str().to_owned(), *tenant);
            places.push(place);
        }
        let pool = self.home_pool(&names);
        let tx = pool.begin().await?;
        let recorded = ledger::fingerprints(&tx).await?;
        let overlaid = ledger::all_overlaid(&tx).await?;
        tx.rollback().await?;
        let present = fingerprints(&pool, &places).await?;
        let standing = |name: &str| {
            let (version, fingerprint) = recorded.get(name)?;
            let is_intact = present.get(name).is_some_and(|present| present.is(fingerprint));
            Some(Standing { version: *version, is_intact, has_overlay: overlaid.contains(name) })
        };
        let schemas = owners.iter().filter_map(|(name, tenant)| Some((*tenant, standing(name)?))).collect();
        Ok(Some(Fleet { home: standing(names.shared().schema.as_str()), schemas }))
    }

    /// How busy the server is.
    ///
    /// # Errors
    /// The server refuses, or is gone.
    pub async fn load(&self) -> Result<Load, DataError> {
        let conn = self.server_pool().get().await?;
        let sql = "SELECT count(*) FILTER (WHERE wait_event_type = 'Lock'), count(*), current_setting('max_connections')::bigint
            FROM pg_stat_activity WHERE backend_type = 'client backend'";
        let row = conn.query_one(sql, &[]).await?;
        conn.release();
        let number = |index| Ok::<_, DataError>(u32::try_from(get::<i64>(&row, index)?).unwrap_or(u32::MAX));
        Ok(Load { waiting: number(0)?, connections: number(1)?, most: number(2)? })
    }
}

/// The fingerprints of many schemas, on a few connections at a time.
async fn fingerprints(pool: &Pool, places: &[Place]) -> Result<BTreeMap<String, Fingerprint>, DataError> {
    let look = |places: &[Place]| {
        let places = places.to_vec();
        async move {
            let tx = pool.begin().await?;
            let found = catalog::fingerprints(&tx, &places).await?;
            tx.rollback().await?;
            Ok::<_, DataError>(found)
        }
    };
    let looks: Vec<_> = places.chunks(catalog::AT_ONCE).map(look).collect();
    let mut looks = stream::iter(looks).buffer_unordered(LOOKS);
    let mut present = BTreeMap::new();
    while let Some(found) = looks.next().await {
        present.append(&mut found?);
    }
    Ok(present)
}
