//! Whole files of manifests: several documents, YAML or JSON, read with bounds.
//!
//! YAML is a large language; what is accepted here is what people write by hand: mappings, lists, texts, anchors in
//! moderation. Everything has a budget, so a file that unfolds or nests itself ends in an error instead of in the
//! machine's memory. Complaints about fields carry the line where the field stands.

mod bundle;
mod lines;

use std::collections::HashMap;

use serde_json::Value;
use tenantry_domain::code::{Code, FieldError};
use tenantry_domain::manifest::Document;
use tenantry_domain::name::EnvironmentName;

pub use bundle::bundle;

use crate::parse::{self, strict::Strict};
use crate::problem::Rejection;

/// Most bytes of one file or request.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Most documents of one file or request.
pub const MAX_DOCUMENTS: usize = 2_000;

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One or more YAML documents.
    Yaml,
    /// One manifest, or `{"documents": [...]}`.
    Json,
}

/// Reads the documents of a text without looking at what they say.
///
/// # Errors
/// What cannot be read, with line and column.
pub fn read(text: &[u8], format: Format) -> Result<Vec<Value>, Rejection> {
    let malformed = |detail: &str| Rejection::new(Code::MalformedDocument, detail);
    if text.len() > MAX_BYTES {
        return Err(Rejection::new(
            Code::BodyTooLarge,
            format_args!("the manifests take {} bytes, at most {MAX_BYTES} are read", text.len()),
        ));
    }
    let documents = match format {
        Format::Json => split(parse::json(text, Code::MalformedDocument)?)?,
        Format::Yaml => {
            let text = std::str::from_utf8(text).map_err(|error| not_utf8(text, error.valid_up_to()))?;
            serde_saphyr::from_multiple_with_options::<Strict>(text, options())
                .map_err(|error| unreadable(&error))?
                .into_iter()
                .map(|strict| strict.0)
                .filter(|value| !value.is_null())
                .collect()
        }
    };
    match documents.len() {
        0 => Err(malformed("the text holds no document")
            .hint("Send at least one manifest with apiVersion, kind, metadata and spec.")),
        count if count > MAX_DOCUMENTS => {
            Err(malformed(&format!("the text holds {count} documents, at most {MAX_DOCUMENTS} are read"))
                .hint("Split the request."))
        }
        _ => Ok(documents),
    }
}

/// Turns documents into manifests of one environment.
///
/// # Errors
/// Everything that is wrong with any of them.
pub fn parse(documents: &[Value], environment: Option<&EnvironmentName>) -> Result<Vec<Document>, Rejection> {
    check(documents, environment).map_err(|complaints| reject(documents, complaints, &lines::Lines::default()))
}

/// Reads and parses a text; complaints say in which line the field stands.
///
/// # Errors
/// What cannot be read, else everything that is wrong with any document.
pub fn parse_text(
    text: &[u8],
    format: Format,
    environment: Option<&EnvironmentName>,
) -> Result<Vec<Document>, Rejection> {
    let documents = read(text, format)?;
    check(&documents, environment).map_err(|complaints| {
        let lines = match format {
            Format::Yaml => lines::Lines::of(text),
            Format::Json => lines::Lines::default(),
        };
        reject(&documents, complaints, &lines)
    })
}

struct Complaints {
    code: Code,
    /// Each with its document.
    errors: Vec<(usize, FieldError)>,
}

fn check(documents: &[Value], environment: Option<&EnvironmentName>) -> Result<Vec<Document>, Complaints> {
    let mut parsed = Vec::with_capacity(documents.len());
    let mut errors = Vec::new();
    let mut code = None;
    for (index, value) in documents.iter().enumerate() {
        match parse::document(value, environment) {
            Ok(document) => parsed.push((index, document)),
            Err(found) => {
                // Several documents of unknown kinds are still "unknown kind"; a mixture is an invalid request.
                code =
                    Some(code.map_or(found.code, |code| if code == found.code { code } else { Code::InvalidManifest }));
                errors.extend(found.errors.into_iter().map(|error| (index, error)));
            }
        }
    }
    let mut seen = HashMap::new();
    for (index, document) in &parsed {
        let manifest = &document.manifest;
        if let Some(first) = seen.insert((manifest.kind(), manifest.name().to_owned()), *index) {
            let message = format!(
                "{} `{}` stands twice in this request, first in document {}",
                manifest.kind(),
                manifest.name(),
                first + 1
            );
            errors.push((*index, FieldError::new("metadata.name", message)));
            code.get_or_insert(Code::InvalidManifest);
        }
    }
    match code {
        None => Ok(parsed.into_iter().map(|(_, document)| document).collect()),
        Some(code) => Err(Complaints { code, errors }),
    }
}

fn reject(documents: &[Value], complaints: Complaints, lines: &lines::Lines) -> Rejection {
    let errors = complaints.errors.into_iter().map(|(index, mut error)| {
        let line = lines.of_field(index, &error.field).map(|line| format!("line {line}"));
        let document = (documents.len() > 1).then(|| title(index, &documents[index]));
        let place: Vec<String> = document.into_iter().chain(line).collect();
        if !place.is_empty() {
            error.message = format!("{} ({})", error.message, place.join(", "));
        }
        error
    });
    Rejection::fields(complaints.code, errors.collect())
}

/// How people find a document of many: its number, and kind and name as far as it gives them.
fn title(index: usize, document: &Value) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(parse::read::shorten);
    let number = index + 1;
    match (text(document.get("kind")), text(document.pointer("/metadata/name"))) {
        (Some(kind), Some(name)) => format!("document {number}: {kind} `{name}`"),
        (Some(kind), None) => format!("document {number}: {kind}"),
        _ => format!("document {number}"),
    }
}

/// A JSON request holds one manifest or a list of them.
fn split(value: Value) -> Result<Vec<Value>, Rejection> {
    match value {
        Value::Object(mut members) if members.contains_key("documents") => {
            let documents = members.remove("documents");
            if let Some(name) = members.keys().next() {
                return Err(Rejection::field(
                    Code::InvalidManifest,
                    parse::read::join("", name),
                    "is not a known field; known is documents",
                ));
            }
            match documents {
                Some(Value::Array(documents)) => Ok(documents),
                _ => Err(Rejection::field(Code::InvalidManifest, "documents", "must be a list of manifests")),
            }
        }
        one => Ok(vec![one]),
    }
}

fn not_utf8(text: &[u8], valid: usize) -> Rejection {
    let line = text[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
    Rejection::new(Code::MalformedDocument, format_args!("line {line}: the text is not UTF-8"))
}

fn unreadable(error: &serde_saphyr::Error) -> Rejection {
    let error = error.without_snippet();
    let place = error.location().map(|location| format!("line {}, column {}: ", location.line(), location.column()));
    Rejection::new(Code::MalformedDocument, format_args!("{}{}", place.unwrap_or_default(), plain(error)))
}

/// The error's message without the place, which stands in front of it already.
fn plain(error: &serde_saphyr::Error) -> String {
    if let serde_saphyr::Error::Budget { .. } = error {
        return "the text unfolds, nests or repeats more than is read".to_owned();
    }
    let text = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let text = text.split(" at line ").next().unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    parse::read::shorten_to(first, 300)
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: Some(MAX_BYTES),
            max_documents: MAX_DOCUMENTS + 1,
            max_events: 4_000_000,
            max_nodes: 2_000_000,
            max_depth: parse::strict::MAX_DEPTH * 2,
            max_total_scalar_bytes: MAX_BYTES,
            max_aliases: 2_000,
            max_anchors: 1_000,
            max_recorded_anchor_events: 100_000,
            max_recorded_anchor_bytes: 1024 * 1024,
            max_merge_keys: 2_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        // Snippets would repeat the text, which may hold what does not belong into logs.
        with_snippet: false,
    }
}
