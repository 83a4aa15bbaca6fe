//! What was tried in vain stands in the audit, once each, with its outcome.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tenantry_domain::name::EnvironmentName;
use tenantry_server::ACTIONS;

use crate::world::{World, manifest};

/// The entries of attempts, oldest first.
async fn attempts(world: &World) -> Vec<Value> {
    let page = world.get("audit?category=refusal&pageSize=200").send().await.json();
    let mut items = page["items"].as_array().unwrap().clone();
    items.reverse();
    items
}

/// Every route that changes something, apart from those that only look, has a name for its attempts.
#[test]
fn every_changing_route_is_watched() {
    let document = tenantry_server::openapi::document();
    let mut wanted = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            // Uses are counted, and a refused one changes nothing.
            let looks = [
                "planManifests",
                "checkMember",
                "previewIncident",
                "previewIncidentUpdate",
                "verifyAudit",
                "explainPlacement",
                "takeLimit",
                "useFeature",
                "ingestUsage",
                "scimSearch",
                "scimSearchUsers",
                "scimSearchGroups",
                "ofrepEvaluateFlag",
                "ofrepEvaluateFlags",
                "ofrepEvaluateEnvironmentFlag",
                "ofrepEvaluateEnvironmentFlags",
            ]
            .contains(&operation["operationId"].as_str().unwrap());
            if ["post", "put", "patch", "delete"].contains(&method.as_str()) && !looks {
                wanted.insert((method.to_uppercase(), path.clone()));
            }
        }
    }
    let watched: BTreeSet<_> =
        ACTIONS.iter().map(|(method, path, _)| (method.to_string(), (*path).to_owned())).collect();
    assert_eq!(watched, wanted);
}

#[tokio::test]
async fn wrong_and_refused_calls_leave_one_entry_each() {
    let world = World::quiet().await;
    let acme = world.draft("acme").await["status"]["id"].as_str().unwrap().to_owned();
    let environment = world.environment.to_string();
    assert!(attempts(&world).await.is_empty());

    let mut wrong = manifest("globex");
    wrong["spec"]["plan"] = json!("gold");
    world.post("tenants").keyed().header("x-correlation-id", "chain-7").json(&wrong).send().await.problem("TEN-0004");
    world.post("tenants/acme:suspend").keyed().json(&json!({})).send().await;
    let stale = world.post("tenants/acme:activate").keyed().header("if-match", "\"v9\"").json(&json!({})).send().await;
    assert_eq!(stale.status, 412, "{stale:?}");
    world.ask("DELETE", "plans/standard").header("if-match", "*").send().await.problem("TEN-0036");
    world.ask("DELETE", "tenants/initech").keyed().header("if-match", "*").send().await;

    let found = attempts(&world).await;
    let brief: Vec<_> = found
        .iter()
        .map(|entry| [&entry["action"], &entry["target"], &entry["outcome"]].map(|part| part.as_str().unwrap()))
        .collect();
    let prod = format!("environment/{environment}");
    assert_eq!(
        brief,
        [
            ["tenant.create", prod.as_str(), "failed"],
            ["tenant.suspend", "tenant/acme", "failed"],
            ["tenant.activate", "tenant/acme", "failed"],
            ["catalog.delete", "plan/standard", "failed"],
            ["tenant.delete", "tenant/initech", "failed"],
        ]
    );
    assert_eq!(found[0]["changes"], json!({ "code": "TEN-0004", "fields": ["spec.plan"] }));
    assert_eq!(found[0]["correlationId"], "chain-7");
    assert!(!found[0].to_string().contains("gold"), "no value of the call: {}", found[0]);
    assert_eq!((&found[1]["tenant"], &found[3]["tenant"]), (&json!(acme), &Value::Null));
    let verified = world.post("audit:verify").send().await.json();
    assert_eq!(verified["isIntact"], true, "{verified}");
    world.end().await;
}

#[tokio::test]
async fn calls_beyond_a_tokens_environment_are_denied_in_its_own() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let other = EnvironmentName::parse("elsewhere").unwrap();
    world.deps.store().ensure_environment(&other).await.unwrap();
    let token = format!("Bearer {}", world.token_for(&other).await);
    for (method, path, action) in [
        ("GET", format!("/v1/environments/{}/tenants/acme", world.environment), "environment.enter"),
        ("POST", format!("/v1/environments/{}/tenants/acme:suspend", world.environment), "tenant.suspend"),
    ] {
        world.bare(method, &path).header("authorization", &token).send().await.problem("TEN-0037");
        let page = world
            .bare("GET", "/v1/environments/elsewhere/audit?category=refusal")
            .header("authorization", &token)
            .send()
            .await
            .json();
        let entry = &page["items"][0];
        assert_eq!((&entry["outcome"], &entry["action"]), (&json!("denied"), &json!(action)), "{page}");
        assert_eq!(entry["target"], format!("environment/{}", world.environment));
    }
    assert!(attempts(&world).await.is_empty(), "the environment that was aimed at does not learn of it");
    world.end().await;
}

#[tokio::test]
async fn reads_and_strangers_leave_nothing() {
    let world = World::quiet().await;
    assert_eq!(world.get("tenants/initech").send().await.status, 404);
    assert_eq!(world.get("tenants?plan=%20").send().await.status, 422);
    let path = format!("/v1/environments/{}/tenants", world.environment);
    assert_eq!(world.bare("POST", &path).json(&manifest("acme")).send().await.status, 401);
    assert_eq!(world.bare("PUT", &path).bearer().send().await.status, 405);
    assert!(attempts(&world).await.is_empty());
    world.end().await;
}

/// The way of the bad: hundreds at once, on one chain, and it still verifies.
#[tokio::test]
async fn a_crowd_of_attempts_is_kept_in_order() {
    let world = World::quiet().await;
    let calls = (0..100).map(|_| world.post("tenants").keyed().json(&json!({})).send());
    for reply in futures_util::future::join_all(calls).await {
        assert_eq!(reply.status, 422, "{reply:?}");
    }
    assert_eq!(attempts(&world).await.len(), 100);
    let verified = world.post("audit:verify").send().await.json();
    assert_eq!(verified["isIntact"], true, "{verified}");
    world.end().await;
}

/// A customer's key fills its own chain at most: a neighbour neither gets entries nor learns that there is such a key.
#[tokio::test]
async fn what_a_customers_key_tries_is_told_to_that_customer_alone() {
    let world = World::quiet().await;
    let acme = world.draft("acme").await["status"]["id"].clone();
    let globex = world.draft("globex").await["status"]["id"].as_str().unwrap().to_owned();
    let body = json!({ "name": "acme's machine", "roles": ["tenant"], "tenant": "acme" });
    let key = world.post("tokens").keyed().json(&body).send().await.json()["text"].as_str().unwrap().to_owned();
    let before = world.get("tenants/globex/audit?pageSize=200").send().await.json()["items"].clone();
    for (method, path) in [
        ("POST", "tenants/globex/invitations".to_owned()),
        ("POST", format!("tenants/{globex}/invitations")),
        ("DELETE", "tenants/globex".to_owned()),
        ("POST", "gateway-logins".to_owned()),
    ] {
        let whole = format!("/v1/environments/{}/{path}", world.environment);
        let ask = world.bare(method, &whole).header("authorization", &format!("Bearer {key}")).keyed();
        let reply = ask.header("if-match", "*").json(&json!({ "nonsense": true })).send().await;
        assert!(reply.status.is_client_error(), "{reply:?}");
    }
    let after = world.get("tenants/globex/audit?pageSize=200").send().await.json()["items"].clone();
    assert_eq!(after, before, "globex's chain is as it was");
    let found = attempts(&world).await;
    let targets: Vec<_> = found.iter().map(|entry| entry["target"].as_str().unwrap().to_owned()).collect();
    let environment = format!("environment/{}", world.environment);
    assert_eq!(targets, ["tenant/globex", &format!("tenant/{globex}"), "tenant/globex", &environment]);
    for entry in &found {
        assert_eq!(entry["tenant"], acme, "{entry}");
    }
    world.end().await;
}
