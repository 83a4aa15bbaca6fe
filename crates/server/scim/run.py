"""Starts an installation and lets a compliance tester of SCIM 2.0 at the directories of two tenants.

Ends with 0 when the tester found no error, 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
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


def call(method: str, url: str, token: str, body: dict, **headers: str) -> dict:
    """One call of the API."""
    sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
    request = urllib.request.Request(url, json.dumps(body).encode(), {**sent, **headers}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def ask(binary: str, work: pathlib.Path, data: pathlib.Path, port: int) -> int:
    """Waits for the installation, fills it, runs the tester. Gives how many runs failed."""
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + PATIENCE
    while not is_ready(url):
        if time.monotonic() > end:
            sys.exit("error: the installation was not ready in time")
        time.sleep(0.1)
    token = (data / "admin.token").read_text().strip()
    env = {**os.environ, "TENANTRY_URL": url, "TENANTRY_TOKEN": token}
    subprocess.run([binary, "apply", "-f", str(HERE / "manifests.yaml")], env=env, check=True, timeout=PATIENCE)
    base, failed = f"{url}/v1/environments/prod", 0
    call("PUT", f"{base}/tenants/globex/directory", token, {"issuer": "https://login.globex.example"}, **{"If-Match": "*"})
    for tenant, what in [("acme", "claimed by address"), ("globex", "known by issuer")]:
        wanted = {"name": "directory", "roles": ["tenant"], "tenant": tenant, "scopes": ["scim.*"]}
        key = call("POST", f"{base}/tokens", token, wanted)["text"]
        where = {"SCIM_URL": f"{url}/scim/v2/environments/prod/tenants/{tenant}", "SCIM_TOKEN": key}
        command = [str(work / "venv/bin/python"), "-B", str(HERE / "check.py")]
        asked = {**os.environ, **where}
        run = subprocess.run(command, env=asked, capture_output=True, text=True, timeout=PATIENCE, check=False)
        print(f"{tenant:<8}{what:<20}{run.stdout.strip()}", flush=True)
        if run.returncode:
            failed += 1
            print(run.stderr, file=sys.stderr, flush=True)
    return failed


def main() -> None:
    """Reads the arguments, starts and stops."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tenantry-scim-") as folder:
        # PostgreSQL runs as another user where this is run by root, and has to get to its data.
        os.chmod(folder, 0o711)
        data, port = pathlib.Path(folder) / "data", free_port()
        command = [arguments.binary, "dev", "--example", "none", "--no-context", "--json"]
        command += ["--data-dir", str(data), "--listen", f"127.0.0.1:{port}"]
        with (pathlib.Path(folder) / "log").open("w+") as log:
            installation = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                failed = ask(arguments.binary, arguments.work, data, port)
            except BaseException:
                log.seek(0)
                sys.stderr.write(log.read()[-4000:])
                raise
            finally:
                installation.send_signal(signal.SIGINT)
                installation.wait(PATIENCE)
    if failed:
        sys.exit(1)


main()
