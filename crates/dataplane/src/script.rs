//! Reads a migration file far enough to see where its statements begin, and refuses those that would leave the
//! transaction or the role in which the file runs.
//!
//! It also tells which extensions a file asks for, because its owner may not make them itself.
//!
//! Not a parser: it knows comments, quotes and dollar quotes, and the first words of a statement. It is there for messages
//! with a line; what it lets through the server refuses, for files run [confined](crate::confined).

/// A statement that a file must not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forbidden {
    /// Where it begins, in characters from zero.
    pub offset: usize,
    /// What is wrong with it.
    pub message: &'static str,
}

const TRANSACTION: &str = "ends or nests the transaction in which every file runs; remove BEGIN, COMMIT and the like";
const SAVEPOINT: &str =
    "nests the transaction in which every file runs; use a DO block with EXCEPTION, or a file of its own";
const ROLE: &str = "changes the role; files run as the owner of the app's tables";
const CLIENT: &str = "is a command of psql or needs data from a client; use INSERT or plain SQL";

/// The first statement of a file that is refused.
pub(crate) fn forbidden(text: &str) -> Option<Forbidden> {
    let mut words = Words::new(text);
    let mut statement = Statement::default();
    while let Some(token) = words.next() {
        match token {
            Token::Semicolon if statement.depth == 0 => {
                if let Some(message) = statement.verdict() {
                    return Some(Forbidden { offset: statement.offset, message });
                }
                statement = Statement::default();
            }
            Token::Semicolon | Token::Quoted(_) => {}
            Token::Word(offset, word) => statement.take(offset, word),
            Token::Backslash(offset) if statement.words.is_empty() => {
                return Some(Forbidden { offset, message: CLIENT });
            }
            Token::Backslash(_) => {}
        }
    }
    statement.verdict().map(|message| Forbidden { offset: statement.offset, message })
}

/// The extensions that a file creates, as `CREATE EXTENSION` names them.
pub(crate) fn extensions(text: &str) -> Vec<String> {
    let mut words = Words::new(text);
    let mut found = Vec::new();
    // How much of `CREATE EXTENSION [IF NOT EXISTS]` was read; nothing while in the middle of another statement.
    let mut read = Some(0);
    while let Some(token) = words.next() {
        read = match (read, token) {
            (_, Token::Semicolon) => Some(0),
            (Some(0), Token::Word(_, word)) if word.eq_ignore_ascii_case("create") => Some(1),
            (Some(1), Token::Word(_, word)) if word.eq_ignore_ascii_case("extension") => Some(2),
            (Some(2), Token::Word(_, word))
                if ["if", "not", "exists"].iter().any(|part| word.eq_ignore_ascii_case(part)) =>
            {
                Some(2)
            }
            (Some(2), Token::Word(_, word)) => {
                found.push(word.to_lowercase());
                None
            }
            (Some(2), Token::Quoted(name)) => {
                found.push(name.to_owned());
                None
            }
            _ => None,
        };
    }
    found
}

#[derive(Default)]
struct Statement {
    offset: usize,
    /// The first words, in upper case.
    words: Vec<String>,
    last: String,
    creates_routine: bool,
    /// Open BEGIN ATOMIC and CASE, whose semicolons and ENDs are not the statement's.
    depth: u32,
    copies_from_client: bool,
}

impl Statement {
    fn take(&mut self, offset: usize, word: &str) {
        if self.words.is_empty() {
            self.offset = offset;
        }
        let word = word.to_ascii_uppercase();
        let first = self.words.first().map_or("", String::as_str);
        match word.as_str() {
            "FUNCTION" | "PROCEDURE" if first == "CREATE" => self.creates_routine = true,
            "ATOMIC" if self.creates_routine && self.last == "BEGIN" => self.depth += 1,
            "CASE" if self.depth > 0 => self.depth += 1,
            "END" if self.depth > 0 => self.depth -= 1,
            "STDIN" if first == "COPY" && self.last == "FROM" => self.copies_from_client = true,
            _ => {}
        }
        if self.words.len() < 4 {
            self.words.push(word.clone());
        }
        self.last = word;
    }

    fn verdict(&self) -> Option<&'static str> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["SAVEPOINT" | "RELEASE", ..] | ["ROLLBACK", "TO", ..] | ["ROLLBACK", "WORK" | "TRANSACTION", "TO", ..] => {
                Some(SAVEPOINT)
            }
            ["BEGIN" | "COMMIT" | "END" | "ABORT" | "ROLLBACK", ..] | ["START" | "PREPARE", "TRANSACTION", ..] => {
                Some(TRANSACTION)
            }
            ["SET", "ROLE", ..] | ["SET", "SESSION" | "LOCAL", "ROLE", ..] | ["RESET", "ROLE" | "ALL", ..] => {
                Some(ROLE)
            }
            ["SET", "SESSION", "AUTHORIZATION", ..]
            | ["SET", "SESSION" | "LOCAL", "SESSION", "AUTHORIZATION", ..]
            | ["RESET", "SESSION", ..]
            | ["DISCARD", ..] => Some(ROLE),
            _ if self.copies_from_client => Some(CLIENT),
            _ => None,
        }
    }
}

enum Token<'a> {
    /// An unquoted word, with its place in characters.
    Word(usize, &'a str),
    /// What stands in double quotes.
    Quoted(&'a str),
    Semicolon,
    Backslash(usize),
}

/// Walks over the words of a text, past everything that is quoted or commented out.
struct Words<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
    /// The same place in characters.
    characters: usize,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, characters: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip(&mut self, bytes: usize) {
        let end = (self.at + bytes).min(self.text.len());
        self.characters += self.text[self.at..end].chars().count();
        self.at = end;
    }

    /// Skips up to and with `end`, or to the end of the text.
    fn skip_past(&mut self, open: usize, end: &str) {
        let from = self.at + open;
        let bytes = self
            .text
            .get(from..)
            .and_then(|rest| rest.find(end))
            .map_or(self.text.len(), |found| open + found + end.len());
        self.skip(bytes);
    }

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let rest = self.rest();
            let c = rest.chars().next()?;
            match c {
                '-' if rest.starts_with("--") => self.skip_past(2, "\n"),
                '/' if rest.starts_with("/*") => self.skip_comment(),
                '\'' => self.skip_string(1, false),
                '"' => {
                    self.skip_past(1, "\"");
                    let read = rest.len() - self.rest().len();
                    return Some(Token::Quoted(rest.get(1..read.saturating_sub(1)).unwrap_or_default()));
                }
                '$' => match dollar_tag(rest) {
                    Some(tag) => self.skip_past(tag.len(), tag),
                    None => self.skip(1),
                },
                ';' => {
                    self.skip(1);
                    return Some(Token::Semicolon);
                }
                '\\' => {
                    let offset = self.characters;
                    self.skip(1);
                    return Some(Token::Backslash(offset));
                }
                c if is_letter(c) => {
                    let end =
                        rest.find(|c: char| !(is_letter(c) || c.is_ascii_digit() || c == '$')).unwrap_or(rest.len());
                    let (word, offset) = (&rest[..end], self.characters);
                    if word.eq_ignore_ascii_case("e") && rest[end..].starts_with('\'') {
                        self.skip_string(end + 1, true);
                        continue;
                    }
                    self.skip(end);
                    return Some(Token::Word(offset, word));
                }
                // A number, with what may hang on it, is not a word.
                c if c.is_ascii_digit() => {
                    let end =
                        rest.find(|c: char| !(is_letter(c) || c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
                    self.skip(end);
                }
                c => self.skip(c.len_utf8()),
            }
        }
    }

    fn skip_string(&mut self, open: usize, escapes: bool) {
        self.skip(open);
        loop {
            let rest = self.rest();
            let Some(found) = rest.find(if escapes { &['\'', '\\'][..] } else { &['\''][..] }) else {
                return self.skip(rest.len());
            };
            self.skip(found + 1);
            if rest[found..].starts_with('\\') {
                let escaped = self.rest().chars().next().map_or(0, char::len_utf8);
                self.skip(escaped);
            } else {
                // A doubled quote is one quote: the next round begins behind it.
                if !self.rest().starts_with('\'') {
                    return;
                }
                self.skip(1);
            }
        }
    }

    fn skip_comment(&mut self) {
        let mut depth = 0;
        loop {
            let rest = self.rest();
            if rest.starts_with("/*") {
                depth += 1;
                self.skip(2);
            } else if rest.starts_with("*/") {
                depth -= 1;
                self.skip(2);
                if depth == 0 {
                    return;
                }
            } else {
                match rest.chars().next() {
                    Some(c) => self.skip(c.len_utf8()),
                    None => return,
                }
            }
        }
    }
}

/// `$tag$` at the start of a text.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 2;
    let tag = &text[1..end - 1];
    let first_fits = tag.chars().next().is_none_or(is_letter);
    (first_fits && tag.chars().all(|c| is_letter(c) || c.is_ascii_digit())).then_some(&text[..end])
}

/// What begins an identifier. The server takes every byte above ASCII for a letter (scan.l, `ident_start`).
fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_leave_the_transaction_or_the_role_are_found() {
        for text in [
            "BEGIN; CREATE TABLE a (); COMMIT;",
            "create table a (); commit",
            "CREATE TABLE a (); ROLLBACK",
            "start transaction",
            "END;",
            "/* /* nested */ */ -- c\n SET ROLE x",
            "SELECT 'it''s'; RESET ROLE",
            "SELECT e'\\'; '; DISCARD ALL",
            "SET SESSION AUTHORIZATION postgres",
            "set local role x",
            "RESET ALL",
            "\\i other.sql",
            "COPY a (x) FROM stdin;",
            "PREPARE TRANSACTION 'x'",
            "SAVEPOINT s",
            "ROLLBACK TO SAVEPOINT s",
            // To the server a letter, to Unicode none: no dollar quote begins behind it.
            "SELECT 1 AS €$$; COMMIT; SELECT 1 AS €$$;",
            "SELECT 1 AS a$$; COMMIT; SELECT 1 AS a$$;",
        ] {
            assert!(forbidden(text).is_some(), "{text}");
        }
    }

    #[test]
    fn everything_else_passes() {
        for text in [
            "",
            "CREATE TABLE commit_log (begin timestamptz, \"end; COMMIT\" int); -- COMMIT;\n/* ; COMMIT */ SELECT ';COMMIT;'",
            "DO $$ BEGIN PERFORM 1; COMMIT; END $$;",
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $body$ BEGIN RETURN 1; END; $body$;",
            "CREATE FUNCTION f(a int) RETURNS int BEGIN ATOMIC SELECT CASE WHEN a > 0 THEN 1 END; SELECT 2; END; SELECT 1",
            "SET search_path = x; SET LOCAL lock_timeout = 1",
            "SELECT $1$2; SELECT 'a' || E'\\\\'; SELECT 1e5",
            "INSERT INTO t VALUES ('\\'); SELECT 1",
        ] {
            assert_eq!(forbidden(text), None, "{text}");
        }
    }

    #[test]
    fn extensions_are_named() {
        let text =
            "CREATE EXTENSION IF NOT EXISTS citext; create extension \"uuid-ossp\" SCHEMA x; -- CREATE EXTENSION no;
            CREATE TABLE extension (id int); SELECT 'CREATE EXTENSION no'; CREATE EXTENSION Hstore";
        assert_eq!(extensions(text), ["citext", "uuid-ossp", "hstore"]);
    }

    #[test]
    fn the_place_is_that_of_the_statement() {
        let text = "SELECT 'é';\n  COMMIT;";
        assert_eq!(
            forbidden(text).map(|found| text.chars().skip(found.offset).take(6).collect::<String>()),
            Some("COMMIT".into())
        );
    }
}
