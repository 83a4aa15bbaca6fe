"""A real `tenantry dev`, and what tests do with it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tenantry import Settings
from tenantry.requests import Query

ROOT = Path(__file__).resolve().parents[3]
BASE_DOMAIN = "chat.example"


class Dev:
    """A `tenantry dev` of its own, with the example `chat` and tenants acme, globex, initech."""

    def __init__(self) -> None:
        binary = os.environ.get("TENANTRY_BIN") or str(ROOT / "target/debug/tenantry")
        self.folder = Path(tempfile.mkdtemp(prefix="tenantry-python-"))
        # Root runs PostgreSQL as another user, who must be able to pass.
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TENANTRY_")}
        environment["TENANTRY_BASE_DOMAINS"] = BASE_DOMAIN
        for name in ("TENANTRY_PG_BIN",):
            if name in os.environ:
                environment[name] = os.environ[name]
        command = [binary, "dev", "--json", "--no-context", "--listen", "127.0.0.1:0", "--data-dir", str(self.data)]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        self.url = ""
        for _ in range(900):
            for line in (self.folder / "log").read_text().splitlines():
                if '"event":"ready"' in line:
                    ready = json.loads(line)
                    self.url, self.pg_port = ready["url"], ready["postgresPort"]
            if self.url or self.process.poll() is not None:
                break
            time.sleep(0.1)
        if not self.url:
            text = (self.folder / "log").read_text()
            self.stop()
            raise RuntimeError(f"tenantry dev did not start:\n{text}")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def token_file(self) -> str:
        return str(self.data / "admin.token")

    def settings(self, **given: Any) -> Settings:
        return Settings(**{"url": self.url, "token_file": self.token_file, "environment": "prod", **given})

    def superuser(self, database: str = "tn_prod_chat") -> psycopg.Connection[Any]:
        password = (self.data / "postgres.password").read_text().strip()
        return psycopg.connect(
            host="127.0.0.1", port=self.pg_port, user="postgres", password=password, dbname=database, autocommit=True
        )

    def freeze(self) -> None:
        """Stops the control plane where it stands; PostgreSQL goes on."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


class Counting(httpx.HTTPTransport):
    """The real transport, with a list of what was asked."""

    def __init__(self, delay: float = 0.0) -> None:
        super().__init__()
        self.asked: list[str] = []
        self._delay = delay

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.raw_path.decode()}")
        time.sleep(self._delay)
        return super().handle_request(request)


def canary(slug: str) -> str:
    """A text that only this tenant's rows hold."""
    return f"canary-{slug}-{uuid.uuid5(uuid.NAMESPACE_DNS, slug).hex}"


def seed(tx: Any, slug: str) -> None:
    """A user and a message with the tenant's canary; may run again."""
    mark = canary(slug)
    tx.execute(
        "INSERT INTO users (email, display_name) VALUES (%s, %s) ON CONFLICT DO NOTHING", (f"{mark}@a.example", mark)
    )
    tx.execute("INSERT INTO channels (name, topic) VALUES ('general', %s) ON CONFLICT DO NOTHING", (mark,))
    tx.execute(
        "INSERT INTO messages (channel_id, body) SELECT id, %s FROM channels WHERE name = 'general'"
        " AND NOT EXISTS (SELECT FROM messages WHERE body = %s)",
        (mark, mark),
    )


def outdated(tenantry: Any, name: str, **changes: Any) -> None:
    """Puts a route into the client's memory that is fresh and wrong, as after a move that nobody told us of."""
    tenant = tenantry.client.resolve(Query(tenant=name))
    route = tenantry.client.route(tenant.id)
    wrong = dataclasses.replace(route, max_age_ms=60_000, **changes)
    tenantry.client._known.keep_route(wrong, time.monotonic())
