//! Domains of tenants' own.

use tenantry_api::v1::domain::{Domain, DomainProblem, DomainRecord};
use tenantry_control::domains::DomainView;

/// One domain.
#[must_use]
pub fn domain(view: DomainView) -> Domain {
    Domain {
        domain: view.domain,
        status: view.standing.to_string(),
        since: view.since,
        record: DomainRecord { kind: "TXT".to_owned(), name: view.record_name, value: view.record_value },
        looked_at: view.looked_at,
        next_look_at: view.next_look_at,
        missing_since: view.missing_since,
        problem: view
            .problem
            .map(|problem| DomainProblem { reason: problem.to_string(), message: problem.text().to_owned() }),
    }
}
