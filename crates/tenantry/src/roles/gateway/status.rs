//! Liveness, readiness and counters of a gateway, over HTTP on an address of their own: probes and Prometheus need no TLS
//! and no password, and clients of tenants must not reach them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tenantry_domain::Timestamp;
use tenantry_domain::code::Kind;
use tenantry_gateway::feed;
use tenantry_gateway::metrics::Meter;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::exit::{Failure, Result};

/// How old the table may be until the gateway calls itself not ready. It goes on serving: a table of yesterday is better
/// than none, but a balancer that has a fresher gateway should prefer it.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// What is asked about.
#[derive(Clone)]
pub struct Asked {
    /// Numbers.
    pub meter: Meter,
    /// The table's age.
    pub feed: feed::Handle,
    /// Set when the gateway is about to stop.
    pub is_leaving: Arc<AtomicBool>,
}

/// The endpoint at work.
pub struct Endpoint {
    address: SocketAddr,
    stop: CancellationToken,
}

impl Endpoint {
    /// Listens.
    ///
    /// # Errors
    /// The address cannot be used.
    pub async fn start(address: SocketAddr, asked: Asked) -> Result<Self> {
        let failed = |error| {
            Failure::local(Kind::Unavailable, format!("The address {address} cannot be listened on"), error)
                .hint("Give another one with --status-listen.")
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let stop = CancellationToken::new();
        let router = Router::new()
            .route("/livez", get(|| async { "alive\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(asked);
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
                tracing::error!(%error, "the status is not served any more");
            }
        });
        Ok(Self { address, stop })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn ready(State(asked): State<Asked>) -> Response {
    if asked.is_leaving.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    let known = asked.feed.status().last_success;
    let age = known.map(|time| Timestamp::now().duration_since(time).unsigned_abs());
    match age {
        Some(age) if age < FRESH => "ready\n".into_response(),
        Some(age) => {
            let text = format!("the table of tenants is {} h old\n", age.as_secs() / 3600);
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
        None => (StatusCode::SERVICE_UNAVAILABLE, "the table of tenants was never read\n").into_response(),
    }
}

async fn metrics(State(asked): State<Asked>) -> Response {
    let text = asked.meter.text(&asked.feed.status(), Timestamp::now()).await;
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
