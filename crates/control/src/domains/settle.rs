//! Writes down what a look at a domain's record gave, and tells the news.

use serde_json::json;
use tenantry_domain::access::domain::{Answer, Standing, judge, pause};
use tenantry_domain::audit::Category;
use tenantry_domain::event::{Draft, Type};
use tenantry_domain::policy::Permit;
use tenantry_store::{DomainRow, Entry};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::governance::{self, About};
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;

/// Writes what a look at `wish` gave. Nothing is written for a wish that has changed since: its next look tells.
pub(crate) async fn settle(
    cx: &Ctx,
    permit: &Permit,
    deps: &Deps,
    wish: &DomainRow,
    answer: Answer,
) -> Result<(), Refusal> {
    let now = deps.now();
    let quiet = judge(&wish.proof, answer, false, now);
    // What somebody else has can still turn out to be free, which is decided under its lock.
    if quiet.standing == wish.proof.standing && judge(&wish.proof, answer, true, now) == quiet {
        deps.store().domain_note(wish, &quiet, now, pause(&quiet, now)).await.map_err(refuse_store)?;
        return Ok(());
    }
    let mut tx = deps.store().write(permit, now).await.map_err(refuse_store)?;
    let tenant = tx.tenants().lock(wish.tenant).await.map_err(refuse_store)?;
    if !permit.is_ours() {
        governance::rule(cx, deps, permit, &mut tx, About::default()).await?;
    }
    let row = tx.domains().lock(wish.tenant, &wish.domain).await.map_err(refuse_store)?;
    let Some(row) = row.filter(|row| row.challenge == wish.challenge && row.proof == wish.proof) else {
        tx.rollback().await;
        return Ok(());
    };
    let is_free = tx.domains().is_free(&row.domain).await.map_err(refuse_store)?;
    let proof = judge(&row.proof, answer, is_free, now);
    if proof.standing == row.proof.standing {
        tx.rollback().await;
        deps.store().domain_note(&row, &proof, now, pause(&proof, now)).await.map_err(refuse_store)?;
        return Ok(());
    }
    tx.domains().put(&row, &proof, pause(&proof, now)).await.map_err(refuse_store)?;
    let mut audit = cx.audit(permit, Category::Transition, format!("tenant/{}", tenant.slug));
    audit.changes = json!({
        "domain": row.domain, "from": row.proof.standing.as_str(), "to": proof.standing.as_str(),
        "problem": proof.problem.map(|problem| problem.as_str()),
    });
    let kind = if proof.standing == Standing::Verified { Type::DomainVerified } else { Type::DomainLost };
    let data = json!({ "slug": tenant.slug, "domain": row.domain });
    tx.commit(vec![Entry::tenant(row.tenant, audit, vec![Draft::new(kind, data)])]).await.map_err(refuse_store)?;
    deps.nudge();
    if proof.standing == Standing::Lost {
        tracing::warn!(tenant = %tenant.slug, domain = row.domain, "the proof of a domain is gone; it names nobody");
    }
    Ok(())
}
