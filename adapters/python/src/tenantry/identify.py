"""Which tenant a request is for. Pure: a request's facts in, a `Query` or a refusal out.

Rules: whatever sources a request has must name the same tenant, a source that is present and unknown is a refusal, and
there is no precedence. The control plane compares the sources; here they are read, and what cannot be right is refused.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tenantry.errors import SettingsInvalid, TenantMismatch, TenantNotFound
from tenantry.model import is_slug, is_tenant
from tenantry.requests import Query

HOST_MAX = 253
"""The longest host name there is."""

HEALTH_PATHS = ("/livez", "/readyz", "/startupz", "/healthz")
"""Paths without a tenant, unless told otherwise."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PORT = re.compile(r"[0-9]{1,5}")

TrustedPeers = Sequence[str] | Callable[[str], bool]


@dataclass(frozen=True)
class Identification:
    """Where tenants are looked for. Nothing is, unless it is named here.

    A request without any source is refused, unless `optional` is set: then it goes on without a tenant.
    """

    base_domains: Sequence[str] = ()
    """`example.com` makes `acme.example.com` a host of `acme`. The bare domain names nobody."""
    custom_domains: bool = False
    """Whether any other host is a tenant's own domain, which the control plane must know."""
    plain_hosts: Sequence[str] = ()
    """Hosts of this service that name nobody: `app.example.com`, `localhost`."""
    path_prefix: str | None = None
    """`/t/` makes `/t/acme/orders` a path of `acme`; the application sees `/orders` below `/t/acme`."""
    header: str = "X-Tenant-ID"
    """A header with slug or id. From anybody who is not among `trusted_peers` it is no source."""
    trusted_peers: TrustedPeers = ()
    """Networks (`10.0.0.0/8`) of the services that may send the header, or a function of the peer's address."""
    forwarded_host: bool = False
    """Whether trusted peers' `X-Forwarded-Host` stands for the host; its last entry counts."""
    claim: Callable[[Any], str | None] | None = None
    """Gives the tenant's claim of an access token that was verified before (`tid`), from scope or environ."""
    excluded_paths: Sequence[str] = HEALTH_PATHS
    """Paths without a tenant, compared whole; one that ends with `/*` stands for all below it."""
    optional: bool = False
    """Whether a request without any source goes on without a tenant."""
    _bases: tuple[str, ...] = field(init=False, repr=False, default=())
    _plain: frozenset[str] = field(init=False, repr=False, default=frozenset())
    _networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        for name in ("base_domains", "plain_hosts", "excluded_paths"):
            if isinstance(getattr(self, name), str):
                raise SettingsInvalid(f"`{name}` must be a list")
        try:
            object.__setattr__(self, "_bases", tuple(normal_host(base) for base in self.base_domains))
            object.__setattr__(self, "_plain", frozenset(normal_host(host) for host in self.plain_hosts))
        except TenantMismatch as error:
            raise SettingsInvalid(f"`base_domains` and `plain_hosts` must be host names: {error}") from None
        if not callable(self.trusted_peers):
            if isinstance(self.trusted_peers, str):
                raise SettingsInvalid("`trusted_peers` must be a list of networks")
            try:
                networks = tuple(ipaddress.ip_network(network) for network in self.trusted_peers)
            except ValueError as error:
                raise SettingsInvalid(f"`trusted_peers` must be networks: {error}") from None
            object.__setattr__(self, "_networks", networks)
        prefix = self.path_prefix
        if prefix is not None and not (prefix.startswith("/") and prefix.endswith("/") and len(prefix) > 2):
            raise SettingsInvalid("`path_prefix` must begin and end with a slash, as `/t/` does")
        if not self.header or not self.header.isascii():
            raise SettingsInvalid("`header` must be the name of a header")

    @property
    def reads_hosts(self) -> bool:
        """Whether hosts name tenants."""
        return bool(self._bases) or self.custom_domains

    def trusts(self, peer: str | None) -> bool:
        """Whether a peer may name tenants by header. `None` is a peer without an address, such as a socket file."""
        if callable(self.trusted_peers):
            return peer is not None and bool(self.trusted_peers(peer))
        try:
            address = ipaddress.ip_address(peer or "")
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address.version == network.version and address in network for network in self._networks)

    def excludes(self, path: str) -> bool:
        """Whether a path has no tenant."""
        return any(
            path.startswith(known[:-1]) if known.endswith("/*") else path == known for known in self.excluded_paths
        )


@dataclass(frozen=True)
class Facts:
    """What a request says. Headers in the order they came, names in lower case."""

    headers: Iterable[tuple[str, str]]
    path: str
    raw_path: bytes | None
    peer: str | None
    claim: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """The sources of a request, and how much of its path names the tenant (`/t/acme`, or nothing)."""

    query: Query
    mount: str


def identify(facts: Facts, config: Identification) -> Found:
    """Reads all sources. Raises `TenantMismatch` for what is malformed, `TenantNotFound` for a source of nobody."""
    headers = list(facts.headers)
    trusted = config.trusts(facts.peer)
    host = _host(headers, config, trusted)
    tenant = _header(headers, config, trusted)
    slug, mount = _path(facts, config)
    if facts.claim is not None and not is_tenant(facts.claim):
        raise TenantNotFound("the token's claim names no tenant")
    path = None if slug is None else f"/t/{slug}"
    return Found(Query(host=host, path=path, tenant=tenant, claim=facts.claim), mount)


def normal_host(text: str) -> str:
    """A host name in lower case, without port and one trailing dot. Raises `TenantMismatch` if it is none."""
    if len(text) > HOST_MAX + 7 or not text.isascii():
        raise TenantMismatch("the host is not a host name")
    host = text.lower()
    if host.startswith("["):
        address, bracket, port = host[1:].partition("]")
        if not bracket or (port and not (port[0] == ":" and _PORT.fullmatch(port[1:]))):
            raise TenantMismatch("the host is not a host name")
        try:
            return str(ipaddress.IPv6Address(address))
        except ValueError:
            raise TenantMismatch("the host is not a host name") from None
    host, colon, port = host.partition(":")
    if colon and not _PORT.fullmatch(port):
        raise TenantMismatch("the host's port is not a number")
    host = host.removesuffix(".")
    if len(host) > HOST_MAX or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise TenantMismatch("the host is not a host name")
    return host


def _host(headers: list[tuple[str, str]], config: Identification, trusted: bool) -> str | None:
    hosts = [value for name, value in headers if name == "host"]
    if len(hosts) > 1:
        raise TenantMismatch("the request has two hosts")
    if not config.reads_hosts:
        return None
    if config.forwarded_host and trusted:
        forwarded = [value for name, value in headers if name == "x-forwarded-host"]
        if forwarded:
            hosts = [forwarded[-1].rpartition(",")[2].strip()]
    if not hosts:
        raise TenantMismatch("the request has no host")
    host = normal_host(hosts[0])
    if host in config._plain or host in config._bases:
        return None
    for base in config._bases:
        if host.endswith("." + base):
            label = host[: -len(base) - 1]
            if not is_slug(label):
                raise TenantNotFound("there is no tenant at this host")
            return host
    if not config.custom_domains:
        raise TenantNotFound("there is no tenant at this host")
    return host


def _header(headers: list[tuple[str, str]], config: Identification, trusted: bool) -> str | None:
    values = [value for name, value in headers if name == config.header.lower()]
    # From outside it is no source, whatever it holds: nobody can break a request by adding one.
    if not values or not trusted:
        return None
    if len(values) > 1:
        raise TenantMismatch(f"the request has `{config.header}` twice")
    if not is_tenant(values[0]):
        raise TenantNotFound(f"`{config.header}` names no tenant")
    return values[0]


def _path(facts: Facts, config: Identification) -> tuple[str | None, str]:
    prefix = config.path_prefix
    if prefix is None or not facts.path.startswith(prefix):
        return None, ""
    slug = facts.path[len(prefix) :].partition("/")[0]
    if not is_slug(slug):
        raise TenantNotFound("there is no tenant at this path")
    mount = prefix + slug
    # `%2F` must not move the border between the slug and the rest.
    if facts.raw_path is not None:
        raw = facts.raw_path.partition(b"?")[0]
        if not (raw + b"/").startswith(mount.encode() + b"/"):
            raise TenantMismatch("the path's tenant is written with escapes")
    return slug, mount
