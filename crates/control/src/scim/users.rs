//! Users of a directory: making, reading, changing, deleting them.

use serde_json::{Map, Value, json};
use tenantry_domain::member::scim::show::{self, Shell};
use tenantry_domain::member::scim::{Kind, MOST_PER_PAGE, MOST_USERS, Patch, Person, ScimError};
use tenantry_store::{Choice, ScimUserPut, ScimUserRow};
use uuid::Uuid;

use super::standing::{Told, end, settle};
use super::{Listed, Place, Query, Resource, Sieve, absent, must_be_bearable, page};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::members::{Entered, Scene, enter, look};
use crate::refusal::Refusal;
use crate::tenants::edit::{Expected, refuse_store, replayed};

fn shown(base: &str, row: ScimUserRow) -> Resource {
    let shell = Shell { id: row.id, version: row.version, created: row.created_at, changed: row.updated_at };
    let document = show::user(base, &shell, row.doc, row.is_active, row.role.as_ref(), &row.groups);
    Resource { document, version: shell.version }
}

/// One user.
///
/// # Errors
/// There is none.
pub async fn get(cx: &Ctx, deps: &Deps, place: Place<'_>, id: Uuid) -> Result<Resource, Refusal> {
    let tenant = look(cx, deps, place.tenant, "scim.read", None).await?.id;
    let found = deps.store().read(&cx.environment).scim_user(tenant, id).await.map_err(refuse_store)?;
    Ok(shown(place.base, found.ok_or_else(|| absent(Kind::User, id))?))
}

/// A page of users, oldest first.
///
/// # Errors
/// There is no such tenant, or the filter takes looking at too many.
pub async fn list(cx: &Ctx, deps: &Deps, place: Place<'_>, query: &Query) -> Result<Listed, Refusal> {
    let tenant = look(cx, deps, place.tenant, "scim.read", None).await?.id;
    let reader = deps.store().read(&cx.environment);
    let show = |rows: Vec<ScimUserRow>| rows.into_iter().map(|row| shown(place.base, row).document).collect::<Vec<_>>();
    if let Some(filter) = &query.filter
        && let Some(anchor) = filter.anchor(Kind::User)
    {
        let rows = reader.scim_users(tenant, Choice::Found(&anchor), true).await.map_err(refuse_store)?;
        return Ok(page(query, filter, Kind::User, show(rows)));
    }
    let total = reader.scim_user_count(tenant).await.map_err(refuse_store)?;
    let Some(filter) = &query.filter else {
        let skip = i64::try_from(query.start.saturating_sub(1)).unwrap_or(i64::MAX);
        let limit = i64::try_from(query.count.min(MOST_PER_PAGE)).unwrap_or(0);
        let choice = Choice::All { skip, limit };
        let rows = reader.scim_users(tenant, choice, query.with_groups).await.map_err(refuse_store)?;
        return Ok(Listed { total, resources: show(rows) });
    };
    must_be_bearable(total)?;
    let with_groups = query.with_groups || filter.names("groups");
    let (mut sieve, mut last) = (Sieve::new(query, filter, Kind::User), Uuid::nil());
    loop {
        let choice = Choice::After { id: last, limit: BATCH };
        let rows = reader.scim_users(tenant, choice, with_groups).await.map_err(refuse_store)?;
        let is_last = rows.len() < usize::try_from(BATCH).unwrap_or(0);
        last = rows.last().map_or(last, |row| row.id);
        rows.into_iter().for_each(|row| sieve.take(shown(place.base, row).document));
        if is_last {
            return Ok(sieve.end());
        }
    }
}

/// Rows that are looked at together.
const BATCH: i64 = 100;

/// Makes a user, and a member of them if it is known who signs in.
///
/// # Errors
/// Another user has the name or external id, or the plan has no place left.
pub async fn create(cx: &Ctx, deps: &Deps, place: Place<'_>, doc: Map<String, Value>) -> Result<Resource, Refusal> {
    let mut scene = match enter(cx, deps, place.tenant, "scim.write", None).await? {
        Entered::Replay(answer) => return replayed(answer),
        Entered::Fresh(scene) => *scene,
    };
    let tenant = scene.id();
    let counts = scene.tx.scim().counts(tenant).await.map_err(refuse_store)?;
    if counts.users >= MOST_USERS {
        return Err(ScimError::Full { what: "users", most: MOST_USERS }.into());
    }
    put(cx, deps, scene, place, (Uuid::now_v7(), None), doc).await
}

/// Puts a document in the place of a user's.
///
/// # Errors
/// There is no such user, its version is another one, or as for [`create`].
pub async fn replace(
    cx: &Ctx,
    deps: &Deps,
    place: Place<'_>,
    (id, expected): (Uuid, Expected),
    doc: Map<String, Value>,
) -> Result<Resource, Refusal> {
    let (scene, row) = match open(cx, deps, place, id, expected).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(opened) => *opened,
    };
    put(cx, deps, scene, place, (id, Some(row)), doc).await
}

/// Changes parts of a user.
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
    let mut doc = row.doc.clone();
    patch.apply(Kind::User, &mut doc)?;
    put(cx, deps, scene, place, (id, Some(row)), doc).await
}

/// Deletes a user; their membership ends.
///
/// # Errors
/// There is no such user, its version is another one, or nobody would own the tenant.
pub async fn delete(cx: &Ctx, deps: &Deps, place: Place<'_>, (id, expected): (Uuid, Expected)) -> Result<(), Refusal> {
    let (mut scene, row) = match open(cx, deps, place, id, expected).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(opened) => *opened,
    };
    let mut told = Told::new();
    if let Some(user) = row.user.filter(|_| row.role.is_some()) {
        end(&mut scene, user, &mut told).await?;
    }
    let tenant = scene.id();
    scene.tx.scim().delete_user(tenant, id).await.map_err(refuse_store)?;
    let changes = json!({ "user": row.user, "deleted": true });
    scene.finish(cx, deps, target(id), changes, told, &()).await
}

/// Either the answer that a repeated request gets, or the change to go on with and the user as they are.
enum Opened {
    Replay(Value),
    Fresh(Box<(Scene, ScimUserRow)>),
}

async fn open(cx: &Ctx, deps: &Deps, place: Place<'_>, id: Uuid, expected: Expected) -> Result<Opened, Refusal> {
    let mut scene = match enter(cx, deps, place.tenant, "scim.write", None).await? {
        Entered::Replay(answer) => return Ok(Opened::Replay(answer)),
        Entered::Fresh(scene) => *scene,
    };
    let tenant = scene.id();
    let row = scene.tx.scim().user(tenant, id).await.map_err(refuse_store)?.ok_or_else(|| absent(Kind::User, id))?;
    expected.check(row.version)?;
    Ok(Opened::Fresh(Box::new((scene, row))))
}

/// Writes a document and what follows from it. What is so already is not written.
async fn put(
    cx: &Ctx,
    deps: &Deps,
    mut scene: Scene,
    place: Place<'_>,
    (id, before): (Uuid, Option<ScimUserRow>),
    doc: Map<String, Value>,
) -> Result<Resource, Refusal> {
    let (tenant, person) = (scene.id(), Person::of(&doc));
    let taken = scene.tx.scim().user_taken(tenant, id, &person).await.map_err(refuse_store)?;
    if let Some(is_name) = taken {
        let field = if is_name { "userName" } else { "externalId" };
        return Err(ScimError::Taken { kind: "User", field }.into());
    }
    let mut told = Told::new();
    let link = settle(&mut scene, deps, (id, &person), before.as_ref(), &mut told).await?;
    if let Some(before) = &before {
        let is_linked = link.user == before.user && link.identity == before.identity;
        if told.is_empty() && is_linked && doc == before.doc && person.is_active == before.is_active {
            let version = before.clone();
            scene.tx.rollback().await;
            return Ok(shown(place.base, version));
        }
    }
    let row = ScimUserPut { doc: &doc, person: &person, identity: link.identity.as_ref(), user: link.user };
    scene.tx.scim().put_user(tenant, id, &row);
    let row = scene.tx.scim().user(tenant, id).await.map_err(refuse_store)?.ok_or_else(|| absent(Kind::User, id))?;
    let changes = json!({
        "user": row.user, "active": row.is_active, "role": row.role,
        "attributes": changed(before.as_ref().map(|before| &before.doc), &doc),
    });
    let resource = shown(place.base, row);
    scene.finish(cx, deps, target(id), changes, told, &resource).await?;
    Ok(resource)
}

/// The names of attributes that differ. Their values are the directory's and stay out of the audit.
fn changed(before: Option<&Map<String, Value>>, after: &Map<String, Value>) -> Vec<String> {
    let was = |name: &str| before.and_then(|before| before.get(name));
    let gone = before.into_iter().flat_map(|before| before.keys()).filter(|name| !after.contains_key(*name));
    let fresh = after.iter().filter(|(name, value)| was(name) != Some(*value)).map(|(name, _)| name);
    let mut names: Vec<String> = gone.chain(fresh).cloned().collect();
    names.sort_unstable();
    names
}

fn target(id: Uuid) -> String {
    format!("directory-user/{id}")
}
