//! Verbs that are cut off at any moment, and called again.

use std::time::Duration;

use tenantry_dataplane::{Gate, Space};
use tenantry_domain::isolation::Isolation;

use super::bench::{Bench, LEVELS, claim};

/// Calls again and again, each time with a little more time, until it is done. Every call but the last is dropped in the
/// middle of whatever it was doing.
macro_rules! cut_off {
    ($step:expr, $verb:expr) => {{
        let mut limit = $step;
        let mut cuts = 0;
        loop {
            match tokio::time::timeout(limit, $verb).await {
                Ok(result) => break (result, cuts),
                Err(_) => {
                    cuts += 1;
                    limit = limit.mul_f64(1.3) + Duration::from_micros(300);
                }
            }
        }
    }};
}

#[tokio::test]
async fn a_tenant_is_made_and_erased_although_every_call_is_cut_off_many_times() {
    for level in LEVELS {
        let bench = Bench::new().await;
        let app = bench.chat(3);
        let step = if level == Isolation::Database { Duration::from_millis(4) } else { Duration::from_millis(1) };
        let (prepared, cuts) = cut_off!(Duration::from_millis(10), bench.cell.prepare(&app));
        prepared.unwrap();
        assert!(cuts > 3, "{cuts}");
        if level.has_own_role() {
            let (refilled, _) = cut_off!(step * 2, bench.cell.refill(&app, level, 1));
            refilled.unwrap();
        }
        for round in 0..2 {
            let space = bench.space(&app, level);
            let turn = claim(1);
            let mut cuts = 0;
            cuts += {
                let (done, cuts) = cut_off!(step, bench.cell.create(&space, &turn));
                done.unwrap();
                cuts
            };
            cuts += {
                let (done, cuts) = cut_off!(step, bench.cell.migrate(&space, &turn));
                done.unwrap();
                cuts
            };
            cuts += {
                let (done, cuts) = cut_off!(step, bench.cell.set_gate(&space, &turn, Gate::Open));
                done.unwrap();
                cuts
            };
            assert!(cuts > 2 || !level.has_own_role(), "{level} {round}: {cuts}");
            assert_eq!(bench.cell.observe(&space).await.unwrap().findings, [], "{level} {round}");
            bench
                .as_tenant(
                    &space,
                    "INSERT INTO users (email, display_name) SELECT n || '@b.c', 'A' FROM generate_series(1, 100) n",
                )
                .await;
            let (done, _) = cut_off!(step, bench.cell.repair(&space, &turn, Gate::Open));
            assert_eq!(done.unwrap().fixed, [""; 0], "{level}");
            gone(&bench, space, step).await;
        }
        // Half-made copies, and such as were in the making.
        bench.cell.reap(&app).await.unwrap();
        assert_eq!(bench.leftovers().await, [""; 0], "{level}");
        assert_eq!(bench.texts(&bench.home(), "SELECT count(*)::text FROM tenantry.tenant").await, ["0"]);
        bench.clean().await;
    }
}

async fn gone(bench: &Bench, space: Space, step: Duration) {
    let turn = claim(2);
    let (done, _) = cut_off!(step, bench.cell.set_gate(&space, &turn, Gate::Archived));
    done.unwrap();
    let (done, _) = cut_off!(step, bench.cell.erase(&space, &turn));
    done.unwrap();
    assert!(!bench.cell.observe(&space).await.unwrap().exists);
}

/// The undo of a creation that was cut off anywhere leaves nothing.
#[tokio::test]
async fn whatever_of_a_creation_is_there_is_undone() {
    for level in LEVELS {
        let bench = Bench::new().await;
        let app = bench.chat(1);
        let first = bench.open(&app, level).await;
        for stop in [1, 2, 3, 5, 8, 12, 17, 25, 40, 60] {
            let space = bench.space(&app, level);
            let turn = claim(1);
            let _ = tokio::time::timeout(Duration::from_millis(stop), bench.cell.create(&space, &turn)).await;
            bench.cell.uncreate(&space, &turn).await.unwrap();
            assert!(!bench.cell.observe(&space).await.unwrap().exists, "{level} {stop}");
        }
        bench.cell.reap(&app).await.unwrap();
        bench.cell.erase(&first, &claim(2)).await.unwrap();
        assert_eq!(bench.leftovers().await, [""; 0], "{level}");
        bench.clean().await;
    }
}
