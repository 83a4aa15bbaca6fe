//! The first words with a client: encryption, start, login. Then it goes to the worker of its tenant.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tenantry_wire::server::{Report, Severity};
use tenantry_wire::start::{self, First, Start};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use crate::login::{Desk, Facts, TlsFacts, login};
use crate::seats::Seats;
use crate::session::Arrival;
use crate::settings::Settings;
use crate::socket::{Socket, Stream};
use crate::tls::{ALPN, Tls};
use crate::worker::{Order, owner};

/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

/// Everything that logins need. One for all of them.
pub struct Front {
    pub desk: Desk,
    pub settings: Settings,
    pub tls: Option<Tls>,
    pub workers: Vec<mpsc::Sender<Order>>,
    pub clients: Arc<Semaphore>,
    pub seats: Seats,
}

/// What a connection turned out to be.
enum Greeting {
    Start(Start),
    Cancel(start::Cancel),
}

impl Front {
    /// Serves one connection until it has a session, or none.
    pub async fn greet(&self, socket: TcpStream, peer: SocketAddr) {
        let _ = socket.set_nodelay(true);
        let alive =
            socket2::TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));
        let _ = socket2::SockRef::from(&socket).set_tcp_keepalive(&alive);
        let Ok(permit) = Arc::clone(&self.clients).try_acquire_owned() else {
            let mut socket = socket;
            let _ =
                refuse(&mut socket, "53300", "too many clients", Some("Close connections that are not used.")).await;
            return;
        };
        let mut stream = Stream::from(socket);
        let mut tls = None;
        let greeting = match timeout(self.settings.login, self.begin(&mut stream, &mut tls)).await {
            Ok(Ok(Some(greeting))) => greeting,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "no connection was made"),
            Err(_) => return tracing::debug!(%peer, "a client was too slow to begin"),
        };
        match greeting {
            Greeting::Cancel(cancel) => {
                let worker = usize::try_from((cancel.pid >> 24) & 0x7f).unwrap_or(0);
                if let Some(worker) = self.workers.get(worker) {
                    let _ = worker.send(Order::Cancel { pid: cancel.pid, secret: cancel.secret.to_vec() }).await;
                }
            }
            Greeting::Start(start) => self.log_in(stream, start, tls, peer, permit).await,
        }
    }

    /// Everything up to the start: encryption is asked for, or is there from the first byte.
    async fn begin(&self, stream: &mut Stream, tls: &mut Option<TlsFacts>) -> io::Result<Option<Greeting>> {
        if self.tls.is_some() && is_handshake(stream).await? {
            self.encrypt(stream, tls, true).await?;
        }
        // A client asks for each kind of encryption once at most.
        for _ in 0..4 {
            let packet = read_start(stream).await?;
            let first = match start::first(&packet) {
                Ok(first) => first,
                Err(error) => {
                    refuse(stream, error.sqlstate(), &error.to_string(), None).await?;
                    return Ok(None);
                }
            };
            let Some((first, _)) = first else { return Err(io::ErrorKind::InvalidData.into()) };
            match first {
                First::Gss => stream.write_all(b"N").await?,
                First::Ssl if self.tls.is_some() && tls.is_none() => {
                    stream.write_all(b"S").await?;
                    self.encrypt(stream, tls, false).await?;
                }
                First::Ssl => stream.write_all(b"N").await?,
                First::Cancel(cancel) => return Ok(Some(Greeting::Cancel(cancel))),
                First::Start(start) => return Ok(Some(Greeting::Start(start))),
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the client asks for encryption again and again"))
    }

    async fn encrypt(&self, stream: &mut Stream, facts: &mut Option<TlsFacts>, is_direct: bool) -> io::Result<()> {
        let Some(tls) = &self.tls else { return Ok(()) };
        let offer = tls.offer();
        let Stream::Plain(socket) = std::mem::replace(stream, Stream::Plain(Socket::Gone)) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let encrypted = offer.acceptor.accept(socket).await?;
        let session = encrypted.get_ref().1;
        if is_direct && session.alpn_protocol() != Some(ALPN) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "TLS from the first byte without ALPN `postgresql`",
            ));
        }
        let sni = session.server_name().map(str::to_owned);
        *facts = Some(TlsFacts { end_point: offer.end_point.clone(), sni });
        *stream = Stream::Tls(Box::new(encrypted.into()));
        Ok(())
    }

    async fn log_in(
        &self,
        mut stream: Stream,
        start: Start,
        tls: Option<TlsFacts>,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) {
        if tls.is_none() && !self.settings.allow_plain {
            let hint = "Set sslmode=require in the connection string, better verify-full.";
            let _ = refuse(&mut stream, "28000", "connections without TLS are refused", Some(hint)).await;
            return;
        }
        let secret = if start.takes_long_secrets() { 32 } else { 4 };
        let facts = Facts { tls, peer: peer.ip() };
        let accepted = match login(&mut stream, start, &facts, &self.desk).await {
            Ok(accepted) => accepted,
            Err(refused) => return tracing::info!(%peer, %refused, "login refused"),
        };
        let Some(seat) = self.seats.take(&accepted.login) else {
            let hint = "Close connections that are not used, or raise the login's bound.";
            let _ = refuse(&mut stream, "53300", "the login has as many connections as it may have", Some(hint)).await;
            return;
        };
        if stream.park().is_err() {
            return;
        }
        let ends = [accepted.login.expires, accepted.claims.map(|claims| claims.expires)];
        let worker = owner(accepted.slot.tenant(), self.workers.len());
        let arrival = Arrival {
            stream,
            login: accepted.login,
            slot: accepted.slot,
            settings: accepted.settings,
            secret,
            peer,
            expires: ends.into_iter().flatten().min(),
            seat,
            permit,
        };
        if let Some(worker) = self.workers.get(worker) {
            // A worker that is gone means that the gateway stops.
            let _ = worker.send(Order::Arrive(Box::new(arrival))).await;
        }
    }
}

/// Whether the first byte begins a TLS handshake. A start begins with a zero.
async fn is_handshake(stream: &Stream) -> io::Result<bool> {
    let Some(socket) = stream.tcp() else { return Ok(false) };
    let mut first = [0; 1];
    Ok(socket.peek(&mut first).await? == 1 && first[0] == HANDSHAKE)
}

/// One packet of the start, which has a length and no tag.
async fn read_start<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; 4];
    stream.read_exact(&mut packet).await?;
    let length = packet.first_chunk().map_or(0, |length| u32::from_be_bytes(*length));
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if !(8..=start::LONGEST_START).contains(&length) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a start packet of a bad length"));
    }
    packet.resize(length, 0);
    stream.read_exact(packet.get_mut(4..).unwrap_or_default()).await?;
    Ok(packet)
}

async fn refuse<S>(stream: &mut S, code: &str, message: &str, hint: Option<&str>) -> io::Result<()>
where
    S: tokio::io::AsyncWrite + Unpin,
{
    let mut out = BytesMut::new();
    let report = Report { severity: Severity::Fatal, code, message, detail: None, hint };
    tenantry_wire::server::put_error(&mut out, &report);
    let write = async {
        stream.write_all(&out).await?;
        stream.shutdown().await
    };
    timeout(Duration::from_secs(1), write).await.map_err(|_| io::ErrorKind::TimedOut)?
}
