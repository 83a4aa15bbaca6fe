"""The WSGI middleware with Flask on a real server: answers, streams, and clients that go away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import flask
import httpx
import pytest
from werkzeug.serving import make_server
from world import BASE_DOMAIN, Dev, canary

import tenantry as package
from tenantry import Tenantry
from tenantry.testing import MadeTenant, TenantFactory
from tenantry.wsgi import TenantMiddleware

SEEN: list[str | None] = []


def application(tenantry: Tenantry) -> flask.Flask:
    app = flask.Flask("test")

    @app.get("/messages")
    def messages() -> dict[str, Any]:
        with tenantry.transaction() as tx:
            rows = tx.execute("SELECT body FROM messages WHERE body LIKE 'canary-%'").fetchall()
        return {"tenant": package.current().slug, "bodies": [row[0] for row in rows], "url": flask.url_for("messages")}

    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError("on purpose")

    @app.get("/stream")
    def stream() -> flask.Response:
        def parts() -> Iterator[str]:
            try:
                for _ in range(1000):
                    with tenantry.transaction() as tx:
                        tx.execute("SELECT 1")
                    yield package.current().slug + "\n" + " " * 65536
            finally:
                SEEN.append(getattr(package.current_or_none(), "slug", None))

        return flask.Response(parts())

    @app.get("/livez")
    def livez() -> str:
        return "none" if package.current_or_none() is None else "some"

    return app


@pytest.fixture(scope="module")
def server(dev: Dev, seeded: None) -> Iterator[str]:
    tenantry = Tenantry(dev.settings())
    app = application(tenantry)
    app.wsgi_app = TenantMiddleware(app.wsgi_app, tenantry=tenantry, base_domains=[BASE_DOMAIN], path_prefix="/t/")  # type: ignore[method-assign]
    running = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()
    assert tenantry.pool.ledger.open == tenantry.pool.ledger.at_rest
    tenantry.close()


def get(server: str, path: str, host: str = f"acme.{BASE_DOMAIN}") -> httpx.Response:
    return httpx.get(server + path, headers={"Host": host}, timeout=10)


@pytest.mark.parametrize("slug", ["acme", "globex", "initech"])
def test_the_same_view_serves_every_level(server: str, slug: str) -> None:
    answer = get(server, "/messages", f"{slug}.{BASE_DOMAIN}").json()
    assert answer == {"tenant": slug, "bodies": [canary(slug)], "url": "/messages"}
    below = get(server, f"/t/{slug}/messages", BASE_DOMAIN).json()
    assert below == {**answer, "url": f"/t/{slug}/messages"}, "links stay below the tenant's path"


def test_the_context_is_gone_after_errors(server: str) -> None:
    assert get(server, "/broken").status_code == 500
    assert get(server, "/livez", "anything").text == "none"


def test_a_stream_is_read_in_scope_to_its_end_or_until_the_client_goes(server: str) -> None:
    SEEN.clear()
    with httpx.stream("GET", server + "/stream", headers={"Host": f"globex.{BASE_DOMAIN}"}, timeout=10) as answer:
        assert next(answer.iter_lines()) == "globex"
    for _ in range(100):
        if SEEN:
            break
        threading.Event().wait(0.05)
    assert SEEN == ["globex"]
    assert get(server, "/livez", "anything").text == "none"


def test_refusals(server: str, make_tenant: Any, tenantry_factory: TenantFactory) -> None:
    answer = get(server, "/messages", f"nobody-here.{BASE_DOMAIN}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    made: MadeTenant = make_tenant()
    tenantry_factory.suspend(made)
    answer = get(server, "/messages", f"{made.slug}.{BASE_DOMAIN}")
    assert (answer.status_code, answer.json()["reason"]) == (403, "TenantSuspended")
    tenantry_factory.resume(made)


def test_a_tenant_that_is_prepared_is_asked_to_wait(dev: Dev, tenantry: Tenantry) -> None:
    """The state is the control plane's; a draft is a tenant that is not brought into service."""
    import secrets

    factory = TenantFactory(tenantry)
    slug = f"draft-{secrets.token_hex(4)}"
    manifest = factory._manifest(slug, "starter")
    manifest["spec"]["state"] = "draft"
    factory._call("POST", "", manifest, new=True)
    try:
        app = TenantMiddleware(lambda environ, start: pytest.fail("it ran"), tenantry=tenantry, path_prefix="/t/")
        started: list[Any] = []
        body = b"".join(
            app({"PATH_INFO": f"/t/{slug}/", "REQUEST_METHOD": "GET"}, lambda *given: started.append(given))
        )
        assert started[0][0] == "503 Service Unavailable"
        assert dict(started[0][1])["retry-after"] == "5"
        assert b"TenantPreparing" in body
    finally:
        factory._call("DELETE", f"/{slug}?confirm={slug}&grace=0s")
        factory.close()
