//! Emergency access.

use secrecy::{ExposeSecret as _, SecretString};
use tenantry_api::v1::access::{AccessRequest, OpenedAccess};
use tenantry_control::access;

/// One request.
#[must_use]
pub fn request(view: access::AccessGrant) -> AccessRequest {
    let (reviewer, review) = view.review.unzip();
    let (approved_at, ends_at) = view.span.unzip();
    AccessRequest {
        id: view.id.to_string(),
        tenant: view.tenant.to_string(),
        status: view.standing.as_str().to_owned(),
        requested_by: view.requested_by,
        person: view.person,
        reason: view.reason,
        ticket: view.ticket,
        access: view.access.to_string(),
        minutes: view.minutes,
        requested_at: view.requested_at,
        lapses_at: view.lapses_at,
        approver: view.approver,
        approved_at,
        ends_at,
        ended_at: view.ended_at,
        login: view.login.map(|login| login.to_string()),
        reviewer,
        review,
        is_review_overdue: view.is_review_overdue,
    }
}

/// Access with its password, on its only way out.
#[must_use]
pub fn opened(opened: access::OpenedAccess) -> OpenedAccess {
    let shown = |secret: SecretString| secret.expose_secret().to_owned();
    OpenedAccess { request: request(opened.grant), password: opened.password.map(shown), url: opened.url.map(shown) }
}
