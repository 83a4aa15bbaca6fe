//! Counting of uses: gathered in memory, written together.
//!
//! There is no task of its own: whoever counts while the last writing is [`PAUSE`] ago, or while [`MANY`] pairs are
//! gathered, writes for all; so does whoever reads, and the process at its end. A count that cannot be written is kept and
//! tried again, also when the one who was writing goes away. INVARIANT: memory is bounded; what does not fit is left out and told in the log, never waited for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use tenantry_domain::Timestamp;
use tenantry_domain::flag::FlagName;
use tenantry_domain::id::TenantId;
use tenantry_domain::name::EnvironmentName;
use tenantry_store::{Store, StoreError, UsedFeature};

/// The longest time for which counts are gathered while there are any new ones.
const PAUSE: Duration = Duration::from_secs(2);
/// So many pairs of tenant and feature, and they are written at once.
const MANY: usize = 5_000;
/// More pairs than this are not kept while our database is away.
const MOST: usize = 50_000;
/// For so many days counts are kept: a year and a month, so that a month can be compared with the one a year ago.
const KEPT_DAYS: i64 = 396;

#[derive(Default)]
struct Gathered {
    counts: HashMap<UsedFeature, i64>,
    /// When counts were last taken out to be written; absent before the first time.
    written: Option<Instant>,
    /// The day of the last forgetting.
    forgotten: String,
    lost: u64,
}

/// What this process has counted and not written yet.
#[derive(Default)]
pub struct Uses(Mutex<Gathered>);

impl std::fmt::Debug for Uses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uses").finish_non_exhaustive()
    }
}

/// A moment's day in UTC, `2027-03-31`.
pub(super) fn day(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).date().to_string()
}

impl Uses {
    /// Counts uses, and writes what is gathered when it is time.
    pub async fn add(
        &self,
        store: &Store,
        environment: &EnvironmentName,
        tenant: TenantId,
        feature: &FlagName,
        count: u32,
        now: Timestamp,
    ) {
        let used = UsedFeature { environment: environment.clone(), tenant, day: day(now), feature: feature.clone() };
        if self.gather(used, i64::from(count)) {
            self.flush(store, now).await;
        }
    }

    /// Whether it is time to write.
    fn gather(&self, used: UsedFeature, count: i64) -> bool {
        let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if gathered.counts.len() >= MOST && !gathered.counts.contains_key(&used) {
            gathered.lost += 1;
        } else {
            let sum = gathered.counts.entry(used).or_default();
            *sum = sum.saturating_add(count);
        }
        let is_due = gathered.written.is_none_or(|written| written.elapsed() >= PAUSE);
        if is_due {
            // Marked at once, so that one caller writes and the others go on.
            gathered.written = Some(Instant::now());
        }
        is_due || gathered.counts.len() >= MANY && gathered.counts.len().is_multiple_of(MANY)
    }

    /// Writes what is gathered. Failing is no reason to refuse anybody anything; it is tried again.
    pub async fn flush(&self, store: &Store, now: Timestamp) {
        let today = day(now);
        let (taken, lost, is_new_day) = {
            let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            gathered.written = Some(Instant::now());
            let is_new_day = gathered.forgotten != today;
            (std::mem::take(&mut gathered.counts), std::mem::take(&mut gathered.lost), is_new_day)
        };
        if lost > 0 {
            tracing::warn!(lost, "uses of features were not counted: too many pairs were waiting to be written");
        }
        if taken.is_empty() {
            return;
        }
        let mut taken = Taken { uses: self, counts: taken.into_iter().collect() };
        if let Err(error) = store.add_feature_uses(&taken.counts).await {
            tracing::warn!(%error, pairs = taken.counts.len(), "uses of features were not written yet");
            return;
        }
        taken.counts.clear();
        drop(taken);
        if is_new_day && self.forget(store, now).await.is_ok() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).forgotten = today;
        }
    }

    fn put_back(&self, taken: Vec<(UsedFeature, i64)>) {
        let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (used, count) in taken {
            if gathered.counts.len() >= MOST && !gathered.counts.contains_key(&used) {
                gathered.lost += 1;
                continue;
            }
            let sum = gathered.counts.entry(used).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    async fn forget(&self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        let before = now.saturating_sub(jiff::SignedDuration::from_hours(24 * KEPT_DAYS)).unwrap_or(now);
        store.forget_feature_uses(&day(before)).await.map(|_| ())
    }
}

/// Counts on their way to our database. What is in here when it goes is gathered again: the writing failed, or whoever was
/// writing was dropped in the middle of it. What was written all the same is counted twice then: a report is no bill.
struct Taken<'a> {
    uses: &'a Uses,
    counts: Vec<(UsedFeature, i64)>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.uses.put_back(std::mem::take(&mut self.counts));
    }
}

#[cfg(test)]
mod tests {
    use tenantry_domain::name::EnvironmentName;

    use super::*;

    fn used(number: u128) -> UsedFeature {
        UsedFeature {
            environment: EnvironmentName::parse("prod").unwrap(),
            tenant: TenantId::from_uuid(uuid::Uuid::from_u128(number)),
            day: "2027-03-31".into(),
            feature: "ai".parse().unwrap(),
        }
    }

    #[test]
    fn the_first_writes_and_the_next_gather() {
        let uses = Uses::default();
        assert!(uses.gather(used(1), 1));
        assert!(!uses.gather(used(1), 4));
        assert_eq!(uses.0.lock().unwrap().counts[&used(1)], 5);
    }

    #[test]
    fn memory_is_bounded_and_what_is_left_out_is_told() {
        let uses = Uses::default();
        for number in 0..u128::try_from(MOST).unwrap() + 7 {
            uses.gather(used(number), 1);
        }
        uses.gather(used(1), 1);
        let gathered = uses.0.lock().unwrap();
        assert_eq!((gathered.counts.len(), gathered.lost, gathered.counts[&used(1)]), (MOST, 7, 2));
    }

    /// A caller who hangs up takes the future that writes for all with it.
    #[tokio::test]
    async fn whoever_goes_away_while_writing_loses_nothing() {
        // Takes connections and says nothing.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("postgres://nobody:x@{}/nothing?sslmode=disable", silent.local_addr().unwrap());
        let store = Store::new(tenantry_store::StoreOptions {
            target: tenantry_pg::Target::parse(&secrecy::SecretString::from(url)).unwrap(),
            pool: tenantry_pg::PoolOptions::default(),
            cursor_key: tenantry_store::CursorKey::new(&[7; 32]),
        });
        let uses = Uses::default();
        uses.gather(used(1), 4);
        let now = "2027-03-31T12:00:00Z".parse().unwrap();
        let hung_up = tokio::time::timeout(Duration::from_millis(100), uses.flush(&store, now)).await;
        assert!(hung_up.is_err(), "it was writing");
        uses.gather(used(1), 1);
        assert_eq!(uses.0.lock().unwrap().counts[&used(1)], 5);
    }

    #[test]
    fn a_day_is_one_of_utc() {
        assert_eq!(day("2027-03-31T23:59:59.9Z".parse().unwrap()), "2027-03-31");
    }
}
