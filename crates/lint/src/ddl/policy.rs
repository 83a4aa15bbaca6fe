//! Policies: there is one text that is right, and nobody takes it off.
//!
//! INVARIANT: only exactly the canonical text passes; a policy that can only hide more is free.

use pg_query::protobuf::{AExprKind, AlterTableType, CreatePolicyStmt, ObjectType, SubLinkType};

use super::Context;
use crate::scope::{Judge, Problem, shown};
use crate::tree::{self, NodeEnum};

/// Whether a policy is permissive, for all commands, and lets through exactly the rows of the context's tenant.
pub fn is_canonical(policy: &CreatePolicyStmt, judge: Judge<'_>) -> bool {
    let using = tree::inner(&policy.qual).is_some_and(|text| is_canonical_text(text, judge));
    let check = tree::inner(&policy.with_check).is_none_or(|text| is_canonical_text(text, judge));
    policy.permissive && matches!(policy.cmd_name.as_str(), "all" | "") && using && check
}

/// `tenant_id = (SELECT current_tenant())`, either way round, with a context function that is not a bare setting.
fn is_canonical_text(text: &NodeEnum, judge: Judge<'_>) -> bool {
    let NodeEnum::AExpr(operation) = text else { return false };
    let equality = operation.kind == AExprKind::AexprOp as i32 && tree::is_operator(&operation.name, "=");
    let sides = (tree::inner(&operation.lexpr), tree::inner(&operation.rexpr));
    let (Some(left), Some(right)) = sides else { return false };
    let is_pair = |column: &NodeEnum, context: &NodeEnum| is_tenant(column, judge) && is_context(context, judge);
    equality && (is_pair(left, right) || is_pair(right, left))
}

fn is_tenant(column: &NodeEnum, judge: Judge<'_>) -> bool {
    match column {
        NodeEnum::ColumnRef(column) => Some(tree::last(&column.fields)) == judge.schema.tenant_column(),
        _ => false,
    }
}

fn is_context(value: &NodeEnum, judge: Judge<'_>) -> bool {
    let NodeEnum::SubLink(link) = value else { return false };
    let Some(NodeEnum::SelectStmt(select)) = tree::inner(&link.subselect) else { return false };
    let [target] = select.target_list.as_slice() else { return false };
    let Some(NodeEnum::ResTarget(target)) = target.node.as_ref() else { return false };
    let Some(NodeEnum::FuncCall(call)) = tree::inner(&target.val) else { return false };
    let name = tree::texts(&call.funcname).join(".");
    link.sub_link_type == SubLinkType::ExprSublink as i32
        && select.from_clause.is_empty()
        && select.where_clause.is_none()
        && call.args.is_empty()
        && judge.options.is_context_function(&name)
}

/// Looks at policies and at what switches them off.
pub fn judge(statement: &NodeEnum, cx: &Context<'_>, found: &mut Vec<Problem>) {
    match statement {
        NodeEnum::CreatePolicyStmt(policy) if policy.permissive && !is_canonical(policy, cx.judge) => {
            let Some(table) = &policy.table else { return };
            let (name, tenant) = (shown(table), cx.tenant().unwrap_or("tenant_id"));
            let message = format!(
                "policy `{}` on `{name}` does not compare `{tenant}` with `tenantry.current_tenant()` in the canonical form, for all commands",
                policy.policy_name
            );
            found.push(Problem::new("TL209", tree::at(table.location).unwrap_or(0), message).table(name));
        }
        NodeEnum::AlterPolicyStmt(policy) => {
            let Some(table) = &policy.table else { return };
            let message = format!("policy `{}` on `{}` is changed", policy.policy_name, shown(table));
            found.push(Problem::new("TL210", tree::at(table.location).unwrap_or(0), message).table(shown(table)));
        }
        NodeEnum::DropStmt(drop) if drop.remove_type == ObjectType::ObjectPolicy as i32 => {
            for object in drop.objects.iter().filter_map(|object| object.node.as_ref()) {
                if let NodeEnum::List(name) = object {
                    let parts = tree::texts(&name.items);
                    let [.., table, policy] = parts.as_slice() else { continue };
                    let message = format!("policy `{policy}` on `{table}` is dropped");
                    found.push(Problem::new("TL210", 0, message).table(*table));
                }
            }
        }
        NodeEnum::AlterTableStmt(alter) => {
            let Some(table) = &alter.relation else { return };
            for command in alter.cmds.iter().filter_map(|command| command.node.as_ref()) {
                let NodeEnum::AlterTableCmd(command) = command else { continue };
                let what = match AlterTableType::try_from(command.subtype) {
                    Ok(AlterTableType::AtDisableRowSecurity) => "is disabled",
                    Ok(AlterTableType::AtNoForceRowSecurity) => "no longer binds the owner",
                    _ => continue,
                };
                let message = format!("row-level security of `{}` {what}", shown(table));
                found.push(Problem::new("TL210", tree::at(table.location).unwrap_or(0), message).table(shown(table)));
            }
        }
        _ => {}
    }
}
