//! Requests that are wrong: each gets its status, code, field and hint, and changes nothing.

use serde_json::{Value, json};

use crate::world::{World, manifest};

/// A good manifest with one thing replaced, or removed by `null`.
fn with(pointer: &str, value: Value) -> Value {
    let mut body = manifest("globex");
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(name);
    } else {
        parent.insert(name.to_owned(), value);
    }
    body
}

#[tokio::test]
async fn bad_tenants_are_refused_field_by_field() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let before = world.rows().await;
    let cases = [
        (with("/metadata/name", json!("admin")), 422, "TEN-0001", "metadata.name"),
        (with("/metadata/name", json!("Ac me")), 422, "TEN-0001", "metadata.name"),
        (with("/metadata/name", Value::Null), 422, "TEN-0001", "metadata.name"),
        (with("/metadata/environment", json!("other")), 422, "TEN-0001", "metadata.environment"),
        (with("/metadata/name", json!("acme")), 409, "TEN-0007", "metadata.name"),
        (with("/metadata/name", json!("acrne")), 409, "TEN-0007", "metadata.name"),
        (with("/spec/plan", json!("gold")), 422, "TEN-0004", "spec.plan"),
        (with("/spec/app", json!("wiki")), 422, "TEN-0004", "spec.app"),
        (
            with("/spec/residency", json!({ "allowedRegions": ["mars"] })),
            422,
            "TEN-0004",
            "spec.residency.allowedRegions[0]",
        ),
        (
            with("/spec/residency", json!({ "allowedRegions": ["eu-west"], "preferredRegion": "mars" })),
            422,
            "TEN-0001",
            "spec.residency.preferredRegion",
        ),
        (with("/spec/state", json!("archived")), 422, "TEN-0001", "spec.state"),
        (with("/spec/state", json!("deleted")), 422, "TEN-0001", "spec.state"),
        (with("/spec/seats", json!(1)), 422, "TEN-0001", "spec.seats"),
        (with("/spec/displayName", json!(7)), 422, "TEN-0001", "spec.displayName"),
        (
            with("/spec/contacts", json!({ "billing": [{ "name": "F", "email": "x" }] })),
            422,
            "TEN-0001",
            "spec.contacts.billing[0].email",
        ),
        (with("/spec/settings", json!({ "big": "x".repeat(70_000) })), 422, "TEN-0001", "spec.settings"),
        (
            with("/spec/overrides", json!({ "quotas": { "users": { "value": 5 } } })),
            422,
            "TEN-0001",
            "spec.overrides.quotas.users.reason",
        ),
        (
            with("/spec/overrides", json!({ "quotas": { "seats": { "value": 5, "reason": "x" } } })),
            422,
            "TEN-0001",
            "spec.overrides.quotas.seats",
        ),
    ];
    for (body, status, code, field) in cases {
        let reply = world.post("tenants").keyed().json(&body).send().await;
        assert_eq!(reply.status.as_u16(), status, "{body}: {reply:?}");
        let problem = reply.problem(code);
        let fields: Vec<_> =
            problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
        assert!(fields.contains(&field), "{body}: {fields:?}");
    }
    assert_eq!(world.rows().await, before, "a refused request leaves nothing behind");
    world.end().await;
}

#[tokio::test]
async fn bad_bodies_are_refused_before_they_are_understood() {
    let world = World::quiet().await;
    let before = world.rows().await;
    let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(4 * 1024 * 1024));
    let cases: Vec<(&str, &str, String, u16, &str)> = vec![
        ("tenants", "application/json", "{".into(), 422, "TEN-0042"),
        ("tenants", "application/json", String::new(), 422, "TEN-0042"),
        ("tenants", "application/json", "[]".into(), 422, "TEN-0001"),
        ("tenants", "application/json", "{\"spec\":{},\"spec\":{}}".into(), 422, "TEN-0042"),
        ("tenants", "application/json", "{\"a\":\"\\u0000\"}".into(), 422, "TEN-0042"),
        ("tenants", "application/json", "[".repeat(200), 422, "TEN-0042"),
        ("tenants", "application/json", "\u{feff}{}".into(), 422, "TEN-0042"),
        ("tenants", "application/json; charset=latin1", "{}".into(), 415, "TEN-0026"),
        ("tenants", "application/yaml", "a: 1".into(), 415, "TEN-0026"),
        ("tenants", "text/plain", "{}".into(), 415, "TEN-0026"),
        ("tenants", "", "{}".into(), 415, "TEN-0026"),
        ("tenants", "application/json", huge, 413, "TEN-0025"),
        ("manifests:apply", "text/csv", "a".into(), 415, "TEN-0026"),
        ("manifests:apply", "application/yaml", "a: [".into(), 422, "TEN-0002"),
        ("manifests:apply", "application/yaml", "kind: X".into(), 422, "TEN-0003"),
        ("manifests:apply", "application/json", "{\"documents\":[]}".into(), 422, "TEN-0002"),
        ("manifests:plan", "application/yaml", "".into(), 422, "TEN-0002"),
        ("audit:verify", "application/json", "{\"x\":1}".into(), 422, "TEN-0042"),
    ];
    for (path, media, body, status, code) in cases {
        let mut ask = world.post(path).keyed();
        if !media.is_empty() {
            ask = ask.text(media, &body);
        }
        let reply = ask.send().await;
        let head: String = body.chars().take(40).collect();
        assert_eq!(reply.status.as_u16(), status, "{path} {media} {head}: {reply:?}");
        reply.problem(code);
    }
    let zipped = world.post("tenants").keyed().header("content-encoding", "gzip").json(&json!({})).send().await;
    zipped.problem("TEN-0026");
    assert_eq!(world.rows().await, before);
    world.end().await;
}

#[tokio::test]
async fn bad_paths_parameters_and_headers_are_named() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let before = world.rows().await;
    let op = "op_00000000000000000000000000";
    let env = world.environment.clone();
    let under = |path: &str| format!("/v1/environments/{env}/{path}");
    type Case = (&'static str, String, &'static [(&'static str, &'static str)], u16, &'static str, &'static str);
    let cases: Vec<Case> = vec![
        ("GET", under("tenants/globex"), &[], 404, "TEN-0005", ""),
        ("GET", under("tenants/ten_00000000000000000000000000"), &[], 404, "TEN-0005", ""),
        ("GET", under("tenants/op_00000000000000000000000000"), &[], 422, "TEN-0027", "tenant"),
        ("GET", under("tenants/ten_x"), &[], 422, "TEN-0027", "tenant"),
        ("GET", under("tenants/ACME"), &[], 422, "TEN-0027", "tenant"),
        ("GET", under("tenants/%ff"), &[], 404, "TEN-0023", ""),
        ("GET", under("tenants/acme%3Asuspend"), &[], 404, "TEN-0023", ""),
        ("GET", under("tenants/acme/versions/0"), &[], 422, "TEN-0027", "version"),
        ("GET", under("tenants/acme/versions/99"), &[], 404, "TEN-0038", ""),
        ("GET", under("tenants/acme/versions:compare"), &[], 422, "TEN-0027", "from"),
        ("GET", under("tenants/acme/versions:compare?from=1&to=x"), &[], 422, "TEN-0027", "to"),
        ("GET", under("tenants/acme?asOf=1999-01-01"), &[], 404, "TEN-0038", ""),
        ("GET", under("tenants/acme?asOf=yesterday"), &[], 422, "TEN-0027", "asOf"),
        ("GET", "/v1/environments/nowhere/tenants/acme".into(), &[], 404, "TEN-0037", ""),
        ("GET", "/v1/environments/nowhere/tenants".into(), &[], 404, "TEN-0037", ""),
        ("GET", "/v1/environments/No_Where/tenants".into(), &[], 422, "TEN-0027", "environment"),
        ("GET", format!("/v1/operations/{op}"), &[], 404, "TEN-0033", ""),
        ("GET", "/v1/operations/ten_00000000000000000000000000".into(), &[], 422, "TEN-0027", "operation"),
        ("POST", format!("/v1/operations/{op}:cancel"), &[], 404, "TEN-0033", ""),
        ("GET", under("plans/gold"), &[], 404, "TEN-0006", ""),
        ("GET", under("plans/standard/versions/9"), &[], 404, "TEN-0038", ""),
        ("GET", under("tenants?pageSize=0"), &[], 422, "TEN-0027", "pageSize"),
        ("GET", under("tenants?pageSize=201"), &[], 422, "TEN-0027", "pageSize"),
        ("GET", under("tenants?pageSize=ten"), &[], 422, "TEN-0027", "pageSize"),
        ("GET", under("tenants?pageToken=nonsense"), &[], 422, "TEN-0028", ""),
        ("GET", under("plans?pageToken=nonsense"), &[], 422, "TEN-0028", "pageToken"),
        ("GET", under("tenants?colour=red"), &[], 422, "TEN-0027", "colour"),
        ("GET", under("tenants?plan=a&plan=b"), &[], 422, "TEN-0027", "plan"),
        ("GET", under("tenants?state=gone"), &[], 422, "TEN-0027", "state"),
        ("GET", under("tenants?externalId=stripe"), &[], 422, "TEN-0027", "externalId"),
        ("GET", under("tenants?q=%00"), &[], 422, "TEN-0027", "q"),
        ("GET", under("tenants/acme/placement?x=1"), &[], 422, "TEN-0027", "x"),
        ("GET", under("audit?category=gossip"), &[], 422, "TEN-0027", "category"),
        ("GET", under("audit?since=monday"), &[], 422, "TEN-0027", "since"),
        ("GET", under("events?after=-1"), &[], 422, "TEN-0027", "after"),
        ("GET", under("operations?status=lazy"), &[], 422, "TEN-0027", "status"),
        ("POST", under("tenants/acme:activate"), &[], 428, "TEN-0010", "If-Match"),
        ("POST", under("tenants/acme:activate"), &[("if-match", "\"v9\"")], 412, "TEN-0009", ""),
        ("POST", under("tenants/acme:activate"), &[("if-match", "W/\"v1\"")], 422, "TEN-0027", "If-Match"),
        ("POST", under("tenants/acme:activate"), &[("if-match", "v1")], 422, "TEN-0027", "If-Match"),
        ("POST", under("tenants/acme:activate?wait=31s"), &[("if-match", "*")], 422, "TEN-0027", "wait"),
        ("POST", under("tenants/acme:activate?wait=soon"), &[("if-match", "*")], 422, "TEN-0027", "wait"),
        (
            "POST",
            under("tenants/acme:activate"),
            &[("if-match", "*"), ("idempotency-key", "short")],
            422,
            "TEN-0027",
            "Idempotency-Key",
        ),
        ("POST", under("tenants/acme:resume"), &[("if-match", "*")], 409, "TEN-0011", ""),
        ("POST", under("tenants/acme:archive"), &[("if-match", "*")], 409, "TEN-0011", ""),
        ("POST", under("tenants/globex:activate"), &[("if-match", "*")], 404, "TEN-0005", ""),
        ("DELETE", under("tenants/acme"), &[("if-match", "*")], 422, "TEN-0027", "confirm"),
        ("DELETE", under("tenants/acme?confirm=acme"), &[], 428, "TEN-0010", "If-Match"),
        ("DELETE", under("tenants/acme?confirm=acne&reason=x"), &[("if-match", "*")], 422, "TEN-0013", "confirm"),
        ("DELETE", under("tenants/acme?confirm=acme"), &[("if-match", "*")], 409, "TEN-0014", "reason"),
        (
            "DELETE",
            under("tenants/acme?confirm=acme&reason=x&grace=long"),
            &[("if-match", "*")],
            422,
            "TEN-0027",
            "grace",
        ),
        (
            "DELETE",
            under("tenants/acme?confirm=acme&reason=x&dryRun=maybe"),
            &[("if-match", "*")],
            422,
            "TEN-0027",
            "dryRun",
        ),
        ("DELETE", under("plans/standard"), &[("if-match", "*")], 409, "TEN-0036", ""),
        ("DELETE", under("plans/standard"), &[], 428, "TEN-0010", "If-Match"),
        ("DELETE", under("regions/eu-west"), &[("if-match", "\"v7\"")], 412, "TEN-0009", ""),
        ("GET", "/v1/environments".into(), &[], 404, "TEN-0023", ""),
        ("GET", "/nothing".into(), &[], 404, "TEN-0023", ""),
        ("GET", under("tenants/acme/@activate"), &[], 404, "TEN-0023", ""),
        ("POST", under("tenants/acme/@activate"), &[("if-match", "*")], 404, "TEN-0023", ""),
        ("GET", under("tenants/acme:activate"), &[], 405, "TEN-0024", ""),
        ("PUT", under("tenants"), &[], 405, "TEN-0024", ""),
        ("BREW", under("tenants"), &[], 405, "TEN-0024", ""),
        ("POST", under("tenants/acme:explode"), &[("if-match", "*")], 404, "TEN-0023", ""),
    ];
    for (method, path, headers, status, code, field) in cases {
        let mut ask = world.bare(method, &path).bearer();
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        let reply = ask.send().await;
        assert_eq!(reply.status.as_u16(), status, "{method} {path}: {reply:?}");
        let problem = reply.problem(code);
        if status == 405 {
            assert!(!reply.header("allow").is_empty(), "{method} {path}: no Allow");
        }
        if field.is_empty() {
            continue;
        }
        let fields: Vec<_> =
            problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
        assert!(fields.contains(&field), "{method} {path}: {problem}");
    }
    let keyless = world.post("tenants").json(&manifest("globex")).send().await;
    keyless.problem("TEN-0020");
    assert_eq!(world.rows().await, before);
    world.end().await;
}

#[tokio::test]
async fn bad_changes_keep_the_version() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let before = world.rows().await;
    let cases = [
        ("PATCH", json!({ "spec": { "displayName": null } }), "TEN-0001", "spec.displayName"),
        ("PATCH", json!({ "spec": { "seats": 1 } }), "TEN-0001", "spec.seats"),
        ("PATCH", json!({ "metadata": { "name": "other" } }), "TEN-0001", "metadata.name"),
        ("PATCH", json!({ "status": {} }), "TEN-0001", "status"),
        ("PATCH", json!({ "spec": null }), "TEN-0001", "spec"),
        ("PATCH", json!([]), "TEN-0001", ""),
        (
            "PATCH",
            json!({ "spec": { "state": "suspended", "suspension": { "reason": "commercial" } } }),
            "TEN-0011",
            "",
        ),
        ("PATCH", json!({ "spec": { "plan": "gold" } }), "TEN-0004", "spec.plan"),
        ("PUT", manifest("globex"), "TEN-0001", "metadata.name"),
        ("PUT", json!({ "spec": {} }), "TEN-0001", "spec.app"),
    ];
    for (method, body, code, field) in cases {
        let reply = world.ask(method, "tenants/acme").header("if-match", "*").json(&body).send().await;
        let problem = reply.problem(code);
        if !field.is_empty() {
            let fields: Vec<_> =
                problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
            assert!(fields.contains(&field), "{body}: {problem}");
        }
    }
    assert_eq!(world.rows().await, before);
    assert_eq!(world.get("tenants/acme").send().await.header("etag"), "\"v1\"");
    world.end().await;
}

#[tokio::test]
async fn a_file_with_one_mistake_changes_nothing_and_says_where() {
    let world = World::quiet().await;
    let before = world.rows().await;
    let good = "apiVersion: tenantry.dev/v1\nkind: Tenant\nmetadata: { name: globex }\nspec: { displayName: Globex, app: chat, plan: starter, state: draft, residency: { allowedRegions: [eu-west] } }\n";
    let text = format!("{good}---\n{}", good.replace("globex", "initech").replace("plan: starter", "plan: gold"));
    for path in ["manifests:apply", "manifests:plan"] {
        let problem = world.post(path).keyed().yaml(&text).send().await.problem("TEN-0004");
        assert_eq!(problem["errors"][0]["field"], "spec.plan", "{problem}");
        assert!(
            problem["errors"][0]["message"].as_str().unwrap().ends_with("(document 2: Tenant `initech`)"),
            "{problem}"
        );
    }
    let single = good.replace("plan: starter", "plan: gold");
    let problem = world.post("manifests:apply").keyed().yaml(&single).send().await.problem("TEN-0004");
    assert_eq!(problem["errors"][0]["field"], "spec.plan", "{problem}");
    let wrong = format!("{good}  seats: 5\n");
    let problem = world.post("manifests:apply").keyed().yaml(&wrong).send().await.problem("TEN-0002");
    assert!(problem["detail"].as_str().unwrap().starts_with("line "), "{problem}");
    assert_eq!(world.rows().await, before);
    world.end().await;
}
