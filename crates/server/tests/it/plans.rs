//! Versions of plans over HTTP: what tenants keep, upgrades of a share and back, one default plan.

use serde_json::{Value, json};
use tenantry_domain::id::TenantId;

use crate::world::{Reply, World, manifest};

/// A plan that differs in everything that a tenant can notice.
fn team(is_new: bool, tenants: &str) -> String {
    let spec = if is_new {
        json!({
            "isolation": "shared", "tenants": tenants, "host": "shared", "customization": { "class": "none" },
            "quotas": { "seats": 2, "connections": 3 }, "rateLimits": { "api": "20/min", "transactions": "5/min" },
            "features": { "ai": false, "theme": "plain" },
        })
    } else {
        json!({
            "isolation": "shared", "tenants": tenants, "host": "custom", "customization": { "class": "full" },
            "quotas": { "seats": 10, "connections": 9, "pages": 4 },
            "rateLimits": { "api": "100000/min", "transactions": "500/min" },
            "features": { "ai": true, "theme": "rich" },
        })
    };
    plan("team", &spec)
}

fn plan(name: &str, spec: &Value) -> String {
    json!({ "apiVersion": "tenantry.dev/v1", "kind": "Plan", "metadata": { "name": name }, "spec": spec }).to_string()
}

async fn apply(world: &World, documents: &[String]) -> Reply {
    let text = documents.join("\n---\n");
    world.post("manifests:apply").keyed().header("if-match", "*").yaml(&text).send().await
}

async fn applied(world: &World, documents: &[String]) {
    let reply = apply(world, documents).await;
    assert!(matches!(reply.status.as_u16(), 200 | 202), "{reply:?}");
}

async fn tenant(world: &World, slug: &str, settings: Value) -> TenantId {
    let mut body = manifest(slug);
    body["spec"]["plan"] = json!("team");
    body["spec"]["settings"] = settings;
    let made = world.post("tenants").keyed().json(&body).send().await;
    assert_eq!(made.status, 202, "{made:?}");
    made.json()["status"]["id"].as_str().unwrap().parse().unwrap()
}

async fn entitlements(world: &World, slug: &str) -> Value {
    world.get(&format!("tenants/{slug}/entitlements")).send().await.json()
}

async fn upgrade(world: &World, body: Value) -> Value {
    let reply = world.post("plans/team:upgrade").json(&body).send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

/// How many tenants have which version, newest first.
async fn bindings(world: &World) -> Vec<(i64, u64)> {
    let page = world.get("plans/team/bindings").send().await.json();
    let one = |item: &Value| (item["version"].as_i64().unwrap(), item["tenants"].as_u64().unwrap());
    page["items"].as_array().unwrap().iter().map(one).collect()
}

/// What each door says of a tenant: level of detail is that of the person who would notice.
async fn seen(world: &World, slug: &str, id: TenantId) -> Value {
    let all = entitlements(world, slug).await;
    let features = world.get(&format!("tenants/{slug}/features")).send().await.json()["features"].clone();
    let ofrep = json!({ "context": { "targetingKey": slug } });
    let ofrep = world.post("ofrep/v1/evaluate/flags/theme").json(&ofrep).send().await.json();
    let quotas = world.get(&format!("tenants/{slug}/quotas")).send().await.json();
    let quotas = quotas["items"].as_array().unwrap().iter().find(|quota| quota["name"] == "seats").unwrap().clone();
    let routes = world.deps.store().read(&world.environment).gateway_routes(Some(&[id])).await.unwrap();
    let now = jiff::Timestamp::now();
    json!({
        "version": all["planVersion"], "seats": all["quotas"]["seats"]["value"], "api": all["rateLimits"]["api"]["value"],
        "ai": features["ai"]["value"], "theme": ofrep["value"], "limit": quotas["limit"],
        "connections": routes[0].connections(now), "rate": routes[0].transactions(now).map(|rate| rate.amount.get()),
    })
}

/// PLAN-01: a version that keeps leaves a tenant with everything that it had, at every door, until it is upgraded.
#[tokio::test]
async fn a_tenant_keeps_its_version_at_every_door() {
    let world = World::quiet().await;
    applied(&world, &[team(false, "follow")]).await;
    let old = tenant(&world, "acme", json!({ "locale": "de" })).await;
    let before = seen(&world, "acme", old).await;
    assert_eq!((&before["version"], &before["ai"], &before["connections"]), (&json!(1), &json!(true), &json!(9)));
    applied(&world, &[team(true, "keep")]).await;
    let new = tenant(&world, "globex", json!({})).await;
    assert_eq!(seen(&world, "acme", old).await, before);
    let after = seen(&world, "globex", new).await;
    for (door, value) in after.as_object().unwrap() {
        assert_ne!(value, &before[door], "`{door}` does not tell the versions apart");
    }
    assert_eq!((&after["version"], &after["theme"], &after["connections"]), (&json!(2), &json!("plain"), &json!(3)));

    // A quota is judged by it in the statement that takes, a refusal speaks of it, and rates hold it.
    let take = async |slug: &str, amount: u64| {
        world.post(&format!("tenants/{slug}/quotas/seats:take")).keyed().json(&json!({ "amount": amount })).send().await
    };
    assert_eq!(take("acme", 3).await.status, 200);
    take("globex", 3).await.problem("TEN-0056");
    let set = async |slug: &str| {
        let patch = json!({ "spec": { "settings": { "locale": "fr", "theme": "dark" } } });
        let ask = world.ask("PATCH", &format!("tenants/{slug}")).keyed().header("if-match", "*");
        ask.text("application/merge-patch+json", &patch.to_string()).send().await
    };
    assert!(set("acme").await.status.is_success());
    set("globex").await.problem("TEN-0073");
    // An override names an entry of the version that the tenant has, and no other.
    let deviate = async |slug: &str| {
        let patch = json!({ "spec": { "overrides": { "quotas": { "pages": { "value": "9", "reason": "pilot" } } } } });
        let ask = world.ask("PATCH", &format!("tenants/{slug}")).keyed().header("if-match", "*");
        ask.text("application/merge-patch+json", &patch.to_string()).send().await
    };
    assert!(deviate("acme").await.status.is_success());
    deviate("globex").await.problem("TEN-0001");
    let mut statuses = Vec::new();
    for slug in ["acme", "globex"] {
        for _ in 0..25 {
            statuses.push((slug, world.get(&format!("tenants/{slug}/features")).send().await.status.as_u16()));
        }
    }
    assert!(statuses.contains(&("globex", 429)) && !statuses.contains(&("acme", 429)), "{statuses:?}");

    // The version stays readable, the plan stays while anybody has it.
    let first = world.get("plans/team/versions/1").send().await.json();
    assert_eq!(first["spec"]["features"]["ai"], true);
    world.ask("DELETE", "plans/team").header("if-match", "*").send().await.problem("TEN-0036");
    assert_eq!(bindings(&world).await, [(2, 1), (1, 1)]);
    // A version that tenants follow to takes everybody along, also whoever was left behind.
    applied(&world, &[team(true, "follow")]).await;
    assert_eq!(bindings(&world).await, [(3, 2), (2, 0), (1, 0)]);
    assert_eq!(entitlements(&world, "acme").await["features"]["ai"]["value"], false);
    let back = world.post("plans/team:upgrade").json(&json!({ "to": 1 })).send().await.problem("TEN-0027");
    assert!(back["detail"].as_str().unwrap().contains("version 3"), "{back}");
    world.end().await;
}

/// PLAN-07: an upgrade of a share keeps whom it has, whoever cannot be moved is named and left, and it is taken back.
#[tokio::test]
async fn an_upgrade_moves_a_share_and_names_whom_it_leaves() {
    let world = World::quiet().await;
    applied(&world, &[team(false, "follow")]).await;
    let names: Vec<String> = (0..60).map(|number| format!("team-{number:02}")).collect();
    let document = |slug: &String| {
        let mut body = manifest(slug);
        body["spec"]["plan"] = json!("team");
        body["spec"]["settings"] = json!({});
        body["apiVersion"] = json!("tenantry.dev/v1");
        body["kind"] = json!("Tenant");
        body.to_string()
    };
    applied(&world, &names.iter().map(document).collect::<Vec<_>>()).await;
    tenant(&world, "set", json!({ "locale": "de" })).await;
    tenant(&world, "full", json!({})).await;
    let take = world.post("tenants/full/quotas/seats:take").keyed().json(&json!({ "amount": 3 })).send().await;
    assert_eq!(take.status, 200, "{take:?}");
    applied(&world, &[team(true, "keep")]).await;

    let slugs = |answer: &Value, list: &str| -> Vec<String> {
        answer[list].as_array().unwrap().iter().map(|one| one["slug"].as_str().unwrap().to_owned()).collect()
    };
    let dry = upgrade(&world, json!({ "share": 20, "dryRun": true })).await;
    assert_eq!(bindings(&world).await, [(2, 0), (1, 62)], "a look moves nobody");
    let some = upgrade(&world, json!({ "share": 20 })).await;
    assert_eq!(slugs(&some, "moved"), slugs(&dry, "moved"));
    let first = slugs(&some, "moved");
    assert!((1..=40).contains(&first.len()), "{first:?}");
    assert!(slugs(&upgrade(&world, json!({ "share": 20 })).await, "moved").is_empty(), "again, nobody is left");
    let more = upgrade(&world, json!({ "to": 2, "share": 60 })).await;
    let second = slugs(&more, "moved");
    assert!(!second.is_empty() && !second.iter().any(|slug| first.contains(slug)), "{second:?}");
    assert_eq!(entitlements(&world, &first[0]).await["planVersion"], 2, "whoever was in the share stays in it");

    let named = upgrade(&world, json!({ "tenants": ["full", "set"] })).await;
    let codes: Vec<_> = named["refused"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
    assert_eq!(codes, ["TEN-0101", "TEN-0073"], "{named}");
    let figures = named["refused"][0]["detail"].as_str().unwrap();
    assert!(figures.contains("`seats` 3 of 2"), "{figures}");
    assert_eq!(named["refused"][1]["errors"][0]["field"], "spec.settings.locale", "{named}");
    assert_eq!(entitlements(&world, "full").await["planVersion"], 1, "it has what it had");

    // Batches until nobody is left; the two go on being named.
    let (mut after, mut refused) = (Value::Null, Vec::new());
    loop {
        let mut body = json!({ "to": 2 });
        if !after.is_null() {
            body["after"] = after;
        }
        let answer = upgrade(&world, body).await;
        assert!(slugs(&answer, "moved").len() + slugs(&answer, "refused").len() <= 50);
        refused.extend(slugs(&answer, "refused"));
        after = answer["next"].clone();
        if after.is_null() {
            break;
        }
    }
    refused.sort();
    assert_eq!(refused, ["full", "set"]);
    assert_eq!(bindings(&world).await, [(2, 60), (1, 2)]);

    // Each has its entry and its event; nobody else's says so.
    let audit = world.get("audit?action=plan.upgrade&pageSize=200").send().await.json();
    let done = |entry: &&Value| entry["outcome"] == "success";
    assert_eq!(audit["items"].as_array().unwrap().iter().filter(done).count(), 60);
    let events = world.get(&format!("tenants/{}/events?after=0", first[0])).send().await.json();
    let told = events["items"].as_array().unwrap().iter().filter(|event| event["type"] == "plan.changed");
    let told: Vec<_> = told.map(|event| (&event["data"]["planVersionBefore"], &event["data"]["planVersion"])).collect();
    assert_eq!(told, [(&json!(1), &json!(2))], "{events}");

    // Back again, and only those that came from there.
    let back = upgrade(&world, json!({ "from": 2, "to": 1, "tenants": [first[0]] })).await;
    assert_eq!(slugs(&back, "moved"), [first[0].clone()]);
    assert_eq!(entitlements(&world, &first[0]).await["features"]["ai"]["value"], true);
    assert!(slugs(&upgrade(&world, json!({ "from": 1, "to": 1 })).await, "moved").is_empty());

    world.post("plans/nothing:upgrade").json(&json!({})).send().await.problem("TEN-0006");
    assert_eq!(world.post("plans/team:upgrade").json(&json!({ "to": 9 })).send().await.status, 404);
    world.post("plans/team:upgrade").json(&json!({ "tenants": ["hooli"] })).send().await.problem("TEN-0005");
    let other = world.draft("other").await["metadata"]["name"].as_str().unwrap().to_owned();
    let foreign = upgrade(&world, json!({ "tenants": [other] })).await;
    assert!(foreign["refused"][0]["detail"].as_str().unwrap().contains("standard"), "{foreign}");
    world.end().await;
}

/// PLAN-07: a change of plan is checked against lower limits, with the figures; an override makes room.
#[tokio::test]
async fn a_downgrade_that_would_not_fit_is_refused_with_the_figures() {
    let world = World::quiet().await;
    let small = json!({ "isolation": "shared", "quotas": { "seats": 2 } });
    applied(&world, &[team(false, "follow"), plan("small", &small)]).await;
    tenant(&world, "acme", json!({})).await;
    let take = world.post("tenants/acme/quotas/seats:take").keyed().json(&json!({ "amount": 3 })).send().await;
    assert_eq!(take.status, 200, "{take:?}");
    let patch = async |spec: Value| {
        let ask = world.ask("PATCH", "tenants/acme").keyed().header("if-match", "*");
        ask.text("application/merge-patch+json", &json!({ "spec": spec }).to_string()).send().await
    };
    let refused = patch(json!({ "plan": "small" })).await.problem("TEN-0101");
    assert!(refused["detail"].as_str().unwrap().contains("`seats` 3 of 2"), "{refused}");
    assert_eq!(entitlements(&world, "acme").await["plan"], "team");
    let over = json!({ "quotas": { "seats": { "value": "5", "reason": "until the move is over" } } });
    let fits = patch(json!({ "plan": "small", "overrides": over })).await;
    assert!(fits.status.is_success(), "{fits:?}");
    assert_eq!(entitlements(&world, "acme").await["plan"], "small");
    world.end().await;
}

/// PLAN-01: one default plan per environment, in one apply, in several, and in two at the same moment.
#[tokio::test]
async fn an_environment_has_one_default_plan() {
    let world = World::quiet().await;
    let named = |name: &str, is_default: bool| plan(name, &json!({ "isolation": "shared", "default": is_default }));
    let both = apply(&world, &[named("a", true), named("b", true)]).await.problem("TEN-0100");
    assert_eq!(both["errors"][0]["field"], "spec.default", "{both}");
    world.get("plans/a").send().await.problem("TEN-0006");
    applied(&world, &[named("a", true), named("b", false)]).await;
    let second = apply(&world, &[named("b", true)]).await.problem("TEN-0100");
    assert!(second["detail"].as_str().unwrap().contains("`a` is"), "{second}");
    let text = named("b", true);
    world.post("manifests:plan").yaml(&text).send().await.problem("TEN-0100");
    // Handed on in one apply, whichever comes first.
    applied(&world, &[named("b", true), named("a", false)]).await;
    applied(&world, &[named("b", false), named("a", true)]).await;
    applied(&world, &[named("a", false)]).await;

    // As many as the rate of one principal has room for.
    for round in 0..3 {
        let (left, right) = (format!("l{round}"), format!("r{round}"));
        let (left, right) = (named(&left, true), named(&right, true));
        let (first, second) =
            tokio::join!(apply(&world, std::slice::from_ref(&left)), apply(&world, std::slice::from_ref(&right)));
        let (winner, loser) = if first.status == 200 { (left, second) } else { (right, first) };
        loser.problem("TEN-0100");
        let defaults = world.get("plans?pageSize=200").send().await.json();
        let defaults = defaults["items"].as_array().unwrap().iter().filter(|plan| plan["spec"]["default"] == true);
        assert_eq!(defaults.count(), 1);
        applied(&world, &[winner.replace("true", "false")]).await;
    }
    world.end().await;
}
