"""The client of the control plane for asyncio.

The same as `tenantry.client`, on one event loop. A request is a task of its own: a caller that is cancelled does not
take the answer away from the others that wait for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from types import TracebackType
from typing import Any, TypeVar

import httpx

from tenantry import requests
from tenantry.client import headers, http_options
from tenantry.errors import ControlPlaneRefused, ControlPlaneUnavailable, TenantMismatch, TenantNotFound
from tenantry.known import Known, Look, after_failure, shortcut
from tenantry.model import Credential, Route, Tenant
from tenantry.requests import ANSWER_MAX, Call, Query
from tenantry.settings import Settings

T = TypeVar("T")


class AsyncClient:
    """Asks the control plane who a tenant is, where its data is, and for the credential of a login."""

    def __init__(self, settings: Settings | None = None, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.settings = settings or Settings.from_env()
        self._transport = transport
        self._known = Known(self.settings)
        self._flights: dict[Hashable, asyncio.Task[Any]] = {}
        self._http: httpx.AsyncClient | None = None
        self._token: str | None = None

    @classmethod
    def from_env(cls, **given: Any) -> AsyncClient:
        """A client with `Settings.from_env`."""
        return cls(Settings.from_env(**given))

    async def resolve(self, query: Query, look: Look = Look.CACHED) -> Tenant:
        """The tenant that the sources of a request name. Raises as `Client.resolve` does."""
        if query.is_empty:
            raise TenantMismatch("nothing in the request names a tenant")
        key = (query, look)
        if look is Look.CACHED:
            tenant = self._known.tenant(query, _now())
            if tenant is None:
                tenant = shortcut(self._known.tenants, query, _now(), key in self._flights)
            if tenant is not None:
                return tenant
        return await self._once(key, lambda: self._resolve(query))

    async def route(self, tenant: str, look: Look = Look.CACHED) -> Route:
        """How the data of a tenant (by id) is reached. Raises as `Client.resolve` does."""
        key = ("route", tenant, look)
        if look is Look.CACHED:
            route = self._known.routes.fresh(tenant, _now())
            if route is None:
                route = shortcut(self._known.routes, tenant, _now(), key in self._flights)
            if route is not None:
                return route
        return await self._once(key, lambda: self._route(tenant))

    async def credential(self, secret_ref: str, refused: Credential | None = None) -> Credential:
        """The credential of a login; asks again only if the one that is known is `refused`."""
        known = self._known.credential(secret_ref, refused)
        return (
            known
            if known is not None
            else await self._once(("credential", secret_ref), lambda: self._issue(secret_ref))
        )

    def forget(self, tenant: str) -> None:
        """Forgets where a tenant is: the database said that it is not there."""
        self._known.forget(tenant)

    async def close(self) -> None:
        """Gives up what is on its way and closes the connections to the control plane; what is known stays."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def _resolve(self, query: Query) -> Tenant:
        try:
            tenant = requests.tenant_from(query, *await self.send(requests.resolve(self.settings.environment, query)))
        except (TenantNotFound, TenantMismatch) as refused:
            self._known.keep_refusal(query, refused, _now())
            raise
        except ControlPlaneUnavailable as error:
            return after_failure(self._known.tenants, query, _now(), error)
        self._known.keep_tenant(query, tenant, _now())
        return tenant

    async def _route(self, tenant: str) -> Route:
        try:
            route = requests.route_from(*await self.send(requests.route(self.settings.environment, tenant)))
        except ControlPlaneUnavailable as error:
            return after_failure(self._known.routes, tenant, _now(), error)
        self._known.keep_route(route, _now())
        return route

    async def _issue(self, secret_ref: str) -> Credential:
        call = requests.credential(self.settings.environment, secret_ref)
        issued = requests.credential_from(*await self.send(call))
        if issued.secret_ref != secret_ref:
            raise ControlPlaneRefused("the control plane's answer is for another login")
        self._known.keep_credential(issued)
        return issued

    async def _once(self, key: Hashable, load: Callable[[], Coroutine[Any, Any, T]]) -> T:
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.get_running_loop().create_task(load())

            def landed(done: asyncio.Task[Any]) -> None:
                if self._flights.get(key) is done:
                    del self._flights[key]
                # Marks the exception as seen: all who waited may have been cancelled.
                if not done.cancelled():
                    done.exception()

            flight.add_done_callback(landed)
        waiting: Awaitable[T] = asyncio.shield(flight)
        return await waiting

    async def send(self, call: Call) -> tuple[int, bytes]:
        """Sends one request; status and body. A token that is refused is read again from its file, once."""
        status, body = await self._send(call, self._token or self._read_token())
        if status == 401 and self.settings.token_file is not None:
            before = self._token
            if self._read_token() != before:
                status, body = await self._send(call, self._token or "")
        return status, body

    def _read_token(self) -> str:
        self._token = self.settings.read_token()
        return self._token

    async def _send(self, call: Call, token: str) -> tuple[int, bytes]:
        if self._http is None:
            self._http = httpx.AsyncClient(**http_options(self.settings), transport=self._transport)
        deadline = _now() + self.settings.request_timeout_seconds
        try:
            async with self._http.stream(
                call.method, call.path, params=dict(call.parameters), json=call.body, headers=headers(token)
            ) as answer:
                body = bytearray()
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > ANSWER_MAX or _now() > deadline:
                        raise ControlPlaneUnavailable("the control plane's answer has no end")
                return answer.status_code, bytes(body)
        except httpx.HTTPError as error:
            raise ControlPlaneUnavailable(f"the control plane does not answer ({type(error).__name__})") from error


def _now() -> float:
    return time.monotonic()
