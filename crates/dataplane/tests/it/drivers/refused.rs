//! Apps that cannot be guarded are refused, by table and reason, and leave nothing behind.

use tenantry_dataplane::{DataError, Reason};
use tenantry_domain::app::{Migrations, Unfit};
use tenantry_domain::isolation::Isolation;

use super::bench::{Bench, LEVELS, claim};

/// What waits for the commit would run with the rights of whoever commits.
const LATER: &str = "CREATE TABLE queue (tenant_id uuid NOT NULL);
    CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN CREATE ROLE intruder SUPERUSER; RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER later AFTER INSERT ON queue DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION later();";
const GOOD: &str = "CREATE TABLE good (tenant_id uuid NOT NULL, id bigint, PRIMARY KEY (tenant_id, id));
    CREATE TABLE kinds (code text PRIMARY KEY);";

#[tokio::test]
async fn shared_tables_that_break_a_rule_are_refused() {
    let cases: [(&str, &str, &str); 20] = [
        ("CREATE TABLE bad (id bigint PRIMARY KEY)", "bad", "has no column"),
        ("CREATE TABLE bad (tenant_id uuid, id bigint)", "bad", "may be null"),
        ("CREATE TABLE bad (tenant_id text NOT NULL, id bigint)", "bad", "of type `text`"),
        ("CREATE TABLE bad (tenant_id uuid NOT NULL GENERATED ALWAYS AS ('00000000-0000-0000-0000-000000000000'::uuid) STORED)", "bad", "computes"),
        ("CREATE TABLE bad (tenant_id uuid NOT NULL, id bigint PRIMARY KEY)", "bad", "unique index `bad_pkey` on (id)"),
        ("CREATE TABLE bad (tenant_id uuid NOT NULL, mail text UNIQUE)", "bad", "`bad_mail_key`"),
        ("CREATE TABLE bad (tenant_id uuid NOT NULL, mail text); CREATE UNIQUE INDEX bad_lower ON bad (lower(mail))", "bad", "`bad_lower`"),
        ("CREATE TABLE bad (tenant_id uuid NOT NULL, mail text, UNIQUE (mail) INCLUDE (tenant_id))", "bad", "on (mail)"),
        ("CREATE TABLE bad (tenant_id uuid NOT NULL, during tsrange, EXCLUDE USING gist (during WITH &&))", "bad", "during"),
        ("CREATE TABLE parent (tenant_id uuid NOT NULL, id bigint, PRIMARY KEY (tenant_id, id), UNIQUE (id, tenant_id));
          CREATE TABLE bad (tenant_id uuid NOT NULL, other uuid NOT NULL, id bigint, FOREIGN KEY (other, id) REFERENCES parent (tenant_id, id))",
            "bad", "foreign key `bad_other_id_fkey` to `parent`"),
        ("CREATE TABLE bad (code text PRIMARY KEY, tenant_id uuid)", "bad", "may be null"),
        ("ALTER TABLE kinds ADD COLUMN tenant_id uuid", "kinds", "is listed as a reference table"),
        ("ALTER TABLE kinds ADD COLUMN t uuid, ADD COLUMN i bigint, ADD FOREIGN KEY (t, i) REFERENCES good (tenant_id, id)", "kinds", "refers to the tenant table `good`"),
        ("CREATE UNLOGGED TABLE bad (tenant_id uuid NOT NULL)", "bad", "is unlogged"),
        ("CREATE VIEW bad AS SELECT * FROM good", "bad", "without `security_invoker = true`"),
        ("CREATE VIEW bad WITH (security_invoker = false) AS SELECT * FROM good", "bad", "without `security_invoker = true`"),
        ("CREATE MATERIALIZED VIEW bad AS SELECT * FROM good", "bad", "materialized view"),
        ("CREATE RULE r AS ON INSERT TO good DO ALSO NOTHING", "good", "has the rule `r`"),
        ("CREATE FUNCTION bad(n int) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'", "bad(integer)", "SECURITY DEFINER"),
        ("CREATE TABLE p (tenant_id uuid NOT NULL, at date) PARTITION BY RANGE (at);
          CREATE TABLE bad PARTITION OF p (PRIMARY KEY (at)) FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')", "bad", "`bad_pkey`"),
    ];
    let bench = Bench::new().await;
    for (sql, table, reason) in cases {
        let app = bench.app_with(1, &[("1.sql", GOOD), ("2.sql", sql)], Some("tenant_id"), &["kinds"]);
        let refused = bench.cell.prepare(&app).await;
        let Err(error @ DataError::Unguarded(_)) = &refused else { panic!("{sql}: {refused:?}") };
        let DataError::Unguarded(unguarded) = error else { unreachable!() };
        assert_eq!(unguarded.first.object, table, "{sql}: {error}");
        assert!(unguarded.first.reason.to_string().contains(reason), "{sql}: {error}");
        assert!(error.to_string().contains(table), "{error}");
        assert_eq!(bench.leftovers().await, [""; 0], "{sql}");
    }
    // All reasons at once, in the order of names.
    let app =
        bench.app(1, &[("1.sql", "CREATE TABLE a (id int); CREATE TABLE b (tenant_id uuid, id int PRIMARY KEY)")]);
    let Err(DataError::Unguarded(all)) = bench.cell.prepare(&app).await else { panic!() };
    let all: Vec<_> =
        all.iter().map(|refusal| (refusal.object.as_str(), std::mem::discriminant(&refusal.reason))).collect();
    let of = |reason: &Reason| std::mem::discriminant(reason);
    assert_eq!(all[0], ("a", of(&Reason::NoTenantKey { key: String::new() })));
    assert_eq!(all[1], ("b", of(&Reason::KeyNullable { key: String::new() })));
    assert_eq!(all.len(), 3);
    bench.clean().await;
}

/// Where an existing place would be left unguarded, the file is rolled back and the place stays as it was.
#[tokio::test]
async fn a_later_file_that_breaks_a_rule_is_rolled_back() {
    let bench = Bench::new().await;
    let files = [
        ("1.sql", GOOD),
        ("2.sql", "CREATE TABLE fine (tenant_id uuid NOT NULL)"),
        ("3.sql", "CREATE TABLE bad (id int)"),
    ];
    let app = bench.app_with(1, &files[..1], Some("tenant_id"), &["kinds"]);
    let space = bench.open(&app, Isolation::Shared).await;
    let newer = bench.app_with(2, &files, Some("tenant_id"), &["kinds"]);
    let refused = bench.cell.prepare(&newer).await;
    assert!(matches!(refused, Err(DataError::Unguarded(_))), "{refused:?}");
    assert_eq!(
        bench.texts(&bench.home(), "SELECT name FROM ledger.applied WHERE place = 'app' ORDER BY 1").await,
        ["1.sql", "2.sql"]
    );
    assert_eq!(bench.count(&space, "fine").await, 0);
    assert_eq!(bench.texts(&bench.home(), "SELECT to_regclass('app.bad')::text").await, [""]);
    assert_eq!(bench.texts(&bench.home(), "SELECT version::text FROM ledger.place WHERE place = 'app'").await, ["1"]);
    bench.clean().await;
}

/// With a tenant of its own per place the structural rules are fewer, but tables without the key are still named.
#[tokio::test]
async fn levels_of_ones_own_need_the_key_if_the_app_has_one() {
    let bench = Bench::new().await;
    let command = |command: &str| Migrations::Exec { command: command.to_owned(), directory: None };
    let sql = "psql -qc 'CREATE TABLE bad (id int)'";
    for level in [Isolation::Schema, Isolation::Database] {
        let app = bench.app_of(1, command(sql), Some("tenant_id"), &[]);
        let space = bench.space(&app, level);
        bench.cell.create(&space, &claim(1)).await.unwrap();
        let refused = bench.cell.migrate(&space, &claim(1)).await;
        assert!(matches!(&refused, Err(DataError::Unguarded(u)) if u.first.object == "bad"), "{refused:?}");
        bench.cell.uncreate(&space, &claim(1)).await.unwrap();
    }
    bench.clean().await;
}

#[tokio::test]
async fn apps_without_a_key_stay_out_of_shared_tables() {
    let bench = Bench::new().await;
    let app = bench.app_with(1, &[("1.sql", "CREATE TABLE things (id int PRIMARY KEY)")], None, &[]);
    let shared = bench.space(&app, Isolation::Shared);
    let refused = bench.cell.create(&shared, &claim(1)).await;
    assert!(matches!(refused, Err(DataError::Unfit(Unfit::NoTenantKey))), "{refused:?}");
    for level in &LEVELS[1..] {
        let space = bench.open(&app, *level).await;
        bench.as_tenant(&space, "INSERT INTO things VALUES (1)").await;
        assert_eq!(bench.cell.observe(&space).await.unwrap().findings, [], "{level}");
    }
    bench.clean().await;
}

#[tokio::test]
async fn files_may_not_leave_their_transaction_role_or_schema() {
    let bench = Bench::new().await;
    for (sql, part, line) in [
        ("SELECT 1;\nCOMMIT;", "transaction", Some(2)),
        ("RESET ROLE; DROP TABLE x", "role", Some(1)),
        ("DO $$ BEGIN EXECUTE 'RESET ROLE'; END $$", "cannot set parameter \"role\"", None),
        (
            "SELECT set_config('role', 'none', true);\nCREATE ROLE intruder SUPERUSER",
            "cannot set parameter \"role\"",
            None,
        ),
        (
            "DO $$ BEGIN PERFORM set_config('session_authorization', 'postgres', true); END $$",
            "cannot set parameter",
            None,
        ),
        ("SELECT 1 AS €$$; COMMIT; SELECT 1 AS €$$;", "transaction", Some(1)),
        ("DO $$ BEGIN COMMIT; END $$", "invalid transaction termination", None),
        (LATER, "the trigger `later` of `queue`", None),
        (
            "CREATE FUNCTION lie(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT n';
             CREATE TABLE queue (tenant_id uuid NOT NULL, n int, CONSTRAINT slow EXCLUDE USING btree (tenant_id WITH =, lie(n) WITH =) DEFERRABLE);",
            "of `queue` can wait",
            None,
        ),
        ("CREATE SCHEMA other", "permission denied", None),
        ("CREATE TABLE public.x (id int)", "permission denied", Some(1)),
        ("CREATE TABLE x (id int);\nSELEC 1;", "syntax error", Some(2)),
        ("CREATE ROLE intruder", "permission denied", None),
        ("DROP SCHEMA tenantry CASCADE", "must be owner", None),
        ("CREATE EXTENSION hstore", "already exists", None),
        ("CREATE EXTENSION IF NOT EXISTS dblink", "not one that PostgreSQL trusts", None),
        ("CREATE EXTENSION no_such_thing", "not available", None),
    ] {
        let app = bench.app(1, &[("1.sql", sql)]);
        let failed = bench.cell.prepare(&app).await;
        let Err(DataError::Migration(failure)) = &failed else { panic!("{sql}: {failed:?}") };
        assert_eq!(failure.file, "1.sql");
        assert!(failure.message.contains(part), "{sql}: {failure:?}");
        assert_eq!(failure.position.map(|position| position.line), line, "{sql}: {failure:?}");
        assert_eq!(bench.leftovers().await, [""; 0], "{sql}");
    }
    bench.clean().await;
}

/// What a file leaves for later does not run with the rights of whoever ends its transaction.
#[tokio::test]
async fn nothing_of_a_file_runs_behind_it() {
    const EVIL: &str = "CREATE FUNCTION evil() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
            IF current_user <> (SELECT r.rolname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE c.oid = 'mark'::regclass) THEN
                EXECUTE 'CREATE ROLE intruder SUPERUSER';
            END IF;
            RETURN 1;
        END $$;
        CREATE TABLE mark (tenant_id uuid NOT NULL);";
    for (case, sql) in [
        ("a cursor", "DECLARE later CURSOR WITH HOLD FOR SELECT evil();"),
        (
            "a path",
            "CREATE FUNCTION set_config(text, text, bool) RETURNS text LANGUAGE sql AS $$ SELECT evil()::text $$;
             SET search_path = app, pg_catalog;",
        ),
        (
            "statements under our names",
            "DO $$ BEGIN
                FOR n IN 0..99 LOOP
                    BEGIN EXECUTE format('DEALLOCATE s%s', n); EXCEPTION WHEN OTHERS THEN END;
                    EXECUTE format('PREPARE s%s AS SELECT evil()', n);
                END LOOP;
            END $$;",
        ),
        (
            "an index that the planner works out",
            "CREATE FUNCTION lie(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM evil(); RETURN 1; END $$;
             CREATE INDEX i ON mark (tenant_id) WHERE lie(1) = 1; ALTER INDEX i SET (fillfactor = 90);",
        ),
    ] {
        let bench = Bench::new().await;
        let app = bench.app(1, &[("1.sql", &[EVIL, sql].concat())]);
        bench.cell.prepare(&app).await.unwrap_or_else(|error| panic!("{case}: {error:?}"));
        let made = bench.texts("postgres", "SELECT rolname::text FROM pg_roles WHERE rolname = 'intruder'").await;
        assert_eq!(made, [""; 0], "{case}");
        bench.clean().await;
    }
}
