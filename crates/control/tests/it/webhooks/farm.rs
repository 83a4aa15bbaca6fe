//! Receivers in every mood, processes that are killed: everything that was committed arrives, in the bytes that it always has.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tenantry_control::webhooks::{Wanted, pump};
use tenantry_control::{Deps, Subject};
use tenantry_domain::event::Type;
use tenantry_domain::webhook::{Scheme, Standing, Terms};
use tenantry_testkit::receivers::{Mood, Receiver};
use tokio_util::sync::CancellationToken;

use super::{draft, emit, endpoint, equal_repetitions, lab, number, taken, terms, until, verify, wanted};
use crate::world::World;

const TENANTS: usize = 6;
const ROUNDS: usize = 40;
const PER_COMMIT: usize = 10;

/// A process with threads and connections of its own, which ends between two of its instructions.
struct Doomed(Option<tokio::runtime::Runtime>);

impl Doomed {
    async fn start(world: &World) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        // Whatever it opens belongs to its own threads.
        let options = lab(200);
        let (send, receive) = tokio::sync::oneshot::channel::<()>();
        let deps: Deps = world.process(options).await;
        runtime.spawn(async move {
            let _ = send.send(());
            pump::run(deps, CancellationToken::new()).await;
        });
        receive.await.unwrap();
        Self(Some(runtime))
    }

    fn kill(mut self) {
        self.0.take().unwrap().shutdown_background();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_was_committed_arrives_whoever_is_killed_and_however_receivers_behave() {
    let world = World::with(lab(200)).await;
    let mut tenants = Vec::new();
    for place in 0..TENANTS {
        tenants.push(draft(&world, &format!("customer-{place}")).await);
    }
    let moods = [
        Mood::Ok,
        Mood::Ok,
        Mood::Slow(Duration::from_millis(5)),
        Mood::Status(500),
        Mood::Hang,
        Mood::Reset,
        Mood::Wait(429, 1),
        Mood::Redirect("http://127.0.0.1:9/".to_owned()),
        Mood::Bomb,
        Mood::Drip,
        Mood::LongHead,
        Mood::Garbage,
        Mood::Flap,
        Mood::Status(410),
    ];
    let mut farm = Vec::new();
    for (place, mood) in moods.iter().enumerate() {
        let receiver = Receiver::start(mood.clone()).await;
        let (fifo, scheme) = match place {
            1 => (true, Scheme::Ed25519),
            _ => (false, Scheme::Hmac),
        };
        let wants = Terms { fifo, types: vec!["tenant.*".parse_pattern()], ..terms() };
        let (made, verifier) = endpoint(&world, Wanted { terms: wants, scheme, ..wanted(&receiver.url()) }).await;
        farm.push((receiver, made, verifier));
    }
    let outbox = "SELECT count(*) FROM tenantry.outbox WHERE type = 'tenant.updated'";
    let mut doomed = Vec::new();
    for _ in 0..2 {
        doomed.push(Doomed::start(&world).await);
    }
    // Processes die while events are committed, and for a while after that.
    let mut kills = 0;
    for round in 0..ROUNDS {
        let all = tenants
            .iter()
            .map(|tenant| emit(&world.deps, &world, Subject::Tenant(*tenant), Type::TenantUpdated, PER_COMMIT));
        futures_util::future::join_all(all).await;
        if round % 8 == 7 {
            doomed.remove(0).kill();
            doomed.push(Doomed::start(&world).await);
            kills += 1;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The sick get well, apart from the one that is gone.
    for (receiver, ..) in farm.iter().take(moods.len() - 1) {
        receiver.set(Mood::Ok);
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        doomed.remove(0).kill();
        doomed.push(Doomed::start(&world).await);
        kills += 1;
    }
    let began = Instant::now();
    while number(&world, "SELECT count(*) FROM tenantry.webhook_queue").await > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "something still waits");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let committed = number(&world, outbox).await;
    assert_eq!(committed, (TENANTS * ROUNDS * PER_COMMIT) as i64);
    let expected: Vec<i64> = (2..=(ROUNDS * PER_COMMIT + 1) as i64).collect();
    let mut repeated = 0;
    for (place, (receiver, made, verifier)) in farm.iter().enumerate().take(moods.len() - 1) {
        let got = receiver.got();
        verify(&got, verifier);
        repeated += equal_repetitions(&got.iter().filter(|one| one.is_taken).cloned().collect::<Vec<_>>());
        equal_repetitions(&got);
        for tenant in &tenants {
            let order = taken(&got, *tenant);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, expected, "{:?} of {}", moods[place], made.id);
            assert!(place != 1 || order == expected, "in order: {order:?}");
        }
    }
    // The one that was gone was left alone, and what it did not get is kept.
    let (receiver, gone, _) = &farm[moods.len() - 1];
    let found = tenantry_control::webhooks::get(&world.cx(), &world.deps, gone.id).await.unwrap();
    assert_eq!(found.standing, Standing::Disabled);
    let ids: HashSet<String> = receiver.got().into_iter().map(|one| one.id).collect();
    assert!(ids.len() <= 64, "{}", ids.len());
    let dead = number(&world, "SELECT count(*) FROM tenantry.webhook_dead").await;
    assert!(dead > 0, "what waited for the one that is gone is among the dead");
    assert_eq!(number(&world, "SELECT count(*) FROM tenantry.webhook_dead WHERE cause <> 'disabled'").await, 0);
    eprintln!(
        "farm: {committed} events, {} receivers, {kills} kills, {repeated} sent twice, {dead} dead letters",
        moods.len()
    );
    for process in doomed {
        process.kill();
    }
}

trait ParsePattern {
    fn parse_pattern(&self) -> tenantry_domain::webhook::Pattern;
}

impl ParsePattern for str {
    fn parse_pattern(&self) -> tenantry_domain::webhook::Pattern {
        tenantry_domain::webhook::Pattern::parse(self).unwrap()
    }
}

/// How long events waited for their first attempt, in milliseconds, sorted.
async fn delays(world: &World, receiver: &Receiver, count: usize) -> Vec<f64> {
    until("all arrived", 60, || receiver.count() >= count).await;
    let _ = world;
    let mut delays: Vec<f64> = receiver
        .got()
        .iter()
        .map(|one| {
            let body: serde_json::Value = serde_json::from_slice(&one.body).unwrap();
            let at: jiff::Timestamp = body["time"].as_str().unwrap().parse().unwrap();
            let arrived = jiff::Timestamp::try_from(one.at).unwrap();
            arrived.duration_since(at).as_secs_f64() * 1000.0
        })
        .collect();
    delays.sort_by(f64::total_cmp);
    delays
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_hangs_holds_nobody_up() {
    let world = World::with(lab(5)).await;
    let tenant = draft(&world, "acme").await;
    let good = Receiver::start(Mood::Ok).await;
    endpoint(&world, wanted(&good.url())).await;
    let mut sick = Vec::new();
    for _ in 0..10 {
        let receiver = Receiver::start(Mood::Hang).await;
        endpoint(&world, wanted(&receiver.url())).await;
        sick.push(receiver);
    }
    let process = super::Process::start(&world.deps);
    let before = good.count();
    for _ in 0..100 {
        emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 1).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let delays = delays(&world, &good, before + 100).await;
    let (median, worst) = (delays[delays.len() / 2], delays[delays.len() - 2]);
    eprintln!("hang: median {median:.1} ms, nearly worst {worst:.1} ms");
    // Far below the 600 ms that one of the sick takes; a busy machine is allowed for.
    assert!(median < 500.0, "{median}");
    process.stop().await;
}
