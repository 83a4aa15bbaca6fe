//! Pools and connections, when all goes well.

use secrecy::SecretString;
use serde_json::json;
use tenantry_domain::plan::terms::SecondFactor;
use tenantry_domain::pool::Setup;
use tenantry_identity::{Connection, ConnectionName, Oidc, PoolId, Saml};

use crate::provider::Fake;

const PASSWORD: Setup = Setup { password: true, email_link: false, second_factor: SecondFactor::Off };

#[tokio::test]
async fn a_pool_is_made_found_changed_and_removed() {
    let fake = Fake::start().await;
    let client = fake.client();
    for other in ["tother1", "tother2", "tother3"] {
        client.make_pool(other, &PASSWORD, true).await.unwrap();
    }
    let made = client.make_pool("tmine", &PASSWORD, true).await.unwrap();
    assert!(made.is_enabled && made.setup == PASSWORD && made.label == "tmine");
    // Over several pages.
    assert_eq!(client.pools_named("tmine").await.unwrap().as_slice(), std::slice::from_ref(&made));
    assert_eq!(client.pool(&made.id).await.unwrap(), Some(made.clone()));
    let strict = Setup { password: false, email_link: true, second_factor: SecondFactor::Required };
    let changed = client.change_pool(&made.id, "tmine", &strict, false).await.unwrap();
    assert_eq!(client.pool(&made.id).await.unwrap(), Some(changed.clone()));
    assert!(!changed.is_enabled && changed.setup == strict);
    assert_eq!(fake.kept.lock().unwrap().pools[made.id.as_str()]["mfaConfig"]["state"], "MANDATORY");
    client.remove_pool(&made.id).await.unwrap();
    client.remove_pool(&made.id).await.unwrap();
    assert_eq!(client.pool(&made.id).await.unwrap(), None);
    assert!(client.pools_named("tmine").await.unwrap().is_empty());
    assert_eq!(fake.pools(), 3);
}

#[tokio::test]
async fn two_pools_of_one_name_are_both_told() {
    let fake = Fake::start().await;
    let client = fake.client();
    let one = client.make_pool("tmine", &PASSWORD, true).await.unwrap();
    let two = client.make_pool("tmine", &PASSWORD, true).await.unwrap();
    assert_eq!(client.pools_named("tmine").await.unwrap(), [one, two]);
}

#[tokio::test]
async fn what_the_emulator_makes_up_when_it_is_asked_is_no_pool() {
    let fake = Fake::start().await;
    let made_up = json!({ "name": "projects/demo-tenancy/tenants/nope", "allowPasswordSignup": true });
    fake.kept.lock().unwrap().pools.insert("nope".into(), made_up);
    assert_eq!(fake.client().pool(&PoolId::parse("nope").unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn connections_are_made_changed_listed_and_removed() {
    let fake = Fake::start().await;
    let client = fake.client();
    let pool = client.make_pool("tmine", &PASSWORD, true).await.unwrap().id;
    let (okta, adfs) = (ConnectionName::parse("oidc.okta").unwrap(), ConnectionName::parse("saml.adfs").unwrap());
    let oidc = |secret: &str| {
        Connection::Oidc(Oidc {
            issuer: "https://acme.okta.example".into(),
            client_id: "tenantry".into(),
            client_secret: SecretString::from(secret),
        })
    };
    client.put_connection(&pool, &okta, "Acme", &oidc("one")).await.unwrap();
    client.put_connection(&pool, &okta, "Acme", &oidc("two")).await.unwrap();
    let saml = Connection::Saml(Saml {
        entity_id: "https://adfs.acme.example/trust".into(),
        sso_url: "https://adfs.acme.example/sso".into(),
        certificates: vec!["-----BEGIN CERTIFICATE-----".into()],
        audience: "tenantry".into(),
        callback: "https://demo-tenancy.example/__/auth/handler".into(),
    });
    client.put_connection(&pool, &adfs, "Acme", &saml).await.unwrap();
    assert_eq!(client.connections(&pool).await.unwrap(), [okta.clone(), adfs.clone()]);
    {
        let kept = fake.kept.lock().unwrap();
        let one = &kept.connections["oidc.okta"];
        assert_eq!((&one["clientSecret"], &one["responseType"]["code"]), (&json!("two"), &json!(true)));
        assert_eq!(kept.connections["saml.adfs"]["idpConfig"]["idpEntityId"], "https://adfs.acme.example/trust");
    }
    // A secret is in no text that could end up in a log.
    assert!(!format!("{:?}", oidc("s3cret")).contains("s3cret"));
    client.remove_connection(&pool, &okta).await.unwrap();
    client.remove_connection(&pool, &okta).await.unwrap();
    assert_eq!(client.connections(&pool).await.unwrap(), [adfs]);
}
