//! Approvals: a rule asks for somebody else's word, and gets it here.
//!
//! INVARIANT: whoever gives one is a person, and not the one who uses it, by whatever token ([`Second`]); one is good for
//! one action of one principal, on the tenant as the approver saw it, once, and for a day at most. It is good as long as its
//! giver is somebody who may give one, and a giver has one of a kind.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_domain::Timestamp;
use tenantry_domain::audit::Category;
use tenantry_domain::code::FieldError;
use tenantry_domain::id::{ApprovalId, TenantId};
use tenantry_domain::page::PageSize;
use tenantry_domain::policy::grant::{GrantError, is_same};
use tenantry_domain::policy::{ACTIONS, Denial, Effect, Permit, Reach};
use tenantry_store::{ApprovalFilter, ApprovalRow, Entry, NewApproval, Page, StoreError};

use crate::access::hands::{Second, Trail, still_may};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{Opened, TenantRef, open, refuse_store, remember, replayed, require};
use crate::tenants::read::request as page_of;

/// The longest that one is good for.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// The shortest reason, in letters: a word is none.
const SHORTEST_REASON: usize = 10;

/// How an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// It can be used.
    Open,
    /// What it allows was done.
    Used,
    /// It was taken back.
    Withdrawn,
    /// It was not used in time.
    Expired,
}

impl Standing {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Used => "used",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }
}

/// An approval as its operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// How it stands.
    pub standing: Standing,
    /// What may be done.
    pub action: String,
    /// To which tenant; absent for the environment.
    pub tenant: Option<TenantId>,
    /// The version of the tenant that was looked at.
    pub tenant_version: Option<i64>,
    /// Which principal may do it.
    pub holder: String,
    /// The principal who agreed.
    pub given_by: String,
    /// The person behind it.
    pub person: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub given_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
}

/// What is to be approved.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What may be done.
    pub action: String,
    /// To which tenant; absent for the environment.
    pub tenant: Option<TenantRef>,
    /// The version of it that was looked at; whatever it has when absent.
    pub tenant_version: Option<i64>,
    /// Which principal may do it, `operator:tok_…`.
    pub holder: String,
    /// Why.
    pub reason: String,
    /// For how long.
    pub lasts: SignedDuration,
}

fn view(row: ApprovalRow, now: Timestamp) -> Approval {
    let standing = match (row.used_at, row.withdrawn_at) {
        (Some(_), _) => Standing::Used,
        (None, Some(_)) => Standing::Withdrawn,
        (None, None) if row.given.expires_at <= now => Standing::Expired,
        (None, None) => Standing::Open,
    };
    let (tenant, tenant_version) = row.given.tenant.unzip();
    Approval {
        id: row.given.id,
        standing,
        action: row.given.action,
        tenant,
        tenant_version,
        holder: row.given.holder,
        given_by: row.given.given_by,
        person: row.given.person,
        reason: row.given.reason,
        given_at: row.given_at,
        expires_at: row.given.expires_at,
        used_at: row.used_at,
    }
}

fn missing(id: ApprovalId) -> Refusal {
    Refusal::NoObject { kind: "approval".to_owned(), name: id.to_string() }
}

fn check(wanted: &Wanted) -> Result<(), Refusal> {
    let mut wrong = Vec::new();
    let action = ACTIONS.iter().find(|action| action.name == wanted.action && action.effect != Effect::Read);
    match action {
        None => {
            let message = "is no action that changes anything; docs/rights.md lists them";
            wrong.push(FieldError::new("action", message));
        }
        Some(action) if action.reach == Reach::Environment && wanted.tenant.is_some() => {
            wrong.push(FieldError::new(
                "tenant",
                format!("must be left out: `{}` is done to the environment", action.name),
            ));
        }
        Some(_) => {}
    }
    if !(wanted.holder.starts_with("operator:") || wanted.holder.starts_with("service:")) {
        wrong.push(FieldError::new(
            "holder",
            "must be a principal, `operator:…` or `service:…`; `tenantry whoami` shows it",
        ));
    }
    if wanted.reason.trim().chars().count() < SHORTEST_REASON {
        wrong.push(FieldError::new("reason", format!("must say why, in {SHORTEST_REASON} letters or more")));
    }
    if wanted.lasts <= SignedDuration::ZERO || wanted.lasts > LONGEST {
        wrong.push(FieldError::new("expiresIn", "must be from a second to 24 hours"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(Refusal::Request(wrong)) }
}

/// Gives one.
///
/// # Errors
/// The caller is no other person, there is no such tenant, or the wish makes no sense.
pub async fn give(cx: &Ctx, deps: &Deps, wanted: Wanted) -> Result<Approval, Refusal> {
    check(&wanted)?;
    let permit = match &wanted.tenant {
        Some(tenant) => cx.permit("approval.give", require(cx, deps, tenant).await?.id)?,
        None => cx.permit_environment("approval.give")?,
    };
    let person = second(cx, deps, &wanted.holder).await?;
    let mut tx = match open(cx, deps, &permit).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let tenant = match permit.scope().tenant {
        Some(id) => {
            let current = tx.tenants().lock(id).await.map_err(refuse_store)?.version;
            if wanted.tenant_version.is_some_and(|seen| seen != current) {
                return Err(Refusal::Stale { current });
            }
            Some((id, current))
        }
        None => None,
    };
    let new = NewApproval {
        id: ApprovalId::from_uuid(uuid::Uuid::now_v7()),
        action: wanted.action,
        tenant,
        holder: wanted.holder,
        given_by: cx.actor.to_string(),
        person,
        reason: wanted.reason.trim().to_owned(),
        expires_at: cx.now.saturating_add(wanted.lasts).unwrap_or(cx.now),
    };
    // The same word again takes the place of the one before, so that nobody's words stand in the way of another's.
    let before = tx.approvals().give_way(&new).await.map_err(refuse_store)?;
    let row = tx.approvals().give(&new).await.map_err(refuse_store)?;
    let answer = view(row, cx.now);
    remember(cx, &mut tx, &answer, None);
    let entry = entry(cx, &permit, &answer, &before);
    tx.commit(vec![entry]).await.map_err(refuse_store)?;
    Ok(answer)
}

/// The caller's person, if it is another one than the holder's.
async fn second(cx: &Ctx, deps: &Deps, holder: &str) -> Result<String, Refusal> {
    let denied = |error: GrantError, remedy: &str| {
        let (rule, remedy) = ("approval-two-people".to_owned(), format!("{error}. {remedy}"));
        Refusal::from(Denial { rule, action: "approval.give", remedy, hidden: None })
    };
    let by = Second::of(cx, deps, holder).await?;
    let hands = by.hands();
    if hands.person.is_none() {
        return Err(denied(GrantError::Nobody, "Sign in as a person, or use a token that names one."));
    }
    if holder == cx.actor.to_string() || by.is_person_of(deps, holder).await? {
        return Err(denied(GrantError::Own, "Ask somebody else to approve it."));
    }
    if hands.is_shown {
        return Err(denied(
            GrantError::SameHands,
            "Ask somebody whose token neither made the other nor was made by it or by the same person.",
        ));
    }
    if hands.is_unlike {
        return Err(denied(GrantError::Unlike, "Let both sign in, or let both use tokens."));
    }
    Ok(hands.person.unwrap_or_default().to_owned())
}

/// Of the words that a caller could use, those that count: of other people who may still give them, each person once. Hands
/// change between the word and its use, and tokens are taken back, so both are looked at again.
///
/// # Errors
/// Our database does not answer.
pub(super) async fn of_others(cx: &Ctx, deps: &Deps, open: Vec<ApprovalRow>) -> Result<Vec<ApprovalRow>, Refusal> {
    let own = Trail::of(deps, &cx.actor.to_string()).await?;
    let mut good: Vec<(ApprovalRow, Trail)> = Vec::new();
    for row in open {
        let given = &row.given;
        let is_own = cx.person.as_deref().is_some_and(|own| is_same(own, &given.person));
        if is_own || !still_may(deps, &given.given_by, "approval.give", cx.now).await? {
            continue;
        }
        let trail = Trail::of(deps, &given.given_by).await?;
        let could_be_one = |known: &Trail| known.meets(&trail) || known.is_unlike(&trail);
        let is_counted =
            |(other, known): &(ApprovalRow, Trail)| is_same(&other.given.person, &given.person) || could_be_one(known);
        if !could_be_one(&own) && !good.iter().any(is_counted) {
            good.push((row, trail));
        }
    }
    Ok(good.into_iter().map(|(row, _)| row).collect())
}

/// Takes one back; one that is used stays used.
///
/// # Errors
/// There is none.
pub async fn withdraw(cx: &Ctx, deps: &Deps, id: ApprovalId) -> Result<Approval, Refusal> {
    cx.may("approval.withdraw")?;
    let found = known(cx, deps, id).await?;
    let permit = match found.given.tenant {
        Some((tenant, _)) => cx.permit("approval.withdraw", tenant)?,
        None => cx.permit_environment("approval.withdraw")?,
    };
    let mut tx = match open(cx, deps, &permit).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let row = tx.approvals().lock(id).await.map_err(|error| match error {
        StoreError::NotFound => missing(id),
        error => refuse_store(error),
    })?;
    if row.used_at.is_some() || row.withdrawn_at.is_some() {
        tx.rollback().await;
        return Ok(view(row, cx.now));
    }
    let row = tx.approvals().withdraw(id).await.map_err(refuse_store)?;
    let answer = view(row, cx.now);
    remember(cx, &mut tx, &answer, None);
    tx.commit(vec![entry(cx, &permit, &answer, &[])]).await.map_err(refuse_store)?;
    Ok(answer)
}

/// One approval.
///
/// # Errors
/// There is none.
pub async fn get(cx: &Ctx, deps: &Deps, id: ApprovalId) -> Result<Approval, Refusal> {
    cx.may("approval.read")?;
    known(cx, deps, id).await.map(|row| view(row, cx.now))
}

/// A page of approvals, the newest first.
///
/// # Errors
/// There is no such tenant, or the page token is of no use here.
pub async fn list(
    cx: &Ctx,
    deps: &Deps,
    tenant: Option<&TenantRef>,
    only_current: bool,
    size: PageSize,
    token: Option<&str>,
) -> Result<Page<Approval>, Refusal> {
    cx.may("approval.read")?;
    let tenant = match tenant {
        Some(tenant) => Some(require(cx, deps, tenant).await?.id),
        None => {
            cx.permit_environment("approval.read")?;
            None
        }
    };
    let principal = cx.actor.to_string();
    let reader = deps.store().read(&cx.environment);
    let filter = ApprovalFilter { tenant, only_current };
    let page = reader.approvals(&filter, &page_of(cx, &principal, size, token)).await.map_err(refuse_store)?;
    Ok(Page { items: page.items.into_iter().map(|row| view(row, cx.now)).collect(), next: page.next })
}

async fn known(cx: &Ctx, deps: &Deps, id: ApprovalId) -> Result<ApprovalRow, Refusal> {
    let row = deps.store().read(&cx.environment).approval(id).await.map_err(refuse_store)?;
    let is_seen = |row: &ApprovalRow| match row.given.tenant {
        Some((tenant, _)) => cx.sees(tenant),
        None => cx.rights.tenant.is_none(),
    };
    row.filter(is_seen).ok_or_else(|| missing(id))
}

fn entry(cx: &Ctx, permit: &Permit, approval: &Approval, before: &[ApprovalId]) -> Entry {
    let mut audit = cx.audit(permit, Category::Access, format!("approval/{}", approval.id));
    audit.reason = Some(approval.reason.clone());
    audit.changes = json!({
        "action": approval.action, "holder": approval.holder, "person": approval.person,
        "tenantVersion": approval.tenant_version, "expiresAt": approval.expires_at, "replaces": before,
    });
    match approval.tenant {
        Some(tenant) => Entry::tenant(tenant, audit, Vec::new()),
        None => Entry::environment(audit, Vec::new()),
    }
}
