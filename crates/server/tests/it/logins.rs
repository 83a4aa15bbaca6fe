//! Logins of the gateway over HTTP: made, shown, given another password, taken back, by whom and by whom not.

use serde_json::{Value, json};
use tenantry_api::client::{Expected, LoginQuery, PageQuery};
use tenantry_api::v1::login::{GatewayLoginRequest, GatewayLoginRotation};
use tenantry_domain::name::EnvironmentName;

use crate::world::{Reply, World};

const PATH: &str = "gateway-logins";

async fn create(world: &World, body: Value) -> Reply {
    world.post(PATH).keyed().json(&body).send().await
}

#[tokio::test]
async fn a_login_lives_from_its_password_to_its_revocation() {
    let world = World::quiet().await;
    let acme = world.draft("acme").await["status"]["id"].clone();
    let made =
        create(&world, json!({ "name": "acme-app", "tenant": "acme", "access": "read-only", "connections": 5 })).await;
    assert_eq!((made.status.as_u16(), made.header("etag")), (201, "\"v1\""), "{made:?}");
    assert_eq!((made.header("cache-control"), made.header("operation-id")), ("no-store", ""));
    let body = made.json();
    let password = body["password"].as_str().unwrap().to_owned();
    assert_eq!(password.len(), 43);
    assert!(body.get("url").is_none(), "no address is configured: {body}");
    let login = &body["login"];
    assert_eq!((&login["tenant"], &login["slug"], &login["status"]), (&acme, &json!("acme"), &json!("active")));
    assert_eq!(
        (&login["access"], &login["mode"], &login["connections"]),
        (&json!("read-only"), &json!("transaction"), &json!(5))
    );

    let shown = world.get(&format!("{PATH}/acme-app")).send().await;
    assert_eq!((shown.header("etag"), shown.json()), ("\"v1\"", login.clone()));
    let rotate = |version: &str| {
        let ask = world.post(&format!("{PATH}/acme-app:rotate")).keyed().header("if-match", version);
        ask.json(&json!({ "grace": "2h" })).send()
    };
    let rotated = rotate("\"v1\"").await;
    assert_eq!((rotated.status.as_u16(), rotated.header("etag")), (200, "\"v2\""), "{rotated:?}");
    let body = rotated.json();
    assert!(body["password"] != password.as_str() && body["login"]["oldPasswordUntil"].is_string(), "{body}");
    rotate("\"v1\"").await.problem("TEN-0009");
    let unguarded = world.post(&format!("{PATH}/acme-app:rotate")).keyed().json(&json!({})).send().await;
    assert_eq!(unguarded.status, 428);
    unguarded.problem("TEN-0010");

    let list = world.get(&format!("{PATH}?tenant=acme")).send().await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let revoke =
        |version: &str| world.ask("DELETE", &format!("{PATH}/acme-app")).keyed().header("if-match", version).send();
    assert_eq!(revoke("\"v1\"").await.status, 412);
    let revoked = revoke("\"v2\"").await;
    assert_eq!((revoked.status.as_u16(), &revoked.json()["status"]), (200, &json!("revoked")), "{revoked:?}");
    rotate("*").await.problem("TEN-0054");
    assert_eq!(world.get(PATH).send().await.json()["items"], json!([]));
    assert_eq!(world.get(&format!("{PATH}?revoked=true")).send().await.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(world.get(&format!("{PATH}/acme-app")).send().await.json()["status"], "revoked");

    // Each change is in the tenant's audit and events, without a secret.
    let entries = world.get("tenants/acme/audit?category=access").send().await;
    let actions: Vec<_> =
        entries.json()["items"].as_array().unwrap().iter().rev().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["gateway.login.create", "gateway.login.rotate", "gateway.login.revoke"].map(Value::from));
    let events = world.get("tenants/acme/events").send().await;
    for text in [&entries.text, &events.text] {
        assert!(text.contains("acme-app") && !text.contains(&password) && !text.contains("SCRAM"), "{text}");
    }
    assert_eq!(events.text.matches("gateway.login.").count(), 3, "{}", events.text);
    world.end().await;
}

#[tokio::test]
async fn wrong_requests_are_told_every_field_and_leave_an_attempt() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let fields = |reply: &Reply, code: &str| -> Vec<String> {
        let problem = reply.problem(code);
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    };
    let wrong =
        create(&world, json!({ "name": "PG", "tenant": "acme", "app": "chat", "mode": "x", "colour": 1 })).await;
    assert_eq!(fields(&wrong, "TEN-0027"), ["name", "app", "mode", "colour"]);
    let wrong = create(&world, json!({ "name": "chat-app", "app": "chat", "only": ["acme", "initech", "a b"] })).await;
    assert_eq!(fields(&wrong, "TEN-0027"), ["only[2]"]);
    let wrong = create(&world, json!({ "name": "chat-app", "app": "chat", "only": ["acme", "initech"] })).await;
    assert_eq!(fields(&wrong, "TEN-0027"), ["only[1]"]);
    let wrong = create(&world, json!({ "name": "acme-app", "tenant": "acme", "expiresAt": "2020-01-01" })).await;
    assert_eq!(fields(&wrong, "TEN-0027"), ["expiresAt"]);
    create(&world, json!({ "name": "acme-app", "tenant": "initech" })).await.problem("TEN-0005");
    create(&world, json!({ "name": "acme-app", "app": "shop" })).await.problem("TEN-0004");
    let keyless = world.post(PATH).json(&json!({ "name": "acme-app", "tenant": "acme" })).send().await;
    keyless.problem("TEN-0020");
    assert_eq!(create(&world, json!({ "name": "acme-app", "tenant": "acme" })).await.status, 201);
    let taken = create(&world, json!({ "name": "acme-app", "tenant": "acme" })).await;
    assert_eq!((taken.status.as_u16(), fields(&taken, "TEN-0053")), (409, vec!["name".to_owned()]));
    world.get(&format!("{PATH}/nobody")).send().await.problem("TEN-0006");
    world.get(&format!("{PATH}/pg_x")).send().await.problem("TEN-0027");
    world.get(&format!("{PATH}?revoked=yes")).send().await.problem("TEN-0027");
    world.get(&format!("{PATH}?tenant=initech")).send().await.problem("TEN-0005");
    let attempts = world.get("audit?category=refusal&action=gateway.login.create&pageSize=200").send().await.json();
    let items = attempts["items"].as_array().unwrap();
    assert_eq!(items.len(), 8, "{attempts}");
    assert_eq!(items[0]["changes"], json!({ "code": "TEN-0053", "fields": ["name"] }));
    world.end().await;
}

/// A token of another environment reaches none of it, and names stay the installation's.
#[tokio::test]
async fn logins_of_another_environment_do_not_exist() {
    let world = World::quiet().await;
    world.draft("acme").await;
    assert_eq!(create(&world, json!({ "name": "acme-app", "tenant": "acme" })).await.status, 201);
    let other = EnvironmentName::parse("elsewhere").unwrap();
    world.deps.store().ensure_environment(&other).await.unwrap();
    let token = format!("Bearer {}", world.token_for(&other).await);
    let here = format!("/v1/environments/{}/{PATH}", world.environment);
    for (method, path) in [
        ("GET", here.clone()),
        ("GET", format!("{here}/acme-app")),
        ("POST", format!("{here}/acme-app:rotate")),
        ("DELETE", format!("{here}/acme-app")),
    ] {
        let ask = world.bare(method, &path).header("authorization", &token).header("if-match", "*").keyed();
        ask.json(&json!({})).send().await.problem("TEN-0037");
        let stranger = world.bare(method, &path).header("if-match", "*").keyed().json(&json!({})).send().await;
        assert_eq!(stranger.status, 401, "{stranger:?}");
    }
    let there = format!("/v1/environments/elsewhere/{PATH}");
    for method in ["GET", "DELETE"] {
        let ask =
            world.bare(method, &format!("{there}/acme-app")).header("authorization", &token).header("if-match", "*");
        ask.send().await.problem("TEN-0006");
    }
    let untouched = world.get(&format!("{PATH}/acme-app")).send().await.json();
    assert_eq!((&untouched["version"], &untouched["status"]), (&json!(1), &json!("active")));
    world.end().await;
}

#[tokio::test]
async fn the_client_speaks_it_and_pages_through_it() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let client = world.client();
    for number in 0..5 {
        let request = GatewayLoginRequest {
            name: format!("svc-{number}"),
            app: Some("chat".into()),
            only: (number == 0).then(|| vec!["acme".into()]),
            ..GatewayLoginRequest::default()
        };
        let made = client.create_login(&request).await.unwrap();
        assert_eq!((made.version, made.value.login.name.as_str()), (Some(1), request.name.as_str()));
        let password = made.value.password.clone().unwrap();
        assert!(!format!("{:?}", made.value).contains(&password));
    }
    let (mut names, mut page_token) = (Vec::new(), None);
    loop {
        let page = PageQuery { page_size: Some(2), page_token };
        let query = LoginQuery { app: Some("chat".into()), page, ..LoginQuery::default() };
        let found = client.logins(&query).await.unwrap();
        assert!(found.items.len() <= 2);
        names.extend(found.items.into_iter().map(|login| login.name));
        page_token = found.next_page_token;
        if page_token.is_none() {
            break;
        }
    }
    assert_eq!(names, ["svc-0", "svc-1", "svc-2", "svc-3", "svc-4"]);
    assert_eq!(client.login("svc-0").await.unwrap().value.only.map(|only| only.len()), Some(1));
    let rotation = GatewayLoginRotation { grace: Some("0s".into()), expires_at: Some("2099-01-01".into()) };
    let rotated = client.rotate_login("svc-0", Expected::Version(1), &rotation).await.unwrap().value;
    assert!(rotated.login.old_password_until.is_none() && rotated.login.expires_at.is_some(), "{rotated:?}");
    assert_eq!(client.revoke_login("svc-0", Expected::Any).await.unwrap().value.status, "revoked");
    assert!(client.rotate_login("svc-0", Expected::Any, &rotation).await.is_err());
    world.end().await;
}

/// An end that somebody gave a password is its end, and a customer's key does not move the end of a login.
#[tokio::test]
async fn a_rotation_gives_no_longer_life() {
    let world = World::quiet().await;
    world.draft("acme").await;
    let body = json!({ "name": "acme's machine", "roles": ["tenant"], "tenant": "acme" });
    let key = world.post("tokens").keyed().json(&body).send().await.json()["text"].as_str().unwrap().to_owned();
    let tonight = world.deps.now().saturating_add(jiff::SignedDuration::from_hours(6)).unwrap().to_string();
    let made = create(&world, json!({ "name": "temp-app", "tenant": "acme", "expiresAt": tonight })).await;
    let end = made.json()["login"]["expiresAt"].clone();
    let rotate = async |bearer: &str, body: Value| {
        let path = format!("/v1/environments/{}/{PATH}/temp-app:rotate", world.environment);
        let ask = world.bare("POST", &path).header("authorization", &format!("Bearer {bearer}")).keyed();
        ask.header("if-match", "*").json(&body).send().await
    };
    let later = rotate(&key, json!({ "expiresAt": "2099-01-01" })).await;
    assert!(later.problem("TEN-0022")["detail"].as_str().unwrap().contains("gateway.login.create"), "{later:?}");
    let same = rotate(&key, json!({})).await.json();
    assert_eq!((&same["login"]["expiresAt"], &same["login"]["oldPasswordUntil"]), (&end, &end), "grace ends with it");
    let soon = world.deps.now().saturating_add(jiff::SignedDuration::from_hours(1)).unwrap().to_string();
    let sooner = rotate(&key, json!({ "expiresAt": soon })).await;
    assert_eq!(sooner.status, 200, "{sooner:?}");
    assert_ne!(sooner.json()["login"]["expiresAt"], end);
    // After its end: the customer cannot wake it, the operator can, and the password before stays what it was.
    let conn = world.deps.store().pool().get().await.unwrap();
    conn.client()
        .batch_execute("UPDATE tenantry.gateway_login SET expires_at = now() - interval '1 minute'")
        .await
        .unwrap();
    conn.release();
    rotate(&key, json!({ "expiresAt": "2099-01-01" })).await.problem("TEN-0022");
    let woken = rotate(&world.token, json!({ "expiresAt": "2099-01-01" })).await.json();
    assert_eq!(woken["login"]["status"], "active");
    assert!(woken["login"].get("oldPasswordUntil").is_none(), "{woken}");
    world.end().await;
}
