//! What others may see of a session and do to it: the worker's sweep, cancel requests, the admin console.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq as _;
use tenantry_domain::Timestamp;
use tenantry_domain::gateway::LoginName;
use tenantry_domain::id::TenantId;
use tenantry_pg::Target;

use crate::counts::Tally;
use crate::server::Key;

/// Why a session is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kick {
    /// The tenant is not open any more.
    Closed,
    /// The login is gone.
    Login,
    /// The login or its token is no longer valid.
    Expired,
    /// The gateway stops.
    Stopping,
    /// Somebody asked for it.
    Killed,
    /// It was idle inside a transaction for too long.
    IdleInTransaction,
    /// Its statement took too long, and did not end when it was cancelled: the client does not send the rest of it, or
    /// does not read the answer.
    Stuck,
    /// It began a message and did not end it.
    Unfinished,
}

/// What a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Nothing.
    Idle,
    /// It waits for a server session, or for its tenant.
    Waiting,
    /// A statement runs.
    Running,
    /// A transaction is open, and nothing runs.
    InTransaction,
}

/// See the module.
#[derive(Debug)]
pub struct Shared {
    /// Its number on this gateway.
    pub id: u64,
    /// Whose it is.
    pub tenant: TenantId,
    /// By which login.
    pub login: LoginName,
    /// From where.
    pub peer: SocketAddr,
    /// Whether the connection is encrypted.
    pub is_encrypted: bool,
    /// When it began.
    pub since: Instant,
    /// By what the client may cancel.
    pub key: Key,
    /// From when on its token is no longer valid, if it has one.
    pub expires: Option<Timestamp>,
    statement: Cell<Option<Duration>>,
    doing: Cell<(Doing, Instant)>,
    /// Where its tenant's numbers are.
    pub tally: Rc<Tally>,
    transactions: Cell<u64>,
    kick: Cell<Option<Kick>>,
    waker: RefCell<Option<Waker>>,
    running: RefCell<Option<(Arc<Target>, Key)>>,
    cancels: Cell<usize>,
}

impl Shared {
    /// A session that does nothing yet.
    #[must_use]
    pub fn new(
        id: u64,
        tenant: TenantId,
        login: LoginName,
        (peer, is_encrypted): (SocketAddr, bool),
        key: Key,
        expires: Option<Timestamp>,
        tally: Rc<Tally>,
    ) -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            id,
            tenant,
            login,
            peer,
            is_encrypted,
            since: now,
            key,
            expires,
            statement: Cell::new(None),
            doing: Cell::new((Doing::Idle, now)),
            tally,
            transactions: Cell::new(0),
            kick: Cell::new(None),
            waker: RefCell::new(None),
            running: RefCell::new(None),
            cancels: Cell::new(0),
        })
    }

    /// Asks it to end. It does so as soon as it is polled.
    pub fn kick(&self, why: Kick) {
        self.kick.set(Some(why));
        self.wake();
    }

    /// Takes the wish for its end; otherwise it is heard when there is one.
    pub fn kicked(&self, cx: &mut Context<'_>) -> Option<Kick> {
        let kick = self.kick.take();
        if kick.is_none() {
            self.listen(cx);
        }
        kick
    }

    /// Has the task woken when anything is new, and takes nothing.
    pub fn listen(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// What it does, and since when.
    #[must_use]
    pub fn doing(&self) -> (Doing, Instant) {
        self.doing.get()
    }

    /// Notes what it does from now on.
    pub fn does(&self, doing: Doing, now: Instant) {
        self.doing.set((doing, now));
    }

    /// How long its tenant's statements may run, if its plan says so.
    #[must_use]
    pub fn statement(&self) -> Option<Duration> {
        self.statement.get()
    }

    /// Notes how long its tenant's statements may run.
    pub fn bound_statement(&self, most: Option<Duration>) {
        self.statement.set(most);
    }

    /// Transactions so far.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.transactions.get()
    }

    /// One more.
    pub fn count(&self) {
        self.transactions.set(self.transactions.get() + 1);
        self.tally.add(|counts| counts.transactions += 1);
    }

    /// Notes which server session serves it; a cancel request goes there.
    pub fn served_by(&self, server: Option<(Arc<Target>, Key)>) {
        *self.running.borrow_mut() = server;
    }

    /// Whether a secret is the one that was given to the client.
    #[must_use]
    pub fn is_key(&self, secret: &[u8]) -> bool {
        self.key.secret.ct_eq(secret).into()
    }

    /// Begins to cancel: the server session to ask, which is not given back until [`Self::cancelled`].
    #[must_use]
    pub fn cancel(&self) -> Option<(Arc<Target>, Key)> {
        let server = self.running.borrow().clone()?;
        self.cancels.set(self.cancels.get() + 1);
        Some(server)
    }

    /// A cancel request has reached the server, or failed to.
    pub fn cancelled(&self) {
        self.cancels.set(self.cancels.get().saturating_sub(1));
        self.wake();
    }

    /// Whether a cancel request is under way: it must not reach whoever has the server session next.
    #[must_use]
    pub fn is_cancelling(&self) -> bool {
        self.cancels.get() > 0
    }
}
