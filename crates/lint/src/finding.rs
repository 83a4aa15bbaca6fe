//! Findings and the report: what users, editors and machines are told.
//!
//! INVARIANT: a position is line and column from 1, in characters; a snippet from a log has its literals masked.

use serde::Serialize;

use crate::lex::{Kind, Lexer};
use crate::rule::{Rule, Severity};

/// A place in an input.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Location {
    /// The file, or what stands for it.
    pub input: String,
    /// First line, from 1.
    pub line: usize,
    /// First column, in characters from 1.
    pub column: usize,
    /// Line of the end.
    pub end_line: usize,
    /// Column behind the last character.
    pub end_column: usize,
}

/// The line that a location is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snippet {
    /// The line's text, without its end.
    pub text: String,
    /// Characters before the place.
    pub before: usize,
    /// Characters of the place.
    pub length: usize,
}

/// A remark that goes with a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// What there is to say.
    pub message: String,
    /// The place it is about.
    pub location: Location,
}

/// Where a statement of a log came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// How often it ran, as far as the log says.
    pub calls: u64,
    /// Who ran it: application or user; absent when the log does not say.
    pub caller: Option<String>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The rule.
    #[serde(serialize_with = "rule_id")]
    pub rule: &'static Rule,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong here.
    pub message: String,
    /// The table it is about; absent when it is about none.
    pub table: Option<String>,
    /// Where it is.
    pub location: Location,
    /// The line.
    pub snippet: Snippet,
    /// Remarks.
    pub notes: Vec<Note>,
    /// PostgreSQL's fingerprint of the statement: the same for the same statement with other constants. Empty when it
    /// has none.
    pub fingerprint: String,
    /// Set for statements of logs.
    pub origin: Option<Origin>,
}

fn rule_id<S: serde::Serializer>(rule: &&'static Rule, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(rule.id)
}

/// A finding that somebody has allowed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Allowed {
    /// The finding.
    pub finding: Finding,
    /// Why it is allowed.
    pub reason: String,
}

/// What a check found.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What is wrong, in the order of the inputs.
    pub findings: Vec<Finding>,
    /// What is wrong and allowed.
    pub allowed: Vec<Allowed>,
    /// How many statements were looked at.
    pub statements: usize,
    /// How many inputs were read.
    pub inputs: usize,
}

impl Report {
    /// Whether there is a finding of at least this severity.
    pub fn denies(&self, least: Severity) -> bool {
        self.findings.iter().any(|finding| finding.severity >= least)
    }

    /// The number of findings of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// A text with its lines.
#[derive(Debug)]
pub struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    /// Finds the lines of a text.
    pub fn new(text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// Line and column of a byte, both from 1, in characters.
    pub fn position(&self, at: usize) -> (usize, usize) {
        let at = self.boundary(at);
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        (line, self.text[self.starts[line - 1]..at].chars().count() + 1)
    }

    fn boundary(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    /// The place of the word that begins at a byte, with the parts of a qualified name.
    pub fn locate(&self, input: &str, at: usize) -> (Location, Snippet) {
        let start = self.boundary(at);
        let end = self.word_end(start);
        let ((line, column), (end_line, end_column)) = (self.position(start), self.position(end));
        let text = self.line(line);
        let before = column - 1;
        let length = if end_line == line { end_column - column } else { text.chars().count().saturating_sub(before) };
        let location = Location { input: input.to_owned(), line, column, end_line, end_column };
        (location, Snippet { text: text.to_owned(), before, length: length.max(1) })
    }

    /// A line's text, without its end.
    pub fn line(&self, line: usize) -> &'t str {
        let from = self.starts.get(line - 1).copied().unwrap_or(self.text.len());
        let to = self.starts.get(line).copied().unwrap_or(self.text.len());
        self.text[from..to].trim_end_matches(['\n', '\r'])
    }

    fn word_end(&self, start: usize) -> usize {
        let mut end = start;
        let mut dotted = true;
        for token in Lexer::new(self.text, start) {
            let dot = token.kind == Kind::Sign && token.of(self.text) == ".";
            if end == start && token.start == start {
                // What the word is does not matter: the first token is always part.
            } else if token.start != end || dot == dotted || !(dot || matches!(token.kind, Kind::Word | Kind::Quoted)) {
                break;
            }
            if token.start > start && end == start {
                break;
            }
            end = token.end;
            dotted = dot;
        }
        // A long constant is not underlined over several lines.
        end.min(start + self.text[start..].find('\n').unwrap_or(self.text.len() - start))
    }
}

/// The text with what literals say replaced by stars, each as long as it was.
pub fn masked(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut done = 0;
    for token in Lexer::new(text, 0).filter(|token| matches!(token.kind, Kind::Text | Kind::Number | Kind::Comment)) {
        result.push_str(&text[done..token.start]);
        result.extend(token.of(text).chars().map(|c| if c == '\'' || c.is_whitespace() { c } else { '*' }));
        done = token.end;
    }
    result.push_str(&text[done..]);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let lines = Lines::new("a\nöä x.\"y\" z\n");
        let (location, snippet) = lines.locate("f", 2 + "öä ".len());
        assert_eq!((location.line, location.column, location.end_column), (2, 4, 9));
        assert_eq!((snippet.text.as_str(), snippet.before, snippet.length), ("öä x.\"y\" z", 3, 5));
        assert_eq!(lines.position(10_000).0, 3);
    }

    #[test]
    fn masks_keep_their_length() {
        let text = "SELECT 'ä''b', 42, \"c\" -- secret\n";
        assert_eq!(masked(text), "SELECT '*''*', **, \"c\" ** ******\n");
    }
}
