//! Who gets the next place in a pool that several tenants use.
//!
//! Each tenant has at most so many places at a time. Callers that must wait stand in a line of their tenant; the lines are
//! served by turns, so a tenant with a thousand callers delays another one's first caller by one turn. A line has a bound,
//! and whoever comes to a full one is told so at once.
//!
//! INVARIANT: while a place is free, nobody waits who may have one. Every change that frees a place or shortens a line
//! ends in [`State::serve`]. A caller that is dropped while it waits leaves its line, and gives back what it was given.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenantry_domain::id::TenantId;
use tokio::sync::oneshot;

/// Why a caller got no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Jam {
    /// The line is full.
    Full,
    /// None became free in time.
    Waited,
}

/// Places of one pool.
pub(super) struct Turnstile {
    state: Mutex<State>,
}

struct State {
    free: usize,
    lines: HashMap<TenantId, Line>,
    /// Tenants of which somebody waits, the next one first.
    turns: VecDeque<TenantId>,
    tickets: u64,
}

#[derive(Default)]
struct Line {
    in_use: usize,
    most: usize,
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
}

impl Turnstile {
    /// So many places in all.
    pub fn new(places: usize) -> Self {
        let state = State { free: places, lines: HashMap::new(), turns: VecDeque::new(), tickets: 0 };
        Self { state: Mutex::new(state) }
    }

    /// Waits for a place, of which the tenant has at most `most` at a time; at most `waiting` callers of it wait.
    pub async fn pass(
        self: &Arc<Self>,
        tenant: TenantId,
        most: usize,
        waiting: usize,
        wait: Duration,
    ) -> Result<Place, Jam> {
        let mut ticket = {
            let mut state = self.lock();
            let line = state.lines.entry(tenant).or_default();
            line.most = most;
            if line.waiting.len() >= waiting && (line.in_use >= most || !line.waiting.is_empty()) {
                return Err(Jam::Full);
            }
            let (sender, receiver) = oneshot::channel();
            state.tickets += 1;
            let number = state.tickets;
            state.queue(tenant, number, sender);
            state.serve();
            Ticket { turnstile: Arc::clone(self), tenant, number, receiver: Some(receiver) }
        };
        match tokio::time::timeout(wait, ticket.served()).await {
            Ok(()) => Ok(ticket.redeem()),
            Err(_) => Err(Jam::Waited),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in between panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.lock().lines.values().map(|line| line.waiting.len()).sum()
    }
}

impl State {
    fn queue(&mut self, tenant: TenantId, number: u64, sender: oneshot::Sender<()>) {
        let line = self.lines.entry(tenant).or_default();
        if line.waiting.is_empty() {
            self.turns.push_back(tenant);
        }
        line.waiting.push_back((number, sender));
    }

    /// Gives free places to those who may have them, one a tenant and turn.
    fn serve(&mut self) {
        let mut passed_over = 0;
        while self.free > 0 && passed_over < self.turns.len() {
            let Some(tenant) = self.turns.pop_front() else { return };
            let Some(line) = self.lines.get_mut(&tenant) else { continue };
            if line.in_use >= line.most {
                self.turns.push_back(tenant);
                passed_over += 1;
                continue;
            }
            if let Some((_, sender)) = line.waiting.pop_front()
                && sender.send(()).is_ok()
            {
                line.in_use += 1;
                self.free -= 1;
            }
            if !line.waiting.is_empty() {
                self.turns.push_back(tenant);
            }
            passed_over = 0;
        }
    }

    fn give_back(&mut self, tenant: TenantId) {
        self.free += 1;
        if let Some(line) = self.lines.get_mut(&tenant) {
            line.in_use = line.in_use.saturating_sub(1);
        }
        self.serve();
        self.forget(tenant);
    }

    fn leave(&mut self, tenant: TenantId, number: u64) {
        if let Some(line) = self.lines.get_mut(&tenant) {
            line.waiting.retain(|(other, _)| *other != number);
            if line.waiting.is_empty() {
                self.turns.retain(|other| *other != tenant);
            }
        }
        self.forget(tenant);
    }

    fn forget(&mut self, tenant: TenantId) {
        if self.lines.get(&tenant).is_some_and(|line| line.in_use == 0 && line.waiting.is_empty()) {
            self.lines.remove(&tenant);
        }
    }
}

/// One caller's place in a line.
struct Ticket {
    turnstile: Arc<Turnstile>,
    tenant: TenantId,
    number: u64,
    /// Gone once the place was taken.
    receiver: Option<oneshot::Receiver<()>>,
}

impl Ticket {
    async fn served(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            // The other end stays in the line until it is this one's turn; it is not dropped before.
            let _ = receiver.await;
        }
    }

    fn redeem(mut self) -> Place {
        self.receiver = None;
        Place { turnstile: Arc::clone(&self.turnstile), tenant: self.tenant }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(mut receiver) = self.receiver.take() else { return };
        let mut state = self.turnstile.lock();
        // Under the lock nobody is served, so this is either a place that nobody took or a caller still in line.
        if receiver.try_recv().is_ok() {
            state.give_back(self.tenant);
        } else {
            state.leave(self.tenant, self.number);
        }
    }
}

/// The right to use a connection; free again when dropped.
pub(crate) struct Place {
    turnstile: Arc<Turnstile>,
    tenant: TenantId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.turnstile.lock().give_back(self.tenant);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn id(letter: char) -> TenantId {
        TenantId::from_uuid(uuid::Uuid::from_u128(u128::from(u32::from(letter))))
    }

    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn lines_are_served_by_turns() {
        let turnstile = Arc::new(Turnstile::new(1));
        let held = turnstile.pass(id('a'), 1, 100, LONG).await.unwrap();
        let served = Arc::new(Mutex::new(String::new()));
        let mut hands = Vec::new();
        for tenant in "aaaabbc".chars() {
            let (turnstile, served) = (Arc::clone(&turnstile), Arc::clone(&served));
            hands.push(tokio::spawn(async move {
                let place = turnstile.pass(id(tenant), 1, 100, LONG).await.unwrap();
                served.lock().unwrap().push(tenant);
                settle().await;
                drop(place);
            }));
            settle().await;
        }
        drop(held);
        for hand in hands {
            hand.await.unwrap();
        }
        // First come first served would be aaaabbc.
        assert_eq!(*served.lock().unwrap(), "abcabaa");
        assert!(turnstile.lock().lines.is_empty() && turnstile.lock().turns.is_empty());
        assert_eq!(turnstile.lock().free, 1);
    }

    #[tokio::test]
    async fn a_tenant_at_its_bound_leaves_the_rest_to_others() {
        let turnstile = Arc::new(Turnstile::new(3));
        let held = [
            turnstile.pass(id('a'), 2, 100, LONG).await.unwrap(),
            turnstile.pass(id('a'), 2, 100, LONG).await.unwrap(),
        ];
        assert_eq!(turnstile.pass(id('a'), 2, 100, Duration::from_millis(5)).await.err(), Some(Jam::Waited));
        let waiting = tokio::spawn({
            let turnstile = Arc::clone(&turnstile);
            async move { turnstile.pass(id('a'), 2, 100, LONG).await.map(drop) }
        });
        settle().await;
        let other = turnstile.pass(id('b'), 2, 100, Duration::ZERO).await.unwrap();
        drop(held);
        waiting.await.unwrap().unwrap();
        drop(other);
        assert_eq!(turnstile.lock().free, 3);
    }

    #[tokio::test]
    async fn a_full_line_refuses_at_once_and_others_still_wait() {
        let turnstile = Arc::new(Turnstile::new(1));
        let held = turnstile.pass(id('a'), 1, 2, LONG).await.unwrap();
        let wait = |tenant| {
            let turnstile = Arc::clone(&turnstile);
            tokio::spawn(async move { turnstile.pass(id(tenant), 1, 2, LONG).await.map(drop) })
        };
        let waiting = [wait('a'), wait('a')];
        settle().await;
        assert_eq!(turnstile.pass(id('a'), 1, 2, LONG).await.err(), Some(Jam::Full));
        let other = wait('b');
        settle().await;
        assert_eq!(turnstile.waiting(), 3);
        drop(held);
        for hand in waiting {
            hand.await.unwrap().unwrap();
        }
        other.await.unwrap().unwrap();
        // With no line at all, a free place is still to be had.
        drop(turnstile.pass(id('a'), 1, 0, LONG).await.unwrap());
    }

    #[tokio::test]
    async fn whoever_is_dropped_leaves_nothing_behind() {
        let turnstile = Arc::new(Turnstile::new(1));
        let held = turnstile.pass(id('a'), 1, 9, LONG).await.unwrap();
        let waits = |tenant| {
            let turnstile = Arc::clone(&turnstile);
            tokio::spawn(async move { turnstile.pass(id(tenant), 1, 9, LONG).await.map(drop) })
        };
        let (gone, stays) = (waits('b'), waits('c'));
        settle().await;
        gone.abort();
        settle().await;
        assert_eq!(turnstile.waiting(), 1);
        drop(held);
        stays.await.unwrap().unwrap();
        // One that was served and never polled again gives its place back.
        let held = turnstile.pass(id('a'), 1, 9, LONG).await.unwrap();
        let mut served = Box::pin(turnstile.pass(id('b'), 1, 9, LONG));
        assert!(futures_util::poll!(&mut served).is_pending());
        drop(held);
        assert_eq!(turnstile.lock().free, 0);
        drop(served);
        assert_eq!(turnstile.lock().free, 1);
        assert!(turnstile.lock().lines.is_empty() && turnstile.lock().turns.is_empty());
    }
}
