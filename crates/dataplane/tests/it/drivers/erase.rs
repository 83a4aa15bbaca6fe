//! Erasing and undoing leave nothing: the server's catalog is the same as before the tenant came.

use tenantry_dataplane::{Gate, Options, Space};
use tenantry_domain::isolation::Isolation;
use tenantry_testkit::pg::{PrivateServer, private_server};

use super::bench::{Bench, LEVELS, NOTES, claim};

/// Every object, comment, right, role, membership, setting and row of ours on the whole server. Ids and claims apart.
async fn catalog(bench: &Bench) -> Vec<String> {
    let mut lines = bench
        .texts(
            "postgres",
            "SELECT 'database ' || datname || ' ' || coalesce(shobj_description(oid, 'pg_database'), '') || coalesce(datacl::text, '')
               FROM pg_database
             UNION ALL SELECT 'role ' || (to_jsonb(r) - 'oid')::text || coalesce(shobj_description(oid, 'pg_authid'), '') FROM pg_roles r
             UNION ALL SELECT 'member ' || roleid::regrole || ' ' || member::regrole FROM pg_auth_members
             UNION ALL SELECT 'setting ' || setdatabase || setrole || setconfig::text FROM pg_db_role_setting
             UNION ALL SELECT 'comment ' || description FROM pg_shdescription ORDER BY 1",
        )
        .await;
    for database in bench.texts("postgres", "SELECT datname::text FROM pg_database WHERE datallowconn ORDER BY 1").await
    {
        let here = bench
            .texts(
                &database,
                "SELECT 'schema ' || nspname || coalesce(nspacl::text, '') FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
                 UNION ALL SELECT 'relation ' || oid::regclass || coalesce(relacl::text, '') FROM pg_class WHERE relnamespace::regnamespace::text !~ '^pg_'
                 UNION ALL SELECT 'function ' || oid::regprocedure || coalesce(proacl::text, '') FROM pg_proc WHERE oid >= 16384
                 UNION ALL SELECT 'comment ' || description FROM pg_description WHERE objoid >= 16384 ORDER BY 1",
            )
            .await;
        lines.extend(here.into_iter().map(|line| format!("{database} {line}")));
        if !here_is_ours(bench, &database).await {
            continue;
        }
        let rows = bench
            .texts(
                &database,
                "SELECT 'tenant ' || tenant_id || state::text FROM tenantry.tenant
                 UNION ALL SELECT 'applied ' || place || name FROM ledger.applied UNION ALL SELECT 'place ' || place || version FROM ledger.place
                 UNION ALL SELECT 'space ' || tenant_id FROM ledger.space UNION ALL SELECT 'premade ' || name FROM ledger.premade ORDER BY 1",
            )
            .await;
        lines.extend(rows.into_iter().map(|line| format!("{database} {line}")));
    }
    lines
}

async fn here_is_ours(bench: &Bench, database: &str) -> bool {
    bench
        .texts(
            database,
            "SELECT 'x' WHERE to_regclass('tenantry.tenant') IS NOT NULL AND to_regclass('ledger.place') IS NOT NULL",
        )
        .await
        .len()
        == 1
}

async fn alone(server: &PrivateServer) -> Bench {
    Bench::on(server, Options::default()).await
}

#[tokio::test]
async fn nothing_is_left_of_a_tenant() {
    let server = private_server();
    let bench = alone(&server).await;
    let app = bench.chat(3);
    // The template of the database level is the app's, not a tenant's: it is made with the first and stays.
    let first = bench.open(&app, Isolation::Database).await;
    bench.cell.erase(&first, &claim(1)).await.unwrap();
    let neighbours = [bench.open(&app, Isolation::Shared).await, bench.open(&app, Isolation::Schema).await];
    let seed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/chat/seed.sql")).unwrap();
    for neighbour in &neighbours {
        bench.as_tenant(neighbour, &seed).await;
    }
    let before = catalog(&bench).await;
    for level in LEVELS {
        let space = bench.open(&app, level).await;
        bench.as_tenant(&space, &seed).await;
        assert_ne!(catalog(&bench).await, before, "{level}");
        bench.cell.set_gate(&space, &claim(2), Gate::Archived).await.unwrap();
        bench.cell.erase(&space, &claim(2)).await.unwrap();
        assert_eq!(catalog(&bench).await, before, "{level}: erased");
        assert_eq!(rows_of(&bench, &space).await, [""; 0], "{level}");

        for steps in 1..=3 {
            let space = bench.space(&app, level);
            bench.cell.create(&space, &claim(1)).await.unwrap();
            if steps > 1 {
                bench.cell.migrate(&space, &claim(1)).await.unwrap();
            }
            if steps > 2 {
                bench.cell.set_gate(&space, &claim(1), Gate::Open).await.unwrap();
            }
            bench.cell.uncreate(&space, &claim(1)).await.unwrap();
            assert_eq!(catalog(&bench).await, before, "{level}: undone after {steps}");
        }
    }
    for neighbour in &neighbours {
        assert_eq!(bench.count(neighbour, "messages").await, 240);
    }
    let words = bench.texts(&bench.home(), "SELECT tablename FROM pg_tables WHERE schemaname = 'ledger'").await;
    assert!(words.contains(&"tombstone".to_owned()));
}

/// The tenant's id in any table of the home, whatever the column is called.
async fn rows_of(bench: &Bench, space: &Space) -> Vec<String> {
    let home = bench.home();
    let id = space.tenant.uuid();
    let mut found = Vec::new();
    for table in bench
        .texts(
            &home,
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND oid >= 16384 AND relname !~ '^pg_'",
        )
        .await
    {
        let sql = format!(
            "SELECT '{table}' FROM {table} t WHERE t::text LIKE '%{id}%' OR t::text LIKE '%{}%' LIMIT 1",
            id.simple()
        );
        found.extend(bench.texts(&home, &sql).await);
    }
    found
}

/// Rows go in batches, through cycles, self-references and the app's own triggers.
#[tokio::test]
async fn rows_that_refer_to_each_other_are_erased() {
    const TANGLE: &str = "
        CREATE TABLE a (tenant_id uuid NOT NULL, id int, b int, PRIMARY KEY (tenant_id, id));
        CREATE TABLE b (tenant_id uuid NOT NULL, id int, a int, PRIMARY KEY (tenant_id, id), FOREIGN KEY (tenant_id, a) REFERENCES a);
        ALTER TABLE a ADD FOREIGN KEY (tenant_id, b) REFERENCES b;
        CREATE TABLE tree (tenant_id uuid NOT NULL, id int, up int, PRIMARY KEY (tenant_id, id), FOREIGN KEY (tenant_id, up) REFERENCES tree);
        CREATE TABLE many (tenant_id uuid NOT NULL, id int, a int, PRIMARY KEY (tenant_id, id), FOREIGN KEY (tenant_id, a) REFERENCES a ON DELETE RESTRICT);
        CREATE TABLE parts (tenant_id uuid NOT NULL, id int, PRIMARY KEY (tenant_id, id)) PARTITION BY RANGE (id);
        CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (100);
        CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (100) TO (10000);
        CREATE TABLE trail (tenant_id uuid NOT NULL, what text);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO trail (what) VALUES ('gone'); RETURN OLD; END $$;
        CREATE TRIGGER note AFTER DELETE ON tree FOR EACH STATEMENT EXECUTE FUNCTION note();";
    const ROWS: &str = "
        INSERT INTO a SELECT current_tenant, n, NULL FROM generate_series(1, 20) n, tenantry.current_tenant();
        INSERT INTO b (id, a) SELECT n, n FROM generate_series(1, 20) n;
        UPDATE a SET b = id;
        INSERT INTO tree (id, up) SELECT n, nullif(n - 1, 0) FROM generate_series(1, 200) n;
        INSERT INTO many (id, a) SELECT n, 1 FROM generate_series(1, 12000) n;
        INSERT INTO parts (id) SELECT n FROM generate_series(1, 6000) n;";
    let bench = Bench::new().await;
    let app = bench.app(1, &[("1.sql", TANGLE)]);
    let (gone, stays) = (bench.open(&app, Isolation::Shared).await, bench.open(&app, Isolation::Shared).await);
    for space in [&gone, &stays] {
        bench.as_tenant(space, ROWS).await;
    }
    bench.cell.set_gate(&gone, &claim(2), Gate::Archived).await.unwrap();
    bench.cell.erase(&gone, &claim(2)).await.unwrap();
    assert_eq!(rows_of(&bench, &gone).await, [""; 0]);
    for (table, rows) in [("a", 20), ("b", 20), ("tree", 200), ("many", 12000), ("parts", 6000)] {
        assert_eq!(bench.count(&stays, table).await, rows, "{table}");
    }
    bench.clean().await;
}

/// An app that only marks rows as deleted, and a trigger that would like to be more than the tables' owner.
#[tokio::test]
async fn rows_that_the_app_hides_go_too_and_its_triggers_stay_the_owners() {
    const SOFT: &str = "
        CREATE TABLE notes (tenant_id uuid NOT NULL, id int, deleted bool NOT NULL DEFAULT false, PRIMARY KEY (tenant_id, id));
        CREATE POLICY hide ON notes AS RESTRICTIVE FOR SELECT USING (NOT deleted);
        CREATE FUNCTION rise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            BEGIN
                PERFORM set_config('role', 'none', true);
                EXECUTE 'CREATE ROLE risen SUPERUSER';
            EXCEPTION WHEN insufficient_privilege THEN
            END;
            RETURN OLD;
        END $$;
        CREATE TRIGGER rise AFTER DELETE ON notes FOR EACH ROW EXECUTE FUNCTION rise();
        CREATE TABLE comments (tenant_id uuid NOT NULL, note int);
        CREATE FUNCTION sweep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM comments WHERE note = OLD.id; RETURN OLD; END $$;
        CREATE TRIGGER sweep AFTER DELETE ON notes FOR EACH ROW EXECUTE FUNCTION sweep();";
    let bench = Bench::new().await;
    let app = bench.app(1, &[("1.sql", SOFT)]);
    let (gone, stays) = (bench.open(&app, Isolation::Shared).await, bench.open(&app, Isolation::Shared).await);
    for space in [&gone, &stays] {
        bench
            .as_tenant(
                space,
                "INSERT INTO notes SELECT tenantry.current_tenant(), n, n % 2 = 0 FROM generate_series(1, 10) n",
            )
            .await;
        let comments = "INSERT INTO comments SELECT tenantry.current_tenant(), n FROM generate_series(1, 10) n";
        bench.as_tenant(space, comments).await;
    }
    bench.cell.set_gate(&gone, &claim(2), Gate::Archived).await.unwrap();
    bench.cell.erase(&gone, &claim(2)).await.unwrap();
    assert_eq!(rows_of(&bench, &gone).await, [""; 0]);
    let left = bench.texts(&bench.home(), "SELECT count(*)::text FROM app.notes").await;
    assert_eq!(left, ["10"], "the neighbour's rows");
    // No trigger that names no tenant fires where the policies do not hold.
    assert_eq!(bench.count(&stays, "comments").await, 10);
    let owner = bench.texts(&bench.home(), "SELECT rolbypassrls::text FROM pg_roles r JOIN pg_class c ON c.relowner = r.oid WHERE c.oid = 'app.notes'::regclass").await;
    assert_eq!(owner, ["false"], "the owner is bound again");
    assert_eq!(bench.texts("postgres", "SELECT 'x' FROM pg_roles WHERE rolname = 'risen'").await, [""; 0]);
    bench.clean().await;
}

/// A schema with more tables than one transaction should lock.
#[tokio::test]
async fn a_schema_with_very_many_tables_goes_in_parts() {
    let bench = Bench::new().await;
    let app = bench.app(1, &[("1.sql", NOTES)]);
    let space = bench.open(&app, Isolation::Schema).await;
    let (home, schema) = (bench.home(), bench.schema(&space));
    let many = format!(
        "DO $$ BEGIN FOR n IN 1..450 LOOP EXECUTE format('CREATE TABLE {schema}.t%s (id int)', n); END LOOP; END $$"
    );
    bench.run(&home, &many).await;
    bench.cell.erase(&space, &claim(1)).await.unwrap();
    assert_eq!(bench.leftovers().await, [""; 0]);
    bench.clean().await;
}
