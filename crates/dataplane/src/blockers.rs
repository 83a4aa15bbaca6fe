//! Who holds the lock that a migration waits for.
//!
//! A try that gave up knows no more who was in its way, so somebody looks while it waits.

use std::time::Duration;

use tenantry_pg::Pool;

use crate::catalog::get;
use crate::error::DataError;

/// Most sessions named.
const MOST: i64 = 3;

/// Looks at what a session waits for, every `pause`, until it is dropped; keeps what it saw last.
pub(crate) async fn watch(pool: &Pool, pid: i32, pause: Duration, seen: &mut Option<String>) {
    loop {
        tokio::time::sleep(pause).await;
        match look(pool, pid).await {
            Ok(Some(found)) => *seen = Some(found),
            Ok(None) => {}
            // It only helps people; the migration goes its way.
            Err(error) => tracing::debug!(%error, "cannot see who blocks a migration"),
        }
    }
}

async fn look(pool: &Pool, pid: i32) -> Result<Option<String>, DataError> {
    let conn = pool.get().await?;
    let sql = "SELECT string_agg(format('pid %s (%s as %s, %s for %s s)', a.pid,
            CASE WHEN a.application_name = '' THEN 'a client' ELSE a.application_name END, a.usename, a.state,
            extract(epoch FROM now() - a.xact_start)::bigint), ', ')
        FROM (
            SELECT * FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids($1)) ORDER BY xact_start LIMIT $2
        ) AS a";
    let row = conn.query_one(sql, &[&pid, &MOST]).await?;
    conn.release();
    get(&row, 0)
}
