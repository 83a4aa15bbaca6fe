//! A queue in memory in which tenants take turns: for workers of one process, behind a queue that is kept elsewhere.
//!
//! INVARIANT: a tenant has at most `per_tenant` items out, and the next item is of the tenant that waits longest for a
//! turn; so a tenant that queues a million items delays another one's first by one item of each tenant before it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tenantry_domain::id::TenantId;
use tokio::sync::Notify;

/// A bound is reached; the item comes back.
#[derive(Debug, thiserror::Error)]
#[error("{bound} items wait already")]
pub struct QueueFull<T> {
    /// The bound.
    pub bound: usize,
    /// What could not be queued.
    pub item: T,
}

/// Items of tenants, fairly. Cloning gives another handle on the same queue.
pub struct FairQueue<T>(Arc<Shared<T>>);

struct Shared<T> {
    per_tenant: usize,
    most: usize,
    most_of_one: usize,
    inside: Mutex<Inside<T>>,
    arrived: Notify,
}

struct Inside<T> {
    waiting: usize,
    tenants: HashMap<TenantId, Line<T>>,
    ring: VecDeque<TenantId>,
}

struct Line<T> {
    out: usize,
    items: VecDeque<T>,
}

impl<T> FairQueue<T> {
    /// A queue that gives out `per_tenant` items of one tenant at a time and keeps at most `most` items, of which one
    /// tenant has at most `most_of_one`. Bounds below 1 count as 1.
    #[must_use]
    pub fn new(per_tenant: usize, most: usize, most_of_one: usize) -> Self {
        let inside = Inside { waiting: 0, tenants: HashMap::new(), ring: VecDeque::new() };
        Self(Arc::new(Shared {
            per_tenant: per_tenant.max(1),
            most: most.max(1),
            most_of_one: most_of_one.max(1),
            inside: Mutex::new(inside),
            arrived: Notify::new(),
        }))
    }

    /// Adds an item.
    ///
    /// # Errors
    /// [`QueueFull`].
    pub fn push(&self, tenant: TenantId, item: T) -> Result<(), QueueFull<T>> {
        let mut inside = self.0.lock();
        if inside.waiting >= self.0.most {
            return Err(QueueFull { bound: self.0.most, item });
        }
        let line = inside.tenants.entry(tenant).or_insert_with(|| Line { out: 0, items: VecDeque::new() });
        if line.items.len() >= self.0.most_of_one {
            return Err(QueueFull { bound: self.0.most_of_one, item });
        }
        line.items.push_back(item);
        let is_first = line.items.len() == 1;
        inside.waiting += 1;
        if is_first {
            inside.ring.push_back(tenant);
        }
        drop(inside);
        self.0.arrived.notify_one();
        Ok(())
    }

    /// The next item, of the tenant whose turn it is; waits for one.
    pub async fn next(&self) -> Leased<T> {
        loop {
            let arrived = self.0.arrived.notified();
            if let Some(leased) = self.try_next() {
                // There may be more, and one call wakes one waiter.
                self.0.arrived.notify_one();
                return leased;
            }
            arrived.await;
        }
    }

    /// The next item, if one may be given out now.
    #[must_use]
    pub fn try_next(&self) -> Option<Leased<T>> {
        let mut guard = self.0.lock();
        let inside = &mut *guard;
        let ready = |tenant: &TenantId| inside.tenants.get(tenant).is_some_and(|line| line.out < self.0.per_tenant);
        let place = inside.ring.iter().position(ready)?;
        let tenant = inside.ring.remove(place)?;
        let line = inside.tenants.get_mut(&tenant)?;
        let item = line.items.pop_front()?;
        line.out += 1;
        if !line.items.is_empty() {
            inside.ring.push_back(tenant);
        }
        inside.waiting -= 1;
        Some(Leased { item: Some(item), tenant, shared: Arc::clone(&self.0) })
    }

    /// How many items wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.lock().waiting
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Clone for FairQueue<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for FairQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FairQueue({} waiting)", self.len())
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Inside<T>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An item that is out. While it is not dropped it counts against its tenant.
pub struct Leased<T> {
    item: Option<T>,
    tenant: TenantId,
    shared: Arc<Shared<T>>,
}

impl<T> Leased<T> {
    /// Whose it is.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Takes the item out; the lease goes on. Nothing the second time.
    pub const fn take(&mut self) -> Option<T> {
        self.item.take()
    }
}

impl<T> Drop for Leased<T> {
    fn drop(&mut self) {
        let mut inside = self.shared.lock();
        if let Some(line) = inside.tenants.get_mut(&self.tenant) {
            line.out -= 1;
            if line.out == 0 && line.items.is_empty() {
                inside.tenants.remove(&self.tenant);
            }
        }
        drop(inside);
        self.shared.arrived.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn tenant(number: u128) -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn a_flood_delays_others_by_one_turn() {
        let queue = FairQueue::new(1, 20_000, 10_000);
        for number in 0..10_000 {
            queue.push(tenant(1), number).unwrap();
        }
        assert!(queue.push(tenant(1), 0).is_err(), "one tenant's bound");
        queue.push(tenant(2), 77).unwrap();
        let first = queue.try_next().unwrap();
        assert_eq!(first.tenant(), tenant(1));
        assert_eq!(queue.try_next().unwrap().take(), Some(77), "second, although 9,999 came before");
        assert!(queue.try_next().is_none(), "the flood has one item out");
        drop(first);
        assert_eq!(queue.try_next().unwrap().take(), Some(1));
    }

    #[tokio::test]
    async fn many_workers_get_everything_once() {
        let queue = FairQueue::new(2, 1_000, 1_000);
        for number in 0..900_u32 {
            queue.push(tenant(u128::from(number % 7)), number).unwrap();
        }
        let workers = (0..8).map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let mut got = Vec::new();
                while let Ok(mut leased) =
                    tokio::time::timeout(std::time::Duration::from_millis(300), queue.next()).await
                {
                    tokio::task::yield_now().await;
                    got.extend(leased.take());
                }
                got
            })
        });
        let mut all: Vec<u32> =
            futures_util::future::join_all(workers).await.into_iter().flat_map(Result::unwrap).collect();
        all.sort_unstable();
        assert_eq!(all, (0..900).collect::<Vec<_>>());
        assert!(queue.is_empty() && queue.0.lock().tenants.is_empty());
    }
}
