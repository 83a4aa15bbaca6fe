//! Features over HTTP: who decides, the switch, uses and refusals, OpenFeature's protocol, placements that are asked for,
//! and what plans let tenants set.

use serde_json::{Value, json};
use tenantry_domain::name::EnvironmentName;

use crate::world::{Reply, World, manifest};

const PLANS: &str = "
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: free }
spec:
  isolation: shared
  host: shared
  price: { currency: EUR, monthlyMinor: 0 }
  features: { ai: false, theme: plain }
  customization: { class: none }
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: gold }
spec:
  isolation: schema
  host: subdomain
  price: { currency: EUR, monthlyMinor: 900 }
  features: { ai: true, theme: rich, seats: 5, report: { pages: 3 } }
  customization: { class: limited, settings: [locale, 'theme.*'] }
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: silver }
spec:
  isolation: schema
  price: { currency: EUR, monthlyMinor: 500 }
  features: { ai: true }
  customization: { class: full }
---
apiVersion: tenantry.dev/v1
kind: Region
metadata: { name: us-east }
spec: { distances: { eu-west: 80 } }
---
apiVersion: tenantry.dev/v1
kind: Region
metadata: { name: asia }
spec: { distances: { eu-west: 180, us-east: 220 } }
---
apiVersion: tenantry.dev/v1
kind: Cell
metadata: { name: us-east-1 }
spec:
  region: us-east
  database: { urlFrom: { env: CELL_URL } }
  capacity: { shared: 1000, schema: 100 }
";

async fn world() -> World {
    let world = World::quiet().await;
    let applied = world.post("manifests:apply").keyed().yaml(PLANS).send().await;
    assert_eq!(applied.status, 200, "{applied:?}");
    world
}

async fn tenant(world: &World, slug: &str, plan: &str) -> String {
    let mut body = manifest(slug);
    body["spec"]["plan"] = json!(plan);
    body["spec"]["settings"] = json!({});
    let made = world.post("tenants").keyed().json(&body).send().await;
    assert_eq!(made.status, 202, "{made:?}");
    made.json()["status"]["id"].as_str().unwrap().to_owned()
}

async fn put(world: &World, name: &str, spec: Value) -> Reply {
    world.ask("PUT", &format!("flags/{name}")).keyed().header("if-match", "*").json(&spec).send().await
}

async fn features(world: &World, slug: &str) -> Value {
    world.get(&format!("tenants/{slug}/features")).send().await.json()["features"].clone()
}

#[tokio::test]
async fn who_decides_is_told_and_the_switch_beats_them_all() {
    let world = world().await;
    tenant(&world, "acme", "gold").await;
    tenant(&world, "globex", "free").await;
    assert_eq!(features(&world, "acme").await["ai"], json!({ "value": true, "source": "plan" }));
    assert_eq!(features(&world, "globex").await["ai"], json!({ "value": false, "source": "plan" }));

    let made =
        put(&world, "ai", json!({ "description": "Assistant", "rollout": { "value": true, "percent": 100 } })).await;
    assert_eq!((made.status.as_u16(), made.header("etag")), (201, "\"v1\""), "{made:?}");
    assert_eq!(features(&world, "globex").await["ai"]["source"], "rollout");
    // A flag of its own default is there for tenants whose plans say nothing about it.
    assert_eq!(put(&world, "beta", json!({ "default": "blue", "offValue": "none" })).await.status, 201);
    assert_eq!(features(&world, "globex").await["beta"], json!({ "value": "blue", "source": "default" }));

    let overrides = json!({ "spec": { "overrides": { "features": { "ai": { "value": false, "reason": "asked" } } } } });
    let ask = world.ask("PATCH", "tenants/acme").keyed().header("if-match", "*");
    let patched = ask.text("application/merge-patch+json", &overrides.to_string()).send().await;
    assert!(patched.status.is_success(), "{patched:?}");
    let found = features(&world, "acme").await["ai"].clone();
    assert_eq!(found, json!({ "value": false, "source": "override", "reason": "asked" }));

    let off = world.post("flags/ai:off").keyed().json(&json!({ "reason": "it burns" })).send().await;
    assert_eq!((off.status.as_u16(), off.header("etag")), (200, "\"v2\""), "{off:?}");
    for slug in ["acme", "globex"] {
        let expected = json!({ "value": false, "source": "switch", "reason": "it burns" });
        assert_eq!(features(&world, slug).await["ai"], expected, "{slug}");
    }
    let stale = world.ask("PUT", "flags/ai").keyed().header("if-match", "\"v1\"").json(&json!({})).send().await;
    assert_eq!(stale.status, 412);
    let on = world.post("flags/ai:on").keyed().send().await;
    assert_eq!((on.status.as_u16(), on.header("etag")), (200, "\"v3\""), "{on:?}");
    assert_eq!(features(&world, "globex").await["ai"]["source"], "rollout");
    // The switch needs no flag to be there.
    assert_eq!(world.post("flags/search:off").keyed().json(&json!({ "reason": "x" })).send().await.status, 200);
    assert_eq!(features(&world, "acme").await["search"], json!({ "value": false, "source": "switch", "reason": "x" }));

    let gone = world.ask("DELETE", "flags/ai").keyed().header("if-match", "\"v3\"").send().await;
    assert_eq!(gone.status, 200, "{gone:?}");
    world.get("flags/ai").send().await.problem("TEN-0006");
    assert_eq!(features(&world, "globex").await["ai"]["source"], "plan");
    assert_eq!(put(&world, "ai", json!({ "default": true })).await.header("etag"), "\"v5\"");
    let names: Vec<_> = world.get("flags").send().await.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|flag| flag["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["ai", "beta", "search"]);

    let entries = world.get("audit?pageSize=200").send().await.json();
    let actions: Vec<_> = entries["items"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .filter(|entry| entry["target"] == "flag/ai" && entry["outcome"] == "success")
        .map(|entry| entry["action"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(actions, ["flag.set", "flag.set", "flag.set", "flag.delete", "flag.set"]);
    world.end().await;
}

/// A switch that somebody threw stays, whoever writes the flag meanwhile; and it gives what programs can read.
#[tokio::test]
async fn the_switch_is_taken_back_by_nobody_by_the_way_and_fits_the_feature() {
    let world = world().await;
    tenant(&world, "acme", "gold").await;
    let off = |name: &str, body: Value| world.post(&format!("flags/{name}:off")).keyed().json(&body).send();
    // Plans say `plain` and `rich`: `false` is none of them.
    let refused = off("theme", json!({ "reason": "x" })).await.problem("TEN-0027");
    assert_eq!(refused["errors"][0]["field"], "offValue", "{refused}");
    assert!(refused["errors"][0]["message"].as_str().unwrap().contains("must be text"), "{refused}");
    off("theme", json!({ "reason": "x", "offValue": 5 })).await.problem("TEN-0027");
    assert_eq!(features(&world, "acme").await["theme"]["value"], "rich", "nothing was switched");
    let done = off("theme", json!({ "reason": "x", "offValue": "plain" })).await;
    assert_eq!((done.status.as_u16(), &done.json()["spec"]["offValue"]), (200, &json!("plain")), "{done:?}");
    let switched = json!({ "value": "plain", "source": "switch", "reason": "x" });
    assert_eq!(features(&world, "acme").await["theme"], switched);
    // A new description, a rollout, the whole flag anew: it is still off.
    for spec in [
        json!({ "description": "Colours", "offValue": "plain" }),
        json!({ "default": "plain", "offValue": "plain", "rollout": { "value": "rich", "percent": 100 } }),
    ] {
        let put = put(&world, "theme", spec).await;
        assert_eq!((put.status.as_u16(), &put.json()["spec"]["off"]["reason"]), (200, &json!("x")), "{put:?}");
        assert_eq!(features(&world, "acme").await["theme"], switched);
    }
    put(&world, "theme", json!({})).await.problem("TEN-0027");
    // Somebody else's reason may take its place, by either way.
    let body = json!({ "default": "plain", "offValue": "plain", "off": { "reason": "y" } });
    assert_eq!(put(&world, "theme", body).await.json()["spec"]["off"]["reason"], "y");
    assert_eq!(off("theme", json!({ "reason": "z" })).await.json()["spec"]["offValue"], "plain");
    let on = world.post("flags/theme:on").keyed().send().await;
    assert_eq!(on.json()["spec"].get("off"), None, "{on:?}");
    assert_eq!(features(&world, "acme").await["theme"], json!({ "value": "rich", "source": "plan" }));
    // One plan without the feature says `false`, so programs read that; of what nobody says anything, too.
    for name in ["ai", "unheard-of"] {
        assert_eq!(off(name, json!({ "reason": "x" })).await.status, 200, "{name}");
    }
    assert_eq!(off("seats", json!({ "reason": "x", "offValue": 0 })).await.status, 200);
    world.end().await;
}

/// Whoever is confined to a tenant learns where it lives, and nothing of the fleet.
#[tokio::test]
async fn a_tenants_key_is_told_nothing_of_other_cells() {
    let world = world().await;
    tenant(&world, "acme", "gold").await;
    let wanted = json!({ "name": "acme's machine", "roles": ["tenant"], "tenant": "acme" });
    let made = world.post("tokens").keyed().json(&wanted).send().await;
    let key = format!("Bearer {}", made.json()["text"].as_str().unwrap_or_else(|| panic!("{made:?}")));
    let path = format!("/v1/environments/{}/tenants/acme/placement", world.environment);
    let own = world.bare("GET", &path).header("authorization", &key).send().await;
    assert_eq!(own.status, 200, "{own:?}");
    assert!(!own.text.contains("candidates") && !own.text.contains("us-east-1"), "{own:?}");
    let all = world.get("tenants/acme/placement").send().await;
    assert!(all.text.contains("candidates") && all.text.contains("us-east-1"), "{all:?}");
    world.end().await;
}

#[tokio::test]
async fn wrong_flags_are_told_every_field() {
    let world = world().await;
    let wrong = put(&world, "ai", json!({ "rollout": { "percent": 101 }, "colour": 1, "off": {} })).await;
    let fields: Vec<_> = wrong.problem("TEN-0027")["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["field"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(fields, ["off.reason", "rollout.value", "rollout.percent", "colour"]);
    put(&world, "ai", json!({ "default": true, "rollout": { "value": "on", "percent": 1 } })).await.problem("TEN-0027");
    put(&world, "ai", json!({ "cells": { "eu-west-9": true } })).await.problem("TEN-0004");
    put(&world, "1x", json!({})).await.problem("TEN-0027");
    world.ask("PUT", "flags/ai").keyed().json(&json!({})).send().await.problem("TEN-0010");
    world.post("flags/ai:on").keyed().send().await.problem("TEN-0006");
    world.post("flags/ai:off").keyed().json(&json!({})).send().await.problem("TEN-0027");
    world.get("tenants/hooli/features").send().await.problem("TEN-0005");
    assert_eq!(world.get("flags").send().await.json()["items"], json!([]));
    world.end().await;
}

/// PLAN-05, PLAN-12: a feature that is off is refused with why and with the plans that have it, and uses are counted.
#[tokio::test]
async fn uses_are_counted_and_refusals_name_the_plan() {
    let world = world().await;
    tenant(&world, "acme", "gold").await;
    tenant(&world, "globex", "free").await;
    let use_it = |slug: &str, name: &str, body: Value| {
        world.post(&format!("tenants/{slug}/features/{name}:use")).json(&body).send()
    };
    let used = use_it("acme", "ai", json!({})).await;
    assert_eq!((used.status.as_u16(), used.json()), (200, json!({ "value": true, "source": "plan" })), "{used:?}");
    use_it("acme", "ai", json!({ "count": 41 })).await;
    use_it("acme", "seats", json!({})).await;
    let refused = use_it("globex", "ai", json!({})).await;
    assert_eq!(refused.status, 403);
    let detail = refused.problem("TEN-0071")["detail"].as_str().unwrap().to_owned();
    assert_eq!(detail, "plan `free` does not have feature `ai`; plans silver, gold have it");
    let nowhere = use_it("globex", "teleport", json!({})).await.problem("TEN-0071")["detail"].clone();
    assert_eq!(nowhere, "plan `free` does not have feature `teleport`; no plan has it");
    world.post("flags/ai:off").keyed().json(&json!({ "reason": "it burns" })).send().await;
    let switched = use_it("acme", "ai", json!({})).await.problem("TEN-0071")["detail"].clone();
    assert_eq!(switched, "feature `ai` is switched off for everybody: it burns");
    use_it("acme", "ai", json!({ "count": 0 })).await.problem("TEN-0027");

    let usage = world.get("tenants/acme/feature-usage").send().await.json();
    assert_eq!((&usage["totals"], &usage["isCut"]), (&json!({ "ai": 42, "seats": 1 }), &json!(false)), "{usage}");
    assert_eq!(usage["days"].as_array().unwrap().len(), 2, "{usage}");
    assert_eq!(world.get("tenants/globex/feature-usage").send().await.json()["totals"], json!({}));
    world.get("tenants/acme/feature-usage?from=yesterday").send().await.problem("TEN-0027");
    world.get("tenants/acme/feature-usage?from=2027-02-01&to=2027-01-01").send().await.problem("TEN-0027");
    world.end().await;
}

async fn evaluate(world: &World, path: &str, context: Value) -> Reply {
    world.bare("POST", path).bearer().json(&json!({ "context": context })).send().await
}

#[tokio::test]
async fn openfeature_asks_and_is_answered_in_its_own_words() {
    let world = world().await;
    let acme = tenant(&world, "acme", "gold").await;
    let base = format!("/v1/environments/{}/ofrep/v1", world.environment);
    let flag = |key: &str| format!("{base}/evaluate/flags/{key}");
    let found = evaluate(&world, &flag("ai"), json!({ "targetingKey": "acme" })).await;
    assert_eq!(found.status, 200, "{found:?}");
    let expected = json!({
        "key": "ai", "value": true, "reason": "TARGETING_MATCH", "variant": "on",
        "metadata": { "source": "plan", "plan": "gold" },
    });
    assert_eq!(found.json(), expected);
    // `tenant` goes before the targeting key, which may be a person's.
    let found = evaluate(&world, &flag("seats"), json!({ "targetingKey": "someone", "tenant": acme })).await;
    assert_eq!(found.json()["value"], 5, "{found:?}");
    assert_eq!(
        evaluate(&world, &flag("report"), json!({ "tenant": "acme" })).await.json()["value"],
        json!({ "pages": 3 })
    );

    let cases = [
        (flag("ai"), json!({}), 400, "TARGETING_KEY_MISSING"),
        (flag("ai"), json!({ "tenant": "hooli" }), 400, "INVALID_CONTEXT"),
        (flag("ai"), json!({ "tenant": 7 }), 400, "INVALID_CONTEXT"),
        (flag("ai"), json!({ "tenant": "N O" }), 400, "INVALID_CONTEXT"),
        (flag("ai"), json!("acme"), 400, "INVALID_CONTEXT"),
        (flag("teleport"), json!({ "tenant": "acme" }), 404, "FLAG_NOT_FOUND"),
        (flag("1%20x"), json!({ "tenant": "acme" }), 404, "FLAG_NOT_FOUND"),
    ];
    for (path, context, status, code) in cases {
        let refused = evaluate(&world, &path, context.clone()).await;
        let body = refused.json();
        assert_eq!(
            (refused.status.as_u16(), &body["errorCode"]),
            (status, &json!(code)),
            "{path} {context}: {refused:?}"
        );
        assert_eq!(refused.header("content-type"), "application/json");
        assert!(body["key"].is_string() && !body["errorDetails"].as_str().unwrap().is_empty(), "{body}");
    }
    let broken = world.bare("POST", &flag("ai")).bearer().text("application/json", "{").send().await;
    assert_eq!((broken.status.as_u16(), &broken.json()["errorCode"]), (400, &json!("PARSE_ERROR")));
    // Who may not ask is told as everywhere.
    world.bare("POST", &flag("ai")).json(&json!({})).send().await.problem("TEN-0021");

    let all = format!("{base}/evaluate/flags");
    let first = evaluate(&world, &all, json!({ "targetingKey": "acme" })).await;
    let keys: Vec<_> = first.json()["flags"].as_array().unwrap().iter().map(|flag| flag["key"].clone()).collect();
    assert_eq!(keys, ["ai", "report", "seats", "theme"].map(Value::from));
    let tag = first.header("etag").to_owned();
    let again = |tag: &str| {
        let ask = world.bare("POST", &all).bearer().header("if-none-match", tag);
        ask.json(&json!({ "context": { "targetingKey": "acme" } })).send()
    };
    let same = again(&tag).await;
    assert_eq!((same.status.as_u16(), same.text.as_str(), same.header("etag")), (304, "", tag.as_str()));
    assert_eq!(again(&format!("\"other\", W/{tag}")).await.status, 304);
    world.post("flags/ai:off").keyed().json(&json!({ "reason": "it burns" })).send().await;
    let switched = again(&tag).await;
    assert_eq!(switched.status, 200, "a client that polls learns of the switch with its next question");
    let ai = switched.json()["flags"][0].clone();
    assert_eq!(
        (&ai["value"], &ai["reason"], &ai["metadata"]["why"]),
        (&json!(false), &json!("DISABLED"), &json!("it burns"))
    );
    assert_ne!(switched.header("etag"), tag);

    let setup = world.bare("GET", &format!("{base}/configuration")).bearer().send().await;
    assert_eq!(setup.json()["name"], "tenantry");
    let known = setup.header("etag").to_owned();
    let again =
        world.bare("GET", &format!("{base}/configuration")).bearer().header("if-none-match", &known).send().await;
    assert_eq!(again.status, 304);
    // Single evaluations of features that are on count as uses; looking at all of them does not.
    let usage = world.get("tenants/acme/feature-usage").send().await.json();
    assert_eq!(usage["totals"], json!({ "ai": 1, "report": 1, "seats": 1 }), "{usage}");
    world.end().await;
}

/// Below the root a token of one environment suffices; one of several has to name it, and none reaches another's tenants.
#[tokio::test]
async fn the_environment_is_the_tokens() {
    let world = world().await;
    tenant(&world, "acme", "gold").await;
    let narrow = world.token_for(&world.environment).await;
    let other = EnvironmentName::parse("elsewhere").unwrap();
    world.deps.store().ensure_environment(&other).await.unwrap();
    let foreign = world.token_for(&other).await;
    let ask = |token: String| {
        let ask = world.bare("POST", "/ofrep/v1/evaluate/flags/ai").header("authorization", &format!("Bearer {token}"));
        ask.json(&json!({ "context": { "targetingKey": "acme" } })).send()
    };
    let found = ask(narrow).await;
    assert_eq!((found.status.as_u16(), &found.json()["value"]), (200, &json!(true)), "{found:?}");
    assert_eq!(ask(foreign.clone()).await.json()["errorCode"], "INVALID_CONTEXT");
    let wide = ask(world.token.clone()).await;
    assert_eq!((wide.status.as_u16(), &wide.json()["errorCode"]), (400, &json!("GENERAL")), "{wide:?}");
    let path = format!("/v1/environments/{}/ofrep/v1/evaluate/flags/ai", world.environment);
    let hidden = world.bare("POST", &path).header("authorization", &format!("Bearer {foreign}"));
    hidden.json(&json!({ "context": { "targetingKey": "acme" } })).send().await.problem("TEN-0037");
    world.end().await;
}

/// CELL-06, CELL-07, CELL-08: a placement is explained before there is a tenant, and for one that is there.
#[tokio::test]
async fn placements_are_explained() {
    let world = world().await;
    let ask = |body: Value| world.post("placements:explain").json(&body).send();
    let near = ask(json!({ "plan": "gold", "allowedRegions": ["us-east", "eu-west"], "origin": "asia" })).await;
    let body = near.json();
    assert_eq!((&body["isolation"], &body["regions"]), (&json!("schema"), &json!(["eu-west", "us-east"])), "{near:?}");
    assert_eq!(body["decision"]["cell"], "eu-west-1");
    assert_eq!(body["candidates"].as_array().unwrap().len(), 2);
    let preferred = json!({ "plan": "gold", "allowedRegions": ["us-east", "eu-west"], "preferredRegion": "us-east", "origin": "asia" });
    assert_eq!(ask(preferred).await.json()["decision"]["cell"], "us-east-1");
    let none = ask(json!({ "isolation": "schema", "allowedRegions": ["asia"] })).await.json();
    assert!(none.get("decision").is_none(), "{none}");
    assert!(none["refusal"].as_str().unwrap().contains("Rule `residency` allows asia"), "{none}");
    assert_eq!(none["candidates"][0]["refusal"]["reason"], "region");

    tenant(&world, "acme", "gold").await;
    let acme = ask(json!({ "tenant": "acme" })).await.json();
    assert_eq!(acme["decision"]["cell"], "eu-west-1", "{acme}");
    let moved = ask(json!({ "tenant": "acme", "allowedRegions": ["us-east"], "isolation": "shared" })).await.json();
    assert_eq!((&moved["decision"]["cell"], &moved["isolation"]), (&json!("us-east-1"), &json!("shared")), "{moved}");

    ask(json!({})).await.problem("TEN-0027");
    ask(json!({ "plan": "lead", "allowedRegions": ["asia"] })).await.problem("TEN-0004");
    ask(json!({ "plan": "gold", "allowedRegions": ["mars"] })).await.problem("TEN-0004");
    ask(json!({ "tenant": "hooli" })).await.problem("TEN-0005");
    world.end().await;
}

/// PLAN-09, PLAN-12: what a plan does not let its tenants set is refused with the field and with the plans that would.
#[tokio::test]
async fn customization_follows_the_plan() {
    let world = world().await;
    tenant(&world, "globex", "free").await;
    tenant(&world, "acme", "gold").await;
    tenant(&world, "initech", "silver").await;
    let patch = |slug: &str, spec: Value| {
        let ask = world.ask("PATCH", &format!("tenants/{slug}")).keyed().header("if-match", "*");
        ask.text("application/merge-patch+json", &json!({ "spec": spec }).to_string()).send()
    };
    let refused = patch("globex", json!({ "settings": { "locale": "de" } })).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let problem = refused.problem("TEN-0073");
    assert_eq!(problem["errors"][0]["field"], "spec.settings.locale");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("plan `free` does not allow this; plans silver, gold, "), "{detail}");
    assert!(patch("acme", json!({ "settings": { "locale": "de", "theme.colour": "red" } })).await.status.is_success());
    let problem = patch("acme", json!({ "settings": { "sql": "x" }, "domains": ["chat.acme.example"] })).await;
    let fields: Vec<_> =
        problem.problem("TEN-0073")["errors"].as_array().unwrap().iter().map(|e| e["field"].clone()).collect();
    assert_eq!(fields, ["spec.settings.sql", "spec.domains"].map(Value::from));
    assert!(patch("initech", json!({ "settings": { "sql": "x" } })).await.status.is_success());

    // What an older plan let a tenant set stays, and a plan that forbids it is refused.
    let narrower = PLANS.replace("settings: [locale, 'theme.*']", "settings: [locale]");
    assert_eq!(world.post("manifests:apply").keyed().yaml(&narrower).send().await.status, 200);
    assert!(patch("acme", json!({ "settings": { "locale": "fr" } })).await.status.is_success());
    patch("acme", json!({ "settings": { "theme.size": "1" } })).await.problem("TEN-0073");
    patch("acme", json!({ "plan": "free" })).await.problem("TEN-0073");
    world.end().await;
}

/// CELL-08, PLAN-10: a residency that contradicts the place is refused by name, and overrides of the level are reported.
#[tokio::test]
async fn a_placed_tenant_stays_in_its_residency_and_a_level_that_deviates_is_reported() {
    let world = World::running().await;
    assert_eq!(world.post("manifests:apply").keyed().yaml(PLANS).send().await.status, 200);
    let mut body = manifest("acme");
    body["spec"]["plan"] = json!("free");
    body["spec"]["settings"] = json!({});
    body["spec"]["state"] = json!("active");
    body["spec"]["overrides"] = json!({ "isolation": { "value": "schema", "reason": "pilot" } });
    let made = world.post("tenants?wait=30s").keyed().json(&body).send().await;
    assert_eq!(made.json()["status"]["state"], "active", "{made:?}");
    let patch = |residency: Value| {
        let ask = world.ask("PATCH", "tenants/acme").keyed().header("if-match", "*");
        ask.text("application/merge-patch+json", &json!({ "spec": { "residency": residency } }).to_string()).send()
    };
    let refused = patch(json!({ "allowedRegions": ["us-east"] })).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let problem = refused.problem("TEN-0072");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("rule `residency`") && detail.contains("eu-west") && detail.contains("us-east"),
        "{detail}"
    );
    assert_eq!(problem["errors"][0]["field"], "spec.residency.allowedRegions");
    assert!(patch(json!({ "allowedRegions": ["us-east", "eu-west"] })).await.status.is_success());

    let report = world.get("level-deviations").send().await.json();
    let item = &report["items"][0];
    assert_eq!(report["items"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(
        (&item["slug"], &item["paid"], &item["placed"], &item["overridden"], &item["reason"]),
        (&json!("acme"), &json!("shared"), &json!("schema"), &json!("schema"), &json!("pilot"))
    );
    world.end().await;
}

/// Tenants of one group never share a cell, also when they come together.
#[tokio::test]
async fn tenants_of_a_group_are_placed_apart() {
    let world = World::running().await;
    assert_eq!(world.post("manifests:apply").keyed().yaml(PLANS).send().await.status, 200);
    let wanted = |slug: &str| {
        let mut body = manifest(slug);
        body["apiVersion"] = json!("tenantry.dev/v1");
        body["kind"] = json!("Tenant");
        body["metadata"]["labels"] = json!({ "tenantry.apart": "twins" });
        body["spec"]["plan"] = json!("free");
        body["spec"]["settings"] = json!({});
        body["spec"]["state"] = json!("active");
        body
    };
    let slugs = ["alpha", "beta-one", "gamma"];
    let documents: Vec<_> = slugs.iter().map(|slug| wanted(slug).to_string()).collect();
    // In one set the second is refused its place; preview and apply say so.
    for path in ["manifests:plan", "manifests:apply"] {
        let together = world.post(path).keyed().yaml(&documents.join("\n---\n")).send().await.problem("TEN-0015");
        assert!(together["errors"][0]["message"].as_str().unwrap().contains("beta-one"), "{path}: {together}");
    }
    // Each of them alone fits, and they come at once: whoever is accepted too late to be told is not placed.
    let one = |slug: &'static str| {
        let body = wanted(slug);
        let world = &world;
        async move { world.post("tenants?wait=30s").keyed().json(&body).send().await }
    };
    let made = tokio::join!(one(slugs[0]), one(slugs[1]), one(slugs[2]));
    for reply in [&made.0, &made.1, &made.2] {
        assert!(!reply.status.is_server_error(), "{reply:?}");
    }
    let mut cells = Vec::new();
    for slug in slugs {
        let status = world.get(&format!("tenants/{slug}")).send().await.json()["status"].clone();
        cells.push(status["placement"]["cell"].as_str().map(str::to_owned));
    }
    cells.sort();
    assert_eq!(cells, [None, None, Some("eu-west-1".to_owned())]);
    // From now on it is told before anything begins.
    let refused = world.post("tenants").keyed().json(&wanted("delta")).send().await.problem("TEN-0015");
    assert!(refused["hint"].as_str().unwrap().contains("it holds another tenant of the group"), "{refused}");
    let asked = json!({ "plan": "free", "allowedRegions": ["us-east", "eu-west"], "apart": "twins" });
    let explained = world.post("placements:explain").json(&asked).send().await.json();
    assert_eq!(explained["decision"]["cell"], "us-east-1", "{explained}");
    assert_eq!(explained["candidates"][1]["refusal"], json!({ "reason": "apart" }), "{explained}");
    world.end().await;
}
