//! What an expression may refer to, and expressions of each kind.

use tenantry_pg::Ident;

use super::Maker;
use crate::model::{Base, Relation};
use crate::pen::Pen;

/// What a column is good for in an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Uuid,
    Truth,
    Moment,
    /// Only to be shown.
    Other,
}

/// Something after FROM.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub alias: &'static str,
    pub columns: Vec<(Ident, Kind)>,
    /// Whether the alias stands for a whole row.
    pub whole: bool,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    pub sources: Vec<Source>,
}

pub(super) fn kind_of(base: &Base) -> Kind {
    match base {
        Base::Text(_) => Kind::Text,
        Base::Int(_) => Kind::Number,
        Base::Uuid => Kind::Uuid,
        Base::Bool => Kind::Truth,
        Base::Moment => Kind::Moment,
        _ => Kind::Other,
    }
}

impl Source {
    pub fn of(alias: &'static str, relation: &Relation) -> Self {
        let columns = relation.columns.iter().map(|column| (column.name.clone(), kind_of(&column.base))).collect();
        Self { alias, columns, whole: true }
    }
}

impl Maker<'_, '_> {
    /// A column of a kind, if one is in scope.
    fn column(&mut self, pen: &mut Pen, scope: &Scope, wanted: Option<Kind>) -> bool {
        let fits = |kind: Kind| wanted.is_none_or(|wanted| wanted == kind);
        let all: Vec<(&'static str, &Ident)> = scope
            .sources
            .iter()
            .flat_map(|source| source.columns.iter().map(move |(name, kind)| (source.alias, name, *kind)))
            .filter(|(_, _, kind)| fits(*kind))
            .map(|(alias, name, _)| (alias, name))
            .collect();
        match self.rng.pick(&all) {
            Some((alias, name)) => {
                pen.put(alias).put(".").name(name);
                true
            }
            None => false,
        }
    }

    pub(super) fn expression(&mut self, pen: &mut Pen, scope: &Scope, kind: Kind) {
        match kind {
            Kind::Number => self.number(pen, scope),
            Kind::Truth => self.truth(pen, scope),
            Kind::Uuid => self.uuid(pen, scope),
            _ => self.text(pen, scope),
        }
    }

    pub(super) fn text(&mut self, pen: &mut Pen, scope: &Scope) {
        self.depth += 1;
        let choice = if self.depth > 4 { self.rng.below(40) } else { self.rng.below(100) };
        match choice {
            0..30 => {
                if !self.column(pen, scope, Some(Kind::Text)) {
                    self.literal(pen);
                }
            }
            30..38 => {
                pen.put("(");
                if !self.column(pen, scope, None) {
                    pen.put("NULL");
                }
                pen.put(")::text");
            }
            38..44 => self.literal(pen),
            44..56 => {
                let whole: Vec<&'static str> = scope.sources.iter().filter(|s| s.whole).map(|s| s.alias).collect();
                match self.rng.pick(&whole) {
                    Some(alias) => pen.put(alias).put("::text"),
                    None => pen.put("'nobody'"),
                };
            }
            56..64 => {
                pen.put("(");
                self.text(pen, scope);
                pen.put(" || ");
                self.text(pen, scope);
                pen.put(")");
            }
            64..76 => {
                let call =
                    self.rng.word(&["upper(", "lower(", "md5(", "reverse(", "btrim(", "quote_literal(", "initcap("]);
                pen.put(call);
                self.text(pen, scope);
                pen.put(")");
            }
            76..80 => {
                pen.put("coalesce(");
                self.text(pen, scope);
                pen.put(", ");
                self.text(pen, scope);
                pen.put(")");
            }
            80..86 => {
                pen.put("CASE WHEN ");
                self.truth(pen, scope);
                pen.put(" THEN ");
                self.text(pen, scope);
                pen.put(" ELSE ");
                self.text(pen, scope);
                pen.put(" END");
            }
            86..92 => {
                pen.put("left(");
                self.text(pen, scope);
                pen.put(", ").int(i64::try_from(self.rng.below(60)).unwrap_or(0)).put(")");
            }
            92..96 => {
                let asked = self.rng.word(&[
                    "current_user::text",
                    "tenantry.current_tenant()::text",
                    "current_setting('search_path')",
                    "current_setting('backtrace_functions')",
                    "current_schemas(true)::text",
                    "current_setting('app.memory', true)",
                    "version()",
                ]);
                pen.put(asked);
            }
            _ => self.scalar(pen, scope),
        }
        self.depth -= 1;
    }

    /// A sub-select that gives one text.
    fn scalar(&mut self, pen: &mut Pen, scope: &Scope) {
        let Some(relation) = self.relation().cloned() else {
            pen.put("'none'");
            return;
        };
        let source = Source::of(self.alias(), &relation);
        let gather = self.rng.word(&["min(", "max(", "string_agg("]);
        pen.put("(SELECT ").put(gather).put(source.alias).put("::text");
        if gather == "string_agg(" {
            pen.put(", ','");
        }
        pen.put(") FROM ");
        self.name(pen, &relation);
        pen.put(" ").put(source.alias);
        if self.rng.chance(60) {
            let mut inner = scope.clone();
            inner.sources.push(source);
            pen.put(" WHERE ");
            self.truth(pen, &inner);
        }
        pen.put(")");
    }

    pub(super) fn number(&mut self, pen: &mut Pen, scope: &Scope) {
        self.depth += 1;
        let choice = if self.depth > 4 { self.rng.below(50) } else { self.rng.below(100) };
        match choice {
            0..35 => {
                if !self.column(pen, scope, Some(Kind::Number)) {
                    pen.put("1");
                }
            }
            35..50 => {
                let number = i64::try_from(self.rng.below(1_000)).unwrap_or(0) - 100;
                pen.int(number);
            }
            50..70 => {
                pen.put("length(");
                self.text(pen, scope);
                pen.put(")");
            }
            70..80 => {
                pen.put("ascii(");
                self.text(pen, scope);
                pen.put(")");
            }
            80..88 => {
                pen.put("strpos(");
                self.text(pen, scope);
                pen.put(", ");
                self.text(pen, scope);
                pen.put(")");
            }
            _ => {
                let operator = self.rng.word(&[" + ", " - "]);
                pen.put("(");
                self.number(pen, scope);
                pen.put(operator);
                self.number(pen, scope);
                pen.put(")");
            }
        }
        self.depth -= 1;
    }

    pub(super) fn uuid(&mut self, pen: &mut Pen, scope: &Scope) {
        match self.rng.below(100) {
            0..60 if self.column(pen, scope, Some(Kind::Uuid)) => {}
            0..75 => match self.victim() {
                Some(victim) => drop(pen.literal(&victim.tenant.to_string()).put("::uuid")),
                None => drop(pen.put("gen_random_uuid()")),
            },
            75..90 => drop(pen.put("tenantry.current_tenant()")),
            _ => drop(pen.put("gen_random_uuid()")),
        }
    }

    pub(super) fn truth(&mut self, pen: &mut Pen, scope: &Scope) {
        self.depth += 1;
        let choice = if self.depth > 4 { self.rng.below(60) } else { self.rng.below(100) };
        match choice {
            0..10 => {
                let constant = self.rng.word(&["true", "true", "1 = 1", "NOT false", "NULL IS NULL"]);
                pen.put(constant);
            }
            10..24 => {
                let operator = self.rng.word(&[" = ", " <> ", " < ", " >= ", " IS DISTINCT FROM "]);
                self.number(pen, scope);
                pen.put(operator);
                self.number(pen, scope);
            }
            24..38 => {
                let operator = self.rng.word(&[" = ", " <> ", " LIKE ", " NOT LIKE ", " ~~* ", " > ", " ^@ "]);
                self.text(pen, scope);
                pen.put(operator);
                self.text(pen, scope);
            }
            38..52 => {
                let operator = self.rng.word(&[" = ", " <> ", " IS NOT DISTINCT FROM ", " IS DISTINCT FROM "]);
                self.uuid(pen, scope);
                pen.put(operator);
                self.uuid(pen, scope);
            }
            52..60 => {
                if !self.column(pen, scope, Some(Kind::Truth)) {
                    pen.put("true");
                }
            }
            60..80 => {
                let operator = self.rng.word(&[" AND ", " OR ", " OR "]);
                pen.put("(");
                self.truth(pen, scope);
                pen.put(operator);
                self.truth(pen, scope);
                pen.put(")");
            }
            80..86 => {
                pen.put("NOT (");
                self.truth(pen, scope);
                pen.put(")");
            }
            86..90 => {
                let tail = self.rng.word(&[" IS NULL", " IS NOT NULL"]);
                if !self.column(pen, scope, None) {
                    pen.put("NULL");
                }
                pen.put(tail);
            }
            _ => self.exists(pen, scope),
        }
        self.depth -= 1;
    }

    fn exists(&mut self, pen: &mut Pen, scope: &Scope) {
        let Some(relation) = self.relation().cloned() else {
            pen.put("true");
            return;
        };
        let source = Source::of(self.alias(), &relation);
        let mut inner = scope.clone();
        inner.sources.push(source.clone());
        if self.rng.chance(60) {
            pen.put("EXISTS (SELECT FROM ");
        } else {
            self.text(pen, scope);
            pen.put(" IN (SELECT ").put(source.alias).put("::text FROM ");
        }
        self.name(pen, &relation);
        pen.put(" ").put(source.alias).put(" WHERE ");
        self.truth(pen, &inner);
        pen.put(")");
    }

    fn literal(&mut self, pen: &mut Pen) {
        match self.rng.below(6) {
            0 => pen.put("'%'"),
            1 => pen.put("'canary'"),
            2 => pen.put("''"),
            3 => pen.put("'known'"),
            4 => match self.victim() {
                Some(victim) => pen.literal(&victim.tenant.to_string()),
                None => pen.put("'x'"),
            },
            _ => pen.put("'O''Brien; --'"),
        };
    }
}
