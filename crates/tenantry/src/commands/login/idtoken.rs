//! The ID token of a sign-in: that it is the answer to this question, and for whom.
//!
//! It comes from the token endpoint over TLS, which stands for its signature (OpenID Connect Core 1.0, section 3.1.3.7,
//! number 6). It is never sent anywhere: who holds it is not let in by it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tenantry_domain::access::token::object;

use super::issuer::broken;
use crate::exit::Result;

/// By how many seconds clocks may differ.
const LEEWAY: i64 = 60;

/// The subject of an ID token that belongs to a sign-in.
///
/// # Errors
/// It is none, or one of another issuer, client or question.
pub fn subject(text: &str, issuer: &str, client: &str, nonce: Option<&str>, now: Timestamp) -> Result<String> {
    let claims = claims(text).ok_or_else(|| broken("its ID token cannot be read"))?;
    let says = |name: &str| claims.get(name).and_then(Value::as_str);
    if says("iss") != Some(issuer) {
        return Err(broken("its ID token is of another issuer"));
    }
    let is_ours = match claims.get("aud") {
        Some(Value::String(one)) => one == client,
        Some(Value::Array(list)) => {
            list.iter().any(|one| one == client) && (list.len() == 1 || says("azp") == Some(client))
        }
        _ => false,
    };
    if !is_ours || says("azp").is_some_and(|party| party != client) {
        return Err(broken("its ID token is for another client"));
    }
    if claims.get("exp").and_then(Value::as_i64).is_none_or(|end| end + LEEWAY <= now.as_second()) {
        return Err(broken("its ID token is over; compare the clocks"));
    }
    if nonce.is_some_and(|nonce| says("nonce") != Some(nonce)) {
        return Err(broken("its ID token answers another question"));
    }
    says("sub")
        .filter(|subject| !subject.is_empty())
        .map(ToOwned::to_owned)
        .ok_or_else(|| broken("its ID token names nobody"))
}

fn claims(text: &str) -> Option<Map<String, Value>> {
    let mut parts = text.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    object(&URL_SAFE_NO_PAD.decode(payload).ok()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;
    const ISSUER: &str = "https://login.example.com";

    fn judged(field: &str, value: Value) -> Result<String> {
        let mut claims =
            json!({ "iss": ISSUER, "aud": "cli", "sub": "4711", "exp": NOW + 60, "nonce": "n1", "iat": NOW });
        claims[field] = value;
        let text = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims.to_string()));
        subject(&text, ISSUER, "cli", Some("n1"), Timestamp::from_second(NOW).unwrap())
    }

    #[test]
    fn it_is_the_answer_to_this_question_or_none() {
        assert_eq!(judged("iat", json!(NOW)).unwrap(), "4711");
        assert_eq!(judged("aud", json!(["cli"])).unwrap(), "4711");
        for (field, value) in [
            ("iss", json!("https://login.example.com/")),
            ("iss", Value::Null),
            ("aud", json!("other")),
            ("aud", json!(["cli", "other"])),
            ("aud", Value::Null),
            ("azp", json!("other")),
            ("exp", json!(NOW - 61)),
            ("exp", json!("never")),
            ("exp", Value::Null),
            ("nonce", json!("n2")),
            ("nonce", Value::Null),
            ("sub", json!("")),
            ("sub", json!(7)),
        ] {
            assert!(judged(field, value.clone()).is_err(), "{field} {value}");
        }
        let now = Timestamp::from_second(NOW).unwrap();
        for text in ["", "a.b", "a.b.c", "e30.W10.x"] {
            assert!(subject(text, ISSUER, "cli", None, now).is_err(), "{text}");
        }
    }
}
