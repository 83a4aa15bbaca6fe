//! People of tenants in tables: one membership per user and tenant, one pending invitation per person, mail that one
//! replica at a time has, and nobody left behind.

use std::collections::BTreeSet;
use std::time::Duration;

use tenantry_domain::audit::Category;
use tenantry_domain::id::{InvitationId, TenantId, UserId};
use tenantry_domain::member::{Email, Identity, Invited, Permission, Role, RoleName};
use tenantry_domain::page::PageSize;
use tenantry_store::{Card, Entry, NewInvitation, PageRequest, StoreError, WriteTx};
use tenantry_testkit::pg::server;

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
    let user = members.put_user(UserId::from_uuid(fresh()), &identity(who)).await.unwrap();
    let card = Card { email: &email("a@example.com"), name: None };
    let added = members.add(tenant, user.id, &role(as_role), &card).await.unwrap();
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
        with_account: false,
    }
}

#[tokio::test]
async fn a_membership_is_one_and_a_user_without_one_is_forgotten() {
    let world = World::new().await;
    let (acme, globex) = (world.create("acme").await.id, world.create("globex").await.id);
    let anna = join(&world, acme, "anna", "owner").await;
    assert_eq!(join(&world, globex, "anna", "member").await, anna);
    let mut tx = open(&world, acme, 2).await;
    let card = Card { email: &email("a@example.com"), name: None };
    assert_eq!(tx.members().add(acme, anna, &role("admin"), &card).await.unwrap(), None);
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

/// What one tenant is told of a person is told to no other one.
#[tokio::test]
async fn each_tenant_has_its_own_card_of_a_person() {
    let world = World::new().await;
    let (acme, globex) = (world.create("acme").await.id, world.create("globex").await.id);
    let anna = join(&world, acme, "anna", "owner").await;
    assert_eq!(join(&world, globex, "anna", "member").await, anna);
    let told = async |tenant, second, address: &str, name: Option<&str>| {
        let mut tx = open(&world, tenant, second).await;
        let row = tx.members().set_card(tenant, anna, &Card { email: &email(address), name }).await.unwrap();
        tx.commit(vec![entry(tenant)]).await.unwrap();
        row
    };
    let known = async |tenant| {
        let row = world.store.read(&prod()).member(tenant, anna).await.unwrap().unwrap();
        (row.email.as_str().to_owned(), row.name, row.version)
    };
    let first = told(acme, 2, "anna@acme.example", Some("Anna")).await;
    assert_eq!((first.version, first.updated_at), (2, at(2)));
    assert_eq!(known(globex).await, ("a@example.com".to_owned(), None, 1));
    // A name that was told stays until another one is.
    told(acme, 3, "a2@acme.example", None).await;
    told(globex, 4, "anna@globex.example", Some("Annette")).await;
    assert_eq!(known(acme).await, ("a2@acme.example".to_owned(), Some("Anna".to_owned()), 3));
    assert_eq!(known(globex).await, ("anna@globex.example".to_owned(), Some("Annette".to_owned()), 2));
    let mut tx = open(&world, acme, 5).await;
    assert_eq!(tx.members().known(acme, &email("anna+1@globex.example")).await.unwrap(), []);
    assert_eq!(tx.members().known(acme, &email("a2+1@acme.example")).await.unwrap(), [(false, anna.uuid())]);
    assert_eq!(world.number("SELECT count(*) FROM tenantry.user_account").await, 1);
}

/// Whoever takes a person in while they leave elsewhere gets them, whichever of the two comes first.
#[tokio::test]
async fn a_person_who_leaves_and_comes_at_once_is_not_lost() {
    let world = World::new().await;
    let (acme, globex) = (world.create("acme").await.id, world.create("globex").await.id);
    let take_in = async |mut tx: WriteTx, card: &Card<'_>| {
        let user = tx.members().put_user(UserId::from_uuid(fresh()), &identity("anna")).await.unwrap().id;
        assert!(tx.members().add(globex, user, &role("member"), card).await.unwrap().is_some());
        tx.commit(vec![entry(globex)]).await.unwrap();
        user
    };
    let leave = async |mut tx: WriteTx, user| {
        tx.members().remove(acme, user).await.unwrap();
        tx.commit(vec![entry(acme)]).await.unwrap();
    };
    let address = email("anna@example.com");
    let card = Card { email: &address, name: None };
    for leaves_first in [true, false] {
        let anna = join(&world, acme, "anna", "member").await;
        let (mut out, mut into) = (open(&world, acme, 2).await, open(&world, globex, 2).await);
        let pause = || tokio::time::sleep(Duration::from_millis(200));
        let user = if leaves_first {
            out.members().remove(acme, anna).await.unwrap();
            let ends = async {
                pause().await;
                out.commit(vec![entry(acme)]).await.unwrap();
            };
            tokio::join!(take_in(into, &card), ends).0
        } else {
            let user = into.members().put_user(UserId::from_uuid(fresh()), &identity("anna")).await.unwrap().id;
            assert!(into.members().add(globex, user, &role("member"), &card).await.unwrap().is_some());
            let ends = async {
                pause().await;
                into.commit(vec![entry(globex)]).await.unwrap();
            };
            tokio::join!(leave(out, anna), ends);
            user
        };
        let there = world.store.read(&prod()).member(globex, user).await.unwrap();
        assert_eq!((there.is_some(), user == anna), (true, !leaves_first));
        let mut tx = open(&world, globex, 3).await;
        tx.members().remove(globex, user).await.unwrap();
        tx.commit(vec![entry(globex)]).await.unwrap();
        assert_eq!(world.number("SELECT count(*) FROM tenantry.user_account").await, 0);
    }
}

/// Two files may name the same people in whatever order.
#[tokio::test]
async fn many_are_made_and_held_in_one_order() {
    let world = World::new().await;
    let (acme, globex) = (world.create("acme").await.id, world.create("globex").await.id);
    join(&world, acme, "u7", "owner").await;
    let mut wanted: Vec<_> = (0..50).map(|n| (identity(&format!("u{n}")), Some(UserId::from_uuid(fresh())))).collect();
    let import = async |tenant, wanted: Vec<(Identity, Option<UserId>)>| {
        let mut tx = open(&world, tenant, 2).await;
        let held = tx.members().hold(&wanted).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let users: Vec<UserId> = held.iter().map(|user| user.id).collect();
        let card = Card { email: &email("a@example.com"), name: None };
        for user in users.iter().take(30) {
            tx.members().add(tenant, *user, &role("member"), &card).await.unwrap();
        }
        tx.members().forget(&users).await.unwrap();
        tx.commit(vec![entry(tenant)]).await.unwrap();
        held
    };
    let forth = wanted.clone();
    wanted.reverse();
    let (one, two) = tokio::join!(import(acme, forth), import(globex, wanted));
    assert_eq!((one.len(), two.len()), (50, 50));
    // Whoever became a member of nothing is forgotten again; the one who was there stays.
    assert_eq!(world.number("SELECT count(*) FROM tenantry.user_account").await, 31);
    // One who is only looked for is not made.
    let mut tx = open(&world, acme, 3).await;
    assert!(tx.members().hold(&[(identity("nobody"), None)]).await.unwrap().is_empty());
}

/// A user's environment is found by an index, as one is asked for who may be anybody.
#[tokio::test]
async fn a_user_is_found_by_id_alone() {
    let world = World::new().await;
    let plan = "DO $$ DECLARE plan text; BEGIN
        SET LOCAL enable_seqscan = off;
        FOR plan IN EXPLAIN SELECT env FROM tenantry.user_account WHERE id = gen_random_uuid() LIMIT 2 LOOP
            IF plan LIKE '%user_account_id_key%' THEN RETURN; END IF;
        END LOOP;
        RAISE 'no index';
    END $$";
    world.sql(&plan.replace("gen_random_uuid()", "'019aaaaa-0000-7000-8000-000000000000'"));
}

/// The people of a database that the release before has filled.
#[test]
fn cards_are_taken_over_from_users() {
    let database = server().database();
    let sql = |text: &str| server().sql(database.name(), text);
    sql("CREATE SCHEMA tenantry");
    for file in [include_str!("../../migrations/0001_registry.sql"), include_str!("../../migrations/0011_members.sql")]
    {
        sql(&format!("SET search_path TO tenantry; {file}"));
    }
    sql("SET session_replication_role = replica;
        INSERT INTO tenantry.user_account VALUES
            ('prod', '019aaaaa-0000-7000-8000-000000000001', 'i', '', 's', 'Anna@x.example', 'anna@x.example', 'Anna', now(), now());
        INSERT INTO tenantry.member
            SELECT 'prod', gen_random_uuid(), '019aaaaa-0000-7000-8000-000000000001', 'owner', 4, now(), 'me', now()
            FROM generate_series(1, 3)");
    sql(include_str!("../../migrations/0019_people.sql"));
    sql("DO $$ BEGIN ASSERT (SELECT count(*) = 3 FROM tenantry.member
        WHERE email = 'Anna@x.example' AND email_key = 'anna@x.example' AND name = 'Anna' AND version = 4); END $$");
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
    let renewed = tx.members().renew(&settled, [5; 32], [6; 32], at(5000), None).await;
    assert!(matches!(renewed, Err(StoreError::NotFound)));
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

/// An address is written to as often as it was, whatever became of the invitations; in the end nothing is left of them.
#[tokio::test]
async fn mails_are_counted_by_address_and_deleted_with_what_is_over() {
    let world = World::new().await;
    let (acme, globex) = (world.create("acme").await.id, world.create("globex").await.id);
    let invite = async |tenant, address: &str, second| {
        let mut tx = open(&world, tenant, second).await;
        let new = NewInvitation { expires_at: at(second + 600), ..invitation(tenant, address) };
        let made = tx.members().invite(&new).await.unwrap();
        tx.mail().queue(fresh(), made.id);
        tx.members().settle(tenant, made.id, Invited::Withdrawn, None).await.unwrap();
        tx.commit(vec![entry(tenant)]).await.unwrap();
    };
    for (tenant, address, second) in [
        (acme, "anna@example.com", 10),
        (acme, "Anna+1@example.com", 20),
        (acme, "bert@example.com", 20),
        (globex, "anna@example.com", 20),
    ] {
        invite(tenant, address, second).await;
    }
    let count = async |since| {
        let mut tx = open(&world, acme, 30).await;
        tx.mail().count(acme, &email("ANNA+2@example.com"), at(since)).await.unwrap()
    };
    assert_eq!((count(0).await, count(10).await, count(20).await), (2, 1, 0));
    // One that nobody settled is over when its time is.
    let mut tx = open(&world, acme, 40).await;
    tx.members().invite(&NewInvitation { expires_at: at(50), ..invitation(acme, "carl@example.com") }).await.unwrap();
    tx.commit(vec![entry(acme)]).await.unwrap();
    assert_eq!(world.store.sweep_invitations(at(20), 100).await.unwrap(), 1);
    assert_eq!(world.store.sweep_invitations(at(50), 2).await.unwrap(), 2);
    assert_eq!(world.store.sweep_invitations(at(50), 2).await.unwrap(), 1);
    assert_eq!(world.number("SELECT count(*) FROM tenantry.mail").await, 0);
    assert_eq!(world.number("SELECT count(*) FROM tenantry.invitation").await, 1);
    assert_eq!(world.store.sweep_invitations(at(51), 2).await.unwrap(), 1);
}
