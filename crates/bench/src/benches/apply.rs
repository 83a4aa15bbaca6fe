//! A thousand manifests in one request, until all of them are open.
//!
//! Mostly shared tenants, as in a real installation; and, for comparison, shared ones only. One process does all the
//! work. Each round brings as many new tenants to those that are there already.

use std::time::{Duration, Instant};

use anyhow::Result;
use tenantry_domain::isolation::Isolation;

use super::Bench;
use crate::bed::{Bed, numbered};
use crate::report::Figure;

pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let bed = Bed::install(bench.host, "apply", 10).await?;
    let runtime = bed.start();
    let count = bench.size.pick(1_000, 200, 12);
    let mixed = [(Isolation::Database, count / 100), (Isolation::Schema, count / 20)];
    let mut number = 0;
    let (mut rounds, mut accepted, mut shared) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.size.pick(3, 1, 1) {
        let (taken, whole) = round(&bed, count, &mixed, &mut number).await?;
        accepted.push(taken);
        rounds.push(whole);
        shared.push(round(&bed, count, &[], &mut number).await?.1);
    }
    runtime.shutdown(&bed.deps).await?;
    let [databases, schemas] = mixed.map(|(_, count)| count);
    let title = format!("{count} manifests, of them {schemas} schemas, {databases} databases");
    bench.say(Figure::rounds(title, "s", &rounds).at_most(30.0));
    bench.say(Figure::rounds(format!("{count} manifests, all shared"), "s", &shared));
    bench.say(Figure::rounds("request accepted", "s", &accepted));
    Ok(())
}

/// Seconds until the request was accepted, and until everything had converged.
async fn round(bed: &Bed, count: usize, special: &[(Isolation, usize)], number: &mut usize) -> Result<(f64, f64)> {
    let mut levels: Vec<Isolation> = special.iter().flat_map(|(level, count)| vec![*level; *count]).collect();
    levels.resize(count, Isolation::Shared);
    let manifests = levels.into_iter().map(|level| {
        *number += 1;
        bed.manifest(&numbered("crowd", *number), level)
    });
    let manifests = manifests.collect::<Result<Vec<_>>>()?;
    let began = Instant::now();
    let operation = bed.apply(&manifests).await?;
    let accepted = began.elapsed();
    if let Some(operation) = operation {
        bed.settled(operation, Duration::from_millis(200)).await?;
    }
    Ok((accepted.as_secs_f64(), began.elapsed().as_secs_f64()))
}
