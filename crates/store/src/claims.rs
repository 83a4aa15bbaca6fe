//! The engine's side of workflows: claim, keep, journal, give back.
//!
//! A claim hands out a lease, measured by the database's clock, and a fence out of one sequence. The lease keeps
//! others away while its holder lives; the fence makes a holder harmless who only believes to live. Nothing here is
//! audited: what a workflow brings about is, by the transaction that records it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tenantry_domain::Timestamp;
use tenantry_domain::id::{ReplicaId, WorkflowId};
use tenantry_domain::workflow::{self, Kind};

use crate::columns::get;
use crate::line::{self, Failure};
use crate::progress;
use crate::workflows::{Claim, Claimed, WorkflowRow, read, read_entry, workflow_columns};
use crate::{Store, StoreError};

const CLAIM: &str = concat!(
    "WITH due AS (
        SELECT id FROM tenantry.workflow
        WHERE status = 'running' AND wake_at <= $2 AND kind = ANY ($5) AND (lease_until IS NULL OR lease_until < clock_timestamp())
        ORDER BY wake_at LIMIT $4 FOR UPDATE SKIP LOCKED
    )
    UPDATE tenantry.workflow AS w
    SET owner = $1, fence = nextval('tenantry.fence_seq'), lease_until = clock_timestamp() + $3 * interval '1 millisecond'
    FROM due WHERE w.id = due.id RETURNING ",
    workflow_columns!()
);

/// A workflow that was claimed and cannot be read is left to a replica that can: it keeps nobody from the others. Nobody else has
/// claimed it meanwhile unless its lease ran out, and then it is theirs.
const PUT_BY: &str = "
    UPDATE tenantry.workflow SET owner = NULL, lease_until = NULL, wake_at = clock_timestamp() + interval '5 seconds'
    WHERE id = ANY ($1) AND owner = $2 AND status = 'running'";

impl Store {
    /// Takes workflows that are due and free, with a new fence each. Those of a kind that this release does not know are
    /// never taken; one whose row or journal it cannot read is logged and left for five seconds. `now` is compared with the times that the
    /// engine itself set; the lease is measured by the database's clock.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim(
        &self,
        replica: ReplicaId,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        let rows = self.query(CLAIM, &[&replica.uuid(), &now, &millis(lease), &i64::from(limit), &kinds]).await?;
        let mut unread = BTreeSet::new();
        let mut taken: BTreeMap<WorkflowId, WorkflowRow> = BTreeMap::new();
        for row in &rows {
            let id = WorkflowId::from_uuid(get(row, "id")?);
            match read(row) {
                Ok(workflow) => drop(taken.insert(id, workflow)),
                Err(error) => unreadable(id, &error, &mut unread),
            }
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        // Read behind the claim: only its holder writes from now on, so the journal is whole.
        let sql = "SELECT workflow, at, fact FROM tenantry.journal WHERE workflow = ANY ($1) ORDER BY workflow, seq";
        let ids: Vec<uuid::Uuid> = taken.keys().map(|id| id.uuid()).collect();
        let mut journals: BTreeMap<WorkflowId, Vec<workflow::Entry>> = BTreeMap::new();
        for row in self.query(sql, &[&ids]).await? {
            let id = WorkflowId::from_uuid(get(&row, "workflow")?);
            match read_entry(&row) {
                Ok(entry) => journals.entry(id).or_default().push(entry),
                Err(error) => unreadable(id, &error, &mut unread),
            }
        }
        if !unread.is_empty() {
            let ids: Vec<uuid::Uuid> = unread.iter().map(|id| id.uuid()).collect();
            self.query(PUT_BY, &[&ids, &replica.uuid()]).await?;
        }
        let mut taken: Vec<WorkflowRow> = taken.into_values().filter(|row| !unread.contains(&row.id)).collect();
        taken.sort_by_key(|row| (row.wake_at, row.id));
        let claimed = |workflow: WorkflowRow| {
            let journal = journals.remove(&workflow.id).unwrap_or_default();
            Claimed { workflow, journal }
        };
        Ok(taken.into_iter().map(claimed).collect())
    }

    /// Prolongs leases; gives back the claims that were lost.
    ///
    /// # Errors
    /// The database's.
    pub async fn renew(&self, claims: &[Claim], lease: Duration) -> Result<Vec<Claim>, StoreError> {
        let sql = "
            UPDATE tenantry.workflow AS w SET lease_until = clock_timestamp() + $3 * interval '1 millisecond'
            FROM unnest($1::uuid[], $2::bigint[]) AS n (id, fence)
            WHERE w.id = n.id AND w.fence = n.fence AND w.status = 'running' AND w.owner IS NOT NULL RETURNING w.id";
        let (ids, fences) = columns(claims);
        let rows = self.query(sql, &[&ids, &fences, &millis(lease)]).await?;
        let kept: Vec<uuid::Uuid> = rows.iter().map(|row| get(row, "id")).collect::<Result<_, _>>()?;
        Ok(claims.iter().copied().filter(|claim| !kept.contains(&claim.workflow.uuid())).collect())
    }

    /// Writes facts in a transaction of their own. With `wake`, the workflow is also given back until then.
    ///
    /// # Errors
    /// [`StoreError::Fenced`], [`StoreError::UnknownOutcome`], or the database's.
    pub async fn journal(
        &self,
        claim: Claim,
        facts: &[workflow::Entry],
        wake: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let conn = self.inner.pool.get().await?;
        let statement = progress::statement(claim, facts, wake);
        let answer = line::send(&conn, None, std::slice::from_ref(&statement), false).await;
        conn.release();
        let rows = answer.map_err(|failure| match failure {
            Failure::Refused(error) => StoreError::of_lone_write(error.into()),
            Failure::Unknown => StoreError::UnknownOutcome,
        })?;
        if rows.first().is_none_or(Vec::is_empty) { Err(StoreError::Fenced) } else { Ok(()) }
    }

    /// Gives workflows back so that others may claim them at once.
    ///
    /// # Errors
    /// The database's.
    pub async fn release(&self, claims: &[Claim]) -> Result<(), StoreError> {
        let sql = "
            UPDATE tenantry.workflow AS w SET owner = NULL, lease_until = NULL
            FROM unnest($1::uuid[], $2::bigint[]) AS n (id, fence)
            WHERE w.id = n.id AND w.fence = n.fence AND w.status = 'running'";
        let (ids, fences) = columns(claims);
        self.query(sql, &[&ids, &fences]).await.map(|_| ())
    }

    /// When the next sleeping workflow is due; nothing when none sleeps.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT min(wake_at) AS wake FROM tenantry.workflow WHERE status = 'running' AND owner IS NULL";
        get(&self.query_opt(sql, &[]).await?.ok_or(StoreError::NotFound)?, "wake")
    }
}

fn unreadable(id: WorkflowId, error: &StoreError, unread: &mut BTreeSet<WorkflowId>) {
    if unread.insert(id) {
        tracing::warn!(workflow = %id, %error, "this release cannot read the run; it is left to another one");
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn columns(claims: &[Claim]) -> (Vec<uuid::Uuid>, Vec<i64>) {
    claims.iter().map(|claim| (claim.workflow.uuid(), claim.fence)).unzip()
}
