//! Connections: accepting them, bounding them, and letting them end.
//!
//! The end has three parts. At once the process says that it is not ready; after a delay, in which balancers notice,
//! nothing more is accepted and open connections close behind their request; after a while what is left is cut off.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::head::Head;
use crate::middleware::limit::Peer;
use crate::{State, router};

/// Serves until `shutdown`, then drains.
///
/// # Errors
/// The listener is broken.
pub async fn serve(listener: TcpListener, state: State, shutdown: CancellationToken) -> std::io::Result<()> {
    let service = router(state.clone());
    let connections = Arc::new(Semaphore::new(state.options().connections));
    let graceful = GracefulShutdown::new();
    let http = protocol(&state);
    let delay = drain_delay(&state, &shutdown);
    tokio::pin!(delay);
    loop {
        let accepted = tokio::select! {
            () = &mut delay => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok((stream, peer)) => (stream, Peer(peer.ip())),
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        // Nobody is let in beyond the bound: the peer sees a closed connection, which balancers understand.
        let Ok(place) = Arc::clone(&connections).try_acquire_owned() else {
            state.metrics().shed();
            continue;
        };
        // Small answers go out at once.
        let _ = stream.set_nodelay(true);
        let routes = service.clone();
        let answer = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            routes.clone().oneshot(request.map(Body::new))
        });
        let watched = graceful.watch(
            http.serve_connection(TokioIo::new(Head::new(stream, state.options().head_time)), answer).into_owned(),
        );
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, "connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(state.options().drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and were cut off");
    }
    Ok(())
}

/// Marks the beginning of the end, then gives balancers time to notice.
async fn drain_delay(state: &State, shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    state.begin_drain();
    tokio::time::sleep(state.options().drain_delay).await;
}

fn protocol(state: &State) -> auto::Builder<TokioExecutor> {
    let options = state.options();
    let mut http = auto::Builder::new(TokioExecutor::new());
    // Who sends a head slowly, or a huge one, holds a connection and nothing else; see `head` for the first one.
    http.http1().timer(TokioTimer::new()).header_read_timeout(options.idle).max_buf_size(options.head.max(8 * 1024));
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(128)
        .max_header_list_size(u32::try_from(options.head).unwrap_or(u32::MAX));
    http
}

/// Running out of descriptors passes; spinning on it does not help.
async fn pause_after(error: &std::io::Error) {
    use std::io::ErrorKind;
    if !matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
    {
        tracing::warn!(%error, "cannot accept a connection");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
