//! Queries: SELECT, VALUES, set operations and WITH.
//!
//! INVARIANT: a condition outside of a query acts inside only where no LIMIT, window or the like comes between them. A
//! recursive expression is bound when its first part is, and its second part provably keeps what the first had. Long because
//! a query's parts bind each other.

use std::collections::BTreeSet;
use std::rc::Rc;

use pg_query::Node;
use pg_query::protobuf::{CommonTableExpr, IntoClause, LimitOption, SelectStmt, SetOperation, WindowDef, WithClause};

use super::Analysis;
use super::alias::{AliasId, Cte, Has, Kind, Output, Outputs, ScopeId};
use super::condition::Place;
use super::from::renamed;
use super::graph::{BOUND, Id, NEVER, NOBODY};
use crate::tree::{self, NodeEnum};

impl Analysis<'_> {
    /// A query, or a statement that changes rows and may return some.
    pub(super) fn query(&mut self, statement: &NodeEnum, parent: Option<ScopeId>) -> Outputs {
        let run = |this: &mut Self| match statement {
            NodeEnum::SelectStmt(select) => this.select(select, parent),
            NodeEnum::InsertStmt(insert) => this.insert(insert, parent),
            NodeEnum::UpdateStmt(update) => this.update(update, parent),
            NodeEnum::DeleteStmt(delete) => this.delete(delete, parent),
            NodeEnum::MergeStmt(merge) => this.merge(merge, parent),
            _ => Outputs::default(),
        };
        self.deeper(run).unwrap_or_default()
    }

    fn select(&mut self, select: &SelectStmt, parent: Option<ScopeId>) -> Outputs {
        self.select_in(select, parent, None)
    }

    /// The sub-query of an EXISTS that removes rows outside: its conditions act there too.
    pub(super) fn select_lifted(&mut self, select: &SelectStmt, place: &Place) -> Outputs {
        self.deeper(|this| this.select_in(select, Some(place.scope), Some(&place.restricts))).unwrap_or_default()
    }

    fn select_in(
        &mut self,
        select: &SelectStmt,
        parent: Option<ScopeId>,
        lifted: Option<&BTreeSet<AliasId>>,
    ) -> Outputs {
        let first_alias = self.aliases.len();
        let base = self.scope(parent);
        if let Some(with) = &select.with_clause {
            self.with(with, base);
        }
        if let Some(into) = select.into_clause.as_deref() {
            self.into(into);
        }
        self.locks(&select.locking_clause);
        let mut outputs = match SetOperation::try_from(select.op) {
            Ok(operation @ (SetOperation::SetopUnion | SetOperation::SetopIntersect | SetOperation::SetopExcept)) => {
                let outputs = self.combination(select, operation, base);
                self.visit_all(&select.sort_clause, base);
                outputs
            }
            _ if !select.values_lists.is_empty() => self.values(&select.values_lists, base),
            _ => self.simple(select, base, lifted),
        };
        for part in [&select.limit_count, &select.limit_offset] {
            tree::inner(part).into_iter().for_each(|part| self.visit(part, base));
        }
        let limited = select.limit_count.is_some()
            || select.limit_offset.is_some()
            || select.limit_option == LimitOption::WithTies as i32;
        if limited {
            outputs.open = false;
            outputs.columns.iter_mut().for_each(|output| output.open = false);
        }
        outputs.first_alias = first_alias;
        outputs
    }

    fn simple(&mut self, select: &SelectStmt, base: ScopeId, lifted: Option<&BTreeSet<AliasId>>) -> Outputs {
        let scope = self.scope(Some(base));
        let condition = tree::inner(&select.where_clause);
        let mut restricts = self.from(&select.from_clause, condition, scope);
        if let Some(outside) = lifted {
            restricts = Rc::new(&*restricts | outside);
        }
        let place = Place::new(scope, restricts);
        if let Some(condition) = condition {
            self.condition(condition, &place);
            self.visit(condition, scope);
        }
        let sets = select.group_clause.iter().any(|node| matches!(node.node, Some(NodeEnum::GroupingSet(_))));
        if let Some(having) = tree::inner(&select.having_clause) {
            // A condition on a grouped column removes the group and with it all of its rows.
            if !select.group_clause.is_empty() && !sets {
                self.condition(having, &place);
            }
            self.visit(having, scope);
        }
        self.visit_all(&select.target_list, scope);
        for part in [&select.group_clause, &select.sort_clause, &select.distinct_clause] {
            self.visit_sorts(part, &select.target_list, scope);
        }
        self.visit_all(&select.window_clause, scope);
        let windows = self.windows(select, scope);
        // DISTINCT ON keeps one row of several; plain DISTINCT has one empty node here.
        let picks = select.distinct_clause.iter().any(|node| node.node.is_some());
        let mut outputs = self.targets(&select.target_list, scope);
        outputs.open = !picks && !sets && windows.is_empty();
        for output in &mut outputs.columns {
            output.open &= !picks && !sets && windows.iter().all(|partition| partition.contains(&output.id));
        }
        outputs
    }

    /// The output columns of a list of targets.
    pub(super) fn targets(&mut self, targets: &[Node], scope: ScopeId) -> Outputs {
        let mut outputs = Outputs { open: true, first_alias: self.aliases.len(), ..Outputs::default() };
        for target in targets.iter().filter_map(|target| target.node.as_ref()) {
            let NodeEnum::ResTarget(target) = target else { continue };
            let Some(value) = tree::inner(&target.val) else { continue };
            if let NodeEnum::ColumnRef(column) = value
                && matches!(column.fields.last().and_then(|field| field.node.as_ref()), Some(NodeEnum::AStar(_)))
            {
                let (_, table) = tree::qualified(&column.fields[..column.fields.len() - 1]);
                let aliases = match table {
                    "" => self.scopes[scope].aliases.clone(),
                    table => self.find_alias(scope, table).into_iter().collect(),
                };
                for alias in aliases {
                    self.expand(alias, &mut outputs);
                }
                continue;
            }
            let id = self.value(value, scope);
            let name = if target.name.is_empty() { default_name(value) } else { target.name.clone() };
            outputs.columns.push(Output { name, id, open: true });
        }
        outputs
    }

    /// The partitions of all windows that the query uses.
    fn windows(&mut self, select: &SelectStmt, scope: ScopeId) -> Vec<Vec<Id>> {
        let named: Vec<&WindowDef> = select
            .window_clause
            .iter()
            .filter_map(|node| match node.node.as_ref() {
                Some(NodeEnum::WindowDef(window)) => Some(&**window),
                _ => None,
            })
            .collect();
        let mut waiting: Vec<&NodeEnum> =
            select.target_list.iter().chain(&select.sort_clause).filter_map(|node| node.node.as_ref()).collect();
        let mut found = Vec::new();
        while let Some(node) = waiting.pop() {
            let over = match node {
                NodeEnum::FuncCall(call) => call.over.as_deref(),
                NodeEnum::JsonArrayAgg(call) => call.constructor.as_deref().and_then(|it| it.over.as_deref()),
                NodeEnum::JsonObjectAgg(call) => call.constructor.as_deref().and_then(|it| it.over.as_deref()),
                _ => None,
            };
            if let Some(over) = over {
                let base = named.iter().find(|window| {
                    !window.name.is_empty() && (window.name == over.name || window.name == over.refname)
                });
                let partition = base.map_or(&over.partition_clause, |base| &base.partition_clause);
                let ids = partition.iter().filter_map(|node| node.node.as_ref());
                found.push(ids.map(|node| self.value(node, scope)).collect());
            }
            tree::children(node, &mut waiting);
        }
        found
    }

    /// VALUES as a table: a column is one value if all rows agree.
    fn values(&mut self, rows: &[Node], base: ScopeId) -> Outputs {
        let mut outputs = Outputs { open: true, ..Outputs::default() };
        for (index, row) in rows.iter().enumerate() {
            let Some(NodeEnum::List(row)) = row.node.as_ref() else { continue };
            self.visit_all(&row.items, base);
            for (position, value) in row.items.iter().filter_map(|value| value.node.as_ref()).enumerate() {
                let id = self.value(value, base);
                match outputs.columns.get_mut(position) {
                    None => {
                        let name = format!("column{}", position + 1);
                        outputs.columns.push(Output { name, id, open: false });
                    }
                    // Two constants are two tenants, unless they are written alike, which nobody does twice.
                    Some(output) if index > 0 => output.id = NEVER,
                    Some(_) => {}
                }
            }
        }
        outputs
    }

    fn combination(&mut self, select: &SelectStmt, operation: SetOperation, base: ScopeId) -> Outputs {
        let mut arms = Vec::new();
        for arm in [select.larg.as_deref(), select.rarg.as_deref()].into_iter().flatten() {
            arms.push(self.deeper(|this| this.select(arm, Some(base))).unwrap_or_default());
        }
        let [left, right] = arms.as_mut_slice() else { return Outputs::default() };
        if operation == SetOperation::SetopUnion {
            self.tell_apart(left, right, select);
        }
        let mut outputs = Outputs { open: true, ..Outputs::default() };
        if !left.wild.is_empty() || !right.wild.is_empty() {
            return self.starred(left, right, operation);
        }
        for (position, column) in left.columns.iter().enumerate() {
            let Some(other) = right.columns.get(position) else { break };
            let id = self.united(&column.name, (column.id, column.open), (other.id, other.open), operation);
            outputs.columns.push(Output { name: column.name.clone(), id, open: true });
        }
        outputs
    }

    /// Arms with stars over unknown columns: only the tenant column can be told apart.
    fn starred(&mut self, left: &Outputs, right: &Outputs, operation: SetOperation) -> Outputs {
        let tenant = self.tenant_column().to_owned();
        let mut sides = Vec::new();
        for arm in [left, right] {
            let alias = self.derived("", arm.clone());
            if self.has(alias, &tenant) != Has::Yes {
                return Outputs { open: false, ..Outputs::default() };
            }
            sides.push((self.column(alias, &tenant), true));
        }
        let id = self.united(&tenant, sides[0], sides[1], operation);
        let column = Output { name: tenant, id, open: true };
        Outputs { columns: vec![column], open: true, ..Outputs::default() }
    }

    fn united(&mut self, name: &str, left: (Id, bool), right: (Id, bool), operation: SetOperation) -> Id {
        let (_, id) = self.pseudo(name);
        match operation {
            SetOperation::SetopUnion => self.graph.imply(vec![left.0, right.0], id),
            SetOperation::SetopIntersect => {
                self.graph.imply(vec![left.0], id);
                self.graph.imply(vec![right.0], id);
            }
            _ => self.graph.imply(vec![left.0], id),
        }
        for (arm, open) in [left, right] {
            if open && arm != BOUND {
                self.graph.imply(vec![id], arm);
            }
        }
        id
    }

    /// Common table expressions; each sees those before it, and all of them when RECURSIVE.
    pub(super) fn with(&mut self, with: &WithClause, scope: ScopeId) {
        for node in with.ctes.iter().filter_map(|node| node.node.as_ref()) {
            let NodeEnum::CommonTableExpr(cte) = node else { continue };
            let Some(query) = tree::inner(&cte.ctequery) else { continue };
            let outputs = match query {
                NodeEnum::SelectStmt(select) if with.recursive && select.larg.is_some() => {
                    self.recursive(cte, select, scope)
                }
                _ => self.query(query, Some(scope)),
            };
            let outputs = named(outputs, &cte.aliascolnames);
            self.declare(&cte.ctename, outputs, scope);
        }
    }

    fn declare(&mut self, name: &str, outputs: Outputs, scope: ScopeId) -> usize {
        let index = self.ctes.len();
        let outputs = Outputs { cte: Some(index), ..outputs };
        self.ctes.push(Cte { outputs: Rc::new(outputs), readers: Vec::new() });
        self.scopes[scope].ctes.push((name.to_owned(), index));
        index
    }

    /// `first UNION [ALL] step`, where the step reads the expression itself.
    fn recursive(&mut self, cte: &CommonTableExpr, select: &SelectStmt, parent: ScopeId) -> Outputs {
        let first_alias = self.aliases.len();
        let scope = self.scope(Some(parent));
        if let Some(with) = &select.with_clause {
            self.with(with, scope);
        }
        let (Some(first), Some(step)) = (select.larg.as_deref(), select.rarg.as_deref()) else {
            return Outputs::default();
        };
        let first = self.deeper(|this| this.select(first, Some(scope))).unwrap_or_default();
        let mut first = closed(named(first, &cte.aliascolnames));
        let (earlier, assumed) = self.earlier(&first);
        self.declare(&cte.ctename, earlier, scope);
        let step = self.deeper(|this| this.select(step, Some(scope))).unwrap_or_default();
        let mut step = closed(named(step, &cte.aliascolnames));
        self.tell_apart(&mut first, &mut step, select);
        for (position, assumed) in assumed {
            let proof = match position {
                Some(position) if step.wild.is_empty() => step.columns.get(position).map_or(NEVER, |output| output.id),
                Some(_) => NEVER,
                None => self.tenant_of(&step),
            };
            self.graph.assume(assumed, proof);
        }
        for part in [&select.limit_count, &select.limit_offset] {
            tree::inner(part).into_iter().for_each(|part| self.visit(part, scope));
        }
        self.visit_all(&select.sort_clause, scope);
        let mut outputs = if first.wild.is_empty() && step.wild.is_empty() {
            let mut outputs = Outputs::default();
            for (ours, theirs) in first.columns.iter().zip(&step.columns) {
                let id = self.united(&ours.name, (ours.id, false), (theirs.id, false), SetOperation::SetopUnion);
                outputs.columns.push(Output { name: ours.name.clone(), id, open: false });
            }
            outputs
        } else {
            closed(self.starred(&first, &step, SetOperation::SetopUnion))
        };
        outputs.first_alias = first_alias;
        outputs
    }

    /// What the step of a recursion reads: a column is bound if the first part binds it, and if it is assumed that so did
    /// every earlier step. Answers the assumptions by the column's position; without one where only its name is known.
    fn earlier(&mut self, first: &Outputs) -> (Outputs, Vec<(Option<usize>, Id)>) {
        let mut outputs = Outputs { first_alias: self.aliases.len(), ..Outputs::default() };
        let mut assumed = Vec::new();
        let mut columns: Vec<_> = first
            .columns
            .iter()
            .enumerate()
            .map(|(position, output)| (Some(position), output.name.clone(), output.id))
            .collect();
        if !first.wild.is_empty() {
            let tenant = self.tenant_column().to_owned();
            // Nothing is known of what the step puts in the place of the other columns.
            columns = vec![(None, tenant, self.tenant_of(first))];
            outputs.wild.push(self.alias("", Kind::Opaque(Vec::new())));
        }
        for (position, name, id) in columns {
            let (_, before) = self.pseudo(&name);
            let assumption = self.graph.node(NOBODY);
            self.graph.imply(vec![id, assumption], before);
            assumed.push((position, assumption));
            outputs.columns.push(Output { name, id: before, open: false });
        }
        (outputs, assumed)
    }

    /// The tenant column of outputs, by its name.
    fn tenant_of(&mut self, outputs: &Outputs) -> Id {
        let tenant = self.tenant_column().to_owned();
        let alias = self.derived("", outputs.clone());
        if self.has(alias, &tenant) == Has::Yes { self.column(alias, &tenant) } else { NEVER }
    }

    /// Two parameters are two tenants: a column that is one in each arm is bound only if it is the same in both.
    fn tell_apart(&self, left: &mut Outputs, right: &mut Outputs, select: &SelectStmt) {
        let (Some(ours), Some(theirs)) = (select.larg.as_deref(), select.rarg.as_deref()) else { return };
        for (position, (a, b)) in left.columns.iter_mut().zip(&mut right.columns).enumerate() {
            if a.id == BOUND && b.id == BOUND {
                let same = match (self.arm_value(ours, position), self.arm_value(theirs, position)) {
                    (Some(a), Some(b)) => self.is_same(a, b),
                    _ => false,
                };
                if !same {
                    (a.id, b.id) = (NEVER, NEVER);
                }
            }
        }
    }

    /// The expression that an arm of a set operation gives at a position, if it is the same for all its rows.
    fn arm_value<'t>(&self, select: &'t SelectStmt, position: usize) -> Option<&'t NodeEnum> {
        if let (Some(left), Some(right)) = (select.larg.as_deref(), select.rarg.as_deref()) {
            let (left, right) = (self.arm_value(left, position)?, self.arm_value(right, position)?);
            return self.is_same(left, right).then_some(left);
        }
        let node = match select.values_lists.as_slice() {
            [] => select.target_list.get(position)?,
            [only] => match only.node.as_ref()? {
                NodeEnum::List(row) => row.items.get(position)?,
                _ => return None,
            },
            _ => return None,
        };
        // Behind a star positions mean nothing.
        let star = |node: &Node| match node.node.as_ref() {
            Some(NodeEnum::ResTarget(target)) => matches!(tree::inner(&target.val), Some(NodeEnum::ColumnRef(column))
                if matches!(column.fields.last().and_then(|field| field.node.as_ref()), Some(NodeEnum::AStar(_)))),
            _ => false,
        };
        if select.target_list.iter().take(position).any(star) {
            return None;
        }
        match node.node.as_ref()? {
            NodeEnum::ResTarget(target) => tree::inner(&target.val),
            value => Some(value),
        }
    }

    pub(super) fn into(&mut self, into: &IntoClause) {
        if let Some(table) = &into.rel {
            self.visited(table);
        }
    }

    /// FOR UPDATE OF names aliases in the form of tables.
    fn locks(&mut self, clauses: &[Node]) {
        for clause in clauses.iter().filter_map(|node| node.node.as_ref()) {
            let NodeEnum::LockingClause(clause) = clause else { continue };
            for table in clause.locked_rels.iter().filter_map(|node| node.node.as_ref()) {
                if let NodeEnum::RangeVar(table) = table {
                    self.visited(table);
                }
            }
        }
    }
}

/// The outputs, on which conditions from outside do not act.
pub fn closed(mut outputs: Outputs) -> Outputs {
    outputs.open = false;
    outputs.columns.iter_mut().for_each(|output| output.open = false);
    outputs
}

pub fn named(outputs: Outputs, names: &[Node]) -> Outputs {
    let alias = pg_query::protobuf::Alias { aliasname: String::new(), colnames: names.to_vec() };
    renamed(outputs, Some(&alias))
}

/// The name PostgreSQL gives a column that has none.
fn default_name(value: &NodeEnum) -> String {
    match value {
        NodeEnum::ColumnRef(column) => tree::last(&column.fields).to_owned(),
        NodeEnum::TypeCast(cast) => match tree::inner(&cast.arg) {
            Some(column @ NodeEnum::ColumnRef(_)) => default_name(column),
            _ => cast.type_name.as_ref().map(|name| tree::last(&name.names).to_owned()).unwrap_or_default(),
        },
        NodeEnum::FuncCall(call) => tree::last(&call.funcname).to_owned(),
        _ => "?column?".to_owned(),
    }
}
