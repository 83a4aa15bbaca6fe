//! An operation's states as they come (server-sent events).
//!
//! A lost connection is opened again from the last state that was seen, a bounded number of times in a row.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};

use super::ClientError;
use super::send::{Call, Transport};
use crate::v1::operation::Operation;

/// A line longer than this is not one of ours.
const MAX_LINE: usize = 4 * 1024 * 1024;
/// Connections that may be lost in a row.
const MAX_LOSSES: u32 = 10;

type Bytes = Pin<Box<dyn Stream<Item = Result<Vec<u8>, reqwest::Error>> + Send>>;

/// The states of one operation.
pub struct Watch {
    transport: Transport,
    call: Call,
    open: Option<Open>,
    last_id: Option<String>,
    losses: u32,
    has_ended: bool,
}

struct Open {
    bytes: Bytes,
    buffer: Vec<u8>,
    id: Option<String>,
    data: String,
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
                    Ok(response) => {
                        let bytes = response.bytes_stream().map(|chunk| chunk.map(|bytes| bytes.to_vec()));
                        self.open =
                            Some(Open { bytes: Box::pin(bytes), buffer: Vec::new(), id: None, data: String::new() });
                    }
                    Err(error @ ClientError::Transport { .. }) => {
                        self.lose(Some(error)).await?;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            let Some(open) = &mut self.open else { continue };
            match open.event().await {
                Some((id, data)) => {
                    self.losses = 0;
                    self.last_id = id.or_else(|| self.last_id.take());
                    let operation: Operation = serde_json::from_str(&data)
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

impl Open {
    /// The next event with data, or nothing when the connection is gone.
    async fn event(&mut self) -> Option<(Option<String>, String)> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if let Some(event) = self.line(line.trim_end_matches(['\n', '\r'])) {
                    return Some(event);
                }
            }
            if self.buffer.len() > MAX_LINE {
                return None;
            }
            self.buffer.extend(self.bytes.next().await?.ok()?);
        }
    }

    fn line(&mut self, line: &str) -> Option<(Option<String>, String)> {
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then(|| (self.id.take(), data));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = Some(value.to_owned()),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            // Comments keep the connection alive; event names carry nothing here.
            _ => {}
        }
        None
    }
}
