//! I25, I26, I30: what is recorded and told, in the same transaction as what happened.

use std::collections::BTreeMap;

use tenantry_domain::id::WorkflowId;
use tenantry_domain::workflow::Effect;
use tenantry_domain::workflow::definition::DEFINITIONS;
use uuid::Uuid;

use super::View;

pub async fn i25(view: &View<'_>) -> Vec<String> {
    let versions = "
        SELECT concat_ws(' ', coalesce(v.tenant, a.subject), 'version', coalesce(v.version, a.version), 'was made in', coalesce(v.xid, 'none'),
            ', recorded in', coalesce(a.xid, 'none'))
        FROM (SELECT tenant, version, xmin::text AS xid FROM tenantry.tenant_version) AS v
        FULL JOIN (SELECT subject, (entry::jsonb ->> 'version')::bigint AS version, xmin::text AS xid FROM tenantry.audit
                   WHERE category = 'mutation' AND outcome = 'success' AND subject <> '00000000-0000-0000-0000-000000000000') AS a
            ON a.subject = v.tenant AND a.version = v.version
        WHERE v.xid IS DISTINCT FROM a.xid AND ($1::uuid IS NULL OR coalesce(v.tenant, a.subject) = $1)";
    let untold = "
        SELECT concat_ws(' ', a.subject, ': entry', a.seq, a.action, 'told nobody') FROM tenantry.audit AS a
        WHERE a.category IN ('mutation', 'transition', 'workflow') AND a.outcome = 'success' AND a.action <> 'placement.release'
          AND a.action NOT LIKE 'token.%' AND ($1::uuid IS NULL OR a.subject = $1)
          AND NOT EXISTS (SELECT FROM tenantry.outbox AS o WHERE o.subject = a.subject AND o.xmin::text = a.xmin::text)";
    let unrecorded = "
        SELECT concat_ws(' ', o.subject, ': event', o.sequence, o.type, 'has no entry') FROM tenantry.outbox AS o
        WHERE ($1::uuid IS NULL OR o.subject = $1)
          AND NOT EXISTS (SELECT FROM tenantry.audit AS a WHERE a.subject = o.subject AND a.xmin::text = o.xmin::text)";
    let starts = "
        SELECT concat_ws(' ', t.slug, 'had', w.n, 'runs,', a.n, 'starts are recorded')
        FROM tenantry.tenant AS t,
        LATERAL (SELECT count(*) AS n FROM tenantry.workflow WHERE tenant = t.id) AS w,
        LATERAL (SELECT count(*) AS n FROM tenantry.audit WHERE subject = t.id AND action = 'workflow.start') AS a
        WHERE w.n <> a.n AND ($1::uuid IS NULL OR t.id = $1)";
    let mut found = Vec::new();
    for sql in [versions, untold, unrecorded, starts] {
        found.extend(view.violations(view.control, sql).await);
    }
    found.extend(local_steps(view).await);
    found
}

/// A local step is done in the transaction that records it, and nowhere else.
async fn local_steps(view: &View<'_>) -> Vec<String> {
    let local: Vec<&str> = DEFINITIONS
        .iter()
        .flat_map(|definition| definition.steps)
        .filter(|step| step.effect == Effect::Local)
        .map(|step| step.name.as_str())
        .collect();
    let sql = "SELECT w.id, j.fact ->> 'step', j.fact ->> 'direction', j.xmin::text FROM tenantry.journal AS j
        JOIN tenantry.workflow AS w ON w.id = j.workflow
        WHERE j.fact ->> 'fact' = 'done' AND j.fact ->> 'step' = ANY ($2) AND ($1::uuid IS NULL OR w.tenant = $1)";
    let mut done: BTreeMap<String, String> = BTreeMap::new();
    for row in view.control.query(sql, &[&view.only, &local]).await.unwrap() {
        let id = WorkflowId::from_uuid(row.get::<_, Uuid>(0));
        done.insert(format!("{id}:{}:{}", row.get::<_, &str>(1), row.get::<_, &str>(2)), row.get(3));
    }
    let sql = "SELECT entry::jsonb ->> 'requestId', xmin::text FROM tenantry.audit
        WHERE entry::jsonb ->> 'requestId' LIKE 'wf\\_%:%:%' AND ($1::uuid IS NULL OR subject = $1)";
    let mut found = Vec::new();
    for row in view.control.query(sql, &[&view.only]).await.unwrap() {
        let (key, xid): (String, String) = (row.get(0), row.get(1));
        match done.remove(&key) {
            Some(other) if other == xid => {}
            Some(other) => found.push(format!("{key} was done in {other} and recorded in {xid}")),
            None => found.push(format!("{key} is recorded and was not done")),
        }
    }
    found.extend(done.into_keys().map(|key| format!("{key} was done and is not recorded")));
    found
}

pub async fn i26(view: &View<'_>) -> Vec<String> {
    let gaps = "
        SELECT concat_ws(' ', s.name, 'counts', s.event_seq, 'events; there are', o.n, 'from', o.lowest, 'to', o.highest)
        FROM (SELECT id, slug AS name, event_seq FROM tenantry.tenant
              UNION ALL SELECT '00000000-0000-0000-0000-000000000000', name, event_seq FROM tenantry.environment) AS s,
        LATERAL (SELECT count(*) AS n, coalesce(min(sequence), 1) AS lowest, coalesce(max(sequence), 0) AS highest
                 FROM tenantry.outbox WHERE subject = s.id) AS o
        WHERE (s.event_seq, s.event_seq, 1) IS DISTINCT FROM (o.n, o.highest, o.lowest) AND ($1::uuid IS NULL OR s.id = $1)";
    // The order of commits is that of the chain, which the transaction shows.
    let order = "
        SELECT concat_ws(' ', subject, ': event', sequence, 'belongs to entry', entry, 'and follows one of entry', before) FROM (
            SELECT o.subject, o.sequence, a.seq AS entry, lag(a.seq) OVER (PARTITION BY o.subject ORDER BY o.sequence) AS before
            FROM tenantry.outbox AS o,
            LATERAL (SELECT max(seq) AS seq FROM tenantry.audit WHERE subject = o.subject AND xmin::text = o.xmin::text) AS a
            WHERE $1::uuid IS NULL OR o.subject = $1) AS e
        WHERE entry < before";
    let mut found = view.violations(view.control, gaps).await;
    found.extend(view.violations(view.control, order).await);
    found
}

pub async fn i30(view: &View<'_>) -> Vec<String> {
    let chain = "
        SELECT concat_ws(' ', subject, ': entry', seq, 'does not follow from the one before') FROM (
            SELECT subject, seq, hash, entry, row_number() OVER own AS place,
                sha256(convert_to(E'tenantry.audit.v1\\n', 'UTF8') || lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER own || convert_to(entry, 'UTF8')) AS due
            FROM tenantry.audit WHERE $1::uuid IS NULL OR subject = $1 WINDOW own AS (PARTITION BY env, subject ORDER BY seq)) AS c
        WHERE hash <> due OR seq <> place OR (entry::jsonb ->> 'seq')::bigint <> seq";
    let heads = "
        SELECT concat_ws(' ', s.name, 'keeps', s.audit_seq, encode(s.audit_head, 'hex'), '; the chain ends at', a.seq, encode(a.hash, 'hex'))
        FROM (SELECT id, slug AS name, audit_seq, audit_head FROM tenantry.tenant
              UNION ALL SELECT '00000000-0000-0000-0000-000000000000', name, audit_seq, audit_head FROM tenantry.environment) AS s
        LEFT JOIN LATERAL (SELECT seq, hash FROM tenantry.audit WHERE subject = s.id ORDER BY seq DESC LIMIT 1) AS a ON true
        WHERE (s.audit_seq, s.audit_head) IS DISTINCT FROM (coalesce(a.seq, 0), coalesce(a.hash, decode(repeat('00', 32), 'hex')))
          AND ($1::uuid IS NULL OR s.id = $1)";
    let columns = "
        SELECT concat_ws(' ', subject, ': the columns of entry', seq, 'say something else than its text') FROM tenantry.audit
        WHERE (action, category, outcome) IS DISTINCT FROM (entry::jsonb ->> 'action', entry::jsonb ->> 'category', entry::jsonb ->> 'outcome')
          AND ($1::uuid IS NULL OR subject = $1)";
    let mut found = Vec::new();
    for sql in [chain, heads, columns] {
        found.extend(view.violations(view.control, sql).await);
    }
    found
}
