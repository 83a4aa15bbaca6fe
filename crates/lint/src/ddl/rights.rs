//! Rights, roles, owners and publications.
//!
//! INVARIANT: only giving is reported; taking rights away is always fine.

use pg_query::Node;
use pg_query::protobuf::{
    AlterTableType, GrantRoleStmt, GrantStmt, ObjectType, PublicationObjSpecType, RoleSpec, RoleSpecType,
};

use super::objects::{defined, is_on};
use crate::scope::{Problem, shown};
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
pub fn judge(statement: &NodeEnum, found: &mut Vec<Problem>) {
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
            published(&publication.pubname, publication.for_all_tables, &publication.pubobjects, found);
        }
        NodeEnum::AlterPublicationStmt(publication) => {
            published(&publication.pubname, publication.for_all_tables, &publication.pubobjects, found);
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
            && PASSING_ROLES.contains(&granted.priv_name.as_str())
        {
            found.push(Problem::new("TL217", 0, format!("membership in `{}` is given", granted.priv_name)));
        }
    }
}

fn attributes(name: &str, options: &[Node], found: &mut Vec<Problem>) {
    for option in defined(options).filter(|option| is_on(option)) {
        if let Some((_, word)) = PASSING.iter().find(|(known, _)| *known == option.defname) {
            let at = tree::at(option.location).unwrap_or(0);
            found.push(Problem::new("TL217", at, format!("role `{name}` gets {word}")));
        }
    }
}

fn published(name: &str, all: bool, objects: &[Node], found: &mut Vec<Problem>) {
    if all {
        found.push(Problem::new("TL218", 0, format!("publication `{name}` has all tables")));
    }
    for object in objects.iter().filter_map(|object| object.node.as_ref()) {
        if let NodeEnum::PublicationObjSpec(object) = object
            && (object.pubobjtype == PublicationObjSpecType::PublicationobjTablesInSchema as i32
                || object.pubobjtype == PublicationObjSpecType::PublicationobjTablesInCurSchema as i32)
        {
            let at = tree::at(object.location).unwrap_or(0);
            found.push(Problem::new("TL218", at, format!("publication `{name}` has all tables of a schema")));
        }
    }
}
