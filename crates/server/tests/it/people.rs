//! People of the operator by tokens of an identity provider: who they are, what their groups give, who gets nowhere.

use std::path::PathBuf;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tenantry_domain::access::{Issuer, IssuerFile, Operators};
use tenantry_domain::name::EnvironmentName;

use crate::world::{Reply, World, manifest};

const ISSUER: &str = "https://staff.example.com";
const USERS: &str = "https://login.example.com";

/// An identity provider with one key, of which a file tells.
struct Provider {
    pair: Ed25519KeyPair,
    keys: PathBuf,
}

impl Provider {
    fn new() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let keys = std::env::temp_dir().join(format!("tenantry-staff-{}.json", uuid::Uuid::new_v4()));
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k1" }] });
        std::fs::write(&keys, set.to_string()).unwrap();
        Self { pair, keys }
    }

    fn operators(&self, environment: &str) -> Vec<Operators> {
        let file: IssuerFile = serde_json::from_value(json!({ "operators": [{
            "issuer": ISSUER, "audiences": ["tenantry"], "keys": { "file": self.keys }, "algorithms": ["EdDSA"],
            "groups": "realm_access.roles",
            "roles": {
                "admins": { "roles": ["admin"] },
                "auditors": { "roles": ["auditor"] },
                "here": { "roles": ["operator"], "environments": [environment] },
                "books": { "roles": ["finance"], "environments": ["aaa"] },
                "elsewhere": { "roles": ["admin"], "environments": ["elsewhere", "nowhere"] },
            },
            "client": { "id": "tenantry-cli", "resource": "https://tenantry.example.com" },
        }] }))
        .unwrap();
        Operators::check(file.operators, &[]).unwrap()
    }

    /// The same provider, as one of tenants' users under another name.
    fn issuers(&self, environment: &str) -> Vec<Issuer> {
        let file = json!({ "issuers": [{
            "issuer": USERS, "environment": environment, "audiences": ["tenantry"], "algorithms": ["EdDSA"],
            "claim": "tid", "keys": { "file": self.keys },
        }] });
        Issuer::check(serde_json::from_value::<IssuerFile>(file).unwrap()).unwrap()
    }

    fn raw(&self, head: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes())))
    }

    fn sign(&self, claims: &Value) -> String {
        self.raw(&head().to_string(), &claims.to_string())
    }

    fn token(&self, subject: &str, groups: &[&str]) -> String {
        self.sign(&claims(subject, groups))
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.keys);
    }
}

fn head() -> Value {
    json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "k1" })
}

fn claims(subject: &str, groups: &[&str]) -> Value {
    let now = jiff::Timestamp::now().as_second();
    json!({
        "iss": ISSUER, "aud": "tenantry", "sub": subject, "iat": now, "exp": now + 600, "jti": uuid::Uuid::new_v4(),
        "email": format!("{subject}@example.com"), "realm_access": { "roles": groups },
    })
}

fn with(mut value: Value, field: &str, part: Value) -> Value {
    match part {
        Value::Null => drop(value.as_object_mut().unwrap().remove(field)),
        part => value[field] = part,
    }
    value
}

async fn world(provider: &Provider) -> World {
    World::staffed(|here| provider.issuers(here.as_str()), |here| provider.operators(here.as_str())).await
}

async fn ask(world: &World, method: &str, path: &str, token: &str, body: Option<&Value>) -> Reply {
    let path = match path.starts_with("/v1/") {
        true => path.to_owned(),
        false => format!("/v1/environments/{}/{path}", world.environment),
    };
    let ask = world.bare(method, &path).header("authorization", &format!("Bearer {token}"));
    match body {
        Some(body) => ask.keyed().json(body).send().await,
        None => ask.send().await,
    }
}

async fn get(world: &World, path: &str, token: &str) -> Reply {
    ask(world, "GET", path, token, None).await
}

async fn whoami(world: &World, token: &str) -> Value {
    let reply = get(world, "/v1/whoami", token).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

#[tokio::test]
async fn a_person_is_let_in_by_its_groups_and_stands_in_the_audit_by_its_id() {
    let provider = Provider::new();
    let world = world(&provider).await;
    let olga = provider.token("olga", &["admins", "unknown"]);
    let known = whoami(&world, &olga).await;
    assert_eq!((&known["person"], &known["display"]), (&json!(format!("{ISSUER}#olga")), &json!("olga@example.com")));
    assert_eq!((&known["roles"], &known["environments"]), (&json!(["admin"]), &Value::Null), "{known}");
    let actor = known["actor"].as_str().unwrap().to_owned();
    assert!(actor.starts_with("operator:per_") && actor.len() == 39, "{actor}");
    assert!(known["expiresAt"].is_string());

    let made = ask(&world, "POST", "tenants", &olga, Some(&manifest("acme"))).await;
    assert_eq!(made.status, 202, "{made:?}");
    let audit = world.get("audit?pageSize=200").send().await;
    assert!(audit.text.contains(actor.split(':').nth(1).unwrap()), "{}", audit.text);
    assert!(!audit.text.contains("olga"), "neither subject nor address is written down");
    // Another token, another address, the same person.
    let again =
        whoami(&world, &provider.sign(&with(claims("olga", &["auditors"]), "email", json!("x@example.com")))).await;
    assert_eq!((&again["actor"], &again["roles"]), (&json!(actor), &json!(["auditor"])));
    // The same address, another person.
    let petra = provider.sign(&with(claims("petra", &["admins"]), "email", json!("olga@example.com")));
    assert_ne!(whoami(&world, &petra).await["actor"], json!(actor));
    // Whoever reads only, reads only.
    let auditor = provider.token("rita", &["auditors"]);
    assert_eq!(get(&world, "tenants/acme", &auditor).await.status, 200);
    ask(&world, "POST", "tenants/acme:suspend", &auditor, Some(&json!({ "reason": "commercial" })))
        .await
        .problem("TEN-0022");
    // What tokens of ours are told of themselves.
    let own = world.bare("GET", "/v1/whoami").bearer().send().await.json();
    assert_eq!((&own["person"], &own["display"], &own["expiresAt"]), (&Value::Null, &json!("tests"), &Value::Null));
    world.end().await;
}

#[tokio::test]
async fn a_customers_key_may_ask_who_it_is() {
    let provider = Provider::new();
    let world = world(&provider).await;
    world.draft("acme").await;
    let body = json!({ "name": "machine", "roles": ["tenant"], "tenant": "acme", "scopes": ["tenant.read"], "expiresIn": "30d" });
    let made = world.post("tokens").keyed().json(&body).send().await.json();
    let known = whoami(&world, made["text"].as_str().unwrap()).await;
    assert_eq!((&known["roles"], &known["scopes"]), (&json!(["tenant"]), &json!(["tenant.read"])), "{known}");
    assert_eq!(known["environments"], json!([world.environment.as_str()]));
    assert!(known["tenant"].as_str().unwrap().starts_with("ten_") && known["expiresAt"].is_string());
    world.end().await;
}

#[tokio::test]
async fn whoever_has_no_group_has_no_right_and_is_told() {
    let provider = Provider::new();
    let world = world(&provider).await;
    for groups in [&[][..], &["admin"], &["ADMINS"], &["operators", "users"]] {
        let nobody = provider.token("nobody", groups);
        assert_eq!(whoami(&world, &nobody).await["roles"], json!([]), "{groups:?}");
        for path in ["tenants", "audit", "tokens", "/metrics", "/v1/context-keys"] {
            let reply = match path.starts_with("/m") {
                true => world.bare("GET", path).header("authorization", &format!("Bearer {nobody}")).send().await,
                false => get(&world, path, &nobody).await,
            };
            let problem = reply.problem("TEN-0081");
            assert!(problem["detail"].as_str().unwrap().contains(&format!("{ISSUER}#nobody")), "{problem}");
            assert_eq!(reply.status, 403);
        }
    }
    let none = provider.sign(&with(claims("nobody", &[]), "realm_access", Value::Null));
    get(&world, "tenants", &none).await.problem("TEN-0081");
    world.end().await;
}

#[tokio::test]
async fn roles_of_one_environment_are_none_of_another() {
    let provider = Provider::new();
    let world = world(&provider).await;
    let (here, elsewhere) = (provider.token("h", &["here"]), provider.token("e", &["elsewhere"]));
    assert_eq!(get(&world, "tenants", &here).await.status, 200);
    let known = whoami(&world, &here).await;
    assert_eq!(known["environments"], json!([world.environment.as_str()]));
    assert_eq!(known["rolesByEnvironment"][world.environment.as_str()], json!(["operator"]));
    // As for whatever is not there.
    let hidden = get(&world, "tenants", &elsewhere).await;
    let missing = get(&world, "/v1/environments/nothing/tenants", &here).await;
    assert_eq!(hidden.problem("TEN-0037")["status"], missing.problem("TEN-0037")["status"]);
    ask(&world, "POST", "tenants", &elsewhere, Some(&manifest("acme"))).await.problem("TEN-0037");
    // What has no environment in its path is looked for where one reaches.
    let made = ask(&world, "POST", "tenants", &here, Some(&manifest("acme"))).await;
    let operation = made.header("operation-id").to_owned();
    if !operation.is_empty() {
        assert_eq!(get(&world, &format!("/v1/operations/{operation}"), &here).await.status, 200);
        get(&world, &format!("/v1/operations/{operation}"), &elsewhere).await.problem("TEN-0033");
    }
    // Rights of single environments are none of the installation.
    assert_eq!(get(&world, "/v1/context-keys", &here).await.status, 403);
    world.end().await;
}

#[tokio::test]
async fn an_environment_that_one_may_not_look_into_ends_no_search() {
    let provider = Provider::new();
    let world = world(&provider).await;
    world.draft("acme").await;
    // Looked into first, and by `finance`, which reads no operations.
    world.deps.store().ensure_environment(&EnvironmentName::parse("aaa").unwrap()).await.unwrap();
    let operation = world.get("operations").send().await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/operations/{operation}");
    let (both, books) = (provider.token("b", &["here", "books"]), provider.token("c", &["books"]));
    let found = get(&world, &path, &both).await;
    assert_eq!((found.status.as_u16(), &found.json()["id"]), (200, &json!(operation)), "{found:?}");
    let denied = get(&world, &path, &books).await;
    assert_eq!(denied.status, 403, "{denied:?}");
    world.end().await;
}

/// Attacks 7, 8, 11, 12 and 13 at the door; where they could lead is looked at where tokens are verified.
#[tokio::test]
async fn what_is_not_believed_gets_one_answer() {
    let provider = Provider::new();
    let world = world(&provider).await;
    let body = |reply: &Reply| {
        let mut problem = reply.problem("TEN-0021");
        assert_eq!(reply.status, 401);
        problem.as_object_mut().unwrap().remove("correlationId");
        problem.to_string()
    };
    let unknown = tenantry_control::tokens::mint_text().unwrap();
    let one = body(&get(&world, "tenants", secrecy::ExposeSecret::expose_secret(&unknown)).await);
    let good = claims("olga", &["admins"]);
    assert_eq!(get(&world, "tenants", &provider.sign(&good)).await.status, 200);
    let now = jiff::Timestamp::now().as_second();
    let mut tokens: Vec<(String, String)> = Vec::new();
    for (field, value) in [
        ("iss", json!("https://staff.example.com/")),
        ("iss", json!(USERS)),
        ("aud", json!("other")),
        ("aud", Value::Null),
        ("exp", Value::Null),
        ("exp", json!(now - 60)),
        ("exp", json!(now + 86_400)),
        ("exp", json!((now + 60).to_string())),
        ("exp", json!(-1)),
        ("nbf", json!(now + 120)),
        ("sub", Value::Null),
        ("sub", json!(7)),
        ("client_id", json!("olga")),
        ("realm_access", json!({ "roles": 7 })),
        ("realm_access", json!({ "roles": { "admins": true } })),
        ("realm_access", json!({ "roles": ["admins", 7] })),
        ("events", json!({})),
    ] {
        tokens.push((format!("{field} {value}"), provider.sign(&with(good.clone(), field, value))));
    }
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("")),
        ("alg", json!("RS256")),
        ("kid", json!("../../etc/passwd")),
        ("kid", json!("k1' OR '1'='1")),
        ("kid", json!("k".repeat(3000))),
        ("typ", json!("JWT")),
        ("typ", json!("logout+jwt")),
        ("crit", json!(["exp"])),
    ] {
        tokens
            .push((format!("{name} {value}"), provider.raw(&with(head(), name, value).to_string(), &good.to_string())));
    }
    // The public key as a shared secret.
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(with(head(), "alg", json!("HS256")).to_string()),
        URL_SAFE_NO_PAD.encode(good.to_string())
    );
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, provider.pair.public_key().as_ref()), signed.as_bytes());
    tokens.push(("hmac".into(), format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))));
    tokens.push(("another key".into(), Provider::new().sign(&good)));
    tokens.push((
        "doubled".into(),
        provider.raw(&head().to_string(), &format!("{{\"sub\":\"x\",{}", &good.to_string()[1..])),
    ));
    tokens.push(("no signature".into(), format!("{signed}.")));
    tokens.push(("no parts".into(), "..".into()));
    // A token of a tenant's user, by the same key, that says who it would like to be.
    let user = with(with(good.clone(), "iss", json!(USERS)), "tid", json!("acme"));
    tokens.push(("a user's".into(), provider.sign(&user)));
    let before = world.rows().await;
    for (what, token) in &tokens {
        for path in ["tenants", "tenants/acme", "/v1/whoami", "/v1/nothing"] {
            assert_eq!(body(&get(&world, path, token).await), one, "{what} {path}");
        }
    }
    assert_eq!(world.rows().await, before, "nothing was written");
    // Longer than any token is.
    let long = provider.sign(&with(good.clone(), "x", json!("y".repeat(9000))));
    assert_eq!(get(&world, "tenants", &long).await.status, 401);
    // A person's token names no tenant, whatever it claims.
    let person = provider.sign(&with(good, "tid", json!("acme")));
    let named = world.get("resolve").header("x-original-authorization", &format!("Bearer {person}")).send().await;
    named.problem("TEN-0051");
    world.end().await;
}

#[tokio::test]
async fn an_issuer_that_is_away_lets_nobody_in_and_our_own_tokens_go_on() {
    let provider = Provider::new();
    let world = world(&provider).await;
    std::fs::remove_file(&provider.keys).unwrap();
    let reply = get(&world, "tenants", &provider.token("olga", &["admins"])).await;
    reply.problem("TEN-0052");
    assert_eq!(reply.status, 503);
    assert_ne!(reply.header("retry-after"), "");
    assert_eq!(world.get("tenants").send().await.status, 200);
    world.end().await;
}

/// Attack 59, by people who sign in.
#[tokio::test]
async fn two_people_are_two_subjects() {
    let provider = Provider::new();
    let world = world(&provider).await;
    world.draft("acme").await;
    let (olga, petra) = (provider.token("olga", &["admins"]), provider.token("petra", &["admins"]));
    let request = async |token: &str| {
        let body = json!({ "reason": "Invoice 4711 shows a wrong total", "ticket": "SUP-815", "minutes": 30 });
        let reply = ask(&world, "POST", "tenants/acme/access-requests", token, Some(&body)).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        assert_eq!(reply.json()["person"], json!(format!("{ISSUER}#olga")), "{reply:?}");
        reply.json()["id"].as_str().unwrap().to_owned()
    };
    let verb = async |id: &str, verb: &str, token: &str| {
        ask(&world, "POST", &format!("access-requests/{id}:{verb}"), token, Some(&json!({}))).await
    };
    let id = request(&olga).await;
    // Another token, another address: the same person.
    let other = provider.sign(&with(claims("olga", &["admins"]), "email", json!("petra@example.com")));
    let problem = verb(&id, "approve", &other).await.problem("TEN-0022");
    assert!(problem.to_string().contains("whoever asks"), "{problem}");
    // A token of ours that she made for somebody, and one that somebody made in the name of another who signs in.
    let make = async |maker: &str, person: &str| {
        let body = json!({ "name": person, "kind": "operator", "person": person, "roles": ["admin"] });
        ask(&world, "POST", "tokens", maker, Some(&body)).await.json()["text"].as_str().unwrap().to_owned()
    };
    let made = make(&olga, "paula").await;
    let problem = verb(&id, "approve", &made).await.problem("TEN-0022");
    assert!(problem.to_string().contains("made or rotated"), "{problem}");
    let forged = make(&world.token, &format!("{ISSUER}#petra")).await;
    assert_eq!(whoami(&world, &forged).await["person"], Value::Null, "the name is the issuer's to give");
    let problem = verb(&id, "approve", &forged).await.problem("TEN-0022");
    assert!(problem.to_string().contains("names no person"), "{problem}");
    // Tokens that she made for two are hers both, and whoever has a token could be her as well: nobody can tell.
    let (anna, ben) = (make(&olga, "anna").await, make(&olga, "ben").await);
    let old = make(&world.token, "olga").await;
    let wish = json!({ "reason": "Invoice 4711 shows a wrong total", "minutes": 30 });
    let hers = ask(&world, "POST", "tenants/acme/access-requests", &anna, Some(&wish)).await.json();
    for second in [&ben, &old] {
        let problem = verb(hers["id"].as_str().unwrap(), "approve", second).await.problem("TEN-0022");
        assert!(problem["detail"].as_str().unwrap().contains("access-two-people"), "{problem}");
    }
    let theirs = make(&petra, "carl").await;
    assert_eq!(verb(hers["id"].as_str().unwrap(), "approve", &theirs).await.status, 200, "two people made these");
    // Whose subject differs by the case of a letter is somebody else, and does not open what was granted to her.
    assert_eq!(verb(&id, "approve", &petra).await.status, 200);
    verb(&id, "open", &provider.token("OLGA", &["admins"])).await.problem("TEN-0022");
    let stolen = make(&world.token, &format!("{ISSUER}#olga")).await;
    verb(&id, "open", &stolen).await.problem("TEN-0022");
    let opened = verb(&id, "open", &olga).await;
    assert_eq!(opened.status, 200, "{opened:?}");
    world.end().await;
}

#[tokio::test]
async fn a_repetition_is_the_same_persons_whatever_the_token() {
    let provider = Provider::new();
    let world = world(&provider).await;
    let create = async |token: &str| {
        let path = format!("/v1/environments/{}/tenants", world.environment);
        let ask = world.bare("POST", &path).header("authorization", &format!("Bearer {token}"));
        ask.header("idempotency-key", "0123456789abcdef").json(&manifest("acme")).send().await
    };
    let first = create(&provider.token("olga", &["admins"])).await;
    let second = create(&provider.token("olga", &["admins"])).await;
    assert_eq!((first.status, second.status), (202.try_into().unwrap(), 202.try_into().unwrap()), "{second:?}");
    assert_eq!(first.json()["status"]["id"], second.json()["status"]["id"]);
    create(&provider.token("petra", &["admins"])).await.problem("TEN-0007");
    world.end().await;
}

#[tokio::test]
async fn where_people_sign_in_is_open_and_holds_no_secret() {
    let provider = Provider::new();
    let world = world(&provider).await;
    let reply = world.bare("GET", "/v1/sign-in").send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let expected = json!({ "issuers": [{
        "issuer": ISSUER, "discovery": format!("{ISSUER}/.well-known/openid-configuration"), "clientId": "tenantry-cli",
        "scopes": ["openid", "offline_access"], "resource": "https://tenantry.example.com",
    }] });
    assert_eq!(reply.json(), expected);
    assert_eq!(world.bare("GET", "/v1/sign-in").header("authorization", "Bearer x").send().await.status, 200);
    assert_eq!(world.bare("GET", "/v1/whoami").send().await.status, 401);
    let client = tenantry_api::Client::sign_in(&world.url).await.unwrap();
    assert_eq!(client.issuers.len(), 1);
    assert_eq!(world.client().whoami().await.unwrap().roles, ["admin"]);
    world.end().await;
}
