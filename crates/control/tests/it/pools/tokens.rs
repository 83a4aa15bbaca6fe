//! Tokens of pools: which tenant they open, and for whom.

use std::path::PathBuf;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tenantry_control::routes::{resolve, token};
use tenantry_control::{Options, Refusal, members};
use tenantry_domain::access::{Claims, Issuer, IssuerFile};
use tenantry_domain::code::Code;
use tenantry_domain::id::UserId;
use tenantry_domain::member::{Email, Identity, RoleName};
use tenantry_domain::pool::Standing;

use super::{Bed, beside};
use crate::world::{World, name, options};

const OURS: &str = "https://securetoken.google.com/demo-tenancy";
const OTHER: &str = "https://securetoken.google.com/other-project";

/// An issuer's key, of which a file tells.
struct Keys {
    pair: Ed25519KeyPair,
    file: PathBuf,
}

impl Keys {
    fn new() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let file = std::env::temp_dir().join(format!("tenantry-pools-{}.json", uuid::Uuid::now_v7()));
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k1" }] });
        std::fs::write(&file, set.to_string()).unwrap();
        Self { pair, file }
    }

    fn token(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "alg": "EdDSA", "typ": "JWT", "kid": "k1" })), part(claims));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes())))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// What the emulator makes: no signature at all.
fn unsigned(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT" })), part(claims))
}

fn claims(world: &World, issuer: &str, pool: &str, subject: &str) -> Value {
    let now = world.deps.now().as_second();
    json!({
        "iss": issuer, "aud": "demo-tenancy", "iat": now, "exp": now + 3600, "sub": subject,
        "firebase": { "tenant": pool, "sign_in_provider": "password" },
    })
}

fn issuers(world: &World, specs: &[Value]) -> Vec<Issuer> {
    let full = |spec: &Value| {
        let mut full = json!({
            "environment": world.environment, "audiences": ["demo-tenancy"], "claim": "firebase.tenant", "names": "pool",
            "membersOnly": true, "types": ["JWT"],
        });
        full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        full
    };
    let file = json!({ "issuers": specs.iter().map(full).collect::<Vec<_>>() });
    Issuer::check(serde_json::from_value::<IssuerFile>(file).unwrap()).unwrap()
}

async fn opened(bed: &Bed, text: &str) -> Result<String, Refusal> {
    let cx = bed.world.cx();
    let named = token::claim(&cx, &bed.deps, text).await?;
    let claims = Claims { token: Some(&named), ..Claims::default() };
    Ok(resolve(&cx, &bed.deps, &claims).await?.tenant.slug.to_string())
}

/// Makes Anna of a pool the owner of its tenant.
async fn join(bed: &Bed, slug: &str, pool: &str) -> UserId {
    let add = members::Add {
        identity: Identity { issuer: OURS.into(), pool: pool.into(), subject: "anna".into() },
        email: Email::parse("anna@example.com").unwrap(),
        name: None,
        role: RoleName::parse("owner").unwrap(),
    };
    members::add(&bed.world.cx(), &bed.deps, &name(slug), None, &add).await.unwrap().user
}

async fn with(issuer: Value, second: Option<Value>) -> (Bed, String, String) {
    let mut bed = Bed::new().await;
    let all: Vec<Value> = std::iter::once(issuer).chain(second).collect();
    bed.restart(Options { issuers: issuers(&bed.world, &all), ..options() }).await;
    let mut ids = Vec::new();
    for slug in ["acme", "globex"] {
        bed.active(slug, "pooled").await;
        ids.push(bed.settled(slug, Standing::Enabled).await.pool.unwrap());
    }
    let globex = ids.pop().unwrap();
    (bed, ids.pop().unwrap(), globex)
}

#[tokio::test]
async fn a_pool_names_its_tenant_beside_its_issuer_alone() {
    let (ours, other) = (Keys::new(), Keys::new());
    let signed =
        |issuer: &str, keys: &Keys| json!({ "issuer": issuer, "keys": { "file": keys.file }, "algorithms": ["EdDSA"] });
    let (bed, acme, globex) = with(signed(OURS, &ours), Some(signed(OTHER, &other))).await;
    join(&bed, "acme", &acme).await;
    join(&bed, "globex", &globex).await;
    let said = |issuer: &str, pool: &str| claims(&bed.world, issuer, pool, "anna");
    assert_eq!(opened(&bed, &ours.token(&said(OURS, &acme))).await.unwrap(), "acme");
    assert_eq!(opened(&bed, &ours.token(&said(OURS, &globex))).await.unwrap(), "globex");
    // Another issuer that is believed may call its pools what it likes.
    for pool in [acme.as_str(), "acme", ""] {
        assert_eq!(
            opened(&bed, &other.token(&said(OTHER, pool))).await.unwrap_err().code(),
            Code::TokenRefused,
            "{pool}"
        );
    }
    // Neither the slug nor the id of a tenant is a pool.
    let id = bed.world.tenant("acme").await.id.to_string();
    for pool in ["acme", id.as_str(), "nobody", &"x".repeat(500)] {
        assert_eq!(
            opened(&bed, &ours.token(&said(OURS, pool))).await.unwrap_err().code(),
            Code::TokenRefused,
            "{pool}"
        );
    }
    // The parameter of a sign-in page selects a pool and nothing else: host and token have to agree.
    let named = token::claim(&bed.world.cx(), &bed.deps, &ours.token(&said(OURS, &acme))).await.unwrap();
    let changed = Claims { token: Some(&named), path: Some("/t/globex/"), ..Claims::default() };
    let refusal = resolve(&bed.world.cx(), &bed.deps, &changed).await.unwrap_err();
    assert_eq!(refusal.code(), Code::TenantMismatch);
    bed.stop().await;
}

#[tokio::test]
async fn a_token_opens_a_tenant_for_its_members() {
    let keys = Keys::new();
    let issuer = json!({
        "issuer": OURS, "keys": { "file": keys.file }, "algorithms": ["EdDSA"],
    });
    let (bed, acme, globex) = with(issuer, None).await;
    let token = |pool: &str, subject: &str| keys.token(&claims(&bed.world, OURS, pool, subject));
    assert_eq!(opened(&bed, &token(&acme, "anna")).await.unwrap_err().code(), Code::TenantNotFound);
    let user = join(&bed, "acme", &acme).await;
    assert_eq!(opened(&bed, &token(&acme, "anna")).await.unwrap(), "acme");
    // The same person is somebody else in another pool, and so is the same address.
    assert_eq!(opened(&bed, &token(&globex, "anna")).await.unwrap_err().code(), Code::TenantNotFound);
    assert_eq!(opened(&bed, &token(&acme, "bob")).await.unwrap_err().code(), Code::TenantNotFound);
    let mut nobody = claims(&bed.world, OURS, &acme, "anna");
    nobody.as_object_mut().unwrap().remove("sub");
    assert_eq!(opened(&bed, &keys.token(&nobody)).await.unwrap_err().code(), Code::TenantNotFound);
    // Same address in the other tenant: another user, with a role of their own.
    let other = join(&bed, "globex", &globex).await;
    assert_ne!(user, other);
    assert_eq!(opened(&bed, &token(&globex, "anna")).await.unwrap(), "globex");
    bed.stop().await;
}

#[tokio::test]
async fn what_nobody_signed_is_believed_beside_the_emulator_alone() {
    let (mut bed, acme, _) = with(json!({ "issuer": OURS, "keys": "emulator" }), None).await;
    join(&bed, "acme", &acme).await;
    let said = claims(&bed.world, OURS, &acme, "anna");
    assert_eq!(opened(&bed, &unsigned(&said)).await.unwrap(), "acme");
    let mut foreign = said.clone();
    foreign["iss"] = json!(OTHER);
    let mut over = said.clone();
    over["exp"] = json!(bed.world.deps.now().as_second() - 120);
    for claims in [foreign, over] {
        assert_eq!(opened(&bed, &unsigned(&claims)).await.unwrap_err().code(), Code::TokenRefused, "{claims}");
    }
    // The same file of issuers in a process that speaks to another project, or to no emulator.
    let issuers = issuers(&bed.world, &[json!({ "issuer": OURS, "keys": "emulator" })]);
    let elsewhere = Some(beside(&bed.fake, "other-project"));
    bed.restart(Options { issuers: issuers.clone(), identity: elsewhere, ..options() }).await;
    assert_eq!(opened(&bed, &unsigned(&said)).await.unwrap_err().code(), Code::TokenRefused);
    bed.pause().await;
    bed.deps = bed.world.twin(Options { issuers, ..options() }).await;
    assert_eq!(opened(&bed, &unsigned(&said)).await.unwrap_err().code(), Code::TokenRefused);
    bed.stop().await;
}
