//! Emergency access to a tenant's data: one person asks, another agrees, the gateway lets in until it is over.
//!
//! What a grant gives is a login of the gateway that ends at the grant's end, sessions and all. Everything is in the chain of
//! the tenant whose data it is, and the tenant gets an event of it at once.
//! INVARIANT: who agrees and who reviews is not who asked ([`grant`]); nothing makes a grant longer, and it ends with the
//! token of either of the two.

mod end;
pub(crate) mod hands;
mod read;

pub(crate) use end::end_of;
pub use end::{end, review};
pub use read::{get, list};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_domain::Timestamp;
use tenantry_domain::audit::Category;
use tenantry_domain::code::FieldError;
use tenantry_domain::event::{self, Type};
use tenantry_domain::gateway::{self, Access, LoginName, Mode, Proof, Server, Whose};
use tenantry_domain::id::{GrantId, TenantId};
use tenantry_domain::policy::grant::{self, GrantError, GrantStanding};
use tenantry_domain::policy::{Denial, Permit};
use tenantry_store::{Entry, GrantRow, NewGrant, NewLogin, StoreError, Verifier, WriteTx};

use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::governance::{self, About};
use crate::logins::{self, password};
use crate::refusal::Refusal;
use crate::tenants::edit::{
    Opened, TenantRef, lock_living, open as begin, open_unruled, refuse_store, remember, replayed, require,
};
use hands::{Second, hold, linked, person, still_may};

/// The longest reason, ticket and review, in letters.
const LONGEST_TEXT: usize = 1000;
/// The shortest reason: a word is none.
const SHORTEST_REASON: usize = 10;

/// A grant as its operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessGrant {
    /// Its id.
    pub id: GrantId,
    /// To whose data.
    pub tenant: TenantId,
    /// How it stands.
    pub standing: GrantStanding,
    /// The principal who asked.
    pub requested_by: String,
    /// The person behind it.
    pub person: String,
    /// Why.
    pub reason: String,
    /// Where that is discussed.
    pub ticket: Option<String>,
    /// Whether it is to write, too.
    pub access: Access,
    /// For how long.
    pub minutes: u32,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Until when somebody may agree.
    pub lapses_at: Timestamp,
    /// The person who agreed.
    pub approver: Option<String>,
    /// Since when it holds, and until when.
    pub span: Option<(Timestamp, Timestamp)>,
    /// When it was ended early.
    pub ended_at: Option<Timestamp>,
    /// The gateway's login.
    pub login: Option<LoginName>,
    /// Who looked at what was done, and said what.
    pub review: Option<(String, String)>,
    /// Whether that should have happened by now.
    pub is_review_overdue: bool,
}

/// A grant in use.
#[derive(Debug)]
pub struct OpenedAccess {
    /// The grant.
    pub grant: AccessGrant,
    /// The password of its login, here and never again; absent in the answer to a repetition.
    pub password: Option<SecretString>,
    /// The connection URL, where the gateway's address is known.
    pub url: Option<SecretString>,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct WantedAccess {
    /// Why.
    pub reason: String,
    /// Where that is discussed.
    pub ticket: Option<String>,
    /// Whether it is to write, too.
    pub access: Access,
    /// For how long, 1 to 60.
    pub minutes: u32,
}

/// An answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Somebody else agrees.
    Approve,
    /// Somebody says no.
    Refuse,
}

fn view(row: GrantRow, now: Timestamp) -> AccessGrant {
    AccessGrant {
        standing: row.grant.standing(now),
        is_review_overdue: row.grant.is_review_overdue(now),
        id: row.id,
        tenant: row.tenant,
        requested_by: row.requested_by,
        person: row.grant.person,
        reason: row.reason,
        ticket: row.ticket,
        access: row.access,
        minutes: row.grant.minutes,
        requested_at: row.requested_at,
        lapses_at: row.grant.lapses_at,
        approver: row.answered.map(|(_, person)| person).filter(|person| !person.is_empty()),
        span: row.grant.span,
        ended_at: row.grant.ended_at,
        login: row.login,
        review: row.review,
    }
}

fn missing(id: GrantId) -> Refusal {
    Refusal::NoObject { kind: "access request".to_owned(), name: id.to_string() }
}

fn refuse(action: &'static str) -> impl Fn(GrantError) -> Refusal {
    move |error| match error {
        GrantError::Standing(standing) => Refusal::GrantStanding(standing),
        error => {
            let remedy = match &error {
                GrantError::Nobody => "Use a token that names its person (`tenantry tokens create --person`).",
                GrantError::Own => "Ask somebody else to do it.",
                GrantError::SameHands => {
                    "Ask somebody whose token neither made the other nor was made by it or by the same person."
                }
                GrantError::Unlike => "Let both sign in, or let both use tokens.",
                GrantError::Foreign => "Ask for access yourself.",
                GrantError::Gone => "Ask anew, with a token that is good.",
                _ => "Wait, or let somebody else ask.",
            };
            let rule = match &error {
                GrantError::TooMuch { .. } => "access-minutes-a-day",
                GrantError::Foreign => "access-own-only",
                _ => "access-two-people",
            };
            let remedy = format!("{error}. {remedy}");
            Refusal::from(Denial { rule: rule.to_owned(), action, remedy, hidden: None })
        }
    }
}

fn check(wanted: &WantedAccess) -> Result<(), Refusal> {
    let mut wrong = Vec::new();
    let letters = wanted.reason.trim().chars().count();
    if !(SHORTEST_REASON..=LONGEST_TEXT).contains(&letters) {
        let message = format!("must say why, in {SHORTEST_REASON} to {LONGEST_TEXT} characters; the tenant reads it");
        wrong.push(FieldError::new("reason", message));
    }
    if !(1..=grant::LONGEST).contains(&wanted.minutes) {
        wrong.push(FieldError::new("minutes", format!("must be 1 to {}", grant::LONGEST)));
    }
    if wrong.is_empty() { Ok(()) } else { Err(Refusal::Request(wrong)) }
}

/// Asks for access to a tenant's data.
///
/// # Errors
/// There is no such tenant, the caller names no person, or the request makes no sense.
pub async fn request(cx: &Ctx, deps: &Deps, tenant: &TenantRef, wanted: WantedAccess) -> Result<AccessGrant, Refusal> {
    cx.may("access.request")?;
    check(&wanted)?;
    let row = require(cx, deps, tenant).await?;
    let permit = cx.permit("access.request", row.id)?;
    let person = person(cx).ok_or(GrantError::Nobody).map_err(refuse("access.request"))?;
    let mut tx = match begin(cx, deps, &permit).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    lock_living(&mut tx, row.id).await?;
    let new = NewGrant {
        id: mint::grant(),
        tenant: row.id,
        requested_by: cx.actor.to_string(),
        person,
        reason: wanted.reason.trim().to_owned(),
        ticket: wanted.ticket,
        access: wanted.access,
        minutes: wanted.minutes,
        lapses_at: cx.now.saturating_add(grant::PATIENCE).unwrap_or(cx.now),
    };
    let row = tx.grants().create(&new).await.map_err(refuse_store)?;
    finish(cx, deps, &permit, tx, row, Type::AccessRequested, None).await
}

/// Agrees to a request, or says no.
///
/// # Errors
/// There is none, it waits no more, or the caller is not another person.
pub async fn answer(cx: &Ctx, deps: &Deps, id: GrantId, answer: Answer) -> Result<AccessGrant, Refusal> {
    let (permit, asked) = permit(cx, deps, "access.approve", id).await?;
    let by = Second::of(cx, deps, &asked.requested_by).await?;
    let is_there = still_may(deps, &asked.requested_by, "access.open", cx.now).await?;
    let mut tx = match begin(cx, deps, &permit).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let row = lock(&mut tx, asked.tenant, id).await?;
    let actor = cx.actor.to_string();
    let (row, kind) = match answer {
        Answer::Approve => {
            let used = tx.grants().used(&row.grant.person).await.map_err(refuse_store)?;
            let until = row.grant.approve(&by.hands(), used, cx.now).map_err(refuse("access.approve"))?;
            if !is_there {
                return Err(refuse("access.approve")(GrantError::Gone));
            }
            let by = by.person.unwrap_or_default();
            (tx.grants().approve(id, &actor, &by, until).await.map_err(refuse_store)?, Type::AccessGranted)
        }
        Answer::Refuse => {
            row.grant.refuse(cx.now).map_err(refuse("access.approve"))?;
            (tx.grants().refuse(id, &actor).await.map_err(refuse_store)?, Type::AccessRefused)
        }
    };
    finish(cx, deps, &permit, tx, row, kind, None).await
}

/// Makes the login of a grant, for the person who asked. Asked again, the login gets another password, and the one before
/// is no longer good.
///
/// # Errors
/// There is none, it does not hold, or it is another person's.
pub async fn open(cx: &Ctx, deps: &Deps, id: GrantId) -> Result<OpenedAccess, Refusal> {
    let (permit, asked) = permit(cx, deps, "access.open", id).await?;
    let by = person(cx);
    // A name is not enough: others can make a token for the same person, and the one who agreed could be among them.
    let actor = cx.actor.to_string();
    if asked.requested_by != actor {
        return Err(refuse("access.open")(GrantError::Foreign));
    }
    let mut is_there = true;
    if let Some((approver, _)) = &asked.answered {
        if linked(deps, approver, &actor).await? {
            return Err(refuse("access.open")(GrantError::SameHands));
        }
        is_there = still_may(deps, approver, "access.approve", cx.now).await?;
    }
    let mut tx = match open_unruled(cx, deps, &permit).await? {
        Opened::Replay(answer) => return Ok(OpenedAccess { grant: replayed(answer)?, password: None, url: None }),
        Opened::Fresh(tx) => tx,
    };
    // Held until the login is made, so that a revocation at the same moment finds it.
    is_there &= hold(&mut tx, &actor, cx.now).await?;
    governance::rule(cx, deps, &permit, &mut tx, About::default()).await?;
    let row = lock(&mut tx, asked.tenant, id).await?;
    let until = row.grant.open(by.as_deref(), cx.now).map_err(refuse("access.open"))?;
    if !is_there {
        return Err(refuse("access.open")(GrantError::Gone));
    }
    lock_living(&mut tx, row.tenant).await?;
    let password = password::make()?;
    let verifier = Verifier::of(&password);
    let login = match &row.login {
        Some(name) => {
            let login = tx.logins().lock(name).await.map_err(refuse_store)?.ok_or_else(|| missing(id))?;
            if login.revoked_at.is_some() {
                return Err(Refusal::LoginRevoked(name.to_string()));
            }
            tx.logins().rotate(&login, &verifier, cx.now, Some(until)).await
        }
        None => {
            let login = gateway::Login {
                whose: Whose::Tenant(row.tenant),
                mode: Mode::Transaction,
                access: row.access,
                server: Server::Primary,
                proof: Proof::Password,
                connections: Some(CONNECTIONS),
                expires: Some(until),
            };
            tx.logins().create(&NewLogin { name: name_of(id)?, login, verifier: Some(verifier) }).await
        }
    };
    let login = login.map_err(refuse_store)?;
    let row = tx.grants().open(id, &login.name).await.map_err(refuse_store)?;
    let data = json!({ "login": login.name, "access": login.login.access, "expiresAt": until, "grant": id });
    let made = (Type::GatewayLoginCreated, "gateway.login.create", login.name.clone(), data);
    let grant = finish(cx, deps, &permit, tx, row, Type::AccessOpened, Some(made)).await?;
    let url = logins::url(deps, &logins::view(login, cx.now), Some(&password));
    Ok(OpenedAccess { grant, password: Some(password), url })
}

/// Client connections of a grant's login: a person and their tool.
const CONNECTIONS: u32 = 5;

/// What tells one grant from another, after what no other login's name begins with.
fn name_of(id: GrantId) -> Result<LoginName, Refusal> {
    let text = id.to_string();
    let suffix = text.split_once('_').map_or("", |(_, suffix)| suffix);
    LoginName::parse(&format!("{}{suffix}", logins::EMERGENCY)).map_err(|_| missing(id))
}

/// Locks a grant and, before it, its tenant, whose chain the change goes into: whoever takes a token back has them in this order.
async fn lock(tx: &mut WriteTx, tenant: TenantId, id: GrantId) -> Result<GrantRow, Refusal> {
    match tx.tenants().lock(tenant).await {
        Ok(_) | Err(StoreError::NotFound) => {}
        Err(error) => return Err(refuse_store(error)),
    }
    tx.grants().lock(id).await.map_err(|error| match error {
        StoreError::NotFound => missing(id),
        error => refuse_store(error),
    })
}

async fn known(cx: &Ctx, deps: &Deps, id: GrantId) -> Result<GrantRow, Refusal> {
    let row = deps.store().read(&cx.environment).grant(id).await.map_err(refuse_store)?;
    row.filter(|row| cx.sees(row.tenant)).ok_or_else(|| missing(id))
}

async fn permit(cx: &Ctx, deps: &Deps, action: &'static str, id: GrantId) -> Result<(Permit, GrantRow), Refusal> {
    cx.may(action)?;
    let row = known(cx, deps, id).await?;
    Ok((cx.permit(action, row.tenant)?, row))
}

/// What became of the gateway's login beside the grant: the event, the action, its name, the data of both.
type LoginChange = (Type, &'static str, LoginName, Value);

async fn finish(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    mut tx: WriteTx,
    row: GrantRow,
    kind: Type,
    login: Option<LoginChange>,
) -> Result<AccessGrant, Refusal> {
    let grant = view(row, cx.now);
    remember(cx, &mut tx, &grant, None);
    let entries = told(cx, permit, permit.action(), &grant, kind, login);
    tx.commit(entries).await.map_err(refuse_store)?;
    deps.nudge();
    Ok(grant)
}

/// What the tenant is told of a change of a grant.
fn told(
    cx: &Ctx,
    permit: &Permit,
    action: &str,
    grant: &AccessGrant,
    kind: Type,
    login: Option<LoginChange>,
) -> Vec<Entry> {
    let mut audit = cx.audit(permit, Category::Access, format!("access/{}", grant.id));
    action.clone_into(&mut audit.action);
    audit.reason = Some(grant.reason.clone());
    let data = json!({
        "grant": grant.id, "person": grant.person, "approver": grant.approver, "access": grant.access,
        "minutes": grant.minutes, "ticket": grant.ticket, "reason": grant.reason,
        "from": grant.span.map(|(from, _)| from), "until": grant.span.map(|(_, until)| until),
    });
    audit.changes = data.clone();
    let mut entries = vec![Entry::tenant(grant.tenant, audit, vec![event::Draft::new(kind, data)])];
    // Gateways follow entries about logins, so this is told as one of its own.
    if let Some((kind, action, name, data)) = login {
        let mut audit = cx.audit(permit, Category::Access, format!("gateway-login/{name}"));
        action.clone_into(&mut audit.action);
        audit.changes = data.clone();
        entries.push(Entry::tenant(grant.tenant, audit, vec![event::Draft::new(kind, data)]));
    }
    entries
}
