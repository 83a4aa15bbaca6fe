"""Signs people in at a certified OpenID provider with the real command line, and uses what they get at a real installation.

Ends with 0 when all is well, 1 otherwise.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import pathlib
import re
import secrets
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from browser import Browser

PATIENCE = 120
CLIENT = "tenantry-cli"
RESOURCE = "https://tenantry.example.com"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def certificates(folder: pathlib.Path) -> tuple[str, str, str]:
    """An authority of one, and a certificate of 127.0.0.1 by it."""
    authority, key, certificate = folder / "ca.pem", folder / "key.pem", folder / "cert.pem"
    names = folder / "names"
    names.write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n")
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-batch"]
    for command in [
        [*new, "-x509", "-days", "2", "-subj", "/CN=test authority", "-keyout", f"{folder}/ca.key", "-out", str(authority)],
        [*new, "-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", f"{folder}/request"],
        ["openssl", "x509", "-req", "-days", "2", "-in", f"{folder}/request", "-CA", str(authority), "-CAkey", f"{folder}/ca.key",
         "-CAcreateserial", "-extfile", str(names), "-out", str(certificate)],
    ]:
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
    return str(authority), str(key), str(certificate)


class World:
    """The provider, the installation, and the command line of one person."""

    def __init__(self, binary: str, folder: pathlib.Path, provider: str, authority: str, url: str) -> None:
        self.binary, self.folder, self.provider, self.authority, self.url = binary, folder, provider, authority, url
        self.context = ssl.create_default_context(cafile=authority)

    def env(self) -> dict:
        """Without any token."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")}
        return {**kept, "SSL_CERT_FILE": self.authority, "TENANTRY_URL": self.url, "XDG_CONFIG_HOME": str(self.folder / "config")}

    def run(self, *args: str, expect: int = 0) -> subprocess.CompletedProcess:
        """A command, to its end."""
        done = subprocess.run([self.binary, *args], env=self.env(), capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == expect, (args, done.returncode, done.stdout, done.stderr)
        return done

    def whoami(self) -> dict:
        """Who the command line is."""
        return json.loads(self.run("whoami", "-o", "json").stdout)

    def start(self, *args: str) -> tuple[subprocess.Popen, str]:
        """A command that waits for somebody, and what it says until it does."""
        started = subprocess.Popen([self.binary, *args], env=self.env(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        said = ""
        for line in started.stderr:
            said += line
            if re.search(r"https://\S+(state|user_code)=", line):
                return started, said
        raise AssertionError((args, started.wait(), said))

    def sign_in(self, person: str) -> str:
        """With a browser of this machine."""
        started, said = self.start("login", "--no-browser")
        address = re.search(r"https://\S+", said).group()
        query = urllib.parse.parse_qs(urllib.parse.urlparse(address).query)
        assert query["code_challenge_method"] == ["S256"] and query["state"] and query["nonce"] and query["resource"] == [RESOURCE]
        back = query["redirect_uri"][0]
        # Somebody else's answer, while the person is still at it.
        for wrong in [f"{back}?code=evil&state=other", f"{back}?code=evil", back]:
            status, _, _ = Browser(self.authority, "").ask(wrong)
            assert status == 400, (wrong, status)
        page = Browser(self.authority, person).visit(address)
        assert "close this page" in page, page
        rest = started.stderr.read()
        assert started.wait(PATIENCE) == 0, rest
        return rest

    def log(self) -> dict:
        """What the provider was asked."""
        with urllib.request.urlopen(f"{self.provider}/test/log", context=self.context, timeout=20) as answer:
            return json.load(answer)

    def file(self) -> pathlib.Path:
        """The kept sign-in."""
        [found] = (self.folder / "config/tenantry/sign-ins").glob("*.json")
        return found

    def age(self) -> None:
        """As after an hour."""
        kept = json.loads(self.file().read_text())
        kept["expiresAt"] = "2026-01-01T00:00:00Z"
        self.file().write_text(json.dumps(kept))

    def token(self, resource: str | None) -> dict:
        """The provider's answer for another resource, by a sign-in of our own."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        back = "http://127.0.0.1:1/callback"
        fields = {
            "response_type": "code", "client_id": CLIENT, "redirect_uri": back, "scope": "openid", "state": "s",
            "nonce": "n", "code_challenge": challenge, "code_challenge_method": "S256",
        }
        more = {"resource": resource} if resource else {}
        browser = Browser(self.authority, "olga")
        url = browser.visit(f"{self.provider}/auth?{urllib.parse.urlencode(fields | more)}", stop=back)
        code = urllib.parse.parse_qs(urllib.parse.urlparse(url).query)["code"][0]
        trade = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "client_id": CLIENT, "code_verifier": verifier}
        status, _, text = browser.ask(f"{self.provider}/token", trade | more)
        assert status == 200, text
        return json.loads(text)

    def status(self, token: str) -> int:
        """What the installation says to a token."""
        request = urllib.request.Request(f"{self.url}/v1/whoami", headers={"authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code


def say(what: str) -> None:
    """One thing that was shown."""
    print(f"ok  {what}", flush=True)


def check(world: World) -> None:
    """Everything in its order."""
    lost = world.run("whoami", expect=4).stderr
    assert "tenantry login" in lost, lost
    rest = world.sign_in("olga")
    assert "Signed in" in rest, rest
    known = world.whoami()
    assert known["person"] == f"{world.provider}#olga" and known["roles"] == ["admin"], known
    world.run("get", "tenants")
    assert stat.S_IMODE(world.file().stat().st_mode) == 0o600
    say(f"code and PKCE with a browser: {known['person']} is {known['actor']}; foreign answers to the port are turned away")

    before = world.log().get("grant refresh_token", 0)
    for turn in range(3):
        world.age()
        together = [subprocess.Popen([world.binary, "whoami", "-q"], env=world.env(), stdout=subprocess.DEVNULL) for _ in range(6)]
        assert [one.wait(PATIENCE) for one in together] == [0] * 6
        used = world.log().get("grant refresh_token", 0) - before
        assert used == turn + 1, (turn, used, world.log())
    assert "refused invalid_grant" not in world.log(), world.log()
    say("six commands at once renew the token once, three times in a row, with rotated refresh tokens")

    for what, token in [
        ("an ID token", world.token(RESOURCE)["id_token"]),
        ("a token for another audience", world.token("https://other.example.com")["access_token"]),
        ("a token that is no JWT", world.token(None)["access_token"]),
        ("a refresh token", json.loads(world.file().read_text())["refreshToken"]),
    ]:
        assert world.status(token) == 401, what
        say(f"{what} is not let in")
    good = world.token(RESOURCE)["access_token"]
    assert world.status(good) == 200

    rotate = urllib.request.Request(f"{world.provider}/test/rotate", data=b"")
    urllib.request.urlopen(rotate, context=world.context, timeout=20).read()
    world.age()
    began = time.monotonic()
    while subprocess.run([world.binary, "whoami", "-q"], env=world.env(), capture_output=True, check=False, timeout=PATIENCE).returncode:
        # Keys are asked for once a minute at the most, whatever tokens say.
        assert time.monotonic() - began < 90, ("the new key is not known", world.log(), world.run("whoami", expect=4).stderr)
        time.sleep(1)
    assert world.status(good) == 401
    say(f"after a change of keys the new one is known within a minute ({time.monotonic() - began:.0f} s), the old one no more")

    kept = world.file().read_text()
    world.run("logout")
    assert world.log().get("/token/revocation", 0) >= 1, world.log()
    assert not list((world.folder / "config/tenantry/sign-ins").glob("*.json"))
    assert "tenantry login" in world.run("whoami", expect=4).stderr
    pathlib.Path(world.folder / "config/tenantry/sign-ins").mkdir(exist_ok=True)
    sign_ins = world.folder / "config/tenantry/sign-ins"
    [lock] = sign_ins.glob("*.lock")
    copy = lock.with_suffix(".json")
    copy.write_text(kept)
    copy.chmod(0o600)
    world.age()
    assert "has ended" in world.run("whoami", expect=4).stderr
    copy.unlink()
    say("after a sign-out the refresh token is of no use, a copy of it neither")

    started, said = world.start("login", "--device")
    address = re.findall(r"https://\S+user_code=\S+", said)[-1]
    page = Browser(world.authority, "petra").visit(address)
    assert "Success" in page or "success" in page, page
    rest = started.stderr.read()
    assert started.wait(PATIENCE) == 0, rest
    known = world.whoami()
    assert known["person"].endswith("#petra") and known["environments"] == ["staging"], known
    hidden = world.run("get", "tenants", expect=3).stderr
    assert "TEN-0037" in hidden, hidden
    world.run("logout")
    say("device flow: a role in one environment is none in another")

    rest = world.sign_in("nobody")
    assert "None of your groups" in rest, rest
    refused = world.run("get", "tenants", expect=4).stderr
    assert "TEN-0081" in refused, refused
    world.run("logout")
    say("whoever has no group is signed in, and may do nothing")


def main() -> None:
    """Starts both, checks, ends both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    args = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tenantry-sign-in-"))
    # PostgreSQL runs as another user where this is run by root, and has to get to its data.
    folder.chmod(0o711)
    authority, key, certificate = certificates(folder)
    port, door = free_port(), free_port()
    provider, url = f"https://127.0.0.1:{port}", f"http://127.0.0.1:{door}"
    (folder / "issuers.yaml").write_text(f"""operators:
  - issuer: {provider}
    audiences: [{RESOURCE}]
    keys: {{ url: {provider}/jwks }}
    algorithms: [RS256]
    groups: groups
    roles:
      platform: {{ roles: [admin] }}
      sre: {{ roles: [operator], environments: [staging] }}
    client: {{ id: {CLIENT}, resource: {RESOURCE} }}
""")
    node = subprocess.Popen(
        ["node", str(args.work / "node/provider.mjs"), str(port), key, certificate],
        stdout=subprocess.PIPE, stderr=(folder / "provider.log").open("w"), text=True,
    )
    world = World(args.binary, folder, provider, authority, url)
    dev = subprocess.Popen(
        [args.binary, "dev", "--example", "none", "--no-context", "--json", "--data-dir", str(folder / "data"),
         "--listen", f"127.0.0.1:{door}", "--issuers", str(folder / "issuers.yaml")],
        env=world.env(), stdout=(folder / "dev.log").open("w"), stderr=subprocess.STDOUT,
    )
    try:
        assert node.stdout.readline().strip() == "ready", (folder / "provider.log").read_text()
        end = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(f"{url}/readyz", timeout=2).read()
                break
            except (urllib.error.URLError, OSError):
                assert time.monotonic() < end and dev.poll() is None, (folder / "dev.log").read_text()
                time.sleep(0.1)
        check(world)
    except AssertionError as error:
        print(f"failed: {error}\n{(folder / 'provider.log').read_text()}", file=sys.stderr)
        sys.exit(1)
    finally:
        for process in (dev, node):
            process.send_signal(signal.SIGTERM)
        for process in (dev, node):
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
    subprocess.run(["rm", "-rf", str(folder)], check=False)


if __name__ == "__main__":
    main()
