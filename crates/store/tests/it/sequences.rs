//! Numbers without gaps, whatever happens to the writers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tenantry_domain::audit::Category;
use tenantry_domain::event::{self, Type};
use tenantry_domain::id::TenantId;
use tenantry_store::{Entry, StoreError, Subject};

use crate::world::{World, at, change, draft, mutation, permit, prod};

/// A small generator: tests must fail the same way twice.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

async fn mutate(world: &World, id: TenantId, events: u64) -> Result<(), StoreError> {
    let mut tx = world.store.write(&permit(), at(1)).await?;
    let row = tx.tenants().lock(id).await?;
    let row = tx.tenants().apply(&change(&row, row.spec.clone())).await?;
    let mut entry = mutation(id, row.version);
    entry.events =
        (0..events).map(|number| event::Draft::new(Type::TenantUpdated, json!({ "number": number }))).collect();
    let audit = draft("catalog.touch", Category::Workflow, None);
    let entries = if events == 3 { vec![entry, Entry::environment(audit, vec![])] } else { vec![entry] };
    tx.commit(entries).await.map(|_| ())
}

/// Eight writers on three tenants. Some transactions are dropped at a random await, some backends are killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequences_have_no_gaps_under_eight_writers_and_kills() {
    let world = Arc::new(World::with_connections(12).await);
    let mut ids = Vec::new();
    for name in ["acme", "globex", "initech"] {
        ids.push(world.create(name).await.id);
    }
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8_u64 {
        let (world, ids) = (Arc::clone(&world), ids.clone());
        writers.spawn(async move {
            let mut dice = Dice(writer + 1);
            let (mut acknowledged, mut unknown) = (0_i64, 0_i64);
            for _ in 0..60 {
                let id = ids[usize::try_from(dice.roll(3)).unwrap()];
                let work = mutate(&world, id, dice.roll(4));
                let patience = match dice.roll(4) {
                    0 => Duration::from_micros(dice.roll(6_000)),
                    _ => Duration::from_secs(30),
                };
                match tokio::time::timeout(patience, work).await {
                    Ok(Ok(())) => acknowledged += 1,
                    // Cancelled, or killed: it may have been committed.
                    Err(_) | Ok(Err(StoreError::UnknownOutcome)) => unknown += 1,
                    Ok(Err(error)) => assert!(error.is_unavailable(), "{error:?}"),
                }
            }
            (acknowledged, unknown)
        });
    }
    let (killer, over) = (Arc::clone(&world), Arc::new(AtomicBool::new(false)));
    let is_over = Arc::clone(&over);
    let killing = tokio::spawn(async move {
        while !is_over.load(Ordering::Acquire) {
            killer.sql(&format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = '{}' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1",
                killer.database.name()
            ));
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    });
    let counts = writers.join_all().await;
    // Waited for: a last blow under way would hit the questions below.
    over.store(true, Ordering::Release);
    killing.await.unwrap();
    let acknowledged: i64 = counts.iter().map(|(acknowledged, _)| acknowledged).sum();
    let unknown: i64 = counts.iter().map(|(_, unknown)| unknown).sum();
    assert!(acknowledged > 20 && unknown > 20, "{acknowledged} acknowledged, {unknown} unknown");
    // Connections that died are seen by the first who uses them.
    for _ in 0..20 {
        let _ = world.store.ping().await;
    }
    // Cancelled transactions may still be on their way out.
    world.quiet().await;
    let until = std::time::Instant::now() + Duration::from_secs(10);
    while world.number("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'").await > 0 {
        assert!(std::time::Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let gaps = world
        .number(
            "SELECT count(*) FROM (
                SELECT sequence AS found, row_number() OVER (PARTITION BY env, subject ORDER BY sequence) AS expected FROM tenantry.outbox
                UNION ALL
                SELECT seq, row_number() OVER (PARTITION BY env, subject ORDER BY seq) FROM tenantry.audit
                UNION ALL
                SELECT version, row_number() OVER (PARTITION BY env, tenant ORDER BY version) FROM tenantry.tenant_version
            ) AS numbers WHERE found <> expected",
        )
        .await;
    assert_eq!(gaps, 0);
    // A version, its entry and its event were written by the same transaction.
    let apart = world
        .number(
            "SELECT count(*) FROM tenantry.tenant_version AS v
             LEFT JOIN tenantry.audit AS a ON a.env = v.env AND a.subject = v.tenant AND a.xmin = v.xmin
                AND (a.entry::jsonb->>'version')::bigint = v.version
             WHERE a.seq IS NULL OR EXISTS (
                SELECT FROM tenantry.outbox AS o WHERE o.subject = v.tenant AND o.version = v.version AND o.xmin <> v.xmin
             )",
        )
        .await;
    assert_eq!(apart, 0);
    let mut versions = 0;
    for id in &ids {
        let row = world.row(*id).await;
        versions += row.version - 1;
        let events = world.store.read(&prod()).events(Subject::Tenant(*id), 0, 100_000).await.unwrap();
        assert_eq!(events.len(), usize::try_from(row.event_seq).unwrap());
        assert!(events.windows(2).all(|pair| pair[0].version <= pair[1].version));
    }
    assert!(versions >= acknowledged && versions <= acknowledged + unknown, "{acknowledged} {versions} {unknown}");
    let verification = world.store.verify_audit(None, None).await.unwrap();
    assert!(verification.findings.is_empty(), "{verification:?}");
    assert_eq!(verification.subjects, 4);
}

#[tokio::test]
async fn events_are_read_behind_a_number_and_by_id() {
    let world = World::new().await;
    let id = world.create("acme").await.id;
    for _ in 0..3 {
        mutate(&world, id, 2).await.unwrap();
    }
    let reader = world.store.read(&prod());
    let events = reader.events(Subject::Tenant(id), 2, 3).await.unwrap();
    assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(events.iter().map(|event| event.version).collect::<Vec<_>>(), [Some(2), Some(3), Some(3)]);
    let found = reader.event(events[1].id).await.unwrap().unwrap();
    assert_eq!(found, events[1]);
    assert_eq!(
        (found.kind, found.correlation_id.as_str(), found.causation_id.as_str()),
        (Type::TenantUpdated, "c-1", "req-1")
    );
}

#[tokio::test]
async fn a_commit_nudges_the_other_replicas() {
    let world = World::new().await;
    let other = world.again(2);
    let mut nudges = other.nudges().await.unwrap();
    for _ in 0..3 {
        world.create(&format!("acme-{}x", crate::world::fresh().as_u128() % 1000)).await;
        tokio::time::timeout(Duration::from_secs(5), nudges.next()).await.expect("a nudge");
    }
    assert!(world.store.clock().await.is_ok());
}
