"""The pytest plugin. It is loaded by itself and does nothing until one of its fixtures is asked for.

The installation is found by `TENANTRY_URL`, `TENANTRY_TOKEN_FILE` and so on. Override a fixture in your conftest to use
another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def tenantry_instance() -> Iterator[Any]:
    """A `Tenantry` from the environment."""
    from tenantry.engine import Tenantry

    instance = Tenantry()
    yield instance
    instance.close()


@pytest.fixture(scope="session")
def tenantry_factory(tenantry_instance: Any) -> Iterator[Any]:
    """A `TenantFactory`; what it makes is removed at the end of the session."""
    from tenantry.testing.factory import TenantFactory

    with TenantFactory(tenantry_instance) as factory:
        yield factory


@pytest.fixture
def make_tenant(tenantry_factory: Any) -> Iterator[Callable[..., Any]]:
    """Makes tenants that are removed at the end of the test: `make_tenant(plan="starter")`."""
    made: list[Any] = []

    def make(**options: Any) -> Any:
        made.append(tenantry_factory.make(**options))
        return made[-1]

    yield make
    for each in reversed(made):
        tenantry_factory.remove(each)


@pytest.fixture(scope="session")
def tenants(tenantry_factory: Any) -> tuple[Any, Any]:
    """Two open tenants that exist as long as the session."""
    return tenantry_factory.make().tenant, tenantry_factory.make().tenant
