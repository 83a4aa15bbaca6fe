"""The ASGI middleware on a real server: contexts, refusals, channels and their end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import uvicorn
import websockets
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from world import BASE_DOMAIN, Dev, canary

import tenantry
from tenantry.asgi import TenantMiddleware, claim_from
from tenantry.channel import GRACE_SECONDS
from tenantry.testing import MadeTenant, TenantFactory

SEEN: list[tuple[str, Any]] = []


async def messages(request: Any) -> JSONResponse:
    async with tenantry.transaction() as tx:
        rows = await (await tx.execute("SELECT body FROM messages WHERE body LIKE 'canary-%'")).fetchall()
    return JSONResponse({"tenant": tenantry.current().slug, "bodies": [row[0] for row in rows]})


def blocking(request: Any) -> JSONResponse:
    with tenantry.transaction() as tx:
        row = tx.execute("SELECT body FROM messages WHERE body LIKE 'canary-%'").fetchone()
    return JSONResponse({"tenant": tenantry.current().slug, "bodies": list(row or ())})


async def health(request: Any) -> PlainTextResponse:
    return PlainTextResponse("none" if tenantry.current_or_none() is None else "some")


async def broken(request: Any) -> JSONResponse:
    raise RuntimeError("on purpose")


async def late(request: Any) -> JSONResponse:
    """Starts something that outlives the request."""

    async def afterwards() -> None:
        await asyncio.sleep(0.3)
        try:
            SEEN.append(("late", tenantry.current().slug))
        except tenantry.TenantScopeMissing:
            SEEN.append(("late", None))

    request.app.state.tasks.append(asyncio.create_task(afterwards()))
    return JSONResponse({})


async def slow(request: Any) -> JSONResponse:
    async with tenantry.transaction() as tx:
        await tx.execute("SELECT pg_sleep(3)")
    return JSONResponse({})


async def stream(request: Any) -> StreamingResponse:
    async def events() -> AsyncIterator[str]:
        try:
            for number in range(10_000):
                yield f"data: {number} {tenantry.current().slug}\n\n"
                await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            SEEN.append(("stream", "cancelled"))
            raise

    return StreamingResponse(events(), media_type="text/event-stream")


async def chat(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.receive_text()
            await websocket.send_text(tenantry.current().slug)
    except WebSocketDisconnect as end:
        SEEN.append(("chat", end.code))


async def deaf(websocket: WebSocket) -> None:
    """Neither reads nor writes."""
    await websocket.accept()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        SEEN.append(("deaf", "cancelled"))
        raise


ROUTES = [
    Route("/messages", messages),
    Route("/blocking", blocking),
    Route("/livez", health),
    Route("/broken", broken),
    Route("/late", late),
    Route("/slow", slow),
    Route("/stream", stream),
    WebSocketRoute("/chat", chat),
    WebSocketRoute("/deaf", deaf),
    Mount("/deep", routes=[Route("/messages", messages)]),
]


class Server:
    """uvicorn in a thread."""

    def __init__(self, app: Any) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.server = uvicorn.Server(
            uvicorn.Config(app, log_level="critical", lifespan="on", timeout_graceful_shutdown=2)
        )
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.socket.close()


@contextlib.asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    yield
    await tenantry.aclose()


@pytest.fixture(scope="module")
def server(dev: Dev, seeded: None) -> Iterator[Server]:
    app = Starlette(
        routes=ROUTES,
        lifespan=lifespan,
        middleware=[
            Middleware(TenantMiddleware, base_domains=[BASE_DOMAIN], path_prefix="/t/", trusted_peers=["127.0.0.0/8"])
        ],
    )
    app.state.tasks = []
    running = Server(app)
    yield running
    running.stop()


def get(server: Server, path: str, **given: Any) -> httpx.Response:
    return httpx.get(
        f"http://127.0.0.1:{server.port}{path}", headers={"Host": f"acme.{BASE_DOMAIN}", **given}, timeout=10
    )


def websocket(server: Server, path: str) -> connect:
    # Newer ones ask the environment for a proxy, which must not stand between us and ourselves.
    newer = {"proxy": None} if int(websockets.__version__.split(".")[0]) >= 15 else {}
    return connect(f"ws://{BASE_DOMAIN}{path}", host="127.0.0.1", port=server.port, **newer)


@pytest.mark.parametrize("slug", ["acme", "globex", "initech"])
@pytest.mark.parametrize("path", ["/messages", "/blocking", "/deep/messages"])
def test_the_same_handler_serves_every_level(server: Server, slug: str, path: str) -> None:
    by_host = get(server, path, Host=f"{slug}.{BASE_DOMAIN}")
    by_path = get(server, f"/t/{slug}{path}", Host=BASE_DOMAIN)
    assert by_host.json() == by_path.json() == {"tenant": slug, "bodies": [canary(slug)]}


def test_refusals_are_problem_documents(server: Server) -> None:
    answer = get(server, "/messages", Host=f"nobody-here.{BASE_DOMAIN}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["reason"] == "TenantNotFound"
    assert answer.headers["cache-control"] == "no-store"
    assert get(server, "/messages", **{"X-Tenant-ID": "globex"}).status_code == 400


def test_health_has_no_tenant(server: Server) -> None:
    assert get(server, "/livez", Host="anything").text == "none"


def test_the_context_is_gone_after_success_error_and_for_what_outlives_the_request(server: Server) -> None:
    SEEN.clear()
    assert get(server, "/broken").status_code == 500
    assert get(server, "/late").status_code == 200
    deadline = time.monotonic() + 5
    while not SEEN and time.monotonic() < deadline:
        time.sleep(0.05)
    assert SEEN == [("late", None)]
    assert get(server, "/livez").text == "none"


def test_states(server: Server, make_tenant: Any, tenantry_factory: TenantFactory) -> None:
    made: MadeTenant = make_tenant()
    host = f"{made.slug}.{BASE_DOMAIN}"
    assert get(server, "/messages", Host=host).status_code == 200
    tenantry_factory.suspend(made)
    assert until(lambda: get(server, "/messages", Host=host), 403).json()["reason"] == "TenantSuspended"
    tenantry_factory.archive(made)
    assert until(lambda: get(server, "/messages", Host=host), 410).json()["reason"] == "TenantGone"


def until(ask: Any, status: int, seconds: float = 5) -> httpx.Response:
    deadline = time.monotonic() + seconds
    answer: httpx.Response = ask()
    while answer.status_code != status and time.monotonic() < deadline:
        time.sleep(0.05)
        answer = ask()
    assert answer.status_code == status
    return answer


def test_a_suspension_reaches_requests_within_the_age(
    server: Server, make_tenant: Any, tenantry_factory: TenantFactory
) -> None:
    """The database refuses from the first moment on, whatever is remembered."""
    made: MadeTenant = make_tenant()
    host = f"{made.slug}.{BASE_DOMAIN}"
    assert get(server, "/messages", Host=host).status_code == 200
    tenantry_factory.suspend(made)
    assert get(server, "/messages", Host=host).status_code == 403


def test_websockets(server: Server, make_tenant: Any, tenantry_factory: TenantFactory) -> None:
    made: MadeTenant = make_tenant()
    SEEN.clear()

    async def talk() -> tuple[float, int | None]:
        async with websocket(server, f"/t/{made.slug}/chat") as channel:
            await channel.send("hello")
            assert await channel.recv() == made.slug
            await asyncio.to_thread(tenantry_factory.suspend, made)
            begun = time.monotonic()
            with contextlib.suppress(websockets.ConnectionClosed):
                await asyncio.wait_for(channel.recv(), 10)
            return time.monotonic() - begun, channel.protocol.close_code

    took, code = asyncio.run(talk())
    assert code == 1008
    assert took < 2 * 1 + 2 + GRACE_SECONDS
    time.sleep(0.1)
    assert SEEN == [("chat", 1008)]


def test_a_websocket_that_does_not_listen_is_ended_too(
    server: Server, make_tenant: Any, tenantry_factory: TenantFactory
) -> None:
    made: MadeTenant = make_tenant()
    SEEN.clear()

    async def wait() -> None:
        async with websocket(server, f"/t/{made.slug}/deaf") as channel:
            await asyncio.to_thread(tenantry_factory.suspend, made)
            with contextlib.suppress(websockets.ConnectionClosed):
                await asyncio.wait_for(channel.recv(), 10)

    asyncio.run(wait())
    time.sleep(GRACE_SECONDS + 0.5)
    assert SEEN == [("deaf", "cancelled")]


@pytest.mark.parametrize(("path", "status"), [("/t/nobody-here/chat", 404), ("/t/ACME/chat", 404)])
def test_a_refused_websocket_gets_an_answer(server: Server, path: str, status: int) -> None:
    async def knock() -> Any:
        async with websocket(server, path):
            raise AssertionError("it must not open")

    with pytest.raises(websockets.InvalidStatus) as caught:
        asyncio.run(knock())
    assert caught.value.response.status_code == status
    assert json.loads(caught.value.response.body)["reason"] == "TenantNotFound"


@pytest.mark.parametrize(("retry", "code"), [(None, 1008), (5, 1013)])
def test_a_server_without_that_extension_closes_with_a_code(retry: int | None, code: int) -> None:
    from tenantry.asgi import refuse

    error = tenantry.TenantSuspended("x") if retry is None else tenantry.TenantPreparing("x")
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(refuse(error, {"type": "websocket"}, receive, send))
    assert sent == [{"type": "websocket.close", "code": code, "reason": error.name}]


def test_an_event_stream_ends_with_its_tenant(
    server: Server, make_tenant: Any, tenantry_factory: TenantFactory
) -> None:
    made: MadeTenant = make_tenant()
    SEEN.clear()
    ended = 0.0
    with httpx.stream(
        "GET", f"http://127.0.0.1:{server.port}/t/{made.slug}/stream", headers={"Host": BASE_DOMAIN}, timeout=10
    ) as answer:
        for number, line in enumerate(answer.iter_lines()):
            if number == 0:
                assert line == f"data: 0 {made.slug}"
                threading.Thread(target=lambda: (tenantry_factory.suspend(made), SEEN.append(("done", None)))).start()
            if SEEN and not ended:
                ended = time.monotonic()
    assert time.monotonic() - ended < 2 * 1 + 2 + GRACE_SECONDS
    time.sleep(GRACE_SECONDS + 0.5)
    assert ("stream", "cancelled") in SEEN


def test_a_client_that_goes_away_leaves_nothing_behind(server: Server) -> None:
    for _ in range(5):
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"http://127.0.0.1:{server.port}/slow", headers={"Host": f"acme.{BASE_DOMAIN}"}, timeout=0.2)
    assert get(server, "/messages").json()["tenant"] == "acme"


def test_claims_are_read_from_where_they_were_left() -> None:
    read = claim_from("state", "claims", "tid")
    assert read({"state": {"claims": {"tid": "acme"}}}) == "acme"
    assert read({"state": {"claims": {"tid": 7}}}) is None
    assert read({"state": {}}) is None
