"""The client: what is remembered, for how long, and what happens while the control plane is away."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from world import Counting, Dev, canary

from tenantry import (
    AsyncClient,
    Client,
    ControlPlaneRefused,
    ControlPlaneUnavailable,
    Settings,
    SettingsInvalid,
    TenantMismatch,
    TenantNotFound,
    Tenantry,
)
from tenantry.cache import Memory
from tenantry.known import Look, after_failure, shortcut
from tenantry.requests import Query, refusal

ACME = Query(tenant="acme")


def test_many_who_ask_at_once_cause_one_request(dev: Dev) -> None:
    transport = Counting(delay=0.2)
    with Client(dev.settings(), transport) as client, ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: client.resolve(ACME), range(16)))
        assert {answer.slug for answer in answers} == {"acme"}
        assert len(transport.asked) == 1
        list(threads.map(lambda _: client.route(answers[0].id), range(16)))
        assert len(transport.asked) == 2


def test_many_tasks_cause_one_request_and_a_cancelled_one_takes_nothing_away(dev: Dev) -> None:
    async def main() -> None:
        async with AsyncClient(dev.settings()) as client:
            first = asyncio.ensure_future(client.resolve(ACME))
            await asyncio.sleep(0)
            others = [asyncio.ensure_future(client.resolve(ACME)) for _ in range(8)]
            await asyncio.sleep(0)
            assert len(client._flights) == 1
            first.cancel()
            assert {each.slug for each in await asyncio.gather(*others)} == {"acme"}
            with pytest.raises(asyncio.CancelledError):
                await first

    asyncio.run(main())


def test_what_is_said_of_one_tenant_says_nothing_of_another() -> None:
    """A rate of one tenant's plan is no sign that nobody answers."""
    memory: Memory[str] = Memory(10, 100)
    for key in ("x", "y"):
        memory.keep(key, key, 0, 500)
    limited = refusal(429, b'{"code": "TEN-0039"}')
    assert isinstance(limited, ControlPlaneUnavailable)
    assert after_failure(memory, "x", 10, limited) == "x"
    assert memory.fresh("x", 10.5) == "x", "left alone for a while"
    assert memory.fresh("x", 11.5) is None
    assert shortcut(memory, "y", 10, in_flight=False) is None, "the other one is asked about"
    for status, code in ((503, b'{"code": "TEN-0029"}'), (502, b"<html>")):
        away = refusal(status, code)
        assert isinstance(away, ControlPlaneUnavailable)
        assert after_failure(memory, "x", 20, away) == "x"
        assert shortcut(memory, "y", 20, in_flight=False) == "y", "nobody answers"


def test_an_answer_is_used_until_its_age_is_over(dev: Dev) -> None:
    transport = Counting()
    with Client(dev.settings(), transport) as client:
        age = client.resolve(ACME).max_age_ms / 1000
        for _ in range(5):
            client.resolve(ACME)
        assert len(transport.asked) == 1
        time.sleep(age + 0.05)
        client.resolve(ACME)
        assert len(transport.asked) == 2
        client.resolve(ACME, Look.FRESH)
        assert len(transport.asked) == 3


def test_nobody_is_remembered_for_a_moment_only(dev: Dev) -> None:
    transport = Counting()
    with Client(dev.settings(missing_max_age_ms=200), transport) as client:
        for _ in range(5):
            with pytest.raises(TenantNotFound):
                client.resolve(Query(tenant="nobody-here"))
        assert len(transport.asked) == 1
        time.sleep(0.25)
        with pytest.raises(TenantNotFound):
            client.resolve(Query(tenant="nobody-here"))
        assert len(transport.asked) == 2


def test_sources_that_disagree(dev: Dev) -> None:
    with Client(dev.settings()) as client, pytest.raises(TenantMismatch):
        client.resolve(Query(tenant="acme", path="/t/globex"))


def test_a_source_that_the_control_plane_does_not_know_is_a_refusal(dev: Dev) -> None:
    with Client(dev.settings()) as client, pytest.raises(TenantNotFound):
        client.resolve(Query(tenant="acme", host="nobody.example.org"))


def test_a_wrong_token_is_told_and_a_new_one_is_read(dev: Dev, tmp_path: Path) -> None:
    good = Path(dev.token_file).read_text()
    file = tmp_path / "token"
    file.write_text("ten_live_wrong")
    with Client(dev.settings(token_file=str(file))) as client:
        with pytest.raises(ControlPlaneRefused, match="TEN-0021"):
            client.resolve(ACME)
        file.write_text(good)
        assert client.resolve(ACME).slug == "acme"


def test_a_wrong_environment_is_no_missing_tenant(dev: Dev) -> None:
    with Client(dev.settings(environment="elsewhere")) as client, pytest.raises((ControlPlaneRefused, TenantNotFound)):
        client.resolve(ACME)


def test_nobody_there(dev: Dev) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with Client(dev.settings(url=f"http://127.0.0.1:{port}")) as client, pytest.raises(ControlPlaneUnavailable):
        client.resolve(ACME)


def test_an_answer_without_end_is_given_up(dev: Dev) -> None:
    def drip(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
            try:
                for _ in range(100_000):
                    peer.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        settings = dev.settings(url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        with Client(settings) as client, pytest.raises(ControlPlaneUnavailable):
            client.resolve(ACME)
        thread.join()


def test_requests_go_on_while_the_control_plane_is_stopped(dev: Dev, seeded: None) -> None:
    tenantry = Tenantry(dev.settings(request_timeout_seconds=0.3))
    slow = 0

    def serve() -> float:
        begun = time.monotonic()
        with tenantry.tenant("acme"), tenantry.transaction() as tx:
            assert tx.execute("SELECT body FROM messages WHERE body LIKE 'canary-%'").fetchone() == (canary("acme"),)
        return time.monotonic() - begun

    serve()
    dev.freeze()
    try:
        end = time.monotonic() + 4
        served = 0
        while time.monotonic() < end:
            slow += serve() > 0.25
            served += 1
        assert served > 50
        # One caller a second tries whether it is there again; nobody else waits.
        assert slow <= 12, slow
        with pytest.raises(ControlPlaneUnavailable), tenantry.tenant("globex"):
            pass
    finally:
        dev.thaw()
    time.sleep(1.2)
    serve()
    with tenantry.tenant("globex"), tenantry.transaction():
        pass
    tenantry.close()


def test_the_database_has_the_last_word_while_the_control_plane_is_stopped(
    dev: Dev, seeded: None, tenantry: Tenantry
) -> None:
    """What is remembered says open; the gate in the database is shut."""
    tenantry = Tenantry(dev.settings(request_timeout_seconds=0.3))
    with tenantry.tenant("acme") as tenant, tenantry.transaction():
        pass
    dev.freeze()
    try:
        with dev.superuser() as other:
            other.execute("UPDATE tenantry.tenant SET state = 's' WHERE tenant_id = %s", (tenant.uuid,))
            try:
                with tenantry.tenant("acme"), pytest.raises((ControlPlaneUnavailable,)), tenantry.transaction():
                    pass
            finally:
                other.execute("UPDATE tenantry.tenant SET state = 'a' WHERE tenant_id = %s", (tenant.uuid,))
    finally:
        dev.thaw()
    tenantry.close()


def test_stale_answers_have_a_bound() -> None:
    memory: Memory[str] = Memory(3, stale_seconds=100)
    memory.keep("a", "A", now=0, max_age_ms=1000)
    assert memory.fresh("a", 0.9) == "A"
    assert memory.fresh("a", 1.0) is None
    assert memory.usable("a", 99) == "A"
    assert memory.usable("a", 100) is None
    memory.note_down(50)
    assert memory.is_down(50.5)
    assert not memory.is_down(51)
    assert memory.was_down()
    for key in "bcd":
        memory.keep(key, key, now=1, max_age_ms=1000)
    assert len(memory) == 3
    assert memory.usable("a", 1) is None
    assert not memory.was_down()


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://x"},
        {"url": "http://control.example"},
        {"url": "https://user:secret@control.example"},
        {"connections": 0},
        {"connections": True},
        {"wait_seconds": -1},
        {"sslmode": "maybe"},
        {"token": "a", "token_file": "b"},
        {"environment": "../x"},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsInvalid):
        Settings(**wrong)  # type: ignore[arg-type]


def test_settings_come_from_the_environment() -> None:
    environ = {
        "TENANTRY_URL": "https://control.example",
        "TENANTRY_CONNECTIONS": "7",
        "TENANTRY_WAIT_SECONDS": "1.5",
        "TENANTRY_ALLOW_HTTP": "true",
        "TENANTRY_TOKEN": "t",
    }
    settings = Settings.from_env(environ, environment="staging")
    assert (settings.url, settings.connections, settings.wait_seconds) == ("https://control.example", 7, 1.5)
    assert settings.allow_http
    assert settings.environment == "staging"
    assert settings.read_token() == "t"
    with pytest.raises(SettingsInvalid, match="TENANTRY_CONNECTIONS"):
        Settings.from_env({"TENANTRY_CONNECTIONS": "many"})
    with pytest.raises(SettingsInvalid, match="token"):
        Settings().read_token()
