//! Records of structures that an earlier release wrote, which knew no notes: they hold as far as they say something, and
//! become records of today.

use std::collections::BTreeSet;

use tenantry_dataplane::{Expected, Finding, FindingKind as Kind, Gate, Space, Swept};
use tenantry_domain::isolation::Isolation;
use tenantry_pg::Sql;

use super::bench::{Bench, LEVELS, kinds};
use super::drift::APP;

/// Writes the records of a database as an earlier release did: without what is noted of functions and triggers.
const OLDER: &str = "CREATE TEMP TABLE older AS
      SELECT p.place, array_agg(l.line ORDER BY l.line COLLATE \"C\") AS lines, NULL::text AS fingerprint
        FROM ledger.place p JOIN ledger.shape s USING (fingerprint), unnest(s.lines) AS l(line)
       WHERE l.line !~ '^N[|][^|]*[|][^|]' GROUP BY p.place;
    UPDATE older SET fingerprint = (SELECT to_hex(bit_xor(hashtextextended(t, 1))) || '-' || to_hex(bit_xor(hashtextextended(t, 2)))
        || '-' || count(*) FROM unnest(lines) AS t);
    INSERT INTO ledger.shape (fingerprint, lines) SELECT fingerprint, lines FROM older ON CONFLICT DO NOTHING;
    UPDATE ledger.place p SET fingerprint = o.fingerprint FROM older o WHERE o.place = p.place;
    DELETE FROM ledger.shape s WHERE NOT EXISTS (SELECT FROM ledger.place p WHERE p.fingerprint = s.fingerprint);
    DROP TABLE older";

/// The databases of the tenants, the home among them.
fn databases(bench: &Bench, spaces: &[Space]) -> BTreeSet<String> {
    spaces.iter().map(|space| bench.database(space)).chain([bench.home()]).collect()
}

/// The recorded fingerprints of all places.
async fn records(bench: &Bench, spaces: &[Space]) -> Vec<String> {
    let mut records = Vec::new();
    for database in databases(bench, spaces) {
        let sql = "SELECT place || ' ' || fingerprint FROM ledger.place ORDER BY place";
        records.extend(bench.texts(&database, sql).await.into_iter().map(|record| format!("{database} {record}")));
    }
    records
}

async fn age(bench: &Bench, spaces: &[Space]) {
    for database in databases(bench, spaces) {
        bench.run(&database, OLDER).await;
    }
}

async fn sweep(bench: &Bench, spaces: &[Space]) -> Swept {
    let expected: Vec<_> = spaces
        .iter()
        .map(|space| Expected {
            tenant: space.tenant,
            isolation: space.isolation,
            epoch: 1,
            gate: Gate::Open,
            connections: None,
        })
        .collect();
    bench.cell.sweep(&spaces[0].app, &expected).await.unwrap()
}

/// Which of the tenants' places a rollout would take for untouched; at the shared level the one of all.
async fn intact(bench: &Bench, spaces: &[Space]) -> Vec<bool> {
    let tenants: Vec<_> = spaces.iter().map(|space| space.tenant).collect();
    let fleet = bench.cell.fleet(&spaces[0].app, &tenants).await.unwrap().unwrap();
    match spaces[0].isolation {
        Isolation::Shared => fleet.home.iter().map(|home| home.is_intact).collect(),
        _ => tenants.iter().filter_map(|tenant| fleet.schemas.get(tenant)).map(|place| place.is_intact).collect(),
    }
}

#[tokio::test]
async fn a_record_of_an_earlier_release_holds_and_is_renewed_by_the_sweep() {
    for level in LEVELS {
        let bench = Bench::new().await;
        let app = bench.app_with(1, &[("1.sql", APP)], Some("tenant_id"), &["kinds"]);
        let spaces = [bench.open(&app, level).await, bench.open(&app, level).await];
        let of_today = records(&bench, &spaces).await;
        let untouched: &[bool] = match level {
            Isolation::Shared => &[true],
            Isolation::Schema => &[true, true],
            _ => &[],
        };
        age(&bench, &spaces).await;
        let aged = records(&bench, &spaces).await;
        assert!(of_today.iter().all(|record| !aged.contains(record)), "{level}: {of_today:?}");

        assert_eq!(intact(&bench, &spaces).await, untouched, "{level}");
        for space in &spaces {
            assert_eq!(bench.cell.observe(space).await.unwrap().findings, [], "{level}");
        }
        assert_eq!(records(&bench, &spaces).await, aged, "{level}: looking changes nothing");
        assert_eq!(sweep(&bench, &spaces).await, Swept::default(), "{level}");
        assert_eq!(records(&bench, &spaces).await, of_today, "{level}");
        assert_eq!(intact(&bench, &spaces).await, untouched, "{level}");

        // What the earlier release did not see.
        let (database, schema) = (bench.database(&spaces[0]), bench.schema(&spaces[0]));
        let change =
            "CREATE OR REPLACE FUNCTION $S.half(whole bigint) RETURNS bigint LANGUAGE sql IMMUTABLE RETURN whole / 3";
        bench.run(&database, &change.replace("$S", &schema)).await;
        let swept = sweep(&bench, &spaces).await;
        let found: Vec<Finding> =
            swept.common.into_iter().chain(swept.tenants.into_iter().flat_map(|(_, found)| found)).collect();
        assert_eq!(kinds(&found), [Kind::StructureChanged], "{level}: {found:?}");
        assert_eq!(found[0].object, "function half(bigint)", "{level}");
        assert_eq!(records(&bench, &spaces).await, of_today, "{level}: drift is not recorded");
        bench.clean().await;
    }
}

#[tokio::test]
async fn a_record_of_an_earlier_release_stays_where_it_does_not_hold() {
    let bench = Bench::new().await;
    let app = bench.app_with(1, &[("1.sql", APP)], Some("tenant_id"), &["kinds"]);
    let spaces = [bench.open(&app, Isolation::Schema).await, bench.open(&app, Isolation::Schema).await];
    age(&bench, &spaces).await;
    let aged = records(&bench, &spaces).await;
    let schema = bench.schema(&spaces[0]);
    bench.run(&bench.home(), &format!("DROP INDEX {schema}.notes_body")).await;
    assert_eq!(intact(&bench, &spaces).await, [false, true]);
    let swept = sweep(&bench, &spaces).await;
    assert_eq!(swept.common, []);
    let [(tenant, found)] = swept.tenants.as_slice() else { panic!("{swept:?}") };
    assert_eq!(*tenant, spaces[0].tenant);
    let objects: Vec<&str> = found.iter().map(|finding| finding.object.as_str()).collect();
    assert_eq!(objects, ["index notes.notes_body"], "{found:?}");
    let of = |schema: &str, records: &[String]| -> Vec<String> {
        records.iter().filter(|record| record.contains(schema)).cloned().collect()
    };
    let now = records(&bench, &spaces).await;
    assert_eq!(of(&schema, &now), of(&schema, &aged));
    let neighbour = bench.schema(&spaces[1]);
    assert_ne!(of(&neighbour, &now), of(&neighbour, &aged));
    bench.clean().await;
}

#[tokio::test]
async fn equal_places_of_two_tenants_have_one_structure_with_notes() {
    let bench = Bench::new().await;
    let app = bench.app_with(1, &[("1.sql", APP)], Some("tenant_id"), &["kinds"]);
    let spaces = [bench.open(&app, Isolation::Schema).await, bench.open(&app, Isolation::Schema).await];
    let names: Vec<String> = spaces.iter().map(|space| bench.schema(space)).collect();
    let (one, two) = (&names[0], &names[1]);
    let home = bench.home();
    let places = format!("SELECT DISTINCT fingerprint FROM ledger.place WHERE place IN ('{one}', '{two}')");
    assert_eq!(bench.texts(&home, &places).await.len(), 1);
    let lines = bench
        .texts(
            &home,
            &format!(
                "SELECT l.line FROM ledger.place p JOIN ledger.shape s USING (fingerprint), unnest(s.lines) AS l(line)
                  WHERE p.place = '{one}'"
            ),
        )
        .await;
    assert!(lines.iter().all(|line| !line.contains(one.as_str()) && !line.contains(two.as_str())), "{lines:?}");
    let note = |start: &str| {
        let found: Vec<&String> = lines.iter().filter(|line| line.starts_with(start)).collect();
        assert_eq!(found.len(), 1, "{start}: {lines:?}");
        found[0].clone()
    };
    assert!(note("N||total()|").starts_with("N||total()|sql|s|u|false|~|"));
    assert!(note("N||feel(mood)|").contains("search_path=\"@\", ext, pg_temp|"));
    assert!(note("N|tags|renote|").contains(" BEFORE UPDATE OF note ON tags FOR EACH ROW WHEN "));
    bench.clean().await;
}

/// Reading a function's body back locks the tables in it. A look at thousands of tenants that kept those locks would stand in the way
/// of everybody's migrations, and fill the server's table of locks.
#[tokio::test]
async fn a_sweep_keeps_no_lock_on_what_it_has_looked_at() {
    let bench = Bench::new().await;
    // Not for shared tables: a sweep would come to the records of those first.
    let app = bench.app_with(1, &[("1.sql", APP)], None, &["kinds"]);
    let spaces = [bench.open(&app, Isolation::Schema).await, bench.open(&app, Isolation::Schema).await];
    age(&bench, &spaces).await;
    let home = bench.home();
    // To this table a sweep comes when it has looked at all schemas.
    let pool = bench.admin(&home);
    let tx = pool.begin().await.unwrap();
    tx.batch(&Sql::script("LOCK TABLE ledger.shape IN ACCESS EXCLUSIVE MODE")).await.unwrap();
    let look = async {
        let waiting = "SELECT pid::text FROM pg_locks WHERE NOT granted AND relation = 'ledger.shape'::regclass";
        let pid = loop {
            if let [pid] = bench.texts(&home, waiting).await.as_slice() {
                break pid.clone();
            }
        };
        let names = spaces.each_ref().map(|space| format!("'{}'::regnamespace", bench.schema(space))).join(", ");
        let held = format!(
            "SELECT relation::regclass::text FROM pg_locks JOIN pg_class ON pg_class.oid = relation
            WHERE pid = {pid} AND relnamespace IN ({names})"
        );
        let held = bench.texts(&home, &held).await;
        tx.rollback().await.unwrap();
        held
    };
    let look = tokio::time::timeout(std::time::Duration::from_secs(30), look);
    let (swept, held) = tokio::join!(sweep(&bench, &spaces), look);
    assert_eq!(held.unwrap(), [""; 0]);
    assert_eq!(swept, Swept::default());
    bench.clean().await;
}
