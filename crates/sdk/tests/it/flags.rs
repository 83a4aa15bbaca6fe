//! Features of a tenant: read, used, switched off.

use serde_json::json;
use tenantry_api::client::Expected;
use tenantry_api::v1::flag::{FlagRollout, FlagSpec};
use tenantry_sdk::Error;

use crate::world::{World, until};

#[tokio::test]
async fn features_are_read_and_used_and_a_switch_holds_for_the_next_question() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    let acme = world.named(&tenantry, "acme", "shared", "active").await.tenant;
    let client = world.client();
    assert!(!tenantry.features(&acme).await.unwrap().is_on("ai"));
    assert_eq!(tenantry.use_feature(&acme, "ai", 1).await.unwrap(), None);
    let rollout = FlagRollout { value: json!(true), percent: 100 };
    let spec = FlagSpec { rollout: Some(rollout), ..FlagSpec::default() };
    client.put_flag("ai", Expected::Any, &spec).await.unwrap();
    let features = tenantry.features(&acme).await.unwrap();
    assert_eq!((features.plan(), features.is_on("ai")), ("shared", true));
    assert_eq!(features.get("ai").map(|ai| ai.source.as_str()), Some("rollout"));
    assert_eq!(tenantry.use_feature(&acme, "ai", 3).await.unwrap(), Some(json!(true)));

    client.switch_flag_off("ai", "it burns", None).await.unwrap();
    let features = tenantry.features(&acme).await.unwrap();
    assert!(!features.is_on("ai"));
    assert_eq!(features.get("ai").and_then(|ai| ai.reason.as_deref()), Some("it burns"));
    assert_eq!(tenantry.use_feature(&acme, "ai", 1).await.unwrap(), None);
    let usage = client.feature_usage("acme", &Default::default()).await.unwrap();
    assert_eq!(usage.totals.into_iter().collect::<Vec<_>>(), [("ai".to_owned(), 3)], "refused uses are none");

    world.set_line(false);
    // A connection that is open is cut a moment later.
    let away = until("nobody answers", || async { tenantry.features(&acme).await.err() }).await;
    assert!(matches!(away, Error::ControlPlaneUnavailable(_)), "{away:?}");
    world.set_line(true);
    world.end().await;
}
