//! What does not bear our mark stays as it is.

use tenantry_dataplane::{DataError, FindingKind};
use tenantry_domain::isolation::Isolation;

use super::bench::{Bench, NOTES, claim, kinds};

fn foreign<T: std::fmt::Debug>(result: Result<T, DataError>, part: &str) {
    assert!(matches!(&result, Err(DataError::Foreign { object }) if object.contains(part)), "{result:?}");
}

#[tokio::test]
async fn schemas_databases_and_roles_of_others_are_never_touched() {
    let bench = Bench::new().await;
    let app = bench.app(1, &[("1.sql", NOTES)]);
    bench.cell.prepare(&app).await.unwrap();
    let home = bench.home();

    let space = bench.space(&app, Isolation::Schema);
    let name = bench.schema(&space);
    bench.run(&home, &format!("CREATE SCHEMA {name}; CREATE TABLE {name}.theirs (id int)")).await;
    foreign(bench.cell.create(&space, &claim(1)).await, "schema");
    foreign(bench.cell.erase(&space, &claim(1)).await, "schema");
    foreign(bench.cell.uncreate(&space, &claim(1)).await, "schema");
    foreign(bench.cell.repair(&space, &claim(1), tenantry_dataplane::Gate::Open).await, "schema");
    assert!(kinds(&bench.cell.observe(&space).await.unwrap().findings).contains(&FindingKind::Foreign));
    assert_eq!(
        bench.texts(&home, &format!("SELECT to_regclass('{name}.theirs')::text")).await,
        [format!("{name}.theirs")]
    );
    bench.run(&home, &format!("DROP SCHEMA {name} CASCADE")).await;

    let space = bench.space(&app, Isolation::Schema);
    let role = bench.role(&space);
    bench.run(&home, &format!("CREATE ROLE {role} LOGIN")).await;
    foreign(bench.cell.create(&space, &claim(1)).await, "role");
    foreign(bench.cell.uncreate(&space, &claim(1)).await, "role");
    assert_eq!(
        bench
            .texts(&home, &format!("SELECT rolname::text FROM pg_roles WHERE rolname = '{role}' AND rolcanlogin"))
            .await
            .len(),
        1
    );
    bench.run(&home, &format!("DROP ROLE {role}")).await;

    let space = bench.space(&app, Isolation::Database);
    let name = bench.database(&space);
    bench.run("postgres", &format!("CREATE DATABASE {name}")).await;
    foreign(bench.cell.create(&space, &claim(1)).await, "database");
    foreign(bench.cell.erase(&space, &claim(1)).await, "database");
    foreign(bench.cell.uncreate(&space, &claim(1)).await, "database");
    assert_eq!(
        bench
            .texts(
                "postgres",
                &format!("SELECT datname::text FROM pg_database WHERE datname = '{name}' AND datallowconn")
            )
            .await
            .len(),
        1
    );
    bench.run("postgres", &format!("DROP DATABASE {name}")).await;
    assert_eq!(bench.leftovers().await, [""; 0]);
    bench.clean().await;
}

/// Another installation on the same server, or somebody's database of our home's name.
#[tokio::test]
async fn a_foreign_home_is_refused() {
    let bench = Bench::new().await;
    let app = bench.app(1, &[("1.sql", NOTES)]);
    let home = bench.home();
    bench.run("postgres", &format!("CREATE DATABASE {home}")).await;
    foreign(bench.cell.prepare(&app).await, &home);
    bench
        .run("postgres", &format!("COMMENT ON DATABASE {home} IS 'tenantry:ins_00000000000000000000000000:home:x'"))
        .await;
    foreign(bench.cell.prepare(&app).await, &home);
    bench.run("postgres", &format!("DROP DATABASE {home}")).await;
    bench.clean().await;
}
