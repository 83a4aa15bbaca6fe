//! Credentials for applications: password and seal key of one database.
//!
//! Nobody stores them; they are computed from the root key each time. Who holds one can enter every tenant of that
//! login, as the application must; every issue is in the audit.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use secrecy::SecretString;
use serde_json::json;
use tenantry_dataplane::Space;
use tenantry_domain::audit::Category;
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName};
use tenantry_domain::workflow::Cause;
use tenantry_store::{Entry, TenantKey};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::governance::{self, About};
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;
use crate::timing;
use crate::workflows::site;

/// Which credential: `cell/main/app/chat` for the login that the shared tenants of an app have together,
/// `cell/main/tenant/ten_…` for a login of a tenant's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretRef {
    cell: CellName,
    whose: Whose,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whose {
    App(AppName),
    Tenant(TenantId),
}

impl SecretRef {
    /// The one that belongs to a place.
    pub(crate) fn of(cell: &CellName, space: &Space) -> Self {
        let whose = if space.isolation.has_own_role() {
            Whose::Tenant(space.tenant)
        } else {
            Whose::App(space.app.app.clone())
        };
        Self { cell: cell.clone(), whose }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.whose {
            Whose::App(app) => write!(f, "cell/{}/app/{app}", self.cell),
            Whose::Tenant(tenant) => write!(f, "cell/{}/tenant/{tenant}", self.cell),
        }
    }
}

impl FromStr for SecretRef {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let read = || {
            let mut parts = text.strip_prefix("cell/")?.split('/');
            let (cell, kind, name) = (parts.next()?, parts.next()?, parts.next()?);
            let whose = match kind {
                "app" => Whose::App(AppName::parse(name).ok()?),
                "tenant" => Whose::Tenant(name.parse().ok()?),
                _ => return None,
            };
            parts.next().is_none().then_some(Self { cell: CellName::parse(cell).ok()?, whose })
        };
        // What is repeated to the caller is bounded.
        read().ok_or_else(|| Refusal::SecretRef(text.chars().take(120).collect()))
    }
}

/// What is needed to enter tenants of one login.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The login.
    pub role: String,
    /// Its password.
    pub password: SecretString,
    /// Under which number the database knows the seal's key.
    pub kid: i32,
    /// The seal's key.
    pub key: Zeroizing<[u8; 32]>,
}

/// Issues a credential, once that is in the audit.
///
/// # Errors
/// The reference leads nowhere, or our database or the cell does not answer.
pub async fn issue(cx: &Ctx, deps: &Deps, reference: &SecretRef) -> Result<Credential, Refusal> {
    let permit = match &reference.whose {
        Whose::App(_) => cx.permit_environment("credential.issue")?,
        Whose::Tenant(tenant) => cx.permit("credential.issue", *tenant)?,
    };
    let space = space(cx, deps, reference).await?;
    let cell = site::cell(deps, &cx.environment, &reference.cell).await.map_err(|cause| lost(reference, &cause))?;
    let found = cell.credential(&space).map_err(|_| Refusal::SecretRef(reference.to_string()))?;
    let mut draft = cx.audit(&permit, Category::Access, reference.to_string());
    draft.changes = json!({ "role": found.role });
    let entry = match &reference.whose {
        Whose::App(_) => Entry::environment(draft, Vec::new()),
        Whose::Tenant(tenant) => Entry::tenant(*tenant, draft, Vec::new()),
    };
    if timing::standing(deps).await == timing::Standing::Apart {
        return Err(Refusal::ClockApart);
    }
    let mut tx = deps.store().write(&permit, cx.now).await.map_err(refuse_store)?;
    governance::rule(cx, deps, &permit, &mut tx, About::default()).await?;
    tx.commit(vec![entry]).await.map_err(refuse_store)?;
    Ok(Credential { role: found.role, password: found.password, kid: found.seal.kid(), key: found.seal.secret() })
}

/// The place whose login it is, as far as login and key depend on it.
async fn space(cx: &Ctx, deps: &Deps, reference: &SecretRef) -> Result<Space, Refusal> {
    let nowhere = || Refusal::SecretRef(reference.to_string());
    let lost = |cause: Cause| lost(reference, &cause);
    match &reference.whose {
        Whose::App(app) => {
            let app = site::app(deps.store(), &cx.environment, app, &reference.cell, None).await.map_err(lost)?;
            let tenant = TenantId::from_uuid(Uuid::nil());
            Ok(Space { tenant, app: Arc::clone(&app), isolation: Isolation::Shared, epoch: 1, connections: None })
        }
        Whose::Tenant(tenant) => {
            let row = deps.store().read(&cx.environment).tenant(TenantKey::Id(*tenant)).await.map_err(refuse_store)?;
            let row = row.ok_or_else(nowhere)?;
            let place = row.placement.as_ref().filter(|place| place.cell == reference.cell).ok_or_else(nowhere)?;
            if !place.isolation.has_own_role() {
                return Err(nowhere());
            }
            site::space(deps.store(), &row, place, cx.now).await.map_err(lost)
        }
    }
}

/// What could not be read may still be there.
fn lost(reference: &SecretRef, cause: &Cause) -> Refusal {
    match cause.retryable {
        true => Refusal::Cell(reference.cell.to_string()),
        false => Refusal::SecretRef(reference.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_as_it_is_written() {
        for text in ["cell/main/app/chat", "cell/eu-1/tenant/ten_01m7zehp42e4ybzc7kwq5tkkzd"] {
            assert_eq!(text.parse::<SecretRef>().unwrap().to_string(), text);
        }
        let wrong = ["", "cell/main", "cell/main/app", "cell/main/app/chat/x", "cell/main/role/x", "cell/../app/chat"];
        for text in wrong.into_iter().chain(["cell/main/tenant/acme", "app/chat", "cell/main/app/Chat;DROP"]) {
            assert!(text.parse::<SecretRef>().is_err(), "{text}");
        }
    }
}
