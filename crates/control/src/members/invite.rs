//! Inviting: making an invitation, sending it again, taking it back, looking at them.

use jiff::SignedDuration;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_domain::Timestamp;
use tenantry_domain::code::FieldError;
use tenantry_domain::event::Type;
use tenantry_domain::id::{InvitationId, UserId};
use tenantry_domain::member::{
    Acting, Email, Invited, Permission, Refused, RoleName, Standing, decide, invitation as judge,
};
use tenantry_domain::page::PageSize;
use tenantry_store::{InvitationRow, NewInvitation, Page};

use super::secret::{Token, nonce};
use super::{Entered, Invitation, Scene, enter, look, shown};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::pools::PoolError;
use crate::refusal::Refusal;
use crate::tenants::edit::{Expected, TenantRef, refuse_store, replayed};
use crate::tenants::read::request;

/// How an invitation gets to its person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// We mail it.
    #[default]
    Mail,
    /// The caller gets the token and delivers it.
    Link,
}

/// A wanted invitation.
#[derive(Debug, Clone)]
pub struct Invite {
    /// Who.
    pub email: Email,
    /// As what.
    pub role: RoleName,
    /// How long it holds; three days when absent.
    pub valid_for: Option<SignedDuration>,
    /// How it gets there.
    pub delivery: Delivery,
    /// Whether they get an account in the tenant's own pool beforehand, and set a password by a link in the mail.
    pub with_account: bool,
}

/// An invitation with the token of its link.
#[derive(Debug)]
pub struct Issued {
    /// The invitation.
    pub invitation: Invitation,
    /// The token, where the caller delivers it; here and never again. Absent in the answer to a repetition.
    pub token: Option<SecretString>,
    /// The link with it, where the template of links is configured.
    pub link: Option<SecretString>,
}

/// How the mail of an invitation stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MailView {
    /// When a mail server took it.
    pub sent_at: Option<Timestamp>,
    /// When it was given up.
    pub dropped_at: Option<Timestamp>,
    /// How often it was tried.
    pub attempts: i32,
    /// Why the last attempt failed, or why it was dropped.
    pub cause: Option<String>,
}

/// Invites somebody.
///
/// # Errors
/// The plan or the acting member's role forbids it, the person is known already, or the plan's users are used up.
pub async fn invite(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
    wanted: &Invite,
) -> Result<Issued, Refusal> {
    let until = judge::until(cx.now, wanted.valid_for).map_err(|error| Refusal::Request(vec![error]))?;
    deliverable(deps, wanted.delivery)?;
    let mut scene = match enter(cx, deps, tenant, "invitation.create", acting).await? {
        Entered::Replay(answer) => return Ok(Issued { invitation: replayed(answer)?, token: None, link: None }),
        Entered::Fresh(scene) => *scene,
    };
    let rules = scene.rules;
    let role = scene.resolve(&wanted.role).await?;
    decide::may_invite(scene.acting(), &role, &rules)?;
    if wanted.with_account {
        has_pool(deps, &mut scene, wanted.delivery).await?;
    }
    make_room(&mut scene, &wanted.email).await?;
    mailable(&mut scene, wanted.delivery, &wanted.email).await?;
    let roll = scene.tx.members().roll(scene.tenant.id).await.map_err(refuse_store)?;
    decide::fits(&rules, roll.used())?;

    let id = InvitationId::from_uuid(uuid::Uuid::now_v7());
    let nonce = nonce()?;
    let token = Token::of(deps, &cx.environment, id, &nonce);
    let new = NewInvitation {
        id,
        tenant: scene.id(),
        email: wanted.email.clone(),
        role: wanted.role.clone(),
        nonce,
        hash: token.hash(deps),
        invited_by: acting,
        expires_at: until,
        with_account: wanted.with_account,
    };
    let row = scene.tx.members().invite(&new).await.map_err(refuse_store)?;
    let told = vec![(Type::MemberInvited, json!({ "invitation": id, "role": wanted.role, "expiresAt": until }))];
    issue(cx, deps, scene, row, token, wanted.delivery, told).await
}

/// Sends an open or expired invitation again, with a new link; the one before ends. Whoever sends it again is the one who
/// invites from then on, apart from callers who may not invite: they have it mailed once more, in the name of whoever invited,
/// and do not see the link.
///
/// # Errors
/// There is none, it is over, or was sent a moment ago or too often; its role is gone; or the one who asks could not make it.
pub async fn resend(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
    id: InvitationId,
    delivery: Delivery,
) -> Result<Issued, Refusal> {
    deliverable(deps, delivery)?;
    let mut scene = match enter(cx, deps, tenant, "invitation.resend", acting).await? {
        Entered::Replay(answer) => return Ok(Issued { invitation: replayed(answer)?, token: None, link: None }),
        Entered::Fresh(scene) => *scene,
    };
    let row = known(&mut scene, id).await?;
    let is_inviter = cx.rights.allows("invitation.create");
    if delivery == Delivery::Link {
        cx.permit("invitation.create", scene.id())?;
    }
    let inviter = if is_inviter { acting } else { row.invited_by };
    let rules = scene.rules;
    let role = scene.resolve(&row.role.name()).await?;
    decide::may_invite(scene.acting(), &role, &rules)?;
    let standing = Standing::at(cx.now, row.expires_at, row.invited);
    judge::may_send(standing, row.sends, row.sent_at, cx.now)?;
    mailable(&mut scene, delivery, &row.email).await?;
    if standing == Standing::Expired {
        // It did not count any more, and does again.
        let roll = scene.tx.members().roll(scene.tenant.id).await.map_err(refuse_store)?;
        decide::fits(&rules, roll.used())?;
    }
    let nonce = nonce()?;
    let token = Token::of(deps, &cx.environment, id, &nonce);
    let until = judge::until(cx.now, None).map_err(|error| Refusal::Request(vec![error]))?;
    let row = scene.tx.members().renew(&row, nonce, token.hash(deps), until, inviter).await.map_err(refuse_store)?;
    issue(cx, deps, scene, row, token, delivery, Vec::new()).await
}

/// Takes an invitation back; its link ends. One that was taken back stays so.
///
/// # Errors
/// There is none, it was answered, or the acting member may not.
pub async fn withdraw(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
    id: InvitationId,
    expected: Expected,
) -> Result<Invitation, Refusal> {
    let mut scene = match enter(cx, deps, tenant, "invitation.withdraw", acting).await? {
        Entered::Replay(answer) => return replayed(answer),
        Entered::Fresh(scene) => *scene,
    };
    scene.acting().map_or(Ok(()), |acting: &Acting| acting.must(Permission::INVITE))?;
    let row = known(&mut scene, id).await?;
    expected.check(row.version)?;
    match row.invited {
        Invited::Pending => {}
        Invited::Withdrawn => {
            scene.tx.rollback().await;
            return Ok(shown(row, cx.now));
        }
        other => return Err(Refused::Over(other.as_str()).into()),
    }
    let settled = scene.tx.members().settle(scene.tenant.id, id, Invited::Withdrawn, None).await;
    let answer = shown(settled.map_err(refuse_store)?, cx.now);
    let changes = json!({ "invitation": id, "role": answer.role });
    scene.finish(cx, deps, format!("invitation/{id}"), changes, Vec::new(), &answer).await?;
    Ok(answer)
}

/// One invitation, with how its mail stands.
///
/// # Errors
/// There is none.
pub async fn invitation(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
    id: InvitationId,
) -> Result<(Invitation, Option<MailView>), Refusal> {
    let row = look(cx, deps, tenant, "invitation.read", acting).await?;
    let found = deps.store().read(&cx.environment).invitation(row.id, id).await.map_err(refuse_store)?;
    let found = found.ok_or(Refused::NoInvitation)?;
    let mail = deps.store().mail_of(&cx.environment, id).await.map_err(refuse_store)?;
    let view = |mail: tenantry_store::MailStanding| MailView {
        sent_at: mail.sent_at,
        dropped_at: mail.dropped_at,
        attempts: mail.attempts,
        cause: mail.cause,
    };
    Ok((shown(found, cx.now), mail.map(view)))
}

/// A page of invitations, newest first; those that are over only if they are asked for.
///
/// # Errors
/// There is no such tenant, or the page token is of no use here.
pub async fn invitations(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    acting: Option<UserId>,
    with_over: bool,
    (size, token): (PageSize, Option<&str>),
) -> Result<Page<Invitation>, Refusal> {
    let row = look(cx, deps, tenant, "invitation.read", acting).await?;
    let principal = cx.actor.to_string();
    let reader = deps.store().read(&cx.environment);
    let page = reader.invitations(row.id, with_over, &request(cx, &principal, size, token)).await;
    let page = page.map_err(refuse_store)?;
    Ok(Page { items: page.items.into_iter().map(|row| shown(row, cx.now)).collect(), next: page.next })
}

fn deliverable(deps: &Deps, delivery: Delivery) -> Result<(), Refusal> {
    if delivery == Delivery::Mail && deps.options().members.mail.is_none() {
        let message = "mail is not configured here; set TENANTRY_SMTP_URL, or ask for `link` and deliver it yourself";
        return Err(Refusal::Request(vec![FieldError::new("delivery", message)]));
    }
    Ok(())
}

/// Nobody who does not answer is written to without end, however often they are invited anew.
async fn mailable(scene: &mut Scene, delivery: Delivery, email: &Email) -> Result<(), Refusal> {
    if delivery == Delivery::Link {
        return Ok(());
    }
    let now = scene.tx.now();
    let since = now.checked_sub(judge::LIFE).unwrap_or(now);
    let mails = scene.tx.mail().count(scene.tenant.id, email, since).await.map_err(refuse_store)?;
    Ok(judge::may_mail(mails)?)
}

/// An account is made when the mail leaves, and needs a pool of the tenant's own.
async fn has_pool(deps: &Deps, scene: &mut Scene, delivery: Delivery) -> Result<(), Refusal> {
    if delivery == Delivery::Link {
        let message = "goes with `mail`: the link to set a password is shown to nobody but the person";
        return Err(Refusal::Request(vec![FieldError::new("account", message)]));
    }
    if deps.options().identity.is_none() {
        return Err(PoolError::NoProvider.into());
    }
    let found = scene.tx.pools().lock(scene.tenant.id).await.map_err(refuse_store)?;
    match found.filter(|pool| pool.standing != tenantry_domain::pool::Standing::Deleted) {
        Some(_) => Ok(()),
        None => Err(PoolError::NoPool(scene.tenant.slug.to_string()).into()),
    }
}

/// Nobody is invited twice. An invitation whose time is over gives way.
async fn make_room(scene: &mut Scene, email: &Email) -> Result<(), Refusal> {
    let id = scene.tenant.id;
    for (is_invitation, whose) in scene.tx.members().known(id, email).await.map_err(refuse_store)? {
        if !is_invitation {
            return Err(Refused::Known { open: false }.into());
        }
        let old = InvitationId::from_uuid(whose);
        let row = scene.tx.members().invitation(id, old).await.map_err(refuse_store)?;
        if row.is_some_and(|row| row.expires_at > scene.tx.now()) {
            return Err(Refused::Known { open: true }.into());
        }
        scene.tx.members().settle(id, old, Invited::Withdrawn, None).await.map_err(refuse_store)?;
    }
    Ok(())
}

async fn known(scene: &mut Scene, id: InvitationId) -> Result<InvitationRow, Refusal> {
    let found = scene.tx.members().invitation(scene.tenant.id, id).await.map_err(refuse_store)?;
    Ok(found.ok_or(Refused::NoInvitation)?)
}

async fn issue(
    cx: &Ctx,
    deps: &Deps,
    mut scene: Scene,
    row: InvitationRow,
    token: Token,
    delivery: Delivery,
    told: Vec<(Type, serde_json::Value)>,
) -> Result<Issued, Refusal> {
    if delivery == Delivery::Mail {
        scene.tx.mail().queue(uuid::Uuid::now_v7(), row.id);
    }
    let invitation = shown(row, cx.now);
    let word = if delivery == Delivery::Mail { "mail" } else { "link" };
    let changes = json!({
        "invitation": invitation.id, "role": invitation.role, "expiresAt": invitation.expires_at,
        "sends": invitation.sends, "delivery": word,
    });
    scene.finish(cx, deps, format!("invitation/{}", invitation.id), changes, told, &invitation).await?;
    if delivery == Delivery::Mail {
        return Ok(Issued { invitation, token: None, link: None });
    }
    let token = token.text();
    let link = deps.options().members.mail.as_ref().map(|mail| mail.link.fill(&token, &invitation.slug));
    Ok(Issued { invitation, token: Some(token), link })
}
