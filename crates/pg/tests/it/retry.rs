//! Transactions that lose are run again.

use std::sync::atomic::{AtomicU32, Ordering};

use tenantry_pg::{CommitError, Contended, PgError, PgKind, Pool, TxMode, retry_serialization};

use crate::{fresh, pool_of};

#[derive(Debug)]
enum AddError {
    Pg(PgError),
    Commit(CommitError),
}

impl Contended for AddError {
    fn is_contended(&self) -> bool {
        match self {
            Self::Pg(error) => error.is_contended(),
            Self::Commit(error) => error.is_contended(),
        }
    }
}

async fn add_one(pool: &Pool) -> Result<(), AddError> {
    let tx = pool.begin_with(TxMode::Serializable).await.map_err(AddError::Pg)?;
    let n: i64 = tx.query_one("SELECT n FROM counter", &[]).await.map_err(AddError::Pg)?.get(0);
    tx.execute("UPDATE counter SET n = $1", &[&(n + 1)]).await.map_err(AddError::Pg)?;
    tx.commit().await.map_err(AddError::Commit)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_increments_all_count() {
    let db = fresh();
    let pool = pool_of(&db, 8);
    pool.get()
        .await
        .unwrap()
        .batch_static("CREATE TABLE counter (n bigint); INSERT INTO counter VALUES (0)")
        .await
        .unwrap();
    let tries = AtomicU32::new(0);
    let one = async || {
        retry_serialization(50, || {
            tries.fetch_add(1, Ordering::Relaxed);
            add_one(&pool)
        })
        .await
        .unwrap();
    };
    futures_util::future::join_all((0..24).map(|_| one())).await;
    let n = pool.get().await.unwrap().query_one("SELECT n FROM counter", &[]).await.unwrap();
    assert_eq!(n.get::<_, i64>(0), 24);
    assert!(tries.into_inner() > 24, "nothing was contended: the test does not test");
}

#[tokio::test]
async fn other_errors_and_the_last_one_come_back() {
    let db = fresh();
    let pool = pool_of(&db, 1);
    let tries = AtomicU32::new(0);
    let fail = |state: &'static str| {
        let (tries, pool) = (&tries, &pool);
        retry_serialization(3, move || async move {
            tries.fetch_add(1, Ordering::Relaxed);
            let conn = pool.get().await?;
            let raise = tenantry_pg::Sql::new("DO $$BEGIN RAISE 'no' USING ERRCODE = ").literal(state).push("; END$$");
            let answer = conn.batch(&raise).await;
            conn.release();
            answer
        })
    };
    assert_eq!(fail("40P01").await.unwrap_err().kind(), PgKind::Serialization);
    assert_eq!(tries.swap(0, Ordering::Relaxed), 3);
    let error = fail("TN001").await.unwrap_err();
    assert_eq!((error.kind(), error.sqlstate()), (PgKind::Tenantry, Some("TN001")));
    assert_eq!(tries.into_inner(), 1);
}
