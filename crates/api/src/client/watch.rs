//! An operation's states as they come (server-sent events).
//!
//! A lost connection is opened again from the last state that was seen, a bounded number of times in a row.

use std::time::Duration;

use super::ClientError;
use super::send::{Call, Transport};
use super::sse::Open;
use crate::v1::operation::Operation;

/// Connections that may be lost in a row.
const MAX_LOSSES: u32 = 10;

/// The states of one operation.
pub struct Watch {
    transport: Transport,
    call: Call,
    open: Option<Open>,
    last_id: Option<String>,
    losses: u32,
    has_ended: bool,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("call", &self.call).field("last_id", &self.last_id).finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) const fn new(transport: Transport, call: Call) -> Self {
        Self { transport, call, open: None, last_id: None, losses: 0, has_ended: false }
    }

    /// The next state; nothing after the last one. Dropping the future between states loses none.
    ///
    /// # Errors
    /// The server refuses, or stays away for several tries.
    pub async fn next(&mut self) -> Result<Option<Operation>, ClientError> {
        loop {
            if self.has_ended {
                return Ok(None);
            }
            if self.open.is_none() {
                match self.transport.open(&self.call, self.last_id.as_deref()).await {
                    Ok(response) => self.open = Some(Open::new(response)),
                    Err(error @ ClientError::Transport { .. }) => {
                        self.lose(Some(error)).await?;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            let Some(open) = &mut self.open else { continue };
            match open.next().await {
                // Whoever has lost the right to it hears so when the stream is opened again.
                Some(message) if message.is_end() => {
                    self.open = None;
                    self.lose(None).await?;
                }
                Some(message) => {
                    self.losses = 0;
                    self.last_id = message.id.or_else(|| self.last_id.take());
                    if message.data.is_empty() {
                        continue;
                    }
                    let operation: Operation = serde_json::from_str(&message.data)
                        .map_err(|source| ClientError::Decode { status: 200, source: Some(source) })?;
                    self.has_ended = operation.has_ended();
                    return Ok(Some(operation));
                }
                None => {
                    self.open = None;
                    self.lose(None).await?;
                }
            }
        }
    }

    async fn lose(&mut self, error: Option<ClientError>) -> Result<(), ClientError> {
        self.losses += 1;
        if self.losses > MAX_LOSSES {
            return Err(error.unwrap_or(ClientError::Decode { status: 200, source: None }));
        }
        tokio::time::sleep(Duration::from_millis(100 * u64::from(self.losses))).await;
        Ok(())
    }
}
