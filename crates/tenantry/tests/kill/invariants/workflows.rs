//! I2, I15, I16, I18, I20: what journals may say.

use std::collections::BTreeMap;

use tenantry_domain::workflow::{Definition, Direction, Fact, StepName};
use uuid::Uuid;

use super::View;

pub async fn i2(view: &View<'_>) -> Vec<String> {
    let open = "
        SELECT concat_ws(' ', tenant, 'has', count(*), 'unfinished workflows') FROM tenantry.workflow
        WHERE status IN ('running', 'stuck') AND ($1::uuid IS NULL OR tenant = $1) GROUP BY tenant HAVING count(*) > 1";
    let overlap = "
        SELECT concat_ws(' ', tenant, ': run', id, 'began before the one before ended')
        FROM (SELECT *, lag(coalesce(ended_at, 'infinity')) OVER (PARTITION BY tenant ORDER BY created_at, id) AS free FROM tenantry.workflow
              WHERE $1::uuid IS NULL OR tenant = $1) AS w
        WHERE created_at < free";
    let mut found = view.violations(view.control, open).await;
    found.extend(view.violations(view.control, overlap).await);
    found
}

pub async fn i15(view: &View<'_>) -> Vec<String> {
    let done = "
        SELECT concat_ws(' ', 'run', w.id, ':', j.fact ->> 'step', j.fact ->> 'direction', 'is done', count(*), 'times')
        FROM tenantry.journal AS j JOIN tenantry.workflow AS w ON w.id = j.workflow
        WHERE j.fact ->> 'fact' = 'done' AND ($1::uuid IS NULL OR w.tenant = $1)
        GROUP BY w.id, j.fact ->> 'step', j.fact ->> 'direction' HAVING count(*) > 1";
    // The key of a step stands where a request's id would.
    let recorded = "
        SELECT concat_ws(' ', subject, ': step', entry::jsonb ->> 'requestId', 'is recorded', count(*), 'times') FROM tenantry.audit
        WHERE entry::jsonb ->> 'requestId' LIKE 'wf\\_%:%:%' AND ($1::uuid IS NULL OR subject = $1)
        GROUP BY subject, entry::jsonb ->> 'requestId' HAVING count(*) > 1";
    let told = "
        SELECT concat_ws(' ', subject, ': step', causation_id, 'told', type, count(*), 'times') FROM tenantry.outbox
        WHERE causation_id LIKE 'wf\\_%:%:%' AND ($1::uuid IS NULL OR subject = $1)
        GROUP BY subject, causation_id, type HAVING count(*) > 1";
    let activated = "
        SELECT concat_ws(' ', t.slug, 'was activated', e.n, 'times by', w.n, 'runs')
        FROM tenantry.tenant AS t,
        LATERAL (SELECT count(*) AS n FROM tenantry.outbox WHERE env = t.env AND subject = t.id AND type = 'tenant.activated') AS e,
        LATERAL (SELECT count(*) AS n FROM tenantry.workflow WHERE env = t.env AND tenant = t.id AND kind = 'onboard' AND status = 'completed') AS w
        WHERE e.n <> w.n AND ($1::uuid IS NULL OR t.id = $1)";
    let mut found = Vec::new();
    for sql in [done, recorded, told, activated] {
        found.extend(view.violations(view.control, sql).await);
    }
    found
}

pub async fn i16(view: &View<'_>) -> Vec<String> {
    let unannounced = "
        WITH facts AS (
            SELECT w.id, j.seq, j.fact ->> 'fact' AS fact, j.fact ->> 'step' AS step, j.fact ->> 'direction' AS direction
            FROM tenantry.journal AS j JOIN tenantry.workflow AS w ON w.id = j.workflow
            WHERE j.fact ? 'step' AND ($1::uuid IS NULL OR w.tenant = $1)
        ), placed AS (
            SELECT *, lag(fact) OVER (PARTITION BY id, step, direction ORDER BY seq) AS before FROM facts
        )
        SELECT concat_ws(' ', 'run', id, ':', step, direction, fact, 'at', seq, 'follows', coalesce(before, 'nothing')) FROM placed
        WHERE (fact <> 'intent' AND before IS DISTINCT FROM 'intent') OR before = 'done'";
    let numbers = "
        SELECT concat_ws(' ', 'run', id, ':', step, direction, 'attempt', attempt, 'is the', place) FROM (
            SELECT w.id, j.fact ->> 'step' AS step, j.fact ->> 'direction' AS direction, (j.fact ->> 'attempt')::bigint AS attempt,
                row_number() OVER (PARTITION BY w.id, j.fact ->> 'step', j.fact ->> 'direction' ORDER BY j.seq) AS place
            FROM tenantry.journal AS j JOIN tenantry.workflow AS w ON w.id = j.workflow
            WHERE j.fact ->> 'fact' = 'intent' AND ($1::uuid IS NULL OR w.tenant = $1)) AS i
        WHERE attempt <> place";
    let gaps = "
        SELECT concat_ws(' ', 'run', w.id, 'counts', w.journal_seq, 'facts,', count(j.seq), 'are there up to', max(j.seq))
        FROM tenantry.workflow AS w LEFT JOIN tenantry.journal AS j ON j.workflow = w.id
        WHERE $1::uuid IS NULL OR w.tenant = $1
        GROUP BY w.id, w.journal_seq HAVING count(j.seq) <> w.journal_seq OR coalesce(max(j.seq), 0) <> w.journal_seq";
    let mut found = Vec::new();
    for sql in [unannounced, numbers, gaps] {
        found.extend(view.violations(view.control, sql).await);
    }
    found
}

pub async fn i18(view: &View<'_>) -> Vec<String> {
    let left = "
        SELECT concat_ws(' ', 'run', id, 'of', tenant, 'waits since', greatest(wake_at, lease_until)) FROM tenantry.workflow
        WHERE status = 'running' AND greatest(wake_at, lease_until) < clock_timestamp() - interval '10 seconds'
          AND ($1::uuid IS NULL OR tenant = $1)";
    let kept = "
        SELECT concat_ws(' ', 'run', id, 'is', status, 'and owned by', owner) FROM tenantry.workflow
        WHERE status <> 'running' AND owner IS NOT NULL AND ($1::uuid IS NULL OR tenant = $1)";
    let ghosts = "
        SELECT concat_ws(' ', 'run', w.id, 'is owned by', w.owner, 'which is gone') FROM tenantry.workflow AS w
        WHERE w.owner IS NOT NULL AND w.lease_until > clock_timestamp() AND ($1::uuid IS NULL OR w.tenant = $1)
          AND NOT EXISTS (SELECT FROM tenantry.replica AS r WHERE r.id = w.owner)";
    let silent = "
        SELECT concat_ws(' ', 'run', w.id, 'of', w.tenant, 'is stuck and nobody was told') FROM tenantry.workflow AS w
        WHERE w.status = 'stuck' AND ($1::uuid IS NULL OR w.tenant = $1)
          AND NOT EXISTS (SELECT FROM tenantry.outbox AS o WHERE o.subject = w.tenant AND o.type = 'operation.stuck' AND o.at >= w.created_at)";
    let mut found = Vec::new();
    for sql in [left, kept, ghosts, silent] {
        found.extend(view.violations(view.control, sql).await);
    }
    found
}

/// What a journal says about the way back.
#[derive(Default)]
struct Back {
    kind: String,
    version: i32,
    status: String,
    begun: Vec<StepName>,
    undone: Vec<StepName>,
    failed: Option<StepName>,
}

pub async fn i20(view: &View<'_>) -> Vec<String> {
    let sql = "SELECT w.id, w.kind, w.definition_version, w.status, j.fact FROM tenantry.workflow AS w
        JOIN tenantry.journal AS j ON j.workflow = w.id WHERE $1::uuid IS NULL OR w.tenant = $1 ORDER BY w.id, j.seq";
    let mut runs: BTreeMap<Uuid, Back> = BTreeMap::new();
    for row in view.control.query(sql, &[&view.only]).await.unwrap() {
        let back = runs.entry(row.get(0)).or_default();
        (back.kind, back.version, back.status) = (row.get(1), row.get(2), row.get(3));
        match serde_json::from_value(row.get(4)).unwrap() {
            Fact::Intent { step, direction: Direction::Do, .. } if !back.begun.contains(&step) => back.begun.push(step),
            Fact::Done { step, direction: Direction::Undo, .. } => {
                back.undone.push(step);
                back.failed = back.failed.filter(|failed| *failed != step);
            }
            Fact::Failed { step, direction: Direction::Undo, cause } if !cause.retryable => back.failed = Some(step),
            Fact::RetryRequested => back.failed = None,
            _ => {}
        }
    }
    let mut found = Vec::new();
    for (id, back) in &runs {
        let version = u32::try_from(back.version).unwrap();
        let definition = Definition::find(back.kind.parse().unwrap(), version).unwrap();
        let wanted: Vec<StepName> = definition
            .steps
            .iter()
            .rev()
            .filter(|step| step.has_undo && back.begun.contains(&step.name))
            .map(|step| step.name)
            .collect();
        if !wanted.starts_with(&back.undone) {
            found.push(format!("run {id} undid {:?}, the order is {wanted:?}", back.undone));
        }
        if back.status == "unwound" && back.undone != wanted {
            found.push(format!("run {id} ended as unwound with {:?} undone of {wanted:?}", back.undone));
        }
        if back.status == "completed" && !back.undone.is_empty() {
            found.push(format!("run {id} ended as completed although {:?} was undone", back.undone));
        }
        if let Some(step) = back.failed.filter(|_| back.status != "stuck") {
            found.push(format!("run {id} is {} although the undo of {step} failed", back.status));
        }
    }
    found
}
