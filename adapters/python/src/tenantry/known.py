"""What both clients remember, and the decisions around it. Pure: time is an argument, and nobody is asked here."""

from __future__ import annotations

from collections.abc import Hashable
from enum import Enum, auto
from typing import TypeVar

from tenantry.cache import Memory
from tenantry.errors import ControlPlaneUnavailable, TenantMismatch, TenantNotFound
from tenantry.model import MAX_AGE_MS, Credential, Route, Tenant
from tenantry.requests import Query
from tenantry.settings import Settings

V = TypeVar("V")

CREDENTIALS_MAX = 4096
"""The most credentials that are kept: one per login, so far more than a process has connections."""


class Look(Enum):
    """How new an answer must be."""

    CACHED = auto()
    """Within its age."""
    FRESH = auto()
    """Asked for after the caller wanted it."""


class Known:
    """Answers of `resolve` and `route`, refusals, and credentials. Not safe for threads by itself."""

    def __init__(self, settings: Settings) -> None:
        most, stale = settings.cache_entries, settings.stale_seconds
        self.tenants: Memory[Tenant] = Memory(most, stale)
        self.routes: Memory[Route] = Memory(most, stale)
        self._missing: Memory[TenantNotFound | TenantMismatch] = Memory(most, 0)
        self._missing_max_age_ms = settings.missing_max_age_ms
        self._credentials: dict[str, Credential] = {}

    def tenant(self, query: Query, now: float) -> Tenant | None:
        """The tenant of these sources, if a good answer is there. Raises a refusal that is still believed."""
        refused = self._missing.fresh(query, now)
        if refused is not None:
            raise type(refused)(*refused.args)
        return self.tenants.fresh(query, now)

    def keep_tenant(self, query: Query, tenant: Tenant, now: float) -> None:
        """Stores an answer of `resolve`."""
        self._missing.forget(query)
        self.tenants.keep(query, tenant, now, min(tenant.max_age_ms, MAX_AGE_MS))

    def keep_refusal(self, query: Query, refused: TenantNotFound | TenantMismatch, now: float) -> None:
        """Stores that these sources name nobody. What was known before is wrong now."""
        self.tenants.forget(query)
        self._missing.keep(query, refused, now, self._missing_max_age_ms)

    def keep_route(self, route: Route, now: float) -> None:
        """Stores an answer of `route`."""
        self.routes.keep(route.tenant, route, now, min(route.max_age_ms, MAX_AGE_MS))

    def forget(self, tenant: str) -> None:
        """Forgets where a tenant is, and asks anew who it is."""
        self.routes.forget(tenant)
        self.tenants.expire(lambda known: known.id == tenant)
        self._missing = Memory(self._missing._most, 0)

    def credential(self, secret_ref: str, refused: Credential | None) -> Credential | None:
        """The credential, unless it is the one that was refused."""
        known = self._credentials.get(secret_ref)
        return None if known is refused else known

    def keep_credential(self, credential: Credential) -> None:
        """Stores a credential until the database refuses it."""
        while len(self._credentials) >= CREDENTIALS_MAX and credential.secret_ref not in self._credentials:
            self._credentials.pop(next(iter(self._credentials)))
        self._credentials[credential.secret_ref] = credential


def shortcut(memory: Memory[V], key: Hashable, now: float, in_flight: bool) -> V | None:
    """What is used without asking although its age is over: the control plane did not answer a moment ago, or it did
    not answer last time and somebody is trying again already."""
    if memory.is_down(now) or (in_flight and memory.was_down()):
        return memory.usable(key, now)
    return None


def after_failure(memory: Memory[V], key: Hashable, now: float, error: ControlPlaneUnavailable) -> V:
    """What is used after nobody answered; raises where nothing may be.

    What was said about one key tells nothing about the others.
    """
    if error.is_answer:
        memory.spare(key, now)
    else:
        memory.note_down(now)
    known = memory.usable(key, now)
    if known is None:
        raise error
    return known
