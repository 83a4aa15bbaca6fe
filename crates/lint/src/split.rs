//! Cuts a text into statements and keeps what belongs to none: psql's commands, rows of `COPY … FROM STDIN`.
//!
//! A statement keeps its length and its places: what psql alone understands is blanked, never removed, so that a
//! position in the statement is one in the file. INVARIANT: every text is cut in linear time; nothing is refused here.

use crate::lex::{Kind, Lexer, Token};

/// One statement of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// First byte in the whole text.
    pub start: usize,
    /// The statement without its semicolon, with psql's commands blanked.
    pub text: String,
    /// Bound for how deeply the parser's tree can nest, before anything is parsed.
    pub depth: usize,
}

/// A comment, for allowances written into the SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comment {
    /// First byte in the whole text.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

/// What a text consists of.
#[derive(Debug, Default)]
pub struct Pieces {
    /// The statements, in order.
    pub statements: Vec<Piece>,
    /// The comments, in order.
    pub comments: Vec<Comment>,
}

/// Words that put one expression or query into another without a bracket.
const NESTING: &[&str] = &[
    "and",
    "at",
    "between",
    "case",
    "collate",
    "cross",
    "else",
    "except",
    "full",
    "ilike",
    "in",
    "inner",
    "intersect",
    "is",
    "isnull",
    "join",
    "left",
    "like",
    "natural",
    "not",
    "notnull",
    "operator",
    "or",
    "overlaps",
    "right",
    "similar",
    "then",
    "union",
    "when",
];

/// Commands of psql that send the statement before them.
const SENDING: &[&str] = &["g", "gx", "gset", "gexec", "gdesc", "watch", "crosstabview", "bind", "parse"];

/// Cuts a text into its statements.
pub fn split(text: &str) -> Pieces {
    let mut splitter = Splitter { text, pieces: Pieces::default(), current: Current::default(), endless: false };
    let mut lexer = Lexer::new(text, 0);
    while let Some(token) = lexer.next() {
        if let Some(resume) = splitter.take(token) {
            lexer.jump(resume);
        }
    }
    splitter.finish(text.len());
    splitter.pieces
}

#[derive(Default)]
struct Current {
    /// First byte of the first token; absent while nothing has begun.
    start: Option<usize>,
    blanked: Vec<(usize, usize)>,
    words: Vec<String>,
    /// The word before the present one.
    last: String,
    brackets: usize,
    /// Depth of `BEGIN ATOMIC … END` and of `CASE … END` inside it.
    blocks: usize,
    nesting: Nesting,
    copies_in: bool,
}

#[derive(Default)]
struct Nesting {
    outer: Vec<usize>,
    now: usize,
    max: usize,
}

impl Nesting {
    fn count(&mut self, token: Token, text: &str) {
        match token.kind {
            Kind::Open => {
                self.outer.push(self.now);
                self.now += 1;
            }
            Kind::Close => self.now = self.outer.pop().unwrap_or_default(),
            Kind::Comma => self.now = self.outer.last().map_or(0, |outer| outer + 1),
            Kind::Sign if token.of(text) != "." => self.now += 1,
            Kind::Word if NESTING.iter().any(|word| token.is_word(text, word)) => self.now += 1,
            _ => {}
        }
        self.max = self.max.max(self.now);
    }
}

struct Splitter<'t> {
    text: &'t str,
    pieces: Pieces,
    current: Current,
    /// No rows of COPY have an end from here on.
    endless: bool,
}

impl Splitter<'_> {
    /// Takes one token; answers where reading has to go on, if not behind it.
    fn take(&mut self, token: Token) -> Option<usize> {
        match token.kind {
            Kind::Comment => {
                self.pieces.comments.push(Comment { start: token.start, end: token.end });
                None
            }
            Kind::Meta => self.meta(token),
            Kind::Semicolon if self.current.brackets == 0 && self.current.blocks == 0 => {
                let copies_in = self.current.copies_in;
                self.finish(token.start);
                copies_in.then(|| self.after_rows(token.end)).flatten()
            }
            _ => {
                self.keep(token);
                None
            }
        }
    }

    fn keep(&mut self, token: Token) {
        self.current.start.get_or_insert(token.start);
        self.current.nesting.count(token, self.text);
        match token.kind {
            Kind::Open => self.current.brackets += 1,
            Kind::Close => self.current.brackets = self.current.brackets.saturating_sub(1),
            Kind::Word => self.word(token.of(self.text).to_ascii_lowercase()),
            _ => {}
        }
    }

    /// Follows just enough grammar to know which semicolons are inside of a routine, and when rows follow.
    fn word(&mut self, word: String) {
        let current = &mut self.current;
        if current.words.len() < 4 {
            current.words.push(word.clone());
        }
        let first = current.words.first().map_or("", String::as_str);
        if first == "create" && current.words.iter().any(|w| w == "function" || w == "procedure") {
            match word.as_str() {
                "atomic" => current.blocks = 1,
                "case" | "begin" if current.blocks > 0 => current.blocks += 1,
                "end" => current.blocks = current.blocks.saturating_sub(1),
                _ => {}
            }
        }
        if first == "copy" && word == "stdin" && current.brackets == 0 && current.last == "from" {
            current.copies_in = true;
        }
        current.last = word;
    }

    fn meta(&mut self, token: Token) -> Option<usize> {
        let command = token.of(self.text);
        let name = command.trim_start_matches('\\').split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        if name.starts_with(';') {
            // `\;` only joins statements into one message.
            self.finish(token.start);
            return Some(token.start + 2);
        }
        if SENDING.contains(&name.as_str()) {
            self.finish(token.start);
        } else if name == "copy" && self.current.start.is_none() {
            self.client_copy(token);
        } else if self.current.start.is_some() {
            self.current.blanked.push((token.start, token.end));
        }
        None
    }

    /// `\copy` is COPY with the file on the client's side: the table or query is what matters.
    fn client_copy(&mut self, token: Token) {
        let line = token.of(self.text);
        let mut depth = 0_usize;
        let direction = Lexer::new(line, "\\copy".len()).find(|word| {
            match word.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && (word.is_word(line, "from") || word.is_word(line, "to"))
        });
        let Some(direction) = direction else { return };
        let side = if direction.is_word(line, "from") { " STDIN" } else { " STDOUT" };
        let text = [" COPY", &line["\\copy".len()..direction.end], side].concat();
        self.pieces.statements.push(Piece { start: token.start, depth: text.len().min(64), text });
    }

    /// Ends the statement before a byte.
    fn finish(&mut self, end: usize) {
        let current = std::mem::take(&mut self.current);
        let Some(start) = current.start else { return };
        let mut text = self.text[start..end].to_owned();
        for (from, to) in current.blanked {
            text.replace_range(from - start..to - start, &" ".repeat(to - from));
        }
        text.truncate(text.trim_end().len());
        self.pieces.statements.push(Piece { start, text, depth: current.nesting.max });
    }

    /// The rows of COPY begin on the next line and end with `\.` on a line of its own. Nothing where they have no such end,
    /// or where the line goes on: then it is read as statements, so that none of them is taken for rows.
    fn after_rows(&mut self, from: usize) -> Option<usize> {
        if self.endless {
            return None;
        }
        let mut at = from;
        for (index, line) in self.text[from..].split_inclusive('\n').enumerate() {
            at += line.len();
            if index == 0 && !line.trim().is_empty() && !line.trim_start().starts_with("--") {
                return None;
            }
            if index > 0 && line.trim_end() == "\\." {
                return Some(at);
            }
        }
        // Nobody has to look again.
        self.endless = true;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        split(text).statements.into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn semicolons_inside_do_not_cut() {
        assert_eq!(texts("SELECT ';'; -- ;\n/* ; */ SELECT $$;$$;;"), ["SELECT ';'", "SELECT $$;$$"]);
        let routine = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END";
        assert_eq!(texts(&format!("{routine}; SELECT 3")), [routine, "SELECT 3"]);
        let rule = "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2)";
        assert_eq!(texts(rule), [rule]);
    }

    #[test]
    fn psql_is_tolerated() {
        assert_eq!(texts("\\set x 1\n\\echo ';'\nSELECT 1 \\gset\nSELECT 2"), ["SELECT 1", "SELECT 2"]);
        assert_eq!(
            texts("\\copy (SELECT a FROM t) to 'x y' csv\nSELECT 1"),
            [" COPY (SELECT a FROM t) to STDOUT", "SELECT 1"]
        );
        assert_eq!(texts("SELECT 1\n\\if :x\n, 2;"), ["SELECT 1\n      \n, 2"]);
    }

    #[test]
    fn rows_of_copy_are_skipped() {
        let text = "COPY t (a) FROM stdin WITH (FORMAT csv);\n1;'\n2\n\\.\nSELECT 1;\nCOPY t TO stdout;\nSELECT 2";
        assert_eq!(
            texts(text),
            ["COPY t (a) FROM stdin WITH (FORMAT csv)", "SELECT 1", "COPY t TO stdout", "SELECT 2"]
        );
    }

    /// What has no end, or is no COPY of rows, is read as statements: some of them might be just that.
    #[test]
    fn rows_without_an_end_are_statements() {
        assert_eq!(
            texts("COPY t FROM STDIN;\nDELETE FROM u;\nDROP TABLE v"),
            ["COPY t FROM STDIN", "DELETE FROM u", "DROP TABLE v"]
        );
        assert_eq!(texts("COPY t FROM stdin; DELETE FROM u;\n\\.\n"), ["COPY t FROM stdin", "DELETE FROM u"]);
        let named = "COPY (SELECT 1 AS stdin) TO STDOUT;\nDELETE FROM u;\n\\.\n";
        assert_eq!(texts(named), ["COPY (SELECT 1 AS stdin) TO STDOUT", "DELETE FROM u"]);
        assert_eq!(texts("COPY t FROM stdin; -- rows\n1\n\\.\nSELECT 1"), ["COPY t FROM stdin", "SELECT 1"]);
    }

    #[test]
    fn depth_follows_brackets_and_operators() {
        let depth = |text: &str| split(text).statements[0].depth;
        assert_eq!(depth("SELECT a, b, c"), 0);
        assert!(depth(&format!("SELECT {}1{}", "(".repeat(50), ")".repeat(50))) >= 50);
        assert!(depth(&format!("SELECT 1{}", " + 1".repeat(70))) >= 70);
        assert!(depth(&format!("SELECT 1 WHERE x IN ({}1)", "1, ".repeat(900))) < 5);
    }
}
