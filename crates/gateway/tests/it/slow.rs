//! Clients and servers that are slow, deaf, or gone without a word: what they hold is free again in bounded time, memory
//! stays bounded, and others do not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tenantry_domain::isolation::Isolation;
use tenantry_gateway::{Doing, Settings};
use tenantry_testkit::pg::server as postgres;
use tenantry_wire::{client, server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::raw::{Raw, client_of, code, eventually, keep_log, logged, message, resident, sessions, tags, value};
use crate::world::{WAIT, World};

const MIB: usize = 1024;
/// PostgreSQL does not hear a cancel request while it waits for a client, so this is how long the gateway gives it.
const STUCK: Duration = Duration::from_secs(10);

async fn world(settings: Settings) -> World {
    keep_log();
    let levels = [(Isolation::Shared, 2), (Isolation::Schema, 1)];
    World::new(&postgres().url("postgres"), &levels, settings, None).await
}

fn port(world: &World) -> u16 {
    world.gateway().address().port()
}

/// A neighbour is served while `of` goes on.
async fn others_go_on(world: &World, of: &str) {
    let mut other = client_of(port(world), &world.tenants[1]).await;
    for _ in 0..10 {
        let began = Instant::now();
        assert_eq!(value(&other.query("SELECT count(*) FROM note").await).as_deref(), Some("0"));
        assert!(began.elapsed() < Duration::from_secs(1), "a neighbour of {of} waits");
    }
}

/// A client whose socket takes little.
async fn deaf(world: &World, tenant: usize) -> Raw {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(world.gateway().address()).await.unwrap();
    let tenant = &world.tenants[tenant];
    Raw::over(stream).log_in(0, &tenant.slug.replace('-', "_"), &tenant.slug).await
}

async fn is_free(world: &World, tenant: usize, limit: Duration) {
    let what = format!("the server session of {} is free", world.tenants[tenant].slug);
    eventually(&what, limit, async || sessions(world, &world.tenants[tenant], "state <> 'idle'").await == 0).await;
    let role = &world.tenants[tenant].role;
    let used = async || {
        let pools = world.gateway().view().await.pools;
        pools.iter().filter(|pool| pool.user == *role).map(|pool| pool.counts.used).sum::<usize>()
    };
    eventually("no place in a pool is taken", limit, async || used().await == 0).await;
}

#[tokio::test]
async fn the_whole_login_has_one_deadline() {
    let settings = Settings { login: Duration::from_millis(800), ..Settings::default() };
    let world = world(settings).await;
    let mut start = BytesMut::new();
    client::put_start(&mut start, 0, &[("user", "shared_0"), ("database", "shared-0")]);
    let mut first = BytesMut::new();
    client::put_sasl_initial(&mut first, b"SCRAM-SHA-256", b"n,,n=,r=abcdefghijklmnopqrstuvwxyz");
    // One byte in 50 ms: the start is not finished in time, or the proof is not, or nothing is said at all.
    for (at_once, slowly) in [(&b""[..], &b""[..]), (b"", &start), (&start, &first), (&start[..20], &start[20..])] {
        let began = Instant::now();
        let mut raw = Raw::connect(port(&world)).await;
        raw.send(at_once).await;
        for byte in slowly {
            sleep(Duration::from_millis(50)).await;
            if !raw.send(&[*byte]).await {
                break;
            }
        }
        let heard = raw.until(server::ERROR).await;
        assert_eq!(code(&heard), "57014", "{}", tags(&heard));
        assert_eq!(raw.rest(WAIT).await, Some(Vec::new()));
        let took = began.elapsed();
        // A client that sends on notices late that nobody listens.
        assert!(took > Duration::from_millis(750) && took < Duration::from_secs(4), "{took:?}");
    }
    // Slow is no reason: who is done in time is let in.
    let mut raw = Raw::connect(port(&world)).await;
    for byte in &start {
        raw.send(&[*byte]).await;
        sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(tags(&raw.until(server::AUTH).await), "R");
    others_go_on(&world, "slow logins").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_wait_at_the_server_for_a_client_that_does_not_read() {
    let world = world(Settings { statement: Duration::from_secs(2), ..Settings::default() }).await;
    let before = resident();
    let began = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..4 {
        let mut raw = deaf(&world, 0).await;
        let offer = b"SELECT repeat('x', 1000) FROM generate_series(1, 500000)";
        raw.say(|out| client::put_query(out, offer)).await;
        silent.push(raw);
    }
    eventually("they run", WAIT, async || sessions(&world, &world.tenants[0], "state = 'active'").await == 4).await;
    let mut most = 0;
    for _ in 0..20 {
        others_go_on(&world, "clients that do not read").await;
        most = most.max(resident());
    }
    println!("four times 500 MB are offered: at most {} KiB more", most.saturating_sub(before));
    assert!(most < before + 16 * MIB);
    // One that reads after all gets everything that comes before its time is over.
    let mut late = silent.pop().unwrap();
    assert_eq!(late.hear().await.map(|one| one.tag), Some(b'T'));
    // The statement's time, and what the gateway gives a server that does not hear.
    is_free(&world, 0, STUCK + Duration::from_secs(6)).await;
    println!("free again after {:?}", began.elapsed());
    is_logged("shared_0", "Stuck", 3).await;
    assert!(world.gateway().view().await.sessions.iter().all(|session| session.login != "shared_0"));
    others_go_on(&world, "clients that did not read").await;
}

/// The log says whose session ended and why, once a short farewell is over.
async fn is_logged(login: &str, why: &str, times: usize) {
    let what = format!("the log has {why} of {login}");
    eventually(&what, Duration::from_secs(2), async || logged(&["session ended", login, why]) >= times).await;
}

/// A table that a COPY may fill: PostgreSQL refuses it where there is row-level security.
async fn open_table(world: &World, tenant: usize) {
    let tenant = &world.tenants[tenant];
    let (schema, role) = (&tenant.schema, &tenant.role);
    let make = format!("CREATE TABLE {schema}.heap (body text); GRANT SELECT, INSERT ON {schema}.heap TO {role}");
    world.by_hand(&tenant.database, &make).await;
}

/// A client that goes without goodbye: its connection is reset.
fn reset(raw: TcpStream) {
    socket2::SockRef::from(&raw).set_linger(Some(Duration::ZERO)).unwrap();
    drop(raw);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_gone_leaves_nothing_behind() {
    let world = world(Settings::default()).await;
    open_table(&world, 2).await;
    let slow = "SELECT repeat('x', 1000) FROM generate_series(1, 500000)";
    let cases: [(&str, &[&str], usize); 7] = [
        ("in a transaction", &["BEGIN", "INSERT INTO note (body) VALUES ('gone')"], 0),
        ("in a failed transaction", &["BEGIN", "SELECT 1/0"], 0),
        ("in a statement", &["SELECT pg_sleep(60)"], 0),
        ("in a result", &[slow], 0),
        ("in a COPY to it", &["COPY (SELECT repeat('x', 1000) FROM generate_series(1, 500000)) TO STDOUT"], 0),
        ("in a COPY from it", &["COPY heap FROM STDIN"], 2),
        ("in a COPY from it, inside of a transaction", &["BEGIN", "COPY heap FROM STDIN"], 2),
    ];
    for (what, statements, tenant) in cases {
        for is_polite in [true, false] {
            let mut dialled = TcpStream::connect(world.gateway().address()).await.unwrap();
            // The raw client borrows the socket, which is closed in its own way afterwards.
            let (mine, theirs) = tokio::io::duplex(1 << 20);
            let user = world.tenants[tenant].slug.replace('-', "_");
            let stop = Arc::new(tokio::sync::Notify::new());
            let stopped = Arc::clone(&stop);
            let pump = tokio::spawn(async move {
                let mut theirs = theirs;
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut theirs, &mut dialled) => {}
                    () = stopped.notified() => {}
                }
                dialled
            });
            let mut raw = Raw::over(mine).log_in(0, &user, &world.tenants[tenant].slug).await;
            for (number, statement) in statements.iter().enumerate() {
                if number + 1 < statements.len() || statement.starts_with("INSERT") {
                    raw.query(statement).await;
                } else {
                    raw.say(|out| client::put_query(out, statement.as_bytes())).await;
                    if statement.ends_with("STDIN") {
                        assert_eq!(tags(&raw.until(b'G').await), "G");
                        raw.send(&message(b'd', b"half a li")).await;
                    }
                    sleep(Duration::from_millis(100)).await;
                }
            }
            stop.notify_one();
            let socket = pump.await.unwrap();
            match is_polite {
                true => drop(socket),
                false => reset(socket),
            }
            is_free(&world, tenant, Duration::from_secs(5)).await;
            println!("{what}: free");
        }
        others_go_on(&world, what).await;
    }
    for tenant in &world.tenants {
        assert_eq!(
            value(&client_of(port(&world), tenant).await.query("SELECT count(*) FROM note").await).unwrap(),
            "0"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_falls_silent_is_not_waited_for() {
    let short = Duration::from_secs(1);
    let world = world(Settings { idle_in_transaction: short, statement: short, ..Settings::default() }).await;
    open_table(&world, 2).await;
    let began = Instant::now();
    let mut idle = client_of(port(&world), &world.tenants[0]).await;
    idle.query("BEGIN").await;
    idle.query("SELECT 1 FROM note").await;
    let mut half = client_of(port(&world), &world.tenants[0]).await;
    // A pipeline without its Sync holds a session as much as a transaction does.
    half.say(|out| {
        client::put_parse(out, b"", b"SELECT 1 FROM note", &[]);
        client::put_bind(out, b"", b"");
        client::put_execute(out, b"");
        client::put_flush(out);
    })
    .await;
    let mut copy = client_of(port(&world), &world.tenants[2]).await;
    copy.query("BEGIN").await;
    copy.say(|out| client::put_query(out, b"COPY heap FROM STDIN")).await;
    assert_eq!(tags(&copy.until(b'G').await), "G");
    copy.send(&message(b'd', b"half a li")).await;
    for raw in [&mut idle, &mut half] {
        let heard = raw.until(0).await;
        assert_eq!(code(&heard), "25P03", "{}", tags(&heard));
    }
    is_free(&world, 0, Duration::from_secs(2)).await;
    println!("idle in a transaction: free after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5));
    is_logged("shared_0", "IdleInTransaction", 2).await;
    let heard = copy.until(0).await;
    assert_eq!(code(&heard), "57014", "{}", tags(&heard));
    is_free(&world, 2, Duration::from_secs(2)).await;
    println!("silent in a COPY: free after {:?}", began.elapsed());
    assert!(began.elapsed() < short + STUCK + Duration::from_secs(3));
    is_logged("schema_0", "Stuck", 1).await;
}

/// Passes connections on, until it is told to keep those that it has without passing anything, or to take new ones the same
/// way: a network that swallows what it is given.
struct Hole {
    port: u16,
    is_frozen: tokio::sync::watch::Sender<u32>,
    is_dead: Arc<AtomicBool>,
}

impl Hole {
    async fn before(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (is_frozen, watch) = tokio::sync::watch::channel(0);
        let is_dead = Arc::new(AtomicBool::new(false));
        let dead = Arc::clone(&is_dead);
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut watch = watch.clone();
                let is_dead = dead.load(Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                    watch.mark_unchanged();
                    if !is_dead {
                        tokio::select! {
                            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                            _ = watch.changed() => {}
                        }
                    }
                    // Open, and silent, until the gateway has had enough of it; then the server hears of that.
                    let mut scrap = [0; 1 << 14];
                    while let Ok(1..) = near.read(&mut scrap).await {}
                    let _ = far.shutdown().await;
                });
            }
        });
        Self { port, is_frozen, is_dead }
    }

    fn freeze(&self) {
        self.is_frozen.send_modify(|times| *times += 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_is_given_up() {
    keep_log();
    let real = postgres();
    let hole = Hole::before(real.port()).await;
    let url = real.url("postgres").replace(&format!(":{}", real.port()), &format!(":{}", hole.port));
    let mut settings = Settings { statement: Duration::from_secs(1), ..Settings::default() };
    settings.pool.connect = Duration::from_secs(1);
    settings.pool.wait = Duration::from_secs(2);
    let world = World::new(&url, &[(Isolation::Shared, 1), (Isolation::Schema, 1)], settings, None).await;
    let mut raw = client_of(port(&world), &world.tenants[0]).await;
    assert_eq!(value(&raw.query("SELECT count(*) FROM note").await).as_deref(), Some("0"));
    // In the middle of a statement, the network between gateway and server swallows everything.
    raw.say(|out| client::put_query(out, b"SELECT pg_sleep(0.5)")).await;
    sleep(Duration::from_millis(100)).await;
    hole.freeze();
    let began = Instant::now();
    let heard = timeout(WAIT, raw.until(0)).await.unwrap();
    println!("the client hears of it after {:?}", began.elapsed());
    assert_eq!(code(&heard), "57014", "{}", tags(&heard));
    assert!(began.elapsed() < STUCK + Duration::from_secs(4));
    is_logged("shared_0", "Stuck", 1).await;
    assert!(world.gateway().view().await.sessions.iter().all(|session| session.doing != Doing::Running));
    // A new connection to the server works, and is what the next client gets.
    let mut next = client_of(port(&world), &world.tenants[0]).await;
    assert_eq!(value(&next.query("SELECT count(*) FROM note").await).as_deref(), Some("0"));
    // A server that takes connections and says nothing.
    hole.is_dead.store(true, Ordering::SeqCst);
    let began = Instant::now();
    let error = Raw::connect(port(&world)).await.try_log_in(0, "schema_0", "schema-0").await.err().unwrap();
    assert!(error.starts_with("57P03"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    hole.is_dead.store(false, Ordering::SeqCst);
    let mut back = client_of(port(&world), &world.tenants[1]).await;
    assert_eq!(value(&back.query("SELECT count(*) FROM note").await).as_deref(), Some("0"));
}
