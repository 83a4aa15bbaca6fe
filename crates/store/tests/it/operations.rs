//! Operations are derived from what they aim at.

use serde_json::json;
use tenantry_domain::id::TenantId;
use tenantry_domain::tenant::lifecycle::State;
use tenantry_domain::workflow::{Cause, Kind};
use tenantry_store::{NewOperation, OperationFilter, OperationStatus, PageRequest, StateChange, WorkflowStatus};

use crate::world::{World, at, first_page, operation_id, prod, replica_id, transition};

async fn operation(world: &World, targets: &[(TenantId, i64)]) -> tenantry_domain::id::OperationId {
    let id = operation_id();
    let mut tx = world.write().await;
    let new = NewOperation {
        id,
        kind: "tenant.create".into(),
        correlation_id: "c-7".into(),
        request: json!({ "a": 1 }),
        targets: targets.to_vec(),
    };
    tx.operations().create(&new);
    let first = targets[0].0;
    tx.commit(vec![transition(first)]).await.unwrap();
    id
}

async fn observe(world: &World, tenant: TenantId, version: i64) {
    let mut tx = world.write().await;
    tx.tenants().lock(tenant).await.unwrap();
    let change =
        StateChange { id: tenant, state: State::Draft, observed_version: version, app_version: 0, conditions: vec![] };
    tx.tenants().set_state(&change).unwrap();
    tx.commit(vec![transition(tenant)]).await.unwrap();
}

#[tokio::test]
async fn an_operation_stands_as_its_targets_do() {
    let world = World::new().await;
    let first = world.create("acme").await.id;
    let second = world.create("globex").await.id;
    let id = operation(&world, &[(first, 1), (second, 1)]).await;
    let reader = world.store.read(&prod());
    let status = || async {
        let view = reader.operation(id).await.unwrap().unwrap();
        (view.status, view.targets.iter().map(|target| target.status).collect::<Vec<_>>())
    };
    use OperationStatus::{Failed, Pending, Running, Stuck, Succeeded};
    assert_eq!(status().await, (Pending, vec![Pending, Pending]));
    world.start(first, Kind::Onboard).await;
    assert_eq!(status().await, (Running, vec![Running, Pending]));
    let claim =
        world.store.claim(replica_id(), at(1), std::time::Duration::from_secs(60), 1).await.unwrap().remove(0).claim();
    let cause = Cause { code: "no_capacity".into(), message: "full".into(), retryable: false };
    let end = |status, cause: Option<Cause>| {
        let world = &world;
        async move {
            let mut tx = world.write().await;
            tx.tenants().lock(first).await.unwrap();
            tx.workflows().end(claim, status, cause.as_ref()).await.unwrap();
            if let Some(cause) = &cause {
                tx.tenants().mark_failed(first, 1, cause, vec![]).unwrap();
            }
            tx.commit(vec![transition(first)]).await.unwrap();
        }
    };
    end(WorkflowStatus::Stuck, Some(cause.clone())).await;
    assert_eq!(status().await, (Stuck, vec![Stuck, Pending]));
    world.sql("UPDATE tenantry.workflow SET status = 'running'");
    end(WorkflowStatus::Unwound, Some(cause.clone())).await;
    assert_eq!(status().await, (Running, vec![Failed, Pending]));
    let view = reader.operation(id).await.unwrap().unwrap();
    assert_eq!(view.targets[0].cause, Some(cause));
    assert_eq!(view.targets[0].workflow.as_ref().unwrap().status, WorkflowStatus::Unwound);
    assert_eq!(
        (view.operation.kind.as_str(), view.operation.requested_by.as_str()),
        ("tenant.create", "operator:olga")
    );
    observe(&world, second, 1).await;
    assert_eq!(status().await, (Failed, vec![Failed, Succeeded]));
    // What comes later does not change how this one ended.
    world.bump(first, 5).await.unwrap();
    let later = operation(&world, &[(first, 2)]).await;
    observe(&world, first, 2).await;
    assert_eq!(status().await, (Failed, vec![Failed, Succeeded]));
    assert_eq!(reader.operation(later).await.unwrap().unwrap().status, Succeeded);
    assert!(world.row(first).await.failure.is_none());
    assert!(reader.operation(operation_id()).await.unwrap().is_none());
}

#[tokio::test]
async fn operations_are_listed_newest_first() {
    let world = World::new().await;
    let first = world.create("acme").await.id;
    let second = world.create("globex").await.id;
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(operation(&world, &[(if number % 2 == 0 { first } else { second }, 1)]).await);
    }
    ids.reverse();
    let reader = world.store.read(&prod());
    for (filter, expected) in [
        (OperationFilter::default(), ids.clone()),
        (
            OperationFilter { tenant: Some(second), ..OperationFilter::default() },
            ids.iter().copied().skip(1).step_by(2).collect(),
        ),
    ] {
        let (mut seen, mut token) = (Vec::new(), None::<String>);
        loop {
            let page = PageRequest { token: token.as_deref(), ..first_page(3) };
            let found = reader.operations(&filter, &page).await.unwrap();
            seen.extend(found.items.iter().map(|view| view.operation.id));
            match found.next {
                Some(next) => token = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, expected);
    }
    assert_eq!(world.store.prune(at(0), at(1)).await.unwrap().operations, 7);
    assert_eq!(world.number("SELECT count(*) FROM tenantry.operation_target").await, 0);
}

/// However many came later.
#[tokio::test]
async fn a_status_is_found_behind_any_number_of_newer_operations() {
    let world = World::new().await;
    let acme = world.create("acme").await.id;
    let globex = world.create("globex").await.id;
    let old = operation(&world, &[(acme, 1)]).await;
    let workflow = world.start(acme, Kind::Onboard).await;
    world.sql(&format!("UPDATE tenantry.workflow SET status = 'stuck' WHERE id = '{}'", workflow.uuid()));
    observe(&world, globex, 1).await;
    for _ in 0..60 {
        operation(&world, &[(globex, 1)]).await;
    }
    let reader = world.store.read(&prod());
    let list = |status, page| {
        let (reader, filter) = (reader.clone(), OperationFilter { tenant: None, status: Some(status) });
        async move { reader.operations(&filter, &page).await.unwrap() }
    };
    let stuck = list(OperationStatus::Stuck, first_page(50)).await;
    assert_eq!(stuck.items.iter().map(|view| view.operation.id).collect::<Vec<_>>(), [old]);
    assert!(stuck.next.is_none());
    let first = list(OperationStatus::Succeeded, first_page(50)).await;
    assert_eq!(first.items.len(), 50);
    let token = first.next.unwrap();
    let second = list(OperationStatus::Succeeded, PageRequest { token: Some(&token), ..first_page(50) }).await;
    assert_eq!((second.items.len(), second.next), (10, None));
}

/// A workflow of another release is shown as far as it can be, and does not hide the others.
#[tokio::test]
async fn a_workflow_of_another_release_is_shown_by_its_word() {
    let world = World::new().await;
    let acme = world.create("acme").await.id;
    let globex = world.create("globex").await.id;
    let id = operation(&world, &[(acme, 1), (globex, 1)]).await;
    let workflow = world.start(acme, Kind::Onboard).await;
    world.start(globex, Kind::Onboard).await;
    world
        .sql(&format!("UPDATE tenantry.workflow SET kind = 'move', status = 'stuck' WHERE id = '{}'", workflow.uuid()));
    let reader = world.store.read(&prod());
    let view = reader.operation(id).await.unwrap().unwrap();
    assert_eq!(view.status, OperationStatus::Stuck);
    let unread = view.targets[0].unread.clone().unwrap();
    assert_eq!((unread.id, unread.kind.as_str(), unread.status), (workflow, "move", WorkflowStatus::Stuck));
    assert!(view.targets[0].workflow.is_none() && view.targets[1].workflow.is_some());
    assert_eq!(reader.operations(&OperationFilter::default(), &first_page(10)).await.unwrap().items.len(), 1);
}
