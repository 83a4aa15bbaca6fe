//! The guard at places that the data plane made: nothing to find as they are, and what was opened by hand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tenantry_dataplane::guard::{Accepted, Report, Severity, Terms, Ward};
use tenantry_dataplane::{AppTarget, Gate, Options, Space};
use tenantry_domain::isolation::Isolation;
use tenantry_testkit::pg::private_server;

use super::bench::{Bench, NOTES, claim};

/// What a look finds.
async fn look(bench: &Bench, ward: &Ward) -> Report {
    bench.cell.guard(ward, &Terms::default()).await.unwrap().expect("there is such a place")
}

/// The findings as `check object`.
fn found(report: &Report) -> Vec<String> {
    report.section.findings.iter().map(|finding| format!("{} {}", finding.check, finding.object)).collect()
}

fn home(app: &Arc<AppTarget>) -> Ward {
    Ward::Home(Arc::clone(app))
}

/// Waits until no session of a look is left in a database; closing one takes a moment.
async fn closed(bench: &Bench, database: &str) {
    let sql = format!(
        "SELECT state FROM pg_stat_activity WHERE application_name = 'tenantry guard' AND datname = '{database}'"
    );
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let open = bench.texts("postgres", &sql).await;
        if open.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "{database}: {open:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// ISO-06, ISO-11, ISO-15: what the product makes is clean at every level, and stays so after rows and statistics.
#[tokio::test]
async fn what_the_product_makes_is_clean_at_every_level() {
    let bench = Bench::new().await;
    let app = bench.chat(3);
    assert!(bench.cell.guard(&home(&app), &Terms::default()).await.unwrap().is_none(), "there is no home yet");
    bench.open(&app, Isolation::Shared).await;
    bench.open(&app, Isolation::Schema).await;
    let own = bench.open(&app, Isolation::Database).await;
    bench.run(&bench.home(), "ANALYZE").await;

    let report = look(&bench, &home(&app)).await;
    assert_eq!(found(&report), Vec::<String>::new());
    assert_eq!(report.level, Isolation::Shared);
    assert_eq!(report.roles.len(), 2, "the login of all shared tenants, and the one of the schema: {:?}", report.roles);
    let limits: Vec<&str> = report.accepted.iter().map(|one| one.finding.check.as_str()).collect();
    assert!(limits.contains(&"S8a") && limits.iter().all(|check| check.starts_with("S6") || check.starts_with("S8")));
    assert!(report.section.run.len() > 50, "{}", report.section.run.len());

    let report = look(&bench, &Ward::Own(own.clone())).await;
    assert_eq!((found(&report), report.level), (Vec::new(), Isolation::Database));
    assert!(report.accepted.is_empty());

    // Nobody can log in to a suspended tenant's database; that is not a finding.
    bench.cell.set_gate(&own, &claim(2), Gate::Suspended).await.unwrap();
    let report = look(&bench, &Ward::Own(own.clone())).await;
    assert_eq!(found(&report), Vec::<String>::new());
    assert_eq!(report.roles, [bench.role(&own)]);
    for database in [bench.home(), bench.database(&own)] {
        closed(&bench, &database).await;
    }
}

/// An app without a tenant key has no shared tables; its home holds schemas of single tenants.
#[tokio::test]
async fn a_home_of_schemas_alone_is_clean() {
    let bench = Bench::new().await;
    let app = bench.app_with(1, &[("1.sql", "CREATE TABLE notes (id bigint PRIMARY KEY, body text)")], None, &[]);
    bench.cell.prepare(&app).await.unwrap();
    assert_eq!(found(&look(&bench, &home(&app)).await), Vec::<String>::new(), "before the first tenant");
    let (one, _two) = (bench.open(&app, Isolation::Schema).await, bench.open(&app, Isolation::Schema).await);
    let report = look(&bench, &home(&app)).await;
    assert_eq!((found(&report), report.level), (Vec::new(), Isolation::Schema));
    bench.run(&bench.home(), &format!("GRANT USAGE ON SCHEMA {} TO PUBLIC", bench.schema(&one))).await;
    let report = look(&bench, &home(&app)).await;
    assert!(found(&report).iter().any(|one| one.starts_with("S5a ")), "{:?}", found(&report));
}

/// What is done by hand, which check must find it, and whether it matters in a database of one tenant as well. `$L`
/// login, `$O` owner, `$P` the tenants' schema.
const LEAKS: &[(&str, &str, bool)] = &[
    ("DROP POLICY tenantry_tenant ON $P.notes; CREATE POLICY open ON $P.notes USING (true)", "T4a", false),
    ("ALTER TABLE $P.notes DISABLE ROW LEVEL SECURITY", "T1a", false),
    ("CREATE VIEW $P.everything AS SELECT * FROM $P.notes; GRANT SELECT ON $P.everything TO $L", "T13a", false),
    ("ALTER ROLE $O LOGIN", "R3b", true),
    ("ALTER ROLE $L BYPASSRLS", "R1b", true),
    ("GRANT pg_read_server_files TO $L", "R2a", true),
    ("GRANT SELECT ON seal.key TO $L", "S12b", true),
];

async fn fill(bench: &Bench, space: &Space, text: &str) -> String {
    let (schema, database) = (bench.schema(space), bench.database(space));
    let sql = format!("SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = '{schema}'");
    let owner = bench.texts(&database, &sql).await.remove(0);
    let pairs = [("$L", bench.role(space)), ("$O", owner), ("$P", schema)];
    pairs.into_iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, &value))
}

#[tokio::test]
async fn what_was_opened_by_hand_is_found_in_homes_and_own_databases() {
    let bench = Bench::new().await;
    let app = bench.app(1, &[("1.sql", NOTES)]);
    for level in [Isolation::Shared, Isolation::Database] {
        let space = bench.open(&app, level).await;
        let ward = if level == Isolation::Shared { home(&app) } else { Ward::Own(space.clone()) };
        let before = found(&look(&bench, &ward).await);
        assert_eq!(before, Vec::<String>::new());
        for (sql, check, _) in LEAKS.iter().filter(|(.., both)| *both || level == Isolation::Shared) {
            bench.run(&bench.database(&space), &fill(&bench, &space, sql).await).await;
            let report = look(&bench, &ward).await;
            let found = found(&report);
            assert!(found.iter().any(|one| one.starts_with(&format!("{check} "))), "{level}: {sql}: {found:?}");
            assert!(report.worst().is_some_and(|worst| worst <= Severity::High), "{level}: {sql}");
        }
    }
}

#[tokio::test]
async fn the_operators_terms_are_kept_to() {
    let bench = Bench::new().await;
    let app = bench.app(1, &[("1.sql", NOTES)]);
    bench.open(&app, Isolation::Shared).await;
    bench.run(&bench.home(), "ALTER TABLE app.notes NO FORCE ROW LEVEL SECURITY").await;
    assert_eq!(found(&look(&bench, &home(&app)).await), ["T2 table app.notes"]);
    let entry = |object: &str| Accepted { check: "T2".into(), object: object.into(), reason: "for a reason".into() };
    let terms = |object: &str| Terms { accepted: vec![entry(object)], ..Terms::default() };
    for (object, is_accepted) in [("table app.notes", true), ("table app.*", true), ("table app.note", false)] {
        let report = bench.cell.guard(&home(&app), &terms(object)).await.unwrap().unwrap();
        assert_eq!(report.is_clean(), is_accepted, "{object}");
        assert_eq!(report.counts[&Severity::High], usize::from(!is_accepted), "{object}");
        assert_eq!(report.accepted.iter().any(|one| one.reason == "for a reason"), is_accepted, "{object}");
    }
}

/// The server's own look is about our databases: those of others on it are none of ours.
#[tokio::test]
async fn a_server_is_looked_at_as_a_whole() {
    let server = private_server();
    let bench = Bench::on(&server, Options::default()).await;
    let app = bench.app(1, &[("1.sql", NOTES)]);
    let own = bench.open(&app, Isolation::Database).await;
    let ward = Ward::Server { apps: vec![Arc::clone(&app)], own: vec![own.clone()] };
    server.sql("postgres", "CREATE DATABASE elsewhere");
    let before = found(&look(&bench, &ward).await);
    assert!(!before.iter().any(|one| one.starts_with("S3a ") || one.starts_with("S3b ")), "{before:?}");
    let database = bench.database(&own);
    server.sql("postgres", &format!("CREATE ROLE stranger LOGIN; GRANT CONNECT ON DATABASE {database} TO stranger"));
    server.sql("postgres", &format!("GRANT CONNECT ON DATABASE {} TO PUBLIC", bench.home()));
    let after = found(&look(&bench, &ward).await);
    assert!(after.contains(&format!("S3b database {database}")), "{after:?}");
    assert!(after.contains(&format!("S3a database {}", bench.home())), "{after:?}");
}

#[tokio::test]
async fn a_place_that_is_not_there_is_an_error() {
    let bench = Bench::new().await;
    let app = bench.app(1, &[("1.sql", NOTES)]);
    let never = bench.space(&app, Isolation::Database);
    assert!(bench.cell.guard(&Ward::Own(never), &Terms::default()).await.is_err());
}
