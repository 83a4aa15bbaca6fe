//! People of tenants: who may do what to whom, what holds in a race, and what arrives by mail.

mod apart;
mod attacks;
mod counted;
pub mod mail;
mod people;

use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use tenantry_control::members::{self, Add, Answer, Delivery, Invite, Member, Token};
use tenantry_control::tenants::Expected;
use tenantry_control::{Ctx, Refusal, events, manifests, tenants};
use tenantry_domain::code::Code;
use tenantry_domain::id::UserId;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::member::{Email, Identity, RoleName, Standard};
use tenantry_domain::name::PlanCode;
use tenantry_domain::page::PageSize;
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;

use crate::world::{World, name, spec};

pub fn role(text: &str) -> RoleName {
    RoleName::parse(text).unwrap()
}

pub fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

pub fn identity(subject: &str) -> Identity {
    Identity { issuer: "https://login.example".into(), pool: String::new(), subject: subject.into() }
}

pub fn person(who: &str, as_role: &str) -> Add {
    Add { identity: identity(who), email: email(&format!("{who}@example.com")), name: None, role: role(as_role) }
}

pub fn answer(who: &str) -> Answer {
    Answer { identity: identity(who), email: email(&format!("{who}@example.com")), is_verified: true, name: None }
}

pub fn by_link(address: &str, as_role: &str) -> Invite {
    Invite {
        email: email(address),
        role: role(as_role),
        valid_for: None,
        delivery: Delivery::Link,
        with_account: false,
    }
}

/// A tenant that is recorded and not served: people need no database of theirs.
pub async fn tenant(world: &World, slug: &str, plan: &str) {
    tenants::create(&world.cx(), &world.deps, Slug::parse(slug).unwrap(), spec(plan, Phase::Draft)).await.unwrap();
}

/// Two more plans: one for a single person, one for three.
pub async fn plans(world: &World) {
    let plan = |code: &str, spec: serde_json::Value| Manifest::Plan {
        name: PlanCode::parse(code).unwrap(),
        spec: serde_json::from_value(spec).unwrap(),
    };
    let single = serde_json::json!({
        "isolation": "shared", "quotas": { "users": "1" }, "features": { "members.invite": false, "members.roles": false }
    });
    let trio = serde_json::json!({ "isolation": "shared", "quotas": { "users": "3" } });
    manifests::apply(&world.cx(), &world.deps, &[plan("single", single), plan("trio", trio)]).await.unwrap();
}

pub async fn add(world: &World, slug: &str, who: &str, as_role: &str) -> UserId {
    members::add(&world.cx(), &world.deps, &name(slug), None, &person(who, as_role)).await.unwrap().user
}

pub async fn invite(world: &World, slug: &str, by: Option<UserId>, wanted: &Invite) -> Result<Token, Refusal> {
    let issued = members::invite(&world.cx(), &world.deps, &name(slug), by, wanted).await?;
    Ok(issued.token.expect("a token").expose_secret().parse().unwrap())
}

pub async fn accept(world: &World, token: &Token, who: &str) -> Result<Member, Refusal> {
    members::accept(&world.cx(), &world.deps, token, &answer(who)).await
}

pub async fn set_role(world: &World, slug: &str, by: Option<UserId>, who: UserId, to: &str) -> Result<Member, Refusal> {
    members::change_role(&world.cx(), &world.deps, &name(slug), by, (who, Expected::Any), &role(to)).await
}

pub async fn remove(world: &World, slug: &str, by: Option<UserId>, who: UserId) -> Result<Member, Refusal> {
    members::remove(&world.cx(), &world.deps, &name(slug), by, (who, Expected::Any)).await
}

/// Everybody's role, by the order in which they became known.
pub async fn roles(world: &World, slug: &str) -> Vec<String> {
    let page =
        members::list(&world.cx(), &world.deps, &name(slug), None, None, (PageSize::new(200).unwrap(), None)).await;
    page.unwrap().items.into_iter().map(|member| member.role.to_string()).collect()
}

#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>, code: Code) -> String {
    let refusal = result.expect_err("a refusal");
    assert_eq!(refusal.code(), code, "{refusal}");
    refusal.to_string()
}

/// Kinds of the events about people, in order.
pub async fn told(world: &World, slug: &str) -> Vec<String> {
    let all = events::list(&world.cx(), &world.deps, Some(&name(slug)), 0, 1000).await.unwrap();
    all.into_iter().map(|event| event.kind.to_string()).filter(|kind| kind.starts_with("member.")).collect()
}

pub fn later(world: &World, span: SignedDuration) -> Ctx {
    Ctx { now: world.deps.now().checked_add(span).unwrap(), ..world.cx() }
}

pub const OWNER: &str = Standard::Owner.as_str();
