"""Guarded code: a decorator that fails when a statement runs without an entered tenant's transaction.

The package's own connections refuse such statements everywhere. The decorator watches the others too: any psycopg
cursor and any SQLAlchemy engine of any driver, wherever it came from. The statement is refused before it is sent, and
the call fails even if the code swallows the exception.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import psycopg

from tenantry.connection import TenantAsyncConnection, TenantConnection
from tenantry.errors import TenantScopeMissing

F = TypeVar("F", bound=Callable[..., Any])

_watch: ContextVar[Watch | None] = ContextVar("tenantry_guard", default=None)
_lock = threading.Lock()
_installed: set[str] = set()


class Watch:
    """What one guarded call saw. Nested calls report to the outer one as well."""

    def __init__(self, name: str, outer: Watch | None) -> None:
        self.name = name
        self.outer = outer
        self.escaped = 0

    def escape(self) -> TenantScopeMissing:
        """Notes a statement outside of a tenant's transaction; the exception to raise."""
        watch: Watch | None = self
        while watch is not None:
            watch.escaped += 1
            watch = watch.outer
        return TenantScopeMissing(f"guarded code `{self.name}` sends a statement without a tenant's transaction")


def enforce_tenant_isolation(function: F) -> F:
    """Marks a function, plain or `async`, as guarded.

    Raises `TenantScopeMissing` at the first statement that is not inside of a tenant's entered transaction, and at the
    end of the call if such a statement's exception was swallowed. Generators cannot be marked: their statements run
    when somebody else asks for the next item.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError("mark the function that reads the generator, not the generator")
    name = getattr(function, "__qualname__", repr(function))

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def watched(*args: Any, **kwargs: Any) -> Any:
            with watching(name):
                return await function(*args, **kwargs)
    else:

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            with watching(name):
                return function(*args, **kwargs)

    watched.__tenantry_guarded__ = True  # type: ignore[attr-defined]
    return watched  # type: ignore[return-value]


@contextmanager
def watching(name: str) -> Iterator[Watch]:
    """Guards a block, as `enforce_tenant_isolation` guards a function."""
    _install()
    watch = Watch(name, _watch.get())
    token = _watch.set(watch)
    try:
        yield watch
    finally:
        _watch.reset(token)
    if watch.escaped:
        raise TenantScopeMissing(f"guarded code `{name}` swallowed {watch.escaped} refusals of unscoped statements")


def _judge(conn: Any) -> None:
    watch = _watch.get()
    if watch is None:
        return
    if isinstance(conn, TenantConnection | TenantAsyncConnection) and conn.lease is not None:
        # Its own judge has looked at the statement already, or is letting the tenant in.
        return
    raise watch.escape()


def _install() -> None:
    with _lock:
        if "psycopg" not in _installed:
            _installed.add("psycopg")
            for kind in (psycopg.Cursor, psycopg.ServerCursor, psycopg.AsyncCursor, psycopg.AsyncServerCursor):
                for method in ("execute", "executemany", "stream", "copy"):
                    if method in vars(kind):
                        setattr(kind, method, _judged(vars(kind)[method]))
        if "sqlalchemy" not in _installed and "sqlalchemy.engine" in sys.modules:
            _installed.add("sqlalchemy")
            from sqlalchemy import event
            from sqlalchemy.engine import Engine

            event.listen(Engine, "before_cursor_execute", _before_cursor_execute)


def _judged(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def judged(self: Any, *args: Any, **kwargs: Any) -> Any:
        _judge(self._conn)
        return method(self, *args, **kwargs)

    return judged


def _before_cursor_execute(conn: Any, cursor: Any, statement: Any, parameters: Any, execution: Any, many: Any) -> None:
    raw = conn.connection.driver_connection
    if not isinstance(raw, TenantConnection | TenantAsyncConnection):
        _judge(raw)
