//! The world of one tenant as lines of text that do not depend on its name: two tenants with the same past give the
//! same lines, whatever was killed, repeated or undone on the way.
//!
//! Seen are roles, schema or database, structure with guards and rights, registry and ledger rows, the tenant's own
//! rows, and where the registry says that it is. Left out are fences, tombstones and moments: they differ by design.

use std::collections::BTreeSet;

use tenantry_domain::id::{TenantId, WorkflowId};
use tenantry_domain::isolation::Isolation;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::world::look::Tenant;
use crate::world::{HOME, World, connect};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest(Vec<String>);

impl Digest {
    /// What one has and the other has not; nothing when they are equal.
    pub fn difference(&self, expected: &Self) -> Option<String> {
        if self == expected {
            return None;
        }
        let (ours, theirs): (BTreeSet<_>, BTreeSet<_>) = (self.0.iter().collect(), expected.0.iter().collect());
        let more = ours.difference(&theirs).map(|line| format!("  + {line}"));
        let less = theirs.difference(&ours).map(|line| format!("  - {line}"));
        Some(more.chain(less).collect::<Vec<_>>().join("\n"))
    }

    /// Without the lines that a definition leaves behind when it is unwound.
    pub fn without(&self, residue: &[&str]) -> Self {
        let is_residue = |line: &String| residue.iter().any(|start| line.starts_with(start));
        Self(self.0.iter().filter(|line| !is_residue(line)).cloned().collect())
    }

    /// Only what is outside of the registry.
    pub fn of_cell(&self) -> Self {
        self.without(&["registry "])
    }

    /// How much was seen.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Roles and database of the tenant, from any database. `$1` its name.
const SERVER: &str = "
    SELECT 'role ' || concat_ws(' ', r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin,
        r.rolreplication, r.rolbypassrls, coalesce(r.rolvaliduntil::text, '-'), (a.rolpassword IS NOT NULL),
        ARRAY(SELECT g.rolname || m.admin_option FROM pg_auth_members AS m JOIN pg_roles AS g ON g.oid = m.roleid WHERE m.member = r.oid ORDER BY 1),
        ARRAY(SELECT g.rolname FROM pg_auth_members AS m JOIN pg_roles AS g ON g.oid = m.member WHERE m.roleid = r.oid ORDER BY 1),
        ARRAY(SELECT s.setconfig::text FROM pg_db_role_setting AS s WHERE s.setrole = r.oid ORDER BY 1),
        shobj_description(r.oid, 'pg_authid'))
    FROM pg_roles AS r JOIN pg_authid AS a ON a.oid = r.oid WHERE r.rolname IN ($1::text, $1::text || '_own')
    UNION ALL
    SELECT 'limit ' || concat_ws(' ', rolname, rolconnlimit) FROM pg_roles WHERE rolname IN ($1::text, $1::text || '_own')
    UNION ALL
    SELECT 'database ' || concat_ws(' ', d.datname, pg_get_userbyid(d.datdba), d.datallowconn, d.datconnlimit,
        ARRAY(SELECT unnest(d.datacl)::text ORDER BY 1), shobj_description(d.oid, 'pg_database'))
    FROM pg_database AS d WHERE d.datname = $1::text";

/// A schema with all that is in it. `$1` the schema.
const SCHEMA: &str = "
    SELECT 'schema ' || concat_ws(' ', n.nspname, pg_get_userbyid(n.nspowner), ARRAY(SELECT unnest(n.nspacl)::text ORDER BY 1),
        obj_description(n.oid, 'pg_namespace'))
    FROM pg_namespace AS n WHERE n.nspname = $1::text
    UNION ALL
    SELECT 'relation ' || concat_ws(' ', c.relname, c.relkind, pg_get_userbyid(c.relowner), c.relrowsecurity, c.relforcerowsecurity,
        ARRAY(SELECT unnest(c.relacl)::text ORDER BY 1), obj_description(c.oid, 'pg_class'))
    FROM pg_class AS c WHERE c.relnamespace = to_regnamespace($1::text)
    UNION ALL
    SELECT 'column ' || concat_ws(' ', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
        pg_get_expr(d.adbin, d.adrelid), ARRAY(SELECT unnest(a.attacl)::text ORDER BY 1))
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = to_regnamespace($1::text) AND c.relkind IN ('r', 'p', 'v')
    UNION ALL
    SELECT 'constraint ' || concat_ws(' ', conrelid::regclass, conname, convalidated, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace = to_regnamespace($1::text)
    UNION ALL
    SELECT 'index ' || pg_get_indexdef(i.indexrelid) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE c.relnamespace = to_regnamespace($1::text)
    UNION ALL
    SELECT 'policy ' || concat_ws(' ', c.relname, p.polname, p.polcmd, p.polpermissive, p.polroles::regrole[], pg_get_expr(p.polqual, p.polrelid),
        pg_get_expr(p.polwithcheck, p.polrelid))
    FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid WHERE c.relnamespace = to_regnamespace($1::text)
    UNION ALL
    SELECT 'trigger ' || pg_get_triggerdef(t.oid) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
    WHERE c.relnamespace = to_regnamespace($1::text) AND NOT t.tgisinternal
    UNION ALL
    SELECT 'function ' || pg_get_functiondef(p.oid) FROM pg_proc AS p WHERE p.pronamespace = to_regnamespace($1::text)
    UNION ALL
    SELECT 'default rights ' || concat_ws(' ', pg_get_userbyid(defaclrole), defaclobjtype, defaclacl) FROM pg_default_acl";

/// Registry and ledger of a database that we manage. `$1` the tenant, `$2` the schema of its tables.
const BOOKS: &str = "
    SELECT 'gate ' || concat_ws(' ', state, epoch, path, created_by) FROM tenantry.tenant WHERE tenant_id = $1::uuid
    UNION ALL
    SELECT 'space ' || concat_ws(' ', isolation, opened_at IS NOT NULL) FROM ledger.space WHERE tenant_id = $1::uuid
    UNION ALL
    SELECT 'place ' || concat_ws(' ', place, version, fingerprint) FROM ledger.place WHERE place = $2::text
    UNION ALL
    SELECT 'applied ' || concat_ws(' ', place, name, encode(checksum, 'hex')) FROM ledger.applied WHERE place = $2::text
    UNION ALL
    SELECT 'seal ' || kid FROM seal.key";

/// Tables of a schema that hold tenants' rows.
const TABLES: &str = "
    SELECT quote_ident(c.relname) FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
    WHERE c.relnamespace = to_regnamespace($1::text) AND c.relkind IN ('r', 'p') AND NOT a.attisdropped ORDER BY 1";

impl World {
    /// The world of a tenant at a level, whether it has a place there or not.
    pub async fn digest(&self, slug: &str, level: Isolation) -> Digest {
        let tenant = self.tenant(slug).await;
        let home = connect(&self.pg.url(HOME)).await;
        let name = tenant.name();
        let mut lines = texts(&home, SERVER, &[&name]).await;
        let (database, schema) = tenant.place(level);
        lines.extend(inside(&home, "home ", &tenant, &schema).await);
        if database != HOME {
            let is_there = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1::text AND datallowconn)";
            if home.query_one(is_there, &[&database]).await.unwrap().get(0) {
                let own = connect(&self.pg.url(&database)).await;
                lines.extend(inside(&own, "own ", &tenant, &schema).await);
            }
        }
        lines.extend(self.registry(&tenant).await);
        let workflows = "SELECT id FROM tenantry.workflow WHERE tenant = $1";
        let workflows =
            self.control.query(workflows, &[&tenant.id]).await.unwrap().iter().map(|row| row.get(0)).collect();
        let names = Names { tenant: tenant.id, workflows };
        let mut lines: Vec<String> = lines.iter().map(|line| names.hide(line)).collect();
        lines.sort();
        Digest(lines)
    }

    /// Where the registry says that the tenant is. What is wanted of it is no part of the world.
    async fn registry(&self, tenant: &Tenant) -> Vec<String> {
        let sql = "SELECT concat_ws(' ', 'registry', phase, coalesce(region, '-'), coalesce(cell, '-'), coalesce(isolation, '-'), app_version,
                findings, repairable)
             FROM tenantry.tenant WHERE id = $1";
        texts(&self.control, sql, &[&tenant.id]).await
    }
}

async fn inside(session: &Client, prefix: &str, tenant: &Tenant, schema: &str) -> Vec<String> {
    let mut lines = texts(session, SCHEMA, &[&schema]).await;
    lines.extend(texts(session, BOOKS, &[&tenant.id, &schema]).await);
    for table in texts(session, TABLES, &[&schema]).await {
        let sql = format!(
            "SELECT concat_ws(' ', 'rows', '{table}', count(*), md5(string_agg(t::text, '|' ORDER BY t::text)))
             FROM (SELECT to_jsonb(t) - 'tenant_id' - CASE WHEN '{table}' = 'pages' THEN 'id' ELSE '' END AS t
                   FROM {schema}.{table} AS t WHERE tenant_id = $1) AS t"
        );
        lines.extend(texts(session, &sql, &[&tenant.id]).await);
    }
    lines.into_iter().map(|line| format!("{prefix}{line}")).collect()
}

async fn texts(session: &Client, sql: &str, params: &[&(dyn tokio_postgres::types::ToSql + Sync)]) -> Vec<String> {
    let rows = session.query(sql, params).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    rows.iter().map(|row| row.get::<_, String>(0)).collect()
}

/// What is replaced by a placeholder.
struct Names {
    tenant: Uuid,
    workflows: Vec<Uuid>,
}

impl Names {
    fn hide(&self, line: &str) -> String {
        let typed = TenantId::from_uuid(self.tenant).to_string();
        let mut line = line.replace(&typed, "<tenant>");
        line =
            line.replace(&self.tenant.simple().to_string(), "<tenant>").replace(&self.tenant.to_string(), "<tenant>");
        for workflow in &self.workflows {
            let typed = WorkflowId::from_uuid(*workflow).to_string();
            line = line.replace(&typed, "<workflow>").replace(&workflow.to_string(), "<workflow>");
        }
        line
    }
}
