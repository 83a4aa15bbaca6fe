//! What tenants' data takes on a cell, as the server says.
//!
//! Measured where a tenant has tables of its own: all relations of its schema with indexes and large values, or its database as a
//! whole. In shared tables nobody can tell one tenant's pages from another's, so nothing is said of those tenants.
//! INVARIANT: a look changes nothing, is bounded in time, and gives way to whoever holds a table.

use std::collections::BTreeMap;

use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;

use crate::catalog::get;
use crate::cell::Cell;
use crate::error::DataError;
use crate::space::AppTarget;

/// How long a look waits for a table that somebody alters: behind it, those who only want to read would wait too.
const PATIENCE: &str = "200ms";

/// How long one look may take.
const LONGEST: &str = "10s";

const SCHEMAS: &str = "
    SELECT n.nspname::text, coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
    FROM pg_namespace AS n LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'm')
    WHERE n.nspname = ANY ($1) GROUP BY n.nspname";

/// Without the right to connect the server would refuse the whole question.
const DATABASES: &str = "
    SELECT datname::text, pg_database_size(oid) FROM pg_database
    WHERE datname = ANY ($1) AND has_database_privilege(oid, 'CONNECT')";

impl Cell {
    /// How many bytes the data of tenants of an app takes. Who is not there, or at a level where it cannot be told, is left out.
    ///
    /// # Errors
    /// The server refuses, is gone, or somebody alters a table for long.
    pub async fn sizes(
        &self,
        app: &AppTarget,
        tenants: &[(TenantId, Isolation)],
    ) -> Result<Vec<(TenantId, u64)>, DataError> {
        // Who asks for sizes makes nothing.
        if !self.has_home(app).await? {
            return Ok(Vec::new());
        }
        let names = self.names(app)?;
        let (mut schemas, mut databases) = (BTreeMap::new(), BTreeMap::new());
        for (tenant, isolation) in tenants {
            let place = names.place(*tenant, *isolation)?;
            match isolation {
                Isolation::Shared => {}
                Isolation::Schema => {
                    schemas.insert(place.schema.as_str().to_owned(), *tenant);
                }
                Isolation::Database | Isolation::Cluster => {
                    databases.insert(place.database.as_str().to_owned(), *tenant);
                }
            }
        }
        let tx = self.home_pool(&names).begin().await?;
        let bounds = "SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true), \
                      set_config('transaction_read_only', 'on', true)";
        tx.query(bounds, &[&PATIENCE, &LONGEST]).await?;
        let mut found = Vec::with_capacity(tenants.len());
        for (sql, wanted) in [(SCHEMAS, schemas), (DATABASES, databases)] {
            if wanted.is_empty() {
                continue;
            }
            let names: Vec<&str> = wanted.keys().map(String::as_str).collect();
            for row in &tx.query(sql, &[&names]).await? {
                let (name, bytes): (String, i64) = (get(row, 0)?, get(row, 1)?);
                if let Some(tenant) = wanted.get(&name) {
                    found.push((*tenant, u64::try_from(bytes).unwrap_or_default()));
                }
            }
        }
        tx.commit().await?;
        Ok(found)
    }
}
