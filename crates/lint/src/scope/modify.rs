//! INSERT, UPDATE and DELETE: who gives the tenant column its value, and whose rows are changed.
//!
//! INVARIANT: the tenant of a row is set when it is inserted and never changed.

use std::collections::BTreeSet;
use std::rc::Rc;

use pg_query::Node;
use pg_query::protobuf::{
    DeleteStmt, InferClause, InsertStmt, OnConflictAction, OnConflictClause, RangeVar, ReturningClause, UpdateStmt,
};

use super::alias::{AliasId, Outputs, ScopeId};
use super::condition::Place;
use super::graph::{BOUND, Id, NEVER};
use super::select::closed;
use super::{Analysis, Problem, Touch, schema_of, shown};
use crate::schema::Class;
use crate::tree::{self, NodeEnum};

/// What an INSERT puts into the tenant column.
enum Given {
    /// These values, with their places.
    Values(Vec<(Id, usize)>),
    /// The column's default.
    Default,
    /// Nobody can tell: no list of columns, and the table's columns are unknown.
    Unknown,
}

impl Analysis<'_> {
    pub(super) fn insert(&mut self, insert: &InsertStmt, parent: Option<ScopeId>) -> Outputs {
        let base = self.scope(parent);
        if let Some(with) = &insert.with_clause {
            self.with(with, base);
        }
        let Some(table) = &insert.relation else { return Outputs::default() };
        self.visited(table);
        let source = insert.select_stmt.as_ref().and_then(|node| node.node.as_ref());
        let given = self.source(source, &insert.cols, table, base);
        let alias = self.target(table, target_name(table));
        if self.class(table) == Class::Tenant {
            self.outcome.tables.push(shown(table));
            self.given(given, alias, table);
        }
        let scope = self.scope(Some(base));
        self.scopes[scope].aliases.push(alias);
        if let Some(conflict) = insert.on_conflict_clause.as_deref() {
            self.conflict(conflict, table, alias, scope);
        }
        self.returning(insert.returning_clause.as_ref(), scope)
    }

    /// What the rows to insert hold at the place of the tenant column.
    fn source(&mut self, source: Option<&NodeEnum>, columns: &[Node], table: &RangeVar, base: ScopeId) -> Given {
        let Some(NodeEnum::SelectStmt(select)) = source else { return Given::Default };
        let tenant = self.tenant_column();
        let known = self.judge.schema.find(schema_of(table), &table.relname, self.judge.path);
        let listed: Option<Vec<String>> = if columns.is_empty() {
            known.and_then(|relation| relation.columns.clone())
        } else {
            Some(columns.iter().filter_map(|column| target(column).map(|target| target.name.clone())).collect())
        };
        let position = listed.as_ref().map(|names| names.iter().position(|name| name == tenant));
        if select.values_lists.is_empty() || select.with_clause.is_some() {
            let outputs = source.map(|source| self.query(source, Some(base))).unwrap_or_default();
            return self.selected(&outputs, position);
        }
        let mut values = Vec::new();
        let mut defaulted = false;
        for row in select.values_lists.iter().filter_map(|row| row.node.as_ref()) {
            let NodeEnum::List(row) = row else { continue };
            self.visit_all(&row.items, base);
            match position {
                Some(Some(position)) => match row.items.get(position).and_then(|item| item.node.as_ref()) {
                    Some(NodeEnum::SetToDefault(_)) | None => defaulted = true,
                    Some(value) => {
                        let id = self.value(value, base);
                        let at = tree::location(value).or_else(|| tree::at(table.location)).unwrap_or(0);
                        values.push((id, at));
                    }
                },
                Some(None) => defaulted = true,
                None => return Given::Unknown,
            }
        }
        if defaulted && values.is_empty() { Given::Default } else { Given::Values(values) }
    }

    fn selected(&mut self, outputs: &Outputs, position: Option<Option<usize>>) -> Given {
        let tenant = self.tenant_column();
        if outputs.wild.is_empty() {
            return match position {
                Some(Some(position)) => match outputs.columns.get(position) {
                    Some(output) => Given::Values(vec![(output.id, 0)]),
                    None => Given::Default,
                },
                Some(None) => Given::Default,
                None => Given::Unknown,
            };
        }
        // Behind a star over unknown columns places mean nothing, but the tenant column has its name.
        let alias = self.derived("", closed(outputs.clone()));
        match position {
            Some(None) => Given::Default,
            _ if self.has(alias, tenant) == super::alias::Has::Yes => {
                Given::Values(vec![(self.column(alias, tenant), 0)])
            }
            _ => Given::Unknown,
        }
    }

    fn given(&mut self, given: Given, alias: AliasId, table: &RangeVar) {
        let tenant = self.tenant_column();
        let inserted = self.column(alias, tenant);
        let here = tree::at(table.location).unwrap_or(0);
        let name = shown(table);
        match given {
            Given::Values(values) => {
                for (id, at) in &values {
                    self.given.push((*id, name.clone(), if *at == 0 { here } else { *at }));
                }
                self.graph.imply(values.iter().map(|(id, _)| *id).collect(), inserted);
            }
            Given::Default => {
                self.graph.imply(Vec::new(), inserted);
                if !self.judge.options.allow_default {
                    let message = format!("`{name}.{tenant}` is left to its default");
                    self.problem(Problem::new("TL108", here, message).table(name));
                }
            }
            Given::Unknown => {
                let message =
                    format!("INSERT into `{name}` without a list of columns: nobody can tell where `{tenant}` is");
                self.problem(Problem::new("TL109", here, message).table(name));
            }
        }
    }

    fn conflict(&mut self, conflict: &OnConflictClause, table: &RangeVar, target: AliasId, scope: ScopeId) {
        let tenant = self.tenant_column();
        let inserted = self.column(target, tenant);
        let infer = conflict.infer.as_deref();
        if let Some(infer) = infer {
            self.visit_all(&infer.index_elems, scope);
            tree::inner(&infer.where_clause).into_iter().for_each(|condition| self.visit(condition, scope));
        }
        if conflict.action != OnConflictAction::OnconflictUpdate as i32 {
            return;
        }
        // The existing row is another one than the inserted, which is called `excluded` here.
        let existing = self.target(table, target_name(table));
        let excluded = self.target(table, "excluded");
        let new = self.column(excluded, tenant);
        self.graph.imply(vec![inserted], new);
        let inner = self.scope(self.scopes[scope].parent);
        self.scopes[inner].aliases.extend([existing, excluded]);
        let place = Place::new(inner, Rc::new(BTreeSet::from([existing])));
        if let Some(condition) = tree::inner(&conflict.where_clause) {
            self.condition(condition, &place);
            self.visit(condition, inner);
        }
        self.visit_all(&conflict.target_list, inner);
        if self.class(table) != Class::Tenant {
            return;
        }
        self.sets_tenant(&conflict.target_list, table, inner, Some(new));
        // Decided now: nothing later adds to what binds the existing row.
        let old = self.column(existing, tenant);
        if !self.infers_tenant(infer, table) && !self.graph.solve()[old] {
            let name = shown(table);
            let message =
                format!("ON CONFLICT may update a row of another tenant: its target does not name `{tenant}`");
            let at = tree::at(conflict.location).or_else(|| tree::at(table.location)).unwrap_or(0);
            self.problem(Problem::new("TL107", at, message).table(name));
        }
    }

    /// Whether the row in conflict has the tenant of the inserted one, because the tenant is part of the key.
    fn infers_tenant(&self, infer: Option<&InferClause>, table: &RangeVar) -> bool {
        let tenant = self.tenant_column();
        let Some(infer) = infer else { return false };
        if !infer.conname.is_empty() {
            let known = self.judge.schema.find(schema_of(table), &table.relname, self.judge.path);
            // A constraint of which nothing is known may be any other.
            return known
                .and_then(|relation| relation.keys.get(&infer.conname))
                .is_some_and(|key| key.iter().any(|column| column == tenant));
        }
        infer.index_elems.iter().any(|element| match element.node.as_ref() {
            Some(NodeEnum::IndexElem(element)) => element.name == tenant,
            _ => false,
        })
    }

    pub(super) fn update(&mut self, update: &UpdateStmt, parent: Option<ScopeId>) -> Outputs {
        let base = self.scope(parent);
        if let Some(with) = &update.with_clause {
            self.with(with, base);
        }
        let Some(table) = &update.relation else { return Outputs::default() };
        let scope = self.scope(Some(base));
        let target = self.changed(table, Touch::Update, scope);
        self.rows(
            update.where_clause.as_deref().and_then(|node| node.node.as_ref()),
            &update.from_clause,
            target,
            scope,
        );
        self.visit_all(&update.target_list, scope);
        if self.class(table) == Class::Tenant {
            self.sets_tenant(&update.target_list, table, scope, None);
        }
        self.returning(update.returning_clause.as_ref(), scope)
    }

    pub(super) fn delete(&mut self, delete: &DeleteStmt, parent: Option<ScopeId>) -> Outputs {
        let base = self.scope(parent);
        if let Some(with) = &delete.with_clause {
            self.with(with, base);
        }
        let Some(table) = &delete.relation else { return Outputs::default() };
        let scope = self.scope(Some(base));
        let target = self.changed(table, Touch::Delete, scope);
        self.rows(
            delete.where_clause.as_deref().and_then(|node| node.node.as_ref()),
            &delete.using_clause,
            target,
            scope,
        );
        self.returning(delete.returning_clause.as_ref(), scope)
    }

    /// The table whose rows change.
    fn changed(&mut self, table: &RangeVar, touch: Touch, scope: ScopeId) -> AliasId {
        self.visited(table);
        let alias = self.target(table, target_name(table));
        self.scopes[scope].aliases.push(alias);
        if self.class(table) == Class::Tenant {
            self.require(alias, touch, table);
        }
        alias
    }

    /// The condition that picks rows, over the target and what stands beside it.
    fn rows(&mut self, condition: Option<&NodeEnum>, from: &[Node], target: AliasId, scope: ScopeId) {
        let mut restricts = (*self.from(from, condition, scope)).clone();
        restricts.insert(target);
        if let Some(condition) = condition {
            self.condition(condition, &Place::new(scope, Rc::new(restricts)));
            self.visit(condition, scope);
        }
    }

    /// Complains when the tenant column is assigned; writing the same value again is harmless.
    pub(super) fn sets_tenant(&mut self, targets: &[Node], table: &RangeVar, scope: ScopeId, same: Option<Id>) {
        let tenant = self.tenant_column();
        for assigned in targets.iter().filter_map(target).filter(|assigned| assigned.name == tenant) {
            let value = tree::inner(&assigned.val).map_or(NEVER, |value| self.value(value, scope));
            if same == Some(value) && value != BOUND {
                continue;
            }
            let name = shown(table);
            let at = tree::at(assigned.location).unwrap_or(0);
            let message = format!("`{name}.{tenant}` is changed: the row would move to another tenant");
            self.problem(Problem::new("TL105", at, message).table(name));
        }
    }

    pub(super) fn returning(&mut self, returning: Option<&ReturningClause>, scope: ScopeId) -> Outputs {
        let Some(returning) = returning else { return Outputs::default() };
        self.visit_all(&returning.exprs, scope);
        // The rows have changed already: nothing outside makes them fewer.
        closed(self.targets(&returning.exprs, scope))
    }

    /// The value a MERGE inserts into the tenant column.
    pub(super) fn inserted(&mut self, columns: &[Node], values: &[Node], table: &RangeVar, scope: ScopeId) {
        let tenant = self.tenant_column();
        let known = self.judge.schema.find(schema_of(table), &table.relname, self.judge.path);
        let listed: Option<Vec<String>> = if columns.is_empty() {
            known.and_then(|relation| relation.columns.clone())
        } else {
            Some(columns.iter().filter_map(|column| target(column).map(|target| target.name.clone())).collect())
        };
        let position = listed.map(|names| names.iter().position(|name| name == tenant));
        let given = match position {
            None => Given::Unknown,
            Some(None) => Given::Default,
            Some(Some(position)) => match values.get(position).and_then(|value| value.node.as_ref()) {
                None | Some(NodeEnum::SetToDefault(_)) => Given::Default,
                Some(value) => {
                    let at = tree::location(value).unwrap_or(0);
                    Given::Values(vec![(self.value(value, scope), at)])
                }
            },
        };
        let alias = self.target(table, "");
        self.given(given, alias, table);
    }
}

fn target(node: &Node) -> Option<&pg_query::protobuf::ResTarget> {
    match node.node.as_ref()? {
        NodeEnum::ResTarget(target) => Some(target),
        _ => None,
    }
}

/// The name by which a statement calls the table that it changes.
pub fn target_name(table: &RangeVar) -> &str {
    table.alias.as_ref().map_or(table.relname.as_str(), |alias| alias.aliasname.as_str())
}
