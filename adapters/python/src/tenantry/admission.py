"""How a tenant is let in, as one generator for threads and asyncio: decisions here, effects in the pools.

The generator yields wishes and gets their answers sent or their errors thrown in. Nothing of the application has run
before it returns, so it may try again: once per cause, and never with an answer that is known to be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import psycopg

from tenantry.errors import (
    CredentialRefused,
    DatabaseUnavailable,
    TenantBusy,
    TenantMoved,
    TenantNotFound,
    TenantryError,
    TenantSuspended,
    not_open,
)
from tenantry.known import Look
from tenantry.model import Credential, Route, Tenant
from tenantry.seal import Backend, capability, proof
from tenantry.session import ARM, CLEAN, HELLO, Lease, Phase, Renewal, Session


@dataclass(frozen=True, slots=True)
class AskRoute:
    """Wish: the tenant's route."""

    look: Look


@dataclass(frozen=True, slots=True)
class AskCredential:
    """Wish: the login's credential, another one than `refused`."""

    route: Route
    refused: Credential | None


@dataclass(frozen=True, slots=True)
class Take:
    """Wish: a session of the tenant's login."""

    route: Route


@dataclass(frozen=True, slots=True)
class Open:
    """Wish: a connection object for the lease, made anew where the session is not connected yet."""

    lease: Lease
    credential: Credential


@dataclass(frozen=True, slots=True)
class Say:
    """Wish: a statement outside of any transaction; the first row comes back."""

    conn: Any
    sql: str
    parameters: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Enter:
    """Wish: BEGIN and `seal.enter`."""

    conn: Any


@dataclass(frozen=True, slots=True)
class Effects:
    """What happens at once, without waiting."""

    forget: Callable[[str], None]
    """Forgets a tenant's route."""
    expel: Callable[[Route], None]
    """Closes what is at rest at a login."""
    drop: Callable[[Session], None]
    """Closes a session in use."""
    give: Callable[[Session], None]
    """Takes a session back that is at rest."""


class Cause(Enum):
    """Why a tenant was not let in."""

    MOVED = auto()
    SHUT = auto()
    ABSENT = auto()
    REFUSED = auto()
    FULL = auto()
    LEFTOVER = auto()
    AWAY = auto()
    OTHER = auto()


_STATES = {
    "TN001": Cause.MOVED,
    "TN002": Cause.SHUT,
    "TN003": Cause.ABSENT,
    "3D000": Cause.ABSENT,
    "28P01": Cause.REFUSED,
    "28000": Cause.REFUSED,
    "55000": Cause.LEFTOVER,
    "53300": Cause.FULL,
    "57014": Cause.LEFTOVER,
    "55P03": Cause.LEFTOVER,
}

# libpq gives no SQLSTATE when a connection fails, only the server's words. Servers that speak another language land in
# the last line of `cause_of_failure`, which tries the same remedy.
_WORDS = (
    ("password authentication failed", Cause.REFUSED),
    ("is not permitted to log in", Cause.SHUT),
    ("does not exist", Cause.ABSENT),
    ("too many connections", Cause.FULL),
    ("remaining connection slots", Cause.FULL),
    ("too many clients", Cause.FULL),
)


def cause_of(error: psycopg.Error) -> Cause:
    """Why a statement of ours failed."""
    state = error.sqlstate
    if state is None or state.startswith(("08", "57P")):
        return Cause.AWAY
    return _STATES.get(state, Cause.OTHER)


def cause_of_failure(error: psycopg.Error) -> Cause:
    """Why no connection was made."""
    if error.sqlstate is not None:
        return cause_of(error)
    text = str(error)
    for words, cause in _WORDS:
        if words in text:
            return cause
    asked = getattr(error.pgconn, "used_password", False)
    return Cause.REFUSED if asked else Cause.AWAY


def refusal(lease: Lease, error: psycopg.Error) -> Exception:
    """What an object mapper gets when its connection is not let in for a second transaction."""
    slug = lease.tenant.slug
    cause = cause_of(error)
    if cause in (Cause.MOVED, Cause.ABSENT):
        return TenantMoved(f"the tenant `{slug}` was moved; begin again with a new session")
    if cause is Cause.SHUT:
        return TenantSuspended(f"the tenant `{slug}` is not open")
    return error


def admit(tenant: Tenant, renewal: Renewal, effects: Effects) -> Generator[Any, Any, Any]:
    """Gives a connection inside of an entered transaction of the tenant.

    Raises `TenantNotOpen` and its subclasses, `TenantNotFound`, `TenantMoved`, `TenantBusy`, `CredentialRefused`,
    `DatabaseUnavailable`, and what the client raises.
    """
    route = yield from _open_route(tenant, Look.CACHED)
    credential: Credential = yield AskCredential(route, None)
    seen: set[Cause] = set()
    while True:
        session: Session = yield Take(route)
        lease = Lease(tenant, route, session, renewal)
        pooled = session.pgconn is not None
        try:
            conn = yield from _arrive(lease, credential)
        except psycopg.Error as error:
            cause = cause_of(error) if session.pgconn is not None else cause_of_failure(error)
            failure = error
        except BaseException:
            lease.phase = Phase.ENDED
            effects.drop(session)
            raise
        else:
            return conn
        lease.phase = Phase.ENDED
        if cause in (Cause.MOVED, Cause.SHUT, Cause.ABSENT) and session.is_at_rest:
            # The gate is shut, but the connection is sound.
            effects.give(session)
        else:
            effects.drop(session)
        if pooled and cause in (Cause.AWAY, Cause.LEFTOVER):
            # It died while it was unused, or whoever had it before left it a time limit, or disarmed. Each try uses one
            # of them up.
            continue
        if cause in seen or cause not in (Cause.MOVED, Cause.SHUT, Cause.ABSENT, Cause.REFUSED):
            raise _final(cause, tenant, failure) from failure
        seen.add(cause)
        if cause is Cause.REFUSED:
            effects.expel(route)
            # A login of the tenant's own is switched off while the tenant is not open.
            route = yield from _open_route(tenant, Look.CACHED if route.shares_login else Look.FRESH)
            credential = yield AskCredential(route, credential)
        else:
            effects.forget(tenant.id)
            route = yield from _open_route(tenant, Look.FRESH)
            credential = yield AskCredential(route, None)


def _open_route(tenant: Tenant, look: Look) -> Generator[Any, Any, Route]:
    route: Route = yield AskRoute(look)
    if route.state != "open" and look is Look.CACHED:
        route = yield AskRoute(Look.FRESH)
    if route.uuid != tenant.uuid:
        raise TenantNotFound(f"the control plane's route for `{tenant.slug}` is another tenant's")
    if route.state != "open":
        raise not_open(tenant.slug, route.state)
    return route


def _arrive(lease: Lease, credential: Credential) -> Generator[Any, Any, Any]:
    session, route = lease.session, lease.route
    clean = session.tenant == route.uuid or session.tenant is None
    conn = yield Open(lease, credential)
    if not clean:
        yield Say(conn, CLEAN)
        session.drain()
        # Notifications to the tenant before may have come with these answers; they stay with this object.
        conn.untie()
        conn = yield Open(lease, credential)
    if not clean or session.kid != credential.kid or session.capability is None:
        if session.backend is None:
            row = yield Say(conn, HELLO)
            session.backend = Backend(row[0], row[1])
        yield Say(conn, ARM, (credential.kid, proof(credential.key, session.backend)))
        session.capability = capability(credential.key, session.backend)
        session.kid = credential.kid
    session.tenant = route.uuid
    yield Enter(conn)
    return conn


def _final(cause: Cause, tenant: Tenant, error: psycopg.Error) -> TenantryError:
    slug = tenant.slug
    if cause is Cause.MOVED:
        return TenantMoved(f"the tenant `{slug}` is being moved")
    if cause is Cause.SHUT:
        return TenantSuspended(f"the tenant `{slug}` is not open")
    if cause is Cause.ABSENT:
        return TenantNotFound(f"the tenant `{slug}` is not where the control plane says")
    if cause is Cause.REFUSED:
        return CredentialRefused(f"the database of tenant `{slug}` refuses the credential")
    if cause is Cause.FULL:
        return TenantBusy("the database has no connection left")
    return DatabaseUnavailable(f"the transaction of tenant `{slug}` cannot be begun ({error.sqlstate or 'no answer'})")
