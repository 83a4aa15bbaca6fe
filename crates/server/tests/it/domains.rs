//! Domains of tenants' own over HTTP: what is shown, to whom, and which names are none.

use serde_json::json;

use crate::world::{World, manifest};

#[tokio::test]
async fn a_tenant_shows_its_own_domains_and_the_records_that_prove_them() {
    let world = World::quiet().await;
    for slug in ["acme", "globex"] {
        let mut wanted = manifest(slug);
        wanted["spec"]["domains"] = json!(["chat.acme.example"]);
        let made = world.post("tenants").keyed().json(&wanted).send().await;
        assert_eq!(made.status, 202, "{made:?}");
    }
    let acme = world.get("tenants/acme/domains").send().await.json();
    let found = &acme["items"][0];
    assert_eq!((&found["domain"], &found["status"]), (&json!("chat.acme.example"), &json!("pending")));
    let record = &found["record"];
    assert_eq!((&record["type"], &record["name"]), (&json!("TXT"), &json!("_tenantry-challenge.chat.acme.example")));
    let globex = world.get("tenants/globex/domains").send().await.json();
    assert_ne!(globex["items"][0]["record"]["value"], record["value"]);
    world.get("tenants/initech/domains").send().await.problem("TEN-0005");
    world.post("tenants/acme/domains/globex.example:verify").send().await.problem("TEN-0006");
    for wrong in ["chat.acme.example.", "Chat.acme.example", "10.0.0.1", "localhost", "a%2Fb.example", "x%00.example"] {
        world.post(&format!("tenants/acme/domains/{wrong}:verify")).send().await.problem("TEN-0027");
    }
    world.get("resolve?host=chat.acme.example").send().await.problem("TEN-0044");
    world.get("resolve?host=chat.acme.example&tenant=acme").send().await.problem("TEN-0044");
    let mut wanted = manifest("initech");
    wanted["spec"]["domains"] = json!(["chat.acme.example", "acme.app.example.com"]);
    let refused = world.post("tenants").keyed().json(&wanted).send().await.problem("TEN-0001");
    assert_eq!(refused["errors"][0]["field"], "spec.domains[1]", "{refused}");
    world.end().await;
}
