"""Attempts by the protocol's messages: out of order, unfinished, stuffed, or naming what is not theirs."""

import contextlib
import struct
import time

from pooler import REGISTERS, Outcome, attempt, refused
from wire import Ended, bind, call, execute, message, parse, statement

# A statement that is longer than what a relay may hold as a whole.
LONG = 1_500_000

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
                except (Ended, OSError) as error:
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


@protocol("COMMIT prepared by name, run in the middle of a pipeline")
def named_commit(pooler, a):
    a.extended(parse("COMMIT", "c"), parse("BEGIN", "b"), parse(READ, "r"))
    run = [bind(name) + execute() for name in "crbrcr"]
    return a.extended(*run)


@protocol("a setting, COMMIT and a read in one pipeline")
def setting_commit(pooler, a):
    return a.extended(statement("BEGIN"), set_register(pooler), statement("COMMIT"), statement(READ))


@protocol("an error that is answered, then more without a Sync")
def after_an_error(pooler, a):
    a.send(statement("SELECT 1 / 0") + message(b"H"))
    while a.receive()[0] != b"E":
        pass
    a.send(statement("COMMIT") + statement(READ) + message(b"S"))
    return a.answer()


@protocol("a portal of a statement that was closed")
def closed_statement(pooler, a):
    a.extended(parse("SELECT body FROM note", "p"), bind("p", "held"), message(b"C", b"Sp\0"), parse("COMMIT", "p"))
    return a.extended(bind("p", "held"), execute("held"), statement(READ))


@protocol("a portal that is bound, then ROLLBACK, then run, in one pipeline")
def portal_rollback(pooler, a):
    return a.extended(
        statement("BEGIN"), parse(READ, "q"), bind("q", "w"), statement("ROLLBACK"), execute("w"), bind("q"), execute()
    )


@protocol("a cursor of SQL read as a portal after COMMIT")
def cursor_portal(pooler, a):
    a.query("BEGIN; DECLARE kept CURSOR WITH HOLD FOR SELECT * FROM note; COMMIT")
    return a.extended(execute("kept"), statement("COMMIT"), execute("kept"))


@protocol("the names that the gateway gives to statements")
def names(pooler, a):
    said = a.query("SELECT name, statement FROM pg_prepared_statements")
    for name in [name for name, *_ in said.rows] or ["tn_0", "tn_1", "tn_none"]:
        a.extended(bind(name), execute())
        a.query(f'EXECUTE "{name}"')
    return a.query("SELECT name, statement FROM pg_prepared_statements")


@protocol("enter replaced by a statement of A under its name")
def own_enter(pooler, a):
    a.query("PREPARE tn_enter AS SELECT 1")
    a.query("SELECT set_config('search_path', 'pg_temp, ' || current_setting('search_path'), false)")
    return a.query(READ)


@protocol("a query of more than a MiB with COMMIT in the middle")
def long_query(pooler, a):
    filler = f"/* {'x' * LONG} */"
    values = [pooler.b.hex if kind == "hex" else pooler.b.tenant for kind in REGISTERS.values()]
    sets = "; ".join(f"SET {name} = '{value}'" for name, value in zip(REGISTERS, values, strict=True))
    a.query(f"SELECT 1 {filler}; COMMIT; {READ}; BEGIN; {READ}; COMMIT; {READ}")
    a.query(f"BEGIN; {sets} {filler}; {READ}; COMMIT; {READ}")
    return a.query(READ)


@protocol("a statement of more than a MiB, prepared under a name")
def long_parse(pooler, a):
    sql = f"SELECT body FROM note WHERE body <> '{'x' * LONG}'"
    said = a.extended(parse(sql, "long"), bind("long"), execute())
    a.query(READ)
    return said


@protocol("a COMMIT of more than a MiB")
def long_commit(pooler, a):
    return a.extended(statement(f"COMMIT /* {'x' * LONG} */"), statement(READ), statement("BEGIN"), statement(READ))


@protocol("a byte of zero inside of a query")
def zero_byte(pooler, a):
    a.send(message(b"Q", b"SELECT 1\0; COMMIT; SELECT * FROM note\0"))
    return a.answer()


@protocol("a byte of zero inside of Parse")
def zero_parse(pooler, a):
    body = b"\0COMMIT\0SELECT * FROM note\0" + struct.pack("!h", 0)
    a.send(message(b"P", body) + bind() + execute() + statement(READ) + message(b"S"))
    return a.answer()


@protocol("COPY OUT of another tenant's rows in a pipeline")
def copy_out(pooler, a):
    return a.extended(
        statement("COMMIT"), statement(f"COPY (SELECT * FROM note WHERE tenant_id = '{pooler.b.tenant}') TO STDOUT")
    )


@protocol("a Sync and a query in the middle of COPY IN by messages")
def copy_sync(pooler, a):
    a.send(statement("COPY note (body) FROM STDIN") + message(b"S") + message(b"d", b"client residue\n"))
    a.send(message(b"f", b"given up\0") + statement("COMMIT") + statement(READ) + message(b"S"))
    return a.answer()


@protocol("a function call that ends the transaction's settings")
def fastpath_path(pooler, a):
    a.send(call(2078, b"search_path", b"pg_catalog", b"\0") + call(2078, b"role", b"postgres", b"\0"))
    said = a.answer(syncs=2)
    a.query(READ)
    return said


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
