"""One request on its way through the application, and the end of channels whose tenant stops being open.

A WebSocket from its handshake on, and a response of type `text/event-stream`, is looked after: each `maxAgeMs` (at
least a second) the tenant is resolved anew. When it is not open any more, the client sees the end (WebSocket: close
1008; stream: its last part), the application sees a disconnect, and is cancelled if it does not stop within
`GRACE_SECONDS`. So a channel outlives a suspension by at most two ages, the time limit of a request to the control
plane, and the grace. While the control plane is unreachable channels go on; the database refuses their statements.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tenantry.errors import TenantMismatch, TenantNotFound, TenantNotOpen, TenantryError
from tenantry.model import MAX_AGE_MS, Tenant

Message = MutableMapping[str, Any]

GRACE_SECONDS = 1.0
"""How long the application may take to notice that its channel was ended."""

POLL_SECONDS_MIN = 1.0
"""The shortest time between two looks at a channel's tenant."""


class Channel:
    """Runs the application for one request or channel."""

    def __init__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
        resolve: Callable[[], Awaitable[Tenant]],
        tenant: Tenant,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._resolve = resolve
        self._tenant = tenant
        self._watcher: asyncio.Task[None] | None = None
        self._runner: asyncio.Task[Any] | None = None
        self._ended = asyncio.Event()
        self._closed = False
        self._cancelled_by_us = False
        self.has_begun = False
        """Whether the application has answered, so that no problem document can be sent any more."""

    async def run(self, app: Callable[..., Awaitable[None]]) -> None:
        """Runs the application until it is done or its channel was ended."""
        self._runner = asyncio.current_task()
        if self._scope["type"] == "websocket":
            self._watch()
        try:
            await app(self._scope, self.receive, self.send)
        except asyncio.CancelledError:
            if not self._cancelled_by_us or self._is_cancelled_by_others():
                raise
        finally:
            if self._watcher is not None:
                self._watcher.cancel()

    async def receive(self) -> Message:
        """The application's `receive`: a disconnect once the channel was ended."""
        if self._watcher is None:
            return await self._receive()
        message = asyncio.ensure_future(self._receive())
        end = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait({message, end}, return_when=asyncio.FIRST_COMPLETED)
            if message.done() and not self._ended.is_set():
                return message.result()
            return self._disconnect()
        finally:
            message.cancel()
            end.cancel()

    async def send(self, message: Message) -> None:
        """The application's `send`: nothing leaves after the end."""
        if self._ended.is_set():
            return
        kind = message["type"]
        self.has_begun = True
        if kind == "http.response.start" and _is_event_stream(message):
            self._watch()
        if kind == "websocket.close" or (kind == "http.response.body" and not message.get("more_body", False)):
            self._closed = True
        await self._send(message)

    def _disconnect(self) -> Message:
        if self._scope["type"] == "websocket":
            return {"type": "websocket.disconnect", "code": 1008, "reason": "TenantNotOpen"}
        return {"type": "http.disconnect"}

    def _watch(self) -> None:
        if self._watcher is None:
            self._watcher = asyncio.get_running_loop().create_task(self._look_after())

    async def _look_after(self) -> None:
        age = min(self._tenant.max_age_ms, MAX_AGE_MS) / 1000
        while True:
            await asyncio.sleep(max(age, POLL_SECONDS_MIN))
            try:
                found = await self._resolve()
            except (TenantNotOpen, TenantNotFound, TenantMismatch):
                break
            except TenantryError:
                continue
            if found.uuid != self._tenant.uuid:
                break
        await self._end()

    async def _end(self) -> None:
        was_closed, self._closed = self._closed, True
        self._ended.set()
        if not was_closed:
            if self._scope["type"] == "websocket":
                await self._send({"type": "websocket.close", "code": 1008, "reason": "TenantNotOpen"})
            else:
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        await asyncio.sleep(GRACE_SECONDS)
        if self._runner is not None and not self._runner.done():
            self._cancelled_by_us = True
            self._runner.cancel()

    def _is_cancelled_by_others(self) -> bool:
        # Python 3.11 counts requests; before, ours is taken for the only one.
        uncancel = getattr(self._runner, "uncancel", None)
        return uncancel is not None and uncancel() > 0


def _is_event_stream(message: Message) -> bool:
    return any(
        bytes(name).lower() == b"content-type" and bytes(value).lower().startswith(b"text/event-stream")
        for name, value in message.get("headers", ())
    )
