//! Rights, roles, owners and publications.
//!
//! INVARIANT: only giving is reported; taking rights away is always fine.

use pg_query::Node;
use pg_query::protobuf::{
    AExprKind, AlterPublicationAction, AlterTableType, BoolExprType, GrantRoleStmt, GrantStmt, ObjectType,
    PublicationObjSpecType, RoleSpec, RoleSpecType,
};

use super::Context;
use super::objects::{defined, is_on};
use crate::schema::Class;
use crate::scope::{Problem, constant_text, shown};
use crate::tree::{self, NodeEnum};

/// Rights on tables that row-level security does not bind.
const UNBOUND: &[&str] = &["truncate", "references", "trigger", "maintain"];

/// Attributes of roles by which policies can be passed.
const PASSING: &[(&str, &str)] = &[
    ("superuser", "SUPERUSER"),
    ("bypassrls", "BYPASSRLS"),
    ("isreplication", "REPLICATION"),
    ("createrole", "CREATEROLE"),
    ("createdb", "CREATEDB"),
];

/// Roles of PostgreSQL that see or do what policies forbid.
const PASSING_ROLES: &[&str] = &[
    "pg_read_all_data",
    "pg_write_all_data",
    "pg_read_server_files",
    "pg_write_server_files",
    "pg_execute_server_program",
    "pg_monitor",
    "pg_read_all_stats",
    "pg_signal_backend",
    "pg_maintain",
    "pg_create_subscription",
];

/// Looks at grants, roles, owners and publications.
pub fn judge(statement: &NodeEnum, cx: &Context<'_>, found: &mut Vec<Problem>) {
    match statement {
        NodeEnum::GrantStmt(grant) if grant.is_grant => granted(grant, found),
        NodeEnum::AlterDefaultPrivilegesStmt(alter) => {
            if let Some(grant) = alter.action.as_ref().filter(|grant| grant.is_grant) {
                granted(grant, found);
            }
        }
        NodeEnum::GrantRoleStmt(grant) if grant.is_grant => membership(grant, found),
        NodeEnum::CreateRoleStmt(role) => attributes(&role.role, &role.options, found),
        NodeEnum::AlterRoleStmt(role) => {
            let name = role.role.as_ref().map(|role| role.rolename.clone()).unwrap_or_default();
            attributes(&name, &role.options, found);
        }
        NodeEnum::CreatePublicationStmt(publication) => {
            published(&publication.pubname, publication.for_all_tables, &publication.pubobjects, cx, found);
        }
        NodeEnum::AlterPublicationStmt(publication)
            if publication.action != AlterPublicationAction::ApDropObjects as i32 =>
        {
            published(&publication.pubname, publication.for_all_tables, &publication.pubobjects, cx, found);
        }
        NodeEnum::AlterOwnerStmt(alter) => {
            let what = alter.object.as_deref().and_then(|object| object.node.as_ref()).map(named).unwrap_or_default();
            found.push(Problem::new("TL221", 0, format!("`{what}` gets another owner")));
        }
        NodeEnum::ReassignOwnedStmt(_) => {
            found.push(Problem::new("TL221", 0, "everything a role owns gets another owner"));
        }
        NodeEnum::AlterTableStmt(alter) => {
            let Some(table) = &alter.relation else { return };
            let owner = |command: &Node| match command.node.as_ref() {
                Some(NodeEnum::AlterTableCmd(command)) => command.subtype == AlterTableType::AtChangeOwner as i32,
                _ => false,
            };
            if alter.cmds.iter().any(owner) {
                let message = format!("`{}` gets another owner", shown(table));
                found.push(Problem::new("TL221", tree::at(table.location).unwrap_or(0), message).table(shown(table)));
            }
        }
        _ => {}
    }
}

fn named(object: &NodeEnum) -> String {
    match object {
        NodeEnum::List(list) => tree::texts(&list.items).join("."),
        NodeEnum::ObjectWithArgs(object) => tree::texts(&object.objname).join("."),
        NodeEnum::String(name) => name.sval.clone(),
        _ => String::new(),
    }
}

fn role(node: &Node) -> Option<&RoleSpec> {
    match node.node.as_ref()? {
        NodeEnum::RoleSpec(role) => Some(role),
        _ => None,
    }
}

fn granted(grant: &GrantStmt, found: &mut Vec<Problem>) {
    let everybody =
        grant.grantees.iter().filter_map(role).find(|role| role.roletype == RoleSpecType::RolespecPublic as i32);
    if let Some(everybody) = everybody {
        let at = tree::at(everybody.location).unwrap_or(0);
        found.push(Problem::new("TL215", at, "the right is given to PUBLIC"));
    }
    if grant.objtype != ObjectType::ObjectTable as i32 {
        return;
    }
    let table = grant.objects.iter().find_map(|object| match object.node.as_ref() {
        Some(NodeEnum::RangeVar(table)) => Some(table),
        _ => None,
    });
    let names: Vec<String> = grant
        .privileges
        .iter()
        .filter_map(|privilege| match privilege.node.as_ref() {
            Some(NodeEnum::AccessPriv(privilege)) => Some(privilege.priv_name.to_lowercase()),
            _ => None,
        })
        .filter(|name| name.is_empty() || UNBOUND.contains(&name.as_str()))
        .map(|name| name.to_uppercase())
        .collect();
    let all = grant.privileges.is_empty();
    if all || !names.is_empty() {
        let what = if all { "ALL".to_owned() } else { names.join(", ") };
        let on = table.map_or_else(|| "tables".to_owned(), |table| format!("`{}`", shown(table)));
        let at = table.and_then(|table| tree::at(table.location)).unwrap_or(0);
        let mut problem = Problem::new("TL216", at, format!("{what} on {on} is given"));
        problem.table = table.map(shown);
        found.push(problem);
    }
}

fn membership(grant: &GrantRoleStmt, found: &mut Vec<Problem>) {
    for granted in &grant.granted_roles {
        if let Some(NodeEnum::AccessPriv(granted)) = granted.node.as_ref()
            && passes(&granted.priv_name)
        {
            found.push(Problem::new("TL217", 0, format!("membership in `{}` is given", granted.priv_name)));
        }
    }
}

/// Whether a member of a role can do what policies forbid: as PostgreSQL's own roles, as the one that holds the context, or
/// as an owner of tables, whose names Tenantry ends like this.
fn passes(role: &str) -> bool {
    PASSING_ROLES.contains(&role) || role.starts_with("tenantry_") || role.ends_with("_own")
}

fn attributes(name: &str, options: &[Node], found: &mut Vec<Problem>) {
    for option in defined(options).filter(|option| is_on(option)) {
        if let Some((_, word)) = PASSING.iter().find(|(known, _)| *known == option.defname) {
            let at = tree::at(option.location).unwrap_or(0);
            found.push(Problem::new("TL217", at, format!("role `{name}` gets {word}")));
        }
    }
}

fn published(name: &str, all: bool, objects: &[Node], cx: &Context<'_>, found: &mut Vec<Problem>) {
    if all {
        found.push(Problem::new("TL218", 0, format!("publication `{name}` has all tables")));
    }
    for object in objects.iter().filter_map(|object| object.node.as_ref()) {
        let NodeEnum::PublicationObjSpec(object) = object else { continue };
        if let Some(published) = object.pubtable.as_deref()
            && let Some(table) = published.relation.as_ref().filter(|table| cx.class(table) == Class::Tenant)
            && !tree::inner(&published.where_clause).is_some_and(|filter| is_one_tenant(filter, cx))
        {
            let message = format!("publication `{name}` has the rows of all tenants in `{}`", shown(table));
            found.push(Problem::new("TL218", tree::at(table.location).unwrap_or(0), message).table(shown(table)));
        }
        if object.pubobjtype == PublicationObjSpecType::PublicationobjTablesInSchema as i32
            || object.pubobjtype == PublicationObjSpecType::PublicationobjTablesInCurSchema as i32
        {
            let at = tree::at(object.location).unwrap_or(0);
            found.push(Problem::new("TL218", at, format!("publication `{name}` has all tables of a schema")));
        }
    }
}

/// Whether the filter of a publication holds for the rows of one tenant only.
fn is_one_tenant(filter: &NodeEnum, cx: &Context<'_>) -> bool {
    match filter {
        NodeEnum::BoolExpr(logic) if logic.boolop == BoolExprType::AndExpr as i32 => {
            logic.args.iter().filter_map(|part| part.node.as_ref()).any(|part| is_one_tenant(part, cx))
        }
        NodeEnum::AExpr(operation)
            if operation.kind == AExprKind::AexprOp as i32 && tree::is_operator(&operation.name, "=") =>
        {
            let is_tenant = |side: &NodeEnum| match side {
                NodeEnum::ColumnRef(column) => Some(tree::last(&column.fields)) == cx.tenant(),
                _ => false,
            };
            match (tree::inner(&operation.lexpr), tree::inner(&operation.rexpr)) {
                (Some(left), Some(right)) => {
                    (is_tenant(left) && constant_text(right).is_some())
                        || (is_tenant(right) && constant_text(left).is_some())
                }
                _ => false,
            }
        }
        _ => false,
    }
}
