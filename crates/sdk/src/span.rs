//! Spans of requests and jobs, with the fields by which telemetry is told apart: `tenant.id`, `tenant.slug`,
//! `tenant.cell`, `tenant.isolation`, `tenant.generation`.

use tracing::{Span, field};

use crate::tenant::Tenant;

/// The span of a request. `parent` is the caller's `traceparent` (W3C), if it sent one.
#[must_use]
pub fn request(tenant: &Tenant, method: &str, parent: Option<&str>) -> Span {
    let span = tracing::info_span!(
        "tenant.request",
        otel.kind = "server",
        http.request.method = method,
        trace.parent = parent,
        tenant.id = field::Empty,
        tenant.slug = field::Empty,
        tenant.cell = field::Empty,
        tenant.isolation = field::Empty,
        tenant.generation = field::Empty,
    );
    tag(&span, tenant);
    span
}

/// The span of a job. `link` is the `traceparent` of the request that enqueued it.
#[must_use]
pub fn job(tenant: &Tenant, link: Option<&str>) -> Span {
    let span = tracing::info_span!(
        "tenant.job",
        otel.kind = "consumer",
        trace.link = link,
        tenant.id = field::Empty,
        tenant.slug = field::Empty,
        tenant.cell = field::Empty,
        tenant.isolation = field::Empty,
        tenant.generation = field::Empty,
    );
    tag(&span, tenant);
    span
}

fn tag(span: &Span, tenant: &Tenant) {
    span.record("tenant.id", field::display(tenant.id()));
    span.record("tenant.slug", tenant.slug());
    span.record("tenant.cell", tenant.cell());
    span.record("tenant.isolation", tenant.isolation().map(|level| level.as_str()));
    span.record("tenant.generation", tenant.generation());
}
