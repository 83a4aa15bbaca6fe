//! The scope graph of one statement: who reads or writes which tenant table, and what binds it to a tenant.
//!
//! The analysis walks queries the way PostgreSQL resolves names: an alias per table reference, a scope per query
//! level, outputs per sub-query. Conditions become implications between columns (`graph.rs`), as far as the place they
//! stand in restricts rows. In the end every reference of a tenant table must have a bound tenant column.
//!
//! INVARIANT: a construct that is not understood binds nothing; a table that was not visited is noticed.

mod alias;
mod condition;
mod from;
mod graph;
mod merge;
mod modify;
mod select;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use pg_query::Node;
use pg_query::protobuf::{FuncCall, RangeVar};

use self::alias::{Alias, AliasId, Cte, Outputs, Scope, ScopeId};
use self::condition::Frame;
use self::graph::{Graph, Id};
use crate::options::Options;
use crate::schema::{Class, Schema};
use crate::tree::{self, NodeEnum};

/// What a statement is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// The tables.
    pub schema: &'a Schema,
    /// The caller's choices.
    pub options: &'a Options,
    /// The schemas in which unqualified names are looked for; empty when nothing set them.
    pub path: &'a [String],
    /// Names that stand for values of one call: parameters and variables of a routine.
    pub variables: &'a BTreeSet<String>,
    /// Tables that the same input created before: nobody uses them yet.
    pub created: &'a BTreeSet<String>,
    /// The statement's text, to which all places refer.
    pub text: &'a str,
    /// How many bodies of routines are around the statement.
    pub depth: usize,
}

/// Something wrong in a statement, before it has a file and a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The rule's id.
    pub rule: &'static str,
    /// Byte in the statement.
    pub at: usize,
    /// What is wrong, in a sentence without its full stop.
    pub message: String,
    /// The table it is about.
    pub table: Option<String>,
    /// Remarks with their places: conditions that look as if they bound the table.
    pub notes: Vec<(usize, String)>,
}

impl Problem {
    /// A problem without remarks.
    pub fn new(rule: &'static str, at: usize, message: impl Into<String>) -> Self {
        Self { rule, at, message: message.into(), table: None, notes: Vec::new() }
    }

    /// The table it is about.
    #[must_use]
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = Some(table.into());
        self
    }
}

/// A call of a function somewhere in the statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its name, with the schema if that was written.
    pub name: String,
    /// Byte in the statement.
    pub at: usize,
    /// Its constant text arguments; absent where an argument is something else.
    pub arguments: Vec<Option<String>>,
}

/// What the analysis found.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Functions that are called.
    pub calls: Vec<Call>,
    /// Tenant tables that are touched.
    pub tables: Vec<String>,
    /// References of tables that were looked at.
    pub visited: usize,
}

/// How a statement touches a tenant table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Touch {
    Read,
    Update,
    Delete,
    Merge,
}

/// A column that has to be bound in the end.
#[derive(Debug)]
struct Required {
    id: Id,
    touch: Touch,
    table: String,
    name: String,
    at: usize,
}

/// A condition that names a tenant column and does not bind it.
#[derive(Debug)]
struct Miss {
    id: Id,
    at: usize,
    reason: String,
}

/// The state of the analysis of one statement.
struct Analysis<'a> {
    judge: Judge<'a>,
    graph: Graph,
    aliases: Vec<Alias>,
    scopes: Vec<Scope>,
    ctes: Vec<Cte>,
    frames: Vec<Frame>,
    required: Vec<Required>,
    /// Values an INSERT gives the tenant column, with the table.
    given: Vec<(Id, String, usize)>,
    misses: Vec<Miss>,
    outcome: Outcome,
    seen: BTreeSet<usize>,
    /// Aliases whose columns were named, in order.
    touched: Vec<AliasId>,
    /// How many names meant nothing that is known: they might be anybody's.
    strays: usize,
    /// Aliases that give the columns of another one other names.
    renamings: BTreeMap<AliasId, AliasId>,
    sublinks: BTreeMap<usize, Rc<Outputs>>,
    depth: usize,
}

/// Analyses a query or a statement that changes rows.
pub fn analyse(statement: &NodeEnum, judge: Judge<'_>) -> Outcome {
    let mut analysis = Analysis::new(judge);
    analysis.query(statement, None);
    analysis.conclude()
}

/// Analyses the query of a view: whoever reads the view is asked for the tenant, so the view's tenant column counts as
/// bound. Names that the view gives its columns count, not those of the query. Answers the names of the view's columns too,
/// as far as they are known.
pub fn analyse_view(query: &NodeEnum, names: &[Node], judge: Judge<'_>) -> (Outcome, Option<Vec<String>>) {
    let mut analysis = Analysis::new(judge);
    let outputs = select::named(analysis.query(query, None), names);
    // Behind an unknown star nobody can tell which column got which name.
    let unknown = !names.is_empty() && !outputs.wild.is_empty();
    let names = analysis.names_of(&outputs);
    if let Some(tenant) = judge.schema.tenant_column().filter(|_| !unknown) {
        let alias = analysis.derived("", outputs);
        if analysis.has(alias, tenant) != alias::Has::No {
            let id = analysis.column(alias, tenant);
            analysis.graph.imply(Vec::new(), id);
        }
    }
    (analysis.conclude(), names)
}

/// Analyses an expression that stands for itself, such as a default or a policy's text.
pub fn analyse_expression(expression: &NodeEnum, judge: Judge<'_>) -> Outcome {
    let mut analysis = Analysis::new(judge);
    let scope = analysis.scope(None);
    analysis.visit(expression, scope);
    analysis.conclude()
}

impl<'a> Analysis<'a> {
    fn new(judge: Judge<'a>) -> Self {
        Self {
            judge,
            graph: Graph::new(),
            aliases: Vec::new(),
            scopes: Vec::new(),
            ctes: Vec::new(),
            frames: Vec::new(),
            required: Vec::new(),
            given: Vec::new(),
            misses: Vec::new(),
            outcome: Outcome::default(),
            seen: BTreeSet::new(),
            touched: Vec::new(),
            strays: 0,
            renamings: BTreeMap::new(),
            sublinks: BTreeMap::new(),
            depth: 0,
        }
    }

    fn tenant_column(&self) -> &'a str {
        self.judge.schema.tenant_column().unwrap_or_default()
    }

    fn class(&self, table: &RangeVar) -> Class {
        self.judge.schema.class(schema_of(table), &table.relname, self.judge.path)
    }

    fn visited(&mut self, table: &RangeVar) {
        self.seen.insert(std::ptr::from_ref(table) as usize);
    }

    fn require(&mut self, alias: AliasId, touch: Touch, table: &RangeVar) {
        // Under whichever name a list of columns has put it, the table's own column is what has to be bound.
        let own = self.renamings.get(&alias).copied().unwrap_or(alias);
        let id = self.column(own, self.tenant_column());
        let name = self.aliases[alias].name.clone();
        let at = tree::at(table.location).unwrap_or(0);
        self.outcome.tables.push(shown(table));
        self.required.push(Required { id, touch, table: shown(table), name, at });
    }

    fn miss(&mut self, expression: &NodeEnum, scope: ScopeId, reason: &str) {
        let mut columns = Vec::new();
        tenant_columns(expression, self.tenant_column(), &mut columns);
        for column in columns {
            let id = self.value(column, scope);
            let at = tree::location(expression).unwrap_or(0);
            self.misses.push(Miss { id, at, reason: reason.to_owned() });
        }
    }

    fn problem(&mut self, problem: Problem) {
        self.outcome.problems.push(problem);
    }

    /// Looks at every part of an expression: sub-selects become queries of their own, calls are written down.
    fn visit(&mut self, expression: &NodeEnum, scope: ScopeId) {
        let mut waiting = vec![expression];
        while let Some(node) = waiting.pop() {
            match node {
                NodeEnum::SubLink(link) => {
                    self.sublink(link, scope);
                }
                NodeEnum::JsonArrayQueryConstructor(array) => {
                    if let Some(query) = tree::inner(&array.query) {
                        self.query(query, Some(scope));
                    }
                }
                NodeEnum::FuncCall(call) => self.call(call),
                NodeEnum::ColumnRef(column) => self.name(&column.fields, scope),
                _ => {}
            }
            tree::children(node, &mut waiting);
        }
    }

    /// Looks at ORDER BY and the like, where a bare name means an output of that name first.
    fn visit_sorts(&mut self, nodes: &[Node], targets: &[Node], scope: ScopeId) {
        let named = |name: &str| {
            targets.iter().any(|target| match target.node.as_ref() {
                Some(NodeEnum::ResTarget(target)) => target.name == name,
                _ => false,
            })
        };
        for node in nodes.iter().filter_map(|node| node.node.as_ref()) {
            let sorted = match node {
                NodeEnum::SortBy(sort) => tree::inner(&sort.node),
                other => Some(other),
            };
            let is_output = match sorted {
                Some(NodeEnum::ColumnRef(column)) => column.fields.len() == 1 && named(tree::last(&column.fields)),
                _ => false,
            };
            if !is_output {
                self.visit(node, scope);
            }
        }
    }

    fn visit_all(&mut self, nodes: &[Node], scope: ScopeId) {
        for node in nodes.iter().filter_map(|node| node.node.as_ref()) {
            self.visit(node, scope);
        }
    }

    fn call(&mut self, call: &FuncCall) {
        let arguments = call.args.iter().map(|argument| constant_text(argument.node.as_ref()?)).collect();
        let name = tree::texts(&call.funcname).join(".");
        let at = tree::at(call.location).unwrap_or(0);
        let call = Call { name, at, arguments };
        if !self.outcome.calls.contains(&call) {
            self.outcome.calls.push(call);
        }
    }

    /// Runs something one level deeper, unless that is too deep: then nothing below is bound or visited.
    fn deeper<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.depth >= self.judge.options.query_depth_max {
            return None;
        }
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        Some(result)
    }

    fn conclude(mut self) -> Outcome {
        self.close_ctes();
        let bound = self.graph.solve();
        for required in std::mem::take(&mut self.required) {
            if bound[required.id] {
                continue;
            }
            let problem = self.unbound(&required);
            self.problem(problem);
        }
        for (id, table, at) in std::mem::take(&mut self.given) {
            if !bound[id] {
                let tenant = self.tenant_column();
                let message = format!("`{table}.{tenant}` is given a value that is bound to no tenant");
                self.problem(Problem::new("TL104", at, message).table(table));
            }
        }
        self.outcome.visited = self.seen.len();
        self.outcome.tables.sort();
        self.outcome.tables.dedup();
        self.outcome
    }

    fn unbound(&self, required: &Required) -> Problem {
        let (rule, done) = match required.touch {
            Touch::Read => ("TL101", "read"),
            Touch::Update => ("TL102", "updated"),
            Touch::Delete => ("TL103", "deleted from"),
            Touch::Merge => ("TL106", "merged into"),
        };
        let table = &required.table;
        let column = format!("{}.{}", required.name, self.tenant_column());
        let message = format!("`{table}` is {done} without a tenant: nothing binds `{column}`");
        let mut notes: Vec<_> = self
            .misses
            .iter()
            .filter(|miss| miss.id == required.id)
            .map(|miss| (miss.at, miss.reason.clone()))
            .collect();
        notes.sort();
        notes.dedup();
        Problem { notes, ..Problem::new(rule, required.at, message).table(table.clone()) }
    }
}

/// The schema a reference names.
pub fn schema_of(table: &RangeVar) -> Option<&str> {
    Some(table.schemaname.as_str()).filter(|schema| !schema.is_empty())
}

/// A table's name as messages show it.
pub fn shown(table: &RangeVar) -> String {
    match schema_of(table) {
        Some(schema) => format!("{schema}.{}", table.relname),
        None => table.relname.clone(),
    }
}

/// The text of a string constant, with casts taken off.
pub fn constant_text(node: &NodeEnum) -> Option<String> {
    match node {
        NodeEnum::AConst(constant) => match constant.val.as_ref()? {
            pg_query::protobuf::a_const::Val::Sval(text) => Some(text.sval.clone()),
            _ => None,
        },
        NodeEnum::TypeCast(cast) => constant_text(tree::inner(&cast.arg)?),
        _ => None,
    }
}

fn tenant_columns<'t>(node: &'t NodeEnum, tenant: &str, into: &mut Vec<&'t NodeEnum>) {
    let mut waiting = vec![node];
    while let Some(node) = waiting.pop() {
        if let NodeEnum::ColumnRef(column) = node
            && tree::last(&column.fields) == tenant
        {
            into.push(node);
        }
        tree::children(node, &mut waiting);
    }
}
