//! What is known of tenants, bounded, and forgotten when it changes.
//!
//! Changes are found by asking for the subjects of recent audit entries: every change leaves one, in the same
//! transaction. A notification would be one more thing to lose, and PostgreSQL makes transactions that notify commit
//! one after the other. Entries become visible in another order than their times, so each look goes back by
//! [`OVERLAP`] before the last one that succeeded; that is longer than any of our transactions may stand still. What a
//! wrong clock hides from a look is read again after [`REFRESH`].
//!
//! INVARIANT: an answer counts as read when its reading began. A reading that began before a change was seen may hold
//! what was before, also if it is kept only afterwards; so looks go on forgetting such answers.
//!
//! INVARIANT: what is known is given up only for an answer, never because nobody could be asked.

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};
use tenantry_domain::Timestamp;
use tenantry_domain::access::{Host, Named};
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
/// The most names that are remembered as nobody's, and for how long: what asks for made-up names must not reach our
/// database each time, and a tenant that was just made, or a domain that was just proven, must not wait.
const STRANGERS: (u64, Duration) = (10_000, Duration::from_millis(250));
/// More changes than this at once, and everything is forgotten.
const MANY: u32 = 20_000;

type Key<T> = (EnvironmentName, T);

/// An answer, and when its reading began.
#[derive(Clone)]
struct Kept<T> {
    value: T,
    read: Instant,
}

/// What the looks at one environment saw.
#[derive(Default)]
struct Seen {
    /// When the last one that succeeded began, by the clock that entries are stamped with.
    looked: Option<Timestamp>,
    /// Newest entry of each subject that changed lately, and when we first saw it.
    subjects: BTreeMap<Subject, (i64, Instant)>,
}

/// The memory of one process.
pub struct Routes {
    slugs: Cache<Key<Slug>, TenantId>,
    domains: Cache<Key<Host>, TenantId>,
    strangers: Cache<Key<Named>, ()>,
    tenants: Cache<Key<TenantId>, Kept<Arc<Resolution>>>,
    routes: Cache<Key<TenantId>, Kept<Arc<Route>>>,
    /// Environments of which something is known.
    seen: Mutex<BTreeMap<EnvironmentName, Seen>>,
    /// By environment: answers whose reading began before this are no answers any more.
    cleared: Mutex<BTreeMap<EnvironmentName, Instant>>,
}

impl Default for Routes {
    fn default() -> Self {
        Self {
            slugs: bounded(),
            domains: bounded(),
            strangers: Cache::builder().max_capacity(STRANGERS.0).time_to_live(STRANGERS.1).build(),
            tenants: bounded(),
            routes: bounded(),
            seen: Mutex::default(),
            cleared: Mutex::default(),
        }
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

    /// The id behind a domain, if it is remembered. The caller looks whether the tenant still has it.
    pub(crate) async fn domain(&self, environment: &EnvironmentName, host: &Host) -> Option<TenantId> {
        self.domains.get(&(environment.clone(), host.clone())).await
    }

    /// Remembers a domain.
    pub(crate) async fn keep_domain(&self, environment: &EnvironmentName, host: &Host, tenant: TenantId) {
        self.domains.insert((environment.clone(), host.clone()), tenant).await;
    }

    /// Whether a name was nobody's a moment ago.
    pub(crate) async fn is_stranger(&self, environment: &EnvironmentName, name: &Named) -> bool {
        self.strangers.get(&(environment.clone(), name.clone())).await.is_some()
    }

    /// Remembers a name as nobody's.
    pub(crate) async fn keep_stranger(&self, environment: &EnvironmentName, name: &Named) {
        self.strangers.insert((environment.clone(), name.clone()), ()).await;
    }

    /// Forgets who was nobody: this process has just changed something.
    pub(crate) fn meet(&self) {
        self.strangers.invalidate_all();
    }

    /// A tenant, out of memory or by `read`, which began at `began`; many who ask at once cause one reading.
    pub(crate) async fn tenant(
        &self,
        environment: &EnvironmentName,
        id: TenantId,
        began: Instant,
        read: impl Future<Output = Result<Arc<Resolution>, Refusal>>,
    ) -> Result<Arc<Resolution>, Refusal> {
        self.watch(environment);
        self.get(&self.tenants, (environment, id), began, read).await
    }

    /// A tenant's route, likewise.
    pub(crate) async fn route(
        &self,
        environment: &EnvironmentName,
        id: TenantId,
        read: impl Future<Output = Result<Arc<Route>, Refusal>>,
    ) -> Result<Arc<Route>, Refusal> {
        self.watch(environment);
        self.get(&self.routes, (environment, id), Instant::now(), read).await
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
        let environments: Vec<_> = self.lock().iter().map(|(name, seen)| (name.clone(), seen.looked)).collect();
        for (environment, looked) in environments {
            let since = looked.unwrap_or(now).min(now) - OVERLAP;
            let changed = store.read(&environment).changed_since(since, MANY).await?;
            self.look(&environment, now, &changed).await;
        }
        Ok(())
    }

    /// Forgets what a look found changed.
    async fn look(&self, environment: &EnvironmentName, now: Timestamp, changed: &Changed) {
        let lately = self.note(environment, now, changed);
        if changed.is_cut {
            return self.clear(environment, Instant::now());
        }
        for (subject, first_seen) in lately {
            match subject.tenant() {
                None => self.clear(environment, first_seen),
                Some(id) => {
                    let key = (environment.clone(), id);
                    forget(&self.tenants, &key, first_seen).await;
                    forget(&self.routes, &key, first_seen).await;
                }
            }
        }
    }

    /// Remembers what a look saw; gives every subject of it with the moment when its newest entry was first seen.
    fn note(&self, environment: &EnvironmentName, now: Timestamp, changed: &Changed) -> Vec<(Subject, Instant)> {
        let mut all = self.lock();
        let seen = all.entry(environment.clone()).or_default();
        seen.looked = Some(now);
        let before = std::mem::take(&mut seen.subjects);
        let first = Instant::now();
        for (subject, seq) in &changed.subjects {
            let known = before.get(subject).filter(|(known, _)| known == seq).map(|(_, since)| *since);
            seen.subjects.insert(*subject, (*seq, known.unwrap_or(first)));
        }
        seen.subjects.iter().map(|(subject, (_, since))| (*subject, *since)).collect()
    }

    fn clear(&self, environment: &EnvironmentName, since: Instant) {
        let mut cleared = self.cleared.lock().unwrap_or_else(PoisonError::into_inner);
        let known = cleared.entry(environment.clone()).or_insert(since);
        *known = since.max(*known);
    }

    fn is_cleared(&self, environment: &EnvironmentName, began: Instant) -> bool {
        let cleared = self.cleared.lock().unwrap_or_else(PoisonError::into_inner);
        cleared.get(environment).is_some_and(|cleared| began < *cleared)
    }

    fn watch(&self, environment: &EnvironmentName) {
        let mut seen = self.lock();
        if !seen.contains_key(environment) {
            seen.insert(environment.clone(), Seen::default());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<EnvironmentName, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn get<T>(
        &self,
        cache: &Cache<Key<TenantId>, Kept<Arc<T>>>,
        (environment, id): (&EnvironmentName, TenantId),
        began: Instant,
        read: impl Future<Output = Result<Arc<T>, Refusal>>,
    ) -> Result<Arc<T>, Refusal>
    where
        T: Send + Sync + 'static,
    {
        let key = (environment.clone(), id);
        // On the heap, or each of moka's own futures would hold a copy of it on the stack.
        let read = || Box::pin(read);
        let is_good = |kept: &Kept<Arc<T>>| kept.read.elapsed() < REFRESH && !self.is_cleared(environment, kept.read);
        let Some(old) = cache.get(&key).await else {
            let read = read();
            let read = async { Ok(Kept { value: read.await?, read: began }) };
            return cache.try_get_with(key, read).await.map(|kept| kept.value).map_err(Refusal::Shared);
        };
        if is_good(&old) {
            return Ok(old.value);
        }
        let read = read();
        // One after the other, and whoever comes after a reading has its answer.
        let renewed = cache.entry_by_ref(&key).and_try_compute_with(|found| async move {
            match found {
                Some(found) if is_good(found.value()) => Ok(Op::Nop),
                _ => read.await.map(|value| Op::Put(Kept { value, read: began })),
            }
        });
        match tokio::time::timeout(IMPATIENCE, renewed).await {
            Ok(Ok(
                CompResult::Inserted(now)
                | CompResult::ReplacedWith(now)
                | CompResult::Unchanged(now)
                | CompResult::Removed(now),
            )) => Ok(now.into_value().value),
            Ok(Err(refusal)) if is_answer(&refusal) => {
                cache.invalidate(&key).await;
                Err(refusal)
            }
            // Nobody could be asked, our database or the cell's description: the old answer is better than none.
            Ok(Ok(CompResult::StillNone(_)) | Err(_)) | Err(_) => Ok(old.value),
        }
    }
}

/// Whether a refusal says that what was known is wrong.
const fn is_answer(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::NoTenant(_) | Refusal::NoPlace(_) | Refusal::NoEnvironment)
}

/// Forgets an answer whose reading began before a moment.
async fn forget<K, T>(cache: &Cache<K, Kept<T>>, key: &K, since: Instant)
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    if cache.get(key).await.is_some_and(|kept| kept.read < since) {
        cache.invalidate(key).await;
    }
}

#[cfg(test)]
mod tests {
    use tenantry_domain::name::PlanCode;
    use uuid::Uuid;

    use super::*;
    use crate::routes::resolve::Openness;

    fn acme(state: Openness) -> Arc<Resolution> {
        let (id, slug) = (TenantId::from_uuid(Uuid::from_u128(7)), Slug::parse("acme").unwrap());
        let plan = PlanCode::parse("starter").unwrap();
        Arc::new(Resolution { id, slug, state, generation: 1, isolation: None, cell: None, plan, domains: Vec::new() })
    }

    async fn ask(routes: &Routes, prod: &EnvironmentName, began: Instant, found: Openness) -> Openness {
        let found = acme(found);
        routes.tenant(prod, found.id, began, async { Ok(found) }).await.unwrap().state
    }

    /// The row was read, then the tenant was suspended and a look saw that, and only then was the answer kept.
    #[tokio::test]
    async fn a_reading_that_a_change_overtook_is_forgotten() {
        for subject in [Subject::Tenant(acme(Openness::Open).id), Subject::Environment] {
            let (routes, prod, now) = (Routes::default(), EnvironmentName::parse("prod").unwrap(), Timestamp::now());
            let changed = Changed { subjects: BTreeMap::from([(subject, 3)]), is_cut: false };
            let began = Instant::now();
            routes.look(&prod, now, &changed).await;
            ask(&routes, &prod, began, Openness::Open).await;
            routes.look(&prod, now, &changed).await;
            assert_eq!(ask(&routes, &prod, Instant::now(), Openness::Suspended).await, Openness::Suspended);
            // What was read afterwards stays, however often the same entry is seen.
            routes.look(&prod, now, &changed).await;
            assert_eq!(ask(&routes, &prod, Instant::now(), Openness::Archived).await, Openness::Suspended);
        }
    }

    #[tokio::test]
    async fn what_is_known_is_answered_while_our_database_is_away() {
        let (routes, prod) = (Routes::default(), EnvironmentName::parse("prod").unwrap());
        let began = Instant::now();
        ask(&routes, &prod, began, Openness::Open).await;
        routes.clear(&prod, Instant::now());
        let never = std::future::pending::<Result<Arc<Resolution>, Refusal>>();
        let id = acme(Openness::Open).id;
        assert_eq!(routes.tenant(&prod, id, Instant::now(), never).await.unwrap().state, Openness::Open);
    }

    /// Our database went away in the middle of a reading, or the cell's description cannot be read.
    #[tokio::test]
    async fn only_an_answer_takes_away_what_is_known() {
        let (routes, prod, id) = (Routes::default(), EnvironmentName::parse("prod").unwrap(), acme(Openness::Open).id);
        ask(&routes, &prod, Instant::now(), Openness::Open).await;
        for _ in 0..2 {
            routes.clear(&prod, Instant::now());
            let away = async { Err(Refusal::Cell("eu-west-1".to_owned())) };
            let old = routes.tenant(&prod, id, Instant::now(), away).await;
            assert_eq!(old.unwrap().state, Openness::Open);
        }
        let gone = async { Err(Refusal::NoTenant("acme".to_owned())) };
        assert!(routes.tenant(&prod, id, Instant::now(), gone).await.is_err());
        let away = async { Err(Refusal::Cell("eu-west-1".to_owned())) };
        assert!(routes.tenant(&prod, id, Instant::now(), away).await.is_err(), "nothing is known any more");
    }

    #[tokio::test]
    async fn a_change_of_an_environment_costs_one_reading_there_and_none_elsewhere() {
        use std::sync::atomic::{AtomicU32, Ordering};

        let (routes, asked) = (Routes::default(), AtomicU32::new(0));
        let (prod, staging) = (EnvironmentName::parse("prod").unwrap(), EnvironmentName::parse("staging").unwrap());
        let ask = |environment| {
            let (routes, asked) = (&routes, &asked);
            async move {
                let found = acme(Openness::Open);
                let read = async {
                    asked.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok(Arc::clone(&found))
                };
                routes.tenant(environment, found.id, Instant::now(), read).await.unwrap();
            }
        };
        ask(&prod).await;
        ask(&staging).await;
        assert_eq!(asked.swap(0, Ordering::Relaxed), 2);
        let changed = Changed { subjects: BTreeMap::from([(Subject::Environment, 3)]), is_cut: false };
        routes.look(&staging, Timestamp::now(), &changed).await;
        futures_util::future::join_all((0..100).map(|_| ask(&prod))).await;
        assert_eq!(asked.load(Ordering::Relaxed), 0, "another environment's");
        futures_util::future::join_all((0..100).map(|_| ask(&staging))).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1, "of a hundred who ask at once one reads");
    }
}
