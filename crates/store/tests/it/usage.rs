//! Usage: whatever the order, the repetition and the parts in which events come, and whoever else writes at the same time, hours
//! come to the same; and each state of an hour is told once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tenantry_domain::Timestamp;
use tenantry_domain::audit::Category;
use tenantry_domain::event::{Draft, Type};
use tenantry_domain::id::TenantId;
use tenantry_domain::name::MeterName;
use tenantry_domain::tenant::spec::Override;
use tenantry_domain::usage::{Aggregation, Amount, Total, Window, hour};
use tenantry_store::{CatalogKind, CatalogPut, Entry, NewUsage, Store, UsageKey, UsageQuery, UsageQuota, UsageReport};

use crate::world::{World, at, draft, new_tenant, permit_for, prod};

/// A row of numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for place in (1..items.len()).rev() {
            items.swap(place, self.below(place + 1));
        }
    }
}

fn key(number: usize) -> UsageKey {
    // Not rising with the number, as digests are not.
    u128::try_from(number).unwrap().wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
}

const METERS: [(&str, Aggregation); 4] = [
    ("egress", Aggregation::Sum),
    ("peak", Aggregation::Max),
    ("stored", Aggregation::Last),
    ("users", Aggregation::Unique),
];

fn event(number: usize, tenant: TenantId, dice: &mut Dice) -> NewUsage {
    let (meter, aggregation) = METERS[dice.below(METERS.len())];
    let amount = format!("{}.{:03}", dice.below(1_000), dice.below(1_000));
    let member = (aggregation == Aggregation::Unique).then(|| key(1_000_000 + dice.below(12)));
    NewUsage {
        key: key(number),
        // Few moments, so that the latest event is often one of several.
        at: at(i64::try_from(dice.below(12)).unwrap() * 900),
        tenant,
        meter: meter.parse().unwrap(),
        aggregation,
        amount: if member.is_some() { Amount::ONE } else { Amount::parse(&amount).unwrap() },
        dimensions: ["{}", r#"{"region":"eu"}"#, r#"{"region":"us"}"#][dice.below(3)].to_owned(),
        member,
    }
}

type Place = (TenantId, String, Timestamp, String);

/// What the events come to, worked out one after the other.
fn model(events: &[NewUsage]) -> BTreeMap<Place, (i64, i128)> {
    let mut groups: BTreeMap<Place, Vec<&NewUsage>> = BTreeMap::new();
    for event in events {
        let place = (event.tenant, event.meter.to_string(), hour(event.at), event.dimensions.clone());
        groups.entry(place).or_default().push(event);
    }
    let figure = |of: &[&NewUsage]| {
        let amounts = of.iter().map(|event| i128::from(event.amount.millionths()));
        match of[0].aggregation {
            Aggregation::Sum => amounts.sum(),
            Aggregation::Max => amounts.max().unwrap(),
            Aggregation::Last => {
                let last = of.iter().max_by_key(|event| (event.at, event.key)).unwrap();
                i128::from(last.amount.millionths())
            }
            Aggregation::Unique => {
                let members: BTreeSet<_> = of.iter().filter_map(|event| event.member).collect();
                i128::try_from(members.len()).unwrap() * 1_000_000
            }
        }
    };
    groups.into_iter().map(|(place, of)| (place, (i64::try_from(of.len()).unwrap(), figure(&of)))).collect()
}

fn query(meter: &str, aggregation: Aggregation, window: Window) -> UsageQuery {
    UsageQuery {
        meter: meter.parse().unwrap(),
        aggregation,
        from: at(-7_200),
        to: at(86_400),
        window,
        group: vec!["region".parse().unwrap()],
        limit: 10_000,
    }
}

async fn stored(store: &Store, tenants: &[TenantId]) -> BTreeMap<Place, (i64, Total)> {
    let mut found = BTreeMap::new();
    for tenant in tenants {
        for (meter, aggregation) in METERS {
            let rows = store.read(&prod()).usage(*tenant, &query(meter, aggregation, Window::Hour)).await.unwrap();
            for row in rows {
                let dimensions: serde_json::Value = serde_json::from_str(&row.dimensions).unwrap();
                let place = (*tenant, meter.to_owned(), row.from, dimensions.to_string());
                assert!(found.insert(place, (row.events, row.value)).is_none());
            }
        }
    }
    found
}

async fn world_with(count: usize) -> (World, Vec<TenantId>) {
    let world = World::new().await;
    world.store.usage_days("2026-09-01", "2026-10-05").await.unwrap();
    let mut tenants = Vec::new();
    for number in 0..count {
        tenants.push(world.create(&format!("acme{number}")).await.id);
    }
    (world, tenants)
}

#[tokio::test]
async fn any_order_repetition_and_parts_by_two_writers_come_to_the_same() {
    let (world, tenants) = world_with(3).await;
    for seed in 0..8 {
        world.sql(
            "DELETE FROM tenantry.usage_hour; DELETE FROM tenantry.usage_member; DELETE FROM tenantry.usage_event",
        );
        let mut dice = Dice(seed);
        let events: Vec<NewUsage> = (0..400).map(|number| event(number, tenants[number % 3], &mut dice)).collect();
        let writers = (0..2).map(|_| {
            // Each has all of them, some twice, in an order and in parts of its own.
            let mut all = events.clone();
            all.extend((0..150).map(|_| events[dice.below(events.len())].clone()).collect::<Vec<_>>());
            dice.shuffle(&mut all);
            let mut parts = Vec::new();
            while !all.is_empty() {
                let rest = all.split_off(all.len().min(1 + dice.below(70)));
                parts.push(std::mem::replace(&mut all, rest));
            }
            let store = world.store.clone();
            tokio::spawn(async move {
                let mut fresh = Vec::new();
                for part in parts {
                    fresh.extend(store.count_usage(&prod(), &part, at(20_000)).await.unwrap());
                }
                fresh
            })
        });
        let writers: Vec<_> = writers.collect();
        let mut fresh = Vec::new();
        for writer in writers {
            fresh.extend(writer.await.unwrap());
        }
        // Each event was new to exactly one writer, once.
        fresh.sort_unstable();
        let mut expected: Vec<UsageKey> = events.iter().map(|event| event.key).collect();
        expected.sort_unstable();
        assert_eq!(fresh, expected, "seed {seed}");
        let expected: BTreeMap<Place, (i64, Total)> =
            model(&events).into_iter().map(|(place, (count, value))| (place, (count, Total::of(value)))).collect();
        assert_eq!(stored(&world.store, &tenants).await, expected, "seed {seed}");
    }
}

#[tokio::test]
async fn a_day_and_an_environment_count_members_once() {
    let (world, tenants) = world_with(2).await;
    let seen = |number: usize, tenant: usize, member: usize, second: i64, dimensions: &str| NewUsage {
        key: key(number),
        at: at(second),
        tenant: tenants[tenant],
        meter: "users".parse().unwrap(),
        aggregation: Aggregation::Unique,
        amount: Amount::ONE,
        dimensions: dimensions.to_owned(),
        member: Some(key(member)),
    };
    let eu = r#"{"region":"eu"}"#;
    let events = [
        seen(1, 0, 91, 0, "{}"),
        seen(2, 0, 91, 3_600, eu),
        seen(3, 0, 92, 3_600, eu),
        seen(4, 0, 92, 3_600, eu),
        seen(5, 1, 91, 0, "{}"),
    ];
    world.store.count_usage(&prod(), &events, at(7_200)).await.unwrap();
    let reader = world.store.read(&prod());
    let whole = UsageQuery { group: vec![], ..query("users", Aggregation::Unique, Window::Day) };
    let rows = reader.usage(tenants[0], &whole).await.unwrap();
    assert_eq!((rows.len(), rows[0].events, rows[0].value.to_string()), (1, 4, "2".into()), "{rows:?}");
    let parts = reader.usage(tenants[0], &query("users", Aggregation::Unique, Window::Day)).await.unwrap();
    let parts: Vec<_> = parts.iter().map(|row| (row.dimensions.as_str(), row.value.to_string())).collect();
    assert_eq!(parts, [(r#"{"region": "eu"}"#, "2".into()), ("{}", "1".to_string())]);
    let shares = reader.usage_shares(&whole).await.unwrap();
    let shares: Vec<_> = shares.iter().map(|share| (share.slug.to_string(), share.value.to_string())).collect();
    assert_eq!(shares, [("acme0".into(), "2".to_string()), ("acme1".into(), "1".into())]);
}

async fn tell(store: &Store, tenant: TenantId, meter: &MeterName, of: Timestamp) -> Option<UsageReport> {
    let mut tx = store.write(&permit_for(tenant), at(9_000)).await.unwrap();
    tx.tenants().lock(tenant).await.unwrap();
    let report = tx.usage().tell(tenant, meter, of).await.unwrap();
    let Some(report) = report else {
        tx.rollback().await;
        return None;
    };
    let told = Draft::new(Type::UsageReported, json!({ "revision": report.revision }));
    tx.commit(vec![Entry::tenant(tenant, draft("usage.report", Category::Transition, None), vec![told])])
        .await
        .unwrap();
    Some(report)
}

#[tokio::test]
async fn each_state_of_an_hour_is_told_once_and_late_events_make_a_revision() {
    let (world, tenants) = world_with(1).await;
    let meter: MeterName = "egress".parse().unwrap();
    let count = async |number: usize, amount: &str, second: i64| {
        let event = NewUsage {
            key: key(number),
            at: at(second),
            tenant: tenants[0],
            meter: meter.clone(),
            aggregation: Aggregation::Sum,
            amount: Amount::parse(amount).unwrap(),
            dimensions: "{}".into(),
            member: None,
        };
        world.store.count_usage(&prod(), &[event], at(second)).await.unwrap().len()
    };
    assert_eq!(count(1, "1.5", 0).await, 1);
    assert_eq!(count(2, "2", 1).await, 1);
    let due = world.store.usage_due(at(86_400), 10).await.unwrap();
    assert_eq!((due.len(), due[0].hour), (1, hour(at(0))));
    assert!(world.store.usage_due(hour(at(0)), 10).await.unwrap().is_empty(), "not before its end");
    // However many look at once, one tells.
    let again = world.again(4);
    let of = due[0].hour;
    let (one, two) = tokio::join!(tell(&world.store, tenants[0], &meter, of), tell(&again, tenants[0], &meter, of));
    let told: Vec<_> = [one, two].into_iter().flatten().collect();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].revision, told[0].events, told[0].value.to_string()), (1, 2, "3.5".into()));
    assert!(world.store.usage_due(at(86_400), 10).await.unwrap().is_empty());
    assert_eq!(count(2, "2", 1).await, 0, "a repetition is no reason to tell");
    assert!(world.store.usage_due(at(86_400), 10).await.unwrap().is_empty());
    assert_eq!(count(3, "0.25", 2).await, 1);
    let told = tell(&world.store, tenants[0], &meter, of).await.unwrap();
    assert_eq!((told.revision, told.events, told.value.to_string()), (2, 3, "3.75".into()));
}

#[tokio::test]
async fn days_are_made_and_dropped_as_a_whole() {
    let (world, _) = world_with(0).await;
    let days = async || -> Vec<String> {
        let conn = world.store.pool().get().await.unwrap();
        let sql = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'tenantry.usage_event'::regclass ORDER BY 1";
        let rows = conn.query(sql, &[]).await.unwrap();
        conn.release();
        rows.iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(days().await.len(), 35);
    world.store.usage_days("2026-10-04", "2026-10-06").await.unwrap();
    let left = ["tenantry.usage_event_20261004", "tenantry.usage_event_20261005", "tenantry.usage_event_20261006"];
    assert_eq!(days().await, left);
    assert!(world.store.usage_days("2026-10-06", "2027-10-06").await.is_err(), "a year is no span of days");
}

/// One event of the meter `egress`.
fn egress(number: usize, tenant: TenantId, amount: &str, second: i64) -> NewUsage {
    NewUsage {
        key: key(number),
        at: at(second),
        tenant,
        meter: "egress".parse().unwrap(),
        aggregation: Aggregation::Sum,
        amount: Amount::parse(amount).unwrap(),
        dimensions: "{}".into(),
        member: None,
    }
}

#[tokio::test]
async fn a_key_on_two_days_is_two_events_also_in_one_batch() {
    let (world, tenants) = world_with(1).await;
    let batch =
        [egress(1, tenants[0], "1", 0), egress(1, tenants[0], "2", 86_400), egress(1, tenants[0], "4", 86_400 + 1)];
    let count = async |now| world.store.count_usage(&prod(), &batch, at(now)).await.unwrap();
    assert_eq!(count(90_000).await, [key(1), key(1)]);
    assert!(count(90_001).await.is_empty());
    let whole = UsageQuery { to: at(2 * 86_400), ..query("egress", Aggregation::Sum, Window::Hour) };
    let rows = world.store.read(&prod()).usage(tenants[0], &whole).await.unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (row.events, row.value.to_string())).collect();
    assert_eq!(rows, [(1, "1".to_string()), (1, "2".into())]);
}

#[tokio::test]
async fn quotas_of_all_tenants_are_looked_at_however_many_cannot_be_put_right() {
    let (world, _) = world_with(0).await;
    for (name, bound) in [
        ("plain", json!("1000/month")),
        ("soft", json!({ "limit": "1000/month", "mode": "soft" })),
        ("daily", json!({ "limit": "1000/day", "mode": "soft" })),
        ("standing", json!("1000")),
        ("off", json!({ "limit": "1000/month", "mode": "off" })),
    ] {
        let mut tx = world.write().await;
        let put = CatalogPut {
            kind: CatalogKind::Plan,
            name: name.into(),
            from_version: 0,
            spec: json!({ "isolation": "shared", "quotas": { "egress": bound } }),
            action: "manifests.apply".into(),
            correlation_id: "c".into(),
        };
        tx.catalog().put(&put).await.unwrap();
        let entry = Entry::environment(draft("manifests.apply", Category::Mutation, Some(1)), vec![]);
        tx.commit(vec![entry]).await.unwrap();
    }
    let mut expected = Vec::new();
    let plans = ["off", "daily", "standing", "plain", "soft", "off", "daily", "plain", "other", "soft", "daily"];
    for (place, plan) in plans.iter().enumerate() {
        let mut new = new_tenant(&format!("acme{place}"));
        new.spec.plan = plan.parse().unwrap();
        // Of the last one only its own deviation is by the month.
        if place == plans.len() - 1 {
            let deviation = Override { value: "5/month".parse().unwrap(), reason: "pilot".into(), until: None };
            new.spec.overrides.quotas.insert("egress".into(), deviation);
            expected.push(new.id);
        } else if ["plain", "soft"].contains(plan) {
            expected.push(new.id);
        }
        let tenant = world.create_from(new, 0).await.unwrap().id;
        world.store.count_usage(&prod(), &[egress(place, tenant, "7.9", 0)], at(0)).await.unwrap();
    }
    expected.sort_unstable();
    let reader = world.store.read(&prod());
    let of = UsageQuota {
        meter: "egress".parse().unwrap(),
        quota: "egress".parse().unwrap(),
        month: Window::Month.begin(at(0)),
    };
    let (mut behind, mut found, mut pages) = (None, Vec::new(), 0);
    loop {
        let page = reader.usage_beside_quota(&of, behind, 2).await.unwrap();
        assert!(page.tenants.len() <= 2);
        found.extend(page.tenants);
        pages += 1;
        behind = page.next;
        if behind.is_none() {
            break;
        }
    }
    assert_eq!((found, pages), (expected.iter().map(|id| (*id, 7)).collect(), 3));
    // What the row says already takes a place in a page and is nothing to do.
    world.sql(&format!(
        "INSERT INTO tenantry.quota (env, tenant, name, used, reserved, since, mode, updated_at)
        SELECT 'prod', '{}', 'egress', 7, 0, '2026-09-01T00:00:00Z', 'hard', clock_timestamp()",
        expected[0].uuid()
    ));
    let page = reader.usage_beside_quota(&of, None, 2).await.unwrap();
    assert_eq!((page.tenants, page.next), (vec![(expected[1], 7)], Some(expected[1])));
}
