//! I1, I3, I5, I6: where a tenant may be, and how what is wanted relates to what is.

use std::collections::BTreeMap;

use tenantry_domain::tenant::lifecycle::{Action, Phase};
use uuid::Uuid;

use super::View;

/// The moves as the audit records them: each an edge, each beginning where the one before ended, the last one ending
/// where the tenant is.
pub async fn i1(view: &View<'_>) -> Vec<String> {
    let sql = "SELECT subject, seq, entry::jsonb -> 'changes' ->> 'from', entry::jsonb -> 'changes' ->> 'to'
         FROM tenantry.audit WHERE category = 'transition' AND outcome = 'success' AND entry::jsonb -> 'changes' ? 'to'
           AND ($1::uuid IS NULL OR subject = $1) ORDER BY subject, seq";
    let mut found = Vec::new();
    let mut ends: BTreeMap<Uuid, Phase> = BTreeMap::new();
    for row in view.control.query(sql, &[&view.only]).await.unwrap() {
        let (tenant, seq): (Uuid, i64) = (row.get(0), row.get(1));
        let phase = |index| row.get::<_, Option<&str>>(index).and_then(|word| word.parse::<Phase>().ok());
        let (Some(from), Some(to)) = (phase(2), phase(3)) else {
            found.push(format!("{tenant}: entry {seq} names no states"));
            continue;
        };
        let before = ends.insert(tenant, to).unwrap_or(Phase::Draft);
        if before != from {
            found.push(format!("{tenant}: entry {seq} begins at {from}, the one before ended at {before}"));
        }
        if Action::between(from, to).is_none() {
            found.push(format!("{tenant}: entry {seq} moves from {from} to {to}, which is no edge"));
        }
    }
    let sql = "SELECT id, phase FROM tenantry.tenant WHERE $1::uuid IS NULL OR id = $1";
    for row in view.control.query(sql, &[&view.only]).await.unwrap() {
        let (tenant, phase): (Uuid, &str) = (row.get(0), row.get(1));
        let end = ends.get(&tenant).copied().unwrap_or(Phase::Draft);
        if end.as_str() != phase {
            found.push(format!("{tenant} is {phase}, its last recorded move ended at {end}"));
        }
    }
    found
}

pub async fn i3(view: &View<'_>) -> Vec<String> {
    let sql = "
        SELECT concat_ws(' ', t.slug, 'has version', t.version, '; versions kept', v.n, v.lowest, v.highest, '; mutations recorded', a.n, a.highest)
        FROM tenantry.tenant AS t,
        LATERAL (SELECT count(*) AS n, min(version) AS lowest, max(version) AS highest FROM tenantry.tenant_version
                 WHERE env = t.env AND tenant = t.id) AS v,
        LATERAL (SELECT count(*) AS n, count(DISTINCT entry::jsonb ->> 'version') AS different, max((entry::jsonb ->> 'version')::bigint) AS highest
                 FROM tenantry.audit WHERE env = t.env AND subject = t.id AND category = 'mutation' AND outcome = 'success') AS a
        WHERE ($1::uuid IS NULL OR t.id = $1)
          AND (t.version, 1, t.version, t.version, t.version, t.version) IS DISTINCT FROM (v.n, v.lowest, v.highest, a.n, a.different, a.highest)";
    view.violations(view.control, sql).await
}

pub async fn i5(view: &View<'_>) -> Vec<String> {
    let sql = "
        SELECT concat_ws(' ', t.slug, 'is', t.phase, 'at version', t.observed_version, ', wanted', t.requested, 'at', t.version,
            ', repairable', t.repairable, ', and nothing explains it')
        FROM tenantry.tenant AS t
        WHERE ($1::uuid IS NULL OR t.id = $1)
          AND (t.requested <> t.phase OR t.observed_version < t.version OR (t.repairable > 0 AND t.phase IN ('active', 'suspended')))
          AND coalesce(t.failed_version, 0) < t.version
          AND NOT (t.requested = 'deleted' AND t.delete_not_before > clock_timestamp())
          AND NOT EXISTS (SELECT FROM tenantry.workflow AS w WHERE w.tenant = t.id AND w.status IN ('running', 'stuck'))";
    view.violations(view.control, sql).await
}

pub async fn i6(view: &View<'_>) -> Vec<String> {
    let sql = "
        SELECT concat_ws(' ', t.slug, 'observed', t.observed_version, 'of', t.version)
        FROM tenantry.tenant AS t
        WHERE ($1::uuid IS NULL OR t.id = $1) AND (t.observed_version > t.version OR (t.observed_version <> t.version
          AND t.failed_version IS DISTINCT FROM t.version
          AND NOT (t.requested = 'deleted' AND t.delete_not_before > clock_timestamp())
          AND NOT EXISTS (SELECT FROM tenantry.workflow AS w WHERE w.tenant = t.id AND w.status IN ('running', 'stuck'))))";
    view.violations(view.control, sql).await
}
