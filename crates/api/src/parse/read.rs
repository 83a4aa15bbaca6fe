//! A walker over a tree of values that knows where it is and collects complaints instead of stopping at the first.
//!
//! `null` counts as absent: an empty YAML value is `null`, and nobody means something else by it. An unknown field
//! is always a complaint, since a typing error must not pass as "not set".

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::str::FromStr;

use serde_json::{Map, Value};
use tenantry_domain::code::FieldError;

use crate::problem::MAX_ERRORS;

/// The complaints about one document.
#[derive(Debug, Default)]
pub struct Report {
    complaints: RefCell<Vec<FieldError>>,
    count: Cell<usize>,
}

impl Report {
    /// A report without complaints.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a complaint. Only the first hundred are kept, all are counted.
    pub fn add(&self, field: impl Into<String>, message: impl Display) {
        self.count.set(self.count.get() + 1);
        if self.count.get() <= MAX_ERRORS {
            self.complaints.borrow_mut().push(FieldError::new(field, message));
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.count.get() == 0
    }

    /// The complaints, in the order of reading.
    #[must_use]
    pub fn into_complaints(self) -> Vec<FieldError> {
        self.complaints.into_inner()
    }
}

/// A value with its path.
#[derive(Debug, Clone)]
pub struct Node<'v> {
    value: &'v Value,
    path: String,
}

impl<'v> Node<'v> {
    /// The root of a document, whose path is empty.
    #[must_use]
    pub const fn root(value: &'v Value) -> Self {
        Self { value, path: String::new() }
    }

    /// A value at a known place.
    #[must_use]
    pub fn at(value: &'v Value, path: impl Into<String>) -> Self {
        Self { value, path: path.into() }
    }

    /// The bare value.
    #[must_use]
    pub const fn value(&self) -> &'v Value {
        self.value
    }

    /// Where it stands.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Notes a complaint about this value.
    pub fn complain(&self, report: &Report, message: impl Display) {
        report.add(self.path.as_str(), message);
    }

    fn mismatch(&self, report: &Report, expected: &str) {
        let hint = match (expected, self.value) {
            ("text", Value::Number(_) | Value::Bool(_)) => "; put it in quotes",
            _ => "",
        };
        self.complain(report, format_args!("expected {expected}, found {}{hint}", word(self.value)));
    }

    /// The value as text.
    pub fn text(&self, report: &Report) -> Option<&'v str> {
        let Value::String(text) = self.value else {
            self.mismatch(report, "text");
            return None;
        };
        Some(text)
    }

    /// Text of 1 to `max` characters without control characters.
    pub fn line(&self, report: &Report, max: usize) -> Option<String> {
        let text = self.text(report)?;
        let count = text.chars().count();
        if text.trim().is_empty() {
            self.complain(report, "must not be empty");
        } else if count > max {
            self.complain(report, format_args!("must have at most {max} characters, this has {count}"));
        } else if let Some(found) = text.chars().find(|c| c.is_control()) {
            self.complain(
                report,
                format_args!("must not hold control characters; `{}` is one", found.escape_default()),
            );
        } else {
            return Some(text.to_owned());
        }
        None
    }

    /// Text in the grammar of `T`.
    pub fn parse<T: FromStr<Err: Display>>(&self, report: &Report) -> Option<T> {
        self.check(report, str::parse)
    }

    /// Text that `read` understands.
    pub fn check<T, E: Display>(&self, report: &Report, read: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        read(self.text(report)?).map_err(|error| self.complain(report, error)).ok()
    }

    /// `true` or `false`.
    pub fn boolean(&self, report: &Report) -> Option<bool> {
        let Value::Bool(value) = self.value else {
            self.mismatch(report, "true or false");
            return None;
        };
        Some(*value)
    }

    /// A whole number inside of the bounds.
    pub fn integer(&self, report: &Report, min: u64, max: u64) -> Option<u64> {
        let Value::Number(number) = self.value else {
            self.mismatch(report, "a whole number");
            return None;
        };
        match number.as_u64() {
            Some(number) if (min..=max).contains(&number) => Some(number),
            _ => {
                self.complain(report, format_args!("must be a whole number between {min} and {max}, this is {number}"));
                None
            }
        }
    }

    /// One of several words; `words` gives each with its value.
    pub fn word<T: Copy>(&self, report: &Report, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(report)?;
        let found = words.iter().find_map(|(word, value)| (*word == text).then_some(*value));
        if found.is_none() {
            let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let near = nearest(text, names.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
            let near = near.unwrap_or_default();
            self.complain(report, format_args!("`{}` is not known; expected {}{near}", shorten(text), one_of(&names)));
        }
        found
    }

    /// The items of a list, at most `max`.
    pub fn items(&self, report: &Report, max: usize) -> Option<Vec<Node<'v>>> {
        let Value::Array(items) = self.value else {
            self.mismatch(report, "a list");
            return None;
        };
        if items.len() > max {
            self.complain(report, format_args!("must have at most {max} items, this has {}", items.len()));
            return None;
        }
        let at = |(index, value)| Node { value, path: format!("{}[{index}]", self.path) };
        Some(items.iter().enumerate().map(at).collect())
    }

    /// Every item of a list read by `read`; nothing when one fails.
    pub fn list<T>(&self, report: &Report, max: usize, read: impl Fn(&Node<'v>) -> Option<T>) -> Option<Vec<T>> {
        // All items are read before one failure counts, so that all complaints are noted.
        let read: Vec<Option<T>> = self.items(report, max)?.iter().map(read).collect();
        read.into_iter().collect()
    }

    /// The members of a mapping with free names, at most `max`.
    pub fn entries(&self, report: &Report, max: usize) -> Option<Vec<(&'v str, Node<'v>)>> {
        let members = self.mapping(report)?;
        if members.len() > max {
            self.complain(report, format_args!("must have at most {max} entries, this has {}", members.len()));
            return None;
        }
        let entry =
            |(name, value): (&'v String, &'v Value)| (name.as_str(), Node { value, path: join(&self.path, name) });
        Some(members.iter().map(entry).collect())
    }

    /// The members of a mapping, whatever they are.
    pub fn mapping(&self, report: &Report) -> Option<&'v Map<String, Value>> {
        let Value::Object(members) = self.value else {
            self.mismatch(report, "a mapping");
            return None;
        };
        Some(members)
    }

    /// The value as a mapping with known fields.
    pub fn object<'r>(&self, report: &'r Report) -> Option<Object<'v, 'r>> {
        let members = self.mapping(report)?;
        Some(Object { members, path: self.path.clone(), known: RefCell::default(), report })
    }
}

/// A mapping whose fields are asked for one by one; [`Object::finish`] complains about those that nobody asked for.
#[derive(Debug)]
pub struct Object<'v, 'r> {
    members: &'v Map<String, Value>,
    path: String,
    known: RefCell<Vec<&'static str>>,
    report: &'r Report,
}

impl<'v> Object<'v, '_> {
    /// A field, unless it is absent or `null`.
    pub fn get(&self, name: &'static str) -> Option<Node<'v>> {
        self.known.borrow_mut().push(name);
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        Some(Node { value, path: join(&self.path, name) })
    }

    /// Whether the field is written down at all, be it as `null`.
    #[must_use]
    pub fn mentions(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// A field that must be there.
    pub fn required(&self, name: &'static str) -> Option<Node<'v>> {
        let node = self.get(name);
        if node.is_none() {
            self.report.add(self.field(name), "is required");
        }
        node
    }

    /// The path of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// Reads an optional field: `Some(None)` when it is absent, `None` when it is wrong.
    #[allow(clippy::option_option, reason = "absent, given and wrong are three things")]
    pub fn optional<T>(&self, name: &'static str, read: impl FnOnce(&Node<'v>) -> Option<T>) -> Option<Option<T>> {
        match self.get(name) {
            None => Some(None),
            Some(node) => read(&node).map(Some),
        }
    }

    /// Reads an optional field that has a value when it is absent.
    pub fn or<T>(&self, name: &'static str, absent: T, read: impl FnOnce(&Node<'v>) -> Option<T>) -> Option<T> {
        self.optional(name, read).map(|value| value.unwrap_or(absent))
    }

    /// Complains about fields that nobody asked for.
    pub fn finish(self) {
        let known = self.known.into_inner();
        let mut unknown: Vec<_> = self.members.keys().filter(|name| !known.contains(&name.as_str())).collect();
        unknown.sort_unstable();
        for name in unknown {
            let near = nearest(name, known.iter().copied());
            let message = match near {
                Some(near) => format!("is not a known field; did you mean `{near}`?"),
                None => format!("is not a known field; known are {}", known.join(", ")),
            };
            self.report.add(join(&self.path, name), message);
        }
    }
}

/// Appends a member's name to a path; names that are not plain words are quoted.
#[must_use]
pub fn join(path: &str, name: &str) -> String {
    let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    match (path.is_empty(), is_plain) {
        (true, true) => name.to_owned(),
        (false, true) => format!("{path}.{name}"),
        (_, false) => format!("{path}[\"{}\"]", shorten(name).escape_default()),
    }
}

/// The first characters of a text that somebody else chose, for messages.
#[must_use]
pub fn shorten(text: &str) -> String {
    shorten_to(text, 80)
}

/// The first `max` characters of a text.
#[must_use]
pub fn shorten_to(text: &str, max: usize) -> String {
    let mut short: String = text.chars().take(max).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn one_of(names: &[&str]) -> String {
    match names {
        [one] => format!("`{one}`"),
        names => format!("one of {}", names.join(", ")),
    }
}

/// The known name that a mistyped one is nearest to, if one is near at all.
fn nearest<'n>(text: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    if text.len() > 64 {
        return None;
    }
    let reach = (text.len() / 3).min(2);
    names
        .map(|name| (distance(&text.to_ascii_lowercase(), &name.to_ascii_lowercase()), name))
        .filter(|(distance, _)| *distance <= reach)
        .min()
        .map(|(_, name)| name)
}

/// Edits (insert, remove, replace) between two short texts.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_and_suggestions() {
        let report = Report::new();
        let value = json!({"displayNmae": 1, "a.b": {"x y": [true]}, "seats": 1});
        let object = Node::root(&value).object(&report).unwrap();
        object.required("displayName");
        object.get("state");
        let nested = Node::at(&value["a.b"]["x y"][0], join(&join("", "a.b"), "x y"));
        nested.text(&report);
        object.finish();
        let found: Vec<_> = report.into_complaints().into_iter().map(|e| (e.field, e.message)).collect();
        assert_eq!(found[0], ("displayName".into(), "is required".into()));
        assert_eq!(
            found[1],
            ("[\"a.b\"][\"x y\"]".into(), "expected text, found true or false; put it in quotes".into())
        );
        assert_eq!(found[2].0, "[\"a.b\"]");
        assert_eq!(found[3], ("displayNmae".into(), "is not a known field; did you mean `displayName`?".into()));
        assert_eq!(found[4].1, "is not a known field; known are displayName, state");
    }

    #[test]
    fn a_flood_of_complaints_is_cut_but_counted() {
        let report = Report::new();
        for index in 0..1000 {
            report.add(format!("x[{index}]"), "bad");
        }
        assert!(!report.is_clean());
        assert_eq!(report.into_complaints().len(), MAX_ERRORS);
    }
}
