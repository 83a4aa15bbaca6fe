//! tokio-postgres with rustls: binary throughout, statements prepared by name, and pipelines wherever futures run together.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::future::{join_all, try_join_all};
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _, stream};
use program::{Checked, LARGE_ROWS, LARGE_TEXT, Program, ROWS, Wrong, given, has, holds, is_tls, own, same};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation};
use tokio_postgres::{AsyncMessage, Client, Config, Error, IsolationLevel, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

type Heard = Arc<Mutex<Vec<String>>>;

fn config() -> Config {
    let mut config = Config::new();
    config
        .host(given("PGHOST"))
        .port(given("PGPORT").parse().expect("a port"))
        .user(given("PGUSER"))
        .password(given("PGPASSWORD"))
        .dbname(given("PGDATABASE"))
        .ssl_mode(if is_tls() { SslMode::Require } else { SslMode::Disable })
        .connect_timeout(Duration::from_secs(10));
    config
}

fn tls() -> MakeRustlsConnect {
    let mut roots = RootCertStore::empty();
    let file = given("PGSSLROOTCERT");
    for certificate in CertificateDer::pem_file_iter(file).expect("a certificate file") {
        roots.add(certificate.expect("a certificate")).expect("a certificate that can be trusted");
    }
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    MakeRustlsConnect::new(config)
}

async fn connect_by(config: &Config) -> Result<(Client, Heard), Error> {
    let heard = Heard::default();
    if is_tls() {
        let (client, connection) = config.connect(tls()).await?;
        tokio::spawn(drive(connection, Arc::clone(&heard)));
        return Ok((client, heard));
    }
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(drive(connection, Arc::clone(&heard)));
    Ok((client, heard))
}

async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, heard: Heard)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut messages = pin!(stream::poll_fn(move |cx| connection.poll_message(cx)));
    while let Some(Ok(message)) = messages.next().await {
        if let AsyncMessage::Notice(notice) = message {
            heard.lock().expect("no panic").push(notice.message().to_owned());
        }
    }
}

async fn connect() -> Result<Client, Error> {
    Ok(connect_by(&config()).await?.0)
}

async fn mine(client: &Client) -> Checked {
    let rows = client.query("SELECT body FROM note", &[]).await?;
    own(&rows.iter().map(|row| row.get(0)).collect::<Vec<_>>())
}

async fn count(client: &Client) -> Result<usize, Wrong> {
    let count: i64 = client.query_one("SELECT count(*) FROM note", &[]).await?.get(0);
    Ok(usize::try_from(count)?)
}

fn fails<T>(code: &str, outcome: Result<T, Error>) -> Checked {
    match outcome {
        Ok(_) => Err(format!("{code} was expected and nothing failed").into()),
        Err(error) => same(error.code().map(|code| code.code().to_owned()), Some(code.to_owned()), &error.to_string()),
    }
}

async fn login() -> Checked {
    mine(&connect().await?).await?;
    if is_tls() && has("plus") {
        mine(&connect_by(config().channel_binding(ChannelBinding::Require)).await?.0).await?;
    }
    if is_tls() && has("direct") {
        mine(&connect_by(config().ssl_negotiation(SslNegotiation::Direct)).await?.0).await?;
    }
    fails("28P01", connect_by(config().password("not this one")).await)
}

async fn own_rows() -> Checked {
    let client = connect().await?;
    mine(&client).await?;
    let rows = client.query("SELECT body FROM note WHERE id >= $1", &[&0_i64]).await?;
    own(&rows.iter().map(|row| row.get(0)).collect::<Vec<_>>())?;
    let rows = client.query_typed("SELECT body FROM note", &[]).await?;
    own(&rows.iter().map(|row| row.get(0)).collect::<Vec<_>>())?;
    own(&simple(&client, "SELECT body FROM note").await?)
}

/// The first column of a simple query's rows, whichever result they belong to.
async fn simple(client: &Client, sql: &str) -> Result<Vec<String>, Error> {
    let messages = client.simple_query(sql).await?;
    let value = |message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(ToOwned::to_owned),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(value).collect())
}

async fn write(mark: &str) -> Checked {
    let client = connect().await?;
    let id: i64 = client.query_one("INSERT INTO note (body) VALUES ($1) RETURNING id", &[&mark]).await?.get(0);
    same(client.execute("UPDATE note SET body = body || '!' WHERE id = $1", &[&id]).await?, 1, "rows updated")?;
    let body: String = client.query_one("SELECT body FROM note WHERE id = $1", &[&id]).await?.get(0);
    same(body, format!("{mark}!"), "body")?;
    same(client.execute("DELETE FROM note WHERE id = $1", &[&id]).await?, 1, "rows deleted")?;
    mine(&client).await
}

async fn rollback(mark: &str) -> Checked {
    let mut client = connect().await?;
    let mut tx = client.transaction().await?;
    tx.execute("INSERT INTO note (body) VALUES ($1)", &[&mark]).await?;
    let inner = tx.transaction().await?;
    inner.execute("DELETE FROM note", &[]).await?;
    inner.rollback().await?;
    same(count(tx.client()).await?, ROWS + 1, "after a savepoint")?;
    drop(tx);
    mine(&client).await
}

async fn error_in_transaction(mark: &str) -> Checked {
    let mut client = connect().await?;
    let tx = client.transaction().await?;
    tx.execute("INSERT INTO note (body) VALUES ($1)", &[&mark]).await?;
    fails("22012", tx.query("SELECT 1 / $1::int", &[&0_i32]).await)?;
    fails("25P02", tx.query("SELECT body FROM note", &[]).await)?;
    tx.rollback().await?;
    fails("42P01", client.query("SELECT * FROM no_such_table", &[]).await)?;
    mine(&client).await
}

async fn prepared() -> Checked {
    let (client, other) = (connect().await?, connect().await?);
    let first = client.prepare("SELECT count(*), $1::int FROM note").await?;
    let second = client.prepare("SELECT $1::text || 'x'").await?;
    let theirs = other.prepare("SELECT $1::int + 1").await?;
    for n in 0..20_i32 {
        let row = client.query_one(&first, &[&n]).await?;
        same((row.get(0), row.get(1)), (i64::try_from(ROWS)?, n), "values")?;
        same(other.query_one(&theirs, &[&n]).await?.get::<_, i32>(0), n + 1, "sum")?;
        let text: String = client.query_one(&second, &[&n.to_string()]).await?.get(0);
        same(text, format!("{n}x"), "text")?;
    }
    Ok(())
}

async fn copy(mark: &str) -> Checked {
    let mut client = connect().await?;
    let into = "COPY note (body) FROM STDIN";
    if has("no-copy-from") {
        // On a connection of its own: after a refused COPY the library is out of step, with any PostgreSQL.
        fails("0A000", connect().await?.copy_in::<_, &[u8]>(into).await)?;
    } else {
        let tx = client.transaction().await?;
        let mut sink = pin!(tx.copy_in(into).await?);
        for n in 0..1000 {
            sink.send(std::io::Cursor::new(format!("{mark} {n}\n").into_bytes())).await?;
        }
        same(sink.finish().await?, 1000, "rows copied in")?;
        same(count(tx.client()).await?, 1000 + ROWS, "rows")?;
        tx.rollback().await?;
    }
    let parts: Vec<_> = client.copy_out("COPY (SELECT body FROM note) TO STDOUT").await?.try_collect().await?;
    let text = String::from_utf8(parts.concat())?;
    own(&text.lines().map(ToOwned::to_owned).collect::<Vec<_>>())?;
    mine(&client).await
}

async fn cursor() -> Checked {
    let mut client = connect().await?;
    let tx = client.transaction().await?;
    let text = "SELECT body FROM note UNION ALL SELECT n::text FROM generate_series(1, $1::int) AS n";
    let portal = tx.bind(text, &[&5000_i32]).await?;
    let mut seen = 0;
    loop {
        let rows = tx.query_portal(&portal, 700).await?;
        if rows.is_empty() {
            break;
        }
        seen += rows.len();
    }
    same(seen, 5000 + ROWS, "rows of a portal")?;
    tx.commit().await?;
    mine(&client).await
}

async fn large_result() -> Checked {
    let client = connect().await?;
    let rows = client.query_raw("SELECT n FROM generate_series(1, $1::int8) AS n", [LARGE_ROWS]).await?;
    let sum = rows.try_fold(0_i64, async |sum, row| Ok(sum + row.get::<_, i64>(0))).await?;
    same(sum, LARGE_ROWS * (LARGE_ROWS + 1) / 2, "sum")
}

async fn large_text() -> Checked {
    let text = "x".repeat(LARGE_TEXT);
    let client = connect().await?;
    let row = client.query_one("SELECT octet_length($1::text), $1::text", &[&text]).await?;
    same(usize::try_from(row.get::<_, i32>(0))?, LARGE_TEXT, "octets")?;
    holds(row.get::<_, String>(1) == text, "the text comes back")
}

async fn notice() -> Checked {
    let (client, heard) = connect_by(&config()).await?;
    client.batch_execute("DO $$ BEGIN RAISE NOTICE 'hear %', 'this'; RAISE WARNING 'and that'; END $$").await?;
    let heard = heard.lock().map_err(|error| error.to_string())?.clone();
    same(heard, vec!["hear this".to_owned(), "and that".to_owned()], "notices")
}

async fn cancel() -> Checked {
    let client = connect().await?;
    let token = client.cancel_token();
    let asked = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let asked = Instant::now();
        let sent = if is_tls() { token.cancel_query(tls()).await } else { token.cancel_query(NoTls).await };
        (asked, sent)
    });
    fails("57014", client.query("SELECT pg_sleep(30)", &[]).await)?;
    let ended = Instant::now();
    let (asked, sent) = asked.await?;
    sent?;
    holds(ended.saturating_duration_since(asked) < Duration::from_secs(1), "a cancelled query ends within a second")?;
    mine(&client).await
}

async fn sticky_settings() -> Checked {
    let client = connect_by(config().options("-c timezone=Asia/Kolkata").application_name("sticky")).await?.0;
    let mut other = connect().await?;
    other.batch_execute("SET TIME ZONE 'America/Lima'; SET DateStyle = 'German'").await?;
    for _ in 0..5 {
        let tx = other.transaction().await?;
        let zone: String = tx.query_one("SHOW TimeZone", &[]).await?.get(0);
        same(zone.as_str(), "America/Lima", "time zone")?;
        let date: String = tx.query_one("SELECT '2026-01-02'::date::text", &[]).await?.get(0);
        same(date.as_str(), "02.01.2026", "date")?;
        // Behind a pool this is another server session.
        let zone: String = client.query_one("SHOW TimeZone", &[]).await?.get(0);
        same(zone.as_str(), "Asia/Kolkata", "time zone from the connection string")?;
        let name: String = client.query_one("SHOW application_name", &[]).await?.get(0);
        same(name.as_str(), "sticky", "application name")?;
        tx.commit().await?;
    }
    Ok(())
}

async fn serializable(mark: &str) -> Checked {
    let mut client = connect().await?;
    let tx = client.build_transaction().isolation_level(IsolationLevel::Serializable).read_only(true).start().await?;
    mine(tx.client()).await?;
    let level: String = tx.query_one("SHOW transaction_isolation", &[]).await?.get(0);
    same(level.as_str(), "serializable", "level")?;
    fails("25006", tx.execute("INSERT INTO note (body) VALUES ($1)", &[&mark]).await)?;
    tx.rollback().await?;
    mine(&client).await
}

async fn many_statements(mark: &str) -> Checked {
    let client = connect().await?;
    // Marks are made here, and a simple query takes no parameters.
    let text = "BEGIN; INSERT INTO note (body) VALUES ('MARK'); COMMIT; SELECT count(*) FROM note; \
        DELETE FROM note WHERE body = 'MARK'; SELECT body FROM note";
    let found = simple(&client, &text.replace("MARK", mark)).await?;
    same(found.first().cloned(), Some((ROWS + 1).to_string()), "after a COMMIT in the middle")?;
    own(&found[1..])?;
    fails("22012", client.batch_execute(&"INSERT INTO note (body) VALUES ('MARK'); SELECT 1/0".replace("MARK", mark)).await)?;
    mine(&client).await
}

async fn types() -> Checked {
    let client = connect().await?;
    let (id, at) = (Uuid::new_v4(), "2026-03-29T01:30:00.123456Z".parse::<DateTime<Utc>>()?);
    let (bytes, numbers) = (b"\x00\xff".repeat(500), vec![Some(1), None, Some(4)]);
    let (texts, data) = (vec!["a".to_owned(), "b\"c".to_owned(), "ü,{}".to_owned()], json!({ "a": [1, null, "ü"] }));
    let sql = "SELECT $1::uuid, $2::timestamptz, $3::bytea, $4::int[], $5::text[], $6::jsonb, $7::float8, $8::bool";
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
        [&id, &at, &bytes, &numbers, &texts, &data, &1.5e-300, &None::<bool>];
    let row = client.query_one(sql, &values).await?;
    same(row.get::<_, Uuid>(0), id, "uuid")?;
    same(row.get::<_, DateTime<Utc>>(1), at, "time")?;
    same(row.get::<_, Vec<u8>>(2), bytes, "bytes")?;
    same(row.get::<_, Vec<Option<i32>>>(3), numbers, "numbers")?;
    same(row.get::<_, Vec<String>>(4), texts, "texts")?;
    same(row.get::<_, Value>(5), data, "document")?;
    same(row.get::<_, f64>(6), 1.5e-300, "float")?;
    same(row.get::<_, Option<bool>>(7), None, "null")
}

async fn pipeline() -> Checked {
    let client = connect().await?;
    let statement = client.prepare("SELECT count(*), $1::int FROM note").await?;
    let numbers: Vec<i32> = (0..200).collect();
    let rows = try_join_all(numbers.iter().map(async |n| client.query_one(&statement, &[n]).await)).await?;
    for (row, n) in rows.iter().zip(&numbers) {
        same((row.get(0), row.get(1)), (i64::try_from(ROWS)?, *n), "answers")?;
    }
    let division = client.prepare("SELECT 8 / $1::int").await?;
    let answers = join_all([2, 0, 4].iter().map(async |n| client.query_one(&division, &[n]).await)).await;
    let found: Vec<Option<i32>> = answers.iter().map(|answer| answer.as_ref().ok().map(|row| row.get(0))).collect();
    same(found, vec![Some(4), None, Some(2)], "an error in the middle")?;
    mine(&client).await
}

async fn crowd(mark: &str) -> Checked {
    let work = async |n: usize| -> Checked {
        let mut client = connect().await?;
        for turn in 0..10 {
            let tx = client.transaction().await?;
            let rows = tx.query("SELECT body FROM note WHERE body NOT LIKE 'client %'", &[]).await?;
            own(&rows.iter().map(|row| row.get(0)).collect::<Vec<_>>())?;
            let body = format!("{mark} {n}");
            tx.execute("INSERT INTO note (body) VALUES ($1)", &[&body]).await?;
            if turn % 2 == 0 {
                tx.rollback().await?;
            } else {
                same(tx.execute("DELETE FROM note WHERE body = $1", &[&body]).await?, 1, "rows deleted")?;
                tx.commit().await?;
            }
        }
        Ok(())
    };
    try_join_all((0..32).map(work)).await.map(drop)
}

/// What the connection says of the server.
async fn inspect() -> Checked {
    let mut said = HashMap::new();
    let names = ["server_version", "server_encoding", "standard_conforming_strings"];
    if is_tls() {
        let (_client, connection) = config().connect(tls()).await?;
        said.extend(names.map(|name| (name, connection.parameter(name).map(ToOwned::to_owned))));
    } else {
        let (_client, connection) = config().connect(NoTls).await?;
        said.extend(names.map(|name| (name, connection.parameter(name).map(ToOwned::to_owned))));
    }
    holds(names.iter().all(|name| said[name].is_some()), "the settings that a server reports")
}

#[tokio::main]
async fn main() {
    let mut program = Program::new("tokio-postgres");
    let mark = program.mark();
    program.check("login", login()).await;
    program.check("own_rows", own_rows()).await;
    program.check("write", write(&mark)).await;
    program.check("rollback", rollback(&mark)).await;
    program.check("error_in_transaction", error_in_transaction(&mark)).await;
    program.check("prepared", prepared()).await;
    program.check("copy", copy(&mark)).await;
    program.check("cursor", cursor()).await;
    program.check("large_result", large_result()).await;
    program.check("large_text", large_text()).await;
    program.check("notice", notice()).await;
    program.check("cancel", cancel()).await;
    program.check("sticky_settings", sticky_settings()).await;
    program.check("serializable", serializable(&mark)).await;
    program.check("many_statements", many_statements(&mark)).await;
    program.check("types", types()).await;
    program.check("pipeline", pipeline()).await;
    program.check("inspect", inspect()).await;
    program.check("crowd", crowd(&mark)).await;
    program.absent("the same connection after a refused COPY", "tokio-postgres loses step with any PostgreSQL");
    program.end()
}
