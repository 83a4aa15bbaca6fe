//! Tokens of an expression as `pg_get_expr` writes it.
//!
//! The server deparses from its own tree, so the text is always well formed and without comments. What is not known
//! here ends in [`Token::Other`], which no rule accepts.

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A name or keyword; unquoted ones are as the server writes them, quoted ones without their quotes.
    Word {
        text: String,
        quoted: bool,
    },
    /// The value of a string constant.
    Text(String),
    Number,
    /// An operator, `::` included.
    Operator(String),
    Open,
    Close,
    Comma,
    Dot,
    Other,
}

/// Splits a text.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut rest = text.chars().peekable();
    let mut found = Vec::new();
    while let Some(&c) = rest.peek() {
        match c {
            c if c.is_whitespace() => {
                rest.next();
            }
            '(' | ')' | ',' | '.' => {
                rest.next();
                found.push(match c {
                    '(' => Token::Open,
                    ')' => Token::Close,
                    ',' => Token::Comma,
                    _ => Token::Dot,
                });
            }
            '\'' => {
                rest.next();
                // A backslash has its C meaning only after an E, which nothing here needs to understand.
                let escaped = matches!(found.last(), Some(Token::Word { text, quoted: false }) if text == "E");
                let value = quoted(&mut rest, '\'');
                if escaped {
                    found.pop();
                }
                found.push(if escaped && value.contains('\\') { Token::Other } else { Token::Text(value) });
            }
            '"' => {
                rest.next();
                found.push(Token::Word { text: quoted(&mut rest, '"'), quoted: true });
            }
            c if c.is_ascii_digit() => {
                while rest.peek().is_some_and(|c| c.is_ascii_alphanumeric() || *c == '.') {
                    rest.next();
                }
                found.push(Token::Number);
            }
            c if c.is_alphabetic() || c == '_' || !c.is_ascii() => {
                let mut text = String::new();
                while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()) {
                    text.push(c);
                }
                found.push(Token::Word { text, quoted: false });
            }
            c if "+-*/<>=~!@#%^&|`?:".contains(c) => {
                let mut text = String::new();
                while let Some(c) = rest.next_if(|c| "+-*/<>=~!@#%^&|`?:".contains(*c)) {
                    text.push(c);
                }
                found.push(Token::Operator(text));
            }
            _ => {
                rest.next();
                found.push(Token::Other);
            }
        }
    }
    found
}

/// The rest of a quoted run, in which the quote is doubled.
fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, quote: char) -> String {
    let mut value = String::new();
    while let Some(c) = rest.next() {
        if c == quote && rest.next_if_eq(&quote).is_none() {
            break;
        }
        value.push(c);
    }
    value
}
