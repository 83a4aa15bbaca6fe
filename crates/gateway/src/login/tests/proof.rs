//! Passwords: right, wrong, unknown, bound, replaced, slow and too often.

use std::time::Duration;

use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use proptest::prelude::*;
use tenantry_domain::Timestamp;
use tenantry_domain::gateway::{LoginName, Whose};
use tenantry_wire::server::Auth;

use super::super::scram::{self, Offer, ScramError};
use super::super::verifier::Candidates;
use super::super::{Limits, Mock, Refused, Why};
use super::world::{
    END_POINT, Key, PASSWORD, attempt, attempt_in, desk, desk_with, hold, login_of, plain, start_of, tenant, tls,
    verifier,
};
use crate::table::{Change, Login, Verifier};

fn wrong(user: &str, why: Why) -> Refused {
    Refused::Credential { user: user.to_owned(), why }
}

#[tokio::test]
async fn a_password_lets_in() {
    let desk = desk();
    let ways = [
        (plain(), Key::Password(PASSWORD)),
        (tls(None), Key::Password(PASSWORD)),
        (tls(None), Key::Bound(PASSWORD, END_POINT)),
    ];
    for (facts, key) in ways {
        let (said, heard) = attempt(&desk, &facts, &[("user", "acme-app")], key).await;
        let accepted = said.unwrap();
        assert_eq!((accepted.name().as_str(), accepted.slot.tenant()), ("acme-app", tenant(1)));
        // Offer, challenge, proof, and in; nothing behind it is said here.
        assert_eq!(heard.tags(), "RRRR");
        assert!(heard.is_in());
    }
}

#[tokio::test]
async fn bytes_may_come_one_by_one() {
    let start = start_of(0, &[("user", "acme-app")]);
    let (said, heard) = attempt_in(&desk(), &tls(None), start, Key::Bound(PASSWORD, END_POINT), 1).await;
    assert!(said.is_ok() && heard.is_in());
}

#[tokio::test]
async fn nobody_looks_like_a_wrong_password() {
    let desk = desk();
    let mut seen = Vec::new();
    for (user, why) in [("acme-app", Why::Wrong), ("nobody-app", Why::Unknown), ("bare-app", Why::NoVerifier)] {
        let (said, heard) = attempt(&desk, &plain(), &[("user", user)], Key::Password("wrong")).await;
        assert_eq!(said.unwrap_err(), wrong(user, why));
        let text = format!("password authentication failed for user `{user}`");
        assert_eq!(heard.error(), Some(("28P01".to_owned(), text, None)));
        let challenge = String::from_utf8(heard.0[1].1.clone()).unwrap();
        let salt = challenge.split(',').nth(1).unwrap().to_owned();
        assert!(challenge.ends_with(",i=4096"), "{challenge}");
        seen.push((heard.tags(), challenge.len(), salt.len()));
        // The same salt again, as for anybody who is known.
        let (_, again) = attempt(&desk, &plain(), &[("user", user)], Key::Password(PASSWORD)).await;
        assert!(String::from_utf8(again.0[1].1.clone()).unwrap().contains(&salt));
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
    // Names that no login can have as well.
    for user in ["x", "Acme-App", "postgres", "'; drop", "ä", &"x".repeat(3000)] {
        let (said, heard) = attempt(&desk, &plain(), &[("user", user)], Key::Password(PASSWORD)).await;
        assert!(matches!(said, Err(Refused::Credential { why: Why::Unknown, .. })));
        assert_eq!((heard.tags().as_str(), heard.code().as_str()), ("RRE", "28P01"));
        assert!(heard.error().unwrap().1.len() < 300);
    }
}

#[tokio::test]
async fn the_channel_that_is_bound_is_ours() {
    let (said, heard) = attempt(&desk(), &tls(None), &[("user", "acme-app")], Key::Bound(PASSWORD, &[8; 32])).await;
    assert!(matches!(said, Err(Refused::Binding(_))), "{said:?}");
    assert_eq!((heard.tags().as_str(), heard.code().as_str()), ("RRE", "28000"));
}

#[tokio::test]
async fn a_password_that_is_being_replaced() {
    let desk = desk();
    let soon = Timestamp::now() + Duration::from_secs(3600);
    let past = Timestamp::now() - Duration::from_secs(1);
    // Both with one salt, as a rotation makes them.
    let with = |password: &str, until| {
        let salt = [9; 16];
        let salted = pbkdf2(password, &salt);
        Verifier { text: salted.into(), until }
    };
    let login = |verifiers| Login { verifiers, ..login_of("acme-app", Whose::Tenant(tenant(1))) };
    let put = |verifiers| {
        let name = LoginName::parse("acme-app").unwrap();
        desk.table.apply(vec![Change::Login(name, Some(login(verifiers)))]);
    };
    let try_it = async |password: &str| {
        attempt(&desk, &plain(), &[("user", "acme-app")], Key::Password(password)).await.0.map(drop)
    };
    put(vec![with("new", None), with("old", Some(soon))]);
    assert_eq!((try_it("new").await, try_it("old").await), (Ok(()), Ok(())));
    assert_eq!(try_it("older").await, Err(wrong("acme-app", Why::Wrong)));
    put(vec![with("new", None), with("old", Some(past))]);
    assert_eq!((try_it("new").await, try_it("old").await), (Ok(()), Err(wrong("acme-app", Why::Wrong))));
    // Only one salt can be told: the newest counts.
    put(vec![verifier("new"), Verifier { until: Some(soon), ..verifier("old") }]);
    assert_eq!((try_it("new").await, try_it("old").await), (Ok(()), Err(wrong("acme-app", Why::Wrong))));
    put(vec![Verifier { text: "SCRAM-SHA-256$broken".to_owned().into(), until: None }]);
    assert_eq!(try_it("new").await, Err(wrong("acme-app", Why::NoVerifier)));
    put(vec![with("new", Some(past))]);
    assert_eq!(try_it("new").await, Err(wrong("acme-app", Why::NoVerifier)));
}

/// A verifier with a salt of our choice, by another road than the one under test.
fn pbkdf2(password: &str, salt: &[u8]) -> String {
    use aws_lc_rs::{digest, hmac, pbkdf2};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let mut salted = [0; 32];
    let rounds = std::num::NonZeroU32::new(4096).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let stored = digest::digest(&digest::SHA256, hmac::sign(&key, b"Client Key").as_ref());
    let server = hmac::sign(&key, b"Server Key");
    let text = |bytes: &[u8]| STANDARD.encode(bytes);
    format!("SCRAM-SHA-256$4096:{}${}:{}", text(salt), text(stored.as_ref()), text(server.as_ref()))
}

#[tokio::test]
async fn a_login_that_is_over() {
    let (said, heard) = attempt(&desk(), &plain(), &[("user", "old-app")], Key::Password(PASSWORD)).await;
    assert_eq!(said.unwrap_err(), Refused::Expired("old-app".to_owned()));
    assert_eq!((heard.tags().as_str(), heard.code().as_str()), ("RRRE", "28000"));
    // Whether it is over is not for everybody.
    let (said, _) = attempt(&desk(), &plain(), &[("user", "old-app")], Key::Password("wrong")).await;
    assert_eq!(said.unwrap_err(), wrong("old-app", Why::Wrong));
}

#[tokio::test]
async fn a_login_that_is_revoked_in_between() {
    let desk = desk();
    let mut scram = ScramSha256::new(PASSWORD.as_bytes(), ChannelBinding::unsupported());
    let (said, heard) = hold(&desk, &plain(), start_of(0, &[("user", "acme-app")]), 4096, |question| {
        let mut out = bytes::BytesMut::new();
        match question {
            Auth::Sasl(_) => {
                tenantry_wire::client::put_sasl_initial(&mut out, b"SCRAM-SHA-256", scram.message());
            }
            Auth::SaslContinue(data) => {
                scram.update(data).unwrap();
                desk.table.apply(vec![Change::Login(LoginName::parse("acme-app").unwrap(), None)]);
                tenantry_wire::client::put_sasl_response(&mut out, scram.message());
            }
            _ => return None,
        }
        Some(out.to_vec())
    })
    .await;
    assert_eq!(said.unwrap_err(), wrong("acme-app", Why::Unknown));
    assert!(!heard.is_in());
}

#[tokio::test]
async fn a_newer_client_is_told_what_is_spoken() {
    let mut start = start_of(9999, &[("user", "acme-app")]);
    start.unknown = vec!["_pq_.grease".to_owned()];
    let (said, heard) = attempt_in(&desk(), &plain(), start, Key::Password(PASSWORD), 4096).await;
    assert!(said.is_ok());
    assert_eq!(heard.tags(), "vRRRR");
    assert_eq!(heard.0[0].1, b"\0\x03\0\x02\0\0\0\x01_pq_.grease\0");
}

#[tokio::test]
async fn a_silent_client_is_not_waited_for() {
    let desk = desk_with(None, Limits { deadline: Duration::from_millis(50), ..Limits::default() });
    for silent_at in 0..2 {
        let mut scram = ScramSha256::new(PASSWORD.as_bytes(), ChannelBinding::unsupported());
        let (said, heard) = hold(&desk, &plain(), start_of(0, &[("user", "acme-app")]), 4096, |question| {
            let mut out = bytes::BytesMut::new();
            match question {
                Auth::Sasl(_) if silent_at > 0 => {
                    tenantry_wire::client::put_sasl_initial(&mut out, b"SCRAM-SHA-256", scram.message());
                }
                Auth::SaslContinue(data) => scram.update(data).unwrap(),
                _ => {}
            }
            Some(out.to_vec())
        })
        .await;
        assert_eq!(said.unwrap_err(), Refused::Deadline);
        assert_eq!(heard.code(), "57014");
    }
}

#[tokio::test]
async fn an_address_that_guesses_is_turned_away() {
    let limits = Limits { failures: 3, per: Duration::from_secs(600), ..Limits::default() };
    let desk = desk_with(None, limits);
    for _ in 0..3 {
        let (said, _) = attempt(&desk, &plain(), &[("user", "acme-app")], Key::Password("guess")).await;
        assert!(matches!(said, Err(Refused::Credential { .. })));
    }
    // Not even the right one is heard now, at once and without a question.
    let (said, heard) = attempt(&desk, &plain(), &[("user", "acme-app")], Key::Password(PASSWORD)).await;
    assert!(matches!(said, Err(Refused::Crowd { .. })));
    assert_eq!((heard.tags().as_str(), heard.code().as_str()), ("E", "53300"));
    let elsewhere = super::super::Facts { peer: "198.51.100.7".parse().unwrap(), ..plain() };
    assert!(attempt(&desk, &elsewhere, &[("user", "acme-app")], Key::Password(PASSWORD)).await.0.is_ok());
    // What is no guess does not count.
    let other = super::super::Facts { peer: "198.51.100.8".parse().unwrap(), ..plain() };
    for _ in 0..9 {
        let (said, _) = attempt(&desk, &other, &[("user", "initech-app")], Key::Password(PASSWORD)).await;
        assert!(matches!(said, Err(Refused::Suspended(_))));
    }
}

fn candidates(password: &str, doomed: bool) -> Candidates {
    let login = Login { verifiers: vec![verifier(password)], ..login_of("acme-app", Whose::Tenant(tenant(1))) };
    Candidates::of((!doomed).then_some(login.verifiers.as_slice()), "acme-app", Timestamp::now(), &Mock::new(&[3; 32]))
}

/// Computing is all that could tell them apart: what is said is compared above.
#[test]
fn nobody_costs_as_much_as_somebody() {
    const PAIRS: usize = 2_000;
    let (known, mock) = ([verifier(PASSWORD)], Mock::new(&[3; 32]));
    let take = |login: Option<&[_]>| {
        let began = std::time::Instant::now();
        let candidates = Candidates::of(login, "acme-app", Timestamp::now(), &mock);
        let offer = Offer { end_point: None };
        let exchange = scram::begin(candidates, offer, b"SCRAM-SHA-256", b"n,,n=,r=theirs", "ours").unwrap();
        let last = "c=biws,r=theirsours,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert!(matches!(exchange.finish(last.as_bytes()), Err(ScramError::Proof(_))));
        began.elapsed()
    };
    let (mut somebody, mut nobody): (Vec<_>, Vec<_>) = (0..PAIRS).map(|_| (take(Some(&known)), take(None))).unzip();
    somebody.sort();
    nobody.sort();
    let (somebody, nobody) = (somebody[PAIRS / 2], nobody[PAIRS / 2]);
    println!("a wrong password of somebody {somebody:?}, of nobody {nobody:?}");
    assert!(somebody.abs_diff(nobody) < Duration::from_micros(100), "{somebody:?} {nobody:?}");
}

proptest! {
    // Each case hashes twelve thousand times.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_other_half_agrees(password in "\\PC{1,20}", hash in prop::collection::vec(any::<u8>(), 1..64),
                             is_bound: bool, has_tls: bool, is_wrong: bool, is_unknown: bool) {
        let is_bound = is_bound && has_tls;
        let offer = Offer { end_point: has_tls.then_some(hash.as_slice()) };
        let channel = if is_bound { ChannelBinding::tls_server_end_point(hash.clone()) } else { ChannelBinding::unsupported() };
        let mechanism: &[u8] = if is_bound { b"SCRAM-SHA-256-PLUS" } else { b"SCRAM-SHA-256" };
        let typed = if is_wrong { format!("{password}x") } else { password.clone() };
        let mut scram = ScramSha256::new(typed.as_bytes(), channel);
        let exchange = scram::begin(candidates(&password, is_unknown), offer, mechanism, scram.message(), "ours").unwrap();
        scram.update(exchange.challenge().as_bytes()).unwrap();
        match exchange.finish(scram.message()) {
            Ok(proof) => {
                prop_assert!(!is_unknown && !is_wrong);
                prop_assert!(scram.finish(proof.as_bytes()).is_ok());
            }
            Err(error) => {
                prop_assert!(is_wrong || is_unknown);
                prop_assert_eq!(error, ScramError::Proof(if is_unknown { Why::Unknown } else { Why::Wrong }));
            }
        }
    }
}

proptest! {
    #[test]
    fn any_message_is_taken_or_refused(first: Vec<u8>, last: Vec<u8>, parts in prop::collection::vec(prop::sample::select(vec![
        "n", "y", "p=tls-server-end-point", ",", ",,", "a=x", "n=", "r=abc", "m=x", "c=biws", "p=AAAA", "=", "z=1", "\0", "ä", "r=abcours",
    ]), 0..9), has_tls: bool) {
        let hash = [1; 32];
        let offer = Offer { end_point: has_tls.then_some(&hash[..]) };
        for message in [first.as_slice(), parts.concat().as_bytes()] {
            for mechanism in [&b"SCRAM-SHA-256"[..], b"SCRAM-SHA-256-PLUS"] {
                let mock = Candidates::of(None, "x", Timestamp::UNIX_EPOCH, &Mock::new(&[3; 32]));
                let _ = scram::begin(mock, offer, mechanism, message, "ours");
            }
        }
        for message in [last.as_slice(), parts.concat().as_bytes()] {
            let mock = Candidates::of(None, "x", Timestamp::UNIX_EPOCH, &Mock::new(&[3; 32]));
            let exchange = scram::begin(mock, Offer { end_point: None }, b"SCRAM-SHA-256", b"n,,n=,r=abc", "ours").unwrap();
            prop_assert!(exchange.finish(message).is_err());
        }
    }
}
