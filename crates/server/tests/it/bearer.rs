//! Nobody gets anywhere without a good token.

use secrecy::ExposeSecret as _;
use serde_json::Value;
use tenantry_control::tokens;
use tenantry_domain::name::EnvironmentName;

use crate::world::World;

/// Every route of the document, with its example values in place.
fn routes() -> Vec<(String, String, bool)> {
    let document = tenantry_server::openapi::document();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let mut concrete = path.clone();
            for parameter in operation["parameters"].as_array().into_iter().flatten().filter(|p| p["in"] == "path") {
                let example = match &parameter["example"] {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                concrete = concrete.replace(&format!("{{{}}}", parameter["name"].as_str().unwrap()), &example);
            }
            assert!(!concrete.contains('{'), "{concrete}");
            routes.push((method.to_uppercase(), concrete, operation.get("security").is_some()));
        }
    }
    routes
}

#[tokio::test]
async fn every_route_but_the_open_ones_wants_a_token() {
    let world = World::forgiving().await;
    let unknown = tokens::mint_text().unwrap().expose_secret().to_owned();
    let mut damaged = world.token.clone();
    damaged.replace_range(40..41, if &damaged[40..41] == "0" { "1" } else { "0" });
    let bad = [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer x".to_owned(),
        format!("Basic {}", world.token),
        format!("Bearer {unknown}"),
        format!("Bearer {damaged}"),
        format!("Bearer {} {}", world.token, world.token),
        format!("Bearer {}", "a".repeat(4000)),
    ];
    let before = world.rows().await;
    let all = routes();
    assert!(all.len() >= 55);
    for (method, path, is_open) in &all {
        let reply = world.bare(method, path).send().await;
        if *is_open {
            assert_eq!(reply.status, 200, "{method} {path}: {reply:?}");
            continue;
        }
        assert_eq!(reply.status, 401, "{method} {path}: {reply:?}");
        if path.starts_with("/scim/") {
            // Directories read errors in a form of their own (RFC 7644, 3.12).
            assert!(reply.json()["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{reply:?}");
        } else {
            reply.problem("TEN-0021");
        }
        assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"tenantry\"");
    }
    for (method, path, _) in all.iter().filter(|(_, _, is_open)| !is_open).take(3) {
        for header in &bad {
            let reply = world.bare(method, path).header("authorization", header).send().await;
            assert_eq!(reply.status, 401, "{header}");
            let problem = reply.problem("TEN-0021").to_string();
            assert!(!problem.contains("ten_live_"), "{problem}");
        }
    }
    let twice = world.get("tenants").header("authorization", "Bearer x").send().await;
    assert_eq!(twice.status, 401, "two headers: which one counts would be a guess");
    // Without a token nobody learns which routes exist.
    for path in ["/", "/v1/nothing", "/v1/environments/prod/tenants/@x", "/metrics"] {
        assert_eq!(world.bare("GET", path).send().await.status, 401, "{path}");
    }
    assert_eq!(world.rows().await, before);
    world.end().await;
}

#[tokio::test]
async fn a_narrow_token_sees_no_other_environment() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let other = EnvironmentName::parse("elsewhere").unwrap();
    world.deps.store().ensure_environment(&other).await.unwrap();
    let token = world.token_for(&other).await;
    let path = format!("/v1/environments/{}/tenants/acme", world.environment);
    let reply = world.bare("GET", &path).header("authorization", &format!("Bearer {token}")).send().await;
    assert_eq!(reply.status, 404);
    reply.problem("TEN-0037");
    let own = world
        .bare("GET", "/v1/environments/elsewhere/tenants")
        .header("authorization", &format!("bearer {token}"))
        .send()
        .await;
    assert_eq!(own.status, 200, "the scheme has no case: {own:?}");
    let operation = world.get("operations").send().await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/operations/{operation}");
    assert_eq!(world.bare("GET", &path).bearer().send().await.status, 200);
    let hidden = world.bare("GET", &path).header("authorization", &format!("Bearer {token}")).send().await;
    hidden.problem("TEN-0033");
    world.end().await;
}

/// When a token was used is a note: a database that only reads, and a row that is being changed, let in all the same.
#[tokio::test]
async fn whoever_cannot_be_noted_is_let_in_all_the_same() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let execute = async |sql: &str| {
        let conn = world.deps.store().pool().get().await.unwrap();
        conn.client().batch_execute(sql).await.unwrap();
        conn.release();
    };
    let due = "UPDATE tenantry.token SET last_used_at = now() - interval '5 minutes'";
    let reads = async || {
        for path in ["whoami", "tenants/acme"] {
            let path = if path == "whoami" {
                "/v1/whoami".to_owned()
            } else {
                format!("/v1/environments/{}/{path}", world.environment)
            };
            let reply = world.bare("GET", &path).bearer().send().await;
            assert_eq!(reply.status, 200, "{reply:?}");
        }
    };
    // A transaction holds the row and is not through.
    execute(due).await;
    let conn = world.deps.store().pool().get().await.unwrap();
    conn.client().batch_execute("BEGIN; UPDATE tenantry.token SET version = version + 1").await.unwrap();
    reads().await;
    conn.client().batch_execute("ROLLBACK").await.unwrap();
    conn.release();
    // What a standby says that is not promoted yet.
    execute(
        "CREATE FUNCTION tenantry.only_reads() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'cannot execute UPDATE in a read-only transaction' USING ERRCODE = '25006'; END $$;
         CREATE TRIGGER only_reads BEFORE UPDATE ON tenantry.token EXECUTE FUNCTION tenantry.only_reads();",
    )
    .await;
    reads().await;
    execute("DROP TRIGGER only_reads ON tenantry.token").await;
    reads().await;
    let conn = world.deps.store().pool().get().await.unwrap();
    let fresh = "SELECT count(*) FROM tenantry.token WHERE last_used_at > now() - interval '1 minute'";
    let count: i64 = conn.query_one(fresh, &[]).await.unwrap().get(0);
    conn.release();
    assert_eq!(count, 1, "and noted once it can be");
    world.end().await;
}
