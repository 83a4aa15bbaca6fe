//! Changes: INSERT, UPDATE, DELETE and MERGE in their forms, for oneself and for others.

use super::Maker;
use super::scope::{Scope, Source};
use crate::model::{Column, Relation};
use crate::pen::Pen;

fn writable(table: &Relation) -> Vec<&Column> {
    table.columns.iter().filter(|column| !column.generated && !column.identity_always).collect()
}

impl Maker<'_, '_> {
    fn returning(&mut self, pen: &mut Pen, scope: &Scope) {
        match self.rng.below(3) {
            0 => drop(pen.put(" RETURNING *")),
            1 => {
                pen.put(" RETURNING ");
                self.text(pen, scope);
            }
            _ => {}
        }
    }

    pub(super) fn update(&mut self, pen: &mut Pen, returns: bool) {
        let Some(table) = self.table().cloned() else { return self.payload(pen) };
        let source = Source::of(self.alias(), &table);
        let mut scope = Scope { sources: vec![source.clone()] };
        pen.put("UPDATE ");
        self.name(pen, &table);
        pen.put(" AS ").put(source.alias).put(" SET ");
        let columns = writable(&table);
        let column = self.rng.pick(&columns).map(|column| column.name.clone());
        let Some(column) = column else { return };
        pen.name(&column).put(" = ");
        match (column.as_str(), self.rng.below(100)) {
            ("tenant_id", 0..50) => self.uuid(pen, &scope),
            _ => drop(pen.put(source.alias).put(".").name(&column)),
        }
        if self.rng.chance(30)
            && let Some(other) = self.relation().cloned()
        {
            let joined = Source::of(self.alias(), &other);
            pen.put(" FROM ");
            self.name(pen, &other);
            pen.put(" AS ").put(joined.alias);
            scope.sources.push(joined);
        }
        if self.rng.chance(75) {
            pen.put(" WHERE ");
            self.truth(pen, &scope);
        }
        if returns {
            self.returning(pen, &scope);
        }
    }

    pub(super) fn delete(&mut self, pen: &mut Pen, returns: bool) {
        let Some(table) = self.table().cloned() else { return self.payload(pen) };
        let source = Source::of(self.alias(), &table);
        let mut scope = Scope { sources: vec![source.clone()] };
        pen.put("DELETE FROM ");
        self.name(pen, &table);
        pen.put(" AS ").put(source.alias);
        if self.rng.chance(30)
            && let Some(other) = self.relation().cloned()
        {
            let joined = Source::of(self.alias(), &other);
            pen.put(" USING ");
            self.name(pen, &other);
            pen.put(" AS ").put(joined.alias);
            scope.sources.push(joined);
        }
        if self.rng.chance(75) {
            pen.put(" WHERE ");
            self.truth(pen, &scope);
        }
        if returns {
            self.returning(pen, &scope);
        }
    }

    /// Rows copied from the table itself, so that they keep its rules; the tenant may be somebody else.
    /// True when they are.
    pub(super) fn insert(&mut self, pen: &mut Pen, returns: bool) -> bool {
        let Some(table) = self.table().cloned() else {
            self.payload(pen);
            return false;
        };
        let source = Source::of(self.alias(), &table);
        let scope = Scope { sources: vec![source.clone()] };
        let victim = if self.rng.chance(35) { self.victim() } else { None };
        pen.put("INSERT INTO ");
        self.name(pen, &table);
        let columns = writable(&table);
        for (index, column) in columns.iter().enumerate() {
            pen.put(if index > 0 { ", " } else { " (" }).name(&column.name);
        }
        pen.put(") SELECT ");
        for (index, column) in columns.iter().enumerate() {
            pen.put(if index > 0 { ", " } else { "" });
            match &victim {
                Some(victim) if column.name.as_str() == "tenant_id" => {
                    pen.literal(&victim.tenant.to_string()).put("::uuid")
                }
                _ => pen.put(source.alias).put(".").name(&column.name),
            };
        }
        pen.put(" FROM ");
        self.name(pen, &table);
        pen.put(" AS ").put(source.alias).put(" WHERE ");
        self.truth(pen, &scope);
        if self.rng.chance(80) {
            pen.put(" ON CONFLICT DO NOTHING");
        }
        if returns && self.rng.chance(50) {
            pen.put(" RETURNING *");
        }
        victim.is_some() && table.column("tenant_id").is_some()
    }

    pub(super) fn merge(&mut self, pen: &mut Pen) {
        let Some(table) = self.table().cloned() else { return self.payload(pen) };
        let Some(other) = self.relation().cloned() else { return };
        let (target, source) = (Source::of(self.alias(), &table), Source::of(self.alias(), &other));
        let scope = Scope { sources: vec![target.clone(), source.clone()] };
        pen.put("MERGE INTO ");
        self.name(pen, &table);
        pen.put(" AS ").put(target.alias).put(" USING (SELECT * FROM ");
        self.name(pen, &other);
        pen.put(" LIMIT 1) AS ").put(source.alias).put(" ON ");
        self.truth(pen, &scope);
        let columns = writable(&table);
        let column = self.rng.pick(&columns).map(|column| column.name.clone());
        match (self.rng.below(3), column) {
            (0, Some(column)) => {
                pen.put(" WHEN MATCHED THEN UPDATE SET ")
                    .name(&column)
                    .put(" = ")
                    .put(target.alias)
                    .put(".")
                    .name(&column);
            }
            (1, _) => drop(pen.put(" WHEN MATCHED THEN DELETE")),
            _ => drop(pen.put(" WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED THEN DO NOTHING")),
        }
    }

    /// WITH changed AS (UPDATE … RETURNING …) SELECT …
    pub(super) fn changing_cte(&mut self, pen: &mut Pen) {
        pen.put("WITH changed AS (");
        match self.rng.below(3) {
            0 => self.update(pen, false),
            1 => self.delete(pen, false),
            _ => drop(self.insert(pen, false)),
        }
        pen.put(" RETURNING *) SELECT changed::text FROM changed");
        if self.rng.chance(40)
            && let Some(other) = self.relation().cloned()
        {
            pen.put(" UNION ALL SELECT w::text FROM ");
            self.name(pen, &other);
            pen.put(" w");
        }
        pen.put(" LIMIT 40");
    }
}
