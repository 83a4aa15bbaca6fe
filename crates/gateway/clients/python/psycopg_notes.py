"""psycopg 3: the client of most Python applications of today; libpq below it, with pipelines and channel binding."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from decimal import Decimal
from uuid import uuid4

import psycopg
from program import FEATURES, HAS_COPY_FROM, LARGE_ROWS, LARGE_TEXT, ROWS, TLS, URL, Program, fails, holds, own, same
from psycopg import pq
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

program = Program("psycopg", f"{psycopg.__version__}, libpq {pq.version() // 10000}")
check, MARK = program.check, program.mark


def connect(**settings):
    return psycopg.connect(URL, connect_timeout=10, **settings)


def auto(**settings):
    return connect(autocommit=True, **settings)


@check
def login():
    with connect() as conn:
        same(conn.pgconn.ssl_in_use, TLS, "TLS in use")
        holds(conn.info.server_version >= 150000, "server_version is reported")
    ways = [{"application_name": "client"}]
    if pq.version() >= 180000:
        ways.append({"max_protocol_version": "latest"})
    if TLS and "plus" in FEATURES:
        ways.append({"channel_binding": "require"})
    if TLS and "direct" in FEATURES:
        ways.append({"sslnegotiation": "direct"})
    for way in ways:
        with connect(**way) as conn:
            same(conn.execute("SELECT count(*) FROM note").fetchone(), (ROWS,), f"rows with {way}")
            if way.get("max_protocol_version") and "3.2" in FEATURES:
                same(conn.pgconn.full_protocol_version, 30002, "protocol version")


@check
def own_rows():
    for settings in ({}, {"prepare_threshold": 0}, {"prepare_threshold": None}):
        with connect(**settings) as conn:
            own(body for (body,) in conn.execute("SELECT body FROM note"))
            own(body for (body,) in conn.execute("SELECT body FROM note WHERE id >= %s", [0]))
            own(body for (body,) in conn.cursor(binary=True).execute("SELECT body FROM note WHERE id >= %s", [0]))


@check
def write():
    with connect() as conn:
        key = conn.execute("INSERT INTO note (body) VALUES (%s) RETURNING id", [MARK]).fetchone()[0]
        conn.commit()
        changed = conn.execute("UPDATE note SET body = body || ' changed' WHERE id = %s", [key]).rowcount
        same(changed, 1, "rows updated")
        conn.commit()
        same(conn.execute("SELECT body FROM note WHERE id = %s", [key]).fetchone(), (f"{MARK} changed",))
        same(conn.execute("DELETE FROM note WHERE id = %s", [key]).rowcount, 1, "rows deleted")
        conn.commit()
        same(conn.execute("SELECT count(*) FROM note").fetchone(), (ROWS,))
        with conn.cursor() as cursor:
            cursor.executemany("INSERT INTO note (body) VALUES (%s)", [(f"{MARK} {n}",) for n in range(50)])
        same(conn.execute("DELETE FROM note WHERE body LIKE %s", [f"{MARK}%"]).rowcount, 50, "rows of a batch")


@check
def rollback():
    with connect() as conn:
        conn.execute("INSERT INTO note (body) VALUES (%s)", [MARK])
        same(conn.execute("SELECT count(*) FROM note").fetchone(), (ROWS + 1,))
        conn.rollback()
        same(conn.execute("SELECT count(*) FROM note").fetchone(), (ROWS,))
        with conn.transaction():
            conn.execute("INSERT INTO note (body) VALUES (%s)", [MARK])
            with conn.transaction(force_rollback=True):
                conn.execute("DELETE FROM note")
            same(conn.execute("SELECT count(*) FROM note").fetchone(), (ROWS + 1,), "after a savepoint")
            conn.execute("DELETE FROM note WHERE body = %s", [MARK])


@check
def error_in_transaction():
    with connect() as conn:
        conn.execute("INSERT INTO note (body) VALUES (%s)", [MARK])
        fails(psycopg.errors.DivisionByZero, conn.execute, "SELECT 1/0")
        fails(psycopg.errors.InFailedSqlTransaction, conn.execute, "SELECT count(*) FROM note")
        conn.rollback()
        own(body for (body,) in conn.execute("SELECT body FROM note"))
    with auto() as conn:
        error = fails(psycopg.errors.UndefinedTable, conn.execute, "SELECT * FROM no_such_table WHERE x = %s", [1])
        same(error.diag.statement_position, "15", "position of the error")
        own(body for (body,) in conn.execute("SELECT body FROM note"))


@check
def prepared():
    with auto(prepare_threshold=0) as conn, auto(prepare_threshold=1) as other:
        for n in range(20):
            same(conn.execute("SELECT count(*) FROM note WHERE id <> %s", [-1], prepare=True).fetchone(), (ROWS,))
            same(other.execute("SELECT %s::int + 1", [n]).fetchone(), (n + 1,))
            same(conn.execute("SELECT %s::text || 'x'", [str(n)], prepare=True).fetchone(), (f"{n}x",))
    with connect(prepare_threshold=0) as conn:
        for n in range(20):
            own(body for (body,) in conn.execute("SELECT body FROM note WHERE id <> %s", [-n]))
            if n % 3 == 0:
                conn.commit()
            if n % 7 == 0:
                fails(psycopg.errors.DivisionByZero, conn.execute, "SELECT 1 / %s::int", [0])
                conn.rollback()


def no_copy_from(conn):
    def refused():
        with conn.cursor().copy("COPY note (body, data) FROM STDIN") as copy:
            copy.write_row((MARK, Jsonb({})))

    fails(psycopg.errors.FeatureNotSupported, refused)
    conn.rollback()
    with conn.cursor().copy("COPY (SELECT body FROM note) TO STDOUT") as copy:
        own(body for (body,) in copy.rows())
    own(body for (body,) in conn.execute("SELECT body FROM note"))


@check
def copy():
    with connect() as conn:
        if not HAS_COPY_FROM:
            no_copy_from(conn)
            return
        with conn.cursor().copy("COPY note (body, data) FROM STDIN") as copy:
            for n in range(1000):
                copy.write_row((f"{MARK} {n}", Jsonb({"n": n})))
        lines = []
        with conn.cursor().copy("COPY (SELECT body, data FROM note ORDER BY id) TO STDOUT") as copy:
            lines.extend(copy.rows())
        same(len(lines), 1000 + ROWS, "rows copied")
        own(body for body, _ in lines if not body.startswith("client "))
        conn.rollback()
        with conn.cursor().copy("COPY note (body) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["text"])
            copy.write_row((MARK,))
        conn.rollback()

        def broken():
            with conn.cursor().copy("COPY note (body, data) FROM STDIN") as copy:
                copy.write_row((MARK, "this is no json"))

        fails(psycopg.errors.InvalidTextRepresentation, broken)
        conn.rollback()
        same(conn.execute("SELECT count(*) FROM note").fetchone(), (ROWS,))


@check
def cursor():
    with connect() as conn:
        with conn.cursor("notes", scrollable=True) as cursor:
            cursor.execute("SELECT body FROM note UNION ALL SELECT n::text FROM generate_series(1, 5000) AS n")
            cursor.itersize = 100
            same(sum(1 for _ in cursor), 5000 + ROWS, "rows of a cursor")
            cursor.scroll(0, mode="absolute")
            same(len(cursor.fetchmany(10)), 10, "rows after scrolling")
        conn.commit()
        own(body for (body,) in conn.execute("SELECT body FROM note"))


@check
def large_result():
    with auto() as conn:
        total = sum(n for (n,) in conn.execute("SELECT n FROM generate_series(1, %s) AS n", [LARGE_ROWS]))
        same(total, LARGE_ROWS * (LARGE_ROWS + 1) // 2, "sum")
        rows = conn.cursor().stream("SELECT n, repeat('x', 100) FROM generate_series(1, %s) AS n", [LARGE_ROWS])
        same(sum(1 for _ in rows), LARGE_ROWS, "rows one by one")


@check
def large_text():
    text = "ä" * (LARGE_TEXT // 2)
    with connect() as conn:
        same(conn.execute("SELECT octet_length(%s::text)", [text]).fetchone(), (LARGE_TEXT,), "octets")
        same(conn.execute("INSERT INTO note (body) VALUES (%s) RETURNING body", [text]).fetchone()[0], text, "text")
        conn.rollback()


@check
def notice():
    with connect() as conn:
        heard = []
        conn.add_notice_handler(lambda diag: heard.append((diag.severity, diag.message_primary)))
        conn.execute("DO $$ BEGIN RAISE NOTICE 'hear %', 'this'; RAISE WARNING 'and that'; END $$")
        same(heard, [("NOTICE", "hear this"), ("WARNING", "and that")], "notices")


@check
def cancel():
    with auto() as conn:
        for call in (conn.cancel_safe, conn.cancel):
            asked = []

            def later():
                time.sleep(0.3)
                asked.append(time.monotonic())
                call()

            thread = threading.Thread(target=later)
            thread.start()
            fails(psycopg.errors.QueryCanceled, conn.execute, "SELECT pg_sleep(30)")
            holds(time.monotonic() - asked[0] < 1, "a cancelled query ends within a second")
            thread.join()
            own(body for (body,) in conn.execute("SELECT body FROM note"))


@check
def sticky_settings():
    with auto() as conn, auto() as other:
        conn.execute("SET TIME ZONE 'Asia/Tokyo'")
        conn.execute("SET application_name = 'first of two'")
        other.execute("SET TIME ZONE 'America/Lima'")
        other.execute("SET DateStyle = 'German'")
        for _ in range(5):
            with conn.transaction():
                same(conn.execute("SHOW TimeZone").fetchone(), ("Asia/Tokyo",))
                same(conn.execute("SHOW application_name").fetchone(), ("first of two",))
                same(conn.execute("SELECT '2026-01-02'::date::text").fetchone(), ("2026-01-02",))
            with other.transaction():
                same(other.execute("SHOW TimeZone").fetchone(), ("America/Lima",))
                same(other.execute("SELECT '2026-01-02'::date::text").fetchone(), ("02.01.2026",))
        with other.transaction():
            # Behind a pool the first one now gets another server session.
            same(other.execute("SHOW TimeZone").fetchone(), ("America/Lima",))
            same(conn.execute("SHOW TimeZone").fetchone(), ("Asia/Tokyo",))
        same(conn.info.parameter_status("TimeZone"), "Asia/Tokyo", "what the client was told")
    with connect(options="-c timezone=Asia/Kolkata") as conn:
        same(conn.execute("SHOW TimeZone").fetchone(), ("Asia/Kolkata",), "from the connection string")


@check
def serializable():
    with connect() as conn:
        conn.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        own(body for (body,) in conn.execute("SELECT body FROM note"))
        same(conn.execute("SHOW transaction_isolation").fetchone(), ("serializable",))
        conn.commit()
        conn.isolation_level, conn.read_only = None, True
        fails(psycopg.errors.ReadOnlySqlTransaction, conn.execute, "INSERT INTO note (body) VALUES (%s)", [MARK])


@check
def many_statements():
    with auto() as conn:
        cursor = conn.execute(
            f"INSERT INTO note (body) VALUES ('{MARK}'); SELECT count(*) FROM note; "
            f"DELETE FROM note WHERE body = '{MARK}'; SELECT body FROM note"
        )
        cursor.nextset()
        same(cursor.fetchone(), (ROWS + 1,))
        cursor.nextset(), cursor.nextset()
        own(body for (body,) in cursor)
        cursor = conn.execute(
            f"BEGIN; INSERT INTO note (body) VALUES ('{MARK}'); COMMIT; SELECT count(*) FROM note; "
            f"BEGIN; DELETE FROM note WHERE body = '{MARK}'; COMMIT; SELECT body FROM note"
        )
        results = []
        while cursor.nextset():
            results.append(cursor.fetchall() if cursor.description else None)
        same(results[2], [(ROWS + 1,)], "after a COMMIT in the middle")
        own(body for (body,) in results[-1])


@check
def types():
    values = [
        uuid4(),
        Decimal("12345678901234567890.123456789"),
        datetime(2026, 3, 29, 1, 30, 0, 123456, timezone.utc),
        b"\x00\xff" * 500,
        [1, 2, None, 4],
        ["a", 'b"c', "ü,{}"],
        True,
        None,
        2**62,
        1.5e-300,
        "\u2603 \U0001f600",
    ]
    with connect() as conn:
        for binary in (False, True):
            row = (
                conn.cursor(binary=binary)
                .execute(
                    "SELECT %s::uuid, %s::numeric, %s::timestamptz, %s::bytea, %s::int[], %s::text[], %s::bool, %s::int, "
                    "%s::int8, %s::float8, %s::text",
                    values,
                )
                .fetchone()
            )
            same(list(row), values, "values")
        data = {"a": [1, 2, {"b": None}], "c": "ü"}
        key = conn.execute(
            "INSERT INTO note (body, data) VALUES (%s, %s) RETURNING id", [MARK, Jsonb(data)]
        ).fetchone()[0]
        found = conn.execute(
            "SELECT data, data->'a'->>1, tenant_id IS NOT NULL, at <= now() FROM note WHERE id = %s", [key]
        )
        same(found.fetchone(), (data, "2", True, True))
        conn.rollback()


@check
def pipeline():
    with auto() as conn:
        with conn.pipeline():
            cursors = [conn.execute("SELECT count(*), %s::int FROM note", [n]) for n in range(100)]
        same([cursor.fetchone() for cursor in cursors], [(ROWS, n) for n in range(100)], "answers")
        with conn.pipeline() as pipeline:
            with conn.transaction():
                conn.execute("INSERT INTO note (body) VALUES (%s)", [MARK])
                seen = conn.execute("SELECT count(*) FROM note")
            after = conn.execute("SELECT count(*) FROM note")
            conn.execute("DELETE FROM note WHERE body = %s", [MARK])
            pipeline.sync()
            same([seen.fetchone(), after.fetchone()], [(ROWS + 1,)] * 2, "in and after a transaction")
        with conn.pipeline() as pipeline:
            good = conn.execute("SELECT count(*) FROM note")
            pipeline.sync()
            same(good.fetchone(), (ROWS,))

        def broken():
            with conn.pipeline():
                conn.execute("INSERT INTO note (body) VALUES (%s)", [MARK])
                conn.execute("SELECT 1 / %s::int", [0])
                conn.execute("SELECT count(*) FROM note")

        fails(psycopg.errors.DivisionByZero, broken)
        own(body for (body,) in conn.execute("SELECT body FROM note"))


@check
def crowd():
    def work(n):
        for turn in range(20):
            with pool.connection() as conn:
                own(
                    body
                    for (body,) in conn.execute("SELECT body FROM note WHERE body NOT LIKE 'client %%' OR id < %s", [0])
                )
                conn.execute("INSERT INTO note (body) VALUES (%s)", [f"{MARK} {n}"])
                if turn % 2:
                    conn.rollback()
                else:
                    conn.execute("DELETE FROM note WHERE body = %s", [f"{MARK} {n}"])

    with ConnectionPool(URL, min_size=8, max_size=8, timeout=30) as pool, ThreadPoolExecutor(16) as threads:
        list(threads.map(work, range(16)))


program.run()
