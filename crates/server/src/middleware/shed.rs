//! Only so many requests at a time; those beyond wait a moment, then are turned away cheaply.
//!
//! Health is never counted. Reads may use every place, writes three quarters of them, whole-file applies an eighth:
//! so a flood of the expensive kind leaves room for the cheap ones.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State as With};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tenantry_domain::code::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::is_health;
use crate::problem::Failure;
use crate::{Options, State};

/// The places.
#[derive(Debug)]
pub struct Doors {
    all: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    queue: Duration,
}

impl Doors {
    pub(crate) fn new(options: &Options) -> Self {
        let all = options.in_flight.max(1);
        Self {
            all: Arc::new(Semaphore::new(all)),
            writes: Arc::new(Semaphore::new((all * 3 / 4).max(1))),
            bulk: Arc::new(Semaphore::new((all / 8).max(1))),
            streams: Arc::new(Semaphore::new(options.streams)),
            queue: options.queue,
        }
    }

    /// A place for a stream, which is kept as long as the stream is open.
    pub(crate) fn stream(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.streams).try_acquire_owned().ok()
    }

    async fn enter(&self, kind: Weight) -> Option<Vec<OwnedSemaphorePermit>> {
        let mut held = Vec::with_capacity(3);
        // The narrow doors first, so that who waits at one holds no place of the others.
        if kind == Weight::Bulk {
            held.push(Arc::clone(&self.bulk).acquire_owned().await.ok()?);
        }
        if kind != Weight::Read {
            held.push(Arc::clone(&self.writes).acquire_owned().await.ok()?);
        }
        held.push(Arc::clone(&self.all).acquire_owned().await.ok()?);
        Some(held)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    Read,
    Write,
    Bulk,
}

fn weight(request: &Request) -> Weight {
    let path = request.uri().path();
    if path.ends_with("/manifests:apply") || path.ends_with("/manifests:plan") || path.ends_with("/audit:verify") {
        Weight::Bulk
    } else if request.method().is_safe() {
        Weight::Read
    } else {
        Weight::Write
    }
}

/// Waits for a place, or turns the request away.
pub async fn admit(With(state): With<State>, request: Request, next: Next) -> Response {
    if is_health(request.uri().path()) {
        return next.run(request).await;
    }
    let doors = state.doors();
    match tokio::time::timeout(doors.queue, doors.enter(weight(&request))).await {
        Ok(Some(held)) => {
            let response = next.run(request).await;
            drop(held);
            response
        }
        _ => {
            state.metrics().shed();
            Failure::new(Code::Overloaded, "too many requests are being worked on").into_response()
        }
    }
}
