//! A provider in every mood. What may have been done is not done again blindly, and no call takes longer than its bound.

use std::time::{Duration, Instant};

use serde_json::json;
use tenantry_domain::plan::terms::SecondFactor;
use tenantry_domain::pool::Setup;
use tenantry_identity::{IdentityError, PoolId};

use crate::provider::{Fake, Mood, bounds};

const PASSWORD: Setup = Setup { password: true, email_link: false, second_factor: SecondFactor::Off };

#[tokio::test]
async fn a_call_that_may_be_repeated_survives_two_faults() {
    for moods in [
        [Mood::Status(500, json!({})), Mood::Status(503, json!({}))],
        [Mood::Wait(429, "0"), Mood::Wait(503, "0")],
        [Mood::Torn, Mood::Hang],
    ] {
        let fake = Fake::start().await;
        let client = fake.client();
        let made = client.make_pool("tmine", &PASSWORD, true).await.unwrap();
        for mood in moods.clone() {
            fake.mood(mood);
        }
        assert_eq!(client.pool(&made.id).await.unwrap(), Some(made), "{moods:?}");
        assert_eq!(fake.calls().len(), 4, "{moods:?}");
    }
}

#[tokio::test]
async fn attempts_have_an_end() {
    let fake = Fake::start().await;
    let client = fake.client();
    for _ in 0..3 {
        fake.mood(Mood::Status(502, json!({})));
    }
    let error = client.pools_named("tmine").await.unwrap_err();
    assert!(matches!(error, IdentityError::Busy { status: 502 }) && error.is_transient(), "{error:?}");
    assert_eq!(fake.calls().len(), 3);
}

#[tokio::test]
async fn a_pool_is_never_made_twice_by_one_call() {
    for mood in [Mood::After(500), Mood::After(503), Mood::Torn, Mood::Hang] {
        let fake = Fake::start().await;
        let client = fake.client();
        fake.mood(mood.clone());
        let error = client.make_pool("tmine", &PASSWORD, true).await.unwrap_err();
        assert!(error.is_transient(), "{mood:?}: {error:?}");
        assert_eq!(fake.calls().len(), 1, "{mood:?}");
        // Whoever looks by the name finds what was made.
        let found = client.pools_named("tmine").await.unwrap().len();
        assert_eq!(found, usize::from(matches!(mood, Mood::After(_))), "{mood:?}");
    }
}

#[tokio::test]
async fn too_many_requests_did_nothing_and_are_repeated() {
    let fake = Fake::start().await;
    let client = fake.client();
    fake.mood(Mood::Wait(429, "0"));
    client.make_pool("tmine", &PASSWORD, true).await.unwrap();
    assert_eq!((fake.calls().len(), fake.pools()), (2, 1));
}

#[tokio::test]
async fn a_long_wait_is_cut_and_a_hang_ends() {
    let fake = Fake::start().await;
    let client = fake.client();
    for _ in 0..3 {
        fake.mood(Mood::Hang);
    }
    let began = Instant::now();
    let error = client.pools_named("tmine").await.unwrap_err();
    assert!(matches!(error, IdentityError::Slow), "{error:?}");
    assert!(began.elapsed() >= bounds().within * 3 && began.elapsed() < bounds().longest(), "{:?}", began.elapsed());
    fake.mood(Mood::Wait(503, "86400"));
    let began = Instant::now();
    client.pools_named("tmine").await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_cannot_be_read_is_no_success() {
    let fake = Fake::start().await;
    let client = fake.client();
    let id = PoolId::parse("tmine-00001").unwrap();
    fake.mood(Mood::Page);
    assert!(matches!(client.pool(&id).await.unwrap_err(), IdentityError::Form(_)));
    fake.mood(Mood::Flood);
    assert!(matches!(client.pool(&id).await.unwrap_err(), IdentityError::Large));
    for name in ["projects/demo-tenancy/tenants/another", "projects/x/tenants/a%2fb", ""] {
        fake.mood(Mood::Status(200, json!({ "name": name, "displayName": "tmine" })));
        assert!(matches!(client.pool(&id).await.unwrap_err(), IdentityError::Form(_)), "{name}");
    }
    // A list that says that it goes on, for ever.
    for _ in 0..100 {
        fake.mood(Mood::Status(200, json!({ "tenants": [], "nextPageToken": "more" })));
    }
    assert!(matches!(client.pools_named("tmine").await.unwrap_err(), IdentityError::Form(_)));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (fake, other) = (Fake::start().await, Fake::start().await);
    let client = fake.client();
    fake.mood(Mood::Redirect(format!("http://{}/identitytoolkit.googleapis.com/", other.address)));
    let error = client.pools_named("tmine").await.unwrap_err();
    assert!(matches!(error, IdentityError::Refused { status: 302, .. }), "{error:?}");
    assert!(other.calls().is_empty());
}

#[tokio::test]
async fn refusals_tell_the_word_and_are_not_repeated() {
    for (status, word, expected) in [
        (400, "INVALID_DISPLAY_NAME : secret", "ProviderRefused"),
        (403, "PERMISSION_DENIED", "CredentialRefused"),
        (404, "PROJECT_NOT_FOUND", "ProviderRefused"),
        (501, "NOT_IMPLEMENTED", "ProviderRefused"),
    ] {
        let fake = Fake::start().await;
        fake.mood(Mood::Status(status, json!({ "error": { "message": word } })));
        let error = fake.client().make_pool("tmine", &PASSWORD, true).await.unwrap_err();
        assert_eq!(error.word(), expected, "{status}");
        assert!(!error.is_transient() && !error.to_string().contains("secret") && !error.remedy().is_empty());
        assert_eq!(fake.calls().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn nobody_there_is_tried_again_also_for_what_must_not_be_done_twice() {
    let fake = Fake::start().await;
    let client = fake.client();
    let gone = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let options = tenantry_identity::Options::new(
        "demo-tenancy".parse().unwrap(),
        tenantry_identity::Access::Emulator(gone.to_string().parse().unwrap()),
    );
    let nobody = tenantry_identity::Provider::new(tenantry_identity::Options { bounds: bounds(), ..options }).unwrap();
    let error = nobody.make_pool("tmine", &PASSWORD, true).await.unwrap_err();
    assert!(matches!(error, IdentityError::Away(_)), "{error:?}");
    client.pools_named("tmine").await.unwrap();
}
