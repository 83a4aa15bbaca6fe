//! Statements to trees, by PostgreSQL's own parser, and where exactly a text stops being SQL.
//!
//! INVARIANT: no text makes this panic or overflow the stack: size and nesting are bounded before anything is parsed.

use pg_query::protobuf::ParseResult;

use crate::lex::{Kind, Lexer, Token};
use crate::options::Options;
use crate::split::Piece;

/// Why a statement has no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The grammar refuses it.
    #[error("{message}")]
    Syntax {
        /// The parser's words.
        message: String,
        /// Byte in the statement.
        at: usize,
    },
    /// It has too many bytes.
    #[error("the statement has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// What it has.
        bytes: usize,
        /// What it may have.
        limit: usize,
    },
    /// It nests too deeply.
    #[error("brackets and operators may nest {depth} levels deep, the limit is {limit}")]
    TooDeep {
        /// Bound for what it has.
        depth: usize,
        /// What it may have.
        limit: usize,
    },
}

/// Parses one statement. Placeholders of drivers are tried when the text alone is no SQL.
///
/// # Errors
/// The statement is beyond the bounds, or PostgreSQL's grammar refuses it.
pub fn parse(piece: &Piece, options: &Options) -> Result<ParseResult, ParseError> {
    let bytes = piece.text.len();
    if bytes > options.statement_max {
        return Err(ParseError::TooLarge { bytes, limit: options.statement_max });
    }
    if piece.depth > options.nesting_max {
        return Err(ParseError::TooDeep { depth: piece.depth, limit: options.nesting_max });
    }
    let refused = match attempt(&piece.text) {
        Ok(tree) => return Ok(tree),
        Err(message) => message,
    };
    if let Some(text) = with_parameters(&piece.text)
        && let Ok(tree) = attempt(&text)
    {
        return Ok(tree);
    }
    Err(ParseError::Syntax { at: breaking_point(&piece.text, &refused), message: refused })
}

fn attempt(text: &str) -> Result<ParseResult, String> {
    // The wrapper walks some trees with panicking casts; its panics are no reason to end.
    let parsed = std::panic::catch_unwind(|| pg_query::parse(text, 0));
    match parsed {
        Ok(Ok(result)) => Ok(result.protobuf),
        Ok(Err(pg_query::Error::Parse(message))) => Err(message),
        Ok(Err(error)) => Err(error.to_string().to_lowercase()),
        Err(_) => Err("the parser gave up".to_owned()),
    }
}

/// The placeholders of drivers as parameters, each as long as it was; nothing if there are none.
fn with_parameters(text: &str) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let mut changed = false;
    let tokens: Vec<Token> = Lexer::new(text, 0).filter(|token| token.kind != Kind::Comment).collect();
    for (index, token) in tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Sign) {
        let next = tokens.get(index + 1).filter(|next| next.start == token.end);
        let sign = token.of(text);
        let last = token.end - 1;
        let word = next.filter(|next| next.kind == Kind::Word);
        let range = match (sign.as_bytes().last(), word.or(next)) {
            (Some(b'%'), Some(next)) if next.of(text) == "s" => Some(last..next.end),
            (Some(b'%'), Some(next)) if next.kind == Kind::Open => {
                let close = tokens.get(index + 3).filter(|close| close.kind == Kind::Close);
                let end = tokens.get(index + 4).filter(|end| end.of(text) == "s" && close.is_some());
                end.map(|end| last..end.end)
            }
            (Some(b':'), Some(next)) if sign == ":" && next.kind == Kind::Quoted => {
                bytes[last] = b' ';
                changed = true;
                None
            }
            (Some(b':'), Some(next)) if sign == ":" && matches!(next.kind, Kind::Word | Kind::Text) => {
                Some(last..next.end)
            }
            _ => None,
        };
        if let Some(range) = range {
            bytes[range.clone()].fill(b' ');
            bytes[range.start..range.start + 2].copy_from_slice(b"$1");
            changed = true;
        } else if sign == "??" {
            // JDBC writes the operator `?` twice.
            bytes[last] = b' ';
            changed = true;
        } else if sign.ends_with('?') {
            bytes[last] = b'0';
            changed = true;
        }
    }
    String::from_utf8(bytes).ok().filter(|_| changed)
}

/// The byte at which the text stops being the beginning of a statement.
///
/// The parser says which word it did not like, not where. But a beginning of SQL fails only at its end: so the longest
/// such beginning is looked for, by halving.
fn breaking_point(text: &str, message: &str) -> usize {
    let tokens: Vec<Token> = Lexer::new(text, 0).filter(|token| token.kind != Kind::Comment).collect();
    if !message.contains(" at or near ") {
        return if message.contains("at end of input") { text.len() } else { first(&tokens) };
    }
    // A word that the message names and the text has once needs no search.
    if let Some(word) = message.rsplit_once(" at or near \"").and_then(|(_, rest)| rest.strip_suffix('"')) {
        let mut same = tokens.iter().filter(|token| token.of(text) == word);
        if let (Some(only), None) = (same.next(), same.next()) {
            return only.start;
        }
    }
    let (mut good, mut bad) = (0, tokens.len());
    while bad - good > 1 {
        let middle = good.midpoint(bad);
        let fails = attempt(&text[..tokens[middle - 1].end]).is_err_and(|message| message.contains(" at or near "));
        if fails { bad = middle } else { good = middle }
    }
    tokens.get(bad.saturating_sub(1)).map_or(0, |token| token.start)
}

fn first(tokens: &[Token]) -> usize {
    tokens.first().map_or(0, |token| token.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str) -> Piece {
        Piece { start: 0, text: text.to_owned(), depth: 0 }
    }

    #[test]
    fn placeholders_of_drivers_are_parameters() {
        for text in [
            "SELECT * FROM t WHERE a = %s AND b = %(name)s",
            "SELECT * FROM t WHERE a=? AND b >? LIMIT ?",
            "SELECT * FROM t WHERE a = :tenant AND b = :'name' AND c::text = 'x'",
            "SELECT * FROM :\"schema\".t WHERE a = :p0",
            "SELECT * FROM t WHERE a ?? 'key' AND b = ?",
            "SELECT * FROM t WHERE data ? 'key' AND b = $1",
        ] {
            assert!(parse(&piece(text), &Options::default()).is_ok(), "{text}");
        }
    }

    #[test]
    fn errors_have_their_place() {
        for (text, at) in [
            ("SELECT a FROM t WHERE AND b", "AND"),
            ("SELECT a, FROM t, t AS WHERE", "FROM"),
            ("SELECT (1", ""),
            ("SELECT a FROM t WHERE a = 1 AND WHERE b", "WHERE b"),
        ] {
            let Err(ParseError::Syntax { at: found, .. }) = parse(&piece(text), &Options::default()) else {
                panic!("{text} was parsed");
            };
            assert!(text[found..].starts_with(at), "{text}: {found}");
            assert!(!at.is_empty() || found == text.len(), "{text}: {found}");
        }
    }

    #[test]
    fn bounds_come_first() {
        let options = Options { statement_max: 10, nesting_max: 5, ..Options::default() };
        assert!(matches!(
            parse(&piece("SELECT 1234567"), &options),
            Err(ParseError::TooLarge { bytes: 14, limit: 10 })
        ));
        let deep = Piece { depth: 6, ..piece("SELECT 1") };
        assert!(matches!(parse(&deep, &options), Err(ParseError::TooDeep { depth: 6, limit: 5 })));
    }
}
