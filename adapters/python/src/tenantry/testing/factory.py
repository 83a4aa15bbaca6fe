"""Makes tenants for tests through the control plane's API, and removes them.

Tenants are marked as synthetic, so they may be deleted at once. The token needs the rights of an administrator: use an
installation for tests, never the one that serves customers.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

from tenantry.client import headers, http_options
from tenantry.engine import Tenantry
from tenantry.errors import ControlPlaneRefused, ControlPlaneUnavailable
from tenantry.known import Look
from tenantry.model import Tenant
from tenantry.settings import Settings

WAIT_SECONDS = 30
"""How long one request waits for its operation; the most that the API allows."""

WAITS = 4
"""How many such waits one change of a tenant may take; a database is made or dropped in a second on a quiet machine."""


@dataclass(slots=True)
class MadeTenant:
    """A tenant of a test. `user` is what the factory's hook gave."""

    tenant: Tenant
    user: Any = None

    @property
    def slug(self) -> str:
        """Its name."""
        return self.tenant.slug


class TenantFactory:
    """Makes tenants of one app. Close it, or use it in a `with`, to remove all that it made."""

    def __init__(
        self,
        tenantry: Tenantry,
        *,
        app: str = "chat",
        plan: str = "starter",
        region: str = "eu-west",
        make_user: Callable[[Tenant], Any] | None = None,
    ) -> None:
        self.tenantry = tenantry
        self._app, self._plan, self._region = app, plan, region
        self._make_user = make_user
        self._made: list[MadeTenant] = []
        settings: Settings = tenantry.settings
        options = {**http_options(settings), "timeout": WAIT_SECONDS + 5}
        self._http = httpx.Client(**options)
        self._root = f"/v1/environments/{settings.environment}/tenants"

    def make(self, plan: str | None = None, slug: str | None = None) -> MadeTenant:
        """Makes a tenant that is open, and a user if the factory has a hook; the hook runs in the tenant's scope.

        The plan decides about the isolation level.
        """
        slug = slug or f"test-{secrets.token_hex(5)}"
        self._call("POST", "", self._manifest(slug, plan or self._plan), new=True)
        made = MadeTenant(self.tenantry.find(slug, Look.FRESH))
        self._made.append(made)
        if self._make_user is not None:
            with self.tenantry.tenant(made.tenant):
                made.user = self._make_user(made.tenant)
        return made

    def suspend(self, made: MadeTenant) -> None:
        """Suspends it."""
        self._call("POST", f"/{made.slug}:suspend", {"reason": "commercial"})

    def resume(self, made: MadeTenant) -> None:
        """Lets its users in again."""
        self._call("POST", f"/{made.slug}:resume")

    def archive(self, made: MadeTenant) -> None:
        """Archives a suspended tenant."""
        self._call("POST", f"/{made.slug}:archive")

    def remove(self, made: MadeTenant) -> None:
        """Deletes it with all its data."""
        state = self._state(made)
        if state == "active":
            self.suspend(made)
            state = "suspended"
        if state == "suspended":
            self.archive(made)
        if state is not None:
            self._call("DELETE", f"/{made.slug}?confirm={made.slug}&grace=0s")
        if made in self._made:
            self._made.remove(made)

    def close(self) -> None:
        """Removes everything that was made."""
        try:
            for made in list(reversed(self._made)):
                self.remove(made)
        finally:
            self._http.close()

    def __enter__(self) -> TenantFactory:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _state(self, made: MadeTenant) -> str | None:
        answer = self._http.get(f"{self._root}/{made.slug}", headers=headers(self.tenantry.settings.read_token()))
        if answer.status_code == 404:
            return None
        state: str = answer.json()["status"]["state"]
        return None if state == "deleted" else state

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None, new: bool = False) -> None:
        sent = headers(self.tenantry.settings.read_token())
        sent["Idempotency-Key"] = secrets.token_hex(16)
        if not new:
            sent["If-Match"] = "*"
        content = None if body is None else json.dumps(body)
        if content is not None:
            sent["Content-Type"] = "application/json"
        path, _, query = path.partition("?")
        parameters = {**dict(httpx.QueryParams(query)), "wait": f"{WAIT_SECONDS}s"}
        answer = self._http.request(method, self._root + path, params=parameters, content=content, headers=sent)
        what = f"{method} {path}".rstrip()
        if answer.status_code == 202:
            self._await(what, answer.headers.get("operation-id", ""))
            return
        if answer.status_code != 200:
            problem = answer.json() if "json" in answer.headers.get("content-type", "") else {}
            about = f"{problem.get('code', answer.status_code)} {problem.get('detail', '')}"
            raise ControlPlaneRefused(f"{what}: {about}")

    def _await(self, what: str, operation: str) -> None:
        sent = headers(self.tenantry.settings.read_token())
        status = "unknown"
        for _ in range(WAITS):
            answer = self._http.get(f"/v1/operations/{operation}", params={"wait": f"{WAIT_SECONDS}s"}, headers=sent)
            body = answer.json() if answer.status_code in (200, 202) else {}
            status = str(body.get("status", f"HTTP {answer.status_code}"))
            if status == "completed":
                return
            if status not in ("waiting", "running"):
                break
        raise ControlPlaneUnavailable(f"{what} did not complete: operation {operation} is {status}")

    def _manifest(self, slug: str, plan: str) -> dict[str, Any]:
        contact = [{"name": "Test", "email": "test@tenant.example"}]
        return {
            "apiVersion": "tenantry.dev/v1",
            "kind": "Tenant",
            "metadata": {"name": slug, "environment": self.tenantry.settings.environment},
            "spec": {
                "displayName": slug,
                "app": self._app,
                "plan": plan,
                "state": "active",
                "residency": {"allowedRegions": [self._region], "preferredRegion": self._region},
                "contacts": {"technical": contact, "billing": contact, "incident": contact},
                "business": {"synthetic": True},
            },
        }
