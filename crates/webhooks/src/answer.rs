//! What came of an attempt, and what it means. Pure.

use std::time::Duration;

use crate::schedule::LONGEST_WISH;

/// Why there was no answer. The word is what logs, metrics and users see; details stay inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The URL is not acceptable any more.
    Target,
    /// The name has no address.
    Name,
    /// No address of it is on the public internet.
    Forbidden,
    /// Nobody accepts connections there, or not in time.
    Connect,
    /// No TLS could be agreed on, or the certificate is not good for the host.
    Tls,
    /// The answer did not come in time.
    Timeout,
    /// The connection broke.
    Broken,
    /// What came back is no answer of HTTP, or its head is too large.
    Malformed,
    /// The message could not be written: a defect of ours.
    Message,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Target,
        Self::Name,
        Self::Forbidden,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Broken,
        Self::Malformed,
        Self::Message,
    ];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Name => "name",
            Self::Forbidden => "forbidden",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Malformed => "malformed",
            Self::Message => "message",
        }
    }
}

/// An answer, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status of HTTP, or what went wrong.
    pub status: Result<u16, Fault>,
    /// How long to wait, if the receiver said so; a day at most.
    pub retry_after: Option<Duration>,
    /// The beginning of what it said, without secrets; empty for nothing.
    pub excerpt: String,
    /// From the first packet, or the name, to the end.
    pub took: Duration,
}

/// What an attempt means for the delivery and for the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken.
    Delivered,
    /// It failed; the delivery is tried again.
    Failed,
    /// It failed, and the endpoint wants to be left alone for a while.
    Throttled(Option<Duration>),
    /// The endpoint wants nothing more, ever.
    Gone,
    /// The endpoint is where nothing may be sent; trying again does not help.
    Refused,
}

/// Judges an answer. Only 2xx is success; a redirect is a failure, for nobody vetted where it leads.
#[must_use]
pub const fn judge(answer: &Answer) -> Verdict {
    match answer.status {
        Ok(200..=299) => Verdict::Delivered,
        Ok(410) => Verdict::Gone,
        Ok(429 | 502 | 503 | 504) => Verdict::Throttled(answer.retry_after),
        Err(Fault::Target) => Verdict::Refused,
        Ok(_) | Err(_) => Verdict::Failed,
    }
}

/// Reads `Retry-After` in seconds (RFC 9110, section 10.2.3). The other form, a date, needs a clock that agrees with the
/// receiver's and is taken as no wish.
#[must_use]
pub fn retry_after(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text.is_empty() || text.len() > 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().map(|seconds| Duration::from_secs(seconds).min(LONGEST_WISH))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: Result<u16, Fault>) -> Verdict {
        let retry_after = Some(Duration::from_secs(9));
        judge(&Answer { status, retry_after, excerpt: String::new(), took: Duration::ZERO })
    }

    #[test]
    fn only_two_hundreds_are_success() {
        for status in 100..600 {
            let expected = match status {
                200..=299 => Verdict::Delivered,
                410 => Verdict::Gone,
                429 | 502 | 503 | 504 => Verdict::Throttled(Some(Duration::from_secs(9))),
                _ => Verdict::Failed,
            };
            assert_eq!(verdict(Ok(status)), expected, "{status}");
        }
        for fault in Fault::ALL {
            let expected = if fault == Fault::Target { Verdict::Refused } else { Verdict::Failed };
            assert_eq!(verdict(Err(fault)), expected, "{fault:?}");
        }
    }

    #[test]
    fn a_wish_is_seconds_and_a_day_at_most() {
        assert_eq!(retry_after(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("9999999999"), Some(LONGEST_WISH));
        for wrong in ["", "-1", "1.5", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "99999999999"] {
            assert_eq!(retry_after(wrong), None, "{wrong}");
        }
    }
}
