//! Conditions: which columns they equate with what, and where that restricts rows.
//!
//! INVARIANT: a condition binds only columns of aliases whose rows it can remove. An OR binds what each of its branches
//! binds. Everything but equality binds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use pg_query::Node;
use pg_query::protobuf::{
    AExpr, AExprKind, BoolExprType, BoolTestType, NullTestType, ParamRef, SelectStmt, SubLink, SubLinkType,
};

use super::Analysis;
use super::alias::{AliasId, ScopeId};
use super::graph::{BOUND, Id, NEVER};
use crate::tree::{self, NodeEnum};

/// One branch of an OR: what is bound in it, apart from the rest.
#[derive(Debug)]
pub struct Frame {
    outer: Option<usize>,
    local: BTreeMap<Id, Id>,
}

/// Where a condition stands.
#[derive(Debug, Clone)]
pub struct Place {
    pub scope: ScopeId,
    /// The aliases whose rows it can remove.
    pub restricts: Rc<BTreeSet<AliasId>>,
    frame: Option<usize>,
    /// Inside of an OR, where what holds in one branch holds nowhere else.
    branch: bool,
}

impl Place {
    /// The place of a whole condition.
    pub fn new(scope: ScopeId, restricts: Rc<BTreeSet<AliasId>>) -> Self {
        Self { scope, restricts, frame: None, branch: false }
    }
}

impl Analysis<'_> {
    /// Takes what a condition says into the graph.
    ///
    /// Where it holds, all its equalities hold, those between columns that it cannot restrict too. So they meet in a
    /// frame, of which only what the condition can restrict leaves.
    pub(super) fn condition(&mut self, condition: &NodeEnum, place: &Place) {
        self.frames.push(Frame { outer: place.frame, local: BTreeMap::new() });
        let frame = self.frames.len() - 1;
        self.part(condition, &Place { frame: Some(frame), ..place.clone() });
        for (id, local) in self.frames[frame].local.clone() {
            if place.restricts.contains(&self.graph.owner(id)) {
                let out = self.local(id, place.frame);
                self.graph.imply(vec![local], out);
            }
        }
    }

    fn part(&mut self, condition: &NodeEnum, place: &Place) {
        match condition {
            NodeEnum::BoolExpr(logic) => match BoolExprType::try_from(logic.boolop) {
                Ok(BoolExprType::AndExpr) => self.every(&logic.args, place),
                Ok(BoolExprType::OrExpr) => self.either(&logic.args, place),
                _ => self.miss(condition, place.scope, "a negated condition leaves all the other tenants"),
            },
            NodeEnum::AExpr(operation) => self.comparison(condition, operation, place),
            NodeEnum::BooleanTest(test) if test.booltesttype == BoolTestType::IsTrue as i32 => {
                if let Some(argument) = tree::inner(&test.arg) {
                    self.part(argument, place);
                }
            }
            NodeEnum::SubLink(link) => self.semi_join(link, place),
            NodeEnum::NullTest(test) if test.nulltesttype == NullTestType::IsNull as i32 => {
                self.miss(condition, place.scope, "`IS NULL` names no tenant");
            }
            NodeEnum::NullTest(_) => self.miss(condition, place.scope, "`IS NOT NULL` lets every tenant through"),
            NodeEnum::CaseExpr(_) => {
                self.miss(condition, place.scope, "a condition inside of CASE does not always hold")
            }
            NodeEnum::CoalesceExpr(_) | NodeEnum::FuncCall(_) => {
                self.miss(condition, place.scope, "the column is hidden in a function");
            }
            // WHERE CURRENT OF: the row is one that the cursor's own query has found.
            NodeEnum::CurrentOfExpr(_) => {
                for alias in place.restricts.iter() {
                    let id = self.column(*alias, self.tenant_column());
                    self.graph.imply(Vec::new(), id);
                }
            }
            _ => {}
        }
    }

    fn every(&mut self, conditions: &[Node], place: &Place) {
        for condition in conditions.iter().filter_map(|node| node.node.as_ref()) {
            self.part(condition, place);
        }
    }

    /// What every branch binds is bound.
    fn either(&mut self, branches: &[Node], place: &Place) {
        let mut frames = Vec::new();
        for branch in branches.iter().filter_map(|node| node.node.as_ref()) {
            self.frames.push(Frame { outer: place.frame, local: BTreeMap::new() });
            let frame = self.frames.len() - 1;
            self.part(branch, &Place { frame: Some(frame), branch: true, ..place.clone() });
            frames.push(frame);
        }
        let named: BTreeSet<Id> = frames.iter().flat_map(|frame| self.frames[*frame].local.keys().copied()).collect();
        for id in named {
            if frames.iter().all(|frame| self.frames[*frame].local.contains_key(&id)) {
                let causes = frames.iter().map(|frame| self.frames[*frame].local[&id]).collect();
                let out = self.local(id, place.frame);
                self.graph.imply(causes, out);
            } else if place.restricts.contains(&self.graph.owner(id)) {
                let at = branches.first().and_then(|node| tree::location(node.node.as_ref()?)).unwrap_or(0);
                let reason = "only some branches of this OR bind it".to_owned();
                self.misses.push(super::Miss { id, at, reason });
            }
        }
    }

    /// A node as a branch sees it.
    fn local(&mut self, id: Id, frame: Option<usize>) -> Id {
        let Some(frame) = frame.filter(|_| id != BOUND && id != NEVER) else { return id };
        if let Some(known) = self.frames[frame].local.get(&id) {
            return *known;
        }
        let outer = self.local(id, self.frames[frame].outer);
        let inner = self.graph.node(self.graph.owner(id));
        self.graph.imply(vec![outer], inner);
        self.frames[frame].local.insert(id, inner);
        inner
    }

    fn comparison(&mut self, condition: &NodeEnum, operation: &AExpr, place: &Place) {
        let (Some(left), Some(right)) = (tree::inner(&operation.lexpr), tree::inner(&operation.rexpr)) else { return };
        let equality = tree::is_operator(&operation.name, "=");
        match AExprKind::try_from(operation.kind) {
            Ok(AExprKind::AexprOp) if equality => self.equal(condition, left, right, place),
            Ok(AExprKind::AexprNotDistinct) => self.equal(condition, left, right, place),
            Ok(AExprKind::AexprIn) if equality => self.one_of(condition, left, right, place),
            Ok(AExprKind::AexprOpAny) if equality => match right {
                NodeEnum::AArrayExpr(array) if array.elements.len() == 1 && !self.is_squashed(condition) => {
                    if let Some(only) = array.elements[0].node.as_ref() {
                        self.equal(condition, left, only, place);
                    }
                }
                _ => self.miss(condition, place.scope, "`= ANY` may name several tenants"),
            },
            Ok(AExprKind::AexprBetween | AExprKind::AexprBetweenSym) => {
                self.miss(condition, place.scope, "a range holds several tenants");
            }
            _ => self.miss(condition, place.scope, "only equality binds a tenant"),
        }
    }

    /// `IN (…)`: one value, or the same one several times. Of rows, each position by itself.
    fn one_of(&mut self, condition: &NodeEnum, left: &NodeEnum, right: &NodeEnum, place: &Place) {
        let NodeEnum::List(list) = right else { return };
        let items: Vec<_> = list.items.iter().filter_map(|item| item.node.as_ref()).collect();
        let Some(first) = items.first() else { return };
        if self.is_squashed(condition) {
            return self.miss(condition, place.scope, "`IN` names several tenants: the log has shortened the list");
        }
        if let (NodeEnum::RowExpr(row), NodeEnum::RowExpr(values)) = (left, *first) {
            for (position, (column, value)) in row.args.iter().zip(&values.args).enumerate() {
                let (Some(column), Some(value)) = (column.node.as_ref(), value.node.as_ref()) else { continue };
                let same = items.iter().all(|item| match item {
                    NodeEnum::RowExpr(other) => other
                        .args
                        .get(position)
                        .and_then(|it| it.node.as_ref())
                        .is_some_and(|it| self.is_same(it, value)),
                    _ => false,
                });
                if same {
                    self.equal(condition, column, value, place);
                } else {
                    self.miss(column, place.scope, "`IN` names several tenants");
                }
            }
        } else if items.iter().all(|item| self.is_same(item, first)) {
            self.equal(condition, left, first, place);
        } else {
            self.miss(condition, place.scope, "`IN` names several tenants");
        }
    }

    /// Whether two constants, parameters or calls of the context are the same value, whatever they are cast to.
    pub(super) fn is_same(&self, a: &NodeEnum, b: &NodeEnum) -> bool {
        if std::ptr::eq(a, b) {
            return true;
        }
        match (a, b) {
            (NodeEnum::TypeCast(cast), other) | (other, NodeEnum::TypeCast(cast)) => {
                tree::inner(&cast.arg).is_some_and(|argument| self.is_same(argument, other))
            }
            (NodeEnum::ParamRef(a), NodeEnum::ParamRef(b)) => {
                a.number == b.number && self.placeholder(a) == self.placeholder(b)
            }
            (NodeEnum::AConst(a), NodeEnum::AConst(b)) => {
                // A driver's `?` is read as a number, and the next one is another value.
                let question = |at: i32| tree::at(at).and_then(|at| self.judge.text.as_bytes().get(at)) == Some(&b'?');
                a.val == b.val && a.isnull == b.isnull && !question(a.location) && !question(b.location)
            }
            (NodeEnum::ColumnRef(a), NodeEnum::ColumnRef(b)) => {
                // Variables of a routine; of columns nobody asks.
                !a.fields.is_empty()
                    && a.fields.len() == b.fields.len()
                    && tree::texts(&a.fields) == tree::texts(&b.fields)
            }
            (NodeEnum::FuncCall(a), NodeEnum::FuncCall(b)) => {
                let name = tree::texts(&a.funcname).join(".").to_lowercase();
                let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
                self.judge.options.is_context_function(name)
                    && tree::texts(&a.funcname) == tree::texts(&b.funcname)
                    && a.args.len() == b.args.len()
                    && a.args.iter().zip(&b.args).all(|pair| match (pair.0.node.as_ref(), pair.1.node.as_ref()) {
                        (Some(a), Some(b)) => self.is_same(a, b),
                        _ => false,
                    })
            }
            (NodeEnum::SubLink(a), NodeEnum::SubLink(b)) => {
                match (tree::inner(&a.subselect), tree::inner(&b.subselect)) {
                    (Some(NodeEnum::SelectStmt(a)), Some(NodeEnum::SelectStmt(b))) => {
                        // `(SELECT current_tenant())`, as the policies write it.
                        let bare = |select: &SelectStmt| select.from_clause.is_empty() && select.larg.is_none();
                        bare(a)
                            && bare(b)
                            && match (target_of(a), target_of(b)) {
                                (Some(a), Some(b)) => self.is_same(a, b),
                                _ => false,
                            }
                    }
                    _ => false,
                }
            }
            _ => false,
        }
    }

    /// What tells a driver's placeholder from others: its name, or its place if it has none.
    fn placeholder(&self, parameter: &ParamRef) -> Result<&str, i32> {
        let text = tree::at(parameter.location).and_then(|at| self.judge.text.get(at..)).unwrap_or_default();
        let word = |from: usize| {
            let rest = &text[from..];
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            &rest[..end]
        };
        match text.as_bytes() {
            [b'$', ..] => Ok(word(1)),
            [b'%', b'(', ..] => Ok(word(2)),
            [b':', ..] => Ok(word(1)),
            _ => Err(parameter.location),
        }
    }

    /// `pg_stat_statements` shortens a list to its first element and says so in a comment, which parsing loses.
    fn is_squashed(&self, condition: &NodeEnum) -> bool {
        let from = tree::location(condition).unwrap_or(0);
        let rest = self.judge.text.get(from..).unwrap_or_default();
        let end = rest.find("/*, ... */").unwrap_or(usize::MAX);
        let close = rest.find([')', ']']).unwrap_or(rest.len());
        end < close
    }

    fn equal(&mut self, condition: &NodeEnum, left: &NodeEnum, right: &NodeEnum, place: &Place) {
        match (left, right) {
            (NodeEnum::RowExpr(left), NodeEnum::RowExpr(right)) if left.args.len() == right.args.len() => {
                for (left, right) in left.args.iter().zip(&right.args) {
                    if let (Some(left), Some(right)) = (left.node.as_ref(), right.node.as_ref()) {
                        self.equal(condition, left, right, place);
                    }
                }
                return;
            }
            // `(a, b) = (SELECT …)`
            (NodeEnum::RowExpr(row), NodeEnum::SubLink(link)) => return self.row_of(&row.args, link, place),
            _ => {}
        }
        let (a, b) = (self.value(left, place.scope), self.value(right, place.scope));
        if a == b {
            if a != BOUND {
                self.miss(condition, place.scope, "a column equals itself in every row");
            }
            return;
        }
        if a == NEVER || b == NEVER {
            self.miss(condition, place.scope, "what it is compared with is no parameter, constant or context");
            return;
        }
        self.relate(a, b, place);
        if place.branch {
            return;
        }
        for id in [a, b] {
            if id != BOUND && !place.restricts.contains(&self.graph.owner(id)) {
                let at = tree::location(condition).unwrap_or(0);
                let reason = "the condition of an outer join removes no row of the kept side, and that of a sub-query \
                              none of the outer one";
                self.misses.push(super::Miss { id, at, reason: reason.to_owned() });
            }
        }
    }

    /// Two nodes are equal wherever the condition holds.
    fn relate(&mut self, a: Id, b: Id, place: &Place) {
        let (left, right) = (self.local(a, place.frame), self.local(b, place.frame));
        self.graph.imply(vec![right], left);
        self.graph.imply(vec![left], right);
    }

    /// `EXISTS (…)` and `IN (SELECT …)` remove rows outside, and rows inside that match none of them do not count.
    fn semi_join(&mut self, link: &SubLink, place: &Place) {
        match SubLinkType::try_from(link.sub_link_type) {
            Ok(SubLinkType::ExistsSublink) => {
                let key = std::ptr::from_ref(link) as usize;
                if place.branch || self.sublinks.contains_key(&key) {
                    return;
                }
                if let Some(NodeEnum::SelectStmt(select)) = tree::inner(&link.subselect)
                    && is_plain(select)
                {
                    let outputs = self.select_lifted(select, place);
                    self.remember(link, outputs);
                }
            }
            Ok(SubLinkType::AnySublink) if link.oper_name.is_empty() || tree::is_operator(&link.oper_name, "=") => {
                match tree::inner(&link.testexpr) {
                    Some(NodeEnum::RowExpr(row)) => self.row_of(&row.args, link, place),
                    Some(test) => self.member(test, 0, link, place),
                    None => {}
                }
            }
            _ => {}
        }
    }

    fn row_of(&mut self, row: &[Node], link: &SubLink, place: &Place) {
        for (position, test) in row.iter().enumerate() {
            if let Some(test) = test.node.as_ref() {
                self.member(test, position, link, place);
            }
        }
    }

    fn member(&mut self, test: &NodeEnum, position: usize, link: &SubLink, place: &Place) {
        let outputs = self.sublink(link, place.scope);
        let value = self.value(test, place.scope);
        let Some(output) = outputs.columns.get(position).filter(|_| outputs.wild.is_empty()).cloned() else { return };
        if value == NEVER || output.id == NEVER {
            return;
        }
        let (outside, inside) = (self.local(value, place.frame), self.local(output.id, place.frame));
        self.graph.imply(vec![inside], outside);
        // Rows inside that equal no row outside change nothing, so a bound outside binds them.
        if output.open && !place.branch && self.graph.owner(output.id) >= outputs.first_alias {
            self.graph.imply(vec![outside], output.id);
        }
    }
}

/// The only thing that a select gives.
fn target_of(select: &SelectStmt) -> Option<&NodeEnum> {
    match select.target_list.as_slice() {
        [only] => match only.node.as_ref()? {
            NodeEnum::ResTarget(target) => tree::inner(&target.val),
            _ => None,
        },
        _ => None,
    }
}

/// A select whose conditions decide alone whether it has a row.
fn is_plain(select: &SelectStmt) -> bool {
    select.larg.is_none()
        && select.group_clause.is_empty()
        && select.having_clause.is_none()
        && select.limit_offset.is_none()
        && select.values_lists.is_empty()
        && !select.target_list.iter().any(|target| target.node.as_ref().is_some_and(calls_something))
}

/// An aggregate without groups gives a row even where nothing matches; any call might be one.
fn calls_something(node: &NodeEnum) -> bool {
    let mut waiting = vec![node];
    while let Some(node) = waiting.pop() {
        if matches!(node, NodeEnum::FuncCall(_) | NodeEnum::JsonArrayAgg(_) | NodeEnum::JsonObjectAgg(_)) {
            return true;
        }
        tree::children(node, &mut waiting);
    }
    false
}
