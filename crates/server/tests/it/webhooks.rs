//! Webhooks over HTTP: made, shown, changed, given another secret, removed, by whom and by whom not.

use serde_json::{Value, json};
use tenantry_api::client::{AttemptQuery, DeadQuery, Expected, PageQuery, WebhookQuery, WebhookSwitch};
use tenantry_api::v1::webhook::{RedriveRequest, ReplayRequest, WebhookChange, WebhookRequest};

use crate::world::{Reply, World};

const PATH: &str = "webhooks";
/// Public as far as can be seen, and nobody there is ever called by these tests.
const URL: &str = "https://8.8.8.8/in";

async fn create(world: &World, body: Value) -> Reply {
    world.post(PATH).keyed().json(&body).send().await
}

#[tokio::test]
async fn an_endpoint_lives_from_its_secret_to_its_removal() {
    let world = World::quiet().await;
    let acme = world.draft("acme").await["status"]["id"].clone();
    let wanted = json!({ "url": URL, "tenant": "acme", "types": ["tenant.*"], "description": "CRM", "rate": 5 });
    let key = "a-key-that-is-used-twice";
    let ask = || world.post(PATH).header("idempotency-key", key).json(&wanted).send();
    let made = ask().await;
    assert_eq!((made.status.as_u16(), made.header("etag")), (201, "\"v1\""), "{made:?}");
    assert_eq!(made.header("cache-control"), "no-store");
    let body = made.json();
    let (endpoint, secret) = (&body["endpoint"], body["secret"].as_str().unwrap());
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    assert_eq!(
        (&endpoint["tenant"], &endpoint["slug"], &endpoint["status"]),
        (&acme, &json!("acme"), &json!("active"))
    );
    assert_eq!(
        (&endpoint["concurrency"], &endpoint["payloadVersion"], &endpoint["fifo"]),
        (&json!(16), &json!(1), &json!(false))
    );
    let again = ask().await.json();
    assert_eq!((&again["endpoint"], again.get("secret")), (endpoint, None), "a repetition shows no secret");
    let id = endpoint["id"].as_str().unwrap().to_owned();

    let shown = world.get(&format!("{PATH}/{id}")).send().await;
    assert_eq!((shown.header("etag"), shown.json()), ("\"v1\"", endpoint.clone()));
    let change = |version: &str, body: Value| {
        world.ask("PATCH", &format!("{PATH}/{id}")).keyed().header("if-match", version).json(&body).send()
    };
    change("\"v7\"", json!({ "rate": 9 })).await.problem("TEN-0009");
    let changed = change("\"v1\"", json!({ "rate": 0, "types": [], "fifo": true })).await;
    assert_eq!((changed.status.as_u16(), changed.header("etag")), (200, "\"v2\""), "{changed:?}");
    let body = changed.json();
    assert_eq!((body.get("rate"), &body["types"], &body["fifo"]), (None, &json!([]), &json!(true)));

    let client = world.client();
    let rotated = client.rotate_webhook(&id, Expected::Version(2), &Default::default()).await.unwrap().value;
    assert!(rotated.secret.is_some_and(|new| new != secret) && rotated.endpoint.old_secret_until.is_some());
    let disabled = client.switch_webhook(&id, Expected::Any, WebhookSwitch::Disable).await.unwrap().value;
    assert_eq!((disabled.status.as_str(), disabled.disabled_reason.as_deref()), ("disabled", Some("asked")));
    world.post(&format!("{PATH}/{id}:test")).send().await.problem("TEN-0091");
    world.post(&format!("{PATH}/{id}:replay")).keyed().json(&json!({})).send().await.problem("TEN-0091");
    client.switch_webhook(&id, Expected::Any, WebhookSwitch::Enable).await.unwrap();
    let replay =
        client.replay_webhook(&id, &ReplayRequest { after: Some(0), ..ReplayRequest::default() }).await.unwrap();
    let replays = client.webhook_replays(&id).await.unwrap().items;
    assert_eq!((replays.len(), &replays[0].id, replays[0].ended_at), (1, &replay.id, None));
    assert_eq!(client.redrive_webhook(&id, &RedriveRequest::default()).await.unwrap().count, 0);
    assert!(client.webhook_attempts(&id, &AttemptQuery::default()).await.unwrap().items.is_empty());
    assert!(client.webhook_dead_letters(&id, &DeadQuery::default()).await.unwrap().items.is_empty());
    let gone = client.delete_webhook(&id, Expected::Any).await.unwrap().value;
    assert_eq!(gone.id, id);
    world.get(&format!("{PATH}/{id}")).send().await.problem("TEN-0006");
    world.end().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told() {
    let world = World::quiet().await;
    for url in [
        "http://hooks.example.com/",
        "https://127.0.0.1/",
        "https://user:pw@hooks.example.com/",
        "https://app.example.com/x",
    ] {
        let problem = create(&world, json!({ "url": url })).await.problem("TEN-0090");
        assert_eq!(problem["errors"][0]["field"], "url", "{problem}");
        // A password in a URL is not said back.
        assert!(!problem.to_string().contains("user:pw"), "{problem}");
    }
    let problem = create(&world, json!({ "url": 7, "types": ["tenant"], "rate": 0, "x": 1 })).await;
    let fields: Vec<_> = problem.json()["errors"].as_array().unwrap().iter().map(|one| one["field"].clone()).collect();
    assert_eq!(fields, ["url", "types[0]", "rate", "x"]);
    create(&world, json!({ "url": URL, "tenant": "umbra" })).await.problem("TEN-0005");
    let problem = create(&world, json!({ "url": URL, "only": ["umbra"] })).await.problem("TEN-0027");
    assert_eq!(problem["errors"][0]["field"], "only[0]");
    world.post(PATH).json(&json!({ "url": URL })).send().await.problem("TEN-0020");
    world.get(&format!("{PATH}/whe_x")).send().await.problem("TEN-0027");
    world.end().await;
}

#[tokio::test]
async fn a_tenants_machine_manages_its_own_endpoints_and_sees_no_others() {
    let world = World::quiet().await;
    world.draft("acme").await;
    world.draft("globex").await;
    let token = world
        .post("tokens")
        .keyed()
        .json(&json!({ "name": "acme", "roles": ["tenant"], "tenant": "acme" }))
        .send()
        .await
        .json();
    let token = token["text"].as_str().or_else(|| token["secret"].as_str()).unwrap().to_owned();
    let path = |rest: &str| format!("/v1/environments/{}/{PATH}{rest}", world.environment);
    let own =
        |method: &str, rest: &str| world.bare(method, &path(rest)).header("authorization", &format!("Bearer {token}"));
    let made = own("POST", "").keyed().json(&json!({ "url": URL })).send().await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.json()["endpoint"]["slug"], "acme");
    own("POST", "").keyed().json(&json!({ "url": URL, "tenant": "globex" })).send().await.problem("TEN-0005");
    let foreign = create(&world, json!({ "url": URL, "tenant": "globex" })).await.json()["endpoint"]["id"].clone();
    let of_all = create(&world, json!({ "url": URL })).await.json()["endpoint"]["id"].clone();
    for id in [foreign, of_all] {
        let id = id.as_str().unwrap();
        own("GET", &format!("/{id}")).send().await.problem("TEN-0006");
        own("GET", &format!("/{id}/attempts")).send().await.problem("TEN-0006");
        own("GET", &format!("/{id}/dead-letters")).send().await.problem("TEN-0006");
        own("POST", &format!("/{id}:rotate"))
            .keyed()
            .header("if-match", "*")
            .json(&json!({}))
            .send()
            .await
            .problem("TEN-0006");
        own("DELETE", &format!("/{id}")).keyed().header("if-match", "*").send().await.problem("TEN-0006");
    }
    let seen = own("GET", "").send().await.json();
    assert_eq!(seen["items"].as_array().unwrap().len(), 1);
    world.end().await;
}

#[tokio::test]
async fn lists_go_page_by_page_and_metrics_tell_of_the_pump() {
    let world = World::quiet().await;
    let client = world.client();
    for _ in 0..5 {
        client.create_webhook(&WebhookRequest { url: URL.into(), ..WebhookRequest::default() }).await.unwrap();
    }
    let (mut seen, mut page_token) = (0, None);
    loop {
        let page = PageQuery { page_size: Some(2), page_token };
        let found = client.webhooks(&WebhookQuery { tenant: None, page }).await.unwrap();
        seen += found.items.len();
        page_token = found.next_page_token;
        if page_token.is_none() {
            break;
        }
    }
    assert_eq!(seen, 5);
    let only = WebhookChange { description: Some("x".into()), ..WebhookChange::default() };
    let first = client.webhooks(&WebhookQuery::default()).await.unwrap().items.remove(0);
    assert_eq!(client.change_webhook(&first.id, Expected::Version(1), &only).await.unwrap().value.version, 2);
    let metrics = world.bare("GET", "/metrics").bearer().send().await.text;
    for name in ["tenantry_webhook_attempts_total", "tenantry_webhook_delay_seconds_bucket", "tenantry_webhook_waiting"]
    {
        assert!(metrics.contains(name), "{name}");
    }
    world.end().await;
}
