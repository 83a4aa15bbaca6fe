//! What a statement is, by its first words.

use std::borrow::Cow;

use super::lex::{Lexer, Piece, Token};

/// Bytes of the longest name that PostgreSQL keeps; the rest of a longer one is cut off.
const LONGEST_NAME: usize = 63;

/// What a statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lead<'a> {
    /// Nothing but blanks, comments and semicolons.
    Empty,
    /// `BEGIN`, `START TRANSACTION`.
    Begin,
    /// `SET TRANSACTION`, `SET SESSION CHARACTERISTICS AS TRANSACTION`.
    SetTransaction,
    /// `SET` of a setting.
    Set {
        /// Which one, as it is written there without quotes; PostgreSQL does not mind its case. The forms with words of
        /// their own have the setting's name (`SET TIME ZONE`: `timezone`). `None` if the name is not readable without
        /// copying it: escapes, or parts with quotes or blanks.
        name: Option<&'a [u8]>,
        /// `SET LOCAL`.
        is_local: bool,
        /// It names what the seal sets: the search path, the register, or anything under `tenantry.`; or it may.
        path: bool,
    },
    /// `RESET`.
    Reset,
    /// `SHOW`.
    Show,
    /// `SAVEPOINT`.
    Savepoint,
    /// `RELEASE`.
    Release,
    /// `ROLLBACK TO`.
    RollbackTo,
    /// `COMMIT`, `END`, `ROLLBACK`, `ABORT`.
    End {
        /// `AND CHAIN`: the next transaction begins at once.
        chain: bool,
    },
    /// `PREPARE TRANSACTION`, `COMMIT PREPARED`, `ROLLBACK PREPARED`.
    PrepareTransaction,
    /// `PREPARE` of a statement.
    Prepare,
    /// `DEALLOCATE` of this name as PostgreSQL keeps it, or of all.
    Deallocate(Option<Cow<'a, [u8]>>),
    /// `DISCARD`.
    Discard,
    /// `LISTEN`.
    Listen,
    /// Anything else.
    Other,
}

/// What a statement is. Semicolons in front of it are skipped; what follows it is not looked at.
#[must_use]
pub fn lead(sql: &[u8]) -> Lead<'_> {
    let mut words = Words { sql, lexer: Lexer::new(sql), ahead: None };
    let first = loop {
        match words.next() {
            Some(piece) if piece.token == Token::Byte(b';') => {}
            Some(piece) => break piece.token,
            None => return Lead::Empty,
        }
    };
    let Token::Word(first) = first else { return Lead::Other };
    // The longest of these words has ten letters.
    let mut lower = [0; 10];
    let Some(lower) = lower.get_mut(..first.len()) else { return Lead::Other };
    lower.copy_from_slice(first);
    lower.make_ascii_lowercase();
    match &*lower {
        b"begin" => Lead::Begin,
        b"start" if words.take("transaction") => Lead::Begin,
        b"set" => set(words),
        b"reset" => Lead::Reset,
        b"show" => Lead::Show,
        b"savepoint" => Lead::Savepoint,
        b"release" => Lead::Release,
        b"commit" if words.take("prepared") => Lead::PrepareTransaction,
        b"commit" | b"end" | b"abort" => end(words),
        b"rollback" if words.take("prepared") => Lead::PrepareTransaction,
        b"rollback" => {
            words.take_noise();
            if words.take("to") { Lead::RollbackTo } else { end(words) }
        }
        b"prepare" if words.take("transaction") => Lead::PrepareTransaction,
        b"prepare" => Lead::Prepare,
        b"deallocate" => deallocate(words),
        b"discard" => Lead::Discard,
        b"listen" => Lead::Listen,
        _ => Lead::Other,
    }
}

fn end(mut words: Words<'_>) -> Lead<'_> {
    words.take_noise();
    Lead::End { chain: words.take("and") && words.take("chain") }
}

fn deallocate(mut words: Words<'_>) -> Lead<'_> {
    // PREPARE is noise, unless it is the name.
    let is_noise = words.take("prepare");
    match words.next().map(|piece| piece.token) {
        Some(Token::Word(word)) if word.eq_ignore_ascii_case(b"all") => Lead::Deallocate(None),
        Some(Token::Word(word)) => Lead::Deallocate(Some(cut(folded(word)))),
        Some(Token::Quoted(inner)) => Lead::Deallocate(Some(cut(undoubled(inner)))),
        Some(Token::Unicode(inner)) => {
            // A name we cannot decode is nobody's.
            Lead::Deallocate(Some(decoded(inner).map_or(Cow::Borrowed(inner), |name| cut(Cow::Owned(name)))))
        }
        _ if is_noise => Lead::Deallocate(Some(Cow::Borrowed(b"prepare"))),
        _ => Lead::Other,
    }
}

fn set(mut words: Words<'_>) -> Lead<'_> {
    let mut is_local = false;
    // LOCAL and SESSION are names of settings as well, but then something is assigned to them.
    if !words.is_assigned() {
        is_local = words.take("local");
        let mut behind = words.clone();
        let is_scope = !is_local && behind.take("session");
        if is_scope && !behind.peek_is("authorization") && !behind.peek_is("characteristics") {
            words = behind;
        }
    }
    let known = |name: &'static str, path| Lead::Set { name: Some(name.as_bytes()), is_local, path };
    if words.is_assigned() {
        return assigned(words, is_local);
    }
    let Some(Token::Word(word)) = words.next().map(|piece| piece.token) else { return Lead::Other };
    let is = |keyword: &str| word.eq_ignore_ascii_case(keyword.as_bytes());
    if is("transaction") || is("session") && words.take("characteristics") {
        Lead::SetTransaction
    } else if is("session") && words.take("authorization") {
        known("session_authorization", false)
    } else if is("time") && words.take("zone") {
        known("timezone", false)
    } else if is("schema") {
        known("search_path", true)
    } else if is("names") {
        known("client_encoding", false)
    } else if is("role") {
        known("role", false)
    } else if is("xml") && words.take("option") {
        known("xmloption", false)
    } else {
        Lead::Other
    }
}

/// `name TO …`, `name = …`, `name FROM CURRENT`, with a name of one or more parts.
fn assigned<'a>(mut words: Words<'a>, is_local: bool) -> Lead<'a> {
    let Some(first) = words.next() else { return Lead::Other };
    let part = match first.token {
        // With an escape character of its own we do not know what it says.
        _ if words.peek_is("uescape") => None,
        Token::Word(word) => Some(Cow::Borrowed(word)),
        Token::Quoted(inner) => Some(undoubled(inner)),
        Token::Unicode(inner) => decoded(inner).map(Cow::Owned),
        _ => None,
    };
    let (is_dotted, mut end, mut is_plain) =
        (words.peek_is_byte(b'.'), first.end, matches!(first.token, Token::Word(_)));
    // Past the parts that follow.
    while words.peek_is_byte(b'.') {
        let (dot, next) = (words.next(), words.next());
        let (Some(dot), Some(next)) = (dot, next) else { break };
        is_plain &= dot.start == end && next.start == dot.end && matches!(next.token, Token::Word(_));
        end = next.end;
    }
    let path = part.as_ref().is_none_or(|part| is_of_the_seal(part, is_dotted));
    let name = match (is_dotted, part) {
        (false, Some(Cow::Borrowed(part))) => Some(part),
        (true, _) if is_plain => words.sql.get(first.start..end),
        _ => None,
    };
    Lead::Set { name, is_local, path }
}

/// Whether a setting is one that the seal sets, by the first part of its name.
fn is_of_the_seal(first: &[u8], is_dotted: bool) -> bool {
    // Quotes may hold the dot.
    let head = first.split(|byte| *byte == b'.').next().unwrap_or_default();
    let mine: &[&[u8]] =
        if is_dotted || head.len() < first.len() { &[b"tenantry"] } else { &[b"search_path", b"backtrace_functions"] };
    mine.iter().any(|name| head.eq_ignore_ascii_case(name))
}

/// Pieces with one look ahead.
#[derive(Clone)]
struct Words<'a> {
    sql: &'a [u8],
    lexer: Lexer<'a>,
    ahead: Option<Piece<'a>>,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<Piece<'a>> {
        self.ahead.take().or_else(|| self.lexer.next())
    }

    fn peek(&mut self) -> Option<Token<'a>> {
        if self.ahead.is_none() {
            self.ahead = self.lexer.next();
        }
        self.ahead.map(|piece| piece.token)
    }

    fn peek_is(&mut self, keyword: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword.as_bytes()))
    }

    fn peek_is_byte(&mut self, byte: u8) -> bool {
        self.peek() == Some(Token::Byte(byte))
    }

    /// Takes the next word if it is this one.
    fn take(&mut self, keyword: &str) -> bool {
        let is_it = self.peek_is(keyword);
        if is_it {
            self.ahead = None;
        }
        is_it
    }

    /// Words that mean nothing behind the end of a transaction.
    fn take_noise(&mut self) {
        let _ = self.take("work") || self.take("transaction");
    }

    /// Whether a name follows, and then a dot, `=`, `TO` or `FROM`.
    fn is_assigned(&mut self) -> bool {
        let mut ahead = self.clone();
        let is_name = matches!(
            ahead.next().map(|piece| piece.token),
            Some(Token::Word(_) | Token::Quoted(_) | Token::Unicode(_))
        );
        is_name
            && (ahead.take("to")
                || ahead.take("from")
                || ahead.take("uescape")
                || ahead.peek_is_byte(b'=')
                || ahead.peek_is_byte(b'.'))
    }
}

/// As PostgreSQL keeps a name without quotes.
fn folded(word: &[u8]) -> Cow<'_, [u8]> {
    if word.iter().any(u8::is_ascii_uppercase) { Cow::Owned(word.to_ascii_lowercase()) } else { Cow::Borrowed(word) }
}

/// What stands between double quotes, in which two of them mean one.
fn undoubled(inner: &[u8]) -> Cow<'_, [u8]> {
    if !inner.contains(&b'"') {
        return Cow::Borrowed(inner);
    }
    let mut is_first = false;
    let kept = inner.iter().copied().filter(|byte| {
        is_first = *byte == b'"' && !is_first;
        !is_first
    });
    Cow::Owned(kept.collect())
}

/// What stands between the double quotes of `U&"…"`, with the escapes read. `None` for one that is malformed, or half of
/// a pair of UTF-16, which nobody writes.
fn decoded(inner: &[u8]) -> Option<Vec<u8>> {
    let inner = undoubled(inner);
    let mut rest = std::str::from_utf8(&inner).ok()?;
    let mut name = String::with_capacity(rest.len());
    while let Some((before, escape)) = rest.split_once('\\') {
        name.push_str(before);
        if let Some(behind) = escape.strip_prefix('\\') {
            name.push('\\');
            rest = behind;
            continue;
        }
        let (digits, behind) = match escape.strip_prefix('+') {
            Some(long) => long.split_at_checked(6)?,
            None => escape.split_at_checked(4)?,
        };
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        name.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
        rest = behind;
    }
    name.push_str(rest);
    Some(name.into_bytes())
}

/// As much of a name as PostgreSQL keeps, without half a character at its end.
fn cut(name: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let is_inside = |at: &usize| name.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let end = (0..=LONGEST_NAME).rev().find(|at| !is_inside(at)).unwrap_or(LONGEST_NAME);
    match name {
        Cow::Borrowed(name) => Cow::Borrowed(name.get(..end).unwrap_or_default()),
        Cow::Owned(mut name) => {
            name.truncate(end);
            Cow::Owned(name)
        }
    }
}
