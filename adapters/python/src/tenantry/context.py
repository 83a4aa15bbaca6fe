"""The current tenant, per request or job.

Kept in a context variable, so threads and tasks have their own. A scope ends once: a task or thread that was started
inside of it and outlives it finds no tenant any more, although it has a copy of the variable.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from tenantry.errors import TenantScopeMissing
from tenantry.model import Tenant


class Scope:
    """One request's or job's use of a tenant."""

    __slots__ = ("ended", "tenant")

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.ended = False


_scope: ContextVar[Scope | None] = ContextVar("tenantry_scope", default=None)


def current_or_none() -> Tenant | None:
    """The tenant of this request or job, or None."""
    scope = _scope.get()
    return None if scope is None or scope.ended else scope.tenant


def current() -> Tenant:
    """The tenant of this request or job. Raises `TenantScopeMissing` where there is none."""
    scope = _scope.get()
    if scope is None:
        raise TenantScopeMissing("there is no current tenant")
    if scope.ended:
        raise TenantScopeMissing(f"the request or job of tenant `{scope.tenant.slug}` is over")
    return scope.tenant


@contextmanager
def scope(tenant: Tenant) -> Iterator[Tenant]:
    """Makes `tenant` the current one until the end of the block, whatever ends it."""
    mine = Scope(tenant)
    token = _scope.set(mine)
    try:
        yield tenant
    finally:
        mine.ended = True
        # A generator that is closed by another task has another context, where there is nothing to take back.
        with suppress(ValueError):
            _scope.reset(token)


@contextmanager
def no_scope() -> Iterator[None]:
    """Hides the current tenant until the end of the block, for work that is nobody's."""
    token = _scope.set(None)
    try:
        yield
    finally:
        _scope.reset(token)
