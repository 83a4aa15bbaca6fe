//! Reads an expression of a policy as far as the guard has to understand it.
//!
//! INVARIANT: what is not understood becomes [`Expr::Opaque`], never something that looks safe. Texts that are nested
//! deeper than [`DEEPEST`] are opaque as a whole.

use super::lex::{Token, tokens};

/// Deeper nesting than any policy that somebody can review.
/// Types to which ids are cast without losing a part of them. `character varying` is one of them without a length.
const WHOLE: [&str; 6] = ["text", "uuid", "character", "bigint", "integer", "numeric"];
const DEEPEST: usize = 64;

/// An expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expr {
    /// A column, without its qualification.
    Column(String),
    Text(String),
    Number,
    True,
    False,
    Null,
    /// `CURRENT_USER` and the like.
    Role(&'static str),
    /// A call, with the name as it is written.
    Call(String, Vec<Expr>),
    Cast(Box<Expr>, bool),
    /// A comparison or another operator with two sides.
    Operator(String, Box<Expr>, Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    /// `(SELECT expression)` without tables.
    Scalar(Box<Expr>),
    /// Anything else.
    Opaque,
}

/// Reads a whole expression.
pub(super) fn expression(text: &str) -> Expr {
    let tokens = tokens(text);
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0 };
    match parser.or() {
        Some(expr) if parser.at == tokens.len() => expr,
        _ => Expr::Opaque,
    }
}

/// Reads the body of a function of one expression: `SELECT expression` or `RETURN expression`.
pub(super) fn body(text: &str) -> Expr {
    let text = text.trim().trim_end_matches(';').trim_end();
    let Some((first, rest)) = text.split_once(char::is_whitespace) else { return Expr::Opaque };
    if first.eq_ignore_ascii_case("select") || first.eq_ignore_ascii_case("return") {
        expression(rest)
    } else {
        Expr::Opaque
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn or(&mut self) -> Option<Expr> {
        self.chain("OR", Self::and, Expr::Or)
    }

    fn and(&mut self) -> Option<Expr> {
        self.chain("AND", Self::comparison, Expr::And)
    }

    fn chain(&mut self, word: &str, part: fn(&mut Self) -> Option<Expr>, make: fn(Vec<Expr>) -> Expr) -> Option<Expr> {
        let mut parts = vec![part(self)?];
        while self.keyword(word) {
            parts.push(part(self)?);
        }
        if parts.len() == 1 { parts.pop() } else { Some(make(parts)) }
    }

    fn comparison(&mut self) -> Option<Expr> {
        if self.keyword("NOT") {
            self.comparison()?;
            return Some(Expr::Opaque);
        }
        let mut left = self.operand()?;
        while let Some(operator) = self.operator() {
            let right = self.operand()?;
            left = Expr::Operator(operator, Box::new(left), Box::new(right));
        }
        Some(left)
    }

    /// An operator, also in its qualified form when it is the built-in one.
    fn operator(&mut self) -> Option<String> {
        if let Some(Token::Operator(text)) = self.tokens.get(self.at)
            && text != "::"
        {
            let text = text.clone();
            self.at += 1;
            return Some(text);
        }
        let qualified = self.tokens.get(self.at..self.at + 6)?;
        let [
            Token::Word { text, .. },
            Token::Open,
            Token::Word { text: schema, .. },
            Token::Dot,
            Token::Operator(name),
            Token::Close,
        ] = qualified
        else {
            return None;
        };
        if text != "OPERATOR" {
            return None;
        }
        self.at += 6;
        // An operator of somebody's own may do anything.
        Some(if schema == "pg_catalog" { name.clone() } else { format!("{schema}.{name}") })
    }

    fn operand(&mut self) -> Option<Expr> {
        let mut expr = self.primary()?;
        while matches!(self.tokens.get(self.at), Some(Token::Operator(text)) if text == "::") {
            self.at += 1;
            let whole = self.type_name()?;
            expr = Expr::Cast(Box::new(expr), whole);
        }
        Some(expr)
    }

    fn primary(&mut self) -> Option<Expr> {
        let token = self.tokens.get(self.at)?.clone();
        self.at += 1;
        match token {
            Token::Text(value) => Some(Expr::Text(value)),
            Token::Number => Some(Expr::Number),
            Token::Open => self.group(),
            Token::Word { text, quoted } => self.name(text, quoted),
            _ => None,
        }
    }

    /// What is in parentheses; a content that is not understood does not spoil what is around it.
    fn group(&mut self) -> Option<Expr> {
        let start = self.at;
        self.depth += 1;
        let inner = if self.depth > DEEPEST { None } else { self.inner() };
        self.depth -= 1;
        if inner.is_some() && self.take(&Token::Close) {
            return inner;
        }
        self.at = start;
        self.skip_group()?;
        Some(Expr::Opaque)
    }

    fn inner(&mut self) -> Option<Expr> {
        if !self.keyword("SELECT") {
            return self.or();
        }
        let expr = self.or()?;
        if self.keyword("AS") {
            self.at += 1;
        }
        Some(Expr::Scalar(Box::new(expr)))
    }

    fn name(&mut self, first: String, quoted: bool) -> Option<Expr> {
        if !quoted {
            match first.as_str() {
                "true" | "TRUE" => return Some(Expr::True),
                "false" | "FALSE" => return Some(Expr::False),
                "NULL" => return Some(Expr::Null),
                "CURRENT_USER" | "CURRENT_ROLE" | "USER" | "current_user" => return Some(Expr::Role("current_user")),
                "SESSION_USER" | "session_user" => return Some(Expr::Role("session_user")),
                "EXISTS" | "ARRAY" | "ROW" | "CASE" | "NOT" | "ANY" | "ALL" | "IN" | "IS" => return None,
                _ => {}
            }
        }
        let mut name = first;
        let mut last = name.clone();
        while self.take(&Token::Dot) {
            let Some(Token::Word { text, .. }) = self.tokens.get(self.at) else { return None };
            name = format!("{name}.{text}");
            last.clone_from(text);
            self.at += 1;
        }
        if !self.take(&Token::Open) {
            return Some(Expr::Column(last));
        }
        let mut arguments = Vec::new();
        if !self.take(&Token::Close) {
            self.depth += 1;
            if self.depth > DEEPEST {
                return None;
            }
            loop {
                arguments.push(self.or()?);
                if self.take(&Token::Close) {
                    break;
                }
                if !self.take(&Token::Comma) {
                    return None;
                }
            }
            self.depth -= 1;
        }
        Some(Expr::Call(name, arguments))
    }

    /// `character varying(10)`, `timestamp without time zone`, `app.kind[]`.
    /// A type's name; says whether whatever is cast to it can be told apart afterwards as it could before.
    fn type_name(&mut self) -> Option<bool> {
        let Some(Token::Word { text, .. }) = self.tokens.get(self.at) else { return None };
        let more: &[&str] = match text.as_str() {
            "character" | "bit" => &["varying"],
            "double" => &["precision"],
            "timestamp" | "time" => &["with", "without", "time", "zone"],
            _ => &[],
        };
        let mut whole = WHOLE.contains(&text.as_str());
        self.at += 1;
        while self.take(&Token::Dot) {
            self.at += 1;
            whole = false;
        }
        loop {
            match self.tokens.get(self.at) {
                Some(Token::Word { text, quoted: false }) if more.contains(&text.as_str()) => self.at += 1,
                Some(Token::Open) if matches!(self.tokens.get(self.at + 1), Some(Token::Number)) => {
                    self.at += 1;
                    self.skip_group()?;
                    whole = false;
                }
                // `[` and `]`.
                Some(Token::Other) => self.at += 1,
                _ => return Some(whole),
            }
        }
    }

    /// Goes behind the parenthesis that closes the open one.
    fn skip_group(&mut self) -> Option<()> {
        let mut open = 1_usize;
        while open > 0 {
            match self.tokens.get(self.at)? {
                Token::Open => open += 1,
                Token::Close => open -= 1,
                _ => {}
            }
            self.at += 1;
        }
        Some(())
    }

    fn take(&mut self, token: &Token) -> bool {
        let there = self.tokens.get(self.at) == Some(token);
        self.at += usize::from(there);
        there
    }

    fn keyword(&mut self, word: &str) -> bool {
        let there = matches!(self.tokens.get(self.at), Some(Token::Word { text, quoted: false }) if text.eq_ignore_ascii_case(word));
        self.at += usize::from(there);
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> Box<Expr> {
        Box::new(Expr::Column(name.to_owned()))
    }

    #[test]
    fn the_canonical_form_is_read() {
        let call = Expr::Call("tenantry.current_tenant".to_owned(), Vec::new());
        let wanted = Expr::Operator("=".to_owned(), column("tenant_id"), Box::new(Expr::Scalar(Box::new(call))));
        for text in [
            "(tenant_id = ( SELECT tenantry.current_tenant() AS current_tenant))",
            "(tenant_id = ( SELECT tenantry.current_tenant()))",
            "(\"tenant_id\" OPERATOR(pg_catalog.=) ( SELECT \"tenantry\".current_tenant() AS current_tenant))",
        ] {
            assert_eq!(expression(text), wanted, "{text}");
        }
    }

    #[test]
    fn casts_calls_and_types_are_read() {
        let text = "(tenant_id = ( SELECT (NULLIF(current_setting('app.tenant_id'::text, true), ''::text))::character varying(10)[] AS \"x y\"))";
        let Expr::Operator(_, _, right) = expression(text) else { panic!("no comparison") };
        let Expr::Scalar(inner) = *right else { panic!("no scalar") };
        let Expr::Cast(inner, _) = *inner else { panic!("no cast") };
        assert!(matches!(*inner, Expr::Call(name, arguments) if name == "NULLIF" && arguments.len() == 2));
    }

    #[test]
    fn what_is_not_understood_is_opaque() {
        for text in [
            "(tenant_id IN ( SELECT m.tenant_id FROM m))",
            "(EXISTS ( SELECT 1 FROM m WHERE (m.a = tenant_id)))",
            "(tenant_id = ANY (ARRAY['a'::text]))",
            "CASE WHEN true THEN true ELSE false END",
            "(NOT (tenant_id = b))",
            "(tenant_id IS NULL)",
            "",
            "(((",
            "tenant_id = '",
        ] {
            let read = expression(text);
            assert!(!matches!(read, Expr::True | Expr::And(_)), "{text}: {read:?}");
        }
        let Expr::And(parts) = expression("((tenant_id = a) AND (EXISTS ( SELECT 1 FROM m)))") else {
            panic!("no AND")
        };
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[1], Expr::Opaque);
        assert_eq!(expression(&"(".repeat(100_000)), Expr::Opaque);
    }
}
