//! `Tenantry-Context`: the context of a request as the control plane signed it, for calls between services.
//!
//! A compact JWS (RFC 7515) under Ed25519 (RFC 8037). INVARIANT: algorithm and type are fixed, the key is looked up by
//! its id among those of the control plane, and nothing that the token says leads to a look anywhere else.
//!
//! INVARIANT: a context whose key is known is verified without waiting, whatever becomes of the control plane and
//! whoever waits for a key that is not known.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use tenantry_api::v1::route::Key;
use tenantry_domain::Timestamp;
use tenantry_domain::id::TenantId;

use crate::error::{Error, Mismatch, Silence};
use crate::known;
use crate::plane::CONTEXT_MAX;
use crate::tenantry::Tenantry;

/// The header's name.
pub const HEADER: &str = "tenantry-context";

const TYPE: &str = "tenantry-context+jwt";
const ISSUER: &str = "tenantry";
/// By how much clocks of machines may differ, in seconds.
const SKEW: i64 = 5;
/// The longest life of a context, in seconds.
const LIFE: i64 = 60;
/// After this the keys are asked for again, in the background.
const KEYS_AGE: Duration = Duration::from_secs(300);
/// An unknown key is asked for no more often than this, so that made-up ones do not reach the control plane each time; the
/// same between attempts to get newer ones.
const KEYS_PAUSE: Duration = Duration::from_secs(1);

/// Why a context is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ContextFault {
    /// It is there twice, too long, or not three parts of Base64url.
    #[error("it is malformed")]
    Malformed,
    /// Its head names another algorithm or type, or asks for what is not known.
    #[error("it is of another kind")]
    Kind,
    /// No key of the control plane has this id.
    #[error("its key is not known")]
    Key,
    /// The signature is not that of the key.
    #[error("its signature is wrong")]
    Signature,
    /// Its claims cannot be read.
    #[error("its claims are malformed")]
    Claims,
    /// It is of another issuer or environment.
    #[error("it is for another environment")]
    Audience,
    /// It holds no longer, not yet, or for too long.
    #[error("it has expired")]
    Expired,
}

/// What a verified context says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The tenant.
    pub tenant: TenantId,
    /// Its slug when it was signed.
    pub slug: String,
    /// The placement's generation when it was signed.
    pub generation: i64,
    /// The plan when it was signed.
    pub plan: String,
    /// Until when it holds, in seconds since 1970.
    pub expires: i64,
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    typ: String,
    kid: String,
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    tid: String,
    slug: String,
    r#gen: i64,
    plan: String,
    iat: i64,
    exp: i64,
}

/// Verifies a context for an environment with the keys that are known.
///
/// # Errors
/// See [`ContextFault`].
pub fn verify(token: &str, keys: &[Key], environment: &str, now: Timestamp) -> Result<Context, ContextFault> {
    if token.len() > CONTEXT_MAX {
        return Err(ContextFault::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(ContextFault::Malformed)?;
    let (head, claims) = signed.split_once('.').ok_or(ContextFault::Malformed)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| ContextFault::Malformed);
    let (signature, claims) = (decode(signature)?, decode(claims)?);
    let head: Head = serde_json::from_slice(&decode(head)?).map_err(|_| ContextFault::Malformed)?;
    if head.alg != "EdDSA" || head.typ != TYPE || head.crit.is_some() {
        return Err(ContextFault::Kind);
    }
    let key = keys.iter().find(|key| key.kid == head.kid && key.kty == "OKP" && key.crv == "Ed25519");
    let key = decode(&key.ok_or(ContextFault::Key)?.x)?;
    UnparsedPublicKey::new(&ED25519, key).verify(signed.as_bytes(), &signature).map_err(|_| ContextFault::Signature)?;
    let claims: Claims = serde_json::from_slice(&claims).map_err(|_| ContextFault::Claims)?;
    if claims.iss != ISSUER || claims.aud != environment {
        return Err(ContextFault::Audience);
    }
    let now = now.as_second();
    let life = claims.exp.saturating_sub(claims.iat);
    if claims.exp <= now.saturating_sub(SKEW) || claims.iat > now.saturating_add(SKEW) || !(0..=LIFE).contains(&life) {
        return Err(ContextFault::Expired);
    }
    let tenant = claims.tid.parse().map_err(|_| ContextFault::Claims)?;
    Ok(Context { tenant, slug: claims.slug, generation: claims.r#gen, plan: claims.plan, expires: claims.exp })
}

/// The control plane's keys as far as they are known.
#[derive(Default)]
pub(crate) struct Keys {
    known: Mutex<Option<Known>>,
    asking: tokio::sync::Mutex<Option<Attempt>>,
}

#[derive(Clone)]
struct Known {
    keys: Vec<Key>,
    /// When newer ones are asked for.
    due: Instant,
}

/// The last question for keys.
struct Attempt {
    ended: Instant,
    failed: Option<Error>,
}

impl Keys {
    /// Verifies; asks for keys when there are none, or when one is missing. Old ones are renewed in the background.
    pub(crate) async fn verify<F>(
        self: &Arc<Self>,
        token: &str,
        environment: &str,
        now: Timestamp,
        ask: F,
    ) -> Result<Context, Error>
    where
        F: Future<Output = Result<Vec<Key>, Error>> + Send + 'static,
    {
        let refuse = |fault| Error::TenantMismatch(Mismatch::Context(fault));
        let known = self.known();
        // What is not even a context is refused without a question.
        let keys = known.as_ref().map_or(&[] as &[Key], |known| known.keys.as_slice());
        match verify(token, keys, environment, now) {
            Err(ContextFault::Key) => {}
            answer => {
                if known.is_some_and(|known| known.due <= Instant::now()) {
                    self.renew_behind(ask);
                }
                return answer.map_err(refuse);
            }
        }
        let keys = self.renew(ask).await?;
        verify(token, &keys, environment, now).map_err(refuse)
    }

    /// Asks in a task, unless somebody asks already or did a moment ago.
    fn renew_behind<F>(self: &Arc<Self>, ask: F)
    where
        F: Future<Output = Result<Vec<Key>, Error>> + Send + 'static,
    {
        if !self.asking.try_lock().is_ok_and(|last| is_quiet(last.as_ref())) {
            return;
        }
        let keys = Arc::clone(self);
        tokio::spawn(async move {
            if let Ok(mut last) = keys.asking.try_lock()
                && is_quiet(last.as_ref())
            {
                *last = Some(keys.asked(ask).await);
            }
        });
    }

    /// The newest keys, for a context whose key is not known. Of many who want them at once one asks.
    async fn renew(&self, ask: impl Future<Output = Result<Vec<Key>, Error>>) -> Result<Vec<Key>, Error> {
        let wanted = Instant::now();
        let mut last = self.asking.lock().await;
        let is_answered = last
            .as_ref()
            .is_some_and(|last| last.ended >= wanted || (self.known().is_some() && last.ended.elapsed() < KEYS_PAUSE));
        if !is_answered {
            *last = Some(self.asked(ask).await);
        }
        if let Some(known) = self.known() {
            return Ok(known.keys);
        }
        let failed = last.as_ref().and_then(|last| last.failed.as_ref()).and_then(known::copy);
        Err(failed.unwrap_or_else(|| Error::ControlPlaneUnavailable(Silence::Away("no keys".to_owned()))))
    }

    async fn asked(&self, ask: impl Future<Output = Result<Vec<Key>, Error>>) -> Attempt {
        let answer = ask.await;
        let ended = Instant::now();
        let failed = match answer {
            Ok(keys) => {
                *self.lock() = Some(Known { keys, due: ended + KEYS_AGE });
                None
            }
            Err(error) => Some(error),
        };
        Attempt { ended, failed }
    }

    fn known(&self) -> Option<Known> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nobody asked a moment ago.
fn is_quiet(last: Option<&Attempt>) -> bool {
    last.is_none_or(|last| last.ended.elapsed() >= KEYS_PAUSE)
}

/// A context that the control plane signed for us.
#[derive(Clone)]
pub(crate) struct Signed {
    token: String,
    context: Context,
}

impl Signed {
    /// For how long one is handed out: half of its life, so that whoever gets it has time to use it.
    pub(crate) const AGE: Duration = Duration::from_secs(30);

    pub(crate) async fn new(token: String, tenantry: &Tenantry) -> Result<Self, Error> {
        let context = tenantry.verify(&token).await?;
        Ok(Self { token, context })
    }

    pub(crate) const fn tenant(&self) -> TenantId {
        self.context.tenant
    }

    /// The token, while anybody believes it.
    pub(crate) fn into_token(self) -> Result<String, Error> {
        if self.context.expires > Timestamp::now().as_second() {
            return Ok(self.token);
        }
        Err(Error::ControlPlaneUnavailable(Silence::Away("the signed context has expired".to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn key() -> Key {
        let x = URL_SAFE_NO_PAD.encode(pair().public_key().as_ref());
        let text = |word: &str| word.to_owned();
        Key { kty: text("OKP"), crv: text("Ed25519"), alg: text("EdDSA"), usage: text("sig"), kid: text("k1"), x }
    }

    fn token(change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let mut head = json!({ "alg": "EdDSA", "typ": TYPE, "kid": "k1" });
        let mut claims = json!({
            "iss": "tenantry", "aud": "prod", "tid": "ten_01jd8x3v9mfk2t5h7q0w4z6y8c", "slug": "acme", "gen": 2,
            "plan": "starter", "iat": NOW, "exp": NOW + 60,
        });
        change(&mut head, &mut claims);
        sign(&head.to_string(), &claims.to_string())
    }

    fn sign(head: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(pair().sign(signed.as_bytes()).as_ref());
        format!("{signed}.{signature}")
    }

    fn judge(token: &str) -> Result<Context, ContextFault> {
        verify(token, &[key()], "prod", Timestamp::from_second(NOW + 10).unwrap())
    }

    #[test]
    fn a_good_one_says_whose_it_is() {
        let context = judge(&token(|_, _| {})).unwrap();
        assert_eq!((context.slug.as_str(), context.generation), ("acme", 2));
        assert_eq!(context.tenant.to_string(), "ten_01jd8x3v9mfk2t5h7q0w4z6y8c");
    }

    #[test]
    fn every_other_one_is_refused() {
        type Change = fn(&mut Value, &mut Value);
        let bad: [(Change, ContextFault); 15] = [
            (|head, _| head["alg"] = json!("none"), ContextFault::Kind),
            (|head, _| head["alg"] = json!("HS256"), ContextFault::Kind),
            (|head, _| head["typ"] = json!("JWT"), ContextFault::Kind),
            (|head, _| head["crit"] = json!(["exp"]), ContextFault::Kind),
            (|head, _| head["kid"] = json!("../../etc/passwd"), ContextFault::Key),
            (|_, claims| claims["aud"] = json!("staging"), ContextFault::Audience),
            (|_, claims| claims["iss"] = json!("other"), ContextFault::Audience),
            (|_, claims| claims["exp"] = json!(NOW), ContextFault::Expired),
            (|_, claims| claims["exp"] = json!(NOW + 3600), ContextFault::Expired),
            (|_, claims| claims["exp"] = json!(i64::MAX), ContextFault::Expired),
            (|_, claims| claims["iat"] = json!(NOW + 30), ContextFault::Expired),
            (|_, claims| claims["exp"] = json!("never"), ContextFault::Claims),
            (|_, claims| claims["exp"] = Value::Null, ContextFault::Claims),
            (|_, claims| claims["tid"] = json!("acme"), ContextFault::Claims),
            (|_, claims| claims["tid"] = json!("cel_01jd8x3v9mfk2t5h7q0w4z6y8c"), ContextFault::Claims),
        ];
        for (place, (change, fault)) in bad.into_iter().enumerate() {
            assert_eq!(judge(&token(change)), Err(fault), "{place}");
        }
        let twice = sign(
            &json!({ "alg": "EdDSA", "typ": TYPE, "kid": "k1" }).to_string(),
            r#"{"iss":"tenantry","aud":"prod","tid":"ten_01jd8x3v9mfk2t5h7q0w4z6y8c","tid":"ten_01jd8x3v9mfk2t5h7q0w4z6y8d"}"#,
        );
        assert_eq!(judge(&twice), Err(ContextFault::Claims), "a claim that is there twice");
        for malformed in ["", ".", "..", "a.b", "a.b.c.d", &"x".repeat(CONTEXT_MAX + 1)] {
            assert_eq!(judge(malformed), Err(ContextFault::Malformed), "{malformed}");
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let good = token(|_, _| {});
        for place in 0..good.len() {
            let mut changed = good.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(changed == good || judge(&changed).is_err(), "byte {place}");
        }
    }

    #[tokio::test]
    async fn made_up_keys_do_not_reach_the_control_plane_each_time() {
        let (keys, asked) = (Arc::<Keys>::default(), Arc::new(AtomicU32::new(0)));
        let ask = || {
            let asked = Arc::clone(&asked);
            async move {
                asked.fetch_add(1, Ordering::Relaxed);
                Ok(vec![key()])
            }
        };
        let now = Timestamp::from_second(NOW + 10).unwrap();
        assert!(keys.verify("nonsense", "prod", now, ask()).await.is_err());
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        for number in 0..50 {
            let forged = token(|head, _| head["kid"] = json!(format!("k{}", number + 2)));
            assert!(keys.verify(&forged, "prod", now, ask()).await.is_err());
        }
        assert!(keys.verify(&token(|_, _| {}), "prod", now, ask()).await.is_ok());
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    /// The control plane hangs, outsiders send contexts with keys that nobody has, and the keys that are known are old.
    #[tokio::test]
    async fn a_known_key_is_never_waited_for() {
        const HANGS: Duration = Duration::from_millis(700);
        let (keys, asked) = (Arc::<Keys>::default(), Arc::new(AtomicU32::new(0)));
        *keys.lock() = Some(Known { keys: vec![key()], due: Instant::now() });
        let ask = || {
            let asked = Arc::clone(&asked);
            async move {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(HANGS).await;
                Err(Error::ControlPlaneUnavailable(Silence::Away("test".into())))
            }
        };
        let now = Timestamp::from_second(NOW + 10).unwrap();
        let (good, forged) = (token(|_, _| {}), token(|head, _| head["kid"] = json!("k2")));
        let began = Instant::now();
        let forgers = futures_util::future::join_all((0..50).map(|_| keys.verify(&forged, "prod", now, ask())));
        let users = async {
            for _ in 0..100 {
                assert!(keys.verify(&good, "prod", now, ask()).await.is_ok());
            }
            began.elapsed()
        };
        let (refused, waited) = futures_util::future::join(forgers, users).await;
        assert!(waited < HANGS, "{waited:?} for 100 contexts with a key that is known");
        assert!(refused.iter().all(Result::is_err));
        assert!(began.elapsed() < 2 * HANGS, "{:?}: they waited one after the other", began.elapsed());
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        // With no forger about, the known key is renewed in the background, by one question at a time.
        tokio::time::sleep(KEYS_PAUSE).await;
        for _ in 0..100 {
            assert!(keys.verify(&good, "prod", now, ask()).await.is_ok());
            tokio::task::yield_now().await;
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn those_who_wait_for_the_first_keys_share_what_comes_of_it() {
        let (keys, asked) = (Arc::<Keys>::default(), Arc::new(AtomicU32::new(0)));
        let ask = || {
            let asked = Arc::clone(&asked);
            async move {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(Error::ControlPlaneUnavailable(Silence::Away("test".into())))
            }
        };
        let (good, now) = (token(|_, _| {}), Timestamp::from_second(NOW + 10).unwrap());
        let all = futures_util::future::join_all((0..50).map(|_| keys.verify(&good, "prod", now, ask()))).await;
        assert!(all.iter().all(|answer| matches!(answer, Err(Error::ControlPlaneUnavailable(_)))));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
