//! Bytes on their way: what was read and not handled, what was made and not written.
//!
//! Buffers come from a stock that the sessions of one thread have together, and go back to it when they are empty, so
//! an idle client holds none. They are only memory: nothing of what was in one can be read after it was cleared.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use crate::socket::Stream;

/// What is asked of a socket at a time.
pub const CHUNK: usize = 16 * 1024;
/// Empty buffers that are kept.
const STOCK: usize = 256;
/// A buffer that grew beyond this is not kept.
const LARGEST: usize = 4 * CHUNK;

thread_local! {
    static FREE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// A buffer with room for a chunk.
fn take() -> BytesMut {
    FREE.with_borrow_mut(Vec::pop).unwrap_or_else(|| BytesMut::with_capacity(CHUNK))
}

/// Keeps an empty buffer for the next one who needs it.
fn put(mut buffer: BytesMut) {
    buffer.clear();
    // What was read from the front made it smaller; reserving brings that room back when nothing else holds it.
    buffer.reserve(CHUNK);
    if buffer.capacity() <= LARGEST {
        FREE.with_borrow_mut(|free| {
            if free.len() < STOCK {
                free.push(buffer);
            }
        });
    }
}

/// Bytes in order, in a buffer that exists only while there are any.
#[derive(Debug, Default)]
pub struct Pipe {
    buffer: Option<BytesMut>,
    /// Whether the stream below holds back what was written to it, as TLS does while its socket is full.
    is_held: bool,
}

impl Pipe {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.as_ref().is_none_or(BytesMut::is_empty)
    }

    /// Whether there is anything that has not left for good.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.is_held || !self.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.as_ref().map_or(0, BytesMut::len)
    }

    /// What there is.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.as_deref().unwrap_or_default()
    }

    /// To append to.
    pub fn fill(&mut self) -> &mut BytesMut {
        self.buffer.get_or_insert_with(take)
    }

    /// Appends.
    pub fn put(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.fill().extend_from_slice(bytes);
        }
    }

    /// Forgets the first bytes.
    pub fn advance(&mut self, count: usize) {
        match &mut self.buffer {
            // All of it, as nearly always: the buffer's room need not be looked for again.
            Some(buffer) if count >= buffer.len() => self.clear(),
            Some(buffer) => buffer.advance(count),
            None => {}
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            put(buffer);
        }
    }

    fn tidy(&mut self) {
        if self.is_empty() {
            self.clear();
        }
    }

    /// Reads once. `Ok(0)` is the stream's end.
    pub fn poll_read(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Most looks find nothing, and need no buffer.
        ready!(stream.poll_readable(cx))?;
        let buffer = self.fill();
        // Room is made only when little is left: a long message grows its buffer, a short one never does.
        if buffer.capacity() - buffer.len() < CHUNK / 4 {
            buffer.reserve(CHUNK);
        }
        let read = poll_read_buf(Pin::new(stream), cx, buffer);
        self.tidy();
        read
    }

    /// Writes all there is.
    pub fn poll_write<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(buffer) = self.buffer.as_mut().filter(|buffer| !buffer.is_empty()) {
            let count = ready!(Pin::new(&mut *stream).poll_write(cx, buffer))?;
            if count == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.advance(count);
        }
        self.clear();
        let flushed = Pin::new(stream).poll_flush(cx);
        self.is_held = flushed.is_pending();
        flushed
    }
}
