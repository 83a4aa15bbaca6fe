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
use crate::server::{ConnectError, Key};

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
    cancelling: Cell<Cancelling>,
    is_unsure: Cell<bool>,
}

/// Whether a cancel request is under way. There is one at a time, whoever asks for however many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cancelling {
    /// None.
    Not,
    /// One.
    Once,
    /// One, and another one was asked for meanwhile, perhaps for a later statement.
    Again,
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
            cancelling: Cell::new(Cancelling::Not),
            is_unsure: Cell::new(false),
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

    /// Begins to cancel: the server session to ask, which is not given back until [`Self::cancelled`] says that it is over.
    /// Absent if nothing runs, or if a request is under way, after which it is asked once more.
    #[must_use]
    pub fn cancel(&self) -> Option<(Arc<Target>, Key)> {
        let server = self.running.borrow().clone()?;
        let before = self.cancelling.get();
        self.cancelling.set(if before == Cancelling::Not { Cancelling::Once } else { Cancelling::Again });
        (before == Cancelling::Not).then_some(server)
    }

    /// A cancel request has reached the server, or it is not known whether it did: the server session to ask again, if
    /// that was wanted meanwhile and it still runs something.
    #[must_use]
    pub fn cancelled(&self, outcome: &Result<(), ConnectError>) -> Option<(Arc<Target>, Key)> {
        if outcome.is_err() {
            self.is_unsure.set(true);
        }
        let again = self.running.borrow().clone().filter(|_| self.cancelling.get() == Cancelling::Again);
        self.cancelling.set(if again.is_some() { Cancelling::Once } else { Cancelling::Not });
        self.wake();
        again
    }

    /// Whether a cancel request is under way: it must not reach whoever has the server session next.
    #[must_use]
    pub fn is_cancelling(&self) -> bool {
        self.cancelling.get() != Cancelling::Not
    }

    /// Whether a cancel request may still reach the server session that served it until now; asked once.
    #[must_use]
    pub fn is_unsure(&self) -> bool {
        self.is_unsure.take()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use bytes::Bytes;

    use super::*;

    #[test]
    fn one_cancel_request_is_under_way_at_a_time() {
        let key = || Key { pid: 1, secret: Bytes::new() };
        let tenant = TenantId::from_uuid(uuid::Uuid::from_u128(1));
        let from = ("127.0.0.1:1".parse().unwrap(), false);
        let login = LoginName::parse("someone").unwrap();
        let shared = Shared::new(1, tenant, login, from, key(), None, Rc::<Tally>::default());
        let server = || (Arc::new(Target::parse(&"postgres://x@127.0.0.1/x".to_owned().into()).unwrap()), key());
        // Nothing runs.
        assert!(shared.cancel().is_none() && !shared.is_cancelling());
        shared.served_by(Some(server()));
        assert!(shared.cancel().is_some());
        // Five hundred are one more, which comes after the first: it may be meant for a later statement.
        assert!((0..500).all(|_| shared.cancel().is_none()));
        assert!(shared.cancelled(&Ok(())).is_some() && shared.is_cancelling());
        assert!(shared.cancelled(&Ok(())).is_none() && !shared.is_cancelling() && !shared.is_unsure());
        // None is sent again for whoever has the session next, and one of which nobody knows is told once.
        assert!(shared.cancel().is_some() && shared.cancel().is_none());
        shared.served_by(None);
        assert!(shared.cancelled(&Err(ConnectError::Slow)).is_none() && !shared.is_cancelling());
        assert!(shared.is_unsure() && !shared.is_unsure());
    }
}
