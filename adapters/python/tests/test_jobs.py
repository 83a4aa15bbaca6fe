"""Jobs: the tenant in the arguments, looked at again at the start, and nothing left in the worker."""

from __future__ import annotations

import asyncio
import json
import queue
import time
from typing import Any

import pytest
from world import Dev, canary

import tenantry as package
from tenantry import (
    AsyncTenantry,
    JobHeld,
    JobRefused,
    SettingsInvalid,
    Tenantry,
    TenantScopeMissing,
    current_or_none,
    jobs,
)
from tenantry.testing import MadeTenant, TenantFactory


def bodies(tenantry: Tenantry) -> list[str]:
    with tenantry.transaction() as tx:
        return [row[0] for row in tx.execute("SELECT body FROM messages WHERE body LIKE 'canary-%'")]


def test_two_jobs_of_two_tenants_in_one_worker(tenantry: Tenantry) -> None:
    line: queue.Queue[str] = queue.Queue()
    for slug in ("acme", "globex", "initech", "acme"):
        with tenantry.tenant(slug):
            line.put(json.dumps(jobs.stamp({"wanted": canary(slug)}, tenantry)))
    done = []

    def work(wanted: str) -> None:
        assert bodies(tenantry) == [wanted]
        done.append(wanted)

    while not line.empty():
        jobs.run(work, json.loads(line.get()), tenantry)
        assert current_or_none() is None
    assert done == [canary(slug) for slug in ("acme", "globex", "initech", "acme")]


def test_arguments_carry_the_tenant(tenantry: Tenantry) -> None:
    with tenantry.tenant("acme") as tenant:
        assert jobs.stamp({"order": 7}, tenantry) == {"order": 7, "tenant": tenant.id, "generation": tenant.generation}
        with pytest.raises(SettingsInvalid):
            jobs.stamp({"tenant": "mine"}, tenantry)


def test_without_a_tenant_nothing_is_enqueued(tenantry: Tenantry) -> None:
    with pytest.raises(TenantScopeMissing):
        jobs.stamp({}, tenantry)


@pytest.mark.parametrize("arguments", [{}, {"tenant": None}, {"tenant": 7}, {"tenant": "acme"}, {"tenant": "ten_x"}])
def test_a_job_without_tenant_does_not_run(tenantry: Tenantry, arguments: dict[str, Any]) -> None:
    with pytest.raises(JobRefused):
        jobs.run(lambda: pytest.fail("it ran"), arguments, tenantry)


def test_an_unknown_tenants_job_is_refused(tenantry: Tenantry) -> None:
    with pytest.raises(JobRefused):
        jobs.run(lambda: pytest.fail("it ran"), {"tenant": "ten_01jd8x3v9mfk2t5h7q0w4z6y8c"}, tenantry)


def test_the_generation_is_a_hint(tenantry: Tenantry) -> None:
    with tenantry.tenant("acme"):
        arguments = jobs.stamp({}, tenantry)
    assert jobs.run(lambda: bodies(tenantry), {**arguments, "generation": 999}, tenantry) == [canary("acme")]


def test_suspended_held_archived_refused_deleted_refused(
    tenantry: Tenantry, make_tenant: Any, tenantry_factory: TenantFactory
) -> None:
    made: MadeTenant = make_tenant()
    ran: list[int] = []
    with tenantry.tenant(made.tenant):
        arguments = jobs.stamp({"number": 1}, tenantry)
    tenantry_factory.suspend(made)
    with pytest.raises(JobHeld) as held:
        jobs.run(lambda number: ran.append(number), arguments, tenantry)
    assert held.value.retry_after
    tenantry_factory.resume(made)
    jobs.run(lambda number: ran.append(number), arguments, tenantry)
    assert ran == [1], "held jobs run once"
    tenantry_factory.suspend(made)
    tenantry_factory.archive(made)
    with pytest.raises(JobRefused):
        jobs.run(lambda number: ran.append(number), arguments, tenantry)
    time.sleep(0.6)  # until what is remembered is too old
    with package.context.scope(made.tenant), pytest.raises(JobRefused):
        jobs.stamp({}, tenantry)
    tenantry_factory.remove(made)
    with pytest.raises(JobRefused):
        jobs.run(lambda number: ran.append(number), arguments, tenantry)
    time.sleep(0.6)  # until what is remembered is too old
    with package.context.scope(made.tenant), pytest.raises(JobRefused):
        jobs.stamp({}, tenantry)
    assert ran == [1]


def test_a_suspension_during_the_job_holds_it(
    tenantry: Tenantry, make_tenant: Any, tenantry_factory: TenantFactory
) -> None:
    """The job's own transaction is refused by the database."""
    made: MadeTenant = make_tenant()
    with tenantry.tenant(made.tenant):
        arguments = jobs.stamp({}, tenantry)

    def work() -> None:
        bodies(tenantry)
        tenantry_factory.suspend(made)
        bodies(tenantry)

    with pytest.raises(JobHeld):
        jobs.run(work, arguments, tenantry)
    assert current_or_none() is None


def test_the_decorator(dev: Dev, seeded: None) -> None:
    package.configure(dev.settings())

    @jobs.tenant_job
    def count(minimum: int) -> bool:
        with package.transaction() as tx:
            return bool(tx.execute("SELECT count(*) FROM messages").fetchone()[0] >= minimum)

    @jobs.tenant_job
    async def acount(minimum: int) -> bool:
        async with package.transaction() as tx:
            return bool((await (await tx.execute("SELECT count(*) FROM messages")).fetchone())[0] >= minimum)

    with package.tenant("globex"):
        arguments = count.stamp(minimum=1)
    assert count(**arguments)
    with pytest.raises(JobRefused):
        count(minimum=1)

    async def main() -> None:
        async with package.tenant("globex"):
            stamped = await acount.astamp(minimum=1)
        assert stamped == arguments
        assert await acount(**stamped)
        await package.aclose()

    asyncio.run(main())


def test_asyncio(dev: Dev, make_tenant: Any, tenantry_factory: TenantFactory) -> None:
    made: MadeTenant = make_tenant()

    async def main() -> None:
        tenantry = AsyncTenantry(dev.settings())
        async with tenantry.tenant(made.tenant):
            arguments = await jobs.astamp({"number": 2}, tenantry)

        async def work(number: int) -> int:
            async with tenantry.transaction() as tx:
                await tx.execute("SELECT 1")
            return number

        assert await jobs.arun(work, arguments, tenantry) == 2
        await asyncio.to_thread(tenantry_factory.suspend, made)
        with pytest.raises(JobHeld):
            await jobs.arun(work, arguments, tenantry)
        await tenantry.close()

    asyncio.run(main())
