//! Which tenant a request is for. Pure: a request's facts in, sources or a refusal out.
//!
//! INVARIANT: whatever sources a request has must name the same tenant, a source that is present and unknown is a
//! refusal, and there is no precedence. The control plane compares the sources; here they are read, and what cannot be
//! right is refused.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, Uri};
use tenantry_domain::access::{BaseDomain, Named};
use tenantry_domain::tenant::Slug;

use crate::error::{Absent, Error, Mismatch, SettingsFault};
use crate::signed::{self, ContextFault};
use crate::sources::Sources;
use crate::web::host::{host, normal_host};
use crate::web::network::Network;

/// Paths without a tenant, unless told otherwise.
pub const HEALTH_PATHS: [&str; 4] = ["/livez", "/readyz", "/startupz", "/healthz"];

/// The beginning of paths that name a tenant.
const PREFIX: &str = "/t/";

/// Where tenants are looked for. Nothing is, unless it is named here.
#[derive(Debug, Clone)]
pub struct Identification {
    pub(super) bases: Vec<BaseDomain>,
    pub(super) custom_domains: bool,
    pub(super) plain_hosts: Vec<String>,
    paths: bool,
    header: HeaderName,
    peers: Vec<Network>,
    pub(super) forwarded_host: bool,
    context: bool,
    excluded: Vec<String>,
    optional: bool,
}

impl Default for Identification {
    fn default() -> Self {
        Self {
            bases: Vec::new(),
            custom_domains: false,
            plain_hosts: Vec::new(),
            paths: false,
            header: HeaderName::from_static("x-tenant-id"),
            peers: Vec::new(),
            forwarded_host: false,
            context: false,
            excluded: HEALTH_PATHS.iter().map(|path| (*path).to_owned()).collect(),
            optional: false,
        }
    }
}

impl Identification {
    /// Looks nowhere yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `example.com` makes `acme.example.com` a host of `acme`. The bare domain names nobody. The control plane's
    /// `TENANTRY_BASE_DOMAINS` must hold the same.
    ///
    /// # Errors
    /// [`Error::SettingsInvalid`]: it is no domain.
    pub fn base_domain(mut self, domain: &str) -> Result<Self, Error> {
        self.bases.push(BaseDomain::parse(domain).map_err(|_| unreadable("base_domain", "a domain's name"))?);
        Ok(self)
    }

    /// Any other host is a tenant's own domain, which the control plane must know.
    #[must_use]
    pub const fn custom_domains(mut self) -> Self {
        self.custom_domains = true;
        self
    }

    /// A host of this service that names nobody: `app.example.com`, `localhost`, an address.
    ///
    /// # Errors
    /// [`Error::SettingsInvalid`]: it is no host.
    pub fn plain_host(mut self, host: &str) -> Result<Self, Error> {
        self.plain_hosts.push(normal_host(host).map_err(|_| unreadable("plain_host", "a host"))?);
        Ok(self)
    }

    /// `/t/acme/orders` is a path of `acme`; the application sees `/orders`.
    #[must_use]
    pub const fn paths(mut self) -> Self {
        self.paths = true;
        self
    }

    /// Another header than `X-Tenant-ID`.
    ///
    /// # Errors
    /// [`Error::SettingsInvalid`]: it is no header's name.
    pub fn header(mut self, name: &str) -> Result<Self, Error> {
        self.header = HeaderName::try_from(name).map_err(|_| unreadable("header", "a header's name"))?;
        Ok(self)
    }

    /// A network (`10.0.0.0/8`) of services that may name tenants by header. From anybody else the header is no source.
    /// The peer is who opened the connection: serve with connection info.
    ///
    /// # Errors
    /// [`Error::SettingsInvalid`]: it is no network.
    pub fn trusted_peer(mut self, network: &str) -> Result<Self, Error> {
        self.peers.push(Network::parse(network).ok_or_else(|| unreadable("trusted_peer", "a network in CIDR form"))?);
        Ok(self)
    }

    /// Trusted peers' `X-Forwarded-Host` stands for the host; its last entry counts.
    #[must_use]
    pub const fn forwarded_host(mut self) -> Self {
        self.forwarded_host = true;
        self
    }

    /// Requests must bring a `Tenantry-Context`: for services behind others. One that comes by itself is always verified
    /// and must agree.
    #[must_use]
    pub const fn context_required(mut self) -> Self {
        self.context = true;
        self
    }

    /// A path without a tenant, compared whole; one that ends with `/*` stands for all below it.
    #[must_use]
    pub fn exclude(mut self, path: &str) -> Self {
        self.excluded.push(path.to_owned());
        self
    }

    /// A request without any source goes on without a tenant.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    pub(crate) const fn is_optional(&self) -> bool {
        self.optional
    }

    pub(crate) fn excludes(&self, path: &str) -> bool {
        self.excluded.iter().any(|known| match known.strip_suffix('*') {
            Some(front) if front.ends_with('/') => path.starts_with(front),
            _ => path == known,
        })
    }

    fn trusts(&self, peer: Option<IpAddr>) -> bool {
        peer.is_some_and(|peer| self.peers.iter().any(|network| network.holds(peer)))
    }

    pub(super) fn reads_hosts(&self) -> bool {
        !self.bases.is_empty() || self.custom_domains
    }
}

/// What a request says.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its target.
    pub uri: &'a Uri,
    /// Who opened the connection.
    pub peer: Option<IpAddr>,
    /// The tenant claim of a token that was verified before.
    pub token: Option<&'a str>,
}

/// The sources of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What names the tenant.
    pub sources: Sources,
    /// How much of the path does (`/t/acme`); empty when the path names nobody.
    pub mount: String,
    /// The signed context, not verified yet.
    pub context: Option<String>,
}

/// Reads all sources.
///
/// # Errors
/// [`Error::TenantMismatch`] for what is malformed or not accepted, [`Error::TenantNotFound`] for what names nobody.
pub fn identify(facts: &Facts<'_>, config: &Identification) -> Result<Found, Error> {
    let trusted = config.trusts(facts.peer);
    let host = host(facts, config, trusted)?;
    let header = header_of(facts, config, trusted)?;
    let (path, mount) = path(facts, config)?;
    if facts.token.is_some_and(|claim| Named::parse(claim).is_none()) {
        return Err(Error::TenantNotFound(Absent::Token));
    }
    let context = context(facts, config)?;
    let token = facts.token.map(ToOwned::to_owned);
    Ok(Found { sources: Sources { host, path, header, token }, mount, context })
}

fn header_of(facts: &Facts<'_>, config: &Identification, trusted: bool) -> Result<Option<String>, Error> {
    let mut given = facts.headers.get_all(&config.header).iter();
    // From outside it is no source, whatever it holds: nobody can break a request by adding one.
    let Some(value) = given.next().filter(|_| trusted) else { return Ok(None) };
    if given.next().is_some() {
        return Err(Error::TenantMismatch(Mismatch::TwoHeaders));
    }
    let text = value.to_str().ok().filter(|text| Named::parse(text).is_some());
    text.map(|text| Some(text.to_owned())).ok_or(Error::TenantNotFound(Absent::Header))
}

fn path(facts: &Facts<'_>, config: &Identification) -> Result<(Option<String>, String), Error> {
    let Some(rest) = facts.uri.path().strip_prefix(PREFIX).filter(|_| config.paths) else {
        return Ok((None, String::new()));
    };
    // As it was sent: an escape in the slug is no slug, so it cannot move the border to what follows.
    let slug = rest.split('/').next().unwrap_or_default();
    if slug.len() > Slug::MAX || Slug::stored(slug.to_owned()).is_err() {
        return Err(Error::TenantNotFound(Absent::Path));
    }
    let mount = format!("{PREFIX}{slug}");
    Ok((Some(mount.clone()), mount))
}

fn context(facts: &Facts<'_>, config: &Identification) -> Result<Option<String>, Error> {
    let mut given = facts.headers.get_all(signed::HEADER).iter();
    let malformed = Error::TenantMismatch(Mismatch::Context(ContextFault::Malformed));
    match (given.next(), given.next()) {
        (None, _) if config.context => Err(Error::TenantMismatch(Mismatch::NoContext)),
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(|text| Some(text.to_owned())).map_err(|_| malformed),
        (Some(_), Some(_)) => Err(malformed),
    }
}

fn unreadable(name: &'static str, wanted: &'static str) -> Error {
    Error::SettingsInvalid { name, fault: SettingsFault::Unreadable(wanted) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Identification {
        Identification::new()
            .base_domain("example.com")
            .and_then(|config| config.base_domain("eu.example.com"))
            .and_then(|config| config.plain_host("localhost"))
            .and_then(|config| config.plain_host("127.0.0.1"))
            .and_then(|config| config.trusted_peer("10.0.0.0/8"))
            .unwrap()
            .paths()
            .forwarded_host()
    }

    /// `(headers, path, peer)` to what was found or the word of the refusal.
    fn read(
        config: &Identification,
        headers: &[(&str, &str)],
        path: &str,
        peer: &str,
    ) -> Result<Sources, &'static str> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let uri = path.parse().unwrap();
        let facts = Facts { headers: &map, uri: &uri, peer: peer.parse().ok(), token: None };
        identify(&facts, config).map(|found| found.sources).map_err(|error| error.reason())
    }

    fn host_of(host: &str) -> Result<Option<String>, &'static str> {
        read(&config(), &[("host", host)], "/", "").map(|sources| sources.host)
    }

    #[test]
    fn the_forms_of_one_host_are_one_host() {
        for host in ["acme.example.com", "ACME.Example.COM", "acme.example.com.", "acme.example.com:8443"] {
            assert_eq!(host_of(host), Ok(Some("acme.example.com".to_owned())), "{host}");
        }
        for host in ["example.com", "eu.example.com", "localhost:3000", "127.0.0.1:3000"] {
            assert_eq!(host_of(host), Ok(None), "{host}");
        }
    }

    #[test]
    fn what_only_looks_alike_names_nobody() {
        let long = format!("{}.example.com", "a".repeat(280));
        for (host, reason) in [
            ("acme.example.com.evil.net", "TenantNotFound"),
            ("evil-example.com", "TenantNotFound"),
            ("a.acme.example.com", "TenantNotFound"),
            ("10.0.0.1", "TenantNotFound"),
            ("[::1]:80", "TenantNotFound"),
            ("acme..example.com", "TenantMismatch"),
            (".example.com", "TenantMismatch"),
            ("acme.example.com:0", "TenantMismatch"),
            ("acme.example.com:http", "TenantMismatch"),
            ("acme%00.example.com", "TenantMismatch"),
            ("", "TenantMismatch"),
            (&long, "TenantMismatch"),
        ] {
            assert_eq!(host_of(host), Err(reason), "{host}");
        }
        let two = [("host", "acme.example.com"), ("host", "globex.example.com")];
        assert_eq!(read(&config(), &two, "/", ""), Err("TenantMismatch"));
        assert_eq!(read(&config(), &[], "/", ""), Err("TenantMismatch"), "no host");
        let absolute = read(&config(), &[("host", "acme.example.com")], "http://globex.example.com/", "");
        assert_eq!(absolute, Err("TenantMismatch"), "the target's authority differs");
        let same = read(&config(), &[("host", "acme.example.com")], "http://ACME.example.com:80/", "");
        assert_eq!(same.unwrap().host.as_deref(), Some("acme.example.com"));
    }

    #[test]
    fn headers_are_believed_of_listed_peers_only() {
        let base = ("host", "example.com");
        let named = |peer: &str, value: &str| read(&config(), &[base, ("x-tenant-id", value)], "/", peer);
        assert_eq!(named("10.1.2.3", "acme").unwrap().header.as_deref(), Some("acme"));
        assert_eq!(named("::ffff:10.1.2.3", "acme").unwrap().header.as_deref(), Some("acme"), "mapped");
        for peer in ["", "11.0.0.1", "192.168.0.1", "::1"] {
            for value in ["acme", "Acme!", ""] {
                assert_eq!(named(peer, value), Ok(Sources::default()), "{peer} {value}: no source");
            }
        }
        let beside = [("host", "acme.example.com"), ("x-tenant-id", "globex"), ("x-tenant-id", "acme")];
        let alone = read(&config(), &beside, "/", "192.0.2.1").unwrap();
        assert_eq!((alone.host.as_deref(), alone.header), (Some("acme.example.com"), None), "twice, and still none");
        assert_eq!(named("10.1.2.3", "Acme!"), Err("TenantNotFound"));
        let twice = [base, ("x-tenant-id", "acme"), ("x-tenant-id", "acme")];
        assert_eq!(read(&config(), &twice, "/", "10.1.2.3"), Err("TenantMismatch"));
        let forwarded = [("host", "acme.example.com"), ("x-forwarded-host", "evil.example.com, globex.example.com")];
        assert_eq!(read(&config(), &forwarded, "/", "10.1.2.3").unwrap().host.as_deref(), Some("globex.example.com"));
        assert_eq!(read(&config(), &forwarded, "/", "11.1.2.3").unwrap().host.as_deref(), Some("acme.example.com"));
    }

    #[test]
    fn paths_name_slugs_as_they_were_sent() {
        let named = |path: &str| read(&config(), &[("host", "example.com")], path, "").map(|sources| sources.path);
        assert_eq!(named("/t/acme/orders?x=/t/b"), Ok(Some("/t/acme".to_owned())));
        assert_eq!(named("/t/acme"), Ok(Some("/t/acme".to_owned())));
        assert_eq!((named("/tt/acme"), named("/")), (Ok(None), Ok(None)));
        for path in ["/t/", "/t/%61cme/x", "/t/acme%2Fx", "/t/Acme", "/t/..", "/t/ten_01"] {
            assert_eq!(named(path), Err("TenantNotFound"), "{path}");
        }
    }

    #[test]
    fn excluded_paths_are_compared_whole() {
        let config = Identification::new().exclude("/static/*").exclude("/login");
        for path in ["/livez", "/static/x/y", "/login"] {
            assert!(config.excludes(path), "{path}");
        }
        for path in ["/livez/x", "/static", "/login/x", "/"] {
            assert!(!config.excludes(path), "{path}");
        }
    }
}
