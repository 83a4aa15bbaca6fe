//! Probes of what all tenants of a server share: catalogs, statistics, settings, roles, large objects, files.
//!
//! Pure.

use tenantry_pg::{Ident, Sql};
use uuid::Uuid;

use crate::model::{CatalogModel, Relation};
use crate::on_relations::{Aim, matching};
use crate::pen::Pen;
use crate::report::Verb;
use crate::statement::{Judge, Statement, Target};

/// Views and functions in which rows, statements or constants of others may show.
const CATALOG: &[&str] = &[
    "SELECT * FROM pg_catalog.pg_stats LIMIT 2000",
    "SELECT * FROM pg_catalog.pg_stats_ext LIMIT 2000",
    "SELECT stxoid, stxdmcv::text FROM pg_catalog.pg_statistic_ext_data LIMIT 2000",
    "SELECT starelid, stavalues1::text, stavalues2::text FROM pg_catalog.pg_statistic LIMIT 2000",
    "SELECT * FROM pg_catalog.pg_stat_activity LIMIT 2000",
    "SELECT * FROM pg_catalog.pg_stat_get_activity(NULL) LIMIT 2000",
    "SELECT pg_catalog.pg_stat_get_backend_activity(i) FROM pg_catalog.pg_stat_get_backend_idset() i LIMIT 2000",
    "SELECT query FROM pg_stat_statements LIMIT 2000",
    "SELECT * FROM pg_catalog.pg_prepared_statements",
    "SELECT * FROM pg_catalog.pg_cursors",
    "SELECT * FROM pg_catalog.pg_prepared_xacts",
    "SELECT name, setting, reset_val FROM pg_catalog.pg_settings",
    "SELECT * FROM pg_catalog.pg_db_role_setting",
    "SELECT * FROM pg_catalog.pg_locks LIMIT 2000",
    "SELECT pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint LIMIT 5000",
    "SELECT pg_catalog.pg_get_expr(adbin, adrelid) FROM pg_catalog.pg_attrdef LIMIT 5000",
    "SELECT typdefault FROM pg_catalog.pg_type WHERE typdefault IS NOT NULL LIMIT 5000",
    "SELECT pg_catalog.pg_get_expr(relpartbound, oid) FROM pg_catalog.pg_class WHERE relispartition LIMIT 5000",
    "SELECT pg_catalog.pg_get_viewdef(oid) FROM pg_catalog.pg_class WHERE relkind IN ('v', 'm') LIMIT 5000",
    "SELECT pg_catalog.pg_get_expr(indpred, indrelid) FROM pg_catalog.pg_index WHERE indpred IS NOT NULL LIMIT 5000",
    "SELECT description FROM pg_catalog.pg_description LIMIT 5000",
    "SELECT description FROM pg_catalog.pg_shdescription LIMIT 5000",
    "SELECT label FROM pg_catalog.pg_seclabels LIMIT 5000",
    "SELECT umoptions FROM pg_catalog.pg_user_mappings LIMIT 5000",
    "SELECT srvoptions FROM pg_catalog.pg_foreign_server LIMIT 5000",
    "SELECT prosrc FROM pg_catalog.pg_proc WHERE pronamespace <> 'pg_catalog'::regnamespace LIMIT 5000",
    "SELECT * FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', 'information_schema') LIMIT 5000",
    "SELECT pg_catalog.query_to_xml('SELECT * FROM pg_stats LIMIT 500', true, true, '')",
    "SELECT pg_catalog.database_to_xml(true, true, '')",
];

/// What no application's login may do.
const REFUSED: &[&str] = &[
    "SELECT * FROM pg_catalog.pg_authid",
    "SELECT * FROM pg_catalog.pg_shadow",
    "SELECT * FROM seal.key",
    "SELECT * FROM tenantry.tenant",
    "SELECT pg_catalog.pg_read_file('PG_VERSION')",
    "SELECT * FROM pg_catalog.pg_ls_dir('.')",
    "SELECT * FROM pg_catalog.pg_hba_file_rules",
    "SELECT * FROM pg_catalog.pg_ls_logdir()",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "CREATE EXTENSION dblink",
    "CREATE EXTENSION file_fdw",
    "LOAD 'auto_explain'",
    "ALTER SYSTEM SET log_statement = 'all'",
    "CREATE ROLE tenantry_probe_role",
    "SET SESSION AUTHORIZATION postgres",
    "SET session_replication_role = replica",
    "CREATE PUBLICATION tenantry_probe FOR ALL TABLES",
    "SELECT pg_catalog.pg_create_logical_replication_slot('tenantry_probe', 'test_decoding')",
];

/// Large objects that anybody may have left.
const LARGE: &[&str] = &[
    "SELECT pg_catalog.convert_from(pg_catalog.lo_get(oid), 'SQL_ASCII') FROM pg_catalog.pg_largeobject_metadata LIMIT 500",
    "SELECT pg_catalog.encode(data, 'escape') FROM pg_catalog.pg_largeobject LIMIT 500",
];

/// The setting that holds a context with its signature: key's number, tenant, 64 hexadecimal digits.
const SIGNED: &str = "tenantry.context";

/// Settings that products keep a tenant in, tried beside those that are found.
const USUAL: &[&str] = &[
    "app.tenant_id",
    "app.current_tenant",
    SIGNED,
    "backtrace_functions",
    "rls.tenant_id",
    "myapp.current_tenant_id",
    "request.jwt.claims",
];

/// Everything but relations and functions.
pub(crate) fn targets(
    model: &CatalogModel,
    victim: Uuid,
    relations: &[(&Relation, Aim)],
    roles: &[Ident],
) -> Vec<Target> {
    let fixed = |texts: &[&'static str], verb, judge: &Judge| {
        texts.iter().map(|text| Statement::new(verb, Sql::new(text)).judged(judge.clone())).collect::<Vec<_>>()
    };
    let mut list = vec![
        Target { object: "the catalog".to_owned(), probes: fixed(CATALOG, Verb::Catalog, &Judge::Canary) },
        Target { object: "large objects".to_owned(), probes: fixed(LARGE, Verb::LargeObject, &Judge::Canary) },
        Target { object: "the server".to_owned(), probes: fixed(REFUSED, Verb::Server, &Judge::Refused) },
    ];
    let mut names: Vec<&str> = model.settings.iter().map(String::as_str).chain(USUAL.iter().copied()).collect();
    names.sort_unstable();
    names.dedup();
    list.extend(names.into_iter().map(|name| setting(name, victim, relations)));
    list.extend(roles.iter().map(|role| as_role(role, relations)));
    let mut off = Vec::new();
    for (relation, aim) in relations.iter().filter(|(_, aim)| !aim.pieces.is_empty()) {
        off.push(after(&Sql::new("SET LOCAL row_security = off; "), relation, aim, Verb::Setting));
    }
    list.push(Target { object: "setting row_security".to_owned(), probes: off });
    list
}

/// Puts the other tenant into a setting, then looks for its rows everywhere.
fn setting(name: &str, victim: Uuid, relations: &[(&Relation, Aim)]) -> Target {
    let mut probes = Vec::new();
    for (relation, aim) in relations.iter().filter(|(_, aim)| !aim.pieces.is_empty()) {
        for value in values(name, victim) {
            let mut pen = Pen::new("SELECT pg_catalog.set_config(");
            pen.literal(name).put(", ").literal(&value).put(", true); ");
            // The setting itself answers with a row.
            let statement = after(&pen.done(), relation, aim, Verb::Setting).judged(Judge::Canary);
            probes.push(statement);
        }
    }
    Target { object: ["setting ", name].concat(), probes }
}

/// The forms in which a setting may name the other tenant. A signed context is forged in its own form, or it would be
/// refused for that and not for its signature.
fn values(name: &str, victim: Uuid) -> Vec<String> {
    let mut values = vec![victim.to_string(), victim.simple().to_string()];
    if name == SIGNED {
        values.push(format!("1.{victim}.{}", "0".repeat(64)));
    }
    values
}

fn as_role(role: &Ident, relations: &[(&Relation, Aim)]) -> Target {
    let mut pen = Pen::new("SET LOCAL ROLE ");
    pen.name(role).put("; ");
    let before = pen.done();
    let aimed = relations.iter().filter(|(_, aim)| !aim.pieces.is_empty());
    let probes = aimed.map(|(relation, aim)| after(&before, relation, aim, Verb::Role)).collect();
    Target { object: ["role ", role.as_str()].concat(), probes }
}

/// A preparation, and the other tenant's rows of one relation.
fn after(before: &Sql, relation: &Relation, aim: &Aim, verb: Verb) -> Statement {
    let mut pen = Pen::new("");
    pen.sql(before).put("SELECT * FROM ").full(&relation.schema, &relation.name).put(" AS tenantry_row WHERE ");
    matching(&mut pen, aim);
    pen.put(" LIMIT 5");
    Statement::new(verb, pen.done()).judged(Judge::NoRows)
}
