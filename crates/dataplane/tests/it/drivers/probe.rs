//! The leak probe at places of this data plane, in both forms of the seal: clean as made, and red when a hole is made.

use tenantry_dataplane::guard::{Report, Severity};
use tenantry_dataplane::{Options, SealMode};
use tenantry_domain::isolation::Isolation;
use tenantry_testkit::pg::{private_server, server};

use super::admin::as_login;
use super::bench::{Bench, LEVELS};

fn leaks(report: &Report) -> Vec<&str> {
    let critical = report.section.findings.iter().filter(|finding| finding.severity == Severity::Critical);
    critical.map(|finding| finding.object.as_str()).collect()
}

/// A pair at each level: nothing comes through but what is `known`, and a view with its owner's rights is seen wherever
/// two share a database. The app has a table whose second key is made of parents only.
async fn nothing_until_a_hole_is_made(bench: &Bench, mode: SealMode, known: &[&str]) {
    let app = bench.chat(2);
    for level in LEVELS {
        let (a, b) = (bench.open(&app, level).await, bench.open(&app, level).await);
        let report = bench.cell.probe(&a, &b).await.unwrap();
        let unknown: Vec<&str> = leaks(&report).into_iter().filter(|object| !known.contains(object)).collect();
        assert_eq!(unknown, Vec::<&str>::new(), "{level}: {:#?}", report.section.findings);
        let tried = report.tried.as_ref().expect("how much was tried");
        assert_eq!(tried.seal, mode.as_str(), "{level}");
        assert!(tried.canaries > 0 && tried.probes > 100 && tried.executed * 4 > tried.probes, "{level}: {tried:?}");
        assert!(tried.executed < tried.probes, "an attack that is never refused was none: {level}: {tried:?}");
        if level == Isolation::Database {
            continue;
        }
        let (database, role) = (bench.database(&a), bench.role(&a));
        let victim = bench.schema(&b);
        let hole = format!(
            "CREATE VIEW {victim}.everything AS SELECT * FROM {victim}.users;
             GRANT USAGE ON SCHEMA {victim} TO {role}; GRANT SELECT ON {victim}.everything TO {role}"
        );
        bench.run(&database, &hole).await;
        let red = bench.cell.probe(&a, &b).await.unwrap();
        assert!(leaks(&red).iter().any(|object| object.contains("everything")), "{level}: {:#?}", red.section.findings);
        bench.run(&database, &format!("DROP VIEW {victim}.everything")).await;
        if level == Isolation::Shared {
            bench.run(&database, "CREATE UNIQUE INDEX bare ON app.channel_members (id)").await;
            let red = bench.cell.probe(&a, &b).await.unwrap();
            assert!(leaks(&red).contains(&"table app.channel_members"), "{:#?}", red.section.findings);
            bench.run(&database, "DROP INDEX app.bare").await;
        }
    }
}

#[tokio::test]
async fn register_mode_leaks_nothing_until_a_hole_is_made() {
    let bench = Bench::new().await;
    nothing_until_a_hole_is_made(&bench, SealMode::Register, &[]).await;
    bench.clean().await;
}

#[tokio::test]
async fn signed_mode_leaks_nothing_until_a_hole_is_made() {
    let options = Options { seal: Some(SealMode::Signed), ..Options::default() };
    let bench = Bench::on(server(), options).await;
    nothing_until_a_hole_is_made(&bench, SealMode::Signed, &[]).await;
    bench.clean().await;
}

/// As on a managed server: the cell's login is no superuser. Large objects cannot be taken from everybody there, and that
/// is what the probe says (see the limits in docs/isolation.md).
#[tokio::test]
async fn a_login_without_superusers_rights_probes_in_signed_mode() {
    let server = private_server();
    let bench = as_login(&server, "CREATEROLE CREATEDB", Options::default()).await;
    nothing_until_a_hole_is_made(&bench, SealMode::Signed, &["large objects"]).await;
}
