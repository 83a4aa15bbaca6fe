"""Attempts by which tenant A tries to come in as tenant B: at the login."""

import contextlib
import socket
import struct

from pooler import REGISTERS, Outcome, attempt, nothing_to_try, refused
from wire import SSL, Ended, Session, connected, message

READ = "SELECT * FROM note"


def login(pooler, *starts):
    """Comes in with each of these starts and the password of A, and reads."""
    said = ""
    for start in starts:
        try:
            with Session(pooler.a.target, **start) as a:
                a.query(READ)
                a.query("BEGIN")
                said = str(a.query(READ))
                if pooler.b.canary.encode() in a.heard:
                    return Outcome("SUCCEEDED", f"reads the rows of B, let in with {sorted(start)}")
                a.query("ROLLBACK")
                outcome = Outcome("own rows", said)
        except Ended as error:
            outcome = refused(error)
        except TimeoutError:
            outcome = refused("no answer")
        except ConnectionError:
            outcome = refused("the connection was closed")
    return outcome


def pairs(*texts):
    return b"".join(text.encode() + b"\0" for text in texts)


@attempt("login", "the user of B with the password of A")
def other_user(pooler):
    if pooler.has_one_login:
        return nothing_to_try("both tenants share one login")
    return login(
        pooler, {"user": pooler.b.target.user}, {"user": pooler.b.target.user, "database": pooler.b.target.database}
    )


@attempt("login", "the database of B")
def other_database(pooler):
    names = {pooler.b.target.database, pooler.b.tenant, pooler.b.hex, pooler.b.slug, f"t_{pooler.b.hex}"} - {
        "",
        pooler.a.target.database,
    }
    return login(pooler, *({"database": name} for name in sorted(names)))


@attempt("login", "options that name the tenant")
def options_tenant(pooler):
    values = [value for value in (pooler.b.slug, pooler.b.tenant) if value]
    return login(
        pooler,
        *(
            {"parameters": {"options": f"{form}tenantry.tenant={value}"}}
            for value in values
            for form in ("-c ", "-c", "--")
        ),
    )


@attempt("login", "options that set the register")
def options_register(pooler):
    return login(
        pooler,
        *(
            {"parameters": {"options": f"-c {name}={pooler.b.hex if kind == 'hex' else pooler.b.tenant}"}}
            for name, kind in REGISTERS.items()
        ),
    )


@attempt("login", "a start parameter that names the tenant or sets the register")
def parameters(pooler):
    values = {"tenantry.tenant": pooler.b.slug or pooler.b.tenant, "tenant": pooler.b.tenant}
    values |= {name: pooler.b.hex if kind == "hex" else pooler.b.tenant for name, kind in REGISTERS.items()}
    return login(pooler, *({"parameters": {name: value}} for name, value in values.items()))


@attempt("login", "options that set role, path or row security")
def options_role(pooler):
    return login(
        pooler,
        *(
            {"parameters": {"options": option}}
            for option in (
                f"-c role=t_{pooler.b.hex}",
                f"-c session_authorization=t_{pooler.b.hex}",
                f"-c search_path=t_{pooler.b.hex}",
                "-c row_security=off",
                "-c role=postgres",
            )
        ),
    )


@attempt("login", "two users, two databases in one start")
def twice(pooler):
    a, b = pooler.a.target, pooler.b.target
    if pooler.has_one_login and a.database == b.database:
        return nothing_to_try("both tenants share one login and one database")
    return login(
        pooler,
        {"start": pairs("user", a.user, "user", b.user, "database", b.database)},
        {"start": pairs("user", b.user, "user", a.user, "database", a.database)},
        {"start": pairs("user", a.user, "database", a.database, "database", b.database)},
    )


@attempt("login", "a start that goes on after its end")
def smuggled_start(pooler):
    a, b = pooler.a.target, pooler.b.target
    return login(
        pooler,
        {
            "start": pairs("user", a.user, "database", a.database)
            + b"\0"
            + pairs("options", f"-c tenantry.tenant={pooler.b.tenant}")
        },
        {"start": pairs("user", a.user, "database", a.database, "", "", "user", b.user)},
    )


@attempt("login", "the user of B inside of SCRAM")
def scram_user(pooler):
    return login(pooler, {"scram_user": pooler.b.target.user}, {"scram_user": pooler.b.tenant})


@attempt("login", "a recorded login of B, played again")
def replay(pooler):
    record = {}
    pooler.b.session(record=record).close()
    if not record:
        return nothing_to_try("the login of B is not by SCRAM")
    try:
        with pooler.b.session(replay=record) as again:
            again.query(READ)
            return Outcome("SUCCEEDED", "a recorded proof lets in once more")
    except Ended as error:
        return refused(error)


@attempt("login", "no password, an empty one, another mechanism")
def empty_password(pooler):
    for user, database in (
        (pooler.b.target.user, pooler.b.target.database),
        (pooler.a.target.user, pooler.b.target.database),
    ):
        for password in ("", " ", pooler.b.target.user):
            with (
                contextlib.suppress(Ended, ConnectionError),
                Session(pooler.b.target, user=user, database=database, password=password),
            ):
                return Outcome("SUCCEEDED", f"let in with the password `{password}`")
    return refused("three wrong passwords for each")


@attempt("login", "a query before the password")
def early_query(pooler):
    b = pooler.b.target
    start = struct.pack("!i", 196608) + pairs("user", b.user, "database", b.database) + b"\0"
    with connected(b) as s:
        s.settimeout(3)
        s.sendall(struct.pack("!i", len(start) + 4) + start + message(b"Q", READ.encode() + b"\0"))
        heard = drained(s)
    return Outcome("SUCCEEDED", "answered") if pooler.b.canary.encode() in heard else refused(text_of(heard))


@attempt("login", "bytes in front of the TLS handshake")
def before_tls(pooler):
    a = pooler.a.target
    if not a.tls:
        return nothing_to_try("not with TLS here")
    start = (
        struct.pack("!i", 196608) + pairs("user", pooler.b.target.user, "database", pooler.b.target.database) + b"\0"
    )
    with socket.create_connection((a.host, a.port), timeout=5) as s:
        s.sendall(struct.pack("!ii", 8, SSL) + struct.pack("!i", len(start) + 4) + start)
        heard = drained(s)
    # `S` and then nothing that the stuffed bytes could have asked for.
    return (
        refused("nothing but the answer to the request for TLS")
        if heard[:1] in (b"S", b"") and b"SCRAM" not in heard
        else Outcome("SUCCEEDED", "what came in the clear was taken as encrypted")
    )


@attempt("login", "the server name of B in TLS")
def server_name(pooler):
    if not pooler.a.target.tls:
        return nothing_to_try("not with TLS here")
    domain = pooler.b.target.host
    names = [name for name in (pooler.b.slug, pooler.b.tenant) if name]
    return login(
        pooler,
        *(
            {"sni": f"{name}.{domain}" if "." in domain and not domain[0].isdigit() else f"{name}.localhost"}
            for name in names
        ),
    )


@attempt("login", "as a replication client")
def replication(pooler):
    for value in ("database", "true"):
        with (
            contextlib.suppress(Ended, ConnectionError),
            Session(pooler.a.target, parameters={"replication": value}) as a,
        ):
            done = a.query("IDENTIFY_SYSTEM")
            if not done.error:
                return Outcome("SUCCEEDED", f"the server talks replication: {done}")
            a.query(READ)
            if pooler.b.canary.encode() in a.heard:
                return Outcome("SUCCEEDED", "reads the rows of B")
    return refused("no replication")


def drained(s):
    heard = b""
    with contextlib.suppress(OSError):
        while part := s.recv(65536):
            heard += part
    return heard


def text_of(heard):
    return heard.decode(errors="replace").replace("\0", " ")[-200:]
