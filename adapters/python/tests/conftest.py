from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from world import Dev, seed

from tenantry import Tenantry, configure
from tenantry.testing import TenantFactory

SLUGS = ("acme", "globex", "initech")


@pytest.fixture(scope="session")
def dev() -> Iterator[Dev]:
    running = Dev()
    try:
        configure(running.settings())
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def tenantry_instance(dev: Dev) -> Iterator[Tenantry]:
    """The plugin's fixture, pointed at our installation."""
    instance = Tenantry(dev.settings())
    yield instance
    instance.close()


@pytest.fixture
def tenantry(dev: Dev, seeded: None) -> Iterator[Tenantry]:
    """A fresh instance: nothing cached, nothing pooled."""
    instance = Tenantry(dev.settings())
    yield instance
    assert instance.pool.ledger.open == instance.pool.ledger.at_rest, "a connection is stuck"
    instance.close()


@pytest.fixture(scope="session")
def seeded(tenantry_instance: Tenantry) -> None:
    for slug in SLUGS:
        with tenantry_instance.tenant(slug), tenantry_instance.transaction() as tx:
            seed(tx, slug)


@pytest.fixture(scope="session")
def neighbour(tenantry_factory: TenantFactory) -> str:
    """A second tenant on the shared login of acme."""
    made = tenantry_factory.make()
    with tenantry_factory.tenantry.tenant(made.slug), tenantry_factory.tenantry.transaction() as tx:
        seed(tx, made.slug)
    return made.slug


@pytest.fixture(scope="session")
def crowd(tenantry_factory: TenantFactory, seeded: None) -> list[str]:
    """Many tenants on one login, and one of each other level."""

    def make(_: int) -> str:
        made = tenantry_factory.make()
        with tenantry_factory.tenantry.tenant(made.slug), tenantry_factory.tenantry.transaction() as tx:
            seed(tx, made.slug)
        return made.slug

    with ThreadPoolExecutor(4) as threads:
        return [*threads.map(make, range(22)), *SLUGS]


@pytest.fixture
def short_lived(make_tenant: Any) -> Any:
    """A shared tenant that the test may suspend and archive."""
    return make_tenant()
