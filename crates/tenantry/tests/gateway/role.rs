//! The role itself: what it asks for before it starts, what it shows while it runs, and how it ends.

use std::path::Path;
use std::process::Command as Program;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tenantry_testkit::process::{Ending, steady_port};
use tokio_postgres::NoTls;

use crate::program::{Ended, Home, finish};
use crate::world::{CONSOLE, Gate, PATIENCE, World, get, wait};

const SOON: Duration = Duration::from_secs(2);

/// A certificate and its key, new each time.
fn certificate(folder: &Path, name: &str) {
    let text = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3 -subj /CN=localhost";
    let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    let made = Program::new("openssl")
        .args(text.split(' '))
        .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.crt"), "-addext", names])
        .current_dir(folder)
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test]
async fn it_says_what_it_lacks() {
    let home = Home::new();
    let server = tenantry_testkit::pg::server();
    let database = server.database();
    assert_eq!(home.run(&["secret", "root-key", "--output-file", "root.key"]).await.code, 0);
    for (file, text) in [("short", "short"), ("wrong.crt", "nothing"), ("wrong.key", "nothing")] {
        std::fs::write(home.path(file), text).unwrap();
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let nobody = format!("postgres://a:b@127.0.0.1:{}/none?sslmode=disable", steady_port());
    let run = async |url: Option<&str>, arguments: &[&str]| -> Ended {
        let mut all = vec!["gateway", "--listen", "127.0.0.1:0", "--status-listen", "127.0.0.1:0"];
        all.extend(arguments);
        let mut command = home.command(&all);
        command.env("TENANTRY_ROOT_KEY_FILE", home.path("root.key"));
        if let Some(url) = url {
            command.env("TENANTRY_DATABASE_URL", url);
        }
        finish(command).await
    };
    let own = database.url();
    let cases: [(Option<&str>, &[&str], i32, &str); 10] = [
        (Some(&own), &[], 2, "--allow-plain"),
        (Some(&own), &["--tls-cert", "wrong.crt"], 2, "--tls-key"),
        (Some(&own), &["--tls-cert", "wrong.crt", "--tls-key", "wrong.key"], 2, "as PEM"),
        (Some(&own), &["--tls-cert", "none.crt", "--tls-key", "none.key"], 2, "none.crt"),
        (None, &["--allow-plain"], 2, "TENANTRY_DATABASE_URL"),
        (Some(&own), &["--allow-plain", "--admin-password-file", "short"], 2, "openssl rand"),
        (Some(&own), &["--allow-plain", "--workers", "0"], 2, "--workers"),
        (Some(&own), &["--allow-plain"], 7, "tenantry migrate"),
        (Some(&nobody), &["--allow-plain"], 7, "--routes-file"),
        (Some(&nobody), &["--allow-plain", "--routes-file", "none"], 7, "TENANTRY_DATABASE_URL"),
    ];
    for (url, arguments, code, part) in cases {
        let ended = run(url, arguments).await;
        assert!(ended.code == code && ended.err.contains(part), "{arguments:?}: {code}, {part}: {ended:?}");
    }
    let mut command = home.command(&["gateway", "--allow-plain", "--listen", &taken]);
    command.env("TENANTRY_ROOT_KEY_FILE", home.path("root.key")).env("TENANTRY_DATABASE_URL", &own);
    let ended = finish(command).await;
    assert!(ended.code != 0 && ended.err.contains(&taken) && ended.err.contains("--listen"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_shows_how_it_is() {
    let world = World::new(1, 2).await;
    let gate = world.gate("one", &["--workers", "1", "--tenants-counted", "3"]).await;
    assert_eq!(get(gate.status, "/livez").await, Some((200, "alive\n".to_owned())));
    assert_eq!(get(gate.status, "/readyz").await, Some((200, "ready\n".to_owned())));
    assert_eq!(get(gate.status, "/nothing").await.unwrap().0, 404);

    // Counters move, and no more tenants have a name than were asked for.
    let before = gate.numbers().await;
    let mut clients = Vec::new();
    for tenant in &world.tenants {
        let (client, connection) = gate.config(tenant).connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..5 {
            client.batch_execute("SELECT count(*) FROM note").await.unwrap();
        }
        clients.push(client);
    }
    let mut wrong = gate.config(&world.tenants[0]);
    let refused = wrong.password("wrong").connect(NoTls).await.err().unwrap();
    assert_eq!(refused.code().unwrap().code(), "28P01");
    let after = gate.numbers().await;
    let moved = |name: &str| after[name] - before.get(name).copied().unwrap_or_default();
    let count = f64::from(u32::try_from(world.tenants.len()).unwrap());
    assert_eq!(moved("tenantry_gateway_sessions_total"), count);
    assert_eq!(after["tenantry_gateway_clients{state=\"idle\"}"], count);
    assert_eq!(moved("tenantry_gateway_transaction_seconds_count"), 5.0 * count);
    assert_eq!(moved("tenantry_gateway_transaction_seconds_bucket{le=\"+Inf\"}"), 5.0 * count);
    assert_eq!(moved("tenantry_gateway_logins_refused_total{reason=\"wrong_credential\"}"), 1.0);
    assert_eq!(after["tenantry_gateway_table_tenants"], count);
    assert!(after["tenantry_gateway_table_age_seconds"] < 5.0, "{after:?}");
    let transactions: Vec<_> =
        after.iter().filter(|(name, _)| name.starts_with("tenantry_gateway_tenant_transactions_total{")).collect();
    assert_eq!(transactions.iter().map(|(_, value)| **value).sum::<f64>(), 5.0 * count);
    assert_eq!(transactions.len(), 4, "three by name, and the others: {transactions:?}");

    let psql = async |user: &str, password: &str, sql: &str| -> Ended {
        let mut command = tokio::process::Command::new(world.cells[0].binaries().join("psql"));
        let url = format!("postgres://{user}@127.0.0.1:{}/tenantry?sslmode=disable", gate.port);
        command.args(["-X", "-At", "-F", "|", &url, "-c", sql]).env("PGPASSWORD", password).kill_on_drop(true);
        finish(command).await
    };
    let sessions = psql("tenantry", CONSOLE, "SHOW SESSIONS").await;
    assert_eq!(sessions.code, 0, "{sessions:?}");
    let rows: Vec<Vec<&str>> = sessions.out.lines().map(|line| line.split('|').collect()).collect();
    assert_eq!(rows.len(), world.tenants.len(), "{rows:?}");
    for tenant in &world.tenants {
        let row = rows.iter().find(|row| row[2] == tenant.login()).unwrap();
        assert_eq!((row[1], row[4], row[5], row[8]), (&*format!("prod/{}", tenant.slug), "no", "idle", "5"), "{row:?}");
    }
    let wrong = psql("tenantry", "another password, as long", "SHOW SESSIONS").await;
    assert!(wrong.code == 2 && wrong.err.contains("password authentication failed"), "{wrong:?}");
    let wrong = psql("tenantry", CONSOLE, "SELECT 1").await;
    assert!(wrong.code == 1 && wrong.err.contains("SHOW HELP"), "{wrong:?}");
    // Ended from the console: this one and no other.
    let killed = psql("tenantry", CONSOLE, &format!("KILL {}", rows[0][0])).await;
    assert_eq!(killed.code, 0, "{killed:?}");
    wait("it is ended", SOON, async || (clients.iter().filter(|client| client.is_closed()).count() == 1).then_some(()))
        .await;
}

/// The certificate that a gateway shows, in one line.
async fn shown(gate: &Gate) -> String {
    let address = format!("127.0.0.1:{}", gate.port);
    let mut command = tokio::process::Command::new("openssl");
    command.args(["s_client", "-starttls", "postgres", "-connect", &address]).stdin(std::process::Stdio::null());
    let ended = finish(command).await;
    let begin = ended.out.find("-----BEGIN CERTIFICATE").unwrap_or_else(|| panic!("no certificate: {ended:?}"));
    ended.out[begin..].split("-----END").next().unwrap().lines().skip(1).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_read_and_a_bad_one_is_not() {
    let world = World::new(1, 1).await;
    certificate(&world.path("."), "server");
    let file = |name: &str| world.path(name).display().to_string();
    let gate = world.gate("one", &["--tls-cert", &file("server.crt"), "--tls-key", &file("server.key")]).await;
    let in_file = || {
        let text = std::fs::read_to_string(world.path("server.crt")).unwrap();
        text.lines().filter(|line| !line.starts_with("---")).collect::<String>()
    };
    let first = shown(&gate).await;
    assert_eq!(first, in_file());
    let tenant = &world.tenants[0];
    let (client, connection) = gate.config(tenant).connect(NoTls).await.unwrap();
    tokio::spawn(connection);

    certificate(&world.path("."), "server");
    gate.process.signal(Signal::HUP);
    wait("it is read", SOON, async || (shown(&gate).await == in_file()).then_some(())).await;
    let second = shown(&gate).await;
    assert_ne!(first, second);

    std::fs::write(world.path("server.crt"), "nothing").unwrap();
    gate.process.signal(Signal::HUP);
    let told = async || gate.process.log().contains("certificate and key stay as they were").then_some(());
    wait("it is told", SOON, told).await;
    assert_eq!(shown(&gate).await, second, "the old one stays");
    // It serves, and whoever was there noticed nothing.
    let psql = world.cells[0].binaries().join("psql");
    let mut command = tokio::process::Command::new(psql);
    let url = format!("postgres://{}@localhost:{}/{}?sslmode=require", tenant.login(), gate.port, tenant.slug);
    command.args(["-X", "-At", &url, "-c", "SELECT count(*) FROM note"]).env("PGPASSWORD", &tenant.password);
    let ended = finish(command).await;
    assert_eq!((ended.code, ended.out.trim()), (0, "0"), "{ended:?}");
    client.batch_execute("SELECT count(*) FROM note").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_leaves_when_the_last_transaction_is_over() {
    let world = World::new(1, 1).await;
    let (mut one, two) = (world.gate("one", &[]).await, world.gate("two", &[]).await);
    let tenant = world.tenant("schema-0-0");
    let (idle, connection) = one.config(tenant).connect(NoTls).await.unwrap();
    let idle_ended = tokio::spawn(connection);
    idle.batch_execute("SELECT count(*) FROM note").await.unwrap();
    let (busy, connection) = one.config(tenant).connect(NoTls).await.unwrap();
    let busy_ended = tokio::spawn(connection);
    let insert =
        |part: i32| format!("INSERT INTO note (owner, client, n, part) VALUES ('{}', 0, 0, {part})", tenant.slug);
    busy.batch_execute(&format!("BEGIN; {}", insert(0))).await.unwrap();

    let began = Instant::now();
    one.process.signal(Signal::TERM);
    let error = tokio::time::timeout(PATIENCE, idle_ended).await.unwrap().unwrap().unwrap_err();
    let told = began.elapsed();
    let error = error.as_db_error().unwrap();
    assert_eq!((error.code().code(), error.hint()), ("57P01", Some("Connect again.")), "{error:?}");
    assert!(told < Duration::from_secs(2), "an idle client was told after {} ms", told.as_millis());
    // Balancers see that it leaves, while somebody is still there.
    assert_eq!(get(one.status, "/readyz").await, Some((503, "stopping\n".to_owned())));
    assert_eq!(get(one.status, "/livez").await.unwrap().0, 200);
    assert_eq!(one.numbers().await["tenantry_gateway_clients{state=\"in_transaction\"}"], 1.0);
    assert!(one.config(tenant).connect(NoTls).await.is_err(), "nobody is let in any more");
    assert_eq!(one.process.has_ended(), None);
    busy.batch_execute(&insert(1)).await.unwrap();
    busy.batch_execute("COMMIT").await.unwrap();
    let committed = Instant::now();
    let error = tokio::time::timeout(PATIENCE, busy_ended).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57P01");
    assert_eq!(one.process.ended(PATIENCE).await, Some(Ending::Exit(0)));
    let left = committed.elapsed();
    // The same connection string leads to the other one.
    let (client, connection) = crate::world::config(&[one.port, two.port], tenant).connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let count: i64 = client.query_one("SELECT count(*) FROM note", &[]).await.unwrap().get(0);
    assert_eq!(count, 2, "what was committed while it stopped is there");
    eprintln!(
        "gateway: SIGTERM: an idle client was told after {} ms; it was gone {} ms after the last commit",
        told.as_millis(),
        left.as_millis()
    );
    assert!(left < Duration::from_secs(3), "it was gone {} ms after the last commit", left.as_millis());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_does_not_end_a_transaction_is_ended() {
    let world = World::new(1, 1).await;
    let mut gate = world.gate("one", &["--drain", "1s"]).await;
    let (client, connection) = gate.config(&world.tenants[0]).connect(NoTls).await.unwrap();
    let ended = tokio::spawn(connection);
    client.batch_execute("BEGIN; SELECT count(*) FROM note").await.unwrap();
    let took = gate.stop().await;
    let error = tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57P01");
    assert!((1.0..4.0).contains(&took.as_secs_f64()), "{} ms", took.as_millis());
}
