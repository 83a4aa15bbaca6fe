//! Waiting for one's turn at a cell: the decisions of [`crate::fair`] with tasks, a deadline and cancellation.
//!
//! INVARIANT: a [`Place`] is what a connection may be used with, and it is given back when it is dropped, also by a
//! caller whose future was dropped at any moment.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenantry_domain::id::TenantId;
use tenantry_pg::Target;
use tokio::sync::oneshot;

use crate::error::{Error, Overload};
use crate::fair::{Bounds, Cell, Verdict, Wish};

/// A login on a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Login {
    host: String,
    port: u16,
    database: String,
    user: String,
}

impl Login {
    pub(crate) fn of(target: &Target) -> Self {
        let (database, user) = (target.database().to_owned(), target.user().to_owned());
        Self { host: target.host(), port: target.port(), database, user }
    }

    /// The login without its password, which is enough to find what is open.
    pub(crate) fn target(&self, bare: &Target) -> Target {
        let place = bare.clone().with_host(&self.host, self.port).with_database(&self.database);
        place.with_user(&self.user, &secrecy::SecretString::from(String::new()))
    }
}

/// Closes the unused connections of a login.
type Close = Box<dyn Fn(&Login) + Send + Sync>;

pub(crate) struct Admission {
    bounds: Bounds,
    wait: Duration,
    close: Close,
    number: AtomicU64,
    hall: Mutex<Hall>,
}

#[derive(Default)]
struct Hall {
    cells: HashMap<String, Cell<Login>>,
    waiters: HashMap<u64, Waiter>,
}

struct Waiter {
    call: oneshot::Sender<Place>,
    tenant: TenantId,
    login: Login,
}

/// The right to use one connection.
pub(crate) struct Place {
    admission: Arc<Admission>,
    cell: String,
    tenant: TenantId,
    login: Login,
}

/// A caller in the queue.
struct Queued<'a> {
    admission: &'a Arc<Admission>,
    cell: &'a str,
    tenant: TenantId,
    number: u64,
}

impl Admission {
    pub(crate) fn new(bounds: Bounds, wait: Duration, close: Close) -> Arc<Self> {
        Arc::new(Self { bounds, wait, close, number: AtomicU64::new(0), hall: Mutex::default() })
    }

    /// Waits for a turn.
    pub(crate) async fn place(self: &Arc<Self>, cell: &str, wish: Wish<Login>) -> Result<Place, Error> {
        let (call, called) = oneshot::channel();
        let (tenant, login) = (wish.tenant, wish.login.clone());
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        {
            let mut guard = self.lock();
            let hall = &mut *guard;
            let known = hall.cells.entry(cell.to_owned()).or_insert_with(|| Cell::new(self.bounds));
            match known.ask(number, wish) {
                Verdict::Admitted => {
                    self.empty(known);
                    return Ok(self.admitted(cell, tenant, login));
                }
                Verdict::Refused => return Err(Error::TenantBusy(Overload::Queue(self.bounds.waiting))),
                Verdict::Waits => {
                    for displaced in known.take_displaced() {
                        hall.waiters.remove(&displaced);
                    }
                    hall.waiters.insert(number, Waiter { call, tenant, login });
                }
            }
        }
        let queued = Queued { admission: self, cell, tenant, number };
        let place = tokio::time::timeout(self.wait, called).await;
        drop(queued);
        match place {
            Ok(Ok(place)) => Ok(place),
            // Made room for a caller of another tenant.
            Ok(Err(_)) => Err(Error::TenantBusy(Overload::Queue(self.bounds.waiting))),
            Err(_) => Err(Error::TenantBusy(Overload::Deadline(self.wait))),
        }
    }

    /// Connections in use and callers that wait, of all cells.
    pub(crate) fn load(&self) -> (usize, usize) {
        let hall = self.lock();
        hall.cells.values().map(Cell::load).fold((0, 0), |sum, load| (sum.0 + load.0, sum.1 + load.1))
    }

    fn admitted(self: &Arc<Self>, cell: &str, tenant: TenantId, login: Login) -> Place {
        Place { admission: Arc::clone(self), cell: cell.to_owned(), tenant, login }
    }

    /// Closing goes on under the lock: nobody who was admitted since may lose a connection to it.
    fn empty(&self, cell: &mut Cell<Login>) {
        for login in cell.take_emptied() {
            (self.close)(&login);
        }
    }

    /// Changes a cell, and calls those whose turn it is.
    fn change(self: &Arc<Self>, name: &str, change: impl FnOnce(&mut Cell<Login>)) {
        let mut called = Vec::new();
        {
            let mut guard = self.lock();
            let hall = &mut *guard;
            let Some(cell) = hall.cells.get_mut(name) else { return };
            change(cell);
            while let Some(number) = cell.next() {
                if let Some(waiter) = hall.waiters.remove(&number) {
                    called.push((waiter.call, self.admitted(name, waiter.tenant, waiter.login)));
                }
            }
            self.empty(cell);
        }
        // Outside of the lock: the place of a caller who is gone comes back here by its drop.
        for (call, place) in called {
            drop(call.send(place));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Hall> {
        self.hall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let admission = Arc::clone(&self.admission);
        admission.change(&self.cell, |cell| cell.leave(self.tenant, &self.login));
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let waits = self.admission.lock().waiters.remove(&self.number).is_some();
        if waits {
            self.admission.change(self.cell, |cell| cell.cancel(self.number, self.tenant));
        }
    }
}
