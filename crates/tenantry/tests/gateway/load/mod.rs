//! Clients that write numbered rows through any of several gateways, and note what they were told of each.
//!
//! Every second number is a statement of its own, the others are transactions of two statements. A client whose connection
//! is gone connects again at once, as an application's pool does.

mod client;
mod judge;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::world::{Tenant, World, config, wait};
use client::Client;
pub use judge::Verdict;

/// What a client was told of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is committed.
    Acknowledged,
    /// It is not, and never will be.
    Refused,
    /// The connection was lost before the answer, or the answer says so.
    Unknown,
}

/// What one client noted.
#[derive(Debug, Default)]
pub struct Notes {
    /// By number.
    pub outcomes: Vec<Outcome>,
    /// What statements failed by, with the words `in transaction` if that was not at its end.
    pub errors: BTreeMap<String, u64>,
    /// What connections ended by while they were idle.
    pub ends: BTreeMap<String, u64>,
    /// What logins failed by.
    pub closed_doors: BTreeMap<String, u64>,
    /// Logins that succeeded.
    pub logins: u64,
    /// When a row was acknowledged for the last time.
    pub acknowledged: Option<Instant>,
    /// How long acknowledged rows took, in microseconds.
    pub times: Vec<u32>,
    /// Rows of a neighbour that were seen.
    pub foreign: u64,
}

/// A client as the test holds it.
struct Hand {
    tenant: Tenant,
    notes: Arc<Mutex<Notes>>,
    task: JoinHandle<()>,
}

/// See the module.
pub struct Load {
    hands: Vec<Hand>,
    stop: Arc<AtomicBool>,
}

/// How a load is.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Clients of each tenant.
    pub clients: usize,
    /// What each of them waits between two rows.
    pub pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { clients: 2, pause: Duration::from_millis(4) }
    }
}

/// How often something was said, added up.
pub type Said = BTreeMap<String, u64>;

impl Load {
    /// Starts clients of all tenants and waits until each has written.
    pub async fn start(world: &World, ports: &[u16], pace: Pace) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut hands = Vec::new();
        let began = Instant::now();
        for tenant in &world.tenants {
            for _ in 0..pace.clients {
                let notes = Arc::new(Mutex::new(Notes::default()));
                let client = Client {
                    id: i32::try_from(hands.len()).unwrap(),
                    owner: tenant.slug.clone(),
                    config: config(ports, tenant),
                    pause: pace.pause,
                    notes: Arc::clone(&notes),
                    stop: Arc::clone(&stop),
                };
                hands.push(Hand { tenant: tenant.clone(), notes, task: tokio::spawn(client.run()) });
            }
        }
        let load = Self { hands, stop };
        load.all_write_since(began, Duration::from_secs(15), |_| true).await;
        load
    }

    /// Waits until each client of some tenants had a row acknowledged after a moment; gives how long after it that was.
    pub async fn all_write_since(
        &self,
        moment: Instant,
        within: Duration,
        whose: impl Fn(&Tenant) -> bool + Copy,
    ) -> Duration {
        let missing = || {
            let hands = self.hands.iter().filter(|hand| whose(&hand.tenant));
            hands.filter(|hand| hand.notes.lock().unwrap().acknowledged.is_none_or(|last| last <= moment)).count()
        };
        wait("all clients write", within, async || (missing() == 0).then_some(())).await;
        moment.elapsed()
    }

    /// What statements, idle connections and logins of some tenants failed by so far.
    pub fn errors(&self, whose: impl Fn(&Tenant) -> bool) -> Said {
        let mut sum = Said::new();
        for hand in self.hands.iter().filter(|hand| whose(&hand.tenant)) {
            let notes = hand.notes.lock().unwrap();
            for (kind, said) in [("", &notes.errors), ("idle: ", &notes.ends), ("login: ", &notes.closed_doors)] {
                for (word, count) in said {
                    *sum.entry(format!("{kind}{word}")).or_default() += count;
                }
            }
        }
        sum
    }

    /// Takes the times of rows of some tenants since they were taken last: median, 99th of a hundred, longest, and how many.
    pub fn times(&self, whose: impl Fn(&Tenant) -> bool) -> Times {
        let hands = self.hands.iter().filter(|hand| whose(&hand.tenant));
        let times = hands.flat_map(|hand| std::mem::take(&mut hand.notes.lock().unwrap().times)).collect();
        Times::of(times)
    }

    /// Ends the clients after the row that each has in hand, and holds their notes against the tables.
    pub async fn end(self, world: &World) -> Verdict {
        self.stop.store(true, Ordering::Relaxed);
        let mut notes = Vec::new();
        for hand in self.hands {
            tokio::time::timeout(Duration::from_secs(60), hand.task).await.expect("clients end").unwrap();
            notes.push((hand.tenant, std::mem::take(&mut *hand.notes.lock().unwrap())));
        }
        judge::judge(world, &notes).await
    }
}

/// Median, 99th of a hundred and longest time of rows, in milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    pub count: usize,
    pub median: f64,
    pub p99: f64,
    pub longest: f64,
}

impl Times {
    pub fn of(mut micros: Vec<u32>) -> Self {
        micros.sort_unstable();
        let at = |part: f64| {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a place in a list"
            )]
            let place = (micros.len() as f64 * part) as usize;
            micros.get(place.min(micros.len().saturating_sub(1))).map_or(0.0, |time| f64::from(*time) / 1000.0)
        };
        Self { count: micros.len(), median: at(0.5), p99: at(0.99), longest: at(1.0) }
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "median {:.1} ms, p99 {:.1} ms, longest {:.0} ms", self.median, self.p99, self.longest)
    }
}
