//! Usage over HTTP: counted once, judged event by event, visible at once, told when an hour has closed.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::world::{Reply, World};

const METERS: &str = "
apiVersion: tenantry.dev/v1
kind: Meter
metadata: { name: egress }
spec: { unit: byte, aggregation: sum, value: bytes, dimensions: [region], quota: egress }
---
apiVersion: tenantry.dev/v1
kind: Meter
metadata: { name: users }
spec: { unit: user, aggregation: unique, value: user }
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: standard }
spec: { isolation: schema, quotas: { egress: { limit: 1000/month, mode: soft } }, backup: { retention: 30d } }
";

const BATCH: &str = "application/cloudevents-batch+json";

async fn prepare(world: &World) {
    let applied = world.post("manifests:apply").keyed().header("if-match", "*").yaml(METERS).send().await;
    assert!(applied.status.is_success(), "{applied:?}");
    world.draft("acme").await;
    world.draft("globex").await;
}

fn ago(hours: i64) -> String {
    Timestamp::now().checked_sub(SignedDuration::from_hours(hours)).unwrap().to_string()
}

fn event(id: &str, subject: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/api", "type": "egress", "subject": subject, "time": ago(0),
        "data": data,
    })
}

async fn send(world: &World, events: &Value) -> Reply {
    world.post("usage").text(BATCH, &events.to_string()).send().await
}

#[tokio::test]
async fn a_batch_is_judged_event_by_event_and_counts_once() {
    let world = World::quiet().await;
    prepare(&world).await;
    let id = world.get("tenants/globex").send().await.json()["status"]["id"].as_str().unwrap().to_owned();
    let mut old = event("e-4", "acme", json!({ "bytes": 1 }));
    old["time"] = json!(ago(36 * 24));
    let mut early = event("e-5", "acme", json!({ "bytes": 1 }));
    early["time"] = json!(ago(-1));
    let mut unknown = event("e-6", "acme", json!({}));
    unknown["type"] = json!("ingress");
    let batch = json!([
        event("e-1", "acme", json!({ "bytes": 0.1, "region": "eu" })),
        event("e-2", "acme", json!({ "bytes": "0.2", "region": "us" })),
        event("e-3", &id, json!({ "bytes": 7 })),
        old,
        early,
        unknown,
        event("e-7", "nobody", json!({ "bytes": 1 })),
        event("e-8", "acme", json!({ "bytes": -1 })),
        event("e-1", "acme", json!({ "bytes": 0.1, "region": "eu" })),
        7,
    ]);
    let reply = send(&world, &batch).await;
    assert_eq!(reply.status, 207, "{reply:?}");
    let answer = reply.json();
    assert_eq!((&answer["accepted"], &answer["duplicates"], &answer["refused"]), (&json!(3), &json!(1), &json!(6)));
    let errors: Vec<_> = answer["errors"].as_array().unwrap().iter().collect();
    let told: Vec<_> = errors.iter().map(|error| (&error["index"], &error["code"], &error["field"])).collect();
    let expected = [
        (3, "TEN-0083", "time"),
        (4, "TEN-0083", "time"),
        (5, "TEN-0094", "type"),
        (6, "TEN-0005", "subject"),
        (7, "TEN-0082", "data.bytes"),
        (9, "TEN-0082", ""),
    ];
    let expected = expected.map(|(index, code, field)| (json!(index), json!(code), json!(field)));
    assert_eq!(told, expected.iter().map(|(index, code, field)| (index, code, field)).collect::<Vec<_>>(), "{answer}");
    // Everything that was answered is in the very next report, exactly.
    let report = world.get("tenants/acme/usage?meter=egress").send().await;
    assert_eq!(report.status, 200, "{report:?}");
    let report = report.json();
    assert_eq!((&report["items"][0]["value"], &report["items"][0]["events"]), (&json!("0.3"), &json!(2)), "{report}");
    let again = send(&world, &batch).await.json();
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(4)), "{again}");
    let grouped = world.get("tenants/acme/usage?meter=egress&window=hour&groupBy=region").send().await.json();
    let parts: Vec<_> =
        grouped["items"].as_array().unwrap().iter().map(|item| item["dimensions"]["region"].clone()).collect();
    assert_eq!(parts, ["eu", "us"], "{grouped}");
    let ranking = world.get("usage?meter=egress").send().await.json();
    let shares: Vec<_> = ranking["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["tenant"].clone(), item["value"].clone()))
        .collect();
    assert_eq!(shares, [(json!("globex"), json!("7")), (json!("acme"), json!("0.3"))], "{ranking}");
    let csv = world.get("tenants/acme/usage?meter=egress&groupBy=region&format=csv").send().await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    let lines: Vec<&str> = csv.text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "tenant,meter,unit,from,to,value,events,region"), "{csv:?}");
    assert!(lines[1].starts_with("acme,egress,byte,") && lines[1].ends_with(",0.1,1,eu"), "{csv:?}");
    world.end().await;
}

#[tokio::test]
async fn one_event_alone_is_a_problem_or_counted() {
    let world = World::quiet().await;
    prepare(&world).await;
    let one = |event: Value| world.post("usage").text("application/cloudevents+json", &event.to_string());
    let reply = one(event("one", "acme", json!({ "bytes": 5 }))).send().await;
    assert_eq!((reply.status.as_u16(), reply.json()["accepted"].clone()), (200, json!(1)), "{reply:?}");
    let problem = one(event("two", "acme", json!({}))).send().await.problem("TEN-0082");
    assert_eq!(problem["errors"][0]["field"], "data.bytes");
    let mut timeless = event("three", "acme", json!({ "bytes": 5 }));
    timeless.as_object_mut().unwrap().remove("time");
    assert_eq!(one(timeless).send().await.problem("TEN-0082")["errors"][0]["field"], "time");
    let mut strange = event("four", "acme", json!({}));
    strange["type"] = json!("nothing");
    one(strange).send().await.problem("TEN-0094");
    one(event("five", "nobody", json!({ "bytes": 1 }))).send().await.problem("TEN-0082");
    // Bounds of a call, and what is no call at all.
    let many = Value::Array(vec![event("x", "acme", json!({ "bytes": 1 })); 1_001]);
    send(&world, &many).await.problem("TEN-0025");
    send(&world, &json!({})).await.problem("TEN-0042");
    world.post("usage").json(&json!([])).send().await.problem("TEN-0026");
    let large = Value::Array(vec![event("x", "acme", json!({ "bytes": 1, "note": "x".repeat(2_000) })); 600]);
    send(&world, &large).await.problem("TEN-0025");
    for (query, field) in [
        ("meter=egress&window=week", "window"),
        ("meter=egress&from=2027-04-01&to=2027-03-01", "from"),
        ("meter=egress&groupBy=colour", "groupBy"),
        ("meter=egress&format=xml", "format"),
        ("meter=egress&window=hour&from=2020-01-01", "from"),
    ] {
        let problem = world.get(&format!("tenants/acme/usage?{query}")).send().await.problem("TEN-0027");
        assert_eq!(problem["errors"][0]["field"], field, "{query}");
    }
    world.get("tenants/acme/usage?meter=nothing").send().await.problem("TEN-0094");
    world.get("tenants/initech/usage?meter=egress").send().await.problem("TEN-0005");
    world.end().await;
}

#[tokio::test]
async fn a_token_counts_for_its_own_tenant_alone() {
    let world = World::quiet().await;
    prepare(&world).await;
    let token = async |roles: &[&str], scopes: &[&str], tenant: Option<&str>| {
        let mut body = json!({ "name": "meter", "roles": roles });
        if !scopes.is_empty() {
            body["scopes"] = json!(scopes);
        }
        if let Some(tenant) = tenant {
            body["tenant"] = json!(tenant);
        }
        let made = world.post("tokens").keyed().json(&body).send().await;
        assert_eq!(made.status, 201, "{made:?}");
        format!("Bearer {}", made.json()["text"].as_str().unwrap())
    };
    let path = format!("/v1/environments/{}/usage", world.environment);
    let batch = json!([event("a", "acme", json!({ "bytes": 1 })), event("b", "globex", json!({ "bytes": 1 })),]);
    let sent = async |token: &str| {
        world.bare("POST", &path).header("authorization", token).text(BATCH, &batch.to_string()).send().await
    };
    // The tenant's own machine may read and not count.
    let own = token(&["tenant"], &[], Some("acme")).await;
    sent(&own).await.problem("TEN-0022");
    let mine = world.bare("GET", &format!("/v1/environments/{}/tenants/acme/usage?meter=egress", world.environment));
    assert_eq!(mine.header("authorization", &own).send().await.status, 200);
    let other = world.bare("GET", &format!("/v1/environments/{}/tenants/globex/usage?meter=egress", world.environment));
    other.header("authorization", &own).send().await.problem("TEN-0005");
    let all = world.bare("GET", &format!("{path}?meter=egress")).header("authorization", &own).send().await;
    assert!(all.status.is_client_error(), "{all:?}");
    // The product's backend may, everywhere or for one tenant.
    let bound = token(&["application"], &[], Some("acme")).await;
    let answer = sent(&bound).await.json();
    assert_eq!((&answer["accepted"], &answer["errors"][0]["code"]), (&json!(1), &json!("TEN-0005")), "{answer}");
    let answer = sent(&token(&["application"], &[], None).await).await.json();
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&json!(1), &json!(1)), "{answer}");
    sent(&token(&["auditor"], &[], None).await).await.problem("TEN-0022");
    // Whoever may count for one tenant cannot make events of another one look as if they had been counted.
    let taken = json!([event("stolen", "acme", json!({ "bytes": 1 }))]);
    let first = world.bare("POST", &path).header("authorization", &bound).text(BATCH, &taken.to_string()).send().await;
    assert_eq!(first.json()["accepted"], 1, "{first:?}");
    let answer = send(&world, &json!([event("stolen", "globex", json!({ "bytes": 5 }))])).await.json();
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&json!(1), &json!(0)), "{answer}");
    world.end().await;
}

#[tokio::test]
async fn a_meter_keeps_its_meaning_once_it_has_counted() {
    let world = World::quiet().await;
    prepare(&world).await;
    let maximum = METERS
        .replace("aggregation: sum, value: bytes", "aggregation: max, value: bytes")
        .replace(", quota: egress", "");
    let apply =
        async |text: &str| world.post("manifests:apply").keyed().header("if-match", "*").yaml(text).send().await;
    // A mistake can be put right until something was counted.
    assert!(apply(&maximum).await.status.is_success());
    assert!(apply(METERS).await.status.is_success());
    assert_eq!(send(&world, &json!([event("a", "acme", json!({ "bytes": 1 }))])).await.status, 200);
    assert_eq!(apply(&maximum).await.problem("TEN-0095")["errors"][0]["field"], "spec.aggregation");
    let shown = world.get("meters/egress").send().await.json();
    assert_eq!((&shown["kind"], &shown["spec"]["aggregation"]), (&json!("Meter"), &json!("sum")), "{shown}");
    // What the world was not told of yet needs the meter; another one can go.
    let gone = |name: &str| world.ask("DELETE", &format!("meters/{name}")).keyed().header("if-match", "*");
    gone("egress").send().await.problem("TEN-0036");
    assert_eq!(gone("users").send().await.status, 204);
    world.end().await;
}

async fn reports(world: &World) -> Vec<Value> {
    let all = world.get("tenants/acme/events?after=0").send().await.json();
    let all = all["items"].as_array().unwrap().iter();
    all.filter(|event| event["type"] == "usage.reported").map(|event| event["data"].clone()).collect()
}

async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "it did not happen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_closed_hour_is_told_once_and_corrected_by_a_revision() {
    let world = World::running().await;
    prepare(&world).await;
    let late = |id: &str, bytes: u32| {
        let mut event = event(id, "acme", json!({ "bytes": bytes, "region": "eu" }));
        event["time"] = json!("HOUR");
        event
    };
    let time = ago(3);
    let sent = async |events: Value| {
        send(&world, &serde_json::from_str(&events.to_string().replace("HOUR", &time)).unwrap()).await
    };
    assert_eq!(sent(json!([late("a", 5), late("b", 6)])).await.status, 200);
    // The hour under way is not told, and counts for the quota.
    assert_eq!(send(&world, &json!([event("now", "acme", json!({ "bytes": 900 }))])).await.status, 200);
    let first = until(async || reports(&world).await.pop()).await;
    for (field, expected) in [
        ("meter", json!("egress")),
        ("unit", json!("byte")),
        ("window", json!("hour")),
        ("value", json!("11")),
        ("events", json!(2)),
        ("revision", json!(1)),
        ("parts", json!([{ "dimensions": { "region": "eu" }, "value": "11", "events": 2 }])),
    ] {
        assert_eq!(first[field], expected, "{field}: {first}");
    }
    // A repetition is nothing new; an event that comes late is.
    assert_eq!(sent(json!([late("a", 5)])).await.json()["duplicates"], 1);
    assert_eq!(sent(json!([late("c", 1)])).await.json()["accepted"], 1);
    let all = until(async || Some(reports(&world).await).filter(|all| all.len() > 1)).await;
    assert_eq!((all.len(), &all[1]["value"], &all[1]["revision"]), (2, &json!("12"), &json!(2)), "{all:?}");
    let quota = until(async || {
        let quotas = world.get("tenants/acme/quotas").send().await.json();
        let quota = quotas["items"].as_array().unwrap().iter().find(|quota| quota["name"] == "egress").cloned();
        quota.filter(|quota| quota["used"] != 0)
    });
    assert_eq!(quota.await["status"], "warning");
    world.end().await;
}

/// Asks until the rate of callers lets it through.
async fn patient(ask: impl AsyncFn() -> Reply) -> Reply {
    until(async || Some(ask().await).filter(|reply| reply.status.as_u16() != 429)).await
}

/// Plans in which the quota is no monthly one, or is not enforced, beside the one of the tests.
const OTHER_PLANS: &str = "
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: off }
spec: { isolation: schema, quotas: { egress: { limit: 1000/month, mode: \"off\" } }, backup: { retention: 30d } }
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: daily }
spec: { isolation: schema, quotas: { egress: { limit: 1000/day, mode: soft } }, backup: { retention: 30d } }
";

#[tokio::test]
async fn a_quota_is_kept_however_many_tenants_have_one_that_is_not() {
    let world = World::running().await;
    prepare(&world).await;
    let applied = world.post("manifests:apply").keyed().header("if-match", "*").yaml(OTHER_PLANS).send().await;
    assert!(applied.status.is_success(), "{applied:?}");
    let mut events = Vec::new();
    // More than are looked at together, and all of them in front of the one that has a quota to be kept.
    for place in 0..202 {
        let slug = format!("customer-{place}");
        let mut manifest = crate::world::manifest(&slug);
        manifest["spec"]["plan"] = json!(if place % 2 == 0 { "off" } else { "daily" });
        let reply = patient(async || world.post("tenants").keyed().json(&manifest).send().await).await;
        assert_eq!(reply.status, 202, "{reply:?}");
        events.push(event(&slug, &slug, json!({ "bytes": 3 })));
    }
    let reply =
        patient(async || world.post("tenants").keyed().json(&crate::world::manifest("last")).send().await).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    events.push(event("last", "last", json!({ "bytes": 900 })));
    let counted = patient(async || send(&world, &json!(events)).await).await.json();
    assert_eq!(counted["accepted"], 203, "{counted}");
    let quota = until(async || {
        let quotas = patient(async || world.get("tenants/last/quotas").send().await).await.json();
        let quota = quotas["items"].as_array().unwrap().iter().find(|quota| quota["name"] == "egress").cloned();
        quota.filter(|quota| quota["used"] != 0)
    });
    assert_eq!(quota.await["used"], 900);
    // Nothing was done about the others, so nothing is told of it.
    let conn = world.deps.store().pool().get().await.unwrap();
    let sql = "SELECT count(DISTINCT subject) FROM tenantry.audit WHERE action = 'quota.set'";
    let told: i64 = conn.query_one(sql, &[]).await.unwrap().get(0);
    conn.release();
    assert_eq!(told, 1);
    world.end().await;
}
