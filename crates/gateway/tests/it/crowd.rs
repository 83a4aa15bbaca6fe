//! Very many clients: those that are idle cost little, and those that never log in cost the others nothing.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tenantry_domain::isolation::Isolation;
use tenantry_gateway::Settings;
use tenantry_testkit::pg::server as postgres;
use tenantry_wire::client;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::raw::{Raw, client_of, code, eventually, resident, sessions, value};
use crate::world::{WAIT, World};

/// What one idle client may cost in KiB, its own side in this process included.
const IDLE: f64 = 16.0;
/// Files that are open anyway.
const OTHERS: usize = 500;

/// Raises the soft limit of open files to the hard one, which it gives.
fn open_files() -> usize {
    let pid = std::process::id().to_string();
    let limit = |arguments: &[&str]| {
        let output = Command::new("prlimit").args(["--pid", &pid]).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let hard = limit(&["--nofile", "--noheadings", "--raw", "--output", "HARD"]);
    limit(&[&format!("--nofile={hard}:")]);
    hard.parse().unwrap_or(usize::MAX)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_clients_cost_little() {
    // A client and its session are a file each in this process.
    let count = (open_files().saturating_sub(OTHERS) / 2).min(5_000);
    let settings = Settings { clients: count + 10, workers: 2, ..Settings::default() };
    let world = World::new(&postgres().url("postgres"), &[(Isolation::Shared, 10)], settings, None).await;
    let port = world.gateway().address().port();
    for tenant in &world.tenants {
        client_of(port, tenant).await.query("SELECT 1 FROM note").await;
    }
    let (before, began) = (resident(), Instant::now());
    let turns = Arc::new(Semaphore::new(64));
    let logins = (0..count).map(|number| {
        let (turns, tenant) = (Arc::clone(&turns), &world.tenants[number % world.tenants.len()]);
        async move {
            let _turn = turns.acquire().await.unwrap();
            client_of(port, tenant).await
        }
    });
    let mut clients = join_all(logins).await;
    let took = began.elapsed();
    eventually("all of them have a session", WAIT, async || world.gateway().view().await.sessions.len() == count).await;
    let each = (resident() - before) as f64 / count as f64;
    println!("{count} idle clients, {each:.1} KiB each with both ends, logged in within {took:?}");
    assert!(each <= IDLE, "{each} KiB");
    // Each of them is served, and one more.
    for client in clients.iter_mut().step_by(97) {
        assert_eq!(value(&client.query("SELECT count(*) FROM note").await).as_deref(), Some("0"));
    }
    let began = Instant::now();
    let mut more = client_of(port, &world.tenants[0]).await;
    assert_eq!(value(&more.query("SELECT count(*) FROM note").await).as_deref(), Some("0"));
    assert!(began.elapsed() < Duration::from_secs(5));
    let pools = world.gateway().view().await.pools;
    let open: usize = pools.iter().map(|pool| pool.counts.used + pool.counts.idle).sum();
    assert!(open <= 20, "{open} server sessions for {count} idle clients");
    drop((clients, more));
    eventually("all of them are gone", WAIT, async || world.gateway().view().await.sessions.is_empty()).await;
    let left = resident().saturating_sub(before);
    println!("{left} KiB are left of them");
}

/// What a connection that never says anything has heard by now.
async fn is_out(raw: &mut Raw) -> bool {
    match tokio::time::timeout(Duration::ZERO, raw.hear()).await {
        Ok(Some(heard)) => code(&[heard]) == "53300",
        Ok(None) => true,
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_crowd_locks_nobody_out() {
    open_files();
    const PLACES: usize = 100;
    let settings = Settings { clients: PLACES, login: Duration::from_secs(60), ..Settings::default() };
    let world = World::new(&postgres().url("postgres"), &[(Isolation::Shared, 2)], settings, None).await;
    let port = world.gateway().address().port();
    let mut here = client_of(port, &world.tenants[0]).await;
    let before = resident();
    let mut crowd = Vec::new();
    for number in 0..PLACES * 5 {
        let mut raw = Raw::connect(port).await;
        if number % 2 == 0 {
            // Half of them begin, and stop in the middle.
            raw.say(|out| client::put_start(out, 0, &[("user", "shared_0")])).await;
        }
        crowd.push(raw);
    }
    println!("{} silent connections: {} KiB more", crowd.len(), resident().saturating_sub(before));
    // Who is here is served.
    assert_eq!(value(&here.query("SELECT count(*) FROM note").await).as_deref(), Some("0"));
    // Others come in at once, one after the other and together, as long as they are clients at all.
    let mut clients = Vec::new();
    for number in 0..20 {
        let began = Instant::now();
        let raw = Raw::connect_from([127, 0, 0, 2 + number % 3], port).await;
        clients.push(raw.log_in(0, "shared_1", "shared-1").await);
        // Whoever had to wait for the crowd would wait for two seconds.
        assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    }
    let together = (0..20).map(|number| async move {
        let raw = Raw::connect_from([127, 0, 0, 2 + number % 3], port).await;
        raw.log_in(0, "shared_1", "shared-1").await
    });
    clients.extend(join_all(together).await);
    for client in &mut clients {
        assert_eq!(value(&client.query("SELECT count(*) FROM note").await).as_deref(), Some("0"));
    }
    // From the crowd's own address as well, as soon as the crowd had time enough to log in.
    let began = Instant::now();
    loop {
        match Raw::connect(port).await.try_log_in(0, "shared_0", "shared-0").await {
            Ok(raw) => break clients.push(raw),
            Err(refused) => assert!(refused.starts_with("53300") || refused.is_empty(), "{refused}"),
        }
        assert!(began.elapsed() < Duration::from_secs(4), "the crowd stays");
        sleep(Duration::from_millis(50)).await;
    }
    // No more of them are left than there are places; the others were told why.
    let mut out = 0;
    for raw in &mut crowd {
        // Those that began were asked for a proof first.
        let silent = is_out(raw).await || is_out(raw).await;
        out += usize::from(silent);
    }
    assert!(out >= crowd.len() - PLACES, "{out} of {} were turned away", crowd.len());
    drop(crowd);
    // Clients have their own bound, which the crowd did not touch.
    while clients.len() + 1 < PLACES {
        let raw = Raw::connect_from([127, 0, 0, 9], port).await;
        clients.push(raw.log_in(0, "shared_0", "shared-0").await);
    }
    let error = Raw::connect(port).await.try_log_in(0, "shared_0", "shared-0").await.err().unwrap();
    assert_eq!(error, "53300 too many clients");
    // Whoever wants to cancel is heard even then.
    here.say(|out| client::put_query(out, b"SELECT pg_sleep(30)")).await;
    eventually("it runs", WAIT, async || {
        sessions(&world, &world.tenants[0], "state = 'active' AND query LIKE '%pg_sleep(30)%'").await == 1
    })
    .await;
    let (pid, secret) = here.key.clone().unwrap();
    Raw::connect(port).await.say(|out| client::put_cancel(out, pid, &secret)).await;
    assert_eq!(code(&here.until(b'Z').await), "57014");
    drop(clients.pop());
    eventually("one may come again", WAIT, async || {
        Raw::connect(port).await.try_log_in(0, "shared_0", "shared-0").await.is_ok()
    })
    .await;
}
