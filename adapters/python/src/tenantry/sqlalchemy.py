"""SQLAlchemy 2: engines whose connections come inside of the current tenant's transaction.

```python
from tenantry.sqlalchemy import TenantScoped, session

class Message(TenantScoped, Base): ...

with tenantry.tenant("acme"), session() as s:
    s.scalars(Message.for_current_tenant().order_by(Message.id)).all()
```

One engine serves all tenants at all levels. A connection belongs to the tenant that was current when it was taken; a
query without a tenant raises `TenantScopeMissing` before it is sent. Transactions are READ COMMITTED: the tenant is let
in by the first statement, after which the level cannot be changed; AUTOCOMMIT is refused.
"""

from __future__ import annotations

import threading
import uuid
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import sqlalchemy
from sqlalchemy import Engine, Select, Uuid, select
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Mapped, Session, declared_attr, mapped_column
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import FetchedValue

from tenantry import context
from tenantry.engine import AsyncTenantry, Tenantry, defaults

_lock = threading.Lock()
_engines: weakref.WeakKeyDictionary[Tenantry, Engine] = weakref.WeakKeyDictionary()
_async_engines: weakref.WeakKeyDictionary[AsyncTenantry, AsyncEngine] = weakref.WeakKeyDictionary()

TENANT_COLUMN = "tenant_id"


class TenantPlaced:
    """For models of apps whose tables have no tenant column (levels schema and database)."""

    @classmethod
    def for_current_tenant(cls) -> Select[Any]:
        """A `select` of the current tenant's rows. Raises `TenantScopeMissing` without a tenant."""
        context.current()
        return select(cls)


class TenantScoped(TenantPlaced):
    """Adds `tenant_id`, filled by the database from the transaction's tenant, as the first part of the primary key.

    Leave it out of constructors; another tenant's id is refused by the database.
    """

    @declared_attr
    def tenant_id(cls) -> Mapped[uuid.UUID]:
        """The tenant that the row belongs to."""
        return mapped_column(TENANT_COLUMN, Uuid, FetchedValue(), primary_key=True, sort_order=-1)

    @classmethod
    def for_current_tenant(cls) -> Select[Any]:
        """A `select` of the current tenant's rows. Raises `TenantScopeMissing` without a tenant.

        The database would show no others; the condition tells the planner whose they are.
        """
        return select(cls).where(cls.tenant_id == context.current().uuid)


def create_engine(tenantry: Tenantry | None = None, **options: Any) -> Engine:
    """An engine for all tenants. `options` are SQLAlchemy's, except for pool and creator, which are Tenantry's."""
    serving = tenantry

    def connect() -> Any:
        adapters = getattr(engine.dialect, "_psycopg_adapters_map", None)
        return (serving or defaults.sync()).connect(adapters)

    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=connect, poolclass=NullPool, use_native_hstore=False, **options
    )
    return engine


def create_async_engine(tenantry: AsyncTenantry | None = None, **options: Any) -> AsyncEngine:
    """`create_engine` for asyncio."""
    serving = tenantry

    async def connect() -> Any:
        adapters = getattr(engine.dialect, "_psycopg_adapters_map", None)
        return await (serving or defaults.asynchronous()).connect(adapters)

    engine = sqlalchemy_asyncio.create_async_engine(
        "postgresql+psycopg://", async_creator=connect, poolclass=NullPool, use_native_hstore=False, **options
    )
    return engine


@contextmanager
def session(tenantry: Tenantry | None = None, **options: Any) -> Iterator[Session]:
    """A session in the current tenant's transaction: committed at the end of the block, undone if it raises.

    Raises `TenantScopeMissing` without a tenant. `options` are those of `sqlalchemy.orm.Session`.
    """
    context.current()
    with Session(_engine(tenantry or defaults.sync()), **options) as opened, opened.begin():
        yield opened


@asynccontextmanager
async def async_session(tenantry: AsyncTenantry | None = None, **options: Any) -> AsyncIterator[AsyncSession]:
    """`session` for asyncio."""
    context.current()
    options.setdefault("expire_on_commit", False)
    async with AsyncSession(_async_engine(tenantry or defaults.asynchronous()), **options) as opened, opened.begin():
        yield opened


def _engine(tenantry: Tenantry) -> Engine:
    with _lock:
        engine = _engines.get(tenantry)
        if engine is None:
            reference = weakref.ref(tenantry)
            engine = _engines[tenantry] = create_engine(_Weak(reference))  # type: ignore[arg-type]
        return engine


def _async_engine(tenantry: AsyncTenantry) -> AsyncEngine:
    with _lock:
        engine = _async_engines.get(tenantry)
        if engine is None:
            reference = weakref.ref(tenantry)
            engine = _async_engines[tenantry] = create_async_engine(_Weak(reference))  # type: ignore[arg-type]
        return engine


class _Weak:
    """Keeps an engine in the table from keeping its own key alive."""

    def __init__(self, reference: weakref.ref[Any]) -> None:
        self._reference = reference

    def connect(self, adapters: Any) -> Any:
        tenantry = self._reference()
        if tenantry is None:
            raise ReferenceError("the Tenantry of this engine is gone")
        return tenantry.connect(adapters)
