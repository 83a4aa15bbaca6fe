"""The facade: who is served, and the transactions in which it happens.

`Tenantry` is for threads, `AsyncTenantry` for asyncio. The module functions of `tenantry` use one of each, made from
the environment when first needed, or from what `configure` was given.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg import pq
from psycopg.abc import AdaptContext
from psycopg.adapt import AdaptersMap

from tenantry import context
from tenantry.aclient import AsyncClient
from tenantry.apool import AsyncPool
from tenantry.client import Client
from tenantry.connection import TenantAsyncConnection, TenantConnection
from tenantry.errors import SettingsInvalid, TenantMismatch, not_open
from tenantry.known import Look
from tenantry.model import Tenant, is_tenant
from tenantry.pool import Pool
from tenantry.requests import Query
from tenantry.session import Renewal
from tenantry.settings import Settings

C = TypeVar("C", TenantConnection, TenantAsyncConnection)


@dataclass(frozen=True, slots=True)
class _Open:
    """A transaction that is open here, and who may nest in it."""

    conn: Any
    owner: object


_open: ContextVar[_Open | None] = ContextVar("tenantry_transaction", default=None)


class Tenantry:
    """Tenants' transactions for threads. One per process is enough; it is safe for threads and forks."""

    def __init__(self, settings: Settings | None = None, *, client: Client | None = None) -> None:
        self.client = client or Client(settings)
        self.settings = self.client.settings
        self.pool = Pool(self.client)

    def find(self, name: str, look: Look = Look.CACHED) -> Tenant:
        """The tenant of this slug, id or uuid, in whatever state. Raises `TenantNotFound`."""
        return self.client.resolve(_query(name), look)

    @contextmanager
    def tenant(self, name: str | Tenant) -> Iterator[Tenant]:
        """Makes a tenant the current one for the block: for scripts, jobs and tests; requests use the middleware.

        Raises `TenantNotFound` or, if it is not open, `TenantNotOpen`.
        """
        found = name if isinstance(name, Tenant) else self.find(name)
        with context.scope(_admitted(found)):
            yield found

    @contextmanager
    def transaction(self) -> Iterator[TenantConnection]:
        """The current tenant's transaction: committed at the end of the block, undone if the block raises.

        Inside of another one of the same tenant it is a savepoint. Raises `TenantScopeMissing` without a tenant.
        """
        tenant = context.current()
        outer = _open.get()
        if outer is not None and outer.owner == (threading.get_ident(), _task()) and not outer.conn.closed:
            _same(outer.conn, tenant)
            if isinstance(outer.conn, TenantConnection):
                with outer.conn.transaction():
                    yield outer.conn
                return
        conn = self.pool.admit(tenant)
        token = _open.set(_Open(conn, (threading.get_ident(), _task())))
        try:
            yield conn
            _must_not_have_failed(conn)
            conn.commit()
        except Exception:
            with suppress(psycopg.Error):
                conn.rollback()
            raise
        finally:
            with suppress(ValueError):
                _open.reset(token)
            # Not at rest, because it was interrupted or the rollback failed: then it is closed.
            conn.end()

    def connect(self, adapters: AdaptContext | None = None) -> TenantConnection:
        """A connection for an object mapper: inside of a transaction of the current tenant, and after its end in a new
        one of the same tenant with the next statement. Close it to give it back."""
        return _adapted(self.pool.admit(context.current(), Renewal.ENTERED), adapters)

    def close(self) -> None:
        """Closes unused connections."""
        self.pool.close()
        self.client.close()


class AsyncTenantry:
    """Tenants' transactions for asyncio. One per event loop."""

    def __init__(self, settings: Settings | None = None, *, client: AsyncClient | None = None) -> None:
        self.client = client or AsyncClient(settings)
        self.settings = self.client.settings
        self.pool = AsyncPool(self.client)

    async def find(self, name: str, look: Look = Look.CACHED) -> Tenant:
        """The tenant of this slug, id or uuid, in whatever state. Raises `TenantNotFound`."""
        return await self.client.resolve(_query(name), look)

    @asynccontextmanager
    async def tenant(self, name: str | Tenant) -> AsyncIterator[Tenant]:
        """Makes a tenant the current one for the block. As `Tenantry.tenant`."""
        found = name if isinstance(name, Tenant) else await self.find(name)
        with context.scope(_admitted(found)):
            yield found

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[TenantAsyncConnection]:
        """The current tenant's transaction, as `Tenantry.transaction`. A cancelled one closes its connection."""
        tenant = context.current()
        outer = _open.get()
        if outer is not None and outer.owner == (threading.get_ident(), _task()) and not outer.conn.closed:
            _same(outer.conn, tenant)
            if isinstance(outer.conn, TenantAsyncConnection):
                async with outer.conn.transaction():
                    yield outer.conn
                return
        conn = await self.pool.admit(tenant)
        token = _open.set(_Open(conn, (threading.get_ident(), _task())))
        try:
            yield conn
            _must_not_have_failed(conn)
            await conn.commit()
        except Exception:
            with suppress(psycopg.Error):
                await conn.rollback()
            raise
        finally:
            with suppress(ValueError):
                _open.reset(token)
            conn.end()

    async def connect(self, adapters: AdaptContext | None = None) -> TenantAsyncConnection:
        """A connection for an object mapper, as `Tenantry.connect`."""
        return _adapted(await self.pool.admit(context.current(), Renewal.ENTERED), adapters)

    async def close(self) -> None:
        """Closes unused connections."""
        self.pool.close()
        await self.client.close()


def _query(name: str) -> Query:
    # What cannot be a name is nobody's, and is not worth a request.
    return Query(tenant=name) if is_tenant(name) else Query()


def _admitted(tenant: Tenant) -> Tenant:
    if not tenant.is_open:
        raise not_open(tenant.slug, tenant.state)
    outer = _open.get()
    if outer is not None and not outer.conn.closed and outer.owner == (threading.get_ident(), _task()):
        _same(outer.conn, tenant)
    return tenant


def _same(conn: Any, tenant: Tenant) -> None:
    if conn.lease.tenant.uuid != tenant.uuid:
        raise TenantMismatch(
            f"a transaction of tenant `{conn.lease.tenant.slug}` is open here; end it before `{tenant.slug}` is served"
        )


def _must_not_have_failed(conn: Any) -> None:
    # COMMIT of a failed transaction succeeds and undoes it: work would be lost without a word.
    if conn.pgconn.transaction_status == pq.TransactionStatus.INERROR:
        raise psycopg.errors.InFailedSqlTransaction("a statement failed before, so the transaction was undone")


def _adapted(conn: C, adapters: AdaptContext | None) -> C:
    if adapters is not None:
        conn._adapters = AdaptersMap(adapters.adapters)
    return conn


def _task() -> object:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


class Defaults:
    """The instances behind the module functions: one for threads, one per event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settings: Settings | None = None
        self._sync: Tenantry | None = None
        self._loops: dict[int, tuple[asyncio.AbstractEventLoop, AsyncTenantry]] = {}

    def configure(self, settings: Settings | None = None, **given: Any) -> Settings:
        """Sets what new instances are made from; `given` are fields of `Settings`, the rest is the environment's."""
        if settings is not None and given:
            raise SettingsInvalid("give settings or fields, not both")
        with self._lock:
            self._settings = settings or Settings.from_env(**given)
            old, self._sync = self._sync, None
            # Event loops go on with what they have until it is closed there.
            chosen = self._settings
        if old is not None:
            old.close()
        return chosen

    def sync(self) -> Tenantry:
        """The instance for threads."""
        with self._lock:
            if self._sync is None:
                self._sync = Tenantry(self._settings or Settings.from_env())
            return self._sync

    def close(self) -> None:
        """Closes the instance for threads; the next use makes another one."""
        with self._lock:
            old, self._sync = self._sync, None
        if old is not None:
            old.close()

    async def aclose(self) -> None:
        """Closes the instance of the running event loop."""
        with self._lock:
            entry = self._loops.pop(id(asyncio.get_running_loop()), None)
        if entry is not None:
            await entry[1].close()

    def asynchronous(self) -> AsyncTenantry:
        """The instance of the running event loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            for number, (known, _) in list(self._loops.items()):
                if known.is_closed():
                    del self._loops[number]
            entry = self._loops.get(id(loop))
            if entry is None or entry[0] is not loop:
                entry = self._loops[id(loop)] = (loop, AsyncTenantry(self._settings or Settings.from_env()))
            return entry[1]


defaults = Defaults()
"""What `tenantry.configure`, `tenantry.tenant` and `tenantry.transaction` use."""


class Block:
    """A block for `with` and for `async with`."""

    def __init__(self, what: str, *arguments: Any) -> None:
        self._what = what
        self._arguments = arguments
        self._entered: Any = None

    def __enter__(self) -> Any:
        self._entered = getattr(defaults.sync(), self._what)(*self._arguments)
        return self._entered.__enter__()

    def __exit__(self, *error: Any) -> bool | None:
        answer: bool | None = self._entered.__exit__(*error)
        return answer

    async def __aenter__(self) -> Any:
        self._entered = getattr(defaults.asynchronous(), self._what)(*self._arguments)
        return await self._entered.__aenter__()

    async def __aexit__(self, *error: Any) -> bool | None:
        answer: bool | None = await self._entered.__aexit__(*error)
        return answer


def tenant(name: str | Tenant) -> Block:
    """Makes a tenant the current one: `with tenantry.tenant("acme"):` or `async with`."""
    return Block("tenant", name)


def transaction() -> Block:
    """The current tenant's transaction: `with tenantry.transaction() as tx:` or `async with`."""
    return Block("transaction")


def configure(settings: Settings | None = None, **given: Any) -> Settings:
    """Sets what the module functions use, see `Defaults.configure`."""
    return defaults.configure(settings, **given)


def close() -> None:
    """Closes what the module functions have opened for threads; for the end of a program."""
    defaults.close()


async def aclose() -> None:
    """Closes what the module functions have opened on this event loop; for a server's shutdown."""
    await defaults.aclose()
