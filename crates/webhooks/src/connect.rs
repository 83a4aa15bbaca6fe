//! The connector: resolves, vets, connects. In this order, in one place.
//!
//! INVARIANT: [`dial`] takes a [`PublicAddr`]; there is no other call that opens a socket in this crate. Neither a proxy of
//! the environment nor HTTP/2 nor an alternative service is ever used.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::address::{Egress, PublicAddr};
use crate::answer::Fault;
use crate::names::Names;

/// Addresses of one name that are looked at.
const MOST_ADDRESSES: usize = 16;
/// Addresses of one name that are tried.
const MOST_TRIES: usize = 4;

/// No connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectError(pub(crate) Fault);

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no connection ({})", self.0.as_str())
    }
}

impl std::error::Error for ConnectError {}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection, with TLS or without.
pub(crate) struct Wire(TokioIo<Box<dyn Duplex>>);

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Makes connections for the HTTP client.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) names: Arc<dyn Names>,
    pub(crate) egress: Egress,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) connect: Duration,
    pub(crate) handshake: Duration,
}

impl tower::Service<Uri> for Connector {
    type Response = Wire;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Wire, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.open(&uri).await })
    }
}

impl Connector {
    async fn open(&self, uri: &Uri) -> Result<Wire, ConnectError> {
        let is_tls = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let reached = tokio::time::timeout(self.connect, self.reach(host, port)).await;
        let tcp = reached.map_err(|_| ConnectError(Fault::Connect))??;
        let _ = tcp.set_nodelay(true);
        if !is_tls {
            let is_own = tcp.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
            let is_allowed = self.egress == Egress::Lab && is_own;
            return if is_allowed { Ok(Wire(TokioIo::new(Box::new(tcp)))) } else { Err(ConnectError(Fault::Target)) };
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ConnectError(Fault::Target))?;
        let shaken = TlsConnector::from(self.tls.clone()).connect(name, tcp);
        // The HTTP client lets a connection go on that nobody waits for any more, so its bound is here.
        let shaken = tokio::time::timeout(self.handshake, shaken).await;
        let tls = shaken.map_err(|_| ConnectError(Fault::Timeout))?.map_err(|_| ConnectError(Fault::Tls))?;
        Ok(Wire(TokioIo::new(Box::new(tls))))
    }

    async fn reach(&self, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        let found = match host.parse::<IpAddr>() {
            Ok(ip) => vec![ip],
            Err(_) => self.names.resolve(host).await.map_err(|_| ConnectError(Fault::Name))?,
        };
        let open = vetted(self.egress, &found);
        if open.is_empty() {
            return Err(ConnectError(if found.is_empty() { Fault::Name } else { Fault::Forbidden }));
        }
        // Each gets its share of the time, so that one that swallows packets does not use it up.
        let share = self.connect / u32::try_from(open.len()).unwrap_or(1).max(1);
        for address in open {
            if let Ok(Ok(tcp)) = tokio::time::timeout(share, dial(address, port)).await {
                return Ok(tcp);
            }
        }
        Err(ConnectError(Fault::Connect))
    }
}

/// Those of a name's addresses that may be connected to, IPv4 and IPv6 in turn.
pub(crate) fn vetted(egress: Egress, found: &[IpAddr]) -> Vec<PublicAddr> {
    let open: Vec<PublicAddr> = found.iter().take(MOST_ADDRESSES).filter_map(|ip| egress.vet(*ip).ok()).collect();
    let (v4, v6): (Vec<PublicAddr>, Vec<PublicAddr>) = open.into_iter().partition(|address| address.ip().is_ipv4());
    let mut turns = Vec::new();
    for place in 0..v4.len().max(v6.len()) {
        turns.extend(v4.get(place));
        turns.extend(v6.get(place));
    }
    turns.truncate(MOST_TRIES);
    turns
}

/// The only call that opens a connection.
async fn dial(address: PublicAddr, port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect(address.socket(port)).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use super::*;

    #[test]
    fn only_public_addresses_of_a_mixed_answer_are_tried() {
        let found: Vec<IpAddr> =
            ["10.0.0.1", "8.8.8.8", "fd00::1", "2606:4700::1", "127.0.0.1", "1.1.1.1", "9.9.9.9", "8.8.4.4"]
                .into_iter()
                .map(|text| text.parse().unwrap())
                .collect();
        let tried: Vec<String> = vetted(Egress::Public, &found).iter().map(ToString::to_string).collect();
        assert_eq!(tried, ["8.8.8.8", "2606:4700::1", "1.1.1.1", "9.9.9.9"]);
        assert!(vetted(Egress::Public, &found[..1]).is_empty());
    }
}
