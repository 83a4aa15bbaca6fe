//! Tokens of an environment: making, listing, giving another secret, taking back.
//!
//! A token that is bound to a tenant is that tenant's API key; its entries are in the tenant's chain, so the tenant sees
//! who made a key for it and when.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_domain::Timestamp;
use tenantry_domain::audit::Category;
use tenantry_domain::code::FieldError;
use tenantry_domain::id::{TenantId, TokenId};
use tenantry_domain::limit::Counted;
use tenantry_domain::page::PageSize;
use tenantry_domain::policy::{Actor, ActorKind, Denial, Pattern, Permit, Rights, Role};
use tenantry_store::{Entry, NewToken, Page, StoreError, TokenFilter, TokenRow, WriteTx};

use super::check::check;
use super::{compose, secret};
use crate::access;
use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::quotas::counted;
use crate::refusal::Refusal;
use crate::tenants::edit::{Expected, Opened, TenantRef, lock_living, open, refuse_store, remember, replayed, require};
use crate::tenants::read::request;

/// How long a token lives unless its maker says otherwise.
const USUAL_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// The longest that a token lives. Whoever needs one for longer rotates it.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(366 * 24);
/// The longest that an old secret stays good.
const LONGEST_GRACE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long an old secret stays good unless its owner says otherwise.
const USUAL_GRACE: SignedDuration = SignedDuration::from_hours(24);

/// A token as its operators see it. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Its public part.
    pub id: TokenId,
    /// For people.
    pub name: String,
    /// As what its bearer acts.
    pub kind: ActorKind,
    /// What its bearer may do.
    pub rights: Rights,
    /// Who uses it.
    pub person: Option<String>,
    /// Rises with every change; the ETag.
    pub version: i64,
    /// Since when it exists.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it got another secret last.
    pub rotated_at: Option<Timestamp>,
    /// Until when the secret before is good, too; absent when it is not.
    pub old_until: Option<Timestamp>,
    /// When it was seen last, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

/// A token with its text.
#[derive(Debug)]
pub struct Issued {
    /// The token.
    pub token: Token,
    /// Its text, here and never again; absent in the answer to a repetition.
    pub text: Option<SecretString>,
}

/// Which token is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// For people.
    pub name: String,
    /// As what its bearer acts: a person of the operator or a machine.
    pub kind: ActorKind,
    /// What it is to be.
    pub roles: Vec<Role>,
    /// Only these actions; absent for all that the roles allow.
    pub scopes: Option<Vec<Pattern>>,
    /// Only this tenant.
    pub tenant: Option<TenantRef>,
    /// Who uses it; needed for a person's.
    pub person: Option<String>,
    /// How long it lives; 90 days when absent.
    pub life: Option<SignedDuration>,
}

/// What a rotation is to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct RotateRequest {
    /// For how long the old secret stays good; a day when absent.
    pub grace: Option<SignedDuration>,
    /// How long the token lives from now on; as long as it was to live at first when absent.
    pub life: Option<SignedDuration>,
}

/// Which tokens to list.
#[derive(Debug, Clone, Default)]
pub struct TokenQuery {
    /// Only those of this tenant.
    pub tenant: Option<TenantRef>,
    /// Revoked ones too.
    pub with_revoked: bool,
}

fn view(row: TokenRow, now: Timestamp) -> Token {
    Token {
        id: row.id,
        name: row.name,
        kind: row.actor_kind,
        rights: row.rights,
        person: row.person,
        version: row.version,
        created_at: row.created_at,
        created_by: row.created_by,
        expires_at: row.expires_at,
        rotated_at: row.rotated_at,
        old_until: row.old.map(|(_, until)| until).filter(|until| *until > now),
        last_used_at: row.last_used_at,
        revoked_at: row.revoked_at,
    }
}

fn missing(id: TokenId) -> Refusal {
    Refusal::NoObject { kind: "token".to_owned(), name: id.to_string() }
}

fn fields(complaints: &BTreeMap<&str, String>) -> Result<(), Refusal> {
    let list = complaints.iter().map(|(field, message)| FieldError::new(*field, message));
    if complaints.is_empty() { Ok(()) } else { Err(Refusal::Request(list.collect())) }
}

fn ends(now: Timestamp, life: Option<SignedDuration>) -> Result<Timestamp, String> {
    let life = life.unwrap_or(USUAL_LIFE);
    if life < SignedDuration::from_mins(1) || life > LONGEST_LIFE {
        return Err(format!("must be one minute to {} days", LONGEST_LIFE.as_hours() / 24));
    }
    now.checked_add(life).map_err(|error| error.to_string())
}

/// The rights of a wanted token, which are not more than those of its maker.
fn at_most(cx: &Ctx, rights: &Rights) -> Result<(), Refusal> {
    if cx.rights.covers(rights) {
        return Ok(());
    }
    let remedy = "Give it roles and scopes that you have yourself, or ask somebody who has more.".to_owned();
    Err(Denial { rule: "own-rights-at-most".to_owned(), action: "token.issue", remedy, hidden: None }.into())
}

fn permit(cx: &Ctx, action: &'static str, tenant: Option<TenantId>) -> Result<Permit, Refusal> {
    Ok(match tenant {
        Some(tenant) => cx.permit(action, tenant)?,
        None => cx.permit_environment(action)?,
    })
}

/// Makes a token of the environment. Its text is in this answer and kept nowhere.
///
/// # Errors
/// It makes no sense, would do more than its maker may, or its tenant does not exist.
pub async fn create(cx: &Ctx, deps: &Deps, wanted: Wanted) -> Result<Issued, Refusal> {
    cx.may("token.issue")?;
    let mut wrong = check(&wanted);
    let expires = ends(cx.now, wanted.life).map_err(|message| wrong.insert("expiresIn", message)).ok();
    fields(&wrong)?;
    let tenant = match &wanted.tenant {
        Some(tenant) => Some(require(cx, deps, tenant).await?.id),
        None => None,
    };
    let scopes = wanted.scopes.map(|scopes| scopes.into_iter().collect());
    let rights = Rights { roles: wanted.roles.into_iter().collect(), scopes, tenant };
    let permit = permit(cx, "token.issue", tenant)?;
    at_most(cx, &rights)?;
    let mut tx = match open(cx, deps, &permit).await? {
        Opened::Replay(answer) => return Ok(Issued { token: replayed(answer)?, text: None }),
        Opened::Fresh(tx) => tx,
    };
    if let Some(tenant) = rights.tenant {
        lock_living(&mut tx, tenant).await?;
    }
    let (secret, hash) = secret(deps)?;
    let new = NewToken {
        id: mint::token(),
        environment: Some(cx.environment.clone()),
        name: wanted.name,
        actor_kind: wanted.kind,
        rights,
        person: wanted.person,
        hash,
        expires_at: expires,
        created_by: cx.actor.to_string(),
    };
    tx.tokens().create(&new);
    let token = Token {
        id: new.id,
        name: new.name,
        kind: new.actor_kind,
        rights: new.rights,
        person: new.person,
        version: 1,
        created_at: cx.now,
        created_by: new.created_by,
        expires_at: new.expires_at,
        rotated_at: None,
        old_until: None,
        last_used_at: None,
        revoked_at: None,
    };
    let token = finish(cx, deps, &permit, tx, token, (1, Vec::new())).await?;
    Ok(Issued { text: Some(compose(token.id, &secret)), token })
}

/// Gives a token another secret. The old one stays good for the grace, so that its users change over one by one, and never
/// longer than it was to live anyway.
///
/// # Errors
/// There is no such token, it is revoked, has another version than expected, or may do more than the caller.
pub async fn rotate(
    cx: &Ctx,
    deps: &Deps,
    id: TokenId,
    expected: Expected,
    wanted: RotateRequest,
) -> Result<Issued, Refusal> {
    let mut wrong = BTreeMap::new();
    let grace = wanted.grace.unwrap_or(USUAL_GRACE);
    if grace < SignedDuration::ZERO || grace > LONGEST_GRACE {
        wrong.insert("grace", format!("must be 0 to {} days", LONGEST_GRACE.as_hours() / 24));
    }
    let chosen = wanted.life.map(|life| ends(cx.now, Some(life))).transpose();
    let chosen = chosen.map_err(|message| wrong.insert("expiresIn", message)).ok().flatten();
    fields(&wrong)?;
    let (permit, tx) = begin(cx, deps, "token.rotate", id).await?;
    let mut tx = match tx {
        Opened::Replay(answer) => return Ok(Issued { token: replayed(answer)?, text: None }),
        Opened::Fresh(tx) => tx,
    };
    let row = tx.tokens().lock(id).await.map_err(refuse_store)?;
    expected.check(row.version)?;
    at_most(cx, &row.rights)?;
    if row.revoked_at.is_some() {
        return Err(missing(id));
    }
    let born = row.rotated_at.unwrap_or(row.created_at);
    let usual = row.expires_at.map(|end| cx.now.saturating_add(end.duration_since(born)).unwrap_or(end));
    // The old secret gets no longer life by this than it had: one that ended stays ended.
    let old_until = cx.now.saturating_add(grace).ok().map(|until| row.expires_at.map_or(until, |end| until.min(end)));
    let old_until = old_until.filter(|until| *until > cx.now);
    let (secret, hash) = secret(deps)?;
    let shown_to = cx.actor.to_string();
    // One whose time was over counted no more.
    let grown = u64::from(row.expires_at.is_some_and(|end| end <= cx.now));
    let row = tx.tokens().rotate(id, hash, old_until, chosen.or(usual), &shown_to).await.map_err(refuse_store)?;
    let token = finish(cx, deps, &permit, tx, view(row, cx.now), (grown, Vec::new())).await?;
    Ok(Issued { text: Some(compose(token.id, &secret)), token })
}

/// Takes a token back: it is refused from the next call on, and the emergency access that it asked for or agreed to ends
/// with it. One that is revoked already stays so.
///
/// # Errors
/// There is no such token, or it has another version than expected.
pub async fn revoke(cx: &Ctx, deps: &Deps, id: TokenId, expected: Expected) -> Result<Token, Refusal> {
    let (permit, tx) = begin(cx, deps, "token.revoke", id).await?;
    let mut tx = match tx {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let row = tx.tokens().lock(id).await.map_err(refuse_store)?;
    expected.check(row.version)?;
    if row.revoked_at.is_some() {
        tx.rollback().await;
        return Ok(view(row, cx.now));
    }
    let row = tx.tokens().revoke(id).await.map_err(refuse_store)?;
    let principal = Actor { kind: row.actor_kind, id: id.to_string() }.to_string();
    let ended = access::end_of(cx, &permit, &mut tx, &principal).await?;
    let token = finish(cx, deps, &permit, tx, view(row, cx.now), (0, ended)).await?;
    // Gateways end the sessions.
    deps.nudge();
    Ok(token)
}

async fn begin(cx: &Ctx, deps: &Deps, action: &'static str, id: TokenId) -> Result<(Permit, Opened), Refusal> {
    cx.may(action)?;
    let row = known(cx, deps, id).await?;
    let permit = permit(cx, action, row.rights.tenant)?;
    let mut tx = open(cx, deps, &permit).await?;
    // The tenant before the token, as whoever makes one.
    if let (Opened::Fresh(tx), Some(tenant)) = (&mut tx, row.rights.tenant) {
        match tx.tenants().lock(tenant).await {
            Ok(_) | Err(StoreError::NotFound) => {}
            Err(error) => return Err(refuse_store(error)),
        }
    }
    Ok((permit, tx))
}

async fn known(cx: &Ctx, deps: &Deps, id: TokenId) -> Result<TokenRow, Refusal> {
    let row = deps.store().token(id).await.map_err(refuse_store)?;
    // One of the whole installation, or of another environment, is not to be seen from here.
    let row = row.filter(|row| row.environment.as_ref() == Some(&cx.environment));
    let is_seen = |row: &TokenRow| cx.rights.tenant.is_none() || cx.rights.tenant == row.rights.tenant;
    row.filter(is_seen).ok_or_else(|| missing(id))
}

/// Counts and records a change, and makes it last. `grown` says how many tokens there are more than before; `entries` are those
/// of what the change brings with it.
async fn finish(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    tx: WriteTx,
    token: Token,
    (grown, mut entries): (u64, Vec<Entry>),
) -> Result<Token, Refusal> {
    let (mut tx, counted) = match token.rights.tenant {
        Some(tenant) => counted::close(cx, deps, permit, tx, tenant, (Counted::ApiKeys, grown)).await?,
        None => (tx, Vec::new()),
    };
    remember(cx, &mut tx, &token, None);
    let mut audit = cx.audit(permit, Category::Access, format!("token/{}", token.id));
    audit.version = Some(token.version);
    audit.changes = json!({
        "name": token.name, "kind": token.kind, "rights": token.rights, "person": token.person,
        "expiresAt": token.expires_at, "oldUntil": token.old_until,
    });
    entries.push(match token.rights.tenant {
        Some(tenant) => Entry::tenant(tenant, audit, counted),
        None => Entry::environment(audit, Vec::new()),
    });
    tx.commit(entries).await.map_err(refuse_store)?;
    Ok(token)
}

/// One token of the environment.
///
/// # Errors
/// There is none.
pub async fn get(cx: &Ctx, deps: &Deps, id: TokenId) -> Result<Token, Refusal> {
    cx.may("token.read")?;
    known(cx, deps, id).await.map(|row| view(row, cx.now))
}

/// A page of the environment's tokens, in the order of their making.
///
/// # Errors
/// There is no such tenant, or the page token is of no use here.
pub async fn list(
    cx: &Ctx,
    deps: &Deps,
    query: &TokenQuery,
    size: PageSize,
    token: Option<&str>,
) -> Result<Page<Token>, Refusal> {
    cx.may("token.read")?;
    let tenant = match &query.tenant {
        Some(tenant) => Some(require(cx, deps, tenant).await?.id),
        None => {
            cx.permit_environment("token.read")?;
            None
        }
    };
    let filter = TokenFilter { tenant, with_revoked: query.with_revoked };
    let principal = cx.actor.to_string();
    let reader = deps.store().read(&cx.environment);
    let page = reader.tokens(&filter, &request(cx, &principal, size, token)).await.map_err(refuse_store)?;
    Ok(Page { items: page.items.into_iter().map(|row| view(row, cx.now)).collect(), next: page.next })
}
