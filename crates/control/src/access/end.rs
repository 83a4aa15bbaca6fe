//! The end of a grant before its time, by somebody's word or with the token of either of the two; and what is said of it
//! afterwards.

use serde_json::json;
use tenantry_domain::code::FieldError;
use tenantry_domain::event::Type;
use tenantry_domain::id::GrantId;
use tenantry_domain::policy::Permit;
use tenantry_store::{Entry, GrantRow, WriteTx};

use super::hands::Second;
use super::{AccessGrant, LONGEST_TEXT, LoginChange, SHORTEST_REASON, finish, lock, permit, refuse, told, view};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{Opened, open as begin, refuse_store, replayed};

/// Ends a grant early: the gateway ends its sessions.
///
/// # Errors
/// There is none, or it does not hold.
pub async fn end(cx: &Ctx, deps: &Deps, id: GrantId) -> Result<AccessGrant, Refusal> {
    let (permit, asked) = permit(cx, deps, "access.end", id).await?;
    let mut tx = match begin(cx, deps, &permit).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let row = lock(&mut tx, asked.tenant, id).await?;
    row.grant.end(cx.now).map_err(refuse("access.end"))?;
    let (row, gone) = close(cx, &mut tx, row).await?;
    finish(cx, deps, &permit, tx, row, Type::AccessEnded, gone).await
}

/// Ends a locked grant that holds, and its login.
async fn close(cx: &Ctx, tx: &mut WriteTx, row: GrantRow) -> Result<(GrantRow, Option<LoginChange>), Refusal> {
    let mut gone = None;
    if let Some(name) = &row.login
        && let Some(login) = tx.logins().lock(name).await.map_err(refuse_store)?
        && login.revoked_at.is_none()
    {
        tx.logins().revoke(&login).await.map_err(refuse_store)?;
        let data = json!({ "login": name, "grant": row.id });
        gone = Some((Type::GatewayLoginRevoked, "gateway.login.revoke", name.clone(), data));
    }
    Ok((tx.grants().end(row.id, &cx.actor.to_string()).await.map_err(refuse_store)?, gone))
}

/// Ends what a principal was let into and what it let others into: its token is taken back, and nothing that it gave stays.
/// Requests that wait are answered by nobody any more ([`super::answer`]). The entries go with the caller's commit.
///
/// # Errors
/// Our database does not answer.
pub(crate) async fn end_of(
    cx: &Ctx,
    permit: &Permit,
    tx: &mut WriteTx,
    principal: &str,
) -> Result<Vec<Entry>, Refusal> {
    let mut entries = Vec::new();
    for (tenant, id) in tx.grants().open_of(principal).await.map_err(refuse_store)? {
        let row = lock(tx, tenant, id).await?;
        if row.grant.end(cx.now).is_err() {
            continue;
        }
        let (row, gone) = close(cx, tx, row).await?;
        entries.extend(told(cx, permit, "access.end", &view(row, cx.now), Type::AccessEnded, gone));
    }
    Ok(entries)
}

/// Records that somebody else looked at what was done.
///
/// # Errors
/// There is none, it is not over, or the caller is the one who asked.
pub async fn review(cx: &Ctx, deps: &Deps, id: GrantId, text: &str) -> Result<AccessGrant, Refusal> {
    if !(SHORTEST_REASON..=LONGEST_TEXT).contains(&text.trim().chars().count()) {
        let message = format!("must say what was found, in {SHORTEST_REASON} to {LONGEST_TEXT} characters");
        return Err(Refusal::Request(vec![FieldError::new("review", message)]));
    }
    let (permit, asked) = permit(cx, deps, "access.review", id).await?;
    let by = Second::of(cx, deps, &asked.requested_by).await?;
    let mut tx = match begin(cx, deps, &permit).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let row = lock(&mut tx, asked.tenant, id).await?;
    row.grant.review(&by.hands(), cx.now).map_err(refuse("access.review"))?;
    let by = by.person.unwrap_or_default();
    let row = tx.grants().review(id, &by, text.trim()).await.map_err(refuse_store)?;
    finish(cx, deps, &permit, tx, row, Type::AccessReviewed, None).await
}
