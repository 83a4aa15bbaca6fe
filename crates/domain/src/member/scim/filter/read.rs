//! The parser: one pass from left to right, without going back further than a word.

use super::super::ScimError;
use super::{DEEPEST, Filter, LONGEST, Literal, MOST, Op, Path, Target, Test, is_name};

/// A text and how far it was read.
pub(super) struct Reader<'t> {
    text: &'t str,
    at: usize,
    tests: usize,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Result<Self, ScimError> {
        if text.len() > LONGEST {
            return Err(ScimError::Grammar { at: LONGEST, problem: "it is longer than 2048 bytes" });
        }
        Ok(Self { text, at: 0, tests: 0 })
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn fail<T>(&self, problem: &'static str) -> Result<T, ScimError> {
        let before = self.text.get(..self.at).map_or(0, |before| before.chars().count());
        Err(ScimError::Grammar { at: before + 1, problem })
    }

    fn skip(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    /// Takes a sign, if it is the next one.
    fn take(&mut self, sign: char) -> bool {
        let is_next = self.rest().starts_with(sign);
        if is_next {
            self.at += sign.len_utf8();
        }
        is_next
    }

    /// The letters of a name, operator or number.
    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '$' | ':' | '.' | '+');
        let end = rest.find(|c| !is_letter(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// Takes a word of the grammar, if it is the next one.
    fn keyword(&mut self, word: &str) -> bool {
        let before = self.at;
        self.skip();
        if self.word().eq_ignore_ascii_case(word) {
            return true;
        }
        self.at = before;
        false
    }

    pub(super) fn end(&mut self) -> Result<(), ScimError> {
        self.skip();
        if self.rest().is_empty() { Ok(()) } else { self.fail("nothing more is expected") }
    }

    pub(super) fn any(&mut self, depth: usize, is_inside: bool) -> Result<Filter, ScimError> {
        if depth > DEEPEST {
            return self.fail("it is nested too deeply");
        }
        let mut any = vec![self.all(depth, is_inside)?];
        while self.keyword("or") {
            any.push(self.all(depth, is_inside)?);
        }
        Ok(if any.len() == 1 { any.swap_remove(0) } else { Filter::Or(any) })
    }

    fn all(&mut self, depth: usize, is_inside: bool) -> Result<Filter, ScimError> {
        let mut all = vec![self.one(depth, is_inside)?];
        while self.keyword("and") {
            all.push(self.one(depth, is_inside)?);
        }
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Filter::And(all) })
    }

    fn one(&mut self, depth: usize, is_inside: bool) -> Result<Filter, ScimError> {
        self.skip();
        if self.take('(') {
            let inner = self.any(depth + 1, is_inside)?;
            self.close(')')?;
            return Ok(inner);
        }
        let before = self.at;
        if self.keyword("not") {
            self.skip();
            if self.take('(') {
                let inner = self.any(depth + 1, is_inside)?;
                self.close(')')?;
                return Ok(Filter::Not(Box::new(inner)));
            }
            self.at = before;
        }
        let path = self.path()?;
        if self.take('[') {
            if is_inside {
                return self.fail("brackets do not stand in brackets");
            }
            let inner = Box::new(self.any(depth + 1, true)?);
            self.close(']')?;
            let then = if self.take('.') {
                let name = self.part()?;
                Some((name, self.test()?))
            } else {
                None
            };
            return Ok(Filter::Within { path, inner, then });
        }
        Ok(Filter::Is(path, self.test()?))
    }

    fn close(&mut self, sign: char) -> Result<(), ScimError> {
        self.skip();
        if self.take(sign) { Ok(()) } else { self.fail("a parenthesis or bracket is not closed") }
    }

    fn path(&mut self) -> Result<Path, ScimError> {
        let before = self.at;
        let found = Path::parse(self.word());
        let Some(found) = found else {
            self.at = before;
            return self.fail("the name of an attribute is expected");
        };
        Ok(found)
    }

    fn part(&mut self) -> Result<String, ScimError> {
        let word = self.word();
        if is_name(word) { Ok(word.to_owned()) } else { self.fail("the name of a part is expected") }
    }

    fn test(&mut self) -> Result<Test, ScimError> {
        self.tests += 1;
        if self.tests > MOST {
            return self.fail("it has too many comparisons");
        }
        self.skip();
        let before = self.at;
        let op = match self.word().to_ascii_lowercase().as_str() {
            "pr" => return Ok(Test::Present),
            "eq" => Op::Eq,
            "ne" => Op::Ne,
            "co" => Op::Co,
            "sw" => Op::Sw,
            "ew" => Op::Ew,
            "gt" => Op::Gt,
            "ge" => Op::Ge,
            "lt" => Op::Lt,
            "le" => Op::Le,
            _ => {
                self.at = before;
                return self.fail("one of eq, ne, co, sw, ew, pr, gt, ge, lt, le is expected");
            }
        };
        self.skip();
        Ok(Test::Is(op, self.literal()?))
    }

    fn literal(&mut self) -> Result<Literal, ScimError> {
        if self.rest().starts_with('"') {
            return self.quoted();
        }
        let before = self.at;
        let word = self.word();
        match word.to_ascii_lowercase().as_str() {
            "true" => return Ok(Literal::Bool(true)),
            "false" => return Ok(Literal::Bool(false)),
            "null" => return Ok(Literal::Null),
            _ => {}
        }
        let is_number = word.starts_with(|c: char| c.is_ascii_digit() || c == '-');
        match word.parse::<f64>() {
            Ok(number) if is_number && number.is_finite() => Ok(Literal::Number(number)),
            _ => {
                self.at = before;
                self.fail("a text in double quotes, a number, true, false or null is expected")
            }
        }
    }

    /// A text as JSON writes it.
    fn quoted(&mut self) -> Result<Literal, ScimError> {
        let rest = self.rest();
        let mut is_escaped = false;
        for (place, sign) in rest.char_indices().skip(1) {
            match sign {
                _ if is_escaped => is_escaped = false,
                '\\' => is_escaped = true,
                '"' => {
                    let Ok(text) = serde_json::from_str(rest.get(..=place).unwrap_or_default()) else {
                        return self.fail("the text is not written as JSON writes texts");
                    };
                    self.at += place + 1;
                    return Ok(Literal::Text(text));
                }
                _ => {}
            }
        }
        self.fail("the text is not closed")
    }

    pub(super) fn target(&mut self) -> Result<Target, ScimError> {
        self.skip();
        let path = self.path()?;
        if !self.take('[') {
            return Ok(Target { path, inner: None, part: None });
        }
        let inner = self.any(1, true)?;
        self.close(']')?;
        let part = if self.take('.') { Some(self.part()?) } else { None };
        Ok(Target { path, inner: Some(inner), part })
    }
}
