//! FROM: the tree of joins, and which of them keep rows that match nothing.
//!
//! Long because joins of every kind belong together. INVARIANT: an outer join counts as an inner one only where a condition above it refuses its empty side.

use std::collections::BTreeSet;
use std::rc::Rc;

use pg_query::protobuf::{
    AExprKind, Alias as AliasNode, BoolExprType, JoinExpr, JoinType, NullTestType, RangeFunction, RangeVar,
};

use super::alias::{AliasId, Has, Kind, Output, Outputs, ScopeId};
use super::condition::Place;
use super::graph::{BOUND, Id, NEVER};
use super::{Analysis, Touch, schema_of};
use crate::schema::Class;
use crate::tree::{self, NodeEnum};

/// The joins of FROM.
pub enum Tree<'t> {
    Leaf(AliasId),
    Join(Box<Join<'t>>),
}

pub struct Join<'t> {
    kind: JoinType,
    left: Tree<'t>,
    right: Tree<'t>,
    quals: Option<&'t NodeEnum>,
    scope: ScopeId,
    merged: Vec<Merged>,
}

/// A column that USING or NATURAL made of two.
struct Merged {
    name: String,
    left: Id,
    right: Id,
    alias: AliasId,
    id: Id,
}

impl<'t> Analysis<'_> {
    /// Everything of a FROM list, with the conditions of its joins; answers the aliases.
    pub(super) fn from(
        &mut self,
        items: &'t [pg_query::Node],
        condition: Option<&NodeEnum>,
        scope: ScopeId,
    ) -> Rc<BTreeSet<AliasId>> {
        let trees: Vec<_> = items.iter().filter_map(|item| self.item(item.node.as_ref()?, scope)).collect();
        let refused = condition.map(|condition| self.strict(condition, scope)).unwrap_or_default();
        let mut all = BTreeSet::new();
        for tree in &trees {
            self.join(tree, &refused);
            collect(tree, &mut all);
        }
        Rc::new(all)
    }

    pub(super) fn item(&mut self, item: &'t NodeEnum, scope: ScopeId) -> Option<Tree<'t>> {
        let alias = match item {
            NodeEnum::RangeVar(table) => self.table(table, scope),
            NodeEnum::RangeSubselect(sub) => {
                let outer = if sub.lateral { Some(scope) } else { self.scopes[scope].parent };
                let outputs = tree::inner(&sub.subquery).map(|query| self.query(query, outer)).unwrap_or_default();
                let outputs = renamed(outputs, sub.alias.as_ref());
                self.derived(name_of(sub.alias.as_ref()), outputs)
            }
            NodeEnum::RangeFunction(function) => self.called(function, scope),
            NodeEnum::RangeTableFunc(function) => {
                self.visit_all(&function.namespaces, scope);
                self.visit_all(&function.columns, scope);
                for part in [&function.docexpr, &function.rowexpr] {
                    tree::inner(part).into_iter().for_each(|part| self.visit(part, scope));
                }
                self.alias(name_of(function.alias.as_ref()), Kind::Opaque(names_of(function.alias.as_ref())))
            }
            NodeEnum::JsonTable(table) => {
                if let Some(context) = table.context_item.as_deref() {
                    for part in [&context.raw_expr, &context.formatted_expr] {
                        tree::inner(part).into_iter().for_each(|part| self.visit(part, scope));
                    }
                }
                self.visit_all(&table.passing, scope);
                self.alias(name_of(table.alias.as_ref()), Kind::Opaque(names_of(table.alias.as_ref())))
            }
            NodeEnum::RangeTableSample(sample) => {
                self.visit_all(&sample.args, scope);
                return tree::inner(&sample.relation).and_then(|relation| self.item(relation, scope));
            }
            NodeEnum::JoinExpr(join) => return Some(self.joined(join, scope)),
            _ => return None,
        };
        self.scopes[scope].aliases.push(alias);
        Some(Tree::Leaf(alias))
    }

    /// A table, or a common table expression of that name.
    fn table(&mut self, table: &RangeVar, scope: ScopeId) -> AliasId {
        self.visited(table);
        let name = table.alias.as_ref().map_or(table.relname.as_str(), |alias| alias.aliasname.as_str());
        if schema_of(table).is_none()
            && let Some(index) = self.find_cte(scope, &table.relname)
        {
            let outputs = (*self.ctes[index].outputs).clone();
            let outputs = renamed(Outputs { cte: Some(index), ..outputs }, table.alias.as_ref());
            let alias = self.derived(name, outputs);
            self.ctes[index].readers.push(alias);
            return alias;
        }
        let alias = self.target(table, name);
        if self.class(table) == Class::Tenant {
            self.require(alias, Touch::Read, table);
        }
        alias
    }

    /// The alias of a real table, whatever is done with it.
    pub(super) fn target(&mut self, table: &RangeVar, name: &str) -> AliasId {
        let class = self.class(table);
        let known = self.judge.schema.find(schema_of(table), &table.relname, self.judge.path);
        let columns = known.filter(|relation| relation.inherits.is_none()).and_then(|known| known.columns.clone());
        let first = self.aliases.len();
        let alias = self.alias(name, Kind::Table { class, columns });
        let renames = table.alias.as_ref().is_some_and(|alias| !alias.colnames.is_empty());
        if !renames {
            return alias;
        }
        // `t AS x (a, b)` gives the columns other names.
        let mut outputs = Outputs { open: true, first_alias: first, ..Outputs::default() };
        self.expand(alias, &mut outputs);
        let outputs = renamed(outputs, table.alias.as_ref());
        let renaming = self.derived(name, outputs);
        self.renamings.insert(renaming, alias);
        renaming
    }

    fn called(&mut self, function: &RangeFunction, scope: ScopeId) -> AliasId {
        let mut calls = Vec::new();
        for item in &function.functions {
            // Each item is a list of the call and its column definitions.
            if let Some(NodeEnum::List(list)) = item.node.as_ref()
                && let Some(call) = list.items.first().and_then(|call| call.node.as_ref())
            {
                self.visit(call, scope);
                calls.push(call);
            }
        }
        let name = match (function.alias.as_ref(), calls.first()) {
            (Some(alias), _) => alias.aliasname.clone(),
            (None, Some(NodeEnum::FuncCall(call))) => tree::last(&call.funcname).to_owned(),
            _ => String::new(),
        };
        let mut names = names_of(function.alias.as_ref());
        for column in function.coldeflist.iter().filter_map(|column| column.node.as_ref()) {
            if let NodeEnum::ColumnDef(column) = column {
                names.push(column.colname.clone());
            }
        }
        if let [only] = calls.as_slice()
            && self.value(only, scope) == BOUND
        {
            let column = Output { name: names.first().unwrap_or(&name).clone(), id: BOUND, open: false };
            return self.derived(&name, Outputs { columns: vec![column], ..Outputs::default() });
        }
        if names.is_empty() {
            names.push(name.clone());
        }
        self.alias(&name, Kind::Opaque(names))
    }

    fn joined(&mut self, join: &'t JoinExpr, scope: ScopeId) -> Tree<'t> {
        // The alias of a join hides what is inside, but not from the join's own condition.
        let inside = if join.alias.is_some() { self.scope(Some(scope)) } else { scope };
        let first_alias = self.aliases.len();
        let sides = [&join.larg, &join.rarg].map(|side| tree::inner(side).and_then(|side| self.item(side, inside)));
        let [Some(left), Some(right)] = sides else {
            return Tree::Leaf(self.alias("", Kind::Opaque(Vec::new())));
        };
        let names = if join.is_natural {
            self.common(&left, &right)
        } else {
            tree::texts(&join.using_clause).into_iter().map(str::to_owned).collect()
        };
        let mut merged = Vec::new();
        for name in names {
            let (left, right) = (self.side(&left, &name), self.side(&right, &name));
            if let (Some(left), Some(right)) = (left, right) {
                let (alias, id) = self.pseudo(&name);
                self.scopes[inside].merged.push((name.clone(), id));
                merged.push(Merged { name, left, right, alias, id });
            }
        }
        let kind = JoinType::try_from(join.jointype).unwrap_or(JoinType::JoinFull);
        let quals = tree::inner(&join.quals);
        let built = Tree::Join(Box::new(Join { kind, left, right, quals, scope: inside, merged }));
        if let Some(alias) = &join.alias {
            let mut outputs = Outputs { open: true, first_alias, ..Outputs::default() };
            let mut aliases = BTreeSet::new();
            collect(&built, &mut aliases);
            for alias in aliases {
                self.expand(alias, &mut outputs);
            }
            let outputs = renamed(outputs, Some(alias));
            let outer = self.derived(&alias.aliasname, outputs);
            self.scopes[scope].aliases.push(outer);
            let joined = Join {
                kind: JoinType::JoinInner,
                left: built,
                right: Tree::Leaf(outer),
                quals: None,
                scope,
                merged: Vec::new(),
            };
            return Tree::Join(Box::new(joined));
        }
        built
    }

    /// The columns both sides are known to have.
    fn common(&self, left: &Tree<'_>, right: &Tree<'_>) -> Vec<String> {
        let (mut ours, mut theirs) = (BTreeSet::new(), BTreeSet::new());
        collect(left, &mut ours);
        collect(right, &mut theirs);
        let mut names: BTreeSet<String> = BTreeSet::from([self.tenant_column().to_owned()]);
        for alias in &ours {
            if let Kind::Table { columns: Some(columns), .. } = &self.aliases[*alias].kind {
                names.extend(columns.iter().cloned());
            }
        }
        let known = |side: &BTreeSet<AliasId>, name: &str| side.iter().any(|alias| self.has(*alias, name) == Has::Yes);
        names.into_iter().filter(|name| known(&ours, name) && known(&theirs, name)).collect()
    }

    /// The column of a side of a join.
    fn side(&mut self, tree: &Tree<'_>, name: &str) -> Option<Id> {
        if let Tree::Join(join) = tree
            && let Some(merged) = join.merged.iter().find(|merged| merged.name == name)
        {
            return Some(merged.id);
        }
        match tree {
            Tree::Leaf(alias) => (self.has(*alias, name) != Has::No).then(|| self.column(*alias, name)),
            Tree::Join(join) => {
                let best = |tree: &Tree<'_>, this: &Self| {
                    let mut aliases = BTreeSet::new();
                    collect(tree, &mut aliases);
                    aliases.iter().map(|alias| this.has(*alias, name)).max().unwrap_or(Has::No)
                };
                let nearer = if best(&join.right, self) > best(&join.left, self) { &join.right } else { &join.left };
                self.side(nearer, name)
            }
        }
    }

    /// Takes the conditions of joins into the graph.
    pub(super) fn join(&mut self, tree: &Tree<'t>, refused: &BTreeSet<AliasId>) {
        let Tree::Join(join) = tree else { return };
        let (mut left, mut right) = (BTreeSet::new(), BTreeSet::new());
        collect(&join.left, &mut left);
        collect(&join.right, &mut right);
        let meets = |side: &BTreeSet<AliasId>| side.iter().any(|alias| refused.contains(alias));
        let kind = match join.kind {
            JoinType::JoinLeft if meets(&right) => JoinType::JoinInner,
            JoinType::JoinRight if meets(&left) => JoinType::JoinInner,
            JoinType::JoinFull => match (meets(&left), meets(&right)) {
                (true, true) => JoinType::JoinInner,
                (true, false) => JoinType::JoinLeft,
                (false, true) => JoinType::JoinRight,
                (false, false) => JoinType::JoinFull,
            },
            other => other,
        };
        let own: BTreeSet<AliasId> = join.merged.iter().map(|merged| merged.alias).collect();
        let (restricts, keeps_left, keeps_right): (BTreeSet<AliasId>, bool, bool) = match kind {
            JoinType::JoinInner => (&(&left | &right) | &own, false, false),
            JoinType::JoinLeft => (right.clone(), true, false),
            JoinType::JoinRight => (left.clone(), false, true),
            _ => (BTreeSet::new(), true, true),
        };
        let mut inner = refused.clone();
        if let Some(quals) = join.quals {
            inner.extend(self.strict(quals, join.scope));
            let place = Place::new(join.scope, Rc::new(restricts));
            self.condition(quals, &place);
            self.visit(quals, join.scope);
        }
        for merged in &join.merged {
            let Merged { left, right, id, .. } = *merged;
            inner.extend([self.graph.owner(left), self.graph.owner(right)]);
            if !keeps_left {
                self.graph.imply(vec![right], left);
                self.graph.imply(vec![right], id);
            }
            if !keeps_right {
                self.graph.imply(vec![left], right);
                self.graph.imply(vec![left], id);
            }
            self.graph.imply(vec![left, right], id);
            // What is known of the merged column is known of each side that has a row.
            self.graph.imply(vec![id], left);
            self.graph.imply(vec![id], right);
        }
        self.join(&join.left, if keeps_left { refused } else { &inner });
        self.join(&join.right, if keeps_right { refused } else { &inner });
    }

    /// The aliases whose empty rows a condition refuses.
    fn strict(&mut self, condition: &NodeEnum, scope: ScopeId) -> BTreeSet<AliasId> {
        let mut found = BTreeSet::new();
        match condition {
            NodeEnum::BoolExpr(logic) => {
                let arguments: Vec<_> = logic.args.iter().filter_map(|argument| argument.node.as_ref()).collect();
                let mut sets = Vec::new();
                for argument in arguments {
                    sets.push(self.strict(argument, scope));
                }
                match BoolExprType::try_from(logic.boolop) {
                    Ok(BoolExprType::AndExpr) => found.extend(sets.into_iter().flatten()),
                    Ok(BoolExprType::OrExpr) => {
                        found = sets.into_iter().reduce(|a, b| &a & &b).unwrap_or_default();
                    }
                    _ => {}
                }
            }
            NodeEnum::AExpr(operation) => {
                let compares = match AExprKind::try_from(operation.kind) {
                    Ok(AExprKind::AexprOp) => {
                        ["=", "<>", "<", ">", "<=", ">="].iter().any(|sign| tree::is_operator(&operation.name, sign))
                    }
                    Ok(
                        AExprKind::AexprIn
                        | AExprKind::AexprLike
                        | AExprKind::AexprIlike
                        | AExprKind::AexprBetween
                        | AExprKind::AexprOpAny,
                    ) => true,
                    _ => false,
                };
                if compares {
                    for side in [&operation.lexpr, &operation.rexpr] {
                        found.extend(tree::inner(side).and_then(|side| self.owner_of(side, scope)));
                    }
                }
            }
            NodeEnum::NullTest(test) if test.nulltesttype == NullTestType::IsNotNull as i32 => {
                found.extend(tree::inner(&test.arg).and_then(|arg| self.owner_of(arg, scope)));
            }
            _ => {}
        }
        found
    }

    fn owner_of(&mut self, expression: &NodeEnum, scope: ScopeId) -> Option<AliasId> {
        match expression {
            NodeEnum::ColumnRef(_) | NodeEnum::TypeCast(_) => {
                let id = self.value(expression, scope);
                Some(self.graph.owner(id)).filter(|owner| *owner < self.aliases.len())
            }
            _ => None,
        }
    }
}

/// All aliases below a join.
pub fn collect(tree: &Tree<'_>, into: &mut BTreeSet<AliasId>) {
    match tree {
        Tree::Leaf(alias) => {
            into.insert(*alias);
        }
        Tree::Join(join) => {
            collect(&join.left, into);
            collect(&join.right, into);
            into.extend(join.merged.iter().map(|merged| merged.alias));
        }
    }
}

/// The outputs under the names of an alias' column list.
pub fn renamed(mut outputs: Outputs, alias: Option<&AliasNode>) -> Outputs {
    let names = names_of(alias);
    if outputs.wild.is_empty() {
        for (output, name) in outputs.columns.iter_mut().zip(names) {
            output.name = name;
        }
    } else {
        // Which columns of an unknown star get these names nobody can tell.
        let unknown = names.into_iter().map(|name| Output { name, id: NEVER, open: false });
        outputs.columns.splice(0..0, unknown);
    }
    outputs
}

fn name_of(alias: Option<&AliasNode>) -> &str {
    alias.map_or("", |alias| alias.aliasname.as_str())
}

fn names_of(alias: Option<&AliasNode>) -> Vec<String> {
    alias.map(|alias| tree::texts(&alias.colnames).into_iter().map(str::to_owned).collect()).unwrap_or_default()
}
