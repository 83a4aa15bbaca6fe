//! Every verb at every level, and every verb twice.

use tenantry_dataplane::{Expected, Gate, SealMode, TenantTxError};
use tenantry_domain::isolation::Isolation;

use super::bench::{Bench, LEVELS, claim};

#[tokio::test]
async fn a_tenant_lives_through_every_verb_and_each_may_be_repeated() {
    for level in LEVELS {
        let bench = Bench::new().await;
        let app = bench.chat(3);
        let cell = &bench.cell;
        let (space, claim) = (bench.space(&app, level), claim(1));

        let prepared = cell.prepare(&app).await.unwrap();
        assert_eq!((prepared.seal, prepared.version, prepared.applied.len()), (SealMode::Register, Some(3), 3));
        let prepared = cell.prepare(&app).await.unwrap();
        assert_eq!((prepared.version, prepared.applied.len()), (Some(3), 0));

        assert!(cell.create(&space, &claim).await.unwrap().fresh, "{level}");
        assert!(!cell.create(&space, &claim).await.unwrap().fresh, "{level}");
        let observed = cell.observe(&space).await.unwrap();
        assert!(observed.exists && observed.gate == Some(Gate::Preparing), "{observed:?}");

        let migrated = cell.migrate(&space, &claim).await.unwrap();
        assert_eq!(migrated.version, 3, "{level}");
        assert!(cell.migrate(&space, &claim).await.unwrap().applied.is_empty(), "{level}");
        assert!(bench.enter(&space).await.is_err(), "{level}: not open yet");

        for _ in 0..2 {
            cell.set_gate(&space, &claim, Gate::Open).await.unwrap();
        }
        let seed =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/chat/seed.sql")).unwrap();
        bench.as_tenant(&space, &seed).await;
        assert_eq!(bench.count(&space, "messages").await, 240, "{level}");
        assert_eq!(bench.count(&space, "countries").await, 23, "{level}");

        let observed = cell.observe(&space).await.unwrap();
        assert_eq!((observed.version, observed.epoch, observed.findings), (Some(3), Some(1), vec![]), "{level}");
        let connections = Some(space.connections);
        let expected = Expected { tenant: space.tenant, isolation: level, epoch: 1, gate: Gate::Open, connections };
        let swept = cell.sweep(&app, &[expected]).await.unwrap();
        assert_eq!((swept.common, swept.tenants), (vec![], vec![]), "{level}");
        for _ in 0..2 {
            assert_eq!(cell.repair(&space, &claim, Gate::Open).await.unwrap().fixed, [""; 0], "{level}");
        }

        for gate in [Gate::Suspended, Gate::Suspended, Gate::Archived] {
            cell.set_gate(&space, &claim, gate).await.unwrap();
            let refused = bench.enter(&space).await;
            match level {
                Isolation::Shared => assert!(matches!(refused, Err(TenantTxError::Suspended)), "{level}"),
                _ => assert!(refused.is_err(), "{level}"),
            }
        }
        cell.set_gate(&space, &claim, Gate::Open).await.unwrap();
        assert_eq!(bench.count(&space, "messages").await, 240, "{level}");

        cell.set_gate(&space, &claim, Gate::Archived).await.unwrap();
        for _ in 0..2 {
            cell.erase(&space, &claim).await.unwrap();
            let observed = cell.observe(&space).await.unwrap();
            assert!(!observed.exists && observed.gate.is_none(), "{level}: {observed:?}");
        }
        cell.uncreate(&space, &claim).await.unwrap();
        bench.clean().await;
    }
}
