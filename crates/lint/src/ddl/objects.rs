//! Views, functions, rules and what else reads tables with other rights than the caller's.
//!
//! INVARIANT: an object that PostgreSQL runs past the caller's policies is reported, whatever it does.

use pg_query::Node;
use pg_query::protobuf::{AlterFunctionStmt, AlterTableType, CreateFunctionStmt, DefElem, ObjectType, ViewStmt};

use super::Context;
use crate::schema::Class;
use crate::scope::{Problem, analyse_view, constant_text, shown};
use crate::tree::{self, NodeEnum};

/// Looks at the definitions of objects.
pub fn judge(statement: &NodeEnum, cx: &Context<'_>, found: &mut Vec<Problem>) {
    match statement {
        NodeEnum::ViewStmt(view) => self::view(view, cx, found),
        NodeEnum::CreateTableAsStmt(create) if create.objtype == ObjectType::ObjectMatview as i32 => {
            let Some((into, query)) = create.into.as_deref().zip(tree::inner(&create.query)) else { return };
            let Some(table) = &into.rel else { return };
            let (outcome, _) = analyse_view(query, &into.col_names, cx.judge);
            if let Some(first) = outcome.tables.first() {
                let message = format!("the materialized view `{}` keeps rows of `{first}`", shown(table));
                found.push(Problem::new("TL212", tree::at(table.location).unwrap_or(0), message).table(first.clone()));
            }
        }
        NodeEnum::AlterTableStmt(alter) if alter.objtype == ObjectType::ObjectView as i32 => {
            let Some(view) = alter.relation.as_ref().filter(|view| cx.class(view) != Class::Reference) else { return };
            for command in alter.cmds.iter().filter_map(|command| command.node.as_ref()) {
                let NodeEnum::AlterTableCmd(command) = command else { continue };
                let options = match tree::inner(&command.def) {
                    Some(NodeEnum::List(options)) => options.items.as_slice(),
                    _ => continue,
                };
                let named = defined(options).any(|option| option.defname == "security_invoker");
                let taken = match AlterTableType::try_from(command.subtype) {
                    Ok(AlterTableType::AtSetRelOptions) => named && !is_invoker(options),
                    Ok(AlterTableType::AtReplaceRelOptions) => !is_invoker(options),
                    Ok(AlterTableType::AtResetRelOptions) => named,
                    _ => false,
                };
                if taken {
                    let message = format!("the view `{}` reads with the rights of its owner from here on", shown(view));
                    found.push(Problem::new("TL211", tree::at(view.location).unwrap_or(0), message).table(shown(view)));
                }
            }
        }
        NodeEnum::CreateFunctionStmt(function) => created(function, found),
        NodeEnum::AlterFunctionStmt(function) => altered(function, found),
        NodeEnum::CreateForeignTableStmt(create) => {
            if let Some(table) = create.base_stmt.as_ref().and_then(|base| base.relation.as_ref()) {
                let message = format!("`{}` is a foreign table", shown(table));
                found.push(Problem::new("TL219", tree::at(table.location).unwrap_or(0), message).table(shown(table)));
            }
        }
        NodeEnum::ImportForeignSchemaStmt(import) => {
            let message = format!("foreign tables are made of the schema `{}`", import.remote_schema);
            found.push(Problem::new("TL219", 0, message));
        }
        NodeEnum::RuleStmt(rule) => {
            let Some(table) = &rule.relation else { return };
            let message = format!("rule `{}` rewrites statements on `{}`", rule.rulename, shown(table));
            found.push(Problem::new("TL220", tree::at(table.location).unwrap_or(0), message).table(shown(table)));
        }
        _ => {}
    }
}

fn view(view: &ViewStmt, cx: &Context<'_>, found: &mut Vec<Problem>) {
    let Some((name, query)) = view.view.as_ref().zip(tree::inner(&view.query)) else { return };
    let (outcome, _) = analyse_view(query, &view.aliases, cx.judge);
    // A view of reference tables shows nothing that its reader could not see anyway.
    let Some(first) = outcome.tables.first().cloned() else { return };
    let at = tree::at(name.location).unwrap_or(0);
    if !is_invoker(&view.options) {
        let message = format!("the view `{}` reads `{first}` with the rights of its owner", shown(name));
        found.push(Problem::new("TL211", at, message).table(first));
    }
    if cx.class(name) == Class::Tenant || !outcome.problems.is_empty() {
        found.extend(outcome.problems);
    }
}

fn is_invoker(options: &[Node]) -> bool {
    defined(options).any(|option| {
        let value = tree::inner(&option.arg);
        let text = match value {
            Some(NodeEnum::String(text)) => Some(text.sval.to_lowercase()),
            Some(NodeEnum::Integer(number)) => Some(number.ival.to_string()),
            Some(NodeEnum::Boolean(value)) => Some(value.boolval.to_string()),
            Some(NodeEnum::TypeName(name)) => Some(tree::last(&name.names).to_lowercase()),
            _ => None,
        };
        let on = value.is_none() || matches!(text.as_deref(), Some("true" | "on" | "yes" | "1" | "t"));
        option.defname == "security_invoker" && on
    })
}

/// The definitions among nodes.
pub fn defined(nodes: &[Node]) -> impl Iterator<Item = &DefElem> {
    nodes.iter().filter_map(|node| match node.node.as_ref() {
        Some(NodeEnum::DefElem(definition)) => Some(&**definition),
        _ => None,
    })
}

/// Whether a definition is switched on.
pub fn is_on(definition: &DefElem) -> bool {
    match tree::inner(&definition.arg) {
        Some(NodeEnum::Boolean(value)) => value.boolval,
        Some(NodeEnum::Integer(number)) => number.ival != 0,
        Some(NodeEnum::String(text)) => text.sval != "false",
        _ => true,
    }
}

fn created(function: &CreateFunctionStmt, found: &mut Vec<Problem>) {
    let name = tree::texts(&function.funcname).join(".");
    attributes(&name, &function.options, found);
}

fn altered(function: &AlterFunctionStmt, found: &mut Vec<Problem>) {
    let name = function.func.as_ref().map(|function| tree::texts(&function.objname).join(".")).unwrap_or_default();
    attributes(&name, &function.actions, found);
}

fn attributes(name: &str, options: &[Node], found: &mut Vec<Problem>) {
    let has_path = defined(options).any(|option| match tree::inner(&option.arg) {
        Some(NodeEnum::VariableSetStmt(set)) => option.defname == "set" && set.name == "search_path",
        _ => false,
    });
    for option in defined(options).filter(|option| is_on(option)) {
        let at = tree::at(option.location).unwrap_or(0);
        match option.defname.as_str() {
            "security" => {
                let worse = if has_path { "" } else { ", and the caller's search_path decides what its names mean" };
                found.push(Problem::new("TL213", at, format!("`{name}` runs as its owner{worse}")));
            }
            "leakproof" => found.push(Problem::new("TL214", at, format!("`{name}` is declared leakproof"))),
            _ => {}
        }
    }
}

/// The language of a routine, in lower case.
pub fn language(options: &[Node]) -> Option<String> {
    defined(options).find(|option| option.defname == "language").and_then(|option| match tree::inner(&option.arg)? {
        NodeEnum::String(name) => Some(name.sval.to_lowercase()),
        other => constant_text(other).map(|name| name.to_lowercase()),
    })
}
