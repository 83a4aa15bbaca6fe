//! Places made in advance, and the janitor that removes what killed processes left.

use tenantry_dataplane::{Gate, Space};
use tenantry_domain::isolation::Isolation;

use super::bench::{Bench, LEVELS, NOTES, claim};

#[tokio::test]
async fn places_made_in_advance_are_taken_complete() {
    for level in &LEVELS[1..] {
        let bench = Bench::new().await;
        let app = bench.chat(3);
        assert_eq!(bench.cell.refill(&app, *level, 2).await.unwrap(), 2, "{level}");
        assert_eq!(bench.cell.refill(&app, *level, 2).await.unwrap(), 0, "{level}");
        for n in 0..3 {
            let space = bench.space(&app, *level);
            let created = bench.cell.create(&space, &claim(1)).await.unwrap();
            assert_eq!(created.premade, n < 2, "{level} {n}");
            let migrated = bench.cell.migrate(&space, &claim(1)).await.unwrap();
            // A copied database has run the files already, a schema only if it was made in advance.
            assert_eq!(migrated.applied.is_empty(), n < 2 || *level == Isolation::Database, "{level} {n}");
            bench.cell.set_gate(&space, &claim(1), Gate::Open).await.unwrap();
            bench.as_tenant(&space, "INSERT INTO users (email, display_name) VALUES ('a@b.c', 'A')").await;
            assert_eq!(bench.cell.observe(&space).await.unwrap().findings, [], "{level} {n}");
        }
        assert_eq!(bench.cell.refill(&app, Isolation::Shared, 2).await.unwrap(), 0);
        bench.clean().await;
    }
}

/// A function that keeps the path it was made under finds the tenant's types and tables when the schema has the tenant's name.
#[tokio::test]
async fn functions_of_a_schema_made_in_advance_look_where_the_tenant_is() {
    let bench = Bench::new().await;
    let app = bench.app_with(1, &[("1.sql", super::drift::APP)], Some("tenant_id"), &["kinds"]);
    assert_eq!(bench.cell.refill(&app, Isolation::Schema, 1).await.unwrap(), 1);
    let paths = "SELECT proconfig::text FROM pg_proc WHERE proname = 'feel' AND pronamespace <> 'app'::regnamespace";
    let made = bench.texts(&bench.home(), paths).await;
    assert!(made.iter().all(|path| path.contains("tn_pre_")) && made.len() == 1, "{made:?}");
    let space = bench.space(&app, Isolation::Schema);
    assert!(bench.cell.create(&space, &claim(1)).await.unwrap().premade);
    bench.cell.migrate(&space, &claim(1)).await.unwrap();
    bench.cell.set_gate(&space, &claim(1), Gate::Open).await.unwrap();
    assert_eq!(bench.texts(&bench.home(), paths).await, [made[0].replace(&between(&made[0]), &bench.schema(&space))]);
    bench.as_tenant(&space, "SELECT feel()").await;
    assert_eq!(bench.cell.observe(&space).await.unwrap().findings, []);
    bench.clean().await;
}

/// The name of the schema made in advance in a function's settings.
fn between(settings: &str) -> String {
    let from = settings.find("tn_pre_").unwrap();
    let name = settings[from..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_');
    name.collect()
}

#[tokio::test]
async fn a_new_version_replaces_what_waits_and_old_copies_are_brought_up() {
    for level in &LEVELS[1..] {
        let bench = Bench::new().await;
        let old = bench.chat(2);
        bench.cell.refill(&old, *level, 2).await.unwrap();
        let app = bench.chat(3);
        // Taken before the shelf is renewed: complete all the same.
        let space = bench.space(&app, *level);
        assert!(bench.cell.create(&space, &claim(1)).await.unwrap().premade, "{level}");
        assert_eq!(
            bench.cell.migrate(&space, &claim(1)).await.unwrap().applied,
            ["0003_pins_and_reactions.sql"],
            "{level}"
        );
        assert_eq!(bench.cell.observe(&space).await.unwrap().findings, [], "{level}");
        assert_eq!(bench.cell.refill(&app, *level, 1).await.unwrap(), 1, "{level}");
        assert_eq!(bench.texts(&bench.home(), "SELECT version::text FROM ledger.premade").await, ["3"], "{level}");
        bench.cell.erase(&space, &claim(1)).await.unwrap();
        bench.cell.reap(&app).await.unwrap();
        assert_eq!(bench.leftovers().await, [""; 0], "{level}");
        bench.clean().await;
    }
}

/// Everything that a process can leave when it is killed between two statements.
#[tokio::test]
async fn the_janitor_removes_what_no_ledger_names_and_nothing_else() {
    let bench = Bench::new().await;
    let app = bench.app(1, &[("1.sql", NOTES)]);
    let cell = &bench.cell;
    for level in &LEVELS[1..] {
        cell.refill(&app, *level, 3).await.unwrap();
    }
    let tenants: Vec<Space> =
        [bench.open(&app, Isolation::Schema).await, bench.open(&app, Isolation::Database).await].into();
    let home = bench.home();
    let before = bench.digest().await;
    assert_eq!(cell.reap(&app).await.unwrap(), 0);
    assert_eq!(bench.digest().await, before);

    // Forgotten by the ledger: as if it had been killed before it was put on the shelf.
    bench
        .run(
            &home,
            "DELETE FROM ledger.premade WHERE name IN (SELECT min(name) FROM ledger.premade GROUP BY isolation)",
        )
        .await;
    // Killed between making and marking, and between renaming and dropping.
    let names = bench.texts(&home, "SELECT name FROM ledger.premade WHERE isolation = 'database'").await;
    let fresh = format!("{}ffffffffffffffff", &names[0][..names[0].len() - 16]);
    bench.run("postgres", &format!("CREATE DATABASE {fresh}")).await;
    let gone = tenants[1].clone();
    let name = bench.database(&gone);
    let mark = bench
        .texts(
            "postgres",
            &format!("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{home}'"),
        )
        .await;
    let trash = mark[0].replace(":home:", ":trash:");
    bench.router.close();
    bench
        .run(
            "postgres",
            &format!(
                "ALTER DATABASE {name} RENAME TO {name}_trash; COMMENT ON DATABASE {name}_trash IS '{trash}:{}'",
                gone.tenant
            ),
        )
        .await;
    let stranger = format!("tn_pre_{:08x}_stranger", 0xdead_beef_u32);
    bench.run("postgres", &format!("CREATE DATABASE {stranger}")).await;

    // A schema with two roles, a database with two roles, an unmarked one, and trash.
    assert_eq!(cell.reap(&app).await.unwrap(), 1 + 2 + 1 + 2 + 1 + 1);
    assert_eq!(cell.reap(&app).await.unwrap(), 0);
    assert_eq!(bench.texts(&home, "SELECT count(*)::text FROM ledger.premade").await, ["2"]);
    assert_eq!(
        bench
            .texts("postgres", &format!("SELECT datname::text FROM pg_database WHERE datname = '{stranger}'"))
            .await
            .len(),
        1
    );
    bench.run("postgres", &format!("DROP DATABASE {stranger}")).await;
    // The erasure whose database the janitor dropped goes on to its end.
    cell.erase(&gone, &claim(1)).await.unwrap();
    assert!(!cell.observe(&gone).await.unwrap().exists);
    assert_eq!(cell.observe(&tenants[0]).await.unwrap().findings, []);
    bench.clean().await;
}
