//! What one tenant notices of another one at the same server sessions, and of a neighbour that is held.

use anyhow::{Context as _, Result};
use tokio::time::{Duration, sleep};

use super::Ways;
use super::load::{Load, Mode, Transaction, at};
use super::poolers::{Bouncer, Pooler, Size};
use super::world::World;
use crate::benches::Bench;
use crate::measure::{Samples, median};
use crate::report::Figure;

/// Server sessions for both.
const SESSIONS: usize = 10;
/// Clients of the noisy tenant.
const NOISY: usize = 64;

/// A tenant with one client beside one with many, at ten server sessions.
pub async fn fair(bench: &mut Bench<'_>, ways: &Ways<'_>, bouncer: Option<&Bouncer>) -> Result<()> {
    let short = ways.script("short.sql", "SELECT id, name FROM beside.ten WHERE id = 3;\n")?;
    let long = ways.script("long.sql", "SELECT pg_sleep(0.02);\n")?;
    let seconds = bench.size.pick(4, 2, 1);
    let world = ways.world;
    let load = |pooler: &Pooler, place: usize, is_ours: bool| {
        let (script, clients) = if place == 1 { (&short, 1) } else { (&long, NOISY) };
        let environment = environment(world, pooler, place, is_ours);
        Load {
            environment,
            script: script.clone(),
            mode: Mode::Simple,
            clients,
            seconds,
            rate: None,
            reconnects: false,
        }
    };
    let beside = async |pooler: &Pooler, is_ours: bool, is_loud: bool| -> Result<Vec<Transaction>> {
        let folder = world.folder.path();
        // The noise begins before, and goes on for longer than, what is timed.
        let noise = Load { seconds: seconds + 1, ..load(pooler, 2, is_ours) };
        let noise = if is_loud { Some(noise.timed(bench.host, folder, "noisy")?) } else { None };
        sleep(Duration::from_millis(500)).await;
        let found = load(pooler, 1, is_ours).timed(bench.host, folder, "quiet")?.transactions().await?;
        if let Some(noise) = noise {
            noise.transactions().await?;
        }
        Ok(found)
    };
    let mut figures = Vec::new();
    let theirs = match bouncer {
        Some(bouncer) => Some(Pooler::bouncer(world, bouncer, Size { shared: SESSIONS, per_tenant: 0 }).await?),
        None => None,
    };
    let their = match &theirs {
        Some(theirs) => Some(beside(theirs, false, true).await?),
        None => None,
    };
    for per_tenant in [8, SESSIONS] {
        let ours = Pooler::gateway(world, Size { shared: SESSIONS, per_tenant }).await?;
        let alone = beside(&ours, true, false).await?;
        let loud = beside(&ours, true, true).await?;
        let bound = if per_tenant < SESSIONS { "at most 8 of them a tenant" } else { "no bound for a tenant" };
        let name = format!("one client beside {NOISY} at {SESSIONS} sessions, {bound}");
        let figure = Figure::latency(name, &samples(&loud)).against("alone", at(&alone, 0.5));
        let figure = match &their {
            Some(their) => figure.against("PgBouncer", at(their, 0.5)),
            None => figure,
        };
        figures.push(figure.at_most(2.0).p99_at_most(30.0));
        let figure = Figure::rounds("  its p99", "ms", &[at(&loud, 0.99)]).against("alone", at(&alone, 0.99));
        figures.push(match &their {
            Some(their) => figure.against("PgBouncer", at(their, 0.99)),
            None => figure,
        });
        ours.stop().await?;
    }
    if let Some(theirs) = theirs {
        theirs.stop().await?;
    }
    figures.into_iter().for_each(|figure| bench.say(figure));
    Ok(())
}

fn environment(world: &World, pooler: &Pooler, place: usize, is_ours: bool) -> Vec<(&'static str, String)> {
    match is_ours {
        true => world.through_gateway(pooler.port, &world.tenants[place]),
        false => world.through_bouncer(pooler.port),
    }
}

fn samples(transactions: &[Transaction]) -> Samples {
    let mut samples = Samples::default();
    transactions.iter().for_each(|one| samples.push(Duration::from_secs_f64(one.took().max(0.0) / 1e3)));
    samples
}

/// What was seen of holds, in milliseconds.
struct Held {
    quiet: Vec<f64>,
    first: Vec<f64>,
    before: f64,
    during: f64,
}

/// One tenant is held while it and a neighbour work.
pub async fn hold(bench: &mut Bench<'_>, world: &World, bouncer: Option<&Bouncer>) -> Result<()> {
    let size = Size { shared: 20, per_tenant: 8 };
    let ours = held(bench, world, Pooler::gateway(world, size).await?, true).await?;
    let theirs = match bouncer {
        Some(bouncer) => Some(held(bench, world, Pooler::bouncer(world, bouncer, size).await?, false).await?),
        None => None,
    };
    let against = |figure: Figure, value: &dyn Fn(&Held) -> f64| match &theirs {
        Some(theirs) => figure.against("PgBouncer, of all tenants", value(theirs)),
        None => figure,
    };
    let figure = Figure::rounds("hold of a tenant with 8 clients, until nothing is in hand", "ms", &ours.quiet);
    bench.say(against(figure, &|held| median(&held.quiet)).at_most(25.0));
    let figure = Figure::rounds("  release, until the first statement is answered", "ms", &ours.first);
    bench.say(against(figure, &|held| median(&held.first)).at_most(1.0));
    let figure = Figure::rounds("  p99 of a neighbour while it is held", "ms", &[ours.during]);
    let figure = against(figure, &|held| held.during);
    bench.say(figure.against("before", ours.before).ratio_at_most(1.1));
    Ok(())
}

async fn held(bench: &Bench<'_>, world: &World, mut pooler: Pooler, is_ours: bool) -> Result<Held> {
    let script = world.folder.path().join("short.sql");
    let times = bench.size.pick(10, 5, 2);
    let load = |place: usize, clients: usize| {
        let environment = environment(world, &pooler, place, is_ours);
        let (script, seconds) = (script.clone(), 2 + times * 4 / 10);
        Load { environment, script, mode: Mode::Simple, clients, seconds, rate: None, reconnects: false }
    };
    let folder = world.folder.path();
    let busy = load(0, 8).timed(bench.host, folder, "busy")?;
    let quiet = load(1, 1).timed(bench.host, folder, "quiet")?;
    sleep(Duration::from_millis(900)).await;
    let (mut holds, mut releases) = (Vec::new(), Vec::new());
    for _ in 0..times {
        holds.push(pooler.hold(world, world.tenants[0].id).await?);
        sleep(Duration::from_millis(150)).await;
        releases.push(pooler.release(world, world.tenants[0].id).await?);
        sleep(Duration::from_millis(200)).await;
    }
    let (busy, quiet) = (busy.transactions().await?, quiet.transactions().await?);
    pooler.stop().await?;
    let first = releases.iter().map(|release| {
        let answered = busy.iter().map(|one| one.to).filter(|to| *to > release.0).min_by(f64::total_cmp);
        Ok((answered.context("nothing followed a release")? - release.0) * 1e3)
    });
    let during =
        |one: &Transaction| holds.iter().zip(&releases).any(|(hold, release)| one.to > hold.1 && one.from < release.0);
    let since = holds.first().map_or(f64::MAX, |hold| hold.0);
    let (while_held, rest): (Vec<_>, Vec<_>) = quiet.into_iter().partition(during);
    let before: Vec<_> = rest.into_iter().filter(|one| one.to < since).collect();
    anyhow::ensure!(!before.is_empty() && !while_held.is_empty(), "the neighbour was not seen at work");
    Ok(Held {
        quiet: holds.iter().map(|(from, to)| (to - from) * 1e3).collect(),
        first: first.collect::<Result<_>>()?,
        before: at(&before, 0.99),
        during: at(&while_held, 0.99),
    })
}
