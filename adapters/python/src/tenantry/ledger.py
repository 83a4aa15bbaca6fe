"""Who gets a connection next. Pure bookkeeping: no I/O, no lock, time is an argument.

Bounds: of the process, of each login, of each tenant at a login. Among those who wait, the tenant with the fewest
connections in use is first, and among equals who came first. So a tenant that asks for everything waits for itself.
On a login that tenants share, one of them never has the last connection. Where more wait than may, the last caller of
whoever waits most is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tenantry.errors import TenantBusy
from tenantry.model import Login, Route
from tenantry.session import Session
from tenantry.settings import Settings


@dataclass(eq=False, slots=True)
class Ticket:
    """A wish for a connection. `wake` is called once, when `session` or `refused` is set."""

    route: Route
    wake: Callable[[], None]
    session: Session | None = None
    refused: bool = False

    def raise_if_refused(self) -> None:
        """Raises `TenantBusy` when too many waited."""
        if self.refused:
            raise TenantBusy("too many callers wait for a connection")

    @property
    def whose(self) -> tuple[Login, object]:
        """Login and tenant."""
        return (self.route.login, self.route.uuid)


class Ledger:
    """All sessions of a process, at rest and in use, and the tickets that wait."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rest: dict[Login, list[Session]] = {}
        self._open: Counter[Login] = Counter()
        self._used: Counter[tuple[Login, object]] = Counter()
        self._holders: dict[Session, tuple[Login, object]] = {}
        self._waiting: list[Ticket] = []
        self._closing: list[Session] = []

    def ask(self, ticket: Ticket) -> None:
        """Queues a ticket; call `settle` next, which serves it, lets it wait, or refuses it."""
        self._waiting.append(ticket)

    def withdraw(self, ticket: Ticket) -> Session | None:
        """Takes a ticket back; the session it got meanwhile, which the caller owns then."""
        if ticket in self._waiting:
            self._waiting.remove(ticket)
        return ticket.session

    def give(self, session: Session, now: float) -> None:
        """Takes a session back. Only one that is at rest and not too old is kept."""
        if session not in self._holders:
            # It belongs to the parent process.
            self._closing.append(session)
            return
        if not session.is_at_rest or now - session.born > self._settings.lifetime_seconds:
            self.drop(session)
            return
        self._release(session)
        session.rested = now
        self._rest.setdefault(session.login, []).append(session)

    def drop(self, session: Session) -> None:
        """Takes a session back that nobody may use again."""
        if session not in self._holders:
            self._closing.append(session)
            return
        self._release(session)
        self._discard(session)

    def settle(self, now: float) -> list[Session]:
        """Serves who can be served. Gives the sessions to close: do so outside of any lock."""
        self._prune(now)
        while (ticket := self._next(now)) is not None:
            ticket.wake()
        while len(self._waiting) > self._settings.waiting:
            ticket = self._one_too_many()
            self._waiting.remove(ticket)
            ticket.refused = True
            ticket.wake()
        closing, self._closing = self._closing, []
        return closing

    def forget(self, login: Login) -> None:
        """Closes what is at rest at a login, whose password or key was changed."""
        for session in self._rest.pop(login, []):
            self._discard(session)

    def clear(self) -> list[Session]:
        """Closes everything that is at rest."""
        for login in list(self._rest):
            self.forget(login)
        closing, self._closing = self._closing, []
        return closing

    @property
    def open(self) -> int:
        """How many sessions there are."""
        return sum(self._open.values())

    @property
    def at_rest(self) -> int:
        """How many of them nobody uses."""
        return sum(len(sessions) for sessions in self._rest.values())

    @property
    def waiting(self) -> int:
        """How many callers wait."""
        return len(self._waiting)

    def used_by(self, route: Route) -> int:
        """How many sessions a tenant uses."""
        return self._used[(route.login, route.uuid)]

    def tenant_most(self, route: Route) -> int:
        """How many sessions a tenant may use."""
        asked = self._settings.tenant_connections if route.connections is None else route.connections
        most = self._settings.login_connections - (1 if route.shares_login else 0)
        return max(1, min(asked, most))

    def _one_too_many(self) -> Ticket:
        """The newest, unless another tenant has more callers waiting than the newest one's."""
        newest = self._waiting[-1]
        waiting = Counter(ticket.whose for ticket in self._waiting)
        whose, most = waiting.most_common(1)[0]
        if most <= waiting[newest.whose]:
            return newest
        return next(ticket for ticket in reversed(self._waiting) if ticket.whose == whose)

    def _next(self, now: float) -> Ticket | None:
        heads: dict[tuple[Login, object], Ticket] = {}
        for ticket in self._waiting:
            # What does not do for the first one of a tenant does not do for those behind it.
            heads.setdefault(ticket.whose, ticket)
        for ticket in sorted(heads.values(), key=lambda ticket: self._used[ticket.whose]):
            if self._used[ticket.whose] >= self.tenant_most(ticket.route):
                continue
            session = self._find(ticket.route, now)
            if session is not None:
                self._waiting.remove(ticket)
                self._used[ticket.whose] += 1
                self._holders[session] = ticket.whose
                ticket.session = session
                return ticket
        return None

    def _find(self, route: Route, now: float) -> Session | None:
        resting = self._rest.get(route.login, [])
        for place in range(len(resting) - 1, -1, -1):
            if resting[place].tenant == route.uuid:
                return resting.pop(place)
        most = self._settings.login_connections if route.shares_login else self.tenant_most(route)
        if self._open[route.login] < most and (self.open < self._settings.connections or self._evict(route.login)):
            self._open[route.login] += 1
            return Session(route.login, now)
        return resting.pop(0) if resting else None

    def _evict(self, wanted: Login) -> bool:
        """Makes room for one more by closing what was unused the longest at another login."""
        oldest = min(
            (sessions[0] for login, sessions in self._rest.items() if sessions and login != wanted),
            key=lambda session: session.rested,
            default=None,
        )
        if oldest is None:
            return False
        self._rest[oldest.login].remove(oldest)
        self._discard(oldest)
        return True

    def _prune(self, now: float) -> None:
        for login, sessions in list(self._rest.items()):
            old = [session for session in sessions if now - session.rested > self._settings.idle_seconds]
            for session in old:
                sessions.remove(session)
                self._discard(session)
            if not sessions:
                del self._rest[login]

    def _release(self, session: Session) -> None:
        whose = self._holders.pop(session)
        self._used[whose] -= 1
        if self._used[whose] <= 0:
            del self._used[whose]

    def _discard(self, session: Session) -> None:
        self._open[session.login] -= 1
        if self._open[session.login] <= 0:
            del self._open[session.login]
        self._closing.append(session)
