//! What happens to replicas and to their database.

use std::time::Duration;

use rustix::process::Signal;
use tenantry_testkit::process::{Ending, steady_port};

use crate::world::{Serve, World};

/// Chosen things, the same for the same seed.
pub struct Dice(u64);

impl Dice {
    /// A new sequence.
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Xorshift; only spread is needed.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// Two replicas, of which one or the other dies now and then.
pub struct Pair {
    serves: Vec<(u16, Serve)>,
    pub kills: usize,
    pub restarts: usize,
}

/// How a replica of this test is set.
fn settings() -> Vec<(&'static str, String)> {
    let mut settings = vec![("TENANTRY_WEBHOOKS_LAB", "true".to_owned()), ("TENANTRY_LABORATORY", "true".to_owned())];
    settings.extend(["READ", "WRITE", "BULK"].map(|rate| match rate {
        "READ" => ("TENANTRY_RATE_READ", "off".to_owned()),
        "WRITE" => ("TENANTRY_RATE_WRITE", "off".to_owned()),
        _ => ("TENANTRY_RATE_BULK", "off".to_owned()),
    }));
    settings
}

impl Pair {
    /// Starts both, the first one alone at first: it migrates.
    pub async fn start(world: &World) -> Self {
        let mut serves = Vec::new();
        for _ in 0..2 {
            let port = steady_port();
            let mut serve = world.launch(port, "serve.log", &settings());
            serve.ready().await;
            serves.push((port, serve));
        }
        Self { serves, kills: 0, restarts: 0 }
    }

    /// One that is up.
    pub fn one(&self) -> &Serve {
        &self.serves[0].1
    }

    /// Kills one of them and starts it again.
    pub async fn kill(&mut self, world: &World, dice: &mut Dice) {
        let victim = usize::try_from(dice.below(2)).unwrap();
        let (port, serve) = &mut self.serves[victim];
        serve.process.signal(Signal::KILL);
        assert_eq!(serve.process.ended(Duration::from_secs(5)).await, Some(Ending::KILLED));
        *serve = world.launch(*port, "serve.log", &settings());
        serve.ready().await;
        self.kills += 1;
    }

    /// Stops the database, in order (`fast`) or at once (`immediate`), and starts it again. Both replicas outlive it.
    pub async fn restart_database(&mut self, world: &mut World) {
        tokio::task::block_in_place(|| {
            if self.restarts.is_multiple_of(2) {
                world.pg.stop();
            } else {
                world.pg.halt();
            }
            world.pg.start();
        });
        world.reconnect().await;
        self.restarts += 1;
        for (_, serve) in &mut self.serves {
            serve.ready().await;
        }
    }

    /// Ends both in order.
    pub async fn stop(self) {
        for (_, serve) in self.serves {
            serve.stop().await;
        }
    }
}
