//! A database as the data plane makes it gives no finding, at any level and in both modes of the seal.

use tenantry_dataplane::SealMode;
use tenantry_domain::isolation::Isolation;
use tenantry_guard::{Guard, Input, Report, Scope};
use tenantry_testkit::pg::{private_server, server};

use crate::world::{World, admin, limits};

fn nothing(what: &str, report: &Report) {
    let found: Vec<String> = report
        .section
        .findings
        .iter()
        .map(|finding| format!("{} {}: {}", finding.check, finding.object, finding.detail))
        .collect();
    assert_eq!(found, Vec::<String>::new(), "{what}");
    assert!(!report.roles.is_empty(), "{what}: nobody was looked at");
}

async fn home(mode: SealMode) {
    let world = World::with(server(), mode, true).await;
    let mut case = world.copy("clean").await;
    case.restore().await;
    let conn = case.admin().await;
    let report = Guard::run(&conn, &case.input("")).await.unwrap();
    nothing("home", &report);
    let accepted: std::collections::BTreeSet<&str> = report.accepted.iter().map(|a| a.finding.check.as_str()).collect();
    assert_eq!(accepted.into_iter().collect::<Vec<_>>(), ["S6b", "S8a", "S8b"]);
    // All but those of a pool, which a catalog cannot tell.
    let skipped: Vec<&str> = report.section.skipped.iter().map(|skipped| skipped.check.as_str()).collect();
    assert_eq!(skipped, ["S9"]);
    // At these levels A and B are seen by one login, C and D by one each.
    assert_eq!(report.roles.len(), 3);
}

#[tokio::test]
async fn a_home_with_shared_and_schema_tenants_is_clean() {
    home(SealMode::Register).await;
}

#[tokio::test]
async fn a_home_in_signed_mode_is_clean() {
    home(SealMode::Signed).await;
}

#[tokio::test]
async fn a_tenants_own_database_is_clean() {
    let world = World::new(server()).await;
    let mut input = Input::new(Isolation::Database);
    input.tenant_column = Some("tenant_id".to_owned());
    input.references = vec!["kinds".to_owned()];
    let pool = admin(server(), &world.parties[&'E'].database);
    let conn = pool.get().await.unwrap();
    let report = Guard::run(&conn, &input).await.unwrap();
    nothing("database", &report);
    assert_eq!(report.roles, [world.parties[&'E'].login.clone()]);
    assert!(report.accepted.is_empty());
}

#[tokio::test]
async fn a_server_gives_what_its_operator_has_to_decide() {
    let server = private_server();
    let world = World::new(&server).await;
    server.sql("postgres", "REVOKE CONNECT, TEMPORARY ON DATABASE postgres FROM PUBLIC");
    server.sql("postgres", "REVOKE CONNECT, TEMPORARY ON DATABASE template1 FROM PUBLIC");
    let mut input = Input::new(Isolation::Shared);
    input.accepted = limits();
    input.backup_roles = vec!["postgres".to_owned()];
    let mut own = world.parties.values().map(|party| party.database.clone()).collect::<Vec<_>>();
    own.sort();
    own.dedup();
    let pool = admin(&server, "postgres");
    let conn = pool.get().await.unwrap();
    let mut report = Guard::server(&conn, &input).await.unwrap();
    assert_eq!(report.scope, Scope::Server);
    // Whether this server lacks fixes is up to whoever installed it.
    report.section.findings.retain(|finding| finding.check != "S13");
    // The server's own default: accepted entries of the other scope are none of this run's business.
    nothing("server", &report);
    assert!(report.section.skipped.is_empty(), "{:?}", report.section.skipped);
}
