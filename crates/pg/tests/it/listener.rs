//! Hearing, and hearing again after the connection was lost.

use std::time::Duration;

use tenantry_pg::{Listener, Notification};

use crate::{fresh, pool_of, target};

async fn heard(listener: &mut Listener) -> Notification {
    tokio::time::timeout(Duration::from_secs(10), listener.next()).await.expect("nothing was heard")
}

fn sent(channel: &str, payload: &str) -> Notification {
    Notification::Sent { channel: channel.to_owned(), payload: payload.to_owned() }
}

#[tokio::test]
async fn it_listens_again_after_its_backend_was_terminated() {
    let db = fresh();
    let conn = pool_of(&db, 1).get().await.unwrap();
    let mut listener = Listener::connect(target(&db.url()), &["jobs", "Odd \"Name\""]).await.unwrap();
    conn.execute("SELECT pg_notify('jobs', 'one')", &[]).await.unwrap();
    assert_eq!(heard(&mut listener).await, sent("jobs", "one"));
    for _ in 0..3 {
        let ended = conn
            .query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE application_name = 'tenantry listener' AND datname = current_database()",
                &[],
            )
            .await
            .unwrap();
        assert_eq!(ended.len(), 1);
        assert_eq!(heard(&mut listener).await, Notification::Resumed);
        conn.execute("SELECT pg_notify('Odd \"Name\"', 'two')", &[]).await.unwrap();
        assert_eq!(heard(&mut listener).await, sent("Odd \"Name\"", "two"));
    }
}

#[tokio::test]
async fn a_cancelled_wait_loses_nothing_and_a_dropped_listener_is_gone() {
    let db = fresh();
    let conn = pool_of(&db, 1).get().await.unwrap();
    let mut listener = Listener::connect(target(&db.url()), &["jobs"]).await.unwrap();
    for n in 0..50 {
        let _ = tokio::time::timeout(Duration::from_micros(50), listener.next()).await;
        conn.execute("SELECT pg_notify('jobs', $1)", &[&n.to_string()]).await.unwrap();
        while heard(&mut listener).await != sent("jobs", &n.to_string()) {}
    }
    drop(listener);
    let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tenantry listener' AND datname = current_database()";
    while conn.query_one(left, &[]).await.unwrap().get::<_, i64>(0) > 0 {}
}
