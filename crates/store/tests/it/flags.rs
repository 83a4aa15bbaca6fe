//! Flags, the facts about features, uses, and levels that deviate.

use serde_json::json;
use tenantry_domain::audit::Category;
use tenantry_domain::event::{Draft, Type};
use tenantry_domain::flag::{Flag, FlagName, Off, Rollout};
use tenantry_store::{CatalogKind, CatalogPut, Entry, FlagRow, StoreError, UsedFeature};

use crate::world::{World, at, draft, first_page, permit, prod, tenant_id};

fn name(text: &str) -> FlagName {
    text.parse().unwrap()
}

fn entry() -> Entry {
    Entry::environment(
        draft("flag.set", Category::Mutation, None),
        vec![Draft::new(Type::FlagUpdated, json!({ "flag": "ai" }))],
    )
}

async fn put(world: &World, second: i64, text: &str, from: i64, flag: Option<&Flag>) -> Result<FlagRow, StoreError> {
    let mut tx = world.store.write(&permit(), at(second)).await?;
    tx.flags().lock(&name(text)).await?;
    let row = tx.flags().put(&name(text), from, flag).await?;
    tx.commit(vec![entry()]).await?;
    Ok(row)
}

async fn plan(world: &World, text: &str, spec: serde_json::Value) {
    let mut tx = world.store.write(&permit(), at(1)).await.unwrap();
    let put = CatalogPut {
        kind: CatalogKind::Plan,
        name: text.into(),
        from_version: 0,
        spec,
        action: "manifests.apply".into(),
        correlation_id: "c".into(),
    };
    tx.catalog().put(&put).await.unwrap();
    tx.commit(vec![entry()]).await.unwrap();
}

#[tokio::test]
async fn a_version_names_one_text_for_ever() {
    let world = World::new().await;
    let blue = Flag { default: Some(json!(true)), ..Flag::default() };
    assert_eq!(put(&world, 1, "ai", 0, Some(&blue)).await.unwrap().version, 1);
    let half = Flag { rollout: Some(Rollout { value: json!(true), percent: 50 }), ..Flag::default() };
    let stale = put(&world, 2, "ai", 0, Some(&half)).await.unwrap_err();
    assert!(matches!(stale, StoreError::StaleVersion { current: 1 }), "{stale:?}");
    let row = put(&world, 3, "ai", 1, Some(&half)).await.unwrap();
    assert_eq!((row.version, row.flag, row.created_at, row.updated_at), (2, Some(half), at(1), at(3)));
    let gone = put(&world, 4, "ai", 2, None).await.unwrap();
    assert_eq!((gone.version, gone.flag), (3, None));
    assert!(world.store.read(&prod()).flags(&first_page(10)).await.unwrap().items.is_empty());
    // Made again, it goes on counting: an old tag is no good for the new text.
    assert_eq!(put(&world, 5, "ai", 3, Some(&blue)).await.unwrap().version, 4);
    let unaudited = async {
        let mut tx = world.store.write(&permit(), at(6)).await?;
        tx.flags().put(&name("ai"), 4, None).await?;
        tx.commit(Vec::new()).await.map(|_| ())
    };
    assert!(matches!(unaudited.await, Err(StoreError::Unaudited)));
    assert_eq!(world.store.read(&prod()).flag(&name("ai")).await.unwrap().unwrap().version, 4);
}

#[tokio::test]
async fn flags_are_listed_in_pages_by_name() {
    let world = World::new().await;
    for text in ["b", "a.b-c", "C", "a"] {
        put(&world, 1, text, 0, Some(&Flag::default())).await.unwrap();
    }
    let reader = world.store.read(&prod());
    let first = reader.flags(&first_page(3)).await.unwrap();
    let names = |rows: &[FlagRow]| rows.iter().map(|row| row.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&first.items), ["C", "a", "a.b-c"]);
    let token = first.next.unwrap();
    let mut page = first_page(3);
    page.token = Some(&token);
    let second = reader.flags(&page).await.unwrap();
    assert_eq!((names(&second.items), second.next), (vec!["b".to_owned()], None));
}

#[tokio::test]
async fn the_facts_of_a_tenant_are_read_together() {
    let world = World::new().await;
    let acme = world.create("acme").await;
    plan(&world, acme.spec.plan.as_str(), json!({ "isolation": "schema", "features": { "ai": true, "seats": 5 } }))
        .await;
    let off = Flag { off: Some(Off { reason: "it burns".into() }), ..Flag::default() };
    put(&world, 2, "ai", 0, Some(&off)).await.unwrap();
    put(&world, 2, "other", 0, Some(&Flag::default())).await.unwrap();
    let reader = world.store.read(&prod());
    let all = reader.feature_facts(None, Some(&acme.slug), None).await.unwrap().unwrap();
    assert_eq!((all.tenant, all.of_plan.len(), all.flags.len()), (acme.id, 2, 2));
    assert_eq!(all.of_plan["seats"], json!(5));
    let one = reader.feature_facts(Some(acme.id), None, Some(&name("ai"))).await.unwrap().unwrap();
    assert_eq!(one.flags.into_iter().collect::<Vec<_>>(), [("ai".to_owned(), off)]);
    let nobody = tenant_id();
    assert_eq!(reader.feature_facts(Some(nobody), None, None).await.unwrap(), None);
}

#[tokio::test]
async fn uses_add_up_and_are_forgotten_by_the_day() {
    let world = World::new().await;
    let acme = world.create("acme").await.id;
    let used = |day: &str, feature: &str| UsedFeature {
        environment: prod(),
        tenant: acme,
        day: day.into(),
        feature: name(feature),
    };
    let store = &world.store;
    store.add_feature_uses(&[(used("2027-03-31", "ai"), 3), (used("2027-03-30", "ai"), 1)]).await.unwrap();
    // Many writers of the same rows, each in its own order: none fails, none is lost.
    let forth = [(used("2027-03-31", "ai"), 1), (used("2027-03-31", "search"), 1)];
    let back = [forth[1].clone(), forth[0].clone()];
    let writers = (0..20).map(|number| store.add_feature_uses(if number % 2 == 0 { &forth } else { &back }));
    for written in futures_util::future::join_all(writers).await {
        written.unwrap();
    }
    let read = async || {
        let found = store.read(&prod()).feature_uses(acme, "2027-03-30", "2027-03-31", 10).await.unwrap();
        found.into_iter().map(|used| (used.day, used.feature.to_string(), used.uses)).collect::<Vec<_>>()
    };
    let last = [("2027-03-31".to_owned(), "ai".to_owned(), 23), ("2027-03-31".to_owned(), "search".to_owned(), 20)];
    let mut all = vec![("2027-03-30".to_owned(), "ai".to_owned(), 1)];
    all.extend(last.clone());
    assert_eq!(read().await, all);
    assert_eq!(store.forget_feature_uses("2027-03-31").await.unwrap(), 1);
    assert_eq!(read().await, last);
}

#[tokio::test]
async fn tenants_at_another_level_than_paid_for_are_listed() {
    let world = World::new().await;
    let (acme, globex) = (world.create("acme").await, world.create("globex").await);
    plan(&world, acme.spec.plan.as_str(), json!({ "isolation": "schema" })).await;
    let levels = async |second: i64| {
        let mut page = first_page(10);
        page.now = at(second);
        world.store.read(&prod()).off_level(&page).await.unwrap().items
    };
    assert!(levels(1).await.is_empty());
    let conn = world.store.pool().get().await.unwrap();
    let until = at(50).to_string();
    let spec = json!({ "isolation": { "value": "database", "reason": "pilot", "until": until } });
    let sql = "UPDATE tenantry.tenant SET spec = jsonb_set(spec, '{overrides}', $2::text::jsonb) WHERE id = $1";
    conn.execute(sql, &[&acme.id.uuid(), &spec.to_string()]).await.unwrap();
    conn.execute("UPDATE tenantry.tenant SET isolation = 'shared' WHERE id = $1", &[&globex.id.uuid()]).await.unwrap();
    conn.release();
    let found = levels(49).await;
    let brief: Vec<_> = found
        .iter()
        .map(|row| {
            let word = |level: Option<tenantry_domain::isolation::Isolation>| level.map(|level| level.as_str());
            (row.slug.as_str(), row.paid.as_str(), word(row.placed), word(row.overridden), row.reason.as_deref())
        })
        .collect();
    assert_eq!(
        brief,
        [("acme", "schema", None, Some("database"), Some("pilot")), ("globex", "schema", Some("shared"), None, None),]
    );
    // An override that has ended is none, and its tenant is at the level of its plan again.
    let after: Vec<_> = levels(50).await.into_iter().map(|row| row.slug.to_string()).collect();
    assert_eq!(after, ["globex"]);
}
