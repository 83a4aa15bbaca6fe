//! Doors of the server itself through which sessions of one login see or disturb each other.
//!
//! All tenants of the shared level use one login, and PostgreSQL lets sessions of one login read each other's running
//! statements, end each other, and share large objects, which know no policies. Only a superuser can take these
//! functions away from PUBLIC; elsewhere they stay and are reported. `pg_monitor` keeps what monitoring needs.

use tenantry_pg::{PgError, Session};

/// What is taken away, and whether monitoring keeps it.
struct Leak {
    what: &'static str,
    statement: &'static str,
}

const LEAKS: &[Leak] = &[
    Leak {
        what: "running statements of other sessions",
        statement: "REVOKE ALL ON pg_catalog.pg_stat_activity FROM PUBLIC; \
            REVOKE ALL ON FUNCTION pg_catalog.pg_stat_get_activity(integer), \
            pg_catalog.pg_stat_get_backend_activity(integer) FROM PUBLIC; \
            GRANT SELECT ON pg_catalog.pg_stat_activity TO pg_monitor; \
            GRANT EXECUTE ON FUNCTION pg_catalog.pg_stat_get_activity(integer), \
            pg_catalog.pg_stat_get_backend_activity(integer) TO pg_monitor",
    },
    Leak {
        what: "locks of other sessions",
        statement: "REVOKE ALL ON pg_catalog.pg_locks FROM PUBLIC; \
            REVOKE ALL ON FUNCTION pg_catalog.pg_lock_status() FROM PUBLIC; \
            GRANT SELECT ON pg_catalog.pg_locks TO pg_monitor, tenantry_ctx; \
            GRANT EXECUTE ON FUNCTION pg_catalog.pg_lock_status() TO pg_monitor, tenantry_ctx",
    },
    Leak {
        what: "ending other sessions",
        statement: "REVOKE ALL ON FUNCTION pg_catalog.pg_cancel_backend(integer), \
            pg_catalog.pg_terminate_backend(integer, bigint) FROM PUBLIC; \
            GRANT EXECUTE ON FUNCTION pg_catalog.pg_cancel_backend(integer), \
            pg_catalog.pg_terminate_backend(integer, bigint) TO pg_signal_backend",
    },
    Leak {
        what: "large objects",
        statement: "REVOKE ALL ON FUNCTION pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid), \
            pg_catalog.lo_from_bytea(oid, bytea), pg_catalog.lo_open(oid, integer), pg_catalog.lo_get(oid), \
            pg_catalog.lo_get(oid, bigint, integer), pg_catalog.lo_put(oid, bigint, bytea), \
            pg_catalog.lo_unlink(oid) FROM PUBLIC; \
            REVOKE ALL ON pg_catalog.pg_largeobject_metadata FROM PUBLIC",
    },
    Leak {
        what: "messages in the write-ahead log",
        statement: "REVOKE ALL ON FUNCTION pg_catalog.pg_logical_emit_message(boolean, text, text), \
            pg_catalog.pg_logical_emit_message(boolean, text, bytea) FROM PUBLIC",
    },
];

/// Takes them away from PUBLIC; gives what could not be.
pub(super) async fn shut(session: &Session) -> Result<Vec<&'static str>, PgError> {
    let row = session.query_one("SELECT rolsuper FROM pg_roles WHERE rolname = current_user", &[]).await?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(LEAKS.iter().map(|leak| leak.what).collect());
    }
    // Each revoke rewrites a catalog row that two installers must not rewrite at once; most calls find it done.
    let open = "SELECT has_function_privilege('public', 'pg_catalog.pg_logical_emit_message(boolean, text, bytea)', 'EXECUTE')";
    if session.query_one(open, &[]).await?.try_get::<_, bool>(0)? {
        for leak in LEAKS {
            session.batch_static(leak.statement).await?;
        }
    }
    Ok(Vec::new())
}
