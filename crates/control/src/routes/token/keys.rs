//! What is known of an issuer's keys, and when the source is asked again.
//!
//! INVARIANT: whatever tokens say, the source is asked at most once per [`Pace::between`], by one caller at a time; and a
//! token whose key is known waits for nobody.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tenantry_domain::access::Issuer;
use tenantry_domain::access::token::{Algorithm, KeysSpec};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::TokenError;
use super::fetch::{Door, FetchError};
use super::jwks::{Key, KeySet, SetError};

/// How often the source is asked, and for how long its answer is believed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Least time between two questions.
    pub(super) between: Duration,
    /// The same, as long as nothing is known.
    pub(super) cold: Duration,
    /// After this the source is asked again, so that keys which were taken back are forgotten.
    pub(super) refresh: Duration,
    /// For how long keys are believed that cannot be read again.
    pub(super) longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            between: Duration::from_secs(60),
            cold: Duration::from_secs(5),
            refresh: Duration::from_secs(10 * 60),
            longest: crate::routes::cache::LONGEST,
        }
    }
}

/// Why a source's answer is not taken.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    /// There is none.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It is no set of keys for this issuer.
    #[error(transparent)]
    Set(#[from] SetError),
}

/// A set, and when its reading began.
#[derive(Debug, Clone)]
struct Read {
    set: Arc<KeySet>,
    at: Instant,
}

/// The keys of one issuer.
pub(super) struct Keys {
    name: String,
    source: KeysSpec,
    algorithms: Vec<Algorithm>,
    door: Door,
    pace: Pace,
    known: RwLock<Option<Read>>,
    /// When the source was asked last. Who holds it is the one that asks.
    asked: Arc<Mutex<Option<Instant>>>,
}

impl Keys {
    pub(super) fn new(issuer: &Issuer, door: Door, pace: Pace) -> Self {
        Self {
            name: issuer.name().to_owned(),
            source: issuer.keys().clone(),
            algorithms: issuer.algorithms().to_vec(),
            door,
            pace,
            known: RwLock::new(None),
            asked: Arc::default(),
        }
    }

    /// The key with an id; nothing when the issuer has none of that id.
    ///
    /// # Errors
    /// The issuer's keys were never read, or too long ago.
    pub(super) async fn find(self: &Arc<Self>, kid: Option<&str>) -> Result<Option<Arc<Key>>, TokenError> {
        let key = |read: &Read| read.set.find(kid).map(Arc::clone);
        let before = self.believed();
        if let Some(read) = &before
            && let Some(found) = key(read)
        {
            if read.at.elapsed() >= self.pace.refresh
                && let Ok(turn) = Arc::clone(&self.asked).try_lock_owned()
            {
                // Asked for later callers; this one has its key.
                drop(self.ask(turn));
            }
            return Ok(Some(found));
        }
        let turn = Arc::clone(&self.asked).lock_owned().await;
        // Somebody may have asked while this one waited.
        let is_newer = |read: &Read| before.as_ref().is_none_or(|before| read.at > before.at);
        if let Some(read) = self.believed().filter(is_newer)
            && let Some(found) = key(&read)
        {
            return Ok(Some(found));
        }
        if let Some(asking) = self.ask(turn) {
            // A task that was lost leaves what was known.
            let _ = asking.await;
        }
        match self.believed() {
            Some(read) => Ok(key(&read)),
            None => Err(TokenError::Away(self.name.clone())),
        }
    }

    fn believed(&self) -> Option<Read> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.clone().filter(|read| read.at.elapsed() < self.pace.longest)
    }

    /// Asks the source, unless that was done a moment ago. In a task of its own: a caller that hangs up must neither
    /// waste the turn of all nor get another one.
    fn ask(self: &Arc<Self>, mut turn: OwnedMutexGuard<Option<Instant>>) -> Option<tokio::task::JoinHandle<()>> {
        let between = if self.believed().is_some() { self.pace.between } else { self.pace.cold };
        if turn.is_some_and(|asked| asked.elapsed() < between) {
            return None;
        }
        let keys = Arc::clone(self);
        Some(tokio::spawn(async move {
            let at = Instant::now();
            *turn = Some(at);
            match keys.read().await {
                Ok(set) => {
                    let read = Read { set: Arc::new(set), at };
                    *keys.known.write().unwrap_or_else(PoisonError::into_inner) = Some(read);
                }
                Err(error) => {
                    let error: &(dyn std::error::Error + 'static) = &error;
                    tracing::warn!(
                        issuer = keys.name,
                        error,
                        "the keys of an issuer cannot be read; the last ones stay"
                    );
                }
            }
        }))
    }

    async fn read(&self) -> Result<KeySet, ReadError> {
        Ok(KeySet::parse(&self.door.fetch(&self.source).await?, &self.algorithms)?)
    }
}
