//! Inputs: a text with statements, or a log of them.
//!
//! INVARIANT: every statement knows where it stands in its input, so that a finding has file and line.

use crate::finding::{Lines, Location, Origin, Snippet, masked};
use crate::split::{self, Comment, Piece};

/// One statement of an input.
#[derive(Debug)]
pub struct Unit {
    /// The statement.
    pub piece: Piece,
    /// For a statement of a log, the line of its record and what is known of its runs.
    pub record: Option<(usize, Origin)>,
}

/// An input.
#[derive(Debug)]
pub struct Source {
    /// The file, or what stands for it.
    pub name: String,
    /// The whole text; empty for a log.
    pub text: String,
    /// The statements, in order.
    pub units: Vec<Unit>,
    /// The comments, in order.
    pub comments: Vec<Comment>,
    /// Whether the input is judged, or only says what tables there are.
    pub judged: bool,
}

impl Source {
    /// A text of SQL.
    pub fn sql(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let pieces = split::split(&text);
        let units = pieces.statements.into_iter().map(|piece| Unit { piece, record: None }).collect();
        Self { name: name.into(), text, units, comments: pieces.comments, judged: true }
    }

    /// A log: statements with the lines of their records.
    pub fn log(name: impl Into<String>, statements: impl IntoIterator<Item = (usize, String, Origin)>) -> Self {
        let mut units = Vec::new();
        for (line, sql, origin) in statements {
            // A record may hold several statements in one message.
            for piece in split::split(&sql).statements {
                units.push(Unit { piece, record: Some((line, origin.clone())) });
            }
        }
        Self { name: name.into(), text: String::new(), units, comments: Vec::new(), judged: true }
    }

    /// The same input, only to learn tables from.
    #[must_use]
    pub fn only_structure(mut self) -> Self {
        self.judged = false;
        self
    }

    /// The place of a byte of a statement.
    pub fn locate(&self, lines: &Lines<'_>, unit: &Unit, at: usize) -> (Location, Snippet) {
        match &unit.record {
            None => lines.locate(&self.name, unit.piece.start + at),
            Some((line, _)) => {
                // In a log the record's line is the place; the statement itself is shown without its literals.
                let text = masked(&unit.piece.text);
                let (inner, snippet) = Lines::new(&text).locate(&self.name, at);
                let location = Location { line: *line, column: 1, end_line: *line, end_column: 1, ..inner };
                (location, snippet)
            }
        }
    }
}
