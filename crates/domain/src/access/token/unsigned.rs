//! Tokens of an emulator, which nobody signs.
//!
//! INVARIANT: nothing here is reached by a token of an issuer that signs, and no issuer that signs is reached from here.

use serde_json::Value;

use super::{Issuer, MAX_BYTES, Payload, TokenFault, Unverified, strict};
use crate::Timestamp;

impl Unverified<'_> {
    /// Takes a token of an emulator apart: its head is `{"alg":"none","typ":"JWT"}` and nothing signs it, so that anybody
    /// can write one. For [`Issuer::judge_unsigned`] alone.
    ///
    /// # Errors
    /// It is malformed, or is not of this form to the letter.
    pub fn parse_unsigned(text: &str, decode: impl Fn(&str) -> Option<Vec<u8>>) -> Result<Payload, TokenFault> {
        if text.len() > MAX_BYTES {
            return Err(TokenFault::Malformed);
        }
        let parts: Vec<&str> = text.splitn(4, '.').collect();
        let [head, payload, ""] = parts.as_slice() else { return Err(TokenFault::Malformed) };
        let read = |part: &str| decode(part).and_then(|bytes| strict::object(&bytes)).ok_or(TokenFault::Malformed);
        let head = read(head)?;
        let says = |name: &str, text: &str| head.get(name).and_then(Value::as_str) == Some(text);
        if head.len() != 2 || !says("alg", "none") || !says("typ", "JWT") {
            return Err(TokenFault::Untrusted);
        }
        Ok(Payload(read(payload)?))
    }
}

impl Issuer {
    /// The same for a token of an emulator, which nobody signed. Nothing of it may be believed outside of development.
    ///
    /// # Errors
    /// See [`TokenFault`]; always for an issuer that signs.
    pub fn judge_unsigned<'a>(&self, payload: &'a Payload, now: Timestamp) -> Result<&'a str, TokenFault> {
        if self.is_unsigned() { self.judge_claims(&payload.0, now) } else { Err(TokenFault::Untrusted) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::IssuerFile;
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn claims() -> Value {
        json!({ "iss": "https://login.example.com", "aud": "api", "iat": NOW, "exp": NOW + 600, "tid": "acme" })
    }

    fn with(field: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[field] = value;
        claims
    }

    fn issuer(signs: bool) -> Issuer {
        let mut one = json!({
            "issuer": "https://login.example.com", "environment": "prod", "audiences": ["api"], "claim": "tid",
            "names": "pool", "membersOnly": true, "keys": "emulator", "types": ["JWT"],
        });
        if signs {
            one["keys"] = json!({ "file": "/keys.json" });
            one["algorithms"] = json!(["RS256"]);
        }
        let file: IssuerFile = serde_json::from_value(json!({ "issuers": [one] })).unwrap();
        Issuer::check(file).unwrap().remove(0)
    }

    fn hex(value: &Value) -> String {
        value.to_string().bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    fn unhex(text: &str) -> Option<Vec<u8>> {
        let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
        pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
    }

    #[test]
    fn an_unsigned_token_is_of_one_form_and_for_an_emulator_alone() {
        let emulator = issuer(false);
        let now = Timestamp::from_second(NOW).unwrap();
        let text = |head: &Value, tail: &str| format!("{}.{}.{tail}", hex(head), hex(&claims()));
        let plain = json!({ "alg": "none", "typ": "JWT" });
        let payload = Unverified::parse_unsigned(&text(&plain, ""), unhex).unwrap();
        assert_eq!(emulator.judge_unsigned(&payload, now), Ok("acme"));
        assert_eq!(issuer(true).judge_unsigned(&payload, now), Err(TokenFault::Untrusted), "it signs");
        // What everybody else gets for the same text.
        assert_eq!(Unverified::parse(&text(&plain, ""), unhex), Err(TokenFault::Malformed));
        assert_eq!(Unverified::parse(&text(&plain, "x"), unhex), Err(TokenFault::Untrusted));
        for head in [
            json!({ "alg": "None", "typ": "JWT" }),
            json!({ "alg": "RS256", "typ": "JWT" }),
            json!({ "alg": "none", "typ": "at+jwt" }),
            json!({ "alg": "none" }),
            json!({ "alg": "none", "typ": "JWT", "kid": "1" }),
        ] {
            assert_eq!(Unverified::parse_unsigned(&text(&head, ""), unhex), Err(TokenFault::Untrusted), "{head}");
        }
        assert_eq!(Unverified::parse_unsigned(&text(&plain, "x"), unhex), Err(TokenFault::Malformed));
        for (field, value) in [("aud", json!("web")), ("iss", json!("https://other.example")), ("exp", json!(NOW - 60))]
        {
            let text = format!("{}.{}.", hex(&plain), hex(&with(field, value)));
            let payload = Unverified::parse_unsigned(&text, unhex).unwrap();
            assert!(emulator.judge_unsigned(&payload, now).is_err(), "{field}");
        }
        // No head leads an emulator's issuer to believe a signature.
        let signed = format!("{}.{}.x", hex(&json!({ "alg": "RS256", "typ": "JWT" })), hex(&claims()));
        let token = Unverified::parse(&signed, unhex).unwrap();
        assert_eq!(emulator.judge(&token.head, &token.payload, now), Err(TokenFault::Untrusted));
    }
}
