//! A preview refuses what apply refuses, in the same words, and holds nobody up.

use serde_json::json;
use tenantry_control::view::Outcome;
use tenantry_control::{Refusal, manifests};
use tenantry_domain::cell::Capacity;
use tenantry_domain::code::Code;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::name::PlanCode;
use tenantry_domain::placement::APART;
use tenantry_domain::policy::{Rights, Role};
use tenantry_domain::rollout::Strategy;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_domain::tenant::{Slug, Spec};

use crate::rollouts::{ADD, with};
use crate::world::{World, catalog, spec};

fn document(slug: &str, spec: Spec) -> Manifest {
    Manifest::Tenant { slug: Slug::parse(slug).unwrap(), spec }
}

fn tenant(slug: &str, state: Phase) -> Manifest {
    document(slug, spec("starter", state))
}

/// The catalog's cell with so many places in shared tables.
fn cell(shared: u32) -> Manifest {
    let mut found = catalog().into_iter().find(|manifest| matches!(manifest, Manifest::Cell { .. })).unwrap();
    if let Manifest::Cell { spec, .. } = &mut found {
        spec.capacity = Capacity { shared, ..spec.capacity };
    }
    found
}

async fn apply(world: &World, wanted: &[Manifest]) {
    manifests::apply(&world.cx(), &world.deps, wanted).await.unwrap();
}

/// What both say no with: the same.
async fn refused(world: &World, wanted: &[Manifest]) -> Refusal {
    let by_plan = manifests::plan(&world.cx(), &world.deps, wanted).await.unwrap_err();
    let by_apply = manifests::apply(&world.cx(), &world.deps, wanted).await.unwrap_err();
    assert_eq!((by_plan.code(), by_plan.fields()), (by_apply.code(), by_apply.fields()));
    by_apply
}

/// What both say yes to.
async fn accepted(world: &World, wanted: &[Manifest]) {
    manifests::plan(&world.cx(), &world.deps, wanted).await.unwrap();
    apply(world, wanted).await;
}

/// Which file of an app is new, and which one is another than before.
#[tokio::test]
async fn files_of_an_app_are_told_by_their_names() {
    let world = World::new().await;
    let before = manifests::plan(&world.cx(), &world.deps, &with(&[], Strategy::default())).await.unwrap();
    let told = async |files: &[&str]| {
        let planned = manifests::plan(&world.cx(), &world.deps, &with(files, Strategy::default())).await.unwrap();
        let new: Vec<_> = planned[0].changes.iter().filter(|change| !before[0].changes.contains(change)).collect();
        let [change] = new.as_slice() else { panic!("{new:?}") };
        (change.path.clone(), change.from.clone(), change.to.clone())
    };
    let (path, from, to) = told(&[ADD]).await;
    assert_eq!((path.as_str(), from), ("migrations.files.files.0002_more.sql", json!(null)));
    let to = to.as_str().unwrap().to_owned();
    assert!(to.starts_with(&format!("{} bytes, sha256 ", ADD.len())), "{to}");
    let (_, _, other) = told(&[&ADD.replace("stars", "votes")]).await;
    assert_ne!(other, json!(to), "of the same length, and another one");
    world.stop().await;
}

#[tokio::test]
async fn names_that_others_have_are_refused_before_anything_is_applied() {
    let world = World::new().await;
    let named = |slug: &str, alias: Option<&str>, external: Option<&str>| {
        let mut spec = spec("starter", Phase::Draft);
        spec.aliases.extend(alias.map(ToOwned::to_owned));
        spec.external_ids.extend(external.map(|id| ("stripe".to_owned(), id.to_owned())));
        document(slug, spec)
    };
    apply(&world, &[named("first", Some("old-1"), Some("cus_1")), tenant("other", Phase::Draft)]).await;
    let skeleton = Slug::parse("parked").unwrap().skeleton();
    world.sql(&format!(
        "INSERT INTO tenantry.slug_quarantine (env, slug_skeleton, slug, tenant, until)
        VALUES ('{}', '{skeleton}', 'parked', gen_random_uuid(), now() + interval '1 day')",
        world.environment
    ));
    let fine = tenant("fine", Phase::Draft);
    for (wrong, code, field) in [
        (tenant("f1rst", Phase::Draft), Code::SlugTaken, "documents[1].metadata.name"),
        (tenant("parked", Phase::Draft), Code::SlugTaken, "documents[1].metadata.name"),
        (named("second", Some("old-1"), None), Code::ExternalIdTaken, "documents[1].spec.aliases"),
        (named("second", None, Some("cus_1")), Code::ExternalIdTaken, "documents[1].spec.externalIds.stripe"),
        // Of a tenant that is there already.
        (named("other", Some("old-1"), None), Code::ExternalIdTaken, "documents[1].spec.aliases"),
    ] {
        let refusal = refused(&world, &[fine.clone(), wrong]).await;
        assert_eq!((refusal.code(), refusal.fields()[0].field.as_str()), (code, field), "{refusal}");
    }
    let twins = refused(&world, &[tenant("globex-1", Phase::Draft), tenant("gl0bex-l", Phase::Draft)]).await;
    assert_eq!(twins.fields()[0].field, "documents[1].metadata.name");
    // Whoever gives a name up makes it free for another one of the same set.
    accepted(&world, &[named("first", None, Some("cus_1")), named("second", Some("old-1"), None)]).await;
    world.stop().await;
}

/// Each tenant of a set finds the places taken that those before it were promised.
#[tokio::test]
async fn tenants_of_one_set_do_not_share_a_place() {
    let world = World::new().await;
    apply(&world, &[cell(1)]).await;
    let [one, two] = ["one", "two"].map(|slug| tenant(slug, Phase::Active));
    let full = refused(&world, &[one.clone(), two.clone()]).await;
    assert_eq!((full.code(), full.fields()[0].field.as_str()), (Code::NoCapacity, "documents[1].metadata.name"));
    assert!(full.hint().contains("1 of 1 places are in use"), "{}", full.hint());
    // Drafts that are to be active take places as new ones do.
    accepted(&world, &["one", "two"].map(|slug| tenant(slug, Phase::Draft))).await;
    let full = refused(&world, &[one.clone(), two.clone()]).await;
    assert_eq!(full.code(), Code::NoCapacity);
    let full = refused(&world, &[one.clone(), tenant("three", Phase::Active)]).await;
    assert_eq!(full.fields()[0].field, "documents[1].metadata.name");
    // Whoever is there already comes before whoever is new, wherever their documents stand.
    let full = refused(&world, &[tenant("three", Phase::Active), one.clone()]).await;
    assert_eq!(full.fields()[0].field, "documents[0].metadata.name");
    // The cell of the same set is the one that counts.
    let wanted = [one, two, cell(2)];
    let planned = manifests::plan(&world.cx(), &world.deps, &wanted).await.unwrap();
    assert!(planned.iter().all(|object| object.outcome == Outcome::Changed), "{planned:?}");
    apply(&world, &wanted).await;
    world.stop().await;
}

#[tokio::test]
async fn tenants_of_one_group_in_one_set_need_a_cell_each() {
    let world = World::new().await;
    let twin = |slug: &str, group: &str| {
        let mut spec = spec("starter", Phase::Active);
        spec.labels.insert(APART.into(), group.into());
        document(slug, spec)
    };
    let apart = refused(&world, &[twin("alpha", "twins"), twin("beta-one", "twins")]).await;
    assert_eq!((apart.code(), apart.fields()[0].field.as_str()), (Code::NoCapacity, "documents[1].metadata.name"));
    assert!(apart.hint().contains("another tenant of the group"), "{}", apart.hint());
    accepted(&world, &[twin("alpha", "twins"), twin("beta-one", "others")]).await;
    world.stop().await;
}

/// Documents of the catalog count for the tenants of the same set, also where nothing is written.
#[tokio::test]
async fn a_new_plan_holds_for_the_tenants_beside_it() {
    let world = World::new().await;
    let plan = |code: &str, is_default: bool, domains: &str| Manifest::Plan {
        name: PlanCode::parse(code).unwrap(),
        spec: serde_json::from_value(
            json!({ "isolation": "shared", "default": is_default, "quotas": { "domains": domains } }),
        )
        .unwrap(),
    };
    let with_domains = |slug: &str, plan: &str, count: usize| {
        let mut spec = spec(plan, Phase::Draft);
        spec.domains = (0..count).map(|number| format!("{slug}-{number}.example.org")).collect();
        document(slug, spec)
    };
    let many = refused(&world, &[plan("one", false, "1"), with_domains("acme", "one", 2)]).await;
    assert_eq!(many.code(), Code::QuotaUsedUp, "{many}");
    assert!(many.fields()[0].field.starts_with("documents[1]."));
    accepted(&world, &[plan("one", false, "1"), with_domains("acme", "one", 1)]).await;
    let more = refused(&world, &[with_domains("acme", "one", 2)]).await;
    assert_eq!(more.code(), Code::QuotaUsedUp, "{more}");
    // A version that its tenants follow to by themselves.
    accepted(&world, &[plan("one", false, "2"), with_domains("acme", "one", 2)]).await;
    let nowhere = refused(&world, &[plan("two", true, "1"), with_domains("globex", "nowhere", 1)]).await;
    assert_eq!(nowhere.fields()[0].field, "documents[1].spec.plan");
    // The default is handed on, and there is one.
    accepted(&world, &[plan("two", true, "1")]).await;
    accepted(&world, &[plan("three", true, "1"), plan("two", false, "1")]).await;
    assert_eq!(refused(&world, &[plan("two", true, "1")]).await.code(), Code::SecondDefault);
    world.stop().await;
}

/// Whoever may only look previews for somebody else; nobody applies by that.
#[tokio::test]
async fn whoever_may_only_look_may_preview() {
    let world = World::new().await;
    let mut cx = world.cx();
    cx.rights = Rights::of([Role::Auditor]);
    let wanted = [cell(7), tenant("acme", Phase::Active)];
    let planned = manifests::plan(&cx, &world.deps, &wanted).await.unwrap();
    assert_eq!(planned.iter().map(|object| object.outcome).collect::<Vec<_>>(), [Outcome::Changed, Outcome::Created]);
    assert_eq!(planned[1].placement.as_ref().unwrap().cell.as_str(), "eu-west-1");
    let refused = manifests::apply(&cx, &world.deps, &wanted).await.unwrap_err();
    assert!(matches!(refused, Refusal::Denied(_)), "{refused}");
    world.stop().await;
}

/// Previews of the same tenants in any order, and an apply of them: nobody waits for another one until it fails.
#[tokio::test(flavor = "multi_thread")]
async fn previews_in_any_order_and_an_apply_meet_nowhere() {
    let world = World::new().await;
    let all = |name: &str| -> Vec<Manifest> {
        let named = |number: usize| {
            let mut spec = spec("starter", Phase::Draft);
            spec.display_name = format!("{name} {number}");
            document(&format!("tenant-{number}x"), spec)
        };
        (0..60).map(named).chain([cell(500)]).collect()
    };
    apply(&world, &all("First")).await;
    let cx = world.cx();
    for round in 0..4 {
        let forward = all(&format!("Round {round}"));
        let backward: Vec<_> = forward.iter().rev().cloned().collect();
        let (one, two, applied) = tokio::join!(
            manifests::plan(&cx, &world.deps, &forward),
            manifests::plan(&cx, &world.deps, &backward),
            manifests::apply(&cx, &world.deps, &forward),
        );
        assert_eq!((one.unwrap().len(), two.unwrap().len()), (61, 61));
        assert_eq!(applied.unwrap().objects.len(), 61);
    }
    world.stop().await;
}
