//! What callers are told of their rates: the fields `RateLimit-Policy` and `RateLimit` of
//! draft-ietf-httpapi-ratelimit-headers-10, and `Retry-After` (RFC 9110, section 10.2.3).
//!
//! The draft's earlier revisions wrote the names of policies without quotes; since revision 8 they are strings.

use std::fmt::Write as _;
use std::time::Duration;

use super::rate::{Limit, Verdict};

/// One rate that a request was judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// Its name: letters, digits and `-`.
    pub policy: &'static str,
    /// The rate.
    pub limit: Limit,
    /// What it said.
    pub verdict: Verdict,
}

/// `"principal";q=200;w=2`: what is allowed, the same for every request of the caller.
#[must_use]
pub fn policy(judged: &[Judged]) -> String {
    listed(judged, |out, one| write!(out, ";q={};w={}", one.limit.burst(), one.limit.window()))
}

/// `"principal";r=50;t=2`: how many more may come now, and in how many seconds all of them may again.
#[must_use]
pub fn rates(judged: &[Judged]) -> String {
    listed(judged, |out, one| write!(out, ";r={};t={}", one.verdict.remaining, seconds(one.verdict.reset)))
}

fn listed(judged: &[Judged], parameters: impl Fn(&mut String, &Judged) -> std::fmt::Result) -> String {
    let mut out = String::new();
    for one in judged {
        let comma = if out.is_empty() { "" } else { ", " };
        // Writing to a text cannot fail.
        let _ = write!(out, "{comma}\"{}\"", one.policy);
        let _ = parameters(&mut out, one);
    }
    out
}

/// Whole seconds, never fewer than it takes.
#[must_use]
pub fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The longest that callers are scattered by, in seconds.
const SCATTER: u64 = 30;

/// `Retry-After`: no sooner than the rate allows, and up to a quarter later, so that callers who were turned away together
/// do not come back together. `random` is any number.
#[must_use]
pub fn retry_after(wait: Duration, random: u64) -> u64 {
    let least = seconds(wait).max(1);
    least + random % (least.div_ceil(4).min(SCATTER) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::Quantity;

    #[test]
    fn fields_have_the_drafts_form() {
        let limit = |text: &str| Limit::of_quantity(Quantity::parse_rate(text).unwrap()).unwrap();
        let (first, second) = (limit("100/min"), limit("2/h"));
        let judged = [
            Judged { policy: "principal", limit: first, verdict: first.take(None, 0, 50).1 },
            Judged { policy: "tenant", limit: second, verdict: second.take(None, 0, 2).1 },
        ];
        assert_eq!(policy(&judged), "\"principal\";q=100;w=60, \"tenant\";q=2;w=3600");
        assert_eq!(rates(&judged), "\"principal\";r=50;t=30, \"tenant\";r=0;t=3600");
        assert_eq!(policy(&[]), "");
    }

    #[test]
    fn nobody_is_told_to_come_too_soon() {
        for (millis, least, most) in
            [(0, 1, 2), (1, 1, 2), (1_000, 1, 2), (1_001, 2, 3), (40_000, 40, 50), (4_000_000, 4_000, 4_030)]
        {
            let told: Vec<u64> = (0..64).map(|random| retry_after(Duration::from_millis(millis), random)).collect();
            assert_eq!((told.iter().min(), told.iter().max()), (Some(&least), Some(&most)), "{millis}");
        }
    }
}
