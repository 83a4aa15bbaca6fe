"""Guarded code fails when a statement runs outside of a tenant's transaction, whichever library sends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from sqlalchemy import create_engine as plain_engine
from sqlalchemy import text
from sqlalchemy.pool import NullPool
from world import Dev, canary

import tenantry as package
from tenantry import AsyncTenantry, Tenantry, TenantScopeMissing, enforce_tenant_isolation
from tenantry.sqlalchemy import session


def url(dev: Dev) -> str:
    password = (dev.data / "postgres.password").read_text().strip()
    return f"postgresql://postgres:{password}@127.0.0.1:{dev.pg_port}/tn_prod_chat"


def test_scoped_statements_pass(tenantry: Tenantry) -> None:
    @enforce_tenant_isolation
    def plain() -> list[str]:
        with tenantry.transaction() as tx:
            return [row[0] for row in tx.execute("SELECT body FROM messages WHERE body LIKE 'canary-%'")]

    @enforce_tenant_isolation
    def mapped() -> list[str]:
        with session(tenantry) as s:
            return list(s.scalars(text("SELECT body FROM messages WHERE body LIKE 'canary-%'")))

    with tenantry.tenant("acme"):
        assert plain() == mapped() == [canary("acme")]


def test_a_statement_on_a_connection_of_ones_own_is_refused_before_it_is_sent(dev: Dev) -> None:
    with dev.superuser() as other:
        other.execute("CREATE TABLE IF NOT EXISTS public.guard_log (note text)")

        @enforce_tenant_isolation
        def unsafe() -> None:
            other.execute("INSERT INTO public.guard_log VALUES ('it ran')")

        with pytest.raises(TenantScopeMissing, match="unsafe"):
            unsafe()
        for use in ("executemany", "stream", "copy"):

            @enforce_tenant_isolation
            def others(use: str = use) -> None:
                cursor = other.cursor()
                if use == "executemany":
                    cursor.executemany("INSERT INTO public.guard_log VALUES (%s)", [("x",)])
                elif use == "stream":
                    list(cursor.stream("INSERT INTO public.guard_log VALUES ('x') RETURNING 1"))
                else:
                    with cursor.copy("COPY public.guard_log FROM STDIN") as copy:
                        copy.write("x\n")

            with pytest.raises(TenantScopeMissing):
                others()
        # Unguarded code is left alone.
        assert other.execute("SELECT count(*) FROM public.guard_log").fetchone() == (0,)
        other.execute("DROP TABLE public.guard_log")


def test_a_swallowed_refusal_still_fails_the_call(dev: Dev) -> None:
    with dev.superuser() as other:

        @enforce_tenant_isolation
        def swallows() -> str:
            try:
                other.execute("SELECT 1")
            except Exception:
                return "all is well"
            return "it ran"

        with pytest.raises(TenantScopeMissing, match="swallowed 1"):
            swallows()


def test_an_engine_of_ones_own_is_watched_too(dev: Dev) -> None:
    engine = plain_engine(url(dev).replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
    sqlite = plain_engine("sqlite://")
    # An engine's first connection asks the server who it is, and is not closed when that is refused.
    engine.connect().close()
    sqlite.connect().close()

    @enforce_tenant_isolation
    def postgres() -> None:
        with engine.connect() as conn:
            conn.execute(text("SELECT 1"))

    @enforce_tenant_isolation
    def other_driver() -> None:
        with sqlite.connect() as conn:
            conn.execute(text("SELECT 1"))

    for unsafe in (postgres, other_driver):
        with pytest.raises(TenantScopeMissing):
            unsafe()
    with sqlite.connect() as conn:
        assert conn.scalar(text("SELECT 1")) == 1
    sqlite.dispose()


def test_nested_guards_report_to_the_outer_one(dev: Dev) -> None:
    with dev.superuser() as other:

        @enforce_tenant_isolation
        def inner() -> None:
            other.execute("SELECT 1")

        @enforce_tenant_isolation
        def outer() -> None:
            try:
                inner()
            except TenantScopeMissing:
                pass

        with pytest.raises(TenantScopeMissing, match="outer"):
            outer()


def test_async_functions(dev: Dev, seeded: None) -> None:
    async def main() -> None:
        tenantry = AsyncTenantry(dev.settings())

        @enforce_tenant_isolation
        async def safe() -> object:
            async with tenantry.transaction() as tx:
                return await (await tx.execute("SELECT 1")).fetchone()

        @enforce_tenant_isolation
        async def unsafe() -> None:
            async with await psycopg.AsyncConnection.connect(url(dev)) as conn:
                await conn.execute("SELECT 1")

        async with tenantry.tenant("acme"):
            assert await safe() == (1,)
            with pytest.raises(TenantScopeMissing):
                await unsafe()
        with pytest.raises(TenantScopeMissing):
            await safe()
        await tenantry.close()

    asyncio.run(main())


def test_generators_cannot_be_guarded() -> None:
    def rows() -> Iterator[int]:
        yield 1

    async def arows() -> AsyncIterator[int]:
        yield 1

    for generator in (rows, arows):
        with pytest.raises(TypeError):
            enforce_tenant_isolation(generator)


def test_the_mark_is_seen() -> None:
    @enforce_tenant_isolation
    def marked() -> None:
        """Doc."""

    assert marked.__tenantry_guarded__  # type: ignore[attr-defined]
    assert marked.__doc__ == "Doc."
    assert package.enforce_tenant_isolation is enforce_tenant_isolation
