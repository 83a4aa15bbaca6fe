"""Django middleware: finds the tenant of each request, for WSGI and ASGI. Put it first.

With `atomic_requests` (the default) everything below, sessions and users included, runs in one transaction, which is
undone when the answer is an error of ours (5xx). Asynchronous requests have no such transaction, since Django has none:
there, database work goes into `sync_to_async` functions with `transaction.atomic()`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from tenantry import context, problem
from tenantry.django import conf
from tenantry.engine import defaults
from tenantry.errors import TenantryError, not_open
from tenantry.identify import Found, identify
from tenantry.model import Tenant
from tenantry.telemetry import annotate
from tenantry.wsgi import facts


class TenantMiddleware:
    """The tenant is `tenantry.current()` inside, and `request.tenant`."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.identification, self.options = conf.read()
        self._is_async = bool(iscoroutinefunction(get_response))
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Serves one request."""
        if self._is_async:
            return self._serve_async(request)
        if self.identification.excludes(request.path_info):
            with context.no_scope():
                return self._answer(request)
        try:
            found = self._identify(request)
            if found.query.is_empty and self.identification.optional:
                with context.no_scope():
                    return self._answer(request)
            tenant = _open(self._client().resolve(found.query))
            with ExitStack() as stack:
                stack.enter_context(context.scope(tenant))
                self._mount(request, found, tenant)
                if self.options.atomic_requests:
                    stack.enter_context(transaction.atomic())
                response = self._answer(request)
                if self.options.atomic_requests and response.status_code >= 500:
                    transaction.set_rollback(True)
        except TenantryError as error:
            return refuse(error)
        return _scoped(response, tenant)

    async def _serve_async(self, request: HttpRequest) -> HttpResponseBase:
        if self.identification.excludes(request.path_info):
            with context.no_scope():
                return await self._answer_async(request)
        try:
            found = self._identify(request)
            if found.query.is_empty and self.identification.optional:
                with context.no_scope():
                    return await self._answer_async(request)
            tenant = _open(await defaults.asynchronous().client.resolve(found.query))
            with context.scope(tenant):
                self._mount(request, found, tenant)
                response = await self._answer_async(request)
        except TenantryError as error:
            return refuse(error)
        return _scoped(response, tenant)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answers for a view that met a tenant that is not open any more."""
        if not isinstance(error, TenantryError):
            return None
        if self.options.atomic_requests and transaction.get_connection().in_atomic_block:
            transaction.set_rollback(True)
        return refuse(error)

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = self.get_response(request)
        return response

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = await self.get_response(request)
        return response

    def _client(self) -> Any:
        return defaults.sync().client

    def _identify(self, request: HttpRequest) -> Found:
        environ: dict[str, Any] = {**request.META, "PATH_INFO": request.path_info}
        environ.pop("SCRIPT_NAME", None)
        return identify(facts(environ, self.identification), self.identification)

    def _mount(self, request: HttpRequest, found: Found, tenant: Tenant) -> None:
        request.tenant = tenant  # type: ignore[attr-defined]
        annotate(tenant)
        if found.mount:
            script = request.META.get("SCRIPT_NAME", "") + found.mount
            request.path_info = request.path_info[len(found.mount) :] or "/"
            request.META["SCRIPT_NAME"] = script
            set_script_prefix(script)


def refuse(error: TenantryError) -> HttpResponse:
    """Answers with a problem document."""
    status, headers, body = problem.document(error)
    return HttpResponse(body, status=status, headers=dict(headers))


def _open(tenant: Tenant) -> Tenant:
    if not tenant.is_open:
        raise not_open(tenant.slug, tenant.state)
    return tenant


def _scoped(response: HttpResponseBase, tenant: Tenant) -> HttpResponseBase:
    """A streamed answer is made after the middleware is done; its parts are made in the tenant's scope, each."""
    if not getattr(response, "streaming", False) or getattr(response, "is_async", False):
        return response
    parts: Iterator[Any] = iter(response.streaming_content)  # type: ignore[attr-defined]

    def scoped() -> Iterator[Any]:
        while True:
            with context.scope(tenant):
                try:
                    part = next(parts)
                except StopIteration:
                    return
            yield part

    response.streaming_content = scoped()  # type: ignore[attr-defined]
    return response
