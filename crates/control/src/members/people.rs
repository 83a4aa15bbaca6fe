//! Members: making, changing, removing them; and what one may do.

use serde::Serialize;
use serde_json::json;
use tenantry_domain::Timestamp;
use tenantry_domain::event::Type;
use tenantry_domain::id::{TenantId, UserId};
use tenantry_domain::member::decide::{self, Target};
use tenantry_domain::member::{Email, Identity, Permission, Refused, Role, RoleName};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::page::PageSize;
use tenantry_domain::policy::Denial;
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_store::{Card, Page};

use super::{Entered, Member, enter, look, member};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{Expected, TenantRef, refuse_store, replayed, require};
use crate::tenants::read::request;

/// A member that is to be, without an invitation: their account at the issuer exists, they may never have logged in.
#[derive(Debug, Clone)]
pub struct Add {
    /// What the issuer calls them.
    pub identity: Identity,
    /// Their address.
    pub email: Email,
    /// Their name, where it is known.
    pub name: Option<String>,
    /// What they will hold.
    pub role: RoleName,
}

/// A tenant that a user is a member of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Membership {
    /// The tenant.
    pub tenant: TenantId,
    /// Its name.
    pub slug: Slug,
    /// Its name for people.
    pub display_name: String,
    /// What the user holds there.
    pub role: RoleName,
    /// Since when.
    pub created_at: Timestamp,
}

/// What a user holds in a tenant right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Their role; absent for somebody who is no member.
    pub role: Option<Role>,
    /// The asked permissions that they lack.
    pub missing: Vec<Permission>,
}

/// Makes somebody a member.
///
/// # Errors
/// The plan or the acting member's role forbids it, they are one already, may not be one here as well, the plan's users are
/// used up, or the caller may add a first owner only and this is not one.
pub async fn add(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
    wanted: &Add,
) -> Result<Member, Refusal> {
    let mut scene = match enter(cx, deps, tenant, "member.add", acting).await? {
        Entered::Replay(answer) => return replayed(answer),
        Entered::Fresh(scene) => *scene,
    };
    let id = scene.id();
    let rules = scene.rules;
    let role = scene.resolve(&wanted.role).await?;
    let roll = scene.tx.members().roll(id).await.map_err(refuse_store)?;
    if !cx.rights.adds_anybody() && (roll.members > 0 || !role.is_owner()) {
        let remedy =
            "The role `operator` adds the first owner; let an owner or an admin of the tenant add the others, or \
                      use a token with the role `application` or `admin`."
                .to_owned();
        return Err(Denial { rule: "first-owner-only".to_owned(), action: "member.add", remedy, hidden: None }.into());
    }
    decide::may_add(scene.acting(), &role, &rules, u64::try_from(roll.members).unwrap_or(0))?;
    decide::fits(&rules, roll.used())?;
    let card = Card { email: &wanted.email, name: wanted.name.as_deref() };
    let joined = member(scene.join(deps, &wanted.identity, &card, &wanted.role).await?);
    let user = joined.user;
    let data = json!({ "user": user, "role": joined.role });
    let told = vec![(Type::MemberJoined, data.clone())];
    scene.finish(cx, deps, format!("member/{user}"), data, told, &joined).await?;
    Ok(joined)
}

/// Gives a member another role. One who has it already keeps it.
///
/// # Errors
/// There is none, the acting member's role does not reach that far, or nobody would own the tenant.
pub async fn change_role(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
    (user, expected): (UserId, Expected),
    to: &RoleName,
) -> Result<Member, Refusal> {
    let mut scene = match enter(cx, deps, tenant, "member.update", acting).await? {
        Entered::Replay(answer) => return replayed(answer),
        Entered::Fresh(scene) => *scene,
    };
    let row = scene.member(user).await?;
    expected.check(row.version)?;
    let role = scene.resolve(to).await?;
    let owners = scene.tx.members().roll(scene.tenant.id).await.map_err(refuse_store)?.owners;
    decide::may_change_role(scene.acting(), &Target { user, role: &row.role, owners }, &role)?;
    if role.name() == row.role.name() {
        scene.tx.rollback().await;
        return Ok(member(row));
    }
    let from = row.role.name();
    let changed = scene.tx.members().set_role(scene.tenant.id, user, to).await.map_err(refuse_store)?;
    let changed = member(changed);
    let data = json!({ "user": user, "from": from, "role": to });
    let told = vec![(Type::MemberRoleChanged, data.clone())];
    scene.finish(cx, deps, format!("member/{user}"), data, told, &changed).await?;
    Ok(changed)
}

/// Ends a membership. A member who acts for themselves leaves.
///
/// # Errors
/// There is none, the acting member's role does not reach theirs, or nobody would own the tenant.
pub async fn remove(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
    (user, expected): (UserId, Expected),
) -> Result<Member, Refusal> {
    let mut scene = match enter(cx, deps, tenant, "member.remove", acting).await? {
        Entered::Replay(answer) => return replayed(answer),
        Entered::Fresh(scene) => *scene,
    };
    let row = scene.member(user).await?;
    expected.check(row.version)?;
    let owners = scene.tx.members().roll(scene.tenant.id).await.map_err(refuse_store)?.owners;
    decide::may_remove(scene.acting(), &Target { user, role: &row.role, owners })?;
    scene.tx.members().remove(scene.tenant.id, user).await.map_err(refuse_store)?;
    let gone = member(row);
    let data = json!({ "user": user, "role": gone.role });
    let told = vec![(Type::MemberRemoved, data.clone())];
    scene.finish(cx, deps, format!("member/{user}"), data, told, &gone).await?;
    Ok(gone)
}

/// One member.
///
/// # Errors
/// There is none.
pub async fn get(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
    user: UserId,
) -> Result<Member, Refusal> {
    let row = look(cx, deps, tenant, "member.read", acting).await?;
    let found = deps.store().read(&cx.environment).member(row.id, user).await.map_err(refuse_store)?;
    Ok(member(found.ok_or_else(|| Refused::NoMember(user.to_string()))?))
}

/// A page of members, oldest acquaintance first; only those of a role when one is given.
///
/// # Errors
/// There is no such tenant, or the page token is of no use here.
pub async fn list(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
    role: Option<&RoleName>,
    (size, token): (PageSize, Option<&str>),
) -> Result<Page<Member>, Refusal> {
    let row = look(cx, deps, tenant, "member.read", acting).await?;
    let principal = cx.actor.to_string();
    let reader = deps.store().read(&cx.environment);
    let page = reader.members(row.id, role, &request(cx, &principal, size, token)).await.map_err(refuse_store)?;
    Ok(Page { items: page.items.into_iter().map(member).collect(), next: page.next })
}

/// The environment that a user is known in, for a door that has to know before it lets somebody in.
///
/// # Errors
/// They are not known.
pub async fn user_environment(deps: &Deps, user: UserId) -> Result<EnvironmentName, Refusal> {
    let found = deps.store().user_environment(user).await.map_err(refuse_store)?;
    Ok(found.ok_or_else(|| Refused::NoMember(user.to_string()))?)
}

/// A page of tenants that a user is a member of, for choosing one after log-in.
///
/// # Errors
/// The page token is of no use here, or the caller sees one tenant only.
pub async fn tenants_of(
    cx: &Ctx,
    deps: &Deps,
    user: UserId,
    size: PageSize,
    token: Option<&str>,
) -> Result<Page<Membership>, Refusal> {
    cx.permit_environment("member.read")?;
    let principal = cx.actor.to_string();
    let reader = deps.store().read(&cx.environment);
    let page = reader.tenants_of(user, &request(cx, &principal, size, token)).await.map_err(refuse_store)?;
    let view = |row: tenantry_store::MembershipRow| Membership {
        tenant: row.tenant,
        slug: row.slug,
        display_name: row.display_name,
        role: row.role,
        created_at: row.created_at,
    };
    Ok(Page { items: page.items.into_iter().map(view).collect(), next: page.next })
}

/// Whether a user holds permissions in a tenant right now. Somebody who is no member holds none.
///
/// # Errors
/// There is no such tenant.
pub async fn check(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    user: UserId,
    wanted: &[Permission],
) -> Result<Checked, Refusal> {
    let row = require(cx, deps, tenant).await?;
    cx.permit("member.read", row.id)?;
    if row.state.phase() == Phase::Deleted {
        return Err(Refusal::NoTenant(tenant.to_string()));
    }
    let found = deps.store().read(&cx.environment).member(row.id, user).await.map_err(refuse_store)?;
    let role = found.map(|row| row.role);
    let holds = |permission: &Permission| role.as_ref().is_some_and(|role| role.holds(permission));
    let missing = wanted.iter().filter(|permission| !holds(permission)).cloned().collect();
    Ok(Checked { role, missing })
}
