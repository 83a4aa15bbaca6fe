//! Two replicas with a stream, and what happens to them.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_testkit::nats::Nats;
use tenantry_testkit::process::{Ending, steady_port};

use crate::world::manifests::{platform, tenant};
use crate::world::{Serve, World, tail};

/// How a replica of these tests is set.
pub fn settings(nats: &Nats) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("TENANTRY_NATS_URL", nats.url()),
        // The least that the server takes.
        ("TENANTRY_NATS_DUPLICATES", "100ms".to_owned()),
        ("TENANTRY_WEBHOOKS_OFF", "true".to_owned()),
    ];
    settings.extend(["READ", "WRITE", "BULK"].map(|rate| match rate {
        "READ" => ("TENANTRY_RATE_READ", "off".to_owned()),
        "WRITE" => ("TENANTRY_RATE_WRITE", "off".to_owned()),
        _ => ("TENANTRY_RATE_BULK", "off".to_owned()),
    }));
    settings
}

/// Two replicas.
pub struct Pair {
    serves: Vec<(u16, Serve)>,
}

impl Pair {
    /// Starts both, the first one alone at first: it migrates.
    pub async fn start(world: &World, nats: &Nats) -> Self {
        let mut serves = Vec::new();
        for place in 0..2 {
            let port = steady_port();
            let mut serve = world.launch(port, &log(place), &settings(nats));
            serve.ready().await;
            serves.push((port, serve));
        }
        Self { serves }
    }

    pub fn one(&self) -> &Serve {
        &self.serves[0].1
    }

    /// The claim that holds and which of the two has it, once one of them publishes that is not `other`.
    pub async fn publisher(&self, world: &World, other: Option<usize>) -> usize {
        let until = Instant::now() + Duration::from_secs(40);
        let sql = "SELECT claim FROM tenantry.stream_lane WHERE owner IS NOT NULL AND state = 'publishing'
            AND seen_at > clock_timestamp() - interval '4 seconds'";
        loop {
            if let Ok(Some(row)) = world.control.query_opt(sql, &[]).await {
                let mark = format!("claim={}", row.get::<_, i64>(0));
                let has_it = |place: &usize| {
                    let text = std::fs::read_to_string(world.path(&log(*place))).unwrap_or_default();
                    // Colours stand between the name and the value of a field where a terminal is supposed.
                    text.lines().any(|line| line.contains("this process publishes") && line.ends_with(&mark))
                };
                if let Some(found) = (0..self.serves.len()).find(has_it).filter(|found| Some(*found) != other) {
                    return found;
                }
            }
            assert!(Instant::now() < until, "nobody publishes\n{}", self.logs(world));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills one and starts it again.
    pub async fn kill(&mut self, world: &World, nats: &Nats, victim: usize) {
        let (port, serve) = &mut self.serves[victim];
        serve.process.signal(Signal::KILL);
        assert_eq!(serve.process.ended(Duration::from_secs(5)).await, Some(Ending::KILLED));
        *serve = world.launch(*port, &log(victim), &settings(nats));
        serve.ready().await;
    }

    /// Stops one of them without ending it, or lets it go on.
    pub fn freeze(&self, victim: usize, is_frozen: bool) {
        let signal = if is_frozen { Signal::STOP } else { Signal::CONT };
        assert!(self.serves[victim].1.process.signal(signal));
    }

    /// Waits until both answer.
    pub async fn ready(&mut self) {
        for (_, serve) in &mut self.serves {
            serve.ready().await;
        }
    }

    pub fn logs(&self, world: &World) -> String {
        let read = |place| std::fs::read_to_string(world.path(&log(place))).unwrap_or_default();
        format!("first:\n{}\nsecond:\n{}", tail(&read(0), 30), tail(&read(1), 30))
    }

    /// Ends both in order.
    pub async fn stop(self) {
        for (_, serve) in self.serves {
            serve.stop().await;
        }
    }
}

fn log(place: usize) -> String {
    format!("serve-{place}.log")
}

/// Makes so many tenants.
pub async fn tenants(world: &World, serve: &Serve, count: usize) -> Vec<TenantId> {
    serve.client.apply(&platform(), None).await.unwrap_or_else(|error| panic!("{error:?}"));
    let slug = |place: usize| format!("customer-{place:02}x");
    let documents: Vec<_> = (0..count).map(|place| tenant(&slug(place), Isolation::Shared, "draft")).collect();
    serve.client.apply(&documents, None).await.unwrap_or_else(|error| panic!("{error:?}"));
    let mut ids = Vec::new();
    for place in 0..count {
        ids.push(world.tenant(&slug(place)).await.typed());
    }
    ids
}
