//! Server sessions that clients of one worker use in turn.

mod budget;
mod lease;
mod turns;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tenantry_dataplane::Door;
use tenantry_domain::id::TenantId;
use tenantry_pg::Target;

use crate::server::Backend;
use budget::Budget;
pub use lease::{AcquireError, Lease};
pub use turns::{Turns, Waiter};

/// Bounds of pools.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The most sessions on one server.
    pub server: usize,
    /// The most sessions with one shared login.
    pub shared: usize,
    /// The most of them that one tenant uses at a time, unless its plan says less.
    pub per_tenant: usize,
    /// The most sessions with a tenant's own login, unless its plan says less.
    pub own: usize,
    /// How many clients of one tenant may wait for a session.
    pub waiting: usize,
    /// How long one waits.
    pub wait: Duration,
    /// How long opening a session may take.
    pub connect: Duration,
    /// How long an unused session is kept.
    pub idle: Duration,
    /// How old a session gets.
    pub lifetime: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // PostgreSQL has 100 unless told otherwise, and the control plane needs some of them.
            server: 80,
            shared: 20,
            per_tenant: 8,
            own: 10,
            waiting: 1_000,
            wait: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            lifetime: Duration::from_secs(3600),
        }
    }
}

/// Server, database and login.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolKey {
    host: String,
    port: u16,
    database: String,
    user: String,
}

impl PoolKey {
    fn of(target: &Target) -> Self {
        let (database, user) = (target.database().to_owned(), target.user().to_owned());
        Self { host: target.host(), port: target.port(), database, user }
    }
}

/// Sessions with one login of one database.
#[derive(Debug)]
pub struct Pool {
    /// Unused ones, the one that was used last at the end. Boxed, because they are moved at every turn.
    #[allow(clippy::vec_box, reason = "a session is large, and moves between a lease and this list")]
    idle: Vec<Box<Backend>>,
    /// Used and unused ones.
    open: usize,
    /// Who gets the next place.
    turns: Turns,
    /// What the server has for all pools.
    budget: Rc<Budget>,
    /// Whether several tenants share it.
    is_shared: bool,
    /// What the newest session was told of the server.
    params: Vec<(String, String)>,
    used: Instant,
}

impl Pool {
    /// An unused session for a tenant: the one that served it last, else the longest unused.
    fn take(&mut self, tenant: TenantId) -> Option<Box<Backend>> {
        let place = self.idle.iter().rposition(|backend| backend.bound.is_some_and(|bound| bound.tenant == tenant));
        match place {
            Some(place) => Some(self.idle.remove(place)),
            None if self.idle.is_empty() => None,
            None => Some(self.idle.remove(0)),
        }
    }

    /// So many sessions are closed.
    fn closed(&mut self, count: usize) {
        self.open -= count;
        for _ in 0..count {
            self.budget.give_back();
        }
    }

    /// From now on these bounds. Unused sessions beyond them are closed; those in use go when they come back.
    fn bound(&mut self, limits: &Limits) {
        match self.is_shared {
            true => self.turns.bound(limits.shared, limits.per_tenant),
            false => self.turns.bound(limits.own, limits.own),
        }
        while self.is_over() && !self.idle.is_empty() {
            drop(self.idle.remove(0));
            self.closed(1);
        }
    }

    /// Whether it has more sessions than it may.
    fn is_over(&self) -> bool {
        self.open > self.turns.places()
    }

    /// What the newest session was told of the server; empty before the first.
    #[must_use]
    pub fn params(&self) -> &[(String, String)] {
        &self.params
    }

    /// How many are used, unused, and how many clients wait.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { used: self.open - self.idle.len(), idle: self.idle.len(), waiting: self.turns.waiting() }
    }
}

/// Numbers of a pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions that serve a client.
    pub used: usize,
    /// Sessions that serve nobody.
    pub idle: usize,
    /// Clients that wait for one.
    pub waiting: usize,
}

/// All pools of a worker.
#[derive(Debug, Default)]
pub struct Pools {
    budgets: RefCell<HashMap<(String, u16), Rc<Budget>>>,
    map: RefCell<HashMap<PoolKey, Rc<RefCell<Pool>>>>,
}

impl Pools {
    /// The pool behind a door.
    pub fn get(&self, door: &Door, limits: &Limits) -> Rc<RefCell<Pool>> {
        let key = PoolKey::of(&door.target);
        let mut map = self.map.borrow_mut();
        if let Some(pool) = map.get(&key) {
            return Rc::clone(pool);
        }
        let is_shared = !door.isolation.has_own_role();
        let mut budgets = self.budgets.borrow_mut();
        let server = budgets.entry((key.host.clone(), key.port));
        let budget = Rc::clone(server.or_insert_with(|| Budget::new(limits.server)));
        let mut pool = Pool {
            idle: Vec::new(),
            open: 0,
            turns: Turns::new(1),
            budget: Rc::clone(&budget),
            is_shared,
            params: Vec::new(),
            used: Instant::now(),
        };
        pool.bound(limits);
        let pool = Rc::new(RefCell::new(pool));
        budget.join(&pool);
        map.insert(key, Rc::clone(&pool));
        pool
    }

    /// Has everything keep to these bounds, closes what has been unused for too long or is too old, and forgets empty pools.
    pub fn sweep(&self, limits: &Limits, now: Instant) {
        self.map.borrow_mut().retain(|_, pool| {
            let mut pool = pool.borrow_mut();
            pool.bound(limits);
            let before = pool.idle.len();
            pool.idle.retain_mut(|backend| {
                now.duration_since(backend.idle_since) < limits.idle
                    && now.duration_since(backend.opened) < limits.lifetime
                    && backend.is_alive()
            });
            let closed = before - pool.idle.len();
            pool.closed(closed);
            pool.open > 0 || pool.turns.waiting() > 0 || now.duration_since(pool.used) < limits.idle
        });
        for budget in self.budgets.borrow().values() {
            budget.bound(limits.server);
        }
    }

    /// Closes the unused sessions that are bound to a tenant, or have a login of its own.
    pub fn forget(&self, tenant: TenantId) {
        for pool in self.map.borrow().values() {
            let mut pool = pool.borrow_mut();
            let before = pool.idle.len();
            pool.idle.retain(|backend| backend.bound.is_none_or(|bound| bound.tenant != tenant));
            let closed = before - pool.idle.len();
            pool.closed(closed);
        }
    }

    /// All pools with their numbers.
    #[must_use]
    pub fn counts(&self) -> Vec<(PoolKey, Counts)> {
        self.map.borrow().iter().map(|(key, pool)| (key.clone(), pool.borrow().counts())).collect()
    }
}

impl PoolKey {
    /// The database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The login.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}
