//! What one worker counts, by tenant as far as there is room, and in all.
//!
//! INVARIANT: as many tenants are counted apart as the settings allow, never more; what the others did is counted together,
//! and so is what a forgotten tenant had. Nothing here grows with the number of tenants.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tenantry_domain::id::TenantId;

/// A tenant that did nothing for so long may lose its own numbers to another one.
const FORGET: Duration = Duration::from_secs(600);
/// Upper ends of the buckets of a histogram, in microseconds.
pub const BUCKETS: [u64; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
];

/// How long something took, in buckets that hold all that is shorter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many were shorter than each end of [`BUCKETS`].
    pub buckets: [u64; BUCKETS.len()],
    /// How many in all.
    pub count: u64,
    /// Together, in microseconds.
    pub micros: u64,
}

impl Histogram {
    fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        // Each is counted in one bucket, and summed up when somebody looks.
        if let Some(bucket) = BUCKETS.iter().position(|end| micros < *end) {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.micros = self.micros.saturating_add(micros);
    }

    fn summed(mut self) -> Self {
        let mut sum = 0;
        for bucket in &mut self.buckets {
            sum += *bucket;
            *bucket = sum;
        }
        self
    }

    /// Both together.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket += more;
        }
        self.count += other.count;
        self.micros = self.micros.saturating_add(other.micros);
    }
}

/// Numbers of one tenant since it was first seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TenantCounts {
    /// Transactions that are over.
    pub transactions: u64,
    /// Statements that were answered with an error of the gateway's.
    pub refused: u64,
    /// How often a client waited for a server session, or for its tenant.
    pub waits: u64,
    /// How long they waited together, in microseconds.
    pub waited: u64,
    /// How often one was held back because its tenant had used up its rate.
    pub throttled: u64,
}

impl TenantCounts {
    /// Both together.
    pub const fn merge(&mut self, other: &Self) {
        self.transactions += other.transactions;
        self.refused += other.refused;
        self.waits += other.waits;
        self.waited += other.waited;
        self.throttled += other.throttled;
    }
}

/// Numbers that the sessions of a tenant write to.
#[derive(Debug)]
pub struct Tally {
    counts: Cell<TenantCounts>,
    used: Cell<Instant>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { counts: Cell::default(), used: Cell::new(Instant::now()) }
    }
}

impl Tally {
    /// Counts something.
    pub fn add(&self, change: impl FnOnce(&mut TenantCounts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }

    /// So far.
    #[must_use]
    pub fn get(&self) -> TenantCounts {
        self.counts.get()
    }
}

/// Logins that were refused, by the reason.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<BTreeMap<&'static str, u64>>);

impl Refusals {
    /// One more.
    pub fn count(&self, reason: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// So far.
    #[must_use]
    pub fn get(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Counters {
    most: usize,
    known: RefCell<HashMap<TenantId, Rc<Tally>>>,
    others: Rc<Tally>,
    ended: RefCell<BTreeMap<&'static str, u64>>,
    transactions: Cell<Histogram>,
    waits: Cell<Histogram>,
    /// Sessions that began.
    pub arrivals: Cell<u64>,
    /// How often `enter` was refused.
    pub retries: Cell<u64>,
}

/// What [`Counters`] has counted.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// Tenants that are counted apart.
    pub tenants: Vec<(TenantId, TenantCounts)>,
    /// The others together.
    pub others: TenantCounts,
    /// Sessions that are over, by the reason.
    pub ended: BTreeMap<&'static str, u64>,
    /// How long a server session was lent for.
    pub transactions: Histogram,
    /// How long clients waited for one.
    pub waits: Histogram,
    /// Sessions that began.
    pub arrivals: u64,
    /// How often `enter` was refused and tried again.
    pub retries: u64,
}

impl Counted {
    /// All that were counted, by one worker and another.
    pub fn merge(&mut self, other: Self) {
        self.tenants.extend(other.tenants);
        self.others.merge(&other.others);
        for (reason, count) in other.ended {
            *self.ended.entry(reason).or_default() += count;
        }
        self.transactions.merge(&other.transactions);
        self.waits.merge(&other.waits);
        self.arrivals += other.arrivals;
        self.retries += other.retries;
    }

    /// Transactions of all tenants.
    #[must_use]
    pub fn all(&self) -> TenantCounts {
        let mut all = self.others;
        self.tenants.iter().for_each(|(_, counts)| all.merge(counts));
        all
    }
}

impl Counters {
    /// Counts so many tenants apart.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            known: RefCell::default(),
            others: Rc::default(),
            ended: RefCell::default(),
            transactions: Cell::default(),
            waits: Cell::default(),
            arrivals: Cell::new(0),
            retries: Cell::new(0),
        }
    }

    /// Where a session of a tenant counts.
    #[must_use]
    pub fn tally(&self, tenant: TenantId, now: Instant) -> Rc<Tally> {
        let mut known = self.known.borrow_mut();
        if let Some(tally) = known.get(&tenant) {
            tally.used.set(now);
            return Rc::clone(tally);
        }
        if known.len() >= self.most {
            self.forget(&mut known, now);
        }
        if known.len() >= self.most {
            return Rc::clone(&self.others);
        }
        let tally = Rc::new(Tally { counts: Cell::default(), used: Cell::new(now) });
        known.insert(tenant, Rc::clone(&tally));
        tally
    }

    /// Makes room of tenants that have no session and had none for a while.
    fn forget(&self, known: &mut HashMap<TenantId, Rc<Tally>>, now: Instant) {
        known.retain(|_, tally| {
            let is_kept = Rc::strong_count(tally) > 1 || now.duration_since(tally.used.get()) < FORGET;
            if !is_kept {
                self.others.add(|others| others.merge(&tally.get()));
            }
            is_kept
        });
    }

    /// A session is over.
    pub fn ended(&self, tenant: TenantId, reason: &'static str, now: Instant) {
        *self.ended.borrow_mut().entry(reason).or_default() += 1;
        if let Some(tally) = self.known.borrow().get(&tenant) {
            tally.used.set(now);
        }
    }

    /// A server session was lent for so long.
    pub fn transaction(&self, took: Duration) {
        let mut all = self.transactions.get();
        all.add(took);
        self.transactions.set(all);
    }

    /// A client waited for so long.
    pub fn waited(&self, took: Duration) {
        let mut all = self.waits.get();
        all.add(took);
        self.waits.set(all);
    }

    /// All numbers.
    #[must_use]
    pub fn get(&self) -> Counted {
        Counted {
            tenants: self.known.borrow().iter().map(|(tenant, tally)| (*tenant, tally.get())).collect(),
            others: self.others.get(),
            ended: self.ended.borrow().clone(),
            transactions: self.transactions.get().summed(),
            waits: self.waits.get().summed(),
            arrivals: self.arrivals.get(),
            retries: self.retries.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(number: u128) -> TenantId {
        TenantId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn tenants_beyond_the_bound_are_counted_together_and_nothing_is_lost() {
        let (counters, now) = (Counters::new(2), Instant::now());
        for number in 0..5 {
            counters.tally(tenant(number), now).add(|counts| counts.transactions += 1);
        }
        let counted = counters.get();
        assert_eq!((counted.tenants.len(), counted.others.transactions, counted.all().transactions), (2, 3, 5));
        // Later, those who went make room; what they did stays in the sum.
        let held = counters.tally(tenant(0), now);
        let later = now + FORGET;
        counters.tally(tenant(9), later).add(|counts| counts.transactions += 1);
        let counted = counters.get();
        let mut known: Vec<_> = counted.tenants.iter().map(|(tenant, _)| *tenant).collect();
        known.sort();
        assert_eq!(known, [tenant(0), tenant(9)]);
        assert_eq!((counted.others.transactions, counted.all().transactions), (4, 6));
        drop(held);
    }

    #[test]
    fn a_bucket_holds_all_that_is_shorter() {
        let counters = Counters::new(1);
        for millis in [0, 1, 3, 30_000] {
            counters.waited(Duration::from_millis(millis));
        }
        let waits = counters.get().waits;
        assert_eq!((waits.count, waits.micros), (4, 30_004_000));
        assert_eq!(waits.buckets[..5], [1, 1, 1, 2, 3]);
        assert_eq!(waits.buckets[13], 3);
    }
}
