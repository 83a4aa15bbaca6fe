"""The 21 things that a server session keeps for whoever gets it next, and what of them a DISCARD in between hides.

Each is left behind as tenant A and looked for as tenant B, outside of what an application does between them. Both are
connected all the time; only the server session changes hands.
"""

import time

from pooler import clean, leaked, refused
from wire import bind, execute, message, parse

VECTORS = []


def vector(title):
    def register(function):
        VECTORS.append((function.__name__, title, function))
        return function

    return register


def setting(name, title, plant, look, planted):
    """A setting: planted by one statement, seen in the answer to another."""

    def run(pooler):
        with pooler.a.session() as a, pooler.b.session() as b:
            done = a.query(plant)
            if done.error:
                return refused(done)
            seen = pooler.within(b, pooler.b, look)
            return leaked(seen) if seen.value == planted else clean(seen)

    run.__name__ = name
    vector(title)(run)


setting(
    "set_custom",
    "a custom setting by SET",
    "SET residue.note = 'planted'",
    "SELECT current_setting('residue.note', true)",
    "planted",
)


@vector("the application's own tenant setting by set_config(…, false)")
def set_config(pooler):
    with pooler.a.session() as a, pooler.b.session() as b:
        done = a.query(f"SELECT set_config('app.tenant_id', '{pooler.a.tenant}', false)")
        if done.error:
            return refused(done)
        # B's transaction forgets to say whose it is: nothing must be seen, or its own.
        b.query("SELECT body FROM note")
        if pooler.a.canary.encode() in b.heard:
            return leaked("a statement of B without a tenant reads the rows of A")
        seen = b.query("SELECT current_setting('app.tenant_id', true)")
        return leaked(seen) if seen.value == pooler.a.tenant else clean(seen)


setting(
    "session_characteristics",
    "SET SESSION CHARACTERISTICS",
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SHOW default_transaction_isolation",
    "serializable",
)


@vector("search_path")
def search_path(pooler):
    with pooler.a.session() as a, pooler.b.session() as b:
        done = a.query("SET search_path = planted, pg_catalog")
        if done.error:
            return refused(done)
        seen = pooler.within(b, pooler.b, "SHOW search_path")
        return leaked(seen) if "planted" in (seen.value or "") else clean(seen)


setting(
    "statement_timeout", "statement_timeout", "SET statement_timeout = '61357ms'", "SHOW statement_timeout", "61357ms"
)
setting(
    "read_only",
    "default_transaction_read_only",
    "SET default_transaction_read_only = on",
    "SHOW transaction_read_only",
    "on",
)
setting("date_style", "DateStyle", "SET DateStyle = 'German'", "SELECT '2026-01-02'::date::text", "02.01.2026")
setting("time_zone", "TimeZone", "SET TIME ZONE 'Pacific/Niue'", "SHOW TimeZone", "Pacific/Niue")


@vector("client_encoding")
def client_encoding(pooler):
    with pooler.a.session() as a, pooler.b.session() as b:
        done = a.query("SET client_encoding = 'LATIN1'")
        if done.error:
            return refused(done)
        before = len(b.heard)
        pooler.within(b, pooler.b, "SELECT chr(228)")
        return clean("UTF-8") if "ä".encode() in b.heard[before:] else leaked("B gets its text in the encoding of A")


@vector("SET ROLE")
def set_role(pooler):
    with pooler.a.session() as a, pooler.b.session() as b:
        roles = a.query(
            "SELECT quote_ident(rolname) FROM pg_catalog.pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER') "
            "AND rolname <> session_user ORDER BY rolname LIMIT 1"
        )
        if not roles.rows:
            return refused("the login is a member of no other role")
        before = b.query("SELECT current_user").value
        done = a.query(f"SET ROLE {roles.value}")
        if done.error:
            return refused(done)
        seen = b.query("SELECT current_user")
        return clean(seen) if seen.value == before else leaked(f"B is {seen.value} instead of {before}")


@vector("a statement by PREPARE")
def prepare(pooler):
    with pooler.a.session() as a, pooler.b.session() as b:
        done = a.query("PREPARE planted AS SELECT 'planted'")
        if done.error:
            return refused(done)
        seen = pooler.within(b, pooler.b, "EXECUTE planted")
        return leaked("B runs the statement of A") if seen.value == "planted" else clean(seen)


@vector("another statement under a name that B's driver prepared")
def hijack(pooler):
    with pooler.a.session() as a, pooler.b.session() as b:
        mine = b.extended(parse("SELECT body FROM note LIMIT 1", "s1"))
        if mine.error:
            return refused(f"B cannot prepare a statement: {mine}")
        a.query("DEALLOCATE s1")
        done = a.query("PREPARE s1 AS SELECT 'planted'")
        b.send(bind("s1") + execute() + message(b"S"))
        seen = b.answer()
        if seen.value == "planted":
            return leaked("B's Bind runs the statement of A")
        if seen.error and seen.error.get("C") in ("26000", "42P05"):
            return leaked(f"B's own statement is lost: {seen}")
        return refused(done) if done.error else clean(seen)


@vector("DEALLOCATE ALL takes B's prepared statement away")
def deallocate(pooler):
    with pooler.a.session() as a, pooler.b.session() as b:
        b.extended(parse("SELECT 'mine'", "s2"))
        a.query("DEALLOCATE ALL")
        seen = b.extended(bind("s2"), execute())
        return clean(seen) if seen.value == "mine" else leaked(f"B's statement is gone: {seen}")


@vector("a cursor WITH HOLD over rows of A")
def hold_cursor(pooler):
    with pooler.a.session() as a, pooler.b.session() as b:
        done = pooler.within(a, pooler.a, "DECLARE planted CURSOR WITH HOLD FOR SELECT body FROM note")
        if done.error:
            return refused(done)
        seen = pooler.within(b, pooler.b, "FETCH ALL FROM planted")
        return leaked("B fetches the rows of A") if pooler.a.canary.encode() in b.heard else clean(seen)


@vector("a temporary table that shadows the real one")
def temp_table(pooler):
    with pooler.a.session() as a, pooler.b.session() as b:
        done = a.query("CREATE TEMPORARY TABLE note (body text)")
        if done.error:
            return refused(done)
        seen = pooler.within(b, pooler.b, "SELECT count(*) FROM note")
        if seen.value == "0":
            return leaked("B reads and writes the table of A")
        again = pooler.within(b, pooler.b, "SELECT count(*) FROM pg_temp.note")
        return clean(again) if again.error else leaked("B can use the table of A")


@vector("a function in pg_temp")
def temp_function(pooler):
    with pooler.a.session() as a, pooler.b.session() as b:
        done = a.query("CREATE FUNCTION pg_temp.planted() RETURNS text LANGUAGE sql AS $$ SELECT 'planted' $$")
        if done.error:
            return refused(done)
        seen = pooler.within(b, pooler.b, "SELECT pg_temp.planted()")
        return leaked("B calls the function of A") if seen.value == "planted" else clean(seen)


@vector("LISTEN")
def listen(pooler):
    with pooler.a.session() as a, pooler.b.session() as b:
        done = a.query("LISTEN planted")
        if done.error:
            return refused(done)
        told = b.query("SELECT pg_notify('planted', 'word')").notifications + b.query("SELECT 1").notifications
        if told:
            return leaked("B is told what it did not listen for")
        channels = b.query("SELECT count(*) FROM pg_listening_channels()")
        return leaked("B listens to a channel of A") if channels.value not in ("0", None) else clean()


@vector("a session's advisory lock")
def advisory_lock(pooler):
    with pooler.a.session() as a, pooler.b.session() as b:
        done = a.query("SELECT pg_advisory_lock(7305809)")
        if done.error:
            return refused(done)
        # Only the session that has it can give it back.
        seen = b.query("SELECT pg_advisory_unlock(7305809)")
        return leaked("B holds the lock of A") if seen.value == "t" else clean(seen)


@vector("the last value of a sequence")
def last_value(pooler):
    with pooler.a.session() as a, pooler.b.session() as b:
        pooler.begin(a, pooler.a)
        done = a.query("INSERT INTO note (body) VALUES ('client residue') RETURNING id")
        a.query("ROLLBACK")
        if done.error:
            return refused(done)
        seen = b.query("SELECT lastval()")
        return leaked(f"B reads the id {seen.value} of A") if seen.value == done.value else clean(seen)


@vector("setseed: random() of B can be foretold")
def seed(pooler):
    with pooler.a.session() as a, pooler.b.session() as b:
        done = a.query("SELECT setseed(0.42); SELECT random(); SELECT setseed(0.42)")
        if done.error:
            return refused(done)
        foretold = done.rows[1][0]
        seen = b.query("SELECT random()")
        return leaked(f"B draws {seen.value}, as A foretold") if seen.value == foretold else clean(seen)


# Statements that empty a part of a session, so that a pooler may take all of it for new.
DISCARDS = ("DISCARD PLANS", "DISCARD TEMP", "DISCARD SEQUENCES")


def behind_discards(name, title, plant, look):
    """Planted, then discarded once, and twice with a statement between; `look` says what B sees of it, or nothing."""

    def run(pooler):
        done = None
        for discard in DISCARDS:
            for after in ([discard], [discard, "SELECT 1", discard]):
                with pooler.a.session() as a, pooler.b.session() as b:
                    done = plant(pooler, a)
                    if done.error:
                        return refused(done)
                    for sql in after:
                        a.query(sql)
                    seen = look(pooler, b, done)
                    if seen:
                        return leaked(f"after {'; '.join(after)}: {seen}")
                pooler.scrub()
        return clean(done)

    run.__name__ = name
    vector(title)(run)


def find_statement(pooler, b, done):
    names = b.query("SELECT string_agg(name, ', ') FROM pg_prepared_statements WHERE name = 'planted'")
    seen = b.query("EXECUTE planted")
    return f"B runs {names.value} of A" if seen.value == "planted" else None


def find_cursor(pooler, b, done):
    pooler.within(b, pooler.b, "FETCH ALL FROM planted")
    return "B fetches the rows of A" if pooler.a.canary.encode() in b.heard else None


def find_lock(pooler, b, done):
    return "B holds the lock of A" if b.query("SELECT pg_advisory_unlock(7305811)").value == "t" else None


def find_seed(pooler, b, done):
    return "B draws what A foretold" if b.query("SELECT random()").value == done.rows[1][0] else None


behind_discards(
    "discard_prepare",
    "a statement by PREPARE, then DISCARD",
    lambda pooler, a: a.query("PREPARE planted AS SELECT 'planted'"),
    find_statement,
)
behind_discards(
    "discard_cursor",
    "a cursor WITH HOLD, then DISCARD",
    lambda pooler, a: pooler.within(a, pooler.a, "DECLARE planted CURSOR WITH HOLD FOR SELECT body FROM note"),
    find_cursor,
)
behind_discards(
    "discard_lock",
    "a session's advisory lock, then DISCARD",
    lambda pooler, a: a.query("SELECT pg_advisory_lock(7305811)"),
    find_lock,
)
behind_discards(
    "discard_seed",
    "setseed, then DISCARD",
    lambda pooler, a: a.query("SELECT setseed(0.42); SELECT random(); SELECT setseed(0.42)"),
    find_seed,
)


@vector("a transaction that was left open")
def open_transaction(pooler):
    with pooler.b.session() as b:
        a = pooler.a.session()
        pooler.begin(a, pooler.a)
        a.query("INSERT INTO note (body) VALUES ('client residue open')")
        a.close(abruptly=True)
        time.sleep(0.2)
        seen = b.query("SELECT body FROM note WHERE body = 'client residue open'")
        if b.status != "I" or seen.rows:
            return leaked("B is in the transaction of A")
        return clean(seen)
