//! Sends a message and reads the answer, within bounds of time and bytes.

use std::error::Error as _;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::answer::{Answer, Fault, retry_after};
use crate::connect::{ConnectError, Connector, vetted};
use crate::names::Names;
use crate::scrub::scrub;
use crate::target::{Rules, Target, TargetError};

/// Bounds of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the name and the connection.
    pub connect: Duration,
    /// For everything, from the name to the answer's head.
    pub total: Duration,
    /// For the answer's body, behind its head.
    pub linger: Duration,
    /// Bytes of the answer's body that are read.
    pub body: usize,
    /// Connections that are kept for the next message to a host, and how long.
    pub idle: (usize, Duration),
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            total: Duration::from_secs(15),
            linger: Duration::from_secs(1),
            body: 64 * 1024,
            idle: (16, Duration::from_secs(30)),
        }
    }
}

/// Bytes of an answer's head that are read.
const HEAD: usize = 32 * 1024;
/// Header fields of an answer.
const FIELDS: usize = 64;

/// The media type of CloudEvents in their structured form.
const MEDIA: HeaderValue = HeaderValue::from_static("application/cloudevents+json; charset=utf-8");
/// That of chats.
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("Tenantry-Webhooks/", env!("CARGO_PKG_VERSION")));

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `webhook-id`: the same in every attempt and replay.
    pub id: String,
    /// `webhook-timestamp`: when this attempt was signed, in seconds since 1970.
    pub timestamp: i64,
    /// `webhook-signature`.
    pub signature: String,
    /// Exactly the bytes that were signed.
    pub body: Bytes,
}

/// Why nothing can be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// Sends messages. Cloning gives another handle on the same connections.
#[derive(Clone)]
pub struct Sender {
    client: Client<Connector, Full<Bytes>>,
    names: Arc<dyn Names>,
    rules: Rules,
    limits: Limits,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("rules", &self.rules).field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Sender {
    /// A sender that believes the system's certificate authorities, and these as well.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(
        names: Arc<dyn Names>,
        rules: Rules,
        limits: Limits,
        extra: Vec<CertificateDer<'static>>,
    ) -> Result<Self, SenderError> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots.add_parsable_certificates(extra);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(SenderError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connector = Connector {
            names: names.clone(),
            egress: rules.egress,
            tls: Arc::new(tls),
            connect: limits.connect,
            handshake: limits.total,
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(limits.idle.0)
            .pool_idle_timeout(limits.idle.1)
            .http1_max_buf_size(HEAD)
            .http1_max_headers(FIELDS)
            .build(connector);
        Ok(Self { client, names, rules, limits })
    }

    /// The rules for URLs.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Looks at a URL as if something was to be sent: at its form, and at where its name leads now. A name that has no address
    /// yet is accepted; each attempt looks again.
    ///
    /// # Errors
    /// It is not acceptable.
    pub async fn look(&self, text: &str) -> Result<Target, TargetError> {
        let target = Target::parse(text, &self.rules)?;
        if target.host().starts_with('[') || target.host().parse::<std::net::IpAddr>().is_ok() {
            return Ok(target);
        }
        let found = tokio::time::timeout(self.limits.connect, self.names.resolve(target.host())).await;
        if let Ok(Ok(found)) = found
            && vetted(self.rules.egress, &found).is_empty()
            && found.iter().any(|ip| self.rules.egress.vet(*ip).is_err())
        {
            // Not which address, nor of what sort: whoever asks must not learn what names of ours lead to.
            return Err(TargetError::Resolved);
        }
        Ok(target)
    }

    /// Makes one attempt. Never fails: what goes wrong is the answer.
    pub async fn send(&self, url: &str, message: &Message) -> Answer {
        let began = Instant::now();
        let (status, wish, excerpt) = match self.attempt(url, message).await {
            Ok((status, wish, excerpt)) => (Ok(status), wish, excerpt),
            Err(fault) => (Err(fault), None, String::new()),
        };
        Answer { status, retry_after: wish, excerpt, took: began.elapsed() }
    }

    /// Posts JSON that proves nothing by itself, because the URL is a secret between both sides: an incoming webhook of a chat.
    /// The same rules hold as for [`Self::send`]. Never fails: what goes wrong is the answer.
    pub async fn post(&self, url: &str, id: &str, body: Bytes) -> Answer {
        let began = Instant::now();
        let request = self.request(url, id).map(|request| request.header(CONTENT_TYPE, JSON));
        let answered = match request.and_then(|request| request.body(Full::new(body)).map_err(|_| Fault::Message)) {
            Ok(request) => self.exchange(request).await,
            Err(fault) => Err(fault),
        };
        let (status, wish, excerpt) = match answered {
            Ok((status, wish, excerpt)) => (Ok(status), wish, excerpt),
            Err(fault) => (Err(fault), None, String::new()),
        };
        Answer { status, retry_after: wish, excerpt, took: began.elapsed() }
    }

    /// The head of a request. The URL is read anew each time: what was acceptable when it was written down need not be so any
    /// more.
    fn request(&self, url: &str, id: &str) -> Result<hyper::http::request::Builder, Fault> {
        let target = Target::parse(url, &self.rules).map_err(|_| Fault::Target)?;
        let uri = target.uri().ok_or(Fault::Target)?;
        let id = HeaderValue::from_str(id).map_err(|_| Fault::Message)?;
        Ok(Request::builder().method(Method::POST).uri(uri).header(USER_AGENT, AGENT).header("webhook-id", id))
    }

    async fn attempt(&self, url: &str, message: &Message) -> Result<(u16, Option<Duration>, String), Fault> {
        let signature = HeaderValue::from_str(&message.signature).map_err(|_| Fault::Message)?;
        let request = self
            .request(url, &message.id)?
            .header(CONTENT_TYPE, MEDIA)
            .header("webhook-timestamp", HeaderValue::from(message.timestamp))
            .header("webhook-signature", signature)
            .body(Full::new(message.body.clone()))
            .map_err(|_| Fault::Message)?;
        self.exchange(request).await
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(u16, Option<Duration>, String), Fault> {
        let answered = tokio::time::timeout(self.limits.total, self.client.request(request)).await;
        let response = answered.map_err(|_| Fault::Timeout)?.map_err(|error| fault(&error))?;
        let status = response.status().as_u16();
        let wish = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
        Ok((status, wish, scrub(&self.beginning(response).await)))
    }

    /// The beginning of the body. Whatever is wrong with the rest does not matter: the head is the answer.
    async fn beginning(&self, response: Response<Incoming>) -> Vec<u8> {
        let mut body = response.into_body();
        let mut read = Vec::new();
        let _ = tokio::time::timeout(self.limits.linger, async {
            while let Some(Ok(frame)) = body.frame().await {
                if let Some(data) = frame.data_ref() {
                    let room = self.limits.body.saturating_sub(read.len());
                    read.extend_from_slice(data.get(..room).unwrap_or(data));
                }
                if read.len() >= self.limits.body {
                    break;
                }
            }
        })
        .await;
        read
    }
}

/// Reads a file of certificate authorities in PEM, for [`Sender::new`]; gives them in DER.
///
/// # Errors
/// It cannot be read, or holds no certificate.
pub fn authorities(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let found = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let found: Vec<Vec<u8>> = found
        .map(|certificate| certificate.map(|der| der.to_vec()).map_err(|error| error.to_string()))
        .collect::<Result<_, _>>()?;
    if found.is_empty() { Err("it holds no certificate".to_owned()) } else { Ok(found) }
}

/// What an error of the HTTP client was.
fn fault(error: &hyper_util::client::legacy::Error) -> Fault {
    let mut cause = error.source();
    while let Some(source) = cause {
        if let Some(ConnectError(fault)) = source.downcast_ref() {
            return *fault;
        }
        if let Some(error) = source.downcast_ref::<hyper::Error>()
            && (error.is_parse() || error.is_parse_too_large())
        {
            return Fault::Malformed;
        }
        cause = source.source();
    }
    if error.is_connect() { Fault::Connect } else { Fault::Broken }
}
