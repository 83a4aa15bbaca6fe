//! Names that only one tenant can have: who gets them, who hears of it, and when they are free again.

use std::sync::Arc;
use std::time::Duration;

use tenantry_domain::tenant::lifecycle::State;
use tenantry_store::{Rename, StateChange, StoreError, TenantKey, TenantRow};

use crate::world::{World, at, change, mutation, new_tenant, permit, prod, slug, spec, transition};

#[tokio::test]
async fn of_fifty_parallel_creates_with_one_slug_one_wins() {
    let world = Arc::new(World::new().await);
    let mut creators = tokio::task::JoinSet::new();
    for number in 0..50 {
        let world = Arc::clone(&world);
        // Half of them want a look-alike.
        let name = if number % 2 == 0 { "globex-1" } else { "gl0bex-l" };
        creators.spawn(async move { world.create_from(new_tenant(name), 0).await });
    }
    let outcomes = creators.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for refused in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(refused, StoreError::SlugTaken { .. }), "{refused}");
    }
    assert_eq!(world.number("SELECT count(*) FROM tenantry.tenant").await, 1);
    assert_eq!(world.number("SELECT count(*) FROM tenantry.audit").await, 1);
    world.quiet().await;
}

#[tokio::test]
async fn a_collision_in_a_batch_is_named_and_nothing_of_the_batch_stays() {
    let world = World::new().await;
    let mut holder = new_tenant("holder");
    holder.spec.external_ids.insert("stripe".into(), "cus_1".into());
    holder.spec.aliases.push("old-1".into());
    world.create_from(holder, 0).await.unwrap();
    let batch = |index: usize, edit: &dyn Fn(&mut tenantry_store::NewTenant)| {
        let mut batch: Vec<_> = (0..10).map(|number| new_tenant(&format!("batch-{number}x"))).collect();
        edit(&mut batch[index]);
        batch
    };
    let slug_taken = batch(4, &|new| new.slug = slug("holder"));
    let twin = batch(9, &|new| new.slug = slug("batch-3x"));
    let external = batch(2, &|new| drop(new.spec.external_ids.insert("stripe".into(), "cus_1".into())));
    let alias = batch(2, &|new| new.spec.aliases.push("old-1".into()));
    let mut twins = batch(2, &|new| new.spec.aliases.push("new-1".into()));
    twins[7].spec.aliases.push("new-1".into());
    for (new, expected) in [
        (slug_taken, "the name `holder` is taken"),
        (twin, "the name `batch-3x` is taken"),
        (external, "the external id `stripe:cus_1` belongs to another tenant"),
        (alias, "the alias `old-1` belongs to another tenant"),
        (twins, "the alias `new-1` belongs to another tenant"),
    ] {
        let mut tx = world.write().await;
        let refused = tx.tenants().create_many(&new).await.unwrap_err();
        assert_eq!(refused.to_string(), expected);
        // Whoever goes on in spite of it gets nothing committed.
        let entries = new.iter().map(|new| mutation(new.id, 1)).collect();
        assert!(matches!(tx.commit(entries).await, Err(StoreError::Aborted)));
    }
    assert_eq!(world.number("SELECT count(*) FROM tenantry.tenant").await, 1);
}

async fn delete(world: &World, row: &TenantRow, second: i64, until: i64) {
    let mut tx = world.store.write(&permit(), at(second)).await.unwrap();
    let row = tx.tenants().lock(row.id).await.unwrap();
    let gone = StateChange {
        id: row.id,
        state: State::Deleted { at: at(second) },
        observed_version: row.version,
        app_version: 0,
        conditions: vec![],
    };
    tx.tenants().set_state(&gone).unwrap();
    tx.tenants().release(row.id, at(until)).unwrap();
    tx.commit(vec![transition(row.id)]).await.unwrap();
}

#[tokio::test]
async fn a_released_slug_waits_in_quarantine_and_other_names_are_free_at_once() {
    let world = World::new().await;
    let mut new = new_tenant("acme-corp");
    new.spec.external_ids.insert("crm".into(), "7".into());
    new.spec.aliases.push("acme_1".into());
    let row = world.create_from(new, 0).await.unwrap();
    delete(&world, &row, 10, 100).await;
    let reader = world.store.read(&prod());
    assert!(reader.tenant(TenantKey::Slug(slug("acme-corp"))).await.unwrap().is_none());
    let gone = reader.tenant(row.id).await.unwrap().unwrap();
    assert_eq!(gone.state, State::Deleted { at: at(10) });
    for name in ["acme-corp", "acmec0rp"] {
        match world.create_from(new_tenant(name), 99).await {
            Err(StoreError::SlugQuarantined { slug: refused, until }) => {
                assert_eq!((refused, until), (slug(name), at(100)));
            }
            other => panic!("{other:?}"),
        }
    }
    let mut next = new_tenant("initech");
    next.spec.external_ids.insert("crm".into(), "7".into());
    next.spec.aliases.push("acme_1".into());
    world.create_from(next, 20).await.unwrap();
    world.create_from(new_tenant("acme-corp"), 100).await.unwrap();
    let pruned = world.store.prune(at(101), at(0)).await.unwrap();
    assert_eq!(pruned.quarantines, 1);
}

/// The create waits for the delete's transaction inside its insert, and must then see the quarantine.
#[tokio::test]
async fn a_create_that_waits_for_the_release_does_not_slip_past_the_quarantine() {
    let world = Arc::new(World::new().await);
    let row = world.create("acme").await;
    let mut tx = world.store.write(&permit(), at(10)).await.unwrap();
    let locked = tx.tenants().lock(row.id).await.unwrap();
    let state = State::Deleted { at: at(10) };
    tx.tenants()
        .set_state(&StateChange { id: row.id, state, observed_version: 1, app_version: 0, conditions: vec![] })
        .unwrap();
    tx.tenants().release(locked.id, at(100)).unwrap();
    // The row leaves the index and stays uncommitted, as in a slow commit.
    world.sql(
        "CREATE FUNCTION tenantry.wait() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock(77); RETURN NULL; END $$;
         CREATE TRIGGER wait AFTER UPDATE ON tenantry.tenant FOR EACH ROW EXECUTE FUNCTION tenantry.wait()",
    );
    let blocker = world.store.pool().begin().await.unwrap();
    blocker.execute("SELECT pg_advisory_xact_lock(77)", &[]).await.unwrap();
    let deleting = tokio::spawn(tx.commit(vec![transition(row.id)]));
    let waiting = |count: &'static str| {
        let world = Arc::clone(&world);
        async move {
            let until = std::time::Instant::now() + Duration::from_secs(10);
            while world.number(count).await == 0 {
                assert!(std::time::Instant::now() < until, "nobody waits");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    waiting("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'")
        .await;
    let creator = Arc::clone(&world);
    let creating = tokio::spawn(async move { creator.create_from(new_tenant("acme"), 20).await });
    waiting(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid'",
    )
    .await;
    blocker.commit().await.unwrap();
    deleting.await.unwrap().unwrap();
    assert!(matches!(creating.await.unwrap(), Err(StoreError::SlugQuarantined { .. })));
}

#[tokio::test]
async fn a_rename_keeps_the_id_and_quarantines_the_old_name() {
    let world = World::new().await;
    let row = world.create("acme").await;
    world.create("globex").await;
    let rename = |name: &str, second: i64| {
        let rename = Rename { slug: slug(name), quarantine_until: at(second + 1000) };
        let (world, id) = (&world, row.id);
        async move {
            let mut tx = world.store.write(&permit(), at(second)).await.unwrap();
            let row = tx.tenants().lock(id).await.unwrap();
            let mut change = change(&row, row.spec.clone());
            change.rename = Some(rename);
            let row = tx.tenants().apply(&change).await?;
            tx.commit(vec![mutation(id, row.version)]).await
        }
    };
    assert!(matches!(rename("globex", 1).await, Err(StoreError::SlugTaken { slug: taken }) if taken == slug("globex")));
    rename("initech", 2).await.unwrap();
    let found = world.store.read(&prod()).tenant(TenantKey::Slug(slug("initech"))).await.unwrap().unwrap();
    assert_eq!((found.id, found.version), (row.id, 2));
    assert!(matches!(world.create_from(new_tenant("acme"), 3).await, Err(StoreError::SlugQuarantined { .. })));
    // Its former owner may take it back; nobody else may take one that waits.
    rename("acme", 4).await.unwrap();
    let other = world.create("umbrella").await;
    let mut tx = world.store.write(&permit(), at(5)).await.unwrap();
    let locked = tx.tenants().lock(other.id).await.unwrap();
    let mut wanted = change(&locked, spec("umbrella"));
    wanted.rename = Some(Rename { slug: slug("initech"), quarantine_until: at(9) });
    tx.tenants().apply(&wanted).await.unwrap();
    let refused = tx.commit(vec![mutation(other.id, 2)]).await;
    assert!(matches!(refused, Err(StoreError::SlugTaken { slug: taken }) if taken == slug("initech")));
    assert_eq!(world.row(other.id).await.slug, slug("umbrella"));
}

#[tokio::test]
async fn names_follow_the_spec() {
    let world = World::new().await;
    let mut new = new_tenant("acme");
    new.spec.external_ids.insert("stripe".into(), "cus_1".into());
    new.spec.aliases = vec!["one".into(), "two".into()];
    new.spec.labels.insert("tier".into(), "gold".into());
    let id = world.create_from(new, 0).await.unwrap().id;
    let mut tx = world.write().await;
    let row = tx.tenants().lock(id).await.unwrap();
    let mut next = row.spec.clone();
    next.external_ids = [("stripe".to_owned(), "cus_2".to_owned()), ("crm".to_owned(), "9".to_owned())].into();
    next.aliases = vec!["two".into(), "three".into()];
    next.labels = [("tier".to_owned(), "silver".to_owned())].into();
    tx.tenants().apply(&change(&row, next)).await.unwrap();
    tx.commit(vec![mutation(id, 2)]).await.unwrap();
    let reader = world.store.read(&prod());
    let external = |system: &str, id: &str| TenantKey::External { system: system.into(), id: id.into() };
    let alias = |text: &str| TenantKey::Alias(text.into());
    for (key, is_found) in [
        (external("stripe", "cus_1"), false),
        (external("stripe", "cus_2"), true),
        (external("crm", "9"), true),
        (alias("one"), false),
        (alias("two"), true),
        (alias("three"), true),
    ] {
        assert_eq!(reader.tenant(key.clone()).await.unwrap().is_some(), is_found, "{key:?}");
    }
    assert_eq!(world.number("SELECT count(*) FROM tenantry.tenant_label WHERE value = 'silver'").await, 1);
    assert_eq!(world.number("SELECT count(*) FROM tenantry.tenant_label").await, 1);
    let mut other = new_tenant("globex");
    other.spec.external_ids.insert("stripe".into(), "cus_2".into());
    assert!(matches!(world.create_from(other, 0).await, Err(StoreError::ExternalIdTaken { .. })));
}
