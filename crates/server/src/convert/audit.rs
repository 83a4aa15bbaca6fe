//! Audit entries and findings.

use std::fmt::Write as _;

use tenantry_api::v1::audit::{AuditEntry, AuditFinding, AuditReport};
use tenantry_control::{AuditRow, audit};

use super::{value, word};

/// An entry with its hash.
#[must_use]
pub fn entry(row: AuditRow) -> AuditEntry {
    let hash = row.hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    let (entry, draft) = (row.entry.clone(), row.entry.draft);
    AuditEntry {
        seq: row.seq,
        at: entry.at,
        environment: entry.environment.to_string(),
        tenant: entry.tenant.map(|id| id.to_string()),
        action: draft.action,
        category: word(&draft.category),
        outcome: word(&draft.outcome),
        actor: draft.actor.to_string(),
        target: draft.target,
        version: draft.version,
        reason: draft.reason,
        request_id: draft.request_id,
        correlation_id: draft.correlation_id,
        policy: draft.policy,
        changes: draft.changes,
        hash,
    }
}

/// What a verification found.
#[must_use]
pub fn report(report: audit::AuditReport) -> AuditReport {
    let finding = |finding: audit::AuditFinding| AuditFinding {
        tenant: finding.tenant.map(|id| id.to_string()),
        slug: finding.slug,
        message: finding.message,
        tampering: value(&finding.tampering),
    };
    AuditReport {
        is_intact: report.is_intact,
        entries: report.entries,
        subjects: report.subjects,
        millis: report.millis,
        findings: report.findings.into_iter().map(finding).collect(),
    }
}
