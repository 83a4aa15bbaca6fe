//! What all event streams (server-sent events) have in common: a place among the open ones, and a caller whose right to it is
//! looked at again and again.
//!
//! INVARIANT: a stream does not outlive the right to it for longer than [`BEAT`] and a look at the database. Where that look is
//! not possible the stream ends; whoever may follow it opens it again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::Stream;
use serde_json::json;
use tenantry_control::tokens::Bearer;
use tenantry_domain::Timestamp;
use tenantry_domain::code::Code;
use tenantry_domain::policy;
use tokio::sync::OwnedSemaphorePermit;

use crate::State;
use crate::middleware::{authorize, bearer};
use crate::problem::{Failure, Result};

/// Time between two signs of life, each of which follows a look at the caller's token.
pub const BEAT: Duration = Duration::from_secs(10);

/// Who opened a stream, with what.
#[derive(Debug, Clone)]
pub struct Watcher {
    bearer: Bearer,
    credential: HeaderMap,
    path: String,
    action: Option<&'static str>,
}

impl FromRequestParts<State> for Watcher {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self> {
        let found = parts.extensions.get::<Bearer>().cloned();
        let bearer = found.ok_or_else(|| Failure::new(Code::Unauthenticated, "the caller is not known"))?;
        let credential = parts.headers.get_all(AUTHORIZATION).iter().map(|value| (AUTHORIZATION, value.clone()));
        let template = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str).replace("/@", ":");
        Ok(Self {
            bearer,
            credential: credential.collect(),
            path: parts.uri.path().to_owned(),
            action: authorize::right(&Method::GET, &template),
        })
    }
}

impl Watcher {
    /// Takes a place for a stream.
    ///
    /// # Errors
    /// The process has all the streams that it can have, or this caller has.
    pub fn open(self, state: &State) -> Result<Watch> {
        let place = state.doors().stream();
        let place = place.ok_or_else(|| Failure::new(Code::Overloaded, "too many streams are open"))?;
        let most = state.options().streams_each;
        let own = state.crowd().enter(&self.bearer.actor.to_string(), most).ok_or_else(|| {
            Failure::new(Code::TooManyRequests, format_args!("this caller has {most} streams open already"))
                .hint("Close a stream, or hear of many tenants by one endpoint of webhooks.")
        })?;
        state.metrics().stream(1);
        let now = Instant::now();
        Ok(Watch { state: state.clone(), watcher: self, looked: now, sent: now, _place: place, _own: own })
    }
}

/// An open stream.
pub struct Watch {
    state: State,
    watcher: Watcher,
    /// When the token was last found to be good.
    looked: Instant,
    /// When something was last sent.
    sent: Instant,
    _place: OwnedSemaphorePermit,
    _own: Seat,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.state.metrics().stream(-1);
    }
}

impl Watch {
    /// What the stream is served by.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Whether the caller may still follow. Looks once per [`BEAT`], also while there is much to tell.
    pub async fn holds(&mut self) -> bool {
        if self.is_over() {
            return false;
        }
        if self.looked.elapsed() < BEAT {
            return true;
        }
        let now = Instant::now();
        let again = bearer::again(&self.state, &self.watcher.credential, &self.watcher.path).await;
        // Another name or other rights than at first: what was judged then is judged anew by another request.
        let is_same = again.is_some_and(|again| again == self.watcher.bearer);
        let bearer = &self.watcher.bearer;
        let may = |action| policy::may(&bearer.actor, &bearer.rights, action).is_ok();
        self.looked = now;
        is_same && self.watcher.action.is_some_and(may)
    }

    /// Whether the token's end has come.
    fn is_over(&self) -> bool {
        self.watcher.bearer.expires.is_some_and(|end| end <= self.state.deps().now())
    }

    /// Notes that something is sent now.
    pub fn told(&mut self) {
        self.sent = Instant::now();
    }

    /// Whether a sign of life is due.
    pub fn is_silent(&self) -> bool {
        self.sent.elapsed() >= BEAT
    }

    /// How long may be waited for news: to the next sign of life, the next look at the token, or its end.
    pub fn patience(&self) -> Duration {
        let beat = BEAT.saturating_sub(self.sent.elapsed()).min(BEAT.saturating_sub(self.looked.elapsed()));
        let left = |end: Timestamp| Duration::try_from(end.duration_since(self.state.deps().now())).unwrap_or_default();
        self.watcher.bearer.expires.map_or(beat, |end| beat.min(left(end)))
    }
}

/// The last event of a stream that ends for good: why. Who gets it has nothing to come back for, or has to sign in first.
pub fn ended(reason: &str) -> Event {
    Event::default().event("end").data(json!({ "reason": reason }).to_string())
}

/// A sign of life.
pub fn beat() -> Event {
    Event::default().comment("beat")
}

/// The answer that a stream is.
pub fn answer<S>(events: S) -> Response
where
    S: Stream<Item = std::result::Result<Event, std::convert::Infallible>> + Send + 'static,
{
    // Proxies that gather answers would keep the events to themselves.
    ([(HeaderName::from_static("x-accel-buffering"), "no")], Sse::new(events)).into_response()
}

/// How many streams each caller has open.
#[derive(Debug, Clone, Default)]
pub struct Crowd(Arc<Mutex<HashMap<String, usize>>>);

impl Crowd {
    fn enter(&self, who: &str, most: usize) -> Option<Seat> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(who.to_owned()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Seat { crowd: self.clone(), who: who.to_owned() })
    }
}

/// A caller's share of the streams.
#[derive(Debug)]
struct Seat {
    crowd: Crowd,
    who: String,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_share_and_gets_it_back() {
        let crowd = Crowd::default();
        let first = crowd.enter("a", 2).unwrap();
        let second = crowd.enter("a", 2).unwrap();
        assert!(crowd.enter("a", 2).is_none() && crowd.enter("b", 2).is_some());
        drop(first);
        assert!(crowd.enter("a", 2).is_some(), "and it is given back at once");
        drop(second);
        assert!(crowd.0.lock().unwrap().is_empty());
    }
}
