//! The migration ledger.

use tenantry_pg::Ident;
use tenantry_pg::migrate::{Applied, MigrateError, Migration, run};

use crate::{fresh, pool_of};

const ONE: Migration =
    Migration { version: 1, name: "one", sql: "CREATE TABLE \"My s\".t (a int); INSERT INTO \"My s\".t VALUES (1)" };
const TWO: Migration = Migration { version: 2, name: "two", sql: "UPDATE \"My s\".t SET a = a + 1" };
const THREE: Migration = Migration { version: 3, name: "three", sql: "UPDATE \"My s\".t SET a = a * 10" };

fn schema() -> Ident {
    Ident::new("My s").unwrap()
}

#[tokio::test]
async fn each_file_runs_once_in_order() {
    let db = fresh();
    let pool = pool_of(&db, 2);
    assert_eq!(run(&pool, &schema(), &[]).await.unwrap(), Applied { applied: vec![], version: 0 });
    assert_eq!(run(&pool, &schema(), &[ONE]).await.unwrap(), Applied { applied: vec![1], version: 1 });
    assert_eq!(run(&pool, &schema(), &[ONE, TWO, THREE]).await.unwrap(), Applied { applied: vec![2, 3], version: 3 });
    assert_eq!(run(&pool, &schema(), &[ONE, TWO, THREE]).await.unwrap(), Applied { applied: vec![], version: 3 });
    // An older binary carries on.
    assert_eq!(run(&pool, &schema(), &[ONE]).await.unwrap(), Applied { applied: vec![], version: 3 });
    let a = pool.get().await.unwrap().query_one("SELECT a FROM \"My s\".t", &[]).await.unwrap();
    assert_eq!(a.get::<_, i32>(0), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_runners_apply_once() {
    let db = fresh();
    let pools: Vec<_> = (0..8).map(|_| pool_of(&db, 1)).collect();
    let files = [ONE, TWO, THREE];
    let name = schema();
    let runs = futures_util::future::join_all(pools.iter().map(|pool| run(pool, &name, &files))).await;
    let applied: usize = runs.into_iter().map(|run| run.unwrap().applied.len()).sum();
    assert_eq!(applied, 3);
}

#[tokio::test]
async fn changed_late_and_disordered_files_are_refused() {
    let db = fresh();
    let pool = pool_of(&db, 1);
    run(&pool, &schema(), &[ONE, THREE]).await.unwrap();
    let changed = Migration { sql: "SELECT 1", ..ONE };
    assert!(matches!(run(&pool, &schema(), &[changed]).await, Err(MigrateError::Changed { version: 1, .. })));
    let late = run(&pool, &schema(), &[ONE, TWO, THREE]).await;
    assert!(matches!(late, Err(MigrateError::Late { version: 2, newest: 3, .. })));
    assert!(matches!(run(&pool, &schema(), &[TWO, ONE]).await, Err(MigrateError::Order { version: 1 })));
    assert!(matches!(run(&pool, &schema(), &[ONE, ONE]).await, Err(MigrateError::Order { version: 1 })));
}

#[tokio::test]
async fn a_failing_file_undoes_the_run() {
    let db = fresh();
    let pool = pool_of(&db, 1);
    let broken = Migration { version: 4, name: "broken", sql: "SELECT 1 / 0" };
    let Err(MigrateError::Failed { version: 4, error, .. }) = run(&pool, &schema(), &[ONE, broken]).await else {
        panic!("it ran");
    };
    assert_eq!(error.sqlstate(), Some("22012"));
    let found = pool.get().await.unwrap().query("SELECT FROM pg_namespace WHERE nspname = 'My s'", &[]).await.unwrap();
    assert!(found.is_empty());
}

#[tokio::test]
async fn a_lock_of_somebody_else_is_not_waited_for_without_end() {
    let db = fresh();
    let (pool, other) = (pool_of(&db, 2), pool_of(&db, 1));
    run(&pool, &schema(), &[ONE]).await.unwrap();
    let tx = other.begin().await.unwrap();
    let holder: i32 = tx.query_one("SELECT pg_backend_pid() FROM \"My s\".t", &[]).await.unwrap().get(0);
    let add = Migration { version: 2, name: "add", sql: "ALTER TABLE \"My s\".t ADD COLUMN b int" };
    let began = std::time::Instant::now();
    let Err(MigrateError::Blocked { holders, .. }) = run(&pool, &schema(), &[ONE, add]).await else { panic!("it ran") };
    assert!(began.elapsed().as_secs() < 10);
    assert_eq!(holders, [holder]);
    tx.rollback().await.unwrap();
    assert_eq!(run(&pool, &schema(), &[ONE, add]).await.unwrap().applied, [2]);
}
