//! The body that gives an approval.

use jiff::SignedDuration;
use serde_json::Value;

use super::bounds::parse_duration;
use super::request::body;
use crate::problem::Rejection;

/// What is to be approved. The tenant is a text here: who that is, the registry knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalBody {
    /// What may be done.
    pub action: String,
    /// To which tenant, by name or id.
    pub tenant: Option<String>,
    /// The version of it that was looked at.
    pub tenant_version: Option<i64>,
    /// Which principal may do it.
    pub holder: String,
    /// Why.
    pub reason: String,
    /// For how long.
    pub lasts: SignedDuration,
}

/// The body that gives an approval.
///
/// # Errors
/// Everything that is wrong with it.
pub fn approval(value: &Value) -> Result<ApprovalBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let action = object.required("action").and_then(|node| node.line(report, 100));
        let tenant = object.optional("tenant", |node| node.line(report, 40));
        let version = object.optional("tenantVersion", |node| node.integer(report, 1, u64::from(u32::MAX)));
        let holder = object.required("holder").and_then(|node| node.line(report, 200));
        let reason = object.required("reason").and_then(|node| node.line(report, 1000));
        let hour = SignedDuration::from_hours(1);
        let lasts = object.or("expiresIn", hour, |node| node.check(report, parse_duration));
        object.finish();
        Some(ApprovalBody {
            action: action?,
            tenant: tenant?,
            tenant_version: version?.and_then(|version| i64::try_from(version).ok()),
            holder: holder?,
            reason: reason?,
            lasts: lasts?,
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_approval_lasts_an_hour_unless_it_says_so() {
        let good =
            json!({ "action": "tenant.delete", "tenant": "acme", "holder": "operator:tok_1", "reason": "ticket 815" });
        let read = approval(&good).unwrap();
        assert_eq!((read.lasts, read.tenant.as_deref()), (SignedDuration::from_hours(1), Some("acme")));
        let wrong = json!({ "action": 1, "reason": "", "expiresIn": "soon", "person": "me" });
        let fields: Vec<_> = approval(&wrong).unwrap_err().errors.into_iter().map(|error| error.field).collect();
        assert_eq!(fields, ["action", "holder", "reason", "expiresIn", "person"]);
    }
}
