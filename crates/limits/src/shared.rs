//! Rates in a Redis or Valkey server: one script per decision, by the server's clock, so that replicas need not agree on
//! the time and none of them reads what another is about to write.
//!
//! One connection carries all decisions, which are pipelined on it. The keys of a request live on one server: a cluster that
//! splits keys over several is refused by the server itself.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Script};
use secrecy::{ExposeSecret as _, SecretString};
use tenantry_domain::limit::Verdict;

use crate::limiter::Ask;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(1);

/// How long one decision may take before it is made without the server: far more than a healthy one needs, far less than
/// a caller would notice as an outage.
pub const PATIENCE: Duration = Duration::from_millis(100);

/// What all keys begin with.
const PREFIX: &str = "tenantry:rate:";
/// The rate that [`Shared::ping`] asks, and its burst.
const PING: &str = "ping";
const PINGS: u32 = 1_000_000;

/// Why the server gave no decision.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// The URL is none of a server.
    #[error("not the URL of a Redis server; expected `redis://host:port/0` or `rediss://…`")]
    Url,
    /// It cannot be reached, or refused.
    #[error("the Redis server")]
    Redis(#[from] redis::RedisError),
    /// It did not answer in time.
    #[error("the Redis server did not answer within {} ms", PATIENCE.as_millis())]
    Slow,
    /// Its answer makes no sense.
    #[error("the Redis server's answer is not that of the script")]
    Answer,
}

/// The handle of a server. Cheap to clone.
#[derive(Clone)]
pub struct Shared {
    connection: ConnectionManager,
    script: Script,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("script", &self.script.get_hash()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Prepares a connection and makes it with the first decision; so a server that is away is no reason not to start.
    /// Must be called inside a runtime.
    ///
    /// # Errors
    /// The URL is not that of a server.
    pub fn new(url: &SecretString) -> Result<Self, SharedError> {
        // The driver's own message may repeat the URL, and with it a password.
        let client = Client::open(url.expose_secret()).map_err(|_| SharedError::Url)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(0);
        let connection = ConnectionManager::new_lazy_with_config(client, config).map_err(|_| SharedError::Url)?;
        Ok(Self { connection, script: Script::new(include_str!("take.lua")) })
    }

    /// Asks for `count` of all rates. Nothing is charged unless all of them allow it.
    ///
    /// # Errors
    /// The server gave no decision; it may have charged the rates.
    pub async fn take(&self, asks: &[Ask<'_>], count: u32) -> Result<Vec<Verdict>, SharedError> {
        let mut call = self.script.prepare_invoke();
        call.arg(count);
        for ask in asks {
            call.key(key(ask.key)).arg(micros(ask.limit.interval())).arg(ask.limit.burst());
        }
        let mut connection = self.connection.clone();
        let answer = tokio::time::timeout(PATIENCE, call.invoke_async::<Vec<i64>>(&mut connection));
        let answer = answer.await.map_err(|_| SharedError::Slow)??;
        read(asks, &answer).ok_or(SharedError::Answer)
    }

    /// Whether the server decides, which takes a write: one that only reads, or is full, answers everything else. Takes as long as a new connection may.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), SharedError> {
        let mut connection = self.connection.clone();
        let mut call = self.script.prepare_invoke();
        // One in a second of a rate that nobody has, whatever the answer: the time is a fraction of what is let through.
        call.arg(1).key(key(PING)).arg(1).arg(PINGS);
        let answer = tokio::time::timeout(CONNECT, call.invoke_async::<Vec<i64>>(&mut connection));
        answer.await.map_err(|_| SharedError::Slow)??;
        Ok(())
    }
}

fn key(name: &str) -> String {
    let mut key = String::with_capacity(PREFIX.len() + name.len());
    key.push_str(PREFIX);
    key.push_str(name);
    key
}

/// Nanoseconds as a decimal number of microseconds.
fn micros(nanos: u64) -> String {
    format!("{}.{:03}", nanos / 1_000, nanos % 1_000)
}

fn read(asks: &[Ask<'_>], answer: &[i64]) -> Option<Vec<Verdict>> {
    let (_, each) = answer.split_first()?;
    if each.len() != asks.len() * 3 {
        return None;
    }
    let read = |(ask, one): (&Ask<'_>, &[i64])| {
        let &[allowed, ahead, wait] = one else { return None };
        let ahead = u64::try_from(ahead).ok()?;
        let interval = ask.limit.interval();
        let most = interval.saturating_mul(u64::from(ask.limit.burst()));
        // The server's microsecond may be the next one already: half of one is given back.
        let left = (most + interval / 2).saturating_sub(ahead.saturating_mul(1_000)) / interval;
        Some(Verdict {
            allowed: allowed == 1,
            remaining: u32::try_from(left).unwrap_or(u32::MAX).min(ask.limit.burst()),
            reset: Duration::from_micros(ahead),
            retry: u64::try_from(wait).ok().map(Duration::from_micros),
        })
    };
    asks.iter().zip(each.chunks_exact(3)).map(read).collect()
}
