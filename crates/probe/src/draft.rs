//! Drafts a row: which column gets what, and what else may be tried when a check refuses it.
//!
//! Pure. Keys of parents come from rows that are there, the key of a partition from its bound, everything else is a
//! canary where the type can hold one.

use std::collections::{BTreeMap, BTreeSet};

use tenantry_pg::Ident;

use crate::model::Relation;
use crate::pen::Pen;
use crate::plant::{Planted, Planter};
use crate::value::{Candidate, candidates, first_of_bound};

/// A column that gets a value, and what may be tried; nothing to try means NULL.
pub(crate) struct Slot {
    pub name: Ident,
    pub tries: Vec<Candidate>,
    pub pick: usize,
}

impl Planter<'_> {
    /// What to insert: canaries, parents' keys, and NULL where nothing is known and nothing is needed.
    pub fn draft(&self, root: &Relation, leaf: &Relation, turn: u32, planted: &Planted) -> Result<Vec<Slot>, String> {
        let mut given: BTreeMap<String, Candidate> = BTreeMap::new();
        let mut bounded = Some(leaf);
        while let Some(partition) = bounded.filter(|partition| partition.oid != root.oid) {
            bounded = partition.parent.and_then(|oid| self.model.relation(oid));
            let values = partition.bound.as_deref().and_then(first_of_bound).unwrap_or_default();
            for (column, text) in bounded.iter().flat_map(|parent| &parent.partition_key).zip(values) {
                given.insert(column.as_str().to_owned(), Candidate { text, needle: None });
            }
        }
        let mut empty: BTreeSet<&str> = BTreeSet::new();
        for key in &root.foreign {
            let free: Vec<_> =
                key.columns.iter().zip(&key.target_columns).filter(|(name, _)| !self.is_key(name)).collect();
            if key.target == root.oid || free.is_empty() {
                // A row that refers to its own table refers to nothing.
                empty.extend(free.iter().map(|(name, _)| name.as_str()));
                continue;
            }
            let parent = planted.row(key.target);
            for (column, target) in free {
                match parent.and_then(|row| row.values.get(target.as_str()).cloned().flatten()) {
                    Some(text) => {
                        given.entry(column.as_str().to_owned()).or_insert(Candidate { text, needle: None });
                    }
                    None if root.column(column.as_str()).is_some_and(|column| column.not_null) => {
                        return Err(["no row for its foreign key ", &key.name, " to refer to"].concat());
                    }
                    None => drop(empty.insert(column.as_str())),
                }
            }
        }
        let mut slots = Vec::new();
        for column in root.columns.iter().filter(|column| !column.generated && !column.identity_always) {
            let name = column.name.as_str();
            let tries = if self.is_key(&column.name) {
                vec![Candidate { text: self.tenant.to_string(), needle: None }]
            } else if let Some(one) = given.get(name) {
                vec![one.clone()]
            } else if empty.contains(name) && !column.not_null {
                Vec::new()
            } else {
                let checks = root.checks.iter().filter(|(_, columns, _)| columns.contains(&column.name));
                let checks: Vec<&str> = checks.map(|(_, _, text)| text.as_str()).collect();
                candidates(column, &self.key.mark(self.tenant, &leaf.full_name(), name, turn), &checks)
            };
            if tries.is_empty() && column.not_null {
                return Err(["no value is known for column ", name, " of type ", column.ty.name.as_str()].concat());
            }
            slots.push(Slot { name: column.name.clone(), tries, pick: 0 });
        }
        Ok(slots)
    }

    pub fn is_key(&self, column: &Ident) -> bool {
        self.tenant_column == Some(column)
    }
}

/// `INSERT INTO … VALUES …` with the picked values.
pub(crate) fn insertion(root: &Relation, slots: &[Slot]) -> Pen {
    let mut pen = Pen::new("INSERT INTO ");
    pen.full(&root.schema, &root.name).put(" AS tenantry_row");
    if slots.is_empty() {
        pen.put(" DEFAULT VALUES");
        return pen;
    }
    for (index, slot) in slots.iter().enumerate() {
        pen.put(if index > 0 { ", " } else { " (" }).name(&slot.name);
    }
    pen.put(") VALUES (");
    for (index, slot) in slots.iter().enumerate() {
        pen.put(if index > 0 { ", " } else { "" }).value(slot.tries.get(slot.pick).map(|one| one.text.as_str()));
    }
    pen.put(")");
    pen
}

/// Picks the next combination for the columns that the broken check looks at.
pub(crate) fn another_pick(root: &Relation, slots: &mut [Slot], constraint: Option<&str>) -> bool {
    let check = root.checks.iter().find(|(name, _, _)| Some(name.as_str()) == constraint);
    for slot in slots {
        let of_domain = || root.column(slot.name.as_str()).is_some_and(|column| !column.domain_checks.is_empty());
        let looked_at = check.map_or_else(of_domain, |(_, columns, _)| columns.contains(&slot.name));
        if !looked_at || slot.tries.len() < 2 {
            continue;
        }
        slot.pick = (slot.pick + 1) % slot.tries.len();
        if slot.pick != 0 {
            return true;
        }
    }
    false
}
