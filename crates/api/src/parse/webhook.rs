//! Bodies of requests about webhooks.

use jiff::SignedDuration;
use serde_json::Value;
use tenantry_domain::Timestamp;
use tenantry_domain::id::EventId;
use tenantry_domain::name::RegionName;
use tenantry_domain::webhook::{Cause, Pattern, Scheme, Terms};

use super::bounds::{self, parse_duration};
use super::read::{Node, Object, Report};
use super::request::body;
use crate::problem::Rejection;

/// The longest URL, in characters; how it has to look is looked at by whoever sends there.
const LONGEST_URL: usize = 2048;
/// Events that one request names.
const MOST_EVENTS: usize = 1000;

/// A wanted endpoint. Tenants are texts here: who they are, the registry knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookBody {
    /// Its URL.
    pub url: String,
    /// Whose it is to be; absent for the environment's.
    pub tenant: Option<String>,
    /// What it wants, without the tenants.
    pub terms: Terms,
    /// Only events of these tenants.
    pub only: Option<Vec<String>>,
    /// How deliveries are signed.
    pub scheme: Scheme,
}

/// A wanted change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookChangeBody {
    /// Another URL.
    pub url: Option<String>,
    /// Another description.
    pub description: Option<String>,
    /// Other types.
    pub types: Option<Vec<Pattern>>,
    /// Other tenants.
    pub only: Option<Vec<String>>,
    /// Whether in order.
    pub fifo: Option<bool>,
    /// Another bound on attempts a second.
    pub rate: Option<u32>,
    /// Another bound on requests at a time.
    pub concurrency: Option<u16>,
    /// Where the receiver is.
    pub region: Option<RegionName>,
}

/// Dead letters that are to be sent again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedriveBody {
    /// These events.
    pub events: Vec<EventId>,
    /// Of these types.
    pub types: Vec<Pattern>,
    /// Given up for this reason.
    pub cause: Option<Cause>,
    /// Given up from this moment on.
    pub since: Option<Timestamp>,
    /// Given up before this moment.
    pub until: Option<Timestamp>,
}

/// Events that are to be sent again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayBody {
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Behind this number.
    pub after: Option<i64>,
    /// From this moment on.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// Of these types.
    pub types: Vec<Pattern>,
}

fn url(node: &Node<'_>, report: &Report) -> Option<String> {
    node.line(report, LONGEST_URL)
}

fn types(node: &Node<'_>, report: &Report) -> Option<Vec<Pattern>> {
    node.list(report, Terms::MOST_TYPES, |node| node.check(report, Pattern::parse))
}

fn tenants(node: &Node<'_>, report: &Report) -> Option<Vec<String>> {
    node.list(report, Terms::MOST_TENANTS, |node| node.line(report, 40))
}

fn bound(object: &Object<'_, '_>, report: &Report, field: &'static str, least: u64, most: u64) -> Option<Option<u32>> {
    let number = object.optional(field, |node| node.integer(report, least, most))?;
    Some(number.and_then(|number| u32::try_from(number).ok()))
}

/// The body that asks for an endpoint.
///
/// # Errors
/// Everything that is wrong with it.
pub fn webhook(value: &Value) -> Result<WebhookBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let url = object.required("url").and_then(|node| url(&node, report));
        let tenant = object.optional("tenant", |node| node.line(report, 40));
        let description = object.optional("description", |node| node.line(report, Terms::LONGEST_DESCRIPTION));
        let types = object.optional("types", |node| types(node, report));
        let only = object.optional("only", |node| tenants(node, report));
        let fifo = object.or("fifo", false, |node| node.boolean(report));
        let rate = bound(&object, report, "rate", 1, u64::from(Terms::MOST_RATE));
        let concurrency = bound(&object, report, "concurrency", 1, u64::from(Terms::MOST_CONCURRENCY));
        let region = object.optional("region", |node| node.parse::<RegionName>(report));
        let words: Vec<(&str, Scheme)> = Scheme::ALL.iter().map(|scheme| (scheme.as_str(), *scheme)).collect();
        let scheme = object.or("scheme", Scheme::Hmac, |node| node.word(report, &words));
        object.finish();
        let concurrency = concurrency?.and_then(|most| u16::try_from(most).ok());
        Some(WebhookBody {
            url: url?,
            tenant: tenant?,
            terms: Terms {
                description: description?,
                types: types?.unwrap_or_default(),
                only: None,
                fifo: fifo?,
                rate: rate?,
                concurrency: concurrency.unwrap_or(Terms::CONCURRENCY),
                region: region?,
            },
            only: only?,
            scheme: scheme?,
        })
    })
}

/// The body that changes an endpoint.
///
/// # Errors
/// Everything that is wrong with it.
pub fn webhook_change(value: &Value) -> Result<WebhookChangeBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let url = object.optional("url", |node| url(node, report));
        let description = object.optional("description", |node| node.text(report).map(ToOwned::to_owned));
        let types = object.optional("types", |node| types(node, report));
        let only = object.optional("only", |node| tenants(node, report));
        let fifo = object.optional("fifo", |node| node.boolean(report));
        let rate = bound(&object, report, "rate", 0, u64::from(Terms::MOST_RATE));
        let concurrency = bound(&object, report, "concurrency", 1, u64::from(Terms::MOST_CONCURRENCY));
        let region = object.optional("region", |node| node.parse::<RegionName>(report));
        object.finish();
        Some(WebhookChangeBody {
            url: url?,
            description: description?,
            types: types?,
            only: only?,
            fifo: fifo?,
            rate: rate?,
            concurrency: concurrency?.and_then(|most| u16::try_from(most).ok()),
            region: region?,
        })
    })
}

/// The body that asks for another secret.
///
/// # Errors
/// Everything that is wrong with it.
pub fn webhook_rotation(value: &Value) -> Result<Option<SignedDuration>, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let overlap = object.optional("overlap", |node| node.check(report, parse_duration));
        object.finish();
        overlap
    })
}

/// The body that sends dead letters again.
///
/// # Errors
/// Everything that is wrong with it.
pub fn redrive(value: &Value) -> Result<RedriveBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let events = object.optional("events", |node| {
            node.list(report, MOST_EVENTS, |node| node.check(report, |text| text.parse::<EventId>()))
        });
        let types = object.optional("types", |node| types(node, report));
        let words: Vec<(&str, Cause)> = Cause::ALL.iter().map(|cause| (cause.as_str(), *cause)).collect();
        let cause = object.optional("cause", |node| node.word(report, &words));
        let since = object.optional("since", |node| bounds::time(node, report));
        let until = object.optional("until", |node| bounds::time(node, report));
        // An empty list would mean everything, which is seldom what somebody meant who names some.
        let is_empty = [
            ("events", events.as_ref().is_some_and(|some| some.as_ref().is_some_and(Vec::is_empty))),
            ("types", types.as_ref().is_some_and(|some| some.as_ref().is_some_and(Vec::is_empty))),
        ];
        for (field, _) in is_empty.into_iter().filter(|(_, is_empty)| *is_empty) {
            report.add(object.field(field), "must name one at least; leave it out for any");
        }
        object.finish();
        Some(RedriveBody {
            events: events?.unwrap_or_default(),
            types: types?.unwrap_or_default(),
            cause: cause?,
            since: since?,
            until: until?,
        })
    })
}

/// The body that sends events again.
///
/// # Errors
/// Everything that is wrong with it.
pub fn replay(value: &Value) -> Result<ReplayBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let tenant = object.optional("tenant", |node| node.line(report, 40));
        let after = object.optional("after", |node| node.integer(report, 0, i64::MAX as u64));
        let since = object.optional("since", |node| bounds::time(node, report));
        let until = object.optional("until", |node| bounds::time(node, report));
        let types = object.optional("types", |node| types(node, report));
        object.finish();
        Some(ReplayBody {
            tenant: tenant?,
            after: after?.and_then(|after| i64::try_from(after).ok()),
            since: since?,
            until: until?,
            types: types?.unwrap_or_default(),
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints<T: std::fmt::Debug>(read: Result<T, Rejection>) -> Vec<String> {
        read.unwrap_err().errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn an_endpoint_has_defaults_that_any_receiver_can_live_with() {
        let read = webhook(&json!({ "url": "https://hooks.acme.example/x" })).unwrap();
        assert_eq!((read.terms, read.scheme, read.tenant), (Terms::default(), Scheme::Hmac, None));
        let all = webhook(&json!({
            "url": "https://x.example", "tenant": "acme", "description": "CRM", "types": ["tenant.*"], "fifo": true,
            "rate": 10, "concurrency": 2, "scheme": "ed25519"
        }))
        .unwrap();
        assert_eq!((all.terms.fifo, all.terms.rate, all.terms.concurrency), (true, Some(10), 2));
        assert_eq!(all.scheme, Scheme::Ed25519);
    }

    #[test]
    fn everything_that_is_wrong_is_told() {
        let wrong = json!({
            "url": 7, "tenant": "", "types": ["tenant"], "only": [1], "fifo": "yes", "rate": 0, "concurrency": 65,
            "region": "EU", "scheme": "rsa", "secret": "x"
        });
        let fields =
            ["url", "tenant", "types[0]", "only[0]", "fifo", "rate", "concurrency", "region", "scheme", "secret"];
        assert_eq!(complaints(webhook(&wrong)), fields);
        assert_eq!(complaints(webhook(&json!({}))), ["url"]);
        assert_eq!(complaints(webhook_rotation(&json!({ "overlap": "soon", "x": 1 }))), ["overlap", "x"]);
        assert_eq!(complaints(redrive(&json!({ "events": [], "cause": "x" }))), ["cause", "events"]);
        assert_eq!(complaints(redrive(&json!({ "events": [] }))), ["events"]);
        assert_eq!(complaints(redrive(&json!({ "events": ["ten_x"] }))), ["events[0]"]);
        assert_eq!(complaints(replay(&json!({ "after": -1, "since": "soon" }))), ["after", "since"]);
    }

    #[test]
    fn a_change_says_what_it_changes_only() {
        assert_eq!(webhook_change(&json!({})).unwrap(), WebhookChangeBody::default());
        let change = webhook_change(&json!({ "rate": 0, "types": [], "only": [], "description": "" })).unwrap();
        assert_eq!((change.rate, change.types, change.only), (Some(0), Some(vec![]), Some(vec![])));
        assert_eq!(change.description.as_deref(), Some(""));
    }
}
