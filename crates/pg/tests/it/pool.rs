//! Borrowing and giving back.

use std::time::Duration;

use tenantry_pg::{CommitError, Ident, PgKind, Pool, PoolOptions, Sql, TxMode};
use tenantry_testkit::pg::private_server;

use crate::{fresh, pool_of, target};

#[tokio::test]
async fn a_released_connection_is_used_again_and_a_dropped_one_is_not() {
    let db = fresh();
    let pool = pool_of(&db, 1);
    let pid = "SELECT pg_backend_pid()";
    let conn = pool.get().await.unwrap();
    let first: i32 = conn.query_one(pid, &[]).await.unwrap().get(0);
    conn.release();
    let conn = pool.get().await.unwrap();
    assert_eq!(first, conn.query_one(pid, &[]).await.unwrap().get::<_, i32>(0));
    drop(conn);
    let conn = pool.get().await.unwrap();
    assert_ne!(first, conn.query_one(pid, &[]).await.unwrap().get::<_, i32>(0));
}

#[tokio::test]
async fn nothing_of_a_borrower_is_left_for_the_next() {
    let db = fresh();
    let pool = pool_of(&db, 1);
    let conn = pool.get().await.unwrap();
    let mess = "SET search_path = nowhere; CREATE TEMP TABLE left_over (a int); LISTEN gossip; \
                PREPARE p AS SELECT 1; SELECT pg_advisory_lock(7); BEGIN; \
                DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT";
    conn.batch_static(mess).await.unwrap();
    conn.release();
    let conn = pool.get().await.unwrap();
    let left = conn
        .query_one(
            "SELECT current_setting('search_path'), (SELECT count(*) FROM pg_class WHERE relname = 'left_over'),
                    (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_prepared_statements WHERE name = 'p'),
                    (SELECT count(*) FROM pg_cursors WHERE name = 'c'),
                    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(left.get::<_, String>(0), "\"$user\", public");
    for column in 1..6 {
        assert_eq!(left.get::<_, i64>(column), 0, "column {column}");
    }
}

#[tokio::test]
async fn an_open_transaction_is_not_handed_on() {
    let db = fresh();
    let pool = pool_of(&db, 1);
    let conn = pool.get().await.unwrap();
    conn.batch_static("CREATE TABLE t (a int)").await.unwrap();
    conn.batch_static("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    conn.release();
    let conn = pool.get().await.unwrap();
    assert_eq!(conn.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get::<_, i64>(0), 0);
    assert_eq!(conn.execute("INSERT INTO t VALUES (2)", &[]).await.unwrap(), 1);
    conn.release();
    assert_eq!(pool.get().await.unwrap().query_one("SELECT a FROM t", &[]).await.unwrap().get::<_, i32>(0), 2);
}

#[tokio::test]
async fn a_commit_after_a_failed_statement_says_so() {
    let db = fresh();
    let pool = pool_of(&db, 1);
    pool.get().await.unwrap().batch_static("CREATE TABLE t (a int UNIQUE)").await.unwrap();
    let tx = pool.begin().await.unwrap();
    tx.execute("INSERT INTO t VALUES (1)", &[]).await.unwrap();
    let error = tx.execute("INSERT INTO t VALUES (1)", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.constraint()), (PgKind::Unique, Some("t_a_key")));
    let Err(CommitError::Refused(error)) = tx.commit().await else { panic!("committed") };
    assert_eq!(error.kind(), PgKind::Unique);
    // A savepoint heals it.
    let tx = pool.begin().await.unwrap();
    tx.batch_static("INSERT INTO t VALUES (1); SAVEPOINT s").await.unwrap();
    tx.batch_static("INSERT INTO t VALUES (1)").await.unwrap_err();
    tx.batch_static("ROLLBACK TO s").await.unwrap();
    tx.commit().await.unwrap();
    let conn = pool.get().await.unwrap();
    assert_eq!(conn.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test]
async fn a_deferred_constraint_refuses_the_commit_and_keeps_the_connection() {
    let db = fresh();
    let pool = pool_of(&db, 1);
    let conn = pool.get().await.unwrap();
    conn.batch_static("CREATE TABLE t (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)").await.unwrap();
    conn.release();
    let tx = pool.begin().await.unwrap();
    tx.batch_static("INSERT INTO t VALUES (1), (1)").await.unwrap();
    let Err(CommitError::Refused(error)) = tx.commit().await else { panic!("committed") };
    assert_eq!(error.kind(), PgKind::Unique);
    assert_eq!(pool.status().idle, 1);
}

#[tokio::test]
async fn a_server_that_dies_in_commit_leaves_it_unknown() {
    let db = fresh();
    let (pool, killer) = (pool_of(&db, 1), pool_of(&db, 1));
    killer
        .get()
        .await
        .unwrap()
        .batch_static(
            "CREATE TABLE t (a int); CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN PERFORM pg_sleep(30); RETURN NULL; END'; CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()",
        )
        .await
        .unwrap();
    let tx = pool.begin().await.unwrap();
    let pid: i32 = tx.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    tx.execute("INSERT INTO t VALUES (1)", &[]).await.unwrap();
    let commit = tokio::spawn(tx.commit());
    let killer = killer.get().await.unwrap();
    let sleeping = "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $1";
    while killer.query_one(sleeping, &[&pid]).await.unwrap().get::<_, Option<bool>>(0) != Some(true) {}
    killer.query_one("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
    assert!(matches!(commit.await.unwrap(), Err(CommitError::Unknown(_))));
}

#[tokio::test]
async fn a_full_pool_makes_wait_and_then_gives_up() {
    let db = fresh();
    let options = PoolOptions { max: 1, wait: Duration::from_millis(100), ..PoolOptions::default() };
    let pool = Pool::new(target(&db.url()), options);
    let held = pool.get().await.unwrap();
    let Err(error) = pool.get().await else { panic!("there were two") };
    assert_eq!(error.kind(), PgKind::Timeout);
    assert_eq!((pool.status().in_use, pool.status().idle), (1, 0));
    held.release();
    assert_eq!((pool.status().in_use, pool.status().idle), (0, 1));
    pool.get().await.unwrap();
    pool.close();
    assert_eq!(pool.get().await.err().map(|error| error.kind()), Some(PgKind::Unavailable));
}

#[tokio::test]
async fn a_login_without_a_free_connection_is_waited_for() {
    let db = fresh();
    let admin = pool_of(&db, 1);
    let login = db.name().to_owned();
    let role = Ident::new(&login).unwrap();
    let create = Sql::new("CREATE ROLE ").ident(&role).push(" LOGIN CONNECTION LIMIT 1 PASSWORD 'pw'");
    admin.get().await.unwrap().batch(&create).await.unwrap();
    let pool =
        Pool::new(target(&db.url()).with_user(&login, &"pw".into()), PoolOptions { max: 1, ..PoolOptions::default() });
    for _ in 0..30 {
        // Dropped, not released: the server counts the old connection for a moment longer than we do.
        let tx = pool.begin().await.unwrap();
        tx.query_one("SELECT 1", &[]).await.unwrap();
    }
    pool.close();
    admin.get().await.unwrap().batch(&Sql::new("DROP ROLE ").ident(&role)).await.unwrap();
}

#[tokio::test]
async fn unused_connections_are_closed() {
    let db = fresh();
    let options = PoolOptions { idle_close: Some(Duration::from_millis(100)), ..PoolOptions::default() };
    let pool = Pool::new(target(&db.url()), options);
    let (a, b) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    a.release();
    b.release();
    assert_eq!(pool.status().idle, 2);
    let watch = pool_of(&db, 1).get().await.unwrap();
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while watch.query_one(others, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.status().idle, 0);
    pool.get().await.unwrap().release();
}

#[tokio::test]
async fn start_up_settings_hold_and_a_role_comes_back_after_reset() {
    let db = fresh();
    let role = Ident::new(format!("odd \\ \"role\" {}", db.name())).unwrap();
    let admin = pool_of(&db, 1).get().await.unwrap();
    admin.batch(&Sql::new("CREATE ROLE ").ident(&role)).await.unwrap();
    let options = PoolOptions {
        set_role: Some(role.clone()),
        statement: Duration::from_millis(1234),
        settings: &[("search_path", "pg_catalog, pg_temp")],
        ..PoolOptions::default()
    };
    let conn = Pool::new(target(&db.url()), options).get().await.unwrap();
    let state = "SELECT current_user::text, current_setting('statement_timeout'), current_setting('search_path')";
    for _ in 0..2 {
        let row = conn.query_one(state, &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), role.as_str());
        assert_eq!(row.get::<_, String>(1), "1234ms");
        assert_eq!(row.get::<_, String>(2), "pg_catalog, pg_temp");
        conn.batch_static("SET ROLE NONE; SET statement_timeout = 0; SET search_path = public").await.unwrap();
        conn.discard().await.unwrap();
    }
    drop(conn);
    admin.batch(&Sql::new("DROP ROLE ").ident(&role)).await.unwrap();
}

#[tokio::test]
async fn modes_are_what_they_say() {
    let db = fresh();
    let pool = pool_of(&db, 1);
    for (mode, level, read_only) in [
        (TxMode::ReadCommitted, "read committed", "off"),
        (TxMode::RepeatableReadReadOnly, "repeatable read", "on"),
        (TxMode::Serializable, "serializable", "off"),
    ] {
        let tx = pool.begin_with(mode).await.unwrap();
        let ask = "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')";
        let row = tx.query_one(ask, &[]).await.unwrap();
        assert_eq!((row.get::<_, String>(0), row.get::<_, String>(1)), (level.to_owned(), read_only.to_owned()));
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn errors_show_no_values() {
    let db = fresh();
    let conn = pool_of(&db, 1).get().await.unwrap();
    conn.batch_static("CREATE TABLE t (secret text UNIQUE, CHECK (secret <> 'hush'))").await.unwrap();
    conn.execute("INSERT INTO t VALUES ('canary')", &[]).await.unwrap();
    for statement in [
        "INSERT INTO t VALUES ('canary')",
        "INSERT INTO t VALUES ('hush')",
        "SELECT 'canary'::int",
        "SELECT canary FROM t",
    ] {
        let error = conn.execute_sql(&Sql::new(statement), &[]).await.unwrap_err();
        let shown = format!("{error} {error:?} {error:#?}");
        assert!(!shown.contains("canary") && !shown.contains("hush"), "{shown}");
        assert!(std::error::Error::source(&error).is_none());
    }
}

#[tokio::test]
async fn a_pool_survives_its_servers_crash() {
    let server = private_server();
    let pool = Pool::new(target(&server.url("postgres")), PoolOptions::default());
    let (a, b) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    assert_eq!(tenantry_pg::server_version(&a).await.unwrap().major() / 10, 1);
    a.release();
    b.release();
    let held = pool.begin().await.unwrap();
    server.kill();
    assert_eq!(held.query("SELECT 1", &[]).await.unwrap_err().kind(), PgKind::Unavailable);
    drop(held);
    assert_eq!(pool.get().await.err().map(|error| error.kind()), Some(PgKind::Unavailable));
    server.start();
    let tx = pool.begin().await.unwrap();
    tx.query_one("SELECT 1", &[]).await.unwrap();
    tx.commit().await.unwrap();
}
