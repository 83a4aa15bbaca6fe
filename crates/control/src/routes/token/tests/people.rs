//! Tokens that name nobody of the operator. Attacks 7 to 9 and 11 to 13.

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use tenantry_domain::Timestamp;
use tenantry_domain::access::TokenFault::{self, Expired, Malformed, Nobody, Untrusted};
use tenantry_domain::access::{IssuerFile, Operators};

use super::super::fetch::Door;
use super::super::keys::Pace;
use super::super::{People, TokenError};
use super::kit::{Answer, ISSUER, Key, NOW, QUICK, Server, b64, says, set};

const STAFF: &str = "https://staff.example.com";

fn operators(url: &str) -> Vec<Operators> {
    let file: IssuerFile = serde_json::from_value(json!({ "operators": [{
        "issuer": STAFF, "audiences": ["tenantry"], "keys": { "url": url },
        "algorithms": ["RS256", "RS384", "PS256", "ES256", "EdDSA"], "groups": "groups",
        "roles": { "admins": { "roles": ["admin"] } },
    }] }))
    .unwrap();
    Operators::check(file.operators, &[]).unwrap()
}

fn claims() -> Value {
    json!({ "iss": STAFF, "aud": "tenantry", "sub": "4711", "iat": NOW, "exp": NOW + 3600, "groups": ["admins"] })
}

fn with(mut value: Value, field: &str, part: Value) -> Value {
    match part {
        Value::Null => drop(value.as_object_mut().unwrap().remove(field)),
        part => value[field] = part,
    }
    value
}

fn people(server: &Server) -> People {
    People::with(&operators(&server.url()), Door { is_plain: true }, Pace::default())
}

async fn told(people: &People, token: &str) -> Result<String, TokenError> {
    people.verify(token, Timestamp::from_second(NOW).unwrap()).await.map(|person| person.name)
}

#[tokio::test]
async fn a_person_is_named_by_every_kind_of_key_and_by_no_other() {
    for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
        let (key, other) = (Key::new("k1", algorithm), Key::new("k1", algorithm));
        let server = Server::start(Answer::Keys(set(&[&key]))).await;
        let people = people(&server);
        let (head, claims) = (key.head().to_string(), claims().to_string());
        assert_eq!(told(&people, &key.raw(&head, &claims)).await, Ok(format!("{STAFF}#4711")), "{algorithm}");
        assert_eq!(told(&people, &other.raw(&head, &claims)).await, Err(Untrusted.into()), "{algorithm}");
        assert_eq!(server.asked(), 1, "keys that are known are not asked for again");
    }
}

#[tokio::test]
async fn an_algorithm_belongs_to_its_key() {
    let (rsa, ec, ed) = (Key::new("rsa", "RS256"), Key::new("ec", "ES256"), Key::new("ed", "EdDSA"));
    let server = Server::start(Answer::Keys(set(&[&rsa, &ec, &ed]))).await;
    let people = people(&server);
    for name in ["none", "None", "NONE", "", "HS256", "HS512", "rs256", "RS256 ", "RSA1_5"] {
        let head = with(rsa.head(), "alg", json!(name)).to_string();
        let signed = format!("{}.{}", b64(&head), b64(claims().to_string()));
        assert_eq!(told(&people, &format!("{signed}.")).await, Err(Malformed.into()), "{name}: no signature");
        let own = b64(rsa.sign("RS256", &signed));
        assert_eq!(told(&people, &format!("{signed}.{own}")).await, Err(Untrusted.into()), "{name}: own signature");
        let jwk = rsa.jwk();
        for secret in [jwk["n"].as_str().unwrap().to_owned(), jwk.to_string(), set(&[&rsa])] {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
            assert_eq!(told(&people, &format!("{signed}.{}", b64(tag))).await, Err(Untrusted.into()), "{name}: hmac");
        }
    }
    for (key, name) in
        [(&rsa, "RS384"), (&rsa, "PS256"), (&rsa, "ES256"), (&ec, "EdDSA"), (&ed, "ES256"), (&ec, "RS256")]
    {
        let token = key.raw(&with(key.head(), "alg", json!(name)).to_string(), &claims().to_string());
        assert_eq!(told(&people, &token).await, Err(Untrusted.into()), "{} as {name}", key.kid);
    }
}

#[tokio::test]
async fn nothing_in_a_head_leads_anywhere() {
    let (key, evil) = (Key::new("k1", "RS256"), Key::new("evil", "RS256"));
    let server = Server::start(Answer::Keys(set(&[&key]))).await;
    let attacker = Server::start(Answer::Keys(set(&[&evil]))).await;
    let people = people(&server);
    assert!(told(&people, &key.raw(&key.head().to_string(), &claims().to_string())).await.is_ok());
    let link = format!("http://{}/keys", attacker.address);
    for (name, value) in
        [("jku", json!(link)), ("x5u", json!(link)), ("jwk", evil.jwk()), ("x5c", json!([b64("certificate")]))]
    {
        for kid in ["evil", "k1"] {
            let head = with(with(evil.head(), "kid", json!(kid)), name, value.clone()).to_string();
            assert_eq!(told(&people, &evil.raw(&head, &claims().to_string())).await, Err(Untrusted.into()), "{name}");
        }
    }
    let kids = ["../../../../dev/null", "/etc/passwd", "k1' OR '1'='1", "k1\0", "K1", link.as_str(), "file:///keys"];
    for kid in kids {
        let token = key.raw(&with(key.head(), "kid", json!(kid)).to_string(), &claims().to_string());
        assert_eq!(told(&people, &token).await, Err(Untrusted.into()), "{kid}");
    }
    for length in [257, 10 * 1024] {
        let head = with(key.head(), "kid", json!("k".repeat(length))).to_string();
        assert_eq!(told(&people, &key.raw(&head, &claims().to_string())).await, Err(Malformed.into()), "{length}");
    }
    assert_eq!((attacker.asked(), server.asked()), (0, 1), "nobody is asked because of a token");
}

#[tokio::test]
async fn what_is_claimed_is_judged() {
    let key = Key::new("k1", "ES256");
    let server = Server::start(Answer::Keys(set(&[&key]))).await;
    let people = people(&server);
    let head = key.head().to_string();
    let cases: &[(&str, Value, TokenFault)] = &[
        ("iss", json!("https://staff.example.com/"), Untrusted),
        ("iss", json!("https://evil.example"), Untrusted),
        ("aud", json!("other"), Untrusted),
        ("aud", Value::Null, Untrusted),
        ("exp", Value::Null, Expired),
        ("exp", json!(NOW + 3931), Expired),
        ("exp", json!(NOW + 86_400 * 365), Expired),
        ("exp", json!((NOW + 60).to_string()), Expired),
        ("exp", json!(-1), Expired),
        ("exp", json!(NOW - 31), Expired),
        ("nbf", json!(NOW + 31), Expired),
        ("events", json!({}), Untrusted),
        ("sub", Value::Null, Nobody),
        ("sub", json!(["4711"]), Nobody),
        ("client_id", json!("4711"), Nobody),
        ("groups", json!(7), Nobody),
        ("groups", json!({ "admins": true }), Nobody),
        ("groups", json!(["admins", 7]), Nobody),
        ("groups", json!([["admins"]]), Nobody),
    ];
    for (field, value, fault) in cases {
        let token = key.raw(&head, &with(claims(), field, value.clone()).to_string());
        assert_eq!(told(&people, &token).await, Err((*fault).into()), "{field} {value}");
    }
    for kind in [json!("JWT"), json!("id_token"), json!("logout+jwt"), json!("tenantry-context+jwt"), Value::Null] {
        let token = key.raw(&with(key.head(), "typ", kind.clone()).to_string(), &claims().to_string());
        assert_eq!(told(&people, &token).await, Err(Untrusted.into()), "{kind}");
    }
    let tail = &claims().to_string()[1..];
    for doubled in [r#""sub":"1","#, r#""groups":["admins"],"#, r#""x":{"a":1,"a":2},"#, r#""su\u0062":"1","#] {
        assert_eq!(told(&people, &key.raw(&head, &format!("{{{doubled}{tail}"))).await, Err(Malformed.into()));
    }
}

#[tokio::test]
async fn each_door_has_issuers_of_its_own() {
    let key = Key::new("k1", "EdDSA");
    let server = Server::start(Answer::Keys(set(&[&key]))).await;
    let (people, tokens) = (people(&server), server.tokens(Pace::default()));
    let head = key.head().to_string();
    // One provider, one key, two names; and a token of users that claims to be a person's, and the other way round.
    let of_users = with(with(claims(), "iss", json!(ISSUER)), "tid", json!("acme"));
    let of_people = with(claims(), "tid", json!("acme"));
    for audience in ["tenantry", "api"] {
        let user = key.raw(&head, &with(of_users.clone(), "aud", json!(audience)).to_string());
        assert_eq!(told(&people, &user).await, Err(Untrusted.into()), "{audience}");
        let person = key.raw(&head, &with(of_people.clone(), "aud", json!(audience)).to_string());
        assert_eq!(says(&tokens, &person).await, Err(Untrusted.into()), "{audience}");
    }
    assert_eq!(
        says(&tokens, &key.raw(&head, &with(of_users, "aud", json!("api")).to_string())).await,
        Ok("acme".into())
    );
    assert!(told(&people, &key.raw(&head, &of_people.to_string())).await.is_ok(), "what else it claims is of no use");
    let nobody = People::new(&[]);
    assert_eq!(told(&nobody, &key.raw(&head, &claims().to_string())).await, Err(Untrusted.into()));
    assert!(people.is_person(&format!("{STAFF}#4711")) && !people.is_person("olga@example.com"));
}

#[tokio::test]
async fn an_issuer_that_is_away_says_nothing_of_anybody() {
    let (old, new) = (Key::new("k1", "ES256"), Key::new("k2", "ES256"));
    let server = Server::start(Answer::Raw(b"HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n".to_vec())).await;
    let people = People::with(&operators(&server.url()), Door { is_plain: true }, QUICK);
    let token = |key: &Key| key.raw(&key.head().to_string(), &claims().to_string());
    assert_eq!(told(&people, &token(&old)).await, Err(TokenError::Away(STAFF.into())));
    let wait = || tokio::time::sleep(QUICK.between + std::time::Duration::from_millis(50));
    wait().await;
    server.set(Answer::Keys(set(&[&old])));
    assert!(told(&people, &token(&old)).await.is_ok());
    // The issuer changes its key, is away, and comes back.
    server.set(Answer::Raw(b"HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n".to_vec()));
    wait().await;
    assert_eq!(told(&people, &token(&new)).await, Err(Untrusted.into()));
    assert!(told(&people, &token(&old)).await.is_ok(), "what was known holds");
    server.set(Answer::Keys(set(&[&new])));
    wait().await;
    assert!(told(&people, &token(&new)).await.is_ok());
    assert_eq!(told(&people, &token(&old)).await, Err(Untrusted.into()), "the old key is gone");
}
