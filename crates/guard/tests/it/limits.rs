//! What a run says about itself: what it could not see, what it was told wrongly, and what it was told to accept.

use std::time::Duration;

use tenantry_domain::isolation::Isolation;
use tenantry_guard::{Accepted, Catalog, FINDINGS_MAX, Guard, Input, Report, Severity, render};
use tenantry_pg::{Pool, PoolOptions, Sql, Target};
use tenantry_testkit::pg::{private_server, server};

use crate::world::{World, admin};

fn of<'a>(report: &'a Report, check: &str) -> Vec<&'a str> {
    report.section.findings.iter().filter(|f| f.check == check).map(|f| f.object.as_str()).collect()
}

#[tokio::test]
async fn a_run_that_sees_nobody_says_so() {
    let database = server().database();
    let pool = admin(server(), database.name());
    let conn = pool.get().await.unwrap();
    let mut input = Input::new(Isolation::Shared);
    let report = Guard::run(&conn, &input).await.unwrap();
    assert_eq!(of(&report, "G1"), [format!("database {}", database.name())]);
    assert!(!report.is_clean());
    input.roles = Some(vec!["nobody_of_this_name".to_owned()]);
    let report = Guard::run(&conn, &input).await.unwrap();
    assert_eq!(of(&report, "G1"), ["role nobody_of_this_name"]);
}

#[tokio::test]
async fn a_run_that_sees_no_table_says_so() {
    let world = World::with(server(), tenantry_dataplane::SealMode::Register, false).await;
    let pool = admin(server(), &world.home);
    let conn = pool.get().await.unwrap();
    let mut input = Input::new(Isolation::Shared);
    input.tenant_column = Some("tenantid".to_owned());
    assert_eq!(of(&Guard::run(&conn, &input).await.unwrap(), "G2").len(), 1);
    input.tenant_column = Some("tenant_id".to_owned());
    assert_eq!(of(&Guard::run(&conn, &input).await.unwrap(), "G2").len(), 0);
}

#[tokio::test]
async fn an_accepted_finding_that_is_gone_is_told() {
    let world = World::with(server(), tenantry_dataplane::SealMode::Register, false).await;
    let case = world.copy("stale").await;
    let conn = case.admin().await;
    let mut input = case.input("");
    let entry =
        |check: &str| Accepted { check: check.into(), object: "table app.notes".into(), reason: "a test".into() };
    input.accepted.extend([entry("T1a"), entry("S3a")]);
    let report = Guard::run(&conn, &input).await.unwrap();
    // S3a looks at the server: whether it is stale is not this run's to say.
    assert_eq!(of(&report, "G3"), ["T1a table app.notes"]);
    case.run(&["ALTER TABLE app.notes DISABLE ROW LEVEL SECURITY".to_owned()]).await;
    let report = Guard::run(&conn, &input).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.section.findings);
    let accepted: Vec<_> = report.accepted.iter().filter(|a| a.finding.check == "T1a").collect();
    assert_eq!((accepted.len(), accepted[0].reason.as_str()), (1, "a test"));
}

#[tokio::test]
async fn what_a_login_may_not_see_is_skipped_with_the_reason() {
    let world = World::with(server(), tenantry_dataplane::SealMode::Register, false).await;
    let case = world.copy("small").await;
    let login = format!("{}_guard", world.login);
    case.run(&[
        format!("CREATE ROLE {login} LOGIN PASSWORD 'pw'"),
        format!("GRANT CONNECT ON DATABASE {} TO {login}", case.database),
        // Not declared by any check: the server's refusal is found on the way.
        "REVOKE SELECT ON pg_catalog.pg_publication FROM PUBLIC".to_owned(),
    ])
    .await;
    let target = Target::parse(&server().url(&case.database).into()).unwrap().with_user(&login, &"pw".into());
    let pool = Pool::new(target, PoolOptions::default());
    let conn = pool.get().await.unwrap();
    let report = Guard::run(&conn, &case.input("")).await.unwrap();
    let reason = |check: &str| {
        report.section.skipped.iter().find(|skipped| skipped.check == check).map(|skipped| skipped.reason.clone())
    };
    assert_eq!(reason("R5d").unwrap(), format!("{login} may not read pg_authid"));
    for check in ["T11a", "T11b", "T11c"] {
        assert_eq!(reason(check).unwrap(), "the server refused: permission denied for table pg_publication");
    }
    // The others ran, and see what they would see as superuser.
    assert_eq!(reason("T1a"), None);
    assert!(report.section.run.contains(&"T1a".to_owned()));
    case.run(&["ALTER TABLE app.notes DISABLE ROW LEVEL SECURITY".to_owned()]).await;
    assert_eq!(of(&Guard::run(&conn, &case.input("")).await.unwrap(), "T1a"), ["table app.notes"]);
    drop(conn);
    pool.close();
    case.run(&[format!("DROP OWNED BY {login}"), format!("REVOKE ALL ON DATABASE {} FROM {login}", case.database)])
        .await;
    case.run(&[format!("DROP ROLE {login}")]).await;
}

#[tokio::test]
async fn a_run_leaves_no_trace_and_no_open_transaction() {
    let world = World::with(server(), tenantry_dataplane::SealMode::Register, false).await;
    let pool = admin(server(), &world.home);
    let conn = pool.get().await.unwrap();
    let mut input = Input::new(Isolation::Shared);
    input.tenant_column = Some("tenant_id".to_owned());
    Guard::run(&conn, &input).await.unwrap();
    let row = conn
        .query_one(
            "SELECT current_setting('search_path'), current_setting('jit'), pg_current_xact_id_if_assigned() IS NULL",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "\"$user\", public");
    assert_eq!(row.get::<_, &str>(1), "on");
    assert!(row.get::<_, bool>(2));
    // A second transaction can begin, so the first one has ended.
    conn.batch(&Sql::new("BEGIN; ROLLBACK")).await.unwrap();
    assert!(conn.take_notices().is_empty());
}

#[tokio::test]
async fn findings_are_bounded_and_the_report_says_so() {
    let database = server().database();
    let most = usize::try_from(FINDINGS_MAX).unwrap();
    let role = format!("{}_app", database.name());
    server().sql(
        database.name(),
        &format!(
            "CREATE ROLE {role} LOGIN;
             DO $$ BEGIN FOR i IN 1..{} LOOP EXECUTE format('CREATE TABLE public.t%s (tenant_id uuid)', i);
                EXECUTE format('GRANT SELECT ON public.t%s TO {role}', i); END LOOP; END $$",
            most + 20
        ),
    );
    let pool = admin(server(), database.name());
    let conn = pool.get().await.unwrap();
    let mut input = Input::new(Isolation::Shared);
    input.tenant_column = Some("tenant_id".to_owned());
    let report = Guard::run(&conn, &input).await.unwrap();
    assert_eq!(of(&report, "T1a").len(), most);
    assert!(report.section.truncated.iter().any(|truncated| truncated.check == "T1a" && truncated.shown == most));
    assert!(report.counts[&Severity::Critical] >= most);
    // Another product's database: what nobody protected is found without being told who the application is.
    assert_eq!(report.roles, std::slice::from_ref(&role));
    let text = render(&report);
    assert!(text.contains("CRITICAL (") && text.contains("T1a found more than the 500 that are shown"), "{text}");
    assert_eq!(text.matches("Row-level security is off on a tenant table that is in use").count(), 1);
    drop(conn);
    pool.close();
    server().clean_up(&[format!("DROP DATABASE {} WITH (FORCE)", database.name()), format!("DROP ROLE {role}")]);
}

#[tokio::test]
async fn the_servers_own_minor_release_is_judged() {
    let pool = admin(server(), "postgres");
    let conn = pool.get().await.unwrap();
    let mut input = Input::new(Isolation::Shared);
    input.databases = Some(Vec::new());
    let report = Guard::server(&conn, &input).await.unwrap();
    // As of the newest entries of the data; a server that is updated turns this over.
    let behind = [(15, 20), (16, 16), (17, 12), (18, 7)].iter().any(|(major, minor)| {
        report.server.version_num / 10_000 == *major && report.server.version_num % 10_000 < *minor
    });
    assert_eq!(of(&report, "S13").len(), usize::from(behind), "{}", report.server.version);
    if behind {
        let finding = report.section.findings.iter().find(|finding| finding.check == "S13").unwrap();
        assert!(finding.detail.contains("CVE-2026-120154"), "{}", finding.detail);
    }
}

#[tokio::test]
async fn a_prepared_transaction_that_is_old_is_told() {
    let server = private_server();
    server.sql("postgres", "ALTER SYSTEM SET max_prepared_transactions = 3");
    server.stop();
    server.start();
    let pool = admin(&server, "postgres");
    let conn = pool.get().await.unwrap();
    conn.batch(&Sql::new("CREATE TABLE held (x int)")).await.unwrap();
    conn.batch(&Sql::new("BEGIN; LOCK held")).await.unwrap();
    conn.batch(&Sql::new("PREPARE TRANSACTION 'forgotten'")).await.unwrap();
    let input = Input::new(Isolation::Shared);
    // Young ones are a transaction manager's daily bread.
    assert_eq!(of(&Guard::server(&conn, &input).await.unwrap(), "S10b").len(), 0);
    let sql = Catalog::get().unwrap().check("S10b").unwrap().sql.clone().unwrap();
    assert!(sql.contains("'5 minutes'"));
    tokio::time::sleep(Duration::from_millis(20)).await;
    let sql = sql.replace("'5 minutes'", "'10 milliseconds'");
    let rows = conn
        .query_sql(&Sql::script(&format!("WITH input AS (SELECT NULL::text[] AS databases) {sql}")), &[])
        .await
        .unwrap();
    assert_eq!(rows[0].get::<_, &str>(0), "prepared transaction 'forgotten'");
    // While it is there nobody else gets the table; the proposed statement ends that.
    let blocked = "SET lock_timeout = '200ms'; SELECT * FROM held";
    assert!(conn.batch(&Sql::new(blocked)).await.is_err());
    conn.batch(&Sql::script(rows[0].get(2))).await.unwrap();
    conn.batch(&Sql::new(blocked)).await.unwrap();
}
