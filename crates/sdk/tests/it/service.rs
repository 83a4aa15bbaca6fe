//! A service as an application would write it, served over TCP, and a caller who says exactly what goes over the wire.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State, WebSocketUpgrade};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{StreamExt as _, stream};
use tenantry_sdk::context;
use tenantry_sdk::{CurrentTenant, Error, Identification, TenantLayer, Tenantry, TokenTenant};
use tokio::net::TcpListener;

/// What was seen outside of requests, and by tasks that outlive them.
pub type Seen = Arc<Mutex<Vec<String>>>;

pub struct Service {
    pub address: SocketAddr,
    pub seen: Seen,
    http: reqwest::Client,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub reason: String,
    pub retry_after: Option<String>,
    pub text: String,
}

fn current() -> String {
    context::current().map_or_else(|error| error.reason().to_owned(), |tenant| tenant.slug().to_owned())
}

async fn whoami(tenant: CurrentTenant) -> String {
    format!("{} {} {}", tenant.slug(), current(), tenant.mount())
}

async fn notes(tenant: CurrentTenant) -> Result<String, Error> {
    let tx = tenant.begin().await?;
    let rows = tx.query("SELECT body FROM notes ORDER BY body", &[]).await?;
    tx.commit().await?;
    Ok(rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join(","))
}

async fn fails(_: CurrentTenant) -> Result<String, Error> {
    Err(Error::TenantScopeMissing)
}

async fn spawns(State(seen): State<Seen>, _: CurrentTenant) -> &'static str {
    tokio::spawn(async move { seen.lock().unwrap().push(format!("task {}", current())) }).await.unwrap();
    "spawned"
}

async fn sleeps(State(seen): State<Seen>, _: CurrentTenant) -> &'static str {
    seen.lock().unwrap().push(format!("asleep {}", current()));
    tokio::time::sleep(Duration::from_secs(600)).await;
    "awake"
}

async fn events(tenant: CurrentTenant) -> impl IntoResponse {
    let ticks = stream::unfold(0_u64, |tick| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((tick, tick + 1))
    });
    let events = ticks.map(|tick| Ok::<_, Infallible>(Event::default().data(format!("{tick} {}", current()))));
    Sse::new(tenant.scope(events))
}

async fn socket(tenant: CurrentTenant, upgrade: WebSocketUpgrade) -> Response {
    tenant.upgrade(upgrade, |mut socket| async move {
        while let Some(message) = socket.recv().await {
            if let Ok(text) = message.to_text()
                && socket.send(format!("{} {text}", current()).into()).await.is_err()
            {
                return;
            }
        }
    })
}

async fn calls(State(next): State<String>, tenant: CurrentTenant) -> Result<String, Error> {
    let (name, value) = tenant.downstream().await?;
    let answer = reqwest::Client::new().get(next).header(name, value).send().await.unwrap();
    Ok(format!("{} {}", answer.status().as_u16(), answer.text().await.unwrap()))
}

/// Stands for the application's own authentication, which verifies tokens.
async fn authenticate(mut request: Request, next: Next) -> Response {
    let claim = request.headers().get("x-test-claim").map(|claim| claim.to_str().unwrap().to_owned());
    if let Some(claim) = claim {
        request.extensions_mut().insert(TokenTenant(claim));
    }
    next.run(request).await
}

/// Looks at the context before and after each request, in the request's own task.
async fn look(State(seen): State<Seen>, request: Request, next: Next) -> Response {
    let before = current();
    let response = next.run(request).await;
    seen.lock().unwrap().push(format!("around {before} {}", current()));
    response
}

impl Service {
    pub async fn start(tenantry: &Tenantry, identification: Identification) -> Self {
        Self::start_before(tenantry, identification, "http://127.0.0.1:1/".to_owned()).await
    }

    /// A service that calls another one.
    pub async fn start_before(tenantry: &Tenantry, identification: Identification, next: String) -> Self {
        let seen = Seen::default();
        let app = Router::new()
            .route("/", get(whoami))
            .route("/notes", get(notes))
            .route("/fails", get(fails))
            .route("/spawns", get(spawns))
            .route("/sleeps", get(sleeps))
            .route("/events", get(events))
            .route("/socket", get(socket))
            .route("/livez", get(async || current()))
            .with_state(Arc::clone(&seen))
            .route("/calls", get(calls).with_state(next));
        let app = TenantLayer::new(tenantry.clone(), identification).wrap(app);
        let app = app.layer(from_fn(authenticate)).layer(from_fn_with_state(Arc::clone(&seen), look));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, seen, http: reqwest::Client::new() }
    }

    pub fn request(&self, path: &str, headers: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let mut request = self.http.get(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    }

    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let answer = self.request(path, headers).send().await.unwrap();
        let status = answer.status().as_u16();
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (retry_after, kind) = (header("retry-after"), header("content-type").unwrap_or_default());
        let text = answer.text().await.unwrap();
        let mut reason = String::new();
        if kind == "application/problem+json" {
            let problem: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(problem["status"], status);
            assert!(problem["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{text}");
            reason = problem["reason"].as_str().unwrap().to_owned();
        }
        Reply { status, reason, retry_after, text }
    }
}

/// Every source is looked at.
pub fn everywhere() -> Identification {
    Identification::new()
        .base_domain("app.example.com")
        .and_then(|config| config.trusted_peer("127.0.0.0/8"))
        .unwrap()
        .paths()
}
