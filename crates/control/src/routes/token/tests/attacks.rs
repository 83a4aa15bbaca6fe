//! Tokens that must not be believed.

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use tenantry_domain::Timestamp;
use tenantry_domain::access::TokenFault::{Expired, Malformed, Tenantless, Untrusted};
use tenantry_domain::name::EnvironmentName;

use super::super::fetch::Door;
use super::super::keys::Pace;
use super::super::{TokenError, Tokens};
use super::kit::{Answer, ISSUER, Key, NOW, Server, b64, claims, issuer, prod, says, set};

fn with(mut value: Value, field: &str, part: Value) -> Value {
    value[field] = part;
    value
}

#[tokio::test]
async fn a_good_token_of_every_kind_names_its_tenant_and_a_changed_one_does_not() {
    for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
        let key = Key::new("k1", algorithm);
        let server = Server::start(Answer::Keys(set(&[&key]))).await;
        let tokens = server.tokens(Pace::default());
        let good = key.token();
        assert_eq!(says(&tokens, &good).await, Ok("acme".into()), "{algorithm}");
        let other = Key::new("k1", algorithm);
        assert_eq!(says(&tokens, &other.token()).await, Err(Untrusted.into()), "{algorithm}: of another key");
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let claims = b64(with(claims(), "tid", json!("globex")).to_string());
        let forged = format!("{}.{claims}.{signature}", signed.split('.').next().unwrap());
        assert_eq!(says(&tokens, &forged).await, Err(Untrusted.into()), "{algorithm}: other claims");
        for place in (0..good.len()).step_by(7) {
            let mut bytes = good.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(says(&tokens, &changed).await.is_err(), "{algorithm}: byte {place}");
        }
        for short in
            [signature[..signature.len() / 2].to_owned(), "AA".into(), format!("{signature}AAAA"), b64([0; 64])]
        {
            assert_eq!(says(&tokens, &format!("{signed}.{short}")).await, Err(Untrusted.into()), "{algorithm}");
        }
    }
}

#[tokio::test]
async fn an_algorithm_belongs_to_its_key() {
    let (rsa, ec, ed) = (Key::new("rsa", "RS256"), Key::new("ec", "ES256"), Key::new("ed", "EdDSA"));
    let server = Server::start(Answer::Keys(set(&[&rsa, &ec, &ed]))).await;
    let tokens = server.tokens(Pace::default());
    for key in [&rsa, &ec, &ed] {
        assert_eq!(says(&tokens, &key.token()).await, Ok("acme".into()));
    }
    for name in ["none", "None", "NONE", "nOnE", "", "HS256", "HS512", "rs256", "RS256 ", "ES256K", "RSA1_5"] {
        let head = with(rsa.head(), "alg", json!(name)).to_string();
        let signed = format!("{}.{}", b64(&head), b64(claims().to_string()));
        assert_eq!(says(&tokens, &format!("{signed}.")).await, Err(Malformed.into()), "{name}: no signature");
        let own = b64(rsa.sign("RS256", &signed));
        assert_eq!(says(&tokens, &format!("{signed}.{own}")).await, Err(Untrusted.into()), "{name}: own signature");
        // The public key, in every form that somebody could take for a shared secret.
        let jwk = rsa.jwk();
        for secret in [jwk["n"].as_str().unwrap().to_owned(), jwk.to_string(), set(&[&rsa])] {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
            assert_eq!(says(&tokens, &format!("{signed}.{}", b64(tag))).await, Err(Untrusted.into()), "{name}: hmac");
        }
    }
    // Allowed for the issuer, and truly signed so; but the key is for another.
    for (key, name) in
        [(&rsa, "RS384"), (&rsa, "PS256"), (&rsa, "ES256"), (&ec, "EdDSA"), (&ed, "ES256"), (&ec, "RS256")]
    {
        let token = key.raw(&with(key.head(), "alg", json!(name)).to_string(), &claims().to_string());
        assert_eq!(says(&tokens, &token).await, Err(Untrusted.into()), "{} as {name}", key.kid);
    }
    // One key's signature under the name of another.
    let token = ec.raw(&with(ec.head(), "kid", json!("ed")).to_string(), &claims().to_string());
    assert_eq!(says(&tokens, &token).await, Err(Untrusted.into()));
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn nothing_in_a_head_leads_anywhere() {
    let (key, evil) = (Key::new("k1", "RS256"), Key::new("evil", "RS256"));
    let server = Server::start(Answer::Keys(set(&[&key]))).await;
    let attacker = Server::start(Answer::Keys(set(&[&evil]))).await;
    let tokens = server.tokens(Pace::default());
    assert!(says(&tokens, &key.token()).await.is_ok());
    let link = format!("http://{}/keys", attacker.address);
    let certificate = b64("a certificate");
    for (name, value) in [
        ("jku", json!(link)),
        ("x5u", json!(link)),
        ("jwk", evil.jwk()),
        ("x5c", json!([certificate])),
        ("x5t", json!(certificate)),
    ] {
        for kid in ["evil", "k1"] {
            let head = with(with(evil.head(), "kid", json!(kid)), name, value.clone());
            let token = evil.raw(&head.to_string(), &claims().to_string());
            assert_eq!(says(&tokens, &token).await, Err(Untrusted.into()), "{name} {kid}");
        }
        let head = with(key.head(), name, value.clone());
        let token = key.raw(&head.to_string(), &claims().to_string());
        assert_eq!(says(&tokens, &token).await, Ok("acme".into()), "{name} is ignored");
    }
    let kids = [
        "../../../../dev/null",
        "/etc/passwd",
        "k1' OR '1'='1",
        "k1\0",
        "K1",
        " k1",
        link.as_str(),
        "file:///keys",
        "%6b1",
    ];
    for kid in kids {
        let token = key.raw(&with(key.head(), "kid", json!(kid)).to_string(), &claims().to_string());
        assert_eq!(says(&tokens, &token).await, Err(Untrusted.into()), "{kid}");
    }
    let long = key.raw(&with(key.head(), "kid", json!("k".repeat(4096))).to_string(), &claims().to_string());
    assert_eq!(says(&tokens, &long).await, Err(Malformed.into()));
    let huge = key.raw(&with(key.head(), "kid", json!("k".repeat(10 * 1024))).to_string(), &claims().to_string());
    assert_eq!(says(&tokens, &huge).await, Err(Malformed.into()));
    assert_eq!(attacker.asked(), 0, "no packet to where a token points");
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_token_says_one_thing_and_it_is_judged() {
    let key = Key::new("k1", "ES256");
    let server = Server::start(Answer::Keys(set(&[&key]))).await;
    let tokens = server.tokens(Pace::default());
    let (head, good) = (key.head().to_string(), claims().to_string());
    let tail = &good[1..];
    for (head, claims, fault) in [
        (head.as_str(), format!(r#"{{"tid":"globex",{tail}"#), Malformed),
        (&head, format!(r#"{{"t\u0069d":"globex",{tail}"#), Malformed),
        (&head, format!(r#"{{"x":{{"a":1,"a":2}},{tail}"#), Malformed),
        (&head, format!(r#"{{"x":[{{"a":{{"b":1,"b":1}}}}],{tail}"#), Malformed),
        (r#"{"alg":"ES256","kid":"k1","kid":"k1","typ":"at+jwt"}"#, good.clone(), Malformed),
        (r#"{"alg":"none","alg":"ES256","kid":"k1","typ":"at+jwt"}"#, good.clone(), Malformed),
        (r#"{"alg":"ES256","kid":"k1","typ":"at+jwt","crit":["exp"]}"#, good.clone(), Untrusted),
        (r#"{"alg":"ES256","kid":"k1","typ":"at+jwt","b64":false,"crit":["b64"]}"#, good.clone(), Untrusted),
        (r#"{"alg":"ES256","kid":"k1","typ":"JWT"}"#, good.clone(), Untrusted),
        (r#"{"alg":"ES256","kid":"k1","typ":"logout+jwt"}"#, good.clone(), Untrusted),
        (r#"{"alg":"ES256","kid":"k1","typ":"id_token"}"#, good.clone(), Untrusted),
        (&head, with(claims(), "aud", json!("web")).to_string(), Untrusted),
        (&head, with(claims(), "iss", json!("https://evil.example/")).to_string(), Untrusted),
        (&head, with(claims(), "exp", json!(NOW - 31)).to_string(), Expired),
        (&head, with(claims(), "exp", json!("never")).to_string(), Expired),
        (&head, with(claims(), "exp", json!(NOW + 86_400 * 3650)).to_string(), Expired),
        (&head, with(claims(), "nbf", json!(NOW + 61)).to_string(), Expired),
        (&head, with(claims(), "tid", json!(7)).to_string(), Tenantless),
        (&head, "[]".into(), Malformed),
        (&head, "null".into(), Malformed),
    ] {
        assert_eq!(says(&tokens, &key.raw(head, &claims)).await, Err(fault.into()), "{head} {claims}");
    }
    let token = key.token();
    for text in [
        "",
        "a",
        "a.b.c",
        "..",
        &format!("{token}."),
        &format!("{token}.x"),
        &format!(" {token}"),
        &format!("{token}="),
    ] {
        assert!(says(&tokens, text).await.is_err(), "{text}");
    }
    let filler = with(claims(), "x", json!("y".repeat(8 * 1024))).to_string();
    assert_eq!(says(&tokens, &key.raw(&head, &filler)).await, Err(Malformed.into()), "8 KiB");
}

#[tokio::test]
async fn an_issuer_speaks_for_itself_and_its_environment() {
    let (ours, theirs) = (Key::new("k1", "EdDSA"), Key::new("k2", "EdDSA"));
    let (one, two) =
        (Server::start(Answer::Keys(set(&[&ours]))).await, Server::start(Answer::Keys(set(&[&theirs]))).await);
    let other = "https://other.example.com/";
    let issuers = [
        issuer(ISSUER, "prod", &json!({ "url": one.url() })),
        issuer(other, "prod", &json!({ "url": two.url() })),
        issuer("https://test.example.com/", "test", &json!({ "url": one.url() })),
    ];
    let tokens = Tokens::with(&issuers, Door { is_plain: true }, Pace::default());
    assert!(says(&tokens, &ours.token()).await.is_ok());
    let of =
        |key: &Key, issuer: &str| key.raw(&key.head().to_string(), &with(claims(), "iss", json!(issuer)).to_string());
    assert!(says(&tokens, &of(&theirs, other)).await.is_ok());
    for token in [of(&ours, other), theirs.token()] {
        assert_eq!(says(&tokens, &token).await, Err(Untrusted.into()), "the key of one in the name of the other");
    }
    let (now, test) = (Timestamp::from_second(NOW).unwrap(), EnvironmentName::parse("test").unwrap());
    let foreign = of(&ours, "https://test.example.com/");
    assert_eq!(tokens.verify(&test, &foreign, now).await.map(|said| said.tenant), Ok("acme".into()));
    assert_eq!(tokens.verify(&prod(), &foreign, now).await, Err(Untrusted.into()));
    assert_eq!(tokens.verify(&test, &ours.token(), now).await, Err(TokenError::Refused(Untrusted)));
    assert_eq!(says(&Tokens::new(&[]), &ours.token()).await, Err(Untrusted.into()), "nobody is believed by default");
}
