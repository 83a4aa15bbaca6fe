//! Tokens and replicas.

use std::time::Duration;

use tenantry_domain::audit::Category;
use tenantry_domain::id::TokenId;
use tenantry_domain::policy::ActorKind;
use tenantry_store::{Entry, NewToken, StoreError};

use crate::world::{World, at, draft, fresh, permit, prod, replica_id};

#[tokio::test]
async fn a_token_is_made_seen_and_taken_back_and_each_is_recorded() {
    let world = World::new().await;
    let id = TokenId::from_uuid(fresh());
    let new = NewToken {
        id,
        environment: Some(prod()),
        name: "ci".into(),
        actor_kind: ActorKind::Service,
        hash: [5; 32],
        expires_at: Some(at(1000)),
    };
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
    for is_first in [true, false] {
        let mut tx = world.store.write(&permit(), at(200)).await.unwrap();
        match tx.tokens().revoke(id).await {
            Ok(()) if is_first => drop(tx.commit(vec![entry("token.revoke")]).await.unwrap()),
            Err(StoreError::NotFound) if !is_first => {}
            other => panic!("{other:?}"),
        }
    }
    let rows = world.store.tokens().await.unwrap();
    assert_eq!(rows[0].revoked_at, Some(at(200)));
    assert_eq!(world.store.verify_audit(None, None).await.unwrap().entries, 2);
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
