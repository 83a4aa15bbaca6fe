//! A service account of the provider, and the access tokens that it is given for a signed assertion (RFC 7523).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tenantry_domain::Timestamp;
use tokio::sync::Mutex;

use crate::call::{self, Door};
use crate::error::IdentityError;
use crate::options::is_safe;

/// What we ask to be let do.
const SCOPE: &str = "https://www.googleapis.com/auth/identitytoolkit";

/// The grant of RFC 7523, section 2.1.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How long an assertion holds; the provider takes at most an hour.
const LIFE: i64 = 600;

/// A token is replaced so long before its end, so that none ends on its way.
const EARLY: Duration = Duration::from_secs(300);

/// The longest that a token is believed to hold, whatever is said.
const LONGEST: Duration = Duration::from_secs(3600);

/// The largest file that is read, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// Why a file is no service account's key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceAccountError {
    /// It cannot be read as one.
    #[error("is not the JSON key of a service account: {0}")]
    Form(&'static str),
    /// The key's tokens would go over the net without encryption.
    #[error("`token_uri` must be an https address")]
    Address,
}

/// The file, as the provider writes it.
#[derive(Deserialize)]
struct File {
    #[serde(rename = "type")]
    kind: String,
    client_email: String,
    private_key_id: String,
    private_key: SecretString,
    token_uri: String,
}

struct Inner {
    email: String,
    key_id: String,
    key: RsaKeyPair,
    token_uri: Url,
    /// Held while a token is fetched, so that any number of callers make one request.
    token: Mutex<Option<(SecretString, Instant)>>,
}

/// A service account with its key.
#[derive(Clone)]
pub struct ServiceAccount(Arc<Inner>);

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceAccount({})", self.0.email)
    }
}

impl ServiceAccount {
    /// Reads a JSON key.
    ///
    /// # Errors
    /// See [`ServiceAccountError`]; nothing of the text is repeated.
    pub fn parse(text: &SecretString) -> Result<Self, ServiceAccountError> {
        let form = ServiceAccountError::Form;
        let text = text.expose_secret();
        if text.len() > MAX_BYTES {
            return Err(form("it is larger than 64 KiB"));
        }
        let missing = "it must be JSON with type, client_email, private_key_id, private_key and token_uri";
        let file: File = serde_json::from_str(text).map_err(|_| form(missing))?;
        if file.kind != "service_account" {
            return Err(form("its `type` is not `service_account`"));
        }
        let is_text = |text: &str| (1..=320).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_text(&file.client_email) || !is_text(&file.private_key_id) {
            return Err(form("`client_email` and `private_key_id` must be visible characters"));
        }
        let token_uri = Url::parse(&file.token_uri).ok().filter(is_safe).ok_or(ServiceAccountError::Address)?;
        let key = private_key(file.private_key.expose_secret())
            .ok_or(form("`private_key` is not an RSA key in PKCS #8 form (BEGIN PRIVATE KEY)"))?;
        let (email, key_id) = (file.client_email, file.private_key_id);
        Ok(Self(Arc::new(Inner { email, key_id, key, token_uri, token: Mutex::new(None) })))
    }

    /// An access token that holds for a while, fetched if need be. `spent` is one that was just refused.
    pub(crate) async fn token(&self, door: &Door, spent: Option<&SecretString>) -> Result<SecretString, IdentityError> {
        let mut kept = self.0.token.lock().await;
        let is_spent = |token: &SecretString| spent.is_some_and(|old| old.expose_secret() == token.expose_secret());
        if let Some((token, until)) = kept.as_ref()
            && Instant::now() < *until
            && !is_spent(token)
        {
            return Ok(token.clone());
        }
        let (token, life) = self.fetch(door).await?;
        *kept = Some((token.clone(), Instant::now() + life.saturating_sub(EARLY)));
        Ok(token)
    }

    async fn fetch(&self, door: &Door) -> Result<(SecretString, Duration), IdentityError> {
        #[derive(Deserialize)]
        struct Answer {
            access_token: SecretString,
            expires_in: u64,
        }
        let assertion = self.assertion(Timestamp::now())?;
        let body = form(&[("grant_type", GRANT), ("assertion", assertion.expose_secret())]);
        let send = || {
            door.client()
                .post(self.0.token_uri.clone())
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body.expose_secret().to_owned())
        };
        // A token more does no harm, so this may be repeated.
        let bytes = door.send(call::Repeat::Safe, send).await.map_err(|error| match error {
            // `invalid_grant` and its like: the account or its key is not known any more.
            IdentityError::Refused { word, .. } => IdentityError::Credential { word },
            other => other,
        })?;
        let answer: Answer = call::read(&bytes, "the token endpoint sends no access token")?;
        Ok((answer.access_token, Duration::from_secs(answer.expires_in).min(LONGEST)))
    }

    fn assertion(&self, now: Timestamp) -> Result<SecretString, IdentityError> {
        let now = now.as_second();
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(&serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": self.0.key_id }));
        let claims = part(&serde_json::json!({
            "iss": self.0.email, "scope": SCOPE, "aud": self.0.token_uri.as_str(), "iat": now, "exp": now + LIFE,
        }));
        let signed = format!("{head}.{claims}");
        let mut signature = vec![0; self.0.key.public_modulus_len()];
        let random = SystemRandom::new();
        let done = self.0.key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature);
        done.map_err(|_| IdentityError::NoRandomness)?;
        Ok(SecretString::from(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

/// A key in the form of RFC 7468, section 10.
fn private_key(pem: &str) -> Option<RsaKeyPair> {
    let body = pem.trim().strip_prefix("-----BEGIN PRIVATE KEY-----")?.strip_suffix("-----END PRIVATE KEY-----")?;
    let body: SecretString = body.split_ascii_whitespace().collect::<String>().into();
    let der = STANDARD.decode(body.expose_secret()).ok()?;
    RsaKeyPair::from_pkcs8(&der).ok().filter(|key| key.public_modulus_len() >= 256)
}

/// The form that token endpoints take (RFC 6749, appendix B).
fn form(fields: &[(&str, &str)]) -> SecretString {
    let escape = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        text.bytes().fold(String::new(), |mut done, byte| {
            if plain(byte) {
                done.push(char::from(byte));
            } else {
                done.push_str(&format!("%{byte:02X}"));
            }
            done
        })
    };
    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    SecretString::from(pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused_without_repeating_it() {
        for (text, part) in [
            ("secret-text", "JSON"),
            ("{}", "JSON"),
            (
                r#"{"type":"authorized_user","client_email":"a","private_key_id":"b","private_key":"secret-text","token_uri":"https://a.example"}"#,
                "`type`",
            ),
            (
                r#"{"type":"service_account","client_email":"a","private_key_id":"b","private_key":"secret-text","token_uri":"http://a.example"}"#,
                "`token_uri`",
            ),
            (
                r#"{"type":"service_account","client_email":"a","private_key_id":"b","private_key":"secret-text","token_uri":"https://a.example"}"#,
                "`private_key`",
            ),
            (
                r#"{"type":"service_account","client_email":"a b","private_key_id":"b","private_key":"secret-text","token_uri":"https://a.example"}"#,
                "`client_email`",
            ),
        ] {
            let error = ServiceAccount::parse(&SecretString::from(text)).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("secret-text"), "{error}");
        }
        let large = " ".repeat(MAX_BYTES + 1);
        assert!(ServiceAccount::parse(&SecretString::from(large)).is_err());
    }

    #[test]
    fn forms_are_escaped() {
        assert_eq!(form(&[("a", "urn:x:y"), ("b", "c+d&e=f")]).expose_secret(), "a=urn%3Ax%3Ay&b=c%2Bd%26e%3Df");
    }
}
