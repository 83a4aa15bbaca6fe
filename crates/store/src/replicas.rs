//! The running processes of the control plane, as they report themselves.

use std::time::Duration;

use tenantry_domain::Timestamp;
use tenantry_domain::id::ReplicaId;

use crate::columns::get;
use crate::{Store, StoreError};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaRow {
    /// Its id.
    pub id: ReplicaId,
    /// When it began.
    pub started_at: Timestamp,
    /// When it last reported, by the database's clock.
    pub seen_at: Timestamp,
    /// Its release.
    pub version: String,
}

impl Store {
    /// Reports that a process is alive.
    ///
    /// # Errors
    /// The database's.
    pub async fn heartbeat(&self, id: ReplicaId, version: &str) -> Result<(), StoreError> {
        let sql = "
            INSERT INTO tenantry.replica (id, started_at, seen_at, version)
            VALUES ($1, clock_timestamp(), clock_timestamp(), $2)
            ON CONFLICT ON CONSTRAINT replica_pkey DO UPDATE SET seen_at = excluded.seen_at";
        self.query(sql, &[&id.uuid(), &version]).await.map(|_| ())
    }

    /// Processes that reported within `window`, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn replicas(&self, window: Duration) -> Result<Vec<ReplicaRow>, StoreError> {
        let sql = "
            SELECT id, started_at, seen_at, version FROM tenantry.replica
            WHERE seen_at >= clock_timestamp() - $1 * interval '1 second' ORDER BY started_at, id";
        let rows = self.query(sql, &[&window.as_secs_f64()]).await?;
        rows.iter()
            .map(|row| {
                Ok(ReplicaRow {
                    id: ReplicaId::from_uuid(get(row, "id")?),
                    started_at: get(row, "started_at")?,
                    seen_at: get(row, "seen_at")?,
                    version: get(row, "version")?,
                })
            })
            .collect()
    }

    /// Says that a process ends in order: its claims are free at once.
    ///
    /// # Errors
    /// The database's.
    pub async fn leave(&self, id: ReplicaId) -> Result<(), StoreError> {
        let sql = "
            WITH gone AS (DELETE FROM tenantry.replica WHERE id = $1)
            UPDATE tenantry.workflow SET owner = NULL, lease_until = NULL WHERE owner = $1 AND status = 'running'";
        self.query(sql, &[&id.uuid()]).await.map(|_| ())
    }
}
