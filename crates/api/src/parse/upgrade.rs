//! The body that moves tenants of a plan to one of its versions.

use serde_json::Value;
use tenantry_domain::id::TenantId;

use super::read::{Node, Report};
use super::request::body;
use crate::problem::Rejection;

/// Most tenants that one request names.
const MOST_TENANTS: usize = 50;

/// Which tenants are to have which version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeBody {
    /// The version; absent for the newest.
    pub to: Option<i64>,
    /// Only those that have this one.
    pub from: Option<i64>,
    /// The share in percent; 100 unless given.
    pub share: u8,
    /// Names and ids, instead of the share.
    pub tenants: Option<Vec<String>>,
    /// Where the call before ended.
    pub after: Option<TenantId>,
    /// Whether it is only looked at.
    pub dry_run: bool,
}

/// Reads it.
///
/// # Errors
/// Everything that is wrong with it.
pub fn upgrade(value: &Value) -> Result<UpgradeBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let to = object.optional("to", |node| number(node, report));
        let from = object.optional("from", |node| number(node, report));
        let share =
            object.optional("share", |node| node.integer(report, 0, 100).and_then(|share| u8::try_from(share).ok()));
        let tenants = object.optional("tenants", |node| {
            let tenants = node.list(report, MOST_TENANTS, |node| node.line(report, 40))?;
            if tenants.is_empty() {
                node.complain(report, "must name at least one tenant");
                return None;
            }
            Some(tenants)
        });
        let after = object.optional("after", |node| node.parse::<TenantId>(report));
        let dry_run = object.or("dryRun", false, |node| node.boolean(report));
        object.finish();
        let (share, tenants, after) = (share?, tenants?, after?);
        if tenants.is_some() && share.is_some() {
            report.add("share", "does not go with `tenants`");
        }
        if tenants.is_some() && after.is_some() {
            report.add("after", "does not go with `tenants`");
        }
        Some(UpgradeBody { to: to?, from: from?, share: share.unwrap_or(100), tenants, after, dry_run: dry_run? })
    })
}

fn number(node: &Node<'_>, report: &Report) -> Option<i64> {
    node.integer(report, 1, 1 << 53).and_then(|number| i64::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_upgrade_is_read_and_everything_wrong_is_told() {
        let all = upgrade(&json!({})).unwrap();
        assert_eq!((all.share, all.to, all.dry_run), (100, None, false));
        let some = upgrade(&json!({ "to": 2, "from": 3, "share": 10, "dryRun": true })).unwrap();
        assert_eq!((some.share, some.to, some.from, some.dry_run), (10, Some(2), Some(3), true));
        let named = upgrade(&json!({ "tenants": ["acme"] })).unwrap();
        assert_eq!(named.tenants.unwrap(), ["acme"]);
        let fields = |value: Value| {
            let errors = upgrade(&value).unwrap_err().errors;
            errors.into_iter().map(|error| error.field).collect::<Vec<_>>()
        };
        assert_eq!(fields(json!({ "to": 0, "share": 101, "after": "x", "more": 1 })), ["to", "share", "after", "more"]);
        assert_eq!(fields(json!({ "tenants": [] })), ["tenants"]);
        let after = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c";
        assert_eq!(fields(json!({ "tenants": ["acme"], "share": 5, "after": after })), ["share", "after"]);
    }
}
