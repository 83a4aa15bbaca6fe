//! The tests of a bundle: questions with the answers that they have to get.
//!
//! ```yaml
//! defaults:                    # laid under every question of the file
//!   principal: { kind: operator, id: tok_1 }
//! tests:
//!   - name: data stays in the European Union
//!     settings: { residency: { enabled: true } }      # laid over the bundle's
//!     question: { action: tenant.activate, … }
//!     expect: { allowed: false, rules: [residency] }
//! ```
//!
//! INVARIANT: a bundle without a refusing and an allowing test of its own rules may be loaded; one with a failing test
//! may not. Tests never see a clock: `context.now` is 1970 unless the question says otherwise.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenantry_domain::code::FieldError;

use crate::answer::Answer;
use crate::bundle::{Bundle, BundleError, Compiled};
use crate::engine::Engine;
use crate::question::Question;
use crate::settings::overlay;

/// Most tests of a bundle.
pub const MAX_CASES: usize = 10_000;

/// Most complaints that are told at once.
const MAX_COMPLAINTS: usize = 50;

/// One test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Where it stands.
    pub file: String,
    /// What it shows.
    pub name: String,
    /// Laid over the bundle's settings.
    pub settings: Option<Value>,
    /// Named windows that hold instead of the bundle's.
    pub windows: Option<crate::settings::Windows>,
    /// What is asked.
    pub question: Question,
    /// What has to come back.
    pub expect: Expect,
}

/// What an answer has to be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Exactly the rules that decided it; absent means whichever.
    #[serde(default)]
    pub rules: Option<Vec<String>>,
    /// A part of the remedy.
    #[serde(default)]
    pub remedy: Option<String>,
}

/// How a test went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Where it stands.
    pub file: String,
    /// What it shows.
    pub name: String,
    /// Whether the answer was the expected one.
    pub passed: bool,
    /// What was different.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
    /// What came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(default)]
    defaults: Value,
    tests: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    settings: Option<Value>,
    #[serde(default)]
    windows: Option<crate::settings::Windows>,
    question: Value,
    expect: Expect,
}

/// Reads the tests of a bundle.
pub(crate) fn read(bundle: &Bundle) -> Result<Vec<Case>, Vec<FieldError>> {
    let files = bundle.texts(&[".yaml", ".yml", ".json"]).map_err(|complaint| vec![complaint])?;
    let (mut cases, mut complaints) = (Vec::new(), Vec::new());
    for (file, text) in files.into_iter().filter(|(path, _)| path.starts_with("tests/")) {
        match document(&file, text) {
            Ok(read) => {
                for written in read.tests {
                    match case(&file, &read.defaults, written) {
                        Ok(case) => cases.push(case),
                        Err(complaint) => complaints.push(complaint),
                    }
                }
            }
            Err(complaint) => complaints.push(complaint),
        }
    }
    if cases.len() > MAX_CASES {
        complaints.push(FieldError::new("tests", format!("more than {MAX_CASES} tests")));
    }
    complaints.truncate(MAX_COMPLAINTS);
    if complaints.is_empty() { Ok(cases) } else { Err(complaints) }
}

fn document(file: &str, text: &str) -> Result<File, FieldError> {
    if file.ends_with(".json") {
        return serde_json::from_str(text).map_err(|error| FieldError::new(file, error));
    }
    serde_saphyr::from_str(text).map_err(|error| FieldError::new(file, error))
}

fn case(file: &str, defaults: &Value, written: Written) -> Result<Case, FieldError> {
    let mut whole = if defaults.is_null() { Value::Object(serde_json::Map::new()) } else { defaults.clone() };
    overlay(&mut whole, &written.question);
    let question: Question = serde_path_to_error::deserialize(whole)
        .map_err(|error| FieldError::new(format!("{file}: {}: {}", written.name, error.path()), error.inner()))?;
    let Written { name, settings, windows, expect, .. } = written;
    Ok(Case { file: file.to_owned(), name, settings, windows, question, expect })
}

/// Runs all tests of a bundle.
#[must_use]
pub fn run(compiled: &Compiled) -> Vec<Outcome> {
    compiled.cases.iter().map(|case| run_one(compiled, case)).collect()
}

fn run_one(compiled: &Compiled, case: &Case) -> Outcome {
    let outcome = |differences: Vec<String>, answer| Outcome {
        file: case.file.clone(),
        name: case.name.clone(),
        passed: differences.is_empty(),
        differences,
        answer,
    };
    let engine = match engine(compiled, case) {
        Ok(engine) => engine,
        Err(complaint) => return outcome(vec![format!("{}: {}", complaint.field, complaint.message)], None),
    };
    let answer = engine.ask(&case.question);
    outcome(differences(&case.expect, &answer), Some(answer))
}

fn engine(compiled: &Compiled, case: &Case) -> Result<Engine, FieldError> {
    if case.settings.is_none() && case.windows.is_none() {
        return Ok(compiled.engine.clone());
    }
    let settings = compiled.manifest.settings(case.settings.as_ref())?;
    compiled.engine.with(&settings, case.windows.as_ref().unwrap_or(&compiled.manifest.windows))
}

fn differences(expect: &Expect, answer: &Answer) -> Vec<String> {
    let word = |allowed: bool| if allowed { "allowed" } else { "refused" };
    let mut found = Vec::new();
    if expect.allowed != answer.allowed {
        found.push(format!("expected {}, was {}", word(expect.allowed), word(answer.allowed)));
    }
    if let Some(rules) = &expect.rules {
        let mut rules = rules.clone();
        rules.sort_unstable();
        if rules != answer.rules {
            found.push(format!("expected rules {}, were {}", rules.join(", "), answer.rules.join(", ")));
        }
    }
    if let Some(part) = &expect.remedy
        && !answer.remedy.as_ref().is_some_and(|remedy| remedy.contains(part.as_str()))
    {
        found.push(format!("expected a remedy with `{part}`, was `{}`", answer.remedy.as_deref().unwrap_or_default()));
    }
    found
}

/// The complaints of tests that failed.
///
/// # Errors
/// One complaint for each, up to a bound.
pub fn passed(outcomes: &[Outcome]) -> Result<(), BundleError> {
    let failed: Vec<_> = outcomes
        .iter()
        .filter(|outcome| !outcome.passed)
        .take(MAX_COMPLAINTS)
        .map(|outcome| FieldError::new(format!("{}: {}", outcome.file, outcome.name), outcome.differences.join("; ")))
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(BundleError::Invalid(failed)) }
}
