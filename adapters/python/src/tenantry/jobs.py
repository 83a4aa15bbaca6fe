"""Jobs of tenants, for any queue: the tenant travels in the arguments, and is looked at again when the job starts.

`stamp` is for the side that enqueues, `run` and `arun` (or the decorator `tenant_job`) for the worker. The job's own
transaction is entered as everywhere else, so the database has the last word also when the tenant changes meanwhile.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from tenantry import context
from tenantry.engine import AsyncTenantry, Tenantry, defaults
from tenantry.errors import (
    JobHeld,
    JobRefused,
    SettingsInvalid,
    TenantGone,
    TenantNotFound,
    TenantNotOpen,
    TenantryError,
)
from tenantry.known import Look
from tenantry.model import Tenant, is_tenant
from tenantry.telemetry import annotate

T = TypeVar("T")

TENANT, GENERATION = "tenant", "generation"


def stamp(arguments: Mapping[str, Any] | None = None, tenantry: Tenantry | None = None) -> dict[str, Any]:
    """A job's arguments with the current tenant's `tenant` and `generation` beside them.

    Raises `TenantScopeMissing` without a current tenant, and `JobRefused` if the tenant is archived or deleted: such a
    job would never run. A suspended tenant's job is taken; it waits.
    """
    current = context.current()
    try:
        known = (tenantry or defaults.sync()).find(current.id)
    except TenantNotFound as error:
        raise JobRefused(f"the tenant `{current.slug}` does not exist any more") from error
    return _stamped(arguments, known)


async def astamp(arguments: Mapping[str, Any] | None = None, tenantry: AsyncTenantry | None = None) -> dict[str, Any]:
    """`stamp` for asyncio."""
    current = context.current()
    try:
        known = await (tenantry or defaults.asynchronous()).find(current.id)
    except TenantNotFound as error:
        raise JobRefused(f"the tenant `{current.slug}` does not exist any more") from error
    return _stamped(arguments, known)


def run(function: Callable[..., T], arguments: Mapping[str, Any], tenantry: Tenantry | None = None) -> T:
    """Runs a job inside of its tenant: `function(**own arguments)`.

    Raises `JobHeld` (retry later) for a tenant that is suspended or being prepared, `JobRefused` (never retry) for a
    job without tenant and for one whose tenant is archived or unknown, also when that turns out in the job's own
    transaction. `ControlPlaneUnavailable` and the like mean: retry.
    """
    name, own = _parts(arguments)
    try:
        tenant = (tenantry or defaults.sync()).find(name, Look.FRESH)
        with context.scope(_startable(tenant)):
            annotate(tenant)
            return function(**own)
    except TenantryError as error:
        raise _verdict(error) from error


async def arun(
    function: Callable[..., Awaitable[T]], arguments: Mapping[str, Any], tenantry: AsyncTenantry | None = None
) -> T:
    """`run` for asyncio."""
    name, own = _parts(arguments)
    try:
        tenant = await (tenantry or defaults.asynchronous()).find(name, Look.FRESH)
        with context.scope(_startable(tenant)):
            annotate(tenant)
            return await function(**own)
    except TenantryError as error:
        raise _verdict(error) from error


def tenant_job(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function, plain or `async`, take stamped arguments and run inside of their tenant.

    `function.stamp(**own)` gives the arguments to enqueue.
    """
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def job(**arguments: Any) -> Any:
            return await arun(function, arguments)
    else:

        @functools.wraps(function)
        def job(**arguments: Any) -> Any:
            return run(function, arguments)

    job.stamp = lambda **own: stamp(own)  # type: ignore[attr-defined]
    job.astamp = lambda **own: astamp(own)  # type: ignore[attr-defined]
    return job


def _stamped(arguments: Mapping[str, Any] | None, tenant: Tenant) -> dict[str, Any]:
    own = dict(arguments or {})
    taken = {TENANT, GENERATION} & own.keys()
    if taken:
        raise SettingsInvalid(f"a job has no argument of its own called {' or '.join(sorted(taken))}")
    if tenant.state == "archived":
        raise JobRefused(f"the tenant `{tenant.slug}` is archived")
    return {**own, TENANT: tenant.id, GENERATION: tenant.generation}


def _parts(arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    own = dict(arguments)
    name = own.pop(TENANT, None)
    own.pop(GENERATION, None)
    if not isinstance(name, str) or not name.startswith("ten_") or not is_tenant(name):
        raise JobRefused("the job names no tenant")
    return name, own


def _startable(tenant: Tenant) -> Tenant:
    if tenant.is_open:
        return tenant
    if tenant.state == "archived":
        raise JobRefused(f"the tenant `{tenant.slug}` is archived")
    raise JobHeld(f"the tenant `{tenant.slug}` is {tenant.state}")


def _verdict(error: TenantryError) -> TenantryError:
    if isinstance(error, TenantGone | TenantNotFound):
        return JobRefused(f"the job's tenant is gone: {error}")
    if isinstance(error, TenantNotOpen):
        return JobHeld(f"the job's tenant is not open: {error}")
    return error
