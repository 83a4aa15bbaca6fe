//! Gateways go and come back one after the other under load.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::chosen;
use crate::load::{Load, Pace};
use crate::world::World;

/// How long all clients may take until each has written again.
const SOON: Duration = Duration::from_secs(5);

/// Ends and starts two gateways in turn, with a load on both; `is_killed` says how.
async fn rounds(is_killed: bool) {
    let rounds = chosen("GATEWAY_ROUNDS", 3);
    let world = World::new(1, 2).await;
    let mut gates = [world.gate("one", &[]).await, world.gate("two", &[]).await];
    let load = Load::start(&world, &gates.each_ref().map(|gate| gate.port), Pace::default()).await;
    let (mut longest, mut recovered) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..rounds {
        for gate in &mut gates {
            let began = Instant::now();
            let end = async {
                if is_killed {
                    gate.kill().await;
                    began.elapsed()
                } else {
                    gate.stop().await
                }
            };
            let (took, again) = tokio::join!(end, load.all_write_since(began, SOON, |_| true));
            (longest, recovered) = (longest.max(took), recovered.max(again));
            world.again(gate).await;
            // So that there is something in hand when the other one goes.
            sleep(Duration::from_millis(300)).await;
        }
    }
    let clients = world.tenants.len() * Pace::default().clients;
    let verdict = load.end(&world).await;
    let reconnects = verdict.logins - u64::try_from(clients).unwrap();
    eprintln!(
        "gateway: {} of two gateways in turn, {rounds} rounds, {clients} clients: {verdict}; {reconnects} connected again; \
         the longest end took {} ms; all had written again after {} ms",
        if is_killed { "SIGKILL" } else { "SIGTERM" },
        longest.as_millis(),
        recovered.as_millis()
    );
    assert!(reconnects >= rounds, "the load was on both");
    let none = |said: &crate::load::Said, allowed: &[&str]| {
        let wrong: Vec<_> = said.keys().filter(|word| !allowed.iter().any(|start| word.starts_with(start))).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    };
    none(&verdict.closed_doors, &[]);
    if is_killed {
        none(&verdict.errors, &["closed", "lost: "]);
        none(&verdict.ends, &["closed", "lost: "]);
    } else {
        // Between transactions only. Whoever sends something at the moment when its connection ends may not hear why, but
        // nothing of it has run.
        assert_eq!(verdict.unknown_there, 0, "{:?}", verdict.errors);
        none(&verdict.errors, &["57P01 the gateway stops", "closed", "lost: Connection reset"]);
        assert!(verdict.errors.keys().all(|word| !word.contains("in transaction")), "{:?}", verdict.errors);
        none(&verdict.ends, &["57P01 the gateway stops", "closed", "lost: Connection reset"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_no_acknowledgement() {
    rounds(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_are_killed_lose_no_acknowledged_row() {
    rounds(true).await;
}
