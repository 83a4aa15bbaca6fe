//! Structure over several statements and files, names, paths and tiers.

use tenantry_lint::{Check, Options, Report, Schema, Source, Tier};

use crate::world;

fn files(texts: &[&str], options: Options) -> Report {
    let mut check = Check::new(Schema::new("tenant_id").reference_tables(["countries"]), options);
    for (index, text) in texts.iter().enumerate() {
        check.source(Source::sql(format!("{index}.sql"), *text));
    }
    check.run().0
}

fn rules(texts: &[&str]) -> Vec<(&'static str, String, usize)> {
    let report = files(texts, Options::default());
    report.findings.iter().map(|it| (it.rule.id, it.location.input.clone(), it.location.line)).collect()
}

fn at(rule: &'static str, file: &str, line: usize) -> (&'static str, String, usize) {
    (rule, file.to_owned(), line)
}

#[test]
fn a_table_is_judged_as_it_is_in_the_end() {
    let create = "CREATE TABLE a (\n  tenant_id uuid,\n  id uuid\n);";
    assert_eq!(rules(&[create]), [at("TL206", "0.sql", 1), at("TL202", "0.sql", 2)]);
    assert_eq!(rules(&[create, "ALTER TABLE a ADD PRIMARY KEY (tenant_id, id)"]), [at("TL405", "1.sql", 1)]);
    let finished = "ALTER TABLE ONLY public.a ALTER COLUMN tenant_id SET NOT NULL; CREATE INDEX ON a (tenant_id, id)";
    assert_eq!(rules(&[&[create, finished].concat()]), []);
    assert_eq!(rules(&[create, "DROP TABLE a"]), [at("TL406", "1.sql", 1)]);
    let added =
        "CREATE TABLE a (id uuid); ALTER TABLE a ADD COLUMN tenant_id uuid NOT NULL; CREATE INDEX ON a (tenant_id)";
    assert_eq!(rules(&[added]), []);
}

#[test]
fn partial_and_expression_indexes_do_not_lead() {
    let table = "CREATE TABLE a (tenant_id uuid NOT NULL, id uuid);";
    for index in [
        "CREATE INDEX ON a (tenant_id) WHERE id IS NULL",
        "CREATE INDEX ON a ((tenant_id::text))",
        "CREATE INDEX ON a (id, tenant_id)",
        "CREATE INDEX ON a USING gin (tenant_id)",
    ] {
        assert_eq!(rules(&[&[table, index].concat()]), [at("TL206", "0.sql", 1)], "{index}");
    }
}

#[test]
fn names_are_found_through_paths_and_quotes() {
    let app = "CREATE SCHEMA app; SET LOCAL search_path = app, public;\nCREATE TABLE \"Orders\" (tenant_id uuid, id uuid, PRIMARY \
               KEY (tenant_id, id));\nCREATE TABLE notes (id int);";
    assert_eq!(rules(&[app]), [at("TL201", "0.sql", 3)]);
    let found = |sql: &str| files(&[app, sql], Options::default()).findings.last().map(|it| it.rule.id);
    assert_eq!(found("SELECT * FROM app.\"Orders\""), Some("TL101"));
    assert_eq!(found("SELECT * FROM \"Orders\" WHERE TENANT_ID = $1"), Some("TL201"));
    assert_eq!(found("SELECT * FROM \"Orders\" WHERE \"Tenant_id\" = $1"), Some("TL101"));
    assert_eq!(found("SELECT * FROM APP.NOTES"), Some("TL201"));
    // `orders` is another table than `"Orders"`, and nobody knows it.
    assert_eq!(found("SELECT * FROM orders"), Some("TL101"));
}

#[test]
fn views_ask_whoever_reads_them() {
    let view =
        "CREATE VIEW open_orders WITH (security_invoker) AS SELECT tenant_id, id FROM orders WHERE status = 'open';";
    let found = |rest: &str| world::ids(&[view, rest].concat());
    assert_eq!(found(""), [""; 0]);
    assert_eq!(found("SELECT * FROM open_orders"), ["TL101"]);
    assert_eq!(found("SELECT * FROM open_orders WHERE tenant_id = $1"), [""; 0]);
    let hides = "CREATE VIEW open_orders WITH (security_invoker) AS SELECT id FROM orders WHERE status = 'open'";
    assert_eq!(world::ids(hides), ["TL101"]);
    let reference = "CREATE VIEW names AS SELECT name FROM countries";
    assert_eq!(world::ids(reference), [""; 0]);
}

#[test]
fn tiers_silence_what_cannot_matter() {
    let ids = |sql: &str, tier: Tier| -> Vec<_> {
        let report = world::check(sql, Options { tier, ..Options::default() });
        report.findings.iter().map(|finding| finding.rule.id).collect()
    };
    let read = "SELECT * FROM orders";
    assert_eq!(ids(read, Tier::Shared), ["TL101"]);
    assert_eq!(ids(read, Tier::Schema), [""; 0]);
    let foreign = "SELECT * FROM t_01a1fb3eb7ce7677ad2fc29f3bd980d4.orders";
    assert_eq!(ids(foreign, Tier::Schema), ["TL112"]);
    assert_eq!(ids(foreign, Tier::Database), [""; 0]);
    assert_eq!(ids("SET ROLE x", Tier::Database), ["TL301"]);
    assert_eq!(ids("LISTEN x", Tier::Schema), ["TL305"]);
    assert_eq!(ids("LISTEN x", Tier::Database), [""; 0]);
}

#[test]
fn what_a_file_creates_may_be_changed_in_it() {
    let create = "CREATE TABLE a (tenant_id uuid NOT NULL, id uuid, PRIMARY KEY (tenant_id, id));";
    let change = "CREATE INDEX ON a (tenant_id, id); ALTER TABLE a ADD COLUMN b text NOT NULL;";
    assert_eq!(rules(&[&[create, change].concat()]), []);
    assert_eq!(rules(&[create, change]), [at("TL403", "1.sql", 1), at("TL402", "1.sql", 1)]);
}

#[test]
fn policies_have_one_text() {
    let policy = |rest: &str| world::ids(&format!("CREATE POLICY p ON orders {rest}"));
    for right in [
        "USING (tenant_id = (SELECT tenantry.current_tenant()))",
        "FOR ALL TO PUBLIC USING ((SELECT current_tenant()) = tenant_id) WITH CHECK (tenant_id = (SELECT current_tenant()))",
        "AS RESTRICTIVE USING (status <> 'secret')",
    ] {
        assert_eq!(policy(right), [""; 0], "{right}");
    }
    for wrong in [
        "USING (true)",
        "USING (tenant_id = tenantry.current_tenant())",
        "USING (tenant_id = (SELECT tenantry.current_tenant()) OR true)",
        "FOR SELECT USING (tenant_id = (SELECT tenantry.current_tenant()))",
        "USING (tenant_id = (SELECT tenantry.current_tenant())) WITH CHECK (true)",
        "USING (tenant_id = current_setting('app.tenant_id')::uuid)",
        "USING (tenant_id = (SELECT current_setting('app.tenant_id')::uuid))",
    ] {
        assert_eq!(policy(wrong), ["TL209"], "{wrong}");
    }
}

/// A table of the session is one of its own file, behind its statement, and hides no table of tenants.
#[test]
fn scratch_tables_hide_nothing() {
    let users = "CREATE TABLE users (tenant_id uuid NOT NULL, id uuid NOT NULL, PRIMARY KEY (tenant_id, id));";
    let scratch = "-- tenantry:allow TL307 scratch\nCREATE TEMP TABLE users (id int);\nDROP TABLE users;";
    let leaks = "DELETE FROM users;\nSELECT * FROM users;\nTRUNCATE users;\nCOPY users TO STDOUT;";
    let expected = ["TL103", "TL101", "TL111", "TL110"];
    for texts in [[users, scratch, leaks], [users, leaks, scratch], [scratch, leaks, users]] {
        let found: Vec<_> = rules(&texts).into_iter().map(|(rule, ..)| rule).collect();
        assert_eq!(found, expected, "{texts:?}");
    }
    let in_one = format!("{users}\n-- tenantry:allow TL307 scratch\nCREATE TEMP TABLE users (id int);\n{leaks}");
    let found: Vec<_> = rules(&[&in_one]).into_iter().map(|(rule, ..)| rule).collect();
    assert_eq!(found, expected, "the real table is meant where one of that name is known");
    let picked = "-- tenantry:allow TL307 scratch\nCREATE TEMP TABLE picked (id int);\nSELECT * FROM picked;";
    assert_eq!(rules(&[picked]), []);
    assert_eq!(rules(&[picked, "SELECT * FROM picked"]), [at("TL101", "1.sql", 1)]);
    let in_body = "DO $$ BEGIN\nCREATE TEMP TABLE picked (id int);\nPERFORM * FROM picked;\nEND $$";
    let found: Vec<_> = rules(&[in_body]).into_iter().map(|(rule, ..)| rule).collect();
    assert_eq!(found, ["TL308", "TL307"]);
    let view = "CREATE TEMP VIEW v WITH (security_invoker) AS SELECT tenant_id, id FROM orders;\nSELECT * FROM v;";
    assert_eq!(rules(&[view]), [at("TL101", "0.sql", 2)], "a view of the session is one to ask for the tenant");
}

/// A second definition without the tenant column takes nothing away, wherever it stands.
#[test]
fn a_table_of_tenants_stays_one() {
    let real = "CREATE TABLE public.users (tenant_id uuid NOT NULL, id uuid NOT NULL, PRIMARY KEY (tenant_id, id));";
    for second in ["CREATE TABLE users (id int)", "CREATE TABLE public.users (id int)"] {
        for texts in [[real, second], [second, real]] {
            let found = files(&[texts[0], texts[1], "DELETE FROM users; DELETE FROM public.users"], Options::default());
            let found: Vec<_> = found.findings.iter().map(|it| it.rule.id).filter(|id| *id == "TL103").collect();
            assert_eq!(found, ["TL103", "TL103"], "{texts:?}");
        }
    }
}

/// What a later file does to a table is said where it is done, though the table's own file is not judged.
#[test]
fn changes_are_reported_where_they_are_made() {
    let found = |sql: &str| -> Vec<_> {
        world::check(sql, Options::default()).findings.iter().map(|it| (it.rule.id, it.location.line)).collect()
    };
    assert_eq!(found("SELECT 1;\nALTER TABLE orders ALTER COLUMN tenant_id DROP NOT NULL"), [("TL202", 2)]);
    assert_eq!(found("SELECT 1;\nALTER TABLE orders SET UNLOGGED"), [("TL207", 2), ("TL407", 2)]);
    assert_eq!(found("ALTER TABLE events DETACH PARTITION events_2026"), [("TL406", 1)]);
    let gone = "ALTER TABLE orders DROP COLUMN tenant_id;\nDELETE FROM orders";
    assert_eq!(found(gone), [("TL222", 1), ("TL406", 1), ("TL103", 2)]);
}

/// Tables that a block makes are known behind it, and judged.
#[test]
fn blocks_make_tables() {
    let made = "DO $$ BEGIN\nIF true THEN\nCREATE TABLE a (tenant_id uuid, id uuid);\nEND IF; END $$;\n";
    let found: Vec<_> = rules(&[made]).into_iter().map(|(rule, _, line)| (rule, line)).collect();
    assert_eq!(found, [("TL308", 1), ("TL206", 3), ("TL202", 3)]);
    let finished = format!("{made}ALTER TABLE a ADD COLUMN n int NOT NULL;\nDELETE FROM a;");
    let found: Vec<_> = rules(&[&finished]).into_iter().map(|(rule, ..)| rule).collect();
    assert!(!found.contains(&"TL402") && found.contains(&"TL103"), "{found:?}");
}
