"""Attempts to reach into B's session from another one, and what sessions of one database see of each other."""

import contextlib
import os
import struct
import threading
import time

from pooler import Outcome, attempt, nothing_to_try, refused
from wire import Ended, Session, cancel

# Random keys that are tried for a cancel request.
GUESSES = 30


def busy(pooler, work, query="SELECT pg_sleep(1.2)"):
    """Does something while a statement of B runs; gives B's reply."""
    with pooler.b.beside(timeout=15) as b:
        pid = b.query("SELECT pg_backend_pid()").value
        replies = []
        # A value of B stands in the text of its statement.
        thread = threading.Thread(
            target=lambda: replies.append(caught(lambda: b.query(f"{query} /* {pooler.b.canary} */")))
        )
        thread.start()
        time.sleep(0.3)
        done = work(pid, b)
        thread.join()
        return done, replies[0]


def caught(function):
    try:
        return function()
    except (Ended, OSError) as error:
        return error


def harmed(reply):
    return not hasattr(reply, "error") or reply.error is not None


@attempt("other sessions", "the text of B's statements in pg_stat_activity")
def activity(pooler):
    def look(pid, b):
        with pooler.a.beside() as a:
            said = a.query("SELECT * FROM pg_stat_activity")
            a.query("SELECT * FROM pg_stat_get_activity(NULL)")
            a.query("SELECT pg_stat_get_backend_activity(n) FROM generate_series(1, 200) AS n")
            return said, pooler.b.canary.encode() in a.heard

    (said, is_heard), _ = busy(pooler, look)
    return Outcome("SUCCEEDED", "a value of B is read") if is_heard else refused(said)


@attempt("other sessions", "pg_terminate_backend of B's session")
def terminate(pooler):
    return ending(pooler, "pg_terminate_backend")


@attempt("other sessions", "pg_cancel_backend of B's statement")
def cancel_backend(pooler):
    return ending(pooler, "pg_cancel_backend")


def ending(pooler, function):
    def strike(pid, b):
        with pooler.a.beside() as a:
            return a.query(f"SELECT {function}({pid or 0})")

    said, reply = busy(pooler, strike)
    if harmed(reply):
        return Outcome("SUCCEEDED", f"B's statement ended: {reply}")
    return refused(said) if said.error else Outcome("own rows", f"B went on; A got {said}")


@attempt("other sessions", "a cancel request with a guessed key")
def cancel_guess(pooler):
    def strike(pid, b):
        with pooler.a.beside() as a:
            own, theirs = a.key, b.key
            # B's number with keys that A can think of, and A's own with B's number.
            keys = [
                theirs[:4] + own[4:],
                own[:4] + theirs[4:],
                theirs[:4] + bytes(len(theirs) - 4),
                struct.pack("!i", int(pid or 0)) + own[4:],
            ]
            keys += [theirs[:4] + os.urandom(len(theirs) - 4) for _ in range(GUESSES)]
            for key in keys:
                with contextlib.suppress(OSError, Ended):
                    cancel(pooler.a.target, key)

    _, reply = busy(pooler, strike, "SELECT pg_sleep(2.5)")
    return (
        Outcome("SUCCEEDED", f"B's statement ended: {reply}")
        if harmed(reply)
        else refused(f"{GUESSES + 4} guesses; B's statement ran to its end")
    )


@attempt("other sessions", "a cancel request of A that comes late")
def cancel_late(pooler):
    def strike(pid, b):
        # A's own key, while the server session serves B.
        return cancel(pooler.a.target, key)

    with pooler.a.session() as a:
        a.query("SELECT 1")
        key = a.key
        wide, pooler.b.wide = pooler.b.wide, pooler.b.target
        try:
            _, reply = busy(pooler, strike)
        finally:
            pooler.b.wide = wide
    return Outcome("SUCCEEDED", f"B's statement ended: {reply}") if harmed(reply) else refused("it reached nobody")


@attempt("other sessions", "a large object of B")
def large_object(pooler):
    with pooler.b.session() as b, pooler.a.session() as a:
        made = b.query(f"SELECT lo_from_bytea(0, '{pooler.b.canary}'::bytea)")
        if made.error:
            return refused(f"B cannot make one: {made}")
        said = a.query(f"SELECT convert_from(lo_get({made.value}), 'UTF8')")
        b.query(f"SELECT lo_unlink({made.value})")
        return Outcome("SUCCEEDED", "read") if pooler.b.canary.encode() in a.heard else refused(said)


@attempt("limits", "EXPLAIN tells how common a value of B is")
def estimates(pooler):
    if not pooler.admin:
        return nothing_to_try("needs `admin`, to gather statistics")
    with pooler.b.session() as b:
        pooler.within(
            b, pooler.b, "INSERT INTO note (body) SELECT 'client residue common' FROM generate_series(1, 300)"
        )
    try:
        with Session(pooler.admin) as admin:
            for schema in admin.query(
                "SELECT quote_ident(nspname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
                "WHERE relname = 'note' AND relkind = 'r'"
            ).rows:
                admin.query(f"ANALYZE {schema[0]}.note")
        with pooler.a.session() as a:
            plans = [
                pooler.within(a, pooler.a, f"EXPLAIN SELECT FROM note WHERE body = '{body}'")
                for body in ("client residue common", "client residue nowhere")
            ]
        estimates = [plan.rows[0][0].split("rows=")[1].split()[0] if plan.rows else str(plan) for plan in plans]
        return (
            Outcome("seen", f"estimates {estimates}")
            if len(set(estimates)) > 1
            else Outcome("not seen", f"estimates {estimates}")
        )
    finally:
        with pooler.b.session() as b:
            pooler.within(b, pooler.b, "DELETE FROM note WHERE body = 'client residue common'")


@attempt("limits", "numbers of a sequence tell how much B writes")
def sequence(pooler):
    def number(session, side):
        pooler.begin(session, side)
        found = session.query("INSERT INTO note (body) VALUES ('client residue') RETURNING id").value
        session.query("ROLLBACK")
        return int(found or 0)

    with pooler.a.session() as a, pooler.b.session() as b:
        first = number(a, pooler.a)
        for _ in range(3):
            number(b, pooler.b)
        gap = number(a, pooler.a) - first
    return Outcome("seen", f"a gap of {gap}") if gap > 1 else Outcome("not seen")


@attempt("limits", "an advisory lock of A keeps B out")
def lock(pooler):
    with pooler.a.beside() as a, pooler.b.beside() as b:
        pooler.begin(a, pooler.a)
        a.query("SELECT pg_advisory_xact_lock(7305810)")
        free = pooler.within(b, pooler.b, "SELECT pg_try_advisory_xact_lock(7305810)")
        a.query("ROLLBACK")
    return Outcome("not seen") if free.value == "t" else Outcome("seen", free)


@attempt("limits", "a channel that both use")
def channel(pooler):
    with pooler.a.beside() as a, pooler.b.beside() as b:
        listening = a.query("LISTEN residue_channel")
        if listening.error:
            return Outcome("not seen", listening)
        told = b.query(f"SELECT pg_notify('residue_channel', '{pooler.b.canary}')").notifications
        heard = a.query("SELECT 1").notifications + a.query("SELECT 1").notifications
        a.query("UNLISTEN *")
    if heard:
        return Outcome("seen", "A hears what B says")
    return Outcome("seen", "B is told for what A listens") if told else Outcome("not seen")
