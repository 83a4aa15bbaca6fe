//! A client's right to a server session.
//!
//! INVARIANT: a session goes back to its pool only by [`Lease::release`], which is called between transactions with nothing
//! unanswered. A lease that is dropped, because its client is gone or its future was cancelled, closes the session.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tenantry_dataplane::Door;
use tenantry_dataplane::router::SETTINGS;
use tenantry_domain::id::TenantId;
use tokio::time::{sleep, timeout};

use super::turns::Ticket;
use super::{Limits, Pool};
use crate::profile::Profile;
use crate::server::{Backend, ConnectError, ReadyError, cancel, open};

/// Why a client got no session. Nothing of it was run.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    /// None became free in time.
    #[error("all connections of the tenant are in use")]
    Busy,
    /// So many clients of the tenant wait already that this one was not let into the line.
    #[error("too many clients of the tenant wait for a connection")]
    Crowded,
    /// All sessions that the server has for us are in use, and none became free in time.
    #[error("all connections of the tenant's server are in use")]
    Full,
    /// The server does not answer, or refuses.
    #[error(transparent)]
    Server(#[from] ConnectError),
    /// The client's own settings are refused, with code and message.
    #[error("a setting is refused ({code}): {message}")]
    Settings {
        /// SQLSTATE.
        code: String,
        /// The server's words.
        message: String,
    },
}

/// How long a statement whose client is gone is given before it is cancelled again; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A place in a pool, and the session in it.
#[derive(Debug)]
pub struct Lease {
    pool: Rc<RefCell<Pool>>,
    tenant: TenantId,
    backend: Option<Box<Backend>>,
    /// Whether a session of the pool is in our hands, or on its way to them.
    is_counted: bool,
    /// Whether the tenant's place is ours.
    has_place: bool,
}

impl Lease {
    /// Waits for a session that is ready for the client.
    ///
    /// # Errors
    /// See [`AcquireError`].
    pub async fn acquire(
        pool: &Rc<RefCell<Pool>>,
        door: &Door,
        profile: &Rc<Profile>,
        client: u64,
        limits: &Limits,
    ) -> Result<Self, AcquireError> {
        if let Some(lease) = Self::at_once(pool, door, profile, client) {
            return Ok(lease);
        }
        let mut lease = Self::place(pool, door, limits).await?;
        // Ones that died while they were unused show that only now. Nothing of the client's was run.
        while lease.take() {
            match lease.ready(door, profile, client, limits).await {
                Ok(()) => return Ok(lease),
                Err(AcquireError::Server(_)) => lease.discard(),
                Err(error) => return Err(error),
            }
        }
        let budget = Rc::clone(&pool.borrow().budget);
        timeout(limits.wait, budget.take()).await.map_err(|_| AcquireError::Full)?;
        // From here on the place is the lease's, and given back with it.
        pool.borrow_mut().open += 1;
        lease.is_counted = true;
        let backend = open(&door.target, SETTINGS, limits.connect).await?;
        pool.borrow_mut().params.clone_from(&backend.params);
        lease.backend = Some(Box::new(backend));
        lease.ready(door, profile, client, limits).await?;
        Ok(lease)
    }

    /// A session that has served this tenant and is as the client needs it, if there is one and nobody waits.
    #[must_use]
    pub fn at_once(pool: &Rc<RefCell<Pool>>, door: &Door, profile: &Rc<Profile>, client: u64) -> Option<Self> {
        let mut inner = pool.borrow_mut();
        let place = inner.idle.iter().rposition(|backend| backend.is_ready(door, profile, client))?;
        if !inner.turns.pass(door.tenant, asked(door)) {
            return None;
        }
        let backend = inner.idle.remove(place);
        drop(inner);
        let mut lease = Self {
            pool: Rc::clone(pool),
            tenant: door.tenant,
            backend: Some(backend),
            is_counted: true,
            has_place: true,
        };
        if lease.is_alive() {
            return Some(lease);
        }
        lease.discard();
        None
    }

    async fn place(pool: &Rc<RefCell<Pool>>, door: &Door, limits: &Limits) -> Result<Self, AcquireError> {
        let tenant = door.tenant;
        let asked = asked(door);
        if !pool.borrow_mut().turns.pass(tenant, asked) {
            let waiter = pool.borrow_mut().turns.queue(tenant, asked, limits.waiting).ok_or(AcquireError::Crowded)?;
            let ticket = Ticket::new(waiter, |waiter| pool.borrow_mut().turns.leave(tenant, waiter));
            timeout(limits.wait, ticket.served()).await.map_err(|_| AcquireError::Busy)?;
        }
        Ok(Self { pool: Rc::clone(pool), tenant, backend: None, is_counted: false, has_place: true })
    }

    /// Takes an unused session that is alive.
    fn take(&mut self) -> bool {
        loop {
            let Some(backend) = self.pool.borrow_mut().take(self.tenant) else { return false };
            self.backend = Some(backend);
            self.is_counted = true;
            if self.is_alive() {
                return true;
            }
            self.discard();
        }
    }

    fn is_alive(&mut self) -> bool {
        self.backend.as_mut().is_some_and(|backend| backend.is_alive())
    }

    async fn ready(
        &mut self,
        door: &Door,
        profile: &Rc<Profile>,
        client: u64,
        limits: &Limits,
    ) -> Result<(), AcquireError> {
        let Some(backend) = &mut self.backend else { return Ok(()) };
        let outcome = match backend.is_ready(door, profile, client) {
            true => Ok(Ok(())),
            false => timeout(limits.connect, backend.ready(door, profile, client)).await,
        };
        match outcome {
            Ok(Ok(())) => {
                backend.served = Some(client);
                Ok(())
            }
            Ok(Err(ReadyError::Settings { code, message })) => {
                self.release();
                Err(AcquireError::Settings { code, message })
            }
            Ok(Err(ReadyError::Session(error))) => Err(error.into()),
            Err(_) => Err(ConnectError::Slow.into()),
        }
    }

    /// The session.
    #[must_use]
    pub fn backend(&mut self) -> Option<&mut Backend> {
        self.backend.as_deref_mut()
    }

    /// Gives the session back, clean or marked as tainted.
    pub fn release(&mut self) {
        let is_over = {
            let pool = self.pool.borrow();
            pool.budget.is_short() || pool.is_over()
        };
        if is_over {
            // Another pool of the server has clients and no session, or there are too many.
            return self.discard();
        }
        if let Some(mut backend) = self.backend.take() {
            self.is_counted = false;
            let now = Instant::now();
            backend.idle_since = now;
            let mut pool = self.pool.borrow_mut();
            pool.used = now;
            pool.idle.push(backend);
        }
    }

    /// Gives session and place back: for whoever needs another one before this value goes.
    pub fn leave(&mut self) {
        self.release();
        self.give_back();
    }

    /// Binds the session once more, which lost its binding and nothing else. One with which that fails is closed.
    ///
    /// # Errors
    /// See [`AcquireError`].
    pub async fn rebind(
        &mut self,
        door: &Door,
        profile: &Rc<Profile>,
        client: u64,
        limits: &Limits,
    ) -> Result<(), AcquireError> {
        let bound = self.ready(door, profile, client, limits).await;
        if matches!(bound, Err(AcquireError::Server(_))) {
            self.discard();
        }
        bound
    }

    /// The same session and place; nothing is left behind.
    #[must_use]
    pub fn hand_over(&mut self) -> Self {
        Self {
            pool: Rc::clone(&self.pool),
            tenant: self.tenant,
            backend: self.backend.take(),
            is_counted: std::mem::take(&mut self.is_counted),
            has_place: std::mem::take(&mut self.has_place),
        }
    }

    /// Waits until the server is done with the session, and gives session and place back then. What runs in it is cancelled
    /// again and again, each time for at most `limit`: a statement may be slow to notice, or catch it.
    pub async fn see_off(mut self, limit: Duration) {
        let Some(backend) = self.backend.as_mut() else { return };
        let (target, key) = (Arc::clone(&backend.target), backend.key.clone());
        let cancelling = async {
            let mut pause = FIRST_PAUSE;
            loop {
                let _ = cancel(&target, &key, limit).await;
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        tokio::select! {
            () = backend.hear_out() => {}
            () = cancelling => {}
        }
    }

    /// Closes the session and gives the place back.
    pub fn close(&mut self) {
        self.discard();
        self.give_back();
    }

    fn give_back(&mut self) {
        if std::mem::take(&mut self.has_place) {
            self.pool.borrow_mut().turns.give_back(self.tenant);
        }
    }

    /// Closes the session and keeps the place.
    fn discard(&mut self) {
        self.backend = None;
        if std::mem::take(&mut self.is_counted) {
            self.pool.borrow_mut().closed(1);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.close();
    }
}

/// How many sessions of a pool a tenant may use at a time by its plan; the pool's bound holds besides.
fn asked(door: &Door) -> usize {
    door.connections.map_or(usize::MAX, |count| count as usize).max(1)
}
