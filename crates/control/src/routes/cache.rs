//! What is known of tenants, bounded, and forgotten when it changes.
//!
//! Changes are found by asking for the subjects of recent audit entries: every change leaves one, in the same
//! transaction. A notification would be one more thing to lose, and PostgreSQL makes transactions that notify commit
//! one after the other. Entries become visible in another order than their times, so each look goes back by
//! [`OVERLAP`]; that is longer than any of our transactions may stand still. What a wrong clock hides from a look is
//! read again after [`REFRESH`].

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::future::Cache;
use tenantry_domain::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::tenant::Slug;
use tenantry_store::{Changed, Store, StoreError, Subject};

use crate::refusal::Refusal;
use crate::routes::resolve::Resolution;
use crate::routes::route::Route;

/// How far each look for changes goes back.
const OVERLAP: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);
/// After this an answer is read again, whether a change was seen or not.
const REFRESH: Duration = Duration::from_secs(60);
/// How long a reading again may keep a caller waiting who could have the old answer.
const IMPATIENCE: Duration = Duration::from_millis(250);
/// The longest time for which an answer is given that cannot be read again.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// The most answers of one kind.
const MOST: u64 = 100_000;
/// More changes than this at once, and everything is forgotten.
const MANY: u32 = 2_000;

type Key<T> = (EnvironmentName, T);

/// An answer, and when it was read.
#[derive(Clone)]
struct Kept<T> {
    value: T,
    read: Instant,
}

/// The memory of one process.
pub struct Routes {
    slugs: Cache<Key<Slug>, TenantId>,
    tenants: Cache<Key<TenantId>, Kept<Arc<Resolution>>>,
    routes: Cache<Key<TenantId>, Kept<Arc<Route>>>,
    /// Environments of which something is known, each with what the last look for changes saw.
    seen: Mutex<BTreeMap<EnvironmentName, BTreeMap<Subject, i64>>>,
}

impl Default for Routes {
    fn default() -> Self {
        Self { slugs: bounded(), tenants: bounded(), routes: bounded(), seen: Mutex::default() }
    }
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes").field("tenants", &self.tenants.entry_count()).finish_non_exhaustive()
    }
}

fn bounded<K: Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static>() -> Cache<K, V> {
    Cache::builder().max_capacity(MOST).time_to_live(LONGEST).build()
}

impl Routes {
    /// The id behind a slug, if it is remembered. The caller compares the tenant's name: a slug can move on.
    pub(crate) async fn slug(&self, environment: &EnvironmentName, slug: &Slug) -> Option<TenantId> {
        self.slugs.get(&(environment.clone(), slug.clone())).await
    }

    /// Remembers a slug.
    pub(crate) async fn keep_slug(&self, environment: &EnvironmentName, slug: &Slug, tenant: TenantId) {
        self.slugs.insert((environment.clone(), slug.clone()), tenant).await;
    }

    /// A tenant, out of memory or by `read`; many who ask at once cause one reading.
    pub(crate) async fn tenant(
        &self,
        environment: &EnvironmentName,
        id: TenantId,
        read: impl Future<Output = Result<Arc<Resolution>, Refusal>>,
    ) -> Result<Arc<Resolution>, Refusal> {
        self.watch(environment);
        get(&self.tenants, (environment.clone(), id), read).await
    }

    /// A tenant's route, likewise.
    pub(crate) async fn route(
        &self,
        environment: &EnvironmentName,
        id: TenantId,
        read: impl Future<Output = Result<Arc<Route>, Refusal>>,
    ) -> Result<Arc<Route>, Refusal> {
        self.watch(environment);
        get(&self.routes, (environment.clone(), id), read).await
    }

    /// How many tenants are remembered, about.
    #[must_use]
    pub fn known(&self) -> u64 {
        self.tenants.entry_count()
    }

    /// Forgets what has changed since the last call.
    ///
    /// # Errors
    /// Our database does not answer; what is known stays.
    pub async fn forget_changed(&self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        let environments: Vec<EnvironmentName> = self.lock().keys().cloned().collect();
        for environment in environments {
            let changed = store.read(&environment).changed_since(now - OVERLAP, MANY).await?;
            let news = self.news(&environment, &changed);
            if changed.is_cut || news.contains(&Subject::Environment) {
                // Also of other environments: predicates would be kept and asked at every look.
                self.tenants.invalidate_all();
                self.routes.invalidate_all();
                continue;
            }
            for id in news.into_iter().filter_map(Subject::tenant) {
                let key = (environment.clone(), id);
                self.tenants.invalidate(&key).await;
                self.routes.invalidate(&key).await;
            }
        }
        Ok(())
    }

    /// Subjects with entries that no look has seen before.
    fn news(&self, environment: &EnvironmentName, changed: &Changed) -> Vec<Subject> {
        let mut seen = self.lock();
        let before = seen.insert(environment.clone(), changed.subjects.clone()).unwrap_or_default();
        let is_new = |(subject, seq): (&Subject, &i64)| (before.get(subject) != Some(seq)).then_some(*subject);
        changed.subjects.iter().filter_map(is_new).collect()
    }

    fn watch(&self, environment: &EnvironmentName) {
        let mut seen = self.lock();
        if !seen.contains_key(environment) {
            seen.insert(environment.clone(), BTreeMap::new());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<EnvironmentName, BTreeMap<Subject, i64>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn get<K, T>(
    cache: &Cache<K, Kept<Arc<T>>>,
    key: K,
    read: impl Future<Output = Result<Arc<T>, Refusal>>,
) -> Result<Arc<T>, Refusal>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    if let Some(kept) = cache.get(&key).await {
        if kept.read.elapsed() < REFRESH {
            return Ok(kept.value);
        }
        return match tokio::time::timeout(IMPATIENCE, read).await {
            Ok(Ok(value)) => {
                cache.insert(key, Kept { value: Arc::clone(&value), read: Instant::now() }).await;
                Ok(value)
            }
            // Our database is away: the old answer is better than none.
            Err(_) | Ok(Err(Refusal::Unavailable(_))) => Ok(kept.value),
            Ok(Err(refusal)) => {
                cache.invalidate(&key).await;
                Err(refusal)
            }
        };
    }
    let read = async { Ok(Kept { value: read.await?, read: Instant::now() }) };
    cache.try_get_with(key, read).await.map(|kept| kept.value).map_err(Refusal::Shared)
}
