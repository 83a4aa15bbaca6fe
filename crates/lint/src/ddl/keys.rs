//! Keys: what is unique among all tenants, and references that can cross.
//!
//! INVARIANT: a key of a tenant table has the tenant column; a reference between tenant tables has it on both sides.

use pg_query::protobuf::{AlterTableType, ConstrType, Constraint, CreateStmt, IndexStmt, RangeVar};

use super::Context;
use crate::catalog::{constraints, index_columns};
use crate::schema::Class;
use crate::scope::{Problem, shown};
use crate::tree::{self, NodeEnum};

/// Looks at constraints and unique indexes.
pub fn judge(statement: &NodeEnum, cx: &Context<'_>, found: &mut Vec<Problem>) {
    match statement {
        NodeEnum::CreateStmt(create) => created(create, cx, found),
        NodeEnum::AlterTableStmt(alter) => {
            let Some(table) = &alter.relation else { return };
            for command in alter.cmds.iter().filter_map(|command| command.node.as_ref()) {
                let NodeEnum::AlterTableCmd(command) = command else { continue };
                match (AlterTableType::try_from(command.subtype), tree::inner(&command.def)) {
                    (Ok(AlterTableType::AtAddConstraint), Some(NodeEnum::Constraint(constraint))) => {
                        constrained(constraint, None, table, cx, found);
                    }
                    (Ok(AlterTableType::AtAddColumn), Some(NodeEnum::ColumnDef(column))) => {
                        for constraint in constraints(column) {
                            constrained(constraint, Some(&column.colname), table, cx, found);
                        }
                    }
                    _ => {}
                }
            }
        }
        NodeEnum::IndexStmt(index) if index.unique => unique_index(index, cx, found),
        _ => {}
    }
}

fn created(create: &CreateStmt, cx: &Context<'_>, found: &mut Vec<Problem>) {
    let Some(table) = &create.relation else { return };
    for element in create.table_elts.iter().filter_map(|element| element.node.as_ref()) {
        match element {
            NodeEnum::Constraint(constraint) => constrained(constraint, None, table, cx, found),
            NodeEnum::ColumnDef(column) => {
                for constraint in constraints(column) {
                    constrained(constraint, Some(&column.colname), table, cx, found);
                }
            }
            _ => {}
        }
    }
}

fn constrained(
    constraint: &Constraint,
    column: Option<&str>,
    table: &RangeVar,
    cx: &Context<'_>,
    found: &mut Vec<Problem>,
) {
    let Some(tenant) = cx.tenant().filter(|_| cx.class(table) == Class::Tenant) else { return };
    let at = tree::at(constraint.location).or_else(|| tree::at(table.location)).unwrap_or(0);
    let what = match ConstrType::try_from(constraint.contype) {
        Ok(ConstrType::ConstrPrimary) => "primary key",
        Ok(ConstrType::ConstrUnique) => "unique constraint",
        Ok(ConstrType::ConstrExclusion) => "exclusion constraint",
        Ok(ConstrType::ConstrForeign) => return reference(constraint, column, (table, at), cx, found),
        _ => return,
    };
    // The key of an index that is there already was judged with the index.
    if !constraint.indexname.is_empty() {
        return;
    }
    let mut keys = tree::texts(&constraint.keys);
    keys.extend(column.filter(|_| constraint.keys.is_empty()));
    let excluded = constraint.exclusions.iter().any(|pair| match pair.node.as_ref() {
        Some(NodeEnum::List(pair)) => pair.items.iter().any(|part| match part.node.as_ref() {
            Some(NodeEnum::IndexElem(element)) => element.name == tenant,
            _ => false,
        }),
        _ => false,
    });
    if !keys.contains(&tenant) && !excluded {
        let name = shown(table);
        let message = format!("the {what} of `{name}` lacks `{tenant}`: it holds among all tenants");
        found.push(Problem::new("TL204", at, message).table(name));
    }
}

fn reference(
    constraint: &Constraint,
    column: Option<&str>,
    table: (&RangeVar, usize),
    cx: &Context<'_>,
    found: &mut Vec<Problem>,
) {
    let (table, at) = table;
    let (Some(target), Some(tenant)) = (&constraint.pktable, cx.tenant()) else { return };
    if cx.class(target) != Class::Tenant {
        return;
    }
    let mut ours = tree::texts(&constraint.fk_attrs);
    ours.extend(column.filter(|_| constraint.fk_attrs.is_empty()));
    let theirs = tree::texts(&constraint.pk_attrs);
    // The tenant column alone refers to the list of tenants, whatever that table is called.
    if ours == [tenant] {
        return;
    }
    let position = ours.iter().position(|column| *column == tenant);
    let paired = position.is_some_and(|position| match theirs.get(position) {
        Some(other) => *other == tenant,
        // Without a list the primary key is meant, whose rule is its own.
        None => theirs.is_empty(),
    });
    if !paired {
        let (name, other) = (shown(table), shown(target));
        let message = format!("the reference from `{name}` to `{other}` lacks `{tenant}` on both sides");
        found.push(Problem::new("TL205", at, message).table(name));
    }
}

fn unique_index(index: &IndexStmt, cx: &Context<'_>, found: &mut Vec<Problem>) {
    let (Some(table), Some(tenant)) = (&index.relation, cx.tenant()) else { return };
    let columns = index_columns(&index.index_params);
    if cx.class(table) == Class::Tenant && !columns.iter().flatten().any(|column| column == tenant) {
        let name = shown(table);
        let message = format!("the unique index on `{name}` lacks `{tenant}`: it holds among all tenants");
        found.push(Problem::new("TL204", tree::at(table.location).unwrap_or(0), message).table(name));
    }
}
