//! A connection that must send its first head in time.
//!
//! The protocol library has one clock for "is idle between requests" and "sends a head slowly"; idle connections of
//! balancers must live longer than a slow stranger may. So the first head has a clock of its own, here.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// What ends a head. HTTP/2's preface holds it too.
const END: &[u8; 4] = b"\r\n\r\n";

/// A stream whose first head is awaited for a bounded time.
#[derive(Debug)]
pub(crate) struct Head<S> {
    stream: S,
    /// Absent once the head is complete.
    deadline: Option<Pin<Box<Sleep>>>,
    /// How many bytes of [`END`] were seen in a row.
    matched: usize,
}

impl<S> Head<S> {
    pub(crate) fn new(stream: S, within: Duration) -> Self {
        Self { stream, deadline: Some(Box::pin(tokio::time::sleep(within))), matched: 0 }
    }

    fn saw(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == END[self.matched] {
                self.matched += 1;
            } else {
                // After a mismatch only a carriage return can begin the end anew.
                self.matched = usize::from(*byte == END[0]);
            }
            if self.matched == END.len() {
                self.deadline = None;
                return;
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Head<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(deadline) = &mut this.deadline else {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        };
        if deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if matches!(polled, Poll::Ready(Ok(()))) {
            this.saw(&buffer.filled()[before..]);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Head<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn read(parts: &[&str]) -> bool {
        let (mut ours, theirs) = tokio::io::duplex(64);
        let mut head = Head::new(theirs, Duration::from_millis(50));
        let mut buffer = [0; 64];
        for part in parts {
            ours.write_all(part.as_bytes()).await.unwrap();
            let read = head.read(&mut buffer).await.unwrap();
            assert_eq!(read, part.len());
        }
        let late = tokio::time::timeout(Duration::from_millis(200), head.read(&mut buffer)).await;
        // Nothing more comes: a complete head waits on, an incomplete one fails.
        late.is_err()
    }

    #[tokio::test]
    async fn only_an_incomplete_head_runs_out_of_time() {
        assert!(!read(&[]).await);
        assert!(!read(&["GET / HTTP/1.1\r\n", "host: x\r\n"]).await);
        assert!(!read(&["\r\n\r", "x\n\r"]).await);
        assert!(read(&["GET / HTTP/1.1\r\n", "host: x\r\n\r", "\n"]).await);
        assert!(read(&["a\r\r\n\r\n"]).await);
        assert!(read(&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]).await);
    }
}
