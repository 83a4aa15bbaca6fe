//! What a tenant leaves in a shared server session, after it made the gateway forget whose the session is.

use tenantry_domain::isolation::Isolation;
use tenantry_gateway::Settings;
use tenantry_testkit::pg::server;

use crate::raw::{Raw, client_of, code, value};
use crate::world::World;

async fn world() -> World {
    let mut settings = Settings::default();
    settings.pool.shared = 1;
    World::new(&server().url("postgres"), &[(Isolation::Shared, 2)], settings, None).await
}

/// Each statement by itself; none of them may fail.
async fn say(raw: &mut Raw, statements: &[&str]) {
    for sql in statements {
        assert_eq!(code(&raw.query(sql).await), "", "{sql}");
    }
}

#[tokio::test]
async fn what_a_discard_leaves_is_not_the_neighbours() {
    let world = world().await;
    let port = world.gateway().address().port();
    let mut a = client_of(port, &world.tenants[0]).await;
    let mut b = client_of(port, &world.tenants[1]).await;
    let pid = async |raw: &mut Raw| value(&raw.query("SELECT pg_backend_pid()").await).unwrap();
    assert_eq!(pid(&mut a).await, pid(&mut b).await, "they are served by one session");
    for discard in ["DISCARD PLANS", "DISCARD TEMP", "DISCARD SEQUENCES"] {
        for after in [&[discard][..], &[discard, "SELECT 1", discard]] {
            say(&mut a, &["PREPARE planted AS SELECT 'planted by A'"]).await;
            say(&mut a, after).await;
            assert_eq!(code(&b.query("EXECUTE planted").await), "26000", "{after:?}");
            assert_eq!(
                value(&b.query("SELECT count(*) FROM pg_prepared_statements WHERE from_sql").await).unwrap(),
                "0"
            );
            // What no word of a tag tells.
            let cursor = "BEGIN; DECLARE held CURSOR WITH HOLD FOR SELECT 'a row of A'; COMMIT";
            say(&mut a, &["SELECT pg_advisory_lock(7305809)", cursor, "SELECT setseed(0.42)"]).await;
            say(&mut a, after).await;
            let foretold = value(&a.query("SELECT random()").await).unwrap();
            say(&mut a, &["SELECT setseed(0.42)"]).await;
            say(&mut a, after).await;
            assert_ne!(value(&b.query("SELECT random()").await).unwrap(), foretold, "{after:?}");
            assert_eq!(code(&b.query("FETCH ALL FROM held").await), "34000", "{after:?}");
            // False from a session that does not hold it.
            assert_eq!(value(&b.query("SELECT pg_advisory_unlock(7305809)").await).unwrap(), "f", "{after:?}");
        }
    }
    // Inside of a function no tag tells of it at all.
    say(&mut a, &["PREPARE planted AS SELECT 'planted by A'", "DO $$BEGIN EXECUTE 'DISCARD SEQUENCES'; END$$"]).await;
    say(&mut a, &["SELECT 1", "DISCARD ALL"]).await;
    assert_eq!(code(&b.query("EXECUTE planted").await), "26000");
    assert_eq!(pid(&mut a).await, pid(&mut b).await, "it was the same session all the time");
}
