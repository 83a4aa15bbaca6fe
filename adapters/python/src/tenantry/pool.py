"""Connections for threads: the effects around `tenantry.admission` and `tenantry.ledger`.

INVARIANT: a session goes back only outside of a transaction and with nothing unanswered; whatever else happened to it,
it is closed.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import Any

from tenantry import admission
from tenantry.admission import AskCredential, AskRoute, Effects, Enter, Open, Say, Take
from tenantry.client import Client
from tenantry.connection import TenantConnection
from tenantry.errors import TenantBusy
from tenantry.ledger import Ledger, Ticket
from tenantry.model import Route, Tenant
from tenantry.session import Renewal, Session, parameters

_SLICE_SECONDS = 0.5
"""How often a waiting thread looks for connections that were dropped without being closed."""


class Pool:
    """Gives out connections that are inside of a tenant's transaction. Safe for threads and forks."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.settings = client.settings
        self._lock = threading.Lock()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._process = os.getpid()
        self._ledger = Ledger(self.settings)
        self._lost: deque[Session] = deque()
        self._effects = Effects(self.client.forget, self._expel, self._drop, self._give)

    def admit(self, tenant: Tenant, renewal: Renewal = Renewal.REFUSED) -> TenantConnection:
        """A connection inside of an entered transaction of the tenant. Close it to give it back.

        Raises what `tenantry.admission.admit` raises; nothing was run then.
        """
        steps = admission.admit(tenant, renewal, self._effects)
        try:
            wish = next(steps)
            while True:
                try:
                    answer = self._do(tenant, wish)
                except BaseException as error:
                    wish = steps.throw(error)
                else:
                    wish = steps.send(answer)
        except StopIteration as end:
            conn: TenantConnection = end.value
            return conn

    def close(self) -> None:
        """Closes what is at rest. What is in use is closed when it comes back late, or goes on."""
        with self._lock:
            closing = self._ledger.clear()
        _finish(closing)

    @property
    def ledger(self) -> Ledger:
        """The bookkeeping, for figures."""
        return self._ledger

    def _do(self, tenant: Tenant, wish: Any) -> Any:
        if isinstance(wish, AskRoute):
            return self.client.route(tenant.id, wish.look)
        if isinstance(wish, AskCredential):
            return self.client.credential(wish.route.secret_ref, wish.refused)
        if isinstance(wish, Take):
            return self._take(wish.route)
        if isinstance(wish, Open):
            return self._open(wish)
        if isinstance(wish, Enter):
            return wish.conn.enter()
        if isinstance(wish, Say):
            return _say(wish)
        raise TypeError(type(wish).__name__)

    def _take(self, route: Route) -> Session:
        if self._process != os.getpid():
            # The parent's connections are the parent's.
            self._lock = threading.Lock()
            self._begin_anew()
        ready = threading.Event()
        ticket = Ticket(route, ready.set)
        deadline = time.monotonic() + self.settings.wait_seconds
        with self._lock:
            self._ledger.ask(ticket)
        try:
            while True:
                self._settle()
                left = deadline - time.monotonic()
                if ready.wait(max(0.0, min(left, _SLICE_SECONDS))):
                    break
                if left <= 0:
                    raise TenantBusy("no connection became free in time")
        except BaseException:
            with self._lock:
                got = self._ledger.withdraw(ticket)
            if got is not None:
                self._give(got)
            raise
        if ticket.session is None:
            ticket.raise_if_refused()
            raise TenantBusy("no connection became free in time")
        return ticket.session

    def _open(self, wish: Open) -> TenantConnection:
        session = wish.lease.session
        if session.pgconn is None:
            given = parameters(wish.lease.route, wish.credential, self.settings)
            conn = TenantConnection.connect(autocommit=True, prepare_threshold=None, **given)
            session.pgconn = conn.pgconn
            session.credential = wish.credential
        else:
            conn = TenantConnection(session.pgconn)
        conn.bind(wish.lease, self._give, self._lost, admission.refusal)
        return conn

    def _give(self, session: Session) -> None:
        with self._lock:
            self._ledger.give(session, time.monotonic())
        self._settle()

    def _drop(self, session: Session) -> None:
        with self._lock:
            self._ledger.drop(session)
        self._settle()

    def _expel(self, route: Route) -> None:
        with self._lock:
            self._ledger.forget(route.login)
        self._settle()

    def _settle(self) -> None:
        with self._lock:
            while self._lost:
                self._ledger.drop(self._lost.popleft())
            closing = self._ledger.settle(time.monotonic())
        _finish(closing)


def _say(wish: Say) -> Any:
    wish.conn.autocommit = True
    cursor = wish.conn.execute(wish.sql, wish.parameters, prepare=False)
    row = cursor.fetchone() if cursor.description else None
    wish.conn.autocommit = False
    return row


def _finish(sessions: list[Session]) -> None:
    for session in sessions:
        session.finish()
