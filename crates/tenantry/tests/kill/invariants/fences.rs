//! I13, I19, I40: who owns what, under which number, and what nobody owns.

use tenantry_domain::workflow::Effect;
use tenantry_domain::workflow::definition::DEFINITIONS;
use uuid::Uuid;

use super::View;
use crate::world::look::tenant_name;

pub async fn i13(view: &View<'_>) -> Vec<String> {
    let mut found = owned(view).await;
    if view.only.is_some() {
        return found;
    }
    // Things without a tenant are looked for only when everything is at rest.
    let server = "
        SELECT 'replication slot ' || slot_name FROM pg_replication_slots
        UNION ALL SELECT 'publication ' || pubname FROM pg_publication
        UNION ALL SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts
        UNION ALL
        SELECT concat_ws(' ', 'database', datname, 'is named by no ledger') FROM pg_database
        WHERE datname ~ '^tn_(pre|tpl|trash)_' AND NOT EXISTS (SELECT FROM ledger.premade WHERE name = datname)
          AND NOT EXISTS (SELECT FROM ledger.template WHERE name = datname)
        UNION ALL
        SELECT concat_ws(' ', 'schema', nspname, 'is named by no ledger') FROM pg_namespace
        WHERE nspname ~ '^tn_pre_' AND NOT EXISTS (SELECT FROM ledger.premade WHERE name = nspname)
        UNION ALL
        SELECT concat_ws(' ', 'role', rolname, 'is named by no ledger') FROM pg_roles
        WHERE rolname ~ '^tn_(pre|tpl|trash|run)_' AND NOT EXISTS (SELECT FROM ledger.premade WHERE rolname IN (name, name || '_own'))
        UNION ALL
        SELECT concat_ws(' ', 'shelf', p.name, 'is empty') FROM ledger.premade AS p
        WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = p.name) AND NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = p.name)
        UNION ALL
        SELECT concat_ws(' ', 'place', p.place, 'is gone, the ledger keeps it') FROM ledger.place AS p
        WHERE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = p.place)
        UNION ALL
        SELECT concat_ws(' ', 'session', pid, 'is idle in a transaction since', state_change) FROM pg_stat_activity
        WHERE application_name LIKE 'tenantry%' AND state LIKE 'idle in transaction%' AND state_change < clock_timestamp() - interval '5 seconds'
        UNION ALL
        SELECT concat_ws(' ', 'advisory lock', l.classid, l.objid, 'of idle session', l.pid, a.application_name)
        FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
        WHERE l.locktype = 'advisory' AND a.state = 'idle' AND a.state_change < clock_timestamp() - interval '10 seconds'";
    found.extend(view.texts(&view.home, server, &[]).await);
    found
}

/// Objects and rows that carry a tenant's name must be those of a tenant that has a place.
async fn owned(view: &View<'_>) -> Vec<String> {
    let sql = "SELECT id FROM tenantry.tenant WHERE cell IS NOT NULL";
    let placed: Vec<Uuid> = view.control.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let names: Vec<String> = placed.iter().map(|id| tenant_name(*id)).collect();
    let only = view.only.map(tenant_name);
    let objects = "
        SELECT concat_ws(' ', kind, name, 'belongs to no tenant that has a place') FROM (
            SELECT 'database' AS kind, datname::text AS name, datname::text AS tenant FROM pg_database
            UNION ALL SELECT 'schema', nspname::text, nspname::text FROM pg_namespace
            UNION ALL SELECT 'role', rolname::text, regexp_replace(rolname::text, '_own$', '') FROM pg_roles
            UNION ALL SELECT 'ledger', place, place FROM ledger.place
            UNION ALL SELECT 'files of', place, place FROM (SELECT DISTINCT place FROM ledger.applied) AS a
        ) AS o
        WHERE tenant ~ '^t_[0-9a-f]{32}$' AND NOT tenant = ANY ($1) AND ($2::text IS NULL OR tenant = $2)";
    let mut found = view.texts(&view.home, objects, &[&names, &only]).await;
    let rows = "
        SELECT concat_ws(' ', 'fence row of', tenant_id, 'which has no place') FROM tenantry.tenant
        WHERE NOT tenant_id = ANY ($1) AND ($2::uuid IS NULL OR tenant_id = $2)
        UNION ALL
        SELECT concat_ws(' ', 'ledger row of', tenant_id, 'which has no place') FROM ledger.space
        WHERE NOT tenant_id = ANY ($1) AND ($2::uuid IS NULL OR tenant_id = $2)";
    found.extend(view.texts(&view.home, rows, &[&placed, &view.only]).await);
    found
}

pub async fn i19(view: &View<'_>) -> Vec<String> {
    let falls = "
        SELECT concat_ws(' ', 'run', workflow, ': fact', seq, 'has fence', fence, 'behind', before) FROM (
            SELECT j.workflow, j.seq, j.fence, lag(j.fence) OVER (PARTITION BY j.workflow ORDER BY j.seq) AS before
            FROM tenantry.journal AS j JOIN tenantry.workflow AS w ON w.id = j.workflow WHERE $1::uuid IS NULL OR w.tenant = $1) AS f
        WHERE fence < before";
    let leads = "
        SELECT concat_ws(' ', 'run', w.id, 'has fence', w.fence, ', its journal', max(j.fence)) FROM tenantry.workflow AS w
        JOIN tenantry.journal AS j ON j.workflow = w.id WHERE $1::uuid IS NULL OR w.tenant = $1
        GROUP BY w.id, w.fence HAVING max(j.fence) > w.fence";
    let returns = "
        SELECT concat_ws(' ', tenant, ': run', id, 'began under fence', lowest, 'behind', before) FROM (
            SELECT w.id, w.tenant, min(j.fence) AS lowest,
                max(max(j.fence)) OVER (PARTITION BY w.tenant ORDER BY w.created_at, w.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
            FROM tenantry.workflow AS w JOIN tenantry.journal AS j ON j.workflow = w.id WHERE $1::uuid IS NULL OR w.tenant = $1
            GROUP BY w.id, w.tenant, w.created_at) AS f
        WHERE lowest <= before";
    let mut found = Vec::new();
    for sql in [falls, leads, returns] {
        found.extend(view.violations(view.control, sql).await);
    }
    found.extend(in_cell(view).await);
    found
}

/// The fence that a tenant's place remembers is one that was given out, and no lower than that of any effect.
async fn in_cell(view: &View<'_>) -> Vec<String> {
    let external: Vec<&str> = DEFINITIONS
        .iter()
        .flat_map(|definition| definition.steps)
        .filter(|step| step.effect == Effect::External)
        .map(|step| step.name.as_str())
        .collect();
    let sql = "
        SELECT w.tenant, max(w.fence), coalesce(max(j.fence), 0) FROM tenantry.workflow AS w
        LEFT JOIN tenantry.journal AS j ON j.workflow = w.id AND j.fact ->> 'fact' = 'done' AND j.fact ->> 'step' = ANY ($2)
            AND NOT coalesce(j.fact -> 'output' ? 'skipped', false)
        WHERE $1::uuid IS NULL OR w.tenant = $1 GROUP BY w.tenant";
    let (mut tenants, mut given, mut used) = (Vec::new(), Vec::new(), Vec::new());
    for row in view.control.query(sql, &[&view.only, &external]).await.unwrap() {
        tenants.push(row.get::<_, Uuid>(0));
        given.push(row.get::<_, i64>(1));
        used.push(row.get::<_, i64>(2));
    }
    let sql = "
        SELECT concat_ws(' ', n.tenant, ': the place remembers fence', seen, ', effects had', n.used, ', given out were', n.given)
        FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS n (tenant, given, used),
        LATERAL (SELECT max(fence) AS seen FROM (SELECT fence FROM tenantry.tenant WHERE tenant_id = n.tenant
                 UNION ALL SELECT fence FROM ledger.tombstone WHERE tombstone.tenant = sha256(uuid_send(n.tenant))) AS f) AS f
        WHERE (n.used > 0 AND coalesce(seen, 0) < n.used) OR seen > n.given";
    view.texts(&view.home, sql, &[&tenants, &given, &used]).await
}

pub async fn i40(view: &View<'_>) -> Vec<String> {
    let sql = "
        SELECT concat_ws(' ', cell, isolation, 'counts', coalesce(l.used, 0), ', tenants have', coalesce(t.used, 0))
        FROM (SELECT env, cell, isolation, used FROM tenantry.cell_load) AS l
        FULL JOIN (SELECT env, cell, isolation, sum(weight) AS used FROM tenantry.tenant WHERE cell IS NOT NULL GROUP BY 1, 2, 3) AS t
            USING (env, cell, isolation)
        WHERE coalesce(l.used, 0) <> coalesce(t.used, 0)";
    view.texts(view.control, sql, &[]).await
}
