//! What the guard found, by the API: read, asked for, signed, counted.

use serde_json::{Value, json};
use tenantry_control::guard::GuardOptions;
use tenantry_dataplane::guard::{PublicKey, SignedReport};
use tenantry_domain::name::EnvironmentName;
use tenantry_testkit::pg;

use crate::world::{World, manifest};

const CELL: &str = "cells/eu-west-1/isolation";

async fn placed(world: &World, slug: &str, plan: &str) {
    let mut wanted = manifest(slug);
    wanted["spec"]["plan"] = json!(plan);
    wanted["spec"]["state"] = json!("active");
    let reply = world.post("tenants?wait=30s").keyed().json(&wanted).send().await;
    assert!(reply.status.is_success() && reply.json()["status"]["state"] == "active", "{reply:?}");
}

/// The places of a cell but the server itself, which is what whoever installed it made of it.
fn places(view: &Value) -> Vec<(&str, i64)> {
    let total = |counts: &Value| counts.as_object().unwrap().values().map(|count| count.as_i64().unwrap()).sum();
    let rows = view["places"].as_array().unwrap().iter().filter(|row| row["place"] != "server");
    rows.map(|row| (row["place"].as_str().unwrap(), total(&row["counts"]))).collect()
}

fn metric(text: &str, line: &str) -> Option<f64> {
    let line = text.lines().find(|found| found.starts_with(line))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn before_the_first_look_there_is_nothing_and_a_look_can_be_asked_for() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let missing = world.get(CELL).send().await.problem("TEN-0006");
    assert!(missing["detail"].as_str().unwrap().contains("isolation report of `eu-west-1`"), "{missing}");
    world.get("tenants/acme/isolation").send().await.problem("TEN-0005");
    world.get("cells/nowhere/isolation").send().await.problem("TEN-0006");
    world.get("tenants/unknown/isolation").send().await.problem("TEN-0005");
    world.get("cells/eu-west-1/isolation/report").send().await.problem("TEN-0027");
    world.get("cells/eu-west-1/isolation/report?place=cell").send().await.problem("TEN-0027");
    world.get("cells/eu-west-1/isolation/report?place=server").send().await.problem("TEN-0006");
    world.post("cells/nowhere/isolation:run").keyed().send().await.problem("TEN-0006");

    // Nobody works in this world: what was asked for waits.
    let key = "a-key-of-its-own-0001";
    let asked = world.post(&format!("{CELL}:run")).header("idempotency-key", key).send().await;
    assert_eq!(asked.status, 202, "{asked:?}");
    assert_eq!((&asked.json()["isRequested"], &asked.json()["placesCount"]), (&json!(true), &json!(0)));
    let again = world.post(&format!("{CELL}:run")).header("idempotency-key", key).send().await;
    assert_eq!(again.status, 202, "{again:?}");
    let entries = world.get("audit?action=isolation.run").send().await.json();
    let entries: Vec<_> =
        entries["items"].as_array().unwrap().iter().map(|entry| (&entry["target"], &entry["outcome"])).collect();
    assert_eq!(entries, [(&json!("cell/eu-west-1"), &json!("success")), (&json!("cell/nowhere"), &json!("failed"))]);

    // Whoever may not enter the environment does not learn that the cell is there.
    let elsewhere = EnvironmentName::parse("elsewhere").unwrap();
    world.deps.store().ensure_environment(&elsewhere).await.unwrap();
    let token = world.token_for(&elsewhere).await;
    let path = format!("/v1/environments/{}/{CELL}", world.environment);
    let hidden = world.bare("GET", &path).header("authorization", &format!("Bearer {token}")).send().await;
    hidden.problem("TEN-0037");
    world.bare("GET", &path).send().await.problem("TEN-0021");
    world.end().await;
}

/// GUARD-10, GUARD-13, ISO-06, ISO-11, ISO-15 by the API.
#[tokio::test]
async fn a_cell_is_clean_as_made_and_a_leak_shows_everywhere() {
    let world = World::running_with(GuardOptions { every: None, ..GuardOptions::default() }).await;
    let plan =
        "apiVersion: tenantry.dev/v1\nkind: Plan\nmetadata: { name: enterprise }\nspec: { isolation: database }\n";
    assert_eq!(world.post("manifests:apply").keyed().yaml(plan).send().await.status, 200);
    for (slug, plan) in [("acme", "starter"), ("globex", "standard"), ("initech", "enterprise")] {
        placed(&world, slug, plan).await;
    }
    let own = world.get("tenants/initech").send().await.json()["status"]["id"].as_str().unwrap().to_owned();
    let run = || async {
        let reply = world.post(&format!("{CELL}:run?wait=30s")).keyed().send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    };
    let view = run().await;
    assert_eq!(view["placesCount"], 3, "{view}");
    let mut found = places(&view);
    found.sort_unstable();
    assert_eq!(found, [("home/chat", 0), (format!("tenant/{own}").as_str(), 0)], "clean at each level: {view}");
    assert!(view["endedAt"].is_string() && view["dueAt"].is_null() && view["failure"].is_null(), "{view}");
    let of_tenant = |slug: &'static str| world.get(&format!("tenants/{slug}/isolation")).send();
    for (slug, place, level) in [("acme", "home/chat", "shared"), ("globex", "home/chat", "shared")] {
        let shown = of_tenant(slug).await.json();
        assert_eq!((&shown["place"], &shown["report"]["level"]), (&json!(place), &json!(level)));
        assert_eq!(shown["report"]["findings"], json!([]));
    }
    assert_eq!(of_tenant("initech").await.json()["report"]["level"], "database");

    // Signed, to the byte.
    let signed = world.get("tenants/globex/isolation/report").send().await;
    let by_place = world.get(&format!("{CELL}/report?place=home/chat")).send().await;
    assert_eq!(signed.text, by_place.text);
    assert_eq!(signed.header("content-type"), "application/json");
    let key = PublicKey::parse(view["publicKey"].as_str().unwrap()).unwrap();
    assert!(SignedReport::parse(&signed.text).unwrap().verify(&key).unwrap().is_clean());
    for place in (0..signed.text.len()).step_by(97) {
        let mut bytes = signed.text.clone().into_bytes();
        bytes[place] ^= 1;
        let changed = String::from_utf8(bytes).unwrap();
        assert!(SignedReport::parse(&changed).and_then(|signed| signed.verify(&key)).is_err(), "byte {place}");
    }

    let home = format!("tn_{}_chat", world.environment);
    pg::server().sql(&home, "ALTER TABLE app.notes DISABLE ROW LEVEL SECURITY");
    let shown = world.post("tenants/acme/isolation:run").send().await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let open = shown.json()["open"].clone();
    assert!(
        open.as_array().unwrap().iter().any(|one| one["check"] == "T1a" && one["object"] == "table app.notes"),
        "{open}"
    );
    let view = world.get(CELL).send().await.json();
    let worst = &view["places"][0];
    assert_eq!(
        (&worst["place"], worst["counts"]["critical"].as_i64() >= Some(1)),
        (&json!("home/chat"), true),
        "{view}"
    );
    let events = world.get("events?pageSize=200").send().await.json();
    let events: Vec<&Value> = events["items"].as_array().unwrap().iter().collect();
    let opened: Vec<_> = events
        .iter()
        .filter(|event| event["type"] == "isolation.finding.opened" && event["data"]["place"] == "home/chat")
        .collect();
    assert_eq!(opened.len(), 1, "{events:?}");
    let labels = format!("environment=\"{}\",cell=\"eu-west-1\"", world.environment);
    let text = world.bare("GET", "/metrics").bearer().send().await.text;
    assert!(
        metric(&text, &format!("tenantry_isolation_findings{{{labels},severity=\"critical\"}}")) >= Some(1.0),
        "{text}"
    );
    assert!(metric(&text, &format!("tenantry_isolation_last_run_seconds{{{labels}}}")) > Some(1.7e9), "{text}");
    assert_eq!(metric(&text, "tenantry_isolation_period_seconds"), Some(0.0));

    pg::server().sql(&home, "ALTER TABLE app.notes ENABLE ROW LEVEL SECURITY");
    assert!(places(&run().await).iter().all(|(_, count)| *count == 0));
    world.end().await;
}

/// Every series that an alert asks for is one that this process gives.
#[tokio::test]
async fn alerts_ask_for_series_that_are_there() {
    let world = World::quiet().await;
    let text = world.bare("GET", "/metrics").bearer().send().await.text;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus");
    for (file, least) in [("isolation.yml", 8), ("rollouts.yml", 3), ("policy.yml", 2)] {
        let rules = std::fs::read_to_string(folder.join(file)).unwrap();
        let mut asked = 0;
        for rest in rules.split("tenantry_").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            assert!(text.contains(&format!("# TYPE tenantry_{name} ")), "tenantry_{name} is in no answer: {text}");
            asked += 1;
        }
        assert!(asked >= least, "{file}: {asked}");
    }
    world.end().await;
}

/// GUARD-10 by the API: what the leak probe found is shown with the cell, and told while it runs.
#[tokio::test]
async fn the_leak_probes_last_run_is_shown_with_the_cell() {
    let world = World::running_with(GuardOptions {
        every: None,
        probe: Some(std::time::Duration::from_secs(1)),
        ..GuardOptions::default()
    })
    .await;
    for (slug, plan) in [("acme", "starter"), ("globex", "standard")] {
        placed(&world, slug, plan).await;
    }
    let shown = async |holds: fn(&Value) -> bool| {
        let began = std::time::Instant::now();
        loop {
            let reply = world.get(CELL).send().await;
            let view = if reply.status == 200 { reply.json() } else { Value::Null };
            if holds(&view["probe"]) {
                return view;
            }
            assert!(began.elapsed() < std::time::Duration::from_secs(45), "{reply:?}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let sum = |view: &Value, name: &str| -> u64 {
        view["probe"]["pairs"].as_array().unwrap().iter().map(|pair| pair[name].as_u64().unwrap()).sum()
    };
    // A pair at each of the two levels; nobody has run the guard.
    let view = shown(|probe| probe["endedAt"].is_string() && probe["pairsCount"] == 2).await;
    assert_eq!((&view["placesCount"], &view["counts"]["critical"]), (&json!(0), &json!(0)), "{view}");
    assert_eq!((&view["probe"]["leaks"], &view["probe"]["failure"]), (&json!(0), &Value::Null), "{view}");
    assert!(view["probe"]["dueAt"].is_string(), "{view}");
    for pair in view["probe"]["pairs"].as_array().unwrap() {
        assert_eq!((&pair["app"], &pair["seal"], &pair["leaks"]), (&json!("chat"), &json!("register"), &json!(0)));
        assert!(pair["isolation"].is_string() && pair["place"].as_str().unwrap().starts_with("tenant/ten_"), "{pair}");
        assert!(pair["canaries"].as_u64() > Some(0) && pair["executed"].as_u64() > Some(0), "{pair}");
        assert!(pair["takenAt"].is_string() && pair["probes"].as_u64() > pair["executed"].as_u64(), "{pair}");
    }
    assert!(sum(&view, "probes") > 100, "{view}");
    assert_eq!(view["probe"]["probes"].as_u64(), Some(sum(&view, "probes")));
    let labels = format!("environment=\"{}\",cell=\"eu-west-1\"", world.environment);
    let told = async |name: &str| {
        let text = world.bare("GET", "/metrics").bearer().send().await.text;
        metric(&text, &format!("{name}{{{labels}}}"))
    };
    assert_eq!(told("tenantry_isolation_leaks").await, Some(0.0));
    assert!(told("tenantry_isolation_probe_last_seconds").await > Some(1.7e9));

    let home = format!("tn_{}_chat", world.environment);
    pg::server()
        .sql(&home, "CREATE VIEW app.everything AS SELECT * FROM app.notes; GRANT SELECT ON app.everything TO PUBLIC");
    let view = shown(|probe| probe["leaks"].as_u64() > Some(0)).await;
    let leaky = &view["probe"]["pairs"][0];
    let open = leaky["open"].as_array().unwrap();
    assert!(
        open.iter().any(|one| one["check"] == "P1" && one["object"].to_string().contains("app.everything")),
        "{leaky}"
    );
    assert_eq!(view["counts"]["critical"], 0, "a leak is the probe's finding, not the guard's: {view}");
    assert!(told("tenantry_isolation_leaks").await > Some(0.0));
    world.end().await;
}

/// Where the probe does not run, no old value of it looks like a present one.
#[tokio::test]
async fn a_probe_that_does_not_run_tells_nothing_of_leaks() {
    let world = World::quiet().await;
    let text = world.bare("GET", "/metrics").bearer().send().await.text;
    assert_eq!(metric(&text, "tenantry_isolation_probe_period_seconds"), Some(0.0));
    for name in ["tenantry_isolation_leaks", "tenantry_isolation_probe_last_seconds"] {
        assert!(
            text.contains(&format!("# TYPE {name} gauge")) && !text.contains(&format!("\n{name}{{")),
            "{name}: {text}"
        );
    }
    let asked = world.post(&format!("{CELL}:run")).keyed().send().await;
    assert!(asked.json().get("probe").is_none(), "{asked:?}");
    world.end().await;
}
