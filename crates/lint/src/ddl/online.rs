//! What a change of structure does to statements that run meanwhile, and to the version that runs next to it.
//!
//! INVARIANT: a table that the same input has created is used by nobody yet, so nothing here speaks of it.

use pg_query::protobuf::{
    AlterTableCmd, AlterTableType, ColumnDef, ConstrType, Constraint, ObjectType, RangeVar, ReindexObjectType,
};

use super::Context;
use super::objects::{defined, is_on};
use crate::catalog::constraints;
use crate::scope::{Problem, shown};
use crate::tree::{self, NodeEnum};

/// Functions whose result differs from row to row, or may; a default of anything else is kept in the catalog.
const STABLE: &[&str] = &["now", "transaction_timestamp", "statement_timestamp", "current_setting", "current_tenant"];

/// Looks at locks, rewrites and removals.
pub fn judge(statement: &NodeEnum, cx: &Context<'_>, found: &mut Vec<Problem>) {
    match statement {
        NodeEnum::AlterTableStmt(alter) if alter.objtype == ObjectType::ObjectTable as i32 => {
            let Some(table) = alter.relation.as_ref().filter(|table| !cx.is_new(table)) else { return };
            for command in alter.cmds.iter().filter_map(|command| command.node.as_ref()) {
                if let NodeEnum::AlterTableCmd(command) = command {
                    altered(command, table, found);
                }
            }
        }
        NodeEnum::IndexStmt(index) if !index.concurrent => {
            let Some(table) = index.relation.as_ref().filter(|table| !cx.is_new(table)) else { return };
            let message = format!("writers of `{}` wait until the index is made", shown(table));
            report("TL403", table, message, found);
        }
        NodeEnum::RenameStmt(rename) => {
            let Some(table) = rename.relation.as_ref().filter(|table| !cx.is_new(table)) else { return };
            let name = shown(table);
            let message = match ObjectType::try_from(rename.rename_type) {
                Ok(ObjectType::ObjectColumn) => format!("`{name}.{}` gets another name", rename.subname),
                Ok(ObjectType::ObjectTable | ObjectType::ObjectView) => format!("`{name}` gets another name"),
                _ => return,
            };
            report("TL406", table, message, found);
        }
        NodeEnum::DropStmt(drop) => dropped(drop, cx, found),
        NodeEnum::VacuumStmt(vacuum) => {
            let full = defined(&vacuum.options).any(|option| option.defname == "full" && is_on(option));
            if vacuum.is_vacuumcmd && full {
                found.push(Problem::new("TL407", 0, "VACUUM FULL locks the table until it is written anew"));
            }
        }
        NodeEnum::ClusterStmt(_) => {
            found.push(Problem::new("TL407", 0, "CLUSTER locks the table until it is written anew"));
        }
        NodeEnum::ReindexStmt(reindex) => {
            let concurrent = defined(&reindex.params).any(|option| option.defname == "concurrently" && is_on(option));
            let what = match ReindexObjectType::try_from(reindex.kind) {
                Ok(ReindexObjectType::ReindexObjectIndex) => "the index",
                _ => "the indexes",
            };
            if !concurrent {
                found.push(Problem::new("TL407", 0, format!("writers wait until {what} are made anew")));
            }
        }
        NodeEnum::LockStmt(lock) => {
            for table in lock.relations.iter().filter_map(|table| table.node.as_ref()) {
                if let NodeEnum::RangeVar(table) = table {
                    report("TL408", table, format!("`{}` is locked", shown(table)), found);
                }
            }
        }
        _ => {}
    }
}

fn report(rule: &'static str, table: &RangeVar, message: String, found: &mut Vec<Problem>) {
    found.push(Problem::new(rule, tree::at(table.location).unwrap_or(0), message).table(shown(table)));
}

fn dropped(drop: &pg_query::protobuf::DropStmt, cx: &Context<'_>, found: &mut Vec<Problem>) {
    let kind = ObjectType::try_from(drop.remove_type);
    for object in drop.objects.iter().filter_map(|object| object.node.as_ref()) {
        let NodeEnum::List(name) = object else { continue };
        let name = tree::texts(&name.items).join(".");
        let known = name.rsplit('.').next().is_some_and(|last| cx.judge.created.contains(last));
        match kind {
            Ok(ObjectType::ObjectTable | ObjectType::ObjectView) if !known => {
                found.push(Problem::new("TL406", 0, format!("`{name}` is dropped")).table(name));
            }
            Ok(ObjectType::ObjectIndex) if !drop.concurrent => {
                found.push(Problem::new("TL403", 0, format!("everybody waits while the index `{name}` is dropped")));
            }
            _ => {}
        }
    }
}

fn altered(command: &AlterTableCmd, table: &RangeVar, found: &mut Vec<Problem>) {
    let name = shown(table);
    let column = &command.name;
    let mut say = |rule, at: Option<usize>, message: String| {
        let at = at.or_else(|| tree::at(table.location)).unwrap_or(0);
        found.push(Problem::new(rule, at, message).table(name.clone()));
    };
    match (AlterTableType::try_from(command.subtype), tree::inner(&command.def)) {
        (Ok(AlterTableType::AtAddColumn), Some(NodeEnum::ColumnDef(added))) => column_added(added, table, found),
        (Ok(AlterTableType::AtAlterColumnType), _) => {
            say("TL404", None, format!("`{name}.{column}` gets another type"))
        }
        (Ok(AlterTableType::AtSetNotNull), _) => {
            say("TL405", None, format!("every row of `{name}` is read to see that `{column}` is never NULL"));
        }
        (Ok(AlterTableType::AtAddConstraint), Some(NodeEnum::Constraint(constraint))) => {
            if let Some(what) = checked_at_once(constraint) {
                say("TL405", tree::at(constraint.location), format!("{what} on `{name}` while writers wait"));
            }
        }
        (Ok(AlterTableType::AtDetachPartition), _) => {
            say("TL406", None, format!("the rows of a partition leave `{name}`"));
        }
        (Ok(AlterTableType::AtDropColumn), _) => say("TL406", None, format!("`{name}.{column}` is dropped")),
        (
            Ok(
                AlterTableType::AtSetTableSpace
                | AlterTableType::AtSetAccessMethod
                | AlterTableType::AtSetLogged
                | AlterTableType::AtSetUnLogged,
            ),
            _,
        ) => say("TL407", None, format!("`{name}` is written anew while everybody waits")),
        _ => {}
    }
}

fn checked_at_once(constraint: &Constraint) -> Option<&'static str> {
    match ConstrType::try_from(constraint.contype) {
        Ok(ConstrType::ConstrForeign) if !constraint.skip_validation => Some("a foreign key is checked for every row"),
        Ok(ConstrType::ConstrCheck) if !constraint.skip_validation => Some("a check is made for every row"),
        Ok(ConstrType::ConstrNotnull) if !constraint.skip_validation => Some("NOT NULL is checked for every row"),
        Ok(ConstrType::ConstrPrimary | ConstrType::ConstrUnique) if constraint.indexname.is_empty() => {
            Some("the index of a key is made")
        }
        Ok(ConstrType::ConstrExclusion) => Some("the index of an exclusion is made"),
        _ => None,
    }
}

fn column_added(column: &ColumnDef, table: &RangeVar, found: &mut Vec<Problem>) {
    let name = shown(table);
    let at = tree::at(column.location).or_else(|| tree::at(table.location)).unwrap_or(0);
    let kinds: Vec<_> =
        constraints(column).map(|constraint| (ConstrType::try_from(constraint.contype), constraint)).collect();
    let has = |kind: ConstrType| kinds.iter().any(|(known, _)| *known == Ok(kind));
    let default = kinds.iter().find(|(kind, _)| *kind == Ok(ConstrType::ConstrDefault)).map(|(_, it)| &it.raw_expr);
    let volatile = default.and_then(tree::inner).is_some_and(is_volatile);
    let serial = column.type_name.as_ref().is_some_and(|it| tree::last(&it.names).contains("serial"));
    let stored = kinds.iter().any(|(kind, it)| *kind == Ok(ConstrType::ConstrGenerated) && it.generated_kind != "v");
    if volatile || serial || stored || has(ConstrType::ConstrIdentity) {
        let message = format!("`{name}.{}` has to be written into every row", column.colname);
        found.push(Problem::new("TL401", at, message).table(name.clone()));
    }
    let filled = default.is_some() || serial || has(ConstrType::ConstrIdentity) || has(ConstrType::ConstrGenerated);
    let required = column.is_not_null || has(ConstrType::ConstrNotnull) || has(ConstrType::ConstrPrimary);
    if required && !filled {
        let message = format!("`{name}.{}` is required and has no default", column.colname);
        found.push(Problem::new("TL402", at, message).table(name));
    }
}

/// Whether a default may differ from row to row. Unknown functions count as such.
fn is_volatile(expression: &NodeEnum) -> bool {
    let mut waiting = vec![expression];
    while let Some(node) = waiting.pop() {
        if let NodeEnum::FuncCall(call) = node
            && !STABLE.contains(&tree::last(&call.funcname))
        {
            return true;
        }
        tree::children(node, &mut waiting);
    }
    false
}
