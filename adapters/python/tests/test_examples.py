"""The examples run as they are."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from world import Dev, canary

import tenantry
from tenantry.testing import MadeTenant, TenantFactory

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("slug", ["acme", "globex", "initech"])
def test_injection(dev: Dev, seeded: None, slug: str) -> None:
    tenantry.configure(dev.settings())
    app = load("injection").app

    async def main() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = (await client.get(f"/t/{slug}/messages")).json()
            assert answer["tenant"] == slug
            assert canary(slug) in answer["messages"]
            name = uuid.uuid4().hex
            assert (await client.post(f"/t/{slug}/channels/{name}")).json()["id"]
            assert (await client.get("/messages")).status_code == 400
        async with tenantry.tenant(slug), tenantry.transaction() as tx:
            assert (await tx.execute("DELETE FROM channels WHERE name = %s", (name,))).rowcount == 1
        await tenantry.aclose()

    asyncio.run(main())


def test_worker(dev: Dev, seeded: None, make_tenant: Any, tenantry_factory: TenantFactory) -> None:
    tenantry.configure(dev.settings())
    example = load("worker")
    made: MadeTenant = make_tenant()
    with pytest.raises(tenantry.TenantScopeMissing):
        example.greet.delay(channel="nobody")
    for slug in ("acme", "globex", "initech", made.slug):
        with tenantry.tenant(slug):
            example.greet.delay(channel="welcome")
    tenantry_factory.suspend(made)
    assert [example.worker.run_one() for _ in range(4)] == ["done", "done", "done", "held"]
    tenantry_factory.resume(made)
    example.worker.release()
    assert example.worker.run_one() == "done"
    with tenantry.tenant(made.slug):
        example.greet.delay(channel="late")
    tenantry_factory.remove(made)
    assert example.worker.run_one() == "refused"
    assert len(example.worker.broker.dead) == 1
