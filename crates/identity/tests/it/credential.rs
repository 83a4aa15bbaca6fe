//! A service account: its assertion is signed and names the endpoint, its tokens are fetched once and replaced in time.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::SecretString;
use serde_json::{Value, json};
use tenantry_identity::{Access, IdentityError, Options, Provider, ServiceAccount};

use crate::provider::{Fake, Mood, bounds};

/// A client with a service account of its own, and the public half of its key.
fn client(fake: &Fake) -> (Provider, Vec<u8>) {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let der = STANDARD.encode(der.as_ref());
    let lines: Vec<&str> = der.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    let key = json!({
        "type": "service_account", "client_email": "pools@acme.iam.example", "private_key_id": "k1", "private_key": pem,
        "token_uri": format!("http://{}/token", fake.address), "project_id": "acme-prod",
    });
    let account = ServiceAccount::parse(&SecretString::from(key.to_string())).unwrap();
    assert!(!format!("{account:?}").contains("PRIVATE"));
    let options = Options::new("acme-prod".parse().unwrap(), Access::Account(account));
    let endpoint = format!("http://{}", fake.address).parse().unwrap();
    let options = Options { bounds: bounds(), endpoint: Some(endpoint), ..options };
    (Provider::new(options).unwrap(), pair.public_key().as_ref().to_vec())
}

#[tokio::test]
async fn an_assertion_is_signed_for_the_token_endpoint() {
    let fake = Fake::start().await;
    let (client, public) = client(&fake);
    assert!(!client.is_emulator());
    assert_eq!(client.issuer(), "https://securetoken.google.com/acme-prod");
    client.pools_named("tmine").await.unwrap();
    let form = fake.kept.lock().unwrap().assertions[0].clone();
    let assertion = form.strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=");
    let parts: Vec<&str> = assertion.unwrap().split('.').collect();
    let read = |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    assert_eq!(read(parts[0]), json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
    let claims = read(parts[1]);
    assert_eq!(claims["iss"], "pools@acme.iam.example");
    assert_eq!(claims["aud"], format!("http://{}/token", fake.address));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
    let signed = format!("{}.{}", parts[0], parts[1]);
    let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
    key.verify(signed.as_bytes(), &signature).unwrap();
}

#[tokio::test]
async fn many_callers_fetch_one_token() {
    let fake = Fake::start().await;
    let (client, _) = client(&fake);
    let asked = (0..20).map(|_| client.pools_named("tmine"));
    for done in futures_join(asked).await {
        done.unwrap();
    }
    let kept = fake.kept.lock().unwrap();
    assert_eq!(kept.tokens, 1);
    assert_eq!(kept.bearers.iter().filter(|bearer| *bearer == "Bearer token-1").count(), 20);
}

async fn futures_join<T: Send>(all: impl Iterator<Item = impl Future<Output = T> + Send>) -> Vec<T> {
    let mut done = Vec::new();
    let mut all: Vec<_> = all.map(Box::pin).collect();
    // All are begun before one is waited for.
    std::future::poll_fn(|cx| {
        all.retain_mut(|one| match one.as_mut().poll(cx) {
            std::task::Poll::Ready(value) => {
                done.push(value);
                false
            }
            std::task::Poll::Pending => true,
        });
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test]
async fn a_token_is_replaced_before_its_end() {
    let fake = Fake::start().await;
    let (client, _) = client(&fake);
    // Within the five minutes by which a token is replaced early.
    fake.kept.lock().unwrap().life = 299;
    client.pools_named("tmine").await.unwrap();
    client.pools_named("tmine").await.unwrap();
    assert_eq!(fake.kept.lock().unwrap().tokens, 2);
    fake.kept.lock().unwrap().life = 3600;
    client.pools_named("tmine").await.unwrap();
    client.pools_named("tmine").await.unwrap();
    assert_eq!(fake.kept.lock().unwrap().tokens, 3);
}

#[tokio::test]
async fn a_token_that_was_taken_back_is_replaced_once() {
    let fake = Fake::start().await;
    let (client, _) = client(&fake);
    client.pools_named("tmine").await.unwrap();
    fake.mood(Mood::Status(401, json!({ "error": { "status": "UNAUTHENTICATED" } })));
    client.pools_named("tmine").await.unwrap();
    assert_eq!(fake.kept.lock().unwrap().tokens, 2);
    // The call, the token endpoint, the call again.
    fake.mood(Mood::Status(401, json!({ "error": { "status": "UNAUTHENTICATED" } })));
    fake.mood(Mood::Status(200, json!({ "access_token": "token-x", "expires_in": 3600 })));
    fake.mood(Mood::Status(401, json!({ "error": { "status": "UNAUTHENTICATED" } })));
    let error = client.pools_named("tmine").await.unwrap_err();
    assert!(matches!(&error, IdentityError::Credential { word } if word == "UNAUTHENTICATED"), "{error:?}");
}

#[tokio::test]
async fn an_account_that_is_not_known_any_more_is_told() {
    let fake = Fake::start().await;
    let (client, _) = client(&fake);
    fake.mood(Mood::Status(400, json!({ "error": "invalid_grant", "error_description": "no such account" })));
    let error = client.pools_named("tmine").await.unwrap_err();
    assert!(matches!(&error, IdentityError::Credential { word } if word == "INVALID_GRANT"), "{error:?}");
}
