//! Claims, fences and journals under several claimers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenantry_domain::workflow::{Cause, Direction, Entry, Fact, Kind, StepName};
use tenantry_store::{Claim, StoreError, WorkflowStatus};

use crate::world::{World, at, mutation, new_tenant, permit, prod, replica_id, transition};

const LEASE: Duration = Duration::from_secs(60);

fn intent(step: StepName, attempt: u32) -> Entry {
    Entry { at: at(1), fact: Fact::Intent { step, direction: Direction::Do, attempt } }
}

fn done(step: StepName) -> Entry {
    Entry { at: at(2), fact: Fact::Done { step, direction: Direction::Do, output: serde_json::json!({ "x": 1 }) } }
}

fn cause() -> Cause {
    Cause { code: "cell_down".into(), message: "the cell does not answer".into(), retryable: true }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_claimers_and_five_hundred_workflows_have_no_double_claim() {
    let world = Arc::new(World::new().await);
    let new: Vec<_> = (0..500).map(|number| new_tenant(&format!("acme-{number}x"))).collect();
    let mut tx = world.write().await;
    tx.tenants().create_many(&new).await.unwrap();
    tx.commit(new.iter().map(|new| mutation(new.id, 1)).collect()).await.unwrap();
    let mut tx = world.write().await;
    let mut entries = Vec::new();
    for new in &new {
        let workflow = tenantry_store::NewWorkflow {
            id: tenantry_domain::id::WorkflowId::from_uuid(crate::world::fresh()),
            tenant: new.id,
            kind: Kind::Onboard,
            definition_version: 1,
            target_version: 1,
            input: serde_json::Value::Null,
        };
        tx.workflows().start(&workflow).await.unwrap();
        entries.push(transition(new.id));
    }
    tx.commit(entries).await.unwrap();
    let claimed = Arc::new(Mutex::new(Vec::new()));
    let mut claimers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (world, claimed) = (Arc::clone(&world), Arc::clone(&claimed));
        claimers.spawn(async move {
            let replica = replica_id();
            let mut mine = 0;
            loop {
                let batch = world.store.claim(replica, at(10), LEASE, 7).await.unwrap();
                if batch.is_empty() && claimed.lock().unwrap().len() == 500 {
                    return mine;
                }
                mine += batch.len();
                assert!(batch.iter().all(|claimed| claimed.workflow.owner == Some(replica)));
                claimed.lock().unwrap().extend(batch.iter().map(tenantry_store::Claimed::claim));
            }
        });
    }
    let shares = claimers.join_all().await;
    let claims = claimed.lock().unwrap().clone();
    let workflows: BTreeSet<_> = claims.iter().map(|claim| claim.workflow).collect();
    let fences: BTreeSet<_> = claims.iter().map(|claim| claim.fence).collect();
    assert_eq!((claims.len(), workflows.len(), fences.len()), (500, 500, 500));
    assert!(shares.iter().filter(|share| **share > 0).count() > 1, "{shares:?}");
    assert!(world.store.renew(&claims, LEASE).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_expired_lease_is_taken_over_and_its_owner_can_do_no_harm() {
    let world = World::new().await;
    let tenant = world.create("acme").await.id;
    let id = world.start(tenant, Kind::Onboard).await;
    let old = world.store.claim(replica_id(), at(1), Duration::from_millis(30), 5).await.unwrap().remove(0).claim();
    world.store.journal(old, &[intent(StepName::Place, 1)], None).await.unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(10);
    let new = loop {
        // Nobody takes it before the lease has run out.
        match world.store.claim(replica_id(), at(1), LEASE, 5).await.unwrap().pop() {
            Some(claimed) => break claimed,
            None => assert!(std::time::Instant::now() < until),
        }
    };
    assert!(new.workflow.fence > old.fence);
    assert_eq!(new.journal, [intent(StepName::Place, 1)]);
    // Every door is closed to the former owner.
    let fenced = |result: Result<_, StoreError>| assert!(matches!(result, Err(StoreError::Fenced)), "{result:?}");
    fenced(world.store.journal(old, &[done(StepName::Place)], None).await);
    fenced(world.store.journal(old, &[], Some(at(5))).await);
    assert_eq!(world.store.renew(&[old], LEASE).await.unwrap(), [old]);
    world.store.release(&[old]).await.unwrap();
    assert!(
        world.store.claim(replica_id(), at(1), LEASE, 5).await.unwrap().is_empty(),
        "release of a former owner frees nothing"
    );
    let mut tx = world.write().await;
    fenced(tx.workflows().journal(old, &[done(StepName::Place)]).await);
    assert!(matches!(tx.commit(vec![transition(tenant)]).await, Err(StoreError::Aborted)));
    let mut tx = world.write().await;
    fenced(tx.workflows().end(old, WorkflowStatus::Completed, None).await.map(drop));
    assert!(matches!(tx.commit(vec![transition(tenant)]).await, Err(StoreError::Aborted)));
    let reader = world.store.read(&prod());
    assert_eq!(reader.journal(id).await.unwrap(), [intent(StepName::Place, 1)]);
    // The new owner goes on.
    world.store.journal(new.claim(), &[done(StepName::Place), intent(StepName::Create, 1)], None).await.unwrap();
    let row = reader.workflow(id).await.unwrap().unwrap();
    assert_eq!((row.current_step, row.steps_done, row.attempt), (Some(StepName::Create), 1, 1));
    assert_eq!(world.number("SELECT count(*) FROM tenantry.journal AS j JOIN tenantry.journal AS k ON k.workflow = j.workflow AND k.seq > j.seq AND k.fence < j.fence").await, 0);
}

#[tokio::test]
async fn a_workflow_sleeps_fails_and_shows_it() {
    let world = World::new().await;
    let tenant = world.create("acme").await.id;
    let id = world.start(tenant, Kind::Onboard).await;
    let claim = world.store.claim(replica_id(), at(1), LEASE, 5).await.unwrap().remove(0).claim();
    let failed =
        Entry { at: at(2), fact: Fact::Failed { step: StepName::Create, direction: Direction::Do, cause: cause() } };
    world.store.journal(claim, &[intent(StepName::Create, 3), failed], Some(at(30))).await.unwrap();
    let row = world.store.read(&prod()).workflow(id).await.unwrap().unwrap();
    assert_eq!((row.attempt, row.last_failure, row.owner, row.wake_at), (3, Some(cause()), None, at(30)));
    assert_eq!(world.store.next_wake().await.unwrap(), Some(at(30)));
    assert!(world.store.claim(replica_id(), at(29), LEASE, 5).await.unwrap().is_empty());
    let claimed = world.store.claim(replica_id(), at(30), LEASE, 5).await.unwrap().remove(0);
    assert_eq!(claimed.journal.len(), 2);
    world.store.journal(claimed.claim(), &[done(StepName::Create)], None).await.unwrap();
    assert_eq!(world.store.read(&prod()).workflow(id).await.unwrap().unwrap().last_failure, None);
    // A replica that leaves frees what it holds; a released one can be had at once.
    world.store.leave(claimed.workflow.owner.unwrap()).await.unwrap();
    let claimed = world.store.claim(replica_id(), at(30), LEASE, 5).await.unwrap().remove(0);
    world.store.release(&[claimed.claim()]).await.unwrap();
    assert_eq!(world.store.claim(replica_id(), at(30), LEASE, 5).await.unwrap().len(), 1);
    assert_eq!(world.store.next_wake().await.unwrap(), None);
}

#[tokio::test]
async fn one_workflow_per_tenant_until_it_ends() {
    let world = World::new().await;
    let tenant = world.create("acme").await.id;
    let id = world.start(tenant, Kind::Onboard).await;
    let new = |kind| tenantry_store::NewWorkflow {
        id: tenantry_domain::id::WorkflowId::from_uuid(crate::world::fresh()),
        tenant,
        kind,
        definition_version: 1,
        target_version: 1,
        input: serde_json::Value::Null,
    };
    let refused = |world: &World| {
        let store = world.store.clone();
        let new = new(Kind::Update);
        async move {
            let mut tx = store.write(&permit(), at(0)).await.unwrap();
            tx.workflows().start(&new).await
        }
    };
    assert!(matches!(refused(&world).await, Err(StoreError::WorkflowRunning { id: running }) if running == id));
    // Stuck counts as unfinished.
    let claim = world.store.claim(replica_id(), at(1), LEASE, 5).await.unwrap().remove(0).claim();
    let end = |claim: Claim, status, cause: Option<Cause>| {
        let store = world.store.clone();
        async move {
            let mut tx = store.write(&permit(), at(7)).await.unwrap();
            let row = tx.workflows().end(claim, status, cause.as_ref()).await.unwrap();
            tx.commit(vec![transition(tenant)]).await.unwrap();
            row
        }
    };
    let stuck = end(claim, WorkflowStatus::Stuck, Some(cause())).await;
    assert_eq!((stuck.status, stuck.ended_at, stuck.cause), (WorkflowStatus::Stuck, None, Some(cause())));
    assert!(matches!(refused(&world).await, Err(StoreError::WorkflowRunning { .. })));
    assert!(matches!(world.store.journal(claim, &[done(StepName::Create)], None).await, Err(StoreError::Fenced)));
    assert!(world.store.claim(replica_id(), at(99), LEASE, 5).await.unwrap().is_empty());
    assert_eq!(world.store.read(&prod()).workflows_by_status(WorkflowStatus::Stuck, 10).await.unwrap().len(), 1);
    // A human lets it go on.
    let mut tx = world.write().await;
    assert_eq!(tx.workflows().open_of(tenant).await.unwrap().unwrap().id, id);
    let row = tx.workflows().retry(id).await.unwrap();
    assert_eq!((row.status, row.cause), (WorkflowStatus::Running, None));
    tx.commit(vec![transition(tenant)]).await.unwrap();
    let claimed = world.store.claim(replica_id(), at(10), LEASE, 5).await.unwrap().remove(0);
    assert_eq!(claimed.journal.last().unwrap().fact, Fact::RetryRequested);
    let ended = end(claimed.claim(), WorkflowStatus::Completed, None).await;
    assert_eq!(ended.ended_at, Some(at(7)));
    let mut tx = world.write().await;
    assert!(matches!(tx.workflows().retry(id).await, Err(StoreError::NotFound)));
    assert!(matches!(tx.workflows().cancel(id).await, Err(StoreError::NotFound)));
    tx.workflows().start(&new(Kind::Update)).await.unwrap();
    tx.commit(vec![transition(tenant)]).await.unwrap();
    let all = world.store.read(&prod()).workflows(tenant, 10).await.unwrap();
    assert_eq!(all.iter().map(|row| row.kind).collect::<BTreeSet<_>>(), [Kind::Onboard, Kind::Update].into());
}

#[tokio::test]
async fn a_cancel_reaches_the_owner_at_its_next_write() {
    let world = World::new().await;
    let tenant = world.create("acme").await.id;
    let id = world.start(tenant, Kind::Onboard).await;
    let claim = world.store.claim(replica_id(), at(1), LEASE, 5).await.unwrap().remove(0).claim();
    world.store.journal(claim, &[intent(StepName::Place, 1)], None).await.unwrap();
    let mut tx = world.write().await;
    assert!(tx.workflows().cancel(id).await.unwrap().cancel_requested);
    tx.commit(vec![transition(tenant)]).await.unwrap();
    assert!(matches!(world.store.journal(claim, &[done(StepName::Place)], None).await, Err(StoreError::Fenced)));
    let claimed = world.store.claim(replica_id(), at(1), LEASE, 5).await.unwrap().remove(0);
    assert_eq!(claimed.journal, [intent(StepName::Place, 1), Entry { at: at(0), fact: Fact::CancelRequested }]);
    assert!(claimed.workflow.cancel_requested);
}

/// A takeover and a write of the old owner at the same moment: one of them comes first, and both are right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn takeover_and_write_in_a_race_leave_a_journal_of_rising_fences() {
    let world = Arc::new(World::new().await);
    let tenant = world.create("acme").await.id;
    let id = world.start(tenant, Kind::Onboard).await;
    let mut owners = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let world = Arc::clone(&world);
        owners.spawn(async move {
            let replica = replica_id();
            let (mut written, mut fenced) = (0_u32, 0_u32);
            for _ in 0..40 {
                for claimed in world.store.claim(replica, at(1), Duration::ZERO, 1).await.unwrap() {
                    match world.store.journal(claimed.claim(), &[intent(StepName::Create, 1)], None).await {
                        Ok(()) => written += 1,
                        Err(StoreError::Fenced) => fenced += 1,
                        Err(other) => panic!("{other:?}"),
                    }
                }
            }
            (written, fenced)
        });
    }
    let counts = owners.join_all().await;
    let written: u32 = counts.iter().map(|(written, _)| written).sum();
    let fenced: u32 = counts.iter().map(|(_, fenced)| fenced).sum();
    assert!(written > 0 && fenced > 0, "{written} written, {fenced} fenced");
    assert_eq!(world.store.read(&prod()).journal(id).await.unwrap().len(), usize::try_from(written).unwrap());
    assert_eq!(
        world.number("SELECT count(*) FROM (SELECT fence, lag(fence) OVER (ORDER BY seq) AS before, seq, row_number() OVER (ORDER BY seq) AS place FROM tenantry.journal) AS j WHERE before > fence OR seq <> place").await,
        0
    );
}

/// A replica that is stopped inside a transaction lives on for its server, and so do its locks, for a bounded time.
#[tokio::test]
async fn a_transaction_that_stands_still_does_not_keep_its_locks() {
    let world = World::with_connections(4).await;
    let row = world.create("acme").await;
    let mut frozen_options = crate::world::options(&world.database.url(), 2);
    frozen_options.pool.idle_in_tx = Duration::from_millis(200);
    let frozen = tenantry_store::Store::new(frozen_options);
    let mut standing = frozen.write(&permit(), at(1)).await.unwrap();
    standing.tenants().lock(row.id).await.unwrap();
    let mut other = world.write().await;
    other.tenants().lock(row.id).await.unwrap();
    assert!(standing.workflows().open_of(row.id).await.is_err(), "the server has ended it");
    other.rollback().await;
    // Also where the options of the pool allow more.
    let conn = world.store.pool().get().await.unwrap();
    let rows = conn.query("SELECT current_setting('idle_in_transaction_session_timeout')", &[]).await.unwrap();
    assert_eq!(rows[0].get::<_, String>(0), "5s");
    conn.release();
}

/// Rolling releases: what one of them cannot read is left to the other one, and keeps nobody back.
#[tokio::test]
async fn a_run_that_this_release_cannot_read_keeps_no_other_one_back() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for name in ["acme", "globex", "initech"] {
        let tenant = world.create(name).await.id;
        ids.push(world.start(tenant, Kind::Onboard).await);
    }
    let (good, new, odd) = (ids[0], ids[1], ids[2]);
    world.sql(&format!("UPDATE tenantry.workflow SET kind = 'move' WHERE id = '{}'", new.uuid()));
    world.sql(&format!(
        "INSERT INTO tenantry.journal (env, workflow, seq, at, fact, fence)
         VALUES ('prod', '{0}', 1, now(), '{{\"fact\": \"later\"}}', 0);
         UPDATE tenantry.workflow SET journal_seq = 1 WHERE id = '{0}'",
        odd.uuid()
    ));
    let claimed = world.store.claim(replica_id(), at(1), LEASE, 10).await.unwrap();
    assert_eq!(claimed.iter().map(|claimed| claimed.workflow.id).collect::<Vec<_>>(), [good]);
    // A kind that is not known is never taken; what cannot be read is given back and left alone for a while.
    let left = "SELECT count(*) FROM tenantry.workflow WHERE owner IS NULL AND lease_until IS NULL AND kind = 'move' AND fence = 0";
    assert_eq!(world.number(left).await, 1);
    let left = "SELECT count(*) FROM tenantry.workflow WHERE owner IS NULL AND fence > 0
        AND wake_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '5 seconds'";
    assert_eq!(world.number(left).await, 1);
    assert!(world.store.claim(replica_id(), at(1), LEASE, 10).await.unwrap().is_empty());
    // Readers show what can be shown.
    let journals = world.store.read(&prod()).journals(&[good, odd]).await.unwrap();
    assert!(!journals.contains_key(&odd));
    assert_eq!(world.store.read(&prod()).workflows_by_status(WorkflowStatus::Running, 10).await.unwrap().len(), 2);
}

/// Whoever starts a run may have a clock that is ahead; nobody waits until it has come true.
#[tokio::test]
async fn a_run_is_due_at_once_whatever_clock_started_it() {
    let world = World::new().await;
    let tenant = world.create("acme").await.id;
    let ahead = at(10 * 365 * 86_400);
    let mut tx = world.store.write(&permit(), ahead).await.unwrap();
    let new = tenantry_store::NewWorkflow {
        id: tenantry_domain::id::WorkflowId::from_uuid(crate::world::fresh()),
        tenant,
        kind: Kind::Onboard,
        definition_version: 1,
        target_version: 1,
        input: serde_json::Value::Null,
    };
    tx.workflows().start(&new).await.unwrap();
    tx.commit(vec![transition(tenant)]).await.unwrap();
    let now = world.store.clock().await.unwrap();
    assert_eq!(world.store.claim(replica_id(), now, LEASE, 5).await.unwrap().len(), 1);
}
