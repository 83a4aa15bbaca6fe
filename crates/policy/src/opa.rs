//! A decision point outside, asked by the data API of the Open Policy Agent: `POST <url>/v1/data/<path>` with `{"input":
//! <question>}`, answered by `{"result": true}` or `{"result": {"allow": true, "reasons": ["…"]}}`.
//!
//! INVARIANT: only an answer that says yes is a yes. No answer in time, one that is too long, one that cannot be read,
//! an undefined result: all of them are errors, and callers refuse. A service that failed five times in a row is left
//! alone for five seconds, so that its outage costs callers no time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::action;
use crate::answer::Answer;
use crate::breaker::Breaker;
use crate::question::Question;
use crate::source::is_safe;

/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// Most reasons that are taken over, and the longest of them in characters.
const MAX_REASONS: usize = 20;
const MAX_REASON: usize = 500;

/// How the decision point is reached.
#[derive(Debug, Clone)]
pub struct OpaSettings {
    /// Its address, without `/v1/data`.
    pub url: String,
    /// The rule that is asked, `tenantry/main`.
    pub path: String,
    /// Sent as a bearer token.
    pub token: Option<SecretString>,
    /// How long one call may take.
    pub timeout: Duration,
}

impl OpaSettings {
    /// Those of an address and a rule, with half a second for a call.
    #[must_use]
    pub fn new(url: impl Into<String>, path: impl Into<String>) -> Self {
        Self { url: url.into(), path: path.into(), token: None, timeout: Duration::from_millis(500) }
    }
}

/// A decision point outside.
#[derive(Debug)]
pub struct Opa {
    client: Client,
    endpoint: Url,
    token: Option<SecretString>,
    path: String,
    breaker: Mutex<Breaker>,
}

/// Why there is no decision.
#[derive(Debug, thiserror::Error)]
pub enum OpaError {
    /// The address or the path cannot be used.
    #[error(
        "the decision point needs an https address (http on this machine) and a path of letters, digits, `_` and `/`"
    )]
    Address,
    /// The client cannot be made, or the call failed.
    #[error("the decision point does not answer")]
    Http(#[from] reqwest::Error),
    /// It failed often enough to be left alone for a moment.
    #[error("the decision point did not answer the last calls and is left alone for a moment")]
    Open,
    /// Another status than 200.
    #[error("the decision point answers with status {0}")]
    Status(u16),
    /// More than is read.
    #[error("the decision point's answer is longer than {MAX_ANSWER} bytes")]
    Large,
    /// The rule has no value for this question, or is not there.
    #[error("the decision point has no value for rule `{0}`")]
    Undefined(String),
    /// Neither a boolean nor an object with `allow`.
    #[error("the decision point's answer is neither a boolean nor an object with a boolean `allow`")]
    Form,
}

impl OpaError {
    /// Whether the service is not there to answer, so that the next question would wait for nothing as well.
    const fn is_silence(&self) -> bool {
        match self {
            Self::Http(_) => true,
            Self::Status(status) => *status >= 500,
            Self::Address | Self::Open | Self::Large | Self::Undefined(_) | Self::Form => false,
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    input: Input<'a>,
}

#[derive(Serialize)]
struct Input<'a> {
    #[serde(flatten)]
    question: &'a Question,
    /// Groups of the action, so that rules need no list of their own.
    groups: &'static [&'static str],
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    result: Option<Value>,
}

impl Opa {
    /// Prepares the calls; nothing is asked yet.
    ///
    /// # Errors
    /// The address or path cannot be used.
    pub fn new(settings: OpaSettings) -> Result<Self, OpaError> {
        let base = Url::parse(settings.url.trim_end_matches('/')).map_err(|_| OpaError::Address)?;
        let path = settings.path.trim_matches('/').to_owned();
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let part = |part: &str| !part.is_empty() && part.bytes().all(letter);
        if !is_safe(&base) || base.query().is_some() || !path.split('/').all(part) {
            return Err(OpaError::Address);
        }
        let endpoint = format!("{}/v1/data/{path}", base.as_str().trim_end_matches('/'));
        let endpoint = Url::parse(&endpoint).map_err(|_| OpaError::Address)?;
        let client = Client::builder().redirect(Policy::none()).no_proxy().timeout(settings.timeout).build()?;
        Ok(Self { client, endpoint, token: settings.token, path, breaker: Mutex::default() })
    }

    /// Asks.
    ///
    /// # Errors
    /// There is no decision; the caller refuses.
    pub async fn ask(&self, question: &Question) -> Result<Answer, OpaError> {
        if !self.lock().may_pass(Instant::now()) {
            return Err(OpaError::Open);
        }
        let asked = self.call(question).await;
        let mut breaker = self.lock();
        match &asked {
            Err(error) if error.is_silence() => breaker.failed(Instant::now()),
            // What it says of one question says nothing of the next: this one is refused, and the service is there.
            _ => breaker.succeeded(),
        }
        drop(breaker);
        asked
    }

    async fn call(&self, question: &Question) -> Result<Answer, OpaError> {
        let groups = action::groups(&question.action).unwrap_or_default();
        let mut request = self.client.post(self.endpoint.clone()).json(&Body { input: Input { question, groups } });
        if let Some(token) = &self.token {
            let mut value =
                HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).map_err(|_| OpaError::Address)?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let mut response = request.send().await?;
        if response.status().as_u16() != 200 {
            return Err(OpaError::Status(response.status().as_u16()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(OpaError::Large);
            }
            bytes.extend_from_slice(&chunk);
        }
        let reply: Reply = serde_json::from_slice(&bytes).map_err(|_| OpaError::Form)?;
        let result = reply.result.ok_or_else(|| OpaError::Undefined(self.path.clone()))?;
        self.read(&result)
    }

    fn read(&self, result: &Value) -> Result<Answer, OpaError> {
        let rule = format!("opa:{}", self.path);
        let (allowed, members) = match result {
            Value::Bool(allowed) => (*allowed, None),
            Value::Object(members) => {
                (members.get("allow").and_then(Value::as_bool).ok_or(OpaError::Form)?, Some(members))
            }
            _ => return Err(OpaError::Form),
        };
        let member = |name: &str| members.and_then(|members| members.get(name));
        let short = |text: &str| text.chars().take(MAX_REASON).collect::<String>();
        let reasons = member("reasons").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let reasons: Vec<_> = reasons.take(MAX_REASONS).map(short).collect();
        let revision =
            member("revision").and_then(Value::as_str).map_or_else(String::new, |text| format!("@{}", short(text)));
        let remedy = member("remedy").and_then(Value::as_str).map(short);
        let advice = || {
            if reasons.is_empty() {
                "Ask those who look after the decision point.".to_owned()
            } else {
                reasons.join(" ")
            }
        };
        Ok(Answer {
            allowed,
            remedy: (!allowed).then(|| remedy.unwrap_or_else(advice)),
            fingerprint: format!("{rule}{revision}"),
            rules: vec![rule],
            faults: Vec::new(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
