//! Events as they are committed (server-sent events), each once and in order.
//!
//! A lost connection is opened again behind the last event that was seen. INVARIANT: without a filter the numbers that come out
//! follow each other; a gap is an error and not a longer silence.

use std::time::{Duration, Instant};

use tenantry_domain::code::Kind;

use super::send::{Call, Transport};
use super::sse::Open;
use super::{Client, ClientError, segment};
use crate::v1::event::Event;

/// How long the server may be away unless somebody says otherwise.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest pause between two tries.
const PAUSE: Duration = Duration::from_secs(2);
/// Without a sign of life for so long a connection is dead: three times what the server promises.
const SILENCE: Duration = Duration::from_secs(30);

/// The events of a tenant, or of the environment itself.
pub struct EventFeed {
    transport: Transport,
    call: Call,
    open: Option<Open>,
    /// The number that was seen or passed over last.
    after: i64,
    is_filtered: bool,
    patience: Duration,
    lost: Option<(Instant, u32)>,
    has_ended: bool,
}

impl std::fmt::Debug for EventFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventFeed").field("call", &self.call).field("after", &self.after).finish_non_exhaustive()
    }
}

impl Client {
    /// Follows the events of a tenant, or of the environment itself, behind a number. `types` are patterns such as `tenant.*`;
    /// none means all.
    ///
    /// # Errors
    /// The name is none; the first [`EventFeed::next`] tells the rest.
    pub fn follow_events(&self, tenant: Option<&str>, after: i64, types: &[String]) -> Result<EventFeed, ClientError> {
        let path = match tenant {
            Some(tenant) => self.path(["tenants", segment(tenant)?, "events", "stream"]),
            None => self.path(["events", "stream"]),
        };
        let mut call = Call::get(path);
        if !types.is_empty() {
            call = call.parameter("types", types.join(","));
        }
        Ok(EventFeed {
            transport: self.transport.clone(),
            call,
            open: None,
            after,
            is_filtered: !types.is_empty(),
            patience: PATIENCE,
            lost: None,
            has_ended: false,
        })
    }
}

impl EventFeed {
    /// The same with another patience for a server that is away.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The number behind which it goes on.
    #[must_use]
    pub const fn position(&self) -> i64 {
        self.after
    }

    /// The next event; nothing after the last one of a tenant that is gone. Dropping the future between events loses none.
    ///
    /// # Errors
    /// The server refuses (the token has ended, say), stays away for longer than the patience, or leaves out a number.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        while !self.has_ended {
            let Some(open) = &mut self.open else {
                let after = self.after.to_string();
                match self.transport.open(&self.call, Some(&after)).await {
                    Ok(response) => self.open = Some(Open::new(response)),
                    Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Throttled) => {
                        self.lose(Some(error)).await?;
                    }
                    Err(error) => return Err(error),
                }
                continue;
            };
            let Ok(Some(message)) = tokio::time::timeout(SILENCE, open.next()).await else {
                self.open = None;
                self.lose(None).await?;
                continue;
            };
            self.lost = None;
            if message.is_end() {
                // Another reason than the tenant's end is told by the server when it is asked again.
                self.has_ended = message.data.contains("\"deleted\"");
                self.open = None;
            } else if message.data.is_empty() {
                self.after = message.id.and_then(|id| id.parse().ok()).map_or(self.after, |id| self.after.max(id));
            } else {
                let event: Event = serde_json::from_str(&message.data)
                    .map_err(|source| ClientError::Decode { status: 200, source: Some(source) })?;
                if event.sequence <= self.after {
                    continue;
                }
                if !self.is_filtered && event.sequence != self.after + 1 {
                    return Err(ClientError::Gap { expected: self.after + 1, found: event.sequence });
                }
                self.after = event.sequence;
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    async fn lose(&mut self, error: Option<ClientError>) -> Result<(), ClientError> {
        let (since, times) = self.lost.unwrap_or_else(|| (Instant::now(), 0));
        if since.elapsed() > self.patience {
            return Err(error.unwrap_or(ClientError::Decode { status: 200, source: None }));
        }
        self.lost = Some((since, times + 1));
        tokio::time::sleep((Duration::from_millis(100) * (times + 1).min(20)).min(PAUSE)).await;
        Ok(())
    }
}
