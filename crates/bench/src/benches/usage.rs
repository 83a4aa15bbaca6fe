//! How many usage events a second one PostgreSQL counts, and how long after a call began its events are in a report.
//!
//! Calls are what a server does with them but for HTTP: a batch of a thousand CloudEvents is read from JSON, judged, and
//! counted by one statement that commits. At the end every sum is compared with what was sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tenantry_control::usage::{self, Asked};
use tenantry_domain::manifest::Manifest;
use tenantry_domain::tenant::Slug;
use tenantry_domain::usage::{Aggregation, MeterSpec, Window};

use super::Bench;
use crate::bed::Bed;
use crate::crowd::{self, Member};
use crate::measure::Samples;
use crate::report::Figure;

const METER: &str = "egress";

/// Events of one call: as many as it may have.
const BATCH: usize = 1_000;

/// Callers at a time.
const CALLERS: usize = 6;

pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let bed = Arc::new(Bed::install(bench.host, "usage", 16).await?);
    let spec = MeterSpec {
        description: None,
        unit: "byte".to_owned(),
        aggregation: Aggregation::Sum,
        value: Some("bytes".parse()?),
        dimensions: vec!["region".parse()?],
        quota: None,
    };
    bed.apply(&[Manifest::Meter { name: METER.parse()?, spec }]).await?;
    let members = crowd::make(&bed, "metered", bench.size.pick(1_000, 1_000, 5), |_, _| {})?;
    crowd::register(&bed, bench.host, &members).await?;
    let members = Arc::new(members);
    let calls = bench.size.pick(300, 60, 2);
    let mut rounds = Vec::new();
    for round in 0..bench.size.pick(7, 3, 1) {
        rounds.push(count(&bed, &members, round, calls).await?);
    }
    let sent = rounds.len() * calls * BATCH;
    ensure!(total(&bed).await? == (sent.to_string(), i64::try_from(sent)?), "what was counted is not what was sent");
    let title = format!("events counted, {} tenants, {CALLERS} callers with batches of {BATCH}", members.len());
    bench.say(Figure::rounds(title, "/s", &rounds).at_least(25_000.0));
    let samples = visible(&bed, &members, bench.size.pick(2_000, 300, 3)).await?;
    let title = "from the beginning of a call of 100 events to a report that has them, beside one full caller";
    bench.say(Figure::latency(title, &samples).p99_at_most(1_000.0));
    Ok(())
}

/// The JSON of a batch whose ids nobody had before; every event counts one byte.
fn batch(bed: &Bed, members: &[Member], source: &str, first: usize, count: usize) -> String {
    let time = bed.deps.now().to_string();
    let event = |number: usize| {
        let place = number.wrapping_mul(7_919) % members.len();
        json!({
            "specversion": "1.0", "id": format!("req-{number:012}"), "source": source, "type": METER,
            "subject": members[place].slug.as_str(), "time": time,
            "data": { "bytes": 1, "region": if number.is_multiple_of(3) { "eu-west" } else { "us-east" }, "path": "/v1/things" },
        })
    };
    serde_json::Value::Array((first..first + count).map(event).collect()).to_string()
}

async fn send(bed: &Bed, text: &str) -> Result<usize> {
    let events = usage::read_events(text.as_bytes()).ok().context("the batch cannot be read")?;
    let counted = usage::ingest(&bed.cx(), &bed.deps, events).await?;
    ensure!(counted.faults.is_empty(), "{:?}", counted.faults.first());
    Ok(counted.accepted)
}

/// Events a second of one round. The batches are made before the clock runs.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
async fn count(bed: &Arc<Bed>, members: &Arc<Vec<Member>>, round: usize, calls: usize) -> Result<f64> {
    let source = format!("/round/{round}");
    let texts: Vec<String> = (0..calls).map(|call| batch(bed, members, &source, call * BATCH, BATCH)).collect();
    let (texts, next) = (Arc::new(texts), Arc::new(AtomicUsize::new(0)));
    let began = Instant::now();
    let callers = (0..CALLERS).map(|_| {
        let (bed, texts, next) = (Arc::clone(bed), Arc::clone(&texts), Arc::clone(&next));
        tokio::spawn(async move {
            let mut accepted = 0;
            while let Some(text) = texts.get(next.fetch_add(1, Ordering::Relaxed)) {
                accepted += send(&bed, text).await?;
            }
            anyhow::Ok(accepted)
        })
    });
    let mut accepted = 0;
    for caller in callers.collect::<Vec<_>>() {
        accepted += caller.await??;
    }
    let seconds = began.elapsed().as_secs_f64();
    ensure!(accepted == calls * BATCH, "{accepted} events were new");
    Ok(accepted as f64 / seconds)
}

fn asked() -> Result<Asked> {
    Ok(Asked { meter: METER.parse()?, from: None, to: None, window: Window::Day, group: Vec::new() })
}

/// What all tenants had together: figure and events.
async fn total(bed: &Bed) -> Result<(String, i64)> {
    let ranking = usage::ranking(&bed.cx(), &bed.deps, &asked()?, 10_000).await?;
    let (mut events, mut value) = (0, 0_u64);
    for share in &ranking.shares {
        events += share.events;
        value += share.value.whole();
    }
    Ok((value.to_string(), events))
}

/// The time from the beginning of a call to the end of a report in which its events are, while another caller sends.
async fn visible(bed: &Arc<Bed>, members: &Arc<Vec<Member>>, calls: usize) -> Result<Samples> {
    let over = Arc::new(AtomicBool::new(false));
    let neighbour = {
        let (bed, members, over) = (Arc::clone(bed), Arc::clone(members), Arc::clone(&over));
        tokio::spawn(async move {
            let mut first = 0;
            while !over.load(Ordering::Relaxed) {
                send(&bed, &batch(&bed, &members, "/neighbour", first, BATCH)).await?;
                first += BATCH;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            anyhow::Ok(())
        })
    };
    let one = &members[..1];
    let slug: Slug = one[0].slug.clone();
    let seen = async || -> Result<i64> {
        let report = usage::report(&bed.cx(), &bed.deps, &slug.as_str().parse()?, &asked()?).await?;
        Ok(report.rows.iter().map(|row| row.events).sum())
    };
    let mut samples = Samples::default();
    for call in 0..calls {
        let before = seen().await?;
        let text = batch(bed, one, "/seen", call * 100, 100);
        let began = Instant::now();
        send(bed, &text).await?;
        ensure!(seen().await? >= before + 100, "what was answered was not in the report");
        samples.push(began.elapsed());
    }
    over.store(true, Ordering::Relaxed);
    neighbour.await??;
    Ok(samples)
}
