//! The adversary against the product: tenants of all levels, one installation, no foreign value.
//!
//! `TENANTRY_ADVERSARY` sets the number of statements, `TENANTRY_ADVERSARY_SEED` the seed, and
//! `TENANTRY_ADVERSARY_REPLAY=seed:number` runs the transaction of one statement again.

use tenantry_domain::isolation::Isolation;

use crate::duel::{Lane, Outcome, router_options};
use crate::world::World;

/// The short lane.
const STATEMENTS: u64 = 20_000;
const SEED: u64 = 1;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.replace('_', "").parse().ok())
}

fn tell(outcome: &Outcome, seed: u64) {
    println!(
        "adversary: seed {seed}, {} statements, {:.1} % carried out, {} looks at rows, {} sessions lost, {:.0}/s",
        outcome.statements,
        outcome.share(),
        outcome.looks,
        outcome.lost,
        outcome.rate()
    );
    for (kind, (made, ran)) in &outcome.kinds {
        println!("  {kind:<16} {made:>9} {:>5.1} %", *ran as f64 * 100.0 / (*made).max(1) as f64);
    }
    if let Some(found) = &outcome.found {
        println!("FOUND by tenant {}: {} in {}", found.attacker, found.what, found.sql);
        println!("again: scripts/adversary --replay {seed}:{}", found.number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_foreign_value_comes_back() {
    let levels = [(Isolation::Shared, 6), (Isolation::Schema, 3), (Isolation::Database, 2)];
    let lane = Lane::new(World::new(&levels, router_options()).await).await;
    let replay = std::env::var("TENANTRY_ADVERSARY_REPLAY").ok();
    let replay = replay.as_deref().and_then(|text| text.split_once(':'));
    let replay = replay.and_then(|(seed, at)| Some((seed.parse::<u64>().ok()?, at.parse::<u64>().ok()?)));
    let (seed, outcome) = match replay {
        Some((seed, at)) => (seed, lane.run(seed, at, 1, 1).await),
        None => {
            let seed = number("TENANTRY_ADVERSARY_SEED").unwrap_or(SEED);
            let count = number("TENANTRY_ADVERSARY").unwrap_or(STATEMENTS);
            (seed, lane.run(seed, 0, count, 4).await)
        }
    };
    tell(&outcome, seed);
    assert!(outcome.found.is_none(), "{:?}", outcome.found);
    if replay.is_none() {
        assert!(outcome.share() > 40.0, "only {:.1} % were carried out: the generator is a toy", outcome.share());
        assert!(outcome.looks > 0 && outcome.kinds.len() == 22, "{:?}", outcome.kinds);
        assert!(outcome.lost * 100 < outcome.statements, "{} sessions were lost", outcome.lost);
    }
}
