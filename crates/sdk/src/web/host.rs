//! The host of a request: which of its places counts, and in one form.

use std::net::IpAddr;

use axum::http::header;
use tenantry_domain::access::{BaseDomain, Host, HostError};
use tenantry_domain::tenant::Slug;

use crate::error::{Absent, Error, Mismatch};
use crate::web::identify::{Facts, Identification};

/// The host that names a tenant; nothing where hosts do not, or for one that names nobody by intention.
pub(super) fn host(facts: &Facts<'_>, config: &Identification, trusted: bool) -> Result<Option<String>, Error> {
    let mut given = facts.headers.get_all(header::HOST).iter().map(|value| value.to_str());
    let (first, second) = (given.next(), given.next());
    if second.is_some() {
        return Err(Error::TenantMismatch(Mismatch::TwoHosts));
    }
    let malformed = || Error::TenantMismatch(Mismatch::Host(HostError::Label));
    let first = first.transpose().map_err(|_| malformed())?;
    let authority = facts.uri.authority().map(|authority| authority.as_str());
    if authority.is_some_and(|authority| authority.contains('@')) {
        return Err(malformed());
    }
    if let (Some(first), Some(authority)) = (first, authority)
        && normal_host(first)? != normal_host(authority)?
    {
        return Err(Error::TenantMismatch(Mismatch::TwoHosts));
    }
    if !config.reads_hosts() {
        return Ok(None);
    }
    let mut chosen = first.or(authority);
    if config.forwarded_host && trusted {
        let forwarded = facts.headers.get_all("x-forwarded-host").iter().next_back();
        let forwarded = forwarded.map(|value| value.to_str()).transpose().map_err(|_| malformed())?;
        if let Some(list) = forwarded {
            chosen = Some(list.rsplit(',').next().unwrap_or_default().trim());
        }
    }
    let host = normal_host(chosen.ok_or(Error::TenantMismatch(Mismatch::NoHost))?)?;
    if config.plain_hosts.contains(&host) {
        return Ok(None);
    }
    let absent = Error::TenantNotFound(Absent::Host);
    let Ok(parsed) = Host::parse(&host) else { return Err(absent) };
    let text = parsed.as_str();
    // The longest base that fits: `eu.example.com` and `example.com` may both be configured.
    let fronts = config.bases.iter().filter_map(|base| front(text, base));
    match fronts.min_by_key(|front| front.len()) {
        Some("") => Ok(None),
        Some(label) if Slug::stored(label.to_owned()).is_ok() => Ok(Some(host)),
        Some(_) => Err(absent),
        None if config.custom_domains => Ok(Some(host)),
        None => Err(absent),
    }
}

/// What stands before a base domain, at the border of a label; empty for the base itself.
fn front<'h>(host: &'h str, base: &BaseDomain) -> Option<&'h str> {
    let front = host.strip_suffix(base.as_str())?;
    if front.is_empty() { Some(front) } else { front.strip_suffix('.') }
}

/// A host in one form; addresses too, which name no tenant but may be a service's plain host.
pub(super) fn normal_host(text: &str) -> Result<String, Error> {
    let host = match Host::parse(text) {
        Ok(host) => return Ok(host.as_str().to_owned()),
        Err(HostError::Address) => text,
        Err(error) => return Err(Error::TenantMismatch(Mismatch::Host(error))),
    };
    let address = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let read: Option<IpAddr> = address.parse().ok();
    read.map(|address| address.to_string()).ok_or(Error::TenantMismatch(Mismatch::Host(HostError::Label)))
}
