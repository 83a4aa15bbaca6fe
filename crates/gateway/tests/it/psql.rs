//! PostgreSQL's own programs, unchanged: psql, which is libpq, and pgbench in its three modes. `scripts/clients` has the
//! clients of other languages.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use futures_util::future::join_all;
use tenantry_domain::isolation::Isolation;
use tenantry_gateway::Settings;
use tenantry_testkit::pg::server;

use crate::world::{Tenant, World};

const LEVELS: [(Isolation, usize); 3] = [(Isolation::Shared, 2), (Isolation::Schema, 2), (Isolation::Database, 2)];
/// How many rows each tenant has.
const ROWS: usize = 3;

/// Looks in every transaction whether the tenant sees its own rows and no others; what is wrong ends the program.
const BENCH: &str = r"
\set number random(1, 1000000)
SELECT count(*) AS rows FROM note WHERE body LIKE 'secret of %' \gset
SELECT count(*) AS own FROM note WHERE body LIKE 'secret of SLUG %' \gset
\if :rows <> 3 or :own <> 3
SELECT 1 / 0;
\endif
BEGIN;
INSERT INTO note (body) VALUES ('bench ' || :number) RETURNING id AS key \gset
UPDATE note SET body = body || '!' WHERE id = :key;
DELETE FROM note WHERE id = :key AND body = 'bench ' || :number || '!' RETURNING 1 AS gone \gset
END;
\if :gone <> 1
SELECT 1 / 0;
\endif
";

async fn world() -> World {
    let world = World::new(&server().url("postgres"), &LEVELS, Settings::default(), None).await;
    for tenant in &world.tenants {
        let client = world.client(tenant).await;
        for number in 0..ROWS {
            let body = format!("secret of {} {number}", tenant.slug);
            client.execute("INSERT INTO note (body) VALUES ($1)", &[&body]).await.unwrap();
        }
    }
    world
}

/// Runs one of PostgreSQL's programs beside the gateway, which is served by this thread.
async fn run(program: &str, arguments: Vec<String>, input: String) -> Output {
    let program = server().binaries().join(program);
    let child = move || {
        let mut child = Command::new(&program)
            .args(&arguments)
            .env_clear()
            .env("LC_ALL", "C")
            .env("PGCONNECT_TIMEOUT", "20")
            .current_dir(Path::new("/"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    tokio::task::spawn_blocking(child).await.unwrap()
}

/// What psql printed, and the code that it ended with.
async fn psql(world: &World, tenant: &Tenant, options: &[&str], script: &str) -> (Option<i32>, String, String) {
    let fixed = ["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--dbname", &world.dsn(tenant)];
    let arguments = fixed.iter().chain(options).map(ToString::to_string).collect();
    let output = run("psql", arguments, script.to_owned()).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn secrets(tenant: &Tenant) -> String {
    (0..ROWS).map(|number| format!("secret of {} {number}\n", tenant.slug)).collect()
}

#[tokio::test]
async fn psql_runs_a_script_as_on_postgresql() {
    let world = world().await;
    let script = r"
        BEGIN;
        INSERT INTO note (body) VALUES ('mine') RETURNING id AS key \gset
        SAVEPOINT one;
        DELETE FROM note;
        ROLLBACK TO one;
        PREPARE chosen (int8) AS SELECT body FROM note WHERE id = $1;
        EXECUTE chosen (:key);
        DEALLOCATE chosen;
        DECLARE all_of_them CURSOR FOR SELECT body FROM note ORDER BY id;
        FETCH 1 FROM all_of_them;
        MOVE ALL FROM all_of_them;
        FETCH ALL FROM all_of_them;
        COMMIT;
        DELETE FROM note WHERE id = :key;
        SET TIME ZONE 'Asia/Tokyo';
        BEGIN ISOLATION LEVEL SERIALIZABLE;
        SHOW TimeZone;
        SHOW transaction_isolation;
        COMMIT;
        \copy (SELECT body FROM note ORDER BY id) TO STDOUT
        SELECT format('SELECT %s + 1', n) FROM generate_series(1, 2) AS n \gexec
    ";
    for tenant in &world.tenants {
        let (code, out, errors) = psql(&world, tenant, &["--set", "ON_ERROR_STOP=1"], script).await;
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{}", tenant.slug);
        let first = format!("secret of {} 0", tenant.slug);
        let wanted = format!("mine\n{first}\nAsia/Tokyo\nserializable\n{}2\n3\n", secrets(tenant));
        assert_eq!(out, wanted, "{}", tenant.slug);
    }
}

#[tokio::test]
async fn psql_goes_on_after_errors_and_in_messages_of_many_statements() {
    let world = world().await;
    for tenant in &world.tenants {
        let read = "SELECT body FROM note ORDER BY id";
        let many = format!("BEGIN; DELETE FROM note; ROLLBACK; {read}; COMMIT; SELECT 'end'");
        let (code, out, errors) = psql(&world, tenant, &["--command", &many], "").await;
        assert_eq!((code, out), (Some(0), format!("{}end\n", secrets(tenant))), "{}: {errors}", tenant.slug);
        // An error takes the whole message back.
        let failing = "INSERT INTO note (body) VALUES ('lost'); SELECT 1/0";
        let (code, _, errors) = psql(&world, tenant, &["--command", failing], "").await;
        assert_eq!(code, Some(1), "{}: {errors}", tenant.slug);
        let script = format!(
            "\\set VERBOSITY verbose\nBEGIN;\nSELECT 1/0;\n\\echo :LAST_ERROR_SQLSTATE\n{read};\nROLLBACK;\n\
             SELECT * FROM no_such_table;\n\\echo :LAST_ERROR_SQLSTATE\n\\copy note (body) FROM '/dev/null'\n\
             \\echo :LAST_ERROR_SQLSTATE\n{read};\n"
        );
        let (code, out, errors) = psql(&world, tenant, &[], &script).await;
        // The tables of an app with a tenant key have row-level security at every level, and no COPY FROM.
        let wanted = format!("22012\n42P01\n0A000\n{}", secrets(tenant));
        assert_eq!((code, out), (Some(0), wanted), "{}: {errors}", tenant.slug);
        assert!(errors.contains("25P02"), "{errors}");
        let (code, out, errors) = psql(&world, tenant, &[], "\\d note\n\\dt\n\\conninfo\n").await;
        assert!(code == Some(0) && out.contains("tenant_id|uuid|"), "{}: {out} {errors}", tenant.slug);
    }
}

#[tokio::test]
async fn pgbench_runs_in_every_mode() {
    let world = world().await;
    let folder = tempfile::tempdir().unwrap();
    // Neighbours at once, and one after another in the ways of a client.
    for options in ["--protocol=simple", "--protocol=extended", "--protocol=prepared", "--connect"] {
        let runs = world.tenants.iter().map(|tenant| {
            let script = folder.path().join(&tenant.slug);
            std::fs::write(&script, BENCH.replace("SLUG", &tenant.slug)).unwrap();
            let script = format!("--file={}", script.display());
            let fixed = ["-n", "--client=4", "--transactions=15", &script, options];
            let arguments = fixed.iter().map(ToString::to_string).chain([world.dsn(tenant)]).collect();
            run("pgbench", arguments, String::new())
        });
        for (tenant, output) in world.tenants.iter().zip(join_all(runs).await) {
            let said = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{} {options}: {errors}", tenant.slug);
            assert!(said.contains("transactions actually processed: 60/60"), "{} {options}: {said}", tenant.slug);
        }
    }
}
