"""ASGI middleware: finds the tenant of each request or channel, and makes it the current one.

The context is set for exactly one request and is gone after success, error and cancellation. Refusals are problem
documents. Channels (WebSocket, server-sent events) end when their tenant stops being open, see `tenantry.channel`.

`path_prefix` follows ASGI: `root_path` grows by `/t/acme`, and `path` keeps it, as frameworks expect below a mount.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tenantry import context, problem
from tenantry.aclient import AsyncClient
from tenantry.channel import Channel
from tenantry.engine import AsyncTenantry, defaults
from tenantry.errors import TenantryError, not_open
from tenantry.identify import Facts, Found, Identification, identify
from tenantry.model import Tenant
from tenantry.telemetry import annotate

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013


class TenantMiddleware:
    """Wraps an ASGI application.

    The tenant is `tenantry.current()` inside, and `scope["tenantry.tenant"]`.
    """

    def __init__(
        self,
        app: App,
        identification: Identification | None = None,
        *,
        tenantry: AsyncTenantry | None = None,
        client: AsyncClient | None = None,
        **sources: Any,
    ) -> None:
        self.app = app
        self.identification = identification or Identification(**sources)
        self._client = client or (tenantry.client if tenantry is not None else None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, channel or lifespan."""
        if scope["type"] not in ("http", "websocket") or self.identification.excludes(scope["path"]):
            await self._call_unscoped(scope, receive, send)
            return
        try:
            found = identify(await self._facts(scope), self.identification)
            if found.query.is_empty and self.identification.optional:
                await self._call_unscoped(scope, receive, send)
                return
            tenant = await self._resolve(found)
        except TenantryError as error:
            await refuse(error, scope, receive, send)
            return
        inner = dict(scope)
        inner["tenantry.tenant"] = tenant
        inner["root_path"] = scope.get("root_path", "") + found.mount
        with context.scope(tenant):
            annotate(tenant)
            await self._serve(found, tenant, inner, receive, send)

    async def _serve(self, found: Found, tenant: Tenant, scope: Scope, receive: Receive, send: Send) -> None:
        channel = Channel(scope, receive, send, lambda: self._resolve(found), tenant)
        try:
            await channel.run(self.app)
        except TenantryError as error:
            if channel.has_begun:
                raise
            await refuse(error, scope, receive, send)

    async def _call_unscoped(self, scope: Scope, receive: Receive, send: Send) -> None:
        with context.no_scope():
            await self.app(scope, receive, send)

    async def _resolve(self, found: Found) -> Tenant:
        client = self._client or defaults.asynchronous().client
        tenant = await client.resolve(found.query)
        if not tenant.is_open:
            raise not_open(tenant.slug, tenant.state)
        return tenant

    async def _facts(self, scope: Scope) -> Facts:
        claim = self.identification.claim(scope) if self.identification.claim is not None else None
        if inspect.isawaitable(claim):
            claim = await claim
        peer = scope.get("client")
        path, root = scope["path"], scope.get("root_path", "")
        raw = scope.get("raw_path")
        if root and path.startswith(root):
            path = path[len(root) :]
            raw = raw[len(root) :] if raw is not None and raw.startswith(root.encode()) else None
        return Facts(
            headers=[(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]],
            path=path,
            raw_path=raw,
            peer=peer[0] if peer else None,
            claim=claim,
        )


def claim_from(*keys: str) -> Callable[[Scope], str | None]:
    """Reads a claim that an authentication middleware left in the scope: `claim_from("state", "claims", "tid")`."""

    def read(scope: Any) -> str | None:
        value = scope
        for key in keys:
            value = value.get(key) if hasattr(value, "get") else getattr(value, key, None)
        return value if isinstance(value, str) else None

    return read


def current_tenant() -> Tenant:
    """The tenant of the request, as a dependency: `tenant: Annotated[Tenant, Depends(current_tenant)]`."""
    return context.current()


async def refuse(error: TenantryError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with a problem document; a WebSocket gets it too where the server can, else it is closed.

    Close codes: 1013 for what may work later, 1008 for the rest.
    """
    status, headers, body = problem.document(error)
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if scope["type"] == "http":
        kind = "http.response"
    elif "websocket.http.response" in (scope.get("extensions") or {}):
        kind = "websocket.http.response"
        await receive()
    else:
        await receive()
        code = POLICY_VIOLATION if error.retry_after is None else TRY_AGAIN_LATER
        await send({"type": "websocket.close", "code": code, "reason": error.name})
        return
    encoded.append((b"content-length", str(len(body)).encode()))
    await send({"type": f"{kind}.start", "status": status, "headers": encoded})
    await send({"type": f"{kind}.body", "body": body})
