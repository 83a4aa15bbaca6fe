//! What a rule's conditions ask for first. A rule of which that does not hold cannot hold, and cannot fail either: what comes
//! behind a false `&&` is not evaluated. So it need not be looked at.
//!
//! Conditions are read in the order in which Cedar evaluates them, up to the first that is not understood here. What the settings
//! say is known before any question: `context.settings.residency.enabled` is decided when the rules are sorted in.

use cedar_policy::{EvalResult, Policy};
use serde_json::Value;

use crate::facts::Facts;

/// What is known of a rule before it is evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// Nothing.
    Open,
    /// It never holds under these settings.
    Shut,
    /// It holds only if the key has the word.
    On(Key, Word),
}

/// An attribute, and how a condition looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    holder: Holder,
    attribute: String,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Holder {
    Principal,
    Resource,
    Context,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    /// It is equal to a word.
    Is,
    /// It is a set with a word.
    Has,
    /// It is true, or false.
    Flag,
}

/// What an attribute is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Word {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// A truth.
    Flag(bool),
}

/// What a condition says.
enum Reading {
    Always,
    Never,
    Asks(Key, Word),
    Unknown,
}

impl Gate {
    /// Reads that of a rule. A rule that cannot be read is open.
    pub fn of(policy: &Policy, settings: &Value) -> Self {
        policy.to_json().map_or(Self::Open, |form| Self::read(&form, settings))
    }

    fn read(form: &Value, settings: &Value) -> Self {
        for condition in form["conditions"].as_array().into_iter().flatten() {
            if condition["kind"] != "when" {
                return Self::Open;
            }
            let mut parts = Vec::new();
            conjuncts(&condition["body"], &mut parts);
            for part in parts {
                match reading(part, settings) {
                    Reading::Always => {}
                    Reading::Never => return Self::Shut,
                    Reading::Asks(key, word) => return Self::On(key, word),
                    Reading::Unknown => return Self::Open,
                }
            }
        }
        Self::Open
    }
}

/// The parts of a conjunction, in the order in which they are evaluated.
fn conjuncts<'v>(expression: &'v Value, into: &mut Vec<&'v Value>) {
    match expression.get("&&") {
        Some(both) => {
            conjuncts(&both["left"], into);
            conjuncts(&both["right"], into);
        }
        None => into.push(expression),
    }
}

fn reading(expression: &Value, settings: &Value) -> Reading {
    if let Some(truth) = expression.get("Value").and_then(Value::as_bool) {
        return if truth { Reading::Always } else { Reading::Never };
    }
    let negated = expression.get("!").map(|not| &not["arg"]);
    let wanted = negated.is_none();
    let looked = negated.unwrap_or(expression);
    if let Some(truth) = setting(looked, settings) {
        return if truth == wanted { Reading::Always } else { Reading::Never };
    }
    if let Some(key) = key(looked, Form::Flag) {
        return Reading::Asks(key, Word::Flag(wanted));
    }
    if !wanted {
        return Reading::Unknown;
    }
    for (operator, form) in [("==", Form::Is), ("contains", Form::Has)] {
        if let Some(operands) = expression.get(operator)
            && let Some(key) = key(&operands["left"], form)
            && let Some(word) = word(&operands["right"])
        {
            return Reading::Asks(key, word);
        }
    }
    Reading::Unknown
}

/// The attribute that `principal.x`, `resource.x` or `context.x` names.
fn key(expression: &Value, form: Form) -> Option<Key> {
    let access = expression.get(".")?;
    let holder = match access["left"].get("Var")?.as_str()? {
        "principal" => Holder::Principal,
        "resource" => Holder::Resource,
        "context" => Holder::Context,
        _ => return None,
    };
    Some(Key { holder, attribute: access["attr"].as_str()?.to_owned(), form })
}

fn word(expression: &Value) -> Option<Word> {
    match expression.get("Value")? {
        Value::String(text) => Some(Word::Text(text.clone())),
        Value::Number(number) => number.as_i64().map(Word::Number),
        _ => None,
    }
}

/// What `context.settings.a.b` is, if it is a truth.
fn setting(expression: &Value, settings: &Value) -> Option<bool> {
    let mut path = Vec::new();
    let mut at = expression;
    while let Some(access) = at.get(".") {
        path.push(access["attr"].as_str()?);
        at = &access["left"];
    }
    if at.get("Var")?.as_str()? != "context" || path.pop()? != "settings" {
        return None;
    }
    path.iter().rev().try_fold(settings, |value, name| value.get(name))?.as_bool()
}

impl Key {
    /// What the attribute is in a question; nothing where that cannot be said, so that every rule about it is looked at.
    pub fn words(&self, facts: &Facts) -> Option<Vec<Word>> {
        let value = match self.holder {
            Holder::Context => facts.request.context()?.get(&self.attribute)?,
            Holder::Principal => facts.entities.get(facts.named.first()?)?.attr(&self.attribute)?.ok()?,
            Holder::Resource => facts.entities.get(facts.named.get(1)?)?.attr(&self.attribute)?.ok()?,
        };
        match (self.form, value) {
            (Form::Flag, EvalResult::Bool(truth)) => Some(vec![Word::Flag(truth)]),
            (Form::Is, EvalResult::String(text)) => Some(vec![Word::Text(text)]),
            (Form::Is, EvalResult::Long(number)) => Some(vec![Word::Number(number)]),
            (Form::Has, EvalResult::Set(members)) => members.iter().map(member).collect(),
            _ => None,
        }
    }
}

fn member(value: &EvalResult) -> Option<Word> {
    match value {
        EvalResult::String(text) => Some(Word::Text(text.clone())),
        EvalResult::Long(number) => Some(Word::Number(*number)),
        _ => None,
    }
}
