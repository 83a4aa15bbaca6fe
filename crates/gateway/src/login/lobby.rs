//! Connections that have not logged in yet: how many there may be, and who has to go for whom.
//!
//! They have places of their own and take none from clients that have logged in. When all are taken, the address that has
//! the most gives up its oldest for one that has clearly fewer, and a connection that had time enough to log in gives way to
//! anybody. So a crowd of silent connections keeps nobody out but those of its own address, and these for a moment.
//!
//! INVARIANT: there are never more places than the bound, and an address that has none gets one while another has two.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::failures::key;

/// In this time whoever wants to log in has done so, over a slow network too.
const PATIENCE: Duration = Duration::from_secs(2);

/// All connections that have not logged in. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Lobby {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    crowd: Mutex<Crowd>,
    turned_away: AtomicU64,
}

/// Each address's connections, the oldest first.
#[derive(Debug, Default)]
struct Crowd {
    lines: HashMap<IpAddr, VecDeque<Waiting>>,
    count: usize,
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    since: Instant,
    lost: Arc<Notify>,
}

/// One connection's place; free again when dropped.
#[derive(Debug)]
pub struct Place {
    inner: Arc<Inner>,
    peer: IpAddr,
    number: u64,
    lost: Arc<Notify>,
}

impl Lobby {
    /// A place for one more connection, of at most so many. `None` if there is none for this address now.
    #[must_use]
    pub fn enter(&self, peer: IpAddr, most: usize, now: Instant) -> Option<Place> {
        let peer = key(peer);
        let mut crowd = lock(&self.inner);
        if crowd.count >= most.max(1) {
            self.inner.turned_away.fetch_add(1, Ordering::Relaxed);
            crowd.make_room(peer, now)?.notify_one();
        }
        let number = crowd.next;
        let lost = Arc::new(Notify::new());
        crowd.next += 1;
        crowd.count += 1;
        crowd.lines.entry(peer).or_default().push_back(Waiting { number, since: now, lost: Arc::clone(&lost) });
        Some(Place { inner: Arc::clone(&self.inner), peer, number, lost })
    }

    /// How many connections have not logged in.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.inner).count
    }

    /// How many got no place, or lost theirs, since the gateway began.
    #[must_use]
    pub fn turned_away(&self) -> u64 {
        self.inner.turned_away.load(Ordering::Relaxed)
    }
}

impl Crowd {
    /// Takes one place away for an address. How its holder hears of that; `None` if none has to go.
    fn make_room(&mut self, peer: IpAddr, now: Instant) -> Option<Arc<Notify>> {
        let own = self.lines.get(&peer).map_or(0, VecDeque::len);
        let oldest = |line: &VecDeque<Waiting>| line.front().map(|waiting| waiting.since);
        let (&most, line) = self.lines.iter().max_by_key(|(_, line)| (line.len(), Reverse(oldest(line))))?;
        let is_late = oldest(line).is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE);
        if line.len() <= own + 1 && !is_late {
            return None;
        }
        let number = line.front()?.number;
        self.remove(most, number)
    }

    fn remove(&mut self, peer: IpAddr, number: u64) -> Option<Arc<Notify>> {
        let line = self.lines.get_mut(&peer)?;
        let place = line.binary_search_by_key(&number, |waiting| waiting.number).ok()?;
        let waiting = line.remove(place)?;
        if line.is_empty() {
            self.lines.remove(&peer);
        }
        self.count -= 1;
        Some(waiting.lost)
    }
}

impl Place {
    /// Waits until the place is taken away, which may never be.
    pub async fn lost(&self) {
        self.lost.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // It is not there any more if it was taken away.
        let _ = lock(&self.inner).remove(self.peer, self.number);
    }
}

fn lock(inner: &Inner) -> MutexGuard<'_, Crowd> {
    // Nothing in between panics.
    inner.crowd.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const MOST: usize = 8;

    fn at(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    fn is_lost(place: &Place) -> bool {
        place.lost().now_or_never().is_some()
    }

    #[test]
    fn places_come_back() {
        let (lobby, now) = (Lobby::default(), Instant::now());
        let mut places: Vec<_> = (0..MOST).map(|_| lobby.enter(at(1), MOST, now).unwrap()).collect();
        assert!(lobby.enter(at(1), MOST, now).is_none());
        assert_eq!((lobby.count(), lobby.turned_away()), (MOST, 1));
        places.pop();
        assert!(lobby.enter(at(1), MOST, now).is_some());
        assert_eq!(lobby.count(), MOST - 1);
        drop(places);
        assert_eq!(lobby.count(), 0);
        assert!(lock(&lobby.inner).lines.is_empty());
    }

    #[test]
    fn a_crowd_of_one_address_gives_way_to_others() {
        let (lobby, now) = (Lobby::default(), Instant::now());
        let crowd: Vec<_> = (0..MOST).map(|_| lobby.enter(at(1), MOST, now).unwrap()).collect();
        let others: Vec<_> = (2..=5).map(|number| lobby.enter(at(number), MOST, now).unwrap()).collect();
        let lost: Vec<_> = crowd.iter().map(is_lost).collect();
        assert_eq!(lost, [true, true, true, true, false, false, false, false], "the oldest go");
        assert!(!others.iter().any(is_lost));
        assert_eq!(lobby.count(), MOST);
        // The crowd itself gets nothing back, and two of another address are as fair a share as three.
        assert!(lobby.enter(at(1), MOST, now).is_none());
        let _more = lobby.enter(at(2), MOST, now).unwrap();
        let _more = lobby.enter(at(2), MOST, now);
        assert!(_more.is_none());
    }

    #[test]
    fn who_had_time_enough_gives_way_to_anybody() {
        let (lobby, begin) = (Lobby::default(), Instant::now());
        let silent: Vec<_> = (0..MOST).map(|_| lobby.enter(at(1), MOST, begin).unwrap()).collect();
        assert!(lobby.enter(at(1), MOST, begin + PATIENCE / 2).is_none());
        let one = lobby.enter(at(1), MOST, begin + PATIENCE).unwrap();
        assert!(is_lost(&silent[0]) && !is_lost(&silent[1]) && !is_lost(&one));
        assert_eq!(lobby.count(), MOST);
    }

    #[test]
    fn one_connection_of_each_address_is_a_fair_share() {
        let (lobby, now) = (Lobby::default(), Instant::now());
        let many: Vec<_> = (0..8).map(|number| lobby.enter(at(number), MOST, now).unwrap()).collect();
        assert!(lobby.enter(at(100), MOST, now).is_none(), "nobody has too many, and all have just come");
        let _late = lobby.enter(at(100), MOST, now + PATIENCE).unwrap();
        assert_eq!(many.iter().filter(|place| is_lost(place)).count(), 1);
    }

    #[test]
    fn a_network_of_version_6_is_one_address() {
        let (lobby, now) = (Lobby::default(), Instant::now());
        let within = |host: u16| IpAddr::from([0x2001, 0xdb8, 1, 2, 0, 0, 0, host]);
        let _crowd: Vec<_> = (0..8).map(|host| lobby.enter(within(host), MOST, now).unwrap()).collect();
        assert!(lobby.enter(within(99), MOST, now).is_none());
        assert!(lobby.enter(at(1), MOST, now).is_some());
    }
}
