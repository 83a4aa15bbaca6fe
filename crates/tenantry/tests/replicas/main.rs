//! Several real replicas on one database: work is shared, nothing happens twice, nobody's work is lost with them.
//!
//! A trigger of the test's own writes down every change of ownership, so what is judged is not what the replicas say
//! of themselves. Afterwards all invariants of the kill lane hold.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(clippy::print_stderr, reason = "figures of a run")]
#![allow(dead_code, reason = "the kill lane uses the rest")]

#[path = "../kill/invariants/mod.rs"]
mod invariants;
mod thousand;
mod trouble;
mod witness;
#[path = "../kill/world/mod.rs"]
mod world;

use std::time::{Duration, Instant};

use tenantry_testkit::process::steady_port;
use uuid::Uuid;

use crate::invariants::View;
use crate::world::manifests::tenant;
use crate::world::{Serve, World};
use tenantry_domain::isolation::Isolation;

/// A replica and what the database calls it.
pub struct Replica {
    /// The process.
    pub serve: Serve,
    /// Its name in the registry.
    pub id: Uuid,
    /// The file of its lines.
    pub log: String,
}

/// Starts replicas one after the other, to learn which one is which.
pub async fn replicas(world: &World, count: usize) -> Vec<Replica> {
    let mut started: Vec<Replica> = Vec::new();
    for number in 0..count {
        let log = format!("replica-{number}.log");
        let mut serve = world.launch(steady_port(), &log, &[]);
        serve.ready().await;
        let known: Vec<Uuid> = started.iter().map(|replica| replica.id).collect();
        let sql = "SELECT id FROM tenantry.replica WHERE NOT id = ANY ($1)";
        let id =
            wait("the replica reports", async || world.control.query_opt(sql, &[&known]).await.unwrap()).await.get(0);
        started.push(Replica { serve, id, log });
    }
    started
}

/// Polls until there is something.
pub async fn wait<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Applies tenants that shall be active, all in one request.
pub async fn apply(replica: &Replica, tenants: &[(String, Isolation)]) {
    let documents: Vec<_> = tenants.iter().map(|(slug, level)| tenant(slug, *level, "active")).collect();
    let answer = replica.serve.client.apply(&documents, None).await.unwrap_or_else(|error| panic!("{error:?}"));
    assert!(answer.operation.is_some());
}

/// How many of the tenants whose slug starts so are active.
pub async fn active(world: &World, start: &str) -> i64 {
    let sql = "SELECT count(*) FROM tenantry.tenant WHERE phase = 'active' AND starts_with(slug, $1)";
    world.control.query_one(sql, &[&start]).await.unwrap().get(0)
}

/// How many runs a replica has a hold on.
pub async fn held(world: &World, replica: Uuid) -> i64 {
    let sql = "SELECT count(*) FROM tenantry.workflow WHERE status = 'running' AND owner = $1";
    world.control.query_one(sql, &[&replica]).await.unwrap().get(0)
}

/// All is active (and the neighbour, who was there first), every run completed the first time, and all invariants hold.
pub async fn assert_converged(world: &World, tenants: usize, every: usize) {
    let sql =
        "SELECT count(*), count(*) FILTER (WHERE status = 'completed'), count(DISTINCT tenant) FROM tenantry.workflow";
    let row = world.control.query_one(sql, &[]).await.unwrap();
    let count = i64::try_from(tenants + 1).unwrap();
    let found: (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(found, (count, count, count), "runs, completed runs, tenants with runs");
    let sql = "SELECT count(*), count(DISTINCT subject) FROM tenantry.outbox WHERE type = 'tenant.activated'";
    let row = world.control.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (count, count), "activations, tenants activated");
    let view = View { every, ..View::of_all(world).await };
    let found: Vec<_> = view.check().await.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(witness::usurpations(world).await, Vec::<String>::new());
}
