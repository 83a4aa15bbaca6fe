//! What tenants add to their own places stays told apart from what files made, and stays.

use std::collections::BTreeSet;

use tenantry_domain::isolation::Isolation;

use super::bench::{Bench, LEVELS, NOTES, claim};

#[tokio::test]
async fn what_a_tenant_added_is_told_and_outlives_the_files() {
    for level in &LEVELS[1..] {
        let bench = Bench::new().await;
        let mut space = bench.open(&bench.app(1, &[("1.sql", NOTES)]), *level).await;
        let nothing = bench.cell.overlay(&space, true).await.unwrap();
        assert_eq!((nothing.added, nothing.applied), (vec![], BTreeSet::from(["1.sql".to_owned()])), "{level}");
        let (database, schema) = (bench.database(&space), bench.schema(&space));
        let owner: Vec<String> = bench
            .texts(
                &database,
                &format!("SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = '{schema}'"),
            )
            .await;
        bench
            .run(
                &database,
                &format!(
                    "SET ROLE {}; SET search_path = {schema};
                     ALTER TABLE notes ADD COLUMN colour text;
                     CREATE INDEX by_body ON notes (tenant_id, body);
                     CREATE VIEW short WITH (security_invoker) AS SELECT id, body FROM notes",
                    owner[0]
                ),
            )
            .await;
        let labels = async |space: &tenantry_dataplane::Space, keep| -> Vec<String> {
            let overlay = bench.cell.overlay(space, keep).await.unwrap();
            overlay.added.iter().map(tenantry_dataplane::Added::label).collect()
        };
        let added = ["column notes.colour", "index notes.by_body", "view short"];
        assert_eq!(labels(&space, false).await, added, "{level}");
        let overlay = bench.cell.overlay(&space, true).await.unwrap();
        let needs = |name: &str| overlay.added.iter().find(|one| one.name == name).unwrap().needs.clone();
        assert!(needs("short").contains(&("notes".to_owned(), Some("body".to_owned()))), "{level}: {overlay:?}");
        assert!(needs("by_body").contains(&("notes".to_owned(), Some("body".to_owned()))), "{level}: {overlay:?}");

        let more =
            "ALTER TABLE notes ADD COLUMN stars int NOT NULL DEFAULT 0; CREATE TABLE tags (tenant_id uuid NOT NULL);";
        space.app = bench.app(2, &[("1.sql", NOTES), ("2.sql", more)]);
        bench.cell.migrate(&space, &claim(1)).await.unwrap();
        assert_eq!(labels(&space, false).await, added, "{level}: what the file made is not the tenant's");
        assert_eq!(bench.count(&space, "short").await, 0, "{level}");
        if *level == Isolation::Schema {
            let fleet = bench.cell.fleet(&space.app, &[space.tenant]).await.unwrap().unwrap();
            let standing = fleet.schemas[&space.tenant];
            assert!(standing.is_intact && standing.has_overlay, "{standing:?}");
        }
        bench.run(&database, &format!("DROP VIEW {schema}.short")).await;
        assert_eq!(labels(&space, true).await, added[..2], "{level}");
        bench.clean().await;
    }
}
