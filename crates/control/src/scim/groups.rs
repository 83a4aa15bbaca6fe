//! Groups of a directory: making, reading, changing, deleting them.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tenantry_domain::id::TenantId;
use tenantry_domain::member::scim::show::{self, Shell};
use tenantry_domain::member::scim::{
    GROUP_SIZE, GROUPS_OF_USER, Kind, MOST_GROUPS, MOST_PER_PAGE, MemberChange, Patch, ScimError, Team, resource,
};
use tenantry_store::{Choice, GroupPut, GroupRow};
use uuid::Uuid;

use super::standing::{Told, regrade};
use super::{Listed, Place, Query, Resource, absent, must_be_bearable, page};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::members::{Entered, Scene, enter, look};
use crate::refusal::Refusal;
use crate::tenants::edit::{Expected, refuse_store, replayed};

fn document(row: &GroupRow) -> Map<String, Value> {
    let mut doc = Map::from_iter([("displayName".to_owned(), json!(row.name))]);
    if let Some(external) = &row.external_id {
        doc.insert("externalId".to_owned(), json!(external));
    }
    doc
}

fn shown(base: &str, row: &GroupRow, members: Option<&[Uuid]>) -> Resource {
    let shell = Shell { id: row.id, version: row.version, created: row.created_at, changed: row.updated_at };
    Resource { document: show::group(base, &shell, document(row), members), version: row.version }
}

/// One group, with its members when they are wanted.
///
/// # Errors
/// There is none.
pub async fn get(cx: &Ctx, deps: &Deps, place: Place<'_>, id: Uuid, with_members: bool) -> Result<Resource, Refusal> {
    let tenant = look(cx, deps, place.tenant, "scim.read", None).await?.id;
    fetch(cx, deps, place, (tenant, id), with_members).await
}

async fn fetch(
    cx: &Ctx,
    deps: &Deps,
    place: Place<'_>,
    (tenant, id): (TenantId, Uuid),
    with_members: bool,
) -> Result<Resource, Refusal> {
    let reader = deps.store().read(&cx.environment);
    let row = reader.scim_group(tenant, id).await.map_err(refuse_store)?.ok_or_else(|| absent(Kind::Group, id))?;
    if !with_members {
        return Ok(shown(place.base, &row, None));
    }
    let members = reader.scim_members(tenant, &[id]).await.map_err(refuse_store)?;
    Ok(shown(place.base, &row, members.get(&id).map(Vec::as_slice)))
}

/// A page of groups, oldest first. Shorter than asked for where their members would be too many for an answer.
///
/// # Errors
/// There is no such tenant, or the filter takes looking at too many.
pub async fn list(cx: &Ctx, deps: &Deps, place: Place<'_>, query: &Query) -> Result<Listed, Refusal> {
    let tenant = look(cx, deps, place.tenant, "scim.read", None).await?.id;
    let reader = deps.store().read(&cx.environment);
    let asks_members = query.filter.as_ref().is_some_and(|filter| filter.names("members"));
    let total = reader.scim_group_count(tenant).await.map_err(refuse_store)?;
    let rows = match query.filter.as_ref().map(|filter| filter.anchor(Kind::Group)) {
        Some(Some(anchor)) => reader.scim_groups(tenant, Choice::Found(&anchor)).await,
        Some(None) => {
            must_be_bearable(total)?;
            reader.scim_groups(tenant, Choice::All { skip: 0, limit: MOST_GROUPS }).await
        }
        None => {
            let skip = i64::try_from(query.start.saturating_sub(1)).unwrap_or(i64::MAX);
            let limit = i64::try_from(query.count.min(MOST_PER_PAGE)).unwrap_or(0);
            reader.scim_groups(tenant, Choice::All { skip, limit }).await
        }
    };
    let mut rows = rows.map_err(refuse_store)?;
    let Some(filter) = &query.filter else {
        shorten(&mut rows, query.with_members);
        let resources = documents(&reader, place, tenant, &rows, query.with_members).await?;
        return Ok(Listed { total, resources });
    };
    if asks_members && rows.iter().map(|row| row.size).sum::<i64>() > LOOKED_AT {
        return Err(ScimError::TooMany(usize::try_from(LOOKED_AT).unwrap_or(0)).into());
    }
    // Members are looked up for all that are tried only when the filter asks about them, else for those that are shown.
    let tried = documents(&reader, place, tenant, &rows, asks_members).await?;
    let found = page(query, filter, Kind::Group, tried);
    let ids: BTreeSet<String> =
        found.resources.iter().filter_map(|one| Some(one.get("id")?.as_str()?.to_owned())).collect();
    rows.retain(|row| ids.contains(&row.id.to_string()));
    shorten(&mut rows, query.with_members);
    let resources = documents(&reader, place, tenant, &rows, query.with_members).await?;
    Ok(Listed { total: found.total, resources })
}

/// Most members that are looked at, or shown, in one answer of several groups.
const LOOKED_AT: i64 = 50_000;

fn shorten(rows: &mut Vec<GroupRow>, with_members: bool) {
    if !with_members {
        return;
    }
    let mut sum = 0;
    let fits = rows.iter().position(|row| {
        sum += row.size;
        sum > LOOKED_AT
    });
    // One group is never too much: its size is bounded.
    rows.truncate(fits.map_or(rows.len(), |place| place.max(1)));
}

async fn documents(
    reader: &tenantry_store::Reader,
    place: Place<'_>,
    tenant: TenantId,
    rows: &[GroupRow],
    with_members: bool,
) -> Result<Vec<Value>, Refusal> {
    let ids: Vec<Uuid> = if with_members { rows.iter().map(|row| row.id).collect() } else { Vec::new() };
    let members = if ids.is_empty() { Ok(Default::default()) } else { reader.scim_members(tenant, &ids).await };
    let members = members.map_err(refuse_store)?;
    Ok(rows.iter().map(|row| shown(place.base, row, members.get(&row.id).map(Vec::as_slice)).document).collect())
}

/// Makes a group.
///
/// # Errors
/// Another group has the name, or a member of it is no user here.
pub async fn create(cx: &Ctx, deps: &Deps, place: Place<'_>, doc: Map<String, Value>) -> Result<Resource, Refusal> {
    let mut scene = match enter(cx, deps, place.tenant, "scim.write", None).await? {
        Entered::Replay(answer) => return replayed(answer),
        Entered::Fresh(scene) => *scene,
    };
    let tenant = scene.id();
    let counts = scene.tx.scim().counts(tenant).await.map_err(refuse_store)?;
    if counts.groups >= MOST_GROUPS {
        return Err(ScimError::Full { what: "groups", most: MOST_GROUPS }.into());
    }
    let (id, members) = (Uuid::now_v7(), resource::members(&doc)?);
    put(cx, deps, scene, place, (id, None), (doc, vec![MemberChange::Set(members)])).await?;
    fetch(cx, deps, place, (tenant, id), true).await
}

/// Puts a document in the place of a group's.
///
/// # Errors
/// There is no such group, its version is another one, or as for [`create`].
pub async fn replace(
    cx: &Ctx,
    deps: &Deps,
    place: Place<'_>,
    (id, expected): (Uuid, Expected),
    doc: Map<String, Value>,
) -> Result<Resource, Refusal> {
    let members = resource::members(&doc)?;
    let (scene, row) = match open(cx, deps, place, id, expected).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(opened) => *opened,
    };
    let tenant = scene.id();
    put(cx, deps, scene, place, (id, Some(row)), (doc, vec![MemberChange::Set(members)])).await?;
    fetch(cx, deps, place, (tenant, id), true).await
}

/// Changes parts of a group. The answer leaves its members out: there may be many, and the caller knows what it changed.
///
/// # Errors
/// As for [`replace`], or an operation cannot be done.
pub async fn patch(
    cx: &Ctx,
    deps: &Deps,
    place: Place<'_>,
    (id, expected): (Uuid, Expected),
    patch: &Patch,
) -> Result<Resource, Refusal> {
    let (scene, row) = match open(cx, deps, place, id, expected).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(opened) => *opened,
    };
    let mut doc = document(&row);
    let changes = patch.apply(Kind::Group, &mut doc)?;
    put(cx, deps, scene, place, (id, Some(row)), (doc, changes)).await
}

/// Deletes a group; its members lose what it gave them.
///
/// # Errors
/// There is no such group, or its version is another one.
pub async fn delete(cx: &Ctx, deps: &Deps, place: Place<'_>, (id, expected): (Uuid, Expected)) -> Result<(), Refusal> {
    let (mut scene, row) = match open(cx, deps, place, id, expected).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(opened) => *opened,
    };
    let (tenant, mut told) = (scene.id(), Told::new());
    let members = scene.tx.scim().member_ids(tenant, id).await.map_err(refuse_store)?;
    scene.tx.scim().delete_group(tenant, id).await.map_err(refuse_store)?;
    if row.role.is_some() {
        regrade(&mut scene, Some(&members), None, &mut told).await?;
    }
    let changes = json!({ "deleted": true, "role": row.role, "members": members.len() });
    scene.finish(cx, deps, target(id), changes, told, &()).await
}

/// Either the answer that a repeated request gets, or the change to go on with and the group as it is.
enum Opened {
    Replay(Value),
    Fresh(Box<(Scene, GroupRow)>),
}

async fn open(cx: &Ctx, deps: &Deps, place: Place<'_>, id: Uuid, expected: Expected) -> Result<Opened, Refusal> {
    let mut scene = match enter(cx, deps, place.tenant, "scim.write", None).await? {
        Entered::Replay(answer) => return Ok(Opened::Replay(answer)),
        Entered::Fresh(scene) => *scene,
    };
    let tenant = scene.id();
    let row = scene.tx.scim().group(tenant, id).await.map_err(refuse_store)?.ok_or_else(|| absent(Kind::Group, id))?;
    expected.check(row.version)?;
    Ok(Opened::Fresh(Box::new((scene, row))))
}

/// Writes a document, who comes and who goes. What is so already is not written.
async fn put(
    cx: &Ctx,
    deps: &Deps,
    mut scene: Scene,
    place: Place<'_>,
    (id, before): (Uuid, Option<GroupRow>),
    (doc, changes): (Map<String, Value>, Vec<MemberChange>),
) -> Result<Resource, Refusal> {
    let (tenant, team) = (scene.id(), Team::of(&doc));
    if scene.tx.scim().group_taken(tenant, id, &team).await.map_err(refuse_store)? {
        return Err(ScimError::Taken { kind: "Group", field: "displayName" }.into());
    }
    let known: BTreeSet<Uuid> = match &before {
        Some(_) => scene.tx.scim().member_ids(tenant, id).await.map_err(refuse_store)?.into_iter().collect(),
        None => BTreeSet::new(),
    };
    let wanted = changes.into_iter().fold(known.clone(), becomes);
    let joined: Vec<Uuid> = wanted.difference(&known).copied().collect();
    let left: Vec<Uuid> = known.difference(&wanted).copied().collect();
    if i64::try_from(wanted.len()).unwrap_or(i64::MAX) > GROUP_SIZE {
        return Err(ScimError::Full { what: "members of a group", most: GROUP_SIZE }.into());
    }
    if !joined.is_empty() && scene.tx.scim().known_users(tenant, &joined).await.map_err(refuse_store)? != joined.len() {
        let problem = "names a user that does not exist here";
        return Err(ScimError::Value { field: "members".to_owned(), problem }.into());
    }
    let is_same = before.as_ref().is_some_and(|row| row.name == team.name && row.external_id == team.external_id);
    if is_same && joined.is_empty() && left.is_empty() {
        let same = before.as_ref().map(|row| shown(place.base, row, None));
        scene.tx.rollback().await;
        return same.ok_or_else(|| absent(Kind::Group, id));
    }
    let role = before.as_ref().and_then(|row| row.role.as_ref());
    let mut told = Told::new();
    scene.tx.scim().put_group(tenant, id, &GroupPut { team: &team, role });
    if !left.is_empty() {
        scene.tx.scim().leave_group(tenant, id, &left);
    }
    if !joined.is_empty() {
        scene.tx.scim().join_group(tenant, id, &joined);
        // Every user is shown with all their groups.
        if scene.tx.scim().is_crowded(tenant, &joined, GROUPS_OF_USER).await.map_err(refuse_store)? {
            return Err(ScimError::Full { what: "groups of a user", most: GROUPS_OF_USER }.into());
        }
    }
    if role.is_some() {
        let touched: Vec<Uuid> = joined.iter().chain(&left).copied().collect();
        regrade(&mut scene, Some(&touched), None, &mut told).await?;
    }
    let row = scene.tx.scim().group(tenant, id).await.map_err(refuse_store)?.ok_or_else(|| absent(Kind::Group, id))?;
    let changes = json!({ "role": row.role, "joined": joined.len(), "left": left.len(), "renamed": !is_same });
    let bare = shown(place.base, &row, None);
    scene.finish(cx, deps, target(id), changes, told, &bare).await?;
    Ok(bare)
}

fn becomes(mut all: BTreeSet<Uuid>, change: MemberChange) -> BTreeSet<Uuid> {
    match change {
        MemberChange::Add(ids) => all.extend(ids),
        MemberChange::Remove(ids) => {
            for id in ids {
                all.remove(&id);
            }
        }
        MemberChange::Set(ids) => all = ids.into_iter().collect(),
    }
    all
}

pub(super) fn target(id: Uuid) -> String {
    format!("directory-group/{id}")
}
