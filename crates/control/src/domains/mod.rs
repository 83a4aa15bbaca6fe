//! Domains of tenants' own: the manifest wishes, a TXT record proves, the host then names the tenant.
//!
//! [`dns`] asks for the record, [`tenantry_domain::access::domain`] decides what the answer means, [`settle`] writes it.
//! INVARIANT: a standing changes with an audit entry of the tenant, so that routes in memory hear of it; nothing of another
//! tenant's wish or proof is told to anybody but the one who holds the record of the domain.

pub mod dns;
mod settle;

use tenantry_domain::Timestamp;
use tenantry_domain::access::domain::{self, Problem, Standing};
use tenantry_domain::code::FieldError;
use tenantry_store::DomainRow;
use tokio::sync::Semaphore;

pub use dns::DnsOptions;
pub(crate) use settle::settle;

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, require};

/// Looks that one process does at a time because somebody asked for them.
static LOOKS: Semaphore = Semaphore::const_new(4);

/// A domain as its tenant's operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainView {
    /// The domain.
    pub domain: String,
    /// Whether it names the tenant.
    pub standing: Standing,
    /// Since when.
    pub since: Timestamp,
    /// The name of the TXT record to set.
    pub record_name: String,
    /// Its value.
    pub record_value: String,
    /// When it was looked for last.
    pub looked_at: Option<Timestamp>,
    /// When the next look is due.
    pub next_look_at: Timestamp,
    /// Why it is not proven, or may lose its proof.
    pub problem: Option<Problem>,
    /// Since when the record of a verified domain is missing.
    pub missing_since: Option<Timestamp>,
}

impl DomainView {
    fn of(row: DomainRow) -> Self {
        Self {
            record_name: domain::record_name(&row.domain),
            domain: row.domain,
            standing: row.proof.standing,
            since: row.proof.since,
            record_value: row.challenge,
            looked_at: row.looked_at,
            next_look_at: row.next_look_at,
            problem: row.proof.problem,
            missing_since: row.proof.missing_since,
        }
    }
}

/// Refuses new domains that belong to the installation. Old ones stay: they name nobody, and must not stand in the way of
/// other changes.
///
/// # Errors
/// The fields with such domains.
pub(crate) fn check(deps: &Deps, old: &[String], new: &[String]) -> Result<(), Refusal> {
    let bases = &deps.options().base_domains;
    let wrong = new.iter().enumerate().filter(|(_, name)| !old.contains(name)).filter_map(|(place, name)| {
        let base = domain::reserved(name, bases)?;
        let message = format!("`{name}` belongs to this installation: its base domain `{base}` gives names by slug");
        Some(FieldError::new(format!("spec.domains[{place}]"), message))
    });
    let wrong: Vec<FieldError> = wrong.collect();
    if wrong.is_empty() { Ok(()) } else { Err(Refusal::Fields(wrong)) }
}

/// A tenant's domains, by name.
///
/// # Errors
/// There is no such tenant.
pub async fn list(cx: &Ctx, deps: &Deps, tenant: &TenantRef) -> Result<Vec<DomainView>, Refusal> {
    let row = require(cx, deps, tenant).await?;
    cx.permit("domain.read", row.id)?;
    let rows = deps.store().read(&cx.environment).domains(row.id).await.map_err(refuse_store)?;
    Ok(rows.into_iter().map(DomainView::of).collect())
}

/// Looks for a domain's record at once, and gives how it stands then.
///
/// # Errors
/// There is no such tenant, or it does not want this domain.
pub async fn verify(cx: &Ctx, deps: &Deps, tenant: &TenantRef, name: &str) -> Result<DomainView, Refusal> {
    let row = require(cx, deps, tenant).await?;
    let permit = cx.permit("domain.verify", row.id)?;
    let reader = deps.store().read(&cx.environment);
    let find = async || {
        let rows = reader.domains(row.id).await.map_err(refuse_store)?;
        let found = rows.into_iter().find(|row| row.domain == name);
        // What is repeated to the caller is bounded.
        let absent = || Refusal::NoObject { kind: "domain".to_owned(), name: name.chars().take(domain::MAX).collect() };
        found.ok_or_else(absent)
    };
    // Waits for its turn: looks that people ask for must not add up to a load of their own.
    let turn = LOOKS.acquire().await.ok();
    let wish = find().await?;
    let answer = dns::ask(deps, &wish).await;
    drop(turn);
    settle(cx, &permit, deps, &wish, answer).await?;
    find().await.map(DomainView::of)
}
