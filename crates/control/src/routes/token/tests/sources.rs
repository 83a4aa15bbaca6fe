//! Where keys come from: rotation, outages, and sources that misbehave.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tenantry_domain::access::TokenFault::Untrusted;
use tenantry_domain::access::token::{Algorithm, KeysSpec};

use super::super::fetch::{Door, FetchError};
use super::super::jwks::{KeySet, SetError};
use super::super::keys::Pace;
use super::super::{TokenError, Tokens};
use super::kit::{Answer, ISSUER, Key, QUICK, Server, b64, claims, issuer, says, set};

fn raw(text: &str) -> Answer {
    Answer::Raw(text.as_bytes().to_vec())
}

fn down() -> Answer {
    raw("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_new_key_is_found_and_unknown_ones_cost_one_question_a_time() {
    let (old, new) = (Key::new("old", "EdDSA"), Key::new("new", "EdDSA"));
    let server = Server::start(Answer::Keys(set(&[&old]))).await;
    let tokens = Arc::new(server.tokens(QUICK));
    assert!(says(&tokens, &old.token()).await.is_ok());
    assert_eq!(server.asked(), 1);
    server.set(Answer::Keys(set(&[&old, &new])));
    assert_eq!(says(&tokens, &new.token()).await, Err(Untrusted.into()), "asked a moment ago");
    tokio::time::sleep(QUICK.between).await;
    assert!(says(&tokens, &new.token()).await.is_ok());
    assert_eq!(server.asked(), 2);

    tokio::time::sleep(QUICK.between).await;
    let mut all = tokio::task::JoinSet::new();
    for number in 0..200 {
        let head = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": format!("k{number}") }).to_string();
        let (tokens, token) = (Arc::clone(&tokens), new.raw(&head, &claims().to_string()));
        all.spawn(async move { says(&tokens, &token).await });
    }
    for said in all.join_all().await {
        assert_eq!(said, Err(Untrusted.into()));
    }
    assert_eq!(server.asked(), 3, "200 unknown keys, one question");
}

#[tokio::test]
async fn keys_that_were_taken_back_are_forgotten_and_nobody_waits_for_that() {
    let (old, new) = (Key::new("old", "EdDSA"), Key::new("new", "EdDSA"));
    let server = Server::start(Answer::Keys(set(&[&old]))).await;
    let tokens = server.tokens(Pace { refresh: Duration::from_millis(500), ..QUICK });
    assert!(says(&tokens, &old.token()).await.is_ok());
    server.set(Answer::Late(Duration::from_millis(300), set(&[&new])));
    tokio::time::sleep(Duration::from_millis(600)).await;
    let began = Instant::now();
    assert!(says(&tokens, &old.token()).await.is_ok(), "known until the source has answered");
    assert!(began.elapsed() < Duration::from_millis(250), "{:?}", began.elapsed());
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(says(&tokens, &old.token()).await, Err(Untrusted.into()));
    assert!(says(&tokens, &new.token()).await.is_ok());
}

#[tokio::test]
async fn the_last_good_keys_outlive_an_outage_but_not_for_ever() {
    let key = Key::new("k1", "EdDSA");
    let server = Server::start(down()).await;
    let tokens = server.tokens(Pace {
        between: Duration::from_millis(50),
        refresh: Duration::from_millis(50),
        longest: Duration::from_millis(1500),
        ..QUICK
    });
    assert_eq!(says(&tokens, &key.token()).await, Err(TokenError::Away(ISSUER.into())), "nothing can be said");
    server.set(Answer::Keys(set(&[&key])));
    tokio::time::sleep(QUICK.cold).await;
    assert!(says(&tokens, &key.token()).await.is_ok(), "seen soon after the start");
    let large = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 1 << 30);
    let bad = [
        down(),
        raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
        raw("HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"keys\": []}"),
        raw(&large),
        raw("nonsense\r\n\r\n"),
        raw(""),
    ];
    for answer in bad {
        server.set(answer);
        tokio::time::sleep(Duration::from_millis(60)).await;
        let before = server.asked();
        assert!(says(&tokens, &key.token()).await.is_ok());
        let unknown =
            key.raw(&json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "x" }).to_string(), &claims().to_string());
        assert_eq!(says(&tokens, &unknown).await, Err(Untrusted.into()));
        assert!(server.asked() > before, "the source was asked and gave nothing good");
    }
    server.set(down());
    tokio::time::sleep(Duration::from_millis(1600)).await;
    assert_eq!(says(&tokens, &key.token()).await, Err(TokenError::Away(ISSUER.into())));
}

#[tokio::test]
async fn a_caller_that_hangs_up_wastes_no_turn() {
    let key = Key::new("k1", "EdDSA");
    let server = Server::start(Answer::Late(Duration::from_millis(300), set(&[&key]))).await;
    let tokens = server.tokens(Pace { cold: Duration::from_secs(60), ..QUICK });
    let token = key.token();
    let hung_up = tokio::time::timeout(Duration::from_millis(50), says(&tokens, &token)).await;
    assert!(hung_up.is_err());
    assert!(says(&tokens, &token).await.is_ok(), "the question went on");
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_source_is_bounded_and_followed_nowhere() {
    let key = Key::new("k1", "EdDSA");
    let target = Server::start(Answer::Keys(set(&[&key]))).await;
    let server = Server::start(down()).await;
    let (door, url) = (Door { is_plain: true }, KeysSpec::Url(server.url()));
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let link = format!("http://{}/keys", target.address);
        server.set(raw(&format!(
            "HTTP/1.1 {status}\r\nlocation: {link}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )));
        assert!(matches!(door.fetch(&url).await, Err(FetchError::Status(300..400))), "{status}");
    }
    assert_eq!(target.asked(), 0);
    server.set(Answer::Endless);
    assert!(matches!(door.fetch(&url).await, Err(FetchError::Large)));
    // What is on the way in the system's buffers counts as sent.
    assert!(server.sent() < 16 * 1024 * 1024, "{}", server.sent());
    server.set(Answer::Drip);
    let began = Instant::now();
    let found = door.fetch(&url).await;
    assert!(matches!(found, Err(FetchError::Slow | FetchError::Http(_))), "{found:?}");
    assert!(began.elapsed() < Duration::from_millis(3500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn only_tests_speak_without_tls() {
    let key = Key::new("k1", "EdDSA");
    let server = Server::start(Answer::Keys(set(&[&key]))).await;
    let plain = KeysSpec::Url(format!("http://{}/keys", server.address));
    assert!(matches!(Door::default().fetch(&plain).await, Err(FetchError::Http(_))));
    assert_eq!(server.asked(), 0, "not even a connection");
    assert!(matches!(Door::default().fetch(&KeysSpec::Url(server.url())).await, Err(FetchError::Http(_))));
    assert_eq!(server.asked(), 1, "a connection that is not TLS ends");
}

#[tokio::test]
async fn a_file_is_read_again_as_an_address_is() {
    let (old, new) = (Key::new("old", "ES256"), Key::new("new", "ES256"));
    let folder = std::env::temp_dir().join(format!("tenantry-keys-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("keys.json");
    let tokens = Tokens::with(&[issuer(ISSUER, "prod", &json!({ "file": path }))], Door::default(), QUICK);
    assert_eq!(says(&tokens, &old.token()).await, Err(TokenError::Away(ISSUER.into())), "no file");
    std::fs::write(&path, set(&[&old])).unwrap();
    tokio::time::sleep(QUICK.cold).await;
    assert!(says(&tokens, &old.token()).await.is_ok());
    std::fs::write(&path, set(&[&old, &new])).unwrap();
    tokio::time::sleep(QUICK.between).await;
    assert!(says(&tokens, &new.token()).await.is_ok());
    std::fs::write(&path, vec![b' '; 1024 * 1024 + 1]).unwrap();
    assert!(matches!(Door::default().fetch(&KeysSpec::File(path)).await, Err(FetchError::Large)));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn only_keys_that_can_mean_one_thing_are_taken() {
    let all = [Algorithm::RS256, Algorithm::RS384, Algorithm::ES256, Algorithm::EdDSA];
    let (rsa, ec, ed) = (Key::new("k", "RS256").jwk(), Key::new("k", "ES256").jwk(), Key::new("k", "EdDSA").jwk());
    let parse = |keys: &[Value], allowed: &[Algorithm]| {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), allowed).map(|set| set.find(Some("k")).is_some())
    };
    let change = |jwk: &Value, name: &str, value: Value| {
        let mut jwk = jwk.clone();
        match value {
            Value::Null => drop(jwk.as_object_mut().unwrap().remove(name)),
            value => jwk[name] = value,
        }
        jwk
    };
    for good in [&rsa, &ec, &ed] {
        assert_eq!(parse(std::slice::from_ref(good), &all), Ok(true), "{good}");
        assert_eq!(parse(&[change(good, "use", Value::Null)], &all), Ok(true));
        assert_eq!(parse(&[change(good, "key_ops", json!(["verify"]))], &all), Ok(true));
    }
    assert_eq!(parse(&[change(&ec, "alg", Value::Null)], &all), Ok(true), "the curve says it");
    assert_eq!(parse(&[change(&rsa, "alg", Value::Null)], &[Algorithm::PS256]), Ok(true), "there is one choice");
    let useless = [
        change(&rsa, "alg", Value::Null),
        change(&rsa, "alg", json!("PS256")),
        change(&rsa, "alg", json!("ES256")),
        change(&rsa, "alg", json!("HS256")),
        change(&rsa, "use", json!("enc")),
        change(&rsa, "key_ops", json!(["encrypt"])),
        change(&rsa, "key_ops", json!("verify")),
        change(&rsa, "n", json!(b64([0xff; 128]))),
        change(&rsa, "n", json!(b64([&[0; 200][..], &[0xff; 128]].concat()))),
        change(&rsa, "n", json!(b64([0xff; 2048]))),
        change(&rsa, "n", json!("not base64")),
        change(&rsa, "e", Value::Null),
        change(&ec, "crv", json!("secp256k1")),
        change(&ec, "alg", json!("EdDSA")),
        change(&ed, "crv", json!("Ed448")),
        change(&ed, "kid", json!(7)),
        json!({ "kty": "oct", "k": b64("secret"), "kid": "k", "alg": "HS256" }),
        json!({ "kty": "oct", "k": b64("secret"), "kid": "k", "alg": "RS256" }),
        json!("k"),
    ];
    for jwk in useless {
        assert_eq!(parse(std::slice::from_ref(&jwk), &all), Err(SetError::Useless), "{jwk}");
    }
    let others = [rsa.clone(), change(&ec, "kid", json!("other")), ec.clone()];
    assert_eq!(parse(&others, &all), Ok(false), "two of one id: neither");
    assert_eq!(parse(&vec![ed.clone(); 101], &all), Err(SetError::Many));
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
        assert!(KeySet::parse(text.as_bytes(), &all).is_err(), "{text}");
    }
    let nameless = change(&ed, "kid", Value::Null);
    let only = KeySet::parse(json!({ "keys": [nameless] }).to_string().as_bytes(), &all).unwrap();
    assert!(only.find(None).is_some() && only.find(Some("k")).is_none());
    let two = KeySet::parse(json!({ "keys": [nameless, ec] }).to_string().as_bytes(), &all).unwrap();
    assert!(two.find(None).is_none(), "which of the two would be a guess");
}
