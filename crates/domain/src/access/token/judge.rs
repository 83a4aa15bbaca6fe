//! From the text of an access token to the tenant that it names; all but the signature.
//!
//! INVARIANT: [`Unverified`] gives away only what is needed to find the key. What a token claims is judged by
//! [`Issuer::judge`], which wants to be called after the signature was verified.

use serde_json::{Map, Value};

use super::{Algorithm, Issuer, TokenType, strict};
use crate::Timestamp;

/// The longest token that is looked at, in bytes.
pub const MAX_BYTES: usize = 8 * 1024;

/// The longest id of a key.
const MAX_KID: usize = 256;

/// Why a token is not believed. The words are all that a caller learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenFault {
    /// It is no compact JWS (RFC 7515) of at most 8 KiB with one meaning.
    #[error("malformed")]
    Malformed,
    /// Issuer, key, algorithm, signature, type or audience are not what is believed here.
    #[error("untrusted")]
    Untrusted,
    /// It does not hold now, does not say until when, or holds for too long.
    #[error("expired")]
    Expired,
    /// The claim that should name the tenant does not.
    #[error("without a tenant")]
    Tenantless,
    /// The claims that should name the person and its groups do not.
    #[error("without a person")]
    Nobody,
}

/// The head of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// How it says it is signed.
    pub algorithm: Algorithm,
    /// The id of the key; a name in a map, never a place to look.
    pub kid: Option<String>,
    /// What it says it is.
    pub kind: Option<TokenType>,
}

/// What a token claims.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload(pub(in crate::access) Map<String, Value>);

/// A token in its parts, of which nothing is verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Unverified<'a> {
    /// What is signed.
    pub signed: &'a str,
    /// The signature, in Base64url.
    pub signature: &'a str,
    /// Its head.
    pub head: Head,
    /// Its claims.
    pub payload: Payload,
}

impl Payload {
    /// For whom the token was made, if it says so.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.0.get("sub").and_then(Value::as_str)
    }

    /// Who it says issued it.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.0.get("iss")?.as_str()
    }

    /// When it ends, in whole seconds; a token that was judged has an end.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.0.get("exp").and_then(Value::as_i64).and_then(|second| Timestamp::from_second(second).ok())
    }
}

impl<'a> Unverified<'a> {
    /// Takes a token apart. `decode` reads Base64url without padding (RFC 7515, section 2).
    ///
    /// # Errors
    /// It is malformed, or its head asks for something that is not done here: another algorithm, another type, or an
    /// extension that must be understood (`crit`). Keys and addresses in the head (`jwk`, `jku`, `x5c`, `x5u`) are not read.
    pub fn parse(text: &'a str, decode: impl Fn(&str) -> Option<Vec<u8>>) -> Result<Self, TokenFault> {
        if text.len() > MAX_BYTES {
            return Err(TokenFault::Malformed);
        }
        let parts: Vec<&str> = text.splitn(4, '.').collect();
        let [head, payload, signature] = parts.as_slice() else { return Err(TokenFault::Malformed) };
        if signature.is_empty() {
            return Err(TokenFault::Malformed);
        }
        let read = |part: &str| decode(part).and_then(|bytes| strict::object(&bytes)).ok_or(TokenFault::Malformed);
        Ok(Self {
            signed: &text[..head.len() + 1 + payload.len()],
            signature,
            head: Head::of(&read(head)?)?,
            payload: Payload(read(payload)?),
        })
    }

    /// Who it says issued it; only to look up whose key to try.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.payload.issuer()
    }
}

impl Head {
    fn of(head: &Map<String, Value>) -> Result<Self, TokenFault> {
        if head.contains_key("crit") || head.contains_key("b64") {
            return Err(TokenFault::Untrusted);
        }
        let algorithm = head.get("alg").and_then(Value::as_str).ok_or(TokenFault::Malformed)?;
        let kid = match head.get("kid") {
            None => None,
            Some(Value::String(kid)) if (1..=MAX_KID).contains(&kid.len()) => Some(kid.clone()),
            Some(_) => return Err(TokenFault::Malformed),
        };
        let kind = match head.get("typ") {
            None => None,
            Some(Value::String(kind)) => Some(kind_of(kind).ok_or(TokenFault::Untrusted)?),
            Some(_) => return Err(TokenFault::Malformed),
        };
        Ok(Self { algorithm: Algorithm::parse(algorithm).ok_or(TokenFault::Untrusted)?, kid, kind })
    }
}

/// Media types have no case and may leave out `application/` (RFC 7515, section 4.1.9).
fn kind_of(text: &str) -> Option<TokenType> {
    let text = text.to_ascii_lowercase();
    match text.strip_prefix("application/").unwrap_or(&text) {
        "at+jwt" => Some(TokenType::Access),
        "jwt" => Some(TokenType::Plain),
        _ => None,
    }
}

impl Issuer {
    /// The tenant that a token names, by id or slug; for a token whose signature was verified with a key of this issuer.
    ///
    /// # Errors
    /// See [`TokenFault`].
    pub fn judge<'a>(&self, head: &Head, payload: &'a Payload, now: Timestamp) -> Result<&'a str, TokenFault> {
        let is_signed = self.spec.algorithms.contains(&head.algorithm)
            && self.spec.types.contains(&head.kind.unwrap_or(TokenType::Plain));
        if is_signed { self.judge_claims(&payload.0, now) } else { Err(TokenFault::Untrusted) }
    }

    /// What a token claims, whoever vouches for it.
    pub(super) fn judge_claims<'a>(
        &self,
        claims: &'a Map<String, Value>,
        now: Timestamp,
    ) -> Result<&'a str, TokenFault> {
        let is_ours = claims.get("iss").and_then(Value::as_str) == Some(self.name())
            // A security event (RFC 8417), such as a logout token, grants nothing.
            && !claims.contains_key("events")
            && self.is_for_us(claims.get("aud"));
        if !is_ours {
            return Err(TokenFault::Untrusted);
        }
        self.holds(claims, now.as_second())?;
        self.claim.find(claims).filter(|text| !text.is_empty()).ok_or(TokenFault::Tenantless)
    }

    fn is_for_us(&self, audience: Option<&Value>) -> bool {
        let is_known = |value: &Value| value.as_str().is_some_and(|text| self.spec.audiences.iter().any(|a| a == text));
        match audience {
            Some(Value::Array(list)) => list.iter().all(Value::is_string) && list.iter().any(is_known),
            Some(one) => is_known(one),
            None => false,
        }
    }

    /// Times are whole seconds since 1970. The life of a token is bounded from its issue where it says that, and from
    /// now in any case.
    fn holds(&self, claims: &Map<String, Value>, now: i64) -> Result<(), TokenFault> {
        let leeway = i64::from(self.spec.leeway_seconds);
        let life = i64::from(self.spec.max_lifetime_seconds);
        let time = |name: &str| match claims.get(name) {
            None => Ok(None),
            // Beyond the year 9999 sums could overflow.
            Some(value) => match value.as_i64().filter(|second| (0..253_402_300_800).contains(second)) {
                Some(second) => Ok(Some(second)),
                None => Err(TokenFault::Expired),
            },
        };
        let end = time("exp")?.ok_or(TokenFault::Expired)?;
        let issued = time("iat")?;
        let begin = time("nbf")?;
        let is_over = now >= end + leeway;
        let is_early = begin.into_iter().chain(issued).any(|second| second > now + leeway);
        let is_long = end > now + life + leeway || issued.is_some_and(|issued| end - issued > life);
        if is_over || is_early || is_long { Err(TokenFault::Expired) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::IssuerFile;
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn issuer(types: &[&str]) -> Issuer {
        let file: IssuerFile = serde_json::from_value(json!({ "issuers": [{
            "issuer": "https://login.example.com", "environment": "prod", "audiences": ["api", "web"],
            "keys": { "file": "/keys.json" }, "algorithms": ["RS256"], "claim": "tid", "types": types,
        }] }))
        .unwrap();
        Issuer::check(file).unwrap().remove(0)
    }

    fn claims() -> Value {
        json!({ "iss": "https://login.example.com", "aud": "api", "iat": NOW, "exp": NOW + 600, "tid": "acme" })
    }

    /// Base64url is the caller's; here the parts stand as they are.
    fn judge(head: &Value, claims: &Value, types: &[&str]) -> Result<String, TokenFault> {
        let text = format!("{}.{}.x", hex(head), hex(claims));
        let token = Unverified::parse(&text, unhex)?;
        let now = Timestamp::from_second(NOW).unwrap();
        issuer(types).judge(&token.head, &token.payload, now).map(ToOwned::to_owned)
    }

    fn hex(value: &Value) -> String {
        value.to_string().bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    fn unhex(text: &str) -> Option<Vec<u8>> {
        let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
        pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
    }

    fn with(field: &str, value: Value) -> Value {
        let mut claims = claims();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(field);
        } else {
            claims[field] = value;
        }
        claims
    }

    fn head() -> Value {
        json!({ "alg": "RS256", "typ": "at+jwt", "kid": "1" })
    }

    #[test]
    fn a_good_token_names_its_tenant() {
        assert_eq!(judge(&head(), &claims(), &["at+jwt"]).as_deref(), Ok("acme"));
        assert_eq!(judge(&head(), &with("aud", json!(["other", "web"])), &["at+jwt"]).as_deref(), Ok("acme"));
        assert_eq!(judge(&head(), &with("exp", json!(NOW - 29)), &["at+jwt"]), Ok("acme".into()), "clocks differ");
        assert_eq!(judge(&head(), &with("nbf", json!(NOW + 30)), &["at+jwt"]), Ok("acme".into()));
        assert_eq!(judge(&head(), &with("iat", Value::Null), &["at+jwt"]), Ok("acme".into()));
    }

    #[test]
    fn times_are_whole_bounded_seconds() {
        for (field, value) in [
            ("exp", Value::Null),
            ("exp", json!((NOW + 600).to_string())),
            ("exp", json!(-1)),
            ("exp", json!(0)),
            ("exp", json!(1e300)),
            ("exp", json!(i64::MAX)),
            ("exp", json!(u64::MAX)),
            ("exp", json!(NOW - 30)),
            ("exp", json!(NOW + 3601)),
            ("exp", json!(NOW + 86_400 * 365)),
            ("exp", json!([NOW + 600])),
            ("exp", json!(true)),
            ("nbf", json!(NOW + 31)),
            ("nbf", json!("soon")),
            ("nbf", json!(-5)),
            ("iat", json!(NOW + 31)),
            ("iat", json!(NOW.to_string())),
            ("iat", json!(NOW - 3001)),
        ] {
            assert_eq!(
                judge(&head(), &with(field, value.clone()), &["at+jwt"]),
                Err(TokenFault::Expired),
                "{field} {value}"
            );
        }
    }

    #[test]
    fn others_tokens_are_not_believed() {
        for (field, value) in [
            ("iss", json!("https://login.example.com/")),
            ("iss", json!("HTTPS://login.example.com")),
            ("iss", json!(["https://login.example.com"])),
            ("iss", Value::Null),
            ("aud", Value::Null),
            ("aud", json!("")),
            ("aud", json!("API")),
            ("aud", json!([])),
            ("aud", json!(["other"])),
            ("aud", json!(["api", 1])),
            ("aud", json!({ "api": true })),
            ("events", json!({ "http://schemas.openid.net/event/backchannel-logout": {} })),
        ] {
            let found = judge(&head(), &with(field, value.clone()), &["at+jwt"]);
            assert_eq!(found, Err(TokenFault::Untrusted), "{field} {value}");
        }
        for value in [Value::Null, json!(7), json!(""), json!(["acme"]), json!({ "x": "acme" })] {
            let found = judge(&head(), &with("tid", value.clone()), &["at+jwt"]);
            assert_eq!(found, Err(TokenFault::Tenantless), "{value}");
        }
    }

    #[test]
    fn types_are_those_of_the_issuer() {
        let of = |kind: Value, types: &[&str]| {
            let mut head = head();
            head["typ"] = kind;
            judge(&head, &claims(), types)
        };
        for kind in ["at+jwt", "AT+JWT", "application/at+jwt"] {
            assert_eq!(of(json!(kind), &["at+jwt"]).as_deref(), Ok("acme"), "{kind}");
            assert_eq!(of(json!(kind), &["JWT"]), Err(TokenFault::Untrusted), "{kind}");
        }
        assert_eq!(of(json!("JWT"), &["JWT", "at+jwt"]).as_deref(), Ok("acme"));
        assert_eq!(of(json!("JWT"), &["at+jwt"]), Err(TokenFault::Untrusted));
        let silent = json!({ "alg": "RS256", "kid": "1" });
        assert_eq!(judge(&silent, &claims(), &["at+jwt"]), Err(TokenFault::Untrusted));
        assert_eq!(judge(&silent, &claims(), &["JWT"]).as_deref(), Ok("acme"));
        for kind in ["id_token", "logout+jwt", "secevent+jwt", "dpop+jwt", "tenantry-context+jwt", "", "JOSE"] {
            assert_eq!(of(json!(kind), &["JWT", "at+jwt"]), Err(TokenFault::Untrusted), "{kind}");
        }
    }

    #[test]
    fn heads_ask_for_nothing_else() {
        for (head, fault) in [
            (json!({ "alg": "none" }), TokenFault::Untrusted),
            (json!({ "alg": "None" }), TokenFault::Untrusted),
            (json!({ "alg": "" }), TokenFault::Untrusted),
            (json!({ "alg": "HS256" }), TokenFault::Untrusted),
            (json!({ "alg": "rs256" }), TokenFault::Untrusted),
            (json!({ "alg": "ES256K" }), TokenFault::Untrusted),
            (json!({}), TokenFault::Malformed),
            (json!({ "alg": ["RS256"] }), TokenFault::Malformed),
            (json!({ "alg": "RS256", "crit": ["exp"] }), TokenFault::Untrusted),
            (json!({ "alg": "RS256", "crit": [] }), TokenFault::Untrusted),
            (json!({ "alg": "RS256", "b64": false }), TokenFault::Untrusted),
            (json!({ "alg": "RS256", "kid": 1 }), TokenFault::Malformed),
            (json!({ "alg": "RS256", "kid": "" }), TokenFault::Malformed),
            (json!({ "alg": "RS256", "kid": "k".repeat(257) }), TokenFault::Malformed),
            (json!({ "alg": "RS256", "typ": 1 }), TokenFault::Malformed),
        ] {
            assert_eq!(judge(&head, &claims(), &["JWT"]), Err(fault), "{head}");
        }
        let es = json!({ "alg": "ES256", "typ": "at+jwt" });
        assert_eq!(judge(&es, &claims(), &["at+jwt"]), Err(TokenFault::Untrusted), "not of this issuer");
    }

    #[test]
    fn a_token_has_three_parts_and_a_bound() {
        let (head, claims) = (hex(&head()), hex(&claims()));
        let long = format!("{head}.{claims}.{}", "a".repeat(MAX_BYTES));
        for text in [
            "",
            ".",
            "..",
            "a.b.c",
            &head,
            &format!("{head}.{claims}"),
            &format!("{head}.{claims}."),
            &format!("{head}.{claims}.x.y"),
            &format!("{head}.{claims}.x.y.z"),
            &format!("{head}..x"),
            &long,
        ] {
            assert_eq!(Unverified::parse(text, unhex), Err(TokenFault::Malformed), "{}", text.len());
        }
        let text = format!("{head}.{claims}.x");
        let token = Unverified::parse(&text, unhex).unwrap();
        assert_eq!((token.signed, token.signature), (format!("{head}.{claims}").as_str(), "x"));
        assert_eq!(token.issuer(), Some("https://login.example.com"));
    }
}
