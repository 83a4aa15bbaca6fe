//! Starting what is due: those for whom nothing can be done stand in nobody's way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tenantry_control::governance::Governance;
use tenantry_control::tenants::delete::DeleteRequest;
use tenantry_control::tenants::edit::Expected;
use tenantry_control::{Options, Runtime, tenants};
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_policy::{Bundle, Decider, Stage};

use crate::world::{World, name, options, spec};

/// The shipped rules, with the lists of what is allowed in each phase: a draft is not among what may be erased.
fn no_draft_is_erased() -> Governance {
    let manifest = "name = \"acme\"\nversion = \"7\"\n[settings.states]\nenabled = true\n";
    let bundle = Bundle::new([("policy.toml".to_owned(), manifest.as_bytes().to_vec())].into()).unwrap();
    Governance::new(Decider::Builtin(Arc::new(Stage::new(bundle.compile().unwrap().engine))))
}

#[tokio::test(flavor = "multi_thread")]
async fn erasures_that_are_refused_hold_up_nobody() {
    let mut world = World::with(Options { governance: no_draft_is_erased(), ..options() }).await;
    let (cx, deps) = (world.cx(), world.deps.clone());
    // More than one look takes, and all of them older than the tenant that somebody waits for.
    for number in 0..70 {
        let slug = format!("gone-{number}");
        tenants::create(&cx, &deps, Slug::parse(&slug).unwrap(), spec("starter", Phase::Draft)).await.unwrap();
        let request =
            DeleteRequest { confirm: slug.clone(), reason: Some("asked".into()), grace: None, dry_run: false };
        tenants::delete(&cx, &deps, &name(&slug), Expected::Any, request).await.unwrap();
    }
    world.runtime = Some(Runtime::start(&deps));
    let began = Instant::now();
    let new = tenants::create(&cx, &deps, Slug::parse("acme").unwrap(), spec("starter", Phase::Active)).await.unwrap();
    while world.tenant("acme").await.state.phase() != Phase::Active {
        assert!(began.elapsed() < Duration::from_secs(10), "{new:?} waits behind erasures that are refused");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.tenant("gone-69").await.state.phase(), Phase::Draft, "the rules are kept");
    // Each was asked about once, not with every look.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(deps.governance().tally().refused, 70);
    world.stop().await;
}
