//! Looking at what became of a tenant: its row, its runs, and everything that may explain why nothing moves.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use uuid::Uuid;

use super::{PATIENCE, World, tail};

/// A tenant as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub id: Uuid,
    pub slug: String,
    pub phase: String,
    pub version: i64,
    pub observed: i64,
    pub isolation: Option<Isolation>,
    pub generation: i64,
}

impl Tenant {
    /// The name of its schema or database, and of its login.
    pub fn name(&self) -> String {
        tenant_name(self.id)
    }

    /// The database and schema of its tables, at the level where it is or will be.
    pub fn place(&self, level: Isolation) -> (String, String) {
        match level {
            Isolation::Shared => (super::HOME.to_owned(), "app".to_owned()),
            Isolation::Schema => (super::HOME.to_owned(), self.name()),
            _ => (self.name(), "app".to_owned()),
        }
    }

    pub fn typed(&self) -> TenantId {
        TenantId::from_uuid(self.id)
    }
}

/// The name of a tenant's own objects.
pub fn tenant_name(id: Uuid) -> String {
    format!("t_{}", id.simple())
}

/// A workflow run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub id: Uuid,
    pub status: String,
}

impl World {
    /// The living tenant of a slug, else the one that was deleted last.
    pub async fn tenant(&self, slug: &str) -> Tenant {
        let sql = "SELECT id, slug, phase, version, observed_version, isolation, placement_generation
                   FROM tenantry.tenant WHERE slug = $1 ORDER BY phase = 'deleted', created_at DESC LIMIT 1";
        let row =
            self.control.query_one(sql, &[&slug]).await.unwrap_or_else(|error| panic!("tenant {slug}: {error:?}"));
        Tenant {
            id: row.get(0),
            slug: row.get(1),
            phase: row.get(2),
            version: row.get(3),
            observed: row.get(4),
            isolation: row.get::<_, Option<&str>>(5).map(|level| level.parse().unwrap()),
            generation: row.get(6),
        }
    }

    /// The newest run of a kind.
    pub async fn run(&self, tenant: Uuid, kind: &str) -> Option<Run> {
        let sql =
            "SELECT id, status FROM tenantry.workflow WHERE tenant = $1 AND kind = $2 ORDER BY created_at DESC LIMIT 1";
        let row = self.control.query_opt(sql, &[&tenant, &kind]).await.unwrap()?;
        Some(Run { id: row.get(0), status: row.get(1) })
    }

    /// Whether a fact is in the journal of the newest run of a kind.
    pub async fn has_fact(&self, tenant: Uuid, kind: &str, fact: &str) -> bool {
        let Some(run) = self.run(tenant, kind).await else { return false };
        let sql = "SELECT EXISTS (SELECT FROM tenantry.journal WHERE workflow = $1 AND fact ->> 'fact' = $2)";
        self.control.query_one(sql, &[&run.id, &fact]).await.unwrap().get(0)
    }

    /// Tenants of these that are not at rest: something is due, or at work.
    pub async fn restless(&self, slugs: &[String]) -> i64 {
        let sql = "SELECT count(*) FROM tenantry.tenant AS t WHERE t.slug = ANY ($1) AND (t.is_unsettled
                   OR EXISTS (SELECT FROM tenantry.workflow AS w WHERE w.tenant = t.id AND w.status = 'running'))";
        self.control.query_one(sql, &[&slugs]).await.unwrap().get(0)
    }

    /// How many tenants got a place that had been made in advance.
    pub async fn ready_made(&self) -> i64 {
        let sql = "SELECT count(*) FROM tenantry.journal WHERE fact -> 'output' -> 'premade' = 'true'";
        self.control.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Waits until every served tenant has the newest version of its app, and nothing is at work.
    pub async fn released(&self) -> Result<(), String> {
        let sql =
            "SELECT count(*) FROM tenantry.tenant AS t JOIN tenantry.catalog AS c ON c.kind = 'app' AND c.name = t.app
            WHERE t.phase = 'active' AND (t.app_version < c.version
              OR EXISTS (SELECT FROM tenantry.workflow AS w WHERE w.tenant = t.id AND w.status = 'running'))";
        let until = Instant::now() + PATIENCE;
        loop {
            let left: i64 = self.control.query_one(sql, &[]).await.unwrap().get(0);
            if left == 0 {
                return Ok(());
            }
            if Instant::now() > until {
                let sql = "SELECT slug FROM tenantry.tenant WHERE phase = 'active'";
                let slugs: Vec<String> =
                    self.control.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
                return Err(format!("{left} tenants do not get the app's newest version\n{}", self.dump(&slugs).await));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until all of these are at rest. What keeps them from it is told when they do not come to it in time.
    pub async fn quiet(&self, slugs: &[String]) -> Result<(), String> {
        self.quiet_within(slugs, PATIENCE).await
    }

    /// [`Self::quiet`] with another patience.
    pub async fn quiet_within(&self, slugs: &[String], patience: Duration) -> Result<(), String> {
        let until = Instant::now() + patience;
        loop {
            let left = self.restless(slugs).await;
            if left == 0 {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!(
                    "{left} of {} tenants do not come to rest\n{}",
                    slugs.len(),
                    self.dump(slugs).await
                ));
            }
            tokio::time::sleep(Duration::from_millis(if slugs.len() > 5 { 50 } else { 5 })).await;
        }
    }

    /// Journals, leases, locks, sessions and the log's end.
    pub async fn dump(&self, slugs: &[String]) -> String {
        let parts = [
            (
                "runs",
                "SELECT concat_ws(' ', t.slug, t.phase, '->', t.requested, w.id, w.kind, w.status, 'fence', w.fence, 'owner', w.owner,
                        'lease', w.lease_until - clock_timestamp(), 'wake', w.wake_at - clock_timestamp(), w.cause)
                 FROM tenantry.tenant AS t LEFT JOIN tenantry.workflow AS w ON w.tenant = t.id
                 WHERE t.slug = ANY ($1) ORDER BY t.slug, w.created_at LIMIT 60",
            ),
            (
                "journals",
                "SELECT concat_ws(' ', t.slug, w.kind, j.seq, j.fence, to_char(j.at, 'MI:SS.MS'), j.fact)
                 FROM tenantry.journal AS j JOIN tenantry.workflow AS w ON w.id = j.workflow JOIN tenantry.tenant AS t ON t.id = w.tenant
                 WHERE t.slug = ANY ($1) ORDER BY t.slug, w.created_at, j.seq LIMIT 80",
            ),
            (
                "locks",
                "SELECT concat_ws(' ', l.pid, l.locktype, l.mode, l.granted, l.classid, l.objid, d.datname)
                 FROM pg_locks AS l LEFT JOIN pg_database AS d ON d.oid = l.database
                 WHERE cardinality($1::text[]) > 0 AND (NOT l.granted OR l.locktype = 'advisory') LIMIT 40",
            ),
            (
                "sessions",
                "SELECT concat_ws(' ', pid, datname, usename, application_name, state, wait_event, clock_timestamp() - state_change, left(query, 100))
                 FROM pg_stat_activity WHERE cardinality($1::text[]) > 0 AND backend_type = 'client backend' AND state <> 'idle' LIMIT 40",
            ),
        ];
        let mut text = String::new();
        for (name, sql) in parts {
            let _ = writeln!(text, "-- {name}");
            for row in self.control.query(sql, &[&slugs]).await.unwrap() {
                let _ = writeln!(text, "   {}", row.get::<_, String>(0));
            }
        }
        let _ = writeln!(text, "-- log\n{}", tail(&self.log(), 25));
        text
    }
}
