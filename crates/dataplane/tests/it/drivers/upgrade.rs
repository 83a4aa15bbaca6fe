//! A seal that an older version has installed: its tenants are let in, the difference is found, and preparing or repairing
//! brings it up to date.

use tenantry_dataplane::{FindingKind, Gate, Router, RouterOptions};
use tenantry_domain::isolation::Isolation;

use crate::drivers::bench::{Bench, claim, kinds};

const NOTES: &str = "CREATE TABLE notes (tenant_id uuid NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY, body text,
    PRIMARY KEY (tenant_id, id))";

/// What version 1 of the seal lacked.
const OLDER: &str = "DROP FUNCTION seal.enter(), seal.bind(integer, uuid, bigint, bytea);
    DROP INDEX tenantry.tenant_mark; DROP SEQUENCE seal.bound, seal.generation";

const NEWER: &str = "SELECT p.oid::regprocedure::text || ' ' || pg_get_userbyid(p.proowner)
      || ' ' || has_function_privilege('public', p.oid, 'EXECUTE')
      FROM pg_proc p WHERE p.oid IN (to_regprocedure('seal.enter()'), to_regprocedure('seal.bind(integer,uuid,bigint,bytea)'))
     UNION ALL SELECT indexrelid::regclass::text FROM pg_index WHERE indexrelid = to_regclass('tenantry.tenant_mark')
       AND indisunique ORDER BY 1";

const WHOLE: [&str; 3] = [
    "seal.bind(integer,uuid,bigint,bytea) tenantry_ctx false",
    "seal.enter() tenantry_ctx false",
    "tenantry.tenant_mark",
];

/// Whether a new connection takes the newer form; an armed one has no binding.
async fn is_bound(bench: &Bench, space: &tenantry_dataplane::Space) -> bool {
    let router = Router::new(RouterOptions::default());
    let tx = router.enter(&bench.cell.door(space).unwrap()).await.unwrap();
    let bound = tx.query_one("SELECT seal.enter()::text", &[]).await.is_ok();
    let _ = tx.rollback().await;
    router.close();
    bound
}

#[tokio::test]
async fn an_older_seal_is_found_and_repaired_at_every_level() {
    for level in [Isolation::Shared, Isolation::Schema, Isolation::Database] {
        let bench = Bench::new().await;
        let app = bench.app(1, &[("1.sql", NOTES)]);
        let space = bench.open(&app, level).await;
        bench.as_tenant(&space, "INSERT INTO notes (body) VALUES ('one')").await;
        let database = bench.database(&space);
        assert_eq!(bench.texts(&database, NEWER).await, WHOLE, "{level}");
        bench.run(&database, OLDER).await;
        // Those who are connected and those who come are let in all the same.
        bench.router.close();
        assert_eq!(bench.count(&space, "notes").await, 1, "{level}");
        assert!(!is_bound(&bench, &space).await, "{level}");
        let found = bench.cell.observe(&space).await.unwrap();
        assert_eq!(kinds(&found.findings), [FindingKind::SealBroken], "{level}");
        let repaired = bench.cell.repair(&space, &claim(2), Gate::Open).await.unwrap();
        assert!(repaired.fixed.iter().any(|text| text.contains("seal.bind")), "{level}: {:?}", repaired.fixed);
        assert_eq!(bench.cell.observe(&space).await.unwrap().findings, [], "{level}");
        assert_eq!(bench.texts(&database, NEWER).await, WHOLE, "{level}");
        assert!(is_bound(&bench, &space).await, "{level}");
        assert_eq!(bench.count(&space, "notes").await, 1, "{level}");
        bench.clean().await;
    }
}

#[tokio::test]
async fn the_first_preparation_by_a_newer_process_brings_a_home_up_to_date() {
    let bench = Bench::new().await;
    let app = bench.app(1, &[("1.sql", NOTES)]);
    let space = bench.open(&app, Isolation::Shared).await;
    bench.run(&bench.home(), OLDER).await;
    bench.twin().await.prepare(&app).await.unwrap();
    assert_eq!(bench.texts(&bench.home(), NEWER).await, WHOLE);
    assert!(is_bound(&bench, &space).await);
    bench.clean().await;
}
