//! Shutting a tenant out ends its transactions within a second and nobody else's.

use std::time::{Duration, Instant};

use tenantry_dataplane::{Gate, TenantTxError};
use tenantry_domain::isolation::Isolation;

use super::bench::{Bench, LEVELS, NOTES, claim};

#[tokio::test]
async fn open_transactions_of_the_tenant_end_and_those_of_neighbours_survive() {
    for level in LEVELS {
        let bench = Bench::new().await;
        let app = bench.app(1, &[("1.sql", NOTES)]);
        let (shut, neighbour) = (bench.open(&app, level).await, bench.open(&app, level).await);
        let open = [bench.enter(&shut).await.unwrap(), bench.enter(&shut).await.unwrap()];
        for tx in &open {
            tx.execute("INSERT INTO notes (body) VALUES ('lost')", &[]).await.unwrap();
        }
        let beside = bench.enter(&neighbour).await.unwrap();
        beside.execute("INSERT INTO notes (body) VALUES ('kept')", &[]).await.unwrap();

        let began = Instant::now();
        let gated = bench.cell.set_gate(&shut, &claim(2), Gate::Suspended).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(3), "{level}: {:?}", began.elapsed());
        assert_eq!(gated.cut, 2, "{level}");
        for tx in open {
            assert!(tx.execute("INSERT INTO notes (body) VALUES ('late')", &[]).await.is_err(), "{level}");
            assert!(tx.commit().await.is_err(), "{level}");
        }
        assert!(bench.enter(&shut).await.is_err(), "{level}");
        beside.execute("INSERT INTO notes (body) VALUES ('kept too')", &[]).await.unwrap();
        beside.commit().await.unwrap();
        assert_eq!(bench.count(&neighbour, "notes").await, 2, "{level}");

        bench.cell.set_gate(&shut, &claim(3), Gate::Open).await.unwrap();
        assert_eq!(bench.count(&shut, "notes").await, 0, "{level}");
        bench.clean().await;
    }
}

/// Transactions that end by themselves in the grace time are not cut, and their work is kept.
#[tokio::test]
async fn a_transaction_that_is_about_to_end_may_end() {
    let options =
        tenantry_dataplane::Options { grace: Duration::from_secs(2), ..tenantry_dataplane::Options::default() };
    let bench = Bench::on(tenantry_testkit::pg::server(), options).await;
    let app = bench.app(1, &[("1.sql", NOTES)]);
    let space = bench.open(&app, Isolation::Shared).await;
    let tx = bench.enter(&space).await.unwrap();
    tx.execute("INSERT INTO notes (body) VALUES ('in time')", &[]).await.unwrap();
    let turn = claim(2);
    let (gated, committed) = tokio::join!(bench.cell.set_gate(&space, &turn, Gate::Suspended), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        tx.commit().await
    });
    committed.unwrap();
    assert_eq!(gated.unwrap().cut, 0);
    bench.cell.set_gate(&space, &claim(3), Gate::Open).await.unwrap();
    assert_eq!(bench.count(&space, "notes").await, 1);
    bench.clean().await;
}

/// What was acknowledged before the gate was shut is there; nothing is acknowledged afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_commits_after_the_gate_is_shut() {
    for level in LEVELS {
        let bench = std::sync::Arc::new(Bench::new().await);
        let app = bench.app(1, &[("1.sql", NOTES)]);
        let space = bench.open(&app, level).await;
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let (bench, space, stop) = (bench.clone(), space.clone(), stop.clone());
                tokio::spawn(async move {
                    let (mut kept, mut unknown, mut late) = (0, 0, 0);
                    loop {
                        let stopped = stop.load(std::sync::atomic::Ordering::SeqCst);
                        if let Ok(tx) = bench.enter(&space).await {
                            let wrote = tx.execute("INSERT INTO notes (body) VALUES ('x')", &[]).await.is_ok();
                            match tx.commit().await {
                                Ok(()) if wrote && stopped => late += 1,
                                Ok(()) if wrote => kept += 1,
                                Err(tenantry_pg::CommitError::Unknown(_)) => unknown += 1,
                                _ => {}
                            }
                        } else if stopped {
                            return (kept, unknown, late);
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        bench.cell.set_gate(&space, &claim(2), Gate::Suspended).await.unwrap();
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        let schema = bench.schema(&space);
        let rows: i64 =
            bench.texts(&bench.database(&space), &format!("SELECT count(*)::text FROM {schema}.notes")).await[0]
                .parse()
                .unwrap();
        let (mut kept, mut unknown) = (0, 0);
        for writer in writers {
            let (k, u, late) = writer.await.unwrap();
            assert_eq!(late, 0, "{level}");
            kept += k;
            unknown += u;
        }
        let later: i64 =
            bench.texts(&bench.database(&space), &format!("SELECT count(*)::text FROM {schema}.notes")).await[0]
                .parse()
                .unwrap();
        assert_eq!(rows, later, "{level}");
        assert!(rows >= kept && rows <= kept + unknown && kept > 0, "{level}: {kept} {unknown} {rows}");
        std::sync::Arc::into_inner(bench).unwrap().clean().await;
    }
}

#[tokio::test]
async fn opening_publishes_generation_path_and_bound() {
    for level in LEVELS {
        let bench = Bench::new().await;
        let app = bench.app(1, &[("1.sql", NOTES)]);
        let space = bench.open(&app, level).await;
        let moved = tenantry_dataplane::Space { epoch: 2, connections: Some(3), ..space.clone() };
        bench.cell.set_gate(&moved, &claim(2), Gate::Open).await.unwrap();
        assert!(matches!(bench.enter(&space).await, Err(TenantTxError::Stale)), "{level}");
        assert_eq!(bench.count(&moved, "notes").await, 0);
        let observed = bench.cell.observe(&moved).await.unwrap();
        assert_eq!((observed.epoch, observed.findings), (Some(2), vec![]), "{level}");
        if level.has_own_role() {
            let role = bench.role(&space);
            let limit = bench
                .texts("postgres", &format!("SELECT rolconnlimit::text FROM pg_roles WHERE rolname = '{role}'"))
                .await;
            assert_eq!(limit, ["3"], "{level}");
        }
        bench.clean().await;
    }
}
