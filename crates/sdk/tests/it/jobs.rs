//! Jobs from their enqueuing to their end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tenantry_sdk::{Error, FairQueue, Job, JobError, JobPolicy, OnSuspended, Outcome, TenantTx, context};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::world::{Count, LEVELS, World, until};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    body: String,
}

fn note(body: &str) -> Note {
    Note { body: body.to_owned() }
}

async fn write(tx: TenantTx, note: Note) -> Result<String, Error> {
    let slug = tx.tenant().slug().to_owned();
    assert_eq!(context::current().unwrap().slug(), slug);
    tx.execute("INSERT INTO notes (body) VALUES ($1)", &[&note.body]).await?;
    tx.commit().await?;
    Ok(slug)
}

async fn count(world: &World, tenant: &tenantry_sdk::Tenant) -> i64 {
    let tx = world.tenantry().begin(tenant).await.unwrap();
    tx.query_one("SELECT count(*) FROM notes", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn two_jobs_of_two_tenants_in_one_worker_at_every_level() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    let (factory, jobs) = (world.factory(&tenantry), tenantry.jobs(JobPolicy::default()));
    for level in LEVELS {
        let (one, other) = (factory.make(level).await.unwrap().tenant, factory.make(level).await.unwrap().tenant);
        for tenant in [&one, &other] {
            let job = jobs.enqueue(tenant, note("x")).await.unwrap();
            let text = serde_json::to_string(&job).unwrap();
            assert!(text.contains(&format!("\"tenant\":\"{}\",\"generation\":1", tenant.id())), "{text}");
            let job: Job<Note> = serde_json::from_str(&text).unwrap();
            match jobs.run(job, write).await {
                Outcome::Done(slug) => assert_eq!(slug, tenant.slug()),
                other => panic!("{other:?}"),
            }
            assert!(matches!(context::current(), Err(Error::TenantScopeMissing)), "gone with the job");
        }
        assert_eq!((count(&world, &one).await, count(&world, &other).await), (1, 1));
        // What a failing job did is undone.
        let job = jobs.enqueue(&one, note("y")).await.unwrap();
        let failing = |tx: TenantTx, note: Note| async move {
            tx.execute("INSERT INTO notes (body) VALUES ($1)", &[&note.body]).await.unwrap();
            Err::<(), _>("it gave up")
        };
        assert!(matches!(jobs.run(job, failing).await, Outcome::Failed("it gave up")));
        assert_eq!(count(&world, &one).await, 1);
    }
    for bad in [
        r#"{"generation":1,"payload":{"body":"x"},"enqueuedAt":"2026-01-01T00:00:00Z"}"#,
        r#"{"tenant":"acme","generation":1,"payload":{"body":"x"},"enqueuedAt":"2026-01-01T00:00:00Z"}"#,
        r#"{"tenant":null,"generation":1,"payload":{"body":"x"},"enqueuedAt":"2026-01-01T00:00:00Z"}"#,
    ] {
        assert!(serde_json::from_str::<Job<Note>>(bad).is_err(), "{bad}");
    }
    world.end().await;
}

#[tokio::test]
async fn jobs_are_held_or_refused_by_the_state_of_their_tenant() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    let factory = world.factory(&tenantry);
    let hold = tenantry.jobs(JobPolicy::default());
    let refuse = tenantry.jobs(JobPolicy { suspended: OnSuspended::Refuse, only: None });
    let (made, ran) = (factory.make("shared").await.unwrap(), Count::default());
    let tenant = made.tenant.clone();
    let work = |tx: TenantTx, (): ()| {
        let ran = ran.clone();
        async move {
            ran.up();
            tx.commit().await
        }
    };
    let job = hold.enqueue(&tenant, ()).await.unwrap();
    factory.suspend(&made).await.unwrap();
    let Outcome::Held { cause, retry_after } = hold.run(job.clone(), work).await else { panic!("held") };
    assert_eq!((cause.reason(), retry_after), ("TenantSuspended", 30));
    assert!(matches!(refuse.run(job.clone(), work).await, Outcome::Refused(Error::TenantSuspended(_))));
    assert!(hold.enqueue(&tenant, ()).await.is_ok(), "it waits with the others");
    assert!(matches!(refuse.enqueue(&tenant, ()).await, Err(JobError::Refused(Error::TenantSuspended(_)))));
    assert_eq!(ran.get(), 0);
    factory.resume(&made).await.unwrap();
    assert!(matches!(hold.run(job.clone(), work).await, Outcome::Done(())));
    assert_eq!(ran.get(), 1, "a held job runs once");

    // Suspended between the look and the transaction: the gate on the cell decides.
    let gate =
        |letter: &str| format!("UPDATE tenantry.tenant SET state = '{letter}' WHERE tenant_id = '{}'", tenant.uuid());
    world.on_cell(&tenantry, &tenant, &gate("s")).await;
    assert!(matches!(hold.run(job.clone(), work).await, Outcome::Held { .. }));
    world.on_cell(&tenantry, &tenant, &gate("a")).await;

    // A worker of one tenant runs no other's jobs.
    let other = factory.make("shared").await.unwrap().tenant;
    let bound = tenantry.jobs(JobPolicy { only: Some(other.id()), ..JobPolicy::default() });
    assert!(matches!(bound.run(job.clone(), work).await, Outcome::Refused(Error::TenantMismatch(_))));

    world.set_line(false);
    let away = world.tenantry().jobs(JobPolicy::default());
    assert!(matches!(away.run(job.clone(), work).await, Outcome::Retry(Error::ControlPlaneUnavailable(_))));
    assert!(matches!(away.enqueue(&tenant, ()).await, Err(JobError::Unavailable(_))));
    world.set_line(true);
    tokio::time::sleep(Duration::from_millis(1_100)).await;

    factory.suspend(&made).await.unwrap();
    factory.archive(&made).await.unwrap();
    until("it is archived", || async {
        matches!(hold.enqueue(&tenant, ()).await, Err(JobError::Refused(Error::TenantGone(_)))).then_some(())
    })
    .await;
    assert!(matches!(hold.run(job.clone(), work).await, Outcome::Refused(Error::TenantGone(_))));
    factory.remove(&made).await.unwrap();
    until("it is deleted", || async {
        matches!(hold.enqueue(&tenant, ()).await, Err(JobError::Refused(Error::TenantNotFound(_)))).then_some(())
    })
    .await;
    assert!(matches!(hold.run(job, work).await, Outcome::Refused(Error::TenantNotFound(_))));
    assert_eq!(ran.get(), 1, "nothing ran that was held or refused");
    world.end().await;
}

#[tokio::test]
async fn a_flood_of_jobs_does_not_hold_up_another_tenants_job() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    let (factory, jobs) = (world.factory(&tenantry), tenantry.jobs(JobPolicy::default()));
    let (flood, other) = (factory.make("shared").await.unwrap().tenant, factory.make("shared").await.unwrap().tenant);
    let queue = FairQueue::new(2, 10_000, 5_000);
    for _ in 0..1_000 {
        queue.push(flood.id(), jobs.enqueue(&flood, ()).await.unwrap()).unwrap();
    }
    let (started, began) = (Arc::new(Mutex::new(None)), Instant::now());
    queue.push(other.id(), jobs.enqueue(&other, ()).await.unwrap()).unwrap();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (queue, jobs, other, started) = (queue.clone(), jobs.clone(), other.id(), Arc::clone(&started));
            tokio::spawn(async move {
                while started.lock().unwrap().is_none() {
                    let mut leased = queue.next().await;
                    let is_other = leased.tenant() == other;
                    let job = leased.take().unwrap();
                    let started = Arc::clone(&started);
                    let work = async move |tx: TenantTx, (): ()| {
                        if is_other {
                            *started.lock().unwrap() = Some(began.elapsed());
                        }
                        tx.query("SELECT pg_sleep(0.01)", &[]).await?;
                        tx.commit().await
                    };
                    assert!(matches!(jobs.run(job, work).await, Outcome::Done(())));
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let started = started.lock().unwrap().unwrap();
    eprintln!("jobs: behind 1,000 jobs of another tenant, a job began after {started:?}; {} were left", queue.len());
    assert!(queue.len() > 900, "it did not wait for the others");
    world.end().await;
}

/// Fields of spans, by the span's name.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Closed>>>);

type Closed = (String, BTreeMap<String, String>);

struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        let mut fields = Fields(BTreeMap::new());
        attributes.record(&mut fields);
        cx.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: Context<'_, S>) {
        if let Some(fields) = cx.span(id).unwrap().extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_close(&self, id: Id, cx: Context<'_, S>) {
        let span = cx.span(&id).unwrap();
        if let Some(fields) = span.extensions().get::<Fields>() {
            self.0.lock().unwrap().push((span.name().to_owned(), fields.0.clone()));
        }
    }
}

#[tokio::test]
async fn spans_of_requests_and_jobs_say_whose_they_are() {
    let spans = Spans::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(spans.clone()));
    let world = World::new().await;
    let tenantry = world.tenantry();
    let acme = world.named(&tenantry, "acme", "shared", "active").await.tenant;
    let service = crate::service::Service::start(&tenantry, crate::service::everywhere()).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(service.get("/notes", &[("host", "acme.app.example.com"), ("traceparent", trace)]).await.status, 200);
    let jobs = tenantry.jobs(JobPolicy::default());
    let job = jobs.enqueue(&acme, note("x")).await.unwrap().with_trace(Some(trace.to_owned()));
    assert!(matches!(jobs.run(job, write).await, Outcome::Done(_)));
    let seen = spans.0.lock().unwrap().clone();
    for (name, link) in [("tenant.request", "trace.parent"), ("tenant.job", "trace.link")] {
        let (_, fields) = seen.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name}: {seen:?}"));
        let id = acme.id().to_string();
        for (field, value) in [
            ("tenant.id", id.as_str()),
            ("tenant.slug", "acme"),
            ("tenant.cell", "eu-west-1"),
            ("tenant.isolation", "shared"),
            ("tenant.generation", "1"),
            (link, trace),
        ] {
            assert_eq!(fields.get(field).map(String::as_str), Some(value), "{name} {field}: {fields:?}");
        }
    }
    world.end().await;
}
