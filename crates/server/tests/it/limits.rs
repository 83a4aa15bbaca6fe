//! Rates over HTTP: of principals, of tenants, of strangers, for applications and for proxies.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::world::{Reply, World};

/// Asks again and again until it is refused; how often it was not.
async fn until_refused(most: usize, ask: impl AsyncFn() -> Reply) -> (usize, Reply) {
    for count in 0..most {
        let reply = ask().await;
        if reply.status == 429 {
            return (count, reply);
        }
        assert!(reply.status.is_success(), "{reply:?}");
    }
    panic!("{most} calls and none was refused");
}

fn wait_of(reply: &Reply) -> u64 {
    reply.header("retry-after").parse().unwrap()
}

async fn plan(world: &World, rates: &str) {
    let plan = format!(
        "apiVersion: tenantry.dev/v1\nkind: Plan\nmetadata: {{ name: standard }}\nspec: {{ isolation: schema, quotas: {{ users: 100 }}, backup: {{ retention: 30d }}, rateLimits: {{ {rates} }} }}"
    );
    let applied = world.post("manifests:apply").keyed().header("if-match", "*").yaml(&plan).send().await;
    assert!(applied.status.is_success(), "{applied:?}");
}

#[tokio::test]
async fn a_principal_is_told_its_rate_and_one_who_obeys_is_let_in() {
    let world = World::quiet().await;
    let reply = world.get("tenants").send().await;
    assert_eq!(reply.header("ratelimit-policy"), "\"principal\";q=200;w=2");
    assert!(reply.header("ratelimit").starts_with("\"principal\";r="), "{reply:?}");
    // Whole files are the dearest calls: ten a second, twenty at once.
    let ask = async || world.get("audit?pageSize=1").send().await;
    let (count, refused) = until_refused(400, ask).await;
    assert!(count >= 15, "{count}");
    refused.problem("TEN-0039");
    assert_eq!(refused.header("ratelimit-policy"), "\"principal\";q=20;w=2");
    assert!(refused.header("ratelimit").starts_with("\"principal\";r=0;t="), "{refused:?}");
    let wait = wait_of(&refused);
    assert!((1..=2).contains(&wait), "{wait}");
    // Other classes are rates of their own, and so is another principal.
    assert_eq!(world.get("tenants").send().await.status, 200);
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(world.get("audit?pageSize=1").send().await.status, 200);
    // What was refused for a rate is not in the audit: nobody can fill it like that.
    let entries = world.get("audit?category=refusal").send().await.json();
    assert!(entries["items"].as_array().unwrap().is_empty(), "{entries}");
    let metrics = world.bare("GET", "/metrics").bearer().send().await.text;
    assert!(metrics.contains("tenantry_rate_decisions_total{by=\"memory\",verdict=\"refused\"}"), "{metrics}");
    world.end().await;
}

#[tokio::test]
async fn a_tenant_has_the_rates_of_its_plan_and_overrides() {
    let world = World::running().await;
    plan(&world, "api: 6/min").await;
    world.draft("acme").await;
    world.draft("globex").await;
    let ask = async || world.get("tenants/acme").send().await;
    let (count, refused) = until_refused(20, ask).await;
    assert!((1..=6).contains(&count), "{count}");
    refused.problem("TEN-0039");
    assert_eq!(refused.header("ratelimit-policy"), "\"principal\";q=200;w=2, \"tenant\";q=6;w=60");
    assert!((5..=13).contains(&wait_of(&refused)), "{refused:?}");
    // Its neighbour is another one, and the tenant goes by its id as well.
    assert_eq!(world.get("tenants/globex").send().await.status, 200);
    let list = world.get("tenants").send().await.json();
    let acme = list["items"].as_array().unwrap().iter().find(|tenant| tenant["metadata"]["name"] == "acme");
    let id = acme.unwrap()["status"]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.get(&format!("tenants/{id}")).send().await.status, 429);
    // In another spelling it is not there, so that nobody gets past the rate by one.
    for spelt in ["%61cme", "acm%65"] {
        world.get(&format!("tenants/{spelt}")).send().await.problem("TEN-0023");
    }
    let environment = world.environment.as_str();
    let escaped = format!("%{:02x}{}", environment.as_bytes()[0], &environment[1..]);
    for path in ["tenants/acme", "tenants/acme/quotas", "tenants"] {
        let reply = world.bare("GET", &format!("/v1/environments/{escaped}/{path}")).bearer().send().await;
        assert!(reply.status == 404, "{reply:?}");
    }
    // A neighbour's key neither uses the rate up nor is told that there is one.
    let wanted = json!({ "name": "globex's machine", "roles": ["tenant"], "tenant": "globex" });
    let made = world.post("tokens").keyed().json(&wanted).send().await;
    let key = format!("Bearer {}", made.json()["text"].as_str().unwrap_or_else(|| panic!("{made:?}")));
    let path = |name: &str| format!("/v1/environments/{}/tenants/{name}", world.environment);
    let of_a_stranger = world.bare("GET", &path("acme")).header("authorization", &key).send().await;
    assert_eq!(
        (of_a_stranger.status.as_u16(), of_a_stranger.header("ratelimit-policy")),
        (404, "\"principal\";q=200;w=2")
    );
    let own = world.bare("GET", &path("globex")).header("authorization", &key).send().await;
    assert_eq!(
        (own.status.as_u16(), own.header("ratelimit-policy")),
        (200, "\"principal\";q=200;w=2, \"tenant\";q=6;w=60")
    );
    // A higher rate is seen within a second.
    plan(&world, "api: 100000/min").await;
    let end = Instant::now() + Duration::from_secs(10);
    while world.get("tenants/acme").send().await.status != 200 {
        assert!(Instant::now() < end, "the new rate is not seen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.end().await;
}

#[tokio::test]
async fn applications_take_a_tenants_rate() {
    let world = World::quiet().await;
    plan(&world, "requests: 3/min, unbounded: unlimited/min").await;
    world.draft("acme").await;
    let take = async |class: &str, body: serde_json::Value| {
        let reply = world.post(&format!("tenants/acme/limits/{class}:take")).json(&body).send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply
    };
    let first = take("requests", json!({})).await;
    assert_eq!(first.json(), json!({ "allowed": true, "remaining": 2, "resetSeconds": 20, "most": 3 }));
    assert_eq!(first.header("ratelimit-policy"), "\"tenant\";q=3;w=60");
    assert_eq!(take("requests", json!({ "count": 2 })).await.json()["remaining"], 0);
    let refused = take("requests", json!({})).await.json();
    assert_eq!((&refused["allowed"], &refused["remaining"]), (&json!(false), &json!(0)));
    assert!((15..=20).contains(&refused["retryAfterSeconds"].as_u64().unwrap()), "{refused}");
    // More than ever comes at once is no matter of waiting.
    assert_eq!(take("requests", json!({ "count": 4 })).await.json().get("retryAfterSeconds"), None);
    // A user of the tenant has one for itself.
    assert_eq!(take("requests", json!({ "principal": "usr-1" })).await.json()["remaining"], 2);
    for class in ["unbounded", "unknown"] {
        assert_eq!(take(class, json!({ "count": 1000 })).await.json(), json!({ "allowed": true }), "{class}");
    }
    world.post("tenants/initech/limits/requests:take").json(&json!({})).send().await.problem("TEN-0005");
    world.post("tenants/acme/limits/requests:take").json(&json!({ "count": 0 })).send().await.problem("TEN-0027");
    world.end().await;
}

#[tokio::test]
async fn proxies_are_told_that_a_tenant_sends_too_much() {
    let world = World::running().await;
    plan(&world, "requests: 4/min").await;
    let mut wanted = crate::world::manifest("acme");
    wanted["spec"]["state"] = json!("active");
    let created = world.post("tenants?wait=30s").keyed().json(&wanted).send().await;
    assert!(created.status.is_success(), "{created:?}");
    let ask = async |proxy: &str| {
        let ask = world.get(&format!("forward-auth/{proxy}"));
        let host = if proxy == "traefik" { "x-forwarded-host" } else { "x-original-host" };
        let uri = if proxy == "traefik" { "x-forwarded-uri" } else { "x-original-uri" };
        ask.header(host, "acme.app.example.com").header(uri, "/").send().await
    };
    let end = Instant::now() + Duration::from_secs(20);
    while ask("traefik").await.status == 503 {
        assert!(Instant::now() < end, "the tenant does not open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (_, refused) = until_refused(10, async || ask("traefik").await).await;
    assert_eq!(refused.header("x-tenant-error"), "TEN-0039");
    assert_eq!(refused.header("ratelimit-policy"), "\"tenant\";q=4;w=60");
    assert!((8..=19).contains(&wait_of(&refused)), "{refused:?}");
    assert_eq!(refused.header("tenantry-context"), "", "one who is not let in gets no token");
    // nginx passes on 403 alone; what it means is in the headers.
    let nginx = ask("nginx").await;
    assert_eq!((nginx.status.as_u16(), nginx.header("x-tenant-error")), (403, "TEN-0039"), "{nginx:?}");
    world.end().await;
}

#[tokio::test]
async fn strangers_who_guess_are_turned_away_and_their_neighbours_are_not() {
    let world = World::quiet().await;
    assert_eq!(world.get("tenants").send().await.status, 200);
    let guess = async |number: u32| {
        let token = format!("Bearer ten_live_{number:08}_nearly_right");
        world.bare("GET", "/v1/environments/prod/tenants").header("authorization", &token).send().await
    };
    let mut refused = None;
    for number in 0..30 {
        let reply = guess(number).await;
        if reply.status == 429 {
            refused = Some((number, reply));
            break;
        }
        reply.problem("TEN-0021");
    }
    let (count, reply) = refused.expect("thirty guesses in a moment");
    assert!((20..=21).contains(&count), "{count}");
    reply.problem("TEN-0039");
    assert!((1..=4).contains(&wait_of(&reply)), "{reply:?}");
    assert_eq!(reply.header("ratelimit-policy"), "\"failures\";q=20;w=60");
    // Few enough to be through before one comes back after three seconds.
    for number in 100..120 {
        assert_eq!(guess(number).await.status, 429);
    }
    assert_eq!(world.bare("GET", "/v1/environments/prod/tenants").send().await.status, 429);
    // Whoever has said rightly who it is behind the same address goes on; health is nobody's business.
    assert_eq!(world.get("tenants").send().await.status, 200);
    assert_eq!(world.bare("GET", "/livez").send().await.status, 200);
    // One who waits may try once more.
    tokio::time::sleep(Duration::from_secs(wait_of(&reply))).await;
    assert_eq!(guess(300).await.status, 401);
    world.end().await;
}
