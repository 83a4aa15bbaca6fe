//! What the tenant's context costs a request, beside the same work without any.

use std::time::{Duration, Instant};

use secrecy::SecretString;
use tenantry_pg::{Pool, PoolOptions, Target};
use tenantry_sdk::Sources;
use tenantry_sdk::{Look, Tenant, Tenantry};

use crate::world::World;

const ROUNDS: usize = 1_000;

const BOUND: Duration = Duration::from_millis(10);

fn percentile(times: &mut [Duration], share: usize) -> Duration {
    times.sort_unstable();
    times[times.len() * share / 100 - 1]
}

/// Resolves by host as the layer does, and runs a transaction.
async fn with_context(tenantry: &Tenantry, host: &Sources) -> Duration {
    let began = Instant::now();
    let tenant: Tenant = tenantry.resolve(host, Look::Cached).await.unwrap();
    let tx = tenantry.begin(&tenant).await.unwrap();
    tx.query("SELECT body FROM notes", &[]).await.unwrap();
    tx.commit().await.unwrap();
    began.elapsed()
}

#[tokio::test]
async fn the_context_costs_less_than_ten_milliseconds_in_the_median() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    let mut hosts = Vec::new();
    let mut schema = String::new();
    let mut database = String::new();
    for slug in ["acme", "globex", "initech"] {
        let tenant = world.named(&tenantry, slug, "shared", "active").await.tenant;
        let route = tenantry.route(&tenant).await.unwrap();
        (schema, database) = (route.schema, route.database);
        hosts.push(Sources::host(format!("{slug}.app.example.com")));
    }
    let server = tenantry_testkit::pg::server();
    let target = Target::parse(&SecretString::from(server.url(&database))).unwrap();
    let plain = Pool::new(target, PoolOptions::default());
    let sql: &'static str = Box::leak(format!("SELECT body FROM \"{schema}\".notes").into_boxed_str());
    let (mut bare, mut sealed) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let began = Instant::now();
        let tx = plain.begin().await.unwrap();
        tx.query(sql, &[]).await.unwrap();
        tx.commit().await.unwrap();
        bare.push(began.elapsed());
        sealed.push(with_context(&tenantry, &hosts[round % hosts.len()]).await);
    }
    let (median, worst) = (percentile(&mut sealed, 50), percentile(&mut sealed, 99));
    let (bare_median, bare_worst) = (percentile(&mut bare, 50), percentile(&mut bare, 99));
    eprintln!("cost: with context {median:?} and {worst:?} (median, p99), without {bare_median:?} and {bare_worst:?}");
    // Other tests run at the same time, so only the median is sure; the tail is a matter of benchmarks.
    assert!(median.saturating_sub(bare_median) < BOUND, "{median:?} beside {bare_median:?}");
    world.end().await;
}
