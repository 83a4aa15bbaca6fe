//! Texts cut into statements, compared with PostgreSQL's own parser where that takes the text.

use proptest::prelude::*;
use tenantry_wire::words::statements;

fn cut(sql: &str) -> Vec<&str> {
    statements(sql.as_bytes()).map(|piece| std::str::from_utf8(piece).unwrap().trim()).collect()
}

#[test]
fn semicolons_that_end_a_statement() {
    let cases: [(&str, &[&str]); 24] = [
        ("", &[]),
        (" ;; \n-- a;b\n /* ; */ ;", &[]),
        ("select 1", &["select 1"]),
        ("select 1;", &["select 1"]),
        ("a;b;;c", &["a", "b", "c"]),
        ("select ';'; select 2", &["select ';'", "select 2"]),
        ("select 'it''s;'; x", &["select 'it''s;'", "x"]),
        ("select '\\'; x", &["select '\\'", "x"]),
        ("select E'\\';'; x", &["select E'\\';'", "x"]),
        ("select e'a'\n -- c\n '\\';'; x", &["select e'a'\n -- c\n '\\';'", "x"]),
        ("select e'a' '\\'; x", &["select e'a' '\\'", "x"]),
        ("select 'a'\n'\\'; x", &["select 'a'\n'\\'", "x"]),
        ("select U&'\\'; x", &["select U&'\\'", "x"]),
        ("select \"a;\"\"b\"; x", &["select \"a;\"\"b\"", "x"]),
        ("do $$ a; b $$; x", &["do $$ a; b $$", "x"]),
        ("do $a$ $$; $b$; $a$; x", &["do $a$ $$; $b$; $a$", "x"]),
        ("select a$b$; x", &["select a$b$", "x"]),
        ("select $1; x$1$; y", &["select $1", "x$1$", "y"]),
        ("select 1 /* a; /* b; */ c; */; x", &["select 1 /* a; /* b; */ c; */", "x"]),
        ("select 1 -- a;\n; x", &["select 1 -- a;", "x"]),
        ("create rule r as on insert to t do (a; b); x", &["create rule r as on insert to t do (a; b)", "x"]),
        ("select 'open; x", &["select 'open; x"]),
        ("select /* open; x", &["select /* open; x"]),
        ("begin; end; x", &["begin", "end", "x"]),
    ];
    for (sql, wanted) in cases {
        assert_eq!(cut(sql), wanted, "{sql}");
    }
}

#[test]
fn a_routine_keeps_its_body() {
    let bodies = [
        "create function f() returns int begin atomic select 1; select case when a then 1 else 2 end; end",
        "CREATE OR REPLACE PROCEDURE p() LANGUAGE sql BEGIN ATOMIC INSERT INTO t VALUES (1); DELETE FROM t; END",
        "create function f(x text) returns int begin /* c; */ atomic; select (case when a then (case b when 1 then 2 end) end); end",
        "create function f() returns int begin atomic select t.end from t; select 1 as case; end",
        "create function f() returns int begin atomic select case a when 1 then case b when 1 then 2 end end; select 2; end",
    ];
    for body in bodies {
        assert_eq!(cut(&format!("a; {body}; b; c")), ["a", body, "b", "c"], "{body}");
    }
    // Neither of these has such a body.
    assert_eq!(cut("create table t(x int); begin; commit").len(), 3);
    assert_eq!(cut("create function f() returns int as 'begin atomic' language sql; end").len(), 2);
    assert_eq!(cut("create view begin as select 1; begin; end").len(), 3);
    assert_eq!(cut("explain create function f() begin atomic a; end").len(), 2);
}

/// What the server itself would run, if it takes the text at all.
fn judge(sql: &str) -> Option<Vec<String>> {
    let split = pg_query::split_with_parser(sql).ok()?;
    // Its pieces may keep a comment in front, and so do ours; both are compared by what they parse to.
    Some(split.into_iter().map(normal).collect())
}

fn normal(sql: &str) -> String {
    pg_query::fingerprint(sql, 0, 0).map(|print| print.hex).unwrap_or_default()
}

#[test]
fn the_server_cuts_likewise() {
    let texts = [
        "begin; select 1; commit; select 2",
        "select 'a;b', E'\\';', $q$;$q$, \"x;y\" from t; table t;",
        "create function f() returns int begin atomic select 1; select case when true then 1 else 2 end; end; select 3",
        "create function f() returns int begin atomic; select t.end from t; select 1 as case; end; select 3",
        "create rule r as on insert to t do also (insert into a values (1); insert into b values (2)); select 1;",
        "do $$ begin perform 1; end $$; call p(';'); copy t from stdin; vacuum;",
        "select e'a'\n'\\';' ; select 2",
        "select U&'d\\0061t;a'; select U&\"a;b\" uescape '!' from t",
        "prepare a as select $1; execute a(1); deallocate a;; ; ",
        "select 1 -- ; \n; /* ; /* ; */ ; */ select 2",
        "select 1+/* ; */2; select 3 --;",
    ];
    for sql in texts {
        let ours: Vec<_> = cut(sql).into_iter().map(normal).collect();
        assert_eq!(Some(ours), judge(sql), "{sql}");
    }
}

/// Pieces of SQL from which texts are made that are often taken by the server, and often nearly.
fn fragment() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "select 1",
        "select 'a;b'",
        "select 'it''s'",
        "select E'\\';'",
        "select E'a\\\\'",
        "select $$;$$",
        "select $t$ ; $$ $t$",
        "begin",
        "commit",
        ";",
        ";",
        ";",
        " ",
        "\n",
        "-- ;\n",
        "/* ; */",
        "/* /* ; */ ' */",
        "select \"a;\" from \"b\"\"c;\"",
        "select U&'\\0041;'",
        "select a$b from t",
        "select (1)",
        "select case when true then ';' end",
        "select 1 as end",
        "create function f() returns int begin atomic select 1; select 2; end",
        "create function f() returns int language sql begin atomic select case 1 when 1 then 2 end; end",
        "create rule r as on insert to t do (select 1; select 2)",
        "do $$ begin null; end $$",
        "'",
        "\"",
        "$$",
        "E'",
        "(",
        ")",
        "/*",
        "end",
        "case",
        "atomic",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn the_server_cuts_any_text_it_takes_likewise(parts in prop::collection::vec(fragment(), 0..10)) {
        let sql = parts.concat();
        if let Some(wanted) = judge(&sql) {
            let ours: Vec<_> = cut(&sql).into_iter().map(normal).collect();
            prop_assert_eq!(ours, wanted, "{}", sql);
        }
    }

    #[test]
    fn nothing_is_lost_but_separators(parts in prop::collection::vec(fragment(), 0..14)) {
        let sql = parts.concat();
        let mut rest = sql.as_bytes();
        for piece in statements(sql.as_bytes()) {
            let at = piece.as_ptr() as usize - rest.as_ptr() as usize;
            // Between two pieces: semicolons, blanks and comments, which is to say no statement.
            prop_assert_eq!(statements(&rest[..at]).count(), 0);
            rest = &rest[at + piece.len()..];
            prop_assert!(rest.is_empty() || rest[0] == b';');
        }
        prop_assert_eq!(statements(rest).count(), 0);
    }

    #[test]
    fn a_piece_is_one_statement(sql in prop::collection::vec(any::<u8>(), 0..300)) {
        for piece in statements(&sql) {
            prop_assert_eq!(statements(piece).collect::<Vec<_>>(), vec![piece]);
        }
    }
}

/// Texts in which each byte could make a careless lexer look at all the others again.
#[test]
fn time_is_linear() {
    let count = 300_000;
    let texts = [
        "/*".repeat(count),
        "$a".repeat(count),
        format!("$a${}", "$b".repeat(count)),
        "e'\n".repeat(count),
        "e'a'\n".repeat(count),
        format!("e'{}", "'\n".repeat(count)),
        "-- \n".repeat(count),
        "'".repeat(count),
        "\\".repeat(count),
        ";".repeat(count),
        "(;".repeat(count),
        "create function begin atomic case ".repeat(count / 8),
    ];
    // Quadratic time would be ten thousand times as long as this takes.
    let begun = std::time::Instant::now();
    for text in &texts {
        let _ = statements(text.as_bytes()).count();
        let _ = tenantry_wire::words::lead(text.as_bytes());
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}
