//! Tenants that are named by access tokens, verified here.

use std::path::PathBuf;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tenantry_domain::access::{Issuer, IssuerFile};

use crate::world::{Ask, Reply, World, manifest};

const ISSUER: &str = "https://login.example.com/";
const ELSEWHERE: &str = "https://test.example.com/";

/// An identity provider with one key, of which a file tells.
struct Login {
    pair: Ed25519KeyPair,
    keys: PathBuf,
}

impl Login {
    fn new() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let name = format!("tenantry-login-{}.json", uuid::Uuid::new_v4());
        let keys = std::env::temp_dir().join(name);
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k1" }] });
        std::fs::write(&keys, set.to_string()).unwrap();
        Self { pair, keys }
    }

    /// Configured for the world's environment, and under another name for another one.
    fn issuers(&self, environment: &str) -> Vec<Issuer> {
        let one = |name: &str, environment: &str| {
            json!({
                "issuer": name, "environment": environment, "audiences": ["api"], "algorithms": ["EdDSA"],
                "claim": "firebase.tenant", "keys": { "file": self.keys },
            })
        };
        let file = json!({ "issuers": [one(ISSUER, environment), one(ELSEWHERE, "elsewhere")] });
        Issuer::check(serde_json::from_value::<IssuerFile>(file).unwrap()).unwrap()
    }

    fn claims(tenant: &str) -> Value {
        let now = jiff::Timestamp::now().as_second();
        json!({ "iss": ISSUER, "aud": "api", "iat": now, "exp": now + 300, "firebase": { "tenant": tenant } })
    }

    fn sign(&self, claims: &Value) -> String {
        let head = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "k1" });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&head), part(claims));
        format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes())))
    }

    fn bearer(&self, tenant: &str) -> String {
        self.sign(&Self::claims(tenant))
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.keys);
    }
}

async fn open(world: &World, slug: &str) -> String {
    let mut wanted = manifest(slug);
    wanted["spec"]["state"] = json!("active");
    wanted["spec"]["plan"] = json!("starter");
    let made = world.post("tenants?wait=30s").keyed().json(&wanted).send().await;
    assert_eq!(made.status, 200, "{made:?}");
    made.json()["status"]["id"].as_str().unwrap().to_owned()
}

fn ask<'w>(world: &'w World, proxy: &str, host: &str, uri: &str) -> Ask<'w> {
    match proxy {
        "traefik" => world.get("forward-auth/traefik").header("x-forwarded-host", host).header("x-forwarded-uri", uri),
        "envoy" => world.get(&format!("forward-auth/envoy{uri}")).header("host", host),
        other => {
            let path = format!("forward-auth/{other}");
            world.get(&path).header("x-original-host", host).header("x-original-uri", uri)
        }
    }
}

/// A refusal: its status and code, no tenant, and no word on what would be right.
#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status.as_u16(), reply.header("x-tenant-error")), (status, code), "{reply:?}");
    assert_eq!((reply.header("x-tenant-id"), reply.header("tenantry-context")), ("", ""), "{reply:?}");
    assert!(!reply.text.contains("login.example.com") && !reply.text.contains("EdDSA"), "{reply:?}");
}

#[tokio::test]
async fn an_access_token_names_its_tenant_and_no_other() {
    let login = Login::new();
    let world = World::running_believing(|environment| login.issuers(environment.as_str())).await;
    let acme = open(&world, "acme").await;
    open(&world, "globex").await;
    const HEADER: &str = "x-original-authorization";
    for proxy in ["nginx", "haproxy", "traefik", "envoy"] {
        // On a domain that all share, and beside a host and a path that agree.
        for (host, uri) in [("app.example.com", "/"), ("acme.app.example.com", "/"), ("app.example.com", "/t/acme/x")] {
            for named in ["acme", acme.as_str()] {
                let good = ask(&world, proxy, host, uri).header(HEADER, &login.bearer(named)).send().await;
                assert_eq!(
                    (good.status.as_u16(), good.header("x-tenant-id")),
                    (200, acme.as_str()),
                    "{proxy} {good:?}"
                );
            }
        }
        let bad = if proxy == "nginx" { 403 } else { 400 };
        for (host, uri) in [("globex.app.example.com", "/"), ("app.example.com", "/t/globex/x")] {
            let foreign = ask(&world, proxy, host, uri).header(HEADER, &login.bearer("acme")).send().await;
            refused(&foreign, bad, "TEN-0043");
        }
        let said = ask(&world, proxy, "app.example.com", "/").header(HEADER, &login.bearer("acme"));
        refused(&said.header("x-tenant-id", "globex").send().await, bad, "TEN-0043");
        let unknown = ask(&world, proxy, "app.example.com", "/").header(HEADER, &login.bearer("initech")).send().await;
        refused(&unknown, if proxy == "nginx" { 403 } else { 404 }, "TEN-0005");

        // A token that is there is judged, also where the host alone would do.
        let mut elsewhere = Login::claims("acme");
        elsewhere["iss"] = json!(ELSEWHERE);
        let mut audience = Login::claims("acme");
        audience["aud"] = json!("web");
        let mut late = Login::claims("acme");
        late["exp"] = json!(late["iat"].as_i64().unwrap() - 31);
        let other = Login::new().bearer("acme");
        let [elsewhere, audience, late] = [elsewhere, audience, late].map(|claims| login.sign(&claims));
        for (what, token) in [
            ("of another environment", elsewhere.as_str()),
            ("for another audience", &audience),
            ("over", &late),
            ("of another key", &other),
            ("none", "Bearer"),
            ("opaque", "Bearer 0123456789abcdef"),
        ] {
            let reply = ask(&world, proxy, "acme.app.example.com", "/").header(HEADER, token).send().await;
            eprintln!("{proxy}: a token {what}: {}", reply.status);
            refused(&reply, 401, "TEN-0051");
        }
        let twice = ask(&world, proxy, "acme.app.example.com", "/").header(HEADER, &login.bearer("acme"));
        refused(&twice.header(HEADER, &login.bearer("globex")).send().await, bad, "TEN-0042");
        let none = ask(&world, proxy, "acme.app.example.com", "/").header(HEADER, "Basic YTpi").send().await;
        assert_eq!(none.header("x-tenant-slug"), "acme", "no access token, and the host names it: {none:?}");
        let nobody = ask(&world, proxy, "app.example.com", "/").send().await;
        assert_eq!(nobody.header("x-tenant-error"), "TEN-0044");
    }
    world.end().await;
}

#[tokio::test]
async fn resolve_verifies_a_token_that_is_handed_on() {
    let login = Login::new();
    let world = World::running_believing(|environment| login.issuers(environment.as_str())).await;
    let acme = open(&world, "acme").await;
    open(&world, "globex").await;
    const HEADER: &str = "X-Original-Authorization";
    let found = world.get("resolve").header(HEADER, &login.bearer("acme")).send().await.json();
    assert_eq!((&found["tenant"], &found["sources"]), (&json!(acme), &json!(["token"])), "{found}");
    let both = world.get("resolve?host=acme.app.example.com").header(HEADER, &login.bearer("acme")).send().await.json();
    assert_eq!(both["sources"], json!(["host", "token"]), "{both}");
    let differ = world.get("resolve?host=globex.app.example.com").header(HEADER, &login.bearer("acme")).send().await;
    differ.problem("TEN-0043");
    let claimed = world.get("resolve?claim=globex").header(HEADER, &login.bearer("acme")).send().await;
    claimed.problem("TEN-0027");
    let mut late = Login::claims("acme");
    late["exp"] = json!(1);
    let problem = world.get("resolve").header(HEADER, &login.sign(&late)).send().await.problem("TEN-0051");
    assert_eq!(
        (&problem["status"], &problem["detail"]),
        (&json!(401), &json!("the access token is not valid: expired"))
    );
    std::fs::remove_file(&login.keys).unwrap();
    assert_eq!(world.get("resolve").header(HEADER, &login.bearer("acme")).send().await.status, 200, "keys are known");
    world.end().await;
}

#[tokio::test]
async fn keys_that_cannot_be_read_are_an_outage_and_no_verdict() {
    let login = Login::new();
    let world = World::running_believing(|environment| login.issuers(environment.as_str())).await;
    std::fs::remove_file(&login.keys).unwrap();
    let reply =
        ask(&world, "haproxy", "app.example.com", "/").header("x-original-authorization", &login.bearer("acme"));
    let reply = reply.send().await;
    assert_eq!((reply.status.as_u16(), reply.header("x-tenant-error")), (503, "TEN-0052"), "{reply:?}");
    assert_ne!(reply.header("retry-after"), "");
    world.end().await;
}
