//! How a tenant's directory is set up: whose subjects its external ids are, and which groups give which roles.
//!
//! This is the tenant's admins' to say, never the directory's: its key has no right to any of it.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_domain::Timestamp;
use tenantry_domain::code::FieldError;
use tenantry_domain::id::UserId;
use tenantry_domain::member::scim::{ScimError, Team};
use tenantry_domain::member::{Permission, Role, RoleName, decide};
use tenantry_domain::page::PageSize;
use tenantry_store::{DirectoryCounts, DirectoryRow, GroupPut, GroupRow, Page};
use uuid::Uuid;

use super::absent;
use super::groups::target;
use super::standing::{Told, lookup, regrade};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::members::{Entered, enter, look};
use crate::refusal::Refusal;
use crate::tenants::edit::{Expected, TenantRef, refuse_store, replayed};
use crate::tenants::read::request;
use tenantry_domain::member::scim::Kind;

/// A tenant's directory as its admins see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Directory {
    /// Whose subjects the external ids are; absent when people are claimed by a verified address.
    pub issuer: Option<String>,
    /// The pool inside the issuer; empty where it has one only.
    pub pool: String,
    /// What somebody holds whom no group gives a role.
    pub default_role: RoleName,
    /// Users that the directory keeps here, the inactive ones counted.
    pub users: i64,
    /// Those of them that are members.
    pub members: i64,
    /// Groups that the directory keeps here.
    pub groups: i64,
    /// Rises with every change; 0 when nobody has set anything up.
    pub version: i64,
}

/// How a directory is to be set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Whose subjects the external ids are.
    pub issuer: Option<String>,
    /// The pool inside the issuer.
    pub pool: String,
    /// What somebody holds whom no group gives a role.
    pub default_role: RoleName,
}

/// A group as the tenant's admins see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Ours.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What the directory calls it.
    pub external_id: Option<String>,
    /// What its members hold, if somebody said so.
    pub role: Option<RoleName>,
    /// How many are in it.
    pub size: i64,
    /// Rises with every change.
    pub version: i64,
    /// The last change.
    pub updated_at: Timestamp,
}

fn view(row: DirectoryRow, counts: DirectoryCounts) -> Directory {
    Directory {
        issuer: row.issuer,
        pool: row.pool,
        default_role: row.default_role,
        users: counts.users,
        members: counts.members,
        groups: counts.groups,
        version: row.version,
    }
}

fn group(row: GroupRow) -> Group {
    Group {
        id: row.id,
        name: row.name,
        external_id: row.external_id,
        role: row.role,
        size: row.size,
        version: row.version,
        updated_at: row.updated_at,
    }
}

/// How a tenant's directory is set up.
///
/// # Errors
/// There is no such tenant.
pub async fn directory(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
) -> Result<Directory, Refusal> {
    let id = look(cx, deps, tenant, "directory.read", acting).await?.id;
    let (row, counts) = deps.store().read(&cx.environment).directory(id).await.map_err(refuse_store)?;
    Ok(view(row, counts))
}

/// Sets a tenant's directory up. Users who are here already get what follows from it when the directory speaks of them
/// again; another default role works at once for those who hold the one before.
///
/// # Errors
/// The role is `owner`, does not exist, or it, the one before, or what a member would hold by it, is more than the acting member
/// may give; the issuer is
/// another one and the acting member may not manage admins; or another version is current.
pub async fn set(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
    expected: Expected,
    wanted: &Wanted,
) -> Result<Directory, Refusal> {
    let mut scene = match enter(cx, deps, tenant, "directory.set", acting).await? {
        Entered::Replay(answer) => return replayed(answer),
        Entered::Fresh(scene) => *scene,
    };
    let id = scene.id();
    let before = scene.tx.scim().directory(id).await.map_err(refuse_store)?;
    expected.check(before.version)?;
    let role = scene.resolve(&wanted.default_role).await?;
    if role.is_owner() {
        let field = FieldError::new("defaultRole", "cannot be `owner`: ownership is handed on by people");
        return Err(Refusal::Request(vec![field]));
    }
    decide::may_touch(scene.acting(), &role)?;
    if wanted.default_role != before.default_role
        && let Some(old) = lookup(&mut scene, &before.default_role).await?
    {
        decide::may_touch(scene.acting(), &old)?;
    }
    // Whoever says who signs in as a user of the directory can sign in as any of them, admins included.
    if (&wanted.issuer, &wanted.pool) != (&before.issuer, &before.pool)
        && let Some(acting) = scene.acting()
    {
        acting.must(Permission::ADMINS)?;
    }
    let row = DirectoryRow {
        issuer: wanted.issuer.clone(),
        pool: wanted.pool.clone(),
        default_role: wanted.default_role.clone(),
        version: before.version,
    };
    if row == before && row.version > 0 {
        let counts = scene.tx.scim().counts(id).await.map_err(refuse_store)?;
        scene.tx.rollback().await;
        return Ok(view(row, counts));
    }
    let mut told = Told::new();
    let row = scene.tx.scim().put_directory(id, &row).await.map_err(refuse_store)?;
    if row.default_role != before.default_role {
        regrade(&mut scene, None, Some(&before.default_role), &mut told).await?;
    }
    let counts = scene.tx.scim().counts(id).await.map_err(refuse_store)?;
    let answer = view(row, counts);
    let changes = json!({
        "issuer": answer.issuer, "pool": answer.pool, "defaultRole": answer.default_role,
        "from": { "issuer": before.issuer, "pool": before.pool, "defaultRole": before.default_role },
    });
    scene.finish(cx, deps, "directory".to_owned(), changes, told, &answer).await?;
    Ok(answer)
}

/// A page of groups, oldest first, with the roles that they give.
///
/// # Errors
/// There is no such tenant, or the page token is of no use here.
pub async fn groups(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
    (size, token): (PageSize, Option<&str>),
) -> Result<Page<Group>, Refusal> {
    let id = look(cx, deps, tenant, "directory.read", acting).await?.id;
    let principal = cx.actor.to_string();
    let reader = deps.store().read(&cx.environment);
    let page = reader.directory_groups(id, &request(cx, &principal, size, token)).await.map_err(refuse_store)?;
    Ok(Page { items: page.items.into_iter().map(group).collect(), next: page.next })
}

/// Says which role a group gives, or that it gives none. Works at once for all who are in it.
///
/// # Errors
/// There is no such group or role, the role is `owner`, or it, the one before, or what somebody in the group holds or would hold
/// by it, is more than the acting member may give.
pub async fn map(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
    id: Uuid,
    wanted: Option<&RoleName>,
) -> Result<Group, Refusal> {
    let mut scene = match enter(cx, deps, tenant, "directory.set", acting).await? {
        Entered::Replay(answer) => return replayed(answer),
        Entered::Fresh(scene) => *scene,
    };
    let owner = scene.id();
    let row = scene.tx.scim().group(owner, id).await.map_err(refuse_store)?.ok_or_else(|| absent(Kind::Group, id))?;
    let wanted_role = match wanted {
        Some(name) => Some(scene.resolve(name).await?),
        None => None,
    };
    if wanted_role.as_ref().is_some_and(Role::is_owner) {
        return Err(ScimError::OwnerByGroup.into());
    }
    // A role that is gone gave nothing, so taking it away is nobody's loss.
    let old_role = match &row.role {
        Some(name) => lookup(&mut scene, name).await?,
        None => None,
    };
    for role in wanted_role.iter().chain(&old_role) {
        decide::may_touch(scene.acting(), role)?;
    }
    if row.role.as_ref() == wanted {
        scene.tx.rollback().await;
        return Ok(group(row));
    }
    let team = Team { key: row.name.to_lowercase(), name: row.name, external_id: row.external_id };
    scene.tx.scim().put_group(owner, id, &GroupPut { team: &team, role: wanted });
    let members = scene.tx.scim().member_ids(owner, id).await.map_err(refuse_store)?;
    let mut told = Told::new();
    regrade(&mut scene, Some(&members), None, &mut told).await?;
    let changed = scene.tx.scim().group(owner, id).await.map_err(refuse_store)?;
    let answer = group(changed.ok_or_else(|| absent(Kind::Group, id))?);
    let changes = json!({ "role": wanted, "from": row.role, "members": told.len() });
    scene.finish(cx, deps, target(id), changes, told, &answer).await?;
    Ok(answer)
}
