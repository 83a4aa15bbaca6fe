//! Bodies of requests about emergency access.

use serde_json::Value;
use tenantry_domain::gateway::Access;
use tenantry_domain::policy::grant;

use super::request::body;
use crate::problem::Rejection;

/// Minutes unless the request says otherwise.
const USUAL_MINUTES: u32 = 30;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessBody {
    /// Why.
    pub reason: String,
    /// Where that is discussed.
    pub ticket: Option<String>,
    /// Whether it is to write, too.
    pub access: Access,
    /// For how long.
    pub minutes: u32,
}

/// The body that asks for access.
///
/// # Errors
/// Everything that is wrong with it.
pub fn access(value: &Value) -> Result<AccessBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let reason = object.required("reason").and_then(|node| node.line(report, 1000));
        let ticket = object.optional("ticket", |node| node.line(report, 200));
        let words = Access::ALL.iter().map(|one| (one.as_str(), *one)).collect::<Vec<_>>();
        let access = object.or("access", Access::ReadOnly, |node| node.word(report, &words));
        let minutes =
            object.or("minutes", u64::from(USUAL_MINUTES), |node| node.integer(report, 1, u64::from(grant::LONGEST)));
        object.finish();
        Some(AccessBody {
            reason: reason?,
            ticket: ticket?,
            access: access?,
            minutes: minutes.and_then(|minutes| u32::try_from(minutes).ok())?,
        })
    })
}

/// The body that says what somebody found.
///
/// # Errors
/// Everything that is wrong with it.
pub fn review(value: &Value) -> Result<String, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let review = object.required("review").and_then(|node| node.line(report, 1000));
        object.finish();
        review
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn access_is_to_read_unless_it_says_so() {
        let read = access(&json!({ "reason": "Invoice 4711 is wrong" })).unwrap();
        assert_eq!((read.access, read.minutes, read.ticket), (Access::ReadOnly, 30, None));
        let wrong = json!({ "reason": 7, "access": "all", "minutes": 61, "approver": "me" });
        let fields: Vec<_> = access(&wrong).unwrap_err().errors.into_iter().map(|error| error.field).collect();
        assert_eq!(fields, ["reason", "access", "minutes", "approver"]);
        assert!(review(&json!({})).is_err());
    }
}
