//! Everything dies, and the stream has each event once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tenantry_testkit::nats::Nats;

use crate::flood::{flood, store};
use crate::judge::{STREAM, each_once_in_order, settled};
use crate::replicas::{Pair, tenants};
use crate::world::{CONTROL, Tuning, World};

/// Events, when nothing else is said.
const SHORT: usize = 12_000;
/// Longer than the patience, after which another process takes over.
const ASLEEP: Duration = Duration::from_secs(7);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_in_the_stream_once_whatever_dies() {
    let events =
        std::env::var("STREAMS_EVENTS").map_or(SHORT, |text| text.parse().expect("STREAMS_EVENTS is a number"));
    let mut world = World::new(Tuning::default()).await;
    let mut nats = Nats::start().await;
    let mut pair = Pair::start(&world, &nats).await;
    let ids = tenants(&world, pair.one(), 9).await;
    pair.publisher(&world, None).await;

    let (began, done) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let writer = tokio::spawn(flood(store(&world.pg.url(CONTROL)), ids, events, 400.0, Arc::clone(&done)));
    let (mut kills, mut rounds) = (0, 0);
    while !writer.is_finished() || rounds < 6 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let victim = pair.publisher(&world, None).await;
        match rounds % 6 {
            0 | 3 => {
                pair.kill(&world, &nats, victim).await;
                kills += 1;
            }
            1 => {
                nats.kill().await;
                tokio::time::sleep(Duration::from_millis(500)).await;
                nats.again().await;
            }
            2 => {
                tokio::task::block_in_place(|| {
                    world.pg.halt();
                    world.pg.start();
                });
                world.reconnect().await;
                pair.ready().await;
            }
            4 => {
                // Somebody else takes over, and the one that was asleep wakes up in the middle of what it did.
                pair.freeze(victim, true);
                pair.publisher(&world, Some(victim)).await;
                pair.freeze(victim, false);
            }
            _ => {
                nats.freeze();
                tokio::time::sleep(ASLEEP).await;
                nats.thaw();
            }
        }
        rounds += 1;
        eprintln!(
            "streams: {:>4.0} s: {} committed, {} in the stream",
            began.elapsed().as_secs_f64(),
            done.load(Ordering::Relaxed),
            nats.count(STREAM).await
        );
    }
    writer.await.unwrap();
    settled(&world, &nats, Duration::from_secs(90)).await;
    let found = each_once_in_order(&world, &nats).await;
    assert!(found >= events, "{found} of {events}");
    eprintln!(
        "streams: {found} events, each once and in order; {rounds} troubles, {kills} of them kills; {:.0?}",
        began.elapsed()
    );
    pair.stop().await;
}

/// The one that was asleep has messages in its hands that somebody else has published meanwhile, and the server has forgotten ids.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_wakes_up_after_a_takeover_adds_nothing() {
    let world = World::new(Tuning::default()).await;
    let nats = Nats::start().await;
    let pair = Pair::start(&world, &nats).await;
    let ids = tenants(&world, pair.one(), 4).await;
    settled(&world, &nats, Duration::from_secs(30)).await;
    for _ in 0..2 {
        let asleep = pair.publisher(&world, None).await;
        let done = Arc::new(AtomicUsize::new(0));
        let writer = tokio::spawn(flood(store(&world.pg.url(CONTROL)), ids.clone(), 4_000, 4_000.0, done));
        tokio::time::sleep(Duration::from_millis(300)).await;
        pair.freeze(asleep, true);
        let awake = pair.publisher(&world, Some(asleep)).await;
        assert_ne!(asleep, awake);
        writer.await.unwrap();
        // The new one is in the middle of its work.
        pair.freeze(asleep, false);
        settled(&world, &nats, Duration::from_secs(40)).await;
        // Time for what the other one may still want to say.
        tokio::time::sleep(Duration::from_secs(2)).await;
        each_once_in_order(&world, &nats).await;
    }
    pair.stop().await;
}
