//! Rates without a door: whoever has used them up costs our database nothing.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};

use tenantry_control::Options;
use tenantry_control::quotas::rates::{self, RateOptions};
use tenantry_control::tokens::Bearer;
use tenantry_domain::limit::{Class, Limit};
use tenantry_domain::policy::{Actor, ActorKind, Rights};
use tenantry_domain::quantity::Rate;

use crate::world::{World, options};

fn somebody(id: &str) -> Bearer {
    Bearer {
        actor: Actor { kind: ActorKind::Operator, id: id.into() },
        rights: Rights::all(),
        environment: None,
        person: None,
        display: None,
        expires: None,
        reach: None,
    }
}

fn each_hour(amount: u32) -> Options {
    let number = |number| NonZeroU32::new(number).unwrap();
    let limit = Limit::of(Rate { amount: number(amount), seconds: number(3600) });
    Options { rates: RateOptions { principal: [(Class::Read, limit)].into(), ..RateOptions::default() }, ..options() }
}

/// Asks for a name; whether it was let in, and how often our database was to be asked for the environment.
async fn ask(world: &World, who: &Bearer, name: &str, asked: &AtomicUsize) -> bool {
    let is_there = async {
        asked.fetch_add(1, Ordering::Relaxed);
        true
    };
    let tenant = Some((&world.environment, name));
    let judged = rates::admit(&world.deps, who, tenant, is_there, Class::Read).await;
    judged.iter().all(|judged| judged.verdict.allowed)
}

#[tokio::test]
async fn a_refused_principal_costs_no_look_whatever_it_names() {
    let world = World::with(each_hour(3)).await;
    super::members::tenant(&world, "acme", "starter").await;
    let asked = AtomicUsize::new(0);
    let (olga, paul) = (somebody("olga"), somebody("paul"));
    for number in 0..3 {
        assert!(ask(&world, &olga, &format!("guess-{number}"), &asked).await);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    for number in 3..50 {
        assert!(!ask(&world, &olga, &format!("guess-{number}"), &asked).await);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3, "nobody was looked for any more");
    assert!(!ask(&world, &olga, "acme", &asked).await);
    // Somebody else is let in, and only a look at what is left was not charged.
    for _ in 0..3 {
        assert!(ask(&world, &paul, "acme", &asked).await);
    }
    assert!(!ask(&world, &paul, "acme", &asked).await);
    world.stop().await;
}

#[tokio::test]
async fn a_name_that_nobody_has_is_asked_for_once_in_a_while() {
    let world = World::with(each_hour(1000)).await;
    super::members::tenant(&world, "acme", "starter").await;
    let (asked, olga) = (AtomicUsize::new(0), somebody("olga"));
    for _ in 0..20 {
        assert!(ask(&world, &olga, "initech", &asked).await && ask(&world, &olga, "acme", &asked).await);
        // What is no name is not even asked for.
        assert!(ask(&world, &olga, "%61cme", &asked).await && ask(&world, &olga, "a b", &asked).await);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    tokio::time::sleep(std::time::Duration::from_millis(3100)).await;
    assert!(ask(&world, &olga, "initech", &asked).await);
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    world.stop().await;
}
