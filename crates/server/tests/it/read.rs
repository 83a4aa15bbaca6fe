//! Lists, filters and pages.

use serde_json::{Value, json};

use crate::world::{World, manifest};

fn names(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn tenants_are_listed_filtered_and_found() {
    let world = World::quiet().await;
    for (number, slug) in ["acme", "globex", "initech", "umbrella", "hooli"].into_iter().enumerate() {
        let mut body = manifest(slug);
        body["spec"]["displayName"] = json!(format!("{slug} Company"));
        body["spec"]["plan"] = json!(if number % 2 == 0 { "standard" } else { "starter" });
        body["spec"]["externalIds"] = json!({ "stripe": format!("cus_{number}") });
        body["spec"]["aliases"] = json!([format!("old-{number}")]);
        body["metadata"]["labels"] = json!({ "segment": if number < 2 { "smb" } else { "enterprise" } });
        let reply = world.post("tenants").keyed().json(&body).send().await;
        assert_eq!(reply.status, 202, "{reply:?}");
    }
    let cases = [
        ("", vec!["acme", "globex", "initech", "umbrella", "hooli"]),
        ("?plan=starter", vec!["globex", "umbrella"]),
        ("?label=segment=smb", vec!["acme", "globex"]),
        ("?label=segment&label=segment%3Denterprise&plan=standard", vec!["initech", "hooli"]),
        ("?externalId=stripe:cus_3", vec!["umbrella"]),
        ("?externalId=stripe:none", vec![]),
        ("?alias=old-2", vec!["initech"]),
        ("?alias=none", vec![]),
        ("?q=umb", vec!["umbrella"]),
        ("?state=draft&app=chat", vec!["acme", "globex", "initech", "umbrella", "hooli"]),
        ("?state=active", vec![]),
    ];
    for (query, expected) in cases {
        let reply = world.get(&format!("tenants{query}")).send().await;
        assert_eq!(reply.status, 200, "{query}: {reply:?}");
        assert_eq!(names(&reply.json()), expected, "{query}");
    }
    let mut walked = Vec::new();
    let mut token = String::new();
    loop {
        let page = world.get(&format!("tenants?pageSize=2{token}")).send().await.json();
        walked.extend(names(&page));
        match page["nextPageToken"].as_str() {
            Some(next) => token = format!("&pageToken={next}"),
            None => break,
        }
    }
    assert_eq!(walked, ["acme", "globex", "initech", "umbrella", "hooli"]);
    // A token is of no use for another query.
    let page = world.get("tenants?pageSize=2").send().await.json();
    let foreign = world
        .get(&format!("tenants?pageSize=2&plan=starter&pageToken={}", page["nextPageToken"].as_str().unwrap()))
        .send()
        .await;
    foreign.problem("TEN-0028");
    world.end().await;
}

#[tokio::test]
async fn the_catalog_the_audit_and_the_events_are_read() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let plans = world.get("plans?pageSize=1").send().await.json();
    assert_eq!((names(&plans), &plans["nextPageToken"]), (vec!["standard".to_owned()], &json!("after.standard")));
    let more = world.get("plans?pageSize=1&pageToken=after.standard").send().await.json();
    assert_eq!((names(&more), more.get("nextPageToken")), (vec!["starter".to_owned()], None));
    let cell = world.get("cells/eu-west-1").send().await.json();
    assert_eq!(cell["spec"]["database"], json!({ "urlFrom": { "env": "CELL_URL" } }));
    let app = world.get("apps/chat").send().await.json();
    assert_eq!(app["spec"]["migrations"]["files"][0]["name"], "0001_init.sql");
    // What is shown can be applied again, and nothing changes.
    let mut shown = vec![cell, app, world.get("regions/eu-west").send().await.json()];
    shown.extend(plans["items"].as_array().unwrap().clone());
    shown.push(world.get("tenants/acme").send().await.json());
    let again = world.post("manifests:apply").keyed().json(&json!({ "documents": shown })).send().await;
    assert_eq!(again.status, 200, "{again:?}");
    assert!(
        again.json()["objects"].as_array().unwrap().iter().all(|object| object["outcome"] == "unchanged"),
        "{again:?}"
    );

    let audit = world.get("audit?action=tenant.create").send().await.json();
    assert_eq!(audit["items"].as_array().unwrap().len(), 1);
    assert_eq!(audit["items"][0]["target"], "tenant/acme");
    assert_eq!(audit["items"][0]["hash"].as_str().unwrap().len(), 64);
    let own = world.get("tenants/acme/audit?category=mutation").send().await.json();
    assert_eq!(own["items"][0]["seq"], 1);
    let verified = world.post("audit:verify").send().await.json();
    assert_eq!((&verified["isIntact"], &verified["findings"]), (&json!(true), &json!([])));
    let events = world.get("tenants/acme/events").send().await.json();
    assert_eq!(events["items"][0]["type"], "tenant.created");
    assert_eq!(events["items"][0]["sequence"], 1);
    let id = events["items"][0]["tenantryid"].as_str().unwrap();
    assert_eq!(events["items"][0]["source"], format!("/environments/{}/tenants/{id}", world.environment));
    assert_eq!(events["items"][0]["subject"], id);
    let first = world.get("events?pageSize=1").send().await.json();
    assert_eq!(first["nextPageToken"], "1");
    let second = world.get("events?pageSize=1&after=1").send().await.json();
    assert_eq!(second["items"][0]["sequence"], 2);
    world.end().await;
}

#[tokio::test]
async fn unused_objects_can_be_taken_away() {
    let world = World::quiet().await;
    let gone = world.ask("DELETE", "plans/starter").header("if-match", "\"v1\"").send().await;
    assert_eq!((gone.status.as_u16(), gone.text.as_str()), (204, ""), "{gone:?}");
    world.get("plans/starter").send().await.problem("TEN-0006");
    world.end().await;
}
