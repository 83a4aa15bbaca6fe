//! A client that sends whatever bytes it is given, and reads what comes: for everything that no driver would send.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, Bytes, BytesMut};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tenantry_gateway::Tls;
use tenantry_wire::server::{self, Auth};
use tenantry_wire::{client, frame};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::world::{Tenant, WAIT, World, password};

/// What a byte stream has to be able to do.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for S {}

/// See the module.
pub struct Raw {
    pub stream: Box<dyn Wire>,
    inbox: BytesMut,
    /// By what its statements are cancelled.
    pub key: Option<(i32, Vec<u8>)>,
}

/// One message.
#[derive(Debug, Clone)]
pub struct Message {
    pub tag: u8,
    pub body: Bytes,
}

impl Message {
    /// A field of an error or a notice.
    pub fn field(&self, letter: u8) -> String {
        let found = server::fields(&self.body).find(|(field, _)| *field == letter);
        found.map(|(_, text)| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
    }
}

impl Raw {
    /// Connects, and says nothing.
    pub async fn connect(port: u16) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self::over(socket)
    }

    /// Connects from an address of this machine.
    pub async fn connect_from(local: [u8; 4], port: u16) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((local, 0))).unwrap();
        let socket = socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self::over(socket)
    }

    pub fn over(stream: impl Wire + 'static) -> Self {
        Self { stream: Box::new(stream), inbox: BytesMut::new(), key: None }
    }

    /// Sends; whether it could.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Sends what `make` makes.
    pub async fn say(&mut self, make: impl FnOnce(&mut BytesMut)) -> bool {
        let mut out = BytesMut::new();
        make(&mut out);
        self.send(&out).await
    }

    /// The next message, or nothing once the connection is closed.
    pub async fn hear(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = frame::whole(&self.inbox, 1 << 30).unwrap() {
                let (tag, len) = (message.tag, message.len);
                let mut body = self.inbox.split_to(len).freeze();
                body.advance(frame::HEADER);
                return Some(Message { tag, body });
            }
            match self.stream.read_buf(&mut self.inbox).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Everything up to and with a message of this kind, or up to the end; it must come in time.
    pub async fn until(&mut self, tag: u8) -> Vec<Message> {
        let mut all = Vec::new();
        let heard = async {
            while let Some(message) = self.hear().await {
                let is_last = message.tag == tag;
                all.push(message);
                if is_last {
                    break;
                }
            }
        };
        timeout(WAIT, heard).await.unwrap_or_else(|_| panic!("waiting for {}", char::from(tag)));
        all
    }

    /// All bytes up to the end of the connection; `None` if it does not end in time.
    pub async fn rest(&mut self, limit: Duration) -> Option<Vec<u8>> {
        let mut all = self.inbox.split().to_vec();
        let mut chunk = vec![0; 1 << 16];
        let read = async {
            loop {
                match self.stream.read(&mut chunk).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => all.extend_from_slice(&chunk[..count]),
                }
            }
        };
        timeout(limit, read).await.ok()?;
        Some(all)
    }

    /// Logs in by password, up to ReadyForQuery.
    pub async fn log_in(self, minor: u16, user: &str, database: &str) -> Self {
        self.try_log_in(minor, user, database).await.unwrap_or_else(|said| panic!("{user}: {said}"))
    }

    /// The same; otherwise the code and message of the refusal, which are empty if the gateway just hung up.
    pub async fn try_log_in(mut self, minor: u16, user: &str, database: &str) -> Result<Self, String> {
        let params = [("user", user), ("database", database)];
        self.say(|out| client::put_start(out, minor, &params)).await;
        let password = password(user);
        loop {
            let message = timeout(WAIT, self.hear()).await.map_err(|_| "silence")?.ok_or("")?;
            let mut out = BytesMut::new();
            match message.tag {
                server::AUTH => match server::auth(&message.body).unwrap() {
                    Auth::Sasl(_) => client::put_sasl_initial(&mut out, b"SCRAM-SHA-256", b"n,,n=,r=raw"),
                    Auth::SaslContinue(data) => {
                        let challenge = std::str::from_utf8(data).unwrap();
                        client::put_sasl_response(&mut out, prove(&password, challenge).as_bytes());
                    }
                    Auth::SaslFinal(_) | Auth::Ok => {}
                    other => panic!("{other:?}"),
                },
                server::KEY => {
                    let (pid, secret) = server::key(&message.body).unwrap();
                    self.key = Some((pid, secret.to_vec()));
                }
                server::READY => return Ok(self),
                server::ERROR => return Err(format!("{} {}", message.field(b'C'), message.field(b'M'))),
                _ => {}
            }
            self.send(&out).await;
        }
    }

    /// A query, and its answer up to ReadyForQuery.
    pub async fn query(&mut self, sql: &str) -> Vec<Message> {
        assert!(self.say(|out| client::put_query(out, sql.as_bytes())).await);
        self.until(server::READY).await
    }
}

/// The answer to a challenge. What a password is hashed to is kept: thousands log in here.
fn prove(password: &str, challenge: &str) -> String {
    static SALTED: Mutex<Option<HashMap<String, [u8; 32]>>> = Mutex::new(None);
    let mut parts = challenge.split(',').map(|part| &part[2..]);
    let (nonce, salt, count) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let mut known = SALTED.lock().unwrap_or_else(PoisonError::into_inner);
    let salted = *known.get_or_insert_default().entry(format!("{password} {salt} {count}")).or_insert_with(|| {
        let mut salted = [0; 32];
        let count = NonZeroU32::new(count.parse().unwrap()).unwrap();
        let salt = STANDARD.decode(salt).unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, count, &salt, password.as_bytes(), &mut salted);
        salted
    });
    drop(known);
    let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let key = sign(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, key.as_ref());
    let last = format!("c=biws,r={nonce}");
    let signed = sign(stored.as_ref(), format!("n=,r=raw,{challenge},{last}").as_bytes());
    let proof: Vec<u8> = key.as_ref().iter().zip(signed.as_ref()).map(|(key, signed)| key ^ signed).collect();
    format!("{last},p={}", STANDARD.encode(proof))
}

/// A tenant's client on some gateway.
pub async fn client_of(port: u16, tenant: &Tenant) -> Raw {
    Raw::connect(port).await.log_in(0, &tenant.slug.replace('-', "_"), &tenant.slug).await
}

/// The first value of the first row.
pub fn value(messages: &[Message]) -> Option<String> {
    let row = messages.iter().find(|message| message.tag == b'D')?;
    let value = server::row(&row.body).unwrap().next()??;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// Kinds of messages.
pub fn tags(messages: &[Message]) -> String {
    messages.iter().map(|message| char::from(message.tag)).collect()
}

/// The code of the first error.
pub fn code(messages: &[Message]) -> String {
    messages.iter().find(|message| message.tag == server::ERROR).map(|error| error.field(b'C')).unwrap_or_default()
}

/// A message as it is on the wire, with whatever length it says.
pub fn framed(tag: u8, length: u32, body: &[u8]) -> Vec<u8> {
    [&[tag], &length.to_be_bytes()[..], body].concat()
}

/// A message of the length that it has.
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    framed(tag, u32::try_from(body.len() + 4).unwrap(), body)
}

/// Certificate and key that sign themselves, in a folder.
pub fn certificate(folder: &Path) -> Tls {
    let made = Command::new("openssl")
        .args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3 -subj /CN=localhost".split(' '),
        )
        .args(["-keyout", "server.key", "-out", "server.crt", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Tls::read(&folder.join("server.crt"), &folder.join("server.key")).unwrap()
}

/// Encrypts a connection as a client that trusts the certificate in a folder.
pub async fn encrypt(socket: TcpStream, folder: &Path, alpn: &[&[u8]]) -> std::io::Result<impl Wire + 'static> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("server.crt")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// From now on all panics of this process are counted, on whatever thread.
pub fn count_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        before(info);
    }));
}

pub fn panics() -> usize {
    PANICS.load(Ordering::SeqCst)
}

/// Resident memory of this process in KiB: gateway and clients.
pub fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

/// Sessions of a tenant's server login that are in a state, as its server sees them.
pub async fn sessions(world: &World, tenant: &Tenant, condition: &str) -> i64 {
    let role = &tenant.role;
    let count = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}' AND backend_type = 'client backend' AND {condition}"
    );
    world.number("postgres", &count).await
}

/// Waits until something is so.
pub async fn eventually(what: &str, limit: Duration, mut is_so: impl AsyncFnMut() -> bool) {
    let began = std::time::Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps what this process logs.
struct Keeper;

impl tracing::Subscriber for Keeper {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("tenantry_gateway")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Line(String);
        impl tracing::field::Visit for Line {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                write!(self.0, " {field}={value:?}").unwrap();
            }
        }
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// From now on what the gateway logs is kept.
pub fn keep_log() {
    let _ = tracing::subscriber::set_global_default(Keeper);
}

/// How many lines of the log hold all of these.
pub fn logged(parts: &[&str]) -> usize {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|line| parts.iter().all(|part| line.contains(part))).count()
}
