"""psql, driven as by a person and by scripts. libpq's variables say where to connect."""

import os
import re
import signal
import subprocess
import time

from program import HAS_COPY_FROM, LARGE_ROWS, LARGE_TEXT, ROWS, Program, holds, own, same

program = Program(
    "psql", subprocess.run(["psql", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
)
check, MARK = program.check, program.mark


def psql(text, *options, status=0, **named):
    """Runs a script and gives what it printed; `status` is the exit code that it must end with."""
    command = [
        "psql",
        "--no-psqlrc",
        "--quiet",
        "--no-align",
        "--tuples-only",
        "--set",
        f"mark={MARK}",
        *options,
        "--dbname",
        os.environ["DATABASE_URL"],
    ]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, **named)
    same(done.returncode, status, f"exit code ({done.stderr.strip()[:300]})")
    return (done.stdout, done.stderr) if status else done.stdout


def strict(text, *options, **named):
    return psql(text, "--set", "ON_ERROR_STOP=1", *options, **named)


@check
def own_rows():
    own(strict("SELECT body FROM note;").splitlines())
    own(strict("", "--command", "SELECT body FROM note").splitlines())
    own(
        strict(
            "", "--single-transaction", "--command", "SELECT 1 WHERE false", "--command", "SELECT body FROM note"
        ).splitlines()
    )


@check
def write():
    out = strict("""
        BEGIN;
        INSERT INTO note (body) VALUES (:'mark') RETURNING id AS key \\gset
        COMMIT;
        UPDATE note SET body = body || '!' WHERE id = :key;
        SELECT body FROM note WHERE id = :key;
        DELETE FROM note WHERE id = :key;
        SELECT count(*) FROM note;
    """)
    same(out.split("\n")[:2], [f"{MARK}!", str(ROWS)])


@check
def rollback():
    out = strict("""
        \\set AUTOCOMMIT off
        INSERT INTO note (body) VALUES (:'mark');
        SAVEPOINT one;
        DELETE FROM note;
        ROLLBACK TO one;
        SELECT count(*) FROM note;
        ROLLBACK;
        SELECT count(*) FROM note;
    """)
    same(out.split(), [str(ROWS + 1), str(ROWS)])


@check
def error_in_transaction():
    out = psql("BEGIN; SELECT 1/0;\nSELECT body FROM note;\nROLLBACK;\nSELECT body FROM note;\n")
    own(out.splitlines())
    _, errors = strict("\\set VERBOSITY verbose\nSELECT * FROM no_such_table;", status=3)
    holds("42P01" in errors, errors)
    # A savepoint in front of every statement.
    out = psql("\\set ON_ERROR_ROLLBACK on\nBEGIN;\nSELECT 1/0;\nSELECT body FROM note;\nCOMMIT;\n")
    own(out.splitlines())


@check
def prepared():
    lines = "".join(f"EXECUTE own ({-n - 1});\nEXECUTE number ({n});\n" for n in range(20))
    # SQL-level PREPARE lasts for a session; in one transaction it works with every kind of pool.
    out = strict(
        "BEGIN;\nPREPARE own (int8) AS SELECT count(*) FROM note WHERE id <> $1;\n"
        f"PREPARE number (int) AS SELECT $1 + 1;\n{lines}DEALLOCATE own;\nDEALLOCATE number;\nCOMMIT;"
    )
    same(out.split(), [text for n in range(20) for text in (str(ROWS), str(n + 1))])


@check
def copy():
    own(strict("\\copy (SELECT body FROM note) TO STDOUT\n").splitlines())
    if not HAS_COPY_FROM:
        said = psql(
            "\\set VERBOSITY verbose\nBEGIN;\n\\copy note (body) FROM STDIN\n\\echo :LAST_ERROR_SQLSTATE\nROLLBACK;\n"
            "SELECT body FROM note;\n"
        ).splitlines()
        same(said[0], "0A000", "SQLSTATE")
        own(said[1:])
        return
    rows = "".join(f"{MARK} {n}\n" for n in range(1000))
    out = strict(
        f"BEGIN;\n\\copy note (body) FROM STDIN\n{rows}\\.\nSELECT count(*) FROM note;\n"
        "\\copy (SELECT body FROM note WHERE body NOT LIKE 'client %') TO STDOUT\nROLLBACK;\n"
    )
    lines = out.splitlines()
    same(lines[0], str(1000 + ROWS))
    own(lines[1:])


@check
def cursor():
    out = strict(
        "BEGIN;\nDECLARE c SCROLL CURSOR FOR SELECT body FROM note ORDER BY id;\nFETCH 1 FROM c;\nFETCH ALL FROM c;\n"
        "MOVE ABSOLUTE 0 FROM c;\nFETCH 2 FROM c;\nCOMMIT;\n"
    )
    same(len(out.splitlines()), ROWS + 2, "rows of a cursor")
    # psql's own use of cursors.
    out = strict(
        "\\set FETCH_COUNT 700\nSELECT body FROM note UNION ALL SELECT n::text FROM generate_series(1, 5000) AS n;\n"
    )
    same(len(out.splitlines()), 5000 + ROWS, "rows by FETCH_COUNT")


@check
def large_result():
    out = strict(f"SELECT n FROM generate_series(1, {LARGE_ROWS}) AS n;")
    same(sum(map(int, out.split())), LARGE_ROWS * (LARGE_ROWS + 1) // 2, "sum")


@check
def large_text():
    out = strict(f"SELECT octet_length('{'x' * LARGE_TEXT}');")
    same(out.strip(), str(LARGE_TEXT), "octets")


@check
def notice():
    done = subprocess.run(
        ["psql", "-XqAt", os.environ["DATABASE_URL"], "-c", "DO $$ BEGIN RAISE NOTICE 'hear %', 'this'; END $$"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    same(done.stderr, "NOTICE:  hear this\n", "notice")


@check
def cancel():
    process = subprocess.Popen(
        ["psql", "-XqAt", os.environ["DATABASE_URL"], "-c", "SELECT 'ready'", "-c", "SELECT pg_sleep(30)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    same(process.stdout.readline(), "ready\n")
    time.sleep(0.3)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    holds(time.monotonic() - began < 1, "a cancelled query ends within a second")
    holds("canceling statement due to user request" in errors, errors)


@check
def sticky_settings():
    out = strict(
        "SET TIME ZONE 'Asia/Tokyo';\nSET application_name = 'sticky';\n"
        "SHOW TimeZone;\nBEGIN;\nSHOW TimeZone;\nCOMMIT;\nSHOW application_name;\n\\encoding LATIN1\nSHOW client_encoding;\n"
        "SELECT chr(228);\n",
        encoding="latin-1",
    )
    same(out.split(), ["Asia/Tokyo", "Asia/Tokyo", "sticky", "LATIN1", "ä"])


@check
def serializable():
    out = strict(
        "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE;\nSELECT body FROM note;\nSHOW transaction_isolation;\n"
        "COMMIT;\nSTART TRANSACTION;\nSET TRANSACTION ISOLATION LEVEL REPEATABLE READ;\nSELECT count(*) FROM note;\n"
        "SHOW transaction_isolation;\nCOMMIT AND CHAIN;\nSELECT count(*) FROM note;\nSHOW transaction_isolation;\nCOMMIT;\n"
    )
    lines = out.splitlines()
    own(lines[:ROWS])
    same(lines[ROWS:], ["serializable", str(ROWS), "repeatable read", str(ROWS), "repeatable read"], "levels")


@check
def many_statements():
    # `-c` sends its argument as one simple query; psql 15 prints every result of it.
    text = (
        f"INSERT INTO note (body) VALUES ('{MARK}'); SELECT count(*) FROM note; BEGIN; DELETE FROM note WHERE body = '{MARK}'; "
        "COMMIT; SELECT body FROM note"
    )
    lines = strict("", "--command", text).splitlines()
    same(lines[0], str(ROWS + 1))
    own(lines[1:])
    # An implicit transaction: the error takes back what stands before it.
    strict("", "--command", f"INSERT INTO note (body) VALUES ('{MARK}'); SELECT 1/0", status=1)
    own(strict("SELECT body FROM note;").splitlines())


@check
def types():
    out = strict(
        "SELECT '3d6f0a52-6c5b-4d27-9e3b-0a6d0f7a1b2c'::uuid, 1.000000000000000000001, '\\x00ff'::bytea, ARRAY[1,2,NULL], "
        "'{\"a\": [1, null]}'::jsonb, timestamptz '2026-03-29 01:30+00' AT TIME ZONE 'UTC';"
    )
    same(
        out.strip(),
        '3d6f0a52-6c5b-4d27-9e3b-0a6d0f7a1b2c|1.000000000000000000001|\\x00ff|{1,2,NULL}|{"a": [1, null]}|'
        "2026-03-29 01:30:00",
    )


@check
def inspect():
    out = strict("\\d note\n\\conninfo\n\\l\n\\dt\n\\timing on\nSELECT 1;\n\\gdesc\n")
    for word in ("tenant_id", "data", "note"):
        holds(word in out, f"{word} is described")
    holds(re.search(r"Time: \d", out), "\\timing works")
    same(strict("SELECT format('SELECT %s + 1', n) FROM generate_series(1, 3) AS n \\gexec\n").split(), ["2", "3", "4"])


program.absent(pipeline="psql 15 has none")
program.run()
