//! The audit as its readers get it, and its verification.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry_domain::audit::{Category, Outcome, Tampering};
use tenantry_domain::id::TenantId;
use tenantry_domain::page::PageSize;
use tenantry_domain::policy::{self, Scope};
use tenantry_store::{AuditFilter, AuditRow, Entry, Page, Subject};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, require};
use crate::tenants::read::request;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditReport {
    /// Whether nothing is wrong.
    pub is_intact: bool,
    /// Chains looked at.
    pub subjects: u64,
    /// Entries looked at.
    pub entries: u64,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// Everything that is wrong.
    pub findings: Vec<AuditFinding>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditFinding {
    /// The tenant; absent for the environment's own chain.
    pub tenant: Option<TenantId>,
    /// Its readable name, when its record still exists.
    pub slug: Option<String>,
    /// What is wrong, for machines.
    pub tampering: Tampering,
    /// What is wrong, for people.
    pub message: String,
}

/// A call that had no effect, as the audit remembers it: which one and why not, but no value that it carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What was tried, as the entry of a success would name it.
    pub action: &'static str,
    /// On what, `tenant/acme`.
    pub target: String,
    /// The tenant, if it is one; the entry joins its chain if there is such a tenant and the caller sees it.
    pub tenant: Option<TenantRef>,
    /// Whether access was refused; else the call was wrong or failed.
    pub is_denied: bool,
    /// The problem's code.
    pub code: String,
    /// The fields at fault.
    pub fields: Vec<String>,
}

/// Records an attempt in a transaction of its own: the call's is gone by then.
///
/// INVARIANT: no chain gets an entry of somebody who has no business with it. What a customer's key tried is told to that
/// customer alone, whatever it aimed at, and what somebody without any role tried to the environment.
///
/// # Errors
/// Our database does not answer.
pub async fn record(cx: &Ctx, deps: &Deps, attempt: Attempt) -> Result<(), Refusal> {
    let permit = policy::controller("audit.record", Scope::environment(cx.environment.clone()));
    let aimed = attempt.tenant.filter(|_| !cx.rights.roles.is_empty());
    let tenant = match cx.rights.tenant.map(TenantRef::Id).or(aimed) {
        Some(tenant) => deps.store().read(&cx.environment).tenant(tenant.key()).await.map_err(refuse_store)?,
        None => None,
    };
    let mut draft = cx.audit(&permit, Category::Refusal, attempt.target);
    attempt.action.clone_into(&mut draft.action);
    draft.outcome = if attempt.is_denied { Outcome::Denied } else { Outcome::Failed };
    draft.changes = json!({ "code": attempt.code, "fields": attempt.fields });
    let entry = match tenant {
        Some(row) => Entry::tenant(row.id, draft, Vec::new()),
        None => Entry::environment(draft, Vec::new()),
    };
    let tx = deps.store().write(&permit, cx.now).await.map_err(refuse_store)?;
    tx.commit(vec![entry]).await.map(|_| ()).map_err(refuse_store)
}

/// A page of entries, newest first.
///
/// # Errors
/// The page token is of no use here.
pub async fn list(
    cx: &Ctx,
    deps: &Deps,
    filter: &AuditFilter,
    size: PageSize,
    token: Option<&str>,
) -> Result<Page<AuditRow>, Refusal> {
    match filter.subject {
        Some(Subject::Tenant(tenant)) => cx.permit("audit.read", tenant)?,
        Some(Subject::Environment) | None => cx.permit_environment("audit.read")?,
    };
    let principal = cx.actor.to_string();
    let reader = deps.store().read(&cx.environment);
    reader.audit(filter, &request(cx, &principal, size, token)).await.map_err(refuse_store)
}

/// The entries of one chain in order, for export and offline verification.
///
/// # Errors
/// There is no such tenant.
pub async fn chain(
    cx: &Ctx,
    deps: &Deps,
    tenant: Option<&TenantRef>,
    from: i64,
    limit: u32,
) -> Result<Vec<AuditRow>, Refusal> {
    cx.may("audit.read")?;
    let subject = subject(cx, deps, tenant).await?;
    if subject == Subject::Environment {
        cx.permit_environment("audit.read")?;
    }
    deps.store().read(&cx.environment).audit_chain(subject, from, limit).await.map_err(refuse_store)
}

async fn subject(cx: &Ctx, deps: &Deps, tenant: Option<&TenantRef>) -> Result<Subject, Refusal> {
    Ok(match tenant {
        Some(tenant) => Subject::Tenant(require(cx, deps, tenant).await?.id),
        None => Subject::Environment,
    })
}

/// Verifies one tenant's chain, or every chain of the environment.
///
/// # Errors
/// There is no such tenant. Tampering is no error but the answer.
pub async fn verify(cx: &Ctx, deps: &Deps, tenant: Option<&TenantRef>) -> Result<AuditReport, Refusal> {
    cx.permit_environment("audit.verify")?;
    let wanted = match tenant {
        Some(_) => Some(subject(cx, deps, tenant).await?),
        None => None,
    };
    let began = std::time::Instant::now();
    let found = deps.store().verify_audit(Some(&cx.environment), wanted).await.map_err(refuse_store)?;
    let ids: Vec<TenantId> = found.findings.iter().filter_map(|finding| finding.subject.tenant()).collect();
    let rows = deps.store().read(&cx.environment).tenants_by_id(&ids).await.map_err(refuse_store)?;
    let slug = |id: TenantId| rows.iter().find(|row| row.id == id).map(|row| row.slug.to_string());
    let findings: Vec<AuditFinding> = found
        .findings
        .into_iter()
        .map(|finding| AuditFinding {
            tenant: finding.subject.tenant(),
            slug: finding.subject.tenant().and_then(slug),
            message: finding.tampering.to_string(),
            tampering: finding.tampering,
        })
        .collect();
    if !findings.is_empty() {
        tracing::error!(environment = %cx.environment, findings = findings.len(), "the audit does not verify");
    }
    Ok(AuditReport {
        is_intact: findings.is_empty(),
        subjects: found.subjects,
        entries: found.entries,
        millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        findings,
    })
}
