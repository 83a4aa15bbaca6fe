//! The check of all inputs: first what tables there are, then every statement, then the tables as they are in the end.
//!
//! INVARIANT: inputs are looked at in their order and findings come in it, so that two runs say the same.

use std::collections::BTreeSet;

use pg_query::protobuf::ParseResult;

use crate::allow::{self, List};
use crate::catalog::{Catalog, Place};
use crate::finding::{Finding, Lines, Note, Report};
use crate::inline::Inline;
use crate::lex::{Kind, Lexer};
use crate::options::Options;
use crate::parse::{ParseError, parse};
use crate::progress::Progress;
use crate::rule;
use crate::schema::Schema;
use crate::scope::{Judge, Problem};
use crate::source::{Source, Unit};
use crate::statement;
use crate::tree::{self, NodeEnum};

/// Stack of the thread that checks. A debug build needs 40 KiB per level of nesting, and twice that is left free.
const STACK: usize = 256 << 20;

/// Levels that fit onto any thread's stack, for a system that gives no large one.
const NESTING_SMALL: usize = 40;

/// A check that is being put together.
#[derive(Debug)]
pub struct Check {
    schema: Schema,
    options: Options,
    sources: Vec<Source>,
    allowed: Option<(String, List)>,
}

impl Check {
    /// A check without inputs.
    pub fn new(schema: Schema, options: Options) -> Self {
        Self { schema, options, sources: Vec::new(), allowed: None }
    }

    /// Adds an input.
    pub fn source(&mut self, source: Source) -> &mut Self {
        self.sources.push(source);
        self
    }

    /// Sets the allow-list, under the name of its file.
    pub fn allow(&mut self, name: impl Into<String>, list: List) -> &mut Self {
        self.allowed = Some((name.into(), list));
        self
    }

    /// Checks everything. Answers the allow-list's entries that were of use, too: by index, `true` for each.
    pub fn run(&self) -> (Report, Vec<bool>) {
        std::thread::scope(|scope| {
            let worker = std::thread::Builder::new().name("lint".to_owned()).stack_size(STACK);
            match worker.spawn_scoped(scope, || self.work(&self.options)) {
                Ok(running) => running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                // Without a large stack, deep statements are refused instead of risked.
                Err(_) => {
                    self.work(&Options { nesting_max: NESTING_SMALL, query_depth_max: 8, ..self.options.clone() })
                }
            }
        })
    }

    fn work(&self, options: &Options) -> (Report, Vec<bool>) {
        let (schema, catalog) = self.learn(options);
        let mut report =
            Report { inputs: self.sources.iter().filter(|source| source.judged).count(), ..Report::default() };
        let mut late = catalog.judge(&schema, options);
        late.sort_by_key(|(place, _)| *place);
        for (index, source) in self.sources.iter().enumerate().filter(|(_, source)| source.judged) {
            let of_source = late.iter().filter(|(place, _)| place.source == index).cloned().collect();
            SourceCheck::new(source, &schema, options).run(of_source, &mut report);
        }
        let used = match &self.allowed {
            Some((name, list)) => allow::apply(list, name, &mut report, options.today),
            None => Vec::new(),
        };
        (report, used)
    }

    /// What tables there are when all inputs have run.
    fn learn(&self, options: &Options) -> (Schema, Catalog) {
        let mut schema = self.schema.clone();
        let mut catalog = Catalog::default();
        for (index, source) in self.sources.iter().enumerate() {
            let mut path = Vec::new();
            for (number, unit) in source.units.iter().enumerate().filter(|(_, unit)| makes_structure(&unit.piece.text))
            {
                let Ok(parsed) = parse(&unit.piece, options) else { continue };
                let none = BTreeSet::new();
                let judge = Judge {
                    schema: &schema,
                    options,
                    path: &path,
                    variables: &none,
                    created: &none,
                    text: &unit.piece.text,
                    depth: 0,
                };
                let mut progress = Progress::within(judge);
                for statement in statements(&parsed) {
                    catalog.apply(statement, Place::new(index, number), progress.judge(judge));
                    progress.take(statement, judge);
                }
                path = progress.into_path();
                catalog.describe(&mut schema);
            }
        }
        catalog.describe(&mut schema);
        (schema, catalog)
    }
}

/// The statements of a parsed text.
fn statements(parsed: &ParseResult) -> impl Iterator<Item = &NodeEnum> {
    parsed.stmts.iter().filter_map(|raw| tree::inner(&raw.stmt))
}

/// Whether a text can tell something about tables, by its first words.
fn makes_structure(text: &str) -> bool {
    let first = Lexer::new(text, 0).find(|token| token.kind == Kind::Word).map(|token| token.of(text).to_lowercase());
    match first.as_deref() {
        Some("create" | "alter" | "drop" | "set" | "do") => true,
        Some("select" | "with") => {
            text.contains("set_config") || Lexer::new(text, 0).any(|token| token.is_word(text, "into"))
        }
        _ => false,
    }
}

/// `SET row_security = off`, with which pg_dump asks for an error instead of a part of the rows.
fn is_head_of_dump(statement: &NodeEnum) -> bool {
    matches!(statement, NodeEnum::VariableSetStmt(set) if set.name == "row_security" && !set.is_local)
}

/// The check of one input.
struct SourceCheck<'a> {
    source: &'a Source,
    schema: &'a Schema,
    options: &'a Options,
    lines: Lines<'a>,
    inline: Inline,
    progress: Progress<'a>,
    /// Written by pg_dump, whose first lines set what no application sets.
    dumped: bool,
}

/// How far the head of a dump reaches.
const HEAD: usize = 4_000;

impl<'a> SourceCheck<'a> {
    fn new(source: &'a Source, schema: &'a Schema, options: &'a Options) -> Self {
        Self {
            source,
            schema,
            options,
            lines: Lines::new(&source.text),
            inline: Inline::read(source),
            progress: Progress::new(schema),
            dumped: source.text.get(..HEAD).unwrap_or(&source.text).contains("-- PostgreSQL database dump"),
        }
    }

    fn run(mut self, late: Vec<(Place, Problem)>, report: &mut Report) {
        let mut seen = BTreeSet::new();
        for (index, unit) in self.source.units.iter().enumerate() {
            report.statements += 1;
            // A log repeats itself; the first record stands for the others.
            if unit.record.is_some() && !seen.insert(unit.piece.text.as_str()) {
                continue;
            }
            let mut problems = match parse(&unit.piece, self.options) {
                Ok(parsed) => self.judge(unit, &parsed),
                Err(error) => vec![self.refused(&error)],
            };
            problems.extend(late.iter().filter(|(place, _)| place.statement == index).map(|(_, it)| it.clone()));
            self.report(index, unit, problems, report);
        }
        let malformed = std::mem::take(&mut self.inline.malformed);
        for (at, message) in malformed.into_iter().chain(self.inline.unused()) {
            if let Some(rule) = rule::find("TL005") {
                let (location, snippet) = self.lines.locate(&self.source.name, at);
                report.findings.push(Finding {
                    rule,
                    severity: rule.severity,
                    message,
                    table: None,
                    location,
                    snippet,
                    notes: Vec::new(),
                    fingerprint: String::new(),
                    origin: None,
                });
            }
        }
    }

    fn refused(&self, error: &ParseError) -> Problem {
        match error {
            ParseError::Syntax { message, at } => Problem::new("TL001", *at, message.clone()),
            ParseError::TooLarge { .. } | ParseError::TooDeep { .. } => Problem::new("TL002", 0, error.to_string()),
        }
    }

    fn judge(&mut self, unit: &Unit, parsed: &ParseResult) -> Vec<Problem> {
        let none = BTreeSet::new();
        let mut problems = Vec::new();
        let around = Judge {
            schema: self.schema,
            options: self.options,
            path: &[],
            variables: &none,
            created: &none,
            text: &unit.piece.text,
            depth: 0,
        };
        for statement in statements(parsed) {
            if !(self.dumped && unit.piece.start < HEAD && is_head_of_dump(statement)) {
                problems.extend(statement::judge(statement, self.progress.judge(around)));
            }
            self.progress.take(statement, around);
        }
        problems
    }

    fn report(&mut self, index: usize, unit: &Unit, mut problems: Vec<Problem>, report: &mut Report) {
        // What PostgreSQL gave no place stands at the first word.
        problems.sort_by(|a, b| (a.at, a.rule).cmp(&(b.at, b.rule)));
        problems.dedup();
        let mut fingerprint: Option<String> = None;
        for problem in problems {
            let Some(rule) = rule::find(problem.rule) else { continue };
            if !rule.tiers.contains(&self.options.tier) || self.options.leaves(rule.id) {
                continue;
            }
            let fingerprint = fingerprint.get_or_insert_with(|| fingerprint_of(&unit.piece.text)).clone();
            let (location, snippet) = self.source.locate(&self.lines, unit, problem.at);
            let note = |(at, message): (usize, String)| Note {
                message,
                location: self.source.locate(&self.lines, unit, at).0,
            };
            let finding = Finding {
                rule,
                severity: rule.severity,
                message: problem.message,
                table: problem.table,
                location,
                snippet,
                notes: problem.notes.into_iter().map(note).collect(),
                fingerprint,
                origin: unit.record.as_ref().map(|(_, origin)| origin.clone()),
            };
            match self.inline.reason(index, rule.id) {
                Some(reason) => report.allowed.push(crate::finding::Allowed { finding, reason }),
                None => report.findings.push(finding),
            }
        }
    }
}

/// PostgreSQL's fingerprint, or nothing for what cannot be parsed as it is.
fn fingerprint_of(text: &str) -> String {
    let found = std::panic::catch_unwind(|| pg_query::fingerprint(text, 0, 0));
    found.ok().and_then(Result::ok).map(|fingerprint| fingerprint.hex).unwrap_or_default()
}
