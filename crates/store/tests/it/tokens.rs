//! Tokens and replicas.

use std::time::Duration;

use tenantry_domain::audit::Category;
use tenantry_domain::id::{TenantId, TokenId};
use tenantry_domain::page::PageSize;
use tenantry_domain::policy::{ActorKind, Rights, Role};
use tenantry_store::{Entry, NewToken, PageRequest, StoreError, TokenFilter};

use crate::world::{World, at, draft, fresh, permit, prod, replica_id};

#[tokio::test]
async fn a_token_is_made_seen_and_taken_back_and_each_is_recorded() {
    let world = World::new().await;
    let id = TokenId::from_uuid(fresh());
    let new = new(id, Rights::of([Role::Operator, Role::Finance]));
    let entry = |action: &str| Entry::environment(draft(action, Category::Access, None), vec![]);
    let mut tx = world.write().await;
    tx.tokens().create(&new);
    assert!(matches!(tx.commit_unchanged().await, Err(StoreError::Unaudited)));
    assert!(world.store.token(id).await.unwrap().is_none());
    let mut tx = world.write().await;
    tx.tokens().create(&new);
    tx.commit(vec![entry("token.create")]).await.unwrap();
    let row = world.store.token(id).await.unwrap().unwrap();
    assert_eq!(
        (row.hash, row.actor_kind, row.environment, row.revoked_at),
        ([5; 32], ActorKind::Service, Some(prod()), None)
    );
    for (second, seen) in [(100, 100), (130, 100), (161, 161)] {
        world.store.token_seen(id, at(second)).await.unwrap();
        assert_eq!(world.store.token(id).await.unwrap().unwrap().last_used_at, Some(at(seen)));
    }
    let mut tx = world.store.write(&permit(), at(200)).await.unwrap();
    let stored = tx.tokens().lock(id).await.unwrap();
    assert_eq!((stored.version, stored.rights, stored.person.as_deref()), (1, new.rights, Some("olga")));
    let rotated = tx.tokens().rotate(id, [6; 32], Some(at(300)), None, "operator:petra").await.unwrap();
    assert_eq!((rotated.hash, rotated.old, rotated.expires_at), ([6; 32], Some(([5; 32], at(300))), None));
    let again = tx.tokens().rotate(id, [7; 32], None, None, "operator:petra").await.unwrap();
    assert_eq!((again.hash, again.old, again.version), ([7; 32], None, 3));
    assert_eq!(
        (again.created_by.as_str(), again.shown_to),
        ("operator:olga", vec!["operator:olga".to_owned(), "operator:petra".to_owned()])
    );
    let revoked = tx.tokens().revoke(id).await.unwrap();
    assert_eq!((revoked.revoked_at, revoked.version), (Some(at(200)), 4));
    let unknown = TokenId::from_uuid(fresh());
    assert!(matches!(tx.tokens().lock(unknown).await, Err(StoreError::NotFound)));
    assert!(matches!(tx.tokens().revoke(unknown).await, Err(StoreError::NotFound)));
    tx.commit(vec![entry("token.revoke")]).await.unwrap();
    assert_eq!(world.store.verify_audit(None, None).await.unwrap().entries, 2);
}

fn new(id: TokenId, rights: Rights) -> NewToken {
    NewToken {
        id,
        environment: Some(prod()),
        name: "ci".into(),
        actor_kind: ActorKind::Service,
        rights,
        person: Some("olga".into()),
        hash: [5; 32],
        expires_at: Some(at(1000)),
        created_by: "operator:olga".into(),
    }
}

#[tokio::test]
async fn a_role_that_nobody_knows_counts_for_nothing() {
    let world = World::new().await;
    let id = TokenId::from_uuid(fresh());
    let mut tx = world.write().await;
    tx.tokens().create(&new(id, Rights::of([Role::Operator])));
    tx.commit(vec![Entry::environment(draft("token.issue", Category::Access, None), vec![])]).await.unwrap();
    world.sql("UPDATE tenantry.token SET roles = '{emperor}', scopes = '{universe.rule}'");
    let rights = world.store.token(id).await.unwrap().unwrap().rights;
    assert_eq!((rights.roles.len(), rights.scopes.clone().map(|scopes| scopes.len())), (0, Some(0)));
    assert!(!rights.allows("tenant.read"));
}

#[tokio::test]
async fn tokens_are_listed_by_tenant_and_in_pages() {
    let world = World::new().await;
    let tenant = TenantId::from_uuid(fresh());
    let mut ids: Vec<_> = (0..5).map(|_| TokenId::from_uuid(fresh())).collect();
    let mut tx = world.write().await;
    for (place, id) in ids.iter().enumerate() {
        let tenant = (place % 2 == 0).then_some(tenant);
        tx.tokens().create(&new(*id, Rights { tenant, ..Rights::of([Role::Tenant]) }));
    }
    tx.commit(vec![Entry::environment(draft("token.issue", Category::Access, None), vec![])]).await.unwrap();
    let bound: Vec<_> = ids.iter().step_by(2).copied().collect();
    ids.sort();
    let reader = world.store.read(&prod());
    for (filter, wanted) in [
        (TokenFilter::default(), ids),
        (TokenFilter { tenant: Some(tenant), ..TokenFilter::default() }, {
            let mut bound = bound;
            bound.sort();
            bound
        }),
    ] {
        let (mut found, mut token) = (Vec::new(), None::<String>);
        loop {
            let size = PageSize::new(2).unwrap();
            let page = PageRequest { principal: "olga", token: token.as_deref(), size, now: at(5) };
            let page = reader.tokens(&filter, &page).await.unwrap();
            found.extend(page.items.into_iter().map(|row| row.id));
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(found, wanted);
    }
}

#[tokio::test]
async fn replicas_come_and_go() {
    let world = World::new().await;
    let (first, second) = (replica_id(), replica_id());
    for id in [first, second, first] {
        world.store.heartbeat(id, "1.0").await.unwrap();
    }
    let seen: Vec<_> =
        world.store.replicas(Duration::from_secs(60)).await.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(seen, [first, second]);
    world.store.leave(first).await.unwrap();
    world.sql("UPDATE tenantry.replica SET seen_at = now() - interval '2 minutes'");
    assert!(world.store.replicas(Duration::from_secs(60)).await.unwrap().is_empty());
    world.sql("UPDATE tenantry.replica SET seen_at = now() - interval '2 days'");
    assert_eq!(world.store.prune(at(0), at(0)).await.unwrap().replicas, 1);
}
