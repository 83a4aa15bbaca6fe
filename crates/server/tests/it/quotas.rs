//! Quotas and rates over HTTP: taken exactly, refused with advice, repeated without harm, told to callers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::{Reply, World, manifest};

const PLANS: &str = "
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: standard }
spec:
  isolation: schema
  quotas:
    seats: 3
    storage: { limit: 10Gi, mode: soft, warnAt: 50% }
    exports: { mode: observed }
    jobs: { mode: off }
    events: 1000/month
  rateLimits: { requests: 5/min, api: 1000/min, write: 4/min }
  backup: { retention: 30d }
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: big }
spec: { isolation: schema, quotas: { seats: 50 }, price: { currency: EUR, monthlyMinor: 9900 } }
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: middle }
spec: { isolation: schema, quotas: { seats: 4 }, price: { currency: EUR, monthlyMinor: 4900 } }
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: agreed }
spec: { isolation: schema, quotas: { seats: 4 } }
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: tight }
spec: { isolation: schema, quotas: { seats: 2 }, price: { currency: EUR, monthlyMinor: 100 } }
";

/// A tenant that no rate of its plan slows down.
async fn world() -> World {
    let world = World::quiet().await;
    let plans = PLANS.replace(", write: 4/min", "");
    let applied = world.post("manifests:apply").keyed().header("if-match", "*").yaml(&plans).send().await;
    assert!(applied.status.is_success(), "{applied:?}");
    world.draft("acme").await;
    world
}

async fn take(world: &World, quota: &str, amount: u64) -> Reply {
    let path = format!("tenants/acme/quotas/{quota}:take");
    world.post(&path).keyed().json(&json!({ "amount": amount })).send().await
}

async fn quota(world: &World, name: &str) -> Value {
    let all = world.get("tenants/acme/quotas").send().await.json();
    all["items"].as_array().unwrap().iter().find(|quota| quota["name"] == name).cloned().unwrap()
}

async fn events(world: &World) -> Vec<(String, Value)> {
    let all = world.get("tenants/acme/events?after=0").send().await.json();
    let all = all["items"].as_array().unwrap().iter();
    let of_quotas = all.filter(|event| event["type"].as_str().unwrap().starts_with("quota."));
    of_quotas.map(|event| (event["type"].as_str().unwrap().to_owned(), event["data"]["quota"].clone())).collect()
}

#[tokio::test]
async fn a_hard_quota_is_taken_exactly_and_its_refusal_names_the_cheapest_plan() {
    let world = world().await;
    let first = take(&world, "seats", 2).await;
    assert_eq!(first.status, 200, "{first:?}");
    let shown = first.json();
    for (field, expected) in [
        ("limit", json!(3)),
        ("mode", json!("hard")),
        ("used", json!(2)),
        ("remaining", json!(1)),
        ("origin", json!("plan")),
        ("status", json!("within")),
    ] {
        assert_eq!(shown[field], expected, "{field}: {shown}");
    }
    let path = "tenants/acme/quotas/seats:take";
    let body = json!({ "amount": 1 });
    let asks = (0..12).map(|_| world.post(path).keyed().json(&body).send());
    let replies = futures_util::future::join_all(asks).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
    for refused in replies.iter().filter(|reply| reply.status != 200) {
        let problem = refused.problem("TEN-0056");
        assert_eq!(refused.status, 403);
        assert_eq!(problem["detail"], "quota `seats` is used up: 3 of 3 used, 0 reserved, 1 asked for");
        assert_eq!(problem["hint"], "Free something, or bind the plan `middle`, which allows 4.");
    }
    let more = take(&world, "seats", 2).await.problem("TEN-0056");
    assert_eq!(more["hint"], "Free something, or bind the plan `big`, which allows 50.");
    let most = take(&world, "seats", 100).await.problem("TEN-0056");
    assert!(most["hint"].as_str().unwrap().contains("no plan of the catalog allows it"), "{most}");
    // Twelve refusals and more, and the tenant is told once each: full, and refused.
    assert_eq!(
        events(&world).await,
        [("quota.warning".into(), json!("seats")), ("quota.exceeded".into(), json!("seats"))]
    );
    // What is given back can be taken again.
    let given = world.post("tenants/acme/quotas/seats:release").keyed().json(&body).send().await;
    assert_eq!(given.json()["used"], 2, "{given:?}");
    assert_eq!(take(&world, "seats", 1).await.status, 200);
    world.end().await;
}

#[tokio::test]
async fn modes_overrides_and_recounts_are_seen() {
    let world = world().await;
    let gigabytes = |count: u64| count << 30;
    assert_eq!(take(&world, "storage", gigabytes(11)).await.json()["status"], "exceeded");
    assert_eq!(take(&world, "exports", 1_000_000).await.json()["used"], 1_000_000);
    assert_eq!(take(&world, "jobs", 5).await.json()["used"], 0);
    let monthly = take(&world, "events", 1).await.json();
    assert!(monthly["renewsAt"].as_str().is_some_and(|at| at.ends_with("-01T00:00:00Z")), "{monthly}");
    assert_eq!(events(&world).await, [("quota.exceeded".into(), json!("storage"))]);
    let counted = world.post("tenants/acme/quotas/storage:recount").json(&json!({ "used": gigabytes(1) })).send().await;
    assert_eq!((&counted.json()["status"], &counted.json()["used"]), (&json!("within"), &json!(gigabytes(1))));
    let plan = world.get("plans/standard").send().await.json();
    assert_eq!(plan["spec"]["quotas"]["storage"], json!({ "limit": "10Gi", "mode": "soft", "warnAt": "50%" }));
    assert_eq!(plan["spec"]["quotas"]["seats"], 3);
    // An administrator's override, with its end.
    let mut wanted = manifest("acme")["spec"].clone();
    wanted["overrides"] = json!({ "quotas": { "seats": { "value": 9, "reason": "pilot", "until": "2097-03-31" } } });
    let tenant = world.ask("PUT", "tenants/acme").keyed().header("if-match", "*").json(&json!({ "spec": wanted }));
    let tenant = tenant.send().await;
    assert!(tenant.status.is_success(), "{tenant:?}");
    let seats = quota(&world, "seats").await;
    assert_eq!((&seats["limit"], &seats["origin"]), (&json!(9), &json!("override")), "{seats}");
    assert_eq!(seats["until"], "2097-03-31T00:00:00Z");
    assert_eq!(take(&world, "seats", 9).await.json()["remaining"], 0);
    world.end().await;
}

#[tokio::test]
async fn repetitions_and_mistakes_change_nothing() {
    let world = world().await;
    let key = "a-key-that-is-used-twice";
    for _ in 0..3 {
        let reply = world.post("tenants/acme/quotas/seats:take").header("idempotency-key", key);
        assert_eq!(reply.json(&json!({ "amount": 2 })).send().await.json()["used"], 2);
    }
    assert_eq!(quota(&world, "seats").await["used"], 2);
    let other = world.post("tenants/acme/quotas/seats:take").header("idempotency-key", key).json(&json!({})).send();
    other.await.problem("TEN-0018");
    world.post("tenants/acme/quotas/seats:take").json(&json!({})).send().await.problem("TEN-0020");
    take(&world, "desks", 1).await.problem("TEN-0057");
    world.post("tenants/initech/quotas/seats:take").keyed().json(&json!({})).send().await.problem("TEN-0005");
    for body in [json!({ "amount": 0 }), json!({ "amount": -1 }), json!({ "used": 1 }), json!({ "limit": 100 })] {
        let reply = world.post("tenants/acme/quotas/seats:take").keyed().json(&body).send().await;
        reply.problem("TEN-0027");
    }
    world.post("tenants/acme/quotas/9x:take").keyed().json(&json!({})).send().await.problem("TEN-0027");
    world.post("tenants/acme/reservations/x:commit").keyed().send().await.problem("TEN-0027");
    assert_eq!(quota(&world, "seats").await["used"], 2);
    let entries = world.get("tenants/acme/audit?category=access").send().await.json();
    assert_eq!(entries["items"].as_array().unwrap().len(), 1, "{entries}");
    world.end().await;
}

#[tokio::test]
async fn a_reservation_is_made_once_and_ends_once() {
    let world = world().await;
    let body = json!({ "amount": 2, "expiresIn": "1h" });
    let reserve =
        || world.post("tenants/acme/quotas/seats:reserve").header("idempotency-key", "reserve-them-once").json(&body);
    let (first, again) = (reserve().send().await, reserve().send().await);
    assert_eq!((first.status.as_u16(), first.json()), (201, again.json()));
    let made = first.json();
    assert_eq!((&made["quota"]["reserved"], &made["quota"]["remaining"]), (&json!(2), &json!(1)));
    take(&world, "seats", 2).await.problem("TEN-0056");
    let path = format!("tenants/acme/reservations/{}", made["id"].as_str().unwrap());
    let commit = world.post(&format!("{path}:commit")).keyed().send().await;
    assert_eq!((&commit.json()["used"], &commit.json()["reserved"]), (&json!(2), &json!(0)), "{commit:?}");
    for verb in ["commit", "release"] {
        world.post(&format!("{path}:{verb}")).keyed().send().await.problem("TEN-0058");
    }
    // Of another tenant it is none.
    let second = world.post("tenants/acme/quotas/seats:reserve").keyed().json(&json!({})).send().await.json();
    world.draft("globex").await;
    let id = second["id"].as_str().unwrap();
    world.post(&format!("tenants/globex/reservations/{id}:release")).keyed().send().await.problem("TEN-0058");
    let freed = world.post(&format!("tenants/acme/reservations/{id}:release")).keyed().send().await;
    assert_eq!((&freed.json()["used"], &freed.json()["reserved"]), (&json!(2), &json!(0)), "{freed:?}");
    // One that has expired.
    let brief = world.post("tenants/acme/quotas/seats:reserve").keyed().json(&json!({ "expiresIn": "1s" }));
    let brief = brief.send().await.json();
    let end = Instant::now() + Duration::from_secs(20);
    while quota(&world, "seats").await["reserved"] != 0 {
        assert!(Instant::now() < end, "it does not expire");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let path = format!("tenants/acme/reservations/{}:commit", brief["id"].as_str().unwrap());
    world.post(&path).keyed().send().await.problem("TEN-0058");
    assert_eq!(take(&world, "seats", 1).await.json()["remaining"], 0);
    world.end().await;
}

/// What Tenantry counts itself is there without anybody's counting, and nobody else takes it.
#[tokio::test]
async fn people_are_counted_by_tenantry_alone() {
    let world = World::quiet().await;
    let plan = "apiVersion: tenantry.dev/v1\nkind: Plan\nmetadata: { name: standard }\nspec: { isolation: schema, quotas: { users: 4 } }";
    let applied = world.post("manifests:apply").keyed().header("if-match", "*").yaml(plan).send().await;
    assert!(applied.status.is_success(), "{applied:?}");
    world.draft("acme").await;
    for who in ["olga", "anna", "bert"] {
        let body = json!({ "issuer": "https://login.example", "subject": who, "email": format!("{who}@example.com"), "role": "owner" });
        let added = world.post("tenants/acme/members").keyed().json(&body).send().await;
        assert_eq!(added.status, 201, "{added:?}");
    }
    let invite = json!({ "email": "carl@example.com", "role": "member", "delivery": "link" });
    assert_eq!(world.post("tenants/acme/invitations").keyed().json(&invite).send().await.status, 201);
    let users = quota(&world, "users").await;
    assert_eq!(
        (&users["used"], &users["remaining"], &users["status"]),
        (&json!(4), &json!(0), &json!("warning")),
        "{users}"
    );
    assert_eq!(events(&world).await, [("quota.warning".into(), json!("users"))]);
    for (verb, body) in [
        ("take", json!({ "amount": 1 })),
        ("release", json!({ "amount": 1 })),
        ("reserve", json!({ "amount": 1 })),
        ("recount", json!({ "used": 0 })),
    ] {
        let reply = world.post(&format!("tenants/acme/quotas/users:{verb}")).keyed().json(&body).send().await;
        let problem = reply.problem("TEN-0027");
        assert_eq!(problem["errors"][0]["field"], "quota", "{verb}: {problem}");
        assert!(
            problem["errors"][0]["message"].as_str().unwrap().contains("members and open invitations"),
            "{problem}"
        );
    }
    assert_eq!(quota(&world, "users").await["used"], 4);
    world.end().await;
}
