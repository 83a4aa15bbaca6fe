//! Search over a large registry: every filter has an index, and pages stay right while tenants come.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, PlanCode, RegionName};
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_store::{CursorError, Label, PageRequest, StoreError, TenantFilter};

use crate::world::{World, first_page, mutation, new_tenant, permit, prod};

/// A registry of copies of one tenant with all kinds of plans, cells and labels.
async fn large(count: u32) -> World {
    let world = World::new().await;
    world.create("model").await;
    world.sql(&format!(
        // Filled first and indexed afterwards, by the same definitions.
        "CREATE TABLE definitions AS SELECT indexname, indexdef FROM pg_indexes
            WHERE schemaname = 'tenantry' AND tablename = 'tenant' AND indexname <> 'tenant_pkey';
         DO $$ DECLARE i record; BEGIN FOR i IN SELECT * FROM definitions LOOP EXECUTE 'DROP INDEX tenantry.' || i.indexname; END LOOP; END $$;
         INSERT INTO tenantry.tenant (env, id, slug, slug_skeleton, display_name, words, app, plan, region, cell, isolation,
            placement_generation, version, observed_version, requested, phase, state, spec, weight, created_at, updated_at, created_by, is_unsettled)
         SELECT env, ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'kunde-' || n, 's' || n, 'Customer ' || n,
            ' ' || n || ' customer ' || (ARRAY['gmbh', 'inc', 'ltd'])[n % 3 + 1] || ' kunde',
            CASE WHEN n % 100 = 0 THEN 'crm' ELSE app END, (ARRAY['free', 'standard', 'pro', 'enterprise'])[n % 4 + 1],
            CASE WHEN n % 5 > 0 THEN 'region-' || n % 7 END, CASE WHEN n % 5 > 0 THEN 'cell-' || n % 70 END,
            CASE WHEN n % 5 > 0 THEN (ARRAY['shared', 'schema', 'database'])[n % 3 + 1] END,
            1, 1, 1, 'active', CASE WHEN n % 50 = 0 THEN 'deleted' WHEN n % 10 = 0 THEN 'suspended' ELSE 'active' END,
            state, spec, 1, now(), now(), 'test', false
         FROM tenantry.tenant, generate_series(1, {count}) AS n WHERE slug = 'model';
         INSERT INTO tenantry.tenant_label SELECT env, id, 'segment', (ARRAY['smb', 'mid'])[abs(hashtext(slug)) % 2 + 1]
            FROM tenantry.tenant WHERE slug <> 'model';
         INSERT INTO tenantry.tenant_label SELECT env, id, 'wave', (abs(hashtext(slug)) % 1000)::text FROM tenantry.tenant WHERE slug <> 'model';
         INSERT INTO tenantry.tenant_external_id SELECT env, 'stripe', 'cus_' || slug, id FROM tenantry.tenant WHERE slug <> 'model';
         INSERT INTO tenantry.tenant_word SELECT t.env, w, t.id FROM tenantry.tenant AS t, unnest(string_to_array(ltrim(t.words), ' ')) AS w
            WHERE slug <> 'model';
         DO $$ DECLARE i record; BEGIN FOR i IN SELECT * FROM definitions LOOP EXECUTE i.indexdef; END LOOP; END $$;
         ANALYZE tenantry.tenant; ANALYZE tenantry.tenant_label; ANALYZE tenantry.tenant_external_id; ANALYZE tenantry.tenant_word"
    ));
    world
}

fn filters() -> Vec<(&'static str, TenantFilter)> {
    let plan = |code: &str| Some(PlanCode::parse(code).unwrap());
    let label = |key: &str, value: Option<&str>| Label { key: key.into(), value: value.map(Into::into) };
    let all = TenantFilter::default();
    vec![
        ("everything", all.clone()),
        ("plan", TenantFilter { plan: plan("pro"), ..all.clone() }),
        ("unknown plan", TenantFilter { plan: plan("nothing"), ..all.clone() }),
        ("app", TenantFilter { app: Some(AppName::parse("crm").unwrap()), ..all.clone() }),
        ("region", TenantFilter { region: Some(RegionName::parse("region-3").unwrap()), ..all.clone() }),
        ("cell", TenantFilter { cell: Some(CellName::parse("cell-33").unwrap()), ..all.clone() }),
        ("isolation", TenantFilter { isolation: Some(Isolation::Schema), ..all.clone() }),
        ("phase", TenantFilter { phase: Some(Phase::Suspended), ..all.clone() }),
        ("deleted", TenantFilter { phase: Some(Phase::Deleted), ..all.clone() }),
        ("label", TenantFilter { labels: vec![label("wave", Some("77"))], ..all.clone() }),
        ("common label", TenantFilter { labels: vec![label("segment", Some("smb"))], ..all.clone() }),
        ("label key", TenantFilter { labels: vec![label("segment", None)], ..all.clone() }),
        (
            "two labels",
            TenantFilter { labels: vec![label("segment", Some("smb")), label("wave", Some("5"))], ..all.clone() },
        ),
        ("external id", TenantFilter { external_id: Some(("stripe".into(), "cus_kunde-4711".into())), ..all.clone() }),
        ("rare word", TenantFilter { q: Some("4711".into()), ..all.clone() }),
        ("prefix", TenantFilter { q: Some("47".into()), ..all.clone() }),
        ("common word", TenantFilter { q: Some("customer".into()), ..all.clone() }),
        ("common prefix", TenantFilter { q: Some("k".into()), ..all.clone() }),
        ("words", TenantFilter { q: Some("GmbH  Customer 12".into()), ..all.clone() }),
        ("no such word", TenantFilter { q: Some("zzz".into()), ..all.clone() }),
        (
            "plan and region",
            TenantFilter { plan: plan("free"), region: Some(RegionName::parse("region-1").unwrap()), ..all.clone() },
        ),
        (
            "plan, phase and word",
            TenantFilter { plan: plan("standard"), phase: Some(Phase::Active), q: Some("ltd".into()), ..all.clone() },
        ),
        (
            "cell and label",
            TenantFilter {
                cell: Some(CellName::parse("cell-3").unwrap()),
                labels: vec![label("segment", Some("mid"))],
                ..all
            },
        ),
    ]
}

#[tokio::test]
async fn every_filter_has_an_index_plan_on_a_hundred_thousand_tenants() {
    let world = large(100_000).await;
    let reader = world.store.read(&prod());
    let mut slowest = Vec::new();
    for (name, filter) in filters() {
        for size in [50, 200] {
            let plan = reader.tenants_plan(&filter, &first_page(size)).await.unwrap();
            assert!(!plan.iter().any(|line| line.contains("Seq Scan")), "{name}:\n{}", plan.join("\n"));
            let mut times = Vec::new();
            for _ in 0..5 {
                let began = std::time::Instant::now();
                reader.tenants(&filter, &first_page(size)).await.unwrap();
                times.push(began.elapsed());
            }
            times.sort();
            slowest.push((times[2], name, size));
        }
    }
    slowest.sort();
    slowest.reverse();
    println!("median of five, slowest first: {:#?}", &slowest[..6]);
    // Twenty milliseconds are the aim on an idle machine with an optimized build; this is a net for what reads everything.
    assert!(slowest[0].0 < std::time::Duration::from_secs(1), "{:?}", slowest[0]);
}

#[tokio::test]
async fn every_filter_finds_what_a_look_at_every_row_finds() {
    let world = large(3_000).await;
    let reader = world.store.read(&prod());
    let walk = |filter: TenantFilter| {
        let reader = reader.clone();
        async move {
            let (mut seen, mut token) = (Vec::new(), None::<String>);
            loop {
                let page = PageRequest { token: token.as_deref(), ..first_page(200) };
                let found = reader.tenants(&filter, &page).await.unwrap();
                seen.extend(found.items);
                match found.next {
                    Some(next) => token = Some(next),
                    None => return seen,
                }
            }
        }
    };
    let mut all = walk(TenantFilter::default()).await;
    all.extend(walk(TenantFilter { phase: Some(Phase::Deleted), ..TenantFilter::default() }).await);
    assert_eq!(all.len(), 3_001);
    for (name, filter) in
        filters().into_iter().filter(|(_, filter)| filter.labels.is_empty() && filter.external_id.is_none())
    {
        let found: Vec<_> = walk(filter.clone()).await.into_iter().map(|row| row.id).collect();
        assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{name}");
        let number = |row: &tenantry_store::TenantRow| {
            row.slug.as_str().trim_start_matches("kunde-").parse::<u32>().unwrap_or(0)
        };
        let expected: BTreeSet<_> = all
            .iter()
            .filter(|row| {
                row.slug.as_str() != "model"
                    || (filter.plan.is_none()
                        && filter.q.is_none()
                        && filter.region.is_none()
                        && filter.cell.is_none()
                        && filter.isolation.is_none()
                        && filter.phase.is_none()
                        && filter.app.is_none())
            })
            .filter(|row| {
                let n = number(row);
                let is_model = n == 0;
                let phase = if is_model {
                    Phase::Draft
                } else if n % 50 == 0 {
                    Phase::Deleted
                } else if n % 10 == 0 {
                    Phase::Suspended
                } else {
                    Phase::Active
                };
                let words = [
                    "kunde".to_owned(),
                    n.to_string(),
                    "customer".to_owned(),
                    ["gmbh", "inc", "ltd"][n as usize % 3].to_owned(),
                ];
                let plans = ["free", "standard", "pro", "enterprise"];
                let placed = n % 5 > 0;
                filter.phase.map_or(phase != Phase::Deleted, |wanted| wanted == phase)
                    && filter.plan.as_ref().is_none_or(|wanted| wanted.as_str() == plans[n as usize % 4])
                    && filter
                        .app
                        .as_ref()
                        .is_none_or(|wanted| wanted.as_str() == if n % 100 == 0 { "crm" } else { "chat" })
                    && filter
                        .region
                        .as_ref()
                        .is_none_or(|wanted| placed && wanted.as_str() == format!("region-{}", n % 7))
                    && filter.cell.as_ref().is_none_or(|wanted| placed && wanted.as_str() == format!("cell-{}", n % 70))
                    && filter.isolation.is_none_or(|wanted| {
                        placed && wanted == [Isolation::Shared, Isolation::Schema, Isolation::Database][n as usize % 3]
                    })
                    && filter.q.as_ref().is_none_or(|q| {
                        q.to_lowercase().split_whitespace().all(|part| words.iter().any(|word| word.starts_with(part)))
                    })
            })
            .map(|row| row.id)
            .collect();
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "{name}");
    }
    let by_id =
        walk(TenantFilter { external_id: Some(("stripe".into(), "cus_kunde-471".into())), ..TenantFilter::default() })
            .await;
    assert_eq!(by_id.iter().map(|row| row.slug.as_str()).collect::<Vec<_>>(), ["kunde-471"]);
    let smb = walk(TenantFilter {
        labels: vec![Label { key: "segment".into(), value: Some("smb".into()) }],
        ..TenantFilter::default()
    })
    .await
    .len();
    let mid = walk(TenantFilter {
        labels: vec![Label { key: "segment".into(), value: Some("mid".into()) }],
        ..TenantFilter::default()
    })
    .await
    .len();
    let any =
        walk(TenantFilter { labels: vec![Label { key: "segment".into(), value: None }], ..TenantFilter::default() })
            .await
            .len();
    assert!(smb > 0 && mid > 0 && smb + mid == any && any == 2_940);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_during_inserts_shows_none_twice_and_loses_none() {
    let world = Arc::new(large(2_000).await);
    let stop = Arc::new(AtomicBool::new(false));
    let before: BTreeSet<_> = ids(&world).await;
    let writing = tokio::spawn({
        let (world, stop) = (Arc::clone(&world), Arc::clone(&stop));
        async move {
            let mut made = 0;
            while !stop.load(Ordering::Relaxed) {
                let new: Vec<_> = (0..10).map(|number| new_tenant(&format!("fresh-{made}-{number}x"))).collect();
                let mut tx = world.store.write(&permit(), crate::world::at(1)).await.unwrap();
                tx.tenants().create_many(&new).await.unwrap();
                tx.commit(new.iter().map(|new| mutation(new.id, 1)).collect()).await.unwrap();
                made += 1;
            }
            made
        }
    });
    let reader = world.store.read(&prod());
    let (mut seen, mut token) = (Vec::new(), None::<String>);
    loop {
        let page = PageRequest { token: token.as_deref(), ..first_page(7) };
        let found = reader.tenants(&TenantFilter::default(), &page).await.unwrap();
        seen.extend(found.items.into_iter().map(|row| row.id));
        if seen.len() > 1_900 {
            stop.store(true, Ordering::Relaxed);
        }
        match found.next {
            Some(next) => token = Some(next),
            None => break,
        }
    }
    assert!(writing.await.unwrap() > 3);
    let unique: BTreeSet<_> = seen.iter().copied().collect();
    assert_eq!(unique.len(), seen.len());
    assert!(unique.is_superset(&before));
}

async fn ids(world: &World) -> BTreeSet<tenantry_domain::id::TenantId> {
    let conn = world.store.pool().get().await.unwrap();
    let rows = conn.query("SELECT id FROM tenantry.tenant WHERE phase <> 'deleted'", &[]).await.unwrap();
    conn.release();
    rows.iter().map(|row| tenantry_domain::id::TenantId::from_uuid(row.get(0))).collect()
}

#[tokio::test]
async fn a_token_is_good_for_one_query_of_one_caller_for_a_day() {
    let world = large(20).await;
    let reader = world.store.read(&prod());
    let filter = TenantFilter { plan: Some(PlanCode::parse("pro").unwrap()), ..TenantFilter::default() };
    let page = first_page(2);
    let token = reader.tenants(&filter, &page).await.unwrap().next.unwrap();
    let again = PageRequest { token: Some(&token), ..page };
    assert_eq!(reader.tenants(&filter, &again).await.unwrap().items.len(), 2);
    // Another replica with the same key goes on with it.
    assert!(world.again(1).read(&prod()).tenants(&filter, &again).await.is_ok());
    let refused = |result: Result<_, StoreError>, expected: CursorError| match result {
        Err(StoreError::Cursor(error)) => assert_eq!(error, expected),
        other => panic!("{:?}", other.map(drop)),
    };
    refused(reader.tenants(&TenantFilter::default(), &again).await.map(drop), CursorError::Foreign);
    refused(
        reader.tenants(&filter, &PageRequest { principal: "operator:otto", ..again }).await.map(drop),
        CursorError::Foreign,
    );
    let staging = tenantry_domain::name::EnvironmentName::parse("staging").unwrap();
    refused(world.store.read(&staging).tenants(&filter, &again).await.map(drop), CursorError::Foreign);
    let later = |seconds: i64| PageRequest { now: crate::world::at(seconds), ..again };
    assert!(reader.tenants(&filter, &later(86_399)).await.is_ok());
    refused(reader.tenants(&filter, &later(86_400)).await.map(drop), CursorError::Expired);
    for place in [0, 10, token.len() - 1] {
        let mut bytes = token.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(bytes).unwrap();
        refused(
            reader.tenants(&filter, &PageRequest { token: Some(&forged), ..page }).await.map(drop),
            CursorError::Malformed,
        );
    }
    for text in ["", "x", "AAAA", "no token at all"] {
        refused(
            reader.tenants(&filter, &PageRequest { token: Some(text), ..page }).await.map(drop),
            CursorError::Malformed,
        );
    }
}

#[tokio::test]
async fn a_search_for_words_takes_no_syntax_from_the_caller() {
    let world = large(10).await;
    let reader = world.store.read(&prod());
    for q in ["'", "a' | 'b", "!x", "a & b", "\\", ":*", "(((", "prod/tenant", "%", "_", "\u{0}", "日本 語", "-", "  "]
    {
        let filter = TenantFilter { q: Some(q.into()), ..TenantFilter::default() };
        reader.tenants(&filter, &first_page(5)).await.unwrap_or_else(|error| panic!("{q:?}: {error:?}"));
    }
}
