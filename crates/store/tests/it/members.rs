//! People of tenants in tables: one membership per user and tenant, one pending invitation per person, mail that one
//! replica at a time has, and nobody left behind.

use std::collections::BTreeSet;
use std::time::Duration;

use tenantry_domain::audit::Category;
use tenantry_domain::id::{InvitationId, TenantId, UserId};
use tenantry_domain::member::{Email, Identity, Invited, Permission, Role, RoleName};
use tenantry_domain::page::PageSize;
use tenantry_store::{Entry, NewInvitation, PageRequest, StoreError, WriteTx};

use crate::world::{World, at, draft, first_page, fresh, permit, prod};

fn identity(subject: &str) -> Identity {
    Identity { issuer: "https://login.example".into(), pool: String::new(), subject: subject.into() }
}

fn role(text: &str) -> RoleName {
    RoleName::parse(text).unwrap()
}

fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

fn entry(tenant: TenantId) -> Entry {
    Entry::tenant(tenant, draft("member.add", Category::Access, None), vec![])
}

async fn open(world: &World, tenant: TenantId, second: i64) -> WriteTx {
    let mut tx = world.store.write(&permit(), at(second)).await.unwrap();
    tx.tenants().lock(tenant).await.unwrap();
    tx
}

async fn join(world: &World, tenant: TenantId, who: &str, as_role: &str) -> UserId {
    let mut tx = open(world, tenant, 1).await;
    let mut members = tx.members();
    let user =
        members.put_user(UserId::from_uuid(fresh()), &identity(who), &email("a@example.com"), None).await.unwrap();
    let added = members.add(tenant, user.id, &role(as_role)).await.unwrap();
    assert!(added.is_some(), "{who}");
    tx.commit(vec![entry(tenant)]).await.unwrap();
    user.id
}

fn invitation(tenant: TenantId, address: &str) -> NewInvitation {
    NewInvitation {
        id: InvitationId::from_uuid(fresh()),
        tenant,
        email: email(address),
        role: role("member"),
        nonce: [3; 32],
        hash: [4; 32],
        invited_by: None,
        expires_at: at(3600),
    }
}

#[tokio::test]
async fn a_membership_is_one_and_a_user_without_one_is_forgotten() {
    let world = World::new().await;
    let (acme, globex) = (world.create("acme").await.id, world.create("globex").await.id);
    let anna = join(&world, acme, "anna", "owner").await;
    assert_eq!(join(&world, globex, "anna", "member").await, anna);
    let mut tx = open(&world, acme, 2).await;
    assert_eq!(tx.members().add(acme, anna, &role("admin")).await.unwrap(), None);
    assert_eq!(tx.members().roll(acme).await.unwrap().owners, 1);
    assert!(tx.members().is_elsewhere(anna, acme).await.unwrap());
    tx.members().remove(acme, anna).await.unwrap();
    assert!(matches!(tx.members().remove(acme, anna).await, Err(StoreError::NotFound)));
    // What is written owes an entry.
    assert!(matches!(tx.commit_unchanged().await, Err(StoreError::Unaudited)));
    for tenant in [acme, globex] {
        let mut tx = open(&world, tenant, 3).await;
        tx.members().remove(tenant, anna).await.unwrap();
        tx.commit(vec![entry(tenant)]).await.unwrap();
        let known = world.store.user_environment(anna).await.unwrap();
        assert_eq!(known.is_some(), tenant == acme);
    }
}

/// The same is written down once, what did not change is not touched, and a name that was told is kept.
#[tokio::test]
async fn a_user_follows_what_the_issuer_says() {
    let world = World::new().await;
    let acme = world.create("acme").await.id;
    let put = async |second, address: &str, name: Option<&str>| {
        let mut tx = open(&world, acme, second).await;
        let fresh = UserId::from_uuid(fresh());
        let user = tx.members().put_user(fresh, &identity("anna"), &email(address), name).await.unwrap();
        tx.commit(vec![entry(acme)]).await.unwrap();
        user
    };
    let first = put(1, "a@example.com", Some("Anna")).await;
    assert_eq!(put(2, "a@example.com", None).await, first);
    let moved = put(3, "b@example.com", None).await;
    assert_eq!((moved.id, moved.name.as_deref(), moved.updated_at), (first.id, Some("Anna"), at(3)));
    assert_eq!(world.number("SELECT count(*) FROM tenantry.user_account").await, 1);
}

#[tokio::test]
async fn pages_go_on_where_they_ended_and_belong_to_their_list() {
    let world = World::new().await;
    let (acme, globex) = (world.create("acme").await.id, world.create("globex").await.id);
    let mut all = Vec::new();
    for number in 0..7 {
        all.push(join(&world, acme, &format!("u{number}"), if number == 3 { "admin" } else { "member" }).await);
    }
    join(&world, globex, "other", "owner").await;
    let reader = world.store.read(&prod());
    let (mut found, mut token) = (Vec::new(), None::<String>);
    loop {
        let page = PageRequest { token: token.as_deref(), size: PageSize::new(3).unwrap(), ..first_page(3) };
        let page = reader.members(acme, None, &page).await.unwrap();
        found.extend(page.items.into_iter().map(|row| row.user.id));
        token = page.next;
        let Some(token) = &token else { break };
        let page = PageRequest { token: Some(token), ..first_page(3) };
        assert!(reader.members(globex, None, &page).await.is_err(), "another tenant's list");
        assert!(reader.members(acme, Some(&role("admin")), &page).await.is_err(), "another filter");
    }
    assert_eq!(found, all);
    let admins = reader.members(acme, Some(&role("admin")), &first_page(10)).await.unwrap();
    assert_eq!(admins.items.len(), 1);
    assert_eq!(reader.tenants_of(all[0], &first_page(10)).await.unwrap().items[0].slug.as_str(), "acme");
}

#[tokio::test]
async fn a_role_of_its_own_is_looked_up_each_time() {
    let world = World::new().await;
    let acme = world.create("acme").await.id;
    let set = |names: &[&str]| names.iter().map(|name| Permission::parse(name).unwrap()).collect::<BTreeSet<_>>();
    let mut tx = open(&world, acme, 1).await;
    tx.members().put_role(acme, &role("support"), None, &set(&["feature:a"])).await.unwrap();
    tx.commit(vec![entry(acme)]).await.unwrap();
    let anna = join(&world, acme, "anna", "support").await;
    let held = async || world.store.read(&prod()).member(acme, anna).await.unwrap().unwrap().role;
    assert_eq!(held().await.permissions(), set(&["feature:a"]));
    let mut tx = open(&world, acme, 2).await;
    let changed = tx.members().put_role(acme, &role("support"), Some("Support"), &set(&["feature:b"])).await.unwrap();
    assert_eq!((changed.version, changed.created_at, changed.updated_at), (2, at(1), at(2)));
    assert_eq!(tx.members().role_uses(acme, &role("support")).await.unwrap().members, 1);
    tx.commit(vec![entry(acme)]).await.unwrap();
    assert_eq!(held().await.permissions(), set(&["feature:b"]));
    // A permission that this release does not know is one less, not an error.
    world.sql("UPDATE tenantry.member_role SET permissions = '{feature:b,tenant:everything}'");
    assert_eq!(held().await.permissions(), set(&["feature:b"]));
    assert!(matches!(held().await, Role::Custom { .. }));
}

#[tokio::test]
async fn one_invitation_per_person_is_pending() {
    let world = World::new().await;
    let acme = world.create("acme").await.id;
    let mut tx = open(&world, acme, 1).await;
    let made = tx.members().invite(&invitation(acme, "anna+x@example.com")).await.unwrap();
    assert_eq!((made.sends, made.version, made.invited), (1, 1, Invited::Pending));
    assert!(!format!("{made:?}").contains("[3, 3"), "{made:?}");
    assert_eq!(tx.members().roll(acme).await.unwrap().open, 1);
    let known = tx.members().known(acme, &email("ANNA@example.com")).await.unwrap();
    assert_eq!(known, [(true, made.id.uuid())]);
    tx.commit(vec![entry(acme)]).await.unwrap();
    let mut tx = open(&world, acme, 2).await;
    assert!(tx.members().invite(&invitation(acme, "Anna@example.com")).await.is_err(), "the same person");
    drop(tx);
    let mut tx = open(&world, acme, 4000).await;
    assert_eq!(tx.members().roll(acme).await.unwrap().open, 0, "its time is over");
    let settled = tx.members().settle(acme, made.id, Invited::Accepted, None).await.unwrap();
    assert_eq!((settled.version, settled.settled_at), (2, Some(at(4000))));
    assert!(matches!(tx.members().settle(acme, made.id, Invited::Accepted, None).await, Err(StoreError::NotFound)));
    assert!(matches!(tx.members().renew(&settled, [5; 32], [6; 32], at(5000)).await, Err(StoreError::NotFound)));
    tx.commit(vec![entry(acme)]).await.unwrap();
}

/// A mail belongs to one replica for a while; whoever slept longer than that cannot settle it.
#[tokio::test]
async fn a_mail_is_one_replicas_at_a_time() {
    let world = World::new().await;
    let acme = world.create("acme").await.id;
    let mut tx = open(&world, acme, 1).await;
    let made = tx.members().invite(&invitation(acme, "anna@example.com")).await.unwrap();
    tx.mail().queue(fresh(), made.id);
    tx.commit(vec![entry(acme)]).await.unwrap();
    let claim = async |second| world.store.claim_mail(at(second), Duration::from_secs(60), 8).await.unwrap();
    assert!(claim(0).await.is_empty(), "not due yet");
    let claims = futures_util::future::join_all((0..8).map(|_| claim(2))).await;
    let mut taken: Vec<_> = claims.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1);
    let slow = taken.remove(0);
    assert!((slow.attempt, slow.is_void, slow.nonce) == (1, false, [3; 32]) && claim(61).await.is_empty());
    let second = claim(62).await.remove(0);
    assert_eq!((second.id, second.attempt), (slow.id, 2));
    // The slow one wakes up: its word does not count.
    world.store.mail_sent(&slow, at(63)).await.unwrap();
    world.store.mail_dropped(&slow, at(63), "x").await.unwrap();
    assert_eq!(world.store.mail_waiting().await.unwrap().0, 1);
    world.store.mail_later(&second, at(100), "451").await.unwrap();
    assert!(claim(99).await.is_empty());
    // Withdrawn meanwhile: it is handed out as void.
    let mut tx = open(&world, acme, 100).await;
    tx.members().settle(acme, made.id, Invited::Withdrawn, None).await.unwrap();
    tx.commit(vec![entry(acme)]).await.unwrap();
    let third = claim(101).await.remove(0);
    assert!(third.is_void && third.attempt == 3);
    world.store.mail_dropped(&third, at(102), "void").await.unwrap();
    assert!(claim(1000).await.is_empty());
    let standing = world.store.mail_of(&prod(), made.id).await.unwrap().unwrap();
    assert_eq!((standing.attempts, standing.sent_at, standing.dropped_at), (3, None, Some(at(102))));
}
