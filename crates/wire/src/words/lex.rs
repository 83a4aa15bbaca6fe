//! Words, quoted names, texts and single characters of SQL, without blanks and comments.
//!
//! INVARIANT: each byte is looked at a bounded number of times, and every step goes forward.

/// A piece of SQL with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub token: Token<'a>,
    /// First byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword or a name without quotes.
    Word(&'a [u8]),
    /// What stands between double quotes.
    Quoted(&'a [u8]),
    /// What stands between the double quotes of `U&"…"`.
    Unicode(&'a [u8]),
    /// A text in any kind of quotes.
    Text,
    /// Any other byte.
    Byte(u8),
}

#[derive(Debug, Clone)]
pub(super) struct Lexer<'a> {
    sql: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(sql: &'a [u8]) -> Self {
        Self { sql, at: 0 }
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.sql.get(self.at + ahead).copied()
    }

    fn slice(&self, start: usize, end: usize) -> &'a [u8] {
        self.sql.get(start..end).unwrap_or_default()
    }

    /// Goes on to the first byte that `is_end`, or to the end.
    fn go_to(&mut self, is_end: impl Fn(u8) -> bool) {
        let rest = self.sql.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|byte| is_end(*byte)).unwrap_or(rest.len());
    }

    fn skip_blanks(&mut self) {
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(byte), _) if is_blank(byte) => self.at += 1,
                (Some(b'-'), Some(b'-')) => self.go_to(is_newline),
                (Some(b'/'), Some(b'*')) => self.skip_comment(),
                _ => return,
            }
        }
    }

    /// A comment in `/*` and `*/`, with others inside.
    fn skip_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(b'/'), Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return;
                    }
                }
                (Some(_), _) => {
                    self.at += 1;
                    self.go_to(|byte| matches!(byte, b'/' | b'*'));
                }
                (None, _) => return,
            }
        }
    }

    /// What follows an opening quote, up to the quote that is not doubled. Gives what is between them.
    fn quoted(&mut self, quote: u8) -> &'a [u8] {
        let start = self.at;
        loop {
            self.go_to(|byte| byte == quote);
            let end = self.at;
            if self.byte(1) == Some(quote) {
                self.at += 2;
            } else {
                self.at = self.sql.len().min(end + 1);
                return self.slice(start, end);
            }
        }
    }

    /// What follows `E'`: a backslash takes the next byte as it is. The text goes on in a quote on another line.
    fn escaped(&mut self) {
        loop {
            self.go_to(|byte| matches!(byte, b'\'' | b'\\'));
            match (self.byte(0), self.byte(1)) {
                (None, _) => return,
                (Some(b'\''), Some(b'\'')) | (Some(b'\\'), Some(_)) => self.at += 2,
                (Some(b'\''), _) => {
                    self.at += 1;
                    match self.continued() {
                        Some(at) => self.at = at,
                        None => return,
                    }
                }
                (Some(_), _) => self.at += 1,
            }
        }
    }

    /// Behind the quote in which a text goes on, if there is nothing but blanks with a newline and `--` before it.
    fn continued(&self) -> Option<usize> {
        let mut ahead = self.clone();
        let mut has_newline = false;
        loop {
            match (ahead.byte(0)?, ahead.byte(1)) {
                (b'\'', _) => return has_newline.then_some(ahead.at + 1),
                (b'-', Some(b'-')) => ahead.go_to(is_newline),
                (byte, _) if is_blank(byte) => {
                    has_newline |= is_newline(byte);
                    ahead.at += 1;
                }
                _ => return None,
            }
        }
    }

    /// A text in `$tag$`, if one begins here.
    fn dollars(&mut self) -> bool {
        let mut tag = self.clone();
        tag.at += 1;
        if tag.byte(0).is_some_and(|byte| !byte.is_ascii_digit()) {
            tag.go_to(|byte| !is_in_name(byte) || byte == b'$');
        }
        if tag.byte(0) != Some(b'$') {
            return false;
        }
        let delimiter = self.slice(self.at, tag.at + 1);
        self.at = tag.at + 1;
        // A tag holds no dollar, so a comparison never goes beyond the next one in the text.
        loop {
            self.go_to(|byte| byte == b'$');
            let rest = self.sql.get(self.at..).unwrap_or_default();
            if rest.is_empty() {
                return true;
            }
            if rest.starts_with(delimiter) {
                self.at += delimiter.len();
                return true;
            }
            self.at += 1;
        }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        self.skip_blanks();
        let start = self.at;
        let token = match (self.byte(0)?, self.byte(1), self.byte(2)) {
            (b'\'', _, _) => {
                self.at += 1;
                self.quoted(b'\'');
                Token::Text
            }
            (b'"', _, _) => {
                self.at += 1;
                Token::Quoted(self.quoted(b'"'))
            }
            (b'e' | b'E', Some(b'\''), _) => {
                self.at += 2;
                self.escaped();
                Token::Text
            }
            (b'u' | b'U', Some(b'&'), Some(b'\'')) => {
                self.at += 3;
                self.quoted(b'\'');
                Token::Text
            }
            (b'u' | b'U', Some(b'&'), Some(b'"')) => {
                self.at += 3;
                Token::Unicode(self.quoted(b'"'))
            }
            (b'$', _, _) if self.dollars() => Token::Text,
            (byte, _, _) if is_in_name(byte) && byte != b'$' && !byte.is_ascii_digit() => {
                self.go_to(|byte| !is_in_name(byte));
                Token::Word(self.slice(start, self.at))
            }
            (byte, _, _) => {
                self.at += 1;
                Token::Byte(byte)
            }
        };
        Some(Piece { token, start, end: self.at })
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0b' | b'\x0c')
}

const fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// All of UTF-8 beyond ASCII counts as letters.
const fn is_in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}
