"""WSGI middleware for Flask, Django and others: finds the tenant of each request, and makes it the current one.

The context covers the call of the application and the reading of its answer, and is gone after success, error and a
client that went away. The path form moves `/t/acme` from PATH_INFO to SCRIPT_NAME.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import Context, copy_context
from http import HTTPStatus
from typing import Any

from tenantry import context, problem
from tenantry.client import Client
from tenantry.engine import Tenantry, defaults
from tenantry.errors import TenantryError, not_open
from tenantry.identify import Facts, Found, Identification, identify
from tenantry.model import Tenant
from tenantry.telemetry import annotate

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]


class TenantMiddleware:
    """Wraps a WSGI application. The tenant is `tenantry.current()` inside, and `environ["tenantry.tenant"]`."""

    def __init__(
        self,
        app: App,
        identification: Identification | None = None,
        *,
        tenantry: Tenantry | None = None,
        client: Client | None = None,
        **sources: Any,
    ) -> None:
        self.app = app
        self.identification = identification or Identification(**sources)
        self._client = client or (tenantry.client if tenantry is not None else None)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serves one request."""
        # A context of its own per request: what the application leaves in it cannot reach the thread's next request.
        return copy_context().run(self._call, environ, start_response)

    def _call(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if self.identification.excludes(environ.get("PATH_INFO", "")):
            with context.no_scope():
                return self.app(environ, start_response)
        try:
            found = identify(facts(environ, self.identification), self.identification)
            if found.query.is_empty and self.identification.optional:
                with context.no_scope():
                    return self.app(environ, start_response)
            tenant = self._resolve(found)
        except TenantryError as error:
            return refuse(error, start_response)
        inner = dict(environ)
        inner["tenantry.tenant"] = tenant
        inner["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + found.mount
        inner["PATH_INFO"] = environ.get("PATH_INFO", "")[len(found.mount) :]
        return _Answer(self.app, inner, start_response, tenant)

    def _resolve(self, found: Found) -> Tenant:
        client = self._client or defaults.sync().client
        tenant = client.resolve(found.query)
        if not tenant.is_open:
            raise not_open(tenant.slug, tenant.state)
        return tenant


class _Answer:
    """The application's answer, read inside of the tenant's scope."""

    def __init__(self, app: App, environ: Environ, start_response: StartResponse, tenant: Tenant) -> None:
        self._scope = context.scope(tenant)
        self._context: Context = copy_context()
        self._context.run(self._scope.__enter__)
        self._parts: Iterator[bytes] | None = None
        self._iterable: Iterable[bytes] = ()
        self._started = False

        def start(*args: Any, **kwargs: Any) -> Any:
            self._started = True
            return start_response(*args, **kwargs)

        try:
            self._context.run(annotate, tenant)
            try:
                self._iterable = self._context.run(app, environ, start)
            except TenantryError as error:
                if self._started:
                    raise
                self._iterable = refuse(error, start_response)
            self._parts = self._context.run(iter, self._iterable)
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._parts is None:
            raise StopIteration
        try:
            return self._context.run(next, self._parts)
        except BaseException:
            self._leave()
            raise

    def close(self) -> None:
        """Called by the server when the answer was sent or the client is gone."""
        try:
            close = getattr(self._iterable, "close", None)
            if close is not None:
                self._context.run(close)
        finally:
            self._leave()

    def _leave(self) -> None:
        scope, self._scope = self._scope, None  # type: ignore[assignment]
        if scope is not None:
            self._context.run(scope.__exit__, None, None, None)


def facts(environ: Environ, config: Identification) -> Facts:
    """What a request says, from its environ."""
    # WSGI joins repeated headers with a comma, which no host and no tenant holds.
    headers = [("host", environ["HTTP_HOST"])] if "HTTP_HOST" in environ else []
    for name in (config.header, "X-Forwarded-Host"):
        value = environ.get("HTTP_" + name.upper().replace("-", "_"))
        if value is not None:
            headers.append((name.lower(), value))
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    script = environ.get("SCRIPT_NAME", "")
    return Facts(
        headers=headers,
        path=environ.get("PATH_INFO", ""),
        raw_path=_below(raw, script),
        peer=environ.get("REMOTE_ADDR"),
        claim=config.claim(environ) if config.claim is not None else None,
    )


def _below(raw: object, script: str) -> bytes | None:
    """The path as it was sent, below the application's own prefix; absent where the server does not tell."""
    if not isinstance(raw, str) or not raw.startswith(script + "/"):
        return None
    return raw[len(script) :].encode("latin-1", "replace")


def refuse(error: TenantryError, start_response: StartResponse) -> Iterable[bytes]:
    """Answers with a problem document."""
    status, headers, body = problem.document(error)
    start_response(f"{status} {HTTPStatus(status).phrase}", [*headers, ("content-length", str(len(body)))])
    return [body]
