//! A thousand tenants in one request, three replicas, one of which is killed in the middle.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tenantry_domain::isolation::Isolation;
use tenantry_testkit::process::Ending;

use crate::world::{Tuning, World};
use crate::{active, apply, assert_converged, held, replicas, wait, witness};

const TENANTS: usize = 1_000;

/// Mostly small customers, as in life.
fn level(index: usize) -> Isolation {
    match index % 100 {
        0..=2 => Isolation::Schema,
        50 if index % 200 == 50 => Isolation::Database,
        _ => Isolation::Shared,
    }
}

#[tokio::test]
async fn a_thousand_tenants_converge_although_a_replica_is_killed() {
    let world = World::new(Tuning { lease: Duration::from_secs(1), ..Tuning::default() }).await;
    let mut three = replicas(&world, 3).await;
    witness::install(&world).await;
    world.lay_foundation(&three[0].serve).await;
    let tenants: Vec<_> = (0..TENANTS).map(|index| (format!("customer-{index:04}"), level(index))).collect();
    let began = Instant::now();
    apply(&three[0], &tenants).await;
    let accepted = began.elapsed();
    wait("a fifth is active", async || (active(&world, "customer").await >= 200).then_some(())).await;
    // It dies with work in its hands: what it holds is looked at while it stands still.
    let mut victim = three.remove(1);
    wait("the victim holds something", async || {
        victim.serve.process.signal(Signal::STOP);
        let held = held(&world, victim.id).await;
        if held == 0 {
            victim.serve.process.signal(Signal::CONT);
        }
        (held > 0).then_some(())
    })
    .await;
    victim.serve.process.signal(Signal::KILL);
    assert_eq!(victim.serve.process.ended(Duration::from_secs(5)).await, Some(Ending::KILLED));
    let at = active(&world, "customer").await;
    let slugs: Vec<String> = tenants.iter().map(|(slug, _)| slug.clone()).collect();
    world.quiet_within(&slugs, Duration::from_secs(120)).await.unwrap();
    let converged = began.elapsed();
    let (taken, waited) = witness::takeovers(&world, victim.id).await;
    let shares: Vec<i64> = witness::shares(&world).await.into_iter().map(|(_, count)| count).collect();
    eprintln!(
        "replicas: {TENANTS} tenants accepted in {:.1} s, converged in {:.1} s; one of three killed at {at}; \
         {taken} of its runs taken over, the last {waited:.0} ms after its lease; claims {shares:?}",
        accepted.as_secs_f64(),
        converged.as_secs_f64()
    );
    assert!(taken > 0, "nothing was taken over from the one that was killed");
    assert!(shares.len() == 3, "not all replicas worked: {shares:?}");
    assert_converged(&world, TENANTS, 50).await;
    for replica in three {
        replica.serve.stop().await;
    }
}
