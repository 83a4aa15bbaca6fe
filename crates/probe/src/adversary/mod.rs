//! The adversary: statements without end, made from a seed, by somebody who may run any SQL and wants others' rows.
//!
//! It knows the tables, the other tenants' ids, schemas and roles, and PostgreSQL. Most statements are ordinary queries
//! with joins, sub-selects, expressions and changes, because a leak shows where a statement works; the others try to
//! leave the context. INVARIANT: pure; the same seed, number and model give the same statement.

mod query;
mod rng;
mod scope;
mod session;
mod write;

use tenantry_pg::{Ident, Sql};
use uuid::Uuid;

use crate::model::{CatalogModel, Relation, RelationKind};
use crate::pen::Pen;
use rng::Rng;
use scope::Scope;

/// Another tenant, as far as an attacker may know it.
#[derive(Debug, Clone)]
pub struct Victim {
    /// Its id.
    pub tenant: Uuid,
    /// The schema of its tables.
    pub schema: Ident,
    /// The login or the owner of its place.
    pub role: Ident,
}

/// One statement, or a few that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Its place in the sequence of its seed.
    pub number: u64,
    /// What kind it is, for statistics.
    pub kind: &'static str,
    /// To be sent as one simple message; a COPY to the client is sent as such.
    pub sql: Sql,
    /// It is `COPY … TO STDOUT`.
    pub copies: bool,
    /// It leaves something in the session on purpose, which must not be undone at once.
    pub stays: bool,
    /// It may end the transaction.
    pub ends: bool,
    /// It writes rows for another tenant: a row that it touches is a leak.
    pub for_others: bool,
    /// It changes rows of one table: more than the tenant has there are a leak.
    pub changes: bool,
}

/// Makes statements.
#[derive(Debug, Clone)]
pub struct Adversary<'a> {
    seed: u64,
    next: u64,
    model: &'a CatalogModel,
    victims: &'a [Victim],
    tables: Vec<&'a Relation>,
    readable: Vec<&'a Relation>,
}

impl<'a> Adversary<'a> {
    /// One that knows what the login reaches.
    #[must_use]
    pub fn new(seed: u64, model: &'a CatalogModel) -> Self {
        let reachable = || model.relations.iter().filter(|relation| relation.reachable && !relation.columns.is_empty());
        let tables = reachable().filter(|relation| relation.holds_rows()).collect();
        let readable = reachable().filter(|relation| relation.kind != RelationKind::Sequence).collect();
        Self { seed, next: 0, model, victims: &[], tables, readable }
    }

    /// The same, knowing others.
    #[must_use]
    pub fn against(self, victims: &'a [Victim]) -> Self {
        Self { victims, ..self }
    }

    /// The statement of one number.
    #[must_use]
    pub fn at(&self, number: u64) -> Move {
        let mut one = Maker { rng: Rng::of(self.seed, number), adversary: self, depth: 0, names: 0 };
        one.any(number)
    }
}

impl Iterator for Adversary<'_> {
    type Item = Move;

    fn next(&mut self) -> Option<Move> {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        Some(self.at(number))
    }
}

/// Makes one statement.
struct Maker<'m, 'a> {
    rng: Rng,
    adversary: &'m Adversary<'a>,
    depth: u32,
    /// How many aliases were given out.
    names: usize,
}

/// How often each kind is made, of a thousand.
const KINDS: &[(usize, &str)] = &[
    (360, "select"),
    (60, "set operation"),
    (40, "changing cte"),
    (60, "update"),
    (40, "delete"),
    (50, "insert"),
    (35, "merge"),
    (10, "copy"),
    (35, "prepare"),
    (25, "cursor"),
    (35, "do"),
    (50, "setting"),
    (15, "role"),
    (20, "path"),
    (15, "temporary"),
    (20, "explain"),
    (30, "catalog"),
    (25, "error"),
    (40, "function"),
    (10, "definition"),
    (20, "savepoint"),
    (5, "transaction"),
];

impl Maker<'_, '_> {
    fn any(&mut self, number: u64) -> Move {
        let total = KINDS.iter().map(|(weight, _)| weight).sum();
        let mut left = self.rng.below(total);
        let mut kind = "select";
        for (weight, name) in KINDS {
            if left < *weight {
                kind = name;
                break;
            }
            left -= weight;
        }
        let mut pen = Pen::new("");
        let mut one = Move {
            number,
            kind,
            sql: Sql::new(""),
            copies: kind == "copy",
            stays: false,
            ends: kind == "transaction",
            for_others: false,
            changes: matches!(kind, "update" | "delete" | "merge"),
        };
        match kind {
            "set operation" => self.set_operation(&mut pen),
            "changing cte" => self.changing_cte(&mut pen),
            "update" => self.update(&mut pen, true),
            "delete" => self.delete(&mut pen, true),
            "insert" => one.for_others = self.insert(&mut pen, true),
            "merge" => self.merge(&mut pen),
            "copy" => self.copy(&mut pen),
            "prepare" => one.stays = self.prepare(&mut pen),
            "cursor" => one.stays = self.cursor(&mut pen),
            "do" => self.block(&mut pen),
            "setting" => one.stays = self.setting(&mut pen),
            "role" => self.role(&mut pen),
            "path" => self.path(&mut pen),
            "temporary" => one.stays = self.temporary(&mut pen),
            "explain" => self.explain(&mut pen),
            "catalog" => self.catalog(&mut pen),
            "error" => self.error(&mut pen),
            "function" => self.function(&mut pen),
            "definition" => self.definition(&mut pen),
            "savepoint" => self.savepoint(&mut pen),
            "transaction" => self.transaction(&mut pen),
            _ => self.select(&mut pen),
        }
        one.sql = pen.done();
        one
    }

    /// A relation to read, now and then one of somebody else's schema.
    fn relation(&mut self) -> Option<&Relation> {
        self.rng.pick(&self.adversary.readable).copied()
    }

    fn table(&mut self) -> Option<&Relation> {
        self.rng.pick(&self.adversary.tables).copied()
    }

    fn victim(&mut self) -> Option<Victim> {
        self.rng.pick(self.adversary.victims).cloned()
    }

    /// The table's name: as the path finds it, in full, or in another tenant's schema.
    fn name(&mut self, pen: &mut Pen, relation: &Relation) {
        match self.rng.below(100) {
            0..60 => pen.name(&relation.name),
            60..98 => pen.full(&relation.schema, &relation.name),
            _ => match self.victim() {
                Some(victim) => pen.full(&victim.schema, &relation.name),
                None => pen.name(&relation.name),
            },
        };
    }

    fn alias(&mut self) -> &'static str {
        const NAMES: [&str; 24] = [
            "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9", "u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7",
            "u8", "u9", "v0", "v1", "v2", "v3",
        ];
        let name = NAMES[self.names % NAMES.len()];
        self.names += 1;
        name
    }

    /// Something that shows rows, to be put after an attempt to leave the context.
    fn payload(&mut self, pen: &mut Pen) {
        let Some(relation) = self.relation().cloned() else { return };
        pen.put("SELECT ");
        pen.put("w::text FROM ");
        self.name(pen, &relation);
        pen.put(" w");
        if self.rng.chance(30)
            && let (Some(victim), Some(_)) = (self.victim(), relation.column("tenant_id"))
        {
            pen.put(" WHERE w.tenant_id = ").literal(&victim.tenant.to_string());
        }
        pen.put(" LIMIT 40");
    }

    fn scope(&self) -> Scope {
        Scope::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Base, Column, TypeName};

    fn ident(name: &str) -> Ident {
        Ident::new(name).unwrap_or_else(|error| unreachable!("{error}"))
    }

    fn model() -> CatalogModel {
        let column = |name: &str, base: Base| Column {
            name: ident(name),
            ty: TypeName { schema: ident("pg_catalog"), name: ident("text") },
            base,
            not_null: true,
            generated: false,
            identity_always: false,
            domain_checks: Vec::new(),
        };
        let columns =
            vec![column("tenant_id", Base::Uuid), column("n", Base::Int(9)), column("body", Base::Text(None))];
        let table = |oid, name: &str| Relation {
            oid,
            schema: ident("app"),
            name: ident(name),
            kind: RelationKind::Table,
            reachable: true,
            columns: columns.clone(),
            uniques: Vec::new(),
            foreign: Vec::new(),
            checks: Vec::new(),
            parent: None,
            bound: None,
            partition_key: Vec::new(),
        };
        CatalogModel { relations: vec![table(1, "notes"), table(2, "people")], ..CatalogModel::default() }
    }

    #[test]
    fn a_number_is_a_statement_whatever_came_before() {
        let model = model();
        let adversary = Adversary::new(5, &model);
        let list: Vec<Move> = adversary.clone().take(300).collect();
        for one in &list {
            assert_eq!(*one, adversary.at(one.number));
        }
        let others = Adversary::new(6, &model).take(300).filter(|one| list.contains(one)).count();
        assert!(others < 30, "{others} of 300 are the same with another seed");
    }

    #[test]
    fn every_kind_is_made_and_most_statements_differ() {
        let model = model();
        let list: Vec<Move> = Adversary::new(1, &model).take(5_000).collect();
        for (_, kind) in KINDS {
            assert!(list.iter().any(|one| one.kind == *kind), "{kind}");
        }
        let different: std::collections::HashSet<&str> = list.iter().map(|one| one.sql.as_str()).collect();
        assert!(different.len() > 3_500, "{}", different.len());
        assert!(list.iter().all(|one| !one.sql.as_str().is_empty()));
    }

    #[test]
    fn without_tables_it_still_speaks() {
        let model = CatalogModel::default();
        assert_eq!(Adversary::new(1, &model).take(500).count(), 500);
    }
}
