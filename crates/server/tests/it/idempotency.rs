//! A request that is sent twice takes effect once.

use serde_json::json;

use crate::world::{World, manifest};

#[tokio::test]
async fn a_repetition_gets_the_first_answer_and_another_body_is_refused() {
    let world = World::quiet().await;
    let key = "0123456789abcdef0123456789abcdef";
    let send = |body: serde_json::Value| {
        let ask = world.post("tenants").header("idempotency-key", key).json(&body);
        async move { ask.send().await }
    };
    let first = send(manifest("acme")).await;
    assert_eq!(first.status, 202, "{first:?}");
    let rows = world.rows().await;
    let second = send(manifest("acme")).await;
    assert_eq!(second.status, 202, "{second:?}");
    assert_eq!(second.json()["status"]["id"], first.json()["status"]["id"]);
    assert_eq!(second.header("operation-id"), first.header("operation-id"));
    assert_eq!((first.header("audit-receipt").is_empty(), second.header("audit-receipt")), (false, ""));
    assert_eq!(world.rows().await, rows);
    // The order of members and white space do not make another request.
    let spaced = serde_json::to_string_pretty(&manifest("acme")).unwrap();
    let third = world.post("tenants").header("idempotency-key", key).text("application/json", &spaced).send().await;
    assert_eq!(third.status, 202, "{third:?}");
    let other = send(manifest("globex")).await;
    assert_eq!(other.status, 422);
    other.problem("TEN-0018");
    // The same key on another route is another request.
    let elsewhere =
        world.post("manifests:apply").header("idempotency-key", key).yaml(crate::world::CATALOG).send().await;
    assert_eq!(elsewhere.status, 200, "{elsewhere:?}");
    assert_eq!(world.rows().await, rows);
    world.end().await;
}

#[tokio::test]
async fn a_keyed_change_is_made_once_although_its_version_has_passed() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let key = "change-the-name-of-acme-once";
    let patch = json!({ "spec": { "displayName": "Acme SE" } });
    for _ in 0..3 {
        let reply = world
            .ask("PATCH", "tenants/acme")
            .header("if-match", "\"v1\"")
            .header("idempotency-key", key)
            .json(&patch)
            .send()
            .await;
        assert_eq!((reply.status.as_u16(), reply.header("etag")), (202, "\"v2\""), "{reply:?}");
    }
    let versions = world.get("tenants/acme/versions").send().await.json();
    assert_eq!(versions["items"].as_array().unwrap().len(), 2);
    world.end().await;
}

#[tokio::test]
async fn a_storm_of_the_same_request_makes_one_tenant() {
    let world = World::quiet().await;
    let before = world.get("audit?pageSize=200").send().await.json()["items"].as_array().unwrap().len();
    let key = "fedcba9876543210fedcba9876543210";
    let body = manifest("acme");
    let asks = (0..20).map(|_| world.post("tenants").header("idempotency-key", key).json(&body).send());
    let replies = futures_util::future::join_all(asks).await;
    let mut made = 0;
    for reply in replies {
        match reply.status.as_u16() {
            202 => made += 1,
            409 => drop(reply.problem("TEN-0019")),
            _ => panic!("{reply:?}"),
        }
    }
    assert!(made >= 1);
    assert_eq!(world.get("tenants").send().await.json()["items"].as_array().unwrap().len(), 1);
    let after = world.get("audit?pageSize=200").send().await.json()["items"].as_array().unwrap().len();
    assert_eq!(after, before + 1);
    world.end().await;
}

#[tokio::test]
async fn of_many_writers_of_one_version_one_wins() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let asks = (0..20).map(|number| {
        let patch = json!({ "spec": { "displayName": format!("Acme {number}") } });
        world.ask("PATCH", "tenants/acme").header("if-match", "\"v1\"").json(&patch).send()
    });
    let statuses: Vec<u16> =
        futures_util::future::join_all(asks).await.iter().map(|reply| reply.status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 202).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 202 | 412)), "{statuses:?}");
    world.end().await;
}

/// Removing is no exception, and what was removed keeps its history.
#[tokio::test]
async fn a_keyed_removal_is_made_once() {
    let world = World::quiet().await;
    let plan = "
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: trial }
spec: { isolation: shared }
";
    assert_eq!(world.post("manifests:apply").keyed().yaml(plan).send().await.status, 200);
    for _ in 0..2 {
        let ask = world.ask("DELETE", "plans/trial").header("if-match", "\"v1\"");
        let reply = ask.header("idempotency-key", "remove-the-trial-plan").send().await;
        assert_eq!(reply.status, 204, "{reply:?}");
    }
    let again = world.ask("DELETE", "plans/trial").header("if-match", "\"v1\"").send().await;
    assert_eq!(again.status, 404, "{again:?}");
    assert_eq!(world.get("plans/trial").send().await.status, 404);
    let versions = world.get("plans/trial/versions").send().await.json();
    let items = versions["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{versions}");
    assert_eq!((&items[0]["action"], &items[1]["action"]), (&json!("plan.delete"), &json!("manifests.apply")));
    assert_eq!((&items[0]["spec"], &items[1]["spec"]["isolation"]), (&json!({}), &json!("shared")));
    assert!(items.iter().all(|item| item["actor"].as_str().unwrap().starts_with("operator:")), "{versions}");
    assert_eq!(world.get("plans/never/versions").send().await.status, 404);
    world.end().await;
}
