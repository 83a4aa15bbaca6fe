//! One call: headers, tries, pauses, and the reading of what came back.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::error::ClientError;
use crate::problem::{Problem, kind_of_status};
use crate::v1::audit::Receipt;

/// How often and how patiently a call is repeated.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Tries in all; 1 means no repetition.
    pub tries: u32,
    /// The longest first pause; doubles with each further one. The pause itself is drawn from zero to this.
    pub base: Duration,
    /// No pause is longer, also when the server asks for more.
    pub cap: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { tries: 3, base: Duration::from_millis(250), cap: Duration::from_secs(15) }
    }
}

/// What came back, with what stood in the headers.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<T> {
    /// The body.
    pub value: T,
    /// The operation that follows; absent when nothing is left to do.
    pub operation: Option<String>,
    /// The version of what was answered, for the next `If-Match`.
    pub version: Option<i64>,
    /// The proof that the mutation was recorded.
    pub receipt: Option<Receipt>,
    /// The request's chain.
    pub correlation_id: Option<String>,
}

/// A request before it is sent.
#[derive(Debug, Clone)]
pub(super) struct Call {
    method: Method,
    path: Vec<String>,
    query: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    content_type: &'static str,
    if_match: Option<String>,
    key: Option<String>,
    extra: Duration,
}

impl Call {
    pub(super) fn new<S: Into<String>>(method: Method, path: impl IntoIterator<Item = S>) -> Self {
        Self {
            method,
            path: path.into_iter().map(Into::into).collect(),
            query: Vec::new(),
            body: None,
            content_type: "application/json",
            if_match: None,
            key: None,
            extra: Duration::ZERO,
        }
    }

    pub(super) fn get<S: Into<String>>(path: impl IntoIterator<Item = S>) -> Self {
        Self::new(Method::GET, path)
    }

    /// A mutation: gets a key of its own, which all tries share.
    pub(super) fn keyed<S: Into<String>>(method: Method, path: impl IntoIterator<Item = S>) -> Self {
        Self { key: Some(Uuid::new_v4().simple().to_string()), ..Self::new(method, path) }
    }

    /// Adds the fields of a flat value as parameters.
    pub(super) fn query(mut self, query: &impl Serialize) -> Self {
        if let Ok(serde_json::Value::Object(members)) = serde_json::to_value(query) {
            for (name, value) in members {
                let texts = match value {
                    serde_json::Value::Null => continue,
                    serde_json::Value::String(text) => vec![text],
                    serde_json::Value::Array(items) => {
                        items.iter().filter_map(|item| item.as_str().map(ToOwned::to_owned)).collect()
                    }
                    other => vec![other.to_string()],
                };
                self.query.extend(texts.into_iter().map(|text| (name.clone(), text)));
            }
        }
        self
    }

    pub(super) fn parameter(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn body(mut self, body: &impl Serialize) -> Self {
        // Our own shapes hold nothing that JSON cannot say.
        self.body = serde_json::to_vec(body).ok();
        self
    }

    pub(super) fn content_type(mut self, content_type: &'static str) -> Self {
        self.content_type = content_type;
        self
    }

    pub(super) fn expecting(mut self, expected: super::Expected) -> Self {
        self.if_match = Some(expected.header());
        self
    }

    /// Lets the server wait for the operation's end before it answers.
    pub(super) fn waiting(mut self, wait: Option<Duration>) -> Self {
        if let Some(wait) = wait {
            self.query.push(("wait".to_owned(), super::wait_parameter(wait)));
            self.extra = Duration::from_secs(30);
        }
        self
    }

    fn may_repeat(&self) -> bool {
        self.method.is_safe() || self.key.is_some()
    }
}

/// The connection pool with what every request carries.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    http: reqwest::Client,
    pub(super) base: Url,
    token: SecretString,
    pub(super) correlation_id: Option<String>,
    pub(super) retry: Retry,
}

/// The server ends a request after thirty seconds; a little longer here, so that its answer is heard.
const PATIENCE: Duration = Duration::from_secs(35);

impl Transport {
    pub(super) fn new(url: &str, token: SecretString) -> Result<Self, ClientError> {
        let wrong = || ClientError::Address(crate::parse::read::shorten(url));
        let mut base = Url::parse(url).map_err(|_| wrong())?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(wrong());
        }
        // Credentials in an address end up in logs; the token is the only one.
        base.set_username("").and_then(|()| base.set_password(None)).map_err(|()| wrong())?;
        base.set_query(None);
        base.set_fragment(None);
        let http = reqwest::Client::builder()
            .user_agent(concat!("tenantry-client/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|source| ClientError::Transport { url: origin(&base), source })?;
        Ok(Self { http, base, token, correlation_id: None, retry: Retry::default() })
    }

    /// Sends a call and reads a value out of the answer.
    pub(super) async fn send<T: DeserializeOwned>(&self, call: Call) -> Result<Answer<T>, ClientError> {
        let response = self.repeat(&call).await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let bytes = response.bytes().await.map_err(|source| self.lost(source))?;
        let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        let value =
            serde_json::from_slice(bytes).map_err(|source| ClientError::Decode { status, source: Some(source) })?;
        Ok(Answer {
            value,
            operation: text(&headers, "operation-id"),
            version: text(&headers, "etag").as_deref().and_then(version_of),
            receipt: text(&headers, "audit-receipt").as_deref().and_then(receipt_of),
            correlation_id: text(&headers, "x-correlation-id"),
        })
    }

    /// Sends a call and gives the answer's text to the byte.
    pub(super) async fn text(&self, call: Call) -> Result<String, ClientError> {
        let response = self.repeat(&call).await?;
        response.text().await.map_err(|source| self.lost(source))
    }

    /// Opens an endless answer; it is not bounded in time.
    pub(super) async fn open(&self, call: &Call, last_event_id: Option<&str>) -> Result<Response, ClientError> {
        let mut request = self.request(call)?.header(ACCEPT, "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.map_err(|source| self.lost(source))?;
        if response.status().is_success() { Ok(response) } else { Err(problem(response).await) }
    }

    async fn repeat(&self, call: &Call) -> Result<Response, ClientError> {
        let tries = if call.may_repeat() { self.retry.tries.max(1) } else { 1 };
        let mut made = 0;
        loop {
            made += 1;
            let sent = self.request(call)?.timeout(PATIENCE + call.extra).send().await;
            let is_last = made >= tries;
            let after = match sent {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) if is_last || !is_passing(response.status()) => return Err(problem(response).await),
                Ok(response) => retry_after(response.headers()),
                Err(source) if is_last || source.is_builder() => return Err(self.lost(source)),
                Err(_) => None,
            };
            tokio::time::sleep(self.pause(made, after)).await;
        }
    }

    /// Full jitter, so that clients which failed together do not come back together.
    fn pause(&self, made: u32, after: Option<Duration>) -> Duration {
        let most = self.retry.base.saturating_mul(1 << (made - 1).min(16)).min(self.retry.cap);
        let share = f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
        (after.unwrap_or_default() + most.mul_f64(share)).min(self.retry.cap)
    }

    fn request(&self, call: &Call) -> Result<reqwest::RequestBuilder, ClientError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| ClientError::Address(origin(&self.base)))?
            .pop_if_empty()
            .extend(&call.path);
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut request = self.http.request(call.method.clone(), url).header(ACCEPT, "application/json");
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", self.token.expose_secret())).map_err(|_| {
            let code = tenantry_domain::code::Code::Unauthenticated;
            crate::Rejection::new(code, "the token holds characters that no token has")
        })?;
        bearer.set_sensitive(true);
        request = request.header(AUTHORIZATION, bearer);
        if let Some(id) = &self.correlation_id {
            request = request.header("x-correlation-id", id);
        }
        if let Some(version) = &call.if_match {
            request = request.header(IF_MATCH, version);
        }
        if let Some(key) = &call.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, call.content_type).body(body.clone());
        }
        Ok(request)
    }

    fn lost(&self, source: reqwest::Error) -> ClientError {
        // The path may name a tenant; the server's address is enough to find the mistake.
        ClientError::Transport { url: origin(&self.base), source: source.without_url() }
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Whether the same request may fare better in a moment.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

async fn problem(response: Response) -> ClientError {
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap_or_default();
    match serde_json::from_slice::<Problem>(&bytes) {
        Ok(problem) => ClientError::Problem(Box::new(problem)),
        Err(source) => match kind_of_status(status) {
            // A proxy in between answers for a server that is away.
            tenantry_domain::code::Kind::Unavailable => {
                let code = tenantry_domain::code::Code::Overloaded;
                ClientError::Problem(Box::new(Problem::new(code, format!("the server answered {status}"))))
            }
            _ => ClientError::Decode { status, source: Some(source) },
        },
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(ToOwned::to_owned)
}

/// `"v7"` is 7.
fn version_of(etag: &str) -> Option<i64> {
    etag.strip_prefix("\"v")?.strip_suffix('"')?.parse().ok()
}

/// `seq=7;hash=9f86…`.
fn receipt_of(text: &str) -> Option<Receipt> {
    let (seq, hash) = text.split_once(';')?;
    let seq = seq.trim().strip_prefix("seq=")?.parse().ok()?;
    Some(Receipt { seq, hash: hash.trim().strip_prefix("hash=")?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Client, segment};

    #[test]
    fn names_with_dots_are_one_part_of_a_path() {
        let client = Client::new("http://127.0.0.1:1/base", SecretString::from("t"), "prod".parse().unwrap()).unwrap();
        let path_of = |name: &str| {
            let last = format!("{}:off", segment(name).unwrap());
            let call = Call::keyed(Method::POST, client.path(["flags", &last]));
            client.transport.request(&call).unwrap().build().unwrap().url().path().to_owned()
        };
        assert_eq!(path_of("search.v2"), "/base/v1/environments/prod/flags/search.v2:off");
        assert_eq!(path_of("api.calls_per-day"), "/base/v1/environments/prod/flags/api.calls_per-day:off");
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "a%2eb", "a?b", "a#b", "a\\b", "\u{e9}"] {
            assert!(matches!(segment(bad), Err(ClientError::Rejected(_))), "{bad}");
        }
    }

    #[test]
    fn headers_are_read() {
        assert_eq!(version_of("\"v7\""), Some(7));
        assert_eq!(version_of("W/\"v7\""), None);
        assert_eq!(receipt_of("seq=3;hash=ab"), Some(Receipt { seq: 3, hash: "ab".into() }));
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(2)));
    }

    #[test]
    fn pauses_are_bounded_and_not_shorter_than_asked() {
        let transport = Transport::new("http://127.0.0.1:1", SecretString::from("t")).unwrap();
        for made in 1..40 {
            assert!(transport.pause(made, None) <= transport.retry.cap);
            assert!(transport.pause(made, Some(Duration::from_secs(1))) >= Duration::from_secs(1));
        }
    }

    #[test]
    fn addresses_are_checked_and_lose_their_credentials() {
        for bad in ["", "localhost", "ftp://host", "http://", "/x", "mailto:a@b"] {
            assert!(matches!(Transport::new(bad, SecretString::from("t")), Err(ClientError::Address(_))), "{bad}");
        }
        let transport = Transport::new("http://user:pass@host:1/base?x=1#y", SecretString::from("t")).unwrap();
        assert_eq!(transport.base.as_str(), "http://host:1/base");
        let shown = format!("{transport:?}");
        assert!(!shown.contains("\"pass\"") && !shown.contains("\"user\""), "{shown}");
    }
}
