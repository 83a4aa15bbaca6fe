"""Attempts by the protocol's messages: out of order, unfinished, stuffed, or naming what is not theirs."""

import contextlib
import struct
import time

from pooler import REGISTERS, Outcome, attempt, refused
from wire import Ended, bind, call, execute, message, parse, statement

READ = "SELECT * FROM note"


def protocol(name):
    """An attempt by messages; what is heard on A's session is looked through."""

    def register(function):
        def run(pooler):
            said = ""
            for is_inside in (False, True):
                try:
                    with pooler.a.session(timeout=5) as a:
                        if is_inside:
                            pooler.begin(a, pooler.a)
                        said = function(pooler, a)
                        a.query("ROLLBACK")
                        a.query(READ)
                        if pooler.b.canary.encode() in a.heard:
                            return Outcome("SUCCEEDED", "reads the rows of B")
                except (Ended, TimeoutError, ConnectionError) as error:
                    said = f"the session was ended: {error}"
                pooler.scrub(pooler.a)
            return refused(said)

        attempt("protocol", name)(run)
        return function

    return register


def set_register(pooler):
    return b"".join(
        statement(f"SELECT set_config('{name}', '{pooler.b.hex if kind == 'hex' else pooler.b.tenant}', false)")
        for name, kind in REGISTERS.items()
    )


@protocol("COMMIT inside of a pipeline")
def pipeline_commit(pooler, a):
    return a.extended(statement("COMMIT"), statement(READ), statement("BEGIN"), statement("ROLLBACK"), statement(READ))


@protocol("a failed message, then a query that no Sync precedes")
def skipped(pooler, a):
    a.send(parse("SELEC 1") + message(b"Q", READ.encode() + b"\0") + message(b"S"))
    said = a.answer()
    a.query(READ)
    return said


@protocol("a setting ahead in the same pipeline")
def pipeline_setting(pooler, a):
    return a.extended(set_register(pooler), statement(READ))


@protocol("another statement in the unnamed place")
def unnamed(pooler, a):
    # Whoever enters by an unnamed statement must parse it again each time.
    a.extended(parse(f"SELECT '{pooler.b.tenant}'::uuid"))
    a.query(READ)
    return a.extended(bind(), execute(), statement(READ))


@protocol("a portal that outlives its transaction")
def portal(pooler, a):
    a.extended(parse("SELECT body FROM note", "p"), bind("p", "held"))
    a.query("COMMIT")
    return a.extended(execute("held"))


@protocol("a function call by number")
def fastpath(pooler, a):
    # set_config is 2078 in every version; its arguments in binary.
    for name, kind in REGISTERS.items():
        value = pooler.b.hex if kind == "hex" else pooler.b.tenant
        a.send(call(2078, name.encode(), value.encode(), b"\0"))
        said = a.answer()
    a.query(READ)
    return said


@protocol("a second message hidden behind a query's end")
def hidden(pooler, a):
    inner = message(b"Q", b"SELECT set_config('app.tenant_id', '" + pooler.b.tenant.encode() + b"', false)\0")
    a.send(message(b"Q", b"SELECT 1\0" + inner + b"\0"))
    said = a.answer()
    a.query(READ)
    return said


@protocol("rows of B through COPY IN")
def copy_in(pooler, a):
    a.send(
        message(b"Q", b"COPY note (tenant_id, body) FROM STDIN\0")
        + message(b"d", f"{pooler.b.tenant}\tclient residue\n".encode())
        + message(b"c")
    )
    return a.answer()


@protocol("a query in the middle of COPY IN")
def copy_confusion(pooler, a):
    a.send(
        message(b"Q", b"COPY note (body) FROM STDIN\0")
        + message(b"d", b"client residue\n")
        + message(b"Q", READ.encode() + b"\0")
    )
    said = a.answer()
    a.send(message(b"S"))
    with contextlib.suppress(TimeoutError):
        a.answer()
    return said


@protocol("a length that lies")
def lying(pooler, a):
    a.send(b"Q" + struct.pack("!i", 3) + b"SELECT")
    return a.answer()


@protocol("one byte at a time")
def slowly(pooler, a):
    for byte in set_register(pooler) + statement("COMMIT") + statement(READ) + message(b"S"):
        a.send(bytes([byte]))
    return a.answer()


def cut(pooler, data):
    """Sends this and is gone, some times; then B must get the answers to its own questions, and nothing else."""
    for _ in range(3):
        a = pooler.a.session()
        pooler.begin(a, pooler.a)
        a.send(data)
        time.sleep(0.05)
        a.close(abruptly=True)
    with pooler.b.session() as b:
        said = [b.query(f"SELECT {n}").value for n in range(5)]
        pooler.within(b, pooler.b, READ)
        if pooler.a.canary.encode() in b.heard:
            return Outcome("SUCCEEDED", "B is handed rows of A")
        if said != [str(n) for n in range(5)]:
            return Outcome("SUCCEEDED", f"B gets other answers: {said}")
    return refused("B gets the answers to its own questions")


@attempt("protocol", "a pipeline that A never ends")
def endless_pipeline(pooler):
    return cut(pooler, statement(READ) + statement("INSERT INTO note (body) VALUES ('client residue')") + message(b"H"))


@attempt("protocol", "answers that A does not wait for")
def unread(pooler):
    return cut(pooler, message(b"Q", b"SELECT n.*, repeat('x', 10000) FROM note AS n, generate_series(1, 2000)\0") * 3)


@attempt("protocol", "COPY IN that A never ends")
def endless_copy(pooler):
    return cut(pooler, message(b"Q", b"COPY note (body) FROM STDIN\0") + message(b"d", b"client residue\n"))


@attempt("protocol", "half a message")
def half(pooler):
    return cut(
        pooler,
        message(b"Q", READ.encode() + b"\0")
        + b"Q"
        + struct.pack("!i", 1000)
        + b"SELECT 'the rest of this is the next client's",
    )
