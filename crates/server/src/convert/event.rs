//! Events in the CloudEvents envelope, and findings.

use tenantry_api::v1::event::{Drift, Event, Finding};
use tenantry_api::v1::payload;
use tenantry_control::EventRow;
use tenantry_control::webhooks::payload::origin;

/// An event.
#[must_use]
pub fn event(row: EventRow) -> Event {
    let (source, subject) = origin(&row.environment, row.subject);
    Event {
        specversion: "1.0".to_owned(),
        id: row.id.to_string(),
        kind: row.kind.as_str().to_owned(),
        source,
        subject: Some(subject),
        time: row.at,
        datacontenttype: "application/json".to_owned(),
        tenantryenvironment: row.environment.to_string(),
        tenantryid: row.subject.tenant().map(|id| id.to_string()),
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
