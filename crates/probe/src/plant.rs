//! Plants the canary rows of one tenant, finds them again, and takes them away.
//!
//! One row per table and per leaf partition, parents first, through the tenant's own transaction. INVARIANT: planting
//! again finds the rows that are there; only rows of this tenant are ever touched; a table that gets no row is named
//! with the reason.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tenantry_pg::{Ident, PgError, Session, SimpleQueryMessage};
use uuid::Uuid;

use crate::canary::CanaryKey;
use crate::draft::{Slot, another_pick, insertion};
use crate::model::{Base, CatalogModel, Relation, RelationKind};
use crate::pen::Pen;
use crate::search::Needle;

/// How many rows are tried before a table counts as one that cannot be planted.
const TRIES: usize = 64;

/// A table without a canary row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unplantable {
    /// `schema.table`.
    pub table: String,
    /// Why it has none.
    pub reason: String,
}

/// One canary row.
#[derive(Debug, Clone)]
pub struct Row {
    /// The table or leaf partition that holds it.
    pub leaf: u32,
    /// The table it was inserted into.
    pub root: u32,
    /// What each column holds, as text.
    pub values: BTreeMap<String, Option<String>>,
}

/// What one tenant holds.
#[derive(Debug, Default)]
pub struct Planted {
    /// Its rows, parents first.
    pub rows: Vec<Row>,
    /// How many of them were inserted by this call.
    pub inserted: usize,
    /// The values to look for.
    pub needles: Vec<Needle>,
    /// Tables without a row.
    pub unplantable: Vec<Unplantable>,
    /// Rows of tables that all tenants read, which foreign keys need.
    pub(crate) references: Vec<Row>,
}

impl Planted {
    /// The row in this table, or in one of its partitions.
    #[must_use]
    pub fn row(&self, relation: u32) -> Option<&Row> {
        let of = |row: &&Row| row.leaf == relation || row.root == relation;
        self.rows.iter().find(of).or_else(|| self.references.iter().find(of))
    }
}

/// Whose rows, where.
pub(crate) struct Planter<'a> {
    pub model: &'a CatalogModel,
    pub key: &'a CanaryKey,
    pub tenant: Uuid,
    pub tenant_column: Option<&'a Ident>,
    /// All tables of this schema are the tenant's own or the app's.
    pub schema: &'a Ident,
    /// How the tenant is called in reports: `a` or `b`.
    pub word: &'static str,
}

impl Planter<'_> {
    /// Puts a row into every table of the tenant that lacks one.
    pub async fn plant(&self, tx: &Session) -> Result<Planted, PgError> {
        let mut planted = Planted::default();
        for root in self.roots() {
            for leaf in self.leaves(root) {
                let done = self.plant_one(tx, root, leaf, &mut planted).await?;
                if let Err(reason) = done {
                    planted.unplantable.push(Unplantable { table: leaf.full_name(), reason });
                }
            }
        }
        Ok(planted)
    }

    /// Finds the rows without changing anything.
    pub async fn find(&self, tx: &Session) -> Result<Planted, PgError> {
        let mut planted = Planted::default();
        for root in self.roots() {
            for leaf in self.leaves(root) {
                self.reference_rows(tx, root, &mut planted).await?;
                if let Some(row) = self.locate(tx, root, leaf, &planted).await? {
                    self.learn(root, leaf, &row, &mut planted);
                    planted.rows.push(row);
                }
            }
        }
        Ok(planted)
    }

    /// Takes the rows away, children first; gives how many.
    pub async fn clean(&self, tx: &Session) -> Result<u64, PgError> {
        let planted = self.find(tx).await?;
        let mut gone = 0;
        for row in planted.rows.iter().rev() {
            let (Some(root), Some(leaf)) = (self.model.relation(row.root), self.model.relation(row.leaf)) else {
                continue;
            };
            let mut pen = Pen::new("DELETE FROM ");
            pen.full(&root.schema, &root.name).put(" AS tenantry_row WHERE ");
            self.condition(&mut pen, root, leaf, &planted);
            gone += tx.execute_sql(&pen.done(), &[]).await?;
        }
        Ok(gone)
    }

    /// The tables to plant, parents before children; those of a cycle come last.
    fn roots(&self) -> Vec<&Relation> {
        let mine: Vec<&Relation> = self.model.relations.iter().filter(|relation| self.is_mine(relation)).collect();
        let all: BTreeSet<u32> = mine.iter().map(|relation| relation.oid).collect();
        let (mut order, mut done) = (Vec::new(), BTreeSet::new());
        while order.len() < mine.len() {
            let free = |relation: &&&Relation| {
                let waits = |target: u32| target != relation.oid && all.contains(&target) && !done.contains(&target);
                !done.contains(&relation.oid) && !relation.foreign.iter().any(|key| waits(key.target))
            };
            let next = mine.iter().find(free).or_else(|| mine.iter().find(|relation| !done.contains(&relation.oid)));
            let Some(next) = next.copied() else { break };
            done.insert(next.oid);
            order.push(next);
        }
        order
    }

    /// Whether the tenant has rows of its own there. Partitions come with their parent.
    pub fn is_mine(&self, relation: &Relation) -> bool {
        let keyed = self.tenant_column.is_some_and(|column| relation.column(column.as_str()).is_some());
        let mine = keyed || self.tenant_column.is_none();
        mine && relation.holds_rows() && relation.parent.is_none() && relation.schema == *self.schema
    }

    /// A table itself, or the leaf partitions below it.
    fn leaves<'m>(&'m self, root: &'m Relation) -> Vec<&'m Relation> {
        if root.kind == RelationKind::Table {
            return vec![root];
        }
        let below = self.model.relations.iter().filter(|relation| relation.parent == Some(root.oid));
        below.flat_map(|partition| self.leaves(partition)).collect()
    }

    async fn plant_one(
        &self,
        tx: &Session,
        root: &Relation,
        leaf: &Relation,
        planted: &mut Planted,
    ) -> Result<Result<(), String>, PgError> {
        self.reference_rows(tx, root, planted).await?;
        if let Some(row) = self.locate(tx, root, leaf, planted).await? {
            self.learn(root, leaf, &row, planted);
            planted.rows.push(row);
            return Ok(Ok(()));
        }
        let mut turn = 0;
        let mut slots = match self.draft(root, leaf, turn, planted) {
            Ok(slots) => slots,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut last = String::new();
        for _ in 0..TRIES {
            tx.batch_static("SAVEPOINT tenantry_plant").await?;
            match self.insert(tx, root, &slots).await {
                Ok(Some(row)) if row.leaf == leaf.oid => {
                    tx.batch_static("RELEASE SAVEPOINT tenantry_plant").await?;
                    self.learn(root, leaf, &row, planted);
                    planted.rows.push(row);
                    planted.inserted += 1;
                    return Ok(Ok(()));
                }
                Ok(_) => {
                    "the row goes to another partition".clone_into(&mut last);
                    tx.batch_static("ROLLBACK TO SAVEPOINT tenantry_plant").await?;
                    turn += 1;
                    slots = self.draft(root, leaf, turn, planted).unwrap_or(slots);
                }
                Err(error) if error.db().is_some() => {
                    last = error.to_string();
                    tx.batch_static("ROLLBACK TO SAVEPOINT tenantry_plant").await?;
                    if error.sqlstate() != Some("23514") || !another_pick(root, &mut slots, error.constraint()) {
                        return Ok(Err(last));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Err(last))
    }

    async fn insert(&self, tx: &Session, root: &Relation, slots: &[Slot]) -> Result<Option<Row>, PgError> {
        let mut pen = insertion(root, slots);
        pen.put(" RETURNING ");
        shown(&mut pen, root);
        first_row(tx, pen, root).await
    }

    async fn locate(
        &self,
        tx: &Session,
        root: &Relation,
        leaf: &Relation,
        planted: &Planted,
    ) -> Result<Option<Row>, PgError> {
        let mut pen = Pen::new("SELECT ");
        shown(&mut pen, root);
        pen.put(" FROM ").full(&root.schema, &root.name).put(" AS tenantry_row WHERE ");
        self.condition(&mut pen, root, leaf, planted);
        pen.put(" LIMIT 1");
        tx.batch_static("SAVEPOINT tenantry_plant").await?;
        let found = first_row(tx, pen, root).await;
        tx.batch_static("ROLLBACK TO SAVEPOINT tenantry_plant").await?;
        match found {
            // A table that the tenant may not read holds nothing that it could have planted.
            Err(error) if error.db().is_some() => Ok(None),
            other => other,
        }
    }

    /// What is true of this tenant's canary row only.
    fn condition(&self, pen: &mut Pen, root: &Relation, leaf: &Relation, planted: &Planted) {
        pen.put("tenantry_row.tableoid = ").int(i64::from(leaf.oid));
        if let Some(key) = self.tenant_column.filter(|key| root.column(key.as_str()).is_some()) {
            pen.put(" AND tenantry_row.").name(key).put(" = ").literal(&self.tenant.to_string());
        }
        let mut pieces = BTreeSet::from([self.key.stem(self.tenant)]);
        let enough = |text: &str| text.len() >= 9;
        for slot in self.draft(root, leaf, 0, planted).unwrap_or_default() {
            if self.is_key(&slot.name) {
                continue;
            }
            let first = slot.tries.first();
            pieces.extend(first.and_then(|one| one.needle.clone()));
            // A parent's key; a partition's bound is no evidence.
            let referring = root.foreign.iter().any(|key| key.columns.contains(&slot.name));
            pieces.extend(first.filter(|one| referring && enough(&one.text)).map(|one| one.text.clone()));
        }
        let plain = pieces.len() == 1 && !root.columns.iter().any(|column| holds_text(&column.base));
        if plain {
            // Nothing in it can be recognised: in a canary tenant every row is one.
            return;
        }
        pen.put(" AND (");
        for (index, piece) in pieces.iter().enumerate() {
            pen.put(if index > 0 { " OR " } else { "" }).put("strpos(tenantry_row::text, ").literal(piece).put(") > 0");
        }
        pen.put(")");
    }

    /// Notes which of the row's values are to be looked for.
    fn learn(&self, root: &Relation, leaf: &Relation, row: &Row, planted: &mut Planted) {
        let table = leaf.full_name();
        for turn in 0..u32::try_from(TRIES).unwrap_or(u32::MAX) {
            let mut known = Vec::new();
            for slot in self.draft(root, leaf, turn, planted).unwrap_or_default() {
                let held = row.values.get(slot.name.as_str()).cloned().flatten().unwrap_or_default();
                let needle = slot.tries.into_iter().filter_map(|one| one.needle).find(|needle| held.contains(needle));
                let id = [self.word, " ", &table, ".", slot.name.as_str()].concat();
                known.extend(needle.map(|text| Needle { id, text }));
            }
            if !known.is_empty() {
                planted.needles.extend(known);
                return;
            }
        }
    }

    /// A row of each common table that foreign keys of this one need.
    async fn reference_rows(&self, tx: &Session, root: &Relation, planted: &mut Planted) -> Result<(), PgError> {
        for key in &root.foreign {
            let Some(target) = self.model.relation(key.target) else { continue };
            if self.is_mine(target) || planted.row(target.oid).is_some() || !target.reachable {
                continue;
            }
            let mut pen = Pen::new("SELECT ");
            shown(&mut pen, target);
            pen.put(" FROM ").full(&target.schema, &target.name).put(" AS tenantry_row LIMIT 1");
            tx.batch_static("SAVEPOINT tenantry_plant").await?;
            let row = first_row(tx, pen, target).await;
            tx.batch_static("ROLLBACK TO SAVEPOINT tenantry_plant").await?;
            planted.references.extend(row.ok().flatten());
        }
        Ok(())
    }
}

fn shown(pen: &mut Pen, relation: &Relation) {
    pen.put("tenantry_row.tableoid");
    for column in &relation.columns {
        pen.put(", tenantry_row.").name(&column.name).put("::text");
    }
}

async fn first_row(tx: &Session, pen: Pen, relation: &Relation) -> Result<Option<Row>, PgError> {
    let answers = tx.simple(&pen.done()).await?;
    let row = answers.into_iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(row.map(|row| {
        let leaf = row.try_get(0).ok().flatten().and_then(|oid| oid.parse().ok()).unwrap_or_default();
        let value = |(index, name): (usize, &Ident)| {
            (name.as_str().to_owned(), row.try_get(index + 1).ok().flatten().map(ToOwned::to_owned))
        };
        let values = relation.columns.iter().map(|column| &column.name).enumerate().map(value).collect();
        Row { leaf, root: relation.oid, values }
    }))
}

fn holds_text(base: &Base) -> bool {
    match base {
        Base::Text(_) | Base::Json | Base::Xml | Base::Hstore => true,
        Base::Array(element) => holds_text(element),
        _ => false,
    }
}
