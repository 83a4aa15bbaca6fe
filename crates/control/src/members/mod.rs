//! People of tenants: invitations, memberships, roles.
//!
//! Every change locks the tenant, so that what a decision counts (owners, users of the plan) holds until it is written;
//! what is decided is [`tenantry_domain::member`]'s. A request may name the member on whose behalf it is made
//! (`actingUser`); then that member's role decides as well, and the audit names both. Each commit leaves the counter of the
//! quota `users` at what there is.
//! INVARIANT: whoever is no member of a tenant learns nothing of it; a right that was taken away is gone at once, because
//! it is looked up each time.

mod accept;
mod import;
mod invite;
pub mod mail;
mod offer;
mod people;
mod roles;
mod secret;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_domain::Timestamp;
use tenantry_domain::audit::Category;
use tenantry_domain::event::{self, Type};
use tenantry_domain::id::{InvitationId, TenantId, UserId};
use tenantry_domain::limit::{Bound, QuotaName};
use tenantry_domain::member::{Acting, Email, Identity, Permission, Refused, Role, RoleName, Rules, Standing};
use tenantry_domain::policy::Permit;
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_store::{Card, Entry, InvitationRow, MemberRow, StoreError, TenantRow, WriteTx};

pub use accept::{Answer, accept, decline, environment_of};
pub use import::{ImportRow, Imported, MOST_ROWS, Outcome, RowReport, import};
pub use invite::{Delivery, Invite, Issued, MailView, invitation, invitations, invite, resend, withdraw};
pub use offer::{Offer, end_offer, offer, ownership, take};
pub use people::{Add, Checked, Membership, add, change_role, check, get, list, remove, tenants_of, user_environment};
pub use roles::{RoleView, define, delete_role, role, roles};
pub use secret::{Token, TokenError};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::quotas;
use crate::refusal::Refusal;
use crate::tenants::edit::{Opened, TenantRef, open, refuse_store, remember, require};

/// Settings about people of tenants.
#[derive(Debug, Clone, Default)]
pub struct MemberOptions {
    /// Whether one person may be a member of one tenant only.
    pub single: bool,
    /// How invitations are mailed; absent when they are not.
    pub mail: Option<mail::MailOptions>,
}

/// A member as operators and applications see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Of which tenant.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// What the issuer calls them.
    pub identity: Identity,
    /// Their address, as this tenant was told.
    pub email: Email,
    /// Their name, where this tenant was told.
    pub name: Option<String>,
    /// What they hold.
    pub role: RoleName,
    /// Rises with every change; the ETag.
    pub version: i64,
    /// Since when.
    pub created_at: Timestamp,
    /// Who made them a member.
    pub created_by: String,
    /// The last change.
    pub updated_at: Timestamp,
}

/// An invitation as operators and applications see it. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invitation {
    /// Which.
    pub id: InvitationId,
    /// To which tenant.
    pub tenant: TenantId,
    /// Its name.
    pub slug: Slug,
    /// Who is invited.
    pub email: Email,
    /// As what.
    pub role: RoleName,
    /// How it stands.
    pub standing: Standing,
    /// The member who invited; absent for an operator.
    pub invited_by: Option<UserId>,
    /// How often it was sent or shown.
    pub sends: i32,
    /// When last.
    pub sent_at: Timestamp,
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
    /// Rises with every change; the ETag.
    pub version: i64,
    /// Since when it exists.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it was answered or taken back.
    pub settled_at: Option<Timestamp>,
    /// Who became a member by it.
    pub accepted_by: Option<UserId>,
}

pub(crate) fn member(row: MemberRow) -> Member {
    Member {
        tenant: row.tenant,
        user: row.user.id,
        identity: row.user.identity,
        email: row.email,
        name: row.name,
        role: row.role.name(),
        version: row.version,
        created_at: row.created_at,
        created_by: row.created_by,
        updated_at: row.updated_at,
    }
}

fn shown(row: InvitationRow, now: Timestamp) -> Invitation {
    Invitation {
        standing: Standing::at(now, row.expires_at, row.invited),
        id: row.id,
        tenant: row.tenant,
        slug: row.slug,
        email: row.email,
        role: row.role.name(),
        invited_by: row.invited_by,
        sends: row.sends,
        sent_at: row.sent_at,
        expires_at: row.expires_at,
        version: row.version,
        created_at: row.created_at,
        created_by: row.created_by,
        settled_at: row.settled_at,
        accepted_by: row.accepted_by,
    }
}

/// An open change of one tenant's people, with what decisions about it need.
pub(crate) struct Scene {
    pub(crate) tx: WriteTx,
    permit: Permit,
    pub(crate) tenant: TenantRow,
    acting: Option<Acting>,
    /// What the plan says about people.
    pub(crate) rules: Rules,
    /// And about how many.
    bound: Bound,
}

/// One entry of what was done, and the events that go with it.
struct Fact {
    target: String,
    changes: Value,
    told: Vec<(Type, Value)>,
}

/// Either the answer that a repeated request gets, or the change to go on with.
pub(crate) enum Entered {
    Replay(Value),
    Fresh(Box<Scene>),
}

/// Judges, opens, locks the tenant, and looks up on whose behalf it is.
pub(crate) async fn enter(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    action: &'static str,
    acting: Option<UserId>,
) -> Result<Entered, Refusal> {
    let id = require(cx, deps, tenant).await?.id;
    let permit = cx.permit(action, id)?;
    if acting.is_some() {
        cx.permit("member.act", id)?;
    }
    let mut tx = match open(cx, deps, &permit).await? {
        Opened::Replay(answer) => return Ok(Entered::Replay(answer)),
        Opened::Fresh(tx) => tx,
    };
    let row = lock_living(&mut tx, id, tenant).await?;
    // Read under the tenant's lock: what the plan allows is what it allows at the commit.
    let entitlements = quotas::entitlements(cx, &mut tx, &row).await?;
    let rules = Rules::of(&entitlements);
    let bound = quotas::bound_of(&entitlements, Rules::USERS);
    let acting = match acting {
        None => None,
        Some(user) => {
            let found = tx.members().get(id, user).await.map_err(refuse_store)?;
            // Whoever is no member does not learn that the tenant is there.
            let found = found.ok_or_else(|| Refusal::NoTenant(tenant.to_string()))?;
            Some(Acting { user, role: found.role })
        }
    };
    Ok(Entered::Fresh(Box::new(Scene { tx, permit, tenant: row, acting, rules, bound })))
}

async fn lock_living(tx: &mut WriteTx, id: TenantId, asked: &TenantRef) -> Result<TenantRow, Refusal> {
    let row = tx.tenants().lock(id).await.map_err(|error| match error {
        StoreError::NotFound => Refusal::NoTenant(asked.to_string()),
        error => refuse_store(error),
    })?;
    if row.state.phase() == Phase::Deleted { Err(Refusal::NoTenant(asked.to_string())) } else { Ok(row) }
}

impl Scene {
    pub(crate) fn id(&self) -> TenantId {
        self.tenant.id
    }

    pub(crate) fn acting(&self) -> Option<&Acting> {
        self.acting.as_ref()
    }

    /// A role by its name.
    pub(crate) async fn resolve(&mut self, name: &RoleName) -> Result<Role, Refusal> {
        if let Some(standard) = name.standard() {
            return Ok(Role::Standard(standard));
        }
        let found = self.tx.members().role(self.tenant.id, name).await.map_err(refuse_store)?;
        Ok(found.ok_or_else(|| Refused::NoRole(name.clone()))?.role())
    }

    /// A member, or that there is none.
    pub(crate) async fn member(&mut self, user: UserId) -> Result<MemberRow, Refusal> {
        let found = self.tx.members().get(self.tenant.id, user).await.map_err(refuse_store)?;
        Ok(found.ok_or_else(|| Refused::NoMember(user.to_string()))?)
    }

    /// Makes a person a member, unless they are one or may not be one here as well. Whether they are elsewhere is asked
    /// behind the lock on them, so that two tenants that take them in at once do not both get them.
    pub(crate) async fn join(
        &mut self,
        deps: &Deps,
        identity: &Identity,
        card: &Card<'_>,
        role: &RoleName,
    ) -> Result<MemberRow, Refusal> {
        let (tenant, fresh) = (self.tenant.id, UserId::from_uuid(uuid::Uuid::now_v7()));
        let mut members = self.tx.members();
        let user = members.put_user(fresh, identity).await.map_err(refuse_store)?.id;
        let added = members.add(tenant, user, role, card).await.map_err(refuse_store)?;
        let added = added.ok_or(Refused::Member)?;
        if deps.options().members.single && members.is_elsewhere(user, tenant).await.map_err(refuse_store)? {
            return Err(Refused::Elsewhere.into());
        }
        Ok(added)
    }

    /// Records what was done, and makes it last. `told` are the events with their payloads; each gets the tenant's name.
    pub(crate) async fn finish<T: Serialize>(
        self,
        cx: &Ctx,
        deps: &Deps,
        target: String,
        changes: Value,
        told: Vec<(Type, Value)>,
        answer: &T,
    ) -> Result<(), Refusal> {
        self.finish_all(cx, deps, vec![Fact { target, changes, told }], answer).await
    }

    /// The same for what takes more than one entry to tell.
    async fn finish_all<T: Serialize>(
        mut self,
        cx: &Ctx,
        deps: &Deps,
        facts: Vec<Fact>,
        answer: &T,
    ) -> Result<(), Refusal> {
        remember(cx, &mut self.tx, answer, None);
        let mut counted = count(&mut self.tx, self.tenant.id, &self.bound).await?;
        let mut entries = Vec::with_capacity(facts.len());
        for Fact { target, mut changes, told } in facts {
            if let (Some(acting), Some(members)) = (&self.acting, changes.as_object_mut()) {
                members.insert("actingUser".to_owned(), json!(acting.user));
                members.insert("actingRole".to_owned(), json!(acting.role.name()));
            }
            let mut audit = cx.audit(&self.permit, Category::Access, target);
            audit.changes = changes;
            let event = |(kind, mut data): (Type, Value)| {
                if let Some(members) = data.as_object_mut() {
                    members.insert("slug".to_owned(), json!(self.tenant.slug));
                }
                event::Draft::new(kind, data)
            };
            let events = told.into_iter().map(event).chain(counted.drain(..)).collect();
            entries.push(Entry::tenant(self.tenant.id, audit, events));
        }
        self.tx.commit(entries).await.map_err(refuse_store)?;
        deps.nudge();
        Ok(())
    }
}

/// Sets the counter of the quota `users` to the members and open invitations that there are, in the transaction that
/// changed them and under the tenant's lock. Its events belong into the entry of the change.
async fn count(tx: &mut WriteTx, tenant: TenantId, bound: &Bound) -> Result<Vec<event::Draft>, Refusal> {
    let Ok(users) = QuotaName::parse(Rules::USERS) else { return Ok(Vec::new()) };
    let used = tx.members().roll(tenant).await.map_err(refuse_store)?.used();
    Ok(tx.quotas().recount(tenant, &users, used, bound).await.map_err(refuse_store)?.events())
}

/// For so long invitations that are over are shown.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// So many are deleted at once.
const AT_ONCE: i64 = 200;

/// What each process does now and then: deletes invitations that have long been over, and their mail.
pub(crate) async fn keep(deps: &Deps) {
    let Ok(before) = deps.now().checked_sub(KEPT) else { return };
    match deps.store().sweep_invitations(before, AT_ONCE).await {
        Ok(0) => {}
        Ok(gone) => tracing::debug!(gone, "invitations that were long over are deleted"),
        Err(error) => tracing::debug!(%error, "invitations that are long over were not deleted"),
    }
}

/// Reads on behalf of a member: they must be one, and hold the permission.
pub(crate) async fn look(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    action: &'static str,
    acting: Option<UserId>,
) -> Result<TenantRow, Refusal> {
    let row = require(cx, deps, tenant).await?;
    cx.permit(action, row.id)?;
    let is_gone = row.state.phase() == Phase::Deleted;
    if let Some(user) = acting {
        cx.permit("member.act", row.id)?;
        let found = deps.store().read(&cx.environment).member(row.id, user).await.map_err(refuse_store)?;
        let found = found.ok_or_else(|| Refusal::NoTenant(tenant.to_string()))?;
        Acting { user, role: found.role }.must(Permission::USERS)?;
    }
    if is_gone { Err(Refusal::NoTenant(tenant.to_string())) } else { Ok(row) }
}
