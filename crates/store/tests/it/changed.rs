//! What those who keep answers in memory are told of.

use tenantry_domain::audit::Category;
use tenantry_store::{Entry, Subject};

use crate::world::{World, at, draft, prod};

#[tokio::test]
async fn progress_of_an_environment_is_no_change_of_its_tenants() {
    let world = World::new().await;
    let changed = async || {
        let changed = world.store.read(&prod()).changed_since(at(-100), 100).await.unwrap();
        changed.subjects.into_keys().collect::<Vec<_>>()
    };
    let entry = async |category| {
        let tx = world.write().await;
        tx.commit(vec![Entry::environment(draft("rollout.move", category, None), vec![])]).await.unwrap();
    };
    let acme = world.create("acme").await;
    entry(Category::Workflow).await;
    entry(Category::Access).await;
    assert_eq!(changed().await, [Subject::Tenant(acme.id)]);
    entry(Category::Mutation).await;
    assert!(changed().await.contains(&Subject::Environment));
}
