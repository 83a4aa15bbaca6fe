//! Filters (RFC 7644, section 3.4.2.2) and paths of operations (section 3.5.2), read by one parser.
//!
//! INVARIANT: a text longer than [`LONGEST`], deeper than [`DEEPEST`] or with more than [`MOST`] comparisons is refused
//! before it can cost anything, and no text makes the parser panic.

mod read;

use super::schema::{Form, Found, Kind, Scope};
use super::{ScimError, shown};
use read::Reader;

/// Most bytes of a filter or path.
pub const LONGEST: usize = 2048;
/// Most parentheses and brackets inside each other.
pub const DEEPEST: usize = 8;
/// Most comparisons of a filter.
pub const MOST: usize = 64;

/// The name of an attribute: `name.familyName`, with or without the schema before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The schema, where one was named.
    pub urn: Option<String>,
    /// The attribute.
    pub name: String,
    /// A part of it.
    pub part: Option<String>,
}

impl Path {
    /// Reads a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_urn = text.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("urn:"));
        let (urn, rest) = match text.rsplit_once(':') {
            Some((urn, rest)) if is_urn => (Some(urn.to_owned()), rest),
            Some(_) => return None,
            None => (None, text),
        };
        let (name, part) = match rest.split_once('.') {
            Some((name, part)) => (name, Some(part)),
            None => (rest, None),
        };
        if !is_name(name) || !part.is_none_or(is_name) {
            return None;
        }
        Some(Self { urn, name: name.to_owned(), part: part.map(ToOwned::to_owned) })
    }
}

/// `ATTRNAME`, and `$ref`, which the grammar forgets.
fn is_name(text: &str) -> bool {
    let plain = text.strip_prefix('$').unwrap_or(text);
    plain.len() <= 64
        && plain.starts_with(|c: char| c.is_ascii_alphabetic())
        && plain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Contains.
    Co,
    /// Begins with.
    Sw,
    /// Ends with.
    Ew,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
}

/// A value to compare with.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// A text.
    Text(String),
    /// A number. No attribute that is kept is one.
    Number(f64),
    /// Yes or no.
    Bool(bool),
    /// No value.
    Null,
}

/// What is asked of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// It has a value.
    Present,
    /// One of its values compares so.
    Is(Op, Literal),
}

/// A filter.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of them.
    And(Vec<Self>),
    /// One of them.
    Or(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// An attribute is so.
    Is(Path, Test),
    /// One value of an attribute is so as a whole, and then perhaps one part of that value.
    Within {
        /// The attribute.
        path: Path,
        /// What its value is like.
        inner: Box<Self>,
        /// What a part of that value is like.
        then: Option<(String, Test)>,
    },
}

/// The target of an operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The attribute.
    pub path: Path,
    /// Which of its values.
    pub inner: Option<Filter>,
    /// Which part of them, where it stands behind the bracket.
    pub part: Option<String>,
}

/// A filter that an index can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anchor {
    /// The resource's id.
    Id(String),
    /// The user's or group's name, in lower case.
    Name(String),
    /// What the directory calls it.
    ExternalId(String),
    /// A group that has this member.
    Member(String),
}

impl Filter {
    /// Reads a filter, and checks that a kind of resource has what it names.
    ///
    /// # Errors
    /// Where it leaves the grammar, or which comparison makes no sense.
    pub fn parse(text: &str, kind: Kind) -> Result<Self, ScimError> {
        let mut reader = Reader::new(text)?;
        let filter = reader.any(0, false)?;
        reader.end()?;
        filter.check(&kind.scope())?;
        Ok(filter)
    }

    /// What an index can find first; the whole filter is tried on what it finds.
    #[must_use]
    pub fn anchor(&self, kind: Kind) -> Option<Anchor> {
        match self {
            Self::And(all) => all.iter().find_map(|one| one.anchor(kind)),
            Self::Is(path, Test::Is(Op::Eq, Literal::Text(text))) => {
                let Found::Known(attribute, part) = kind.scope().find(path) else { return None };
                let part = part.map(|part| part.name);
                match (kind, attribute.name, part) {
                    (_, "id", None) => Some(Anchor::Id(text.clone())),
                    (_, "externalId", None) => Some(Anchor::ExternalId(text.clone())),
                    (Kind::User, "userName", None) | (Kind::Group, "displayName", None) => {
                        Some(Anchor::Name(text.to_lowercase()))
                    }
                    (Kind::Group, "members", None | Some("value")) => Some(Anchor::Member(text.clone())),
                    _ => None,
                }
            }
            Self::Within { path, inner, .. } if path.name.eq_ignore_ascii_case("members") && kind == Kind::Group => {
                match &**inner {
                    Self::Is(path, Test::Is(Op::Eq, Literal::Text(text)))
                        if path.name.eq_ignore_ascii_case("value") =>
                    {
                        Some(Anchor::Member(text.clone()))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Whether it names an attribute.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().any(|one| one.names(name)),
            Self::Not(one) => one.names(name),
            Self::Is(path, _) | Self::Within { path, .. } => path.name.eq_ignore_ascii_case(name),
        }
    }

    fn check(&self, scope: &Scope) -> Result<(), ScimError> {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().try_for_each(|one| one.check(scope)),
            Self::Not(one) => one.check(scope),
            Self::Is(path, test) => match scope.find(path) {
                Found::Known(attribute, part) => {
                    let form = part.map_or(attribute.form, |part| part.form);
                    // A complex attribute with several values is compared by its `value`.
                    let form = if form == Form::Complex && attribute.is_multi { Form::Text } else { form };
                    fits(&path.name, form, test)
                }
                Found::PassedOver => Ok(()),
                Found::Unknown => Err(ScimError::Comparison(shown(&path.name))),
            },
            Self::Within { path, inner, then } => match scope.find(path) {
                Found::Known(attribute, None) if attribute.form == Form::Complex => {
                    let parts = Scope::of_parts(attribute);
                    inner.check(&parts)?;
                    let Some((name, test)) = then else { return Ok(()) };
                    let part = parts.attribute(name).ok_or_else(|| ScimError::Comparison(shown(name)))?;
                    fits(name, part.form, test)
                }
                Found::PassedOver => Ok(()),
                _ => Err(ScimError::Comparison(shown(&path.name))),
            },
        }
    }
}

/// Whether values of a form can be compared so.
fn fits(name: &str, form: Form, test: &Test) -> Result<(), ScimError> {
    let is_fit = match (form, test) {
        (_, Test::Present | Test::Is(Op::Eq | Op::Ne, Literal::Null)) => true,
        (Form::Text | Form::Reference, Test::Is(_, Literal::Text(_))) => true,
        (Form::Bool, Test::Is(Op::Eq | Op::Ne, Literal::Bool(_))) => true,
        (Form::Time, Test::Is(Op::Co | Op::Sw | Op::Ew, _)) => false,
        (Form::Time, Test::Is(_, Literal::Text(text))) => text.parse::<crate::Timestamp>().is_ok(),
        _ => false,
    };
    if is_fit { Ok(()) } else { Err(ScimError::Comparison(shown(name))) }
}

impl Target {
    /// Reads the path of an operation.
    ///
    /// # Errors
    /// It is not of the grammar.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        let wrong = || ScimError::Path(shown(text));
        let mut reader = Reader::new(text).map_err(|_| wrong())?;
        let found = reader.target().map_err(|_| wrong())?;
        reader.end().map_err(|_| wrong())?;
        if let (Some(inner), Found::Known(attribute, _)) = (&found.inner, Kind::User.scope().find(&found.path)) {
            inner.check(&Scope::of_parts(attribute)).map_err(|_| wrong())?;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
