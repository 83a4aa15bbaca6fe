//! Handing the ownership on: an owner offers, the other member takes it. Neither can do both.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_domain::Timestamp;
use tenantry_domain::event::Type;
use tenantry_domain::id::UserId;
use tenantry_domain::member::{Acting, Refused, Standard, decide, invitation};
use tenantry_store::OfferRow;

use super::{Entered, Member, Scene, enter, look, member};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, replayed};

/// An offer of ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// The owner who offers.
    pub from: UserId,
    /// The member who is asked.
    pub to: UserId,
    /// When.
    pub created_at: Timestamp,
    /// Until when it can be taken.
    pub expires_at: Timestamp,
}

const fn view(row: OfferRow) -> Offer {
    Offer { from: row.from, to: row.to, created_at: row.created_at, expires_at: row.expires_at }
}

fn no_offer() -> Refusal {
    Refusal::NoObject { kind: "offer of ownership".to_owned(), name: "of this tenant".to_owned() }
}

/// The offer that stands, if one does.
///
/// # Errors
/// There is no such tenant, or no offer.
pub async fn ownership(cx: &Ctx, deps: &Deps, tenant: &TenantRef, acting: Option<UserId>) -> Result<Offer, Refusal> {
    let row = look(cx, deps, tenant, "member.read", acting).await?;
    let found = deps.store().read(&cx.environment).offer(row.id).await.map_err(refuse_store)?;
    found.filter(|offer| offer.expires_at > cx.now).map(view).ok_or_else(no_offer)
}

/// Offers the ownership to another member, in place of the offer before. The acting member is the owner who gives it up.
///
/// # Errors
/// The acting member is no owner, or the other one is none of the tenant's members or an owner already.
pub async fn offer(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    from: UserId,
    to: UserId,
    valid_for: Option<SignedDuration>,
) -> Result<Offer, Refusal> {
    let until = invitation::until(cx.now, valid_for).map_err(|error| Refusal::Request(vec![error]))?;
    let mut scene = match enter(cx, deps, tenant, "member.offer", Some(from)).await? {
        Entered::Replay(answer) => return replayed(answer),
        Entered::Fresh(scene) => *scene,
    };
    let target = scene.member(to).await?;
    decide::may_offer(acting(&scene)?, &target.role)?;
    let row = OfferRow { from, to, created_at: scene.tx.now(), expires_at: until };
    scene.tx.members().put_offer(scene.tenant.id, &row);
    let answer = view(row);
    let changes = json!({ "from": from, "to": to, "expiresAt": until });
    scene.finish(cx, deps, format!("member/{to}"), changes, Vec::new(), &answer).await?;
    Ok(answer)
}

/// Takes the ownership: the one who was asked becomes owner, the one who offered becomes admin.
///
/// # Errors
/// There is no offer, it is over, or it was made to somebody else.
pub async fn take(cx: &Ctx, deps: &Deps, tenant: &TenantRef, by: UserId) -> Result<Member, Refusal> {
    let mut scene = match enter(cx, deps, tenant, "member.accept", Some(by)).await? {
        Entered::Replay(answer) => return replayed(answer),
        Entered::Fresh(scene) => *scene,
    };
    let id = scene.id();
    let offer = scene.tx.members().offer(id).await.map_err(refuse_store)?.ok_or_else(no_offer)?;
    if offer.to != by {
        return Err(Refused::NotTheOneAsked.into());
    }
    let giver = scene.tx.members().get(id, offer.from).await.map_err(refuse_store)?;
    let giver = giver.filter(|row| row.role.is_owner() && offer.expires_at > cx.now).ok_or(Refused::OfferOver)?;
    decide::may_offer(&Acting { user: offer.from, role: giver.role }, &acting(&scene)?.role)?;
    let before = acting(&scene)?.role.name();
    let mut members = scene.tx.members();
    let owner = members.set_role(id, by, &Standard::Owner.into()).await.map_err(refuse_store)?;
    members.set_role(id, offer.from, &Standard::Admin.into()).await.map_err(refuse_store)?;
    members.end_offer(id);
    let owner = member(owner);
    let told = vec![
        (Type::MemberRoleChanged, json!({ "user": by, "from": before, "role": "owner" })),
        (Type::MemberRoleChanged, json!({ "user": offer.from, "from": "owner", "role": "admin" })),
    ];
    let changes = json!({ "from": offer.from, "to": by });
    scene.finish(cx, deps, format!("member/{by}"), changes, told, &owner).await?;
    Ok(owner)
}

/// Ends the offer: the one who made it thinks again, or the one who was asked does not want it. An operator may as well.
///
/// # Errors
/// There is none, or the acting member is neither of the two.
pub async fn end_offer(cx: &Ctx, deps: &Deps, tenant: &TenantRef, by: Option<UserId>) -> Result<Offer, Refusal> {
    let mut scene = match enter(cx, deps, tenant, "member.offer", by).await? {
        Entered::Replay(answer) => return replayed(answer),
        Entered::Fresh(scene) => *scene,
    };
    let id = scene.id();
    let offer = scene.tx.members().offer(id).await.map_err(refuse_store)?.ok_or_else(no_offer)?;
    if by.is_some_and(|by| by != offer.from && by != offer.to) {
        return Err(Refused::NotTheOneAsked.into());
    }
    scene.tx.members().end_offer(id);
    let answer = view(offer);
    let changes = json!({ "from": offer.from, "to": offer.to, "ended": true });
    scene.finish(cx, deps, format!("member/{}", offer.to), changes, Vec::new(), &answer).await?;
    Ok(answer)
}

/// The member who acts; those verbs are entered with one.
fn acting(scene: &Scene) -> Result<&Acting, Refusal> {
    scene.acting().ok_or_else(|| Refusal::NoTenant(scene.tenant.slug.to_string()))
}
