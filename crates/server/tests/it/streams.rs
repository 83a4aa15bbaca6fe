//! Streams over HTTP: shown, forgotten, by whom and by whom not.

use serde_json::json;
use tenantry_store::NewSink;

use crate::world::World;

const PATH: &str = "streams";

#[tokio::test]
async fn a_stream_is_forgotten_once_and_by_whoever_may() {
    let world = World::quiet().await;
    let store = world.deps.store();
    let sink = NewSink { name: "OLD".into(), servers: "nats://a:4222".into(), prefix: "old".into(), is_whole: true };
    assert!(store.stream_register(&sink).await.unwrap());
    let shown = world.get(PATH).send().await.json();
    assert_eq!((&shown["items"][0]["name"], &shown["items"][0]["state"]), (&json!("OLD"), &json!("idle")));
    let behind = shown["items"][0]["behind"].clone();

    let body = json!({ "name": "reader", "roles": ["auditor"] });
    let made = world.post("tokens").keyed().json(&body).send().await;
    let token = format!("Bearer {}", made.json()["text"].as_str().unwrap());
    let path = format!("/v1/environments/{}/{PATH}/OLD", world.environment);
    world.bare("DELETE", &path).header("authorization", &token).send().await.problem("TEN-0022");

    world.ask("DELETE", "streams/no.name").send().await.problem("TEN-0027");
    world.ask("DELETE", "streams/OTHER").send().await.problem("TEN-0006");
    let key = "a-key-that-is-used-twice";
    for _ in 0..2 {
        let gone = world.ask("DELETE", "streams/OLD").header("idempotency-key", key).send().await;
        assert_eq!(gone.status, 200, "{gone:?}");
        assert_eq!(gone.json(), json!({ "name": "OLD", "behind": behind }));
    }
    world.ask("DELETE", "streams/OLD").send().await.problem("TEN-0006");
    assert!(world.client().streams().await.unwrap().items.is_empty());
    let entries = world.get("audit").send().await.json();
    let found = entries["items"].as_array().unwrap().iter().filter(|entry| {
        (&entry["action"], &entry["outcome"], &entry["target"])
            == (&json!("stream.forget"), &json!("success"), &json!("stream/OLD"))
    });
    assert_eq!(found.count(), 1, "{entries}");
    world.end().await;
}
