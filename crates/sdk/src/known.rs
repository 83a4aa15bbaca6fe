//! What is remembered of the control plane's answers, and for how long.
//!
//! An answer is used until its age is over. After that it is used only while the control plane is unreachable, up to a
//! bound: the database has the last word, so a stale answer can be inconvenient and cannot show a foreign row. Of many
//! who ask the same at once, one asks, and all of them get what came of it, a failure too.
//!
//! INVARIANT: what is answered about one key says nothing about another. Only a control plane that answers nobody makes
//! old answers of all keys good for a while; one that says "not now" to a key does so for that key.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use moka::future::Cache;

use crate::error::{Error, Silence};

/// How long an unreachable control plane is left alone while an old answer can be given.
const RETRY: Duration = Duration::from_secs(1);

/// How new an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Within its age.
    Cached,
    /// Asked for after the caller wanted it.
    Fresh,
}

/// Whether the control plane answers.
#[derive(Default)]
pub(crate) struct Line(Mutex<Option<Instant>>);

impl Line {
    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note_down(&self) {
        *self.lock() = Some(Instant::now());
    }

    pub(crate) fn note_up(&self) {
        *self.lock() = None;
    }

    /// Whether an attempt failed a moment ago, so that asking again would only wait.
    fn is_down(&self) -> bool {
        self.lock().is_some_and(|since| since.elapsed() < RETRY)
    }

    /// Whether an attempt failed at this moment or later.
    fn failed_since(&self, moment: Instant) -> bool {
        self.lock().is_some_and(|since| since >= moment)
    }

    /// Whether the last attempt failed, however long ago.
    pub(crate) fn was_down(&self) -> bool {
        self.lock().is_some()
    }
}

#[derive(Clone)]
struct Kept<V> {
    value: V,
    /// When its asking began: a change after that may be missing in it.
    asked: Instant,
    age: Duration,
    /// Until when the control plane is not asked again, because it said "not now".
    spared: Arc<Mutex<Option<Instant>>>,
}

impl<V> Kept<V> {
    fn new(value: V, asked: Instant, age: Duration) -> Self {
        Self { value, asked, age, spared: Arc::default() }
    }

    fn spare(&self) {
        *self.spared.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + RETRY);
    }

    fn is_spared(&self) -> bool {
        self.spared.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| Instant::now() < until)
    }
}

/// What came of a question to which there was no good answer; for those who waited for it.
struct Failed {
    asked: Instant,
    ended: Instant,
    error: Error,
}

impl Failed {
    /// The failure of `error`, where it can be told to others.
    fn of(asked: Instant, error: &Error) -> Option<Self> {
        Some(Self { asked, ended: Instant::now(), error: copy(error)? })
    }

    /// What somebody gets who wanted an answer at this moment; nothing where the question is to be asked again.
    fn answers(&self, wanted: Instant, look: Look) -> Option<Error> {
        let is_new = match (&self.error, look) {
            // Nobody answered while we waited: asking again would only wait longer.
            (Error::ControlPlaneUnavailable(_), _) | (_, Look::Cached) => self.ended >= wanted,
            (_, Look::Fresh) => self.asked >= wanted,
        };
        if is_new { copy(&self.error) } else { None }
    }
}

/// An error of a question to the control plane, for others who asked the same.
pub(crate) fn copy(error: &Error) -> Option<Error> {
    match error {
        Error::ControlPlaneUnavailable(silence) => Some(Error::ControlPlaneUnavailable(silence.clone())),
        Error::ControlPlaneRefused(why) => Some(Error::ControlPlaneRefused(why.clone())),
        Error::TenantNotFound(absent) => Some(Error::TenantNotFound(*absent)),
        Error::TenantMismatch(mismatch) => Some(Error::TenantMismatch(*mismatch)),
        _ => None,
    }
}

/// Held by whoever asks; knows what came of it.
type Turn = tokio::sync::Mutex<Option<Failed>>;

/// A bounded map of answers. The longest kept go after the bound for stale answers, others when there are too many.
pub(crate) struct Memory<K, V> {
    kept: Cache<K, Kept<V>>,
    flights: Mutex<HashMap<K, Arc<Turn>>>,
}

impl<K, V> Memory<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(entries: u64, stale: Duration) -> Self {
        let least = Duration::from_secs(1);
        let kept = Cache::builder().max_capacity(entries).time_to_live(stale.max(least)).build();
        Self { kept, flights: Mutex::default() }
    }

    /// The answer to a question: remembered, or by `ask`, whose second value says how long it is good.
    ///
    /// `expired` says since when remembered answers are doubted.
    ///
    /// # Errors
    /// That of `ask`, unless it is that nobody answers and an old answer may be given.
    pub(crate) async fn get(
        &self,
        line: &Line,
        key: &K,
        look: Look,
        expired: impl Fn(&V) -> Option<Instant>,
        ask: impl Future<Output = Result<(V, Duration), Error>>,
    ) -> Result<V, Error> {
        let wanted = Instant::now();
        let doubted = |kept: &Kept<V>| expired(&kept.value).filter(|since| kept.asked <= *since);
        let will_do = |kept: &Kept<V>| {
            let doubted = doubted(kept);
            let is_good = match look {
                Look::Fresh => kept.asked >= wanted,
                Look::Cached => doubted.is_none() && (kept.asked.elapsed() < kept.age || kept.is_spared()),
            };
            // A doubt is worth an attempt, whoever failed before it arose.
            is_good || (line.is_down() && doubted.is_none_or(|since| line.failed_since(since)))
        };
        let known = self.kept.get(key).await;
        if let Some(kept) = known.as_ref().filter(|kept| will_do(kept)) {
            return Ok(kept.value.clone());
        }
        let flight = self.flight(key);
        let mut turn = match (flight.lock.try_lock(), known) {
            (Ok(turn), _) => turn,
            // Somebody tries whether it is back; nobody else needs to wait for that.
            (Err(_), Some(kept)) if line.was_down() && doubted(&kept).is_none() => return Ok(kept.value),
            (Err(_), _) => flight.lock.lock().await,
        };
        let known = self.kept.get(key).await;
        if let Some(kept) = known.as_ref().filter(|kept| will_do(kept)) {
            return Ok(kept.value.clone());
        }
        if let Some(error) = turn.as_ref().and_then(|failed| failed.answers(wanted, look)) {
            return or_old(error, known);
        }
        let asked = Instant::now();
        let error = match ask.await {
            Ok((value, age)) => {
                line.note_up();
                self.kept.insert(key.clone(), Kept::new(value.clone(), asked, age)).await;
                return Ok(value);
            }
            Err(error) => error,
        };
        *turn = Failed::of(asked, &error);
        match &error {
            Error::ControlPlaneUnavailable(Silence::Away(_)) => line.note_down(),
            Error::ControlPlaneUnavailable(Silence::NotNow(_)) => line.note_up(),
            _ => {
                // An answer all the same; what was known before is wrong now.
                line.note_up();
                self.kept.invalidate(key).await;
            }
        }
        let known = self.kept.get(key).await;
        if let (Error::ControlPlaneUnavailable(Silence::NotNow(_)), Some(kept)) = (&error, &known) {
            kept.spare();
        }
        or_old(error, known)
    }

    /// Forgets an answer for good.
    pub(crate) async fn forget(&self, key: &K) {
        self.kept.invalidate(key).await;
    }

    /// How many answers there are, about.
    pub(crate) fn count(&self) -> u64 {
        self.kept.entry_count()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<Turn>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flight(&self, key: &K) -> Flight<'_, K, V> {
        let lock = Arc::clone(self.lock().entry(key.clone()).or_default());
        Flight { memory: self, key: key.clone(), lock }
    }
}

/// An old answer instead of none.
fn or_old<V>(error: Error, known: Option<Kept<V>>) -> Result<V, Error> {
    match (error, known) {
        (Error::ControlPlaneUnavailable(_), Some(kept)) => Ok(kept.value),
        (error, _) => Err(error),
    }
}

/// One caller's interest in a question that is being asked.
struct Flight<'m, K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    memory: &'m Memory<K, V>,
    key: K,
    lock: Arc<Turn>,
}

impl<K, V> Drop for Flight<'_, K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        let mut flights = self.memory.lock();
        // The map's and ours: nobody else is interested.
        if Arc::strong_count(&self.lock) == 2 {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const AGE: Duration = Duration::from_secs(50);

    fn memory() -> Memory<u32, u32> {
        Memory::new(100, Duration::from_secs(100))
    }

    async fn never() -> Result<(u32, Duration), Error> {
        panic!("nobody asks")
    }

    async fn away() -> Result<(u32, Duration), Error> {
        Err(Error::ControlPlaneUnavailable(Silence::Away("test".into())))
    }

    async fn not_now() -> Result<(u32, Duration), Error> {
        Err(Error::ControlPlaneUnavailable(Silence::NotNow("test".into())))
    }

    #[tokio::test]
    async fn of_many_who_ask_one_asks() {
        let (memory, line, asked) = (memory(), Line::default(), AtomicU32::new(0));
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok((7, AGE))
        };
        let all = (0..100).map(|_| memory.get(&line, &1, Look::Cached, |_| None, ask()));
        let got = futures_util::future::join_all(all).await;
        assert!(got.iter().all(|value| matches!(value, Ok(7))));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert!(memory.lock().is_empty(), "nothing of the flights is kept");
        // Who wants it newer asks again.
        memory.get(&line, &1, Look::Fresh, |_| None, ask()).await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn one_who_goes_away_is_followed_by_another() {
        let (memory, line) = (memory(), Line::default());
        let gone = memory.get(&line, &1, Look::Cached, |_| None, std::future::pending());
        assert!(tokio::time::timeout(Duration::from_millis(5), gone).await.is_err());
        let next = memory.get(&line, &1, Look::Cached, |_| None, async { Ok((3, AGE)) });
        assert_eq!(next.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn an_old_answer_is_given_only_while_nobody_answers() {
        let (memory, line) = (memory(), Line::default());
        let ask = |value: u32| async move { Ok((value, Duration::ZERO)) };
        assert_eq!(memory.get(&line, &1, Look::Cached, |_| None, ask(1)).await.unwrap(), 1);
        assert_eq!(memory.get(&line, &1, Look::Cached, |_| None, ask(2)).await.unwrap(), 2, "its age is over");
        assert_eq!(memory.get(&line, &1, Look::Cached, |_| None, away()).await.unwrap(), 2);
        assert_eq!(memory.get(&line, &1, Look::Cached, |_| None, never()).await.unwrap(), 2, "left alone for a while");
        assert!(memory.get(&line, &2, Look::Cached, |_| None, away()).await.is_err(), "nothing is known");
        line.note_up();
        let gone = async { Err(Error::TenantNotFound(crate::Absent::Unknown)) };
        line.note_down();
        assert!(memory.get(&line, &1, Look::Fresh, |_| None, gone).await.is_ok(), "left alone");
        tokio::time::sleep(RETRY).await;
        let gone = async { Err(Error::TenantNotFound(crate::Absent::Unknown)) };
        assert!(memory.get(&line, &1, Look::Cached, |_| None, gone).await.is_err());
        assert!(!line.was_down(), "a refusal is an answer");
        assert!(memory.get(&line, &1, Look::Cached, |_| None, away()).await.is_err(), "what was known is wrong");
    }

    #[tokio::test]
    async fn a_doubted_answer_is_asked_for_again() {
        let (memory, line) = (memory(), Line::default());
        memory.get(&line, &1, Look::Cached, |_| None, async { Ok((1, AGE)) }).await.unwrap();
        let doubt = Instant::now();
        let got = memory.get(&line, &1, Look::Cached, |_| Some(doubt), async { Ok((2, AGE)) }).await;
        assert_eq!(got.unwrap(), 2);
        assert_eq!(memory.get(&line, &1, Look::Cached, |_| Some(doubt), never()).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn of_many_who_ask_in_vain_one_asks() {
        type Fails = fn() -> Error;
        let failures: [Fails; 3] = [
            || Error::ControlPlaneUnavailable(Silence::Away("test".into())),
            || Error::ControlPlaneUnavailable(Silence::NotNow("test".into())),
            || Error::TenantNotFound(crate::Absent::Unknown),
        ];
        for fails in failures {
            let (memory, line, asked) = (memory(), Line::default(), AtomicU32::new(0));
            let ask = || async {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(fails())
            };
            let began = Instant::now();
            let all = (0..50).map(|_| memory.get(&line, &1, Look::Cached, |_| None, ask()));
            let got = futures_util::future::join_all(all).await;
            assert!(got.iter().all(Result::is_err));
            assert_eq!(asked.load(Ordering::Relaxed), 1, "{}", fails());
            assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
            assert!(memory.lock().is_empty(), "nothing of the flights is kept");
            // Who comes later asks again.
            memory.get(&line, &1, Look::Cached, |_| None, ask()).await.unwrap_err();
            assert_eq!(asked.load(Ordering::Relaxed), 2);
        }
    }

    #[tokio::test]
    async fn what_is_said_of_one_key_says_nothing_of_another() {
        let (memory, line) = (memory(), Line::default());
        let ask = |value: u32| async move { Ok((value, Duration::ZERO)) };
        for key in [1, 2] {
            memory.get(&line, &key, Look::Cached, |_| None, ask(1)).await.unwrap();
        }
        assert_eq!(memory.get(&line, &1, Look::Cached, |_| None, not_now()).await.unwrap(), 1, "the old answer");
        assert_eq!(memory.get(&line, &1, Look::Cached, |_| None, never()).await.unwrap(), 1, "left alone for a while");
        assert!(!line.was_down(), "it answers");
        assert_eq!(memory.get(&line, &2, Look::Cached, |_| None, ask(2)).await.unwrap(), 2, "the other is asked about");
        assert_eq!(memory.get(&line, &2, Look::Fresh, |_| None, ask(3)).await.unwrap(), 3);
        // A doubt, and the wish for a new answer, are worth another question about the first one too.
        assert_eq!(memory.get(&line, &1, Look::Fresh, |_| None, ask(4)).await.unwrap(), 4);
        memory.get(&line, &1, Look::Cached, |_| None, not_now()).await.unwrap();
        let doubt = Instant::now();
        assert_eq!(memory.get(&line, &1, Look::Cached, |_| Some(doubt), ask(5)).await.unwrap(), 5);
    }

    #[tokio::test]
    async fn a_doubt_is_worth_one_attempt_while_nobody_answers() {
        let (memory, line) = (memory(), Line::default());
        memory.get(&line, &1, Look::Cached, |_| None, async { Ok((1, AGE)) }).await.unwrap();
        memory.get(&line, &2, Look::Cached, |_| None, away()).await.unwrap_err();
        let doubt = Instant::now();
        let asked = AtomicU32::new(0);
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            away().await
        };
        for _ in 0..5 {
            assert_eq!(memory.get(&line, &1, Look::Cached, |_| Some(doubt), ask()).await.unwrap(), 1);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
