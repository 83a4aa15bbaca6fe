//! Holes made by hand: each one is found, and named by its object.

use tenantry_domain::isolation::Isolation;
use tenantry_probe::{Hit, Verb, render};

use crate::world::World;

/// A clean run before, a hit on the object by the verb after.
async fn is_found(level: Isolation, hole: &str, object: &str, verb: Verb) {
    let world = World::pair(level).await;
    let report = world.probe().await;
    assert_eq!(report.hits, [], "before: {}", render(&report));
    world.by_hand(hole).await;
    let report = world.probe().await;
    let object = object
        .replace("{owner_role}", &world.a().owner)
        .replace("{schema}", &world.a().schema)
        .replace("{b_schema}", &world.b().schema)
        .replace("{b_database}", &world.b().database);
    let wanted = |hit: &&Hit| hit.object == object && hit.verb == verb;
    assert!(report.hits.iter().any(|hit| wanted(&hit)), "{object} {verb:?}: {}", render(&report));
}

async fn shared(hole: &str, object: &str, verb: Verb) {
    is_found(Isolation::Shared, hole, object, verb).await;
}

#[tokio::test]
async fn row_security_off() {
    shared("ALTER TABLE notes DISABLE ROW LEVEL SECURITY", "table app.notes", Verb::Select).await;
}

#[tokio::test]
async fn row_security_off_on_a_partition() {
    shared(
        "GRANT SELECT ON events_2026_1 TO {login}; ALTER TABLE events_2026_1 DISABLE ROW LEVEL SECURITY",
        "table app.events_2026_1",
        Verb::Select,
    )
    .await;
}

#[tokio::test]
async fn force_off_and_a_login_in_the_owner() {
    let hole = "ALTER TABLE notes NO FORCE ROW LEVEL SECURITY; GRANT {owner} TO {login}";
    shared(hole, "role {owner_role}", Verb::Role).await;
}

#[tokio::test]
async fn policy_true() {
    shared("CREATE POLICY support ON people FOR SELECT USING (true)", "table app.people", Verb::Select).await;
}

#[tokio::test]
async fn policy_true_for_writing_only() {
    let hole = "ALTER POLICY tenantry_tenant ON counters USING (tenant_id = (SELECT tenantry.current_tenant())) WITH CHECK (true)";
    shared(hole, "table app.counters", Verb::Insert).await;
}

#[tokio::test]
async fn policy_on_a_plain_setting() {
    let hole = "DROP POLICY tenantry_tenant ON notes; CREATE POLICY tenantry_tenant ON notes
        USING (tenant_id = COALESCE(NULLIF(current_setting('work.who', true), '')::uuid, tenantry.current_tenant()))";
    shared(hole, "setting work.who", Verb::Setting).await;
}

#[tokio::test]
async fn view_with_its_owners_rights() {
    let hole = "CREATE VIEW all_notes AS SELECT * FROM notes; GRANT SELECT ON all_notes TO {login}";
    shared(hole, "view app.all_notes", Verb::Select).await;
}

#[tokio::test]
async fn view_that_can_be_written_through() {
    let hole = "CREATE VIEW all_notes AS SELECT * FROM notes; GRANT UPDATE, DELETE, SELECT ON all_notes TO {login}";
    shared(hole, "view app.all_notes", Verb::Delete).await;
}

#[tokio::test]
async fn materialized_view() {
    let hole = "CREATE MATERIALIZED VIEW digest AS SELECT count(*), string_agg(body, ',') FROM notes; GRANT SELECT ON digest TO {login}";
    shared(hole, "materialized view app.digest", Verb::Select).await;
}

#[tokio::test]
async fn function_with_its_owners_rights() {
    let hole = "CREATE FUNCTION find(p text) RETURNS SETOF notes LANGUAGE sql SECURITY DEFINER AS
        'SELECT * FROM app.notes WHERE body LIKE p'; GRANT EXECUTE ON FUNCTION find(text) TO {login}";
    shared(hole, "function app.find(text)", Verb::Call).await;
}

#[tokio::test]
async fn function_that_is_asked_by_id() {
    let hole = "CREATE FUNCTION mail_of(who uuid) RETURNS text LANGUAGE sql SECURITY DEFINER AS
        'SELECT min(address) FROM app.people WHERE tenant_id = who'; GRANT EXECUTE ON FUNCTION mail_of(uuid) TO {login}";
    shared(hole, "function app.mail_of(uuid)", Verb::Call).await;
}

#[tokio::test]
async fn function_that_says_it_in_a_notice() {
    let hole = "CREATE FUNCTION chatty() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN RAISE NOTICE '%', (SELECT string_agg(name, ',') FROM app.people); END $$;
        GRANT EXECUTE ON FUNCTION chatty() TO {login}";
    shared(hole, "function app.chatty()", Verb::Call).await;
}

#[tokio::test]
async fn foreign_key_without_the_tenant() {
    let hole = "CREATE UNIQUE INDEX people_id ON people (id);
        ALTER TABLE notes DROP CONSTRAINT notes_tenant_id_person_fkey;
        ALTER TABLE notes ADD FOREIGN KEY (person) REFERENCES people (id)";
    shared(hole, "table app.notes", Verb::Reference).await;
}

#[tokio::test]
async fn unique_key_without_the_tenant() {
    shared("CREATE UNIQUE INDEX one_address ON people (address)", "table app.people", Verb::Conflict).await;
}

#[tokio::test]
async fn truncate_granted() {
    shared("GRANT TRUNCATE ON counters TO {login}", "table app.counters", Verb::Truncate).await;
}

#[tokio::test]
async fn login_that_owns_a_table() {
    shared(
        "GRANT CREATE ON SCHEMA app TO {login}; ALTER TABLE counters OWNER TO {login}",
        "table app.counters",
        Verb::Alter,
    )
    .await;
}

#[tokio::test]
async fn login_that_reads_files() {
    let hole = "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO {login}";
    shared(hole, "the server", Verb::Server).await;
}

#[tokio::test]
async fn statistics_of_others() {
    let hole = "ANALYZE people; GRANT SELECT ON pg_catalog.pg_statistic TO {login}";
    shared(hole, "the catalog", Verb::Catalog).await;
}

#[tokio::test]
async fn large_objects_of_a_common_login() {
    let hole = "GRANT EXECUTE ON FUNCTION pg_catalog.lo_from_bytea(oid, bytea), pg_catalog.lo_get(oid), pg_catalog.lo_unlink(oid) TO {login};
        GRANT SELECT ON pg_catalog.pg_largeobject_metadata TO {login}";
    shared(hole, "large objects", Verb::LargeObject).await;
}

#[tokio::test]
async fn rights_on_the_other_schema() {
    let hole = "GRANT USAGE ON SCHEMA {b_schema} TO {login}; GRANT SELECT ON {b_schema}.notes TO {login}";
    // Even where the policy still hides the rows: that the table answers at all is the hole.
    is_found(Isolation::Schema, hole, "table {b_schema}.notes", Verb::Select).await;
}

#[tokio::test]
async fn login_of_the_other_tenant() {
    let hole = "ALTER TABLE {b_schema}.notes DISABLE ROW LEVEL SECURITY; GRANT {b_login} TO {login}";
    is_found(Isolation::Schema, hole, "role {b_schema}", Verb::Role).await;
}

#[tokio::test]
async fn view_into_the_other_schema() {
    let hole = "CREATE VIEW next_door AS SELECT * FROM {b_schema}.notes; GRANT SELECT ON next_door TO {login}";
    is_found(Isolation::Schema, hole, "view {schema}.next_door", Verb::Select).await;
}

#[tokio::test]
async fn connect_to_the_other_database() {
    is_found(
        Isolation::Database,
        "GRANT CONNECT ON DATABASE {b_database} TO {login}",
        "database {b_database}",
        Verb::Connect,
    )
    .await;
}

#[tokio::test]
async fn rows_for_others_are_refused_for_their_tenant_and_nothing_else() {
    // Where only the check is open, each table takes the probe's row: no other rule stood in its way.
    let world = World::pair(Isolation::Shared).await;
    let tables = ["people", "teams", "members", "notes", "events", "counters"];
    for table in tables {
        let using = "tenant_id = (SELECT tenantry.current_tenant())";
        world.by_hand(&format!("ALTER POLICY tenantry_tenant ON {table} USING ({using}) WITH CHECK (true)")).await;
    }
    let report = world.probe().await;
    for table in tables {
        for verb in [Verb::Insert, Verb::Merge, Verb::GiveAway] {
            // A row that refers to others, or is referred to, cannot change hands alone: its foreign keys keep it.
            let bound = verb == Verb::GiveAway && !["events", "counters"].contains(&table);
            let named = |hit: &Hit| hit.object.ends_with(&format!(" app.{table}")) && hit.verb == verb;
            assert!(bound || report.hits.iter().any(named), "{table} {verb:?}: {}", render(&report));
        }
    }
}

#[tokio::test]
async fn each_unique_key_is_tried() {
    let world = World::pair(Isolation::Shared).await;
    let keys = [("people", "id"), ("people", "address"), ("teams", "code"), ("notes", "id"), ("counters", "name")];
    for (table, column) in keys {
        world.by_hand(&format!("CREATE UNIQUE INDEX bare_{table}_{column} ON {table} ({column})")).await;
    }
    let report = world.probe().await;
    for table in ["people", "teams", "notes", "counters"] {
        let named = |hit: &Hit| hit.object == format!("table app.{table}") && hit.verb == Verb::Conflict;
        assert!(report.hits.iter().any(named), "{table}: {}", render(&report));
    }
}
