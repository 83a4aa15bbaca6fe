//! The tenant column itself: it stays, under its name, and no row gets a tenant that nobody has named.
//!
//! INVARIANT: a table or view of tenants is one for the rest of the inputs, whatever is said of its column.

use pg_query::protobuf::{AlterTableType, ConstrType, ObjectType, RangeVar};

use super::Context;
use crate::catalog::constraints;
use crate::schema::Class;
use crate::scope::{Problem, shown};
use crate::tree::{self, NodeEnum};

/// Looks at what becomes of the tenant column.
pub fn judge(statement: &NodeEnum, cx: &Context<'_>, found: &mut Vec<Problem>) {
    let Some(tenant) = cx.tenant() else { return };
    match statement {
        NodeEnum::RenameStmt(rename)
            if rename.rename_type == ObjectType::ObjectColumn as i32 && rename.subname == tenant =>
        {
            if let Some(table) = rename.relation.as_ref().filter(|table| cx.class(table) == Class::Tenant) {
                let message = format!("`{}.{tenant}` gets another name", shown(table));
                report("TL222", None, table, message, found);
            }
        }
        NodeEnum::CreateStmt(create) => {
            let Some(table) = &create.relation else { return };
            for element in create.table_elts.iter().filter_map(|element| element.node.as_ref()) {
                if let NodeEnum::ColumnDef(column) = element {
                    defined(column, tenant, table, found);
                }
            }
        }
        NodeEnum::AlterTableStmt(alter) => {
            let Some(table) = &alter.relation else { return };
            for command in alter.cmds.iter().filter_map(|command| command.node.as_ref()) {
                let NodeEnum::AlterTableCmd(command) = command else { continue };
                match (AlterTableType::try_from(command.subtype), tree::inner(&command.def)) {
                    (Ok(AlterTableType::AtDropColumn), _)
                        if command.name == tenant && cx.class(table) == Class::Tenant =>
                    {
                        report("TL222", None, table, format!("`{}.{tenant}` is dropped", shown(table)), found);
                    }
                    (Ok(AlterTableType::AtAddColumn), Some(NodeEnum::ColumnDef(column))) => {
                        defined(column, tenant, table, found);
                    }
                    (Ok(AlterTableType::AtColumnDefault), Some(default))
                        if command.name == tenant && is_constant(default) =>
                    {
                        fixed(tree::location(default), tenant, table, found);
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn defined(column: &pg_query::protobuf::ColumnDef, tenant: &str, table: &RangeVar, found: &mut Vec<Problem>) {
    if column.colname != tenant {
        return;
    }
    for constraint in constraints(column).filter(|it| it.contype == ConstrType::ConstrDefault as i32) {
        if let Some(default) = tree::inner(&constraint.raw_expr).filter(|default| is_constant(default)) {
            fixed(tree::location(default), tenant, table, found);
        }
    }
}

fn fixed(at: Option<usize>, tenant: &str, table: &RangeVar, found: &mut Vec<Problem>) {
    let message = format!("rows of `{}` that name no `{tenant}` all get the same one", shown(table));
    report("TL223", at, table, message, found);
}

fn report(rule: &'static str, at: Option<usize>, table: &RangeVar, message: String, found: &mut Vec<Problem>) {
    let at = at.or_else(|| tree::at(table.location)).unwrap_or(0);
    found.push(Problem::new(rule, at, message).table(shown(table)));
}

/// Whether an expression is a constant that is not NULL, through casts.
fn is_constant(expression: &NodeEnum) -> bool {
    match expression {
        NodeEnum::AConst(constant) => !constant.isnull,
        NodeEnum::TypeCast(cast) => tree::inner(&cast.arg).is_some_and(is_constant),
        _ => false,
    }
}
