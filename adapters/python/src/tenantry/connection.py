"""The connections that applications get: psycopg's own, with a judge before each statement.

A statement that is not inside of the tenant's entered transaction raises before it is sent. Closing gives the session
back. Prepared statements are not used: a name outlives the tenant who gave it.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from tenantry.session import ENTER, Lease, Phase, Session

Refuse = Callable[[Lease, psycopg.Error], Exception]
"""Turns a refusal of `seal.enter` into the exception for the application."""


class _Leased:
    """What both kinds of connections share."""

    lease: Lease | None = None
    give_back: Callable[[Session], None] | None = None
    lost: deque[Session] | None = None
    refuse: Refuse | None = None

    def bind(self, lease: Lease, give_back: Callable[[Session], None], lost: deque[Session], refuse: Refuse) -> None:
        """Ties the object to a lease."""
        self.lease, self.give_back, self.lost, self.refuse = lease, give_back, lost, refuse

    def end(self) -> None:
        """Ends the lease; the session goes back if it is at rest, and is closed otherwise. Never waits."""
        lease, give_back = self.lease, self.give_back
        if lease is None or lease.phase is Phase.ENDED:
            return
        lease.phase = Phase.ENDED
        if give_back is not None:
            give_back(lease.session)

    def untie(self) -> None:
        """Takes the lease away: another object goes on with it."""
        self.lease = self.give_back = self.lost = None

    def abandon(self) -> None:
        """Ends a lease that nobody ended. Runs whenever the collector wants, so it takes no lock."""
        if self.lost is not None and self.lease is not None and self.lease.phase is not Phase.ENDED:
            self.lease.phase = Phase.ENDED
            self.lost.append(self.lease.session)
            warnings.warn(f"{type(self).__name__} was dropped without close()", ResourceWarning, stacklevel=2)

    @property
    def has_ended(self) -> bool:
        """Whether the lease is over."""
        return self.lease is not None and self.lease.phase is Phase.ENDED

    def must_enter(self) -> bool:
        """Judges the next statement, see `Lease.must_enter`."""
        return self.lease is not None and self.lease.must_enter(self)  # type: ignore[arg-type]

    def refused(self, error: psycopg.Error) -> Exception:
        """What the application gets when the tenant is not let in again."""
        if self.lease is None or self.refuse is None:
            return error
        return self.refuse(self.lease, error)


class JudgedCursor:
    """Puts the judge before a cursor's statements; mix it in before any of psycopg's cursors."""

    _conn: Any

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """As psycopg's."""
        _ready(self._conn)
        return super().execute(*args, **kwargs)  # type: ignore[misc]

    def executemany(self, *args: Any, **kwargs: Any) -> Any:
        """As psycopg's."""
        _ready(self._conn)
        return super().executemany(*args, **kwargs)  # type: ignore[misc]

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """As psycopg's."""
        _ready(self._conn)
        rows: Iterator[Any] = super().stream(*args, **kwargs)  # type: ignore[misc]
        return rows

    def copy(self, *args: Any, **kwargs: Any) -> AbstractContextManager[psycopg.Copy]:
        """As psycopg's."""
        _ready(self._conn)
        block: AbstractContextManager[psycopg.Copy] = super().copy(*args, **kwargs)  # type: ignore[misc]
        return block


class TenantCursor(JudgedCursor, psycopg.Cursor[Any]):  # type: ignore[misc]
    """A cursor that refuses statements outside of the tenant's transaction."""


class TenantServerCursor(JudgedCursor, psycopg.ServerCursor[Any]):  # type: ignore[misc]
    """A server-side cursor that refuses statements outside of the tenant's transaction."""


class TenantConnection(_Leased, psycopg.Connection[Any]):
    """A connection that serves one tenant until it is closed, which gives it back."""

    def __init__(self, pgconn: Any, row_factory: Any = tuple_row) -> None:
        super().__init__(pgconn, row_factory)
        self.cursor_factory = TenantCursor
        self.server_cursor_factory = TenantServerCursor
        self._prepared.prepare_threshold = None

    def wait(self, *args: Any, **kwargs: Any) -> Any:
        """Everything that is sent passes here, so an ended lease reaches nobody's transaction."""
        if self.has_ended:
            args[0].close()
            raise psycopg.OperationalError("the connection was closed")
        return super().wait(*args, **kwargs)

    def enter(self) -> None:
        """Lets the tenant in: BEGIN and `seal.enter` in one round trip."""
        assert self.lease is not None  # noqa: S101 - bound before anybody can call
        self.lease.phase = Phase.ARRIVING
        try:
            if psycopg.Pipeline.is_supported():
                with self.pipeline():
                    self.execute(ENTER, self.lease.token_parameters(), prepare=False)
            else:
                self.execute(ENTER, self.lease.token_parameters(), prepare=False)
        except BaseException:
            with suppress(psycopg.Error):
                self.rollback()
            raise
        self.lease.phase = Phase.OPEN

    def close(self) -> None:
        """Gives the session back."""
        if self.lease is None:
            super().close()
        self.end()

    @property
    def closed(self) -> bool:
        """Whether it was given back, or the server is gone."""
        return self.has_ended or super().closed

    def __del__(self) -> None:  # type: ignore[override]
        self.abandon()


class TenantAsyncCursor(psycopg.AsyncCursor[Any]):
    """A cursor that refuses statements outside of the tenant's transaction."""

    async def execute(self, *args: Any, **kwargs: Any) -> TenantAsyncCursor:
        """As psycopg's."""
        await _aready(self._conn)
        await super().execute(*args, **kwargs)
        return self

    async def executemany(self, *args: Any, **kwargs: Any) -> None:
        """As psycopg's."""
        await _aready(self._conn)
        await super().executemany(*args, **kwargs)

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """As psycopg's."""
        await _aready(self._conn)
        async for row in super().stream(*args, **kwargs):
            yield row

    def copy(  # type: ignore[override]
        self, *args: Any, **kwargs: Any
    ) -> AbstractAsyncContextManager[psycopg.AsyncCopy]:
        """As psycopg's. It begins no transaction: run a statement first where the last one has ended."""
        if isinstance(self._conn, TenantAsyncConnection) and self._conn.must_enter():
            raise psycopg.OperationalError("COPY needs a transaction that has begun")
        return super().copy(*args, **kwargs)


class TenantAsyncServerCursor(psycopg.AsyncServerCursor[Any]):
    """A server-side cursor that refuses statements outside of the tenant's transaction."""

    async def execute(self, *args: Any, **kwargs: Any) -> TenantAsyncServerCursor:
        """As psycopg's."""
        await _aready(self._conn)
        await super().execute(*args, **kwargs)
        return self


class TenantAsyncConnection(_Leased, psycopg.AsyncConnection[Any]):
    """A connection that serves one tenant until it is closed, which gives it back."""

    def __init__(self, pgconn: Any, row_factory: Any = tuple_row) -> None:
        super().__init__(pgconn, row_factory)
        self.cursor_factory = TenantAsyncCursor
        self.server_cursor_factory = TenantAsyncServerCursor
        self._prepared.prepare_threshold = None

    async def wait(self, *args: Any, **kwargs: Any) -> Any:
        """Everything that is sent passes here, so an ended lease reaches nobody's transaction."""
        if self.has_ended:
            args[0].close()
            raise psycopg.OperationalError("the connection was closed")
        return await super().wait(*args, **kwargs)

    async def enter(self) -> None:
        """Lets the tenant in: BEGIN and `seal.enter` in one round trip."""
        assert self.lease is not None  # noqa: S101 - bound before anybody can call
        self.lease.phase = Phase.ARRIVING
        try:
            if psycopg.AsyncPipeline.is_supported():
                async with self.pipeline():
                    await self.execute(ENTER, self.lease.token_parameters(), prepare=False)
            else:
                await self.execute(ENTER, self.lease.token_parameters(), prepare=False)
        except Exception:
            with suppress(psycopg.Error):
                await self.rollback()
            raise
        self.lease.phase = Phase.OPEN

    async def close(self) -> None:
        """Gives the session back. Does not wait, so it cannot be cancelled half-way."""
        if self.lease is None:
            await super().close()
        self.end()

    @property
    def closed(self) -> bool:
        """Whether it was given back, or the server is gone."""
        return self.has_ended or super().closed

    def __del__(self) -> None:  # type: ignore[override]
        self.abandon()


def _ready(conn: Any) -> None:
    if isinstance(conn, TenantConnection) and conn.must_enter():
        try:
            conn.enter()
        except psycopg.Error as error:
            raise conn.refused(error) from error


async def _aready(conn: Any) -> None:
    if isinstance(conn, TenantAsyncConnection) and conn.must_enter():
        try:
            await conn.enter()
        except psycopg.Error as error:
            raise conn.refused(error) from error
