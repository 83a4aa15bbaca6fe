//! Webhooks: how soon an event is on its way, what others notice of an endpoint that is dead, how fast the past is sent again, and
//! what a signature costs.
//!
//! Events are committed through the store's writer, with audit entry and fan-out, four to a commit; the pump is the one of a process,
//! and the receivers are in this process, on this machine, over HTTP. A delay is from the moment that the event bears, which lies
//! before its commit, to the last byte at the receiver: longer than what is promised, never shorter. Rounds with the dead endpoint
//! and without it take turns; without it, it wants other events.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tenantry_control::Options;
use tenantry_control::tenants::edit::Expected;
use tenantry_control::webhooks::{self, Change, Egress, Replay, Wanted, WebhookOptions};
use tenantry_domain::audit::{self, Category, Outcome};
use tenantry_domain::event::{self, Type};
use tenantry_domain::id::{TenantId, WebhookId};
use tenantry_domain::policy::{self, Actor, Scope};
use tenantry_domain::webhook::{Pattern, Scheme, Terms};
use tenantry_store::Entry;
use tenantry_testkit::receivers::{Got, Mood, Receiver};
use tenantry_webhooks::{Key, Signer};

use super::Bench;
use crate::bed::Bed;
use crate::crowd;
use crate::measure::Samples;
use crate::report::Figure;

/// Tenants, each with an endpoint.
const TENANTS: usize = 20;
/// Events of a commit.
const EACH: usize = 4;
/// Tasks that commit.
const HANDS: u32 = 8;
/// Events a second; the smallest size only shows that it runs, on whatever machine.
const RATES: [u32; 3] = [2_000, 2_000, 100];

/// What arrived, and how long it was on its way.
#[derive(Default)]
struct Arrivals {
    delays: Mutex<Samples>,
    count: AtomicUsize,
}

impl Arrivals {
    fn note(&self, got: &Got) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let body: Value = serde_json::from_slice(&got.body).unwrap_or_default();
        let at = body["time"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let arrived = jiff::Timestamp::try_from(got.at).ok();
        if let Some((at, arrived)) = at.zip(arrived) {
            let delay = Duration::try_from(arrived.duration_since(at)).unwrap_or_default();
            self.delays.lock().unwrap_or_else(PoisonError::into_inner).push(delay);
        }
    }

    fn take(&self) -> Samples {
        self.count.store(0, Ordering::Relaxed);
        std::mem::take(&mut *self.delays.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for so many arrivals since they were taken last.
    async fn until(&self, count: usize) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(120);
        while self.count.load(Ordering::Relaxed) < count {
            ensure!(Instant::now() < end, "{} of {count} arrived", self.count.load(Ordering::Relaxed));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

struct World {
    bed: Bed,
    tenants: Vec<TenantId>,
    arrivals: Arc<Arrivals>,
    receiver: Receiver,
    rate: u32,
}

impl World {
    async fn new(bench: &Bench<'_>) -> Result<Self> {
        let [full, quick, tiny] = RATES;
        let rate = bench.size.pick(full, quick, tiny);
        let webhooks = WebhookOptions { egress: Egress::Lab, ..WebhookOptions::default() };
        let options = Options { webhooks, ..Options::default() };
        let bed = Bed::install_with(bench.host, "webhooks", 20, options).await?;
        let members = crowd::make(&bed, "hooked", TENANTS, |_, _| {})?;
        crowd::register(&bed, bench.host, &members).await?;
        let arrivals: Arc<Arrivals> = Arc::default();
        let into = Arc::clone(&arrivals);
        let receiver = Receiver::start_with(Mood::Ok, Box::new(move |got| into.note(&got))).await;
        Ok(Self { bed, tenants: members.iter().map(|one| one.id).collect(), arrivals, receiver, rate })
    }

    /// An endpoint of a tenant, or of the environment, for changed tenants.
    async fn endpoint(&self, tenant: Option<TenantId>, url: String) -> Result<WebhookId> {
        let tenant = tenant.map(|id| id.to_string().parse()).transpose()?;
        let terms = Terms { types: vec![pattern("tenant.updated")?], ..Terms::default() };
        let wanted = Wanted { tenant, url, terms, only: None, scheme: Scheme::Hmac };
        Ok(webhooks::create(&self.bed.cx(), &self.bed.deps, wanted).await?.endpoint.id)
    }

    async fn commit(&self, tenant: TenantId, count: usize) -> Result<()> {
        let permit = policy::controller("tenant.update", Scope::tenant(self.bed.app.environment.clone(), tenant));
        let audit = audit::Draft {
            action: "tenant.update".into(),
            category: Category::Transition,
            outcome: Outcome::Success,
            actor: Actor::controller("bench"),
            target: format!("tenant/{tenant}"),
            version: None,
            reason: None,
            request_id: "req".into(),
            correlation_id: "bench".into(),
            policy: "builtin/v1".into(),
            changes: json!({}),
        };
        let event = |place: usize| {
            event::Draft::new(
                Type::TenantUpdated,
                json!({ "slug": "bench", "version": place, "action": "update", "changed": ["displayName"], "plan": "standard" }),
            )
        };
        let entry = Entry::tenant(tenant, audit, (0..count).map(event).collect());
        let deps = &self.bed.deps;
        deps.store().write(&permit, deps.now()).await?.commit(vec![entry]).await?;
        deps.nudge();
        Ok(())
    }

    /// Commits at the rate for a while and gives the delays of all that arrived.
    async fn round(self: &Arc<Self>, span: Duration) -> Result<Samples> {
        self.arrivals.take();
        let mut hands = tokio::task::JoinSet::new();
        for hand in 0..HANDS {
            let world = Arc::clone(self);
            hands.spawn(async move {
                let pause = Duration::from_secs(1) * HANDS * u32::try_from(EACH)? / world.rate;
                let mut tick = tokio::time::interval_at((Instant::now() + pause * hand / HANDS).into(), pause);
                let (began, mut done) = (Instant::now(), 0);
                while began.elapsed() < span {
                    tick.tick().await;
                    let place = (done * HANDS as usize + hand as usize) % TENANTS;
                    world.commit(world.tenants[place], EACH).await?;
                    done += 1;
                }
                anyhow::Ok(done * EACH)
            });
        }
        let began = Instant::now();
        let mut sent = 0;
        while let Some(done) = hands.join_next().await {
            sent += done??;
        }
        let rate = f64::from(u32::try_from(sent)?) / began.elapsed().as_secs_f64();
        ensure!(rate > f64::from(self.rate) * 0.8, "only {rate:.0} events a second could be committed");
        self.arrivals.until(sent).await?;
        Ok(self.arrivals.take())
    }
}

fn pattern(text: &str) -> Result<Pattern> {
    Pattern::parse(text).ok().context("a pattern")
}

pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    signing(bench)?;
    let world = Arc::new(World::new(bench).await?);
    for tenant in &world.tenants {
        world.endpoint(Some(*tenant), world.receiver.url()).await?;
    }
    let dead = Receiver::start(Mood::Hang).await;
    let dead_id = world.endpoint(None, dead.url()).await?;
    let runtime = world.bed.start();
    let measured = figures(bench, &world, dead_id).await;
    runtime.shutdown(&world.bed.deps).await?;
    measured
}

async fn figures(bench: &mut Bench<'_>, world: &Arc<World>, dead: WebhookId) -> Result<()> {
    let span = Duration::from_millis(bench.size.pick(8_000, 3_000, 300));
    switch(world, dead, "plan.changed").await?;
    // Connections and lanes are there before anything is measured.
    world.round(span / 3).await?;
    let (mut beside, mut without) = (Samples::default(), Samples::default());
    for _ in 0..bench.size.pick(6, 2, 1) {
        without.extend(&world.round(span).await?);
        switch(world, dead, "tenant.updated").await?;
        beside.extend(&world.round(span).await?);
        switch(world, dead, "plan.changed").await?;
        clear(bench, world, dead).await?;
    }
    bench.say(Figure::latency("from commit to arrival at 2,000 events a second", &without).p99_at_most(250.0));
    let p99 = Figure::rounds("p99 of the others beside a dead endpoint", "ms", &[beside.at(0.99)]);
    bench.say(p99.against("without it", without.at(0.99)).ratio_at_most(1.05));
    let median = Figure::rounds("median of the others beside a dead endpoint", "ms", &[beside.at(0.5)]);
    bench.say(median.against("without it", without.at(0.5)));
    replays(bench, world).await
}

/// What the endpoint that is dead wants from now on.
async fn switch(world: &World, dead: WebhookId, kind: &str) -> Result<()> {
    let change = Change { types: Some(vec![pattern(kind)?]), ..Change::default() };
    webhooks::update(&world.bed.cx(), &world.bed.deps, dead, Expected::Any, change).await?;
    Ok(())
}

/// Rounds without the dead endpoint are without its queue, too.
async fn clear(bench: &Bench<'_>, world: &World, dead: WebhookId) -> Result<()> {
    let pool = world.bed.control(bench.host, 1)?;
    let conn = pool.get().await?;
    conn.execute("DELETE FROM tenantry.webhook_queue WHERE endpoint = $1", &[&dead.uuid()]).await?;
    conn.batch_static("VACUUM tenantry.webhook_queue").await?;
    conn.release();
    Ok(())
}

/// The past of one tenant, to one endpoint.
async fn replays(bench: &mut Bench<'_>, world: &World) -> Result<()> {
    let count = bench.size.pick(20_000, 5_000, 200);
    let arrivals: Arc<Arrivals> = Arc::default();
    let into = Arc::clone(&arrivals);
    let note = move |_: Got| {
        into.count.fetch_add(1, Ordering::Relaxed);
    };
    let receiver = Receiver::start_with(Mood::Ok, Box::new(note)).await;
    let tenant = world.tenants[0];
    for _ in 0..count / 1000 + 1 {
        world.commit(tenant, 1000.min(count)).await?;
    }
    world.arrivals.until(count).await?;
    let endpoint = world.endpoint(Some(tenant), receiver.url()).await?;
    let mut rounds = Vec::new();
    for _ in 0..bench.size.pick(5, 2, 1) {
        arrivals.take();
        let began = Instant::now();
        webhooks::replay(&world.bed.cx(), &world.bed.deps, endpoint, Replay::default()).await?;
        arrivals.until(count).await?;
        rounds.push(f64::from(u32::try_from(count)?) / began.elapsed().as_secs_f64());
        // What comes behind the count is of the same replay.
        let end = Instant::now() + Duration::from_secs(60);
        while webhooks::replays(&world.bed.cx(), &world.bed.deps, endpoint)
            .await?
            .iter()
            .any(|row| row.ended_at.is_none())
            || webhooks::backlog(&world.bed.deps).await.is_none_or(|(waiting, _)| waiting > 0)
        {
            ensure!(Instant::now() < end, "the replay does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    bench.say(Figure::rounds("events of a replay to one endpoint", "/s", &rounds).at_least(5_000.0));
    Ok(())
}

/// The time of one signature over a body of usual size.
fn signing(bench: &mut Bench<'_>) -> Result<()> {
    let body = vec![b'x'; 700];
    let count = bench.size.pick(20_000_u32, 5_000, 200);
    for (title, key, most) in
        [("signing by HMAC", Key::hmac(&[7; 32])?, 20.0), ("signing by ed25519", Key::ed25519(&[7; 32])?, 60.0)]
    {
        let signer = Signer::new(vec![key]);
        let mut rounds = Vec::new();
        for _ in 0..bench.size.pick(9, 5, 1) {
            let began = Instant::now();
            for number in 0..count {
                let signed = signer.sign("evt_01jd8x3v9mfk2t5h7q0w4z6y8c", i64::from(number), &body)?;
                ensure!(!std::hint::black_box(signed).is_empty(), "nothing was signed");
            }
            rounds.push(began.elapsed().as_secs_f64() * 1_000_000.0 / f64::from(count));
        }
        bench.say(Figure::rounds(title, "µs", &rounds).at_most(most));
    }
    Ok(())
}
