"""Which tenant a request is for: the whole matrix of sources, and hosts that somebody made up.

The control plane is real; requests come through the ASGI and the WSGI middleware.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from typing import Any

import pytest
from world import BASE_DOMAIN, Dev

import tenantry
from tenantry import AsyncClient, Client, SettingsInvalid
from tenantry.asgi import TenantMiddleware as AsgiMiddleware
from tenantry.identify import Identification
from tenantry.wsgi import TenantMiddleware as WsgiMiddleware

SOURCES = ("host", "path", "header", "claim")
PEER, STRANGER = "10.1.2.3", "192.0.2.7"
CONFIG: dict[str, Any] = {
    "base_domains": [BASE_DOMAIN],
    "plain_hosts": ["localhost", "testserver"],
    "path_prefix": "/t/",
    "trusted_peers": ["10.0.0.0/8", "::1/128"],
}


def request(dev: Dev, **given: Any) -> tuple[int, dict[str, str], dict[str, Any]]:
    """One request through both middlewares; they must agree."""
    one, other = asyncio.run(asgi(dev, **given)), wsgi(dev, **given)
    # The name of the exception is what both have in common; texts are the same code's.
    assert one[0] == other[0], (given, one, other)
    one[2].pop("detail", None), other[2].pop("detail", None)
    assert one[2] == other[2], (given, one, other)
    return one


def parts(given: dict[str, Any]) -> tuple[list[tuple[str, str]], str, str, str | None, dict[str, Any]]:
    config = {**CONFIG, **given.get("config", {})}
    headers = [("host", given.get("host", "localhost")), *given.get("headers", [])]
    if "header" in given:
        headers.append(("x-tenant-id", given["header"]))
    claim = given.get("claim")
    config["claim"] = lambda _: claim
    return headers, given.get("path", "/orders"), given.get("peer", PEER), claim, config


async def asgi(dev: Dev, **given: Any) -> tuple[int, dict[str, str], dict[str, Any]]:
    headers, path, peer, _, config = parts(given)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        below = scope["path"].removeprefix(scope["root_path"])
        body = json.dumps({"tenant": tenantry.current().slug, "mount": scope["root_path"], "path": below})
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body.encode()})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async with AsyncClient(dev.settings()) as client:
        middleware = AsgiMiddleware(app, client=client, **config)
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": given.get("raw_path", path).encode(),
            "root_path": "",
            "query_string": b"",
            "client": (peer, 1),
            "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers],
        }
        await middleware(scope, receive, send)
    assert tenantry.current_or_none() is None
    answer = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answer, json.loads(sent[1]["body"])


def wsgi(dev: Dev, **given: Any) -> tuple[int, dict[str, str], dict[str, Any]]:
    headers, path, peer, _, config = parts(given)

    def app(environ: Any, start_response: Any) -> Any:
        below = environ["PATH_INFO"]
        body = json.dumps({"tenant": tenantry.current().slug, "mount": environ["SCRIPT_NAME"], "path": below})
        start_response("200 OK", [])
        return [body.encode()]

    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "RAW_URI": given.get("raw_path", path),
        "REMOTE_ADDR": peer,
        "wsgi.input": io.BytesIO(),
    }
    for name, value in headers:
        key = "HTTP_" + name.upper().replace("-", "_")
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    started: list[Any] = []
    with Client(dev.settings()) as client:
        answer = WsgiMiddleware(app, client=client, **config)(environ, lambda *args: started.append(args))
        body = b"".join(answer)
        getattr(answer, "close", lambda: None)()
    assert tenantry.current_or_none() is None
    return int(started[0][0][:3]), dict(started[0][1]), json.loads(body)


def naming(source: str, slug: str) -> dict[str, Any]:
    return {
        "host": {"host": f"{slug}.{BASE_DOMAIN}"},
        "path": {"path": f"/t/{slug}/orders"},
        "header": {"header": slug},
        "claim": {"claim": slug},
    }[source]


@pytest.mark.parametrize("source", SOURCES)
def test_each_source_alone(dev: Dev, source: str) -> None:
    status, _, body = request(dev, **naming(source, "acme"))
    assert (status, body["tenant"], body["path"]) == (200, "acme", "/orders")
    assert body["mount"] == ("/t/acme" if source == "path" else "")


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(SOURCES, 2)))
def test_two_sources_must_agree(dev: Dev, one: str, other: str) -> None:
    status, _, body = request(dev, **naming(one, "acme"), **naming(other, "acme"))
    assert (status, body["tenant"]) == (200, "acme")
    for first, second in (("acme", "globex"), ("globex", "acme")):
        status, headers, body = request(dev, **naming(one, first), **naming(other, second))
        assert (status, body["reason"]) == (400, "TenantMismatch")
        assert headers["content-type"] == "application/problem+json"
    for first, second in (("acme", "nobody-here"), ("nobody-here", "acme")):
        status, _, body = request(dev, **naming(one, first), **naming(other, second))
        assert (status, body["reason"]) in ((404, "TenantNotFound"), (400, "TenantMismatch"))


def test_all_sources_agree_also_by_id(dev: Dev, tenantry_instance: tenantry.Tenantry) -> None:
    acme = tenantry_instance.find("acme")
    given = {**naming("host", "acme"), **naming("path", "acme"), "header": acme.id, "claim": acme.id}
    assert request(dev, **given)[2]["tenant"] == "acme"
    globex = tenantry_instance.find("globex")
    assert request(dev, **{**given, "claim": globex.id})[0] == 400


def test_a_request_without_source_is_refused_unless_that_is_allowed(dev: Dev) -> None:
    for given in ({}, {"host": BASE_DOMAIN}):
        status, _, body = request(dev, **given)
        assert (status, body["reason"]) == (400, "TenantMismatch")


@pytest.mark.parametrize(
    "host",
    [
        f"acme.{BASE_DOMAIN}",
        f"acme.{BASE_DOMAIN}.",
        f"ACME.{BASE_DOMAIN.upper()}",
        f"acme.{BASE_DOMAIN}:8443",
        f"Acme.{BASE_DOMAIN}.:443",
    ],
)
def test_a_host_is_compared_in_one_form(dev: Dev, host: str) -> None:
    status, _, body = request(dev, host=host)
    assert (status, body["tenant"]) == (200, "acme")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (f"acme.{BASE_DOMAIN}.evil.tld", 404),
        (f"evil-{BASE_DOMAIN}", 404),
        (f"acme.evil-{BASE_DOMAIN}", 404),
        (f"a.acme.{BASE_DOMAIN}", 404),
        (f"acme.{BASE_DOMAIN}..", 400),
        (f"acme..{BASE_DOMAIN}", 400),
        (f".{BASE_DOMAIN}", 400),
        ("", 400),
        (".", 400),
        (f"acme%00.{BASE_DOMAIN}", 400),
        (f"acme\x00.{BASE_DOMAIN}", 400),
        (f"xn--acme-.{BASE_DOMAIN}", 400),
        (f"xn--cme-7la.{BASE_DOMAIN}", 404),
        (f"аcme.{BASE_DOMAIN}", 400),
        (f"acme.{BASE_DOMAIN}:port", 400),
        (f"acme.{BASE_DOMAIN}:80:80", 400),
        (f"acme.{BASE_DOMAIN}, globex.{BASE_DOMAIN}", 400),
        (f"acme.{BASE_DOMAIN}/x", 400),
        (f"user@acme.{BASE_DOMAIN}", 400),
        (f"acme_.{BASE_DOMAIN}", 400),
        (f"-acme.{BASE_DOMAIN}", 400),
        ("a" * 300, 400),
        (f"{'a' * 64}.{BASE_DOMAIN}", 400),
        (".".join(["a" * 49] * 5) + f".{BASE_DOMAIN}", 400),
        ("127.0.0.1", 404),
        ("[::1]:80", 404),
        ("[::1", 400),
        ("acme", 404),
    ],
)
def test_made_up_hosts(dev: Dev, host: str, status: int) -> None:
    assert request(dev, host=host)[0] == status
    # A host that is wrong stays wrong beside a source that is right.
    assert request(dev, host=host, header="acme")[0] == status


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "Forwarded", "X-Original-URL", "X-Host"])
@pytest.mark.parametrize("peer", [PEER, STRANGER])
def test_headers_that_forward_a_host_change_nothing(dev: Dev, name: str, peer: str) -> None:
    globex = f"globex.{BASE_DOMAIN}"
    value = f"host={globex}" if name == "Forwarded" else globex
    given = {"host": f"acme.{BASE_DOMAIN}", "headers": [(name.lower(), value)], "peer": peer}
    assert request(dev, **given)[2]["tenant"] == "acme"
    # Where it is wanted, from peers that are trusted only, and the last hop counts.
    given["config"] = {"forwarded_host": True}
    wanted = "globex" if name == "X-Forwarded-Host" and peer == PEER else "acme"
    assert request(dev, **given)[2]["tenant"] == wanted
    given["headers"] = [("x-forwarded-host", f"initech.{BASE_DOMAIN}, {globex}")]
    assert request(dev, **given)[2]["tenant"] == ("globex" if peer == PEER else "acme")


@pytest.mark.parametrize("peer", [STRANGER, "2001:db8::1", "unix", ""])
@pytest.mark.parametrize("value", ["acme", "globex", "nobody-here", "../acme", ""])
def test_the_header_of_a_stranger_is_no_source(dev: Dev, peer: str, value: str) -> None:
    status, _, body = request(dev, header=value, peer=peer)
    assert (status, body["reason"]) == (400, "TenantMismatch")
    # Whatever it says, the others decide.
    status, _, body = request(dev, header=value, host=f"acme.{BASE_DOMAIN}", peer=peer)
    assert (status, body["tenant"]) == (200, "acme")
    twice = {"headers": [("x-tenant-id", value), ("x-tenant-id", "globex")], "host": f"acme.{BASE_DOMAIN}"}
    assert request(dev, peer=peer, **twice)[2]["tenant"] == "acme"


def test_the_header_is_accepted_from_a_mapped_address_and_by_function(dev: Dev) -> None:
    assert request(dev, header="acme", peer="::ffff:10.9.9.9")[0] == 200
    assert request(dev, header="acme", peer="::1")[0] == 200
    config = {"trusted_peers": lambda peer: peer == STRANGER}
    assert request(dev, header="acme", peer=STRANGER, config=config)[0] == 200
    assert request(dev, header="acme", peer=PEER, config=config)[0] == 400


@pytest.mark.parametrize(
    "value", ["", " ", "acme globex", "../acme", "acme\x00", "ten_", "cel_01m7zgzrnbevr96cez8ga9f9fv", "a" * 300]
)
def test_a_header_that_can_name_nobody(dev: Dev, value: str) -> None:
    assert request(dev, header=value)[0] in (400, 404)


def test_a_header_twice_is_refused(dev: Dev) -> None:
    given = {"headers": [("x-tenant-id", "acme"), ("x-tenant-id", "globex")]}
    assert asyncio.run(asgi(dev, **given))[0] == 400
    # A WSGI server joins them; a comma names nobody.
    assert wsgi(dev, **given)[0] == 404


def test_two_hosts_are_refused(dev: Dev) -> None:
    given = {"host": f"acme.{BASE_DOMAIN}", "headers": [("host", f"globex.{BASE_DOMAIN}")]}
    assert request(dev, **given)[0] == 400


@pytest.mark.parametrize(
    ("path", "raw", "status"),
    [
        ("/t/acme", "/t/acme", 200),
        ("/t/acme/", "/t/acme/", 200),
        ("/t/acme/a b", "/t/acme/a%20b", 200),
        ("/t/acme/x", "/t/acme%2Fx", 400),
        ("/t/acme/x", "/t/%61cme/x", 400),
        ("/t/acme/x", "/%74/acme/x", 400),
        ("/t/ACME/x", "/t/ACME/x", 404),
        ("/t//x", "/t//x", 404),
        ("/t/", "/t/", 404),
        ("/t/acme\x00/x", "/t/acme%00/x", 404),
        ("/t/../acme", "/t/../acme", 404),
        ("/t/nobody-here/x", "/t/nobody-here/x", 404),
    ],
)
def test_paths(dev: Dev, path: str, raw: str, status: int) -> None:
    answer = request(dev, path=path, raw_path=raw)
    assert answer[0] == status
    if status == 200:
        assert answer[2]["mount"] == "/t/acme"


def test_excluded_paths_have_no_tenant() -> None:
    config = Identification(excluded_paths=["/livez", "/static/*"])
    assert config.excludes("/livez")
    assert config.excludes("/static/x.css")
    assert not config.excludes("/livez/x")
    assert not config.excludes("/static")


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_domains": "example.com"},
        {"base_domains": ["exa mple"]},
        {"trusted_peers": "10.0.0.0/8"},
        {"trusted_peers": ["10.0.0.1/8"]},
        {"path_prefix": "t"},
        {"path_prefix": "/"},
        {"header": ""},
    ],
)
def test_wrong_configuration_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsInvalid):
        Identification(**wrong)
