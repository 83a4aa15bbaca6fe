//! What a rule's conditions ask for before anything in them could fail. A rule of which that does not hold cannot hold, and cannot
//! fail either: what stands behind a false `&&` is not evaluated. So it need not be looked at.
//!
//! Conditions are read in the order in which Cedar evaluates them, up to the first part that could fail: an overflow, a call.
//! That attributes and tags are there when they are read is what the strict validation of rules has made sure of. What
//! the settings say is known before any question: `context.settings.residency.enabled` is decided when the rules are sorted in.

use std::collections::HashMap;

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
    /// It is a tag, and equal to a word.
    Tag,
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

/// The gates of rules. Of what a rule asks for, that counts which the fewest rules ask for: it is likely the rarest.
pub fn gates(policies: &[Policy], settings: &Value) -> Vec<Gate> {
    let read = |policy: &Policy| policy.to_json().map_or(Asked::Nothing, |form| asked(&form, settings));
    let all: Vec<_> = policies.iter().map(read).collect();
    let mut count: HashMap<(Key, Word), usize> = HashMap::new();
    for asked in &all {
        if let Asked::For(pairs) = asked {
            pairs.iter().for_each(|pair| *count.entry(pair.clone()).or_default() += 1);
        }
    }
    let choose = |asked| match asked {
        Asked::Nothing => Gate::Open,
        Asked::TheImpossible => Gate::Shut,
        Asked::For(pairs) => {
            let rarest = pairs.into_iter().min_by_key(|pair| count.get(pair).copied());
            rarest.map_or(Gate::Open, |(key, word)| Gate::On(key, word))
        }
    };
    all.into_iter().map(choose).collect()
}

/// What a rule asks for.
enum Asked {
    Nothing,
    TheImpossible,
    For(Vec<(Key, Word)>),
}

/// What a rule asks for. One that cannot be read asks for nothing.
fn asked(form: &Value, settings: &Value) -> Asked {
    let mut pairs = Vec::new();
    let whens = form["conditions"].as_array().into_iter().flatten().take_while(|one| one["kind"] == "when");
    let mut parts = Vec::new();
    whens.for_each(|condition| conjuncts(&condition["body"], &mut parts));
    for part in parts {
        match reading(part, settings) {
            Reading::Always => {}
            Reading::Never => return Asked::TheImpossible,
            Reading::Asks(key, word) => pairs.push((key, word)),
            Reading::Unknown if is_harmless(part) => {}
            Reading::Unknown => break,
        }
    }
    if pairs.is_empty() { Asked::Nothing } else { Asked::For(pairs) }
}

/// Whether evaluating it cannot fail.
fn is_harmless(expression: &Value) -> bool {
    let Some((operator, operands)) = expression.as_object().and_then(|members| members.iter().next()) else {
        return false;
    };
    let of = |name: &str| is_harmless(&operands[name]);
    match operator.as_str() {
        "Value" | "Var" => true,
        "Set" => operands.as_array().is_some_and(|members| members.iter().all(is_harmless)),
        // What other entities are is not looked at here: nobody says that they are there.
        "." => operands["left"].get("Var").is_some() || is_of_settings(expression),
        "has" | "like" | "is" => of("left"),
        "!" | "isEmpty" => of("arg"),
        "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "&&" | "||" | "contains" | "containsAll" | "containsAny"
        | "hasTag" => of("left") && of("right"),
        _ => false,
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
    for (operator, read) in [("==", equal as fn(&Value) -> Option<Key>), ("contains", |set| key(set, Form::Has))] {
        if let Some(operands) = expression.get(operator)
            && let Some(key) = read(&operands["left"])
            && let Some(word) = word(&operands["right"])
        {
            return Reading::Asks(key, word);
        }
    }
    Reading::Unknown
}

/// What stands left of a `==`: an attribute, or a tag.
fn equal(expression: &Value) -> Option<Key> {
    let Some(tag) = expression.get("getTag") else { return key(expression, Form::Is) };
    let name = tag["right"].get("Value")?.as_str()?;
    Some(Key { holder: holder(&tag["left"])?, attribute: name.to_owned(), form: Form::Tag })
}

/// The attribute that `principal.x`, `resource.x` or `context.x` names.
fn key(expression: &Value, form: Form) -> Option<Key> {
    let access = expression.get(".")?;
    let holder = holder(&access["left"])?;
    Some(Key { holder, attribute: access["attr"].as_str()?.to_owned(), form })
}

fn holder(expression: &Value) -> Option<Holder> {
    match expression.get("Var")?.as_str()? {
        "principal" => Some(Holder::Principal),
        "resource" => Some(Holder::Resource),
        "context" => Some(Holder::Context),
        _ => None,
    }
}

fn word(expression: &Value) -> Option<Word> {
    match expression.get("Value")? {
        Value::String(text) => Some(Word::Text(text.clone())),
        Value::Number(number) => number.as_i64().map(Word::Number),
        _ => None,
    }
}

/// The names behind `context.settings` in `context.settings.a.b`, the last one first.
fn path_of(expression: &Value) -> Option<Vec<&str>> {
    let mut path = Vec::new();
    let mut at = expression;
    while let Some(access) = at.get(".") {
        path.push(access["attr"].as_str()?);
        at = &access["left"];
    }
    (at.get("Var")?.as_str()? == "context" && path.pop()? == "settings").then_some(path)
}

fn is_of_settings(expression: &Value) -> bool {
    path_of(expression).is_some()
}

/// What `context.settings.a.b` is, if it is a truth.
fn setting(expression: &Value, settings: &Value) -> Option<bool> {
    path_of(expression)?.iter().rev().try_fold(settings, |value, name| value.get(name))?.as_bool()
}

impl Key {
    /// What the attribute is in a question; nothing where that cannot be said, so that every rule about it is looked at.
    pub fn words(&self, facts: &Facts) -> Option<Vec<Word>> {
        let entity = |place: usize| facts.entities.get(facts.named.get(place)?);
        let value = match (self.holder, self.form) {
            // Whoever reads a tag has asked before whether it is there.
            (Holder::Context, Form::Tag) => return None,
            (Holder::Principal, Form::Tag) => entity(0)?.tag(&self.attribute),
            (Holder::Resource, Form::Tag) => entity(1)?.tag(&self.attribute),
            (Holder::Context, _) => return self.of(facts.request.context()?.get(&self.attribute)?),
            (Holder::Principal, _) => entity(0)?.attr(&self.attribute),
            (Holder::Resource, _) => entity(1)?.attr(&self.attribute),
        };
        match value {
            Some(value) => self.of(value.ok()?),
            None if self.form == Form::Tag => Some(Vec::new()),
            None => None,
        }
    }

    fn of(&self, value: EvalResult) -> Option<Vec<Word>> {
        match (self.form, value) {
            (Form::Flag, EvalResult::Bool(truth)) => Some(vec![Word::Flag(truth)]),
            (Form::Is | Form::Tag, EvalResult::String(text)) => Some(vec![Word::Text(text)]),
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
