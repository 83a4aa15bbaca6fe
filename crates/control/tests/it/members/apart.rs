//! What one tenant knows of a person is its own, and a person is in one tenant where that is the rule, also in a race.

use std::sync::Arc;

use futures_util::future::join_all;
use tenantry_control::members::{self, Add, Answer, ImportRow, Member, MemberOptions, Outcome};
use tenantry_control::{Ctx, Options};
use tenantry_domain::code::Code;
use tenantry_domain::id::UserId;
use tenantry_domain::page::PageSize;
use tenantry_domain::policy::{Pattern, Rights, Role};

use super::{
    OWNER, add, answer, by_link, email, identity, invite, person, plans, refused, remove, role, roles, tenant,
};
use crate::world::{World, name, options};

async fn shown(world: &World, slug: &str) -> Vec<Member> {
    let page = (PageSize::new(200).unwrap(), None);
    members::list(&world.cx(), &world.deps, &name(slug), None, None, page).await.unwrap().items
}

fn card(member: &Member) -> (&str, Option<&str>) {
    (member.email.as_str(), member.name.as_deref())
}

fn single() -> Options {
    Options { members: MemberOptions { single: true, ..MemberOptions::default() }, ..options() }
}

/// How many users there are.
async fn users(world: &World) -> i64 {
    let conn = world.deps.store().pool().get().await.unwrap();
    let count = conn.query_one("SELECT count(*) FROM tenantry.user_account", &[]).await.unwrap().get(0);
    conn.release();
    count
}

/// Nobody's key can change what another tenant shows of a person, or read what it was told, by whichever way in.
#[tokio::test]
async fn tenants_share_a_person_and_not_what_they_know_of_them() {
    let world = World::new().await;
    for slug in ["acme", "globex", "initech"] {
        tenant(&world, slug, "starter").await;
    }
    let known = Add { email: email("anna@globex.example"), name: Some("Anna B.".into()), ..person("anna", OWNER) };
    let anna = members::add(&world.cx(), &world.deps, &name("globex"), None, &known).await.unwrap().user;
    // Added without a name: the one that globex was told is not told here.
    let plain = Add { email: email("mallory@acme.example"), ..person("anna", OWNER) };
    let added = members::add(&world.cx(), &world.deps, &name("acme"), None, &plain).await.unwrap();
    assert_eq!((added.user, card(&added)), (anna, ("mallory@acme.example", None)));
    // Imported, with another name and address, and once more.
    for other in ["Mallory", "Mallet"] {
        let row = ImportRow::Member {
            identity: identity("anna"),
            email: email("mallet@acme.example"),
            name: Some(other.into()),
            role: role(OWNER),
        };
        let report = members::import(&world.cx(), &world.deps, &name("acme"), None, &[row], false).await.unwrap();
        assert_eq!(report.rows[0].outcome, Outcome::Changed, "{report:?}");
    }
    // Accepted, with a third one.
    let token = invite(&world, "initech", None, &by_link("eve@initech.example", "member")).await.unwrap();
    let wanted = Answer { email: email("eve@initech.example"), name: Some("Eve".into()), ..answer("anna") };
    let joined = members::accept(&world.cx(), &world.deps, &token, &wanted).await.unwrap();
    assert_eq!((joined.user, card(&joined)), (anna, ("eve@initech.example", Some("Eve"))));
    assert_eq!(card(&shown(&world, "globex").await[0]), ("anna@globex.example", Some("Anna B.")));
    let mallet = &shown(&world, "acme").await[0];
    assert_eq!((card(mallet), mallet.version), (("mallet@acme.example", Some("Mallet")), 3));
    // Whether an address is known is asked of this tenant alone.
    refused(invite(&world, "acme", None, &by_link("Mallet+x@acme.example", "member")).await, Code::MemberExists);
    invite(&world, "acme", None, &by_link("anna@globex.example", "member")).await.unwrap();
    // A file does not tell who is somebody elsewhere.
    remove(&world, "initech", None, anna).await.unwrap();
    let gone = [ImportRow::Gone(identity("anna"))];
    let report = members::import(&world.cx(), &world.deps, &name("initech"), None, &gone, false).await.unwrap();
    assert_eq!((report.rows[0].outcome, report.rows[0].user), (Outcome::Unchanged, None));
    world.stop().await;
}

/// Where nobody may be in two tenants, two that take a person in at once do not both get them.
#[tokio::test]
async fn one_person_in_one_tenant_holds_in_a_race() {
    let world = Arc::new(World::with(single()).await);
    for slug in ["acme", "globex"] {
        tenant(&world, slug, "starter").await;
        add(&world, slug, &format!("{slug}-owner"), OWNER).await;
    }
    for round in 0..12 {
        let who = format!("anna-{round}");
        let tries = ["acme", "globex"].map(|slug| {
            let (world, who) = (world.clone(), who.clone());
            tokio::spawn(async move {
                if round % 3 == 0 {
                    let token = invite(&world, slug, None, &by_link(&format!("{who}@example.com"), "member")).await?;
                    return members::accept(&world.cx(), &world.deps, &token, &answer(&who)).await.map(|_| ());
                }
                if round % 3 == 1 {
                    let row = super::people::row(&who, "member");
                    let report = members::import(&world.cx(), &world.deps, &name(slug), None, &[row], false).await?;
                    return match report.rows[0].code.as_deref() {
                        None => Ok(()),
                        Some(code) => {
                            assert_eq!(code, Code::MemberElsewhere.to_string());
                            Err(tenantry_domain::member::Refused::Elsewhere.into())
                        }
                    };
                }
                members::add(&world.cx(), &world.deps, &name(slug), None, &person(&who, "member")).await.map(|_| ())
            })
        });
        let answers: Vec<_> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{round}: {answers:?}");
        for answer in answers.into_iter().filter(Result::is_err) {
            refused(answer, Code::MemberElsewhere);
        }
    }
    assert_eq!(roles(&world, "acme").await.len() + roles(&world, "globex").await.len(), 14);
}

/// A row that is refused leaves nobody behind, and a file that is only tried neither.
#[tokio::test]
async fn a_file_leaves_no_stranger_behind() {
    let world = World::with(single()).await;
    plans(&world).await;
    tenant(&world, "acme", "trio").await;
    tenant(&world, "globex", "starter").await;
    add(&world, "acme", "olga", OWNER).await;
    add(&world, "globex", "gert", OWNER).await;
    let row = super::people::row;
    let file =
        vec![row("anna", "member"), row("gert", "member"), row("eve", "nobody"), ImportRow::Gone(identity("anna"))];
    let run = async |dry| members::import(&world.cx(), &world.deps, &name("acme"), None, &file, dry).await.unwrap();
    use Outcome::{Added, Refused, Removed};
    for dry in [true, false] {
        let outcomes: Vec<_> = run(dry).await.rows.iter().map(|row| row.outcome).collect();
        assert_eq!(outcomes, [Added, Refused, Refused, Removed]);
        assert_eq!(users(&world).await, 2, "dry: {dry}");
    }
    assert_eq!(card(&shown(&world, "globex").await[0]), ("gert@example.com", None));
    world.stop().await;
}

/// The right to change people is enough to change them: nothing else of the tenant has to be readable.
#[tokio::test]
async fn a_key_for_people_needs_no_other_right() {
    let world = World::new().await;
    tenant(&world, "acme", "starter").await;
    let acme = world.tenant("acme").await.id;
    let scopes = ["member.add", "invitation.create"].map(|scope| Pattern::parse(scope).unwrap());
    let rights = Rights { roles: [Role::Tenant].into(), scopes: Some(scopes.into()), tenant: Some(acme) };
    let cx = Ctx { rights, ..world.cx() };
    members::add(&cx, &world.deps, &name("acme"), None, &person("olga", OWNER)).await.unwrap();
    members::invite(&cx, &world.deps, &name("acme"), None, &by_link("anna@example.com", "member")).await.unwrap();
    let user = UserId::from_uuid(uuid::Uuid::now_v7());
    refused(members::get(&cx, &world.deps, &name("acme"), None, user).await, Code::PolicyDenied);
    // For another tenant it is none.
    tenant(&world, "globex", "starter").await;
    let other = members::add(&cx, &world.deps, &name("globex"), None, &person("olga", OWNER)).await;
    refused(other, Code::TenantNotFound);
    world.stop().await;
}
