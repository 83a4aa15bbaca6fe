//! Queries: joins, sub-selects, LATERAL, common table expressions, set operations, windows, grouping.

use tenantry_pg::Ident;

use super::Maker;
use super::scope::{Kind, Scope, Source};
use crate::pen::Pen;

/// Names of what a sub-select gives.
const OUTPUT: [&str; 4] = ["c0", "c1", "c2", "c3"];

impl Maker<'_, '_> {
    pub(super) fn select(&mut self, pen: &mut Pen) {
        if self.rng.chance(15) {
            self.with(pen);
            return;
        }
        let outer = self.scope();
        self.plain(pen, &outer);
        if self.rng.chance(6) {
            let strength = self.rng.word(&[
                " FOR UPDATE",
                " FOR SHARE",
                " FOR KEY SHARE SKIP LOCKED",
                " FOR NO KEY UPDATE NOWAIT",
            ]);
            pen.put(strength);
        }
    }

    /// SELECT … FROM … WHERE … ORDER BY … LIMIT.
    fn plain(&mut self, pen: &mut Pen, outer: &Scope) {
        let (from, scope) = self.from(outer);
        pen.put("SELECT ");
        if self.rng.chance(8) {
            pen.put("DISTINCT ");
        }
        let grouped = self.rng.chance(12);
        if grouped {
            self.text(pen, &scope);
            pen.put(", count(*), ");
            let gather = self.rng.word(&["min(", "max(", "array_agg(", "jsonb_agg(", "count(DISTINCT "]);
            pen.put(gather);
            self.text(pen, &scope);
            pen.put(")");
        } else {
            self.outputs(pen, &scope);
        }
        pen.put(" FROM ").pen(&from);
        if self.rng.chance(65) {
            pen.put(" WHERE ");
            self.truth(pen, &scope);
        }
        if grouped {
            pen.put(" GROUP BY 1");
            if self.rng.chance(30) {
                pen.put(" HAVING count(*) > 0");
            }
        } else if self.rng.chance(25) {
            let order = self.rng.word(&[" ORDER BY 1", " ORDER BY 1 DESC", " ORDER BY 1 NULLS FIRST"]);
            pen.put(order);
        }
        let limit =
            self.rng.word(&[" LIMIT 5", " LIMIT 20", " LIMIT 40", " LIMIT 1 OFFSET 1", " FETCH FIRST 30 ROWS ONLY"]);
        pen.put(limit);
    }

    fn outputs(&mut self, pen: &mut Pen, scope: &Scope) {
        if self.rng.chance(20) {
            pen.put("*");
            return;
        }
        for index in 0..=self.rng.below(3) {
            pen.put(if index > 0 { ", " } else { "" });
            match self.rng.below(12) {
                0 => self.window(pen, scope),
                1 | 2 => self.number(pen, scope),
                3 => self.truth(pen, scope),
                4 => self.uuid(pen, scope),
                _ => self.text(pen, scope),
            }
        }
    }

    fn window(&mut self, pen: &mut Pen, scope: &Scope) {
        let call = self.rng.word(&["first_value(", "last_value(", "lag(", "lead(", "max(", "string_agg("]);
        pen.put(call);
        self.text(pen, scope);
        pen.put(if call == "string_agg(" { ", ';')" } else { ")" }).put(" OVER (");
        if self.rng.chance(40) {
            pen.put("PARTITION BY ");
            self.number(pen, scope);
        }
        if self.rng.chance(50) {
            pen.put(" ORDER BY ");
            self.text(pen, scope);
        }
        pen.put(")");
    }

    /// What stands after FROM, and the scope that it makes.
    fn from(&mut self, outer: &Scope) -> (Pen, Scope) {
        let mut pen = Pen::new("");
        let mut scope = outer.clone();
        let joins = match self.rng.below(100) {
            0..60 => 1,
            60..90 => 2,
            _ => 3,
        };
        for index in 0..joins {
            let how = match index {
                0 => "",
                _ => self.rng.word(&[
                    " JOIN ",
                    " LEFT JOIN ",
                    " JOIN ",
                    " CROSS JOIN ",
                    " JOIN LATERAL ",
                    " LEFT JOIN LATERAL ",
                ]),
            };
            pen.put(how);
            let lateral = how.ends_with("LATERAL ");
            let source = self.source(&mut pen, &if lateral { scope.clone() } else { outer.clone() }, lateral);
            scope.sources.push(source);
            if index > 0 && how != " CROSS JOIN " {
                pen.put(" ON ");
                self.truth(&mut pen, &scope);
            }
        }
        (pen, scope)
    }

    /// A table, a sub-select, a list of values.
    fn source(&mut self, pen: &mut Pen, scope: &Scope, must_be_query: bool) -> Source {
        let alias = self.alias();
        let relation = self.relation().cloned();
        if let Some(relation) = relation.filter(|_| !must_be_query && (self.depth > 2 || self.rng.chance(80))) {
            if self.rng.chance(4) && relation.holds_rows() {
                pen.put("ONLY ");
            }
            self.name(pen, &relation);
            pen.put(" AS ").put(alias);
            return Source::of(alias, &relation);
        }
        self.depth += 1;
        let columns = self.shaped(pen, scope, alias);
        self.depth -= 1;
        columns
    }

    /// `(SELECT … AS c0, …) AS alias` with columns of known kinds.
    fn shaped(&mut self, pen: &mut Pen, outer: &Scope, alias: &'static str) -> Source {
        let (from, scope) = if self.depth > 2 { self.one_table(outer) } else { self.from(outer) };
        pen.put("(SELECT ");
        let mut columns = Vec::new();
        for (index, name) in OUTPUT.iter().enumerate().take(1 + self.rng.below(OUTPUT.len())) {
            let kinds = [Kind::Text, Kind::Text, Kind::Number, Kind::Uuid, Kind::Truth];
            let kind = self.rng.pick(&kinds).copied().unwrap_or(Kind::Text);
            pen.put(if index > 0 { ", " } else { "" });
            self.expression(pen, &scope, kind);
            pen.put(" AS ").put(name);
            columns.extend(Ident::new(name).ok().map(|name| (name, kind)));
        }
        pen.put(" FROM ").pen(&from);
        if self.rng.chance(50) {
            pen.put(" WHERE ");
            self.truth(pen, &scope);
        }
        let bound = self.rng.word(&[" LIMIT 10", " LIMIT 20", " OFFSET 0"]);
        pen.put(bound).put(") AS ").put(alias);
        Source { alias, columns, whole: true }
    }

    fn one_table(&mut self, outer: &Scope) -> (Pen, Scope) {
        let (mut pen, mut scope) = (Pen::new(""), outer.clone());
        let alias = self.alias();
        match self.relation().cloned() {
            Some(relation) => {
                self.name(&mut pen, &relation);
                pen.put(" AS ").put(alias);
                scope.sources.push(Source::of(alias, &relation));
            }
            None => drop(pen.put("(VALUES (1)) AS ").put(alias).put("(c0)")),
        }
        (pen, scope)
    }

    /// WITH … SELECT …
    fn with(&mut self, pen: &mut Pen) {
        let mut scope = self.scope();
        if self.rng.chance(10) {
            let Some(relation) = self.relation().cloned() else { return self.payload(pen) };
            pen.put("WITH RECURSIVE r(n, x) AS (SELECT 1, w::text FROM ");
            self.name(pen, &relation);
            pen.put(" w UNION ALL SELECT n + 1, x FROM r WHERE n < 3) SELECT * FROM r LIMIT 40");
            return;
        }
        let names: &[&str] = &["q0", "q1"];
        pen.put("WITH ");
        for (index, name) in names.iter().enumerate().take(1 + self.rng.below(2)) {
            let kept = self.rng.word(&[" AS (", " AS MATERIALIZED (", " AS NOT MATERIALIZED ("]);
            pen.put(if index > 0 { ", " } else { "" }).put(name).put(kept).put("SELECT * FROM ");
            let outer = self.scope();
            let mut source = self.shaped(pen, &outer, "z");
            pen.put(")");
            source.alias = name;
            scope.sources.push(source);
        }
        pen.put(" SELECT ");
        self.outputs(pen, &scope);
        pen.put(" FROM ");
        let all: Vec<&'static str> = scope.sources.iter().map(|source| source.alias).collect();
        for (index, alias) in all.iter().enumerate() {
            pen.put(if index > 0 { ", " } else { "" }).put(alias);
        }
        pen.put(" LIMIT 40");
    }

    pub(super) fn set_operation(&mut self, pen: &mut Pen) {
        for index in 0..2 + self.rng.below(2) {
            if index > 0 {
                let between = self.rng.word(&[" UNION ALL ", " UNION ", " INTERSECT ", " EXCEPT ", " EXCEPT ALL "]);
                pen.put(between);
            }
            let outer = self.scope();
            let (from, scope) = self.one_table(&outer);
            pen.put("(SELECT ");
            self.text(pen, &scope);
            pen.put(", ");
            self.number(pen, &scope);
            pen.put("::bigint FROM ").pen(&from);
            if self.rng.chance(50) {
                pen.put(" WHERE ");
                self.truth(pen, &scope);
            }
            pen.put(" LIMIT 20)");
        }
        pen.put(" ORDER BY 1 LIMIT 40");
    }

    pub(super) fn copy(&mut self, pen: &mut Pen) {
        if self.rng.chance(40)
            && let Some(table) = self.table().cloned()
        {
            pen.put("COPY ");
            self.name(pen, &table);
            pen.put(" TO STDOUT");
            return;
        }
        pen.put("COPY (");
        let outer = self.scope();
        self.plain(pen, &outer);
        let format = self.rng.word(&[") TO STDOUT", ") TO STDOUT (FORMAT csv)", ") TO STDOUT (FORMAT csv, HEADER)"]);
        pen.put(format);
    }

    pub(super) fn explain(&mut self, pen: &mut Pen) {
        let how = self.rng.word(&["EXPLAIN ", "EXPLAIN (ANALYZE, TIMING OFF) ", "EXPLAIN (VERBOSE, FORMAT JSON) "]);
        pen.put(how);
        let outer = self.scope();
        self.plain(pen, &outer);
    }
}
