//! A cell's PostgreSQL dies, ends its sessions, or shuts down at once, and comes back: clients are told, and go on.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::load::{Load, Pace, Said};
use crate::world::{Gate, PATIENCE, World, blocking, wait};

/// How soon all clients write again once the server answers.
const SOON: Duration = Duration::from_secs(2);
/// What a client may be told: it ends the session, it is not there now, the connection was lost.
const CLEAR: [&str; 5] = ["57P01", "57P02", "57P03", "08006", "closed"];

/// Everything that was said is one of the clear answers; by what a connection ends after its client was told is not asked.
fn assert_clear(said: &Said) {
    let wrong: Vec<_> = said
        .keys()
        .filter(|word| !word.starts_with("idle: lost: Connection reset"))
        .filter(|word| {
            let word = word.trim_start_matches("idle: ").trim_start_matches("login: ");
            !CLEAR.iter().any(|start| word.starts_with(start))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Sessions that a gateway has on servers.
async fn server_sessions(gate: &Gate) -> f64 {
    gate.numbers()
        .await
        .iter()
        .filter(|(name, _)| name.starts_with("tenantry_gateway_server_sessions{"))
        .map(|(_, count)| count)
        .sum()
}

/// Brings the server back and tells how soon everything was as before.
async fn recovered(world: &World, load: &Load, gate: &Gate, what: &str, before: &mut Said) {
    blocking(|| world.cells[0].start());
    let back = Instant::now();
    load.all_write_since(back, SOON, |_| true).await;
    let took = back.elapsed();
    let all = load.errors(|_| true);
    let news: Said = all
        .iter()
        .map(|(word, count)| (word.clone(), count - before.get(word).copied().unwrap_or_default()))
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_clear(&news);
    assert!(server_sessions(gate).await > 0.0);
    // So that there is something in hand when the server goes again.
    sleep(Duration::from_millis(500)).await;
    eprintln!(
        "gateway: {what}: all clients wrote again {} ms after the server's return; they were told {news:?}",
        took.as_millis()
    );
    *before = all;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_outlive_the_end_of_their_server() {
    let world = World::new(1, 2).await;
    let gates = [world.gate("one", &[]).await, world.gate("two", &[]).await];
    let load = Load::start(&world, &gates.each_ref().map(|gate| gate.port), Pace::default()).await;
    let mut said = Said::new();
    assert_eq!(load.errors(|_| true), said);

    blocking(|| world.cells[0].kill());
    let down = Instant::now();
    wait("clients are told", PATIENCE, async || (!load.errors(|_| true).is_empty()).then_some(())).await;
    let told = down.elapsed();
    assert!(told < SOON, "clients were told after {} ms", told.as_millis());
    recovered(&world, &load, &gates[0], "SIGKILL of the cell's server", &mut said).await;

    blocking(|| world.cells[0].halt());
    recovered(&world, &load, &gates[0], "immediate shutdown of the cell's server", &mut said).await;

    // Those of the gateways, while the server stays.
    let superuser = world.on_cell(0, "postgres").await;
    let ended = Instant::now();
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE application_name = 'tenantry gateway' AND pid <> pg_backend_pid()";
    let count: i64 = superuser.query_one(end, &[]).await.unwrap().get(0);
    assert!(count > 0, "the gateways have sessions");
    drop(superuser);
    load.all_write_since(ended, SOON, |_| true).await;
    eprintln!(
        "gateway: {count} server sessions terminated: all clients wrote again {} ms later",
        ended.elapsed().as_millis()
    );
    assert_clear(&load.errors(|_| true));

    let verdict = load.end(&world).await;
    eprintln!("gateway: a cell's server ended three times: {verdict}");
    assert!(verdict.acknowledged > 100);
}
