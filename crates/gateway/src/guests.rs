//! The sessions of a worker by their login, and what news of the registry mean for them.
//!
//! INVARIANT: a change of a login costs a look at the sessions of this login, however many others there are; and a session
//! goes on under a login only while that is the one that it was let in by ([`Login::is_still`]).

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use tenantry_domain::Timestamp;
use tenantry_domain::gateway::LoginName;
use tenantry_domain::id::TenantId;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::session::{Kick, Shared};
use crate::table::{Login, News, Table};

/// See the module.
#[derive(Debug, Default)]
pub struct Guests {
    by_login: RefCell<HashMap<LoginName, HashMap<u64, Guest>>>,
}

/// One session.
#[derive(Debug)]
struct Guest {
    shared: Rc<Shared>,
    /// Its login as it was known last.
    login: Arc<Login>,
}

impl Guests {
    /// A session has begun under a login.
    pub fn enter(&self, shared: &Rc<Shared>, login: &Arc<Login>) {
        let guest = Guest { shared: Rc::clone(shared), login: Arc::clone(login) };
        self.by_login.borrow_mut().entry(shared.login.clone()).or_default().insert(shared.id, guest);
    }

    /// A session is over.
    pub fn leave(&self, shared: &Shared) {
        let mut by_login = self.by_login.borrow_mut();
        if let Some(guests) = by_login.get_mut(&shared.login) {
            guests.remove(&shared.id);
            if guests.is_empty() {
                by_login.remove(&shared.login);
            }
        }
    }

    /// Ends the sessions of a name whose login is not the one any more that let them in. How many sessions were looked at.
    pub fn look_at(&self, name: &LoginName, table: &Table) -> usize {
        let mut by_login = self.by_login.borrow_mut();
        let Some(guests) = by_login.get_mut(name) else { return 0 };
        let known = table.login(name.as_str());
        for guest in guests.values_mut() {
            match &known {
                Some(known) if guest.login.is_still(known) => guest.login = Arc::clone(known),
                _ => guest.shared.kick(Kick::Login),
            }
        }
        guests.len()
    }

    /// The same for all names.
    pub fn look_at_all(&self, table: &Table) {
        let names: Vec<LoginName> = self.by_login.borrow().keys().cloned().collect();
        for name in names {
            self.look_at(&name, table);
        }
    }

    /// Ends sessions whose login has reached its end, as that is known now.
    pub fn sweep(&self, now: Timestamp) {
        for guest in self.by_login.borrow().values().flat_map(HashMap::values) {
            if guest.login.expires.is_some_and(|expires| expires <= now) {
                guest.shared.kick(Kick::Expired);
            }
        }
    }
}

/// What has changed, each thing once however often it was told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// Everything may have.
    pub is_everything: bool,
    /// Tenants whose route is another one.
    pub tenants: HashSet<TenantId>,
    /// Logins that are others.
    pub logins: HashSet<LoginName>,
}

impl Digest {
    /// The news that came first, with all that wait behind it. `None` once there are no more.
    pub fn of(first: Result<News, RecvError>, more: &mut Receiver<News>) -> Option<Self> {
        let mut digest = Self::default();
        match first {
            Ok(news) => digest.add(news),
            Err(RecvError::Lagged(_)) => digest.is_everything = true,
            Err(RecvError::Closed) => return None,
        }
        // Those that come meanwhile are for the next time.
        for _ in 0..more.len() {
            match more.try_recv() {
                Ok(news) => digest.add(news),
                Err(TryRecvError::Lagged(_)) => digest.is_everything = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        Some(digest)
    }

    fn add(&mut self, news: News) {
        match news {
            News::Tenant(tenant) => {
                self.tenants.insert(tenant);
            }
            News::Login(name) => {
                self.logins.insert(name);
            }
            News::All => self.is_everything = true,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use std::task::{Context, Waker};
    use std::time::Instant;

    use tenantry_domain::gateway::{Access, Mode, Proof, Server, Whose};
    use tenantry_domain::name::EnvironmentName;
    use uuid::Uuid;

    use super::*;
    use crate::counts::Counters;
    use crate::server::Key;
    use crate::table::{Change, Verifier};

    fn tenant(number: u128) -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(number))
    }

    fn login(name: &str, version: i64, verifiers: &[&str]) -> Login {
        Login {
            name: LoginName::parse(name).unwrap(),
            environment: EnvironmentName::parse("prod").unwrap(),
            whose: Whose::Tenant(tenant(1)),
            mode: Mode::Transaction,
            access: Access::ReadWrite,
            server: Server::Primary,
            proof: Proof::Password,
            verifiers: verifiers.iter().map(|text| Verifier { text: (*text).into(), until: None }).collect(),
            connections: None,
            expires: None,
            version: Some(version),
        }
    }

    fn put(table: &Table, login: Login) {
        table.apply(vec![Change::Login(login.name.clone(), Some(login))]);
    }

    /// A session under the login that a table has.
    fn arrive(guests: &Guests, table: &Table, id: u64, name: &str) -> Rc<Shared> {
        let login = table.login(name).unwrap();
        let key = Key { pid: i32::try_from(id).unwrap(), secret: bytes::Bytes::new() };
        let from = ("192.0.2.1:5".parse().unwrap(), true);
        let tally = Counters::new(1).tally(tenant(1), Instant::now());
        let shared = Shared::new(id, tenant(1), login.name.clone(), from, key, None, tally);
        guests.enter(&shared, &login);
        shared
    }

    fn kicked(shared: &Shared) -> Option<Kick> {
        shared.kicked(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_change_of_a_login_is_looked_at_for_its_own_sessions() {
        let (guests, table) = (Guests::default(), Table::default());
        for name in ["one-app", "two-app"] {
            put(&table, login(name, 1, &["a"]));
        }
        let one: Vec<_> = (0..3).map(|id| arrive(&guests, &table, id, "one-app")).collect();
        let two: Vec<_> = (3..1_000).map(|id| arrive(&guests, &table, id, "two-app")).collect();
        let name = LoginName::parse("one-app").unwrap();
        table.apply(vec![Change::Login(name.clone(), None)]);
        assert_eq!(guests.look_at(&name, &table), 3);
        assert!(one.iter().all(|shared| kicked(shared) == Some(Kick::Login)));
        assert!(two.iter().all(|shared| kicked(shared).is_none()));
        for shared in one.iter().chain(&two) {
            guests.leave(shared);
        }
        assert!(guests.by_login.borrow().is_empty());
    }

    /// Revoked and made again between two looks: the name is there, the login is another one.
    #[test]
    fn a_login_that_was_made_again_ends_the_sessions_of_the_one_before() {
        let (guests, table) = (Guests::default(), Table::default());
        put(&table, login("one-app", 1, &["a"]));
        let old = arrive(&guests, &table, 1, "one-app");
        // Its password is replaced, with and without a time in which the old one is good: it is the same login.
        for (version, verifiers) in [(2, &["b", "a"][..]), (3, &["c"])] {
            put(&table, login("one-app", version, verifiers));
            guests.look_at_all(&table);
            assert_eq!(kicked(&old), None, "version {version}");
        }
        put(&table, login("one-app", 5, &["x"]));
        let new = arrive(&guests, &table, 2, "one-app");
        guests.look_at_all(&table);
        assert_eq!((kicked(&old), kicked(&new)), (Some(Kick::Login), None));
        // One change, and less than before: no rotation does that.
        put(&table, Login { access: Access::ReadOnly, ..login("one-app", 6, &["y", "x"]) });
        guests.look_at_all(&table);
        assert_eq!(kicked(&new), Some(Kick::Login));
    }

    #[test]
    fn the_end_of_a_login_is_the_one_that_it_has_now() {
        let (guests, table) = (Guests::default(), Table::default());
        let at = |second: i64| Timestamp::from_second(1_790_000_000 + second).unwrap();
        put(&table, Login { expires: Some(at(100)), ..login("one-app", 1, &["a"]) });
        let shared = arrive(&guests, &table, 1, "one-app");
        for (version, expires, is_ended) in [(2, 50, true), (3, 200, false)] {
            put(&table, Login { expires: Some(at(expires)), ..login("one-app", version, &["a"]) });
            guests.look_at_all(&table);
            guests.sweep(at(150));
            assert_eq!(kicked(&shared), is_ended.then_some(Kick::Expired), "{expires}");
        }
    }

    #[test]
    fn news_are_told_once_however_often_they_came() {
        let table = Table::default();
        let mut news = table.news();
        for version in 1..=500 {
            put(&table, login("one-app", version, &["a"]));
        }
        table.apply(vec![Change::Tenant(tenant(1), None), Change::Tenant(tenant(1), None)]);
        let first = news.try_recv().map_err(|_| RecvError::Closed);
        let digest = Digest::of(first, &mut news).unwrap();
        assert_eq!((digest.is_everything, digest.logins.len(), digest.tenants.len()), (false, 1, 1));
        assert!(news.is_empty());
        table.replace(crate::table::Full::default());
        let first = news.try_recv().map_err(|_| RecvError::Closed);
        assert!(Digest::of(first, &mut news).unwrap().is_everything);
        assert_eq!(Digest::of(Err(RecvError::Closed), &mut news), None);
    }
}
