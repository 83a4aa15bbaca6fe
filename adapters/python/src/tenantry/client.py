"""The client of the control plane for threads.

At most one request per question is on its way at a time; the others wait for its answer. Safe for threads, and for
processes that fork: a child begins with connections of its own.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from types import TracebackType
from typing import Any, TypeVar

import httpx

from tenantry import requests
from tenantry.errors import ControlPlaneRefused, ControlPlaneUnavailable, TenantMismatch, TenantNotFound
from tenantry.known import Known, Look, after_failure, shortcut
from tenantry.model import Credential, Route, Tenant
from tenantry.requests import ANSWER_MAX, Call, Query
from tenantry.settings import Settings

T = TypeVar("T")


class Client:
    """Asks the control plane who a tenant is, where its data is, and for the credential of a login."""

    def __init__(self, settings: Settings | None = None, transport: httpx.BaseTransport | None = None) -> None:
        self.settings = settings or Settings.from_env()
        self._transport = transport
        self._lock = threading.Lock()
        self._known = Known(self.settings)
        self._flights: dict[Hashable, Future[Any]] = {}
        self._http: httpx.Client | None = None
        self._process = 0
        self._token: str | None = None

    @classmethod
    def from_env(cls, **given: Any) -> Client:
        """A client with `Settings.from_env`."""
        return cls(Settings.from_env(**given))

    def resolve(self, query: Query, look: Look = Look.CACHED) -> Tenant:
        """The tenant that the sources of a request name.

        Raises `TenantNotFound`, `TenantMismatch`, `ControlPlaneUnavailable` or `ControlPlaneRefused`. The state is not
        judged here.
        """
        if query.is_empty:
            raise TenantMismatch("nothing in the request names a tenant")
        key = (query, look)
        with self._lock:
            if look is Look.CACHED:
                tenant = self._known.tenant(query, _now())
                if tenant is None:
                    tenant = shortcut(self._known.tenants, query, _now(), key in self._flights)
                if tenant is not None:
                    return tenant
        return self._once(key, lambda: self._resolve(query))

    def route(self, tenant: str, look: Look = Look.CACHED) -> Route:
        """How the data of a tenant (by id) is reached. Raises as `resolve` does."""
        key = ("route", tenant, look)
        with self._lock:
            if look is Look.CACHED:
                route = self._known.routes.fresh(tenant, _now())
                if route is None:
                    route = shortcut(self._known.routes, tenant, _now(), key in self._flights)
                if route is not None:
                    return route
        return self._once(key, lambda: self._route(tenant))

    def credential(self, secret_ref: str, refused: Credential | None = None) -> Credential:
        """The credential of a login; asks again only if the one that is known is `refused`."""
        with self._lock:
            known = self._known.credential(secret_ref, refused)
        return known if known is not None else self._once(("credential", secret_ref), lambda: self._issue(secret_ref))

    def forget(self, tenant: str) -> None:
        """Forgets where a tenant is: the database said that it is not there."""
        with self._lock:
            self._known.forget(tenant)

    def close(self) -> None:
        """Closes the connections to the control plane; what is known stays."""
        with self._lock:
            http, self._http = self._http, None
            mine = self._process == os.getpid()
        if http is not None and mine:
            http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _resolve(self, query: Query) -> Tenant:
        try:
            tenant = requests.tenant_from(query, *self.send(requests.resolve(self.settings.environment, query)))
        except (TenantNotFound, TenantMismatch) as refused:
            with self._lock:
                self._known.keep_refusal(query, refused, _now())
            raise
        except ControlPlaneUnavailable as error:
            with self._lock:
                return after_failure(self._known.tenants, query, _now(), error)
        with self._lock:
            self._known.keep_tenant(query, tenant, _now())
        return tenant

    def _route(self, tenant: str) -> Route:
        try:
            route = requests.route_from(*self.send(requests.route(self.settings.environment, tenant)))
        except ControlPlaneUnavailable as error:
            with self._lock:
                return after_failure(self._known.routes, tenant, _now(), error)
        with self._lock:
            self._known.keep_route(route, _now())
        return route

    def _issue(self, secret_ref: str) -> Credential:
        call = requests.credential(self.settings.environment, secret_ref)
        issued = requests.credential_from(*self.send(call))
        if issued.secret_ref != secret_ref:
            raise ControlPlaneRefused("the control plane's answer is for another login")
        with self._lock:
            self._known.keep_credential(issued)
        return issued

    def _once(self, key: Hashable, load: Callable[[], T]) -> T:
        with self._lock:
            flight = self._flights.get(key)
            mine = flight is None
            if flight is None:
                flight = self._flights[key] = Future()
        if not mine:
            try:
                value: T = flight.result(timeout=3 * self.settings.request_timeout_seconds + 1)
            except FutureTimeout:
                raise ControlPlaneUnavailable("the control plane does not answer in time") from None
            return value
        try:
            value = load()
        except BaseException as error:
            self._land(key)
            # What ends only the asking thread must not end those that wait for it.
            ours = error if isinstance(error, Exception) else ControlPlaneUnavailable("the request was given up")
            flight.set_exception(ours)
            raise
        self._land(key)
        flight.set_result(value)
        return value

    def _land(self, key: Hashable) -> None:
        with self._lock:
            self._flights.pop(key, None)

    def send(self, call: Call) -> tuple[int, bytes]:
        """Sends one request; status and body. A token that is refused is read again from its file, once."""
        status, body = self._send(call, self._token or self._read_token())
        if status == 401 and self.settings.token_file is not None:
            before = self._token
            if self._read_token() != before:
                status, body = self._send(call, self._token or "")
        return status, body

    def _read_token(self) -> str:
        self._token = self.settings.read_token()
        return self._token

    def _send(self, call: Call, token: str) -> tuple[int, bytes]:
        deadline = _now() + self.settings.request_timeout_seconds
        try:
            with self._connections().stream(
                call.method, call.path, params=dict(call.parameters), json=call.body, headers=headers(token)
            ) as answer:
                body = bytearray()
                for part in answer.iter_bytes():
                    body += part
                    if len(body) > ANSWER_MAX or _now() > deadline:
                        raise ControlPlaneUnavailable("the control plane's answer has no end")
                return answer.status_code, bytes(body)
        except httpx.HTTPError as error:
            raise ControlPlaneUnavailable(f"the control plane does not answer ({type(error).__name__})") from error

    def _connections(self) -> httpx.Client:
        with self._lock:
            if self._http is None or self._process != os.getpid():
                self._process = os.getpid()
                self._http = httpx.Client(**http_options(self.settings), transport=self._transport)
            return self._http


def http_options(settings: Settings) -> dict[str, Any]:
    """What both clients tell httpx: no redirects and no proxies, because the token goes to the named address only."""
    return {
        "base_url": settings.url,
        "timeout": settings.request_timeout_seconds,
        "follow_redirects": False,
        "trust_env": False,
        "limits": httpx.Limits(max_connections=10, max_keepalive_connections=5, keepalive_expiry=30),
    }


def headers(token: str) -> dict[str, str]:
    """The headers of every request."""
    return {"Authorization": f"Bearer {token}", "Accept": "application/json", "User-Agent": "tenantry-python/0.1.0"}


def _now() -> float:
    return time.monotonic()
