//! Roles of a tenant's own: named sets of permissions, never more than their author holds.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_domain::Timestamp;
use tenantry_domain::id::UserId;
use tenantry_domain::member::{Permission, Refused, Role, RoleName, Standard, decide};
use tenantry_store::RoleRow;

use super::{Entered, enter, look};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{Expected, TenantRef, refuse_store, replayed};

/// A role as operators and applications see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleView {
    /// Its name.
    pub name: RoleName,
    /// For people.
    pub title: Option<String>,
    /// What it lets its holders do; of a role that every tenant has, only what is ours.
    pub permissions: BTreeSet<Permission>,
    /// Whether every tenant has it.
    pub is_standard: bool,
    /// Rises with every change; 0 for a role that every tenant has.
    pub version: i64,
    /// The last change; absent for a role that every tenant has.
    pub updated_at: Option<Timestamp>,
}

fn view(row: RoleRow) -> RoleView {
    RoleView {
        name: row.name,
        title: row.title,
        permissions: row.permissions,
        is_standard: false,
        version: row.version,
        updated_at: Some(row.updated_at),
    }
}

fn standard(role: Standard) -> RoleView {
    RoleView {
        name: role.into(),
        title: None,
        permissions: Role::Standard(role).permissions(),
        is_standard: true,
        version: 0,
        updated_at: None,
    }
}

/// All roles of a tenant: those that every tenant has, then its own by name.
///
/// # Errors
/// There is no such tenant.
pub async fn roles(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
) -> Result<Vec<RoleView>, Refusal> {
    let row = look(cx, deps, tenant, "role.read", acting).await?;
    let own = deps.store().read(&cx.environment).roles(row.id).await.map_err(refuse_store)?;
    Ok(Standard::ALL.into_iter().map(standard).chain(own.into_iter().map(view)).collect())
}

/// One role.
///
/// # Errors
/// There is none.
pub async fn role(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
    name: &RoleName,
) -> Result<RoleView, Refusal> {
    let row = look(cx, deps, tenant, "role.read", acting).await?;
    if let Some(role) = name.standard() {
        return Ok(standard(role));
    }
    let found = deps.store().read(&cx.environment).role(row.id, name).await.map_err(refuse_store)?;
    Ok(view(found.ok_or_else(|| Refused::NoRole(name.clone()))?))
}

/// Defines a role, or changes one. A change works at once for everybody who holds it.
///
/// # Errors
/// The plan has none, the role has or had more than the acting member holds, or another version is current. Version 0
/// stands for a role that is not there yet.
pub async fn define(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
    (name, expected): (&RoleName, Expected),
    (title, permissions): (Option<&str>, &BTreeSet<Permission>),
) -> Result<RoleView, Refusal> {
    let mut scene = match enter(cx, deps, tenant, "role.set", acting).await? {
        Entered::Replay(answer) => return replayed(answer),
        Entered::Fresh(scene) => *scene,
    };
    let id = scene.id();
    let rules = scene.rules;
    let before = scene.tx.members().role(id, name).await.map_err(refuse_store)?;
    expected.check(before.as_ref().map_or(0, |row| row.version))?;
    let old = before.as_ref().map(RoleRow::role);
    decide::may_define(scene.acting(), name, permissions, old.as_ref(), &rules)?;
    match &before {
        Some(row) if row.permissions == *permissions && row.title.as_deref() == title => {
            let unchanged = view(row.clone());
            scene.tx.rollback().await;
            return Ok(unchanged);
        }
        Some(_) => {}
        None => {
            let uses = scene.tx.members().role_uses(id, name).await.map_err(refuse_store)?;
            if uses.roles >= Role::MOST_ROLES {
                return Err(Refused::TooManyRoles(uses.roles).into());
            }
        }
    }
    let row = scene.tx.members().put_role(id, name, title, permissions).await.map_err(refuse_store)?;
    let answer = view(row);
    let removed: Vec<_> =
        before.iter().flat_map(|row| row.permissions.difference(permissions)).map(ToString::to_string).collect();
    let changes = json!({ "role": name, "permissions": permissions, "removed": removed, "version": answer.version });
    scene.finish(cx, deps, format!("role/{name}"), changes, Vec::new(), &answer).await?;
    Ok(answer)
}

/// Deletes a role that nobody holds and no directory gives.
///
/// # Errors
/// There is none, every tenant has it, it is in use, or has more than the acting member holds.
pub async fn delete_role(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
    (name, expected): (&RoleName, Expected),
) -> Result<RoleView, Refusal> {
    let mut scene = match enter(cx, deps, tenant, "role.delete", acting).await? {
        Entered::Replay(answer) => return replayed(answer),
        Entered::Fresh(scene) => *scene,
    };
    let id = scene.id();
    if name.standard().is_some() {
        return Err(Refused::Fixed(name.clone()).into());
    }
    let row = scene.tx.members().role(id, name).await.map_err(refuse_store)?;
    let row = row.ok_or_else(|| Refused::NoRole(name.clone()))?;
    expected.check(row.version)?;
    decide::may_touch(scene.acting(), &row.role())?;
    let uses = scene.tx.members().role_uses(id, name).await.map_err(refuse_store)?;
    if uses.members > 0 || uses.invitations > 0 {
        let (members, invitations) = (uses.members, uses.invitations);
        return Err(Refused::RoleInUse { role: name.clone(), members, invitations }.into());
    }
    if uses.groups > 0 {
        return Err(Refused::RoleGiven { role: name.clone(), groups: uses.groups }.into());
    }
    if uses.is_default {
        return Err(Refused::RoleDefault(name.clone()).into());
    }
    scene.tx.members().delete_role(id, name).await.map_err(refuse_store)?;
    let answer = view(row);
    let changes = json!({ "role": name, "permissions": answer.permissions });
    scene.finish(cx, deps, format!("role/{name}"), changes, Vec::new(), &answer).await?;
    Ok(answer)
}
