//! Reads what the commands on policy work on: bundles, questions, keys.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;

use tenantry_domain::code::Kind;
use tenantry_policy::bundle::Compiled;
use tenantry_policy::{Bundle, BundleError, Digest, Question, SigningKey, governance};

use crate::exit::{Failure, Result};

/// The word for the shipped rules.
pub const BUILTIN: &str = "builtin";

/// Longest question, in bytes.
const MAX_QUESTION: u64 = 1 << 20;

/// A bundle by its folder.
pub fn bundle(name: &str) -> Result<Bundle> {
    let read = match name {
        BUILTIN => governance::bundle(),
        folder => Bundle::read_folder(Path::new(folder)),
    };
    let read = read.map_err(|error| match error {
        BundleError::Read { path, source } => unreadable(Path::new(&path), source),
        error => invalid(name, &error),
    })?;
    if read.has_manifest() {
        return Ok(read);
    }
    let title = format!("`{name}` is no bundle: there is no `policy.toml` in it");
    Err(Failure::usage(title).hint("examples/policy has one to begin from."))
}

/// A bundle that is valid, with its digest.
pub fn compiled(name: &str) -> Result<(Digest, Compiled)> {
    let bundle = bundle(name)?;
    let compiled = bundle.compile().map_err(|error| invalid(name, &error))?;
    Ok((bundle.digest(), compiled))
}

/// Everything that is wrong with a bundle.
pub fn invalid(name: &str, error: &BundleError) -> Failure {
    Failure::new(error.code(), format!("`{name}`"))
        .fields(error.complaints())
        .hint("`tenantry policy schema` shows what rules may refer to.")
}

/// One question.
pub fn question(path: &Path) -> Result<Question> {
    let mut text = String::new();
    open(path)?.take(MAX_QUESTION).read_to_string(&mut text).map_err(|error| unreadable(path, error))?;
    let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    if is_yaml {
        serde_saphyr::from_str(&text).map_err(|error| wrong(path, None, error))
    } else {
        serde_json::from_str(&text).map_err(|error| wrong(path, None, error))
    }
}

/// Questions, one a line, with the number of their line; empty lines are passed over.
pub fn questions(path: &Path) -> Result<impl Iterator<Item = Result<(usize, Question)>>> {
    let mut reader = BufReader::new(open(path)?);
    let path = path.to_owned();
    let mut number = 0;
    Ok(std::iter::from_fn(move || {
        loop {
            number += 1;
            let mut line = Vec::new();
            // A line without an end must not fill the memory.
            match (&mut reader).take(MAX_QUESTION).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) if line.trim_ascii().is_empty() => {}
                Ok(_) => {
                    let read = serde_json::from_slice(&line).map_err(|error| wrong(&path, Some(number), error));
                    return Some(read.map(|question| (number, question)));
                }
                Err(error) => return Some(Err(unreadable(&path, error))),
            }
        }
    }))
}

/// A key that signs.
pub fn key(path: &Path) -> Result<SigningKey> {
    let mut text = String::new();
    open(path)?.take(MAX_QUESTION).read_to_string(&mut text).map_err(|error| unreadable(path, error))?;
    SigningKey::read(&text).map_err(|error| Failure::usage(format!("`{}`: {error}", path.display())))
}

fn open(path: &Path) -> Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    Ok(Box::new(file))
}

fn unreadable(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::local(Kind::Invalid, format!("`{}` cannot be read", path.display()), error)
}

fn wrong(path: &Path, line: Option<usize>, error: impl std::fmt::Display) -> Failure {
    let place = line.map_or_else(String::new, |line| format!(", line {line}"));
    Failure::local(Kind::Invalid, format!("`{}`{place} is no question", path.display()), error)
        .hint("docs/policy.md shows the form.")
}
