//! Where statements end.

use super::lex::{Lexer, Token};

/// The statements of a text, without the semicolons between them and with the blanks and comments around them. Pieces
/// that hold nothing else are left out. A semicolon in brackets, or in the body of `CREATE FUNCTION … BEGIN ATOMIC … END`,
/// ends nothing.
pub fn statements(sql: &[u8]) -> impl Iterator<Item = &[u8]> {
    Statements { sql, lexer: Lexer::new(sql), start: 0 }
}

struct Statements<'a> {
    sql: &'a [u8],
    lexer: Lexer<'a>,
    start: usize,
}

impl<'a> Iterator for Statements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (mut brackets, mut routine, mut is_empty) = (0_usize, Routine::default(), true);
        for piece in self.lexer.by_ref() {
            match piece.token {
                Token::Byte(b';') if brackets == 0 && routine.body == 0 => {
                    let start = std::mem::replace(&mut self.start, piece.end);
                    if !is_empty {
                        return self.sql.get(start..piece.start);
                    }
                    continue;
                }
                Token::Byte(b'(') => brackets += 1,
                Token::Byte(b')') => brackets = brackets.saturating_sub(1),
                _ => {}
            }
            if brackets == 0 {
                routine.see(piece.token);
            }
            is_empty = false;
        }
        let start = std::mem::replace(&mut self.start, self.sql.len());
        if is_empty { None } else { self.sql.get(start..) }
    }
}

/// Whether we are in the body of a routine that is written as statements.
#[derive(Default)]
struct Routine {
    head: Head,
    /// How many END are missing: one for the body, one for each CASE in it.
    body: usize,
    last: Last,
}

/// How much of `CREATE [OR REPLACE] FUNCTION` the statement began with.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Head {
    #[default]
    Nothing,
    Create,
    Or,
    Replace,
    Routine,
    /// It is another statement.
    Other,
}

/// What stood before a word and takes its meaning as a keyword.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Last {
    #[default]
    Other,
    Begin,
    /// A dot or AS: a name follows, whatever it is.
    Naming,
}

impl Routine {
    fn see(&mut self, token: Token<'_>) {
        let Token::Word(word) = token else {
            if self.head != Head::Routine {
                self.head = Head::Other;
            }
            self.last = if token == Token::Byte(b'.') { Last::Naming } else { Last::Other };
            return;
        };
        let is = |keyword: &[u8]| word.eq_ignore_ascii_case(keyword);
        match self.head {
            Head::Routine => {}
            Head::Other => return,
            Head::Nothing if is(b"create") => self.head = Head::Create,
            Head::Create if is(b"or") => self.head = Head::Or,
            Head::Or if is(b"replace") => self.head = Head::Replace,
            Head::Create | Head::Replace if is(b"function") || is(b"procedure") => self.head = Head::Routine,
            _ => self.head = Head::Other,
        }
        if self.head != Head::Routine {
            return;
        }
        let last = std::mem::take(&mut self.last);
        match self.body {
            0 if last == Last::Begin && is(b"atomic") => self.body = 1,
            0 if is(b"begin") => self.last = Last::Begin,
            0 => {}
            _ if last == Last::Naming => {}
            _ if is(b"case") => self.body += 1,
            _ if is(b"end") => self.body -= 1,
            _ if is(b"as") => self.last = Last::Naming,
            _ => {}
        }
    }
}
