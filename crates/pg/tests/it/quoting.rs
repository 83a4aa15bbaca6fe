//! Names and literals from hell, on a real server.

use proptest::test_runner::TestRunner;
use tenantry_pg::{Ident, IdentError, Session, Sql};

use crate::{fresh, pool_of};

const NASTY: &[&str] = &[
    "select",
    "user",
    "a b",
    "A",
    "\"",
    "\"\"",
    "a\"b",
    "'",
    "a'b",
    "\\",
    "\\'",
    "$$",
    "$1",
    "--",
    "/*",
    ";",
    "é",
    "\u{202e}x",
    "x\"; DROP SCHEMA public; --",
    "\n",
    "\t",
    "%s",
    "{}",
    "🦀",
    "E'",
    "\u{feff}",
    "U&\"\\0041\"",
    "a.b",
    "pg_catalog",
];

async fn round_trip_name(conn: &Session, name: &str) {
    let ident = Ident::new(name).unwrap();
    conn.batch(&Sql::new("CREATE SCHEMA ").ident(&ident))
        .await
        .unwrap_or_else(|error| panic!("{name:?}: {:?}", error.db()));
    let found = conn.query("SELECT FROM pg_namespace WHERE nspname = $1", &[&name]).await.unwrap();
    assert_eq!(found.len(), 1, "{name:?}");
    conn.batch(&Sql::new("DROP SCHEMA ").ident(&ident)).await.unwrap();
}

async fn round_trip_text(conn: &Session, text: &str) {
    let select = Sql::new("SELECT").literal(text).push("::text");
    let row = conn.query_sql(&select, &[]).await.unwrap_or_else(|error| panic!("{text:?}: {:?}", error.db()));
    assert_eq!(row[0].get::<_, String>(0), text);
}

#[test]
fn any_name_and_any_text_arrive_as_they_are() {
    let db = fresh();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let conn = runtime.block_on(pool_of(&db, 1).get()).unwrap();
    for mode in [
        "SET standard_conforming_strings = on",
        "SET standard_conforming_strings = off; SET escape_string_warning = off",
    ] {
        runtime.block_on(conn.batch_static(mode)).unwrap();
        for text in NASTY {
            runtime.block_on(round_trip_text(&conn, text));
            if !text.starts_with("pg_") {
                runtime.block_on(round_trip_name(&conn, text));
            }
        }
        let mut runner = TestRunner::deterministic();
        let text = "[\\x01-\\x7f]{1,40}|\\PC{1,12}|['\"\\\\$;/*-]{1,20}";
        runner
            .run(&text, |text| {
                runtime.block_on(round_trip_text(&conn, &text));
                if text.len() <= 63 && !text.starts_with("pg_") {
                    runtime.block_on(round_trip_name(&conn, &text));
                }
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn numbers_cannot_make_comments() {
    let db = fresh();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let conn = runtime.block_on(pool_of(&db, 1).get()).unwrap();
    for number in [0, 1, -1, i64::MAX, i64::MIN] {
        // «1 --1» would be 1 and a comment.
        let select = Sql::new("SELECT (1::numeric -").int(number).push(")::text");
        let row = runtime.block_on(conn.query_sql(&select, &[])).unwrap();
        assert_eq!(row[0].get::<_, String>(0), (1 - i128::from(number)).to_string());
    }
}

#[test]
fn a_text_with_nul_is_not_sent() {
    let db = fresh();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let conn = runtime.block_on(pool_of(&db, 1).get()).unwrap();
    assert!(runtime.block_on(conn.batch(&Sql::new("SELECT").literal("a\0b"))).is_err());
    assert_eq!(runtime.block_on(conn.query_one("SELECT 1", &[])).unwrap().get::<_, i32>(0), 1);
}

#[test]
fn a_name_has_bounds() {
    assert_eq!(Ident::new(""), Err(IdentError::Empty));
    assert_eq!(Ident::new("a\0"), Err(IdentError::Nul));
    assert!(Ident::new("é".repeat(31)).is_ok());
    assert_eq!(Ident::new("é".repeat(32)), Err(IdentError::TooLong { bytes: 64 }));
    assert_eq!(format!("{:?}", Sql::new("SELECT").literal("secret")), "Sql(14 bytes)");
}
