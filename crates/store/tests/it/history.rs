//! Versions: listed, compared, gone back to, asked for by time; and one winner per version.

use std::sync::Arc;

use serde_json::json;
use tenantry_domain::diff::diff;
use tenantry_domain::name::PlanCode;
use tenantry_store::{AuditFilter, PageRequest, StoreError, TenantKey};

use crate::world::{
    World, at, callers_permit, change, first_page, mutation, new_tenant, permit, permit_for, prod, tenant_id,
    transition,
};

#[tokio::test]
async fn what_a_caller_asked_for_is_put_to_the_rules_or_does_not_last() {
    let world = World::new().await;
    let made = world.create("acme").await;
    let unruled = async |fingerprint: Option<&str>| {
        let mut tx = world.store.write(&callers_permit(), at(6)).await?;
        let row = tx.tenants().lock(made.id).await?;
        if let Some(fingerprint) = fingerprint {
            tx.allow(fingerprint.to_owned());
        }
        tx.tenants().set_placement(row.id, None)?;
        tx.commit(vec![transition(row.id)]).await.map(|_| ())
    };
    let refused = unruled(None).await;
    assert!(matches!(refused, Err(StoreError::Unruled)), "{refused:?}");
    unruled(Some("acme/3+sha256:1f")).await.unwrap();
    let page = world.store.read(&prod()).audit(&AuditFilter::default(), &first_page(1)).await.unwrap();
    assert_eq!(page.items[0].entry.draft.policy, "acme/3+sha256:1f");
}

#[tokio::test]
async fn versions_are_listed_compared_rolled_back_and_found_by_time() {
    let world = World::new().await;
    let reader = world.store.read(&prod());
    let created = world.create_from(new_tenant("acme"), 10).await.unwrap();
    for second in [20, 30, 40] {
        world.bump(created.id, second).await.unwrap();
    }
    // Listed, newest first, page by page.
    let page = first_page(3);
    let first = reader.versions(created.id, &page).await.unwrap();
    assert_eq!(first.items.iter().map(|row| row.version).collect::<Vec<_>>(), [4, 3, 2]);
    let token = first.next.unwrap();
    let second = reader.versions(created.id, &PageRequest { token: Some(&token), ..page }).await.unwrap();
    assert_eq!(second.items.iter().map(|row| row.version).collect::<Vec<_>>(), [1]);
    assert_eq!(second.next, None);
    let oldest = &second.items[0];
    assert_eq!((oldest.author.as_str(), oldest.action.as_str()), ("operator:olga", "tenant.create"));
    assert_eq!((oldest.at, oldest.correlation_id.as_str()), (at(10), "c-create"));
    // Compared.
    let json_of = |spec: &tenantry_domain::tenant::Spec| serde_json::to_value(spec).unwrap();
    let newest = reader.version(created.id, 4).await.unwrap().unwrap();
    let changes = diff(&json_of(&oldest.spec), &json_of(&newest.spec));
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].path, "settings");
    // Found by time.
    for (second, expected) in [(9, None), (10, Some(1)), (29, Some(2)), (30, Some(3)), (999, Some(4))] {
        let found = reader.as_of(created.id, at(second)).await.unwrap().map(|row| row.version);
        assert_eq!(found, expected, "{second}");
    }
    // Gone back to: a new version, equal to the old one.
    let mut tx = world.store.write(&permit(), at(50)).await.unwrap();
    let row = tx.tenants().lock(created.id).await.unwrap();
    let source = reader.version(created.id, 1).await.unwrap().unwrap();
    let row = tx.tenants().apply(&change(&row, source.spec.clone())).await.unwrap();
    tx.commit(vec![mutation(created.id, row.version)]).await.unwrap();
    let newest = reader.version(created.id, 5).await.unwrap().unwrap();
    assert_eq!(newest.spec, source.spec);
    assert_eq!(world.row(created.id).await.spec, source.spec);
    assert!(reader.version(created.id, 6).await.unwrap().is_none());
}

#[tokio::test]
async fn a_hundred_writers_with_one_version_have_one_winner() {
    let world = Arc::new(World::new().await);
    let id = world.create("acme").await.id;
    for round in 1..=3_i64 {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..100 {
            let world = Arc::clone(&world);
            writers.spawn(async move {
                let mut tx = world.store.write(&permit_for(id), at(round)).await.unwrap();
                let row = tx.tenants().lock(id).await.unwrap();
                let mut spec = row.spec.clone();
                spec.settings.insert("writer".into(), json!(writer));
                let mut change = change(&row, spec);
                change.from_version = round;
                match tx.tenants().apply(&change).await {
                    Ok(row) => {
                        tx.commit(vec![mutation(id, row.version)]).await.unwrap();
                        true
                    }
                    Err(StoreError::StaleVersion { current }) => {
                        assert_eq!(current, round + 1);
                        tx.commit_unchanged().await.unwrap();
                        false
                    }
                    Err(other) => panic!("{other}"),
                }
            });
        }
        let winners = writers.join_all().await.into_iter().filter(|won| *won).count();
        assert_eq!(winners, 1);
    }
    let row = world.row(id).await;
    assert_eq!((row.version, row.audit_seq, row.event_seq), (4, 4, 4));
    assert!(world.store.verify_audit(None, None).await.unwrap().findings.is_empty());
}

#[tokio::test]
async fn every_field_of_a_tenant_comes_back() {
    let world = World::new().await;
    let mut new = new_tenant("acme");
    new.spec.external_ids.insert("stripe".into(), "cus_1".into());
    new.spec.aliases.push("old-id-7".into());
    new.spec.labels.insert("segment".into(), "smb".into());
    new.spec.settings.insert("deep".into(), json!({ "a": [1, 2.5, null, "ü"] }));
    let created = world.create_from(new.clone(), 3).await.unwrap();
    let reader = world.again(2).read(&prod());
    for key in [
        TenantKey::Id(new.id),
        TenantKey::Slug(new.slug.clone()),
        TenantKey::External { system: "stripe".into(), id: "cus_1".into() },
        TenantKey::Alias("old-id-7".into()),
    ] {
        let found = reader.tenant(key.clone()).await.unwrap().unwrap();
        assert_eq!(found.spec, new.spec, "{key:?}");
        assert_eq!((found.id, found.version, found.created_at), (created.id, 1, at(3)));
        let mut tx = world.write().await;
        assert_eq!(tx.tenants().lock(key).await.unwrap(), found);
        tx.commit_unchanged().await.unwrap();
    }
    assert!(reader.tenant(tenant_id()).await.unwrap().is_none());
}

#[tokio::test]
async fn change_and_entries_must_account_for_each_other() {
    let world = World::new().await;
    let id = world.create("acme").await.id;
    let other = world.create("globex").await.id;
    let before = (world.row(id).await, world.row(other).await);
    let unaudited = |result: Result<_, StoreError>| assert!(matches!(result, Err(StoreError::Unaudited)), "{result:?}");
    // No entry at all, an entry of somebody else, of another version, twice, and for a version that was not made.
    for entries in [
        vec![],
        vec![mutation(other, 2)],
        vec![mutation(id, 3)],
        vec![mutation(id, 2), mutation(id, 2)],
        vec![mutation(id, 2), mutation(other, 2)],
        vec![crate::world::transition(id)],
    ] {
        let mut tx = world.write().await;
        let row = tx.tenants().lock(id).await.unwrap();
        let mut spec = row.spec.clone();
        spec.plan = PlanCode::parse("pro").unwrap();
        tx.tenants().apply(&change(&row, spec)).await.unwrap();
        unaudited(tx.commit(entries).await);
    }
    let mut tx = world.write().await;
    let row = tx.tenants().lock(id).await.unwrap();
    tx.tenants().apply(&change(&row, row.spec.clone())).await.unwrap();
    unaudited(tx.commit_unchanged().await.map(|()| unreachable!()));
    // A permit for one tenant reaches no other.
    let mut tx = world.store.write(&permit_for(id), at(0)).await.unwrap();
    assert!(matches!(tx.tenants().lock(other).await, Err(StoreError::OutOfScope)));
    tx.rollback().await;
    let tx = world.store.write(&permit_for(id), at(0)).await.unwrap();
    assert!(matches!(tx.commit(vec![crate::world::transition(other)]).await, Err(StoreError::OutOfScope)));
    assert_eq!((world.row(id).await, world.row(other).await), before);
    world.quiet().await;
}
