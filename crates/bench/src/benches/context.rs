//! What the tenant context costs the server: processor time of one backend per transaction, as the kernel counts it.
//!
//! The transaction reads ten rows by an index. All ways use the same driver, one connection each, prepared queries, and
//! three round trips (begin with the context, query, commit); what lets the tenant in goes out together with BEGIN. Backend
//! and client share one core meanwhile, because waking somebody on another core costs more than all that is compared here
//! and differs from run to run.

mod world;

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::Bench;
use crate::machine::Pinned;
use crate::measure::median;
use crate::processor::{Processor, schedstat};
use crate::report::Figure;
use world::{WAYS, Way, Work, World, furnish};

pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let world = furnish(bench).await?;
    let pinned = Pinned::here();
    if pinned.is_none() {
        bench.note("client and server were not bound to one core: `taskset` is missing or refused");
    }
    let mut pids = HashMap::new();
    for way in WAYS {
        let pid = world.pid(way).await?;
        if let Some(pinned) = &pinned {
            pinned.take(pid)?;
        }
        pids.insert(way, pid);
    }
    let ten = measure(bench, &world, &pids, &WAYS, Work::Ten).await?;
    let twice = measure(bench, &world, &pids, &[Way::Bare, Way::Register, Way::Signed], Work::Twice).await?;
    let long = measure(bench, &world, &pids, &[Way::Bare, Way::Register, Way::Signed], Work::Long).await?;
    drop(pinned);
    report(bench, &ten, &twice, &long);
    Ok(())
}

/// Microseconds of one transaction, by rounds: the server's and ours.
#[derive(Default)]
struct Spent {
    server: Vec<f64>,
    ours: Vec<f64>,
}

type Rounds = HashMap<Way, Spent>;

async fn measure(
    bench: &Bench<'_>,
    world: &World,
    pids: &HashMap<Way, i32>,
    ways: &[Way],
    work: Work,
) -> Result<Rounds> {
    let kernel = Processor::of(bench.host).await?;
    let block: u32 = bench.size.pick(200, 100, 8);
    let turns: u32 = bench.size.pick(51, 21, 2);
    let mut rounds = Rounds::new();
    for turn in 0..turns {
        for step in 0..ways.len() {
            let way = ways[(turn as usize + step) % ways.len()];
            // The first ones after another way's turn find cold caches, which is the turn's doing.
            for number in 0..block / 8 {
                world.transaction(way, work, number).await?;
            }
            let (before, ours) = (on_processor(pids[&way])?, kernel.spent()?.ours);
            for number in 0..block {
                world.transaction(way, work, number).await?;
            }
            let spent = rounds.entry(way).or_default();
            spent.server.push((on_processor(pids[&way])? - before) / f64::from(block));
            spent.ours.push((kernel.spent()?.ours - ours) / f64::from(block));
        }
    }
    Ok(rounds)
}

/// What one way took more than another one, round by round.
fn more(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| ours - theirs).collect()
}

fn report(bench: &mut Bench<'_>, ten: &Rounds, twice: &Rounds, long: &Rounds) {
    let base = median(&ten[&Way::Bare].server);
    let said = |way: Way, name: &str| {
        Figure::rounds(name, "µs", &ten[&way].server).against("without row-level security", base)
    };
    bench.say(Figure::rounds("ten rows, without row-level security", "µs", &ten[&Way::Bare].server));
    bench.say(said(Way::Setting, "policy on a plain setting (forgeable)"));
    bench.say(said(Way::Role, "SET LOCAL ROLE, a policy a role (forgeable)"));
    bench.say(said(Way::Register, "sealed, register mode").ratio_at_most(2.1));
    bench.say(said(Way::Signed, "sealed, signed mode"));
    bench.say(said(Way::Token, "sealed, register mode, by token"));
    bench.say(said(Way::Switch, "sealed, another tenant than before"));
    for (way, name) in [(Way::Register, "register"), (Way::Signed, "signed")] {
        let added = more(&ten[&way].server, &ten[&Way::Bare].server);
        let figure = Figure::rounds(format!("the seal adds, {name} mode"), "µs", &added);
        bench.say(if way == Way::Register { figure.at_most(25.0) } else { figure });
        let further = |way: Way| more(&twice[&way].server, &ten[&way].server);
        let added = more(&further(way), &further(Way::Bare));
        let figure = Figure::rounds(format!("it adds to a further statement, {name} mode"), "µs", &added);
        // Nothing is added; one microsecond is what rounds differ by.
        bench.say(if way == Way::Register { figure.at_most(1.0) } else { figure });
        let figure = Figure::rounds(format!("reading for a millisecond, {name} mode"), "µs", &long[&way].server)
            .against("without row-level security", median(&long[&Way::Bare].server));
        bench.say(if way == Way::Register { figure.ratio_at_most(1.05) } else { figure });
    }
    let client = Figure::rounds("the client's processor time, sealed", "µs", &ten[&Way::Register].ours)
        .against("without row-level security", median(&ten[&Way::Bare].ours))
        .against("policy on a plain setting", median(&ten[&Way::Setting].ours));
    bench.say(client);
}

/// Microseconds.
fn on_processor(pid: i32) -> Result<f64> {
    schedstat(Path::new(&format!("/proc/{pid}"))).context("the kernel keeps no schedstat, or the backend ended")
}
