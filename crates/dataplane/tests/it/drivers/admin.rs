//! Which login a cell needs, and that one without superuser's rights is enough.

use tenantry_dataplane::{DataError, Expected, FindingKind, Gate, Options, SealMode};
use tenantry_domain::isolation::Isolation;
use tenantry_testkit::pg::{PrivateServer, private_server, server};

use super::bench::{Bench, LEVELS, claim, kinds};

pub async fn as_login(server: &PrivateServer, rights: &str, options: Options) -> Bench {
    server.sql("postgres", &format!("CREATE ROLE cell LOGIN PASSWORD 'secret' {rights}"));
    let url = format!("postgres://cell:secret@127.0.0.1:{}/postgres?sslmode=disable", server.port());
    Bench::with(url, server.url("{}"), options).await
}

#[tokio::test]
async fn a_login_without_the_needed_rights_is_told_what_is_missing() {
    for (rights, missing) in [("", "CREATEROLE"), ("CREATEROLE", "CREATEDB"), ("CREATEDB", "CREATEROLE")] {
        let server = private_server();
        let bench = as_login(&server, rights, Options::default()).await;
        let refused = bench.cell.check().await;
        assert!(matches!(&refused, Err(DataError::Unsupported { what, .. }) if what.contains(missing)), "{refused:?}");
        assert!(matches!(bench.cell.prepare(&bench.chat(1)).await, Err(DataError::Unsupported { .. })));
    }
    let bench =
        Bench::with("postgres://nobody:x@127.0.0.1:1/postgres".to_owned(), server().url("{}"), Options::default())
            .await;
    assert!(matches!(bench.cell.check().await, Err(DataError::Unreachable(_))));
}

/// As on a managed server: no superuser, so the seal is signed instead of kept in the register.
#[tokio::test]
async fn a_login_with_createrole_and_createdb_does_all_that_is_needed() {
    let server = private_server();
    let bench = as_login(&server, "CREATEROLE CREATEDB", Options::default()).await;
    live(&bench, SealMode::Signed).await;
}

#[tokio::test]
async fn signed_contexts_serve_every_level() {
    let options = Options { seal: Some(SealMode::Signed), ..Options::default() };
    let bench = Bench::on(server(), options).await;
    live(&bench, SealMode::Signed).await;
    bench.clean().await;
}

async fn live(bench: &Bench, mode: SealMode) {
    let app = bench.chat(2);
    assert_eq!(bench.cell.prepare(&app).await.unwrap().seal, mode);
    for level in &LEVELS[1..] {
        bench.cell.refill(&app, *level, 1).await.unwrap();
    }
    let seed = "INSERT INTO users (email, display_name) SELECT n || '@b.c', 'A' FROM generate_series(1, 100) n";
    for level in LEVELS {
        let mut spaces = [bench.open(&app, level).await, bench.open(&app, level).await];
        for space in &spaces {
            bench.as_tenant(space, seed).await;
        }
        let expected: Vec<_> = spaces
            .iter()
            .map(|s| Expected {
                tenant: s.tenant,
                isolation: level,
                epoch: 1,
                gate: Gate::Open,
                connections: Some(s.connections),
            })
            .collect();
        let swept = bench.cell.sweep(&app, &expected).await.unwrap();
        assert_eq!((swept.common, swept.tenants), (vec![], vec![]), "{level}");
        for space in &mut spaces {
            space.app = bench.chat(3);
            bench.cell.migrate(space, &claim(1)).await.unwrap();
            assert_eq!(bench.cell.observe(space).await.unwrap().findings, [], "{level}");
        }
        let open = bench.enter(&spaces[0]).await.unwrap();
        open.execute("DELETE FROM users", &[]).await.unwrap();
        assert_eq!(bench.cell.set_gate(&spaces[0], &claim(2), Gate::Suspended).await.unwrap().cut, 1, "{level}");
        assert!(open.commit().await.is_err(), "{level}");
        let (database, schema, role) = (bench.database(&spaces[0]), bench.schema(&spaces[0]), bench.role(&spaces[0]));
        bench.run(&database, &format!("GRANT TRUNCATE ON {schema}.users TO {role}")).await;
        assert_eq!(
            kinds(&bench.cell.observe(&spaces[0]).await.unwrap().findings),
            [FindingKind::GrantExtra],
            "{level}"
        );
        bench.cell.repair(&spaces[0], &claim(2), Gate::Open).await.unwrap();
        assert_eq!(bench.cell.observe(&spaces[0]).await.unwrap().findings, [], "{level}");
        assert_eq!(bench.count(&spaces[0], "users").await, 100, "{level}");
        bench.cell.erase(&spaces[0], &claim(3)).await.unwrap();
        assert!(!bench.cell.observe(&spaces[0]).await.unwrap().exists, "{level}");
        assert_eq!(bench.count(&spaces[1], "users").await, 100, "{level}");
        bench.cell.erase(&spaces[1], &claim(3)).await.unwrap();
        bench.cell.uncreate(&bench.space(&app, level), &claim(1)).await.unwrap();
        if level == Isolation::Database {
            bench.cell.reap(&app).await.unwrap();
        }
    }
}

/// A file that would silently do nothing, because its data is hidden from a login that cannot lift the policies, fails.
#[tokio::test]
async fn without_superusers_rights_a_file_that_changes_data_fails_loudly() {
    let server = private_server();
    let bench = as_login(&server, "CREATEROLE CREATEDB", Options::default()).await;
    let first = super::bench::NOTES;
    let app = bench.app(1, &[("1.sql", first)]);
    bench.cell.prepare(&app).await.unwrap();
    let failed = bench.cell.prepare(&bench.app(2, &[("1.sql", first), ("2.sql", "UPDATE notes SET body = ''")])).await;
    assert!(matches!(&failed, Err(DataError::Migration(f)) if f.message.contains("row-level security")), "{failed:?}");
}
