//! Aliases, scopes and outputs: what a name means at a place of a query.
//!
//! INVARIANT: a name that could mean several columns means none; a name is looked for outwards only where no nearer
//! alias could have it.

use std::collections::BTreeMap;
use std::rc::Rc;

use pg_query::Node;

use super::Analysis;
use super::graph::{BOUND, Id, NEVER};
use crate::schema::Class;
use crate::tree::{self, NodeEnum};

/// An alias' place in the arena. Later aliases have higher numbers.
pub type AliasId = usize;
/// A scope's place in the arena.
pub type ScopeId = usize;

/// Whether an alias has a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Has {
    No,
    Maybe,
    Yes,
}

/// Something in FROM, or a pseudo alias for columns that nobody else owns.
#[derive(Debug)]
pub struct Alias {
    pub name: String,
    pub kind: Kind,
    columns: BTreeMap<String, Id>,
}

#[derive(Debug, Clone)]
pub enum Kind {
    Table {
        class: Class,
        columns: Option<Vec<String>>,
    },
    Derived(Rc<Outputs>),
    /// A function or the like, with the names it is known to have.
    Opaque(Vec<String>),
}

/// The columns a query gives.
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    pub columns: Vec<Output>,
    /// Aliases whose unknown columns a star passes on.
    pub wild: Vec<AliasId>,
    /// A condition on the outside acts on the rows inside: there is no LIMIT and the like.
    pub open: bool,
    /// Aliases below this one belong to somebody else.
    pub first_alias: AliasId,
    /// The common table expression it comes from.
    pub cte: Option<usize>,
    /// Nothing inside refers to a row outside.
    pub alone: bool,
}

/// One column of a query.
#[derive(Debug, Clone)]
pub struct Output {
    pub name: String,
    pub id: Id,
    /// Like [`Outputs::open`], for this column.
    pub open: bool,
}

/// The names of one query level.
#[derive(Debug, Default)]
pub struct Scope {
    pub parent: Option<ScopeId>,
    pub aliases: Vec<AliasId>,
    /// Columns merged by USING and NATURAL.
    pub merged: Vec<(String, Id)>,
    pub ctes: Vec<(String, usize)>,
}

/// A common table expression.
#[derive(Debug)]
pub struct Cte {
    pub outputs: Rc<Outputs>,
    /// The aliases that read it.
    pub readers: Vec<AliasId>,
}

impl Analysis<'_> {
    pub(super) fn scope(&mut self, parent: Option<ScopeId>) -> ScopeId {
        self.scopes.push(Scope { parent, ..Scope::default() });
        self.scopes.len() - 1
    }

    pub(super) fn alias(&mut self, name: &str, kind: Kind) -> AliasId {
        self.aliases.push(Alias { name: name.to_owned(), kind, columns: BTreeMap::new() });
        self.aliases.len() - 1
    }

    pub(super) fn derived(&mut self, name: &str, outputs: Outputs) -> AliasId {
        self.alias(name, Kind::Derived(Rc::new(outputs)))
    }

    /// A node that belongs to no table, with an owner that conditions may restrict.
    pub(super) fn pseudo(&mut self, name: &str) -> (AliasId, Id) {
        let alias = self.alias("", Kind::Opaque(vec![name.to_owned()]));
        (alias, self.column(alias, name))
    }

    pub(super) fn has(&self, alias: AliasId, name: &str) -> Has {
        match &self.aliases[alias].kind {
            Kind::Table { class, columns } => match (class, columns) {
                (_, Some(columns)) if columns.iter().any(|column| column == name) => Has::Yes,
                (Class::Tenant, _) if name == self.tenant_column() => Has::Yes,
                (_, Some(_)) => Has::No,
                (_, None) if name == self.tenant_column() => Has::No,
                (_, None) => Has::Maybe,
            },
            Kind::Derived(outputs) => {
                if outputs.columns.iter().any(|output| output.name == name) {
                    return Has::Yes;
                }
                outputs.wild.iter().map(|wild| self.has(*wild, name)).max().unwrap_or(Has::No)
            }
            Kind::Opaque(names) if names.iter().any(|known| known == name) => Has::Yes,
            Kind::Opaque(_) => Has::Maybe,
        }
    }

    /// The node of an alias' column. For sub-queries, what is inside and outside bind each other as far as they may.
    pub(super) fn column(&mut self, alias: AliasId, name: &str) -> Id {
        if let Some(id) = self.aliases[alias].columns.get(name) {
            return *id;
        }
        let id = self.graph.node(alias);
        self.aliases[alias].columns.insert(name.to_owned(), id);
        if let Kind::Derived(outputs) = &self.aliases[alias].kind {
            let outputs = Rc::clone(outputs);
            if let Some((inside, open)) = self.inside(&outputs, name) {
                self.graph.imply(vec![inside], id);
                // Several readers of one expression restrict it only together; see `close_ctes`.
                if open && outputs.cte.is_none() {
                    self.restrict_inside(&outputs, vec![id], inside);
                }
            }
        }
        id
    }

    /// The node behind an output column, and whether conditions on it act inside.
    fn inside(&mut self, outputs: &Outputs, name: &str) -> Option<(Id, bool)> {
        if let Some(output) = outputs.columns.iter().find(|output| output.name == name) {
            return Some((output.id, output.open));
        }
        let best = outputs.wild.iter().copied().max_by_key(|wild| self.has(*wild, name))?;
        (self.has(best, name) != Has::No).then(|| (self.column(best, name), outputs.open))
    }

    fn restrict_inside(&mut self, outputs: &Outputs, causes: Vec<Id>, inside: Id) {
        let owner = self.graph.owner(inside);
        if owner >= outputs.first_alias && owner < self.aliases.len() {
            self.graph.imply(causes, inside);
        }
    }

    /// A condition on every reader of a common table expression acts on the expression.
    pub(super) fn close_ctes(&mut self) {
        for index in 0..self.ctes.len() {
            let outputs = Rc::clone(&self.ctes[index].outputs);
            let readers = self.ctes[index].readers.clone();
            if readers.is_empty() {
                continue;
            }
            for (position, output) in outputs.columns.iter().enumerate().filter(|(_, output)| output.open) {
                let causes =
                    readers.iter().map(|reader| self.at_position(*reader, position, outputs.columns.len())).collect();
                self.restrict_inside(&outputs, causes, output.id);
            }
            let tenant = self.tenant_column();
            let listed = |outputs: &Outputs| outputs.columns.iter().any(|output| output.name == tenant);
            let renamed = |reader: &AliasId| match &self.aliases[*reader].kind {
                Kind::Derived(theirs) => theirs.columns.len() != outputs.columns.len(),
                _ => true,
            };
            if !outputs.wild.is_empty() && !listed(&outputs) && !readers.iter().any(renamed) {
                let Some((inside, true)) = self.inside(&outputs, tenant) else { continue };
                let causes = readers.iter().map(|reader| self.column(*reader, tenant)).collect();
                self.restrict_inside(&outputs, causes, inside);
            }
        }
    }

    /// The column that a reader has at a position, under whichever name it has given it.
    fn at_position(&mut self, reader: AliasId, position: usize, columns: usize) -> Id {
        let Kind::Derived(outputs) = &self.aliases[reader].kind else { return NEVER };
        if outputs.columns.len() != columns {
            return NEVER;
        }
        let Some(name) = outputs.columns.get(position).map(|output| output.name.clone()) else { return NEVER };
        // A name that two columns have can be asked for by nobody.
        if outputs.columns.iter().filter(|output| output.name == name).count() != 1 {
            return NEVER;
        }
        self.column(reader, &name)
    }

    /// All columns of an alias, as a star gives them.
    pub(super) fn expand(&mut self, alias: AliasId, outputs: &mut Outputs) {
        let kind = self.aliases[alias].kind.clone();
        let names = match &kind {
            Kind::Table { columns: Some(columns), .. } => columns.clone(),
            Kind::Derived(inner) => {
                if !inner.wild.is_empty() {
                    outputs.wild.push(alias);
                }
                inner.columns.iter().map(|output| output.name.clone()).collect()
            }
            Kind::Opaque(names) => names.clone(),
            Kind::Table { columns: None, .. } => {
                outputs.wild.push(alias);
                return;
            }
        };
        for name in names {
            let id = self.column(alias, &name);
            outputs.columns.push(Output { name, id, open: true });
        }
    }

    /// The names of outputs, unless some of them are unknown.
    pub(super) fn names_of(&self, outputs: &Outputs) -> Option<Vec<String>> {
        let mut names: Vec<String> = outputs.columns.iter().map(|output| output.name.clone()).collect();
        for wild in &outputs.wild {
            // An unknown star still has the tenant column of a tenant table.
            if self.has(*wild, self.tenant_column()) == Has::Yes {
                names.push(self.tenant_column().to_owned());
            } else {
                return None;
            }
        }
        Some(names)
    }

    /// The alias of a name, in this scope or further out.
    pub(super) fn find_alias(&self, scope: ScopeId, name: &str) -> Option<AliasId> {
        let mut next = Some(scope);
        while let Some(id) = next {
            let scope = &self.scopes[id];
            if let Some(found) = scope.aliases.iter().find(|alias| self.aliases[**alias].name == name) {
                return Some(*found);
            }
            next = scope.parent;
        }
        None
    }

    /// The common table expression of a name.
    pub(super) fn find_cte(&self, scope: ScopeId, name: &str) -> Option<usize> {
        let mut next = Some(scope);
        while let Some(id) = next {
            let scope = &self.scopes[id];
            if let Some((_, found)) = scope.ctes.iter().rev().find(|(known, _)| known == name) {
                return Some(*found);
            }
            next = scope.parent;
        }
        None
    }

    /// The node a column reference means.
    pub(super) fn resolve(&mut self, fields: &[Node], scope: ScopeId) -> Id {
        let Some(NodeEnum::String(_)) = fields.last().and_then(|field| field.node.as_ref()) else { return NEVER };
        let (table, column) = tree::qualified(fields);
        match table {
            None => self.unqualified(column, scope),
            Some(table) => match self.find_alias(scope, table) {
                Some(alias) if self.has(alias, column) == Has::No => NEVER,
                Some(alias) => self.touch(alias, column),
                None if self.is_variable(column) || self.is_row_of_trigger(table) => BOUND,
                None => self.stray(),
            },
        }
    }

    /// Takes note of whom a name means, wherever it stands.
    pub(super) fn name(&mut self, fields: &[Node], scope: ScopeId) {
        let star = matches!(fields.last().and_then(|field| field.node.as_ref()), Some(NodeEnum::AStar(_)));
        let row = match fields {
            [only] => tree::text(only),
            [.., table, _] if star => tree::text(table),
            _ => None,
        };
        // A whole row is called by its table's name.
        if let Some(alias) = row.and_then(|row| self.find_alias(scope, row)) {
            self.touched.push(alias);
        } else if !star {
            self.resolve(fields, scope);
        }
    }

    fn stray(&mut self) -> Id {
        self.strays += 1;
        NEVER
    }

    fn unqualified(&mut self, name: &str, scope: ScopeId) -> Id {
        let mut next = Some(scope);
        while let Some(id) = next {
            let scope = &self.scopes[id];
            if let Some((_, merged)) = scope.merged.iter().rev().find(|(known, _)| known == name) {
                let merged = *merged;
                self.touched.push(self.graph.owner(merged));
                return merged;
            }
            let (mut certain, mut possible) = (Vec::new(), Vec::new());
            for alias in &scope.aliases {
                match self.has(*alias, name) {
                    Has::Yes => certain.push(*alias),
                    Has::Maybe => possible.push(*alias),
                    Has::No => {}
                }
            }
            next = scope.parent;
            match (certain.as_slice(), possible.as_slice()) {
                ([only], _) => return self.touch(*only, name),
                ([], []) => {}
                _ if certain.is_empty() && self.is_variable(name) => return BOUND,
                ([], [only]) => return self.touch(*only, name),
                _ => return self.stray(),
            }
        }
        if self.is_variable(name) { BOUND } else { self.stray() }
    }

    fn touch(&mut self, alias: AliasId, name: &str) -> Id {
        self.touched.push(alias);
        self.column(alias, name)
    }

    fn is_variable(&self, name: &str) -> bool {
        self.judge.variables.contains(name)
    }

    /// In a trigger's function the row that fires it belongs to one tenant.
    fn is_row_of_trigger(&self, table: &str) -> bool {
        matches!(table, "new" | "old") && self.judge.variables.contains(table)
    }
}
