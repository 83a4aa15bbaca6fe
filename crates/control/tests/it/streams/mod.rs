//! Streams from the commit to the server: a real NATS server, or one that answers as a leader of copies does.

mod forget;
mod history;
mod lane;
mod leader;
mod plans;
mod stuck;

use std::time::{Duration, Instant};

use tenantry_control::streams::{Credential, Settings, Standing, StreamOptions, list, pump};
use tenantry_control::{Deps, Options};
use tenantry_store::{NewSink, StreamHold};
use tokio_util::sync::CancellationToken;

use crate::webhooks::number;
use crate::world::{World, options};

/// The stream of these tests.
pub const STREAM: &str = "TENANTRY";

/// A server's settings, everything a little faster.
pub fn settings(url: &str) -> Settings {
    Settings {
        servers: url.parse().unwrap(),
        credential: Credential::None,
        authorities: None,
        stream: STREAM.parse().unwrap(),
        prefix: "tenantry".parse().unwrap(),
        window: Duration::from_millis(100),
        replicas: 1,
        patience: Duration::from_secs(2),
    }
}

pub fn lab(url: &str) -> Options {
    let streams = StreamOptions {
        patience: Duration::from_millis(800),
        tick: Duration::from_millis(200),
        rest: (Duration::from_millis(50), Duration::from_millis(200)),
        ..StreamOptions::new(settings(url))
    };
    Options { streams: Some(streams), ..options() }
}

/// A process that publishes, until it is stopped in order.
pub struct Process {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Process {
    pub fn start(deps: &Deps) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(pump::run(deps.clone(), stop.clone()));
        Self { stop, task }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// Waits until everything that is committed is written down as published.
pub async fn settled(world: &World) {
    let sql = "SELECT count(*) FROM (SELECT env, subject, max(sequence) AS newest FROM tenantry.outbox GROUP BY env, subject) AS o
        LEFT JOIN tenantry.stream_cursor AS c USING (env, subject) WHERE coalesce(c.published, 0) < o.newest";
    let began = Instant::now();
    while number(world, sql).await > 0 {
        assert!(began.elapsed().as_secs() < 20, "not everything is published: {:?}", standing(world).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn standing(world: &World) -> Option<Standing> {
    list(&world.cx(), &world.deps).await.unwrap().pop()
}

/// Waits until something with this code and text is in the way.
pub async fn fails(world: &World, code: &str, text: &str) {
    let began = Instant::now();
    loop {
        let found = standing(world).await;
        let is_so = found.as_ref().is_some_and(|found| {
            let sink = &found.sink;
            found.is_alive
                && sink.state == "failing"
                && sink.code.as_deref() == Some(code)
                && sink.error.as_deref().is_some_and(|error| error.contains(text))
        });
        if is_so {
            return;
        }
        assert!(began.elapsed().as_secs() < 20, "{code} {text}: {found:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Runs a statement that is known beforehand.
pub async fn execute(world: &World, sql: &'static str) {
    let conn = world.deps.store().pool().get().await.unwrap();
    conn.batch_static(sql).await.unwrap();
    conn.release();
}

/// Makes the sink known, and takes its lane.
pub async fn claimed(world: &World, is_whole: bool) -> StreamHold {
    let sink = NewSink { name: STREAM.into(), servers: "s".into(), prefix: "p".into(), is_whole };
    let store = world.deps.store();
    assert!(store.stream_register(&sink).await.unwrap());
    store.stream_claim(STREAM, world.deps.replica(), Duration::from_secs(60)).await.unwrap().unwrap()
}
