//! The first words with a client: encryption, start, login. Then it goes to the worker of its tenant.
//!
//! INVARIANT: until a client has logged in it has one place in the lobby, one deadline, and nothing else that others need.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tenantry_wire::server::{Report, Severity};
use tenantry_wire::start::{self, First, Start};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::admin::{self, Admin, Reach};
use crate::counts::Refusals;
use crate::login::{Accepted, Desk, Facts, TlsFacts, login, prove};
use crate::orders::Workers;
use crate::reload::{Config, Difference, ReloadError};
use crate::seats::{Clients, Seat, Seats};
use crate::session::Arrival;
use crate::settings::Settings;
use crate::socket::{Socket, Stream};
use crate::table::Table;
use crate::tls::{ALPN, Tls};
use crate::worker::Order;

/// The most connections that have not logged in. At ten milliseconds each, a hundred thousand log in in a second.
const LOBBY: usize = 1_000;
/// How long a client may be silent until it is asked whether it is still there, how often it is asked, and how often it may
/// leave that unanswered.
const ALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(15), 4);
/// Between these, a client that takes nothing of what it is sent is given as long as a statement. The upper one is about
/// what Linux does by itself.
const UNTAKEN: (Duration, Duration) = (Duration::from_secs(120), Duration::from_secs(900));
/// What a client sent before it was refused is taken, up to so many bytes: closing on it would throw the refusal away.
const LEFT: usize = 64 * 1024;

const CROWDED: Refusal = Refusal {
    code: "53300",
    message: "too many connections are logging in",
    hint: Some(
        "Try again in a moment. Connections that never log in are in the way; clients that have are not concerned.",
    ),
};
const FULL: Refusal =
    Refusal { code: "53300", message: "too many clients", hint: Some("Close connections that are not used.") };
const SEATED: Refusal = Refusal {
    code: "53300",
    message: "the login has as many connections as it may have",
    hint: Some("Close connections that are not used, or raise the login's bound."),
};
const PLAIN: Refusal = Refusal {
    code: "28000",
    message: "connections without TLS are refused",
    hint: Some("Set sslmode=require in the connection string, better verify-full."),
};
const AGAIN: Refusal =
    Refusal { code: "08P01", message: "the client asks for encryption that it was already answered about", hint: None };
const LATE: Refusal = Refusal { code: "57014", message: "canceling authentication due to timeout", hint: None };

/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

/// Everything that logins need. One for all of them.
pub struct Front {
    pub desk: Desk,
    pub config: Config,
    pub tls: Option<Tls>,
    pub workers: Workers,
    pub admin: Option<Admin>,
    pub consoles: Semaphore,
    pub refused: Refusals,
    pub table: Table,
    pub clients: Clients,
    pub seats: Seats,
}

/// What a connection turned out to be.
enum Greeting {
    Start(Start),
    Cancel(start::Cancel),
}

/// A client that has logged in and has a seat.
struct Admitted {
    accepted: Accepted,
    /// Bytes of its secret.
    secret: usize,
    seat: Seat,
    permit: OwnedSemaphorePermit,
}

/// Who has logged in.
enum Guest {
    Client(Admitted),
    Admin,
}

/// A fatal error of this door.
struct Refusal {
    code: &'static str,
    message: &'static str,
    hint: Option<&'static str>,
}

impl Front {
    /// Serves one connection until it has a session, or none.
    pub async fn greet(&self, socket: TcpStream, peer: SocketAddr) {
        let since = Instant::now();
        let settings = self.config.settings();
        if let Err(error) = tune(&socket, settings.statement) {
            tracing::debug!(%peer, %error, "the connection's options cannot be set");
        }
        let mut stream = Stream::from(socket);
        let Some(place) = self.desk.lobby().enter(peer.ip(), settings.clients.min(LOBBY), since) else {
            tracing::debug!(%peer, "turned away: too many connections are logging in");
            return refuse(&mut stream, &CROWDED).await;
        };
        let admitted = tokio::select! {
            admitted = self.admit(&mut stream, peer, (since, &settings)) => admitted,
            () = place.lost() => {
                tracing::debug!(%peer, "its place is taken by another: too many connections are logging in");
                return refuse(&mut stream, &CROWDED).await;
            }
        };
        drop(place);
        match admitted {
            Some(Guest::Client(admitted)) if stream.park().is_ok() => self.hand_over(stream, admitted, peer).await,
            Some(Guest::Admin) => self.console(&mut stream, peer).await,
            _ => {}
        }
    }

    /// The client, once it has logged in. Whoever is refused was told so.
    async fn admit(
        &self,
        stream: &mut Stream,
        peer: SocketAddr,
        (since, settings): (Instant, &Settings),
    ) -> Option<Guest> {
        let mut tls = None;
        let greeting = match timeout(settings.login, self.begin(stream, &mut tls)).await {
            Ok(Ok(greeting)) => greeting?,
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "no connection was made");
                return None;
            }
            Err(_) => {
                tracing::debug!(%peer, "a client was too slow to begin");
                refuse(stream, &LATE).await;
                return None;
            }
        };
        let start = match greeting {
            Greeting::Start(start) => start,
            Greeting::Cancel(cancel) => {
                let worker = usize::try_from((cancel.pid >> 24) & 0x7f).unwrap_or(0);
                if let Some(worker) = self.workers.get(worker) {
                    let _ = worker.send(Order::Cancel { pid: cancel.pid, secret: cancel.secret.to_vec() }).await;
                }
                return None;
            }
        };
        if tls.is_none() && !settings.allow_plain {
            refuse(stream, &PLAIN).await;
            return None;
        }
        if let Some(admin) = &self.admin
            && Admin::is_meant(&start)
        {
            let facts = Facts { tls, peer: peer.ip(), since };
            return match prove(stream, &start, admin.verifiers(), &facts, &self.desk).await {
                Ok(()) => Some(Guest::Admin),
                Err(refused) => self.turned_away(&refused, peer),
            };
        }
        // The proof is spared if there is no room anyway.
        if self.clients.count() >= settings.clients {
            refuse(stream, &FULL).await;
            return None;
        }
        let secret = if start.takes_long_secrets() { 32 } else { 4 };
        let facts = Facts { tls, peer: peer.ip(), since };
        let accepted = match login(stream, start, &facts, &self.desk).await {
            Ok(accepted) => accepted,
            Err(refused) => {
                drain(stream);
                return self.turned_away(&refused, peer);
            }
        };
        let Some(permit) = self.clients.take(self.config.settings().clients) else {
            refuse(stream, &FULL).await;
            return None;
        };
        let Some(seat) = self.seats.take(&accepted.login) else {
            refuse(stream, &SEATED).await;
            return None;
        };
        Some(Guest::Client(Admitted { accepted, secret, seat, permit }))
    }

    fn turned_away(&self, refused: &crate::login::Refused, peer: SocketAddr) -> Option<Guest> {
        self.refused.count(refused.reason());
        tracing::info!(%peer, reason = refused.reason(), error = %refused, "login refused");
        None
    }

    /// Reads configuration and certificate again.
    pub async fn reload(&self) -> Result<Vec<Difference>, ReloadError> {
        self.config.reload(self.tls.as_ref(), &self.desk).await
    }

    /// The administrator's console.
    async fn console(&self, stream: &mut Stream, peer: SocketAddr) {
        let (Some(admin), Ok(_permit)) = (&self.admin, self.consoles.try_acquire()) else {
            return refuse(stream, &FULL).await;
        };
        tracing::info!(%peer, "console opened");
        let reach = Reach {
            feed: admin.feed(),
            workers: &self.workers,
            table: &self.table,
            config: &self.config,
            desk: &self.desk,
            tls: self.tls.as_ref(),
        };
        let ended = admin::serve(stream, &reach).await;
        tracing::info!(%peer, error = ended.err().map(tracing::field::display), "console closed");
    }

    /// Everything up to the start: encryption is asked for, or is there from the first byte.
    async fn begin(&self, stream: &mut Stream, tls: &mut Option<TlsFacts>) -> io::Result<Option<Greeting>> {
        if self.tls.is_some() && is_handshake(stream).await? {
            self.encrypt(stream, tls, true).await?;
        }
        // Each kind of encryption is asked for once at most, and none inside of another.
        let (mut is_ssl_known, mut is_gss_known) = (tls.is_some(), tls.is_some());
        loop {
            let packet = read_start(stream).await?;
            let first = match start::first(&packet) {
                Ok(first) => first,
                Err(error) => {
                    say(stream, error.sqlstate(), &error.to_string(), None).await?;
                    return Ok(None);
                }
            };
            let Some((first, _)) = first else { return Err(io::ErrorKind::InvalidData.into()) };
            match first {
                First::Gss if !is_gss_known => {
                    is_gss_known = true;
                    stream.write_all(b"N").await?;
                }
                First::Ssl if !is_ssl_known && self.tls.is_some() => {
                    (is_ssl_known, is_gss_known) = (true, true);
                    stream.write_all(b"S").await?;
                    // Whatever was sent behind the question was sent in the clear. It is read as TLS, or not at all.
                    self.encrypt(stream, tls, false).await?;
                }
                First::Ssl if !is_ssl_known => {
                    is_ssl_known = true;
                    stream.write_all(b"N").await?;
                }
                First::Gss | First::Ssl => {
                    refuse(stream, &AGAIN).await;
                    return Ok(None);
                }
                First::Cancel(cancel) => return Ok(Some(Greeting::Cancel(cancel))),
                First::Start(start) => return Ok(Some(Greeting::Start(start))),
            }
        }
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

    /// Gives a client to the worker of its tenant.
    async fn hand_over(&self, stream: Stream, admitted: Admitted, peer: SocketAddr) {
        let Admitted { accepted, secret, seat, permit } = admitted;
        let worker = self.workers.of(accepted.slot.tenant());
        let arrival = Arrival {
            stream,
            login: accepted.login,
            slot: accepted.slot,
            settings: accepted.settings,
            secret,
            peer,
            expires: accepted.claims.map(|claims| claims.expires),
            seat,
            permit,
        };
        if let Some(worker) = worker {
            // A worker that is gone means that the gateway stops.
            let _ = worker.send(Order::Arrive(Box::new(arrival))).await;
        }
    }
}

/// Sends small messages at once, and notices a client that is gone without a word: one that is silent, and one that takes
/// nothing of what it is sent.
fn tune(socket: &TcpStream, statement: Duration) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let (time, interval, retries) = ALIVE;
    let alive = socket2::TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(retries);
    let socket = socket2::SockRef::from(socket);
    socket.set_tcp_keepalive(&alive)?;
    socket.set_tcp_user_timeout(Some(statement.clamp(UNTAKEN.0, UNTAKEN.1)))
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
    // The length word counts itself.
    if !(8..=start::LONGEST_START + 4).contains(&length) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a start packet of a bad length"));
    }
    packet.resize(length, 0);
    stream.read_exact(packet.get_mut(4..).unwrap_or_default()).await?;
    Ok(packet)
}

/// Tells a client why it is not let in. Whether it hears that is its own affair.
async fn refuse(stream: &mut Stream, refusal: &Refusal) {
    let _ = say(stream, refusal.code, refusal.message, refusal.hint).await;
}

async fn say(stream: &mut Stream, code: &str, message: &str, hint: Option<&str>) -> io::Result<()> {
    let mut out = BytesMut::new();
    let report = Report { severity: Severity::Fatal, code, message, detail: None, hint };
    tenantry_wire::server::put_error(&mut out, &report);
    let write = async {
        stream.write_all(&out).await?;
        stream.shutdown().await
    };
    timeout(Duration::from_secs(1), write).await.map_err(|_| io::ErrorKind::TimedOut)??;
    drain(stream);
    Ok(())
}

/// Takes what a client has sent already, without waiting for more.
fn drain(stream: &Stream) {
    let Some(socket) = stream.tcp() else { return };
    let mut scrap = [0; 4096];
    let mut taken = 0;
    while let Ok(count @ 1..) = socket.try_read(&mut scrap) {
        taken += count;
        if taken >= LEFT {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_vanishes_is_noticed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        for (statement, untaken) in [(300, 300), (1, 120), (86_400, 900)] {
            tune(&socket, Duration::from_secs(statement)).unwrap();
            let socket = socket2::SockRef::from(&socket);
            assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), ALIVE.0);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), ALIVE.1);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), ALIVE.2);
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(untaken)));
        }
    }
}
