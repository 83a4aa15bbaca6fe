//! People of a tenant over HTTP: members, invitations, roles, by whom and by whom not.

use serde_json::{Value, json};
use tenantry_domain::name::EnvironmentName;

use crate::world::{Reply, World};

fn person(who: &str, role: &str) -> Value {
    json!({ "issuer": "https://login.example", "subject": who, "email": format!("{who}@example.com"), "role": role })
}

async fn add(world: &World, who: &str, role: &str) -> String {
    let reply = world.post("tenants/acme/members").keyed().json(&person(who, role)).send().await;
    assert_eq!((reply.status.as_u16(), reply.header("etag")), (201, "\"v1\""), "{reply:?}");
    reply.json()["user"].as_str().unwrap().to_owned()
}

async fn invite(world: &World, body: Value) -> Reply {
    world.post("tenants/acme/invitations").keyed().json(&body).send().await
}

async fn accept(world: &World, token: &str, who: &str) -> Reply {
    let mut body = person(who, "x");
    body.as_object_mut().unwrap().remove("role");
    body["token"] = json!(token);
    body["emailVerified"] = json!(true);
    world.bare("POST", "/v1/invitations:accept").bearer().json(&body).send().await
}

async fn check(world: &World, user: &str, permission: &str) -> Value {
    let ask = world.post("tenants/acme/members:check").json(&json!({ "user": user, "permission": permission }));
    ask.send().await.json()
}

#[tokio::test]
async fn a_member_comes_by_invitation_and_loses_a_right_at_once() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let olga = add(&world, "olga", "owner").await;
    let made =
        invite(&world, json!({ "email": "Anna@example.com", "role": "admin", "delivery": "link", "actingUser": olga }))
            .await;
    assert_eq!((made.status.as_u16(), made.header("etag"), made.header("cache-control")), (201, "\"v1\"", "no-store"));
    let token = made.json()["token"].as_str().unwrap().to_owned();
    let id = made.json()["invitation"]["id"].as_str().unwrap().to_owned();
    // A scanner that follows a link by GET changes nothing, and the token is no path.
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        let looked = world.bare(method, "/v1/invitations:accept").bearer().send().await;
        assert_eq!(looked.status, 405, "{method}");
    }
    let joined = accept(&world, &token, "anna").await;
    assert_eq!(joined.status, 201, "{joined:?}");
    let anna = joined.json()["user"].as_str().unwrap().to_owned();
    assert_eq!(accept(&world, &token, "anna").await.status, 410);
    assert_eq!(
        check(&world, &anna, "tenant:users:invite").await,
        json!({ "allowed": true, "missing": [], "role": "admin" })
    );
    let lower = world.ask("PATCH", &format!("tenants/acme/members/{anna}")).keyed().header("if-match", "\"v1\"");
    let lower = lower.json(&json!({ "role": "readonly", "actingUser": olga })).send().await;
    assert_eq!((lower.status.as_u16(), lower.header("etag")), (200, "\"v2\""), "{lower:?}");
    let now = check(&world, &anna, "tenant:users:invite").await;
    assert_eq!(now, json!({ "allowed": false, "missing": ["tenant:users:invite"], "role": "readonly" }));
    let held = world.get(&format!("tenants/acme/members/{anna}/permissions")).send().await.json();
    assert_eq!(held["permissions"], json!(["tenant:data:read"]));
    let shown = world.get(&format!("tenants/acme/invitations/{id}")).send().await.json();
    assert_eq!((&shown["status"], &shown["acceptedBy"]), (&json!("accepted"), &json!(anna)), "{shown}");
    assert_eq!(world.get("tenants/acme/invitations").send().await.json()["items"], json!([]));

    let tenants = world.bare("GET", &format!("/v1/users/{anna}/tenants")).bearer().send().await.json();
    assert_eq!((&tenants["items"][0]["slug"], &tenants["items"][0]["role"]), (&json!("acme"), &json!("readonly")));
    let leave = world.ask("DELETE", &format!("tenants/acme/members/{anna}?actingUser={anna}")).header("if-match", "*");
    assert_eq!(leave.send().await.status, 200);
    world.bare("GET", &format!("/v1/users/{anna}/tenants")).bearer().send().await.problem("TEN-0064");

    // Both the token's bearer and the member are in the evidence; no secret and no address is.
    let entries = world.get("tenants/acme/audit?category=access&pageSize=200").send().await;
    let events = world.get("tenants/acme/events").send().await;
    let invited = entries.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["action"] == "invitation.create")
        .cloned();
    let invited = invited.unwrap();
    assert_eq!(invited["changes"]["actingUser"], json!(olga), "{invited}");
    for text in [&entries.text, &events.text] {
        assert!(!text.contains(&token[31..]) && !text.contains("example.com"), "{text}");
    }
    assert_eq!(events.text.matches("\"member.").count(), 5, "{}", events.text);
    world.end().await;
}

#[tokio::test]
async fn refusals_name_what_is_missing_and_hide_what_is_not_theirs() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let olga = add(&world, "olga", "owner").await;
    let bert = add(&world, "bert", "member").await;
    let problem =
        invite(&world, json!({ "email": "x@example.com", "role": "readonly", "delivery": "link", "actingUser": bert }))
            .await;
    assert_eq!(problem.status, 403);
    let problem = problem.problem("TEN-0061");
    assert!(problem["detail"].as_str().unwrap().contains("`tenant:users:invite`"), "{problem}");
    let last = world.ask("DELETE", &format!("tenants/acme/members/{olga}")).header("if-match", "*").send().await;
    assert_eq!(last.status, 409);
    last.problem("TEN-0062");
    // A stranger as acting user, another tenant, another environment: nothing is there.
    let stranger = "usr_01jd8x3v9mfk2t5h7q0w4z6y8c";
    for path in ["members", "invitations", "roles", "ownership-offer"] {
        world.get(&format!("tenants/acme/{path}?actingUser={stranger}")).send().await.problem("TEN-0005");
    }
    world.get(&format!("tenants/acme/members/{stranger}")).send().await.problem("TEN-0064");
    world.get("tenants/acme/members?actingUser=ten_x").send().await.problem("TEN-0027");
    world.get("tenants/initech/members").send().await.problem("TEN-0005");
    let made =
        invite(&world, json!({ "email": "anna@example.com", "role": "member", "delivery": "link" })).await.json();
    let token = made["token"].as_str().unwrap().to_owned();
    let other = EnvironmentName::parse("elsewhere").unwrap();
    world.deps.store().ensure_environment(&other).await.unwrap();
    let narrow = format!("Bearer {}", world.token_for(&other).await);
    let body =
        json!({ "token": token, "issuer": "i", "subject": "1", "email": "anna@example.com", "emailVerified": true });
    let foreign =
        world.bare("POST", "/v1/invitations:accept").header("authorization", &narrow).json(&body).send().await;
    foreign.problem("TEN-0065");
    let foreign = world.bare("GET", &format!("/v1/users/{olga}/tenants")).header("authorization", &narrow).send().await;
    foreign.problem("TEN-0064");
    assert_eq!(world.bare("POST", "/v1/invitations:accept").json(&body).send().await.status, 401);
    // The first letter of the secret and not the last one, which is the right one now and then, or has bits that nobody reads.
    let (kept, secret) = token.split_at(31);
    let other = if secret.starts_with('A') { 'B' } else { 'A' };
    for wrong in ["x", &token[..70], &format!("{kept}{other}{}", &secret[1..])] {
        accept(&world, wrong, "anna").await.problem("TEN-0065");
    }
    accept(&world, &token, "eve").await.problem("TEN-0067");
    world.end().await;
}

/// What nobody asked for is never applied, and what is wrong is told in full.
#[tokio::test]
async fn unknown_fields_are_refused_in_every_body() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let olga = add(&world, "olga", "owner").await;
    let fields = |reply: &Reply| -> Vec<String> {
        let problem = reply.problem("TEN-0027");
        assert_eq!(problem["status"], 422);
        problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    };
    let with = |mut body: Value| {
        body["tenantId"] = json!("ten_01jd8x3v9mfk2t5h7q0w4z6y8c");
        body
    };
    let one = format!("tenants/acme/members/{olga}");
    for (method, path, body) in [
        ("POST", "tenants/acme/members", person("anna", "member")),
        ("PATCH", one.as_str(), json!({ "role": "admin" })),
        ("POST", "tenants/acme/members:import", json!({ "rows": [] })),
        ("POST", "tenants/acme/members:check", json!({ "user": olga, "permission": "tenant:data:read" })),
        ("POST", "tenants/acme/invitations", json!({ "email": "a@example.com", "role": "member" })),
        ("PUT", "tenants/acme/roles/support", json!({ "permissions": [] })),
        ("POST", &format!("{one}:transfer-ownership"), json!({ "actingUser": olga })),
    ] {
        let ask = world.ask(method, path).keyed().header("if-match", "*").json(&with(body));
        assert_eq!(fields(&ask.send().await), ["tenantId"], "{method} {path}");
    }
    let wrong = invite(&world, json!({ "email": "anna@ex\u{430}mple.com", "role": "Owner", "validFor": "9d" })).await;
    assert_eq!(fields(&wrong), ["email", "role"]);
    let mail = invite(&world, json!({ "email": "anna@example.com", "role": "member" })).await;
    assert_eq!(fields(&mail), ["delivery"]);
    world.post("tenants/acme/members").json(&person("anna", "member")).send().await.problem("TEN-0020");
    assert_eq!(world.ask("PATCH", &one).json(&json!({ "role": "admin" })).send().await.status, 428);
    assert_eq!(world.get("tenants/acme/members").send().await.json()["items"].as_array().unwrap().len(), 1);
    world.end().await;
}

#[tokio::test]
async fn roles_ownership_and_files_go_over_the_wire() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let (olga, anna) = (add(&world, "olga", "owner").await, add(&world, "anna", "member").await);
    let set = |version: &str, permissions: Value| {
        let ask = world.ask("PUT", "tenants/acme/roles/support").keyed().header("if-match", version);
        ask.json(&json!({ "permissions": permissions, "actingUser": olga })).send()
    };
    let made = set("\"v0\"", json!(["feature:exports"])).await;
    assert_eq!((made.status.as_u16(), made.header("etag")), (200, "\"v1\""), "{made:?}");
    assert_eq!(set("\"v0\"", json!([])).await.status, 412);
    let list = world.get("tenants/acme/roles").send().await.json();
    let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|role| role["name"].clone()).collect();
    assert_eq!(names, ["owner", "admin", "member", "readonly", "support"].map(Value::from));
    let offer = world.post(&format!("tenants/acme/members/{anna}:transfer-ownership")).keyed();
    let offer = offer.json(&json!({ "actingUser": olga, "validFor": "1h" })).send().await;
    assert_eq!((offer.status.as_u16(), &offer.json()["to"]), (200, &json!(anna)), "{offer:?}");
    assert_eq!(world.get("tenants/acme/ownership-offer").send().await.json()["from"], json!(olga));
    let taken = world.post(&format!("tenants/acme/members/{anna}:accept-ownership")).keyed().send().await;
    assert_eq!((taken.status.as_u16(), &taken.json()["role"]), (200, &json!("owner")), "{taken:?}");
    world.get("tenants/acme/ownership-offer").send().await.problem("TEN-0006");
    let rows = json!({ "rows": [person("bert", "support"), { "issuer": "https://login.example", "subject": "olga", "remove": true }, {}] });
    let import = || world.post("tenants/acme/members:import").keyed().json(&rows).send();
    let report = import().await.json();
    assert_eq!(
        (&report["added"], &report["removed"], &report["refused"]),
        (&json!(1), &json!(1), &json!(1)),
        "{report}"
    );
    assert_eq!(report["rows"][2]["code"], "TEN-0027");
    let again = import().await.json();
    assert_eq!((&again["unchanged"], &again["refused"]), (&json!(2), &json!(1)), "{again}");
    let used = world.ask("DELETE", "tenants/acme/roles/support").keyed().header("if-match", "*").send().await;
    used.problem("TEN-0036");
    let page = world.get("tenants/acme/members?pageSize=1").send().await.json();
    let next = page["nextPageToken"].as_str().unwrap();
    let rest = world.get(&format!("tenants/acme/members?pageSize=1&pageToken={next}")).send().await.json();
    assert_ne!(page["items"][0]["user"], rest["items"][0]["user"]);
    world.get(&format!("tenants/acme/members?role=owner&pageSize=1&pageToken={next}")).send().await.problem("TEN-0028");
    world.end().await;
}

async fn token(world: &World, body: Value) -> String {
    let reply = world.post("tokens").keyed().json(&body).send().await;
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.json()["text"].as_str().unwrap().to_owned()
}

async fn by(world: &World, token: &str, path: &str, body: Value) -> Reply {
    let path = format!("/v1/environments/{}/{path}", world.environment);
    world.bare("POST", &path).header("authorization", &format!("Bearer {token}")).keyed().json(&body).send().await
}

/// Whoever runs tenants is let into none of them by that: not as a member either.
#[tokio::test]
async fn an_operator_adds_a_first_owner_and_nobody_beside() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let operator = token(&world, json!({ "name": "o", "roles": ["operator"] })).await;
    let member = by(&world, &operator, "tenants/acme/members", person("olga", "member")).await;
    assert!(member.problem("TEN-0022")["detail"].as_str().unwrap().contains("first-owner-only"), "{member:?}");
    let first = by(&world, &operator, "tenants/acme/members", person("olga", "owner")).await;
    assert_eq!(first.status, 201, "{first:?}");
    for role in ["owner", "readonly"] {
        by(&world, &operator, "tenants/acme/members", person("me", role)).await.problem("TEN-0022");
    }
    let invitation = json!({ "email": "me@example.com", "role": "readonly", "delivery": "link" });
    by(&world, &operator, "tenants/acme/invitations", invitation).await.problem("TEN-0022");
    let rows = json!({ "rows": [person("me", "owner")] });
    by(&world, &operator, "tenants/acme/members:import", rows).await.problem("TEN-0022");
    assert_eq!(world.get("tenants/acme/members").send().await.json()["items"].as_array().unwrap().len(), 1);
    // The product's backend adds whom it likes, also where it is an operator beside that.
    let both = token(&world, json!({ "name": "b", "roles": ["operator", "application"] })).await;
    assert_eq!(by(&world, &both, "tenants/acme/members", person("anna", "member")).await.status, 201);
    world.end().await;
}

/// Who helps customers has a mail sent once more, and sees no link.
#[tokio::test]
async fn whoever_may_not_invite_is_shown_no_link() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let made = invite(&world, json!({ "email": "anna@example.com", "role": "member", "delivery": "link" })).await;
    let (id, link) = (made.json()["invitation"]["id"].clone(), made.json()["token"].as_str().unwrap().to_owned());
    let path = format!("tenants/acme/invitations/{}:resend", id.as_str().unwrap());
    for role in ["support", "operator"] {
        let token = token(&world, json!({ "name": role, "roles": [role] })).await;
        let refused = by(&world, &token, &path, json!({ "delivery": "link" })).await;
        assert!(refused.problem("TEN-0022")["detail"].as_str().unwrap().contains("invitation.create"), "{refused:?}");
    }
    assert_eq!(accept(&world, &link, "anna").await.status, 201, "the link that was given is good");
    world.end().await;
}

/// A file is no way round a right to one of the things that it does.
#[tokio::test]
async fn a_file_takes_the_rights_of_what_it_does() {
    let world = World::quiet().await;
    world.draft("acme").await;
    for (who, role) in [("olga", "owner"), ("anna", "member")] {
        add(&world, who, role).await;
    }
    let gone = json!({ "rows": [{ "issuer": "https://login.example", "subject": "anna", "remove": true }] });
    let there = json!({ "rows": [person("bert", "member")] });
    let scoped = async |scopes: &[&str]| {
        let body = json!({ "name": "n", "roles": ["application"], "scopes": scopes });
        token(&world, body).await
    };
    let bare = scoped(&["member.import"]).await;
    for (rows, right) in [(&gone, "member.remove"), (&there, "member.add")] {
        let refused = by(&world, &bare, "tenants/acme/members:import", rows.clone()).await;
        assert!(refused.problem("TEN-0022")["detail"].as_str().unwrap().contains(right), "{refused:?}");
    }
    let adds = scoped(&["member.import", "member.add", "member.update"]).await;
    assert_eq!(by(&world, &adds, "tenants/acme/members:import", there).await.json()["added"], 1);
    let removes = scoped(&["member.import", "member.remove"]).await;
    assert_eq!(by(&world, &removes, "tenants/acme/members:import", gone).await.json()["removed"], 1);
    world.end().await;
}
