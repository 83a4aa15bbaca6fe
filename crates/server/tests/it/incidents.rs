//! Incidents and notifications over HTTP: opened, updated, previewed, listed, by whom and by whom not.

use serde_json::{Value, json};
use tenantry_api::client::{IncidentQuery, NotificationQuery};
use tenantry_api::v1::incident::{IncidentRequest, IncidentUpdateRequest};

use crate::world::World;

const PATH: &str = "incidents";

fn wanted(whom: Value) -> Value {
    let mut body = json!({ "severity": "major", "title": "Logins fail", "message": "About half.\nWe look." });
    body.as_object_mut().unwrap().extend(whom.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn an_incident_lives_from_its_preview_to_its_end() {
    let world = World::quiet().await;
    let acme = world.draft("acme").await["status"]["id"].clone();
    let shown = world.post("incidents:preview").json(&wanted(json!({ "tenant": "acme" }))).send().await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let shown = shown.json();
    assert_eq!(
        (&shown["subject"], &shown["tenants"], &shown["mail"]),
        (&json!("[major] Logins fail"), &json!(1), &json!(false))
    );
    assert!(shown["body"].as_str().unwrap().contains("About half.\nWe look."), "{shown}");
    assert!(world.get(PATH).send().await.json()["items"].as_array().unwrap().is_empty(), "a preview changes nothing");

    world.post(PATH).json(&wanted(json!({ "all": true }))).send().await.problem("TEN-0020");
    let ask = || {
        world
            .post(PATH)
            .header("idempotency-key", "a-key-that-is-used-twice")
            .json(&wanted(json!({ "tenant": "acme" })))
            .send()
    };
    let made = ask().await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    assert_eq!((&made["scope"], &made["tenant"], &made["phase"]), (&json!("tenant"), &acme, &json!("investigating")));
    assert_eq!(ask().await.json(), made);
    let id = made["id"].as_str().unwrap();

    let client = world.client();
    let update = |phase: &str| IncidentUpdateRequest { phase: phase.into(), message: "News.".into() };
    let preview = client.preview_incident_update(id, &update("identified")).await.unwrap();
    assert_eq!(preview.subject, "[major] Cause found: Logins fail");
    let updated = client.update_incident(id, &update("identified")).await.unwrap().value;
    assert_eq!((updated.phase.as_str(), updated.updates), ("identified", 2));
    let over = client.update_incident(id, &update("resolved")).await.unwrap().value;
    assert!(over.resolved_at.is_some());
    let path = format!("{PATH}/{id}");
    let late = json!({ "phase": "monitoring", "message": "Again." });
    world.post(&format!("{path}:update")).keyed().json(&late).send().await.problem("TEN-0098");
    world.post(&format!("{path}:preview")).json(&late).send().await.problem("TEN-0098");
    let detail = client.incident(id).await.unwrap();
    assert_eq!(
        detail.updates.iter().map(|one| one.phase.as_str()).collect::<Vec<_>>(),
        ["investigating", "identified", "resolved"]
    );
    assert_eq!(detail.progress.unwrap().waiting, 0);

    let all = IncidentRequest {
        all: Some(true),
        severity: "minor".into(),
        title: "Slow".into(),
        message: "x".into(),
        ..Default::default()
    };
    let open = client.open_incident(&all).await.unwrap().value;
    let listed = client.incidents(&IncidentQuery { open: Some(true), ..IncidentQuery::default() }).await.unwrap();
    assert_eq!(listed.items.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), [open.id.as_str()]);
    let page = world.get("incidents?pageSize=1").send().await.json();
    let next = page["nextPageToken"].as_str().unwrap();
    let second = world.get(&format!("incidents?pageSize=1&pageToken={next}")).send().await.json();
    assert_eq!((&page["items"][0]["id"], &second["items"][0]["id"]), (&json!(open.id), &json!(id)));
    assert!(client.notifications(&NotificationQuery::default()).await.unwrap().items.is_empty());
    world.end().await;
}

#[tokio::test]
async fn what_is_wrong_is_told_by_field() {
    let world = World::quiet().await;
    let fields = async |body: Value| -> Vec<String> {
        let problem = world.post(PATH).keyed().json(&body).send().await.problem("TEN-0027");
        problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(fields(wanted(json!({}))).await, ["tenant"]);
    assert_eq!(fields(wanted(json!({ "all": true, "cell": "eu-1" }))).await, ["tenant"]);
    assert_eq!(fields(wanted(json!({ "all": true, "title": "a\r\nBcc: eve@example.com" }))).await, ["title"]);
    assert_eq!(fields(wanted(json!({ "all": true, "message": "x".repeat(4001) }))).await, ["message"]);
    world.post(PATH).keyed().json(&wanted(json!({ "tenant": "stranger" }))).send().await.problem("TEN-0005");
    world.post(PATH).keyed().json(&wanted(json!({ "cell": "moon" }))).send().await.problem("TEN-0006");
    world.get("incidents/inc_01jd8x3v9mfk2t5h7q0w4z6y8c").send().await.problem("TEN-0060");
    world.get("incidents/op_01jd8x3v9mfk2t5h7q0w4z6y8c").send().await.problem("TEN-0027");
    for query in ["kind=nonsense", "status=late", "incident=x", "tenant=No!"] {
        assert_eq!(world.get(&format!("notifications?{query}")).send().await.status, 422, "{query}");
    }
    world.end().await;
}

/// A token of one tenant sees what concerns it, of nobody else how many, and of people nothing.
#[tokio::test]
async fn a_tenants_token_sees_its_own() {
    let world = World::quiet().await;
    world.draft("acme").await;
    world.draft("globex").await;
    let body = json!({ "name": "acme's", "roles": ["tenant"], "tenant": "acme" });
    let made = world.post("tokens").keyed().json(&body).send().await;
    assert_eq!(made.status, 201, "{made:?}");
    let token = format!("Bearer {}", made.json()["text"].as_str().unwrap());
    let open = async |whom: Value| -> String {
        world.post(PATH).keyed().json(&wanted(whom)).send().await.json()["id"].as_str().unwrap().to_owned()
    };
    let own = open(json!({ "tenant": "acme" })).await;
    let other = open(json!({ "tenant": "globex" })).await;
    let all = open(json!({ "all": true })).await;
    let base = format!("/v1/environments/{}", world.environment);
    let get = |path: String| world.bare("GET", &format!("{base}/{path}")).header("authorization", &token).send();
    let listed = get(PATH.to_owned()).await.json();
    let ids: Vec<_> = listed["items"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, [json!(all), json!(own)]);
    assert!(!listed.to_string().contains("createdBy"), "{listed}");
    get(format!("{PATH}/{other}")).await.problem("TEN-0060");
    let detail = get(format!("{PATH}/{all}")).await.json();
    assert!(detail.get("progress").is_none() && !detail.to_string().contains("author"), "{detail}");
    get("notifications".to_owned()).await.problem("TEN-0022");
    for path in [PATH.to_owned(), "incidents:preview".to_owned(), format!("{PATH}/{own}:update")] {
        let ask = world.bare("POST", &format!("{base}/{path}")).header("authorization", &token);
        let refused = ask.keyed().json(&wanted(json!({ "tenant": "acme" }))).send().await;
        refused.problem("TEN-0022");
    }
    world.end().await;
}

/// Here nobody can be told: what waits is no reason to call anybody, so there is no gauge of it.
#[tokio::test]
async fn what_left_is_counted_and_what_waits_only_where_somebody_can_be_told() {
    let world = World::quiet().await;
    world.draft("acme").await;
    world.post(PATH).keyed().json(&wanted(json!({ "all": true }))).send().await;
    assert_eq!(world.deps.store().notifications_waiting().await.unwrap().notes, 1);
    let text = world.bare("GET", "/metrics").bearer().send().await.text;
    assert!(text.contains("tenantry_notifications_total{channel=\"mail\",outcome=\"sent\"} 0"), "{text}");
    for gauge in ["tenantry_notifications_waiting{", "tenantry_notifications_oldest_seconds "] {
        assert!(!text.contains(gauge), "{gauge}: {text}");
    }
    world.end().await;
}
