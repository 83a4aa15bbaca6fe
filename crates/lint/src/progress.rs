//! What statements change for those behind them: the search path, tables that are new, tables of the session alone.
//!
//! INVARIANT: a temporary table is known only behind the statement that makes it, in the same input or body; it hides no
//! table of tenants.

use std::borrow::Cow;
use std::collections::BTreeSet;

use pg_query::protobuf::{DiscardMode, ObjectType, RangeVar, TransactionStmtKind};

use crate::routine::{self, Part};
use crate::schema::{Relation, Schema, is_temporary_schema};
use crate::scope::{Judge, analyse_view, constant_text, schema_of};
use crate::statement;
use crate::tree::{self, NodeEnum};

/// How far the statements of an input, or of a routine's body, have come.
#[derive(Debug, Clone)]
pub struct Progress<'a> {
    schema: Cow<'a, Schema>,
    path: Vec<String>,
    created: BTreeSet<String>,
}

impl<'a> Progress<'a> {
    /// The beginning of an input.
    pub fn new(schema: &'a Schema) -> Self {
        Self { schema: Cow::Borrowed(schema), path: Vec::new(), created: BTreeSet::new() }
    }

    /// The beginning of what stands inside of a statement.
    pub fn within(judge: Judge<'a>) -> Self {
        Self { schema: Cow::Borrowed(judge.schema), path: judge.path.to_vec(), created: judge.created.clone() }
    }

    /// Puts a schema before all others.
    pub fn enter(&mut self, schema: &str) {
        self.path = vec![schema.to_owned()];
    }

    /// What the next statement is judged by.
    pub fn judge<'s>(&'s self, judge: Judge<'s>) -> Judge<'s> {
        Judge { schema: &self.schema, path: &self.path, created: &self.created, ..judge }
    }

    /// The search path that the next statements have.
    pub fn into_path(self) -> Vec<String> {
        self.path
    }

    /// Takes note of what a statement changes. The caller's choices and the text come with `judge`.
    pub fn take(&mut self, statement: &NodeEnum, judge: Judge<'_>) {
        match statement {
            NodeEnum::DoStmt(_) => {
                let mut inside = self.clone();
                routine::parts(statement, self.judge(judge), &mut |part| {
                    if let Part::Statement { tree, text, variables, .. } = part {
                        inside.take(tree, Judge { text, variables, depth: judge.depth + 1, ..judge });
                    }
                });
                *self = inside;
                return;
            }
            NodeEnum::DropStmt(drop) => self.dropped(drop),
            NodeEnum::DiscardStmt(discard)
                if discard.target == DiscardMode::DiscardAll as i32
                    || discard.target == DiscardMode::DiscardTemp as i32 =>
            {
                self.forget();
            }
            NodeEnum::TransactionStmt(end)
                if end.kind == TransactionStmtKind::TransStmtRollback as i32
                    || end.kind == TransactionStmtKind::TransStmtRollbackTo as i32 =>
            {
                self.forget();
            }
            _ => {}
        }
        if let Some((name, relation)) = self.temporary(statement, judge) {
            self.schema.to_mut().temporary(name, relation);
        }
        if let Some(table) = statement::created(statement) {
            self.created.insert(table);
        }
        if let Some(path) = search_path(statement) {
            self.path = path;
        }
    }

    /// The temporary table or view that a statement makes.
    fn temporary(&self, statement: &NodeEnum, judge: Judge<'_>) -> Option<(String, Relation)> {
        let table = statement::creates(statement).filter(|table| is_temporary(table))?;
        let mut relation = Relation { temporary: true, ..Relation::default() };
        if let NodeEnum::ViewStmt(view) = statement {
            // A view keeps no rows of its own: whoever reads it is asked.
            relation.temporary = false;
            relation.columns = analyse_view(tree::inner(&view.query)?, &view.aliases, self.judge(judge)).1;
        }
        Some((table.relname.clone(), relation))
    }

    fn dropped(&mut self, drop: &pg_query::protobuf::DropStmt) {
        let kind = ObjectType::try_from(drop.remove_type);
        if !matches!(kind, Ok(ObjectType::ObjectTable | ObjectType::ObjectView)) {
            return;
        }
        for object in drop.objects.iter().filter_map(|object| object.node.as_ref()) {
            if let NodeEnum::List(name) = object {
                let (schema, name) = tree::qualified(&name.items);
                if schema.is_none_or(is_temporary_schema) && self.schema.has_temporary(name) {
                    self.schema.to_mut().forget_temporary(name);
                }
            }
        }
    }

    fn forget(&mut self) {
        if self.schema.has_any_temporary() {
            self.schema.to_mut().forget_all_temporary();
        }
    }
}

/// Whether a table lives in the session alone.
pub fn is_temporary(table: &RangeVar) -> bool {
    table.relpersistence == "t" || schema_of(table).is_some_and(is_temporary_schema)
}

/// The search path that a statement sets.
fn search_path(statement: &NodeEnum) -> Option<Vec<String>> {
    match statement {
        NodeEnum::VariableSetStmt(set) if set.name == "search_path" => {
            let names = set.args.iter().filter_map(|name| constant_text(name.node.as_ref()?));
            Some(names.filter(|name| !name.is_empty()).collect())
        }
        NodeEnum::SelectStmt(select) => {
            let NodeEnum::ResTarget(target) = select.target_list.first()?.node.as_ref()? else { return None };
            let NodeEnum::FuncCall(call) = tree::inner(&target.val)? else { return None };
            let arguments: Vec<_> = call.args.iter().map(|it| constant_text(it.node.as_ref()?)).collect();
            match (tree::last(&call.funcname), arguments.as_slice()) {
                ("set_config", [Some(name), Some(value), ..]) if name == "search_path" => {
                    Some(value.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect())
                }
                _ => None,
            }
        }
        _ => None,
    }
}
