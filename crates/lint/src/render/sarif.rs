//! SARIF 2.1.0, which code hosts show beside the changed lines.
//!
//! INVARIANT: every result names a rule of the same document; columns count characters, as `columnKind` says.

use serde_json::{Value, json};

use crate::finding::{Allowed, Finding, Location, Report};
use crate::rule::{self, Severity};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The report as a SARIF log.
///
/// # Errors
/// Never for a report of this crate; a program has to handle it all the same.
pub fn sarif(report: &Report) -> Result<String, serde_json::Error> {
    let rules: Vec<Value> = rule::all()
        .map(|rule| {
            json!({
                "id": rule.id,
                "shortDescription": { "text": rule.title },
                "fullDescription": { "text": rule.explanation },
                "defaultConfiguration": { "level": rule.severity.word() },
                "properties": { "tiers": rule.tiers, "bad": rule.bad, "good": rule.good },
            })
        })
        .collect();
    let mut results: Vec<Value> = report.findings.iter().map(result).collect();
    results.extend(report.allowed.iter().map(suppressed));
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "tenantry lint",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    serde_json::to_string_pretty(&log)
}

fn result(finding: &Finding) -> Value {
    let index = rule::all().position(|rule| rule.id == finding.rule.id);
    let mut message = finding.message.clone();
    for note in &finding.notes {
        message = format!("{message}; line {}: {}", note.location.line, note.message);
    }
    let related: Vec<Value> = finding
        .notes
        .iter()
        .enumerate()
        .map(|(id, note)| {
            let mut place = location(&note.location, None);
            place["id"] = json!(id + 1);
            place["message"] = json!({ "text": note.message });
            place
        })
        .collect();
    let mut value = json!({
        "ruleId": finding.rule.id,
        "ruleIndex": index,
        "level": level(finding.severity),
        "message": { "text": message },
        "locations": [location(&finding.location, Some(&finding.snippet.text))],
        "relatedLocations": related,
        "properties": { "table": finding.table, "origin": finding.origin },
    });
    if !finding.fingerprint.is_empty() {
        value["partialFingerprints"] = json!({ "pgQuery/v1": format!("{}:{}", finding.rule.id, finding.fingerprint) });
    }
    value
}

fn suppressed(allowed: &Allowed) -> Value {
    let mut value = result(&allowed.finding);
    value["suppressions"] = json!([{ "kind": "external", "justification": allowed.reason }]);
    value
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn location(location: &Location, snippet: Option<&str>) -> Value {
    let mut region = json!({
        "startLine": location.line,
        "startColumn": location.column,
        "endLine": location.end_line,
        "endColumn": location.end_column.max(1),
    });
    if let Some(text) = snippet {
        region["snippet"] = json!({ "text": text });
    }
    json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(&location.input) },
            "region": region,
        }
    })
}

/// A path as the relative reference that SARIF wants.
fn uri(path: &str) -> String {
    let mut text = String::new();
    for byte in path.strip_prefix("./").unwrap_or(path).bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' | b'~' => text.push(char::from(byte)),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_references() {
        assert_eq!(uri("./a b/ö.sql"), "a%20b/%C3%B6.sql");
    }
}
