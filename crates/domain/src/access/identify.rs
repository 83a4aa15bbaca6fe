//! From what a request says to one tenant, or to a refusal.
//!
//! INVARIANT: no source has precedence. All that a request names must be one tenant; two that differ are a refusal.

use std::collections::BTreeMap;
use std::fmt;

use crate::access::host::{BaseDomain, Below, Host, HostError};
use crate::id::TenantId;
use crate::tenant::Slug;

/// Where a request names its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The host that it was sent to.
    Host,
    /// The path, `/t/<slug>/…`.
    Path,
    /// `X-Tenant-ID` of an authenticated peer.
    Header,
    /// A claim of a verified access token.
    Token,
}

impl Source {
    /// All of them, in the order of their names in documents.
    pub const ALL: [Self; 4] = [Self::Host, Self::Path, Self::Header, Self::Token];

    /// The word used in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Path => "path",
            Self::Header => "header",
            Self::Token => "token",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a source names a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Named {
    /// By its slug.
    Slug(Slug),
    /// By its id.
    Id(TenantId),
    /// By a domain of its own. Only a proven one leads to a tenant.
    Domain(Host),
}

impl Named {
    /// Reads a header's or claim's value: `ten_…` or a slug, which cannot hold an underscore. Words that are reserved
    /// today may be the slugs of older tenants.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains('_') { text.parse().ok().map(Self::Id) } else { Self::slug(text) }
    }

    fn slug(text: &str) -> Option<Self> {
        // Bounded before it is copied.
        if text.len() > Slug::MAX { None } else { Slug::stored(text.to_owned()).ok().map(Self::Slug) }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slug(slug) => slug.fmt(f),
            Self::Id(id) => id.fmt(f),
            Self::Domain(host) => host.fmt(f),
        }
    }
}

/// What a request says, before it is read. Only what may be believed is put here: the header of an authenticated
/// peer, the claim of a verified token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims<'a> {
    /// The `Host` header, or the authority.
    pub host: Option<&'a str>,
    /// The path.
    pub path: Option<&'a str>,
    /// The value of `X-Tenant-ID`.
    pub header: Option<&'a str>,
    /// The tenant claim of the token.
    pub token: Option<&'a str>,
}

/// Why a source names no tenant that could exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamedError {
    /// The host is malformed.
    #[error("{0}")]
    Host(#[from] HostError),
    /// The source holds something that is neither a tenant's id nor a slug.
    #[error("the {0} names no tenant")]
    Nobody(Source),
}

impl NamedError {
    /// Which source is at fault.
    #[must_use]
    pub const fn source_of(&self) -> Source {
        match self {
            Self::Host(_) => Source::Host,
            Self::Nobody(source) => *source,
        }
    }
}

/// The prefix of paths that name a tenant.
const PATH: &str = "/t/";

impl Claims<'_> {
    /// What every present source names. A base domain itself names nobody and is no fault; so is a path of another form.
    ///
    /// # Errors
    /// A source is malformed, or the host is below a base domain and no tenant can have it.
    pub fn named(&self, bases: &[BaseDomain]) -> Result<BTreeMap<Source, Named>, NamedError> {
        let mut named = BTreeMap::new();
        if let Some(host) = self.host {
            let host = Host::parse(host)?;
            // The longest base that fits: `eu.example.com` and `example.com` may both be configured.
            let fitting = bases.iter().filter_map(|base| Some((base.as_str().len(), base.below(&host)?)));
            match fitting.max_by_key(|(length, _)| *length).map(|(_, below)| below) {
                Some(Below::Tenant(slug)) => {
                    named.insert(Source::Host, Named::Slug(slug));
                }
                Some(Below::Nobody) => return Err(NamedError::Nobody(Source::Host)),
                Some(Below::Base) => {}
                // Perhaps a tenant's own. If it is nobody's, what it stands for must not be guessed from other sources.
                None => {
                    named.insert(Source::Host, Named::Domain(host));
                }
            }
        }
        if let Some(slug) = self.path.and_then(path_slug) {
            named.insert(Source::Path, Named::slug(slug).ok_or(NamedError::Nobody(Source::Path))?);
        }
        for (source, text) in [(Source::Header, self.header), (Source::Token, self.token)] {
            if let Some(text) = text {
                named.insert(source, Named::parse(text).ok_or(NamedError::Nobody(source))?);
            }
        }
        Ok(named)
    }
}

/// What stands behind `/t/`, up to the next slash or the query; also when that is nothing.
fn path_slug(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(PATH)?;
    Some(rest.split(['/', '?', '#']).next().unwrap_or_default())
}

/// Two sources name different tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{first} and {second} name different tenants")]
pub struct Disagreement {
    /// One of them.
    pub first: Source,
    /// The other.
    pub second: Source,
}

/// The one tenant that all sources name; nothing without any.
///
/// # Errors
/// Two of them differ.
pub fn agree(found: &BTreeMap<Source, TenantId>) -> Result<Option<TenantId>, Disagreement> {
    let mut sources = found.iter();
    let Some((first, tenant)) = sources.next() else { return Ok(None) };
    match sources.find(|(_, other)| *other != tenant) {
        Some((second, _)) => Err(Disagreement { first: *first, second: *second }),
        None => Ok(Some(*tenant)),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn bases() -> Vec<BaseDomain> {
        vec![BaseDomain::parse("example.com").unwrap(), BaseDomain::parse("eu.example.com").unwrap()]
    }

    fn id(number: u128) -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn each_source_names_its_tenant() {
        let text = id(7).to_string();
        let claims = Claims {
            host: Some("acme.eu.example.com"),
            path: Some("/t/globex/orders?x=/t/no"),
            header: Some("initech"),
            token: Some(&text),
        };
        let named = claims.named(&bases()).unwrap();
        let words: Vec<String> = named.iter().map(|(source, named)| format!("{source}={named}")).collect();
        assert_eq!(words, ["host=acme", "path=globex", "header=initech", &format!("token={text}")]);
    }

    #[test]
    fn absent_is_fine_and_nonsense_is_not() {
        let fine = [
            Claims { host: Some("example.com"), path: Some("/orders/t/acme"), ..Claims::default() },
            Claims { host: Some("example.com"), path: Some("/t"), ..Claims::default() },
            Claims { host: Some("eu.example.com"), ..Claims::default() },
        ];
        for claims in fine {
            assert!(claims.named(&bases()).unwrap().is_empty(), "{claims:?}");
        }
        let wrong = [
            (Claims { host: Some("a.b.example.com"), ..Claims::default() }, Source::Host),
            (Claims { host: Some("acme.example.com:x"), ..Claims::default() }, Source::Host),
            (Claims { path: Some("/t/"), ..Claims::default() }, Source::Path),
            (Claims { path: Some("/t/A%20b/x"), ..Claims::default() }, Source::Path),
            (Claims { header: Some(""), ..Claims::default() }, Source::Header),
            (Claims { header: Some("cel_01m7zehp42e4ybzc7kwq5tkkzd"), ..Claims::default() }, Source::Header),
            (Claims { token: Some("ten_nonsense"), ..Claims::default() }, Source::Token),
        ];
        for (claims, source) in wrong {
            assert_eq!(claims.named(&bases()).unwrap_err().source_of(), source, "{claims:?}");
        }
    }

    #[test]
    fn a_host_outside_of_all_bases_is_a_domain_to_be_looked_up() {
        let claims = Claims { host: Some("Chat.Acme.example.:443"), header: Some("acme"), ..Claims::default() };
        let named = claims.named(&bases()).unwrap();
        assert_eq!(named[&Source::Host], Named::Domain(Host::parse("chat.acme.example").unwrap()));
        // No other source can name a tenant by a domain.
        let other = Claims { header: Some("chat.acme.example"), ..Claims::default() };
        assert_eq!(other.named(&bases()).unwrap_err().source_of(), Source::Header);
    }

    #[test]
    fn every_pair_agrees_or_is_refused() {
        for first in Source::ALL {
            for second in Source::ALL.into_iter().filter(|second| *second > first) {
                let pair = |a, b| BTreeMap::from([(first, id(a)), (second, id(b))]);
                assert_eq!(agree(&pair(1, 1)), Ok(Some(id(1))));
                assert_eq!(agree(&pair(1, 2)), Err(Disagreement { first, second }));
            }
        }
        assert_eq!(agree(&BTreeMap::new()), Ok(None));
    }
}
