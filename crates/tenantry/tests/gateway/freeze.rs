//! A cell's server stands still without closing anything: whoever is elsewhere notices nothing, memory stays, and all goes on.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::chosen;
use crate::load::{Load, Pace, Said};
use crate::world::{PATIENCE, World, blocking};

/// Memory that a gateway may take for what waits, in KiB.
const MORE: u64 = 16 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_holds_nobody_else_up() {
    let frozen = Duration::from_secs(chosen("GATEWAY_FREEZE", 4));
    let world = World::new(2, 1).await;
    let gate = world.gate("one", &[]).await;
    let load = Load::start(&world, &[gate.port], Pace::default()).await;
    let tenant = world.tenants.iter().find(|tenant| tenant.cell == 0).unwrap();
    let (client, connection) = gate.config(tenant).connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let elsewhere = |tenant: &crate::world::Tenant| tenant.cell == 1;
    load.times(|_| true);
    sleep(Duration::from_secs(2)).await;
    let (before, memory) = (load.times(elsewhere), gate.memory());

    let cancel = client.cancel_token();
    let statement = tokio::spawn(async move { (client.batch_execute("SELECT pg_sleep(3600)").await, client) });
    sleep(Duration::from_millis(100)).await;
    blocking(|| world.cells[0].freeze());
    let began = Instant::now();
    // It cannot help, and must not hold anything up either.
    tokio::time::timeout(PATIENCE, cancel.cancel_query(tokio_postgres::NoTls)).await.unwrap().unwrap();
    load.times(|_| true);
    let mut highest = memory;
    while began.elapsed() < frozen {
        highest = highest.max(gate.memory());
        assert_eq!(crate::world::get(gate.status, "/livez").await.unwrap().0, 200);
        sleep(Duration::from_millis(100)).await;
    }
    let (during, stuck) = (load.times(elsewhere), load.times(|tenant| tenant.cell == 0));
    blocking(|| world.cells[0].thaw());
    let back = Instant::now();
    load.all_write_since(back, Duration::from_secs(2), |_| true).await;
    let again = back.elapsed();
    let (ended, client) =
        tokio::time::timeout(PATIENCE, statement).await.expect("the request to cancel arrives").unwrap();
    let code = ended.unwrap_err().code().map(|code| code.code().to_owned());
    if frozen < Duration::from_secs(5) {
        assert_eq!(code.as_deref(), Some("57014"), "it was cancelled as soon as the server went on");
        client.batch_execute("SELECT count(*) FROM note").await.unwrap();
    }
    assert_eq!(load.errors(elsewhere), Said::new(), "nobody elsewhere notices");
    let verdict = load.end(&world).await;
    eprintln!(
        "gateway: a cell's server stood still for {} s: elsewhere before {before}; meanwhile {during} ({} rows); {} rows there; \
         memory {memory} KiB, at most {highest} KiB; all wrote again after {} ms; {verdict}",
        frozen.as_secs(),
        during.count,
        stuck.count,
        again.as_millis()
    );
    assert!(stuck.count < 20, "{} rows were written on a server that stands still", stuck.count);
    assert!(highest < memory + MORE, "{memory} KiB before, {highest} KiB meanwhile");
    // A stop of everything would be as long as the freeze; noise of a busy machine is not.
    assert!(
        during.count > 100 && during.p99 < before.p99 * 2.0 + 50.0 && during.longest < 1000.0,
        "{before}; {during}"
    );
    // Whoever waits longer than it may is told so; within that, nobody is.
    if frozen < Duration::from_secs(5) {
        assert_eq!((verdict.refused, verdict.unknown), (0, 0), "{:?}", verdict.errors);
    }
}
