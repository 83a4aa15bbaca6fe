//! One row of a tenant, read in four ways over the same kind of table.
//!
//! Through [`Router::enter`] with the sealed context; with `set_config` and a policy on it, as applications do it,
//! each statement in a round trip of its own; in a transaction without any context; and as a bare query. The bare ones
//! name the tenant in their WHERE, nothing guards them. All use the same driver and pool.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tenantry_dataplane::{Door, Gate, Router, RouterOptions};
use tenantry_domain::isolation::Isolation;
use tenantry_pg::{Ident, Pool, PoolOptions, Sql};

use super::Bench;
use crate::bed::Bed;
use crate::measure::{Samples, median, rate, timed};
use crate::processor::schedstat;
use crate::report::Figure;

const TENANTS: usize = 40;
const ROWS: i64 = 500;
const DATABASE: &str = "plain_tx";
const LOGIN: &str = "plain_tx_login";
const PASSWORD: &str = "bench-only";

/// The ways to read a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Sealed,
    SetConfig,
    Transaction,
    Bare,
}

impl Way {
    const ALL: [Self; 4] = [Self::Sealed, Self::SetConfig, Self::Transaction, Self::Bare];
}

struct World {
    router: Router,
    doors: Vec<Door>,
    plain: Pool,
}

pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let bed = Bed::install(bench.host, "tenant-tx", 10).await?;
    let world = Arc::new(furnish(bench, &bed).await?);
    latency(bench, &world).await?;
    switching(bench, &world).await?;
    processor(bench, &world).await?;
    for connections in [1, 8] {
        throughput(bench, &world, connections).await?;
    }
    Ok(())
}

/// Tenants with rows, and the same rows in a database of ours.
async fn furnish(bench: &Bench<'_>, bed: &Bed) -> Result<World> {
    let home = bed.home(bench.host, 1)?;
    let mut doors = Vec::new();
    for _ in 0..TENANTS {
        let (space, claim) = (bed.space(Isolation::Shared), Bed::claim());
        bed.cell.create(&space, &claim).await?;
        bed.cell.migrate(&space, &claim).await?;
        bed.cell.set_gate(&space, &claim, Gate::Open).await?;
        doors.push(bed.cell.door(&space)?);
    }
    let ids: Vec<uuid::Uuid> = doors.iter().map(|door| door.tenant.uuid()).collect();
    let sql = "
        INSERT INTO app.item_00 (tenant_id, id, name, body) OVERRIDING SYSTEM VALUE
        SELECT t, n, 'name ' || n, jsonb_build_object('n', n) FROM unnest($1::uuid[]) AS t, generate_series(1, $2::bigint) AS n";
    let conn = home.get().await?;
    conn.execute(sql, &[&ids, &ROWS]).await?;
    conn.batch_static("VACUUM (ANALYZE) app.item_00").await?;
    conn.release();
    let plain = plain(bench, &ids).await?;
    Ok(World { router: Router::new(RouterOptions::default()), doors, plain })
}

const TABLES: &str = "
    CREATE TABLE guarded (LIKE bare INCLUDING ALL);
    ALTER TABLE guarded ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON guarded USING (tenant_id = (SELECT current_setting('app.tenant')::uuid));
    INSERT INTO guarded SELECT * FROM bare;
    GRANT SELECT ON bare, guarded TO plain_tx_login";

async fn plain(bench: &Bench<'_>, ids: &[uuid::Uuid]) -> Result<Pool> {
    bench.host.database(DATABASE).await?;
    let pool = bench.host.pool(DATABASE, 1)?;
    let conn = pool.get().await?;
    let role = Sql::new("CREATE ROLE ").ident(&Ident::new(LOGIN)?).push(" LOGIN PASSWORD ").literal(PASSWORD);
    conn.batch(&role).await?;
    let table = "CREATE TABLE bare (tenant_id uuid NOT NULL, id bigint NOT NULL, parent bigint, name text NOT NULL,
        body jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (tenant_id, id))";
    conn.batch_static(table).await?;
    conn.batch_static("CREATE INDEX ON bare (tenant_id, created_at)").await?;
    let sql = "
        INSERT INTO bare (tenant_id, id, name, body)
        SELECT t, n, 'name ' || n, jsonb_build_object('n', n) FROM unnest($1::uuid[]) AS t, generate_series(1, $2::bigint) AS n";
    conn.execute(sql, &[&ids, &ROWS]).await?;
    conn.batch_static(TABLES).await?;
    conn.batch_static("VACUUM (ANALYZE)").await?;
    conn.release();
    pool.close();
    let target = bench.host.target(DATABASE)?.with_user(LOGIN, &PASSWORD.to_owned().into());
    Ok(Pool::new(target, PoolOptions { max: 8, wait: Duration::from_secs(60), ..PoolOptions::default() }))
}

const SEALED: &str = "SELECT name, body FROM item_00 WHERE id = $1";
const GUARDED: &str = "SELECT name, body FROM guarded WHERE id = $1";
const BARE: &str = "SELECT name, body FROM bare WHERE tenant_id = $1 AND id = $2";

/// Reads one row of a tenant.
async fn read(world: &World, way: Way, tenant: usize, row: i64) -> Result<()> {
    let door = &world.doors[tenant];
    let id = door.tenant.uuid();
    match way {
        Way::Sealed => {
            let tx = world.router.enter(door).await?;
            tx.query_one(SEALED, &[&row]).await?;
            tx.commit().await?;
        }
        Way::SetConfig => {
            let tx = world.plain.begin().await?;
            tx.execute("SELECT set_config('app.tenant', $1, true)", &[&id.to_string()]).await?;
            tx.query_one(GUARDED, &[&row]).await?;
            tx.commit().await?;
        }
        Way::Transaction => {
            let tx = world.plain.begin().await?;
            tx.query_one(BARE, &[&id, &row]).await?;
            tx.commit().await?;
        }
        Way::Bare => {
            let conn = world.plain.get().await?;
            conn.query_one(BARE, &[&id, &row]).await?;
            conn.release();
        }
    }
    Ok(())
}

/// A row that differs from call to call.
fn row(step: u64) -> i64 {
    i64::try_from(step * 7_919 % 500).unwrap_or_default() + 1
}

async fn latency(bench: &mut Bench<'_>, world: &World) -> Result<()> {
    let mut samples: [Samples; Way::ALL.len()] = Default::default();
    for step in 0..bench.size.pick(5_000, 1_000, 20) {
        for (way, samples) in Way::ALL.into_iter().zip(&mut samples) {
            timed(samples, read(world, way, 0, row(step))).await?;
        }
    }
    let [sealed, set_config, transaction, bare] = samples;
    let figure = Figure::latency("1 connection: sealed", &sealed)
        .against("BEGIN, set_config, query, COMMIT", set_config.at(0.5))
        .against("BEGIN, query, COMMIT without context", transaction.at(0.5))
        .against("bare query", bare.at(0.5));
    bench.say(figure);
    Ok(())
}

/// A connection that served another tenant before is cleaned first.
async fn switching(bench: &mut Bench<'_>, world: &World) -> Result<()> {
    let router = Router::new(RouterOptions { shared: 1, ..RouterOptions::default() });
    let one = World { router, doors: world.doors.clone(), plain: world.plain.clone() };
    let (mut same, mut other) = (Samples::default(), Samples::default());
    for step in 0..bench.size.pick(1_000, 200, 5) {
        let tenant = usize::try_from(step)? % 2;
        timed(&mut other, read(&one, Way::Sealed, tenant, row(step))).await?;
        timed(&mut same, read(&one, Way::Sealed, tenant, row(step))).await?;
    }
    one.router.close();
    bench.say(Figure::latency("sealed, another tenant than before", &other).against("the same tenant", same.at(0.5)));
    Ok(())
}

/// Time that the server's process was on a processor, as the kernel counts it.
async fn processor(bench: &mut Bench<'_>, world: &World) -> Result<()> {
    const PID: &str = "SELECT pg_backend_pid()";
    let tx = world.router.enter(&world.doors[0]).await?;
    let sealed: i32 = tx.query_one(PID, &[]).await?.try_get(0)?;
    tx.commit().await?;
    let conn = world.plain.get().await?;
    let plain: i32 = conn.query_one(PID, &[]).await?.try_get(0)?;
    conn.release();
    let mut rounds: [Vec<f64>; Way::ALL.len()] = Default::default();
    let block: u32 = bench.size.pick(500, 200, 10);
    for _ in 0..bench.size.pick(15, 5, 1) {
        for (way, rounds) in Way::ALL.into_iter().zip(&mut rounds) {
            let pid = if way == Way::Sealed { sealed } else { plain };
            let before = on_processor(pid)?;
            for step in 0..block {
                read(world, way, 0, row(step.into())).await?;
            }
            rounds.push((on_processor(pid)? - before) / f64::from(block));
        }
    }
    let [sealed, set_config, transaction, bare] = rounds;
    let added: Vec<f64> = sealed.iter().zip(&transaction).map(|(ours, theirs)| ours - theirs).collect();
    let figure = Figure::rounds("server's processor time, sealed", "µs", &sealed)
        .against("BEGIN, set_config, query, COMMIT", median(&set_config))
        .against("BEGIN, query, COMMIT without context", median(&transaction))
        .against("bare query", median(&bare));
    bench.say(figure);
    bench.say(Figure::rounds("of it: what the seal adds", "µs", &added).at_most(25.0));
    Ok(())
}

/// Microseconds.
fn on_processor(pid: i32) -> Result<f64> {
    schedstat(Path::new(&format!("/proc/{pid}"))).context("the kernel keeps no schedstat")
}

async fn throughput(bench: &mut Bench<'_>, world: &Arc<World>, connections: usize) -> Result<()> {
    let span = Duration::from_millis(bench.size.pick(2_000, 500, 50));
    let mut rounds: [Vec<f64>; Way::ALL.len()] = Default::default();
    for turn in 0..bench.size.pick(5, 2, 1) {
        for step in 0..Way::ALL.len() {
            let index = (turn + step) % Way::ALL.len();
            let (world, way) = (Arc::clone(world), Way::ALL[index]);
            let work = move |task: usize, done: u64| {
                let world = Arc::clone(&world);
                async move { read(&world, way, task % TENANTS, row(done)).await }
            };
            rounds[index].push(rate(connections, span, work).await?);
        }
    }
    let [sealed, set_config, transaction, bare] = rounds;
    let figure = Figure::rounds(format!("{connections} connections: sealed"), "/s", &sealed)
        .against("BEGIN, set_config, query, COMMIT", median(&set_config))
        .against("BEGIN, query, COMMIT without context", median(&transaction))
        .against("bare query", median(&bare));
    bench.say(figure);
    Ok(())
}
