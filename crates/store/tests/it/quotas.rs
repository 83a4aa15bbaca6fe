//! Quotas: never more than the limit by whichever way, given back, set aside, renewed, recounted, told once.

use std::sync::Arc;

use serde_json::json;
use tenantry_domain::audit::Category;
use tenantry_domain::event::Draft;
use tenantry_domain::id::{ReservationId, TenantId};
use tenantry_domain::limit::{Bound, Mode, QuotaName};
use tenantry_domain::tenant::spec::Override;
use tenantry_store::{CatalogKind, CatalogPut, Entry, NewReservation, Store, StoreError, Subject, Taken, UsedUp};

use crate::world::{World, at, draft, fresh, new_tenant, permit, prod};

fn users() -> QuotaName {
    QuotaName::parse("users").unwrap()
}

fn hard(limit: &str) -> Bound {
    Bound::hard(limit.parse().unwrap())
}

fn soft(limit: &str) -> Bound {
    Bound { mode: Mode::Soft, ..hard(limit) }
}

fn entry(tenant: TenantId, events: Vec<Draft>) -> Entry {
    Entry::tenant(tenant, draft("quota.take", Category::Access, None), events)
}

/// Takes in a transaction of its own; what is told becomes an event.
async fn take(store: &Store, tenant: TenantId, amount: u64, bound: &Bound, second: i64) -> Result<Taken, StoreError> {
    let mut tx = store.write(&permit(), at(second)).await?;
    let taken = tx.quotas().take(tenant, &users(), amount, bound).await?;
    tx.commit(vec![entry(tenant, taken.events())]).await?;
    Ok(taken)
}

async fn give_back(store: &Store, tenant: TenantId, amount: u64, bound: &Bound) -> Taken {
    let mut tx = store.write(&permit(), at(0)).await.unwrap();
    let given = tx.quotas().give_back(tenant, &users(), amount, bound).await.unwrap();
    tx.commit(vec![entry(tenant, given.events())]).await.unwrap();
    given
}

async fn used(world: &World, tenant: TenantId, second: i64) -> (u64, u64) {
    let rows = world.store.read(&prod()).quotas(tenant, at(second)).await.unwrap();
    rows.first().map_or((0, 0), |row| (row.used, row.reserved))
}

fn used_up(error: StoreError) -> UsedUp {
    match error {
        StoreError::QuotaUsedUp(used_up) => used_up,
        other => panic!("{other}"),
    }
}

/// The types of the tenant's quota events, in order.
async fn told(world: &World, tenant: TenantId) -> Vec<String> {
    let rows = world.store.read(&prod()).events(Subject::Tenant(tenant), 0, 100).await.unwrap();
    let names = rows.into_iter().map(|row| row.kind.to_string());
    names.filter(|name| name.starts_with("quota.")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_at_the_limit_less_one_exactly_one_succeeds() {
    let world = Arc::new(World::with_connections(24).await);
    let tenant = world.create("acme").await.id;
    let _ = take(&world.store, tenant, 99, &hard("100"), 0).await.unwrap();
    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { take(&world.store, tenant, 1, &hard("100"), 1).await })
        })
        .collect();
    let mut successes = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => successes += 1,
            Err(error) => {
                let refused = used_up(error);
                assert_eq!((refused.used, refused.limit, refused.asked), (100, 100, 1));
            }
        }
    }
    assert_eq!(successes, 1);
    assert_eq!(used(&world, tenant, 2).await, (100, 0));
    // The counter is what was committed: the creation, the first 99, and the one that won have their entries.
    assert_eq!(world.row(tenant).await.version, 1);
    world.sql("DO $$ BEGIN ASSERT (SELECT count(*) = 3 FROM tenantry.audit WHERE subject <> '00000000-0000-0000-0000-000000000000'); END $$");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn takes_and_gifts_at_once_end_where_a_recount_does() {
    let world = Arc::new(World::with_connections(16).await);
    let tenant = world.create("acme").await.id;
    let _ = take(&world.store, tenant, 50, &hard("60"), 0).await.unwrap();
    let tasks: Vec<_> = (0..200)
        .map(|index| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                if index % 2 == 0 {
                    let _ = give_back(&world.store, tenant, 1, &hard("60")).await;
                    return -1_i64;
                }
                match take(&world.store, tenant, 1, &hard("60"), 0).await {
                    Ok(taken) => {
                        assert!(taken.used <= 60);
                        1
                    }
                    Err(error) => {
                        used_up(error);
                        0
                    }
                }
            })
        })
        .collect();
    let mut balance = 50_i64;
    for task in tasks {
        balance += task.await.unwrap();
    }
    // A gift below zero is lost, so the balance of what was done is the least that the counter may say.
    let counted = i64::try_from(used(&world, tenant, 0).await.0).unwrap();
    assert!(counted == balance.max(0), "{counted} {balance}");
}

#[tokio::test]
async fn a_refusal_undoes_the_whole_transaction_and_is_told_once() {
    let world = World::new().await;
    let tenant = world.create("acme").await.id;
    let bound = hard("10");
    let _ = take(&world.store, tenant, 7, &bound, 0).await.unwrap();
    let mut tx = world.write().await;
    let refused = used_up(tx.quotas().take(tenant, &users(), 4, &bound).await.unwrap_err());
    assert_eq!((refused.used, refused.reserved, refused.limit, refused.asked), (7, 0, 10, 4));
    assert_eq!(refused.to_string(), "quota `users` is used up: 7 of 10 used, 0 reserved, 4 asked for");
    // Nobody can go on with it, also not by mistake.
    let commit = tx.commit(vec![entry(tenant, vec![])]).await;
    assert!(matches!(commit, Err(StoreError::Aborted)), "{commit:?}");
    assert_eq!(used(&world, tenant, 0).await, (7, 0));
    for expected in [true, false] {
        let mut tx = world.write().await;
        let event = tx.quotas().refused(tenant, &refused, &bound).await.unwrap();
        assert_eq!(event.is_some(), expected);
        match event {
            Some(event) => drop(tx.commit(vec![entry(tenant, vec![event])]).await.unwrap()),
            None => tx.rollback().await,
        }
    }
    assert_eq!(told(&world, tenant).await, ["quota.exceeded"]);
    // More than all at once, of a quota that nobody has ever taken from.
    let (other, seats) = (world.create("globex").await.id, QuotaName::parse("seats").unwrap());
    let mut tx = world.write().await;
    let first = used_up(tx.quotas().take(other, &seats, 11, &bound).await.unwrap_err());
    assert_eq!((first.used, first.limit), (0, 10));
    tx.rollback().await;
    let mut tx = world.write().await;
    let event = tx.quotas().refused(other, &first, &bound).await.unwrap().unwrap();
    assert_eq!(event.data["asked"], 11);
    tx.commit(vec![entry(other, vec![event])]).await.unwrap();
}

#[tokio::test]
async fn the_four_modes_under_the_same_load() {
    let world = World::new().await;
    let off = Bound { mode: Mode::Off, ..hard("5") };
    let observed = Bound { mode: Mode::Observed, ..hard("5") };
    let expected: [(&str, Bound, u64, usize, &[&str]); 4] = [
        ("off-one", off, 0, 8, &[]),
        ("observed-one", observed, 8, 8, &[]),
        ("soft-one", soft("5"), 8, 8, &["quota.warning", "quota.exceeded"]),
        ("hard-one", hard("5"), 5, 5, &["quota.warning"]),
    ];
    for (name, bound, counted, done, events) in expected {
        let tenant = world.create(name).await.id;
        let mut successes = 0;
        for second in 0..8 {
            let mut tx = world.store.write(&permit(), at(second)).await.unwrap();
            match tx.quotas().take(tenant, &users(), 1, &bound).await {
                Ok(taken) => {
                    successes += 1;
                    tx.commit(vec![entry(tenant, taken.events())]).await.unwrap();
                }
                Err(error) => drop(used_up(error)),
            }
        }
        assert_eq!((successes, used(&world, tenant, 9).await.0), (done, counted), "{name}");
        assert_eq!(told(&world, tenant).await, events, "{name}");
    }
}

#[tokio::test]
async fn what_is_set_aside_counts_until_it_ends() {
    let world = World::new().await;
    let tenant = world.create("acme").await.id;
    let bound = hard("10");
    let reserve = async |amount, second, expires| {
        let mut tx = world.store.write(&permit(), at(second)).await.unwrap();
        let id = ReservationId::from_uuid(fresh());
        let new = NewReservation { id, amount, expires: at(expires) };
        let taken = tx.quotas().reserve(tenant, &users(), &new, &bound).await?;
        tx.commit(vec![entry(tenant, taken.events())]).await.unwrap();
        Ok::<_, StoreError>(id)
    };
    let end = async |id, commits, second| {
        let mut tx = world.store.write(&permit(), at(second)).await.unwrap();
        let Some(row) = tx.quotas().reservation(tenant, id).await.unwrap() else { return false };
        let mut quotas = tx.quotas();
        let ended = if commits {
            quotas.commit(tenant, &row, &bound).await.unwrap()
        } else {
            quotas.release(tenant, &row, &bound).await.unwrap()
        };
        tx.commit(vec![entry(tenant, ended.events())]).await.unwrap();
        true
    };
    let first = reserve(4, 0, 100).await.unwrap();
    let second = reserve(3, 0, 50).await.unwrap();
    assert_eq!(used_up(reserve(4, 1, 100).await.unwrap_err()).reserved, 7);
    assert_eq!(used_up(take(&world.store, tenant, 4, &bound, 1).await.unwrap_err()).reserved, 7);
    assert!(end(first, true, 2).await && !end(first, true, 3).await && !end(first, false, 3).await);
    assert_eq!(used(&world, tenant, 3).await, (4, 3));
    // The second one has expired: it is not shown, cannot be committed, and the next take frees it.
    assert_eq!(used(&world, tenant, 50).await, (4, 0));
    assert!(!end(second, true, 50).await);
    assert_eq!(take(&world.store, tenant, 6, &bound, 51).await.unwrap().reserved, 0);
    assert_eq!(used(&world, tenant, 51).await, (10, 0));
    // Nobody takes any more; the sweep frees what is left.
    let _ = give_back(&world.store, tenant, 5, &bound).await;
    let third = reserve(2, 60, 70).await.unwrap();
    assert_eq!(world.store.sweep_reservations(at(69)).await.unwrap(), 0);
    assert_eq!(world.store.sweep_reservations(at(70)).await.unwrap(), 1);
    assert!(!end(third, false, 61).await);
    world.sql("DO $$ BEGIN ASSERT (SELECT used = 5 AND reserved = 0 FROM tenantry.quota); END $$");
}

/// A reservation of a quota that is off can be ended as any other one, and counts for nothing.
#[tokio::test]
async fn what_is_set_aside_of_a_quota_that_is_off_can_be_ended() {
    let world = World::new().await;
    let tenant = world.create("acme").await.id;
    let off = Bound { mode: Mode::Off, ..hard("5") };
    for commits in [true, false] {
        let mut tx = world.store.write(&permit(), at(0)).await.unwrap();
        let id = ReservationId::from_uuid(fresh());
        let new = NewReservation { id, amount: 7, expires: at(100) };
        let made = tx.quotas().reserve(tenant, &users(), &new, &off).await.unwrap();
        tx.commit(vec![entry(tenant, made.events())]).await.unwrap();
        let mut tx = world.store.write(&permit(), at(1)).await.unwrap();
        let row = tx.quotas().reservation(tenant, id).await.unwrap().expect("it is there");
        let mut quotas = tx.quotas();
        let ended = if commits {
            quotas.commit(tenant, &row, &off).await.unwrap()
        } else {
            quotas.release(tenant, &row, &off).await.unwrap()
        };
        assert_eq!((ended.used, ended.reserved, ended.events().len()), (0, 0, 0));
        tx.commit(vec![entry(tenant, vec![])]).await.unwrap();
    }
    // Nothing is kept of what was counted elsewhere either.
    let mut tx = world.write().await;
    assert_eq!(tx.quotas().recount(tenant, &users(), 9, &off).await.unwrap().used, 0);
    drop(tx);
    assert_eq!(used(&world, tenant, 2).await, (0, 0));
}

/// However much is taken however often, a counter stays a number.
#[tokio::test]
async fn counters_do_not_overflow() {
    let world = World::new().await;
    let tenant = world.create("acme").await.id;
    let most = 1_u64 << 60;
    for second in 0..12 {
        let taken = take(&world.store, tenant, most, &Bound::OBSERVED, second).await.unwrap();
        assert_eq!(taken.used, most);
        let mut tx = world.store.write(&permit(), at(second)).await.unwrap();
        let new = NewReservation { id: ReservationId::from_uuid(fresh()), amount: u64::MAX, expires: at(100) };
        let set_aside = tx.quotas().reserve(tenant, &users(), &new, &Bound::OBSERVED).await.unwrap();
        assert_eq!(set_aside.reserved, most);
        tx.commit(vec![entry(tenant, vec![])]).await.unwrap();
        if second % 2 == 0 {
            let mut tx = world.store.write(&permit(), at(second)).await.unwrap();
            let row = tx.quotas().reservation(tenant, new.id).await.unwrap().unwrap();
            assert_eq!(tx.quotas().commit(tenant, &row, &Bound::OBSERVED).await.unwrap().used, most);
            tx.commit(vec![entry(tenant, vec![])]).await.unwrap();
        }
    }
    assert_eq!(used(&world, tenant, 20).await, (most, most));
    assert!(take(&world.store, tenant, 1, &hard("10"), 20).await.is_err());
}

#[tokio::test]
async fn periods_begin_anew_and_a_slow_clock_brings_none_back() {
    let world = World::new().await;
    let tenant = world.create("acme").await.id;
    let daily = hard("10/day");
    let day = 86_400;
    let _ = take(&world.store, tenant, 10, &daily, 0).await.unwrap();
    assert!(take(&world.store, tenant, 1, &daily, 10).await.is_err());
    assert_eq!(take(&world.store, tenant, 9, &daily, day).await.unwrap().used, 9);
    // Another replica's clock is still in the day before.
    assert_eq!(take(&world.store, tenant, 1, &daily, 0).await.unwrap().used, 10);
    assert!(take(&world.store, tenant, 1, &daily, 0).await.is_err());
    // A plan that makes the amount a standing one keeps what is used.
    let taken = take(&world.store, tenant, 1, &hard("20"), day * 40).await.unwrap();
    assert_eq!(taken.used, 11);
    // Each period tells of its own crossing.
    let told = told(&world, tenant).await;
    assert_eq!(told, ["quota.warning", "quota.warning"]);
}

#[tokio::test]
async fn a_lowered_limit_refuses_and_a_recount_puts_right() {
    let world = World::new().await;
    let tenant = world.create("acme").await.id;
    let _ = take(&world.store, tenant, 50, &hard("100"), 0).await.unwrap();
    let refused = used_up(take(&world.store, tenant, 1, &hard("20"), 1).await.unwrap_err());
    assert_eq!((refused.used, refused.limit), (50, 20));
    let mut tx = world.write().await;
    let counted = tx.quotas().recount(tenant, &users(), 25, &hard("20")).await.unwrap();
    assert_eq!((counted.used, counted.events()[0].kind.as_str()), (25, "quota.exceeded"));
    tx.commit(vec![entry(tenant, counted.events())]).await.unwrap();
    // What is given back twice makes no room that is not there.
    assert_eq!(give_back(&world.store, tenant, 30, &hard("20")).await.used, 0);
    assert_eq!(take(&world.store, tenant, 20, &hard("20"), 2).await.unwrap().used, 20);
    // A change without its entry is no change, as everywhere.
    let mut tx = world.write().await;
    let _ = tx.quotas().give_back(tenant, &users(), 1, &hard("20")).await.unwrap();
    assert!(matches!(tx.commit(vec![]).await, Err(StoreError::Unaudited)));
    // And there is no tenant of that id.
    let mut tx = world.write().await;
    let nobody = tx.quotas().take(crate::world::tenant_id(), &users(), 1, &hard("1")).await;
    assert!(matches!(nobody, Err(StoreError::NotFound)), "{nobody:?}");
}

#[tokio::test]
async fn gateways_read_hard_bounds_in_either_form() {
    let world = World::new().await;
    let mut acme = new_tenant("acme");
    let deviation = Override { value: "60".parse().unwrap(), reason: "pilot".into(), until: Some(at(500)) };
    acme.spec.overrides.quotas.insert("connections".into(), deviation);
    world.create_from(acme, 0).await.unwrap();
    let cases = [
        (json!("40"), Some(60), Some(40)),
        (json!({ "limit": "40", "warnAt": "90%" }), Some(60), Some(40)),
        (json!({ "limit": "40", "mode": "soft" }), None, None),
        (json!({ "limit": "40", "mode": "off" }), None, None),
        (json!({ "mode": "hard" }), Some(60), None),
    ];
    for (bound, during, after) in cases {
        let mut tx = world.write().await;
        let spec = json!({ "isolation": "shared", "quotas": { "connections": bound, "statementSeconds": bound } });
        let locked = tx.catalog().lock(CatalogKind::Plan, "standard").await.unwrap();
        let put = CatalogPut {
            kind: CatalogKind::Plan,
            name: "standard".into(),
            from_version: locked.map_or(0, |row| row.version),
            spec,
            action: "manifests.apply".into(),
            correlation_id: "c".into(),
        };
        tx.catalog().put(&put).await.unwrap();
        let drafted = draft("manifests.apply", Category::Mutation, Some(1));
        tx.commit(vec![Entry::environment(drafted, vec![])]).await.unwrap();
        let route = world.store.read(&prod()).gateway_routes(None).await.unwrap().remove(0);
        assert_eq!((route.connections(at(499)), route.connections(at(500))), (during, after), "{bound}");
    }
}
