//! The run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tenantry_api::client::{Expected, WebhookSwitch};
use tenantry_api::v1::webhook::{RedriveRequest, ReplayRequest};
use tenantry_domain::id::{TenantId, WebhookId};
use tenantry_domain::isolation::Isolation;
use tenantry_testkit::receivers::Mood;

use crate::farm::{Hears, Post, moods};
use crate::flood::{flood, store};
use crate::judge::Committed;
use crate::trouble::{Dice, Pair};
use crate::world::manifests::{platform, tenant};
use crate::world::{CONTROL, Tuning, World};

/// Events, when nothing else is said.
const SHORT: usize = 20_000;
/// The least time of trouble.
const TROUBLE: Duration = Duration::from_secs(15);
/// Between two lines about the progress.
const PROGRESS: Duration = Duration::from_secs(10);
/// Events a second that a slow machine delivers at the end, for the deadline.
const SLOWEST: usize = 150;
/// The type that is sent in order.
const RARE: &str = "plan.changed";

/// Time passes: whatever waits for another attempt is due, and nobody rests.
const HURRY: &str = "
    UPDATE tenantry.webhook_queue SET due_at = clock_timestamp() WHERE due_at > clock_timestamp();
    UPDATE tenantry.webhook_lane SET paused_until = NULL WHERE paused_until > clock_timestamp()";

/// Three days pass: what failed at one endpoint has one attempt left, and has waited for longer than what is new.
const AGE: &str = "UPDATE tenantry.webhook_queue SET attempts = 9, due_at = queued_at - interval '1 day'
    WHERE endpoint = $1 AND attempts BETWEEN 1 AND 8";

struct Progress<'a> {
    farm: &'a [Post],
    done: Arc<AtomicUsize>,
    began: Instant,
    last: (Instant, u64),
}

impl Progress<'_> {
    fn taken(&self) -> (u64, u64) {
        let both = self.farm.iter().map(|post| post.look(|seen| (seen.taken, seen.repeated)));
        both.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    fn tell(&mut self, pair: &Pair, what: &str) {
        if self.last.0.elapsed() < PROGRESS {
            return;
        }
        let (taken, repeated) = self.taken();
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let rate = (taken - self.last.1) as f64 / self.last.0.elapsed().as_secs_f64();
        eprintln!(
            "webhooks: {:>5.0} s {what}: {} committed, {taken} taken ({rate:.0}/s), {repeated} of them twice, {} kills, {} restarts",
            self.began.elapsed().as_secs_f64(),
            self.done.load(Ordering::Relaxed),
            pair.kills,
            pair.restarts
        );
        self.last = (Instant::now(), taken);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_arrives_whatever_dies() {
    let events = std::env::var("HOOKS_EVENTS").map_or(SHORT, |text| text.parse().expect("HOOKS_EVENTS is a number"));
    let seed = std::env::var("HOOKS_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(7, |since| since.as_secs()));
    eprintln!("webhooks: {events} events, HOOKS_SEED={seed}");
    let mut dice = Dice::new(seed);
    let mut world = World::new(Tuning::default()).await;
    let mut pair = Pair::start(&world).await;
    let (farm, turns) = set_up(&world, &pair).await;
    let base = Committed::read(&world).await.newest();

    let (began, done) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let rate = if events > SHORT { 2000.0 } else { 1300.0 };
    let writer = tokio::spawn(flood(store(&world.pg.url(CONTROL)), turns, events, rate, Arc::clone(&done)));
    let mut progress = Progress { farm: &farm, done, began, last: (began, 0) };
    while !writer.is_finished() || began.elapsed() < TROUBLE || pair.restarts == 0 {
        let until = Instant::now() + Duration::from_millis(2500 + dice.below(2500));
        while Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(100)).await;
            progress.tell(&pair, "trouble");
        }
        if pair.kills % 3 == 1 {
            pair.restart_database(&mut world).await;
        }
        pair.kill(&world, &mut dice).await;
    }
    writer.await.unwrap();
    bury_some(&world, &farm).await;
    for post in &farm {
        post.receiver.set(Mood::Ok);
    }
    // Once more, while everything that waited is on its way.
    pair.kill(&world, &mut dice).await;
    pair.restart_database(&mut world).await;
    let dead = recover(&pair, &farm, &base).await;
    let deadline = Instant::now() + Duration::from_secs(60 + (events / SLOWEST) as u64);
    loop {
        world.control.batch_execute(HURRY).await.unwrap();
        let sql = "SELECT EXISTS (SELECT FROM tenantry.webhook_queue)
            OR EXISTS (SELECT FROM tenantry.webhook_replay WHERE ended_at IS NULL)";
        if !world.control.query_one(sql, &[]).await.unwrap().get::<_, bool>(0) {
            break;
        }
        assert!(Instant::now() < deadline, "something still waits\n{}", crate::world::tail(&world.log(), 40));
        tokio::time::sleep(Duration::from_millis(500)).await;
        progress.tell(&pair, "recovery");
    }
    let took = began.elapsed();

    let committed = Committed::read(&world).await;
    assert_eq!(committed.gaps(), Vec::<String>::new(), "numbers of tenants have gaps");
    let count = committed.count(&base);
    assert!(count >= events, "{count} of {events} were committed");
    let mut due = 0;
    for post in &farm {
        let (missing, wanted) = committed.missing(post, &base);
        due += wanted;
        assert!(missing.is_empty(), "{:?} ({}) did not get {missing:?}", post.mood, post.id);
        assert!(wanted > 0, "{:?} was to get nothing", post.mood);
        post.look(|seen| assert!(seen.wrong.is_empty(), "{:?}: {:?}", post.mood, seen.wrong));
    }
    let left: i64 = world.control.query_one("SELECT count(*) FROM tenantry.webhook_dead", &[]).await.unwrap().get(0);
    assert_eq!(left, 0, "dead letters are left");
    let (taken, repeated) = progress.taken();
    let arrived: u64 = farm.iter().map(|post| post.look(|seen| seen.arrived)).sum();
    assert!(pair.kills > 2 && pair.restarts > 1, "{} kills, {} restarts", pair.kills, pair.restarts);
    eprintln!(
        "webhooks: {count} events committed, {due} deliveries due, 0 lost, 0 gaps; {arrived} requests, {taken} taken, {repeated} of \
         them twice with the same bytes; {dead} dead letters sent again; {} kills, {} restarts of the database; {:.0} s, {:.0} taken/s",
        pair.kills,
        pair.restarts,
        took.as_secs_f64(),
        f64::from(u32::try_from(taken).unwrap()) / took.as_secs_f64()
    );
    pair.stop().await;
}

/// A tenant with an endpoint for each mood, and an endpoint in order for all; says in which turns the tenants get events.
async fn set_up(world: &World, pair: &Pair) -> (Vec<Post>, Vec<TenantId>) {
    let client = &pair.one().client;
    client.apply(&platform(), None).await.unwrap_or_else(|error| panic!("{error:?}"));
    let slug = |place: usize| format!("customer-{place:02}x");
    let documents: Vec<_> = (0..moods().len()).map(|place| tenant(&slug(place), Isolation::Shared, "draft")).collect();
    client.apply(&documents, None).await.unwrap_or_else(|error| panic!("{error:?}"));
    let (mut farm, mut turns) = (Vec::new(), Vec::new());
    for (place, (mood, scheme, share)) in moods().into_iter().enumerate() {
        let id = world.tenant(&slug(place)).await.typed();
        farm.push(Post::open(client, mood, Hears::Tenant(id.to_string()), scheme).await);
        turns.push(vec![id; share]);
    }
    farm.push(Post::open(client, Mood::Ok, Hears::InOrder(RARE), "hmac").await);
    let longest = turns.iter().map(Vec::len).max().unwrap();
    let mixed = (0..longest).flat_map(|round| turns.iter().filter_map(move |own| own.get(round).copied())).collect();
    (farm, mixed)
}

fn uuid_of(post: &Post) -> uuid::Uuid {
    post.id.parse::<WebhookId>().unwrap().uuid()
}

/// Waits until the one that fails has dead letters.
async fn bury_some(world: &World, farm: &[Post]) {
    let failing = farm.iter().find(|post| post.mood == Mood::Status(500)).unwrap();
    let sql = "SELECT count(*) FROM tenantry.webhook_dead WHERE endpoint = $1 AND cause = 'attempts'";
    let until = Instant::now() + Duration::from_secs(30);
    while world.control.query_one(sql, &[&uuid_of(failing)]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(Instant::now() < until, "nothing was given up\n{}", crate::world::tail(&world.log(), 40));
        world.control.batch_execute(HURRY).await.unwrap();
        world.control.execute(AGE, &[&uuid_of(failing)]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What an operator does when receivers are well again; gives the number of dead letters that were sent again.
async fn recover(pair: &Pair, farm: &[Post], base: &std::collections::BTreeMap<String, i64>) -> i64 {
    let client = &pair.one().client;
    let mut dead = 0;
    for post in farm {
        let found = client.webhook(&post.id).await.unwrap().value;
        if post.mood == Mood::Status(410) {
            assert_eq!((found.status.as_str(), found.disabled_reason.as_deref()), ("disabled", Some("gone")));
            client.switch_webhook(&post.id, Expected::Any, WebhookSwitch::Enable).await.unwrap();
        } else {
            assert_ne!(found.status, "disabled", "{:?}", post.mood);
        }
        loop {
            let redriven = client.redrive_webhook(&post.id, &RedriveRequest::default()).await.unwrap();
            dead += redriven.count;
            if !redriven.has_more {
                break;
            }
        }
        // What was committed while it was disabled was not kept for it; the outbox has it.
        if let (Mood::Status(410), Hears::Tenant(tenant)) = (&post.mood, &post.hears) {
            let replay = ReplayRequest { after: Some(base[tenant]), ..ReplayRequest::default() };
            client.replay_webhook(&post.id, &replay).await.unwrap();
        }
    }
    dead
}
