"""The three questions to the control plane, as values: how they are asked, and what their answers mean. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

from tenantry.errors import (
    ControlPlaneRefused,
    ControlPlaneUnavailable,
    TenantMismatch,
    TenantNotFound,
    TenantryError,
)
from tenantry.model import AnswerInvalid, Credential, Route, Tenant, credential_of, route_of, tenant_of

A = TypeVar("A")

ANSWER_MAX = 64 * 1024
"""The longest answer that is read, in bytes; real ones are below 1 KiB."""

_DISAGREE = "TEN-0043"
_SHUT = ("TEN-0029", "TEN-0031", "TEN-0040")
"""What the control plane says when it can answer nobody: no database, too slow, too much to do."""
_NO_SUCH = ("TEN-0023", "TEN-0037")
_SOURCES = {"host": "host", "path": "path", "tenant": "header", "claim": "token"}


@dataclass(frozen=True, slots=True)
class Query:
    """What a request says about its tenant. Absent means that the request has no such source."""

    host: str | None = None
    path: str | None = None
    tenant: str | None = None
    claim: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no source names a tenant."""
        return self.host is None and self.path is None and self.tenant is None and self.claim is None

    def parameters(self) -> dict[str, str]:
        """The parameters of `resolve`."""
        named = {"host": self.host, "path": self.path, "tenant": self.tenant, "claim": self.claim}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request."""

    method: str
    path: str
    parameters: Mapping[str, str]
    body: Mapping[str, str] | None = None


def resolve(environment: str, query: Query) -> Call:
    """Asks which tenant a request is for."""
    return Call("GET", f"/v1/environments/{quote(environment, safe='')}/resolve", query.parameters())


def route(environment: str, tenant: str) -> Call:
    """Asks how the data of a tenant is reached."""
    return Call("GET", f"/v1/environments/{quote(environment, safe='')}/tenants/{quote(tenant, safe='')}/route", {})


def credential(environment: str, secret_ref: str) -> Call:
    """Asks for the password and the seal key of a login. Every answer is audited."""
    return Call("POST", f"/v1/environments/{quote(environment, safe='')}/credentials", {}, {"secretRef": secret_ref})


def tenant_from(query: Query, status: int, body: bytes) -> Tenant:
    """Reads the answer of `resolve`.

    A source that we asked about and that did not help to name the tenant is one that the control plane does not know,
    such as a host that is nobody's: that is a refusal, whatever the other sources say.
    """
    tenant = _read(status, body, tenant_of)
    if any(_SOURCES[name] not in tenant.sources for name in query.parameters()):
        raise TenantNotFound("what the request says names no tenant")
    return tenant


def route_from(status: int, body: bytes) -> Route:
    """Reads the answer of `route`."""
    return _read(status, body, route_of)


def credential_from(status: int, body: bytes) -> Credential:
    """Reads the answer of `credentials`."""
    return _read(status, body, credential_of)


def _read(status: int, body: bytes, parse: Callable[[object], A]) -> A:
    if status != 200:
        raise refusal(status, body)
    try:
        return parse(json.loads(body))
    except (ValueError, AnswerInvalid) as error:
        about = str(error) if isinstance(error, AnswerInvalid) else "it is not JSON"
        raise ControlPlaneRefused(f"the control plane's answer is not understood: {about}") from None


def refusal(status: int, body: bytes) -> TenantryError:
    """The exception for an answer that is not 200. An answer that says "not now" is no answer to this
    question; it tells nothing about others where the code is one of the control plane's own."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = {}
    code = problem.get("code") if isinstance(problem, dict) else None
    code = code if isinstance(code, str) else f"HTTP {status}"
    if status == 404 and code not in _NO_SUCH:
        return TenantNotFound("there is no such tenant")
    if status == 410:
        return TenantNotFound("there is no such tenant any more")
    if status == 400 or code == _DISAGREE:
        return TenantMismatch("the request's sources do not name one tenant")
    if status == 422:
        return TenantNotFound("what the request says cannot name a tenant")
    if status in (408, 425, 429) or status >= 500:
        unavailable = ControlPlaneUnavailable(f"the control plane does not answer ({code})")
        unavailable.is_answer = status == 429 or (code.startswith("TEN-") and code not in _SHUT)
        return unavailable
    return ControlPlaneRefused(f"the control plane refuses the request ({code})")
