//! Another configuration while the gateway runs: what changes at once, what waits for a restart, and what changes nothing.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{sleep, timeout};
use tokio_postgres::NoTls;

use crate::load::{Load, Pace};
use crate::program::{Ended, finish};
use crate::world::{CONSOLE, Gate, PATIENCE, Tenant, World, wait};

const SOON: Duration = Duration::from_secs(5);
const BAD: &str = "tenantry_gateway_config_differs{reason=\"unusable\"}";
const WAITS: &str = "tenantry_gateway_config_differs{reason=\"restart\"}";
const DONE: &str = "tenantry_gateway_reloads_total{outcome=\"done\"}";
const FAILED: &str = "tenantry_gateway_reloads_total{outcome=\"failed\"}";

/// A gateway with a file.
struct Live {
    world: World,
    gate: Gate,
    file: PathBuf,
}

impl Live {
    async fn new(each: usize, text: &str, more: &[&str]) -> Self {
        let world = World::new(1, each).await;
        let file = world.path("gateway.toml");
        std::fs::write(&file, text).unwrap();
        let path = file.display().to_string();
        let mut arguments = vec!["--config", path.as_str()];
        arguments.extend(more);
        let gate = world.gate("one", &arguments).await;
        Self { world, gate, file }
    }

    /// Writes the file as operators should: readers find the old or the new text.
    fn write(&self, text: &str) {
        let fresh = self.file.with_extension("new");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(fresh, &self.file).unwrap();
    }

    /// Says something in the console.
    async fn console(&self, sql: &str) -> Ended {
        let mut command = tokio::process::Command::new(self.world.cells[0].binaries().join("psql"));
        let url = format!("postgres://tenantry@127.0.0.1:{}/tenantry?sslmode=disable", self.gate.port);
        command.args(["-X", "-At", "-F", "|", &url, "-c", sql]).env("PGPASSWORD", CONSOLE).kill_on_drop(true);
        finish(command).await
    }

    /// Another text, and RELOAD in the console; gives its answer.
    async fn reload(&self, text: &str) -> String {
        self.write(text);
        let ended = self.console("RELOAD").await;
        assert_eq!(ended.code, 0, "{text}: {ended:?}");
        ended.out
    }

    async fn number(&self, name: &str) -> f64 {
        self.gate.numbers().await[name]
    }

    async fn client(&self, tenant: &Tenant) -> Result<tokio_postgres::Client, String> {
        let connected = self.gate.config(tenant).connect(NoTls).await;
        let (client, connection) =
            connected.map_err(|error| error.code().map_or("?", |code| code.code()).to_owned())?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Server sessions that there are.
    async fn sessions(&self) -> f64 {
        let numbers = self.gate.numbers().await;
        let ours = numbers.iter().filter(|(name, _)| name.starts_with("tenantry_gateway_server_sessions{"));
        ours.map(|(_, value)| value).sum()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounds_rise_and_fall_under_load_without_an_error() {
    let text = |server: usize, tenant: usize, wait: usize| {
        format!(
            "[gateway]\nserver_sessions = {server}\ntenant_sessions = {tenant}\nown_sessions = {tenant}\nclient_wait = \"{wait}s\"\n"
        )
    };
    let live = Live::new(2, &text(24, 4, 10), &["--workers", "2"]).await;
    let load = Load::start(&live.world, &[live.gate.port], Pace { clients: 4, ..Pace::default() }).await;
    for round in 0..4 {
        let answer = live.reload(&text(4, 1, 20)).await;
        for row in [
            "gateway.server_sessions|24|4|changed",
            "gateway.tenant_sessions|4|1|changed",
            "gateway.client_wait|10s|20s|changed",
        ] {
            assert!(answer.lines().any(|line| line == row), "round {round}: {row}: {answer}");
        }
        // Sessions that are too many are closed once their transaction is over, the unused ones at once.
        wait("it keeps to the lower bound", SOON, async || (live.sessions().await <= 4.0).then_some(())).await;
        sleep(Duration::from_millis(300)).await;
        assert!(live.sessions().await <= 4.0, "round {round}");
        live.reload(&text(24, 4, 10)).await;
        wait("it uses the higher bound", SOON, async || (live.sessions().await > 4.0).then_some(())).await;
    }
    assert_eq!(live.number(DONE).await, 8.0);
    let verdict = load.end(&live.world).await;
    eprintln!("gateway: bounds changed under load: {verdict}");
    let said = (verdict.refused, verdict.unknown, &verdict.errors, &verdict.ends, &verdict.closed_doors);
    assert!(verdict.acknowledged > 100, "{verdict}");
    assert!(verdict.refused == 0 && verdict.unknown == 0, "{said:?}");
    assert!(verdict.errors.is_empty() && verdict.ends.is_empty() && verdict.closed_doors.is_empty(), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_bounds_hold_for_what_comes_and_cut_nothing_that_is_there() {
    let live = Live::new(1, "[gateway]\nclients = 2\nstatement = \"60s\"\n", &[]).await;
    let tenant = live.world.tenant("shared-0-0").clone();
    let mut here = Vec::new();
    for _ in 0..2 {
        here.push(live.client(&tenant).await.unwrap());
    }
    assert_eq!(live.client(&tenant).await.err().as_deref(), Some("53300"));
    // By a signal as well as in the console.
    live.write("[gateway]\nclients = 3\nstatement = \"60s\"\n");
    live.gate.process.signal(Signal::HUP);
    wait("a third place", SOON, async || (live.number(DONE).await >= 1.0).then_some(())).await;
    here.push(live.client(&tenant).await.unwrap());

    // What runs goes on under the bound that it began with, and so does who is there.
    let long = tokio::spawn({
        let client = here.pop().unwrap();
        async move {
            let done = client.batch_execute("SELECT pg_sleep(4)").await;
            (client, done)
        }
    });
    sleep(Duration::from_millis(500)).await;
    let answer = live.reload("[gateway]\nclients = 1\nstatement = \"1s\"\n").await;
    assert_eq!(answer.trim(), "gateway.clients|3|1|changed\ngateway.statement|1m|1s|changed");
    for client in &here {
        client.batch_execute("SELECT count(*) FROM note").await.unwrap();
    }
    assert_eq!(live.client(&tenant).await.err().as_deref(), Some("53300"));
    sleep(Duration::from_millis(500)).await;
    let error = timeout(PATIENCE, here[0].batch_execute("SELECT pg_sleep(20)")).await.unwrap().unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57014", "{error:?}");
    let (client, done) = timeout(PATIENCE, long).await.unwrap().unwrap();
    assert!(done.is_ok(), "a statement in hand was cut: {done:?}");
    let error = timeout(PATIENCE, client.batch_execute("SELECT pg_sleep(20)")).await.unwrap().unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57014", "{error:?}");
    drop((client, here));
    wait("a place again", SOON, async || live.client(&tenant).await.ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_changes_nothing_and_what_cannot_change_waits() {
    let good = "[gateway]\nclients = 5\n";
    let live = Live::new(1, good, &["--own-sessions", "3"]).await;
    let config = async || live.console("SHOW CONFIG").await.out;
    assert!(config().await.lines().any(|line| line == "gateway.clients|5|file|yes|"), "{}", config().await);
    assert!(config().await.lines().any(|line| line == "gateway.own_sessions|3|start|yes|"));
    assert!(config().await.lines().any(|line| line == "gateway.statement|5m|default|yes|"));
    assert!(!config().await.contains(live.world.control.password()), "the URL's password is nobody's");

    for (text, part) in [
        ("[gateway]\nclients = 9\nstatement = \"soon\"\n", "line 3"),
        ("[gateway]\nclients = 9\nstatement = \"0s\"\n", "gateway.statement"),
        ("[gateway]\nclients = 9\nclient = 1\n", "client"),
        ("[gateway\n", "cannot be used: line"),
    ] {
        live.write(text);
        let ended = live.console("RELOAD").await;
        assert!(
            ended.code == 1 && ended.err.contains("nothing was reloaded") && ended.err.contains(part),
            "{text}: {ended:?}"
        );
        assert!(config().await.lines().any(|line| line == "gateway.clients|5|file|yes|"), "{text}");
        assert_eq!((live.number(BAD).await, live.number(WAITS).await), (1.0, 0.0), "{text}");
    }
    assert_eq!(live.number(FAILED).await, 4.0);
    assert!(live.gate.process.log().contains("nothing was reloaded"), "{}", live.gate.process.log());
    assert!(config().await.contains("the last reload failed|"), "{}", config().await);
    // A flag beats the file: nothing differs.
    assert_eq!(live.reload("[gateway]\nclients = 5\nown_sessions = 7\n").await.trim(), "");
    assert_eq!((live.number(BAD).await, live.number(WAITS).await), (0.0, 0.0));

    let answer = live.reload("[gateway]\nclients = 6\nworkers = 4\n").await;
    assert_eq!(answer.trim(), "gateway.workers|2|4|waits for a restart\ngateway.clients|5|6|changed");
    assert_eq!(live.number(WAITS).await, 1.0);
    assert!(config().await.lines().any(|line| line == "gateway.workers|2|default|no|4"), "{}", config().await);
    live.reload(good).await;
    assert_eq!(live.number(WAITS).await, 0.0);

    // Two at once, from the console and by a signal: each is whole.
    let before = live.number(DONE).await;
    live.write("[gateway]\nclients = 7\n");
    live.gate.process.signal(Signal::HUP);
    let (one, two) = tokio::join!(live.console("RELOAD"), live.console("RELOAD"));
    assert_eq!((one.code, two.code), (0, 0), "{one:?} {two:?}");
    wait("three reloads", SOON, async || (live.number(DONE).await >= before + 3.0).then_some(())).await;
    assert!(config().await.lines().any(|line| line == "gateway.clients|7|file|yes|"));
    live.client(&live.world.tenants[0]).await.unwrap().batch_execute("SELECT count(*) FROM note").await.unwrap();
}

/// Logs in from an address of this machine; gives the code of the refusal.
async fn from(address: &str, config: &tokio_postgres::Config, port: u16) -> Option<String> {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    let stream = socket.connect(format!("127.0.0.1:{port}").parse().unwrap()).await.unwrap();
    let connected = config.connect_raw(stream, NoTls).await;
    connected.err().map(|error| error.code().map_or("?", |code| code.code()).to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_fails_too_often_keeps_nobody_else_out() {
    let live = Live::new(1, "[gateway]\nfailures = 3\n", &[]).await;
    let right = live.gate.config(&live.world.tenants[0]);
    let mut wrong = right.clone();
    wrong.password("guessed");
    let port = live.gate.port;
    for _ in 0..3 {
        assert_eq!(from("127.0.0.2", &wrong, port).await.as_deref(), Some("28P01"));
    }
    // Unheard, even with the right password; the tenant's own application is not.
    assert_eq!(from("127.0.0.2", &right, port).await.as_deref(), Some("53300"));
    assert_eq!(from("127.0.0.3", &right, port).await, None);
    // A higher bound: what it has used up is a part of that as well, and the rest of it comes back sooner.
    assert_eq!(live.reload("[gateway]\nfailures = 60\n").await.trim(), "gateway.failures|3|60|changed");
    wait("it is heard again", SOON, async || from("127.0.0.2", &right, port).await.is_none().then_some(())).await;
}
