//! Logins of the gateway: made, given other passwords, taken back, and gone with their tenant.

use secrecy::{ExposeSecret as _, SecretString};
use tenantry_domain::audit::Category;
use tenantry_domain::gateway::{Access, Allowed, Login, LoginName, Mode, Proof, Server, Whose};
use tenantry_domain::id::TenantId;
use tenantry_domain::name::{AppName, EnvironmentName};
use tenantry_domain::tenant::lifecycle::State;
use tenantry_store::{
    Entry, LoginFilter, LoginRow, NewLogin, PageRequest, StateChange, StoreError, TenantRow, Verifier, WriteTx,
};

use crate::world::{World, at, draft, first_page, permit, permit_in, prod};

pub fn login_name(text: &str) -> LoginName {
    LoginName::parse(text).unwrap()
}

pub fn login(whose: Whose) -> Login {
    Login {
        whose,
        mode: Mode::Transaction,
        access: Access::ReadWrite,
        server: Server::Primary,
        proof: Proof::Password,
        connections: None,
        expires: None,
    }
}

pub fn service(tenants: Allowed) -> Whose {
    Whose::Service { app: AppName::parse("chat").unwrap(), tenants }
}

fn verifier(password: &str) -> Verifier {
    Verifier::of(&SecretString::from(password))
}

fn text(verifier: &Verifier) -> &str {
    verifier.text().expose_secret()
}

/// The entry that a change of a login owes.
pub fn entry(whose: &Whose, verb: &str) -> Entry {
    let audit = draft(&format!("gateway.login.{verb}"), Category::Access, None);
    match whose {
        Whose::Tenant(tenant) => Entry::tenant(*tenant, audit, vec![]),
        Whose::Service { .. } => Entry::environment(audit, vec![]),
    }
}

pub fn new(name: &str, login: Login) -> NewLogin {
    let verifier = (login.proof == Proof::Password).then(|| verifier("first"));
    NewLogin { name: login_name(name), login, verifier }
}

/// Makes a login in a transaction of its own.
pub async fn create(world: &World, second: i64, new: &NewLogin) -> Result<LoginRow, StoreError> {
    let mut tx = world.store.write(&permit(), at(second)).await?;
    let row = tx.logins().create(new).await?;
    tx.commit(vec![entry(&new.login.whose, "create")]).await?;
    Ok(row)
}

pub async fn change<F>(world: &World, second: i64, name: &str, verb: &str, change: F) -> Result<LoginRow, StoreError>
where
    F: AsyncFnOnce(&mut WriteTx, &LoginRow) -> Result<LoginRow, StoreError>,
{
    let mut tx = world.store.write(&permit(), at(second)).await?;
    let row = tx.logins().lock(&login_name(name)).await?.ok_or(StoreError::NotFound)?;
    let changed = change(&mut tx, &row).await?;
    tx.commit(vec![entry(&row.login.whose, verb)]).await?;
    Ok(changed)
}

pub async fn revoke(world: &World, second: i64, name: &str) -> Result<LoginRow, StoreError> {
    change(world, second, name, "revoke", async |tx, row| tx.logins().revoke(row).await).await
}

async fn found(world: &World, name: &str) -> LoginRow {
    world.store.read(&prod()).login(&login_name(name)).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_login_is_made_and_its_passwords_follow_each_other() {
    let world = World::new().await;
    let acme = world.create("acme").await;
    let whose = Whose::Tenant(acme.id);
    let mut tx = world.write().await;
    tx.logins().create(&new("acme-app", login(whose.clone()))).await.unwrap();
    assert!(matches!(tx.commit_unchanged().await, Err(StoreError::Unaudited)));
    assert!(world.store.read(&prod()).login(&login_name("acme-app")).await.unwrap().is_none());

    let limited =
        Login { connections: Some(7), expires: Some(at(900)), access: Access::ReadOnly, ..login(whose.clone()) };
    let made = create(&world, 10, &new("acme-app", limited.clone())).await.unwrap();
    assert_eq!((made.version, &made.login, made.slug.as_ref()), (1, &limited, Some(&acme.slug)));
    assert_eq!((made.created_at, made.created_by.as_str(), made.rotated_at), (at(10), "operator:olga", None));
    let first = text(made.verifiers.current.as_ref().unwrap()).to_owned();
    assert!(first.starts_with("SCRAM-SHA-256$4096:") && !first.contains("first"), "{first}");
    assert!(made.verifiers.old.is_none());
    assert!(!format!("{made:?}").contains("SCRAM"), "{made:?}");

    let rotate = async |second: i64, password: &str, until: i64| {
        let verifier = verifier(password);
        let rotated = change(&world, second, "acme-app", "rotate", async |tx, row| {
            tx.logins().rotate(row, &verifier, at(until), row.login.expires).await
        });
        rotated.await.unwrap()
    };
    let second = rotate(20, "second", 120).await;
    assert_eq!((second.version, second.rotated_at, second.updated_at), (2, Some(at(20)), at(20)));
    let (old, until) = second.verifiers.old.as_ref().unwrap();
    assert_eq!((text(old), *until), (first.as_str(), at(120)));
    // A third one ends the first, and no grace leaves only the newest.
    let third = rotate(30, "third", 130).await;
    assert_eq!(text(&third.verifiers.old.unwrap().0), text(second.verifiers.current.as_ref().unwrap()));
    let fourth = rotate(40, "fourth", 40).await;
    assert!(fourth.verifiers.old.is_none() && fourth.login.expires == Some(at(900)));

    // Who read an older row changes nothing.
    let mut tx = world.write().await;
    let stale = tx.logins().rotate(&made, &verifier("x"), at(99), None).await;
    assert!(matches!(stale, Err(StoreError::NotFound)), "{stale:?}");
    drop(tx);
    assert_eq!(found(&world, "acme-app").await.version, 4);
    assert_eq!(world.store.verify_audit(None, None).await.unwrap().entries, 5);
}

#[tokio::test]
async fn a_name_in_use_is_one_login_and_a_revoked_one_is_free() {
    let world = World::new().await;
    create(&world, 1, &new("chat", login(service(Allowed::All)))).await.unwrap();
    let taken = create(&world, 2, &new("chat", login(service(Allowed::All)))).await;
    assert!(matches!(taken, Err(StoreError::LoginTaken { name }) if name.as_str() == "chat"));
    let staging = EnvironmentName::parse("staging").unwrap();
    world.store.ensure_environment(&staging).await.unwrap();
    let there = permit_in(staging.clone());
    let make_there = async || {
        let mut tx = world.store.write(&there, at(3)).await.unwrap();
        let whose = service(Allowed::All);
        let made = tx.logins().create(&new("chat", login(whose.clone()))).await;
        if made.is_ok() {
            tx.commit(vec![entry(&whose, "create")]).await.unwrap();
        }
        made
    };
    assert!(matches!(make_there().await, Err(StoreError::LoginTaken { .. })), "names are the installation's");

    let revoked = revoke(&world, 4, "chat").await.unwrap();
    assert_eq!((revoked.version, revoked.revoked_at), (2, Some(at(4))));
    assert!(revoked.verifiers.current.is_none() && revoked.verifiers.old.is_none());
    assert_eq!(world.number("SELECT count(*) FROM tenantry.gateway_login WHERE verifier IS NOT NULL").await, 0);
    let again = revoke(&world, 5, "chat").await;
    assert!(matches!(again, Err(StoreError::NotFound)), "{again:?}");
    make_there().await.unwrap();
    assert!(matches!(
        create(&world, 6, &new("chat", login(service(Allowed::All)))).await,
        Err(StoreError::LoginTaken { .. })
    ));
    // The same name in the same environment counts on, so that an old ETag fits nothing.
    create(&world, 7, &new("shop", login(service(Allowed::All)))).await.unwrap();
    revoke(&world, 8, "shop").await.unwrap();
    let token = Login { proof: Proof::Token, ..login(service(Allowed::All)) };
    let made = create(&world, 9, &new("shop", token)).await.unwrap();
    assert_eq!((made.version, made.revoked_at, made.created_at), (3, None, at(9)));
    assert!(made.verifiers.current.is_none());
}

/// Two at once: one makes it, the other is told that it is taken, whichever environment it is in.
#[tokio::test]
async fn two_who_want_one_name_do_not_both_get_it() {
    let world = World::new().await;
    let wanted = new("chat", login(service(Allowed::All)));
    for round in 0..10 {
        let makers = (0..4).map(|_| create(&world, 10 * round + 1, &wanted));
        let made = futures_util::future::join_all(makers).await;
        let (good, bad): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
        assert_eq!(good.len(), 1);
        assert!(bad.iter().all(|error| matches!(error, Err(StoreError::LoginTaken { .. }))), "{bad:?}");
        revoke(&world, 10 * round + 2, "chat").await.unwrap();
    }
    world.quiet().await;
}

#[tokio::test]
async fn lists_are_by_name_and_pages_neither_repeat_nor_hide() {
    let world = World::new().await;
    let acme = world.create("acme").await;
    for number in 0..7 {
        let whose = if number % 2 == 0 { Whose::Tenant(acme.id) } else { service(Allowed::These(vec![acme.id])) };
        create(&world, number, &new(&format!("login-{number}"), login(whose))).await.unwrap();
    }
    revoke(&world, 20, "login-6").await.unwrap();
    let reader = world.store.read(&prod());
    let names = async |filter: &LoginFilter, size: u16| {
        let (mut names, mut token) = (Vec::new(), None);
        loop {
            let page = PageRequest { token: token.as_deref(), ..first_page(size) };
            let found = reader.logins(filter, &page).await.unwrap();
            names.extend(found.items.into_iter().map(|row| row.name.to_string()));
            token = found.next;
            if token.is_none() {
                return names;
            }
        }
    };
    let all = LoginFilter::default();
    let living = ["login-0", "login-1", "login-2", "login-3", "login-4", "login-5"];
    for size in [1, 2, 6, 50] {
        assert_eq!(names(&all, size).await, living);
    }
    assert_eq!(names(&LoginFilter { with_revoked: true, ..all.clone() }, 3).await.len(), 7);
    let own = LoginFilter { tenant: Some(acme.id), ..all.clone() };
    assert_eq!(names(&own, 2).await, ["login-0", "login-2", "login-4"]);
    let chat = LoginFilter { app: Some(AppName::parse("chat").unwrap()), ..all.clone() };
    assert_eq!(names(&chat, 2).await, ["login-1", "login-3", "login-5"]);
    // A token is good for its own query only.
    let token = reader.logins(&own, &first_page(1)).await.unwrap().next;
    let page = PageRequest { token: token.as_deref(), ..first_page(1) };
    assert!(matches!(reader.logins(&chat, &page).await, Err(StoreError::Cursor(_))));
    let allowed = found(&world, "login-1").await.login.whose;
    assert_eq!(allowed, service(Allowed::These(vec![acme.id])));
}

/// Sets a tenant to deleted, as the workflow's last step does.
pub async fn delete(world: &World, row: &TenantRow, second: i64) {
    let mut tx = world.store.write(&permit(), at(second)).await.unwrap();
    let row = tx.tenants().lock(row.id).await.unwrap();
    let gone = StateChange {
        id: row.id,
        state: State::Deleted { at: at(second) },
        observed_version: row.version,
        app_version: 0,
        conditions: vec![],
    };
    tx.tenants().set_state(&gone).unwrap();
    tx.tenants().release(row.id, at(second)).unwrap();
    let audit = draft("tenant.deleted", Category::Transition, None);
    tx.commit(vec![Entry::tenant(row.id, audit, vec![])]).await.unwrap();
}

#[tokio::test]
async fn a_deleted_tenants_logins_go_and_others_stay() {
    let world = World::new().await;
    let (acme, globex) = (world.create("acme").await, world.create("globex").await);
    let both = service(Allowed::These(vec![acme.id, globex.id]));
    for (name, whose) in [
        ("acme-app", Whose::Tenant(acme.id)),
        ("acme-old", Whose::Tenant(acme.id)),
        ("globex-app", Whose::Tenant(globex.id)),
        ("chat", both),
    ] {
        create(&world, 1, &new(name, login(whose))).await.unwrap();
    }
    revoke(&world, 2, "acme-old").await.unwrap();
    delete(&world, &acme, 3).await;
    let left = world.store.read(&prod());
    let left =
        left.logins(&LoginFilter { with_revoked: true, ..LoginFilter::default() }, &first_page(50)).await.unwrap();
    let names: Vec<_> = left.items.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["chat", "globex-app"]);
    let reused = create(&world, 4, &new("acme-app", login(Whose::Tenant(globex.id)))).await.unwrap();
    assert_eq!(reused.slug.as_ref(), Some(&globex.slug));
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_the_table() {
    let world = World::new().await;
    let id: TenantId = world.create("acme").await.id;
    create(&world, 1, &new("acme-app", login(Whose::Tenant(id)))).await.unwrap();
    let conn = world.store.pool().get().await.unwrap();
    for (statement, constraint) in [
        ("UPDATE tenantry.gateway_login SET app = 'chat'", "gateway_login_whose"),
        ("UPDATE tenantry.gateway_login SET tenant = NULL", "gateway_login_whose"),
        ("UPDATE tenantry.gateway_login SET allowed = '{}'", "gateway_login_whose"),
        ("UPDATE tenantry.gateway_login SET mode = 'statement'", "gateway_login_mode"),
        ("UPDATE tenantry.gateway_login SET access = 'all'", "gateway_login_access"),
        ("UPDATE tenantry.gateway_login SET verifier = 'plain'", "gateway_login_verifier_form"),
        ("UPDATE tenantry.gateway_login SET verifier = NULL", "gateway_login_secret"),
        ("UPDATE tenantry.gateway_login SET revoked_at = now()", "gateway_login_secret"),
        ("UPDATE tenantry.gateway_login SET old_until = now()", "gateway_login_old"),
        ("UPDATE tenantry.gateway_login SET clients = 0", "gateway_login_clients"),
        ("UPDATE tenantry.gateway_login SET tenant = gen_random_uuid()", "gateway_login_tenant_fkey"),
    ] {
        let error = conn.execute(statement, &[]).await.unwrap_err();
        assert_eq!(error.constraint(), Some(constraint), "{statement}");
    }
    conn.release();
}
