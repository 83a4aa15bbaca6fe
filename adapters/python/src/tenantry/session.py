"""A server session, what is said on it to let a tenant in, and the connection object that one lease of it gives.

INVARIANT: an object that an application holds works for one tenant, for one lease. Each lease gets new objects around
the same socket: settings, handlers and names that an application left on an old one are gone with it, and the old one
refuses to be used.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import psycopg
from psycopg import pq

from tenantry import context
from tenantry.errors import TenantMismatch, TenantScopeMissing
from tenantry.model import Credential, Login, Route, Tenant
from tenantry.seal import Backend, Capability
from tenantry.settings import Settings, is_this_machine

HELLO = "SELECT pid, started FROM seal.hello()"
ARM = "SELECT seal.arm(%s::pg_catalog.int4, %s::pg_catalog.bytea)"
ENTER = "SELECT seal.enter(%s::pg_catalog.uuid, %s::pg_catalog.int8, %s::pg_catalog.bytea)"

CLEAN = (
    "RESET ALL; CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; DEALLOCATE ALL; UNLISTEN *; "
    "SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES"
)
"""What a session keeps of the tenant before. The settings go first: each of these statements runs under the time limit
that the tenant before has left."""

_FIXED = {
    # What SQL means must not depend on `ALTER ROLE ... SET`, which every login may do to itself: what a connection is
    # started with wins over it, and RESET goes back to it.
    "search_path": "pg_catalog,pg_temp",
    "role": "none",
    "row_security": "on",
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "quote_all_identifiers": "off",
    "xmloption": "content",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
    "client_min_messages": "notice",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "escape_string_warning": "on",
    "jit": "off",
}


def parameters(route: Route, credential: Credential, settings: Settings) -> dict[str, Any]:
    """What libpq is told for a new connection."""
    fixed = {
        **_FIXED,
        "statement_timeout": str(settings.statement_timeout_ms),
        "idle_in_transaction_session_timeout": str(settings.idle_transaction_timeout_ms),
    }
    options = " ".join(f"-c {name}=" + value.replace("\\", "\\\\").replace(" ", "\\ ") for name, value in fixed.items())
    login = route.login
    given: dict[str, Any] = {
        "host": login.host,
        "port": login.port,
        "dbname": login.database,
        "user": login.role,
        "password": credential.password,
        "options": options,
        "client_encoding": "UTF8",
        "application_name": settings.application_name,
        "connect_timeout": settings.connect_timeout_seconds,
        "sslmode": settings.sslmode or ("prefer" if is_this_machine(login.host) else "verify-full"),
        "gssencmode": "disable",
        "target_session_attrs": "read-write",
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    }
    if settings.sslrootcert is not None:
        given["sslrootcert"] = settings.sslrootcert
    return given


@dataclass(eq=False, slots=True)
class Session:
    """A connection to a server, in use or at rest. Without `pgconn` it is a right to open one."""

    login: Login
    born: float
    pgconn: pq.abc.PGconn | None = field(default=None, repr=False)
    tenant: object = None
    """The uuid of the tenant that it served last."""
    backend: Backend | None = None
    capability: Capability | None = field(default=None, repr=False)
    kid: int = -1
    credential: Credential | None = field(default=None, repr=False)
    rested: float = 0.0
    process: int = field(default_factory=os.getpid)

    @property
    def is_at_rest(self) -> bool:
        """Whether the next user may have it: connected, outside of a transaction, nothing unanswered."""
        conn = self.pgconn
        return (
            conn is not None
            and conn.status == pq.ConnStatus.OK
            and conn.transaction_status == pq.TransactionStatus.IDLE
            and conn.pipeline_status == pq.PipelineStatus.OFF
        )

    def finish(self) -> None:
        """Closes the socket. Not in a child process: the socket is the parent's too."""
        conn, self.pgconn = self.pgconn, None
        if conn is None:
            return
        if self.process == os.getpid():
            conn.finish()
        else:
            _inherited.append(conn)

    def drain(self) -> None:
        """Drops notifications that were sent to the tenant before and wait in the client's memory."""
        while self.pgconn is not None and self.pgconn.notifies() is not None:
            pass


_inherited: list[object] = []
"""Sockets of a parent process. Kept, because freeing one would tell the server that the parent says goodbye."""


class Phase(Enum):
    """How far a lease is."""

    ARRIVING = auto()
    """The tenant is being let in; nothing of the application runs."""
    OPEN = auto()
    """The application's statements run."""
    ENDED = auto()
    """The session went back or was closed."""


class Renewal(Enum):
    """What happens to a statement that comes after the end of the entered transaction."""

    REFUSED = auto()
    """It raises: the application asked for one transaction."""
    ENTERED = auto()
    """A new transaction of the same tenant is entered first; for object mappers, which keep connections."""


@dataclass(eq=False, slots=True)
class Lease:
    """One tenant's use of one session."""

    tenant: Tenant
    route: Route
    session: Session
    renewal: Renewal = Renewal.REFUSED
    phase: Phase = Phase.ARRIVING

    def token_parameters(self) -> tuple[Any, ...]:
        """The parameters of `ENTER`."""
        capability = self.session.capability
        if capability is None:
            raise TenantScopeMissing("the session is not armed")
        token = capability.token(self.route.uuid, self.route.generation)
        return (self.route.uuid, self.route.generation, token)

    def must_enter(self, conn: psycopg.BaseConnection[Any]) -> bool:
        """Judges a statement before it is sent: raises if it may not run, says whether the tenant is let in first."""
        if self.phase is Phase.ARRIVING:
            return False
        if self.phase is Phase.ENDED:
            raise TenantScopeMissing("the transaction is over, and its connection went back")
        here = context.current()
        if here.uuid != self.tenant.uuid:
            raise TenantMismatch(
                f"the connection serves tenant `{self.tenant.slug}`, and the current tenant is `{here.slug}`"
            )
        if conn.autocommit:
            raise TenantScopeMissing("autocommit has no transaction that a tenant could be let into")
        if conn.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            return False
        if self.renewal is Renewal.REFUSED or conn.pgconn.pipeline_status != pq.PipelineStatus.OFF:
            raise TenantScopeMissing("the tenant's transaction was ended before the block was")
        return True
