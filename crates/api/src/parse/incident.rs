//! Bodies of requests about incidents.

use serde_json::Value;
use tenantry_domain::incident::{self, Phase, Severity};
use tenantry_domain::name::CellName;

use super::read::{Node, Report};
use super::request::body;
use crate::problem::Rejection;

/// Whom an incident is to concern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhomBody {
    /// A tenant, by name or id.
    Tenant(String),
    /// The tenants of a cell.
    Cell(CellName),
    /// All.
    All,
}

/// An incident that is to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentBody {
    /// Whom it concerns.
    pub whom: WhomBody,
    /// How bad it is.
    pub severity: Severity,
    /// In a line.
    pub title: String,
    /// How far it is.
    pub phase: Phase,
    /// What is known.
    pub message: String,
}

/// What is to be said of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentUpdateBody {
    /// How far it is.
    pub phase: Phase,
    /// What is known.
    pub message: String,
}

fn phase(node: &Node<'_>, report: &Report) -> Option<Phase> {
    node.word(report, &Phase::ALL.map(|phase| (phase.as_str(), phase)))
}

fn message(node: &Node<'_>, report: &Report) -> Option<String> {
    node.check(report, |text| incident::check_message(text).map(|()| text.to_owned()))
}

/// Who is concerned; nothing unless exactly one way is given.
fn whom(tenant: Option<String>, cell: Option<CellName>, is_all: bool) -> Option<WhomBody> {
    match (tenant, cell, is_all) {
        (Some(tenant), None, false) => Some(WhomBody::Tenant(tenant)),
        (None, Some(cell), false) => Some(WhomBody::Cell(cell)),
        (None, None, true) => Some(WhomBody::All),
        _ => None,
    }
}

/// The body that opens an incident.
///
/// # Errors
/// Everything that is wrong with it.
pub fn incident(value: &Value) -> Result<IncidentBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let tenant = object.optional("tenant", |node| node.line(report, 40));
        let cell = object.optional("cell", |node| node.parse::<CellName>(report));
        let all = object.optional("all", |node| node.boolean(report));
        let severity = object
            .required("severity")
            .and_then(|node| node.word(report, &Severity::ALL.map(|severity| (severity.as_str(), severity))));
        let title = object
            .required("title")
            .and_then(|node| node.check(report, |text| incident::check_title(text).map(|()| text.to_owned())));
        let phase = object.or("phase", Phase::Investigating, |node| phase(node, report));
        let message = object.required("message").and_then(|node| message(&node, report));
        // What is wrong with one of them was said.
        let given = tenant.zip(cell).zip(all);
        let whom = given.and_then(|((tenant, cell), all)| {
            let whom = whom(tenant, cell, all == Some(true));
            if whom.is_none() {
                report.add(object.field("tenant"), "give exactly one of `tenant`, `cell` and `all: true`");
            }
            whom
        });
        object.finish();
        Some(IncidentBody { whom: whom?, severity: severity?, title: title?, phase: phase?, message: message? })
    })
}

/// The body that says what is new.
///
/// # Errors
/// Everything that is wrong with it.
pub fn incident_update(value: &Value) -> Result<IncidentUpdateBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let phase = object.required("phase").and_then(|node| phase(&node, report));
        let message = object.required("message").and_then(|node| message(&node, report));
        object.finish();
        Some(IncidentUpdateBody { phase: phase?, message: message? })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use serde_json::json;

    use super::*;

    #[test]
    fn exactly_one_is_concerned() {
        let with = |mut whom: Value| {
            whom["severity"] = json!("major");
            whom["title"] = json!("Logins fail");
            whom["message"] = json!("About half.\nWe look.");
            incident(&whom).map(|found| (found.whom, found.phase))
        };
        assert_eq!(
            with(json!({ "tenant": "acme" })).unwrap(),
            (WhomBody::Tenant("acme".to_owned()), Phase::Investigating)
        );
        assert!(matches!(with(json!({ "cell": "eu-1" })).unwrap().0, WhomBody::Cell(_)));
        assert_eq!(with(json!({ "all": true })).unwrap().0, WhomBody::All);
        for wrong in [
            json!({}),
            json!({ "all": false }),
            json!({ "tenant": "a", "cell": "b" }),
            json!({ "cell": "b", "all": true }),
        ] {
            let errors = with(wrong.clone()).unwrap_err().errors;
            assert_eq!(errors[0].field, "tenant", "{wrong}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let wrong = json!({ "all": true, "severity": "huge", "title": "a\nb", "phase": "over", "message": "", "x": 1 });
        let fields: Vec<_> = incident(&wrong).unwrap_err().errors.into_iter().map(|error| error.field).collect();
        assert_eq!(fields, ["severity", "title", "phase", "message", "x"]);
        assert!(incident_update(&json!({ "phase": "resolved" })).is_err());
        assert!(incident_update(&json!({ "phase": "resolved", "message": "Over." })).is_ok());
    }
}
