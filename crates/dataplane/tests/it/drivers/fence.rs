//! An outdated claim changes nothing, whatever it tries.

use tenantry_dataplane::{DataError, Gate};

use super::bench::{Bench, LEVELS, NOTES, claim, claim_of, fenced};

#[tokio::test]
async fn every_verb_with_an_outdated_claim_is_refused_and_changes_nothing() {
    for level in LEVELS {
        let bench = Bench::new().await;
        let app = bench.app(1, &[("1.sql", NOTES)]);
        let cell = &bench.cell;
        let space = bench.space(&app, level);
        let (old, new) = (claim_of(1, 1), claim_of(2, 1));
        cell.create(&space, &new).await.unwrap();
        cell.migrate(&space, &new).await.unwrap();
        cell.set_gate(&space, &new, Gate::Open).await.unwrap();
        bench.as_tenant(&space, "INSERT INTO notes (body) VALUES ('kept')").await;
        let before = bench.digest().await;

        fenced(cell.create(&space, &old).await);
        fenced(cell.migrate(&space, &old).await);
        for gate in Gate::ALL {
            fenced(cell.set_gate(&space, &old, gate).await);
        }
        fenced(cell.repair(&space, &old, Gate::Suspended).await);
        fenced(cell.uncreate(&space, &old).await);
        fenced(cell.erase(&space, &old).await);
        assert_eq!(bench.digest().await, before, "{level}");
        assert_eq!(bench.count(&space, "notes").await, 1, "{level}");

        // A claim that is newer than the place itself, with an older placement.
        let moved = tenantry_dataplane::Space { epoch: 3, ..space.clone() };
        cell.set_gate(&moved, &claim(3), Gate::Open).await.unwrap();
        fenced(cell.set_gate(&space, &claim(4), Gate::Open).await);
        bench.clean().await;
    }
}

#[tokio::test]
async fn nothing_comes_back_after_erasure_and_only_the_maker_undoes() {
    for level in LEVELS {
        let bench = Bench::new().await;
        let app = bench.app(1, &[("1.sql", NOTES)]);
        let cell = &bench.cell;
        cell.prepare(&app).await.unwrap();
        let space = bench.space(&app, level);
        cell.create(&space, &claim_of(5, 1)).await.unwrap();
        let made = bench.digest().await;

        // Another workflow's undo removes nothing; it only leaves its claim.
        cell.uncreate(&space, &claim_of(5, 2)).await.unwrap();
        assert_eq!(bench.digest().await, made, "{level}");
        cell.uncreate(&space, &claim_of(6, 1)).await.unwrap();
        fenced(cell.create(&space, &claim_of(5, 1)).await);
        assert!(!cell.observe(&space).await.unwrap().exists, "{level}");

        // A newer one may begin again.
        assert!(cell.create(&space, &claim_of(7, 3)).await.unwrap().fresh, "{level}");
        cell.erase(&space, &claim_of(8, 4)).await.unwrap();
        fenced(cell.create(&space, &claim_of(7, 3)).await);
        bench.clean().await;
    }
}

#[tokio::test]
async fn a_tenant_that_was_let_in_and_wrote_is_not_undone() {
    for level in LEVELS {
        let bench = Bench::new().await;
        let app = bench.app(1, &[("1.sql", NOTES)]);
        let space = bench.open(&app, level).await;
        bench.as_tenant(&space, "INSERT INTO notes (body) VALUES ('precious')").await;
        let undone = bench.cell.uncreate(&space, &claim(1)).await;
        assert!(matches!(&undone, Err(DataError::Occupied { table }) if table == "notes"), "{level}: {undone:?}");
        assert_eq!(bench.count(&space, "notes").await, 1, "{level}");
        bench.as_tenant(&space, "DELETE FROM notes").await;
        bench.cell.uncreate(&space, &claim(1)).await.unwrap();
        assert!(!bench.cell.observe(&space).await.unwrap().exists, "{level}");
        bench.clean().await;
    }
}
