//! Tokens of SQL text, as far as splitting and pointing need them: strings, names, comments, brackets.
//!
//! INVARIANT: the lexer accepts every text. What PostgreSQL would refuse (an open string, a stray byte) ends at the
//! end of the text or is one token; the parser says later what is wrong. Tokens lie on character boundaries.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A word: keyword or plain identifier.
    Word,
    /// `"…"` or `U&"…"`.
    Quoted,
    /// A string constant of any form, dollar quotes too.
    Text,
    /// A number.
    Number,
    /// `$1`.
    Parameter,
    /// `-- …` or a block comment.
    Comment,
    /// `(` or `[`.
    Open,
    /// `)` or `]`.
    Close,
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// `\…` up to the end of the line: a command of psql.
    Meta,
    /// A run of operator characters, or any other single character.
    Sign,
}

/// A stretch of the text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

impl Token {
    /// The token's text.
    pub fn of<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether the token is this word, in any case.
    pub fn is_word(&self, text: &str, word: &str) -> bool {
        self.kind == Kind::Word && self.of(text).eq_ignore_ascii_case(word)
    }
}

/// Reads tokens one after another; white space is skipped.
#[derive(Debug)]
pub struct Lexer<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
}

const OPERATOR: &[u8] = b"+-*/<>=~!@#%^&|`?";

impl<'t> Lexer<'t> {
    /// Begins at a byte of the text, which has to be a character's first.
    pub fn new(text: &'t str, at: usize) -> Self {
        Self { text, bytes: text.as_bytes(), at }
    }

    /// Goes on at another place.
    pub fn jump(&mut self, at: usize) {
        self.at = at;
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.at < self.bytes.len() && wanted(self.bytes[self.at]) {
            self.at += 1;
        }
    }

    fn line_end(&self) -> usize {
        self.bytes[self.at..].iter().position(|byte| *byte == b'\n').map_or(self.bytes.len(), |length| self.at + length)
    }

    fn token(&mut self, first: u8) -> Kind {
        match first {
            b'-' if self.peek(1) == b'-' => {
                self.at = self.line_end();
                Kind::Comment
            }
            b'/' if self.peek(1) == b'*' => self.block_comment(),
            b'\'' => self.quoted(b'\'', Escape::No, Kind::Text),
            b'"' => self.quoted(b'"', Escape::No, Kind::Quoted),
            b'$' => self.dollar(),
            b'\\' => {
                self.at = self.line_end();
                Kind::Meta
            }
            b'(' | b'[' => self.single(Kind::Open),
            b')' | b']' => self.single(Kind::Close),
            b',' => self.single(Kind::Comma),
            b';' => self.single(Kind::Semicolon),
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_ascii_digit() => self.number(),
            b':' if self.peek(1) == b':' || self.peek(1) == b'=' => {
                self.at += 2;
                Kind::Sign
            }
            _ if is_word_start(first) => self.word(first),
            _ if OPERATOR.contains(&first) => self.operator(),
            _ => self.single(Kind::Sign),
        }
    }

    fn single(&mut self, kind: Kind) -> Kind {
        self.at += 1;
        kind
    }

    fn number(&mut self) -> Kind {
        self.skip_while(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_');
        Kind::Number
    }

    fn operator(&mut self) -> Kind {
        let start = self.at;
        while OPERATOR.contains(&self.peek(0)) {
            let comment =
                (self.peek(0) == b'-' && self.peek(1) == b'-') || (self.peek(0) == b'/' && self.peek(1) == b'*');
            if comment && self.at > start {
                break;
            }
            self.at += 1;
        }
        Kind::Sign
    }

    /// Comments nest in PostgreSQL.
    fn block_comment(&mut self) -> Kind {
        let mut depth = 0_usize;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Kind::Comment;
                    }
                }
                _ => self.at += 1,
            }
        }
        self.at = self.bytes.len();
        Kind::Comment
    }

    fn quoted(&mut self, quote: u8, escape: Escape, kind: Kind) -> Kind {
        self.at += 1;
        while self.at < self.bytes.len() {
            let byte = self.bytes[self.at];
            if byte == b'\\' && escape == Escape::Backslash {
                self.at += 2;
                continue;
            }
            self.at += 1;
            if byte == quote {
                if self.peek(0) != quote {
                    return kind;
                }
                self.at += 1;
            }
        }
        self.at = self.bytes.len();
        kind
    }

    fn dollar(&mut self) -> Kind {
        if self.peek(1).is_ascii_digit() {
            self.at += 1;
            self.skip_while(|byte| byte.is_ascii_digit());
            return Kind::Parameter;
        }
        let mut end = self.at + 1;
        while self.bytes.get(end).is_some_and(|byte| is_word_part(*byte) && *byte != b'$') {
            end += 1;
        }
        if self.bytes.get(end) != Some(&b'$') {
            return self.single(Kind::Sign);
        }
        let tag = &self.bytes[self.at..=end];
        let body = &self.bytes[end + 1..];
        let close = body.windows(tag.len()).position(|window| window == tag);
        self.at = close.map_or(self.bytes.len(), |length| end + 1 + length + tag.len());
        Kind::Text
    }

    fn word(&mut self, first: u8) -> Kind {
        let next = self.peek(1);
        match (first, next) {
            (b'e' | b'E', b'\'') => {
                self.at += 1;
                return self.quoted(b'\'', Escape::Backslash, Kind::Text);
            }
            (b'b' | b'B' | b'x' | b'X' | b'n' | b'N', b'\'') => {
                self.at += 1;
                return self.quoted(b'\'', Escape::No, Kind::Text);
            }
            (b'u' | b'U', b'&') if matches!(self.peek(2), b'\'' | b'"') => {
                let quote = self.peek(2);
                self.at += 2;
                return self.quoted(quote, Escape::No, if quote == b'"' { Kind::Quoted } else { Kind::Text });
            }
            _ => {}
        }
        self.skip_while(is_word_part);
        Kind::Word
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    No,
    Backslash,
}

const fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

const fn is_word_part(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_while(|byte| byte.is_ascii_whitespace() || byte == 0x0b);
        let start = self.at;
        let first = *self.bytes.get(start)?;
        let kind = self.token(first);
        self.at = self.at.clamp(start + 1, self.bytes.len());
        // A character of several bytes is never cut.
        while !self.text.is_char_boundary(self.at) {
            self.at += 1;
        }
        Some(Token { kind, start, end: self.at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        Lexer::new(text, 0).map(|token| (token.kind, token.of(text))).collect()
    }

    #[test]
    fn strings_of_every_form_are_one_token() {
        for text in ["'a;''b'", r"E'a\';b'", "$$a;b$$", "$x$ $$;$$ $x$", "U&'d\\0061t'", "B'01'", "'open ; string"] {
            assert_eq!(kinds(text), [(Kind::Text, text)]);
        }
        assert_eq!(kinds(r#""a;""b""#), [(Kind::Quoted, r#""a;""b""#)]);
    }

    #[test]
    fn comments_nest_and_end() {
        assert_eq!(kinds("/* a /* b */ ; */ x"), [(Kind::Comment, "/* a /* b */ ; */"), (Kind::Word, "x")]);
        assert_eq!(kinds("1--;\n2"), [(Kind::Number, "1"), (Kind::Comment, "--;"), (Kind::Number, "2")]);
    }

    #[test]
    fn operators_stop_before_comments() {
        assert_eq!(
            kinds("a<>--x\n$1"),
            [(Kind::Word, "a"), (Kind::Sign, "<>"), (Kind::Comment, "--x"), (Kind::Parameter, "$1")]
        );
    }

    #[test]
    fn characters_are_never_cut() {
        for text in ["€", "E'\\€", "ä$ß$", "$ä$€$ä$", "\u{a0}x"] {
            for token in Lexer::new(text, 0) {
                assert!(text.get(token.start..token.end).is_some(), "{text:?} {token:?}");
            }
        }
    }
}
