//! The controllers' sieve lets through exactly those for which the domain has something to do.

use std::collections::BTreeSet;

use serde_json::json;
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{CellName, RegionName};
use tenantry_domain::placement::Placement;
use tenantry_domain::reconcile::{Desired, Observed, due};
use tenantry_domain::tenant::Spec;
use tenantry_domain::tenant::lifecycle::{Phase, State, SuspensionReason};
use tenantry_domain::tenant::spec::Deletion;
use tenantry_domain::workflow::{Cause, Kind};
use tenantry_store::{CatalogKind, Finding, NewTenant, StateChange};

use crate::cells::put;
use crate::world::{World, at, change, mutation, new_tenant, prod, spec, transition};

#[tokio::test]
async fn due_is_what_the_domain_says_in_every_case() {
    let world = World::new().await;
    for version in 0..2 {
        put(&world, CatalogKind::App, "chat", version, json!({})).await.unwrap();
    }
    let mut cases = Vec::new();
    for phase in Phase::ALL {
        for requested in Phase::ALL {
            for (version, observed) in [(1, 0), (1, 1), (2, 1)] {
                for app_version in [1, 2] {
                    for repairable in [0, 1] {
                        for failed in [None, Some(version - 1), Some(version)] {
                            for grace in [None, Some(50), Some(51)] {
                                cases.push((
                                    phase,
                                    requested,
                                    version,
                                    observed,
                                    app_version,
                                    repairable,
                                    failed.filter(|v| *v > 0),
                                    grace,
                                ));
                            }
                        }
                    }
                }
            }
        }
    }
    let new: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(number, case)| NewTenant { spec: wanted(case.1, case.7), ..new_tenant(&format!("kunde-{number}x")) })
        .collect();
    let mut tx = world.write().await;
    tx.tenants().create_many(&new).await.unwrap();
    tx.commit(new.iter().map(|new| mutation(new.id, 1)).collect()).await.unwrap();
    let ids: Vec<TenantId> = new.iter().map(|new| new.id).collect();
    // All that makes a second version, then all that does not.
    let mut tx = world.write().await;
    tx.tenants().lock_many(&ids).await.unwrap();
    let mut entries = Vec::new();
    for (id, case) in ids.iter().zip(&cases).filter(|(_, case)| case.2 == 2) {
        let row = tx.tenants().lock(*id).await.unwrap();
        let row = tx.tenants().apply(&change(&row, wanted(case.1, case.7))).await.unwrap();
        entries.push(mutation(*id, row.version));
    }
    tx.commit(entries).await.unwrap();
    let mut tx = world.write().await;
    tx.tenants().lock_many(&ids).await.unwrap();
    for (id, (phase, _, _, observed, app_version, repairable, failed, _)) in ids.iter().zip(&cases) {
        let change = StateChange {
            id: *id,
            state: state(*phase),
            observed_version: *observed,
            app_version: *app_version,
            conditions: vec![],
        };
        tx.tenants().set_state(&change).unwrap();
        let finding = Finding { kind: "policy".into(), object: "t".into(), repairable: true };
        tx.tenants().set_findings(*id, vec![finding; *repairable], vec![]).unwrap();
        if let Some(version) = failed {
            let cause = Cause { code: "x".into(), message: String::new(), retryable: false };
            tx.tenants().mark_failed(*id, *version, &cause, vec![]).unwrap();
        }
    }
    tx.commit(ids.iter().map(|id| transition(*id)).collect()).await.unwrap();
    let found: BTreeSet<TenantId> =
        world.store.due(None, at(50), &[], 100_000).await.unwrap().into_iter().map(|due| due.id).collect();
    for (number, (phase, requested, version, observed, app, repairable, failed, grace)) in cases.iter().enumerate() {
        let desired =
            Desired { version: *version, phase: *requested, delete_not_before: grace.map(at), app_version: 2 };
        let seen = Observed {
            version: *observed,
            phase: *phase,
            app_version: *app,
            isolation: None,
            repairable_findings: *repairable,
            failed_version: *failed,
            running: None,
        };
        let expected = matches!(due(&desired, &seen, at(50)), Ok(Some(_)));
        assert_eq!(found.contains(&ids[number]), expected, "{desired:?} {seen:?}");
    }
}

fn wanted(requested: Phase, grace: Option<i64>) -> Spec {
    let deletion = grace.map(|second| Deletion { reason: "r".into(), not_before: at(second) });
    Spec { state: requested, deletion, ..spec("x") }
}

fn state(phase: Phase) -> State {
    let placement = Placement {
        region: RegionName::parse("eu-west").unwrap(),
        cell: CellName::parse("eu-1").unwrap(),
        isolation: Isolation::Schema,
        generation: 1,
    };
    match phase {
        Phase::Draft => State::Draft,
        Phase::Active => State::Active { since: at(1), placement },
        Phase::Suspended => State::Suspended { since: at(1), reason: SuspensionReason::Commercial, placement },
        Phase::Archived => State::Archived { at: at(1), purge_after: at(2), placement },
        Phase::Deleted => State::Deleted { at: at(1) },
    }
}

#[tokio::test]
async fn due_says_the_wanted_app_version_and_leaves_out_what_runs() {
    let world = World::new().await;
    put(&world, CatalogKind::App, "chat", 0, json!({})).await.unwrap();
    let first = world.create("acme").await.id;
    let second = world.create("globex").await.id;
    let (here, elsewhere) = (prod(), tenantry_domain::name::EnvironmentName::parse("staging").unwrap());
    let list = |environment| {
        let store = world.store.clone();
        async move {
            let due = store.due(environment, at(0), &[], 10).await.unwrap();
            due.into_iter().map(|due| (due.environment, due.id, due.desired_app_version)).collect::<Vec<_>>()
        }
    };
    assert_eq!(list(None).await, [(prod(), first, 1), (prod(), second, 1)]);
    let passed = async |version| world.store.due(None, at(0), &[(first, version)], 10).await.unwrap();
    assert_eq!(passed(1).await.iter().map(|due| due.id).collect::<Vec<_>>(), [second], "passed over");
    assert_eq!(passed(0).await.len(), 2, "in another version only");
    let workflow = world.start(first, Kind::Onboard).await;
    assert_eq!(list(None).await, [(prod(), second, 1)]);
    world.sql(&format!("UPDATE tenantry.workflow SET status = 'stuck' WHERE id = '{}'", workflow.uuid()));
    assert_eq!(list(None).await, [(prod(), second, 1)]);
    world.sql("UPDATE tenantry.workflow SET status = 'completed', ended_at = now()");
    assert_eq!(list(Some(&here)).await.len(), 2);
    assert_eq!(list(Some(&elsewhere)).await, []);
}
