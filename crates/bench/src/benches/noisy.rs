//! What nine tenants notice of a tenth one that asks for all it can get.
//!
//! The tenth has 64 clients that send queries of about 20 ms of computing, without a pause; each of the others has one
//! client that reads ten rows and rests. All go through one router with its ordinary bounds. Quiet and noisy rounds take
//! turns. The server shares the machine's cores with the clients, so what is left of them beside the noise is part of the
//! answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tenantry_dataplane::{Door, Gate, Router, RouterOptions, TenantTxError};
use tenantry_domain::isolation::Isolation;
use tenantry_pg::PoolOptions;

use super::Bench;
use crate::bed::{Bed, LEVELS};
use crate::measure::{Samples, timed};
use crate::report::Figure;

const OTHERS: usize = 9;
const CLIENTS: usize = 64;
const ROWS: i64 = 500;

pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let bed = Bed::install(bench.host, "noisy", 10).await?;
    for level in LEVELS {
        let doors = furnish(&bed, level).await?;
        // As plans have it by default, and with a plan that says how many connections such a tenant may have.
        for connections in [None, Some(1)] {
            rounds(bench, level, &doors, connections).await?;
        }
    }
    Ok(())
}

/// Ten tenants with rows; the last one will be noisy.
async fn furnish(bed: &Bed, level: Isolation) -> Result<Vec<Door>> {
    let mut doors = Vec::new();
    let router = Router::new(RouterOptions::default());
    for _ in 0..=OTHERS {
        let (space, claim) = (bed.space(level), Bed::claim());
        bed.cell.create(&space, &claim).await?;
        bed.cell.migrate(&space, &claim).await?;
        bed.cell.set_gate(&space, &claim, Gate::Open).await?;
        let door = bed.cell.door(&space)?;
        let tx = router.enter(&door).await?;
        let sql = "INSERT INTO item_00 (name, body, created_at)
            SELECT 'name ' || n, jsonb_build_object('n', n), now() - n * interval '1 s' FROM generate_series(1, $1::bigint) AS n";
        tx.execute(sql, &[&ROWS]).await?;
        tx.commit().await.map_err(tenantry_pg::CommitError::into_inner)?;
        doors.push(door);
    }
    router.close();
    Ok(doors)
}

async fn rounds(bench: &mut Bench<'_>, level: Isolation, doors: &[Door], connections: Option<u32>) -> Result<()> {
    let pool = PoolOptions { wait: Duration::from_secs(30), ..RouterOptions::default().pool };
    let router = Arc::new(Router::new(RouterOptions { pool, ..RouterOptions::default() }));
    let span = Duration::from_millis(bench.size.pick(4_000, 1_500, 60));
    let (mut quiet, mut loud, mut heavy) = (Samples::default(), Samples::default(), 0);
    // Every connection is open before anything is measured.
    others(&router, doors, span / 4).await?;
    for _ in 0..bench.size.pick(4, 2, 1) {
        quiet.extend(&others(&router, doors, span).await?);
        let noise = Noise::start(&router, &doors[OTHERS], connections);
        tokio::time::sleep(span / 8).await;
        loud.extend(&others(&router, doors, span).await?);
        heavy += noise.stop().await?;
    }
    router.close();
    let bound = connections.map_or("no bound in its plan".to_owned(), |most| format!("{most} connection in its plan"));
    ensure!(heavy > 0, "the noisy tenant got nothing done");
    let ratio = loud.at(0.99) / quiet.at(0.99).max(f64::MIN_POSITIVE);
    bench.say(
        Figure::latency(format!("{level}, a noisy tenant with {bound}"), &loud)
            .against("quiet, median", quiet.at(0.5))
            .p99_at_most(100.0),
    );
    let name = format!("{level}, the same: p99 beside the quiet one, {:.1} ms", quiet.at(0.99));
    bench.say(Figure::rounds(name, "x", &[ratio]).at_most(1.1));
    Ok(())
}

/// Nine clients, one a tenant.
async fn others(router: &Arc<Router>, doors: &[Door], span: Duration) -> Result<Samples> {
    let mut hands = tokio::task::JoinSet::new();
    let until = Instant::now() + span;
    for door in doors.iter().take(OTHERS) {
        let (router, door) = (Arc::clone(router), door.clone());
        hands.spawn(async move {
            let mut samples = Samples::default();
            while Instant::now() < until {
                timed(&mut samples, light(&router, &door)).await?;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            anyhow::Ok(samples)
        });
    }
    let mut all = Samples::default();
    while let Some(done) = hands.join_next().await {
        all.extend(&done.context("a client ended")??);
    }
    Ok(all)
}

async fn light(router: &Router, door: &Door) -> Result<()> {
    let tx = router.enter(door).await?;
    let rows = tx.query("SELECT id, name, body FROM item_00 ORDER BY created_at DESC LIMIT 10", &[]).await?;
    ensure!(rows.len() == 10, "{} rows", rows.len());
    tx.commit().await?;
    Ok(())
}

/// The tenth tenant's clients.
struct Noise {
    hands: tokio::task::JoinSet<Result<()>>,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
}

impl Noise {
    fn start(router: &Arc<Router>, door: &Door, connections: Option<u32>) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut hands = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            let (router, stop, done) = (Arc::clone(router), Arc::clone(&stop), Arc::clone(&done));
            let door = Door { connections, ..door.clone() };
            hands.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    match router.enter(&door).await {
                        Ok(tx) => {
                            let sql = "SELECT count(md5(name || n)) FROM item_00, generate_series(1, 80) AS n";
                            tx.query_one(sql, &[]).await?;
                            tx.commit().await?;
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(TenantTxError::Busy | TenantTxError::Overloaded) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(())
            });
        }
        Self { hands, stop, done }
    }

    /// How many queries it got done.
    async fn stop(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(done) = self.hands.join_next().await {
            done.context("a noisy client ended")??;
        }
        Ok(self.done.load(Ordering::Relaxed))
    }
}
