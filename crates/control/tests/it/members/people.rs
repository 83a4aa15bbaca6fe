//! Members, roles, ownership, many at once.

use std::collections::BTreeSet;

use tenantry_control::members::{self, ImportRow, MemberOptions, Outcome};
use tenantry_control::tenants::{DeleteOutcome, DeleteRequest, Expected};
use tenantry_control::{IdempotencyKey, Options, tenants};
use tenantry_domain::code::{Code, FieldError};
use tenantry_domain::id::UserId;
use tenantry_domain::member::{Identity, Permission};
use tenantry_domain::page::PageSize;
use uuid::Uuid;

use super::{
    OWNER, accept, add, by_link, email, identity, invite, person, plans, refused, remove, role, roles, set_role,
    tenant, told,
};
use crate::world::{World, name, options};

fn permission(text: &str) -> Permission {
    Permission::parse(text).unwrap()
}

async fn may(world: &World, slug: &str, user: UserId, what: &str) -> bool {
    let checked = members::check(&world.cx(), &world.deps, &name(slug), user, &[permission(what)]).await.unwrap();
    checked.missing.is_empty()
}

#[tokio::test]
async fn a_member_comes_changes_and_goes_with_evidence() {
    let world = World::new().await;
    tenant(&world, "acme", "starter").await;
    let olga = add(&world, "acme", "olga", OWNER).await;
    let anna = add(&world, "acme", "anna", "member").await;
    refused(
        members::add(&world.cx(), &world.deps, &name("acme"), None, &person("anna", "admin")).await,
        Code::MemberExists,
    );
    assert!(
        may(&world, "acme", anna, "tenant:data:write").await && !may(&world, "acme", anna, "tenant:users:invite").await
    );
    let raised = set_role(&world, "acme", Some(olga), anna, "admin").await.unwrap();
    assert_eq!((raised.version, raised.role.as_str()), (2, "admin"));
    assert!(may(&world, "acme", anna, "tenant:users:invite").await);
    // A role that is taken away does not count from then on.
    set_role(&world, "acme", Some(olga), anna, "readonly").await.unwrap();
    assert!(
        !may(&world, "acme", anna, "tenant:users:invite").await
            && !may(&world, "acme", anna, "tenant:data:write").await
    );
    let stale = members::change_role(
        &world.cx(),
        &world.deps,
        &name("acme"),
        None,
        (anna, Expected::Version(1)),
        &role("member"),
    )
    .await;
    refused(stale, Code::StaleVersion);
    // The same role again changes nothing.
    assert_eq!(set_role(&world, "acme", Some(olga), anna, "readonly").await.unwrap().version, 3);
    remove(&world, "acme", Some(anna), anna).await.unwrap();
    assert!(!may(&world, "acme", anna, "tenant:data:read").await);
    refused(remove(&world, "acme", Some(olga), anna).await, Code::MemberNotFound);
    let expected = ["member.joined", "member.joined", "member.role_changed", "member.role_changed", "member.removed"];
    assert_eq!(told(&world, "acme").await, expected);
    world.stop().await;
}

/// The same subject of two issuers is two people; the same address in two tenants is two lists.
#[tokio::test]
async fn people_are_kept_apart_by_issuer_pool_and_tenant() {
    let world = World::new().await;
    tenant(&world, "acme", "starter").await;
    tenant(&world, "globex", "starter").await;
    let here = add(&world, "acme", "anna", OWNER).await;
    for (issuer, pool) in [("https://other.example", ""), ("https://login.example", "pool-2")] {
        let identity = Identity { issuer: issuer.into(), pool: pool.into(), subject: "anna".into() };
        let twin = members::Add { identity, ..person("anna", "member") };
        let twin = members::add(&world.cx(), &world.deps, &name("globex"), None, &twin).await.unwrap();
        assert_ne!(twin.user, here);
    }
    assert_eq!((roles(&world, "acme").await.len(), roles(&world, "globex").await.len()), (1, 2));
    // Nobody of the one is anybody in the other.
    assert!(!may(&world, "globex", here, "tenant:data:read").await);
    let foreign = members::get(&world.cx(), &world.deps, &name("globex"), None, here).await;
    refused(foreign, Code::MemberNotFound);
    // Whoever acts for a stranger does not learn that the tenant is there.
    let stranger = UserId::from_uuid(Uuid::now_v7());
    for acting in [stranger, here] {
        refused(set_role(&world, "globex", Some(acting), here, "admin").await, Code::TenantNotFound);
        let page = (PageSize::default(), None);
        refused(
            members::list(&world.cx(), &world.deps, &name("globex"), Some(acting), None, page).await,
            Code::TenantNotFound,
        );
    }
    world.stop().await;
}

#[tokio::test]
async fn one_person_is_in_several_tenants_unless_the_installation_says_otherwise() {
    let world = World::new().await;
    tenant(&world, "acme", "starter").await;
    tenant(&world, "globex", "starter").await;
    let anna = add(&world, "acme", "anna", OWNER).await;
    assert_eq!(add(&world, "globex", "anna", "member").await, anna);
    let found = members::tenants_of(&world.cx(), &world.deps, anna, PageSize::new(1).unwrap(), None).await.unwrap();
    assert_eq!((found.items[0].slug.as_str(), found.items[0].role.as_str()), ("acme", OWNER));
    let token = found.next;
    let rest =
        members::tenants_of(&world.cx(), &world.deps, anna, PageSize::new(1).unwrap(), token.as_deref()).await.unwrap();
    assert_eq!((rest.items[0].slug.as_str(), rest.next), ("globex", None));
    world.stop().await;

    let single = Options { members: MemberOptions { single: true, ..MemberOptions::default() }, ..options() };
    let world = World::with(single).await;
    tenant(&world, "acme", "starter").await;
    tenant(&world, "globex", "starter").await;
    add(&world, "acme", "anna", OWNER).await;
    let second = members::add(&world.cx(), &world.deps, &name("globex"), None, &person("anna", "member")).await;
    refused(second, Code::MemberElsewhere);
    let token = invite(&world, "globex", None, &by_link("anna@example.com", "member")).await.unwrap();
    refused(accept(&world, &token, "anna").await, Code::MemberElsewhere);
    world.stop().await;
}

#[tokio::test]
async fn ownership_is_handed_on_by_consent_of_both_sides() {
    let world = World::new().await;
    tenant(&world, "acme", "starter").await;
    let olga = add(&world, "acme", "olga", OWNER).await;
    let anna = add(&world, "acme", "anna", "member").await;
    let adam = add(&world, "acme", "adam", "admin").await;
    let outsider = UserId::from_uuid(Uuid::now_v7());
    let offer = async |from, to| members::offer(&world.cx(), &world.deps, &name("acme"), from, to, None).await;
    let take = async |by| members::take(&world.cx(), &world.deps, &name("acme"), by).await;
    refused(offer(adam, anna).await, Code::MemberDenied);
    refused(offer(olga, outsider).await, Code::MemberNotFound);
    refused(offer(olga, olga).await, Code::MemberExists);
    refused(take(anna).await, Code::ObjectNotFound);
    let made = offer(olga, anna).await.unwrap();
    assert_eq!(made.expires_at.duration_since(made.created_at).as_hours(), 72);
    // Neither the one who offers nor a third one can say yes.
    for other in [olga, adam] {
        refused(take(other).await, Code::MemberDenied);
    }
    refused(take(outsider).await, Code::TenantNotFound);
    assert_eq!(take(anna).await.unwrap().role.as_str(), OWNER);
    assert_eq!(roles(&world, "acme").await, ["admin", OWNER, "admin"]);
    refused(take(anna).await, Code::ObjectNotFound);
    // An offer ends with its time, with the ownership of its maker, and with either membership.
    offer(anna, adam).await.unwrap();
    world.skip_ahead(jiff::SignedDuration::from_hours(73));
    refused(take(adam).await, Code::InvitationOver);
    offer(anna, adam).await.unwrap();
    set_role(&world, "acme", None, olga, OWNER).await.unwrap();
    set_role(&world, "acme", Some(anna), anna, "member").await.unwrap();
    refused(take(adam).await, Code::InvitationOver);
    offer(olga, adam).await.unwrap();
    remove(&world, "acme", None, adam).await.unwrap();
    refused(members::ownership(&world.cx(), &world.deps, &name("acme"), None).await, Code::ObjectNotFound);
    world.stop().await;
}

#[tokio::test]
async fn a_tenant_defines_roles_that_never_exceed_their_author() {
    let world = World::new().await;
    plans(&world).await;
    tenant(&world, "acme", "starter").await;
    let olga = add(&world, "acme", "olga", OWNER).await;
    let adam = add(&world, "acme", "adam", "admin").await;
    let anna = add(&world, "acme", "anna", "member").await;
    let set = |names: &[&str]| names.iter().map(|name| permission(name)).collect::<BTreeSet<_>>();
    let define = async |by, role_name: &str, expected, permissions: &[&str]| {
        let permissions = set(permissions);
        let role_name = role(role_name);
        members::define(&world.cx(), &world.deps, &name("acme"), by, (&role_name, expected), (None, &permissions)).await
    };
    let made = define(Some(adam), "export", Expected::Version(0), &["feature:exports"]).await.unwrap();
    assert_eq!((made.version, made.is_standard), (1, false));
    refused(define(Some(adam), "export", Expected::Version(0), &["feature:exports"]).await, Code::StaleVersion);
    refused(define(Some(adam), "pay", Expected::Any, &["tenant:billing:manage"]).await, Code::MemberDenied);
    refused(define(Some(anna), "mine", Expected::Any, &["tenant:data:read"]).await, Code::MemberDenied);
    refused(define(Some(olga), "admin", Expected::Any, &[]).await, Code::InvalidParameter);
    // One feature permission, and nothing else.
    set_role(&world, "acme", Some(adam), anna, "export").await.unwrap();
    assert!(may(&world, "acme", anna, "feature:exports").await && !may(&world, "acme", anna, "tenant:data:read").await);
    // A change of the role works at once for those who hold it.
    define(Some(olga), "export", Expected::Version(1), &["feature:exports", "tenant:data:read"]).await.unwrap();
    assert!(may(&world, "acme", anna, "tenant:data:read").await);
    let delete = async |role_name: &str| {
        let role_name = role(role_name);
        members::delete_role(&world.cx(), &world.deps, &name("acme"), Some(olga), (&role_name, Expected::Any)).await
    };
    let why = refused(delete("export").await, Code::InUse);
    assert!(why.contains("1 member(s)"), "{why}");
    set_role(&world, "acme", Some(olga), anna, "member").await.unwrap();
    delete("export").await.unwrap();
    refused(delete("export").await, Code::ObjectNotFound);
    refused(delete("member").await, Code::InvalidParameter);
    refused(set_role(&world, "acme", Some(olga), anna, "export").await, Code::ObjectNotFound);
    tenant(&world, "solo", "single").await;
    let nothing = set(&["tenant:data:read"]);
    let (solo, lone) = (name("solo"), role("own"));
    let none = members::define(&world.cx(), &world.deps, &solo, None, (&lone, Expected::Any), (None, &nothing)).await;
    refused(none, Code::MembersNotInPlan);
    world.stop().await;
}

pub fn row(who: &str, as_role: &str) -> ImportRow {
    ImportRow::Member {
        identity: identity(who),
        email: email(&format!("{who}@example.com")),
        name: None,
        role: role(as_role),
    }
}

#[tokio::test]
async fn a_file_is_done_row_by_row_and_again_changes_nothing() {
    let world = World::new().await;
    plans(&world).await;
    tenant(&world, "acme", "trio").await;
    let olga = add(&world, "acme", "olga", OWNER).await;
    let adam = add(&world, "acme", "adam", "admin").await;
    let rows = vec![
        row("anna", "member"),
        row("bert", "member"), // the fourth of three
        row("olga", "member"), // an owner
        ImportRow::Unreadable(vec![FieldError::new("email", "must be of the form name@example.com")]),
        row("anna", "readonly"), // twice in one file: the later one counts
        row("eve", "nobody"),    // no such role
        ImportRow::Gone(identity("nobody")),
    ];
    let run =
        async |dry| members::import(&world.cx(), &world.deps, &name("acme"), Some(adam), &rows, dry).await.unwrap();
    let outcomes = |report: &members::Imported| report.rows.iter().map(|row| row.outcome).collect::<Vec<_>>();
    use Outcome::{Added, Changed, Refused, Unchanged};
    let expected = [Added, Refused, Refused, Refused, Changed, Refused, Unchanged];
    assert_eq!(outcomes(&run(true).await), expected);
    assert_eq!(roles(&world, "acme").await.len(), 2, "a trial changes nothing");
    let report = run(false).await;
    assert_eq!(outcomes(&report), expected, "{report:#?}");
    let codes: Vec<_> = report.rows.iter().filter_map(|row| row.code.as_deref()).collect();
    assert_eq!(codes, ["TEN-0068", "TEN-0061", "TEN-0027", "TEN-0006"]);
    assert!(report.rows[3].message.as_deref().unwrap().contains("email must be of the form"), "{report:#?}");
    assert_eq!(roles(&world, "acme").await, [OWNER, "admin", "readonly"]);
    let before = told(&world, "acme").await.len();
    let stable = vec![row("anna", "readonly"), row("adam", "admin"), ImportRow::Gone(identity("nobody"))];
    let again = members::import(&world.cx(), &world.deps, &name("acme"), Some(adam), &stable, false).await.unwrap();
    assert_eq!(again.count(Unchanged), 3);
    assert_eq!(told(&world, "acme").await.len(), before);
    let last = vec![ImportRow::Gone(identity("anna")), ImportRow::Gone(identity("olga"))];
    let report = members::import(&world.cx(), &world.deps, &name("acme"), None, &last, false).await.unwrap();
    assert_eq!(report.rows[1].code.as_deref(), Some("TEN-0062"));
    assert_eq!(roles(&world, "acme").await, [OWNER, "admin"]);
    let _ = olga;
    world.stop().await;
}

#[tokio::test]
async fn a_repeated_request_is_one_and_people_go_with_their_tenant() {
    let mut world = World::new().await;
    tenant(&world, "acme", "starter").await;
    tenant(&world, "globex", "starter").await;
    let key = IdempotencyKey { route: "POST /members".into(), key: "k".repeat(16), fingerprint: [1; 32] };
    let cx = tenantry_control::Ctx { idempotency: Some(key), ..world.cx() };
    let first = members::add(&cx, &world.deps, &name("acme"), None, &person("anna", OWNER)).await.unwrap();
    let again = members::add(&cx, &world.deps, &name("acme"), None, &person("anna", OWNER)).await.unwrap();
    assert_eq!(first, again);
    let bert = add(&world, "acme", "bert", "member").await;
    assert_eq!(add(&world, "globex", "bert", OWNER).await, bert);
    invite(&world, "acme", None, &by_link("eve@example.com", "member")).await.unwrap();
    let acme = world.tenant("acme").await;
    let request = DeleteRequest {
        confirm: "acme".into(),
        reason: Some("asked for by its owner".into()),
        grace: None,
        dry_run: false,
    };
    world.runtime = Some(tenantry_control::Runtime::start(&world.deps));
    let asked = tenants::delete(&world.cx(), &world.deps, &name("acme"), Expected::Any, request).await.unwrap();
    world.skip_ahead(jiff::SignedDuration::from_hours(24 * 8));
    if let DeleteOutcome::Accepted(accepted) = asked {
        world.done(accepted.operation).await;
    }
    let reader = world.deps.store().read(&world.environment);
    assert!(reader.member(acme.id, first.user).await.unwrap().is_none());
    // Whoever was a member of nothing else is forgotten, the other one stays.
    assert!(world.deps.store().user_environment(first.user).await.unwrap().is_none());
    assert!(world.deps.store().user_environment(bert).await.unwrap().is_some());
    assert_eq!(roles(&world, "globex").await, [OWNER]);
    world.stop().await;
}
