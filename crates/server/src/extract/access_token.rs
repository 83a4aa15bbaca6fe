//! The access token of the request that is asked about, as whoever asks hands it on.
//!
//! `Authorization` holds the token of the one who asks; so that of its client travels in a header of its own. It never
//! stands in a query, which ends up in logs.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use tenantry_domain::code::Code;

use crate::State;
use crate::problem::{Failure, Result};

/// The header. Its value is that of the client's `Authorization`.
pub const HEADER: &str = "x-original-authorization";

/// The token, if there is one. Nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken(pub Option<String>);

impl AccessToken {
    /// Reads the header. Absent, empty or of another scheme than `Bearer` (RFC 6750) is no access token.
    ///
    /// # Errors
    /// It is given twice or is no text.
    pub fn of(headers: &HeaderMap) -> Result<Self> {
        let mut given = headers.get_all(HEADER).iter();
        let text = match (given.next(), given.next()) {
            (None, _) => return Ok(Self(None)),
            (Some(value), None) => value.to_str().map_err(|_| malformed("is not text"))?,
            (Some(_), Some(_)) => return Err(malformed("is given twice")),
        };
        let (scheme, token) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        Ok(Self(scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())))
    }
}

impl FromRequestParts<State> for AccessToken {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self> {
        Self::of(&parts.headers)
    }
}

fn malformed(message: &str) -> Failure {
    Failure::field(Code::MalformedRequest, HEADER, message)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(values: &[&[u8]]) -> std::result::Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value).unwrap());
        }
        AccessToken::of(&headers).map(|token| token.0).map_err(|failure| failure.problem.code.clone())
    }

    #[test]
    fn only_bearer_is_an_access_token() {
        assert_eq!(of(&[]), Ok(None));
        for none in [&b""[..], b" ", b"Basic YTpi", b"Bearers a.b.c", b"DPoP a.b.c"] {
            assert_eq!(of(&[none]), Ok(None), "{none:?}");
        }
        for some in [&b"Bearer a.b.c"[..], b"bearer a.b.c", b" BEARER  a.b.c "] {
            assert_eq!(of(&[some]), Ok(Some("a.b.c".into())), "{some:?}");
        }
        assert_eq!(of(&[b"Bearer"]), Ok(Some(String::new())), "says that it has one, and has none: refused later");
    }

    #[test]
    fn what_has_two_meanings_is_refused() {
        assert_eq!(of(&[b"Bearer a.b.c", b"Bearer d.e.f"]), Err("TEN-0042".into()));
        assert_eq!(of(&[b"Bearer a.b.c", b""]), Err("TEN-0042".into()));
        assert_eq!(of(&[b"Bearer \xff"]), Err("TEN-0042".into()));
    }
}
