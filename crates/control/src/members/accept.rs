//! Answering an invitation. The application has logged the person in and vouches for who they are; the token says which
//! invitation, the address has to be the invited one.

use serde_json::json;
use tenantry_domain::event::Type;
use tenantry_domain::id::{TenantId, UserId};
use tenantry_domain::member::invitation::{Inviter, may_accept};
use tenantry_domain::member::{Acting, Email, Identity, Invited, Refused, Standing, decide};
use tenantry_domain::name::EnvironmentName;
use tenantry_store::{Card, InvitationRow, WriteTx};

use super::secret::Token;
use super::{Entered, Invitation, Member, Scene, enter, member, shown};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, replayed};

/// Who answers.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What the issuer calls them.
    pub identity: Identity,
    /// Their address, as the issuer has it.
    pub email: Email,
    /// Whether the issuer has verified it.
    pub is_verified: bool,
    /// Their name, where it is known.
    pub name: Option<String>,
}

/// Where an invitation is, for a door that has to know before it lets somebody in. A token that does not fit says nothing.
///
/// # Errors
/// There is no such invitation.
pub async fn environment_of(deps: &Deps, token: &Token) -> Result<EnvironmentName, Refusal> {
    Ok(find(deps, token).await?.environment)
}

/// Makes the one who answers a member. An invitation is good once.
///
/// # Errors
/// There is no such invitation, it is over, for somebody else, or could not be made any more; or the person is a member
/// already, here or where they may not be as well; or the plan's users are used up.
pub async fn accept(cx: &Ctx, deps: &Deps, token: &Token, answer: &Answer) -> Result<Member, Refusal> {
    let found = find(deps, token).await?;
    let mut scene = match enter_hidden(cx, deps, &found, "invitation.accept").await? {
        Entered::Replay(answer) => return replayed(answer),
        Entered::Fresh(scene) => *scene,
    };
    let rules = scene.rules;
    let row = again(&mut scene, deps, token).await?;
    let standing = Standing::at(cx.now, row.expires_at, row.invited);
    standing.must_be_open()?;
    if !answer.is_verified {
        return Err(Refused::Unverified.into());
    }
    let role = row.role.name();
    if scene.resolve(&role).await.is_err_and(|refusal| matches!(refusal, Refusal::Member(Refused::NoRole(_)))) {
        return Err(Refused::Over("for a role that does not exist any more").into());
    }
    let inviter = inviter(&mut scene.tx, row.tenant, row.invited_by).await?;
    may_accept(standing, &row.email, &answer.email, &row.role, &inviter, &rules)?;
    let roll = scene.tx.members().roll(row.tenant).await.map_err(refuse_store)?;
    // The invitation itself had reserved the place.
    decide::fits(&rules, roll.used().saturating_sub(1))?;

    let card = Card { email: &answer.email, name: answer.name.as_deref() };
    let joined = member(scene.join(deps, &answer.identity, &card, &role).await?);
    let user = joined.user;
    let settled = scene.tx.members().settle(row.tenant, row.id, Invited::Accepted, Some(user)).await;
    settled.map_err(refuse_store)?;
    let data = json!({ "user": user, "role": joined.role, "invitation": row.id });
    let told = vec![(Type::MemberJoined, data.clone())];
    scene.finish(cx, deps, format!("member/{user}"), data, told, &joined).await?;
    Ok(joined)
}

/// Ends an invitation because the person does not want it. Whoever has the link may: it takes nothing from anybody.
///
/// # Errors
/// There is no such invitation, or it is over.
pub async fn decline(cx: &Ctx, deps: &Deps, token: &Token) -> Result<Invitation, Refusal> {
    let found = find(deps, token).await?;
    let mut scene = match enter_hidden(cx, deps, &found, "invitation.decline").await? {
        Entered::Replay(answer) => return replayed(answer),
        Entered::Fresh(scene) => *scene,
    };
    let row = again(&mut scene, deps, token).await?;
    Standing::at(cx.now, row.expires_at, row.invited).must_be_open()?;
    let settled = scene.tx.members().settle(row.tenant, row.id, Invited::Declined, None).await;
    let declined = shown(settled.map_err(refuse_store)?, cx.now);
    let changes = json!({ "invitation": row.id });
    scene.finish(cx, deps, format!("invitation/{}", row.id), changes, Vec::new(), &declined).await?;
    Ok(declined)
}

/// An invitation by its token; a wrong secret is answered as an unknown id.
async fn find(deps: &Deps, token: &Token) -> Result<InvitationRow, Refusal> {
    let found = deps.store().invitation(token.id).await.map_err(refuse_store)?;
    Ok(found.filter(|row| token.fits(deps, &row.hash)).ok_or(Refused::NoInvitation)?)
}

/// A tenant that may not be seen has no invitations either.
async fn enter_hidden(cx: &Ctx, deps: &Deps, found: &InvitationRow, action: &'static str) -> Result<Entered, Refusal> {
    if found.environment != cx.environment || !cx.sees(found.tenant) {
        return Err(Refused::NoInvitation.into());
    }
    enter(cx, deps, &TenantRef::Id(found.tenant), action, None).await.map_err(|refusal| match refusal {
        Refusal::NoTenant(_) => Refused::NoInvitation.into(),
        other => other,
    })
}

/// The invitation as it stands under the tenant's lock: it may have been sent anew since, which ends the link.
async fn again(scene: &mut Scene, deps: &Deps, token: &Token) -> Result<InvitationRow, Refusal> {
    let row = scene.tx.members().invitation(scene.tenant.id, token.id).await.map_err(refuse_store)?;
    Ok(row.filter(|row| token.fits(deps, &row.hash)).ok_or(Refused::NoInvitation)?)
}

async fn inviter(tx: &mut WriteTx, tenant: TenantId, by: Option<UserId>) -> Result<Inviter, Refusal> {
    let Some(user) = by else { return Ok(Inviter::Operator) };
    let found = tx.members().get(tenant, user).await.map_err(refuse_store)?;
    Ok(found.map_or(Inviter::Gone, |row| Inviter::Member(Acting { user, role: row.role })))
}
