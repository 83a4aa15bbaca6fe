//! Following and steering long work.

use std::time::{Duration, Instant};

use serde_json::json;
use tenantry_api::client::ClientError;

use crate::world::{World, manifest};

#[tokio::test]
async fn an_operation_is_followed_to_its_end() {
    let world = World::running().await;
    let mut wanted = manifest("acme");
    wanted["spec"]["state"] = json!("active");
    let made = world.post("tenants").keyed().json(&wanted).send().await;
    let id = made.header("operation-id").to_owned();
    let mut watch = world.client().watch(&id).unwrap();
    let mut seen = Vec::new();
    while let Some(state) = watch.next().await.unwrap() {
        seen.push(state);
    }
    let last = seen.last().unwrap();
    assert!(last.is_completed(), "{last:?}");
    assert_eq!(last.workflows[0].slug, "acme");
    assert!(last.workflows[0].steps.iter().all(|step| step.status == "done"), "{last:?}");
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "each state is told once");
    assert!(last.ended_at.is_some());

    // A late follower gets the end at once, also one that has seen it.
    let raw = world.bare("GET", &format!("/v1/operations/{id}/events")).bearer().send().await;
    assert_eq!(raw.header("content-type"), "text/event-stream");
    let event = raw.text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    let again =
        world.bare("GET", &format!("/v1/operations/{id}/events")).bearer().header("last-event-id", &event).send().await;
    assert!(again.text.contains("event: operation") && again.text.contains("\"status\":\"completed\""), "{again:?}");

    let began = Instant::now();
    let waited = world.client().wait(&id, Duration::from_secs(20)).await.unwrap();
    assert!(waited.is_completed() && began.elapsed() < Duration::from_secs(2));
    let listed = world.get("operations?status=completed").send().await.json();
    assert!(listed["items"].as_array().unwrap().iter().any(|operation| operation["id"] == id.as_str()));
    let own = world.get("tenants/acme/operations").send().await.json();
    assert_eq!(own["items"][0]["id"], id.as_str());
    let ended = world.bare("POST", &format!("/v1/operations/{id}:cancel")).bearer().send().await;
    ended.problem("TEN-0034");
    let scoped = world.get(&format!("operations/{id}")).send().await;
    assert_eq!(scoped.status, 200);
    world.end().await;
}

#[tokio::test]
async fn waiting_is_bounded_and_says_that_it_goes_on() {
    // Without controllers nothing ever moves.
    let world = World::quiet().await;
    let mut wanted = manifest("acme");
    wanted["spec"]["state"] = json!("active");
    let began = Instant::now();
    let made = world.post("tenants?wait=1s").keyed().json(&wanted).send().await;
    assert_eq!(made.status, 202, "{made:?}");
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&began.elapsed()));
    let id = made.header("operation-id").to_owned();
    let error = world.client().wait(&id, Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, ClientError::Patience { .. }), "{error}");
    assert_eq!(error.exit_code(), 7);
    let read = world.bare("GET", &format!("/v1/operations/{id}?wait=1s")).bearer().send().await;
    assert_eq!(read.json()["status"], "waiting", "{read:?}");
    world.end().await;
}
