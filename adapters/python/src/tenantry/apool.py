"""Connections for asyncio: the effects around `tenantry.admission` and `tenantry.ledger`, on one event loop.

INVARIANT: a session goes back only outside of a transaction and with nothing unanswered. Giving back and closing never
wait, so a cancelled task cannot stop half-way and leave a connection that nobody owns.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

from tenantry import admission
from tenantry.aclient import AsyncClient
from tenantry.admission import AskCredential, AskRoute, Effects, Enter, Open, Say, Take
from tenantry.connection import TenantAsyncConnection
from tenantry.errors import TenantBusy
from tenantry.ledger import Ledger, Ticket
from tenantry.model import Route, Tenant
from tenantry.session import Renewal, Session, parameters


class AsyncPool:
    """Gives out connections that are inside of a tenant's transaction. Belongs to one event loop."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.settings = client.settings
        self._ledger = Ledger(self.settings)
        self._lost: deque[Session] = deque()
        self._effects = Effects(client.forget, self._expel, self._drop, self._give)

    async def admit(self, tenant: Tenant, renewal: Renewal = Renewal.REFUSED) -> TenantAsyncConnection:
        """A connection inside of an entered transaction of the tenant. Close it to give it back.

        Raises what `tenantry.admission.admit` raises; nothing was run then.
        """
        steps = admission.admit(tenant, renewal, self._effects)
        try:
            wish = next(steps)
            while True:
                try:
                    answer = await self._do(tenant, wish)
                except BaseException as error:
                    wish = steps.throw(error)
                else:
                    wish = steps.send(answer)
        except StopIteration as end:
            conn: TenantAsyncConnection = end.value
            return conn

    def close(self) -> None:
        """Closes what is at rest. What is in use is closed when it comes back late, or goes on."""
        _finish(self._ledger.clear())

    @property
    def ledger(self) -> Ledger:
        """The bookkeeping, for figures."""
        return self._ledger

    async def _do(self, tenant: Tenant, wish: Any) -> Any:
        if isinstance(wish, AskRoute):
            return await self.client.route(tenant.id, wish.look)
        if isinstance(wish, AskCredential):
            return await self.client.credential(wish.route.secret_ref, wish.refused)
        if isinstance(wish, Take):
            return await self._take(wish.route)
        if isinstance(wish, Open):
            return await self._open(wish)
        if isinstance(wish, Enter):
            return await wish.conn.enter()
        if isinstance(wish, Say):
            return await _say(wish)
        raise TypeError(type(wish).__name__)

    async def _take(self, route: Route) -> Session:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def end() -> None:
            if not ready.done():
                ready.set_result(None)

        ticket = Ticket(route, end)
        self._ledger.ask(ticket)
        self._settle()
        alarm = loop.call_later(self.settings.wait_seconds, end)
        try:
            if ticket.session is None and not ticket.refused:
                await ready
        except BaseException:
            got = self._ledger.withdraw(ticket)
            if got is not None:
                self._give(got)
            raise
        finally:
            alarm.cancel()
        if ticket.session is None:
            ticket.raise_if_refused()
            self._ledger.withdraw(ticket)
            raise TenantBusy("no connection became free in time")
        return ticket.session

    async def _open(self, wish: Open) -> TenantAsyncConnection:
        session = wish.lease.session
        if session.pgconn is None:
            given = parameters(wish.lease.route, wish.credential, self.settings)
            conn = await TenantAsyncConnection.connect(autocommit=True, prepare_threshold=None, **given)
            session.pgconn = conn.pgconn
            session.credential = wish.credential
        else:
            conn = TenantAsyncConnection(session.pgconn)
        conn.bind(wish.lease, self._give, self._lost, admission.refusal)
        return conn

    def _give(self, session: Session) -> None:
        self._ledger.give(session, time.monotonic())
        self._settle()

    def _drop(self, session: Session) -> None:
        self._ledger.drop(session)
        self._settle()

    def _expel(self, route: Route) -> None:
        self._ledger.forget(route.login)
        self._settle()

    def _settle(self) -> None:
        while self._lost:
            self._ledger.drop(self._lost.popleft())
        _finish(self._ledger.settle(time.monotonic()))


async def _say(wish: Say) -> Any:
    await wish.conn.set_autocommit(True)
    cursor = await wish.conn.execute(wish.sql, wish.parameters, prepare=False)
    row = await cursor.fetchone() if cursor.description else None
    await wish.conn.set_autocommit(False)
    return row


def _finish(sessions: list[Session]) -> None:
    for session in sessions:
        session.finish()
