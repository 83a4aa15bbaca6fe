//! Futures dropped anywhere: no row of another tenant is ever seen, and nothing stays stuck.
//!
//! `TENANTRY_SDK_CANCEL=1000000` runs the long form.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tenantry_sdk::{Error, Tenant, Tenantry};

use crate::world::{Dice, World, until};

const TENANTS: u64 = 50;
const WORKERS: u64 = 32;

#[derive(Default)]
struct Tally {
    foreign: AtomicU64,
    done: AtomicU64,
    cancelled: AtomicU64,
    refused: AtomicU64,
}

async fn request(tenantry: &Tenantry, tenant: &Tenant, dice: u64, tally: &Tally) -> Result<(), Error> {
    let tx = tenantry.begin(tenant).await?;
    let rows = tx.query("SELECT tenant_id::text, body FROM notes", &[]).await?;
    let own = (tenant.uuid().to_string(), tenant.slug());
    let foreign =
        rows.iter().filter(|row| row.get::<_, String>(0) != own.0 || row.get::<_, String>(1) != own.1).count();
    tally.foreign.fetch_add(foreign as u64, Ordering::Relaxed);
    assert!(!rows.is_empty(), "its own row is there");
    match dice % 4 {
        0 => tx.execute("UPDATE notes SET body = body", &[]).await.map(drop)?,
        1 => tx.query("SELECT pg_sleep(0.002)", &[]).await.map(drop)?,
        2 => tx.batch_static("SET statement_timeout = '7s'; PREPARE x AS SELECT body FROM notes; LISTEN c").await?,
        _ => {}
    }
    match dice % 3 {
        0 => tx.rollback().await,
        1 => tx.commit().await,
        // A transaction that is dropped half-way.
        _ => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_dropped_anywhere_leave_nothing_behind() {
    let total: u64 = std::env::var("TENANTRY_SDK_CANCEL").ok().map_or(10_000, |count| count.parse().unwrap());
    let world = World::new().await;
    let tenantry = world.tenantry_with(|settings| {
        (settings.cell_connections, settings.login_connections, settings.tenant_connections) = (8, 4, 2);
        settings.wait = Duration::from_secs(30);
    });
    let factory = world.factory(&tenantry).with_user(|tenantry, tenant| async move {
        let tx = tenantry.begin(&tenant).await?;
        tx.execute("INSERT INTO notes (body) VALUES ($1)", &[&tenant.slug()]).await?;
        tx.commit().await
    });
    let mut tenants = Vec::new();
    for number in 0..TENANTS {
        let plan = if number % 10 == 0 { "schema" } else { "shared" };
        tenants.push(factory.make(plan).await.unwrap().tenant);
    }
    let (tenants, tally) = (Arc::new(tenants), Arc::new(Tally::default()));
    let began = Instant::now();
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (tenantry, tenants, tally) = (tenantry.clone(), Arc::clone(&tenants), Arc::clone(&tally));
            tokio::spawn(async move {
                let mut dice = Dice::new(worker + 1);
                for _ in 0..total / WORKERS + 1 {
                    let tenant = &tenants[usize::try_from(dice.below(TENANTS)).unwrap()];
                    // A third of the requests ends in time whatever happens.
                    let patience = match dice.below(3) {
                        0 => Duration::from_secs(60),
                        _ => Duration::from_micros(dice.below(6_000)),
                    };
                    let served = request(&tenantry, tenant, dice.below(12), &tally);
                    match tokio::time::timeout(patience, served).await {
                        Err(_) => &tally.cancelled,
                        Ok(Ok(())) => &tally.done,
                        Ok(Err(_)) => &tally.refused,
                    }
                    .fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (done, cancelled, refused) = (count(&tally.done), count(&tally.cancelled), count(&tally.refused));
    let took = began.elapsed();
    eprintln!(
        "cancel: {total} requests of {TENANTS} tenants in {took:?}: {done} done, {cancelled} dropped, {refused} refused, {} foreign",
        count(&tally.foreign)
    );
    assert_eq!(count(&tally.foreign), 0);
    assert!(cancelled > total / 10 && done > total / 10, "{done} done, {cancelled} dropped");
    assert_eq!(refused, 0);
    until("everything is given back", || async {
        let status = tenantry.status();
        let (open, inside) = world.connections().await;
        ((status.in_use, status.waiting, inside) == (0, 0, 0) && open <= 8).then_some(())
    })
    .await;
    // Every place is free: as many as there may be are had at once, and every tenant is served.
    for tenant in tenants.iter() {
        let (one, two) = tokio::join!(tenantry.begin(tenant), tenantry.begin(tenant));
        for tx in [one.unwrap(), two.unwrap()] {
            let row = tx.query_one("SELECT body FROM notes", &[]).await.unwrap();
            assert_eq!(row.get::<_, String>(0), tenant.slug());
            tx.commit().await.unwrap();
        }
    }
    world.end().await;
}
