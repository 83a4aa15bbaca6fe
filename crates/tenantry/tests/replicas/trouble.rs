//! Replicas that stop in order, stand still beyond their lease, or lose their database for a moment.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tenantry_domain::isolation::Isolation;
use tenantry_testkit::process::Ending;

use crate::world::{Tuning, World};
use crate::{Replica, active, apply, assert_converged, held, replicas, wait, witness};

/// Enough that work is in hand whenever something happens.
const TENANTS: usize = 150;

/// A lease that runs out while a test looks on.
const SHORT: Duration = Duration::from_millis(500);

fn batch(name: &str) -> Vec<(String, Isolation)> {
    let level = |index| if index % 15 == 0 { Isolation::Schema } else { Isolation::Shared };
    (0..TENANTS).map(|index| (format!("{name}-{index:03}"), level(index))).collect()
}

async fn world(lease: Duration) -> (World, Vec<Replica>) {
    let world = World::new(Tuning { lease, ..Tuning::default() }).await;
    let three = replicas(&world, 3).await;
    witness::install(&world).await;
    world.lay_foundation(&three[0].serve).await;
    (world, three)
}

async fn converge(world: &World, name: &str) {
    let slugs: Vec<String> = batch(name).into_iter().map(|(slug, _)| slug).collect();
    world.quiet_within(&slugs, Duration::from_secs(60)).await.unwrap();
}

/// Waits until a replica stands still with work in its hands.
async fn freeze(world: &World, replica: &Replica) {
    wait("the replica holds something", async || {
        replica.serve.process.signal(Signal::STOP);
        let held = held(world, replica.id).await;
        if held == 0 {
            replica.serve.process.signal(Signal::CONT);
        }
        (held > 0).then_some(())
    })
    .await;
}

/// A replica that comes back to life does not know that its runs have other owners. It finds out by being refused.
#[tokio::test]
async fn a_stale_owner_changes_nothing() {
    let (world, three) = world(SHORT).await;
    apply(&three[0], &batch("stale")).await;
    wait("some are active", async || (active(&world, "stale").await >= 20).then_some(())).await;
    let stale = &three[1];
    freeze(&world, stale).await;
    let held_then = held(&world, stale.id).await;
    wait("its runs are taken over", async || (held(&world, stale.id).await == 0).then_some(())).await;
    let (taken, _) = witness::takeovers(&world, stale.id).await;
    assert!(taken >= held_then, "{taken} of {held_then} runs were taken over");
    stale.serve.process.signal(Signal::CONT);
    let log = || std::fs::read_to_string(world.path(&stale.log)).unwrap();
    let refused = |text: &str| text.matches("another replica owns the run now").count();
    wait("it learns of its loss", async || (refused(&log()) > 0).then_some(())).await;
    converge(&world, "stale").await;
    eprintln!(
        "replicas: {held_then} runs held by a frozen replica, {taken} taken over, {} writes refused to it",
        refused(&log())
    );
    assert_converged(&world, TENANTS, 25).await;
    for replica in three {
        replica.serve.stop().await;
    }
}

/// SIGTERM: steps in hand end, everything is given back at once, nothing waits for a lease.
#[tokio::test]
async fn a_replica_that_is_asked_to_stop_gives_its_work_back() {
    // Beyond what any step takes here: a lease that runs out is another test's matter.
    let (world, mut three) = world(Duration::from_secs(30)).await;
    apply(&three[0], &batch("drain")).await;
    wait("some are active", async || (active(&world, "drain").await >= 20).then_some(())).await;
    let mut leaving = three.remove(1);
    wait("it holds something", async || (held(&world, leaving.id).await > 0).then_some(())).await;
    let began = Instant::now();
    leaving.serve.process.signal(Signal::TERM);
    assert_eq!(leaving.serve.process.ended(Duration::from_secs(20)).await, Some(Ending::Exit(0)));
    let took = began.elapsed();
    assert_eq!(held(&world, leaving.id).await, 0, "a replica that is gone owns nothing");
    let (taken, _) = witness::takeovers(&world, leaving.id).await;
    assert_eq!(taken, 0, "nothing had to be taken from it");
    let sql = "SELECT count(*) FROM tenantry.replica WHERE id = $1";
    assert_eq!(world.control.query_one(sql, &[&leaving.id]).await.unwrap().get::<_, i64>(0), 0, "it signed off");
    converge(&world, "drain").await;
    eprintln!("replicas: drained in {:.2} s", took.as_secs_f64());
    assert_converged(&world, TENANTS, 25).await;
    for replica in three {
        replica.serve.stop().await;
    }
}

/// The database goes, in order and by a crash, and comes back; the replicas stay and finish.
#[tokio::test]
async fn replicas_outlive_a_restart_of_their_database() {
    let (mut world, three) = world(SHORT).await;
    for (name, crash) in [("restart", false), ("crash", true)] {
        apply(&three[0], &batch(name)).await;
        wait("some are active", async || (active(&world, name).await >= 20).then_some(())).await;
        if crash {
            world.pg.kill();
        } else {
            world.pg.stop();
        }
        world.pg.start();
        let began = Instant::now();
        world.reconnect().await;
        converge(&world, name).await;
        eprintln!("replicas: converged {:.1} s after the {name} of the database", began.elapsed().as_secs_f64());
    }
    assert_converged(&world, 2 * TENANTS, 25).await;
    for replica in three {
        replica.serve.stop().await;
    }
}
