//! One attempt: waits for a place, signs, sends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tenantry_domain::Timestamp;
use tenantry_store::{DueRow, EndpointRow};
use tenantry_webhooks::{Answer, Message, Signer};
use tokio::task::JoinHandle;

use super::Pump;
use super::lane::STALE;
use super::share::Share;
use crate::webhooks::payload;

/// One event on its way, and what came back.
pub(super) struct Flight {
    /// What is sent.
    pub(super) row: DueRow,
    /// When it began.
    pub(super) at: Timestamp,
    /// Absent when it was not sent, because it had waited for too long to be sent by what was known then.
    pub(super) answer: Option<Answer>,
}

/// By what a lane lets its events go.
#[derive(Clone)]
pub(super) struct Leave {
    /// As it was at the last look.
    pub(super) endpoint: Arc<EndpointRow>,
    /// Of the endpoint.
    pub(super) signer: Arc<Signer>,
    /// The places of the endpoint's owner.
    pub(super) share: Arc<Share>,
    /// When the look began.
    pub(super) looked: Instant,
    /// Whether the endpoint fails, or is slow.
    pub(super) is_failing: bool,
}

/// Starts an attempt, in a task of its own: what is in hand goes on while its lane looks at the database.
pub(super) fn start(pump: Arc<Pump>, leave: Leave, row: DueRow) -> impl Future<Output = Flight> + Send + 'static {
    landed(tokio::spawn(fly(pump, leave, row)))
}

/// Sends one event. Endpoints that fail share a few places, so that those that work always have theirs; and of both nobody has
/// more than a share.
async fn fly(pump: Arc<Pump>, leave: Leave, row: DueRow) -> Flight {
    let Leave { endpoint, signer, share, looked, is_failing } = leave;
    let _own = share.places(is_failing).acquire().await;
    let _place = if is_failing { &pump.failing } else { &pump.working }.acquire().await;
    if looked.elapsed() > STALE || !pump.is_fresh() {
        return Flight { row, at: pump.deps.now(), answer: None };
    }
    let stats = pump.deps.outbound().stats();
    stats.hand(1);
    let at = pump.deps.now();
    let body = payload::body(&row.event, endpoint.payload);
    let id = row.event.id.to_string();
    let answer = match (pump.deps.outbound().sender(pump.deps.options()), signer.sign(&id, at.as_second(), &body)) {
        (Some(sender), Ok(signature)) => {
            let message = Message { id, timestamp: at.as_second(), signature, body: body.into() };
            sender.send(&endpoint.target, &message).await
        }
        _ => Answer {
            status: Err(tenantry_webhooks::Fault::Message),
            retry_after: None,
            excerpt: String::new(),
            took: Duration::ZERO,
        },
    };
    stats.hand(-1);
    Flight { row, at, answer: Some(answer) }
}

/// What the task ended with; its panic is the lane's.
async fn landed(flight: JoinHandle<Flight>) -> Flight {
    match flight.await {
        Ok(flight) => flight,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and everything with it.
            Err(_) => std::future::pending().await,
        },
    }
}
