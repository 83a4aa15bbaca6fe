//! A receiver may change over to a new secret at any moment of the overlap.

use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use tenantry_control::Subject;
use tenantry_control::tenants::edit::Expected;
use tenantry_control::webhooks;
use tenantry_domain::event::Type;
use tenantry_webhooks::verify::{TOLERANCE, Verifier, VerifyError};

use super::{Process, emit, simple, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_secrets_verify_during_the_overlap_and_only_the_new_one_after_it() {
    let (world, tenant, receiver, made, old) = simple(3).await;
    let process = Process::start(&world.deps);
    let mut sent = 1;
    until("it hears that it was made", 20, || receiver.count() == 1).await;
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 5).await;
    sent += 5;
    until("before", 20, || receiver.count() == sent).await;
    let issued =
        webhooks::rotate(&world.cx(), &world.deps, made.id, Expected::Version(1), Some(SignedDuration::from_hours(1)))
            .await
            .unwrap();
    let new = Verifier::parse([issued.secret.unwrap().expose_secret()]).unwrap();
    assert!(issued.endpoint.old_until.is_some());
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 5).await;
    sent += 6;
    until("during", 20, || receiver.count() == sent).await;
    // The second rotation ends the overlap at once; the first secret is used no more.
    let issued =
        webhooks::rotate(&world.cx(), &world.deps, made.id, Expected::Any, Some(SignedDuration::ZERO)).await.unwrap();
    let newest = Verifier::parse([issued.secret.unwrap().expose_secret()]).unwrap();
    assert!(issued.endpoint.old_until.is_none());
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 5).await;
    sent += 6;
    until("after", 20, || receiver.count() == sent).await;
    let got = receiver.got();
    let check = |verifier: &Verifier, place: usize| {
        let one = &got[place];
        let now = jiff::Timestamp::try_from(one.at).unwrap().as_second();
        verifier.verify((&one.id, &one.timestamp, &one.signature), &one.body, now, TOLERANCE)
    };
    for (place, one) in got.iter().enumerate() {
        let count = one.signature.split(' ').count();
        match place {
            0..=5 => {
                assert_eq!((check(&old, place), count), (Ok(()), 1), "{place}");
                assert_eq!(check(&new, place), Err(VerifyError::Signature));
            }
            6..=11 => assert_eq!((check(&old, place), check(&new, place), count), (Ok(()), Ok(()), 2), "{place}"),
            _ => {
                assert_eq!((check(&newest, place), count), (Ok(()), 1), "{place}");
                assert_eq!(check(&old, place), Err(VerifyError::Signature));
                assert_eq!(check(&new, place), Err(VerifyError::Signature));
            }
        }
    }
    process.stop().await;
}
