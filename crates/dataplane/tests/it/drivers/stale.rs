//! Homes and pre-made places whose files change before anybody has them.

use tenantry_domain::isolation::Isolation;

use super::bench::{Bench, LEVELS, NOTES, claim};

const COUNTRIES: &str = "CREATE TABLE tags (tenant_id uuid NOT NULL, id bigint, PRIMARY KEY (tenant_id, id));";

fn changed() -> String {
    NOTES.replace("body text NOT NULL", "text text NOT NULL")
}

async fn columns(bench: &Bench) -> Vec<String> {
    let sql = "SELECT attname::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relname = 'notes' AND n.nspname = 'app' AND attname IN ('body', 'text') ORDER BY 1";
    bench.texts(&bench.home(), sql).await
}

#[tokio::test]
async fn a_home_that_nobody_used_begins_anew_with_changed_files() {
    let bench = Bench::new().await;
    bench.cell.prepare(&bench.app(1, &[("1.sql", NOTES), ("2.sql", COUNTRIES)])).await.unwrap();
    assert_eq!(columns(&bench).await, ["body"]);
    // One file changed, one gone.
    let app = bench.app(2, &[("1.sql", &changed())]);
    assert_eq!(bench.cell.prepare(&app).await.unwrap().applied, ["1.sql"]);
    assert_eq!(columns(&bench).await, ["text"]);
    let ran = bench.texts(&bench.home(), "SELECT name FROM ledger.applied").await;
    assert_eq!(ran, ["1.sql"]);
    let space = bench.open(&app, Isolation::Shared).await;
    bench.as_tenant(&space, "INSERT INTO notes (text) VALUES ('hello')").await;
    assert_eq!(bench.cell.observe(&space).await.unwrap().findings, []);
    // Now somebody has them.
    let app = bench.app(3, &[("1.sql", NOTES)]);
    let refused = bench.cell.prepare(&app).await.unwrap_err().to_string();
    assert!(refused.contains("changed after it ran here"), "{refused}");
    assert_eq!(bench.count(&space, "notes").await, 1);
    bench.clean().await;
}

#[tokio::test]
async fn what_no_file_wrote_is_kept() {
    let table = "CREATE TABLE countries (code text PRIMARY KEY); INSERT INTO countries VALUES ('at');";
    let strangers = [
        "INSERT INTO app.countries VALUES ('de')",
        "CREATE SCHEMA reports; CREATE VIEW reports.all_countries AS SELECT * FROM app.countries",
        "CREATE TABLE public.scratch ()",
    ];
    for sql in [None].into_iter().chain(strangers.map(Some)) {
        let bench = Bench::new().await;
        let app = |version, text: &str| {
            bench.app_with(version, &[("1.sql", NOTES), ("2.sql", text)], Some("tenant_id"), &["countries"])
        };
        bench.cell.prepare(&app(1, table)).await.unwrap();
        if let Some(sql) = sql {
            bench.run(&bench.home(), sql).await;
        }
        let outcome = bench.cell.prepare(&app(2, &table.replace("at", "ch"))).await;
        assert_eq!(outcome.is_ok(), sql.is_none(), "{sql:?}: {outcome:?}");
        let codes = bench.texts(&bench.home(), "SELECT code FROM app.countries WHERE code <> 'de'").await;
        assert_eq!(codes, [if sql.is_none() { "ch" } else { "at" }], "{sql:?}");
        bench.clean().await;
    }
}

#[tokio::test]
async fn a_place_made_in_advance_by_other_files_is_not_handed_out() {
    for level in &LEVELS[1..] {
        let bench = Bench::new().await;
        bench.cell.refill(&bench.app(1, &[("1.sql", NOTES)]), *level, 1).await.unwrap();
        let app = bench.app(2, &[("1.sql", &changed())]);
        let space = bench.space(&app, *level);
        // Before the shelf is renewed, and before anybody looked at the home.
        assert!(!bench.cell.create(&space, &claim(1)).await.unwrap().premade, "{level}");
        bench.cell.migrate(&space, &claim(1)).await.unwrap();
        bench.cell.set_gate(&space, &claim(1), tenantry_dataplane::Gate::Open).await.unwrap();
        bench.as_tenant(&space, "INSERT INTO notes (text) VALUES ('hello')").await;
        assert_eq!(bench.cell.observe(&space).await.unwrap().findings, [], "{level}");
        bench.cell.erase(&space, &claim(1)).await.unwrap();
        bench.cell.refill(&app, *level, 1).await.unwrap();
        assert!(bench.cell.create(&bench.space(&app, *level), &claim(2)).await.unwrap().premade, "{level}");
        bench.clean().await;
    }
}
