"""Starts an installation and lets the reference libraries of Standard Webhooks verify what it sends, through a rotation.

Ends with 0 when every delivery was believed by every library and nothing tampered with was, 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 120


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def is_ready(url: str) -> bool:
    """Whether the server says that it serves."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


class Api:
    """The API of the installation."""

    def __init__(self, url: str, token: str) -> None:
        self.base, self.token = f"{url}/v1/environments/prod", token

    def post(self, path: str, body: dict, **headers: str) -> dict:
        """Asks for a change."""
        request = urllib.request.Request(f"{self.base}/{path}", json.dumps(body).encode(), method="POST")
        for name, value in {
            "authorization": f"Bearer {self.token}",
            "content-type": "application/json",
            "idempotency-key": uuid.uuid4().hex,
            "if-match": "*",
            **headers,
        }.items():
            request.add_header(name, value)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


class Receiver:
    """A receiver in another language."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines: queue.Queue[dict] = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        self.port = self.next()["port"]
        self.secret = ""
        self.id = ""
        self.count = 0

    def read(self) -> None:
        """Gathers what it says."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def next(self) -> dict:
        """The next thing that it says."""
        return self.lines.get(timeout=30)

    def use(self, secret: str) -> None:
        """Gives it a secret."""
        assert self.process.stdin
        self.process.stdin.write(secret + "\n")
        self.process.stdin.flush()
        assert self.next() == {"secret": True}

    def expect(self, what: str, signatures: int) -> None:
        """A delivery that is believed."""
        found = self.next()
        if "error" in found or not found["tampered"] or found["signatures"] != signatures or found["type"] != what:
            sys.exit(f"{self.name}: {what}: {found}")
        self.count += 1


def manifest(name: str) -> dict:
    """A tenant that only exists on paper."""
    return {
        "metadata": {"name": name},
        "spec": {
            "displayName": name,
            "app": "chat",
            "plan": "starter",
            "state": "draft",
            "residency": {"allowedRegions": ["eu-west"]},
            "contacts": {"billing": [{"name": "Finance", "email": "finance@acme.example"}]},
        },
    }


def ask(data: pathlib.Path, port: int, work: pathlib.Path, binary: str) -> None:
    """Waits for the installation and lets it send."""
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + PATIENCE
    while not is_ready(url):
        if time.monotonic() > end:
            sys.exit("error: the installation was not ready in time")
        time.sleep(0.1)
    token = (data / "admin.token").read_text().strip()
    api = Api(url, token)
    env = {**os.environ, "TENANTRY_URL": url, "TENANTRY_TOKEN": token}
    subprocess.run([binary, "apply", "-f", str(HERE / "manifests.yaml")], env=env, check=True, timeout=PATIENCE)
    receivers = [
        Receiver("standardwebhooks (Node.js)", ["node", str(work / "node/receiver.mjs")]),
        Receiver("standardwebhooks (Python)", [str(work / "venv/bin/python"), "-B", str(HERE / "receiver.py")]),
    ]
    try:
        verify(api, receivers)
    finally:
        for receiver in receivers:
            receiver.process.terminate()
            receiver.process.wait(10)


def verify(api: Api, receivers: list[Receiver]) -> None:
    """Before, during and after a rotation."""
    for receiver in receivers:
        body = {"url": f"http://127.0.0.1:{receiver.port}/in", "types": ["tenant.created"]}
        made = api.post("webhooks", body)
        receiver.id, receiver.secret = made["endpoint"]["id"], made["secret"]
        receiver.use(receiver.secret)
        tested = api.post(f"webhooks/{receiver.id}:test", {})
        if tested["outcome"] != "delivered":
            sys.exit(f"{receiver.name}: {tested}")
        receiver.expect("webhook.test", 1)
    api.post("tenants", manifest("before"))
    for receiver in receivers:
        receiver.expect("tenant.created", 1)
        old = receiver.secret
        receiver.secret = api.post(f"webhooks/{receiver.id}:rotate", {"overlap": "1h"})["secret"]
        if receiver.secret == old:
            sys.exit(f"{receiver.name}: the secret is the same after a rotation")
    # A receiver changes over at any moment of the overlap: with the old secret, then with the new one.
    for number in range(6):
        api.post("tenants", manifest(f"during-{number}"))
        for receiver in receivers:
            receiver.expect("tenant.created", 2)
            if number == 2:
                receiver.use(receiver.secret)
    for receiver in receivers:
        receiver.secret = api.post(f"webhooks/{receiver.id}:rotate", {"overlap": "0s"})["secret"]
        receiver.use(receiver.secret)
    api.post("tenants", manifest("after"))
    for receiver in receivers:
        receiver.expect("tenant.created", 1)
        print(f"{receiver.name:<30}{receiver.count} deliveries believed, through two rotations; nothing tampered with was")


def main() -> None:
    """Reads the arguments, starts and stops."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tenantry-webhooks-") as folder:
        # PostgreSQL runs as another user where this is run by root, and has to get to its data.
        os.chmod(folder, 0o711)
        data, port = pathlib.Path(folder) / "data", free_port()
        command = [arguments.binary, "dev", "--example", "none", "--no-context", "--json", "--webhooks-lab"]
        command += ["--data-dir", str(data), "--listen", f"127.0.0.1:{port}"]
        with (pathlib.Path(folder) / "log").open("w+") as log:
            installation = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                ask(data, port, arguments.work, arguments.binary)
            except BaseException:
                log.seek(0)
                sys.stderr.write(log.read()[-4000:])
                raise
            finally:
                installation.send_signal(signal.SIGINT)
                installation.wait(PATIENCE)


main()
