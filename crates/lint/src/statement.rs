//! One statement: which parts of it read or change rows, and what else it does.
//!
//! INVARIANT: a query is found wherever a statement carries one (EXPLAIN, PREPARE, cursors, COPY, CREATE TABLE AS,
//! routines), and every table reference in it is accounted for.

use pg_query::protobuf::{CopyStmt, ObjectType, RangeVar};

use crate::census;
use crate::ddl;
use crate::lex::{Kind, Lexer};
use crate::options::Tier;
use crate::progress::Progress;
use crate::routine;
use crate::schema::Class;
use crate::scope::{Judge, Outcome, Problem, analyse, analyse_expression, schema_of, shown};
use crate::session;
use crate::tree::{self, NodeEnum};

/// What is wrong with a statement.
pub fn judge(statement: &NodeEnum, judge: Judge<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    tenant_schemas(judge, &mut found);
    inside(statement, judge, &mut found);
    found
}

/// What is wrong with a statement whose text was looked at before.
pub fn inside(statement: &NodeEnum, judge: Judge<'_>, found: &mut Vec<Problem>) {
    session::judge(statement, judge, found);
    rows(statement, judge, found);
    ddl::judge(statement, &ddl::Context { judge }, found);
    if let NodeEnum::CreateSchemaStmt(schema) = statement {
        let mut progress = Progress::within(judge);
        progress.enter(&schema.schemaname);
        for element in schema.schema_elts.iter().filter_map(|element| element.node.as_ref()) {
            inside(element, progress.judge(judge), found);
            progress.take(element, judge);
        }
    }
}

/// What is wrong with what a statement reads and changes.
pub fn rows(statement: &NodeEnum, judge: Judge<'_>, found: &mut Vec<Problem>) {
    match statement {
        NodeEnum::SelectStmt(_)
        | NodeEnum::InsertStmt(_)
        | NodeEnum::UpdateStmt(_)
        | NodeEnum::DeleteStmt(_)
        | NodeEnum::MergeStmt(_) => {
            query(statement, judge, found);
        }
        NodeEnum::ExplainStmt(explain) => {
            if let Some(inner) = tree::inner(&explain.query) {
                let tables = query(inner, judge, found);
                session::explained(&tables, found);
            }
        }
        NodeEnum::PrepareStmt(prepare) => nested(tree::inner(&prepare.query), judge, found),
        NodeEnum::DeclareCursorStmt(cursor) => nested(tree::inner(&cursor.query), judge, found),
        NodeEnum::CreateTableAsStmt(create) if create.objtype == ObjectType::ObjectTable as i32 => {
            nested(tree::inner(&create.query), judge, found);
        }
        NodeEnum::CopyStmt(copy) => self::copy(copy, judge, found),
        NodeEnum::TruncateStmt(truncate) => {
            for table in truncate.relations.iter().filter_map(|table| table.node.as_ref()) {
                if let NodeEnum::RangeVar(table) = table
                    && class(table, judge) == Class::Tenant
                {
                    let message = format!("`{}` is emptied for all tenants", shown(table));
                    found.push(
                        Problem::new("TL111", tree::at(table.location).unwrap_or(0), message).table(shown(table)),
                    );
                }
            }
        }
        NodeEnum::CallStmt(call) => {
            if let Some(call) = call.funccall.as_deref() {
                let outcome = analyse_expression(&NodeEnum::FuncCall(Box::new(call.clone())), judge);
                taken(outcome, judge, found);
            }
        }
        NodeEnum::CreateFunctionStmt(_) | NodeEnum::DoStmt(_) => routine::judge(statement, judge, found),
        NodeEnum::RuleStmt(rule) => {
            for action in rule.actions.iter().filter_map(|action| action.node.as_ref()) {
                rows(action, judge, found);
            }
        }
        _ => {}
    }
}

fn nested(inner: Option<&NodeEnum>, judge: Judge<'_>, found: &mut Vec<Problem>) {
    if let Some(inner) = inner {
        rows(inner, judge, found);
    }
}

fn query(statement: &NodeEnum, judge: Judge<'_>, found: &mut Vec<Problem>) -> Vec<String> {
    let outcome = analyse(statement, judge);
    let known = census::references(statement);
    if judge.options.tier == Tier::Shared && judge.schema.tenant_column().is_some() && outcome.visited < known {
        let message =
            format!("{} of {known} table references stand where they are not followed", known - outcome.visited);
        found.push(Problem::new("TL003", 0, message));
    }
    taken(outcome, judge, found)
}

/// Takes over what an analysis has found; answers the tables of tenants.
pub fn taken(outcome: Outcome, judge: Judge<'_>, found: &mut Vec<Problem>) -> Vec<String> {
    session::calls(&outcome.calls, judge, found);
    found.extend(outcome.problems);
    outcome.tables
}

fn class(table: &RangeVar, judge: Judge<'_>) -> Class {
    judge.schema.class(schema_of(table), &table.relname, judge.path)
}

fn copy(copy: &CopyStmt, judge: Judge<'_>, found: &mut Vec<Problem>) {
    if let Some(query) = tree::inner(&copy.query) {
        rows(query, judge, found);
    }
    if let Some(table) = copy.relation.as_ref().filter(|table| class(table, judge) == Class::Tenant) {
        let way = if copy.is_from { "into" } else { "out of" };
        let message = format!("COPY {way} `{}` knows no tenant", shown(table));
        found.push(Problem::new("TL110", tree::at(table.location).unwrap_or(0), message).table(shown(table)));
    }
}

/// The name of a table that a statement creates.
pub fn created(statement: &NodeEnum) -> Option<String> {
    creates(statement).map(|table| table.relname.clone())
}

/// The table or view that a statement creates.
pub fn creates(statement: &NodeEnum) -> Option<&RangeVar> {
    match statement {
        NodeEnum::CreateStmt(create) => create.relation.as_ref(),
        NodeEnum::CreateForeignTableStmt(create) => create.base_stmt.as_ref()?.relation.as_ref(),
        NodeEnum::CreateTableAsStmt(create) => create.into.as_deref()?.rel.as_ref(),
        NodeEnum::SelectStmt(select) => select.into_clause.as_deref()?.rel.as_ref(),
        NodeEnum::ViewStmt(view) => view.view.as_ref(),
        _ => None,
    }
}

/// Schemas of single tenants are called `t_` and the tenant's id.
fn tenant_schemas(judge: Judge<'_>, found: &mut Vec<Problem>) {
    let tokens: Vec<_> = Lexer::new(judge.text, 0).filter(|token| token.kind != Kind::Comment).collect();
    for pair in tokens.windows(2) {
        let [schema, dot] = pair else { continue };
        let name = schema.of(judge.text).trim_matches('"');
        let id = name.strip_prefix("t_").unwrap_or_default();
        let named = matches!(schema.kind, Kind::Word | Kind::Quoted) && dot.of(judge.text) == ".";
        if named && id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            found.push(Problem::new("TL112", schema.start, format!("`{name}` is the schema of one tenant")));
        }
    }
}
