//! Server-sent events as they arrive, whatever the chunks.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _};
use reqwest::Response;

/// A line longer than this is not one of ours.
const MAX_LINE: usize = 4 * 1024 * 1024;

type Bytes = Pin<Box<dyn Stream<Item = Result<Vec<u8>, reqwest::Error>> + Send>>;

/// What one connection brings.
pub(super) struct Open {
    bytes: Bytes,
    buffer: Vec<u8>,
    id: Option<String>,
    name: String,
    data: String,
}

/// One event. A sign of life has no data; it may have an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) data: String,
}

impl Message {
    /// Whether it says that the stream is over for good, or its token is.
    pub(super) fn is_end(&self) -> bool {
        self.name == "end"
    }
}

impl Open {
    pub(super) fn new(response: Response) -> Self {
        let bytes = response.bytes_stream().map(|chunk| chunk.map(|bytes| bytes.to_vec()));
        Self { bytes: Box::pin(bytes), buffer: Vec::new(), id: None, name: String::new(), data: String::new() }
    }

    /// The next event, or nothing when the connection is gone. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if let Some(message) = self.line(line.trim_end_matches(['\n', '\r'])) {
                    return Some(message);
                }
            }
            if self.buffer.len() > MAX_LINE {
                return None;
            }
            self.buffer.extend(self.bytes.next().await?.ok()?);
        }
    }

    fn line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let (id, name, data) = (self.id.take(), std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            return (id.is_some() || !data.is_empty()).then_some(Message { id, name, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            // Comments keep the connection alive.
            _ => {}
        }
        None
    }
}
