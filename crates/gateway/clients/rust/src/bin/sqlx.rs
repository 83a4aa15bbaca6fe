//! sqlx with its pool and rustls: every statement prepared by name and kept, or, where it is told so, unnamed.

use std::str::FromStr as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use futures_util::future::try_join_all;
use program::{Checked, LARGE_ROWS, LARGE_TEXT, Program, ROWS, Wrong, given, has, holds, own, same};
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{
    AssertSqlSafe, Column as _, Connection as _, Error, Executor as _, PgConnection, Row as _, SqlStr, Statement as _,
};
use uuid::Uuid;

const BODIES: &str = "SELECT body FROM note";

fn options() -> Result<PgConnectOptions, Error> {
    PgConnectOptions::from_str(&given("DATABASE_URL"))
}

async fn connect() -> Result<PgConnection, Error> {
    PgConnection::connect_with(&options()?).await
}

async fn mine(conn: &mut PgConnection) -> Checked {
    own(&sqlx::query_scalar(BODIES).fetch_all(conn).await?)
}

async fn count(conn: &mut PgConnection) -> Result<usize, Wrong> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(conn).await?;
    Ok(usize::try_from(count)?)
}

async fn insert(conn: &mut PgConnection, body: &str) -> Result<i64, Error> {
    sqlx::query_scalar("INSERT INTO note (body) VALUES ($1) RETURNING id").bind(body).fetch_one(conn).await
}

fn fails<T>(code: &str, outcome: Result<T, Error>) -> Checked {
    let error = outcome.err().ok_or_else(|| format!("{code} was expected and nothing failed"))?;
    let found = error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned());
    same(found, Some(code.to_owned()), &error.to_string())
}

async fn login() -> Checked {
    mine(&mut connect().await?).await?;
    let wrong = options()?.password("not this one");
    fails("28P01", PgConnection::connect_with(&wrong).await)
}

async fn own_rows() -> Checked {
    let mut conn = connect().await?;
    mine(&mut conn).await?;
    own(&sqlx::query_scalar("SELECT body FROM note WHERE id >= $1").bind(0_i64).fetch_all(&mut conn).await?)?;
    own(&sqlx::query_scalar(BODIES).persistent(false).fetch_all(&mut conn).await?)?;
    let rows = conn.fetch_all(sqlx::raw_sql(BODIES)).await?;
    own(&rows.iter().map(|row| row.get(0)).collect::<Vec<_>>())
}

async fn write(mark: &str) -> Checked {
    let mut conn = connect().await?;
    let id = insert(&mut conn, mark).await?;
    let done = sqlx::query("UPDATE note SET body = body || '!' WHERE id = $1").bind(id).execute(&mut conn).await?;
    same(done.rows_affected(), 1, "rows updated")?;
    let body: String = sqlx::query_scalar("SELECT body FROM note WHERE id = $1").bind(id).fetch_one(&mut conn).await?;
    same(body, format!("{mark}!"), "body")?;
    let done = sqlx::query("DELETE FROM note WHERE id = $1").bind(id).execute(&mut conn).await?;
    same(done.rows_affected(), 1, "rows deleted")?;
    mine(&mut conn).await
}

async fn rollback(mark: &str) -> Checked {
    let mut conn = connect().await?;
    let mut tx = conn.begin().await?;
    insert(&mut tx, mark).await?;
    let mut inner = tx.begin().await?;
    sqlx::query("DELETE FROM note").execute(&mut *inner).await?;
    inner.rollback().await?;
    same(count(&mut tx).await?, ROWS + 1, "after a savepoint")?;
    // What is dropped is rolled back ahead of the next statement.
    drop(tx);
    mine(&mut conn).await
}

async fn error_in_transaction(mark: &str) -> Checked {
    let mut conn = connect().await?;
    let mut tx = conn.begin().await?;
    insert(&mut tx, mark).await?;
    fails("22012", sqlx::query("SELECT 1 / $1::int").bind(0_i32).execute(&mut *tx).await)?;
    fails("25P02", sqlx::query(BODIES).execute(&mut *tx).await)?;
    tx.rollback().await?;
    fails("42P01", sqlx::query("SELECT * FROM no_such_table").execute(&mut conn).await)?;
    mine(&mut conn).await
}

async fn prepared() -> Checked {
    let (mut conn, mut other) = (connect().await?, connect().await?);
    // Fewer than there are statements: it closes the oldest to make room.
    let mut few = PgConnection::connect_with(&options()?.statement_cache_capacity(1)).await?;
    for n in 0..20_i32 {
        let rows: i64 =
            sqlx::query_scalar("SELECT count(*) FROM note WHERE id <> $1").bind(-1_i64).fetch_one(&mut conn).await?;
        same(rows, i64::try_from(ROWS)?, "rows")?;
        for conn in [&mut other, &mut few] {
            let sum: i32 = sqlx::query_scalar("SELECT $1::int + 1").bind(n).fetch_one(&mut *conn).await?;
            same(sum, n + 1, "sum")?;
            let text: String =
                sqlx::query_scalar("SELECT $1::text || 'x'").bind(n.to_string()).fetch_one(&mut *conn).await?;
            same(text, format!("{n}x"), "text")?;
        }
    }
    conn.clear_cached_statements().await?;
    mine(&mut conn).await
}

async fn copy(mark: &str) -> Checked {
    let mut conn = connect().await?;
    let mut tx = conn.begin().await?;
    let into = "COPY note (body) FROM STDIN";
    if has("no-copy-from") {
        fails("0A000", tx.copy_in_raw(into).await)?;
    } else {
        let mut sink = tx.copy_in_raw(into).await?;
        for n in 0..1000 {
            sink.send(format!("{mark} {n}\n").into_bytes()).await?;
        }
        same(sink.finish().await?, 1000, "rows copied in")?;
        same(count(&mut tx).await?, 1000 + ROWS, "rows")?;
    }
    tx.rollback().await?;
    let parts: Vec<_> = conn.copy_out_raw("COPY (SELECT body FROM note) TO STDOUT").await?.try_collect().await?;
    let text = String::from_utf8(parts.concat())?;
    own(&text.lines().map(ToOwned::to_owned).collect::<Vec<_>>())?;
    mine(&mut conn).await
}

async fn large_result() -> Checked {
    let mut conn = connect().await?;
    let text = "SELECT n FROM generate_series(1, $1::int8) AS n";
    let rows = sqlx::query_scalar::<_, i64>(text).bind(LARGE_ROWS).fetch(&mut conn);
    let sum = rows.try_fold(0_i64, async |sum, n| Ok(sum + n)).await?;
    same(sum, LARGE_ROWS * (LARGE_ROWS + 1) / 2, "sum")
}

async fn large_text() -> Checked {
    let text = "x".repeat(LARGE_TEXT);
    let mut conn = connect().await?;
    let row = sqlx::query("SELECT octet_length($1::text), $1::text").bind(&text).fetch_one(&mut conn).await?;
    same(usize::try_from(row.get::<i32, _>(0))?, LARGE_TEXT, "octets")?;
    holds(row.get::<String, _>(1) == text, "the text comes back")
}

async fn sticky_settings() -> Checked {
    let settings = [("intervalstyle", "iso_8601")];
    let mut styled = PgConnection::connect_with(&options()?.options(settings).application_name("sticky")).await?;
    let mut other = connect().await?;
    sqlx::raw_sql("SET TIME ZONE 'America/Lima'").execute(&mut other).await?;
    for _ in 0..5 {
        let mut tx = other.begin().await?;
        let show = |what: &'static str| sqlx::query_scalar::<_, String>(what);
        same(show("SHOW TimeZone").fetch_one(&mut *tx).await?.as_str(), "America/Lima", "time zone")?;
        // Behind a pool this is another server session.
        same(show("SHOW application_name").fetch_one(&mut styled).await?.as_str(), "sticky", "application name")?;
        same(show("SHOW IntervalStyle").fetch_one(&mut styled).await?.as_str(), "iso_8601", "style of intervals")?;
        same(show("SHOW TimeZone").fetch_one(&mut styled).await?.as_str(), "UTC", "the time zone that sqlx asks for")?;
        tx.commit().await?;
    }
    Ok(())
}

async fn serializable(mark: &str) -> Checked {
    let mut conn = connect().await?;
    let mut tx = conn.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY").await?;
    mine(&mut tx).await?;
    let level: String = sqlx::query_scalar("SHOW transaction_isolation").fetch_one(&mut *tx).await?;
    same(level.as_str(), "serializable", "level")?;
    fails("25006", insert(&mut tx, mark).await)?;
    tx.rollback().await?;
    mine(&mut conn).await
}

async fn many_statements(mark: &str) -> Checked {
    let mut conn = connect().await?;
    // Marks are made here, and a simple query takes no parameters.
    let text = "BEGIN; INSERT INTO note (body) VALUES ('MARK'); COMMIT; SELECT count(*)::text AS body FROM note; \
        DELETE FROM note WHERE body = 'MARK'; SELECT body FROM note";
    let text = text.replace("MARK", mark);
    let rows = conn.fetch_all(sqlx::raw_sql(AssertSqlSafe(text))).await?;
    let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    same(found.first().cloned(), Some((ROWS + 1).to_string()), "after a COMMIT in the middle")?;
    own(&found[1..])?;
    let text = "INSERT INTO note (body) VALUES ('MARK'); SELECT 1/0".replace("MARK", mark);
    fails("22012", conn.execute(sqlx::raw_sql(AssertSqlSafe(text))).await)?;
    mine(&mut conn).await
}

async fn types() -> Checked {
    let mut conn = connect().await?;
    let (id, at) = (Uuid::new_v4(), "2026-03-29T01:30:00.123456Z".parse::<DateTime<Utc>>()?);
    let (bytes, numbers) = (b"\x00\xff".repeat(500), vec![Some(1), None, Some(4)]);
    let (texts, data) = (vec!["a".to_owned(), "b\"c".to_owned(), "ü,{}".to_owned()], json!({ "a": [1, null, "ü"] }));
    let sql = "SELECT $1::uuid, $2::timestamptz, $3::bytea, $4::int[], $5::text[], $6::jsonb, $7::float8, $8::bool";
    let query = sqlx::query(sql).bind(id).bind(at).bind(&bytes).bind(&numbers).bind(&texts).bind(&data);
    let row = query.bind(1.5e-300).bind(None::<bool>).fetch_one(&mut conn).await?;
    same(row.get::<Uuid, _>(0), id, "uuid")?;
    same(row.get::<DateTime<Utc>, _>(1), at, "time")?;
    same(row.get::<Vec<u8>, _>(2), bytes, "bytes")?;
    same(row.get::<Vec<Option<i32>>, _>(3), numbers, "numbers")?;
    same(row.get::<Vec<String>, _>(4), texts, "texts")?;
    same(row.get::<Value, _>(5), data, "document")?;
    same(row.get::<f64, _>(6), 1.5e-300, "float")?;
    same(row.get::<Option<bool>, _>(7), None, "null")
}

async fn inspect() -> Checked {
    let mut conn = connect().await?;
    holds(conn.server_version_num().is_some_and(|version| version >= 150_000), "server_version is reported")?;
    conn.ping().await?;
    let statement = conn.prepare(SqlStr::from_static("SELECT id, body, data FROM note")).await?;
    let names: Vec<&str> = statement.columns().iter().map(|column| column.name()).collect();
    same(names, vec!["id", "body", "data"], "columns")?;
    mine(&mut conn).await
}

async fn crowd(mark: &str) -> Checked {
    let pool: PgPool = PgPoolOptions::new()
        .max_connections(8)
        .acquire_timeout(Duration::from_secs(30))
        .connect_with(options()?)
        .await?;
    let work = async |n: usize| -> Checked {
        for turn in 0..10 {
            let mut tx = pool.begin().await?;
            own(&sqlx::query_scalar("SELECT body FROM note WHERE body NOT LIKE 'client %'")
                .fetch_all(&mut *tx)
                .await?)?;
            let body = format!("{mark} {n}");
            insert(&mut tx, &body).await?;
            if turn % 2 == 0 {
                continue;
            }
            let done = sqlx::query("DELETE FROM note WHERE body = $1").bind(&body).execute(&mut *tx).await?;
            same(done.rows_affected(), 1, "rows deleted")?;
            tx.commit().await?;
        }
        Ok(())
    };
    try_join_all((0..32).map(work)).await?;
    pool.close().await;
    Ok(())
}

#[tokio::main]
async fn main() {
    let mut program = Program::new("sqlx");
    let mark = program.mark();
    program.check("login", login()).await;
    program.check("own_rows", own_rows()).await;
    program.check("write", write(&mark)).await;
    program.check("rollback", rollback(&mark)).await;
    program.check("error_in_transaction", error_in_transaction(&mark)).await;
    program.check("prepared", prepared()).await;
    program.check("copy", copy(&mark)).await;
    program.check("large_result", large_result()).await;
    program.check("large_text", large_text()).await;
    program.check("sticky_settings", sticky_settings()).await;
    program.check("serializable", serializable(&mark)).await;
    program.check("many_statements", many_statements(&mark)).await;
    program.check("types", types()).await;
    program.check("inspect", inspect()).await;
    program.check("crowd", crowd(&mark)).await;
    for name in ["cursor", "notice", "cancel", "pipeline"] {
        program.absent(name, "sqlx has none of its own");
    }
    program.end()
}
