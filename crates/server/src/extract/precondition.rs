//! `If-Match`: which version a change builds on.

use axum::extract::FromRequestParts;
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use tenantry_control::tenants::Expected;
use tenantry_domain::code::Code;

use crate::State;
use crate::problem::{Failure, Result};

/// The header's version; a request without it is refused.
#[derive(Debug, Clone, Copy)]
pub struct IfMatch(pub Expected);

impl FromRequestParts<State> for IfMatch {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self> {
        let mut given = parts.headers.get_all(IF_MATCH).iter();
        let Some(header) = given.next() else {
            return Err(Failure::field(Code::VersionRequired, "If-Match", "is required"));
        };
        let parsed = if given.next().is_some() { None } else { header.to_str().ok().and_then(parse) };
        parsed.map(Self).ok_or_else(|| {
            let message =
                "must be one ETag as it was given, such as `\"v7\"`, or `*`; weak tags and lists are not taken";
            Failure::field(Code::InvalidParameter, "If-Match", message)
        })
    }
}

fn parse(text: &str) -> Option<Expected> {
    let text = text.trim();
    if text == "*" {
        return Some(Expected::Any);
    }
    let digits = text.strip_prefix("\"v")?.strip_suffix('"')?;
    if digits.is_empty() || digits.len() > 18 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Expected::Version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strong_tags_of_ours_are_taken() {
        assert_eq!(parse("*"), Some(Expected::Any));
        assert_eq!(parse("\"v7\""), Some(Expected::Version(7)));
        for bad in [
            "",
            "v7",
            "7",
            "\"7\"",
            "W/\"v7\"",
            "\"v7\", \"v8\"",
            "\"v-7\"",
            "\"v+7\"",
            "\"v\"",
            "\"v99999999999999999999\"",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
