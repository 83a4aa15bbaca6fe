//! Statements by their first words.

use std::borrow::Cow;

use proptest::prelude::*;
use tenantry_wire::words::{Lead, lead};

fn set<'a>(name: Option<&'a str>, is_local: bool, path: bool) -> Lead<'a> {
    Lead::Set { name: name.map(str::as_bytes), is_local, path }
}

fn gone(name: &str) -> Lead<'static> {
    Lead::Deallocate(Some(Cow::Owned(name.as_bytes().to_vec())))
}

#[test]
fn transactions() {
    let end = |chain| Lead::End { chain };
    let cases = [
        ("", Lead::Empty),
        (" ;; /* a /* b */ */ -- c\n ;", Lead::Empty),
        ("/* begin", Lead::Empty),
        ("begin", Lead::Begin),
        ("BEGIN;", Lead::Begin),
        (";; Begin work isolation level serializable", Lead::Begin),
        ("/*x*/START/*y*/TRANSACTION READ ONLY", Lead::Begin),
        ("start", Lead::Other),
        ("start_transaction()", Lead::Other),
        ("\"begin\"", Lead::Other),
        ("beginning", Lead::Other),
        ("begin$x", Lead::Other),
        ("set transaction read only", Lead::SetTransaction),
        ("SET LOCAL TRANSACTION ISOLATION LEVEL SERIALIZABLE", Lead::SetTransaction),
        ("set session transaction read write", Lead::SetTransaction),
        ("set session characteristics as transaction read only", Lead::SetTransaction),
        ("SET SESSION SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", Lead::SetTransaction),
        ("set transaction snapshot '00000003-1'", Lead::SetTransaction),
        ("savepoint a", Lead::Savepoint),
        ("RELEASE SAVEPOINT a", Lead::Release),
        ("release a", Lead::Release),
        ("rollback to a", Lead::RollbackTo),
        ("ROLLBACK WORK TO SAVEPOINT a", Lead::RollbackTo),
        ("rollback transaction to a", Lead::RollbackTo),
        ("rollback", end(false)),
        ("abort work and no chain", end(false)),
        ("end and chain", end(true)),
        ("COMMIT TRANSACTION AND CHAIN", end(true)),
        ("commit and", end(false)),
        ("prepare transaction 'a'", Lead::PrepareTransaction),
        ("commit prepared 'a'", Lead::PrepareTransaction),
        ("Rollback Prepared 'a'", Lead::PrepareTransaction),
    ];
    for (sql, wanted) in cases {
        assert_eq!(lead(sql.as_bytes()), wanted, "{sql}");
    }
}

#[test]
fn settings() {
    let cases = [
        ("set a to 1", set(Some("a"), false, false)),
        ("SET SESSION DateStyle = iso", set(Some("DateStyle"), false, false)),
        ("set local work_mem='1MB'", set(Some("work_mem"), true, false)),
        ("set search_path to x", set(Some("search_path"), false, true)),
        ("set local Search_Path = x", set(Some("Search_Path"), true, true)),
        ("set \"search_path\" = x", set(Some("search_path"), false, true)),
        ("set/**/search_path/**/from current", set(Some("search_path"), false, true)),
        ("set U&\"\\0073earch_path\" to x", set(None, false, true)),
        ("set U&\"!0073earch_path\" UESCAPE '!' to x", set(None, false, true)),
        ("set U&\"\\0061pplication_name\" to x", set(None, false, false)),
        ("set U&\"\\d800\" to x", set(None, false, true)),
        ("set schema 'x'", set(Some("search_path"), false, true)),
        ("set backtrace_functions = 'x'", set(Some("backtrace_functions"), false, true)),
        ("set tenantry.context = 'x'", set(Some("tenantry.context"), false, true)),
        ("set Tenantry . context = 'x'", set(None, false, true)),
        ("set \"tenantry\".\"context\" = 'x'", set(None, false, true)),
        ("set \"tenantry.context\" = 'x'", set(Some("tenantry.context"), false, true)),
        ("set app.tenantry = 'x'", set(Some("app.tenantry"), false, false)),
        ("set local.x = 1", set(Some("local.x"), false, false)),
        ("set session.x = 1", set(Some("session.x"), false, false)),
        ("set session local.x = 1", set(Some("local.x"), false, false)),
        ("set local local.x = 1", set(Some("local.x"), true, false)),
        ("set time zone 'UTC'", set(Some("timezone"), false, false)),
        ("set local time zone local", set(Some("timezone"), true, false)),
        ("set names 'UTF8'", set(Some("client_encoding"), false, false)),
        ("set role a", set(Some("role"), false, false)),
        ("set role = a", set(Some("role"), false, false)),
        ("set local role none", set(Some("role"), true, false)),
        ("set session authorization default", set(Some("session_authorization"), false, false)),
        ("set session session authorization a", set(Some("session_authorization"), false, false)),
        ("set local session authorization a", set(Some("session_authorization"), true, false)),
        ("set xml option document", set(Some("xmloption"), false, false)),
        ("set constraints all deferred", Lead::Other),
        ("set", Lead::Other),
        ("set local", Lead::Other),
        ("settings", Lead::Other),
        ("reset all", Lead::Reset),
        ("RESET search_path", Lead::Reset),
        ("show all", Lead::Show),
    ];
    for (sql, wanted) in cases {
        assert_eq!(lead(sql.as_bytes()), wanted, "{sql}");
    }
}

#[test]
fn statements_and_sessions() {
    let long = "x".repeat(70);
    let umlauts = "ä".repeat(40);
    let (long_quoted, umlauts_quoted) = (format!("deallocate {long}"), format!("deallocate \"{umlauts}\""));
    let cases = [
        ("prepare a as select 1", Lead::Prepare),
        ("deallocate all", Lead::Deallocate(None)),
        ("DEALLOCATE PREPARE ALL", Lead::Deallocate(None)),
        ("deallocate Foo", gone("foo")),
        ("deallocate prepare \"Foo\"", gone("Foo")),
        ("deallocate \"a\"\"b\"", gone("a\"b")),
        ("deallocate \"all\"", gone("all")),
        ("deallocate prepare", gone("prepare")),
        ("deallocate u&\"d\\0061t\\+000061\\\\\"", gone("data\\")),
        (long_quoted.as_str(), gone(&"x".repeat(63))),
        (umlauts_quoted.as_str(), gone(&"ä".repeat(31))),
        ("deallocate", Lead::Other),
        ("discard all", Lead::Discard),
        ("listen a", Lead::Listen),
        ("unlisten *", Lead::Other),
        ("notify a", Lead::Other),
        ("select 1", Lead::Other),
        ("(select 1)", Lead::Other),
        ("'begin'", Lead::Other),
        ("$$begin$$", Lead::Other),
        ("E'begin' commit", Lead::Other),
        ("ünïcode", Lead::Other),
        ("transaction_abort", Lead::Other),
    ];
    for (sql, wanted) in cases {
        assert_eq!(lead(sql.as_bytes()), wanted, "{sql}");
    }
}

proptest! {
    #[test]
    fn anything_has_a_lead(sql in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = lead(&sql);
    }

    #[test]
    fn anything_that_looks_like_sql_has_a_lead(words in prop::collection::vec(prop::sample::select(vec![
        "set", "local", "session", "transaction", "authorization", "time", "zone", "search_path", ".", "=", "to", "\"", "'", "U&\"",
        "\\0041", "uescape", "/*", "*/", "--", "\n", " ", ";", "deallocate", "prepare", "all", "rollback", "and", "chain", "E'", "$$", "$a$",
    ]), 0..12)) {
        let _ = lead(words.concat().as_bytes());
        let _ = lead(words.join(" ").as_bytes());
    }

    #[test]
    fn blanks_and_comments_change_nothing(at in 0usize..4, blank in prop::sample::select(vec![" ", "\n", "/* ' */", "-- \"\n", "/*/**/*/"])) {
        for sql in ["set local time zone 'x'", "rollback work to a", "commit transaction and chain", "set session characteristics as x"] {
            let spaced: String = sql.split(' ').enumerate().map(|(i, word)| if i == at { format!("{blank} {word} ") } else { format!(" {word}") }).collect();
            prop_assert_eq!(lead(spaced.as_bytes()), lead(sql.as_bytes()));
        }
    }
}
