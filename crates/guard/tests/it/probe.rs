//! The probe of pools: one that hands sessions on as they are is told from one that cleans them.

use tenantry_domain::isolation::Isolation;
use tenantry_guard::{Guard, Input, plant, residue};
use tenantry_pg::{Pool, PoolOptions, Target};
use tenantry_testkit::pg::server;

use crate::world::admin;

fn pool(database: &str) -> Pool {
    let target = Target::parse(&server().url(database).into()).unwrap();
    Pool::new(target, PoolOptions { max: 1, ..PoolOptions::default() })
}

#[tokio::test]
async fn a_pool_that_keeps_sessions_is_told_from_one_that_cleans_them() {
    let database = server().database();
    let pool = pool(database.name());
    let first = pool.get().await.unwrap();
    let planted = plant(&first).await.unwrap();
    first.release();
    // As its last borrower left it.
    let second = pool.get_preferring(|_| true).await.unwrap();
    let naive = residue(&second, &planted).await.unwrap();
    assert_eq!(naive.run, ["S9"]);
    let names: Vec<&str> = naive.findings.iter().map(|finding| finding.object.as_str()).collect();
    assert_eq!(names.len(), 13, "{names:?}");
    for name in [
        "a custom setting",
        "search_path",
        "a prepared statement",
        "a temporary table",
        "a channel",
        "an advisory lock",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let planted = plant(&second).await.unwrap_or_else(|_| panic!("the session is in use"));
    second.release();
    // What our pool does between borrowers.
    let third = pool.get().await.unwrap();
    let clean = residue(&third, &planted).await.unwrap();
    assert_eq!(clean.findings, []);
    assert_eq!(clean.run, ["S9"]);
}

#[tokio::test]
async fn another_session_proves_nothing_and_says_so() {
    let database = server().database();
    let (one, two) = (pool(database.name()), pool(database.name()));
    let first = one.get().await.unwrap();
    let planted = plant(&first).await.unwrap();
    let second = two.get().await.unwrap();
    let section = residue(&second, &planted).await.unwrap();
    assert!(section.run.is_empty() && section.skipped.len() == 1);
}

#[tokio::test]
async fn what_the_probe_found_joins_a_report() {
    let database = server().database();
    let pool = pool(database.name());
    let first = pool.get().await.unwrap();
    let planted = plant(&first).await.unwrap();
    first.release();
    let second = pool.get_preferring(|_| true).await.unwrap();
    let section = residue(&second, &planted).await.unwrap();
    let admin = admin(server(), database.name());
    let conn = admin.get().await.unwrap();
    let input = Input::new(Isolation::Shared);
    let mut report = Guard::run(&conn, &input).await.unwrap();
    assert!(report.section.skipped.iter().any(|skipped| skipped.check == "S9"));
    let before = report.section.findings.len();
    report.add(section, &input);
    assert!(report.section.run.contains(&"S9".to_owned()));
    assert!(!report.section.skipped.iter().any(|skipped| skipped.check == "S9"));
    assert_eq!(report.section.findings.len(), before + 13);
    assert_eq!(report.counts.values().sum::<usize>(), before + 13);
}
