//! A tenant's way through the API, with controllers at work.

use std::time::Duration;

use serde_json::json;
use tenantry_api::client::{Deleted, Deletion, Expected};

use crate::world::{World, manifest};

#[tokio::test]
async fn a_tenant_is_made_changed_suspended_retired_and_deleted() {
    let world = World::running().await;
    let mut wanted = manifest("acme");
    wanted["spec"]["state"] = json!("active");
    wanted["spec"]["business"] = json!({ "synthetic": true });
    let made = world.post("tenants?wait=30s").keyed().json(&wanted).send().await;
    assert_eq!(made.status, 200, "{made:?}");
    assert!(made.header("operation-id").starts_with("op_"));
    assert_eq!(made.header("location"), format!("/v1/operations/{}", made.header("operation-id")));
    assert!(made.header("audit-receipt").starts_with("seq=1;hash="), "{made:?}");
    assert_eq!(made.header("etag"), "\"v1\"");
    let tenant = made.json();
    assert_eq!(tenant["status"]["state"], "active", "{tenant}");
    assert_eq!(tenant["status"]["placement"]["cell"], "eu-west-1");
    assert_eq!(
        tenant["metadata"],
        json!({ "name": "acme", "environment": world.environment, "labels": { "segment": "smb" } })
    );
    let id = tenant["status"]["id"].as_str().unwrap();

    let by_id = world.get(&format!("tenants/{id}")).send().await;
    assert_eq!((by_id.status.as_u16(), by_id.header("etag")), (200, "\"v1\""));
    let patch =
        json!({ "metadata": { "labels": { "segment": null, "tier": "gold" } }, "spec": { "displayName": "Acme SE" } });
    let patched = world.ask("PATCH", "tenants/acme?wait=30s").header("if-match", "\"v1\"").json(&patch).send().await;
    assert_eq!((patched.status.as_u16(), patched.header("etag")), (200, "\"v2\""), "{patched:?}");
    assert_eq!(patched.json()["metadata"]["labels"], json!({ "tier": "gold" }));
    let again = world.ask("PATCH", "tenants/acme").header("if-match", "*").json(&patch).send().await;
    assert_eq!(
        (again.status.as_u16(), again.header("etag"), again.header("operation-id")),
        (200, "\"v2\"", ""),
        "nothing changes"
    );

    let compared = world.get("tenants/acme/versions:compare?from=1&to=2").send().await.json();
    let paths: Vec<_> =
        compared["changes"].as_array().unwrap().iter().map(|change| change["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["spec.displayName", "metadata.labels.segment", "metadata.labels.tier"]);
    let versions = world.get("tenants/acme/versions").send().await.json();
    assert_eq!(versions["items"].as_array().unwrap().len(), 2);
    assert_eq!(versions["items"][1]["labels"], json!({ "segment": "smb" }));
    assert_eq!(versions["items"][1]["spec"]["displayName"], "Acme GmbH");
    let first = &versions["items"][1];
    let then = world.get(&format!("tenants/acme?asOf={}", first["at"].as_str().unwrap())).send().await;
    assert_eq!(then.json()["version"], 1, "{then:?}");

    let view = world.get("tenants/acme/placement").send().await.json();
    assert_eq!(view["placement"]["isolation"], "schema");
    assert_eq!(view["route"]["generation"], view["placement"]["generation"]);
    assert!(!view.to_string().contains("password"), "{view}");
    let rights = world.get("tenants/acme/entitlements").send().await.json();
    assert_eq!(rights["quotas"]["users"], json!({ "value": 100, "origin": "plan" }));
    assert_eq!(world.get("tenants/acme/drift").send().await.json(), json!({ "findings": [] }));
    assert_eq!(world.get("tenants/acme/additions").send().await.json(), json!({ "items": [], "clashes": [] }));

    let back = world
        .post("tenants/acme:rollback?wait=30s")
        .header("if-match", "\"v2\"")
        .json(&json!({ "to": 1 }))
        .send()
        .await;
    assert_eq!(back.json()["spec"]["displayName"], "Acme GmbH", "{back:?}");
    let reason = json!({ "reason": "commercial", "note": "unpaid" });
    let suspended = world.post("tenants/acme:suspend?wait=30s").header("if-match", "*").json(&reason).send().await;
    assert_eq!(suspended.json()["status"]["state"], "suspended", "{suspended:?}");
    assert_eq!(suspended.json()["spec"]["suspension"], reason);

    let client = world.client();
    let patience = Some(Duration::from_secs(30));
    for (verb, state) in [("resume", "active"), ("suspend", "suspended"), ("archive", "archived")] {
        let answer = match verb {
            "suspend" => {
                let suspension = tenantry_api::v1::tenant::Suspension { reason: "compliance".into(), note: None };
                client.suspend_tenant("acme", Expected::Any, &suspension, patience).await.unwrap()
            }
            verb => client.tenant_verb("acme", verb, Expected::Any, patience).await.unwrap(),
        };
        assert_eq!(answer.value.status.state, state, "{verb}");
        assert!(answer.receipt.is_some() && answer.version.is_some() && answer.operation.is_some());
    }
    let deletion = Deletion { confirm: "acme".into(), dry_run: true, ..Deletion::default() };
    let Deleted::Planned(plan) = client.delete_tenant("acme", Expected::Any, &deletion, None).await.unwrap() else {
        panic!()
    };
    assert_eq!(plan.steps[0].name, "erase");
    let deletion = Deletion { dry_run: false, ..deletion };
    let Deleted::Accepted(deleted) = client.delete_tenant("acme", Expected::Any, &deletion, patience).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(deleted.value.status.state, "deleted");

    let report = client.verify_audit(None).await.unwrap();
    assert!(report.is_intact && report.entries > 8, "{report:?}");
    let entries = client.audit(&Default::default()).await.unwrap();
    assert!(entries.items.iter().any(|entry| entry.action == "tenant.suspend" && entry.reason.is_some()));
    let events = client.tenant_events(id, &Default::default()).await.unwrap();
    let life = ["created", "activated", "suspended", "resumed", "archived", "deleted"];
    let is_of_life = |kind: &str| kind.strip_prefix("tenant.").is_some_and(|word| life.contains(&word));
    let told: Vec<_> = events.items.iter().filter(|event| is_of_life(&event.kind)).collect();
    let words: Vec<_> = told.iter().map(|event| event.kind.trim_start_matches("tenant.")).collect();
    assert_eq!(words, ["created", "activated", "suspended", "resumed", "suspended", "archived", "deleted"]);
    assert!(told.iter().all(|event| event.correlationid.is_some()), "{told:?}");
    let numbers: Vec<_> = events.items.iter().map(|event| event.sequence).collect();
    assert_eq!(numbers, (1..=i64::try_from(numbers.len()).unwrap()).collect::<Vec<_>>());
    world.end().await;
}

#[tokio::test]
async fn files_are_planned_and_applied_as_yaml_or_json() {
    let world = World::running().await;
    let text = "
apiVersion: tenantry.dev/v1
kind: Tenant
metadata: { name: globex }
spec: { displayName: Globex, app: chat, plan: starter, state: active, residency: { allowedRegions: [eu-west] } }
---
apiVersion: tenantry.dev/v1
kind: Plan
metadata: { name: standard }
spec: { isolation: schema, quotas: { users: 200 }, backup: { retention: 7d } }
---
apiVersion: tenantry.dev/v1
kind: Region
metadata: { name: eu-west }
";
    let before = world.rows().await;
    let planned = world.post("manifests:plan").yaml(text).send().await;
    assert_eq!(planned.status, 200, "{planned:?}");
    assert_eq!(world.rows().await, before, "a plan changes nothing");
    let objects = planned.json()["objects"].as_array().unwrap().clone();
    let outcomes: Vec<_> =
        objects.iter().map(|object| (object["kind"].as_str().unwrap(), object["outcome"].as_str().unwrap())).collect();
    assert_eq!(outcomes, [("Tenant", "create"), ("Plan", "change"), ("Region", "unchanged")]);
    assert_eq!(objects[0]["placement"]["cell"], "eu-west-1");
    let changes = json!([
        { "path": "spec.backup.retention", "from": "30d", "to": "7d" },
        { "path": "spec.quotas.users", "from": "100", "to": "200" }
    ]);
    assert_eq!(objects[1]["changes"], changes);

    let documents = tenantry_api::manifest::read(text.as_bytes(), tenantry_api::manifest::Format::Yaml).unwrap();
    let applied = world.client().apply(&documents, Some(Duration::from_secs(30))).await.unwrap();
    assert_eq!(applied.value.objects[0].outcome, "created");
    assert!(applied.value.objects[0].id.as_ref().unwrap().starts_with("ten_"));
    let operation = world.client().operation(applied.operation.as_ref().unwrap(), None).await.unwrap();
    assert!(operation.is_completed(), "{operation:?}");
    assert_eq!((operation.kind.as_str(), operation.targets.total, operation.targets.done), ("manifests.apply", 1, 1));
    let again = world.post("manifests:apply").keyed().yaml(text).send().await;
    assert_eq!((again.status.as_u16(), again.header("operation-id")), (200, ""), "{again:?}");

    let plan = world.get("plans/standard").send().await;
    assert_eq!((plan.status.as_u16(), plan.header("etag")), (200, "\"v2\""));
    assert_eq!(plan.json()["spec"]["backup"], json!({ "retention": "7d" }));
    let versions = world.get("plans/standard/versions?pageSize=1").send().await.json();
    assert_eq!((&versions["items"][0]["version"], &versions["nextPageToken"]), (&json!(2), &json!("below.2")));
    let more = world.get("plans/standard/versions?pageSize=1&pageToken=below.2").send().await.json();
    assert_eq!(more["items"][0]["spec"]["quotas"]["users"], 100);
    world.end().await;
}
