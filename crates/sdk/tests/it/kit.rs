//! The test kit: it makes and removes, and its examples turn red when something is broken.

use tenantry_sdk::testkit::{Examples, Finding};
use tenantry_sdk::{Error, Look, Sources};

use crate::world::{LEVELS, World, until};

fn examples() -> Examples {
    Examples::new()
        .insert("notes", "INSERT INTO notes (body) VALUES ('an example')")
        .insert("tags", "INSERT INTO tags (note, word) SELECT id, gen_random_uuid()::text FROM notes LIMIT 1")
        .insert("marks", "INSERT INTO marks DEFAULT VALUES")
}

#[tokio::test]
async fn a_tenant_of_its_own_is_made_with_a_user_and_removed_also_after_a_panic() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    let factory = world.factory(&tenantry).with_user(|tenantry, tenant| async move {
        let tx = tenantry.begin(&tenant).await?;
        tx.execute("INSERT INTO notes (body) VALUES ('ada')", &[]).await?;
        tx.commit().await
    });
    for level in LEVELS {
        let kit = tenantry.clone();
        let own = factory.own(level, async move |tenant| {
            let tx = kit.begin(&tenant).await.unwrap();
            let user: String = tx.query_one("SELECT body FROM notes", &[]).await.unwrap().get(0);
            tx.commit().await.unwrap();
            (tenant, user)
        });
        let (tenant, user) = own.await.unwrap();
        assert_eq!(user, "ada");
        let gone = || async { tenantry.resolve(&Sources::id(tenant.id()), Look::Fresh).await.err() };
        assert!(matches!(until("it is gone", gone).await, Error::TenantNotFound(_)), "{level}");
    }
    let slug = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let keep = std::sync::Arc::clone(&slug);
    let panics = tokio::spawn(async move {
        let failing = factory.own("shared", async move |tenant| {
            tenant.slug().clone_into(&mut keep.lock().unwrap());
            panic!("the test fails");
        });
        failing.await
    });
    assert!(panics.await.is_err_and(|error| error.is_panic()));
    let slug = slug.lock().unwrap().clone();
    until("it is gone", || async { tenantry.find(&slug).await.err() }).await;
    world.end().await;
}

#[tokio::test]
async fn examples_pass_at_every_level_and_a_table_without_one_fails() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    let factory = world.factory(&tenantry);
    for level in LEVELS {
        let (one, other) = (factory.make(level).await.unwrap().tenant, factory.make(level).await.unwrap().tenant);
        let report = examples().check(&tenantry, &one, &other).await.unwrap();
        report.assert_clean();
        eprintln!("kit: {level}: {} tables, {} attempts", report.tables, report.attempts);
        assert_eq!((report.tables, report.attempts), (3, 13), "{level}: 4 per table and one reference");

        let partly = Examples::new().insert("notes", "INSERT INTO notes (body) VALUES ('x')").exempt("nothing", " ");
        let report = partly.check(&tenantry, &one, &other).await.unwrap();
        let name = str::to_owned;
        let wanted = [
            Finding::NoTable(name("nothing")),
            Finding::NoExample(name("marks")),
            Finding::NoExample(name("tags")),
            Finding::NoReason(name("nothing")),
        ];
        assert_eq!(report.findings, wanted, "{level}");
        let broken = examples().insert("notes", "INSERT INTO notes (body) VALUES (NULL)");
        let report = broken.check(&tenantry, &one, &other).await.unwrap();
        assert!(matches!(&report.findings[0], Finding::ExampleFails(table, _) if table == "notes"), "{report:?}");
    }
    factory.close().await.unwrap();
    world.end().await;
}

#[tokio::test]
async fn examples_find_what_was_broken_by_hand() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    let factory = world.factory(&tenantry);
    let (one, other) = (factory.make("shared").await.unwrap().tenant, factory.make("shared").await.unwrap().tenant);
    let schema = tenantry.route(&one).await.unwrap().schema;
    let table = |name: &str| format!("\"{schema}\".{name}");
    let guard = |verb: &str| format!("ALTER TABLE {} {verb} ROW LEVEL SECURITY", table("marks"));
    world.on_cell(&tenantry, &one, &guard("DISABLE")).await;
    let report = examples().check(&tenantry, &one, &other).await.unwrap();
    let marks = || "marks".to_owned();
    let wanted =
        [Finding::Counted(marks()), Finding::Seen(marks()), Finding::Changed(marks()), Finding::GivenAway(marks())];
    assert_eq!(report.findings, wanted);
    world.on_cell(&tenantry, &one, &guard("ENABLE")).await;
    examples().check(&tenantry, &one, &other).await.unwrap().assert_clean();

    // A foreign key without the tenant lets children point across.
    let loose = format!(
        "DO $$ BEGIN ALTER TABLE {notes} ADD CONSTRAINT loose UNIQUE (id); ALTER TABLE {tags} DROP CONSTRAINT tags_tenant_id_note_fkey; \
         ALTER TABLE {tags} ADD CONSTRAINT loose_fk FOREIGN KEY (note) REFERENCES {notes} (id); END $$",
        notes = table("notes"),
        tags = table("tags")
    );
    world.on_cell(&tenantry, &one, &loose).await;
    let report = examples().check(&tenantry, &one, &other).await.unwrap();
    assert_eq!(report.findings, [Finding::Referenced("tags".into(), "notes".into())]);
    world.end().await;
}
