//! Accounts of a pool.

use secrecy::ExposeSecret as _;
use serde_json::json;
use tenantry_domain::member::Email;
use tenantry_identity::{IdentityError, PoolId, Uid};

use crate::provider::{Fake, Mood};

#[tokio::test]
async fn an_account_is_made_once_and_gets_a_link() {
    let fake = Fake::start().await;
    let (client, pool) = (fake.client(), PoolId::parse("tmine-1").unwrap());
    let anna = Email::parse("anna@example.com").unwrap();
    assert_eq!(client.account(&pool, &anna).await.unwrap(), None);
    let made = client.make_account(&pool, &anna, None).await.unwrap();
    assert_eq!(client.make_account(&pool, &anna, Some(&made.uid)).await.unwrap(), made);
    assert!(!made.is_disabled && !made.is_verified);
    let link = client.reset_link(&pool, &anna).await.unwrap();
    assert_eq!(link.expose_secret(), "https://acme.example/reset?oobCode=secret-code");
    client.set_account_disabled(&pool, &made.uid, true).await.unwrap();
    assert!(client.account(&pool, &anna).await.unwrap().unwrap().is_disabled);
    // The token behind the last account leads to no endless list.
    let page = client.accounts(&pool, None).await.unwrap();
    assert_eq!(page.accounts.len(), 1);
    client.remove_account(&pool, &made.uid).await.unwrap();
    client.remove_account(&pool, &made.uid).await.unwrap();
    let page = client.accounts(&pool, page.next.as_deref()).await.unwrap();
    assert!(page.accounts.is_empty() && page.next.is_none());
}

#[tokio::test]
async fn an_account_that_anybody_may_have_made_is_not_handed_over() {
    let fake = Fake::start().await;
    let (client, pool) = (fake.client(), PoolId::parse("tmine-1").unwrap());
    let anna = Email::parse("anna@example.com").unwrap();
    let plant = |is_verified: bool| {
        let account = json!({ "localId": "theirs", "email": "anna@example.com", "emailVerified": is_verified });
        fake.kept.lock().unwrap().accounts.insert("anna@example.com".to_owned(), account);
    };
    plant(false);
    let made = client.make_account(&pool, &anna, None).await.unwrap();
    assert_ne!(made.uid.as_str(), "theirs");
    assert_eq!(fake.kept.lock().unwrap().accounts.len(), 1);
    // The id of another account does not protect this one; its own does, and so does an address that was verified.
    plant(false);
    assert_ne!(client.make_account(&pool, &anna, Some(&made.uid)).await.unwrap().uid.as_str(), "theirs");
    plant(false);
    let theirs = Uid::parse("theirs").unwrap();
    assert_eq!(client.make_account(&pool, &anna, Some(&theirs)).await.unwrap().uid, theirs);
    plant(true);
    assert_eq!(client.make_account(&pool, &anna, None).await.unwrap().uid, theirs);
}

#[tokio::test]
async fn an_account_whose_making_was_lost_is_made_again() {
    let fake = Fake::start().await;
    let (client, pool) = (fake.client(), PoolId::parse("tmine-1").unwrap());
    let bob = Email::parse("bob@example.com").unwrap();
    // The look finds nothing; the making is done, and its answer lost; its repetition meets an account that
    // might be anybody's.
    fake.mood(Mood::Status(200, json!({})));
    fake.mood(Mood::After(503));
    let made = client.make_account(&pool, &bob, None).await.unwrap();
    assert_eq!(made.email.as_deref(), Some("bob@example.com"));
    assert_eq!(fake.kept.lock().unwrap().accounts.len(), 1);
}

#[tokio::test]
async fn what_is_no_link_does_not_get_into_a_mail() {
    let fake = Fake::start().await;
    let (client, pool) = (fake.client(), PoolId::parse("tmine-1").unwrap());
    let anna = Email::parse("anna@example.com").unwrap();
    for link in ["javascript:alert(1)", "https://a.example/\r\nBcc: x", "no link", "", "ftp://a.example/x"] {
        fake.mood(Mood::Status(200, json!({ "oobLink": link })));
        let error = client.reset_link(&pool, &anna).await.unwrap_err();
        assert!(matches!(error, IdentityError::Form(_)), "{link}: {error:?}");
    }
    let error = client.reset_link(&pool, &anna).await.unwrap_err();
    assert!(matches!(&error, IdentityError::Refused { word, .. } if word == "EMAIL_NOT_FOUND"), "{error:?}");
}
