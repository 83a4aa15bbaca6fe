//! Bodies of requests that are not manifests, and patches.

use serde_json::Value;
use tenantry_domain::code::Code;
use tenantry_domain::tenant::spec::Suspension;

use super::read::{Node, Report};
use super::{strict, tenant};
use crate::problem::Rejection;

/// Reads a JSON body. `code` says what a malformed one is called: a manifest is a document, anything else a request.
///
/// # Errors
/// What is malformed, with line and column.
pub fn json(bytes: &[u8], code: Code) -> Result<Value, Rejection> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Rejection::new(code, "the body is empty; JSON was expected"));
    }
    strict::from_json(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        // The position moves to the front, where the YAML reader has it too.
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        Rejection::new(code, format_args!("line {line}, column {column}: {what}"))
    })
}

pub(super) fn body<T>(value: &Value, read: impl FnOnce(&Node<'_>, &Report) -> Option<T>) -> Result<T, Rejection> {
    let report = Report::new();
    if !value.is_object() {
        return Err(Rejection::field(Code::InvalidParameter, "", "the body must be a mapping"));
    }
    match read(&Node::root(value), &report) {
        Some(value) if report.is_clean() => Ok(value),
        _ => Err(Rejection::fields(Code::InvalidParameter, report.into_complaints())),
    }
}

/// The body of the suspend verb.
///
/// # Errors
/// Everything that is wrong with it.
pub fn suspension(value: &Value) -> Result<Suspension, Rejection> {
    body(value, tenant::suspension)
}

/// The body of the rollback verb: the version to go back to.
///
/// # Errors
/// Everything that is wrong with it.
pub fn rollback(value: &Value) -> Result<i64, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let to = object.required("to").and_then(|node| node.integer(report, 1, i64::MAX as u64));
        object.finish();
        i64::try_from(to?).ok()
    })
}

/// The body that asks for a credential: its reference.
///
/// # Errors
/// Everything that is wrong with it.
pub fn credential(value: &Value) -> Result<String, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let reference = object.required("secretRef").and_then(|node| node.line(report, 200));
        object.finish();
        reference
    })
}

/// Checks the frame of a tenant's merge patch: what may be patched is `metadata.labels` and `spec`.
///
/// # Errors
/// Everything that is wrong with the frame; the merged result is checked as a manifest afterwards.
pub fn patch(value: &Value) -> Result<(), Rejection> {
    let report = Report::new();
    if let Some(object) = Node::root(value).object(&report) {
        if let Some(metadata) = object.get("metadata").and_then(|node| node.object(&report)) {
            // `null` removes all labels, hence no look at the value.
            metadata.get("labels");
            metadata.finish();
        }
        if let Some(spec) = object.get("spec") {
            spec.mapping(&report);
        }
        for name in ["metadata", "spec"] {
            if object.mentions(name) && value.get(name).is_some_and(Value::is_null) {
                report.add(name, "cannot be removed as a whole");
            }
        }
        object.finish();
    }
    if report.is_clean() { Ok(()) } else { Err(Rejection::fields(Code::InvalidManifest, report.into_complaints())) }
}
