//! Many at once, and the same thing at once from several processes.

use std::sync::Arc;

use futures_util::future::join_all;
use tenantry_dataplane::{Expected, Gate};
use tenantry_domain::isolation::Isolation;

use super::bench::{Bench, LEVELS, NOTES, claim};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_tenants_are_made_at_once_at_every_level() {
    for level in LEVELS {
        let bench = Bench::new().await;
        let app = bench.chat(3);
        let spaces: Vec<_> = (0..50).map(|_| bench.space(&app, level)).collect();
        let made = spaces.iter().map(|space| async {
            bench.cell.create(space, &claim(1)).await?;
            bench.cell.migrate(space, &claim(1)).await?;
            bench.cell.set_gate(space, &claim(1), Gate::Open).await
        });
        for made in join_all(made).await {
            made.unwrap();
        }
        let expected: Vec<_> = spaces
            .iter()
            .map(|s| Expected {
                tenant: s.tenant,
                isolation: level,
                epoch: 1,
                gate: Gate::Open,
                connections: Some(s.connections),
            })
            .collect();
        let swept = bench.cell.sweep(&app, &expected).await.unwrap();
        assert_eq!((swept.common, swept.tenants), (vec![], vec![]), "{level}");
        bench.as_tenant(&spaces[49], "INSERT INTO users (email, display_name) VALUES ('a@b.c', 'A')").await;
        assert_eq!(bench.count(&spaces[49], "users").await, 1);
        assert_eq!(bench.count(&spaces[0], "users").await, 0);
        bench.clean().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_may_prepare_the_same_app_at_once() {
    let bench = Bench::new().await;
    let others = [bench.twin().await, bench.twin().await, bench.twin().await];
    let app = bench.chat(3);
    let prepared = join_all(others.iter().chain([&bench.cell]).map(|cell| cell.prepare(&app))).await;
    let ran: usize = prepared.iter().map(|prepared| prepared.as_ref().unwrap().applied.len()).sum();
    assert_eq!(ran, 3);
    bench.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_runners_of_one_claim_make_one_place() {
    for level in LEVELS {
        let bench = Bench::new().await;
        let others = [bench.twin().await, bench.twin().await];
        let app = bench.app(2, &[("1.sql", NOTES), ("2.sql", "CREATE INDEX ON notes (tenant_id, body)")]);
        let space = Arc::new(bench.space(&app, level));
        let runs = others.iter().chain([&bench.cell]).map(|cell| {
            let space = Arc::clone(&space);
            async move {
                cell.create(&space, &claim(1)).await?;
                cell.migrate(&space, &claim(1)).await?;
                cell.set_gate(&space, &claim(1), Gate::Open).await
            }
        });
        for run in join_all(runs).await {
            run.unwrap();
        }
        let observed = bench.cell.observe(&space).await.unwrap();
        assert_eq!((observed.gate, observed.findings), (Some(Gate::Open), vec![]), "{level}");
        let turn = claim(1);
        let erased = others.iter().chain([&bench.cell]).map(|cell| cell.erase(&space, &turn));
        for erased in join_all(erased).await {
            erased.unwrap();
        }
        assert!(!bench.cell.observe(&space).await.unwrap().exists, "{level}");
        if level == Isolation::Database {
            // Runners that came too late left a copy each.
            bench.cell.reap(&app).await.unwrap();
        }
        assert_eq!(bench.leftovers().await, [""; 0], "{level}");
        bench.clean().await;
    }
}
