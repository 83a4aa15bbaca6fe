"""A database backend in which each transaction is the current tenant's.

Django keeps one connection per thread and means autocommit. Here its connection is a place-holder: a transaction
(`transaction.atomic`) takes a connection of the tenant's login when its first cursor is made, and gives it back at its
end. A query outside of a transaction, or without a tenant, raises `TenantScopeMissing` and nothing is sent.
"""

from __future__ import annotations

import threading
from typing import Any

import psycopg
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base as postgresql
from django.db.backends.postgresql import psycopg_any
from psycopg.adapt import AdaptersMap

from tenantry import context
from tenantry.connection import JudgedCursor, TenantConnection
from tenantry.engine import Tenantry
from tenantry.errors import SettingsInvalid, TenantScopeMissing
from tenantry.settings import Settings

POSTGRES_FLOOR = 150_000
"""The oldest server that Tenantry runs on, assumed until a connection says more."""

_lock = threading.Lock()
_engines: dict[str, Tenantry] = {}

if not psycopg_any.is_psycopg3:
    raise ImproperlyConfigured("tenantry.django.backend needs psycopg 3; psycopg2 cannot be guarded")


class Cursor(JudgedCursor, postgresql.Cursor):
    """Django's cursor with the judge before each statement."""


# Django 4.2 has none of its own and takes psycopg's.
_server_side: Any = getattr(postgresql, "ServerSideCursor", psycopg.ServerCursor)


class ServerSideCursor(JudgedCursor, _server_side):  # type: ignore[misc]
    """Django's server-side cursor with the judge before each statement."""


class PlaceHolder:
    """What Django takes for its connection."""

    def __init__(self, wrapper: DatabaseWrapper) -> None:
        self._wrapper = wrapper
        self._autocommit = True
        self._real: TenantConnection | None = None

    def take(self) -> TenantConnection:
        """The connection of the open transaction, taken if this is its first statement."""
        if self._autocommit:
            raise TenantScopeMissing("a query needs a transaction; put it into `transaction.atomic()`")
        if self._real is not None and self._real.closed:
            raise TenantScopeMissing("the tenant's transaction is over")
        if self._real is None:
            real = engine(self._wrapper.alias, self._wrapper.settings_dict).pool.admit(context.current())
            self._wrapper.prepare(real)
            self._real = real
        return self._real

    @property
    def server_version(self) -> int:
        """The server's version, as libpq writes it."""
        return POSTGRES_FLOOR if self._real is None else self._real.info.server_version

    @property
    def info(self) -> Any:
        """What psycopg knows about the connection; there is one inside of a transaction only."""
        return self.take().info

    @property
    def adapters(self) -> AdaptersMap:
        """The adapters of the connection."""
        return self.take().adapters

    @property
    def autocommit(self) -> bool:
        """Whether no transaction is meant to be open."""
        return self._autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        if value:
            self.close()
        self._autocommit = value

    @property
    def closed(self) -> bool:
        """Whether the open transaction's server is gone."""
        return self._real is not None and self._real.closed

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """A cursor of the open transaction."""
        return self.take().cursor(*args, **kwargs)

    def commit(self) -> None:
        """Commits, and gives the connection back."""
        if self._real is not None:
            self._real.commit()
            self.close()

    def rollback(self) -> None:
        """Undoes, and gives the connection back."""
        if self._real is not None:
            self._real.rollback()
            self.close()

    def close(self) -> None:
        """Gives the connection back; one that is in the middle of a transaction is closed."""
        real, self._real = self._real, None
        if real is not None:
            real.close()


class DatabaseWrapper(postgresql.DatabaseWrapper):
    """Settings of a database: `ENGINE`, and in `OPTIONS` the fields of `tenantry.Settings`; the rest is the
    environment's. `NAME`, `USER` and the like have no meaning: the control plane knows where tenants are."""

    connection: Any
    display_name = "PostgreSQL of tenants"

    def get_connection_params(self) -> dict[str, Any]:
        """None: the route says where to connect."""
        named = [key for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT") if self.settings_dict.get(key)]
        if named:
            raise ImproperlyConfigured(
                f"tenantry.django.backend takes no {', '.join(named)}; routes come from Tenantry"
            )
        engine(self.alias, self.settings_dict)
        return {}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """A place-holder; nothing is opened."""
        self.isolation_level = psycopg_any.IsolationLevel.READ_COMMITTED
        return PlaceHolder(self)

    def init_connection_state(self) -> None:
        """Nothing: there is no session yet."""

    def ensure_timezone(self) -> bool:
        """The time zone is set per transaction."""
        return False

    def is_usable(self) -> bool:
        """Whether the place-holder can be used; a dead server shows when a transaction begins, and is replaced."""
        return self.connection is not None and not self.connection.closed

    def close_if_health_check_failed(self) -> None:
        """Nothing: each transaction gets a connection that was just used to let the tenant in."""

    @property
    def pg_version(self) -> int:
        """The server's version."""
        return POSTGRES_FLOOR if self.connection is None else int(self.connection.server_version)

    def prepare(self, real: TenantConnection) -> None:
        """Makes a connection what Django expects; called before its first statement."""
        try:
            real._adapters = AdaptersMap(psycopg_any.get_adapters_template(django_settings.USE_TZ, self.timezone))
            real.cursor_factory = Cursor  # type: ignore[assignment]
            if self.timezone_name not in (None, "UTC"):
                real.execute("SELECT pg_catalog.set_config('TimeZone', %s, true)", [self.timezone_name])
        except BaseException:
            real.close()
            raise

    def create_cursor(self, name: str | None = None) -> Any:
        """A cursor of the open transaction."""
        real = self.connection.take()
        if name is None:
            return real.cursor()
        kind: Any = ServerSideCursor
        return kind(real, name=name, scrollable=False, withhold=False)

    def _configure_connection(self, connection: Any) -> bool:
        return False


def engine(alias: str, settings_dict: dict[str, Any]) -> Tenantry:
    """The Tenantry behind a database of the settings; one per process."""
    with _lock:
        known = _engines.get(alias)
        if known is None:
            try:
                settings = Settings.from_env(**settings_dict.get("OPTIONS", {}))
            except (SettingsInvalid, TypeError) as error:
                raise ImproperlyConfigured(f"DATABASES[{alias!r}]['OPTIONS']: {error}") from None
            known = _engines[alias] = Tenantry(settings)
        return known
