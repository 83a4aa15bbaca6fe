"""Statements by which tenant A tries to reach tenant B, through whatever lets A in.

Each entry is a list of simple queries. It is run twice, inside a transaction of A's application and on its own, and read
after: in the same transaction, after it, and in the next transaction that the application begins. It succeeded when a value
of B came through in any message, when B's rows are others than before, or, for an `act`, when the server carried out what
nobody may do. `{b}` is B's id, `{hex}` the same without dashes, `{owner}` who owns the table.
"""

import contextlib

from pooler import REGISTERS, Outcome, nothing_to_try, refused
from wire import Ended

READ = "SELECT * FROM note"


class Attempt:
    def __init__(self, name, *messages, act=False):
        self.name, self.messages, self.act = name, messages, act


def registers(form):
    """The same statement for every setting that could say whose transaction it is."""
    return [
        form.replace("{register}", name).replace("{value}", "{hex}" if kind == "hex" else "{b}")
        for name, kind in REGISTERS.items()
    ]


def register_attempts():
    forms = {
        "SET of the register": "SET {register} = '{value}'",
        "SET LOCAL of the register": "SET LOCAL {register} = '{value}'",
        "SET SESSION of the register": "SET SESSION {register} TO '{value}'",
        "set_config, for the transaction": "SELECT set_config('{register}', '{value}', true)",
        "set_config, for the session": "SELECT set_config('{register}', '{value}', false)",
        "set_config beside the read": "SELECT set_config('{register}', '{value}', true), n.* FROM note AS n",
        "set_config in front of the read, in one statement": "WITH x AS MATERIALIZED (SELECT set_config('{register}', '{value}', true) AS s) SELECT n.* FROM x LEFT JOIN note AS n ON x.s <> ''",
        "set_config and the read, in one message": "SELECT set_config('{register}', '{value}', true); SELECT * FROM note",
        "UPDATE pg_settings": "UPDATE pg_settings SET setting = '{value}' WHERE name = '{register}'",
        "set_config in DO": "DO $$ BEGIN PERFORM set_config('{register}', '{value}', false); END $$",
        "ALTER ROLE … SET of the register": "ALTER ROLE CURRENT_USER SET {register} = '{value}'",
        "a function with a SET clause": "CREATE OR REPLACE FUNCTION pg_temp.f() RETURNS SETOF text LANGUAGE sql SET {register} = '{value}' AS $$ SELECT body FROM note $$; "
        "SELECT pg_temp.f()",
        "SET in a savepoint": "SAVEPOINT s; SET LOCAL {register} = '{value}'; RELEASE s",
        "SET, rolled back to a savepoint": "SAVEPOINT s; SET LOCAL {register} = '{value}'; ROLLBACK TO s; SELECT * FROM note",
    }
    for name, form in forms.items():
        yield Attempt(name, *registers(form))
    reset = [f"RESET {name}" for name in REGISTERS]
    yield Attempt("RESET of the register", *reset)
    yield Attempt("RESET ALL", "RESET ALL", "SELECT * FROM note WHERE tenant_id = '{b}'")
    yield Attempt("DISCARD ALL", "DISCARD ALL", READ)
    yield Attempt(
        "SET of what the gateway reads at the start",
        "SET tenantry.tenant = '{b}'",
        "SELECT set_config('tenantry.tenant', '{b}', false)",
    )


SEAL = [
    Attempt(
        "enter with a guessed token",
        "SELECT seal.enter('{b}', 1, decode(repeat('00', 32), 'hex'))",
        "SELECT seal.enter('{b}', 2, sha256('{b}'))",
        READ,
    ),
    Attempt(
        "bind with a guessed proof",
        "SELECT seal.bind(1, '{b}', 1, decode(repeat('00', 32), 'hex'))",
        "SELECT seal.enter()",
        READ,
    ),
    Attempt(
        "arm with a guessed proof",
        "SELECT seal.arm(1, decode(repeat('00', 32), 'hex'))",
        "SELECT seal.enter('{b}', 1, ''::bytea)",
        READ,
    ),
    Attempt(
        "arguments that are NULL",
        "SELECT seal.enter(NULL, NULL, NULL)",
        "SELECT seal.bind(NULL, '{b}', NULL, NULL)",
        "SELECT seal.arm(NULL, NULL)",
        READ,
    ),
    Attempt(
        "a proof made of what hello says",
        "SELECT seal.bind(1, '{b}', 1, sha256(convert_to('tenantry seal bind 1', 'UTF8') || int4send(h.pid) || int8send(h.started))) "
        "FROM seal.hello() AS h",
        "SELECT seal.enter()",
        READ,
    ),
    Attempt("the key of the seal", "SELECT * FROM seal.key", "COPY seal.key TO STDOUT", "TABLE seal.bound", act=True),
    Attempt(
        "the session's notes",
        "SELECT setval('seal.bound', 1)",
        "SELECT nextval('seal.bound')",
        "SELECT setval('seal.generation', 1)",
        "SELECT seal.enter()",
        READ,
    ),
    Attempt(
        "the register of tenants",
        "UPDATE tenantry.tenant SET tenant_id = '{a}' WHERE tenant_id = '{b}'",
        "UPDATE tenantry.tenant SET state = 'a'",
        act=True,
    ),
    Attempt("enter again after the session was emptied", "DISCARD ALL", "SELECT seal.enter()", READ),
    Attempt(
        "another current_tenant",
        "CREATE OR REPLACE FUNCTION tenantry.current_tenant() RETURNS uuid LANGUAGE sql AS $$ SELECT '{b}'::uuid $$",
        act=True,
    ),
]

BOUNDARIES = [
    Attempt("COMMIT and a read in one message", "COMMIT; SELECT * FROM note"),
    Attempt("ROLLBACK and a read in one message", "ROLLBACK; SELECT * FROM note"),
    Attempt("COMMIT; BEGIN and a read in one message", "COMMIT; BEGIN; SELECT * FROM note; COMMIT"),
    Attempt("COMMIT AND CHAIN", "COMMIT AND CHAIN; SELECT * FROM note", "ROLLBACK AND CHAIN", READ),
    Attempt(
        "COMMIT in DO",
        "DO $$ DECLARE t text; BEGIN COMMIT; FOR t IN SELECT body FROM note LOOP RAISE NOTICE '%', t; END LOOP; END $$",
    ),
    Attempt("a prepared transaction", "PREPARE TRANSACTION 'residue'", "COMMIT PREPARED 'residue'", READ),
    Attempt("an error, then a read", "SELECT 1/0", READ),
]

# Whoever looks for a COMMIT in a text must see it where PostgreSQL sees it, and nowhere else.
WORDS = [
    Attempt(
        "COMMIT behind a comment", "/* SELECT 1; */ COMMIT; SELECT * FROM note", "-- ;\nCOMMIT; SELECT * FROM note"
    ),
    Attempt("COMMIT behind a comment in a comment", "/* /* */ SELECT 1; */ COMMIT; SELECT * FROM note"),
    Attempt("COMMIT behind a string with a backslash", "SELECT '\\'; COMMIT; SELECT * FROM note; SELECT ''"),
    Attempt("COMMIT behind an escape string", "SELECT E'\\''; COMMIT; SELECT * FROM note; --'"),
    Attempt(
        "COMMIT where strings take backslashes",
        "SET standard_conforming_strings = off",
        "SELECT '\\''; COMMIT; SELECT * FROM note; --'",
        "SELECT '\\'; SELECT '; COMMIT; SELECT * FROM note; --'",
    ),
    Attempt(
        "COMMIT behind dollar quotes",
        "SELECT $a$ ; $b$ ; $a$; COMMIT; SELECT * FROM note",
        "SELECT $$'$$; COMMIT; SELECT * FROM note",
    ),
    Attempt("COMMIT behind a name with a dollar", "SELECT 1 AS a$b$; COMMIT; SELECT * FROM note; SELECT 1 AS a$b$"),
    Attempt(
        "COMMIT behind unicode escapes", "SELECT U&'\\0027'; COMMIT; SELECT * FROM note; SELECT U&\"a\\0022\" FROM note"
    ),
    Attempt(
        "COMMIT behind a name in quotes",
        'SELECT 1 AS ";"; COMMIT; SELECT * FROM note',
        'SELECT 1 AS "a"";"; END; SELECT * FROM note',
    ),
    Attempt(
        "COMMIT by other words",
        "END; SELECT * FROM note",
        "ABORT; SELECT * FROM note",
        "END WORK AND CHAIN; SELECT * FROM note",
        "COMMIT TRANSACTION AND NO CHAIN; SELECT * FROM note",
    ),
    Attempt("COMMIT in other spaces", "\f\v\tCOMMIT\r;SELECT * FROM note", ";;;COMMIT;;;SELECT * FROM note;;"),
    Attempt(
        "COMMIT behind a byte order mark",
        "\ufeffCOMMIT; SELECT * FROM note",
        "SELECT 1;\u00a0COMMIT; SELECT * FROM note",
    ),
    Attempt(
        "COMMIT inside of a function of SQL",
        "CREATE RULE r AS ON UPDATE TO note DO ALSO (SELECT 1; COMMIT); SELECT * FROM note",
        "CREATE FUNCTION pg_temp.f() RETURNS int BEGIN ATOMIC SELECT 1; COMMIT; END; SELECT * FROM note",
    ),
    Attempt(
        "EXECUTE of a prepared COMMIT",
        "PREPARE c AS SELECT 1; EXECUTE c; COMMIT; EXECUTE c; SELECT * FROM note",
        "DO $$ BEGIN EXECUTE 'COMMIT'; END $$; SELECT * FROM note",
    ),
    Attempt(
        "SET TRANSACTION ahead of enter",
        "SET TRANSACTION SNAPSHOT '00000003-0000001B-1'; SELECT * FROM note",
        "SET CONSTRAINTS ALL DEFERRED; SELECT * FROM note",
    ),
    Attempt(
        "a savepoint under ROLLBACK TO",
        "SAVEPOINT s; COMMIT; ROLLBACK TO s; SELECT * FROM note",
        "SAVEPOINT s; RELEASE s; ROLLBACK; SELECT * FROM note",
    ),
]

SHADOWS = [
    Attempt("a temporary table of the same name", "CREATE TEMPORARY TABLE note (body text)", READ),
    Attempt(
        "current_tenant in pg_temp",
        "CREATE FUNCTION pg_temp.current_tenant() RETURNS uuid LANGUAGE sql AS $$ SELECT '{b}'::uuid $$",
        "SET search_path = pg_temp, public",
        READ,
    ),
    Attempt(
        "an operator of one's own", "CREATE OPERATOR = (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = uuid_ne)", READ
    ),
    Attempt("a schema of one's own", "CREATE SCHEMA residue", act=True),
    Attempt("a view that runs as its owner", "CREATE TEMPORARY VIEW v AS SELECT * FROM note", "SELECT * FROM v"),
    Attempt(
        "a function with a notice in the condition",
        "CREATE FUNCTION pg_temp.tell(t text) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE NOTICE '%', t; RETURN true; END $$",
        "SELECT count(*) FROM note WHERE pg_temp.tell(body)",
    ),
    Attempt(
        "an error that tells a value",
        "SELECT count(*) FROM note WHERE body::int > 0",
        "SELECT CAST(body AS uuid) FROM note",
    ),
]

ROWS = [
    Attempt(
        "reading by B's id",
        "SELECT * FROM note WHERE tenant_id = '{b}'",
        "SELECT * FROM note WHERE tenant_id <> '{a}' OR true",
    ),
    Attempt("row_security = off", "SET row_security = off", READ),
    Attempt("COPY TO STDOUT", "COPY note TO STDOUT", "COPY (SELECT * FROM note WHERE tenant_id = '{b}') TO STDOUT"),
    Attempt(
        "the table as XML",
        "SELECT table_to_xml('note', true, false, '')",
        "SELECT query_to_xml('TABLE note', true, false, '')",
    ),
    Attempt("inserting for B", "INSERT INTO note (tenant_id, body) VALUES ('{b}', 'client residue')"),
    Attempt(
        "giving a row to B",
        "WITH mine AS (INSERT INTO note (body) VALUES ('client residue') RETURNING id) SELECT id FROM mine",
        "UPDATE note SET tenant_id = '{b}' WHERE body = 'client residue'",
        "DELETE FROM note WHERE body = 'client residue'",
    ),
    Attempt("changing B's rows", "UPDATE note SET body = 'client residue' WHERE tenant_id = '{b}'"),
    Attempt("deleting B's rows", "DELETE FROM note WHERE tenant_id = '{b}'"),
    Attempt(
        "B's row by a conflict",
        "INSERT INTO note (tenant_id, id, body) SELECT '{b}', n, 'client residue' FROM generate_series(1, 20) AS n "
        "ON CONFLICT (tenant_id, id) DO UPDATE SET body = excluded.body RETURNING body",
    ),
    Attempt(
        "MERGE into B",
        "MERGE INTO note AS n USING (SELECT '{b}'::uuid AS t) AS s ON n.tenant_id = s.t WHEN MATCHED THEN UPDATE SET body = 'client residue' "
        "WHEN NOT MATCHED THEN INSERT (tenant_id, body) VALUES (s.t, 'client residue')",
    ),
    Attempt("TRUNCATE", "TRUNCATE note", act=True),
]

OBJECTS = [
    Attempt(
        "taking row-level security off",
        "ALTER TABLE note NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE note DISABLE ROW LEVEL SECURITY",
        act=True,
    ),
    Attempt("a policy more", "CREATE POLICY residue ON note USING (true)", act=True),
    Attempt(
        "a trigger, a rule, an index",
        "CREATE RULE residue AS ON INSERT TO note DO INSTEAD NOTHING",
        "CREATE INDEX residue ON note ((body || ''))",
        act=True,
    ),
    Attempt("SET ROLE to the table's owner", "SET ROLE {owner}", READ, "SET LOCAL ROLE {owner}", READ),
    Attempt(
        "SET SESSION AUTHORIZATION",
        "SET SESSION AUTHORIZATION {owner}",
        READ,
        "SET SESSION AUTHORIZATION postgres",
        READ,
    ),
    Attempt(
        "every role there is",
        "DO $$ DECLARE r name; t text; BEGIN FOR r IN SELECT rolname FROM pg_roles WHERE rolname <> current_user LOOP BEGIN "
        "EXECUTE format('SET LOCAL ROLE %I', r); FOR t IN EXECUTE 'SELECT body FROM note' LOOP RAISE NOTICE '%: %', r, t; END LOOP; "
        "EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$",
    ),
    Attempt("membership", "GRANT {owner} TO CURRENT_USER", act=True),
    Attempt(
        "attributes of the login",
        "ALTER ROLE CURRENT_USER BYPASSRLS",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "CREATE ROLE residue SUPERUSER LOGIN",
        act=True,
    ),
    Attempt(
        "every table of this name in every schema",
        "DO $$ DECLARE s name; t text; BEGIN FOR s IN SELECT relnamespace::regnamespace FROM pg_class WHERE relname = 'note' AND relkind = 'r' LOOP "
        "BEGIN FOR t IN EXECUTE format('SELECT body FROM %s.note', s) LOOP RAISE NOTICE '%: %', s, t; END LOOP; "
        "EXCEPTION WHEN OTHERS THEN RAISE NOTICE '%: %', s, sqlstate; END; END LOOP; END $$",
    ),
    Attempt(
        "search_path to every schema",
        "SELECT set_config('search_path', string_agg(quote_ident(nspname), ', ' ORDER BY nspname DESC), false) FROM pg_namespace "
        "WHERE nspname !~ '^pg_|information_schema'",
        READ,
    ),
]

SERVER = [
    Attempt("COPY TO PROGRAM", "COPY note TO PROGRAM 'cat'", act=True),
    Attempt("COPY FROM PROGRAM", "CREATE TEMPORARY TABLE out (line text); COPY out FROM PROGRAM 'id'", act=True),
    Attempt(
        "server files",
        "SELECT pg_read_file('PG_VERSION')",
        "SELECT pg_ls_dir('.')",
        "COPY note (body) FROM '/etc/passwd'",
        act=True,
    ),
    Attempt(
        "large objects from files", "SELECT lo_import('/etc/passwd')", "SELECT lo_export(1, '/tmp/residue')", act=True
    ),
    Attempt(
        "dblink and foreign servers",
        "CREATE EXTENSION dblink",
        "CREATE EXTENSION postgres_fdw",
        "CREATE SERVER residue FOREIGN DATA WRAPPER postgres_fdw",
        act=True,
    ),
    Attempt(
        "code in the server",
        "LOAD 'pageinspect'",
        "CREATE LANGUAGE plpython3u",
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc', 'getpid'",
        act=True,
    ),
    Attempt(
        "logical decoding",
        "SELECT pg_create_logical_replication_slot('residue', 'pgoutput')",
        "CREATE PUBLICATION residue FOR ALL TABLES",
        act=True,
    ),
    Attempt(
        "settings of the server",
        "ALTER SYSTEM SET log_statement = 'all'",
        "SELECT pg_reload_conf()",
        "SET session_replication_role = replica",
        act=True,
    ),
    Attempt(
        "statistics with values",
        "SELECT * FROM pg_stats WHERE tablename = 'note'",
        "SELECT * FROM pg_statistic",
        "SELECT * FROM pg_statistic_ext_data",
    ),
    Attempt(
        "the pages of the table",
        "SELECT * FROM pg_catalog.pg_relation_filepath('note')",
        "SELECT get_raw_page('note', 0)",
        "SELECT pg_read_binary_file(pg_relation_filepath('note'))",
    ),
]

GROUPS = {
    "the register": list(register_attempts()),
    "the seal": SEAL,
    "transactions": BOUNDARIES,
    "words": WORDS,
    "shadows": SHADOWS,
    "rows": ROWS,
    "objects and roles": OBJECTS,
    "the server": SERVER,
}


def run_sealed(pooler, attempt, before):
    """As `run`, where there is a seal to be forged."""
    if pooler.enter:
        return nothing_to_try("the application says whose transaction it is; there is no seal")
    return run(pooler, attempt, before)


def run(pooler, attempt, before):
    """Tries one, inside of a transaction and on its own."""
    said = []
    for is_inside in (True, False):
        with contextlib.suppress(Ended), pooler.a.session() as a:
            owner = (
                a.query(
                    "SELECT quote_ident(relowner::regrole::text) FROM pg_class WHERE relname = 'note' LIMIT 1"
                ).value
                or "postgres"
            )
            names = {"a": pooler.a.tenant, "b": pooler.b.tenant, "hex": pooler.b.hex, "owner": owner}
            done = _tried(pooler, a, attempt, names, is_inside, said)
            heard = pooler.b.canary.encode() in a.heard
        pooler.scrub(pooler.a)
        if done:
            return Outcome("SUCCEEDED", f"carried out: {done}")
        if heard:
            return Outcome(
                "SUCCEEDED", f"reads the rows of B {'inside of' if is_inside else 'outside of'} a transaction"
            )
    if pooler.state() != before:
        return Outcome("SUCCEEDED", "the rows of B are others than before")
    errors = [reply.error for reply in said if reply.error]
    return refused(f"{errors[0].get('C')} {errors[0].get('M')}") if errors else Outcome("own rows")


def _tried(pooler, a, attempt, names, is_inside, said):
    if is_inside:
        pooler.begin(a, pooler.a)
    for text in attempt.messages:
        for name, value in names.items():
            text = text.replace("{" + name + "}", value)
        reply = a.query(text)
        said.append(reply)
        if attempt.act and not reply.error:
            a.query("ROLLBACK")
            return text
        if a.status == "E":
            a.query("ROLLBACK")
            if is_inside:
                pooler.begin(a, pooler.a)
    if not attempt.act:
        # As the statement left it; after it; and as the application goes on.
        a.query(READ)
        if a.status != "I":
            a.query("ROLLBACK" if a.status == "E" else "COMMIT")
        a.query(READ)
        pooler.begin(a, pooler.a)
        a.query(READ)
    a.query("ROLLBACK" if a.status != "I" else "SELECT 1")
    return None
