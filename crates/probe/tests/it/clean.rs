//! Places that the product makes: nothing comes through, and nothing is left out without a word.

use tenantry_domain::isolation::Isolation;
use tenantry_probe::{Verb, render};

use crate::world::{World, admin, with_probe};

async fn nothing_comes_through(world: &World) {
    let level = world.a().level;
    let report = world.probe().await;
    let text = render(&report);
    println!("{text}");
    assert_eq!((report.level, report.hits.as_slice()), (level, [].as_slice()), "{text}");
    assert!(report.is_clean());
    assert_eq!(report.unplantable, [], "{text}");
    assert!(report.probes > 600, "{}", report.probes);
    assert!(report.executed * 3 > report.probes, "{} of {} were carried out", report.executed, report.probes);
    for name in ["people", "teams", "members", "notes", "events", "events_2026_1", "counters"] {
        let object =
            format!("{} {}.{name}", if name == "events" { "partitioned table" } else { "table" }, world.a().schema);
        assert!(report.objects.contains(&object), "{object}: {:?}", report.objects);
    }
    for verb in [Verb::Select, Verb::Insert, Verb::Merge, Verb::Reference, Verb::Conflict, Verb::Call, Verb::CopyFrom] {
        assert!(report.by_verb.get(&verb).is_some_and(|count| *count > 2), "{verb:?}: {:?}", report.by_verb);
    }
}

#[tokio::test]
async fn shared() {
    nothing_comes_through(&World::pair(Isolation::Shared).await).await;
}

#[tokio::test]
async fn schema() {
    nothing_comes_through(&World::pair(Isolation::Schema).await).await;
}

#[tokio::test]
async fn database() {
    nothing_comes_through(&World::pair(Isolation::Database).await).await;
}

/// As on a managed server, where no login may be given the register: the context is a signed setting that everybody may
/// write.
#[tokio::test]
async fn signed_shared() {
    nothing_comes_through(&World::pair_signed(Isolation::Shared).await).await;
}

#[tokio::test]
async fn signed_schema() {
    nothing_comes_through(&World::pair_signed(Isolation::Schema).await).await;
}

#[tokio::test]
async fn signed_database() {
    nothing_comes_through(&World::pair_signed(Isolation::Database).await).await;
}

/// A seal that believes the setting without its signature is seen, so a clean run in that mode says something.
#[tokio::test]
async fn a_signed_context_that_nobody_checks_is_found() {
    let world = World::pair_signed(Isolation::Shared).await;
    world
        .by_hand(
            "CREATE OR REPLACE FUNCTION tenantry.current_tenant() RETURNS uuid LANGUAGE sql STABLE AS $$
             SELECT nullif(split_part(current_setting('tenantry.context', true), '.', 2), '')::uuid $$",
        )
        .await;
    let report = world.probe().await;
    let forged = |hit: &tenantry_probe::Hit| hit.verb == Verb::Setting && hit.object == "setting tenantry.context";
    assert!(report.hits.iter().any(forged), "{}", render(&report));
}

#[tokio::test]
async fn canaries_are_planted_once_and_taken_away_whole() {
    for level in [Isolation::Shared, Isolation::Schema] {
        let world = World::pair(level).await;
        let first = with_probe(&world, async |probe| probe.plant().await.unwrap()).await;
        let again = with_probe(&world, async |probe| probe.plant().await.unwrap()).await;
        assert_eq!((first.rows.len(), first.inserted), (9, 9));
        assert_eq!((again.rows.len(), again.inserted), (9, 0));
        let ids = |planted: &tenantry_probe::Planted| planted.needles.iter().map(|n| n.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&first), ids(&again));
        // Nearly every column that can hold one has one.
        assert!(first.needles.len() > 20, "{:?}", ids(&first));
        let gone = with_probe(&world, async |probe| probe.clean().await.unwrap()).await;
        assert_eq!(gone, 18);
        let count = format!(
            "SELECT (SELECT count(*) FROM {0}.people) + (SELECT count(*) FROM {0}.events) + (SELECT count(*) FROM {0}.members)",
            world.b().schema
        );
        let rows = admin(&world.b().database).await.query_sql(&tenantry_pg::Sql::script(&count), &[]).await.unwrap();
        assert_eq!(rows[0].get::<_, i64>(0), 0);
    }
}

#[tokio::test]
async fn a_table_without_a_canary_is_named_with_its_reason() {
    let world = World::pair(Isolation::Shared).await;
    world
        .by_hand(
            "CREATE TABLE odd (tenant_id uuid NOT NULL, n int CHECK (n = 3 AND n = 4) NOT NULL);
             GRANT SELECT, INSERT ON odd TO {login}; ALTER TABLE odd ENABLE ROW LEVEL SECURITY;
             CREATE POLICY p ON odd USING (tenant_id = (SELECT tenantry.current_tenant()))",
        )
        .await;
    let report = world.probe().await;
    assert_eq!(report.hits, []);
    let [odd] = report.unplantable.as_slice() else { panic!("{:?}", report.unplantable) };
    assert_eq!(odd.table, "app.odd");
    assert!(odd.reason.contains("23514"), "{}", odd.reason);
}

#[tokio::test]
async fn a_report_survives_its_json_form() {
    let world = World::pair(Isolation::Shared).await;
    world.by_hand("ALTER TABLE notes DISABLE ROW LEVEL SECURITY").await;
    let planted = with_probe(&world, async |probe| probe.plant().await.unwrap()).await;
    let report = world.probe().await;
    let json = serde_json::to_string(&report).unwrap();
    assert!(json.contains("\"schemaVersion\":1") && json.contains("\"byVerb\""));
    assert_eq!(serde_json::from_str::<tenantry_probe::ProbeReport>(&json).unwrap(), report);
    assert!(!report.hits.is_empty());
    for needle in &planted.needles {
        assert!(!json.contains(&needle.text) && !render(&report).contains(&needle.text), "{}", needle.id);
    }
}

#[tokio::test]
async fn two_runs_try_the_same() {
    let world = World::pair(Isolation::Shared).await;
    let (first, second) = (world.probe().await, world.probe().await);
    assert_eq!((first.probes, &first.by_verb, &first.objects), (second.probes, &second.by_verb, &second.objects));
    assert_eq!(first.executed, second.executed);
}

#[tokio::test]
async fn an_app_without_a_tenant_key_is_probed_as_well() {
    for level in [Isolation::Schema, Isolation::Database] {
        let world = World::pair_without_key(level).await;
        let report = world.probe().await;
        assert_eq!(report.hits, [], "{}", render(&report));
        // What everybody only reads, and what would need two parents that agree on a column: named, not passed over.
        let [countries, members] = report.unplantable.as_slice() else { panic!("{:?}", report.unplantable) };
        assert!(countries.table.ends_with(".countries") && countries.reason.contains("42501"), "{countries:?}");
        assert!(members.table.ends_with(".members") && members.reason.contains("23503"), "{members:?}");
        assert!(report.canaries > 20 && report.probes > 600, "{}", render(&report));
    }
}

#[tokio::test]
async fn a_run_that_is_cut_off_leaves_nothing_and_the_next_one_is_whole() {
    let world = World::pair(Isolation::Shared).await;
    let whole = world.probe().await;
    for millis in [20, 60, 120, 250] {
        let cut = tokio::time::timeout(std::time::Duration::from_millis(millis), world.probe()).await;
        assert!(cut.is_err() || millis > 20, "a run takes longer than that");
    }
    let again = world.probe().await;
    assert_eq!((again.hits.len(), again.probes, again.canaries), (0, whole.probes, whole.canaries));
}

#[tokio::test]
async fn what_does_not_get_its_turn_is_named() {
    let world = World::pair(Isolation::Shared).await;
    let report = with_probe(&world, async |probe| {
        let short = tenantry_probe::Limits { objects: 3, ..probe.limits };
        probe.run_within(&short).await.unwrap()
    })
    .await;
    assert_eq!(report.objects.len(), 3);
    let late = report.skipped.iter().filter(|note| note.text == "more objects than the limit").count();
    assert!(late > 20, "{:?}", report.skipped);
}
