//! Later versions, failed files, and what files may do with data.

use std::time::Duration;

use tenantry_dataplane::{DataError, Options};
use tenantry_domain::isolation::Isolation;
use tenantry_testkit::pg::server;

use super::bench::{Bench, LEVELS, NOTES, claim};

#[tokio::test]
async fn a_later_version_reaches_existing_tenants_with_their_data() {
    for level in LEVELS {
        let bench = Bench::new().await;
        let first = bench.chat(2);
        let mut space = bench.open(&first, level).await;
        bench.as_tenant(&space, "INSERT INTO channels (name) VALUES ('general'); INSERT INTO messages (channel_id, body) SELECT id, 'hello' FROM channels").await;
        space.app = bench.chat(3);
        if level == Isolation::Shared {
            // A tenant's migration brings the tables of all.
            assert_eq!(bench.cell.migrate(&space, &claim(2)).await.unwrap().applied, ["0003_pins_and_reactions.sql"]);
        } else {
            let migrated = bench.cell.migrate(&space, &claim(2)).await.unwrap();
            assert_eq!((migrated.version, migrated.applied.len()), (3, 1), "{level}");
        }
        bench.as_tenant(&space, "UPDATE messages SET pinned = true").await;
        assert_eq!(bench.count(&space, "messages WHERE pinned").await, 1, "{level}");
        assert_eq!(bench.count(&space, "reactions").await, 0, "{level}");
        let observed = bench.cell.observe(&space).await.unwrap();
        assert_eq!((observed.version, observed.findings), (Some(3), vec![]), "{level}");
        // An older record of the app takes nothing back.
        space.app = first;
        assert_eq!(bench.cell.migrate(&space, &claim(2)).await.unwrap().version, 3, "{level}");
        bench.clean().await;
    }
}

#[tokio::test]
async fn a_failed_file_is_rolled_back_whole_and_named_with_its_place() {
    for level in LEVELS {
        let bench = Bench::new().await;
        let app = bench.app(1, &[("1.sql", NOTES)]);
        let mut space = bench.open(&app, level).await;
        let broken = "CREATE TABLE more (tenant_id uuid NOT NULL);\n\n  ALTER TABLE more ADD COLUMN x nonsense;";
        let files = [("1.sql", NOTES), ("2.sql", "ALTER TABLE notes ADD COLUMN extra int"), ("3.sql", broken)];
        space.app = bench.app(2, &files);
        for _ in 0..2 {
            let failed = bench.cell.migrate(&space, &claim(1)).await;
            let Err(DataError::Migration(failure)) = &failed else { panic!("{level}: {failed:?}") };
            assert_eq!((failure.file.as_str(), failure.sqlstate.as_deref()), ("3.sql", Some("42704")), "{level}");
            assert_eq!(failure.position.map(|p| (p.line, p.column)), Some((3, 33)), "{level}");
            assert!(failure.message.contains("nonsense"), "{level}");
        }
        assert_eq!(bench.count(&space, "notes WHERE extra IS NULL").await, 0, "{level}");
        let there = bench
            .texts(&bench.database(&space), &format!("SELECT to_regclass('{}.more')::text", bench.schema(&space)))
            .await;
        assert_eq!(there, [""], "{level}");
        // Mended, it goes on where it stopped.
        let files = [files[0], files[1], ("3.sql", "CREATE TABLE more (tenant_id uuid NOT NULL)")];
        space.app = bench.app(3, &files);
        assert_eq!(bench.cell.migrate(&space, &claim(1)).await.unwrap().applied, ["3.sql"], "{level}");
        assert_eq!(bench.cell.observe(&space).await.unwrap().findings, [], "{level}");
        bench.clean().await;
    }
}

#[tokio::test]
async fn files_that_ran_stay_as_they_were_and_in_order() {
    let bench = Bench::new().await;
    let app = bench.app(1, &[("2.sql", NOTES)]);
    bench.open(&app, Isolation::Shared).await;
    for (files, part) in [
        (vec![("2.sql", "SELECT 1")], "was changed after it ran"),
        (vec![("1.sql", "SELECT 1"), ("2.sql", NOTES)], "is older than others that ran"),
        (vec![("2.sql", NOTES), ("3.sql", "SELECT 1"), ("3.sql", "SELECT 2")], "two files of this name"),
    ] {
        let failed = bench.cell.prepare(&bench.app(2, &files)).await;
        assert!(matches!(&failed, Err(DataError::Migration(f)) if f.message.contains(part)), "{part}: {failed:?}");
    }
    assert!(bench.cell.prepare(&bench.app(2, &[("2.sql", NOTES), ("3.sql", "SELECT 1")])).await.is_ok());
    bench.clean().await;
}

/// A data migration reaches every tenant's rows, although the policies bind the owner of the tables.
#[tokio::test]
async fn files_may_change_the_data_of_all_tenants_of_their_place() {
    for level in LEVELS {
        let bench = Bench::new().await;
        let app = bench.app(1, &[("1.sql", NOTES)]);
        let mut spaces = [bench.open(&app, level).await, bench.open(&app, level).await];
        for space in &spaces {
            bench.as_tenant(space, "INSERT INTO notes (body) VALUES ('old')").await;
        }
        let newer = bench.app(2, &[("1.sql", NOTES), ("2.sql", "UPDATE notes SET body = 'new'")]);
        for space in &mut spaces {
            space.app = newer.clone();
            bench.cell.migrate(space, &claim(2)).await.unwrap();
            assert_eq!(bench.count(space, "notes WHERE body = 'new'").await, 1, "{level}");
        }
        // Of this installation: others on the server may be in the middle of a file.
        let bypass = format!(
            "SELECT rolname::text FROM pg_roles WHERE rolbypassrls
               AND shobj_description(oid, 'pg_authid') LIKE 'tenantry:{}:%'",
            bench.installation
        );
        let bypass = bench.texts("postgres", &bypass).await;
        assert_eq!(bypass, [""; 0], "{level}");
        if level != Isolation::Shared {
            // Where a place is one tenant's, new rows are that tenant's.
            let seeding = [
                ("1.sql", NOTES),
                ("2.sql", "UPDATE notes SET body = 'new'"),
                ("3.sql", "INSERT INTO notes (body) VALUES ('seed')"),
            ];
            spaces[0].app = bench.app(3, &seeding);
            bench.cell.migrate(&spaces[0], &claim(2)).await.unwrap();
            assert_eq!(bench.count(&spaces[0], "notes").await, 2, "{level}");
        }
        bench.clean().await;
    }
}

/// A file never makes everybody wait behind it for long.
#[tokio::test]
async fn a_lock_that_a_tenant_holds_is_waited_for_a_little() {
    let options = Options { lock_wait: Duration::from_millis(200), ..Options::default() };
    let bench = Bench::on(server(), options).await;
    let app = bench.app(1, &[("1.sql", NOTES)]);
    let space = bench.open(&app, Isolation::Shared).await;
    let tx = bench.enter(&space).await.unwrap();
    tx.execute("INSERT INTO notes (body) VALUES ('x')", &[]).await.unwrap();
    let newer = bench.app(2, &[("1.sql", NOTES), ("2.sql", "ALTER TABLE notes ADD COLUMN more int")]);
    let failed = bench.cell.prepare(&newer).await.unwrap_err();
    assert!(failed.is_transient(), "{failed:?}");
    tx.commit().await.unwrap();
    assert_eq!(bench.cell.prepare(&newer).await.unwrap().applied, ["2.sql"]);
    bench.clean().await;
}

/// New reference tables, or another change of the manifest without a file, are applied too.
#[tokio::test]
async fn a_changed_manifest_without_a_new_file_is_applied() {
    let bench = Bench::new().await;
    let files = [("1.sql", NOTES), ("2.sql", "CREATE TABLE kinds (code text PRIMARY KEY)")];
    let app = bench.app(1, &files);
    assert!(matches!(bench.cell.prepare(&app).await, Err(DataError::Unguarded(_))));
    let app = bench.app_with(2, &files, Some("tenant_id"), &["kinds"]);
    let space = bench.open(&app, Isolation::Schema).await;
    assert_eq!(bench.count(&space, "kinds").await, 0);
    let tx = bench.enter(&space).await.unwrap();
    assert!(tx.execute("INSERT INTO kinds VALUES ('x')", &[]).await.is_err());
    drop(tx);
    bench.clean().await;
}

/// Extensions that PostgreSQL trusts are made for the file, once per database, where every tenant finds them.
#[tokio::test]
async fn files_may_ask_for_trusted_extensions() {
    let bench = Bench::new().await;
    let sql = "CREATE EXTENSION IF NOT EXISTS citext;
        CREATE TABLE people (tenant_id uuid NOT NULL, mail citext NOT NULL, PRIMARY KEY (tenant_id, mail));";
    let app = bench.app(1, &[("1.sql", sql)]);
    bench.cell.refill(&app, Isolation::Schema, 1).await.unwrap();
    for level in [Isolation::Shared, Isolation::Schema, Isolation::Schema, Isolation::Database] {
        let space = bench.open(&app, level).await;
        bench.as_tenant(&space, "INSERT INTO people (mail) VALUES ('A@b.c')").await;
        assert_eq!(bench.count(&space, "people WHERE mail = 'a@B.C'").await, 1, "{level}");
        assert_eq!(bench.cell.observe(&space).await.unwrap().findings, [], "{level}");
    }
    bench.clean().await;
}
