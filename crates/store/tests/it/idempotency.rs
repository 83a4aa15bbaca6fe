//! One effect and one answer per key, however often and however parallel it comes.

use std::sync::Arc;
use std::time::Duration;

use tenantry_store::{Begun, IdempotencyKey, Store, StoreError, StoredAnswer};

use crate::world::{World, at, mutation, new_tenant, operation_id, permit, prod};

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey {
        principal: "operator:olga".into(),
        route: "POST /tenants".into(),
        key: text.into(),
        fingerprint: [9; 32],
    }
}

fn answer(text: &str) -> StoredAnswer {
    StoredAnswer {
        status: 202,
        headers: vec![("location".into(), "/v1/operations/op_1".into())],
        body: text.as_bytes().to_vec(),
        operation: Some(operation_id()),
    }
}

/// A request that creates a tenant.
async fn request(store: &Store, key: &IdempotencyKey, name: &str, second: i64) -> Result<StoredAnswer, StoreError> {
    let mut tx = store.write(&permit(), at(second)).await?;
    if let Begun::Replay(answer) = tx.idempotency().begin(key).await? {
        tx.commit_unchanged().await?;
        return Ok(answer);
    }
    let new = new_tenant(name);
    tx.tenants().create_many(std::slice::from_ref(&new)).await?;
    let answer = answer(name);
    tx.idempotency().finish(key, &answer, Duration::from_secs(100));
    tx.commit(vec![mutation(new.id, 1)]).await?;
    Ok(answer)
}

#[tokio::test]
async fn fresh_replay_other_payload_and_other_caller() {
    let world = World::new().await;
    let first = request(&world.store, &key("k"), "acme", 0).await.unwrap();
    assert_eq!(request(&world.store, &key("k"), "acme", 1).await.unwrap(), first);
    assert_eq!(world.store.read(&prod()).kept_answer(&key("k"), at(1)).await.unwrap(), Some(first));
    let other_payload = IdempotencyKey { fingerprint: [8; 32], ..key("k") };
    assert!(matches!(request(&world.store, &other_payload, "acme", 1).await, Err(StoreError::KeyReused)));
    assert!(matches!(world.store.read(&prod()).kept_answer(&other_payload, at(1)).await, Err(StoreError::KeyReused)));
    let other_caller = IdempotencyKey { principal: "operator:otto".into(), ..key("k") };
    request(&world.store, &other_caller, "globex", 1).await.unwrap();
    let other_route = IdempotencyKey { route: "POST /plans".into(), ..key("k") };
    request(&world.store, &other_route, "initech", 1).await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM tenantry.tenant").await, 3);
    // A failed request leaves nothing behind, so its key can be used again.
    assert!(matches!(request(&world.store, &key("l"), "acme", 2).await, Err(StoreError::SlugTaken { .. })));
    request(&world.store, &key("l"), "umbrella", 2).await.unwrap();
    // An expired answer is forgotten, whether it was swept or not.
    request(&world.store, &key("k"), "hooli", 101).await.unwrap();
    assert_eq!(world.store.prune(at(150), at(0)).await.unwrap().answers, 3);
    assert_eq!(world.number("SELECT count(*) FROM tenantry.idempotency").await, 1);
}

#[tokio::test]
async fn a_key_in_flight_is_refused_at_once() {
    let world = World::new().await;
    let mut tx = world.write().await;
    assert_eq!(tx.idempotency().begin(&key("k")).await.unwrap(), Begun::Fresh);
    let refused =
        tokio::time::timeout(Duration::from_secs(2), request(&world.store, &key("k"), "acme", 0)).await.unwrap();
    assert!(matches!(refused, Err(StoreError::KeyInFlight)));
    // Others are not held up.
    request(&world.store, &key("l"), "globex", 0).await.unwrap();
    tx.rollback().await;
    request(&world.store, &key("k"), "acme", 0).await.unwrap();
}

#[tokio::test]
async fn a_hundred_duplicates_have_one_effect() {
    let world = Arc::new(World::with_connections(24).await);
    for round in 0..5 {
        let mut requests = tokio::task::JoinSet::new();
        for number in 0..100_u64 {
            let world = Arc::clone(&world);
            requests.spawn(async move {
                let key = key(&format!("k{round}"));
                let work = async {
                    loop {
                        match request(&world.store, &key, &format!("acme-{round}"), 0).await {
                            Err(StoreError::KeyInFlight) => tokio::time::sleep(Duration::from_millis(2)).await,
                            other => return other,
                        }
                    }
                };
                // Some callers hang up in the middle.
                let patience =
                    if number % 5 == 0 { Duration::from_micros(number * 60) } else { Duration::from_secs(30) };
                tokio::time::timeout(patience, work).await.ok().map(Result::unwrap)
            });
        }
        let mut answers: Vec<StoredAnswer> = requests.join_all().await.into_iter().flatten().collect();
        assert!(answers.len() >= 80);
        answers.dedup();
        assert_eq!(answers.len(), 1);
    }
    assert_eq!(world.number("SELECT count(*) FROM tenantry.tenant").await, 5);
    assert_eq!(world.number("SELECT count(*) FROM tenantry.idempotency").await, 5);
}
