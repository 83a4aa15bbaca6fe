//! What follows a mutation of one tenant: wait for its operation, then show the tenant as it is.

use serde_json::json;
use tenantry_api::client::{Answer, Expected};
use tenantry_api::v1::tenant::Tenant;

use super::follow;
use crate::exit::Result;
use crate::globals::Session;
use crate::output::{Output, clean};

/// The version to build a change on: the one that is current now, or any with `--force`.
///
/// # Errors
/// There is no such tenant.
pub async fn expected(session: &Session, tenant: &str, force: bool) -> Result<Expected> {
    if force {
        return Ok(Expected::Any);
    }
    let answer = session.client.tenant(tenant).await?;
    Ok(Expected::Version(answer.version.unwrap_or(answer.value.status.version)))
}

/// Follows what an answer started, if that is wanted, and prints the result.
///
/// # Errors
/// The operation did not succeed.
pub async fn settle(session: &Session, answer: Answer<Tenant>) -> Result<()> {
    let Answer { value: tenant, operation, receipt, correlation_id, .. } = answer;
    let Some(operation) = operation else {
        return show(session.output, &json!({ "tenant": tenant, "operation": null, "receipt": receipt }), || {
            format!("{}; nothing to do", sentence(&tenant))
        });
    };
    if !session.wait {
        session.output.note(&format!("follow it with `tenantry operations watch {operation}`"));
        return show(session.output, &json!({ "tenant": tenant, "operation": operation, "receipt": receipt }), || {
            format!("tenant {} accepted as version {}, operation {operation}", name(&tenant), tenant.status.version)
        });
    }
    let ended = follow::follow(session, &operation).await.map_err(|failure| failure.correlation(correlation_id))?;
    // By id: a name may be given on, and a deleted tenant is found by its id only.
    let tenant = session.client.tenant(&tenant.status.id).await?.value;
    show(session.output, &json!({ "tenant": tenant, "operation": ended, "receipt": receipt }), || sentence(&tenant))
}

fn show(output: Output, document: &serde_json::Value, text: impl FnOnce() -> String) -> Result<()> {
    if output.format().is_document() { output.document(document) } else { output.line(&text()) }
}

fn name(tenant: &Tenant) -> String {
    clean(&tenant.metadata.name)
}

/// Where the tenant is, in one line.
fn sentence(tenant: &Tenant) -> String {
    let status = &tenant.status;
    let place = status
        .placement
        .as_ref()
        .filter(|_| status.state != "deleted")
        .map(|placement| format!(", {} in {}", placement.isolation, placement.cell));
    let waiting = status
        .deletion
        .as_ref()
        .filter(|_| status.state != "deleted")
        .map(|deletion| format!(", to be deleted at {}", super::times::moment(deletion.not_before)));
    let (place, waiting) = (place.unwrap_or_default(), waiting.unwrap_or_default());
    clean(&format!("tenant {} is {} (version {}{place}{waiting})", name(tenant), status.state, status.version))
}
