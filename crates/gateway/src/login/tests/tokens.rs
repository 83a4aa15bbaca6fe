//! Access tokens in place of a password.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};
use tenantry_domain::Timestamp;
use tenantry_domain::name::EnvironmentName;
use tenantry_wire::server::Auth;

use super::super::{Claims, Limits, Refused, TokenError, Tokens, Why};
use super::world::{Key, attempt, desk_with, hold, plain, prod, start_of, tls};

/// An issuer whose tokens are `<tenant>:<seconds until it is over>`.
struct Issuer;

impl Tokens for Issuer {
    fn verify<'a>(
        &'a self,
        environment: &'a EnvironmentName,
        token: &'a SecretString,
    ) -> BoxFuture<'a, Result<Claims, TokenError>> {
        let said = || {
            if *environment != prod() || token.expose_secret() == "away" {
                return Err(TokenError::Away);
            }
            let (tenant, secs) = token.expose_secret().split_once(':').ok_or(TokenError::Invalid)?;
            let secs = secs.parse().map_err(|_| TokenError::Invalid)?;
            let expires = Timestamp::now() + jiff_secs(secs);
            Ok(Claims { tenant: tenant.to_owned(), subject: Some("ann".to_owned()), expires })
        };
        let said = said();
        async move { said }.boxed()
    }
}

fn jiff_secs(secs: u32) -> Duration {
    Duration::from_secs(u64::from(secs))
}

fn desk() -> super::super::Desk {
    let limits = Limits { failures: u32::MAX, base_domains: vec!["db.example.com".to_owned()], ..Limits::default() };
    desk_with(Some(Arc::new(Issuer)), limits)
}

#[tokio::test]
async fn a_token_lets_in_over_tls() {
    let (said, heard) = attempt(&desk(), &tls(None), &[("user", "tok-acme")], Key::Token("acme:60")).await;
    let accepted = said.unwrap();
    assert_eq!(accepted.claims.unwrap().subject.as_deref(), Some("ann"));
    assert_eq!(heard.tags(), "RR");
    assert_eq!(tenantry_wire::server::auth(&heard.0[0].1), Ok(Auth::Cleartext));
}

#[tokio::test]
async fn nothing_is_asked_for_in_the_clear() {
    let (said, heard) = attempt(&desk(), &plain(), &[("user", "tok-acme")], Key::Token("acme:60")).await;
    assert_eq!(said.unwrap_err(), Refused::NeedsTls("tok-acme".to_owned()));
    assert_eq!((heard.tags().as_str(), heard.code().as_str()), ("E", "28000"));
    let without = desk_with(None, Limits::default());
    let (said, heard) = attempt(&without, &tls(None), &[("user", "tok-acme")], Key::Token("acme:60")).await;
    assert_eq!(said.unwrap_err(), Refused::TokensAway);
    assert_eq!((heard.tags().as_str(), heard.code().as_str()), ("E", "57P03"));
}

#[tokio::test]
async fn a_token_that_is_not_good() {
    let desk = desk();
    let wrong = || Refused::Credential { user: "tok-acme".to_owned(), why: Why::Token };
    for token in ["", "garbage", "acme", "acme:0", "acme:x"] {
        let (said, heard) = attempt(&desk, &tls(None), &[("user", "tok-acme")], Key::Token(token)).await;
        assert_eq!(said.unwrap_err(), wrong(), "{token}");
        assert_eq!((heard.tags().as_str(), heard.code().as_str()), ("RE", "28P01"));
    }
    let (said, heard) = attempt(&desk, &tls(None), &[("user", "tok-acme")], Key::Token("away")).await;
    assert_eq!((said.unwrap_err(), heard.code().as_str()), (Refused::TokensAway, "57P03"));
    // The longest that is taken, and more than that.
    let longest = "x".repeat(8 * 1024);
    let (said, _) = attempt(&desk, &tls(None), &[("user", "tok-acme")], Key::Token(&longest)).await;
    assert_eq!(said.unwrap_err(), wrong());
    let longer = "x".repeat(8 * 1024 + 64);
    let (said, heard) = attempt(&desk, &tls(None), &[("user", "tok-acme")], Key::Token(&longer)).await;
    assert!(matches!(said, Err(Refused::Protocol(_))));
    assert_eq!(heard.code(), "08P01");
    for body in [&b"p\0\0\0\x08abcd"[..], b"p\0\0\0\x0aacme:9", b"p\0\0\0\x0cacme\0:9\0", b"p\0\0\0\x07\xff\xfe\0"] {
        let mut body = Some(body.to_vec());
        let start = start_of(0, &[("user", "tok-acme")]);
        let (said, heard) = hold(&desk, &tls(None), start, 4096, |_| body.take()).await;
        assert!(said.is_err() && !heard.is_in());
        assert!(matches!(heard.code().as_str(), "08P01" | "28P01"), "{}", heard.code());
    }
}

#[tokio::test]
async fn a_token_names_the_tenant_and_must_agree() {
    let desk = desk();
    let got = async |user: &str, more: &[(&str, &str)], token: &str, host: Option<&str>| {
        let params: Vec<_> = [("user", user)].into_iter().chain(more.iter().copied()).collect();
        let (said, heard) = attempt(&desk, &tls(host), &params, Key::Token(token)).await;
        said.map(|accepted| accepted.slot.tenant().uuid().as_u128()).map_err(|_| heard.code())
    };
    let refused = || Err("28000".to_owned());
    assert_eq!(got("tok-acme", &[], "globex:60", None).await, refused());
    assert_eq!(got("tok-acme", &[], ":60", None).await, refused());
    assert_eq!(got("tok-all", &[], "globex:60", None).await, Ok(2));
    assert_eq!(got("tok-all", &[("database", "globex")], "globex:60", None).await, Ok(2));
    assert_eq!(got("tok-all", &[("database", "acme")], "globex:60", None).await, refused());
    assert_eq!(got("tok-all", &[("tenantry.tenant", "acme")], "globex:60", None).await, refused());
    assert_eq!(got("tok-all", &[], "globex:60", Some("acme.db.example.com")).await, refused());
    assert_eq!(got("tok-all", &[], "globex:60", Some("globex.db.example.com")).await, Ok(2));
    assert_eq!(got("tok-all", &[], "hooli:60", None).await, refused());
    assert_eq!(got("tok-all", &[], "nobody:60", None).await, refused());
}
