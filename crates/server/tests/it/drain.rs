//! The end: not ready at once, requests in hand end, streams end, nobody is let in any more; and a database that is
//! away is told as that.

use std::time::{Duration, Instant};

use serde_json::json;
use tenantry_server::Options;

use crate::world::{World, manifest};

#[tokio::test]
async fn requests_in_hand_end_and_readiness_goes_first() {
    let door = Options { drain_delay: Duration::from_secs(3), ..Options::default() };
    let mut world = World::with(door).await;
    let mut wanted = manifest("acme");
    wanted["spec"]["state"] = json!("active");
    let made = world.post("tenants").keyed().json(&wanted).send().await;
    let operation = made.header("operation-id").to_owned();
    let mut watch = world.client().watch(&operation).unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().status, "waiting");
    let path = format!("/v1/operations/{operation}?wait=10s");
    let in_hand = world.bare("GET", &path).bearer().send();
    let end = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.stop.cancel();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let ready = world.bare("GET", "/readyz").send().await;
        let alive = world.bare("GET", "/livez").send().await;
        let served = world.get("tenants/acme").send().await;
        (ready, alive, served)
    };
    let began = Instant::now();
    let (in_hand, (ready, alive, served)) = tokio::join!(in_hand, end);
    assert_eq!(in_hand.status, 200, "a waiting caller is answered: {in_hand:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(ready.status, 503);
    ready.problem("TEN-0040");
    assert_eq!((alive.status.as_u16(), served.status.as_u16()), (200, 200), "still served while balancers notice");
    let ended = tokio::time::timeout(Duration::from_secs(10), world.served.take().unwrap()).await;
    ended.expect("the server ends").unwrap().unwrap();
    let refused = reqwest::get(format!("{}/livez", world.url)).await;
    assert!(refused.is_err(), "nobody is let in any more");
}

/// A release that cannot work with the tables takes no requests: a rollout of it stops there.
#[tokio::test]
async fn tables_that_do_not_fit_are_told_as_that() {
    let world = World::quiet().await;
    let sql = async |statement: &'static str| {
        let conn = world.deps.store().pool().get().await.unwrap();
        conn.execute(statement, &[]).await.unwrap();
        conn.release();
    };
    assert_eq!(world.bare("GET", "/readyz").send().await.status, 200);
    sql("UPDATE tenantry.installation SET least_version = 9000").await;
    let ready = world.bare("GET", "/readyz").send().await;
    assert_eq!(ready.status, 503);
    ready.problem("TEN-0110");
    sql("UPDATE tenantry.installation SET least_version = 0").await;
    sql("DELETE FROM tenantry.migration WHERE version = (SELECT max(version) FROM tenantry.migration)").await;
    world.bare("GET", "/readyz").send().await.problem("TEN-0110");
    world.end().await;
}

#[tokio::test]
async fn a_database_that_is_away_is_told_as_that() {
    let world = World::quiet().await;
    world.deps.store().pool().close();
    assert_eq!(world.bare("GET", "/livez").send().await.status, 200, "the process lives");
    let ready = world.bare("GET", "/readyz").send().await;
    assert_eq!(ready.status, 503);
    ready.problem("TEN-0029");
    let read = world.get("tenants").send().await;
    assert_eq!(read.status, 503, "nobody is let in when tokens cannot be checked");
    let problem = read.problem("TEN-0029");
    assert!(!problem.to_string().contains("127.0.0.1"), "{problem}");
    assert!(!read.header("retry-after").is_empty());
    world.end().await;
}
