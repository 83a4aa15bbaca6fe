//! One session on a server: what it is bound to, what it has prepared, and whether it is clean.
//!
//! INVARIANT: a tenant's statement is sent only after [`Backend::ready`] said that the session is bound to this tenant and
//! keeps nothing of another one. What cannot be emptied is closed.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tenantry_dataplane::router::CLEAN;
use tenantry_dataplane::{Door, seal};
use tenantry_domain::id::TenantId;
use tenantry_pg::Target;
use tenantry_wire::server::Status;
use tenantry_wire::{client, server};
use tokio::io::AsyncWrite as _;

use super::connect::{ConnectError, Key, Talk, refused};
use super::statements::Statements;
use crate::pipe::Pipe;
use crate::profile::Profile;
use crate::socket::Stream;

/// How long the farewell to a server may go unheard. Longer than a network is away for a moment; the system itself would try
/// for a quarter of an hour. A server that runs a statement and reads nothing more hears it all the same, unless so much was
/// sent that it has no room.
const UNHEARD: Duration = Duration::from_secs(120);
/// Statements that are kept prepared on one session.
const STATEMENTS: usize = 200;

/// Whom a session lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The tenant.
    pub tenant: TenantId,
    /// Its placement's generation.
    pub epoch: i64,
    /// The number of the key that bound it.
    pub kid: i32,
}

impl Bound {
    /// What a door asks for.
    #[must_use]
    pub fn to(door: &Door) -> Self {
        Self { tenant: door.tenant, epoch: door.epoch, kid: door.seal.kid() }
    }
}

/// Why a session could not be made ready. It has to be closed.
#[derive(Debug, thiserror::Error)]
pub enum ReadyError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] ConnectError),
    /// The client's own settings are refused, with code and message. The session is sound.
    #[error("a setting is refused ({code}): {message}")]
    Settings {
        /// SQLSTATE.
        code: String,
        /// The server's words.
        message: String,
    },
}

/// What lets a tenant in on a standby, which keeps no binding: it is said in each transaction.
#[derive(Debug, Clone)]
pub struct Pass {
    /// Number of the key, tenant, generation, proof; as text.
    pub params: [String; 4],
}

/// A session on a server.
#[derive(Debug)]
pub struct Backend {
    /// Its socket.
    pub stream: Stream,
    /// Read and not handled.
    pub inbox: Pipe,
    /// Made and not written.
    pub outbox: Pipe,
    /// Where it is.
    pub target: Arc<Target>,
    /// By what its statements are cancelled.
    pub key: Key,
    /// Settings that the server reports.
    pub params: Vec<(String, String)>,
    /// Whom it lets in.
    pub bound: Option<Bound>,
    /// By what its tenant is let in, on a standby.
    pub pass: Option<Pass>,
    /// What is prepared.
    pub statements: Statements,
    /// The settings that it has; absent when they are not known.
    pub profile: Option<Rc<Profile>>,
    /// Whether the client that it served may have left something.
    pub is_tainted: bool,
    /// Whether its unnamed statement is ours, by which a tenant is let in.
    pub has_enter: bool,
    /// The client that it served last; absent as long as it has served nobody.
    pub served: Option<u64>,
    /// When it was opened.
    pub opened: Instant,
    /// Since when it serves nobody.
    pub idle_since: Instant,
    who: Option<seal::Backend>,
}

impl Backend {
    pub(super) fn new(stream: Stream, target: Target, key: Key, params: Vec<(String, String)>) -> Self {
        let now = Instant::now();
        let base = u32::from_be_bytes(random());
        Self {
            stream,
            inbox: Pipe::default(),
            outbox: Pipe::default(),
            target: Arc::new(target),
            key,
            params,
            bound: None,
            pass: None,
            statements: Statements::new(base, STATEMENTS),
            profile: None,
            is_tainted: false,
            has_enter: false,
            served: None,
            opened: now,
            idle_since: now,
            who: None,
        }
    }

    /// Whether it can serve this client at once.
    #[must_use]
    pub fn is_ready(&self, door: &Door, profile: &Rc<Profile>, client: u64) -> bool {
        self.bound == Some(Bound::to(door))
            && (!self.is_tainted || self.served == Some(client))
            && self.profile.as_ref().is_some_and(|own| Rc::ptr_eq(own, profile) || own == profile)
    }

    /// Whether it has to be emptied before a client has it. What a client itself has left is its own, also after its session
    /// lost the binding. Of another one's session it must be known that it is this tenant's and that nothing was left:
    /// one that is bound to nobody was anybody's.
    fn needs_cleaning(&self, bound: Bound, client: u64) -> bool {
        let was_another = self.served.is_some_and(|served| served != client);
        was_another && (self.is_tainted || self.bound != Some(bound)) || self.bound.is_some_and(|old| old != bound)
    }

    /// Makes it ready for a client: emptied if it served another tenant or may hold something, bound, and with the client's
    /// settings. One round trip, or two the first time.
    ///
    /// # Errors
    /// See [`ReadyError`].
    pub async fn ready(&mut self, door: &Door, profile: &Rc<Profile>, client: u64) -> Result<(), ReadyError> {
        let bound = Bound::to(door);
        let needs_cleaning = self.needs_cleaning(bound, client);
        self.has_enter = false;
        let mut unread = BytesMut::from(self.inbox.bytes());
        self.inbox = Pipe::default();
        let mut talk = Talk { stream: &mut self.stream, unread: &mut unread };
        let who = match self.who {
            Some(who) => who,
            None => *self.who.insert(hello(&mut talk).await?),
        };
        let mut out = BytesMut::with_capacity(512);
        let mut turns = 0;
        if needs_cleaning {
            client::put_query(&mut out, CLEAN.as_bytes());
            turns += 1;
            self.bound = None;
            self.pass = None;
            self.profile = None;
            self.statements.clear();
        }
        let needs_binding = self.bound != Some(bound);
        if needs_binding && door.is_standby {
            self.pass = Some(Pass { params: params(door, door.seal.standby(who, door.tenant.uuid(), door.epoch)) });
        } else if needs_binding {
            put_bind(&mut out, door, who);
            turns += 1;
        }
        let needs_settings = self.profile.as_ref() != Some(profile);
        if needs_settings {
            client::put_query(&mut out, profile.statements().as_bytes());
            turns += 1;
        }
        if turns == 0 {
            self.inbox.put(&unread);
            self.bound = Some(bound);
            return Ok(());
        }
        self.profile = None;
        talk.say(&out).await.map_err(ConnectError::from)?;
        let mut failure = None;
        for turn in 1..=turns {
            let said = answered(&mut talk, &mut self.params).await?;
            let Err(error) = said.1 else { continue };
            match error {
                ConnectError::Refused { code, message } if turn == turns && needs_settings => {
                    failure = Some(ReadyError::Settings { code, message });
                }
                error => return Err(error.into()),
            }
        }
        // What the server has said beyond the answers is for whoever comes next.
        self.inbox.put(&unread);
        self.bound = Some(bound);
        self.is_tainted &= !needs_cleaning;
        if let Some(failure) = failure {
            return Err(failure);
        }
        self.profile = Some(Rc::clone(profile));
        Ok(())
    }

    /// Asks a question of ours, outside of any transaction: the answer's only row, as text.
    ///
    /// # Errors
    /// The session failed, or the server refuses.
    pub async fn ask(&mut self, sql: &'static [u8]) -> Result<Vec<Option<String>>, ConnectError> {
        self.has_enter = false;
        let mut unread = BytesMut::from(self.inbox.bytes());
        self.inbox = Pipe::default();
        let mut talk = Talk { stream: &mut self.stream, unread: &mut unread };
        let mut out = BytesMut::new();
        client::put_query(&mut out, sql);
        talk.say(&out).await?;
        let (row, status) = answered(&mut talk, &mut self.params).await?;
        status?;
        self.inbox.put(&unread);
        let row = row.ok_or(ConnectError::Protocol("an answer without a row"))?;
        let fields = server::row(&row).map_err(|_| ConnectError::Protocol("a bad row"))?;
        Ok(fields.map(|field| field.map(|text| String::from_utf8_lossy(text).into_owned())).collect())
    }

    /// Says statements of the client's once more, and where its transaction stands then.
    ///
    /// # Errors
    /// The session failed, or a statement is refused here.
    pub async fn say_all(&mut self, statements: &[Box<[u8]>]) -> Result<Status, ConnectError> {
        let mut status = Status::Idle;
        self.has_enter = false;
        let mut unread = BytesMut::from(self.inbox.bytes());
        self.inbox = Pipe::default();
        for statement in statements {
            let mut talk = Talk { stream: &mut self.stream, unread: &mut unread };
            let mut out = BytesMut::new();
            client::put_query(&mut out, statement);
            talk.say(&out).await?;
            status = answered(&mut talk, &mut self.params).await?.1?;
        }
        self.inbox.put(&unread);
        Ok(status)
    }

    /// Ends a transaction that failed. Whether the session is sound then.
    pub async fn roll_back(&mut self) -> bool {
        let rollback: [Box<[u8]>; 1] = [b"ROLLBACK".as_slice().into()];
        let limit = Duration::from_secs(5);
        matches!(tokio::time::timeout(limit, self.say_all(&rollback)).await, Ok(Ok(Status::Idle)))
    }

    /// Whether it is still there. What the server said meanwhile is kept.
    #[must_use]
    pub fn is_alive(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        // Without news this asks nobody: the reactor knows whether something came.
        match self.inbox.poll_read(&mut self.stream, &mut cx) {
            Poll::Pending => true,
            Poll::Ready(Ok(0) | Err(_)) => false,
            // A server that goes away says so before it does.
            Poll::Ready(Ok(_)) => self.inbox.bytes().first() != Some(&b'E'),
        }
    }

    /// Says that nothing more comes, and reads and forgets what the server still says, until it closes the connection: it does
    /// so when it is done with what it runs. One that is gone without a word has its time as well: the farewell to it keeps the
    /// system from asking whether it is alive.
    pub async fn hear_out(&mut self) {
        if let Some(socket) = self.stream.tcp() {
            // Without it the system's own time holds.
            let _ = socket2::SockRef::from(socket).set_tcp_user_timeout(Some(UNHEARD));
        }
        let mut is_shut = false;
        poll_fn(|cx| {
            is_shut = is_shut || Pin::new(&mut self.stream).poll_shutdown(cx).is_ready();
            loop {
                self.inbox.clear();
                match ready!(self.inbox.poll_read(&mut self.stream, cx)) {
                    Ok(0) | Err(_) => return Poll::Ready(()),
                    Ok(_) => {}
                }
            }
        })
        .await;
    }

    /// Notes what the server says of a setting.
    pub fn report(&mut self, name: &str, value: &str) {
        report(&mut self.params, name, value);
    }
}

fn report(params: &mut Vec<(String, String)>, name: &str, value: &str) {
    match params.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => value.clone_into(known),
        None => params.push((name.to_owned(), value.to_owned())),
    }
}

/// Everything up to the next ReadyForQuery: the last row in it, and where the transaction stands or the first error.
async fn answered(
    talk: &mut Talk<'_>,
    params: &mut Vec<(String, String)>,
) -> Result<(Option<Bytes>, Result<Status, ConnectError>), ConnectError> {
    let (mut row, mut failure) = (None, None);
    loop {
        let (tag, body) = talk.hear().await?;
        match tag {
            b'Z' => {
                let status = server::ready(&body).map_err(|_| ConnectError::Protocol("a bad status"))?;
                return Ok((row, failure.map_or(Ok(status), Err)));
            }
            b'D' => row = Some(body),
            b'E' if failure.is_none() => failure = Some(refused(&body)),
            b'S' => {
                if let Ok((name, value)) = server::parameter(&body) {
                    report(params, &String::from_utf8_lossy(name), &String::from_utf8_lossy(value));
                }
            }
            _ => {}
        }
    }
}

/// Asks which server process it is.
async fn hello(talk: &mut Talk<'_>) -> Result<seal::Backend, ConnectError> {
    let mut out = BytesMut::new();
    client::put_query(&mut out, b"SELECT pid, started FROM seal.hello()");
    talk.say(&out).await?;
    let (row, status) = answered(talk, &mut Vec::new()).await?;
    status?;
    let read = || {
        let body = row?;
        let mut fields = server::row(&body).ok()?;
        let mut number = || std::str::from_utf8(fields.next()??).ok()?.parse::<i64>().ok();
        Some(seal::Backend { pid: i32::try_from(number()?).ok()?, started: number()? })
    };
    read().ok_or(ConnectError::Protocol("a bad answer of the seal"))
}

/// `seal.bind`, unnamed, with bound values: literals could be seen by other sessions of the login.
fn put_bind(out: &mut BytesMut, door: &Door, who: seal::Backend) {
    let params = params(door, door.seal.bind(who, door.tenant.uuid(), door.epoch));
    client::put_parse(out, b"", b"SELECT seal.bind($1::int, $2::uuid, $3::bigint, $4::bytea)", &[]);
    let params = params.each_ref().map(|text| Some(text.as_bytes()));
    client::put_bind_params(out, b"", b"", &params, &[]);
    client::put_execute(out, b"");
    client::put_sync(out);
}

/// Number of the key, tenant, generation and a proof, as text.
fn params(door: &Door, proof: [u8; 32]) -> [String; 4] {
    let proof = std::iter::once("\\x".to_owned()).chain(proof.iter().map(|byte| format!("{byte:02x}"))).collect();
    [door.seal.kid().to_string(), door.tenant.uuid().to_string(), door.epoch.to_string(), proof]
}

/// Bytes that nobody guesses.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Fails only while the system's generator cannot be read, which passes.
    while aws_lc_rs::rand::fill(&mut bytes).is_err() {
        std::thread::yield_now();
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    async fn backend() -> (Backend, tokio::net::TcpListener) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let target = Target::parse(&"postgres://someone@127.0.0.1/one".to_owned().into()).unwrap();
        (Backend::new(socket.into(), target, Key { pid: 1, secret: Bytes::new() }, Vec::new()), listener)
    }

    #[tokio::test]
    async fn a_server_that_is_gone_without_a_word_is_not_listened_to_for_long() {
        let (mut backend, listener) = backend().await;
        drop(listener.accept().await.unwrap());
        backend.hear_out().await;
        let socket = socket2::SockRef::from(backend.stream.tcp().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNHEARD));
    }

    #[tokio::test]
    async fn what_was_anybodys_is_emptied() {
        let (mut backend, _listener) = backend().await;
        let bound = |tenant| Bound { tenant: TenantId::from_uuid(uuid::Uuid::from_u128(tenant)), epoch: 1, kid: 1 };
        assert!(!backend.needs_cleaning(bound(1), 7), "nobody had it");
        (backend.bound, backend.served) = (Some(bound(1)), Some(7));
        let asked = |backend: &Backend| {
            [(1, 7), (1, 8), (2, 9)].map(|(tenant, client)| backend.needs_cleaning(bound(tenant), client))
        };
        assert_eq!(asked(&backend), [false, false, true]);
        backend.is_tainted = true;
        assert_eq!(asked(&backend), [false, true, true]);
        // A session that lost its binding is not a new one, marked or not.
        backend.bound = None;
        assert_eq!(asked(&backend), [false, true, true]);
        backend.is_tainted = false;
        assert_eq!(asked(&backend), [false, true, true]);
    }
}
