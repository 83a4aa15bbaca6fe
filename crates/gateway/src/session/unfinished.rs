//! Messages of idle clients of which not everything has come: all that a client can make the gateway keep without a transaction.
//!
//! INVARIANT: those of one worker take at most [`MOST`] bytes together. When there would be more, the
//! client that has waited longest is ended; and whoever takes longer than a message may take ends by itself.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::shared::{Kick, Shared};

/// Bytes of all unfinished messages of a worker together.
const MOST: usize = 64 * 1024 * 1024;
/// How many times as long as a login a message may take.
const LOGINS: u32 = 3;

/// The unfinished messages of one worker. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct AllUnfinished(Rc<RefCell<All>>);

/// The oldest first.
#[derive(Debug, Default)]
struct All {
    bytes: usize,
    next: u64,
    by_age: BTreeMap<u64, (usize, Rc<Shared>)>,
}

impl All {
    /// A message has grown. Whoever has to make room for it is told.
    fn grow(&mut self, number: u64, bytes: usize, most: usize) {
        let Some((known, _)) = self.by_age.get_mut(&number) else { return };
        self.bytes = self.bytes - *known + bytes;
        *known = bytes;
        while self.bytes > most
            && let Some((_, (bytes, oldest))) = self.by_age.pop_first()
        {
            self.bytes -= bytes;
            oldest.kick(Kick::Unfinished);
        }
    }

    fn remove(&mut self, number: u64) {
        if let Some((bytes, _)) = self.by_age.remove(&number) {
            self.bytes -= bytes;
        }
    }
}

/// One unfinished message; forgotten when dropped.
#[derive(Debug)]
pub struct Unfinished {
    all: AllUnfinished,
    number: u64,
    /// When the client has to be done with it.
    pub until: Instant,
    bytes: Cell<usize>,
}

impl Unfinished {
    /// One of a worker's that begins now. `login` is how long a login may take.
    #[must_use]
    pub fn new(of: &AllUnfinished, shared: &Rc<Shared>, login: Duration) -> Self {
        let mut all = of.0.borrow_mut();
        all.next += 1;
        let number = all.next;
        all.by_age.insert(number, (0, Rc::clone(shared)));
        drop(all);
        Self { all: of.clone(), number, until: Instant::now() + login * LOGINS, bytes: Cell::new(0) }
    }

    /// So much of it is kept by now.
    pub fn keeps(&self, bytes: usize) {
        if self.bytes.replace(bytes) != bytes {
            self.all.0.borrow_mut().grow(self.number, bytes, MOST);
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.all.0.borrow_mut().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use std::task::{Context, Waker};

    use bytes::Bytes;
    use tenantry_domain::gateway::LoginName;
    use tenantry_domain::id::TenantId;

    use super::*;
    use crate::counts::Tally;
    use crate::server::Key;

    fn shared(number: u64) -> Rc<Shared> {
        let (tenant, login) = (TenantId::from_uuid(uuid::Uuid::from_u128(1)), LoginName::parse("someone").unwrap());
        let key = Key { pid: 1, secret: Bytes::new() };
        let from = ("127.0.0.1:1".parse().unwrap(), false);
        Shared::new(number, tenant, login, from, key, None, Rc::<Tally>::default())
    }

    fn is_kicked(shared: &Shared) -> bool {
        shared.kicked(&mut Context::from_waker(Waker::noop())) == Some(Kick::Unfinished)
    }

    #[test]
    fn the_oldest_makes_room() {
        let (first, second, third) = (shared(1), shared(2), shared(3));
        let (all, login) = (AllUnfinished::default(), Duration::from_secs(10));
        let of = |shared| Unfinished::new(&all, shared, login);
        let (one, two, three) = (of(&first), of(&second), of(&third));
        let grow = |one: &Unfinished, bytes| all.0.borrow_mut().grow(one.number, bytes, 100);
        grow(&two, 40);
        grow(&one, 40);
        grow(&three, 20);
        assert!(!is_kicked(&first) && !is_kicked(&second) && !is_kicked(&third));
        grow(&three, 50);
        assert!(is_kicked(&first) && !is_kicked(&second) && !is_kicked(&third));
        // Whoever is told does not count any more, and leaves nothing behind when it goes.
        grow(&one, 99);
        drop(one);
        assert_eq!(all.0.borrow().bytes, 90);
        drop(two);
        grow(&three, 100);
        assert!(!is_kicked(&third));
        grow(&three, 101);
        assert!(is_kicked(&third));
        drop(three);
        let all = all.0.borrow();
        assert_eq!((all.bytes, all.by_age.len()), (0, 0));
    }
}
