//! Running a transaction again after it lost against another one.
//!
//! Only serialization failures and deadlocks are repeated: the server has rolled those back and says so. A lost
//! answer to COMMIT is never repeated here, because nobody knows whether it took place.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::{CommitError, PgError, PgKind};

/// Pauses start here and double.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// A longer pause only makes users wait; the bound is reached at the seventh try.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// An error which can say that running the same transaction again may succeed.
pub trait Contended {
    /// Whether the database rolled the transaction back in favour of another one.
    fn is_contended(&self) -> bool;
}

impl Contended for PgError {
    fn is_contended(&self) -> bool {
        self.kind() == PgKind::Serialization
    }
}

impl Contended for CommitError {
    fn is_contended(&self) -> bool {
        matches!(self, Self::Refused(error) if error.is_contended())
    }
}

/// Runs a whole transaction up to `attempts` times, with growing, jittered pauses between.
///
/// # Errors
/// The first error that is not contention, or the last one.
pub async fn retry_serialization<T, E, F, Fut>(attempts: u32, mut transaction: F) -> Result<T, E>
where
    E: Contended,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let jitter = RandomState::new();
    let mut attempt = 1;
    loop {
        match transaction().await {
            Err(error) if attempt < attempts && error.is_contended() => {
                tokio::time::sleep(pause(attempt, jitter.hash_one(attempt))).await;
                attempt += 1;
            }
            other => return other,
        }
    }
}

/// Between half and the whole of the doubled pause, so that two losers do not meet again.
pub(crate) fn pause(attempt: u32, random: u64) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << attempt.min(10)).min(LONGEST_PAUSE);
    let half = whole / 2;
    half + Duration::from_micros(random % (half.as_micros().max(1) as u64))
}
