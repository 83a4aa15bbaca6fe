//! Who gets the next connection to a cell. Pure: names and counts in, decisions out.
//!
//! Three bounds hold at once: connections of the cell, of a login, of a tenant. Who waits is served in the order of
//! coming within a tenant, and by turns among tenants, so that one with a thousand callers delays another's first
//! caller by one turn. A tenant whose own bound is reached loses no turn to others and takes none from them.
//!
//! Connections that are open and unused count too. A login has at most as many as were in use at one time since it was
//! last emptied, so the sum of these peaks bounds what is open, and a login makes room before another one's grows.
//!
//! INVARIANT: nobody who waits could be admitted; every change that makes room is followed by [`Cell::next`].

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use tenantry_domain::id::TenantId;

/// Bounds of one cell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Connections, used or not.
    pub connections: usize,
    /// Callers that wait.
    pub waiting: usize,
}

/// One caller's wish.
#[derive(Debug, Clone)]
pub(crate) struct Wish<L> {
    pub tenant: TenantId,
    pub login: L,
    /// The most connections of this login.
    pub login_most: usize,
    /// The most that this tenant uses at a time.
    pub tenant_most: usize,
}

/// What becomes of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Admitted,
    Waits,
    Refused,
}

/// The turns at one cell. `L` names a login.
pub(crate) struct Cell<L> {
    bounds: Bounds,
    in_use: usize,
    peaks: usize,
    waiting: usize,
    clock: u64,
    logins: HashMap<L, Login>,
    tenants: HashMap<TenantId, Turns<L>>,
    /// Tenants of which somebody waits, the next one first.
    ring: VecDeque<TenantId>,
    /// Logins whose unused connections must be closed.
    emptied: Vec<L>,
    /// Who waited and made room for somebody else's caller.
    displaced: Vec<u64>,
}

#[derive(Default)]
struct Login {
    in_use: usize,
    /// The most that were in use at a time since it was emptied.
    peak: usize,
    used: u64,
}

struct Turns<L> {
    in_use: usize,
    waiters: VecDeque<(u64, Wish<L>)>,
}

impl<L: Clone + Eq + Hash> Cell<L> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let (logins, tenants) = (HashMap::new(), HashMap::new());
        let (ring, emptied, displaced) = (VecDeque::new(), Vec::new(), Vec::new());
        Self { bounds, in_use: 0, peaks: 0, waiting: 0, clock: 0, logins, tenants, ring, emptied, displaced }
    }

    /// Takes a wish under a number of its own.
    pub(crate) fn ask(&mut self, number: u64, wish: Wish<L>) -> Verdict {
        let queues = self.tenants.get(&wish.tenant).is_some_and(|turns| !turns.waiters.is_empty());
        if !queues && self.fits(&wish) {
            self.admit(&wish);
            return Verdict::Admitted;
        }
        if self.waiting >= self.bounds.waiting && !self.displace(wish.tenant) {
            return Verdict::Refused;
        }
        self.waiting += 1;
        if !queues {
            self.ring.push_back(wish.tenant);
        }
        self.turns(wish.tenant).waiters.push_back((number, wish));
        Verdict::Waits
    }

    /// Who may go now, if anybody.
    pub(crate) fn next(&mut self) -> Option<u64> {
        let place = self.ring.iter().position(|tenant| {
            let head = self.tenants.get(tenant).and_then(|turns| turns.waiters.front());
            head.is_some_and(|(_, wish)| self.fits(wish))
        })?;
        let tenant = self.ring.remove(place)?;
        let turns = self.tenants.get_mut(&tenant)?;
        let (number, wish) = turns.waiters.pop_front()?;
        if !turns.waiters.is_empty() {
            self.ring.push_back(tenant);
        }
        self.waiting -= 1;
        self.admit(&wish);
        Some(number)
    }

    /// Takes a connection back.
    pub(crate) fn leave(&mut self, tenant: TenantId, login: &L) {
        self.in_use -= 1;
        self.clock += 1;
        if let Some(known) = self.logins.get_mut(login) {
            known.in_use -= 1;
            known.used = self.clock;
        }
        if let Some(turns) = self.tenants.get_mut(&tenant) {
            turns.in_use -= 1;
        }
        self.tidy(tenant);
    }

    /// Somebody waits no longer.
    pub(crate) fn cancel(&mut self, number: u64, tenant: TenantId) {
        let Some(turns) = self.tenants.get_mut(&tenant) else { return };
        let before = turns.waiters.len();
        turns.waiters.retain(|(known, _)| *known != number);
        self.waiting -= before - turns.waiters.len();
        if turns.waiters.is_empty() {
            self.ring.retain(|known| *known != tenant);
        }
        self.tidy(tenant);
    }

    /// Logins whose unused connections must be closed before anybody who was admitted goes on.
    pub(crate) fn take_emptied(&mut self) -> Vec<L> {
        std::mem::take(&mut self.emptied)
    }

    /// Those who waited and wait no longer, because as many wait as may and another tenant's callers are fewer.
    pub(crate) fn take_displaced(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.displaced)
    }

    /// Connections in use, and callers that wait.
    pub(crate) const fn load(&self) -> (usize, usize) {
        (self.in_use, self.waiting)
    }

    /// Takes the place of the newest caller of whoever waits most, if that leaves it no fewer than the newcomer's tenant
    /// has then.
    fn displace(&mut self, newcomer: TenantId) -> bool {
        let waits = |tenant: &TenantId| self.tenants.get(tenant).map_or(0, |turns| turns.waiters.len());
        let Some(most) = self.ring.iter().copied().max_by_key(waits) else { return false };
        if waits(&most) <= waits(&newcomer) + 1 {
            return false;
        }
        let Some((number, _)) = self.tenants.get_mut(&most).and_then(|turns| turns.waiters.pop_back()) else {
            return false;
        };
        self.waiting -= 1;
        self.displaced.push(number);
        true
    }

    fn turns(&mut self, tenant: TenantId) -> &mut Turns<L> {
        self.tenants.entry(tenant).or_insert_with(|| Turns { in_use: 0, waiters: VecDeque::new() })
    }

    fn fits(&self, wish: &Wish<L>) -> bool {
        let login = self.logins.get(&wish.login).map_or(0, |login| login.in_use);
        let tenant = self.tenants.get(&wish.tenant).map_or(0, |turns| turns.in_use);
        self.in_use < self.bounds.connections && login < wish.login_most && tenant < wish.tenant_most
    }

    fn admit(&mut self, wish: &Wish<L>) {
        self.in_use += 1;
        self.turns(wish.tenant).in_use += 1;
        let login = self.logins.entry(wish.login.clone()).or_default();
        login.in_use += 1;
        if login.in_use <= login.peak {
            return;
        }
        login.peak = login.in_use;
        self.peaks += 1;
        if self.peaks > self.bounds.connections {
            self.make_room(&wish.login);
        }
    }

    /// Empties the longest unused login; one in use only if there is no other.
    fn make_room(&mut self, asking: &L) {
        let slack = self.logins.iter().filter(|(login, known)| *login != asking && known.peak > known.in_use);
        let Some(login) = slack.min_by_key(|(_, known)| (known.in_use > 0, known.used)).map(|(login, _)| login.clone())
        else {
            return;
        };
        if let Some(known) = self.logins.get_mut(&login) {
            self.peaks -= known.peak - known.in_use;
            known.peak = known.in_use;
            if known.peak == 0 {
                self.logins.remove(&login);
            }
        }
        self.emptied.push(login);
    }

    fn tidy(&mut self, tenant: TenantId) {
        if self.tenants.get(&tenant).is_some_and(|turns| turns.in_use == 0 && turns.waiters.is_empty()) {
            self.tenants.remove(&tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn tenant(number: u8) -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(u128::from(number)))
    }

    fn wish(number: u8, login: u8) -> Wish<u8> {
        Wish { tenant: tenant(number), login, login_most: 4, tenant_most: 3 }
    }

    fn cell(connections: usize, waiting: usize) -> Cell<u8> {
        Cell::new(Bounds { connections, waiting })
    }

    #[test]
    fn tenants_take_turns() {
        let mut cell = cell(1, 100);
        assert_eq!(cell.ask(0, wish(1, 0)), Verdict::Admitted);
        for number in 1..50 {
            assert_eq!(cell.ask(number, wish(1, 0)), Verdict::Waits);
        }
        assert_eq!(cell.ask(50, wish(2, 0)), Verdict::Waits);
        assert_eq!(cell.ask(51, wish(3, 0)), Verdict::Waits);
        let mut order = Vec::new();
        for last in [1, 1, 2, 3] {
            cell.leave(tenant(last), &0);
            order.push(cell.next().unwrap());
        }
        // The flood's next caller was first in the ring; then everybody else had a turn before the flood's second.
        assert_eq!(order, [1, 50, 51, 2]);
    }

    #[test]
    fn a_full_tenant_stands_in_nobodys_way() {
        let mut cell = cell(10, 100);
        for number in 0..3 {
            assert_eq!(cell.ask(number, wish(1, 0)), Verdict::Admitted);
        }
        assert_eq!(cell.ask(3, wish(1, 0)), Verdict::Waits, "its own bound");
        assert_eq!(cell.ask(4, wish(2, 0)), Verdict::Admitted);
        assert_eq!(cell.ask(5, wish(2, 0)), Verdict::Waits, "the login's bound");
        assert_eq!(cell.ask(6, wish(2, 1)), Verdict::Waits, "in the order of coming");
        assert_eq!(cell.ask(7, wish(3, 1)), Verdict::Admitted);
        assert_eq!(cell.next(), None);
    }

    #[test]
    fn one_too_many_is_refused_and_one_who_goes_makes_room() {
        let mut cell = cell(1, 2);
        let verdicts: Vec<_> = (0..4).map(|number| cell.ask(number, wish(1, 0))).collect();
        assert_eq!(verdicts, [Verdict::Admitted, Verdict::Waits, Verdict::Waits, Verdict::Refused]);
        cell.cancel(1, tenant(1));
        assert_eq!(cell.ask(4, wish(2, 0)), Verdict::Waits);
        cell.leave(tenant(1), &0);
        assert_eq!(cell.next(), Some(2));
        cell.leave(tenant(1), &0);
        assert_eq!((cell.next(), cell.next()), (Some(4), None));
        cell.leave(tenant(2), &0);
        assert_eq!((cell.load(), cell.tenants.len(), cell.ring.len()), ((0, 0), 0, 0), "nothing is kept");
    }

    #[test]
    fn a_flood_that_waits_leaves_room_for_others_who_wait() {
        let mut cell = cell(4, 4);
        let verdicts: Vec<_> = (0..9).map(|number| cell.ask(number, wish(1, 0))).collect();
        assert_eq!(verdicts[3..], [[Verdict::Waits; 4].as_slice(), &[Verdict::Refused; 2]].concat());
        assert_eq!(cell.ask(10, wish(2, 0)), Verdict::Admitted);
        // The login is full now.
        assert_eq!(cell.ask(11, wish(2, 0)), Verdict::Waits);
        assert_eq!(cell.take_displaced(), [6], "the newest of the flood");
        assert_eq!(cell.ask(12, wish(3, 0)), Verdict::Waits);
        assert_eq!(cell.take_displaced(), [5]);
        assert_eq!(cell.ask(13, wish(3, 0)), Verdict::Refused, "nobody waits more than this one would");
        assert_eq!(cell.load(), (4, 4));
    }

    #[test]
    fn the_longest_unused_login_makes_room() {
        let mut cell = cell(2, 10);
        for login in [1, 2] {
            assert_eq!(cell.ask(0, wish(login, login)), Verdict::Admitted);
            cell.leave(tenant(login), &login);
        }
        assert_eq!(cell.ask(0, wish(1, 1)), Verdict::Admitted);
        cell.leave(tenant(1), &1);
        assert!(cell.take_emptied().is_empty(), "both have one open connection");
        assert_eq!(cell.ask(0, wish(3, 3)), Verdict::Admitted);
        assert_eq!(cell.take_emptied(), [2]);
    }

    proptest! {
        /// Whatever comes and goes: no bound is passed, nobody who waits could go, and all who stay are served.
        #[test]
        fn bounds_hold_and_nobody_is_forgotten(steps in prop::collection::vec((0_u8..6, 0_u8..4, 0_u8..3), 1..200)) {
            let mut cell = cell(5, 8);
            let mut inside: Vec<(u64, u8, u8)> = Vec::new();
            let mut waiting: Vec<(u64, u8, u8)> = Vec::new();
            for (number, (who, login, step)) in steps.into_iter().enumerate() {
                let number = number as u64;
                match step {
                    0 | 1 => match cell.ask(number, wish(who, login)) {
                        Verdict::Admitted => inside.push((number, who, login)),
                        Verdict::Waits => waiting.push((number, who, login)),
                        Verdict::Refused => prop_assert_eq!(waiting.len(), 8),
                    },
                    _ if !inside.is_empty() => {
                        let (_, who, login) = inside.remove(usize::from(who) % inside.len());
                        cell.leave(tenant(who), &login);
                    }
                    _ => {}
                }
                for number in cell.take_displaced() {
                    waiting.retain(|(known, _, _)| *known != number);
                }
                if step == 1 && !waiting.is_empty() {
                    let (gone, who, _) = waiting.remove(usize::from(login) % waiting.len());
                    cell.cancel(gone, tenant(who));
                }
                while let Some(admitted) = cell.next() {
                    let place = waiting.iter().position(|(known, _, _)| *known == admitted).unwrap();
                    inside.push(waiting.remove(place));
                }
                prop_assert!(inside.len() <= 5 && waiting.len() <= 8);
                for bound in 0..6 {
                    prop_assert!(inside.iter().filter(|(_, who, _)| *who == bound).count() <= 3);
                    prop_assert!(inside.iter().filter(|(_, _, login)| *login == bound).count() <= 4);
                }
                prop_assert_eq!(cell.load(), (inside.len(), waiting.len()));
                prop_assert!(cell.peaks <= 5, "open connections stay within the bound");
            }
            while let Some((_, who, login)) = inside.pop() {
                cell.leave(tenant(who), &login);
                while let Some(admitted) = cell.next() {
                    let place = waiting.iter().position(|(known, _, _)| *known == admitted).unwrap();
                    inside.push(waiting.remove(place));
                }
            }
            prop_assert!(waiting.is_empty(), "all are served in the end");
            prop_assert!(cell.tenants.is_empty() && cell.ring.is_empty());
        }
    }
}
