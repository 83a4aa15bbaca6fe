"""Starts an installation and lets OpenFeature SDKs ask it for flags.

Ends with 0 when every client found what it expected, 1 otherwise.
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


def clients(work: pathlib.Path) -> list[tuple[str, list[str]]]:
    """What is run."""
    node = work / "node"
    return [
        ("server.mjs", ["node", str(node / "server.mjs")]),
        ("web.mjs", ["node", str(node / "web.mjs")]),
        ("client.py", [str(work / "venv/bin/python"), "-B", str(HERE / "client.py")]),
    ]


def ask(binary: str, work: pathlib.Path, data: pathlib.Path, port: int) -> int:
    """Waits for the installation, fills it, runs the clients. Gives how many failed."""
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + PATIENCE
    while not is_ready(url):
        if time.monotonic() > end:
            sys.exit("error: the installation was not ready in time")
        time.sleep(0.1)
    token = (data / "admin.token").read_text().strip()
    env = {**os.environ, "TENANTRY_URL": url, "TENANTRY_TOKEN": token}
    subprocess.run([binary, "apply", "-f", str(HERE / "manifests.yaml")], env=env, check=True, timeout=PATIENCE)
    base = f"{url}/v1/environments/prod"
    failed = 0
    for root, what in [(base, "by path"), (url, "by token")]:
        # The only environment of the installation is that of a token which reaches all.
        asked = {**os.environ, "OFREP_URL": root, "OFREP_API": base, "OFREP_TOKEN": token}
        for name, command in clients(work):
            run = subprocess.run(command, env=asked, capture_output=True, text=True, timeout=PATIENCE, check=False)
            if run.returncode == 0:
                found = json.loads(run.stdout.strip().splitlines()[-1])
                print(f"{found.pop('client'):<28}{what:<10}{json.dumps(found)}", flush=True)
            else:
                failed += 1
                print(f"{name} {what}: failed\n{run.stdout}{run.stderr}", file=sys.stderr, flush=True)
                # It may have left the switch off, at which the others would stumble.
                return failed
    return failed


def main() -> None:
    """Reads the arguments, starts and stops."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tenantry-ofrep-") as folder:
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
