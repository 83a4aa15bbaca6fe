//! I4, I34: what users of a tenant meet, what is left of one that is gone, and whether tables are guarded.

use tokio_postgres::Client;
use uuid::Uuid;

use super::View;
use crate::world::connect;
use crate::world::look::{Tenant, tenant_name};
use crate::world::probe::Met;

pub async fn i4(view: &View<'_>) -> Vec<String> {
    let sql = "SELECT id, slug, phase, version, observed_version, isolation, placement_generation, cell IS NOT NULL
        FROM tenantry.tenant WHERE $1::uuid IS NULL OR id = $1 ORDER BY id";
    let mut found = Vec::new();
    for (index, row) in view.control.query(sql, &[&view.only]).await.unwrap().iter().enumerate() {
        let level = row.get::<_, Option<&str>>(5).and_then(|level| level.parse().ok());
        let tenant = Tenant {
            id: row.get(0),
            slug: row.get(1),
            phase: row.get(2),
            version: row.get(3),
            observed: row.get(4),
            isolation: level,
            generation: row.get(6),
        };
        let is_placed: bool = row.get(7);
        let met = match (level, index % view.every) {
            (Some(level), 0) => Some(view.prober.knock(&tenant, level).await),
            _ => None,
        };
        let slug = &tenant.slug;
        match (tenant.phase.as_str(), is_placed) {
            ("active", true) => {
                if let Some(met) = met.filter(|met| !matches!(met, Met::Books(_))) {
                    found.push(format!("{slug} is active, its users meet {met:?}"));
                }
            }
            ("suspended" | "archived", true) => {
                if let Some(met) = met.filter(|met| *met != Met::Refused) {
                    found.push(format!("{slug} is {}, its users meet {met:?}", tenant.phase));
                }
                found.extend(shut(view, &tenant).await);
            }
            // Work is under way; it is judged when it is done.
            ("draft", true) => {}
            ("draft" | "deleted", false) => found.extend(residue(view, &tenant).await),
            (phase, placed) => found.push(format!("{slug} is {phase}, and that it has a place is {placed}")),
        }
    }
    found
}

/// The login of a tenant that is shut out is shut, and nobody is in.
async fn shut(view: &View<'_>, tenant: &Tenant) -> Vec<String> {
    let sql = "
        SELECT concat_ws(' ', 'role', rolname, 'can log in') FROM pg_roles WHERE rolname = $1::text AND rolcanlogin
        UNION ALL SELECT concat_ws(' ', 'session', pid, 'of', usename) FROM pg_stat_activity WHERE usename = $1::text
        UNION ALL SELECT concat_ws(' ', 'gate', state, 'is not that of', $2::text) FROM tenantry.tenant AS t
            LEFT JOIN ledger.space AS s USING (tenant_id)
            WHERE t.tenant_id = $3::uuid AND s.isolation <> 'database' AND state <> left(replace($2::text, 'archived', 'r'), 1)::\"char\"";
    view.texts(&view.home, sql, &[&tenant.name(), &tenant.phase, &tenant.id]).await
}

/// Everything that still names a tenant which has no place.
async fn residue(view: &View<'_>, tenant: &Tenant) -> Vec<String> {
    let (name, typed) = (tenant.name(), tenant.typed().to_string());
    let sql = "
        SELECT concat_ws(' ', 'database', datname, 'of', $1::text, 'is left') FROM pg_database WHERE datname = $1
        UNION ALL SELECT concat_ws(' ', 'schema', nspname, 'is left') FROM pg_namespace WHERE nspname = $1::text
        UNION ALL SELECT concat_ws(' ', 'role', rolname, 'is left') FROM pg_roles WHERE rolname IN ($1::text, $1::text || '_own')
        UNION ALL SELECT concat_ws(' ', 'comment', description, 'is left') FROM pg_shdescription WHERE position($2::text IN description) > 0
            AND position(':trash:' IN description) = 0
        UNION ALL SELECT concat_ws(' ', 'comment', description, 'is left') FROM pg_description WHERE position($2::text IN description) > 0
        UNION ALL SELECT concat_ws(' ', 'gate', state, 'of', tenant_id, 'is left') FROM tenantry.tenant WHERE tenant_id = $3::uuid
        UNION ALL SELECT concat_ws(' ', 'ledger row of', tenant_id, 'is left') FROM ledger.space WHERE tenant_id = $3::uuid
        UNION ALL SELECT concat_ws(' ', 'ledger row of', place, 'is left') FROM ledger.place WHERE place = $1::text
        UNION ALL SELECT concat_ws(' ', 'ledger row of', place, name, 'is left') FROM ledger.applied WHERE place = $1::text
        UNION ALL SELECT concat_ws(' ', n, 'books of', $3::uuid, 'are left') FROM (SELECT count(*) AS n FROM app.books WHERE tenant_id = $3::uuid) AS b WHERE n > 0
        UNION ALL SELECT concat_ws(' ', n, 'pages of', $3::uuid, 'are left') FROM (SELECT count(*) AS n FROM app.pages WHERE tenant_id = $3::uuid) AS p WHERE n > 0";
    let mut found = view.texts(&view.home, sql, &[&name, &typed, &tenant.id]).await;
    if tenant.phase == "deleted" {
        let sql = "
            SELECT concat_ws(' ', 'external id', system, external_id, 'is left') FROM tenantry.tenant_external_id WHERE tenant = $1
            UNION ALL SELECT concat_ws(' ', 'alias', alias, 'is left') FROM tenantry.tenant_alias WHERE tenant = $1";
        found.extend(view.texts(view.control, sql, &[&tenant.id]).await);
    }
    found.into_iter().map(|what| format!("{}: {what}", tenant.slug)).collect()
}

pub async fn i34(view: &View<'_>) -> Vec<String> {
    let mut found = tables(view, &view.home, view.only.map(tenant_name)).await;
    let sql = "SELECT id FROM tenantry.tenant WHERE isolation = 'database' AND phase <> 'draft' AND ($1::uuid IS NULL OR id = $1) ORDER BY id";
    let rows = view.control.query(sql, &[&view.only]).await.unwrap();
    for row in rows.iter().step_by(view.every) {
        let database = tenant_name(row.get::<_, Uuid>(0));
        let is_there = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1::text AND datallowconn)";
        if !view.home.query_one(is_there, &[&database]).await.unwrap().get::<_, bool>(0) {
            found.push(format!("{database} cannot be looked at"));
            continue;
        }
        let session = connect(&view.world.pg.url(&database)).await;
        found.extend(tables(view, &session, None).await.into_iter().map(|what| format!("{database}: {what}")));
    }
    // The first role of a server is its superuser, as which the cell's administrative login works here.
    let logins = "
        SELECT concat_ws(' ', 'login', rolname, 'is powerful') FROM pg_roles
        WHERE oid <> 10 AND rolcanlogin AND (rolsuper OR rolbypassrls OR rolreplication OR rolcreaterole)";
    found.extend(view.texts(&view.home, logins, &[]).await);
    found
}

/// Tables with a tenant's key, of everybody or of one schema.
async fn tables(view: &View<'_>, session: &Client, schema: Option<String>) -> Vec<String> {
    let sql = "
        WITH kept AS (
            SELECT c.oid, c.oid::regclass AS name, c.relrowsecurity, c.relforcerowsecurity, c.relowner, a.attnotnull,
                EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polcmd = '*' AND p.polpermissive AND p.polqual IS NOT NULL) AS has_policy,
                (SELECT count(*) FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polpermissive) AS policies
            FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
            WHERE c.relkind IN ('r', 'p') AND (n.nspname = 'app' OR n.nspname ~ '^t_[0-9a-f]{32}$') AND ($1::text IS NULL OR n.nspname IN ('app', $1::text))
        )
        SELECT concat_ws(' ', name, 'has no row security') FROM kept WHERE NOT relrowsecurity
        UNION ALL SELECT concat_ws(' ', name, 'does not force row security') FROM kept WHERE NOT relforcerowsecurity
        UNION ALL SELECT concat_ws(' ', name, 'has no policy for everything') FROM kept WHERE NOT has_policy
        UNION ALL SELECT concat_ws(' ', name, 'has', policies, 'policies that let in') FROM kept WHERE policies > 1
        UNION ALL SELECT concat_ws(' ', name, 'takes rows of nobody') FROM kept WHERE NOT attnotnull
        UNION ALL SELECT concat_ws(' ', name, 'is owned by', rolname, 'which can log in') FROM kept JOIN pg_roles AS r ON r.oid = relowner WHERE rolcanlogin";
    view.texts(session, sql, &[&schema]).await
}
