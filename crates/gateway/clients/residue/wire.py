"""PostgreSQL's protocol from the client's side, message by message, because an attacker does not use a driver.

A `Session` keeps every byte that it heard: whether a value of somebody else came through is asked of those, whatever
message carried it.
"""

import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct
from urllib.parse import parse_qs, unquote, urlsplit

PROTOCOL = 196608
CANCEL = 80877102
SSL = 80877103


class Ended(Exception):
    """The other side closed, or refused the start; holds its error."""

    def __init__(self, error):
        self.error = error
        super().__init__(f"{error.get('C', '')} {error.get('M', 'closed without a word')}".strip())


class Target:
    """Where a connection string leads."""

    def __init__(self, dsn):
        parts = urlsplit(dsn)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.host, self.port = parts.hostname, parts.port
        self.user, self.password = unquote(parts.username), unquote(parts.password or "")
        self.database = unquote(parts.path[1:])
        self.tls = query.get("sslmode", "disable") in ("require", "verify-ca", "verify-full")
        self.root = query.get("sslrootcert")
        self.options = query.get("options")


class Reply:
    """What came back up to ReadyForQuery."""

    def __init__(self):
        self.rows, self.tags, self.notices, self.notifications, self.errors = [], [], [], [], []

    @property
    def error(self):
        return self.errors[0] if self.errors else None

    @property
    def value(self):
        return self.rows[0][0] if self.rows else None

    def __str__(self):
        if self.error:
            return f"{self.error.get('C')} {self.error.get('M')}"
        return f"{self.rows[:3]}" if self.rows else ", ".join(self.tags) or "nothing"


class Session:
    def __init__(
        self,
        target,
        *,
        user=None,
        password=None,
        database=None,
        parameters=(),
        start=None,
        sni=None,
        scram_user="",
        record=None,
        replay=None,
        timeout=10,
    ):
        self.target, self.heard, self.status, self.key, self.said = target, bytearray(), "I", None, {}
        self.password = target.password if password is None else password
        self.scram_user, self.record, self.replay = scram_user, record, replay
        self.socket = connected(target, sni, timeout)
        if start is None:
            pairs = {"user": user or target.user, "database": database or target.database}
            if target.options:
                pairs["options"] = target.options
            pairs |= dict(parameters)
            start = b"".join(text.encode() + b"\0" for pair in pairs.items() for text in pair)
        body = struct.pack("!i", PROTOCOL) + start + b"\0"
        try:
            self.send(struct.pack("!i", len(body) + 4) + body)
            self._authenticate()
        except (OSError, Ended):
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self, abruptly=False):
        try:
            if not abruptly:
                self.send(message(b"X"))
        except OSError:
            pass
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """One message: its letter and body."""
        head = self._exactly(5)
        length = struct.unpack("!i", head[1:])[0]
        body = self._exactly(length - 4)
        return head[:1], body

    def _exactly(self, count):
        data = bytearray()
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise Ended({})
            data += part
        self.heard += data
        return bytes(data)

    def _authenticate(self):
        while True:
            letter, body = self.receive()
            if letter == b"E":
                raise Ended(fields(body))
            if letter == b"R":
                kind = struct.unpack("!i", body[:4])[0]
                if kind == 3:
                    self.send(message(b"p", self.password.encode() + b"\0"))
                elif kind == 10:
                    self._scram(body[4:])
                elif kind not in (0, 12):
                    raise Ended({"M": f"authentication {kind} is not spoken here"})
            elif letter == b"S":
                name, value = body.split(b"\0")[:2]
                self.said[name.decode()] = value.decode()
            elif letter == b"K":
                self.key = body
            elif letter == b"Z":
                self.status = body.decode()
                return

    def _scram(self, mechanisms):
        nonce = base64.b64encode(os.urandom(18)).decode()
        first = f"n={self.scram_user},r={nonce}" if self.replay is None else self.replay["first"]
        data = f"n,,{first}".encode()
        self.send(message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(data)) + data))
        letter, body = self.receive()
        if letter == b"E":
            raise Ended(fields(body))
        challenge = body[4:].decode()
        if self.replay is None:
            given = dict(part.split("=", 1) for part in challenge.split(","))
            bare = f"c=biws,r={given['r']}"
            salted = hashlib.pbkdf2_hmac(
                "sha256", self.password.encode(), base64.b64decode(given["s"]), int(given["i"])
            )
            client = hmac.digest(salted, b"Client Key", "sha256")
            signature = hmac.digest(hashlib.sha256(client).digest(), f"{first},{challenge},{bare}".encode(), "sha256")
            proof = base64.b64encode(bytes(a ^ b for a, b in zip(client, signature, strict=True))).decode()
            final = f"{bare},p={proof}"
        else:
            final = self.replay["final"]
        if self.record is not None:
            self.record.update(first=first, final=final)
        self.send(message(b"p", final.encode()))
        letter, body = self.receive()
        if letter == b"E":
            raise Ended(fields(body))

    def query(self, sql):
        """A simple query, answered by everything up to ReadyForQuery."""
        self.send(message(b"Q", sql.encode() + b"\0"))
        return self.answer()

    def extended(self, *messages):
        """Messages and a Sync in one write."""
        self.send(b"".join(messages) + message(b"S"))
        return self.answer()

    def answer(self, syncs=1):
        reply = Reply()
        while True:
            letter, body = self.receive()
            if letter == b"Z":
                self.status = body.decode()
                syncs -= 1
                if syncs == 0:
                    return reply
            elif letter == b"D":
                reply.rows.append(row(body))
            elif letter == b"C":
                reply.tags.append(body[:-1].decode())
            elif letter == b"E":
                reply.errors.append(fields(body))
            elif letter == b"N":
                reply.notices.append(fields(body))
            elif letter == b"A":
                channel, payload = body[4:].split(b"\0")[:2]
                reply.notifications.append((channel.decode(), payload.decode(errors="replace")))
            elif letter == b"S":
                name, value = body.split(b"\0")[:2]
                self.said[name.decode()] = value.decode()
            elif letter == b"G":
                self.send(message(b"f", b"not wanted\0"))


def connected(target, sni=None, timeout=10):
    """A socket, encrypted where the connection string says so."""
    plain = socket.create_connection((target.host, target.port), timeout=timeout)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not target.tls:
        return plain
    plain.sendall(struct.pack("!ii", 8, SSL))
    if plain.recv(1) != b"S":
        plain.close()
        raise Ended({"M": "no TLS is offered"})
    context = ssl.create_default_context(cafile=target.root)
    if sni is not None:
        # Whom the certificate is for is not what is asked here.
        context.check_hostname = False
    return context.wrap_socket(plain, server_hostname=sni or target.host)


def cancel(target, key):
    """Asks for the query of this key to be cancelled, on a connection of its own."""
    with connected(target) as s:
        s.sendall(struct.pack("!ii", 8 + len(key), CANCEL) + key)
        s.settimeout(3)
        try:
            s.recv(1)
        except OSError:
            pass


def message(letter, body=b""):
    return letter + struct.pack("!i", len(body) + 4) + body


def parse(sql, name=""):
    return message(b"P", name.encode() + b"\0" + sql.encode() + b"\0" + struct.pack("!h", 0))


def bind(name="", portal=""):
    return message(b"B", portal.encode() + b"\0" + name.encode() + b"\0" + struct.pack("!hhh", 0, 0, 0))


def execute(portal=""):
    return message(b"E", portal.encode() + b"\0" + struct.pack("!i", 0))


def statement(sql):
    """Parse, Bind and Execute, unnamed."""
    return parse(sql) + bind() + execute()


def call(oid, *arguments):
    """A function call by number, which is no statement."""
    values = b"".join(struct.pack("!i", len(value)) + value for value in arguments)
    formats = b"".join(struct.pack("!h", form) for form in [1] * len(arguments))
    body = (
        struct.pack("!ih", oid, len(arguments))
        + formats
        + struct.pack("!h", len(arguments))
        + values
        + struct.pack("!h", 1)
    )
    return message(b"F", body)


def fields(body):
    return {part[:1].decode(): part[1:].decode(errors="replace") for part in body.split(b"\0") if part}


def row(body):
    count, at, values = struct.unpack("!h", body[:2])[0], 2, []
    for _ in range(count):
        length = struct.unpack("!i", body[at : at + 4])[0]
        at += 4
        values.append(None if length < 0 else body[at : at + length].decode(errors="replace"))
        at += max(length, 0)
    return values
