//! What a request says of its tenant. All that is given must agree; the control plane compares.

use tenantry_api::client::SourceQuery;
use tenantry_domain::access::Named;
use tenantry_domain::id::TenantId;

use crate::error::{Absent, Error};

/// The sources of one request, already read: only what may be believed stands here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Sources {
    /// The host, in lower case, without port and final dot.
    pub host: Option<String>,
    /// The path's beginning, `/t/<slug>`.
    pub path: Option<String>,
    /// `X-Tenant-ID` of an authenticated peer: an id or a slug.
    pub header: Option<String>,
    /// The tenant claim of a verified token: an id or a slug.
    pub token: Option<String>,
}

impl Sources {
    /// A tenant's id.
    #[must_use]
    pub fn id(id: TenantId) -> Self {
        Self { header: Some(id.to_string()), ..Self::default() }
    }

    /// A tenant's id or slug.
    ///
    /// # Errors
    /// The text can be neither.
    pub fn name(text: &str) -> Result<Self, Error> {
        if Named::parse(text).is_none() {
            return Err(Error::TenantNotFound(Absent::Unknown));
        }
        Ok(Self { header: Some(text.to_owned()), ..Self::default() })
    }

    /// A host.
    #[must_use]
    pub fn host(host: impl Into<String>) -> Self {
        Self { host: Some(host.into()), ..Self::default() }
    }

    /// Whether nothing is named.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.host.is_none() && self.path.is_none() && self.header.is_none() && self.token.is_none()
    }

    pub(crate) fn query(&self) -> SourceQuery {
        SourceQuery {
            host: self.host.clone(),
            path: self.path.clone(),
            tenant: self.header.clone(),
            claim: self.token.clone(),
        }
    }

    /// Whether every source that was asked about has helped to name the tenant. One that did not is nobody's, and that
    /// is a refusal, whatever the other sources say.
    pub(crate) fn are_in(&self, named: &[String]) -> bool {
        let asked = [
            ("host", self.host.is_some()),
            ("path", self.path.is_some()),
            ("header", self.header.is_some()),
            ("token", self.token.is_some()),
        ];
        asked.iter().all(|(word, given)| !given || named.iter().any(|name| name == word))
    }
}
