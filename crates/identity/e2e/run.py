"""Runs the real binary beside the Firebase Auth emulator, and looks at pools of users from outside.

Ends with 0 when everything was as expected, 1 otherwise. What it finds is one line per check.
"""

from __future__ import annotations

import argparse
import base64
import email
import email.policy
import json
import os
import pathlib
import re
import secrets
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
PROJECT = "demo-tenantry"
ISSUER = f"https://securetoken.google.com/{PROJECT}"
ANNA = "anna@example.com"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def call(method: str, url: str, body: object = None, **headers: str) -> tuple[int, dict, dict]:
    """Sends a request; gives status, JSON and headers of the answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)
    if data is not None:
        request.add_header("content-type", "application/json")
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text, status, got = answer.read(), answer.status, answer.headers
    except urllib.error.HTTPError as error:
        text, status, got = error.read(), error.code, error.headers
    parsed = json.loads(text) if text.strip().startswith(b"{") else {}
    return status, parsed, {name.lower(): value for name, value in got.items()}


def wait(what: str, found):
    """Asks until there is an answer."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            answer = found()
        except (urllib.error.URLError, OSError):
            answer = None
        if answer:
            return answer
        if time.monotonic() > end:
            sys.exit(f"error: {what}: not in time")
        time.sleep(0.1)


failures: list[str] = []


def check(what: str, found: object, expected: object) -> None:
    """One line, and a failure if the two differ."""
    is_right = found == expected
    print(f"{'ok  ' if is_right else 'FAIL'} {what}", flush=True)
    if not is_right:
        failures.append(what)
        print(f"     found {found!r}, expected {expected!r}", flush=True)


class Emulator:
    """The provider, as its administrator and as people who sign in."""

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}/identitytoolkit.googleapis.com"

    def admin(self, method: str, path: str, body: object = None) -> dict:
        """As the owner of the project."""
        return call(method, f"{self.base}/{path}", body, authorization="Bearer owner")[1]

    def pools(self) -> dict[str, dict]:
        """All pools, by id."""
        found = self.admin("GET", f"v2/projects/{PROJECT}/tenants?pageSize=1000")
        return {pool["tenantId"]: pool for pool in found.get("tenants", [])}

    def accounts(self, pool: str) -> list[str]:
        """The addresses in a pool."""
        found = self.admin("GET", f"v1/projects/{PROJECT}/tenants/{pool}/accounts:batchGet?maxResults=100")
        return [account["email"] for account in found.get("users", [])]

    def sign(self, what: str, pool: str, address: str, password: str) -> dict:
        """As somebody at a sign-in page: `signUp` or `signInWithPassword`."""
        body = {"email": address, "password": password, "returnSecureToken": True, "tenantId": pool}
        return call("POST", f"{self.base}/v1/accounts:{what}?key=any", body)[1]

    @staticmethod
    def word(answer: dict) -> str:
        """Why it was refused, or nothing."""
        return answer.get("error", {}).get("message", "").split(" ")[0]


class Mailbox:
    """A mail server (RFC 5321) that takes whatever comes and keeps it."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        """One conversation after the other."""
        while True:
            peer, _ = self.listener.accept()
            with peer, peer.makefile("rwb") as line:
                self.talk(line)

    def talk(self, line) -> None:
        """One conversation."""

        def say(text: str) -> None:
            line.write(f"{text}\r\n".encode())
            line.flush()

        say("220 here")
        for said in line:
            verb = said[:4].upper()
            if verb == b"DATA":
                say("354 go on")
                text = bytearray()
                while (part := line.readline()) != b".\r\n":
                    text += part
                mail = email.message_from_bytes(bytes(text), policy=email.policy.default)
                self.mails.append(mail.get_body(("plain",)).get_content())
            if verb == b"QUIT":
                say("221 bye")
                return
            say("250 ok")


class Tenantry:
    """The installation's API."""

    def __init__(self, binary: str, url: str, token: str) -> None:
        self.binary, self.url, self.token = binary, url, token
        self.base = f"{url}/v1/environments/prod"

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict, dict]:
        """A call as the operator."""
        headers.setdefault("idempotency_key", uuid.uuid4().hex)
        return call(method, f"{self.base}/{path}", body, authorization=f"Bearer {self.token}", **headers)

    def command(self, *words: str) -> subprocess.CompletedProcess:
        """The command line."""
        env = {**os.environ, "TENANTRY_URL": self.url, "TENANTRY_TOKEN": self.token}
        run = subprocess.run([self.binary, *words], env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
        if run.returncode:
            sys.exit(f"error: tenantry {' '.join(words)}: {run.stdout}{run.stderr}")
        return run

    def settled(self, tenant: str, status: str) -> dict:
        """A pool that stands as it should."""

        def found() -> dict | None:
            pool = self.ask("GET", f"tenants/{tenant}/identity-pool")[1]
            return pool if pool.get("settled") and pool["status"] == status else None

        return wait(f"the pool of {tenant} is never {status}", found)

    def forward(self, token: str, path: str = "/") -> tuple[int, str, str]:
        """What a proxy learns of a request with a token: status, tenant, code."""
        headers = {"x_forwarded_host": "localhost", "x_forwarded_uri": path, "x_forwarded_method": "GET"}
        status, _, got = call(
            "GET", f"{self.base}/forward-auth/traefik", authorization=f"Bearer {self.token}",
            x_original_authorization=f"Bearer {token}", **headers,
        )
        return status, got.get("x-tenant-slug", ""), got.get("x-tenant-error", "")


def follow(tenantry: Tenantry, emulator: Emulator) -> None:
    """Two tenants from activation to deletion."""
    tenantry.command("apply", "-f", str(HERE / "manifests.yaml"))
    acme, globex = (tenantry.settled(name, "enabled")["pool"] for name in ("acme", "globex"))
    check("activation makes a pool for each tenant, and no other", sorted(emulator.pools()), sorted([acme, globex]))
    pool = emulator.pools()[acme]
    check("the plan says how people sign in", (pool["allowPasswordSignup"], pool["enableEmailLinkSignin"]), (True, True))
    check("the pool bears a name that can be found again", (pool["displayName"][0], len(pool["displayName"])), ("t", 20))
    shown = tenantry.command("describe", "tenant", "acme").stdout
    check("describe shows the condition and the pool", ("IdentityPool" in shown, acme in shown), (True, True))

    one = emulator.sign("signUp", acme, ANNA, "correct-horse-1")
    two = emulator.sign("signUp", globex, ANNA, "battery-staple-2")
    check("one address in two pools: two people", one["localId"] != two["localId"], True)
    check("neither pool has the other's", (emulator.accounts(acme), emulator.accounts(globex)), ([ANNA], [ANNA]))
    claims = json.loads(base64.urlsafe_b64decode(one["idToken"].split(".")[1] + "=="))
    check("the token names the pool", (claims["iss"], claims["firebase"]["tenant"]), (ISSUER, acme))

    check("a token of somebody who is no member opens nothing", tenantry.forward(one["idToken"]), (404, "", "TEN-0005"))
    for name, pool_id, account in [("acme", acme, one), ("globex", globex, two)]:
        identity = {"issuer": ISSUER, "pool": pool_id, "subject": account["localId"]}
        body = {**identity, "email": ANNA, "role": "owner"}
        status, answer, _ = tenantry.ask("POST", f"tenants/{name}/members", body)
        check(f"the person becomes a member of {name}", status, 201)
        if status != 201:
            print(f"     {answer}", flush=True)
    check("a member's token names the tenant", tenantry.forward(one["idToken"]), (200, "acme", ""))
    check("and the other's the other", tenantry.forward(two["idToken"]), (200, "globex", ""))
    check("another tenant in the address gives nothing", tenantry.forward(one["idToken"], "/t/globex/x")[::2], (400, "TEN-0043"))
    wrong = emulator.sign("signInWithPassword", globex, ANNA, "correct-horse-1")
    check("another pool in the sign-in page gives nothing", emulator.word(wrong), "INVALID_PASSWORD")
    forged = base64.urlsafe_b64encode(json.dumps({**claims, "firebase": {"tenant": globex}}).encode()).decode().rstrip("=")
    head, _, _ = one["idToken"].split(".")
    check("another pool in the token is another user", tenantry.forward(f"{head}.{forged}.")[::2], (404, "TEN-0005"))
    other = base64.urlsafe_b64encode(json.dumps({**claims, "iss": "https://securetoken.google.com/else"}).encode())
    check("another issuer is not believed", tenantry.forward(f"{head}.{other.decode().rstrip('=')}.")[::2], (401, "TEN-0051"))

    tenantry.command("suspend", "acme", "--reason", "commercial")
    tenantry.settled("acme", "disabled")
    check("a suspended tenant's token is refused", tenantry.forward(one["idToken"])[::2], (403, "TEN-0045"))
    again = emulator.sign("signInWithPassword", acme, ANNA, "correct-horse-1")
    check("nobody signs in to its pool", emulator.word(again), "PROJECT_DISABLED")
    check("the neighbour's token opens as before", tenantry.forward(two["idToken"]), (200, "globex", ""))
    tenantry.command("resume", "acme")
    tenantry.settled("acme", "enabled")
    again = emulator.sign("signInWithPassword", acme, ANNA, "correct-horse-1")
    check("after resuming they sign in, as the same person", again.get("localId"), one["localId"])
    check("and the new token opens", tenantry.forward(again["idToken"]), (200, "acme", ""))

    ident = tenantry.ask("GET", "tenants/globex")[1]["status"]["id"]
    tenantry.command("suspend", "globex", "--reason", "commercial")
    tenantry.settled("globex", "disabled")
    tenantry.command("archive", "globex")
    check("an archived tenant's pool is kept", globex in emulator.pools(), True)
    tenantry.command("delete", "tenant", "globex", "--confirm", "globex", "--yes")
    wait("the pool of globex is never gone", lambda: globex not in emulator.pools())
    check("deletion removes the pool and no other", sorted(emulator.pools()), [acme])
    events = tenantry.ask("GET", f"tenants/{ident}/events?after=0")[1].get("items", [])
    told = [event["type"] for event in events if event["type"].startswith("identity.")]
    words = ["created", "disabled", "deleted"]
    check("every change is told once, in order", told, [f"identity.pool.{word}" for word in words])
    check("the evidence holds", tenantry.command("audit", "verify").returncode, 0)


def invited(tenantry: Tenantry, emulator: Emulator, mailbox: Mailbox) -> None:
    """Somebody whose account is made beforehand."""
    pool = tenantry.settled("acme", "enabled")["pool"]
    bob = "bob@example.com"
    tenantry.command("members", "invite", "acme", bob, "--role", "member", "--account")
    mail = wait("the invitation is never mailed", lambda: mailbox.mails and mailbox.mails[0])
    check("an account is made beforehand", bob in emulator.accounts(pool), True)
    refused = emulator.sign("signInWithPassword", pool, bob, "any-password")
    check("nobody signs in to it before a password is set", "idToken" in refused, False)
    reset = re.search(r"http://127\.0\.0\.1:\d+/emulator/action\?\S+", mail).group()
    token = re.search(r"https://app\.example\.com/join#(\S+)", mail).group(1)
    status = call("GET", f"{reset}&newPassword=bobs-own-password")[0]
    check("the provider's link in the mail sets a password", status, 200)
    signed = emulator.sign("signInWithPassword", pool, bob, "bobs-own-password")
    check("then the person signs in", "idToken" in signed, True)
    check("and is no member yet", tenantry.forward(signed["idToken"])[0], 404)
    claims = json.loads(base64.urlsafe_b64decode(signed["idToken"].split(".")[1] + "=="))
    identity = {"issuer": claims["iss"], "pool": claims["firebase"]["tenant"], "subject": claims["sub"]}
    body = {**identity, "token": token, "email": claims["email"], "emailVerified": claims["email_verified"]}
    url = f"{tenantry.url}/v1/invitations:accept"
    headers = {"authorization": f"Bearer {tenantry.token}", "idempotency_key": uuid.uuid4().hex}
    status, answer, _ = call("POST", url, body, **headers)
    check("accepting the invitation makes them one", (status, answer.get("role")), (201, "member"))
    check("and their token opens", tenantry.forward(signed["idToken"]), (200, "acme", ""))
    again = call("POST", url, body, **{**headers, "idempotency_key": uuid.uuid4().hex})
    check("an invitation is good once", (again[0], again[1].get("code")), (410, "TEN-0066"))


def refusals(binary: str, folder: pathlib.Path, issuers: pathlib.Path) -> None:
    """What production does not do."""
    key = folder / "root.key"
    key.write_text(secrets.token_hex(32) + "\n")
    base = {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")}
    base |= {"TENANTRY_DATABASE_URL": "postgres://nobody@127.0.0.1:1/none", "TENANTRY_ROOT_KEY_FILE": str(key)}
    # No context file of whoever runs this.
    base |= {"TENANTRY_ISSUERS_FILE": str(issuers), "XDG_CONFIG_HOME": str(folder / "config")}
    emulated = {"TENANTRY_IDENTITY_PROJECT": PROJECT, "TENANTRY_IDENTITY_EMULATOR": "127.0.0.1:9"}
    for what, settings, listen, part in [
        ("without an emulator its tokens are no issuer", {}, "127.0.0.1", "keys: emulator"),
        ("beside an emulator only this machine is served", emulated, "0.0.0.0", "beside an identity emulator"),
        ("an emulator elsewhere is none", emulated | {"TENANTRY_IDENTITY_EMULATOR": "10.0.0.1:9099"}, "127.0.0.1", "this machine"),
    ]:
        command = [binary, "serve", "--listen", f"{listen}:{free_port()}"]
        run = subprocess.run(command, env=base | settings, capture_output=True, text=True, timeout=30, check=False)
        check(f"production: {what}", (run.returncode, part in run.stderr), (2, True))
        if part not in run.stderr:
            print(f"     {run.stderr[-500:]}", flush=True)


def main() -> None:
    """Reads the arguments, starts and stops."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tenantry-identity-") as name:
        folder = pathlib.Path(name)
        # PostgreSQL runs as another user where this is run by root, and has to get to its data.
        os.chmod(folder, 0o711)
        auth, hub, logging, port = (free_port() for _ in range(4))
        place = {"host": "127.0.0.1"}
        emulators = {"auth": {**place, "port": auth}, "hub": {**place, "port": hub}, "logging": {**place, "port": logging}}
        (folder / "firebase.json").write_text(json.dumps({"emulators": {**emulators, "ui": {"enabled": False}}}))
        issuers = folder / "issuers.json"
        issuer = {"issuer": ISSUER, "environment": "prod", "audiences": [PROJECT], "keys": "emulator", "types": ["JWT"]}
        issuer |= {"claim": "firebase.tenant", "names": "pool", "membersOnly": True}
        issuers.write_text(json.dumps({"issuers": [issuer]}))
        refusals(arguments.binary, folder, issuers)

        firebase = [str(arguments.work / "node_modules/.bin/firebase"), "emulators:start", "--only", "auth", "--project", PROJECT]
        quiet = {**os.environ, "CI": "1", "XDG_CONFIG_HOME": str(folder / "firebase")}
        env = {**os.environ, "TENANTRY_IDENTITY_PROJECT": PROJECT, "TENANTRY_IDENTITY_EMULATOR": f"127.0.0.1:{auth}"}
        mailbox = Mailbox()
        env |= {"TENANTRY_ISSUERS_FILE": str(issuers), "TENANTRY_SMTP_URL": f"smtp://127.0.0.1:{mailbox.port}"}
        env |= {"TENANTRY_MAIL_FROM": "no-reply@example.com", "TENANTRY_INVITE_URL": "https://app.example.com/join#{token}"}
        dev = [arguments.binary, "dev", "--example", "none", "--no-context", "--json", "--data-dir", str(folder / "data")]
        dev += ["--listen", f"127.0.0.1:{port}"]
        with (folder / "log").open("w+") as log:
            running = [
                subprocess.Popen(firebase, cwd=folder, env=quiet, stdout=log, stderr=log),
                subprocess.Popen(dev, env=env, stdout=log, stderr=log),
            ]
            try:
                url = f"http://127.0.0.1:{port}"
                wait("the emulator does not answer", lambda: call("GET", f"http://127.0.0.1:{auth}/")[0] == 200)
                wait("the installation is not ready", lambda: call("GET", f"{url}/readyz")[0] == 200)
                token = (folder / "data/admin.token").read_text().strip()
                tenantry, emulator = Tenantry(arguments.binary, url, token), Emulator(auth)
                follow(tenantry, emulator)
                invited(tenantry, emulator, mailbox)
            except BaseException:
                log.seek(0)
                sys.stderr.write(log.read()[-6000:])
                raise
            finally:
                for process in reversed(running):
                    process.send_signal(signal.SIGINT)
                    process.wait(PATIENCE)
    if failures:
        sys.exit(1)
    print("all checks passed", flush=True)


main()
