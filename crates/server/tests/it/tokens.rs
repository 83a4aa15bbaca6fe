//! Tokens over HTTP: made, narrowed, confined to a tenant, rotated, taken back; and what their bearers try beyond that.

use serde_json::{Value, json};

use crate::world::{Ask, Reply, World};

async fn make(world: &World, body: Value) -> Value {
    let reply = world.post("tokens").keyed().json(&body).send().await;
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.json()
}

fn text(issued: &Value) -> String {
    issued["text"].as_str().unwrap().to_owned()
}

/// A request to a path of the environment, with another token.
fn with<'w>(world: &'w World, token: &str, method: &str, path: &str) -> Ask<'w> {
    let path = format!("/v1/environments/{}/{path}", world.environment);
    world.bare(method, &path).header("authorization", &format!("Bearer {token}"))
}

async fn reads(world: &World, token: &str) -> u16 {
    with(world, token, "GET", "tenants/acme").send().await.status.as_u16()
}

#[tokio::test]
async fn a_token_lives_from_its_secret_to_its_revocation() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let issued = make(&world, json!({ "name": "reports", "roles": ["auditor"], "expiresIn": "7d" })).await;
    let (first, id) = (text(&issued), issued["token"]["id"].as_str().unwrap().to_owned());
    assert!(first.starts_with("ten_live_"));
    assert_eq!((&issued["token"]["kind"], &issued["token"]["roles"]), (&json!("service"), &json!(["auditor"])));
    assert_eq!(reads(&world, &first).await, 200);
    let refused = with(&world, &first, "POST", "tenants/acme:suspend").keyed().json(&json!({})).send().await;
    let problem = refused.problem("TEN-0022");
    assert!(problem["hint"].as_str().unwrap().contains("`operator`"), "{problem}");

    let shown = world.get(&format!("tokens/{id}")).send().await;
    assert_eq!((shown.header("etag"), shown.text.contains(&first)), ("\"v1\"", false));
    let path = format!("tokens/{id}:rotate");
    let rotated = world.post(&path).keyed().header("if-match", "\"v1\"").json(&json!({ "grace": "1h" })).send().await;
    let second = text(&rotated.json());
    assert_eq!((reads(&world, &first).await, reads(&world, &second).await), (200, 200), "both are good");
    world.post(&path).keyed().header("if-match", "\"v1\"").json(&json!({})).send().await.problem("TEN-0009");
    let now = world.post(&path).keyed().header("if-match", "*").json(&json!({ "grace": "0s" })).send().await;
    let third = text(&now.json());
    assert_eq!(
        [reads(&world, &first).await, reads(&world, &second).await, reads(&world, &third).await],
        [401, 401, 200]
    );

    let revoke = || world.ask("DELETE", &format!("tokens/{id}")).keyed().header("if-match", "*").send();
    assert!(revoke().await.json()["revokedAt"].is_string());
    assert_eq!(reads(&world, &third).await, 401, "from the next call on");
    assert_eq!(revoke().await.status, 200, "once more changes nothing");
    let list = |query: &str| world.get(&format!("tokens{query}")).send();
    assert_eq!(list("").await.json()["items"], json!([]));
    assert_eq!(list("?revoked=true").await.json()["items"].as_array().unwrap().len(), 1);
    let found = world.get("audit?action=token.revoke").send().await.json();
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    assert!(!world.get("audit?pageSize=200").send().await.text.contains(&third), "no secret in the audit");
    world.end().await;
}

/// An end that somebody gave a secret is its end, whoever renews the token afterwards.
#[tokio::test]
async fn what_has_ended_is_not_good_again_by_a_rotation() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let issued = make(&world, json!({ "name": "contractor", "roles": ["auditor"], "expiresIn": "1h" })).await;
    let (first, id) = (text(&issued), issued["token"]["id"].as_str().unwrap().to_owned());
    let end = world.get(&format!("tokens/{id}")).send().await.json()["expiresAt"].clone();
    let rotate = async |body: Value| {
        let ask = world.post(&format!("tokens/{id}:rotate")).keyed().header("if-match", "*");
        ask.json(&body).send().await.json()
    };
    // While it lives, the old secret has the grace or what is left of its life, whichever is less.
    let second = rotate(json!({ "grace": "24h", "expiresIn": "30d" })).await;
    assert_eq!(second["token"]["oldUntil"], end, "{second}");
    assert_eq!((reads(&world, &first).await, reads(&world, &text(&second)).await), (200, 200));
    let conn = world.deps.store().pool().get().await.unwrap();
    let sql = "UPDATE tenantry.token SET expires_at = now() - interval '1 minute' WHERE name = 'contractor'";
    conn.client().batch_execute(sql).await.unwrap();
    conn.release();
    assert_eq!(reads(&world, &text(&second)).await, 401);
    let third = rotate(json!({ "grace": "24h", "expiresIn": "30d" })).await;
    assert!(third["token"].get("oldUntil").is_none(), "{third}");
    assert_eq!((reads(&world, &text(&second)).await, reads(&world, &text(&third)).await), (401, 200));
    world.end().await;
}

#[tokio::test]
async fn a_repetition_is_answered_without_the_secret() {
    let world = World::quiet().await;
    let send = || {
        let ask = world.post("tokens").header("idempotency-key", "0123456789abcdef");
        ask.json(&json!({ "name": "ci", "roles": ["deployer"] })).send()
    };
    let (first, again) = (send().await.json(), send().await.json());
    assert!(first["text"].is_string() && again.get("text").is_none(), "{again}");
    assert_eq!(first["token"]["id"], again["token"]["id"]);
    world.end().await;
}

/// Attack 6: a read token writes, a token mints a stronger one.
#[tokio::test]
async fn nobody_makes_a_stronger_token() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let narrow = json!({ "name": "n", "roles": ["admin"], "scopes": ["token.*", "tenant.read"] });
    let narrow = text(&make(&world, narrow).await);
    let try_it =
        async |body: Value| -> Reply { with(&world, &narrow, "POST", "tokens").keyed().json(&body).send().await };
    for stronger in [
        json!({ "name": "x", "roles": ["admin"] }),
        json!({ "name": "x", "roles": ["operator"] }),
        json!({ "name": "x", "roles": ["admin"], "scopes": ["token.*", "tenant.*"] }),
        json!({ "name": "x", "roles": ["admin"], "scopes": ["*.read"] }),
    ] {
        let problem = try_it(stronger.clone()).await.problem("TEN-0022");
        assert!(problem["detail"].as_str().unwrap().contains("own-rights-at-most"), "{stronger}: {problem}");
    }
    let equal = json!({ "name": "x", "roles": ["admin"], "scopes": ["tenant.read", "token.issue"] });
    assert_eq!(try_it(equal).await.status, 201);
    let strong = make(&world, json!({ "name": "strong", "roles": ["admin"] })).await;
    let path = format!("tokens/{}:rotate", strong["token"]["id"].as_str().unwrap());
    let stolen = with(&world, &narrow, "POST", &path).keyed().header("if-match", "*").json(&json!({})).send().await;
    stolen.problem("TEN-0022");
    world.end().await;
}

/// Attacks 2 and 23: another tenant is not there, whatever is asked of it.
#[tokio::test]
async fn a_tenants_key_sees_its_own_tenant_and_nothing_else() {
    let world = World::quiet().await;
    let ids = [world.draft("acme").await, world.draft("globex").await];
    let id = |place: usize| ids[place]["status"]["id"].as_str().unwrap().to_owned();
    let body = json!({ "name": "acme's machine", "roles": ["tenant"], "tenant": "acme" });
    let issued = make(&world, body).await;
    assert_eq!(issued["token"]["tenant"], id(0).as_str());
    let key = text(&issued);
    let admin = json!({ "name": "acme's admin", "roles": ["admin"], "tenant": "acme" });
    let admin = text(&make(&world, admin).await);
    for token in [&key, &admin] {
        for own in ["tenants/acme", &format!("tenants/{}", id(0)), "tenants/acme/entitlements", "tenants/acme/events"] {
            assert_eq!(with(&world, token, "GET", own).send().await.status, 200, "{own}");
        }
        let mut parts = ["", "/entitlements", "/events", "/versions", "/domains", "/audit", "/placement"].to_vec();
        parts.extend(["/members", "/invitations", "/roles", "/quotas", "/features"]);
        if token == &admin {
            parts.push("/route");
        }
        for name in ["globex".to_owned(), id(1)] {
            for part in &parts {
                let reply = with(&world, token, "GET", &format!("tenants/{name}{part}")).send().await;
                let problem = reply.problem("TEN-0005");
                // In the very words of one that does not exist.
                let nobody = name.replace("globex", "initech").replace(&id(1), "ten_01jd8x3v9mfk2t5h7q0w4z6y8c");
                let absent = with(&world, token, "GET", &format!("tenants/{nobody}{part}")).send().await;
                let said = |problem: &Value, name: &str| problem["detail"].as_str().unwrap().replace(name, "NAME");
                assert_eq!(said(&problem, &name), said(&absent.problem("TEN-0005"), &nobody), "{part}");
            }
        }
        for path in ["tenants", "plans", "audit", "events", "gateway-logins", "cells", "tokens"] {
            let reply = with(&world, token, "GET", path).send().await;
            assert_eq!(reply.status, 403, "{path}: {reply:?}");
        }
    }
    for verb in ["suspend", "archive", "activate"] {
        for name in ["globex".to_owned(), id(1)] {
            let path = format!("tenants/{name}:{verb}");
            let ask = with(&world, &admin, "POST", &path).keyed().header("if-match", "*");
            let ask = if verb != "suspend" { ask } else { ask.json(&json!({ "reason": "commercial" })) };
            ask.send().await.problem("TEN-0005");
        }
    }
    let wider = json!({ "name": "x", "roles": ["tenant"], "tenant": "globex" });
    with(&world, &admin, "POST", "tokens").keyed().json(&wider).send().await.problem("TEN-0005");
    let wider = json!({ "name": "x", "roles": ["admin"] });
    with(&world, &admin, "POST", "tokens").keyed().json(&wider).send().await.problem("TEN-0022");
    let other = make(&world, json!({ "name": "g", "roles": ["tenant"], "tenant": "globex" })).await;
    let foreign = format!("tokens/{}", other["token"]["id"].as_str().unwrap());
    with(&world, &admin, "GET", &foreign).send().await.problem("TEN-0006");
    with(&world, &admin, "DELETE", &foreign).keyed().header("if-match", "*").send().await.problem("TEN-0006");
    let audit = world.get("tenants/acme/audit?action=token.issue").send().await.json();
    assert!(audit["items"].as_array().unwrap().len() >= 2, "the tenant sees who made keys for it: {audit}");
    world.end().await;
}

fn document(slug: &str) -> Value {
    let mut tenant = crate::world::manifest(slug);
    tenant["apiVersion"] = json!("tenantry.dev/v1");
    tenant["kind"] = json!("Tenant");
    tenant
}

/// A manifest takes the rights of what it changes.
#[tokio::test]
async fn a_manifest_is_no_way_round_a_missing_right() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let scopes = ["manifests.apply", "manifests.plan", "tenant.update", "*.read"];
    let token = text(&make(&world, json!({ "name": "n", "roles": ["admin"], "scopes": scopes })).await);
    // Whoever may apply is told by the preview what apply would say.
    let apply = async |manifest: Value| {
        let planned = with(&world, &token, "POST", "manifests:plan").json(&manifest).send().await;
        let reply = with(&world, &token, "POST", "manifests:apply").keyed().json(&manifest).send().await;
        assert_eq!(planned.status.is_success(), reply.status.is_success(), "{planned:?} {reply:?}");
        reply
    };
    let mut tenant = document("acme");
    tenant["spec"]["displayName"] = json!("Acme again");
    let reply = apply(tenant.clone()).await;
    assert!(reply.status.is_success(), "{reply:?}");
    tenant["spec"]["state"] = json!("active");
    let problem = apply(tenant.clone()).await.problem("TEN-0022");
    assert!(problem["detail"].as_str().unwrap().contains("tenant.activate"), "{problem}");
    apply(document("globex")).await.problem("TEN-0022");
    let region = json!({ "apiVersion": "tenantry.dev/v1", "kind": "Region", "metadata": { "name": "mars" }, "spec": { "description": "Mars" } });
    apply(region).await.problem("TEN-0022");
    world.end().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_told_field_by_field() {
    let world = World::quiet().await;
    for (body, fields) in [
        (json!({ "name": "x", "roles": [] }), vec!["roles"]),
        (json!({ "name": "x", "roles": ["tenant"] }), vec!["tenant"]),
        (json!({ "name": "x", "roles": ["admin"], "kind": "operator" }), vec!["person"]),
        (json!({ "name": "x", "roles": ["admin"], "expiresIn": "400d" }), vec!["expiresIn"]),
        (
            json!({ "name": "x", "roles": ["admin"], "environment": "other", "createdAt": "2020-01-01" }),
            vec!["createdAt", "environment"],
        ),
    ] {
        let reply = world.post("tokens").keyed().json(&body).send().await;
        assert_eq!(reply.status, 422, "{reply:?}");
        let found: Vec<_> = reply.json()["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["field"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, fields, "{body}");
    }
    let absent =
        world.post("tokens").keyed().json(&json!({ "name": "x", "roles": ["tenant"], "tenant": "initech" })).send();
    absent.await.problem("TEN-0005");
    world.get("tokens/tok_01jd8x3v9mfk2t5h7q0w4z6y8c").send().await.problem("TEN-0006");
    world.get("tokens/olga").send().await.problem("TEN-0027");
    world.end().await;
}
