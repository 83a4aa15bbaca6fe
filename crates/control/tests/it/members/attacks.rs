//! What somebody would try with invitations and roles, and what comes of it.

use std::sync::Arc;

use futures_util::future::join_all;
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use tenantry_control::members::{self, Answer, Delivery, Invite, Token};
use tenantry_control::tenants::Expected;
use tenantry_domain::code::Code;
use tenantry_domain::member::Standing;

use super::{
    OWNER, accept, add, answer, by_link, email, identity, invite, later, person, plans, refused, remove, role, roles,
    set_role, tenant, told,
};
use crate::world::{World, name};

/// Whether the text stands in any column of any table of ours.
async fn is_stored(world: &World, text: &str) -> bool {
    let sql = "SELECT coalesce(bool_or(query_to_xml(format('SELECT t::text FROM tenantry.%I AS t', relname), false, true, '')::text
            LIKE '%' || $1 || '%'), false)
        FROM pg_class WHERE relnamespace = 'tenantry'::regnamespace AND relkind = 'r'";
    let conn = world.deps.store().pool().get().await.unwrap();
    let row = conn.query_one(sql, &[&text]).await.unwrap();
    conn.release();
    row.get(0)
}

#[tokio::test]
async fn of_fifty_who_accept_at_once_one_is_a_member() {
    let world = Arc::new(World::new().await);
    tenant(&world, "acme", "starter").await;
    add(&world, "acme", "olga", OWNER).await;
    let token = invite(&world, "acme", None, &by_link("anna@example.com", "member")).await.unwrap();
    // Each with an identity of its own, so that only the invitation itself keeps them from all becoming members.
    let tries = (0..50).map(|number| {
        let (world, token) = (world.clone(), token.clone());
        tokio::spawn(async move {
            let answer = Answer { identity: identity(&format!("anna-{number}")), ..answer("anna") };
            members::accept(&world.cx(), &world.deps, &token, &answer).await
        })
    });
    let answers: Vec<_> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
    let won = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(won, 1);
    for answer in answers.into_iter().filter(Result::is_err) {
        refused(answer, Code::InvitationOver);
    }
    assert_eq!(roles(&world, "acme").await, [OWNER, "member"]);
    assert_eq!(told(&world, "acme").await, ["member.joined", "member.invited", "member.joined"]);
}

#[tokio::test]
async fn a_link_is_good_for_one_mailbox_one_tenant_and_once() {
    let world = World::new().await;
    tenant(&world, "acme", "starter").await;
    add(&world, "acme", "olga", OWNER).await;
    let issued =
        members::invite(&world.cx(), &world.deps, &name("acme"), None, &by_link("anna@example.com", "member")).await;
    let text = issued.unwrap().token.unwrap().expose_secret().to_owned();
    let token: Token = text.parse().unwrap();
    assert!(text.len() == 30 + 1 + 43, "256 bits: {}", text.len());
    assert!(!is_stored(&world, &text[31..]).await, "the secret is in no table");
    // Another address, a variant of it, one that is not verified.
    for (address, verified) in [
        ("eve@example.com", true),
        ("anna+x@example.com", true),
        ("anna@example.org", true),
        ("anna@example.com", false),
    ] {
        let answer = Answer { email: email(address), is_verified: verified, ..answer("eve") };
        refused(members::accept(&world.cx(), &world.deps, &token, &answer).await, Code::InvitationMismatch);
    }
    // A guess, and the id with the secret of another one.
    let other = invite(&world, "acme", None, &by_link("bert@example.com", "member")).await.unwrap();
    let guess: Token = format!("{}_{}", &text[..30], "A".repeat(43)).parse().unwrap();
    refused(accept(&world, &guess, "anna").await, Code::InvitationNotFound);
    assert_ne!(format!("{token:?}"), format!("{other:?}"));
    // Another environment's door.
    let foreign = tenantry_control::Ctx {
        environment: tenantry_domain::name::EnvironmentName::parse("elsewhere").unwrap(),
        ..world.cx()
    };
    let refusal = members::accept(&foreign, &world.deps, &token, &answer("anna")).await;
    refused(refusal, Code::InvitationNotFound);

    assert_eq!(accept(&world, &token, "anna").await.unwrap().role.as_str(), "member");
    refused(accept(&world, &token, "anna").await, Code::InvitationOver);
    refused(accept(&world, &token, "eve").await, Code::InvitationOver);
    world.stop().await;
}

#[tokio::test]
async fn a_link_ends_by_time_withdrawal_renewal_and_answer() {
    let world = World::new().await;
    tenant(&world, "acme", "starter").await;
    add(&world, "acme", "olga", OWNER).await;
    let cx = world.cx();
    let acme = name("acme");
    let token = invite(&world, "acme", None, &by_link("anna@example.com", "member")).await.unwrap();
    let after =
        members::accept(&later(&world, SignedDuration::from_hours(72)), &world.deps, &token, &answer("anna")).await;
    refused(after, Code::InvitationOver);
    for wrong in [SignedDuration::from_hours(73), SignedDuration::from_secs(1)] {
        let wanted = Invite { valid_for: Some(wrong), ..by_link("bert@example.com", "member") };
        refused(members::invite(&cx, &world.deps, &acme, None, &wanted).await, Code::InvalidParameter);
    }
    let list = members::invitations(&cx, &world.deps, &acme, None, false, (Default::default(), None)).await.unwrap();
    let id = list.items[0].id;
    // Sent again: not at once, and then the first link is of no use.
    let resend = async |cx| members::resend(cx, &world.deps, &acme, None, id, Delivery::Link).await;
    refused(resend(&cx).await, Code::TooManyRequests);
    let soon = later(&world, SignedDuration::from_mins(2));
    let renewed: Token = resend(&soon).await.unwrap().token.unwrap().expose_secret().parse().unwrap();
    refused(accept(&world, &token, "anna").await, Code::InvitationNotFound);
    members::withdraw(&cx, &world.deps, &acme, None, id, Expected::Any).await.unwrap();
    refused(accept(&world, &renewed, "anna").await, Code::InvitationOver);
    refused(resend(&soon).await, Code::InvitationOver);
    let again = members::withdraw(&cx, &world.deps, &acme, None, id, Expected::Any).await.unwrap();
    assert_eq!(again.standing, Standing::Withdrawn);
    let token = invite(&world, "acme", None, &by_link("anna@example.com", "member")).await.unwrap();
    assert_eq!(members::decline(&cx, &world.deps, &token).await.unwrap().standing, Standing::Declined);
    refused(accept(&world, &token, "anna").await, Code::InvitationOver);
    refused(members::decline(&cx, &world.deps, &token).await, Code::InvitationOver);
    assert_eq!(roles(&world, "acme").await, [OWNER]);
    world.stop().await;
}

/// What the one who invited can give is looked up when the invitation is accepted.
#[tokio::test]
async fn an_invitation_is_worth_what_its_inviter_holds_at_the_end() {
    let world = World::new().await;
    tenant(&world, "acme", "starter").await;
    let olga = add(&world, "acme", "olga", OWNER).await;
    let adam = add(&world, "acme", "adam", "admin").await;
    let anna = invite(&world, "acme", Some(adam), &by_link("anna@example.com", "member")).await.unwrap();
    let bert = invite(&world, "acme", Some(adam), &by_link("bert@example.com", "member")).await.unwrap();
    set_role(&world, "acme", Some(olga), adam, "member").await.unwrap();
    refused(accept(&world, &anna, "anna").await, Code::InvitationOver);
    set_role(&world, "acme", Some(olga), adam, "admin").await.unwrap();
    accept(&world, &anna, "anna").await.unwrap();
    remove(&world, "acme", Some(olga), adam).await.unwrap();
    refused(accept(&world, &bert, "bert").await, Code::InvitationOver);
    world.stop().await;
}

#[tokio::test]
async fn nobody_rises_by_themselves_or_by_a_variant_of_their_address() {
    let world = World::new().await;
    tenant(&world, "acme", "starter").await;
    let olga = add(&world, "acme", "olga", OWNER).await;
    let adam = add(&world, "acme", "adam", "admin").await;
    let anna = add(&world, "acme", "anna", "member").await;
    for to in [OWNER, "admin"] {
        refused(set_role(&world, "acme", Some(anna), anna, to).await, Code::MemberDenied);
    }
    refused(set_role(&world, "acme", Some(adam), adam, OWNER).await, Code::MemberDenied);
    refused(set_role(&world, "acme", Some(adam), anna, "admin").await, Code::MemberDenied);
    refused(set_role(&world, "acme", Some(adam), olga, "member").await, Code::MemberDenied);
    refused(remove(&world, "acme", Some(adam), olga).await, Code::MemberDenied);
    refused(set_role(&world, "acme", Some(olga), anna, OWNER).await, Code::MemberDenied);
    for as_role in [OWNER, "admin"] {
        refused(invite(&world, "acme", Some(adam), &by_link("eve@example.com", as_role)).await, Code::MemberDenied);
    }
    let added = members::add(&world.cx(), &world.deps, &name("acme"), Some(olga), &person("eve", OWNER)).await;
    refused(added, Code::MemberDenied);
    // An own second self: the same address in another dress.
    for twin in ["ADAM@example.com", "adam+owner@example.com", "Adam+@EXAMPLE.com"] {
        refused(invite(&world, "acme", Some(olga), &by_link(twin, "member")).await, Code::MemberExists);
    }
    invite(&world, "acme", Some(olga), &by_link("eve@example.com", "member")).await.unwrap();
    refused(invite(&world, "acme", Some(olga), &by_link("Eve+2@example.com", "member")).await, Code::MemberExists);
    refused(invite(&world, "acme", Some(anna), &by_link("x@example.com", "readonly")).await, Code::MemberDenied);
    world.stop().await;
}

/// Two owners who both leave, step down and remove each other at the same time leave one.
#[tokio::test]
async fn the_last_owner_stays_whatever_happens_at_once() {
    let world = Arc::new(World::new().await);
    for round in 0..8 {
        let slug = format!("acme-{round}");
        tenant(&world, &slug, "starter").await;
        let (one, two) = (add(&world, &slug, "one", OWNER).await, add(&world, &slug, "two", OWNER).await);
        let spawn = |kind: usize, by, who| {
            let (world, slug) = (world.clone(), slug.clone());
            tokio::spawn(async move {
                match kind {
                    0 => remove(&world, &slug, Some(by), who).await,
                    _ => set_role(&world, &slug, Some(by), who, "member").await,
                }
            })
        };
        let tries = [
            spawn(round % 2, one, one),
            spawn(round / 2 % 2, two, two),
            spawn(round % 2, one, two),
            spawn(1, two, one),
        ];
        let answers: Vec<_> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
        let owners = roles(&world, &slug).await.iter().filter(|role| *role == OWNER).count();
        assert_eq!(owners, 1, "{answers:?}");
        let left =
            members::list(&world.cx(), &world.deps, &name(&slug), None, Some(&role(OWNER)), (Default::default(), None))
                .await;
        let left = left.unwrap().items[0].user;
        refused(remove(&world, &slug, Some(left), left).await, Code::LastOwner);
        refused(set_role(&world, &slug, None, left, "admin").await, Code::LastOwner);
    }
}

#[tokio::test]
async fn the_plans_users_hold_exactly() {
    let world = Arc::new(World::new().await);
    plans(&world).await;
    tenant(&world, "solo", "single").await;
    add(&world, "solo", "olga", OWNER).await;
    let why = refused(invite(&world, "solo", None, &by_link("a@example.com", "member")).await, Code::MembersNotInPlan);
    assert!(why.contains("members.invite"), "{why}");
    let second = members::add(&world.cx(), &world.deps, &name("solo"), None, &person("anna", "member")).await;
    refused(second, Code::MembersNotInPlan);

    tenant(&world, "trio", "trio").await;
    let olga = add(&world, "trio", "olga", OWNER).await;
    add(&world, "trio", "anna", "member").await;
    // One place is left, and forty want it: invitations and members alike.
    let tries = (0..40).map(|number| {
        let world = world.clone();
        tokio::spawn(async move {
            if number % 2 == 0 {
                let wanted = by_link(&format!("p{number}@example.com"), "member");
                return members::invite(&world.cx(), &world.deps, &name("trio"), Some(olga), &wanted).await.map(|_| ());
            }
            let wanted = person(&format!("p{number}"), "member");
            members::add(&world.cx(), &world.deps, &name("trio"), None, &wanted).await.map(|_| ())
        })
    });
    let answers: Vec<_> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for answer in answers.into_iter().filter(Result::is_err) {
        refused(answer, Code::UsersExceeded);
    }
}
