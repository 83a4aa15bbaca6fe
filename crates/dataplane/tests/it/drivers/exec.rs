//! Apps that migrate by their own command.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tenantry_dataplane::{AppTarget, DataError, Gate, Options};
use tenantry_domain::app::Migrations;
use tenantry_domain::isolation::Isolation;
use tenantry_testkit::pg::server;

use super::bench::{Bench, LEVELS, claim, fenced};

/// A folder with `migrate.sh`, as an app's framework would bring it.
struct Folder(PathBuf);

impl Folder {
    fn new(script: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("exec-{}", super::bench::unique().simple()));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("migrate.sh"), script).unwrap();
        Self(folder)
    }

    fn app(&self, bench: &Bench, version: i64, command: &str, key: Option<&str>) -> Arc<AppTarget> {
        // The command finds its programs by PATH; the server's own folder need not be in it.
        let command = format!("PATH=\"$PATH:{}\"; {command}", server().binaries().display());
        let migrations = Migrations::Exec { command, directory: Some(self.0.display().to_string()) };
        bench.app_of(version, migrations, key, &[])
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const SCRIPT: &str = r#"
set -e
psql -v ON_ERROR_STOP=1 -q <<SQL
CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY);
CREATE TABLE IF NOT EXISTS things (id serial PRIMARY KEY, made_for text);
INSERT INTO things (made_for) VALUES ('$TENANTRY_TENANT $TENANTRY_SCHEMA $TENANTRY_LEVEL');
SQL
psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -qc "INSERT INTO migrations VALUES ('$1') ON CONFLICT DO NOTHING"
"#;

#[tokio::test]
async fn a_command_makes_the_tables_and_they_belong_to_the_tenants_owner() {
    let folder = Folder::new(SCRIPT);
    for level in &LEVELS[1..] {
        let bench = Bench::new().await;
        let app = folder.app(&bench, 1, "sh migrate.sh one", None);
        let mut space = bench.open(&app, *level).await;
        let (database, schema, role) = (bench.database(&space), bench.schema(&space), bench.role(&space));
        let tx = bench.enter(&space).await.unwrap();
        let row = tx.query_one("SELECT made_for FROM things", &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), format!("{} {schema} {level}", space.tenant));
        tx.execute("INSERT INTO things (made_for) VALUES ('me')", &[]).await.unwrap();
        tx.commit().await.unwrap();
        let owners = bench
            .texts(&database, &format!("SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = '{schema}'"))
            .await;
        assert_eq!(owners, [format!("{role}_own")], "{level}");
        assert_eq!(bench.cell.observe(&space).await.unwrap().findings, [], "{level}");
        // A second version runs the command again, over the tenant's data.
        space.app = folder.app(&bench, 2, "sh migrate.sh two", None);
        assert_eq!(bench.cell.migrate(&space, &claim(1)).await.unwrap().version, 2);
        assert_eq!(bench.count(&space, "things").await, 3, "{level}");
        assert_eq!(bench.count(&space, "migrations").await, 2, "{level}");
        // One with nothing new does not.
        assert_eq!(bench.cell.migrate(&space, &claim(1)).await.unwrap().version, 2);
        assert_eq!(bench.count(&space, "things").await, 3, "{level}");
        assert_eq!(runs(&bench).await, [""; 0], "{level}");
        // Made in advance it is a place without tables, for which the command runs when the tenant comes.
        bench.cell.refill(&app, *level, 1).await.unwrap();
        let next = bench.open(&app, *level).await;
        assert_eq!(bench.count(&next, "things").await, 1, "{level}");
        bench.cell.erase(&space, &claim(2)).await.unwrap();
        bench.clean().await;
    }
}

#[tokio::test]
async fn a_tenant_column_is_guarded_and_the_commands_session_is_the_tenants() {
    let script = r#"psql -v ON_ERROR_STOP=1 -q <<SQL
        CREATE TABLE IF NOT EXISTS notes (tenant_id uuid NOT NULL, body text);
        INSERT INTO notes (tenant_id, body) VALUES (tenantry.current_tenant(), 'seed');
        UPDATE notes SET body = body || '!';
SQL"#;
    let folder = Folder::new(script);
    for level in &LEVELS[1..] {
        let bench = Bench::new().await;
        let mut space = bench.open(&folder.app(&bench, 1, "sh migrate.sh", Some("tenant_id")), *level).await;
        space.app = folder.app(&bench, 2, "sh migrate.sh", Some("tenant_id"));
        bench.cell.migrate(&space, &claim(1)).await.unwrap();
        assert_eq!(bench.count(&space, "notes WHERE body = 'seed!!'").await, 1, "{level}");
        assert_eq!(bench.count(&space, "notes").await, 2, "{level}");
        assert_eq!(bench.cell.observe(&space).await.unwrap().findings, [], "{level}");
        bench.clean().await;
    }
}

#[tokio::test]
async fn a_failed_command_shows_the_end_of_its_output_and_no_password() {
    let folder = Folder::new("");
    let bench = Bench::new().await;
    let command = "seq 1 5000; echo password $PGPASSWORD; env >&2; echo the reason >&2; exit 3";
    let app = folder.app(&bench, 1, command, None);
    let space = bench.space(&app, Isolation::Schema);
    bench.cell.create(&space, &claim(1)).await.unwrap();
    let failed = bench.cell.migrate(&space, &claim(1)).await;
    let Err(DataError::Exec { code: Some(3), tail }) = &failed else { panic!("{failed:?}") };
    assert!(tail.ends_with("the reason") && tail.len() <= 8 * 1024, "{tail}");
    let password = tail.lines().find(|line| line.starts_with("PGPASSWORD=")).unwrap();
    assert_eq!(password, "PGPASSWORD=…");
    // Nothing of our own environment reaches it.
    assert!(!tail.contains("CARGO"), "{tail}");
    assert_eq!(runs(&bench).await, [""; 0]);
    let missing = folder.app(&bench, 1, "no-such-program", None);
    let space = tenantry_dataplane::Space { app: missing, ..space };
    assert!(matches!(bench.cell.migrate(&space, &claim(1)).await, Err(DataError::Exec { code: Some(127), .. })));
    bench.clean().await;
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_its_children() {
    let folder = Folder::new("");
    let options = Options { command: Duration::from_millis(700), ..Options::default() };
    let bench = Bench::on(server(), options).await;
    let marker = folder.0.join("alive");
    let hangs =
        format!("(while true; do date > {}; sleep 0.05; done) & psql -c 'SELECT pg_sleep(60)'", marker.display());
    let app = folder.app(&bench, 1, &hangs, None);
    let space = bench.space(&app, Isolation::Schema);
    bench.cell.create(&space, &claim(1)).await.unwrap();
    let began = Instant::now();
    let failed = bench.cell.migrate(&space, &claim(1)).await;
    assert!(matches!(failed, Err(DataError::Exec { code: None, .. })), "{failed:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
    is_dead(&marker).await;
    assert_eq!(runs(&bench).await, [""; 0]);
    bench.clean().await;
}

/// A verb that is dropped leaves no process, and a login that the next run or the janitor removes.
#[tokio::test]
async fn a_cancelled_run_leaves_no_process_and_a_newer_claim_cuts_an_older_one_off() {
    let folder = Folder::new("");
    let options = Options { command: Duration::from_secs(20), ..Options::default() };
    let bench = Bench::on(server(), options).await;
    let marker = folder.0.join("alive");
    let slow =
        format!("(while true; do date > {}; sleep 0.05; done) & psql -c 'SELECT pg_sleep(15)'", marker.display());
    let app = folder.app(&bench, 1, &slow, None);
    let space = bench.space(&app, Isolation::Schema);
    bench.cell.create(&space, &claim(1)).await.unwrap();
    let old = claim(1);
    // Given up as soon as it writes.
    tokio::select! {
        done = bench.cell.migrate(&space, &old) => panic!("{done:?}"),
        () = async { while !marker.exists() { tokio::time::sleep(Duration::from_millis(20)).await } } => {}
    }
    is_dead(&marker).await;
    assert_eq!(runs(&bench).await.len(), 1);

    let quick = tenantry_dataplane::Space { app: folder.app(&bench, 1, "true", None), ..space.clone() };
    let new = claim(2);
    let began = Instant::now();
    let (cut, done) = tokio::join!(bench.cell.migrate(&space, &old), async {
        while runs(&bench).await.is_empty() || began.elapsed() < Duration::from_millis(500) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bench.cell.migrate(&quick, &new).await
    });
    done.unwrap();
    assert!(matches!(cut, Err(DataError::Exec { .. } | DataError::Fenced { .. })), "{cut:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(runs(&bench).await, [""; 0]);
    fenced(
        bench
            .cell
            .migrate(&tenantry_dataplane::Space { app: folder.app(&bench, 9, "true", None), ..space.clone() }, &old)
            .await,
    );
    bench.cell.set_gate(&quick, &claim(2), Gate::Open).await.unwrap();
    assert_eq!(bench.cell.observe(&quick).await.unwrap().findings, []);
    bench.clean().await;
}

#[tokio::test]
async fn the_janitor_removes_logins_whose_time_is_over() {
    let folder = Folder::new("");
    let bench = Bench::new().await;
    let app = folder.app(&bench, 1, "sleep 20", None);
    let space = bench.space(&app, Isolation::Database);
    bench.cell.create(&space, &claim(1)).await.unwrap();
    let turn = claim(1);
    tokio::select! {
        done = bench.cell.migrate(&space, &turn) => panic!("{done:?}"),
        () = async { while runs(&bench).await.is_empty() { tokio::time::sleep(Duration::from_millis(20)).await } } => {}
    }
    let run = runs(&bench).await;
    assert_eq!(run.len(), 1);
    assert_eq!(bench.cell.reap(&app).await.unwrap(), 0, "it may still be running");
    bench.run("postgres", &format!("ALTER ROLE {} VALID UNTIL '2020-01-01'", run[0])).await;
    assert_eq!(bench.cell.reap(&app).await.unwrap(), 1);
    assert_eq!(runs(&bench).await, [""; 0]);
    bench.clean().await;
}

/// The logins of commands that run, or were cut off.
async fn runs(bench: &Bench) -> Vec<String> {
    let sql = format!(
        "SELECT rolname::text FROM pg_roles WHERE shobj_description(oid, 'pg_authid') LIKE 'tenantry:{}:run:%'",
        bench.installation
    );
    bench.texts("postgres", &sql).await
}

async fn is_dead(marker: &std::path::Path) {
    let read = || std::fs::metadata(marker).unwrap().modified().unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = read();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(before, read(), "the command's child is still alive");
}
