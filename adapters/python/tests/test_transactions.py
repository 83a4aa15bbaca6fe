"""The tenant's transaction at every level: what it sees, what it refuses, what it leaves behind."""

from __future__ import annotations

import gc
import threading
import uuid

import psycopg
import pytest
from psycopg import pq
from world import Counting, Dev, canary, outdated, seed

from tenantry import (
    Client,
    CredentialRefused,
    TenantGone,
    TenantMismatch,
    TenantMoved,
    TenantNotFound,
    Tenantry,
    TenantScopeMissing,
    TenantSuspended,
    current,
    current_or_none,
)
from tenantry.known import Look
from tenantry.model import Credential, Login
from tenantry.testing import MadeTenant, TenantFactory


@pytest.mark.parametrize("slug", ["acme", "globex", "initech"])
def test_each_level_sees_its_own_rows_and_no_others(tenantry: Tenantry, slug: str) -> None:
    with tenantry.tenant(slug) as tenant, tenantry.transaction() as tx:
        assert tx.execute("SELECT tenantry.current_tenant()").fetchone() == (tenant.uuid,)
        bodies = [row[0] for row in tx.execute("SELECT body FROM messages WHERE body LIKE 'canary-%'")]
    assert bodies == [canary(slug)]


@pytest.mark.parametrize("slug", ["acme", "globex", "initech"])
def test_another_tenants_id_is_refused_at_each_level(tenantry: Tenantry, slug: str) -> None:
    other = tenantry.find("acme" if slug != "acme" else "globex").uuid
    for statement in (
        "INSERT INTO users (tenant_id, email, display_name) VALUES (%s, 'x@x.example', 'x')",
        "UPDATE users SET tenant_id = %s",
        "INSERT INTO users (tenant_id, id, email, display_name) SELECT %s, id, email, display_name FROM users"
        " ON CONFLICT DO NOTHING",
    ):
        with (
            tenantry.tenant(slug),
            pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ForeignKeyViolation)),
            tenantry.transaction() as tx,
        ):
            tx.execute(statement, (other,))


def test_work_is_kept_on_success_and_undone_on_error(tenantry: Tenantry) -> None:
    email = f"{uuid.uuid4().hex}@a.example"
    with tenantry.tenant("acme"):
        with pytest.raises(LookupError), tenantry.transaction() as tx:
            tx.execute("INSERT INTO users (email, display_name) VALUES (%s, 'x')", (email,))
            raise LookupError
        with tenantry.transaction() as tx:
            assert tx.execute("SELECT count(*) FROM users WHERE email = %s", (email,)).fetchone() == (0,)
            tx.execute("INSERT INTO users (email, display_name) VALUES (%s, 'x')", (email,))
        with tenantry.transaction() as tx:
            assert tx.execute("DELETE FROM users WHERE email = %s", (email,)).rowcount == 1


def test_a_swallowed_error_does_not_pass_for_a_commit(tenantry: Tenantry) -> None:
    with tenantry.tenant("acme"):
        with pytest.raises(psycopg.errors.InFailedSqlTransaction), tenantry.transaction() as tx:
            with pytest.raises(psycopg.errors.UndefinedTable):
                tx.execute("SELECT * FROM nothing_here")
        with tenantry.transaction() as tx:
            tx.execute("SELECT 1")


def test_nested_blocks_are_savepoints(tenantry: Tenantry) -> None:
    with tenantry.tenant("acme"), tenantry.transaction() as outer:
        before = outer.execute("SELECT count(*) FROM channels").fetchone()
        with pytest.raises(LookupError), tenantry.transaction() as inner:
            assert inner is outer
            inner.execute("INSERT INTO channels (name) VALUES ('nested')")
            raise LookupError
        assert outer.execute("SELECT count(*) FROM channels").fetchone() == before


def test_without_a_tenant_nothing_begins(tenantry: Tenantry) -> None:
    with pytest.raises(TenantScopeMissing), tenantry.transaction():
        pass
    assert tenantry.pool.ledger.open == 0


def test_what_is_kept_beyond_the_block_is_of_no_use(tenantry: Tenantry) -> None:
    with tenantry.tenant("acme"):
        with tenantry.transaction() as tx:
            cursor = tx.cursor()
            cursor.execute("SELECT body FROM messages")
        named = tx.cursor("named")
        with tenantry.transaction():
            for use in (
                lambda: tx.execute("SELECT 1"),
                lambda: cursor.execute("SELECT 1"),
                lambda: cursor.executemany("SELECT %s", [(1,)]),
                lambda: list(cursor.stream("SELECT 1")),
                lambda: cursor.copy("COPY messages TO STDOUT").__enter__(),
                lambda: named.execute("SELECT 1"),
            ):
                with pytest.raises(TenantScopeMissing):
                    use()
            with pytest.raises(psycopg.OperationalError):
                tx.rollback()
            assert tx.closed
        named.close()


def test_a_connection_does_not_work_for_another_scope(tenantry: Tenantry) -> None:
    refusals: list[type[Exception]] = []
    with tenantry.tenant("acme"), tenantry.transaction() as tx:

        def elsewhere() -> None:
            for slug in (None, "globex"):
                try:
                    if slug is None:
                        tx.execute("SELECT 1")
                    else:
                        with tenantry.tenant(slug):
                            tx.execute("SELECT 1")
                except (TenantScopeMissing, TenantMismatch) as error:
                    refusals.append(type(error))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert refusals == [TenantScopeMissing, TenantMismatch]


def test_another_tenant_needs_another_transaction(tenantry: Tenantry) -> None:
    with tenantry.tenant("acme"), tenantry.transaction(), pytest.raises(TenantMismatch), tenantry.tenant("globex"):
        pass


@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK", "COMMIT AND CHAIN"])
def test_the_transaction_ends_once(tenantry: Tenantry, ending: str) -> None:
    with tenantry.tenant("acme"), tenantry.transaction() as tx:
        tx.execute(ending)
        if tx.info.transaction_status == pq.TransactionStatus.IDLE:
            with pytest.raises(TenantScopeMissing):
                tx.execute("SELECT * FROM messages")
        else:
            # The server began another one by itself. It is nobody's: the path is gone, and the policies show nothing.
            with tx.transaction(), pytest.raises(psycopg.errors.UndefinedTable), tx.transaction():
                tx.execute("SELECT * FROM messages")
            assert tx.execute("SELECT count(*) FROM app.messages").fetchone() == (0,)


def test_autocommit_is_refused(tenantry: Tenantry) -> None:
    with tenantry.tenant("acme"):
        conn = tenantry.connect()
        try:
            conn.commit()
            conn.autocommit = True
            with pytest.raises(TenantScopeMissing):
                conn.execute("SELECT 1")
        finally:
            conn.close()


RESIDUE = {
    "a setting": ("SET work_mem = '64kB'", "SHOW work_mem"),
    "a search path": ("SET search_path = pg_temp, app", "SHOW search_path"),
    "a time zone": ("SET TimeZone = 'Pacific/Chatham'", "SHOW TimeZone"),
    "a read-only session": ("SET default_transaction_read_only = on", "SHOW default_transaction_read_only"),
    "a prepared statement": (
        "PREPARE loot AS SELECT body FROM messages",
        "SELECT count(*) FROM pg_prepared_statements",
    ),
    "a cursor": (
        "DECLARE loot CURSOR WITH HOLD FOR SELECT body FROM messages",
        "SELECT count(*) FROM pg_cursors",
    ),
    "a channel": ("LISTEN loot", "SELECT count(*) FROM pg_listening_channels()"),
    "an advisory lock": (
        "SELECT pg_advisory_lock(42)",
        "SELECT pg_advisory_unlock(42)",
    ),
    "a sequence's value": ("INSERT INTO channels (name) VALUES ('residue') RETURNING id", "SELECT lastval()"),
}


@pytest.mark.parametrize("residue", RESIDUE)
def test_nothing_of_one_tenant_waits_for_the_next(dev: Dev, neighbour: str, residue: str) -> None:
    """Two tenants in turn on the only connection of their login."""
    statement, question = RESIDUE[residue]
    tenantry = Tenantry(dev.settings(login_connections=1, tenant_connections=1))

    def ask(slug: str) -> tuple[int, object]:
        with tenantry.tenant(slug), tenantry.transaction() as tx:
            try:
                row = tx.execute(question).fetchone()
            except psycopg.Error as error:
                return tx.info.backend_pid, error.sqlstate
            return tx.info.backend_pid, row

    def ask_calmly(slug: str) -> tuple[int, object]:
        try:
            return ask(slug)
        except psycopg.errors.InFailedSqlTransaction:
            return 0, "failed"

    _, clean = ask_calmly(neighbour)
    with tenantry.tenant("acme"), tenantry.transaction() as tx:
        backend = tx.info.backend_pid
        tx.execute(statement)
    with tenantry.tenant("acme"), tenantry.transaction() as tx:
        assert tx.info.backend_pid == backend, "the same tenant gets its connection back"
    pid, left = ask_calmly(neighbour)
    assert pid in (backend, 0)
    assert left == clean
    with tenantry.tenant("acme"), tenantry.transaction() as tx:
        tx.execute("DELETE FROM channels WHERE name = 'residue'")
    with tenantry.tenant(neighbour), tenantry.transaction() as tx:
        foreign = tx.execute("SELECT count(*) FROM messages WHERE body = %s", (canary("acme"),)).fetchone()
    assert foreign == (0,)
    tenantry.close()


def test_temporary_tables_are_refused(tenantry: Tenantry) -> None:
    with (
        tenantry.tenant("acme"),
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        tenantry.transaction() as tx,
    ):
        tx.execute("CREATE TEMP TABLE messages (body text)")


def test_notifications_do_not_wait_for_the_next_tenant(dev: Dev, neighbour: str) -> None:
    """One that arrives while nobody has the connection, and one that the library has read already."""
    tenantry = Tenantry(dev.settings(login_connections=1))
    heard: list[str] = []
    with tenantry.tenant("acme"), tenantry.transaction() as tx:
        backend = tx.info.backend_pid
        tx.execute("LISTEN loot")
    with dev.superuser() as other:
        other.execute("NOTIFY loot, 'first secret of acme'")
        with tenantry.tenant("acme"), tenantry.transaction() as tx:
            tx.execute("SELECT 1")
        other.execute("NOTIFY loot, 'second secret of acme'")
    with tenantry.tenant(neighbour), tenantry.transaction() as tx:
        assert tx.info.backend_pid == backend
        tx.add_notify_handler(lambda notify: heard.append(notify.payload))
        tx.execute("SELECT 1")
        # What arrived before somebody asked is kept beside the connection, by psycopg 3.2 and newer.
        heard += [notify.payload for notify in getattr(tx, "_notifies_backlog", None) or ()]
        while (notify := tx.pgconn.notifies()) is not None:
            heard.append(str(notify.extra))
    assert heard == []
    tenantry.close()


def test_a_time_limit_that_was_left_behind_hurts_nobody(dev: Dev, neighbour: str) -> None:
    tenantry = Tenantry(dev.settings(login_connections=1))
    with tenantry.tenant("acme"), tenantry.transaction() as tx:
        tx.execute("SET statement_timeout = '1ms'")
    for slug in (neighbour, "acme", neighbour):
        with tenantry.tenant(slug), tenantry.transaction() as tx:
            tx.execute("SELECT pg_sleep(0.01)")
    tenantry.close()


def test_a_disarmed_session_costs_no_credential(dev: Dev) -> None:
    """DISCARD ALL takes the capability away: the session is closed, and nobody asks for the password again."""
    transport = Counting()
    tenantry = Tenantry(client=Client(dev.settings(), transport))
    with tenantry.tenant("acme"):
        with tenantry.transaction() as tx:
            tx.execute("DISCARD SEQUENCES")
        with tenantry.transaction() as tx:
            tx.execute("SELECT 1")
    assert sum("credentials" in asked for asked in transport.asked) == 1
    tenantry.close()


def test_a_dead_connection_is_replaced_before_anybody_notices(dev: Dev, tenantry: Tenantry) -> None:
    with tenantry.tenant("acme"):
        with tenantry.transaction() as tx:
            first = tx.info.backend_pid
        with dev.superuser() as other:
            other.execute("SELECT pg_terminate_backend(%s)", (first,))
        with tenantry.transaction() as tx:
            assert tx.info.backend_pid != first


def test_a_connection_that_dies_at_work_is_an_error_and_is_not_reused(dev: Dev, tenantry: Tenantry) -> None:
    with tenantry.tenant("acme"):
        with pytest.raises(psycopg.OperationalError), tenantry.transaction() as tx, dev.superuser() as other:
            other.execute("SELECT pg_terminate_backend(%s)", (tx.info.backend_pid,))
            tx.execute("SELECT 1")
        with tenantry.transaction() as tx:
            tx.execute("SELECT 1")


def test_a_moved_tenant_is_found_again_without_an_error(tenantry: Tenantry) -> None:
    with tenantry.tenant("acme"), tenantry.transaction():
        pass
    outdated(tenantry, "acme", generation=77)
    with tenantry.tenant("acme") as tenant, tenantry.transaction() as tx:
        assert tx.execute("SELECT tenantry.current_tenant()").fetchone() == (tenant.uuid,)


def test_a_tenant_that_left_its_place_is_found_again(tenantry: Tenantry) -> None:
    elsewhere = tenantry.client.route(tenantry.find("initech").id)
    outdated(tenantry, "acme", login=elsewhere.login, secret_ref=elsewhere.secret_ref, isolation="database")
    with tenantry.tenant("acme"), tenantry.transaction() as tx:
        assert tx.info.dbname == "tn_prod_chat"


def test_a_database_that_is_gone_is_asked_for_anew(tenantry: Tenantry) -> None:
    route = tenantry.client.route(tenantry.find("acme").id)
    gone = Login(route.login.host, route.login.port, "t_gone", route.login.role)
    outdated(tenantry, "acme", login=gone)
    with tenantry.tenant("acme"), tenantry.transaction() as tx:
        assert tx.info.dbname == "tn_prod_chat"


def test_a_move_that_goes_on_is_told(dev: Dev, tenantry: Tenantry, short_lived: MadeTenant) -> None:
    """The database knows of the move and the control plane does not yet."""
    tenant = short_lived.tenant
    with dev.superuser() as other:
        other.execute("UPDATE tenantry.tenant SET epoch = epoch + 1 WHERE tenant_id = %s", (tenant.uuid,))
        try:
            with tenantry.tenant(tenant), pytest.raises(TenantMoved), tenantry.transaction():
                pass
        finally:
            other.execute("UPDATE tenantry.tenant SET epoch = epoch - 1 WHERE tenant_id = %s", (tenant.uuid,))
    with tenantry.tenant(tenant), tenantry.transaction():
        pass


@pytest.mark.parametrize("plan", ["starter", "standard", "enterprise"])
def test_suspended_archived_and_deleted_tenants_are_refused(
    tenantry: Tenantry, tenantry_factory: TenantFactory, plan: str
) -> None:
    made = tenantry_factory.make(plan=plan)
    stale = made.tenant
    with tenantry.tenant(stale), tenantry.transaction() as tx:
        seed(tx, made.slug)
    tenantry_factory.suspend(made)
    # The scope was made before: the database has the last word.
    with tenantry.tenant(stale), pytest.raises(TenantSuspended), tenantry.transaction():
        pass
    with pytest.raises(TenantSuspended), tenantry.tenant(tenantry.find(made.slug, Look.FRESH)):
        pass
    tenantry_factory.resume(made)
    with tenantry.tenant(stale), tenantry.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM messages").fetchone() == (1,)
    tenantry_factory.suspend(made)
    tenantry_factory.archive(made)
    with tenantry.tenant(stale), pytest.raises(TenantGone), tenantry.transaction():
        pass
    tenantry_factory.remove(made)
    with tenantry.tenant(stale), pytest.raises(TenantNotFound), tenantry.transaction():
        pass


def test_a_changed_password_is_fetched_again(tenantry: Tenantry) -> None:
    tenantry.close()
    route = tenantry.client.route(tenantry.find("acme").id)
    good = tenantry.client.credential(route.secret_ref)
    old = Credential(good.secret_ref, good.role, "0" * 64, good.kid, good.key)
    tenantry.client._known.keep_credential(old)
    with tenantry.tenant("acme"), tenantry.transaction() as tx:
        tx.execute("SELECT 1")


def test_a_changed_key_is_fetched_again(tenantry: Tenantry) -> None:
    route = tenantry.client.route(tenantry.find("acme").id)
    good = tenantry.client.credential(route.secret_ref)
    tenantry.client._known.keep_credential(Credential(good.secret_ref, good.role, good.password, good.kid, bytes(32)))
    with tenantry.tenant("acme"), tenantry.transaction() as tx:
        tx.execute("SELECT 1")


def test_a_credential_that_stays_wrong_is_told(dev: Dev) -> None:
    class Forgetful(Client):
        def credential(self, secret_ref: str, refused: Credential | None = None) -> Credential:
            good = super().credential(secret_ref)
            return Credential(good.secret_ref, good.role, good.password, good.kid, bytes(32))

    tenantry = Tenantry(client=Forgetful(dev.settings()))
    with tenantry.tenant("acme"), pytest.raises(CredentialRefused), tenantry.transaction():
        pass
    assert tenantry.pool.ledger.open == 0
    tenantry.close()


def test_secrets_show_nowhere(tenantry: Tenantry) -> None:
    route = tenantry.client.route(tenantry.find("acme").id)
    credential = tenantry.client.credential(route.secret_ref)
    with tenantry.tenant("acme"), tenantry.transaction() as tx:
        told = f"{credential!r} {credential} {tenantry.settings!r} {tx!r} {tx.lease!r}"
    token = tenantry.settings.read_token()
    assert credential.password not in told
    assert token not in told
    assert repr(credential.key) not in told


def test_a_dropped_connection_is_closed(dev: Dev) -> None:
    tenantry = Tenantry(dev.settings(login_connections=1))
    with tenantry.tenant("acme"):
        with pytest.warns(ResourceWarning):
            conn = tenantry.connect()
            backend = conn.info.backend_pid
            del conn
            gc.collect()
        with tenantry.transaction() as tx:
            assert tx.info.backend_pid != backend
    tenantry.close()


def test_the_scope_is_gone_afterwards(tenantry: Tenantry) -> None:
    with tenantry.tenant("acme"):
        assert current().slug == "acme"
    assert current_or_none() is None
