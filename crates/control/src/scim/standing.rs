//! What becomes of a membership when the directory speaks: it begins, ends, or gets another role.

use std::collections::HashMap;

use serde_json::{Value, json};
use tenantry_domain::event::Type;
use tenantry_domain::id::UserId;
use tenantry_domain::member::decide::{self, Target};
use tenantry_domain::member::scim::{Person, ScimError, strongest};
use tenantry_domain::member::{Email, Identity, Refused, Role, RoleName, Standard, identity};
use tenantry_store::{Card, DirectoryRow, MemberRow, ScimUserRow};
use uuid::Uuid;

use crate::deps::Deps;
use crate::members::Scene;
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;

/// The events of a change.
pub(super) type Told = Vec<(Type, Value)>;

/// Who signs in as a user of the directory, and as which member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) identity: Option<Identity>,
    pub(super) user: Option<UserId>,
}

/// Who is about to be a member.
pub(super) struct Entrant<'a> {
    /// The user of the directory.
    pub(super) id: Uuid,
    /// Who signs in.
    pub(super) identity: &'a Identity,
    /// The address.
    pub(super) email: &'a Email,
    /// The name.
    pub(super) name: Option<&'a str>,
    /// The member that they were before.
    pub(super) before: Option<UserId>,
    /// Whether the quota counts them already.
    pub(super) is_counted: bool,
}

/// Who signs in as a user: whom the directory's issuer calls so, or whoever claimed them.
pub(super) fn identity_of(
    directory: &DirectoryRow,
    person: &Person,
    before: Option<&ScimUserRow>,
) -> Result<Option<Identity>, Refusal> {
    let (Some(issuer), Some(subject)) = (&directory.issuer, &person.external_id) else {
        return Ok(before.and_then(|row| row.identity.clone()));
    };
    let subject = identity::check(subject, Identity::SUBJECT).map_err(|_| ScimError::Value {
        field: "externalId".to_owned(),
        problem: "must have 1 to 255 visible ASCII characters: it is what the directory's issuer calls the person",
    })?;
    Ok(Some(Identity { issuer: issuer.clone(), pool: directory.pool.clone(), subject }))
}

/// Brings a membership into line with what the directory says of a user.
pub(super) async fn settle(
    scene: &mut Scene,
    deps: &Deps,
    (id, person): (Uuid, &Person),
    before: Option<&ScimUserRow>,
    told: &mut Told,
) -> Result<Link, Refusal> {
    let tenant = scene.id();
    let directory = scene.tx.scim().directory(tenant).await.map_err(refuse_store)?;
    let identity = identity_of(&directory, person, before)?;
    let known = before.and_then(|row| row.user);
    let is_member = before.is_some_and(|row| row.role.is_some());
    let is_other = known.is_some() && before.is_some_and(|row| row.identity != identity);
    if let Some(user) = known.filter(|_| is_member && (!person.is_active || is_other)) {
        end(scene, user, told).await?;
    }
    let known = known.filter(|_| !is_other);
    if !person.is_active {
        return Ok(Link { identity, user: known });
    }
    let name = person.name.as_deref();
    if let Some(user) = known.filter(|_| is_member) {
        // Without an address the one that was told stays.
        if let Some(email) = &person.email {
            let row = scene.member(user).await?;
            tell(scene, &row, email, name).await?;
        }
        return Ok(Link { user: Some(user), identity });
    }
    let is_counted = before.is_some_and(|row| row.is_active && row.user.is_none());
    let (Some(who), Some(email)) = (&identity, &person.email) else {
        // Nobody signs in as them yet; their place is kept, as an invitation keeps one.
        if !is_counted {
            let roll = scene.tx.members().roll(tenant).await.map_err(refuse_store)?;
            decide::fits(&scene.rules, roll.used())?;
        }
        return Ok(Link { identity, user: None });
    };
    let entrant = Entrant { id, identity: who, email, name, before: known, is_counted };
    let user = admit(scene, deps, &entrant, told).await?;
    Ok(Link { user: Some(user), identity })
}

/// Makes somebody a member, or takes over the membership that they have already.
pub(super) async fn admit(
    scene: &mut Scene,
    deps: &Deps,
    entrant: &Entrant<'_>,
    told: &mut Told,
) -> Result<UserId, Refusal> {
    let tenant = scene.id();
    let given = given(scene, entrant.id).await?;
    let fresh = entrant.before.unwrap_or_else(|| UserId::from_uuid(Uuid::now_v7()));
    let mut members = scene.tx.members();
    let user = members.put_user(fresh, entrant.identity).await.map_err(refuse_store)?.id;
    if let Some(found) = members.get(tenant, user).await.map_err(refuse_store)? {
        if scene.tx.scim().is_linked(tenant, user, entrant.id).await.map_err(refuse_store)? {
            return Err(ScimError::Taken { kind: "User", field: "externalId" }.into());
        }
        tell(scene, &found, entrant.email, entrant.name).await?;
        // Ownership, and what no group says anything about, stay with whoever was a member before.
        if let Some(role) = given.filter(|role| !found.role.is_owner() && role.name() != found.role.name()) {
            scene.tx.scim().set_roles(tenant, &[(user, role.name())]);
            let data = json!({ "user": user, "from": found.role.name(), "role": role.name() });
            told.push((Type::MemberRoleChanged, data));
        }
        return Ok(user);
    }
    if deps.options().members.single && members.is_elsewhere(user, tenant).await.map_err(refuse_store)? {
        return Err(Refused::Elsewhere.into());
    }
    let roll = members.roll(tenant).await.map_err(refuse_store)?;
    let role = match given {
        Some(role) => role,
        None => default_role(scene).await?,
    };
    decide::may_add(None, &role, &scene.rules, u64::try_from(roll.members).unwrap_or(0))?;
    decide::fits(&scene.rules, roll.used().saturating_sub(u64::from(entrant.is_counted)))?;
    let card = Card { email: entrant.email, name: entrant.name };
    let added = scene.tx.members().add(tenant, user, &role.name(), &card).await.map_err(refuse_store)?;
    added.ok_or(Refused::Member)?;
    told.push((Type::MemberJoined, json!({ "user": user, "role": role.name() })));
    Ok(user)
}

/// Remembers what the directory says of a member; what is so already is not written.
async fn tell(scene: &mut Scene, row: &MemberRow, email: &Email, name: Option<&str>) -> Result<(), Refusal> {
    if row.email == *email && (name.is_none() || row.name.as_deref() == name) {
        return Ok(());
    }
    let tenant = scene.id();
    scene.tx.members().set_card(tenant, row.user.id, &Card { email, name }).await.map_err(refuse_store)?;
    Ok(())
}

/// Ends a membership.
pub(super) async fn end(scene: &mut Scene, user: UserId, told: &mut Told) -> Result<(), Refusal> {
    let tenant = scene.id();
    let row = scene.member(user).await?;
    let owners = scene.tx.members().roll(tenant).await.map_err(refuse_store)?.owners;
    decide::may_remove(None, &Target { user, role: &row.role, owners })?;
    scene.tx.members().remove(tenant, user).await.map_err(refuse_store)?;
    told.push((Type::MemberRemoved, json!({ "user": user, "role": row.role.name() })));
    Ok(())
}

/// Gives members the roles that their groups give now. `only` leaves out those who hold another role.
///
/// # Errors
/// A member's role, the one before or the one after, is more than the acting member may give; the directory itself acts for
/// nobody and is not asked.
pub(super) async fn regrade(
    scene: &mut Scene,
    ids: Option<&[Uuid]>,
    only: Option<&RoleName>,
    told: &mut Told,
) -> Result<(), Refusal> {
    let tenant = scene.id();
    let grades = scene.tx.scim().grades(tenant, ids).await.map_err(refuse_store)?;
    let default = default_role(scene).await?;
    let (mut known, mut wanted) = (HashMap::new(), Vec::new());
    for grade in grades {
        if grade.role.standard() == Some(Standard::Owner) || only.is_some_and(|only| *only != grade.role) {
            continue;
        }
        let mut roles = Vec::with_capacity(grade.given.len());
        for name in grade.given {
            if !known.contains_key(&name) {
                let role = lookup(scene, &name).await?;
                known.insert(name.clone(), role);
            }
            roles.extend(known.get(&name).cloned().flatten());
        }
        let given = strongest(roles).unwrap_or_else(|| default.clone());
        let role = given.name();
        if role != grade.role {
            // By a group nobody takes or gives what they could not take or give by hand.
            if scene.acting().is_some() {
                if !known.contains_key(&grade.role) {
                    let held = lookup(scene, &grade.role).await?;
                    known.insert(grade.role.clone(), held);
                }
                let held = known.get(&grade.role).cloned().flatten();
                for touched in held.iter().chain([&given]) {
                    decide::may_touch(scene.acting(), touched)?;
                }
            }
            told.push((Type::MemberRoleChanged, json!({ "user": grade.user, "from": grade.role, "role": role })));
            wanted.push((grade.user, role));
        }
    }
    if !wanted.is_empty() {
        scene.tx.scim().set_roles(tenant, &wanted);
    }
    Ok(())
}

/// The strongest role that a user's groups give.
async fn given(scene: &mut Scene, id: Uuid) -> Result<Option<Role>, Refusal> {
    let names = scene.tx.scim().given(scene.tenant.id, id).await.map_err(refuse_store)?;
    let mut roles = Vec::with_capacity(names.len());
    for name in names {
        roles.extend(lookup(scene, &name).await?);
    }
    Ok(strongest(roles))
}

/// What somebody holds whom no group gives a role. A role that is gone gives the least.
async fn default_role(scene: &mut Scene) -> Result<Role, Refusal> {
    let name = scene.tx.scim().directory(scene.tenant.id).await.map_err(refuse_store)?.default_role;
    Ok(lookup(scene, &name).await?.unwrap_or(Role::Standard(Standard::Readonly)))
}

/// A role by its name; nothing when it is gone.
pub(super) async fn lookup(scene: &mut Scene, name: &RoleName) -> Result<Option<Role>, Refusal> {
    match scene.resolve(name).await {
        Ok(role) => Ok(Some(role)),
        Err(Refusal::Member(Refused::NoRole(_))) => Ok(None),
        Err(refusal) => Err(refusal),
    }
}
