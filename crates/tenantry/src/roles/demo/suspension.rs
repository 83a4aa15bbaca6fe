//! Chapter: one customer out within a second, everybody else without noticing, and back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tenantry_api::client::Expected;
use tenantry_api::v1::tenant::Suspension;
use tenantry_dataplane::TenantTxError;

use super::onboarding::NEIGHBOUR;
use super::stage::{Customer, PATIENCE, Stage};
use super::story::Story;
use crate::exit::{Failure, Result};
use crate::output::duration;

/// The promise: from the API's answer to the closed door.
const PROMISE: Duration = Duration::from_secs(1);

/// What the neighbour's application went through.
#[derive(Default)]
struct Probe {
    stop: AtomicBool,
    good: AtomicU64,
    bad: AtomicU64,
    slowest_micros: AtomicU64,
}

impl Probe {
    async fn run(&self, stage: &Stage, customer: &Customer) {
        while !self.stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            let is_good = Self::once(stage, customer).await.is_ok_and(|rows| rows == customer.rows);
            if is_good { &self.good } else { &self.bad }.fetch_add(1, Ordering::Relaxed);
            let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.slowest_micros.fetch_max(micros, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    async fn once(stage: &Stage, customer: &Customer) -> Result<i64, TenantTxError> {
        let tx = stage.router.enter(&customer.door).await?;
        let rows = tx.query_one("SELECT count(*) FROM messages", &[]).await?.get(0);
        tx.commit().await.map_err(|error| TenantTxError::from(error.into_inner()))?;
        Ok(rows)
    }
}

/// Suspends Acme while it works and while its neighbours work, then resumes it.
pub async fn tell(story: &mut Story, stage: &Stage, customers: &[Customer]) -> Result<()> {
    story.chapter("Suspension: one customer out, nobody else disturbed")?;
    let named = |slug: &str| {
        customers.iter().find(|customer| customer.slug == slug).ok_or_else(|| Failure::broken(format!("No {slug}"), ""))
    };
    let (acme, neighbour, other) = (named("acme")?, named(NEIGHBOUR)?, named("globex")?);
    let (near, far) = (Probe::default(), Probe::default());
    let play = async {
        let played = play(story, stage, acme).await;
        near.stop.store(true, Ordering::Relaxed);
        far.stop.store(true, Ordering::Relaxed);
        played
    };
    let (played, (), ()) = tokio::join!(play, near.run(stage, neighbour), far.run(stage, other));
    played?;
    for (customer, probe) in [(neighbour, &near), (other, &far)] {
        let (good, bad) = (probe.good.load(Ordering::Relaxed), probe.bad.load(Ordering::Relaxed));
        let slowest = Duration::from_micros(probe.slowest_micros.load(Ordering::Relaxed));
        story.check(
            format!("{} worked on all the while: 0 errors", customer.slug),
            bad == 0 && good > 0,
            format!("{good} transactions, {bad} errors, the slowest took {}", duration(slowest)),
        )?;
    }
    Ok(())
}

async fn play(story: &mut Story, stage: &Stage, acme: &Customer) -> Result<()> {
    let open = stage.enter(acme).await?;
    let suspension = Suspension { reason: "commercial".to_owned(), note: Some("invoice 4711 unpaid".to_owned()) };
    let answer = stage.client.suspend_tenant(&acme.slug, Expected::Any, &suspension, None).await?;
    let answered = Instant::now();
    let cut = async {
        // The transaction that was open works until it is ended from outside.
        while open.query_one("SELECT pg_sleep(0.01)", &[]).await.is_ok() {
            if answered.elapsed() > PATIENCE {
                return None;
            }
        }
        Some(answered.elapsed())
    };
    let refused = async {
        while answered.elapsed() < PATIENCE {
            match stage.router.enter(&acme.door).await {
                Err(TenantTxError::Suspended) => return Some(answered.elapsed()),
                Ok(tx) => drop(tx),
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        None
    };
    let (cut, refused) = tokio::join!(cut, refused);
    stage.completed(answer.operation).await?;
    let shown = |after: Option<Duration>| {
        after.map_or_else(|| "never".to_owned(), |after| format!("after {}", duration(after)))
    };
    let in_time = |after: Option<Duration>| after.is_some_and(|after| after < PROMISE);
    story.check(
        "acme is suspended: new transactions are refused within a second of the API's answer",
        in_time(refused),
        shown(refused),
    )?;
    story.check("a transaction that it had open is cut", in_time(cut), shown(cut))?;
    let state = stage.client.tenant(&acme.slug).await?.value.status.state;
    story.check("the registry says so", state == "suspended", state)?;
    resume(story, stage, acme).await
}

async fn resume(story: &mut Story, stage: &Stage, acme: &Customer) -> Result<()> {
    let answer = stage.client.tenant_verb(&acme.slug, "resume", Expected::Any, None).await?;
    let answered = Instant::now();
    let rows = loop {
        match Probe::once(stage, acme).await {
            Ok(rows) => break Some(rows),
            Err(_) if answered.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(_) => break None,
        }
    };
    let took = answered.elapsed();
    stage.completed(answer.operation).await?;
    story.check(
        "resumed: acme works again, every row is there",
        rows == Some(acme.rows),
        format!("after {}", duration(took)),
    )
}
