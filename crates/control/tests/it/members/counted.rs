//! What is counted of people, told of files, and kept of invitations.

use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tenantry_control::members::{self, Delivery, ImportRow, Outcome, Token};
use tenantry_control::quotas::{self, QuotaName};
use tenantry_control::tenants::Expected;
use tenantry_control::{Runtime, events, manifests};
use tenantry_domain::code::Code;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::name::PlanCode;
use tenantry_domain::page::PageSize;
use tenantry_store::{AuditFilter, Subject};

use super::people::row;
use super::{OWNER, accept, add, by_link, identity, invite, later, refused, remove, role, set_role, tenant};
use crate::world::{World, name};

async fn plan(world: &World, users: Value) {
    let spec = json!({ "isolation": "shared", "quotas": { "users": users } });
    let spec = serde_json::from_value(spec).unwrap();
    let plan = Manifest::Plan { name: PlanCode::parse("five").unwrap(), spec };
    manifests::apply(&world.cx(), &world.deps, &[plan]).await.unwrap();
}

async fn used(world: &World) -> u64 {
    let all = quotas::list(&world.cx(), &world.deps, &name("acme")).await.unwrap();
    all.into_iter().find(|quota| quota.name.as_str() == "users").unwrap().used
}

/// The counter as it is stored.
async fn counter(world: &World) -> i64 {
    let conn = world.deps.store().pool().get().await.unwrap();
    let sql = "SELECT coalesce(max(used), -1) FROM tenantry.quota WHERE name = 'users'";
    let count = conn.query_one(sql, &[]).await.unwrap().get(0);
    conn.release();
    count
}

async fn told(world: &World) -> Vec<String> {
    let all = events::list(&world.cx(), &world.deps, Some(&name("acme")), 0, 1000).await.unwrap();
    all.into_iter().map(|event| event.kind.to_string()).filter(|kind| kind.starts_with("quota.")).collect()
}

/// Whatever changes people leaves the counter of `users` right, and its marks are told once.
#[tokio::test]
async fn members_and_open_invitations_are_the_quota_of_users() {
    let world = World::new().await;
    plan(&world, json!({ "limit": "5", "mode": "soft" })).await;
    tenant(&world, "acme", "five").await;
    assert_eq!((used(&world).await, counter(&world).await), (0, -1));
    add(&world, "acme", "olga", OWNER).await;
    let anna = add(&world, "acme", "anna", "member").await;
    let token = invite(&world, "acme", None, &by_link("bert@example.com", "member")).await.unwrap();
    assert_eq!((used(&world).await, counter(&world).await, told(&world).await.len()), (3, 3, 0));
    accept(&world, &token, "bert").await.unwrap();
    assert_eq!(counter(&world).await, 3, "an invitation that is accepted counted already");
    let file = [row("carl", "member"), row("dora", "member"), row("emil", "member")];
    members::import(&world.cx(), &world.deps, &name("acme"), None, &file, true).await.unwrap();
    assert_eq!(counter(&world).await, 3, "a trial counts nobody");
    members::import(&world.cx(), &world.deps, &name("acme"), None, &file, false).await.unwrap();
    assert_eq!((used(&world).await, counter(&world).await), (6, 6));
    assert_eq!(told(&world).await, ["quota.exceeded"]);
    remove(&world, "acme", None, anna).await.unwrap();
    let wanted = by_link("fred@example.com", "member");
    let issued = members::invite(&world.cx(), &world.deps, &name("acme"), None, &wanted).await.unwrap();
    assert_eq!(counter(&world).await, 6);
    members::withdraw(&world.cx(), &world.deps, &name("acme"), None, issued.invitation.id, Expected::Any)
        .await
        .unwrap();
    let token = invite(&world, "acme", None, &by_link("gina@example.com", "member")).await.unwrap();
    assert_eq!(counter(&world).await, 6);
    members::decline(&world.cx(), &world.deps, &token).await.unwrap();
    assert_eq!((used(&world).await, counter(&world).await), (5, 5));
    // An invitation that ends by itself is shown no more, though nobody has changed anything.
    invite(&world, "acme", None, &by_link("hans@example.com", "member")).await.unwrap();
    world.skip_ahead(SignedDuration::from_hours(73));
    assert_eq!((used(&world).await, counter(&world).await), (5, 6));
    world.stop().await;
}

/// Nobody but Tenantry takes what Tenantry counts.
#[tokio::test]
async fn what_tenantry_counts_is_not_for_others_to_take() {
    let world = World::new().await;
    tenant(&world, "acme", "starter").await;
    add(&world, "acme", "olga", OWNER).await;
    let (cx, acme) = (world.cx(), name("acme"));
    for quota in ["users", "connections"] {
        let quota = QuotaName::parse(quota).unwrap();
        let hour = SignedDuration::from_hours(1);
        let why = refused(quotas::take(&cx, &world.deps, &acme, &quota, 1).await, Code::InvalidParameter);
        assert!(!why.is_empty());
        refused(quotas::give_back(&cx, &world.deps, &acme, &quota, 1).await, Code::InvalidParameter);
        refused(quotas::recount(&cx, &world.deps, &acme, &quota, 0).await, Code::InvalidParameter);
        let refusal = quotas::reserve(&cx, &world.deps, &acme, &quota, 1, hour).await;
        let fields = refusal.as_ref().unwrap_err().fields();
        assert!(fields[0].field == "quota" && fields[0].message.contains("counted by Tenantry"), "{fields:?}");
        refused(refusal, Code::InvalidParameter);
    }
    assert_eq!((used(&world).await, counter(&world).await), (1, 1));
    world.stop().await;
}

/// A file is in the audit with whom it touched and how, in entries of a bounded size.
#[tokio::test]
async fn a_file_is_told_row_by_row() {
    let world = World::new().await;
    tenant(&world, "acme", "starter").await;
    let plan = json!({ "isolation": "shared" });
    let plan =
        Manifest::Plan { name: PlanCode::parse("starter").unwrap(), spec: serde_json::from_value(plan).unwrap() };
    manifests::apply(&world.cx(), &world.deps, &[plan]).await.unwrap();
    let olga = add(&world, "acme", "olga", OWNER).await;
    let mut file: Vec<_> = (0..250).map(|number| row(&format!("u{number}"), "member")).collect();
    file.push(row("u7", "readonly"));
    file.push(ImportRow::Gone(identity("u8")));
    file.push(row("x", "nobody"));
    let report = members::import(&world.cx(), &world.deps, &name("acme"), Some(olga), &file, false).await.unwrap();
    let entries = entries(&world, "member.import").await;
    assert_eq!(entries.len(), 3);
    let rows: Vec<_> = entries.iter().flat_map(|entry| entry["rows"].as_array().unwrap().clone()).collect();
    assert_eq!(rows.len(), 252);
    assert!(
        entries
            .iter()
            .all(|entry| entry["rows"].as_array().unwrap().len() <= 100 && entry["actingUser"] == json!(olga))
    );
    let (added, refused) = (&entries[0]["added"], &entries[0]["refused"]);
    assert_eq!(
        (added, refused, &entries[2]["part"], &entries[2]["parts"]),
        (&json!(250), &json!(1), &json!(3), &json!(3))
    );
    let user = |row: usize| json!(report.rows[row - 1].user.unwrap());
    let expected = [
        json!({ "row": 8, "outcome": "added", "user": user(8), "role": "member" }),
        json!({ "row": 251, "outcome": "changed", "user": user(8), "from": "member", "role": "readonly" }),
        json!({ "row": 252, "outcome": "removed", "user": user(9), "from": "member" }),
    ];
    for fact in expected {
        assert!(rows.contains(&fact), "{fact}");
    }
    assert!(!format!("{entries:?}").contains("example.com"), "no address is in the evidence");
    world.stop().await;
}

async fn entries(world: &World, action: &str) -> Vec<Value> {
    let acme = world.tenant("acme").await.id;
    let filter = AuditFilter { subject: Some(Subject::Tenant(acme)), ..AuditFilter::default() };
    let size = PageSize::new(200).unwrap();
    let page = tenantry_control::audit::list(&world.cx(), &world.deps, &filter, size, None).await.unwrap();
    let mut found: Vec<_> = page.items.into_iter().filter(|row| row.entry.draft.action == action).collect();
    found.sort_by_key(|row| row.entry.seq);
    found.into_iter().map(|row| row.entry.draft.changes).collect()
}

/// What a row does to the acting member counts for the rows behind it.
#[tokio::test]
async fn whoever_steps_down_in_a_file_does_no_more_by_it() {
    let world = World::new().await;
    tenant(&world, "acme", "starter").await;
    add(&world, "acme", "olga", OWNER).await;
    let adam = add(&world, "acme", "adam", "admin").await;
    let run = async |file: Vec<ImportRow>| {
        let report = members::import(&world.cx(), &world.deps, &name("acme"), Some(adam), &file, true).await.unwrap();
        report.rows.into_iter().map(|row| (row.outcome, row.code)).collect::<Vec<_>>()
    };
    let denied = Some(Code::MemberDenied.to_string());
    let down = run(vec![row("anna", "member"), row("adam", "member"), row("bert", "member")]).await;
    assert_eq!(down, [(Outcome::Added, None), (Outcome::Changed, None), (Outcome::Refused, denied)]);
    let left =
        run(vec![ImportRow::Gone(identity("adam")), row("bert", "member"), ImportRow::Gone(identity("olga"))]).await;
    let nobody = || (Outcome::Refused, Some(Code::MemberNotFound.to_string()));
    assert_eq!(left, [(Outcome::Removed, None), nobody(), nobody()]);
    world.stop().await;
}

/// Whoever sends an invitation again answers for it, and a role that is gone is offered to nobody.
#[tokio::test]
async fn an_invitation_that_is_sent_again_is_the_senders() {
    let world = World::new().await;
    tenant(&world, "acme", "starter").await;
    let olga = add(&world, "acme", "olga", OWNER).await;
    let adam = add(&world, "acme", "adam", "admin").await;
    let acme = name("acme");
    let made =
        members::invite(&world.cx(), &world.deps, &acme, Some(olga), &by_link("anna@example.com", "member")).await;
    let id = made.unwrap().invitation.id;
    let resend = async |by, minutes| {
        let soon = later(&world, SignedDuration::from_mins(minutes));
        members::resend(&soon, &world.deps, &acme, by, id, Delivery::Link).await
    };
    let again = resend(Some(adam), 2).await.unwrap();
    assert_eq!(again.invitation.invited_by, Some(adam));
    let token: Token = again.token.unwrap().expose_secret().parse().unwrap();
    set_role(&world, "acme", Some(olga), adam, "member").await.unwrap();
    refused(accept(&world, &token, "anna").await, Code::InvitationOver);
    let again = resend(None, 4).await.unwrap();
    assert_eq!(again.invitation.invited_by, None);
    let token: Token = again.token.unwrap().expose_secret().parse().unwrap();
    accept(&world, &token, "anna").await.unwrap();

    // A role of the tenant's own, deleted while nobody could accept.
    let support = role("support");
    let none = std::collections::BTreeSet::new();
    members::define(&world.cx(), &world.deps, &acme, None, (&support, Expected::Any), (None, &none)).await.unwrap();
    let made = members::invite(&world.cx(), &world.deps, &acme, None, &by_link("bert@example.com", "support")).await;
    let made = made.unwrap();
    let token: Token = made.token.unwrap().expose_secret().parse().unwrap();
    world.skip_ahead(SignedDuration::from_hours(73));
    members::delete_role(&world.cx(), &world.deps, &acme, None, (&support, Expected::Any)).await.unwrap();
    let again = members::resend(&world.cx(), &world.deps, &acme, None, made.invitation.id, Delivery::Link).await;
    refused(again, Code::ObjectNotFound);
    // Also when it is open again by whatever way.
    let conn = world.deps.store().pool().get().await.unwrap();
    let open = "UPDATE tenantry.invitation SET sent_at = sent_at + interval '73 hours', expires_at = expires_at + interval '73 hours'
        WHERE email = 'bert@example.com'";
    conn.execute(open, &[]).await.unwrap();
    conn.release();
    let why = refused(accept(&world, &token, "bert").await, Code::InvitationOver);
    assert!(why.contains("role that does not exist"), "{why}");
    world.stop().await;
}

/// Invitations that are over are shown for thirty days.
#[tokio::test]
async fn what_is_long_over_is_deleted() {
    let world = World::new().await;
    tenant(&world, "acme", "starter").await;
    add(&world, "acme", "olga", OWNER).await;
    let token = invite(&world, "acme", None, &by_link("anna@example.com", "member")).await.unwrap();
    members::decline(&world.cx(), &world.deps, &token).await.unwrap();
    invite(&world, "acme", None, &by_link("bert@example.com", "member")).await.unwrap();
    let shown = async || {
        let page = (PageSize::default(), None);
        let page = members::invitations(&world.cx(), &world.deps, &name("acme"), None, true, page).await.unwrap();
        page.items.len()
    };
    world.skip_ahead(SignedDuration::from_hours(30 * 24 + 1));
    assert_eq!(shown().await, 2);
    let runtime = Runtime::start(&world.deps);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while shown().await > 1 {
        assert!(std::time::Instant::now() < end, "the declined one is still there");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    runtime.shutdown(&world.deps).await.unwrap();
    assert_eq!(shown().await, 1, "the other one was over three days later");
    world.stop().await;
}
