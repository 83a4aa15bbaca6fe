//! Events in the CloudEvents envelope, and findings.

use tenantry_api::v1::event::{Drift, Event, Finding};
use tenantry_api::v1::payload;
use tenantry_control::EventRow;

/// An event.
#[must_use]
pub fn event(row: EventRow) -> Event {
    let environment = row.environment.to_string();
    let tenant = row.subject.tenant().map(|id| id.to_string());
    // As webhooks and streams have it (`tenantry_control::webhooks::payload`): CloudEvents tells events apart by source and id.
    let source = match &tenant {
        Some(tenant) => format!("/environments/{environment}/tenants/{tenant}"),
        None => format!("/environments/{environment}"),
    };
    Event {
        specversion: "1.0".to_owned(),
        id: row.id.to_string(),
        kind: row.kind.as_str().to_owned(),
        source,
        subject: Some(tenant.clone().unwrap_or_else(|| environment.clone())),
        time: row.at,
        datacontenttype: "application/json".to_owned(),
        tenantryenvironment: environment,
        tenantryid: tenant,
        sequence: row.sequence,
        version: row.version,
        correlationid: Some(row.correlation_id).filter(|id| !id.is_empty()),
        causationid: Some(row.causation_id).filter(|id| !id.is_empty()),
        payloadversion: payload::version(),
        data: row.data,
    }
}

/// What deviates.
#[must_use]
pub fn drift(findings: Vec<tenantry_control::Finding>) -> Drift {
    let finding = |finding: tenantry_control::Finding| Finding {
        kind: finding.kind.as_str().to_owned(),
        object: finding.object,
        repairable: finding.repairable,
        detail: finding.detail,
    };
    Drift { findings: findings.into_iter().map(finding).collect() }
}
