//! How many sessions all pools of one server have together.
//!
//! Tenants with a login of their own have a pool each, and a server has a bound for all of them. A pool that needs one more
//! takes the place of a session that has been unused for longest, wherever it is; when all are in use, it waits.
//!
//! INVARIANT: while a place is free, nobody waits for one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use super::Pool;
use super::turns::{Ticket, Waiter};

/// See the module.
#[derive(Debug)]
pub struct Budget {
    most: Cell<usize>,
    used: Cell<usize>,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
    pools: RefCell<Vec<Weak<RefCell<Pool>>>>,
}

impl Budget {
    /// So many in all.
    #[must_use]
    pub fn new(most: usize) -> Rc<Self> {
        let (most, used) = (Cell::new(most.max(1)), Cell::new(0));
        Rc::new(Self { most, used, waiting: RefCell::default(), pools: RefCell::default() })
    }

    /// From now on so many in all. With fewer than there are, unused ones are closed; those in use go when they come back.
    pub fn bound(&self, most: usize) {
        self.most.set(most.max(1));
        while self.used.get() > self.most.get() && self.make_room() {}
        self.serve();
    }

    /// One more pool whose unused sessions may have to make room.
    pub fn join(&self, pool: &Rc<RefCell<Pool>>) {
        let mut pools = self.pools.borrow_mut();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Rc::downgrade(pool));
    }

    /// A place for one more session.
    pub async fn take(&self) {
        if !self.is_free() {
            self.make_room();
        }
        if self.is_free() {
            self.used.set(self.used.get() + 1);
            return;
        }
        let waiter = Rc::new(Waiter::default());
        self.waiting.borrow_mut().push_back(Rc::clone(&waiter));
        Ticket::new(waiter, |waiter| self.leave(waiter)).served().await;
    }

    /// Somebody waits no longer. A place that it was given already is free again.
    fn leave(&self, waiter: &Rc<Waiter>) {
        if waiter.is_served() {
            self.give_back();
        } else {
            self.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, waiter));
        }
    }

    /// A session is closed.
    pub fn give_back(&self) {
        self.used.set(self.used.get().saturating_sub(1));
        self.serve();
    }

    /// Gives free places to those who wait.
    fn serve(&self) {
        while self.is_free() {
            let Some(waiter) = self.waiting.borrow_mut().pop_front() else { return };
            self.used.set(self.used.get() + 1);
            waiter.serve();
        }
    }

    fn is_free(&self) -> bool {
        self.used.get() < self.most.get()
    }

    /// Whether an unused session had better be closed: somebody waits for its place, or there are too many.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.used.get() > self.most.get() || !self.waiting.borrow().is_empty()
    }

    /// Closes the session that has been unused for longest. Whether there was one.
    fn make_room(&self) -> bool {
        let pools = self.pools.borrow();
        let idle = pools.iter().filter_map(Weak::upgrade).filter_map(|pool| {
            let since = pool.borrow().idle.iter().map(|backend| backend.idle_since).min()?;
            Some((since, pool))
        });
        if let Some((since, pool)) = idle.min_by_key(|(since, _)| *since) {
            let mut pool = pool.borrow_mut();
            if let Some(place) = pool.idle.iter().position(|backend| backend.idle_since == since) {
                drop(pool.idle.remove(place));
                pool.open -= 1;
                self.used.set(self.used.get().saturating_sub(1));
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_that_is_given_back_goes_to_whoever_waits_longest() {
        let budget = Budget::new(1);
        budget.take().await;
        let (mut first, mut second) = (Box::pin(budget.take()), Box::pin(budget.take()));
        assert!(futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut second).is_pending());
        assert!(budget.is_short());
        budget.give_back();
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(futures_util::poll!(&mut first).is_ready());
        budget.give_back();
        // Served, and gone before it looked.
        drop(second);
        assert!(!budget.is_short());
        assert_eq!(budget.used.get(), 0);
    }

    #[tokio::test]
    async fn another_bound_holds_for_those_who_wait_and_cuts_nobody() {
        let budget = Budget::new(1);
        budget.take().await;
        let mut second = Box::pin(budget.take());
        assert!(futures_util::poll!(&mut second).is_pending());
        budget.bound(2);
        assert!(futures_util::poll!(&mut second).is_ready());
        budget.bound(1);
        assert!(budget.is_short() && budget.used.get() == 2);
        let mut third = Box::pin(budget.take());
        budget.give_back();
        assert!(futures_util::poll!(&mut third).is_pending(), "one too many came back");
        budget.give_back();
        assert!(futures_util::poll!(&mut third).is_ready());
    }
}
