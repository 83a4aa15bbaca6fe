"""asyncpg: speaks the protocol itself, prepares every statement under a name of its own, binary throughout."""

import asyncio
import os
import time
from datetime import datetime, timezone
from decimal import Decimal
from uuid import uuid4

import asyncpg
from program import FEATURES, HAS_COPY_FROM, LARGE_ROWS, LARGE_TEXT, ROWS, TLS, URL, Program, holds, own, same

program = Program("asyncpg", asyncpg.__version__)
check, MARK = program.check, program.mark


def connect(**settings):
    return asyncpg.connect(URL, timeout=10, **settings)


class session:
    def __init__(self, **settings):
        self.settings = settings

    async def __aenter__(self):
        self.conn = await connect(**self.settings)
        return self.conn

    async def __aexit__(self, *_):
        await self.conn.close(timeout=5)


async def mine(conn):
    own([row["body"] for row in await conn.fetch("SELECT body FROM note")])


async def fails(kind, waited):
    try:
        await waited
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected and nothing failed")


@check
async def login():
    async with session() as conn:
        encrypted = conn._transport.get_extra_info("ssl_object") is not None
        same(encrypted, TLS, "TLS in use")
        holds(conn.get_server_version().major >= 15, "server_version is reported")
    if TLS and "direct" in FEATURES:
        async with session(direct_tls=True) as conn:
            await mine(conn)


@check
async def own_rows():
    for settings in ({}, {"statement_cache_size": 0}):
        async with session(**settings) as conn:
            await mine(conn)
            own([row["body"] for row in await conn.fetch("SELECT body FROM note WHERE id >= $1", 0)])
            same(await conn.fetchval("SELECT count(*) FROM note"), ROWS)


@check
async def write():
    async with session() as conn:
        async with conn.transaction():
            key = await conn.fetchval("INSERT INTO note (body) VALUES ($1) RETURNING id", MARK)
        same(await conn.execute("UPDATE note SET body = body || $2 WHERE id = $1", key, "!"), "UPDATE 1", "tag")
        same(await conn.fetchval("SELECT body FROM note WHERE id = $1", key), f"{MARK}!")
        same(await conn.execute("DELETE FROM note WHERE id = $1", key), "DELETE 1", "tag")
        await conn.executemany("INSERT INTO note (body) VALUES ($1)", [(f"{MARK} {n}",) for n in range(50)])
        same(await conn.execute("DELETE FROM note WHERE body LIKE $1", f"{MARK}%"), "DELETE 50", "tag")


@check
async def rollback():
    async with session() as conn:
        outer = conn.transaction()
        await outer.start()
        await conn.execute("INSERT INTO note (body) VALUES ($1)", MARK)
        inner = conn.transaction()
        await inner.start()
        await conn.execute("DELETE FROM note")
        await inner.rollback()
        same(await conn.fetchval("SELECT count(*) FROM note"), ROWS + 1, "after a savepoint")
        await outer.rollback()
        await mine(conn)


@check
async def error_in_transaction():
    async with session() as conn:
        outer = conn.transaction()
        await outer.start()
        await conn.execute("INSERT INTO note (body) VALUES ($1)", MARK)
        await fails(asyncpg.DivisionByZeroError, conn.fetchval("SELECT 1 / $1::int", 0))
        await fails(asyncpg.InFailedSQLTransactionError, conn.fetchval("SELECT count(*) FROM note"))
        await outer.rollback()
        await mine(conn)
        await fails(asyncpg.UndefinedTableError, conn.fetch("SELECT * FROM no_such_table"))
        await fails(asyncpg.PostgresSyntaxError, conn.execute("SELEC 1"))
        await mine(conn)


@check
async def prepared():
    async with session() as conn, session() as other:
        first = await conn.prepare("SELECT count(*), $1::int FROM note")
        second = await conn.prepare("SELECT $1::text || 'x'")
        same([column.name for column in first.get_attributes()], ["count", "int4"], "columns")
        theirs = await other.prepare("SELECT $1::int + 1")
        for n in range(20):
            same(tuple(await first.fetchrow(n)), (ROWS, n))
            same(await theirs.fetchval(n), n + 1)
            same(await second.fetchval(str(n)), f"{n}x")


@check
async def copy():
    async with session() as conn:
        transaction = conn.transaction()
        await transaction.start()
        records = [(f"{MARK} {n}", "{}") for n in range(1000)]
        loading = conn.copy_records_to_table("note", records=records, columns=["body", "data"])
        if HAS_COPY_FROM:
            same(await loading, "COPY 1000", "tag")
        else:
            await fails(asyncpg.FeatureNotSupportedError, loading)
            await transaction.rollback()
            transaction = conn.transaction()
            await transaction.start()
        parts = []

        async def keep(data):
            parts.append(data)

        await conn.copy_from_query("SELECT body FROM note ORDER BY id", output=keep)
        lines = b"".join(parts).decode().splitlines()
        same(len(lines), ROWS + 1000 * HAS_COPY_FROM, "lines")
        own([line for line in lines if not line.startswith("client ")])
        await transaction.rollback()
        await mine(conn)


@check
async def cursor():
    async with session() as conn:
        async with conn.transaction():
            count = 0
            async for _ in conn.cursor(
                "SELECT body FROM note UNION ALL SELECT n::text FROM generate_series(1, 5000) AS n", prefetch=100
            ):
                count += 1
            same(count, 5000 + ROWS, "rows of a cursor")
            cursor = await conn.cursor("SELECT body FROM note ORDER BY id")
            await cursor.forward(1)
            same(len(await cursor.fetch(10)), ROWS - 1, "rows after moving")


@check
async def large_result():
    async with session() as conn:
        rows = await conn.fetch("SELECT n, repeat('x', 50) FROM generate_series(1, $1::int) AS n", LARGE_ROWS)
        same(sum(row[0] for row in rows), LARGE_ROWS * (LARGE_ROWS + 1) // 2, "sum")


@check
async def large_text():
    text = "x" * LARGE_TEXT
    async with session() as conn:
        same(await conn.fetchval("SELECT octet_length($1::text)", text), LARGE_TEXT, "octets")
        same(await conn.fetchval("SELECT $1::text", text), text, "text")


@check
async def notice():
    async with session() as conn:
        heard = []
        conn.add_log_listener(lambda _, message: heard.append(message.message))
        await conn.execute("DO $$ BEGIN RAISE NOTICE 'hear %', 'this'; END $$")
        await asyncio.sleep(0)
        same(heard, ["hear this"], "notices")


@check
async def cancel():
    async with session() as conn:
        began = time.monotonic()
        await fails(asyncio.TimeoutError, conn.fetchval("SELECT pg_sleep(30)", timeout=0.3))
        await mine(conn)
        holds(time.monotonic() - began < 1.5, "a cancelled query ends within a second")


@check
async def sticky_settings():
    async with (
        session() as conn,
        session(server_settings={"application_name": "second", "timezone": "America/Lima"}) as other,
    ):
        await conn.execute("SET TIME ZONE 'Asia/Tokyo'")
        for _ in range(5):
            async with conn.transaction():
                same(await conn.fetchval("SHOW TimeZone"), "Asia/Tokyo")
            async with other.transaction():
                same(await other.fetchval("SHOW TimeZone"), "America/Lima")
                same(await other.fetchval("SHOW application_name"), "second")
        same(conn.get_settings().TimeZone, "Asia/Tokyo", "what the client was told")


@check
async def serializable():
    async with session() as conn:
        async with conn.transaction(isolation="serializable", readonly=True, deferrable=True):
            await mine(conn)
            same(await conn.fetchval("SHOW transaction_isolation"), "serializable")
            same(await conn.fetchval("SHOW transaction_read_only"), "on")


@check
async def many_statements():
    async with session() as conn:
        await conn.execute(
            f"BEGIN; INSERT INTO note (body) VALUES ('{MARK}'); COMMIT; "
            f"UPDATE note SET body = body || '!' WHERE body = '{MARK}'"
        )
        same(await conn.execute("DELETE FROM note WHERE body = $1", f"{MARK}!"), "DELETE 1", "tag")


@check
async def types():
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
        '{"a": [1, null]}',
    ]
    async with session() as conn:
        row = await conn.fetchrow(
            "SELECT $1::uuid, $2::numeric, $3::timestamptz, $4::bytea, $5::int[], $6::text[], "
            "$7::bool, $8::int, $9::int8, $10::jsonb",
            *values,
        )
        same(list(row), values, "values")
        transaction = conn.transaction()
        await transaction.start()
        row = await conn.fetchrow(
            "INSERT INTO note (body, data) VALUES ($1, $2) RETURNING tenant_id, id, at, data", MARK, "[1]"
        )
        holds(row["tenant_id"] is not None and row["at"].tzinfo is not None, "defaults are filled in")
        await transaction.rollback()


@check
async def crowd():
    async def work(n):
        for _ in range(20):
            async with pool.acquire() as conn, conn.transaction():
                own([row["body"] for row in await conn.fetch("SELECT body FROM note WHERE body NOT LIKE 'client %'")])
                await conn.execute("INSERT INTO note (body) VALUES ($1)", f"{MARK} {n}")
                await conn.execute("DELETE FROM note WHERE body = $1", f"{MARK} {n}")

    async with asyncpg.create_pool(URL, min_size=8, max_size=8, timeout=30) as pool:
        await asyncio.gather(*(work(n) for n in range(16)))


program.absent(pipeline="asyncpg has no pipeline mode")
# libpq's variables must not fill in what the connection string says already.
for name in [name for name in os.environ if name.startswith("PG")]:
    del os.environ[name]
program.run()
