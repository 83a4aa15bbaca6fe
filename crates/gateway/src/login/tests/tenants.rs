//! Which tenant a proven login gets.

use tenantry_domain::gateway::{Allowed, LoginName, Whose};

use super::super::{Facts, Refused};
use super::world::{Key, PASSWORD, attempt, desk, login_of, plain, service, tenant, tls};
use crate::table::Change;

/// The tenant's number, or the code of the refusal.
async fn got(facts: &Facts, params: &[(&str, &str)]) -> Result<u128, String> {
    let (said, heard) = attempt(&desk(), facts, params, Key::Password(PASSWORD)).await;
    match said {
        Ok(accepted) => {
            assert!(heard.is_in());
            Ok(accepted.slot.tenant().uuid().as_u128())
        }
        Err(refused) => {
            // The password was right, so that is told first, and never that the client is in.
            assert_eq!(heard.tags(), "RRRE", "{refused}");
            assert!(!heard.is_in());
            Err(heard.code())
        }
    }
}

fn id(number: u128) -> String {
    tenant(number).to_string()
}

#[tokio::test]
async fn a_login_of_a_tenant_has_this_one() {
    let (acme, globex, staged) = (id(1), id(2), id(7));
    for database in ["", "acme-app", "acme", "acme-old", "chat", &acme] {
        assert_eq!(got(&plain(), &[("user", "acme-app"), ("database", database)]).await, Ok(1), "{database}");
    }
    for database in ["globex", &globex, "globex-app", "mail", "postgres", "ACME", "acme ", "staged", &staged, "nobody"]
    {
        let params = [("user", "acme-app"), ("database", database)];
        assert_eq!(got(&plain(), &params).await, Err("3D000".to_owned()), "{database}");
    }
    for name in ["acme", "acme-old", &acme] {
        let options = format!("-c tenantry.tenant={name}");
        assert_eq!(got(&plain(), &[("user", "acme-app"), ("options", &options)]).await, Ok(1));
        assert_eq!(got(&plain(), &[("user", "acme-app"), ("tenantry.tenant", name)]).await, Ok(1));
    }
    for name in ["globex", &globex, "", "nobody", "chat"] {
        let options = format!("-c tenantry.tenant={name}");
        assert_eq!(got(&plain(), &[("user", "acme-app"), ("options", &options)]).await, Err("28000".to_owned()));
    }
    let both = "-c tenantry.tenant=acme -c tenantry.tenant=globex";
    assert_eq!(got(&plain(), &[("user", "acme-app"), ("options", both)]).await, Err("28000".to_owned()));
}

#[tokio::test]
async fn a_host_name_names_too() {
    let host = |host: &str| tls(Some(host));
    assert_eq!(got(&host("acme.db.example.com"), &[("user", "acme-app")]).await, Ok(1));
    assert_eq!(got(&host("gateway.example.org"), &[("user", "acme-app")]).await, Ok(1));
    assert_eq!(got(&host("globex.db.example.com"), &[("user", "acme-app")]).await, Err("28000".to_owned()));
    assert_eq!(got(&host("nobody.db.example.com"), &[("user", "acme-app")]).await, Err("28000".to_owned()));
    assert_eq!(got(&host("globex.db.example.com"), &[("user", "svc-all")]).await, Ok(2));
    assert_eq!(got(&host("gateway.example.org"), &[("user", "svc-all")]).await, Err("3D000".to_owned()));
}

#[tokio::test]
async fn a_service_names_the_tenant() {
    let globex = id(2);
    let ways: [&[(&str, &str)]; 6] = [
        &[("user", "svc-all"), ("database", "globex")],
        &[("user", "svc-all"), ("database", &globex)],
        &[("user", "svc-all"), ("options", "-c tenantry.tenant=globex")],
        &[("user", "svc-all"), ("database", "svc-all"), ("tenantry.tenant", "globex")],
        &[("user", "svc-all"), ("database", "chat"), ("tenantry.tenant", "globex")],
        &[("user", "svc-all"), ("database", "globex"), ("tenantry.tenant", &globex)],
    ];
    for params in ways {
        assert_eq!(got(&plain(), params).await, Ok(2), "{params:?}");
    }
    let none: [&[(&str, &str)]; 3] = [
        &[("user", "svc-all")],
        &[("user", "svc-all"), ("database", "svc-all")],
        &[("user", "svc-all"), ("database", "chat")],
    ];
    for params in none {
        assert_eq!(got(&plain(), params).await, Err("3D000".to_owned()), "{params:?}");
    }
    let differ: [&[(&str, &str)]; 3] = [
        &[("user", "svc-all"), ("database", "acme"), ("tenantry.tenant", "globex")],
        &[("user", "svc-all"), ("tenantry.tenant", "acme"), ("options", "-c tenantry.tenant=globex")],
        &[("user", "svc-all"), ("options", "-c tenantry.tenant=acme -c tenantry.tenant=globex")],
    ];
    for params in differ {
        assert_eq!(got(&plain(), params).await, Err("28000".to_owned()), "{params:?}");
    }
    let host = tls(Some("acme.db.example.com"));
    assert_eq!(got(&host, &[("user", "svc-all"), ("database", "globex")]).await, Err("28000".to_owned()));
    assert_eq!(got(&host, &[("user", "svc-all"), ("database", "acme")]).await, Ok(1));
}

#[tokio::test]
async fn a_service_has_its_list_and_its_app() {
    let desk = desk();
    // Not on the list, of another app, of another environment, and nobody: the same words.
    let mut heard = Vec::new();
    for name in ["globex", "hooli", "staged", "nobody"] {
        let (said, answer) =
            attempt(&desk, &plain(), &[("user", "svc-few"), ("database", name)], Key::Password(PASSWORD)).await;
        assert!(matches!(said, Err(Refused::NotAllowed { .. })));
        let (code, message, hint) = answer.error().unwrap();
        heard.push((code, message.replace(name, "…"), hint, answer.tags()));
    }
    assert!(heard.iter().all(|one| *one == heard[0] && one.0 == "28000"), "{heard:?}");
    assert_eq!(got(&plain(), &[("user", "svc-few"), ("database", "acme")]).await, Ok(1));
    assert_eq!(got(&plain(), &[("user", "svc-few"), ("database", "initech")]).await, Err("TN002".to_owned()));
    assert_eq!(got(&plain(), &[("user", "svc-all"), ("database", "hooli")]).await, Err("28000".to_owned()));
    assert_eq!(got(&plain(), &[("user", "svc-all"), ("database", "staged")]).await, Err("28000".to_owned()));
    let id = id(99);
    assert_eq!(got(&plain(), &[("user", "svc-few"), ("database", &id)]).await, Err("28000".to_owned()));
}

#[tokio::test]
async fn an_empty_list_has_nobody() {
    let desk = desk();
    let login = login_of("svc-none", service(Allowed::These(Vec::new())));
    desk.table.apply(vec![Change::Login(LoginName::parse("svc-none").unwrap(), Some(login))]);
    let params = [("user", "svc-none"), ("database", "acme")];
    let (said, _) = attempt(&desk, &plain(), &params, Key::Password(PASSWORD)).await;
    assert!(matches!(said, Err(Refused::NotAllowed { .. })));
}

#[tokio::test]
async fn who_is_not_let_in_hears_why_after_the_proof() {
    let cases = [
        ("initech-app", "TN002", "suspended"),
        ("umbrella-app", "TN002", "archived"),
        ("soylent-app", "57P03", "prepared"),
        ("homeless-app", "57P03", "prepared"),
        ("orphan-app", "3D000", "exist"),
        ("stray-app", "3D000", "exist"),
        ("acme-session", "0A000", "session mode"),
    ];
    let desk = desk();
    for (user, code, word) in cases {
        let (said, heard) = attempt(&desk, &plain(), &[("user", user)], Key::Password(PASSWORD)).await;
        let (found, message, _) = heard.error().unwrap();
        assert_eq!((found.as_str(), heard.tags().as_str()), (code, "RRRE"), "{user}");
        assert!(message.contains(word) && said.is_err(), "{message}");
        let (said, heard) = attempt(&desk, &plain(), &[("user", user)], Key::Password("wrong")).await;
        assert!(matches!(said, Err(Refused::Credential { .. })));
        assert_eq!(heard.code(), "28P01");
    }
    assert_eq!(got(&plain(), &[("user", "globex-session")]).await, Ok(2));
}

#[tokio::test]
async fn a_tenant_that_moves_away_is_gone() {
    let desk = desk();
    desk.table.apply(vec![Change::Tenant(tenant(1), None)]);
    let (said, heard) = attempt(&desk, &plain(), &[("user", "acme-app")], Key::Password(PASSWORD)).await;
    assert_eq!(said.unwrap_err(), Refused::NoTenant("acme-app".to_owned()));
    assert_eq!(heard.code(), "3D000");
    let login = login_of("acme-app", Whose::Tenant(tenant(2)));
    desk.table.apply(vec![Change::Login(LoginName::parse("acme-app").unwrap(), Some(login))]);
    let (said, _) = attempt(&desk, &plain(), &[("user", "acme-app")], Key::Password(PASSWORD)).await;
    assert_eq!(said.unwrap().slot.tenant(), tenant(2));
}

#[tokio::test]
async fn what_the_client_wished_for_is_handed_on() {
    let params = [
        ("user", "svc-all"),
        ("database", "acme"),
        ("application_name", "shop"),
        ("options", "-c statement_timeout=5s -c tenantry.tenant=acme -c timezone=UTC"),
        ("TimeZone", "Europe/Berlin"),
    ];
    let (said, _) = attempt(&desk(), &plain(), &params, Key::Password(PASSWORD)).await;
    let accepted = said.unwrap();
    let settings: Vec<_> = accepted.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(settings, [("statement_timeout", "5s"), ("application_name", "shop"), ("TimeZone", "Europe/Berlin")]);
    assert_eq!(accepted.start.get("application_name"), Some("shop"));
    assert!(accepted.claims.is_none());
}
