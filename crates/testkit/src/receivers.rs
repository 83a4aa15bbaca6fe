//! Receivers of webhooks in every mood, on loopback. They write down what they get before they answer, so that a test can compare
//! what was committed with what arrived.
//!
//! HTTP is spoken by hand: most moods are what no well-behaved server can be made to do.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How a receiver behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mood {
    /// Takes everything.
    Ok,
    /// Takes everything, after a while.
    Slow(Duration),
    /// Answers with a status.
    Status(u16),
    /// Answers with a status and says how many seconds to wait.
    Wait(u16, u32),
    /// Reads and says nothing.
    Hang,
    /// Reads and closes the connection at once.
    Reset,
    /// Points elsewhere.
    Redirect(String),
    /// Answers 200 and then without end.
    Bomb,
    /// Answers one byte at a time, without end.
    Drip,
    /// Answers with a head without end.
    LongHead,
    /// Answers with something else than HTTP.
    Garbage,
    /// Fails two times of three.
    Flap,
}

/// What arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    /// When its last byte was read.
    pub at: SystemTime,
    /// The request's target.
    pub path: String,
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`.
    pub timestamp: String,
    /// `webhook-signature`.
    pub signature: String,
    /// `content-type`.
    pub media: String,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// Whether it was to be answered by 2xx.
    pub is_taken: bool,
}

/// What is done with what arrives, in the place of keeping it: a long run would fill the memory.
pub type Sink = Box<dyn Fn(Got) + Send + Sync>;

struct Shared {
    mood: Mutex<Mood>,
    got: Mutex<Vec<Got>>,
    sink: Option<Sink>,
    connections: AtomicUsize,
    requests: AtomicUsize,
}

/// A receiver; it ends when it is dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(mood: Mood) -> Self {
        Self::open(mood, None).await
    }

    /// Starts one that hands on what arrives, before it answers, and keeps nothing.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start_with(mood: Mood, sink: Sink) -> Self {
        Self::open(mood, Some(sink)).await
    }

    async fn open(mood: Mood, sink: Option<Sink>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            mood: Mutex::new(mood),
            got: Mutex::default(),
            sink,
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
        });
        let for_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            // Connections end with the receiver.
            let mut open = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((tcp, _)) = accepted else { continue };
                        let shared = Arc::clone(&for_task);
                        shared.connections.fetch_add(1, Ordering::Relaxed);
                        open.spawn(async move {
                            let _ = tcp.set_nodelay(true);
                            let _ = serve(tcp, &shared).await;
                        });
                    }
                    Some(_) = open.join_next() => {}
                }
            }
        });
        Self { address, shared, task }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes its mood for requests that are read from now on.
    pub fn set(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// What arrived so far.
    #[must_use]
    pub fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How much arrived so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.got.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Connections that were opened to it.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

/// Reads requests of one connection until it ends.
async fn serve(mut tcp: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    while let Some((head, body)) = read(&mut tcp, &mut buffer).await? {
        let number = shared.requests.fetch_add(1, Ordering::Relaxed);
        let mood = shared.mood.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mood = match mood {
            Mood::Flap if number % 3 == 2 => Mood::Ok,
            Mood::Flap if number % 3 == 1 => Mood::Reset,
            Mood::Flap => Mood::Status(500),
            mood => mood,
        };
        let field = |name: &str| {
            let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let is_taken = matches!(mood, Mood::Ok | Mood::Slow(_) | Mood::Bomb) || matches!(mood, Mood::Status(200..=299));
        let got = Got {
            at: SystemTime::now(),
            path: head.split(' ').nth(1).unwrap_or_default().to_owned(),
            id: field("webhook-id"),
            timestamp: field("webhook-timestamp"),
            signature: field("webhook-signature"),
            media: field("content-type"),
            body,
            is_taken,
        };
        match &shared.sink {
            Some(sink) => sink(got),
            None => shared.got.lock().unwrap_or_else(PoisonError::into_inner).push(got),
        }
        if !answer(&mut tcp, mood).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// One request: its head and its body; nothing when the connection was closed in between two.
async fn read(tcp: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if tcp.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok())
        .unwrap_or(0);
    while buffer.len() < end + length {
        if tcp.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    let rest = buffer.split_off(end + length);
    let whole = std::mem::replace(buffer, rest);
    Ok(Some((head, whole[end..].to_vec())))
}

/// Answers; says whether the connection is of use for another request.
async fn answer(tcp: &mut TcpStream, mood: Mood) -> std::io::Result<bool> {
    let plain = |status: u16, more: &str| format!("HTTP/1.1 {status} x\r\ncontent-length: 2\r\n{more}\r\nok");
    match mood {
        Mood::Ok | Mood::Flap => tcp.write_all(plain(200, "").as_bytes()).await?,
        Mood::Slow(pause) => {
            tokio::time::sleep(pause).await;
            tcp.write_all(plain(200, "").as_bytes()).await?;
        }
        Mood::Status(status) => {
            let text = "it broke: password=hunter2 whsec_AAAA";
            let whole = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{text}", text.len());
            tcp.write_all(whole.as_bytes()).await?;
        }
        Mood::Wait(status, seconds) => {
            tcp.write_all(plain(status, &format!("retry-after: {seconds}\r\n")).as_bytes()).await?;
        }
        Mood::Hang => {
            // Until the other side has enough.
            let mut rest = [0; 64];
            while tcp.read(&mut rest).await? > 0 {}
            return Ok(false);
        }
        Mood::Reset => return Ok(false),
        Mood::Redirect(to) => {
            tcp.write_all(plain(302, &format!("location: {to}\r\nalt-svc: h2=\"{to}\"\r\n")).as_bytes()).await?;
        }
        Mood::Bomb => {
            tcp.write_all(b"HTTP/1.1 200 x\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            let chunk = format!("4000\r\n{}\r\n", "0".repeat(0x4000));
            loop {
                tcp.write_all(chunk.as_bytes()).await?;
            }
        }
        Mood::Drip => {
            tcp.write_all(b"HTTP/1.1 500 x\r\ncontent-length: 1000000\r\n\r\n").await?;
            loop {
                tcp.write_all(b"x").await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Mood::LongHead => {
            tcp.write_all(b"HTTP/1.1 200 x\r\n").await?;
            loop {
                tcp.write_all(b"x-more: and more\r\n").await?;
            }
        }
        Mood::Garbage => {
            tcp.write_all(b"220 smtp.example.com ESMTP\r\n\r\n").await?;
            return Ok(false);
        }
    }
    Ok(true)
}
