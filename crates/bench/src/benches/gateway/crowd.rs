//! Clients that only are there, and clients that come and go.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use secrecy::SecretString;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::Ways;
use super::load::{Load, Mode};
use super::poolers::{Bouncer, HOME, Pooler, Size, open_files};
use super::world::{SERVICE, World};
use crate::benches::Bench;
use crate::measure::{self, median};
use crate::report::Figure;

/// Clients that log in at the same time.
const AT_ONCE: usize = 16;
/// Files that a process has open beside its clients.
const SPARE: u64 = 200;

/// Memory of idle clients.
pub async fn idle(bench: &mut Bench<'_>, world: &Arc<World>, bouncer: Option<&Bouncer>) -> Result<()> {
    let wanted = bench.size.pick(5_000, 2_000, 50);
    let files = open_files(wanted + SPARE);
    let count = usize::try_from(wanted.min(files.saturating_sub(SPARE)))?;
    if count < usize::try_from(wanted)? {
        bench.note(format!("only {files} files may be open at a time, so there are {count} idle clients"));
    }
    let size = Size { shared: 20, per_tenant: 8 };
    let ours = Pooler::gateway(world, size).await?;
    let ours = kept(world, ours, count, by_service).await?;
    let theirs = match bouncer {
        Some(bouncer) => {
            let theirs = Pooler::bouncer(world, bouncer, size).await?;
            Some(kept(world, theirs, count, by_login).await?)
        }
        None => None,
    };
    let tenants = world.crowd.len();
    let name = format!("{count} idle clients of {tenants} tenants: memory of each");
    for (what, of) in [(name, 0), ("  the same, when each has run a statement".to_owned(), 1)] {
        let figure = Figure::rounds(what, "KiB", &[ours[of]]);
        let figure = match theirs {
            Some(theirs) => figure.against("PgBouncer", theirs[of]),
            None => figure,
        };
        bench.say(figure.at_most(8.0));
    }
    Ok(())
}

/// How a client logs in, by its number.
type Way = fn(&World, usize) -> (&str, SecretString, &str);

/// As a service, which names a tenant.
fn by_service(world: &World, number: usize) -> (&str, SecretString, &str) {
    (SERVICE, world.password.clone(), &world.crowd[number % world.crowd.len()])
}

/// With the login of the database.
fn by_login(world: &World, _: usize) -> (&str, SecretString, &str) {
    (world.door.target.user(), world.own_password(), HOME)
}

async fn client(world: &World, port: u16, way: Way, number: usize) -> Result<Client> {
    let (login, password, database) = way(world, number);
    world.client(port, login, &password, database).await
}

/// KiB for each client: once it has logged in, and once it has run a statement.
async fn kept(world: &Arc<World>, pooler: Pooler, count: usize, way: Way) -> Result<[f64; 2]> {
    // What the first one needs is not counted.
    let first = client(world, pooler.port, way, 0).await?;
    first.simple_query("SELECT 1").await?;
    let before = pooler.resident()?;
    let clients = connected(world, pooler.port, count, way).await?;
    let settle = Duration::from_millis(300);
    tokio::time::sleep(settle).await;
    let there = pooler.resident()?;
    for clients in clients.chunks(AT_ONCE) {
        let asked = clients.iter().map(|client| client.simple_query("SELECT 1"));
        futures_util::future::try_join_all(asked).await?;
    }
    tokio::time::sleep(settle).await;
    let asked = pooler.resident()?;
    pooler.stop().await?;
    let each = |now: f64| (now - before) / f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    Ok([each(there), each(asked)])
}

async fn connected(world: &Arc<World>, port: u16, count: usize, way: Way) -> Result<Vec<Client>> {
    let doors = Arc::new(Semaphore::new(AT_ONCE));
    let mut hands = JoinSet::new();
    for number in 0..count {
        let (world, doors) = (Arc::clone(world), Arc::clone(&doors));
        hands.spawn(async move {
            let _turn = doors.acquire().await?;
            client(&world, port, way, number).await
        });
    }
    let mut clients = Vec::with_capacity(count);
    while let Some(client) = hands.join_next().await {
        clients.push(client??);
    }
    Ok(clients)
}

/// What it costs to let a client in.
pub async fn connects(bench: &mut Bench<'_>, ways: &Ways<'_>) -> Result<()> {
    let script = ways.script("connect.sql", "SELECT 1;\n")?;
    let mut kinds = vec![("without TLS", "disable")];
    if ways.world.certificate.is_some() {
        kinds.push(("with TLS", "require"));
    } else {
        bench.note("there is no `openssl` to make a certificate, so connections with TLS were not measured");
    }
    for (kind, ssl) in kinds {
        let mut rounds: [Vec<f64>; 2] = Default::default();
        for turn in 0..bench.size.pick(3, 2, 1) {
            for step in 0..2 {
                let way = (turn + step) % 2;
                let (pooler, mut environment) = match (way, ways.theirs) {
                    (0, _) => (ways.ours, ways.world.through_gateway(ways.ours.port, &ways.world.tenants[0])),
                    (_, Some(theirs)) => (theirs, ways.world.through_bouncer(theirs.port)),
                    (_, None) => continue,
                };
                environment.retain(|(name, _)| *name != "PGSSLMODE");
                environment.push(("PGSSLMODE", ssl.to_owned()));
                let seconds = bench.size.pick(2, 1, 1);
                let script = script.clone();
                let load =
                    Load { environment, script, mode: Mode::Simple, clients: 4, seconds, rate: None, reconnects: true };
                let before = pooler.spent()?;
                let outcome = load.run(bench.host).await.context("with a connection for each transaction")?;
                rounds[way].push((pooler.spent()? - before) / outcome.count);
            }
        }
        // As many a second as one core does.
        let [ours, theirs] = rounds.map(|round| round.iter().map(|micros| 1e6 / micros).collect::<Vec<_>>());
        let what = format!("connections a second and core, SCRAM and one statement, {kind}");
        let figure = Figure::rounds(what, "/s", &ours);
        let figure = if theirs.is_empty() { figure } else { figure.against("PgBouncer", median(&theirs)) };
        bench.say(if ssl == "disable" { figure.at_least(3_500.0) } else { figure });
    }
    if bench.size == measure::Size::Full {
        bench.note("connections: the aim was set without SCRAM, which the gateway always asks for");
    }
    Ok(())
}
