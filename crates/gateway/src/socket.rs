//! A client's or server's byte stream, plain or encrypted.
//!
//! A socket belongs to the reactor of the thread that made it. A session changes threads once, between login and its
//! first statement; [`Stream::park`] takes its socket off one reactor and [`Stream::unpark`] puts it on another, under the
//! encryption if there is one.

use std::io::{self, Error};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A socket that may be between two reactors.
#[derive(Debug)]
pub enum Socket {
    /// On the reactor of this thread.
    Live(TcpStream),
    /// On none; reading and writing fail.
    Parked(std::net::TcpStream),
    /// Lost on the way; only while it is being moved.
    Gone,
}

impl Socket {
    fn live(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        match self {
            Self::Live(socket) => Ok(Pin::new(socket)),
            Self::Parked(_) | Self::Gone => Err(Error::other("the socket is on no reactor")),
        }
    }

    fn park(&mut self) -> io::Result<()> {
        if let Self::Live(socket) = std::mem::replace(self, Self::Gone) {
            *self = Self::Parked(socket.into_std()?);
        }
        Ok(())
    }

    fn unpark(&mut self) -> io::Result<()> {
        if let Self::Parked(socket) = std::mem::replace(self, Self::Gone) {
            *self = Self::Live(TcpStream::from_std(socket)?);
        }
        Ok(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.live()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.live()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.live()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.live()?.poll_shutdown(cx)
    }
}

/// A stream with or without encryption.
#[derive(Debug)]
pub enum Stream {
    /// As it is.
    Plain(Socket),
    /// Under TLS; boxed, because its state is large and most streams inside a data centre are plain.
    Tls(Box<TlsStream<Socket>>),
}

impl Stream {
    /// The socket below.
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpStream> {
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
        };
        match socket {
            Socket::Live(socket) => Some(socket),
            Socket::Parked(_) | Socket::Gone => None,
        }
    }

    fn socket(&mut self) -> &mut Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_mut().0,
        }
    }

    /// Ready once a read may find something. Pending without a call of the operating system, as long as nothing has come.
    ///
    /// # Errors
    /// The operating system's.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(Socket::Live(socket)) => socket.poll_read_ready(cx),
            // What was decrypted and not read is known only to the encryption. A parked socket says what is wrong with it.
            Self::Plain(_) | Self::Tls(_) => Poll::Ready(Ok(())),
        }
    }

    /// Whether it is encrypted.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Takes the socket off this thread's reactor.
    ///
    /// # Errors
    /// The operating system's.
    pub fn park(&mut self) -> io::Result<()> {
        self.socket().park()
    }

    /// Puts the socket on this thread's reactor.
    ///
    /// # Errors
    /// The operating system's.
    pub fn unpark(&mut self) -> io::Result<()> {
        self.socket().unpark()
    }
}

impl From<TcpStream> for Stream {
    fn from(socket: TcpStream) -> Self {
        Self::Plain(Socket::Live(socket))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // A socket keeps nothing back.
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
