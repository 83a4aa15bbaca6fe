//! Logins of the gateway: what an application puts into its connection string.
//!
//! A password is made here, shown in one answer and kept nowhere; the store gets what it is compared with. Entries go to
//! the chain of the tenant whose login it is, those of services to the environment's.
//! INVARIANT: a login reaches tenants of one app at most, and a tenant's login that tenant alone.
//!
//! Long because making, rotating and revoking share what they check and how they end.

pub(crate) mod password;
mod whose;

use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_domain::Timestamp;
use tenantry_domain::audit::Category;
use tenantry_domain::code::FieldError;
use tenantry_domain::event::{self, Type};
use tenantry_domain::gateway::{self, address, login};
pub use tenantry_domain::gateway::{Access, Allowed, LoginName, Mode, Proof, Server, Standing, Whose};
use tenantry_domain::limit::Counted;
use tenantry_domain::name::{AppName, EnvironmentName};
use tenantry_domain::page::PageSize;
use tenantry_domain::policy::Permit;
use tenantry_domain::tenant::Slug;
use tenantry_store::{Entry, LoginFilter, LoginRow, NewLogin, Page, StoreError, Verifier, WriteTx};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::governance::{self, About};
use crate::quotas::counted;
use crate::refusal::Refusal;
use crate::tenants::edit::{Expected, Opened, TenantRef, lock_living, open, refuse_store, remember, replayed, require};
use crate::tenants::read::request;

/// A login as its operators see it. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Login {
    /// What clients give as their user.
    pub name: LoginName,
    /// The partition.
    pub environment: EnvironmentName,
    /// What it may.
    pub login: gateway::Login,
    /// The name of the tenant whose login it is; absent for a service's.
    pub slug: Option<Slug>,
    /// Rises with every change; the ETag.
    pub version: i64,
    /// How it stands.
    pub standing: Standing,
    /// Since when it exists.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Its last change.
    pub updated_at: Timestamp,
    /// When it got another password last.
    pub rotated_at: Option<Timestamp>,
    /// Until when the password before is good, too; absent when it is not.
    pub old_until: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

/// A login with its new password.
#[derive(Debug)]
pub struct Issued {
    /// The login.
    pub login: Login,
    /// Its password, here and never again. Absent for tokens, and in the answer to a repetition.
    pub password: Option<SecretString>,
    /// The connection URL; absent where the gateway's address is not configured, and in the answer to a repetition.
    pub url: Option<SecretString>,
}

/// Which login is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its name.
    pub name: LoginName,
    /// Whose it is.
    pub whose: WantedWhose,
    /// How long it keeps a server session.
    pub mode: Mode,
    /// Whether it may write.
    pub access: Access,
    /// Which server of the tenant's cell it is served by.
    pub server: Server,
    /// How it proves itself.
    pub proof: Proof,
    /// The most client connections of it on one gateway.
    pub connections: Option<u32>,
    /// From when on it is refused.
    pub expires: Option<Timestamp>,
}

/// Whose a wanted login is, in the words of its caller.
#[derive(Debug, Clone)]
pub enum WantedWhose {
    /// A tenant's own.
    Tenant(TenantRef),
    /// A service's.
    Service {
        /// Only tenants of this app.
        app: AppName,
        /// Which of them; absent for all.
        only: Option<Vec<TenantRef>>,
    },
}

/// What a rotation is to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct RotateRequest {
    /// For how long the old password stays good; a day when absent.
    pub grace: Option<SignedDuration>,
    /// A new end; the old one stays when absent.
    pub expires: Option<Timestamp>,
}

pub(crate) fn view(row: LoginRow, now: Timestamp) -> Login {
    Login {
        standing: Standing::at(now, row.login.expires, row.revoked_at.is_some()),
        name: row.name,
        environment: row.environment,
        login: row.login,
        slug: row.slug,
        version: row.version,
        created_at: row.created_at,
        created_by: row.created_by,
        updated_at: row.updated_at,
        rotated_at: row.rotated_at,
        old_until: row.verifiers.old.map(|(_, until)| until).filter(|until| *until > now),
        revoked_at: row.revoked_at,
    }
}

/// What the names of logins begin with that emergency access gives. Nobody else makes one, and none is made longer.
pub(crate) const EMERGENCY: &str = "access-";

fn unreserved(name: &LoginName) -> Result<(), Refusal> {
    if name.to_string().starts_with(EMERGENCY) {
        let message =
            format!("names that begin with `{EMERGENCY}` belong to emergency access (`tenantry access request`)");
        return Err(Refusal::Request(vec![FieldError::new("name", message)]));
    }
    Ok(())
}

fn missing(name: &LoginName) -> Refusal {
    Refusal::NoObject { kind: "gateway login".to_owned(), name: name.to_string() }
}

/// One login; a revoked one as well, until its name is used again.
///
/// # Errors
/// There is none.
pub async fn get(cx: &Ctx, deps: &Deps, name: &LoginName) -> Result<Login, Refusal> {
    cx.may("gateway.login.read")?;
    known(cx, deps, name).await.map(|row| view(row, cx.now))
}

/// Which logins to list.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Of this tenant.
    pub tenant: Option<TenantRef>,
    /// Of services of this app.
    pub app: Option<AppName>,
    /// Revoked ones too.
    pub with_revoked: bool,
}

/// A page of logins, by name.
///
/// # Errors
/// There is no such tenant, or the page token is of no use here.
pub async fn list(
    cx: &Ctx,
    deps: &Deps,
    query: &Query,
    size: PageSize,
    token: Option<&str>,
) -> Result<Page<Login>, Refusal> {
    cx.may("gateway.login.read")?;
    let tenant = match &query.tenant {
        Some(tenant) => Some(require(cx, deps, tenant).await?.id),
        None => {
            cx.permit_environment("gateway.login.read")?;
            None
        }
    };
    let filter = LoginFilter { tenant, app: query.app.clone(), with_revoked: query.with_revoked };
    let principal = cx.actor.to_string();
    let reader = deps.store().read(&cx.environment);
    let page = reader.logins(&filter, &request(cx, &principal, size, token)).await.map_err(refuse_store)?;
    Ok(Page { items: page.items.into_iter().map(|row| view(row, cx.now)).collect(), next: page.next })
}

/// Makes a login. Its password stands in the answer and nowhere else; a repetition gets the answer without it.
///
/// # Errors
/// The name is taken, what it names does not exist, or its parts do not go together.
pub async fn create(cx: &Ctx, deps: &Deps, wanted: Wanted) -> Result<Issued, Refusal> {
    unreserved(&wanted.name)?;
    let (whose, tenant) = whose::settle(cx, deps, &wanted.whose).await?;
    let permit = permit(cx, "gateway.login.create", &whose)?;
    let login = gateway::Login {
        whose,
        mode: wanted.mode,
        access: wanted.access,
        server: wanted.server,
        proof: wanted.proof,
        connections: wanted.connections,
        expires: wanted.expires,
    };
    let level = tenant.as_ref().and_then(|row| row.placement.as_ref()).map(|place| place.isolation);
    let wrong = login.check(cx.now, level);
    if !wrong.is_empty() {
        return Err(Refusal::Request(wrong));
    }
    // Before the transaction: hashing takes longer than all of it.
    let password = match wanted.proof {
        Proof::Password => Some(password::make()?),
        Proof::Token => None,
    };
    let verifier = password.as_ref().map(Verifier::of);
    let mut tx = match open(cx, deps, &permit).await? {
        Opened::Replay(answer) => return repeated(answer),
        Opened::Fresh(tx) => tx,
    };
    if let Whose::Tenant(id) = login.whose {
        lock_living(&mut tx, id).await?;
    }
    let row = tx.logins().create(&NewLogin { name: wanted.name, login, verifier }).await.map_err(refuse_store)?;
    let done = Done { kind: Type::GatewayLoginCreated, password, grown: 1 };
    finish(cx, deps, &permit, tx, row, done).await
}

/// Gives a login another password. The old one stays good for the grace, so that clients change over one by one, and never
/// longer than it was to live anyway.
///
/// # Errors
/// There is no such login, it is revoked, has no password, or another version than expected; or it is to live longer, and
/// the caller could not make one.
pub async fn rotate(
    cx: &Ctx,
    deps: &Deps,
    name: &LoginName,
    expected: Expected,
    wanted: RotateRequest,
) -> Result<Issued, Refusal> {
    unreserved(name)?;
    let wrong = login::check_expiry(wanted.expires, cx.now);
    let old_until = login::old_until(cx.now, wanted.grace);
    let (None, Ok(old_until)) = (&wrong, &old_until) else {
        return Err(Refusal::Request(wrong.into_iter().chain(old_until.err()).collect()));
    };
    let found = known(cx, deps, name).await?;
    let permit = permit(cx, "gateway.login.rotate", &found.login.whose)?;
    let password = password::make()?;
    let mut tx = match open(cx, deps, &permit).await? {
        Opened::Replay(answer) => return repeated(answer),
        Opened::Fresh(tx) => tx,
    };
    let row = lock(&mut tx, &found).await?;
    expected.check(row.version)?;
    if row.revoked_at.is_some() {
        return Err(Refusal::LoginRevoked(name.to_string()));
    }
    if row.login.proof == Proof::Token {
        let message = "proves itself by an access token and has no password";
        return Err(Refusal::Request(vec![FieldError::new("name", message)]));
    }
    if login::prolongs(wanted.expires, row.login.expires) {
        // Whoever made it said when it ends; a longer life is as good as another login.
        let longer = self::permit(cx, "gateway.login.create", &row.login.whose)?;
        governance::rule(cx, deps, &longer, &mut tx, About::default()).await?;
    }
    let expires = wanted.expires.or(row.login.expires);
    let old_until = login::within_life(*old_until, row.login.expires);
    let verifier = match &row.verifiers.current {
        Some(old) if old_until > cx.now => Verifier::beside(&password, old),
        _ => Verifier::of(&password),
    };
    // One whose time was over counted no more.
    let grown = u64::from(row.login.expires.is_some_and(|end| end <= cx.now));
    let row = tx.logins().rotate(&row, &verifier, old_until, expires).await.map_err(refuse_store)?;
    let done = Done { kind: Type::GatewayLoginRotated, password: Some(password), grown };
    finish(cx, deps, &permit, tx, row, done).await
}

/// Takes a login back: gateways refuse it from then on and end its sessions. One that is revoked already stays so.
///
/// # Errors
/// There is no such login, or it has another version than expected.
pub async fn revoke(cx: &Ctx, deps: &Deps, name: &LoginName, expected: Expected) -> Result<Login, Refusal> {
    let found = known(cx, deps, name).await?;
    let permit = permit(cx, "gateway.login.revoke", &found.login.whose)?;
    let mut tx = match open(cx, deps, &permit).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let row = lock(&mut tx, &found).await?;
    expected.check(row.version)?;
    if row.revoked_at.is_some() {
        tx.rollback().await;
        return Ok(view(row, cx.now));
    }
    let row = tx.logins().revoke(&row).await.map_err(refuse_store)?;
    let done = Done { kind: Type::GatewayLoginRevoked, password: None, grown: 0 };
    Ok(finish(cx, deps, &permit, tx, row, done).await?.login)
}

fn permit(cx: &Ctx, action: &'static str, whose: &Whose) -> Result<Permit, Refusal> {
    Ok(match whose {
        Whose::Tenant(tenant) => cx.permit(action, *tenant)?,
        Whose::Service { .. } => cx.permit_environment(action)?,
    })
}

async fn known(cx: &Ctx, deps: &Deps, name: &LoginName) -> Result<LoginRow, Refusal> {
    let row = deps.store().read(&cx.environment).login(name).await.map_err(refuse_store)?;
    let is_seen = |row: &LoginRow| match &row.login.whose {
        Whose::Tenant(tenant) => cx.sees(*tenant),
        Whose::Service { .. } => cx.rights.tenant.is_none(),
    };
    row.filter(is_seen).ok_or_else(|| missing(name))
}

/// Locks the tenant, then the login, as a deletion of the tenant does.
async fn lock(tx: &mut WriteTx, found: &LoginRow) -> Result<LoginRow, Refusal> {
    if let Whose::Tenant(id) = found.login.whose {
        match tx.tenants().lock(id).await {
            Ok(_) | Err(StoreError::NotFound) => {}
            Err(error) => return Err(refuse_store(error)),
        }
    }
    let row = tx.logins().lock(&found.name).await.map_err(refuse_store)?;
    let row = row.ok_or_else(|| missing(&found.name))?;
    // Somebody made another login of this name between the look and the lock: its chain is another one.
    if row.login.whose != found.login.whose {
        return Err(Refusal::Stale { current: row.version });
    }
    Ok(row)
}

fn repeated(answer: serde_json::Value) -> Result<Issued, Refusal> {
    Ok(Issued { login: replayed(answer)?, password: None, url: None })
}

/// What was done to a login.
struct Done {
    /// What is told of it.
    kind: Type,
    /// Its new password.
    password: Option<SecretString>,
    /// How many logins there are more than before.
    grown: u64,
}

/// Counts and records a change, and makes it last.
async fn finish(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    tx: WriteTx,
    row: LoginRow,
    Done { kind, password, grown }: Done,
) -> Result<Issued, Refusal> {
    let (whose, old) = (row.login.whose.clone(), row.verifiers.old.as_ref().map(|(_, until)| *until));
    let (mut tx, counted) = match whose {
        Whose::Tenant(tenant) => counted::close(cx, deps, permit, tx, tenant, (Counted::Logins, grown)).await?,
        Whose::Service { .. } => (tx, Vec::new()),
    };
    let login = view(row, cx.now);
    remember(cx, &mut tx, &login, None);
    let mut audit = cx.audit(permit, Category::Access, format!("gateway-login/{}", login.name));
    let terms = &login.login;
    let (app, tenants) = match &whose {
        Whose::Tenant(_) => (None, None),
        Whose::Service { app, tenants: Allowed::All } => (Some(app), None),
        Whose::Service { app, tenants: Allowed::These(tenants) } => (Some(app), Some(tenants.len())),
    };
    let data = json!({
        "login": login.name, "slug": login.slug, "app": app, "tenants": tenants, "mode": terms.mode, "access": terms.access, "server": terms.server,
        "proof": terms.proof, "expiresAt": terms.expires, "oldPasswordUntil": old,
    });
    audit.changes = data.clone();
    let events = std::iter::once(event::Draft::new(kind, data)).chain(counted).collect();
    let entry = match whose {
        Whose::Tenant(tenant) => Entry::tenant(tenant, audit, events),
        Whose::Service { .. } => Entry::environment(audit, events),
    };
    tx.commit(vec![entry]).await.map_err(refuse_store)?;
    deps.nudge();
    let url = (kind != Type::GatewayLoginRevoked).then(|| url(deps, &login, password.as_ref())).flatten();
    Ok(Issued { login, password, url })
}

/// The connection URL, where the gateway's address is known.
pub(crate) fn url(deps: &Deps, login: &Login, password: Option<&SecretString>) -> Option<SecretString> {
    let address = deps.options().gateway.as_ref()?;
    let database = login.slug.as_ref().map_or(address::TENANT, Slug::as_str);
    let password = password.map(SecretString::expose_secret);
    Some(SecretString::from(address.url(&login.name, password, database)))
}
