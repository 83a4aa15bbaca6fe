//! Who gets the next place in a pool that several tenants use.
//!
//! Each tenant has at most so many places at a time. Clients that must wait stand in a line of their tenant; the lines are
//! served by turns, so a tenant with a thousand clients delays another one's first client by one turn.
//!
//! INVARIANT: while a place is free, nobody waits who may have one.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tenantry_domain::id::TenantId;

/// One client in a line.
#[derive(Debug, Default)]
pub struct Waiter {
    is_served: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Waiter {
    /// Ready once the place is there.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_served.get() {
            return Poll::Ready(());
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether the place is there.
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.is_served.get()
    }

    /// Gives it the place.
    pub fn serve(&self) {
        self.is_served.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// A place in a line. Whoever drops it before the place came leaves the line.
pub struct Ticket<L: FnMut(&Rc<Waiter>)> {
    /// Gone once the place was taken.
    waiter: Option<Rc<Waiter>>,
    leave: L,
}

impl<L: FnMut(&Rc<Waiter>)> Ticket<L> {
    /// For somebody who waits; `leave` takes it out of its line, or gives the place back that it was given already.
    #[must_use]
    pub const fn new(waiter: Rc<Waiter>, leave: L) -> Self {
        Self { waiter: Some(waiter), leave }
    }

    /// Waits for the place, which is the caller's then.
    pub async fn served(mut self) {
        if let Some(waiter) = &self.waiter {
            poll_fn(|cx| waiter.poll(cx)).await;
        }
        self.waiter = None;
    }
}

impl<L: FnMut(&Rc<Waiter>)> Drop for Ticket<L> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            (self.leave)(&waiter);
        }
    }
}

#[derive(Debug, Default)]
struct Line {
    in_use: usize,
    /// How many the tenant may have by itself.
    asked: usize,
    waiting: VecDeque<Rc<Waiter>>,
}

/// Places of one pool.
#[derive(Debug)]
pub struct Turns {
    places: usize,
    used: usize,
    /// The most of one tenant.
    per: usize,
    lines: HashMap<TenantId, Line>,
    /// Tenants of which somebody waits, the next one first.
    turns: VecDeque<TenantId>,
}

impl Turns {
    /// So many places in all.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self { places, used: 0, per: usize::MAX, lines: HashMap::new(), turns: VecDeque::new() }
    }

    /// From now on so many places, and so many of one tenant. Those that are in use stay; with fewer places than that, none
    /// is given until enough came back.
    pub fn bound(&mut self, places: usize, per: usize) {
        (self.places, self.per) = (places.max(1), per.max(1));
        self.serve();
    }

    /// How many places there are.
    #[must_use]
    pub const fn places(&self) -> usize {
        self.places
    }

    /// Takes a place at once, of which the tenant has at most `asked`. Whether there was one.
    pub fn pass(&mut self, tenant: TenantId, asked: usize) -> bool {
        let line = self.lines.entry(tenant).or_default();
        line.asked = asked;
        if self.used >= self.places || line.in_use >= self.per.min(asked).max(1) || !line.waiting.is_empty() {
            self.forget(tenant);
            return false;
        }
        line.in_use += 1;
        self.used += 1;
        true
    }

    /// Joins the line of a tenant which has at most `asked` places, unless `longest` wait in it already.
    pub fn queue(&mut self, tenant: TenantId, asked: usize, longest: usize) -> Option<Rc<Waiter>> {
        let line = self.lines.entry(tenant).or_default();
        line.asked = asked;
        if line.waiting.len() >= longest {
            self.forget(tenant);
            return None;
        }
        if line.waiting.is_empty() {
            self.turns.push_back(tenant);
        }
        let waiter = Rc::new(Waiter::default());
        line.waiting.push_back(Rc::clone(&waiter));
        self.serve();
        Some(waiter)
    }

    /// Leaves the line, or gives back the place that was just given.
    pub fn leave(&mut self, tenant: TenantId, waiter: &Rc<Waiter>) {
        if waiter.is_served.get() {
            self.give_back(tenant);
            return;
        }
        if let Some(line) = self.lines.get_mut(&tenant) {
            line.waiting.retain(|other| !Rc::ptr_eq(other, waiter));
            if line.waiting.is_empty() {
                self.turns.retain(|other| *other != tenant);
            }
        }
        self.forget(tenant);
    }

    /// A place of a tenant is free again.
    pub fn give_back(&mut self, tenant: TenantId) {
        self.used = self.used.saturating_sub(1);
        if let Some(line) = self.lines.get_mut(&tenant) {
            line.in_use = line.in_use.saturating_sub(1);
        }
        if !self.turns.is_empty() {
            self.serve();
        }
        self.forget(tenant);
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.turns.iter().filter_map(|tenant| self.lines.get(tenant)).map(|line| line.waiting.len()).sum()
    }

    /// Gives free places to those who may have them, one a tenant and turn.
    fn serve(&mut self) {
        let mut passed_over = 0;
        while self.used < self.places && passed_over < self.turns.len() {
            let Some(tenant) = self.turns.pop_front() else { return };
            let Some(line) = self.lines.get_mut(&tenant) else { continue };
            if line.in_use >= self.per.min(line.asked).max(1) {
                self.turns.push_back(tenant);
                passed_over += 1;
                continue;
            }
            if let Some(waiter) = line.waiting.pop_front() {
                line.in_use += 1;
                self.used += 1;
                waiter.serve();
            }
            if !line.waiting.is_empty() {
                self.turns.push_back(tenant);
            }
            passed_over = 0;
        }
    }

    fn forget(&mut self, tenant: TenantId) {
        if self.lines.get(&tenant).is_some_and(|line| line.in_use == 0 && line.waiting.is_empty()) {
            self.lines.remove(&tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn id(letter: char) -> TenantId {
        TenantId::from_uuid(uuid::Uuid::from_u128(u128::from(u32::from(letter))))
    }

    #[test]
    fn lines_are_served_by_turns() {
        let mut turns = Turns::new(1);
        assert!(turns.pass(id('a'), 1));
        let waiters: Vec<(char, Rc<Waiter>)> =
            "aaaabbc".chars().map(|tenant| (tenant, turns.queue(id(tenant), 1, 9).unwrap())).collect();
        assert_eq!(turns.waiting(), 7);
        let mut served = String::new();
        let mut holder = 'a';
        let mut left = waiters;
        while !left.is_empty() {
            turns.give_back(id(holder));
            let place = left.iter().position(|(_, waiter)| waiter.is_served.get()).unwrap();
            holder = left.remove(place).0;
            served.push(holder);
        }
        // First come first served would be aaaabbc.
        assert_eq!(served, "abcabaa");
        turns.give_back(id(holder));
        assert!(turns.lines.is_empty() && turns.turns.is_empty());
        assert_eq!(turns.used, 0);
    }

    #[test]
    fn a_tenant_at_its_bound_leaves_the_rest_to_others() {
        let mut turns = Turns::new(3);
        assert!(turns.pass(id('a'), 2) && turns.pass(id('a'), 2));
        assert!(!turns.pass(id('a'), 2));
        let waiter = turns.queue(id('a'), 2, 9).unwrap();
        assert!(!waiter.is_served.get());
        assert!(turns.pass(id('b'), 2));
        turns.give_back(id('a'));
        assert!(waiter.is_served.get());
    }

    #[test]
    fn whoever_leaves_leaves_nothing_behind() {
        let mut turns = Turns::new(1);
        assert!(turns.pass(id('a'), 1));
        assert!(turns.queue(id('b'), 1, 0).is_none(), "a full line refuses");
        let (gone, stays) = (turns.queue(id('b'), 1, 1).unwrap(), turns.queue(id('c'), 1, 1).unwrap());
        turns.leave(id('b'), &gone);
        turns.give_back(id('a'));
        assert!(stays.is_served.get() && !gone.is_served.get());
        // One that was served and is gone gives its place back.
        turns.leave(id('c'), &stays);
        assert_eq!(turns.used, 0);
        assert!(turns.lines.is_empty() && turns.turns.is_empty());
    }

    #[test]
    fn other_bounds_hold_for_those_who_are_there() {
        let mut turns = Turns::new(1);
        assert!(turns.pass(id('a'), 9));
        let waiters: Vec<_> = (0..3).map(|_| turns.queue(id('a'), 9, 9).unwrap()).collect();
        let served = |waiters: &[Rc<Waiter>]| waiters.iter().filter(|waiter| waiter.is_served.get()).count();
        // More places, but not more for one tenant; then more for it as well.
        turns.bound(3, 1);
        assert_eq!(served(&waiters), 0);
        turns.bound(3, 8);
        assert_eq!(served(&waiters), 2);
        // Fewer than are in use: nobody loses one, and none is given before enough came back.
        turns.bound(1, 8);
        turns.give_back(id('a'));
        turns.give_back(id('a'));
        assert_eq!(served(&waiters), 2);
        assert!(!turns.pass(id('b'), 9));
        turns.give_back(id('a'));
        assert_eq!(served(&waiters), 3);
        turns.give_back(id('a'));
        assert!(turns.lines.is_empty() && turns.used == 0);
    }
}
