"""Bounds and fairness of connections, with threads and with asyncio."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import pq
from world import Dev, canary

import tenantry as package
from tenantry import AsyncTenantry, TenantBusy, Tenantry
from tenantry.ledger import Ledger, Ticket
from tenantry.model import Login, Route
from tenantry.settings import Settings

HOME = Login("127.0.0.1", 5432, "home", "app")


def route(number: int, login: Login = HOME, connections: int | None = None, isolation: str = "shared") -> Route:
    tenant = uuid.UUID(int=number)
    return Route(str(tenant), tenant, f"t{number}", "open", 1, isolation, login, "app", connections, "ref")


class Resting:
    """What a session's socket tells when it is at rest."""

    status = pq.ConnStatus.OK
    transaction_status = pq.TransactionStatus.IDLE
    pipeline_status = pq.PipelineStatus.OFF

    def finish(self) -> None:
        pass


def ask(ledger: Ledger, wanted: Route, now: float = 0) -> Ticket:
    ticket = Ticket(wanted, lambda: None)
    ledger.ask(ticket)
    ledger.settle(now)
    if ticket.session is not None and ticket.session.pgconn is None:
        ticket.session.pgconn = Resting()  # type: ignore[assignment]
        ticket.session.tenant = wanted.uuid
    return ticket


def back(ledger: Ledger, ticket: Ticket, now: float = 0) -> None:
    assert ticket.session is not None
    ledger.give(ticket.session, now)
    ledger.settle(now)


def test_no_bound_is_ever_passed_and_everybody_is_served() -> None:
    """Random callers of random tenants at random logins, with every bound looked at after every step."""
    for seed in range(30):
        dice = random.Random(seed)
        settings = Settings(connections=12, login_connections=6, tenant_connections=3, waiting=10_000)
        ledger = Ledger(settings)
        logins = [Login("h", 1, "d", f"r{number}") for number in range(4)]
        routes = [route(number, dice.choice(logins), dice.choice([None, 1, 2, 50])) for number in range(1, 9)]
        routes.append(route(99, Login("h", 1, "own", "own"), 2, "database"))
        waiting: list[Ticket] = []
        held: list[Ticket] = []
        served = 0
        for step in range(600):
            if dice.random() < 0.6 and step < 450:
                waiting.append(ask(ledger, dice.choice(routes), step))
            elif held:
                ticket = held.pop(dice.randrange(len(held)))
                assert ticket.session is not None
                if dice.random() < 0.2:
                    ledger.drop(ticket.session)
                    ledger.settle(step)
                else:
                    ticket.session.tenant = ticket.route.uuid
                    back(ledger, ticket, step)
            for ticket in [ticket for ticket in waiting if ticket.session is not None]:
                assert ticket.session is not None
                ticket.session.pgconn = ticket.session.pgconn or Resting()  # type: ignore[assignment]
                waiting.remove(ticket)
                held.append(ticket)
                served += 1
            assert ledger.open <= 12
            assert ledger.open == len(held) + ledger.at_rest
            assert len({ticket.session for ticket in held}) == len(held), "one session, one holder"
            for each in routes:
                mine = [ticket for ticket in held if ticket.route is each]
                assert len(mine) == ledger.used_by(each) <= ledger.tenant_most(each)
                assert sum(ticket.route.login == each.login for ticket in held) <= 6
        while held:
            back(ledger, held.pop(), 600)
            for ticket in [ticket for ticket in waiting if ticket.session is not None]:
                assert ticket.session is not None
                ticket.session.pgconn = ticket.session.pgconn or Resting()  # type: ignore[assignment]
                waiting.remove(ticket)
                held.append(ticket)
                served += 1
        assert not waiting
        assert served > 100


def test_who_has_least_is_next() -> None:
    ledger = Ledger(Settings(login_connections=3, tenant_connections=2))
    greedy = [ask(ledger, route(1)) for _ in range(5)]
    assert [ticket.session is not None for ticket in greedy] == [True, True, False, False, False]
    modest, other = ask(ledger, route(2)), ask(ledger, route(3))
    assert modest.session is not None
    assert other.session is None
    back(ledger, greedy[0])
    assert other.session is not None, "a tenant without any is before one that has some and came first"


def test_one_tenant_never_has_the_last_connection_of_a_shared_login() -> None:
    ledger = Ledger(Settings(login_connections=4, tenant_connections=100))
    assert ledger.tenant_most(route(1)) == 3
    assert ledger.tenant_most(route(1, connections=50)) == 3
    assert ledger.tenant_most(route(1, connections=2)) == 2
    assert ledger.tenant_most(route(1, isolation="schema")) == 4
    assert ledger.tenant_most(route(1, connections=0)) == 1
    assert Ledger(Settings(login_connections=1)).tenant_most(route(1)) == 1


def test_a_tenant_gets_its_own_connection_back_first() -> None:
    ledger = Ledger(Settings(login_connections=2))
    one, two = ask(ledger, route(1)), ask(ledger, route(2))
    back(ledger, one), back(ledger, two)
    again = ask(ledger, route(1))
    assert again.session is one.session
    assert ask(ledger, route(3)).session is two.session


def test_room_is_made_by_closing_what_was_unused_the_longest() -> None:
    ledger = Ledger(Settings(connections=2))
    one, two = ask(ledger, route(1, Login("h", 1, "a", "a"))), ask(ledger, route(2, Login("h", 1, "b", "b")))
    back(ledger, two, 1)
    back(ledger, one, 2)
    assert ask(ledger, route(3, Login("h", 1, "c", "c")), 3).session is not None
    assert ledger.open == 2
    assert ask(ledger, route(1, Login("h", 1, "a", "a")), 3).session is one.session


def test_unused_and_old_connections_go() -> None:
    ledger = Ledger(Settings(idle_seconds=10, lifetime_seconds=100))
    one = ask(ledger, route(1))
    back(ledger, one, 0)
    assert ledger.settle(9) == []
    assert ledger.settle(11) == [one.session]
    two = ask(ledger, route(1), 20)
    back(ledger, two, 200)
    assert ledger.open == 0


def test_too_many_who_wait_are_refused_at_once() -> None:
    ledger = Ledger(Settings(login_connections=1, waiting=2))
    for _ in range(3):
        ask(ledger, route(1))
    with pytest.raises(TenantBusy):
        ask(ledger, route(1)).raise_if_refused()
    assert ledger.waiting == 2


def test_a_flood_that_waits_shuts_nobody_out() -> None:
    """As many wait as may, all of one tenant: others are served, and wait for their turn where there is no room."""
    ledger = Ledger(Settings(connections=20, login_connections=3, tenant_connections=2, waiting=20))
    flood = [ask(ledger, route(1)) for _ in range(30)]
    assert [ticket.refused for ticket in flood] == [False] * 22 + [True] * 8
    elsewhere = ask(ledger, route(2, Login("127.0.0.1", 5432, "home", "other")))
    assert elsewhere.session is not None
    beside = ask(ledger, route(3))
    assert beside.session is not None
    second = ask(ledger, route(4))
    assert second.session is None and not second.refused, "its login is full: it waits"
    assert [ticket for ticket in flood[:22] if ticket.refused] == [flood[21]], "the newest of the flood made room"
    assert ledger.waiting == 20
    back(ledger, beside)
    assert second.session is not None
    assert not any(ticket.refused and ticket.session is not None for ticket in flood)


def test_the_plan_bounds_a_tenants_connections(dev: Dev, seeded: None) -> None:
    """acme's plan gives 10; the eleventh waits, and is told."""
    tenantry = Tenantry(dev.settings(wait_seconds=0.2))
    with tenantry.tenant("acme"):
        held = [tenantry.connect() for _ in range(10)]
        with pytest.raises(TenantBusy):
            tenantry.connect()
        for conn in held:
            conn.rollback()
            conn.close()
        with tenantry.transaction():
            pass
    tenantry.close()


def test_a_noisy_tenant_does_not_take_the_pool(dev: Dev, neighbour: str) -> None:
    """64 threads of one tenant, 20 ms each; the neighbour on the same login goes on."""
    tenantry = Tenantry(dev.settings(login_connections=6, tenant_connections=8, wait_seconds=20))
    stop = threading.Event()

    def aggressor() -> int:
        done = 0
        while not stop.is_set():
            with tenantry.tenant("acme"), tenantry.transaction() as tx:
                tx.execute("SELECT pg_sleep(0.02)")
            done += 1
        return done

    with ThreadPoolExecutor(64) as threads:
        work = [threads.submit(aggressor) for _ in range(64)]
        time.sleep(0.5)
        times = []
        for _ in range(40):
            begun = time.monotonic()
            with tenantry.tenant(neighbour), tenantry.transaction() as tx:
                tx.execute("SELECT count(*) FROM messages")
            times.append(time.monotonic() - begun)
        stop.set()
        assert all(each.result() > 0 for each in work), "the noisy tenant is served too"
    times.sort()
    # Without fairness each of these would wait behind 58 others: 58 / 6 * 20 ms, about 200 ms.
    assert times[len(times) // 2] < 0.1, times
    tenantry.close()


def test_threads_of_many_tenants_never_meet(dev: Dev, crowd: list[str]) -> None:
    """Few connections, many tenants, each transaction looks for anything foreign."""
    tenantry = Tenantry(dev.settings(login_connections=3, wait_seconds=60))

    def work(number: int) -> int:
        dice = random.Random(number)
        foreign = 0
        for _ in range(40):
            slug = dice.choice(crowd)
            with tenantry.tenant(slug), tenantry.transaction() as tx:
                rows = tx.execute("SELECT body FROM messages WHERE body LIKE 'canary-%'").fetchall()
                foreign += sum(row[0] != canary(slug) for row in rows) + (len(rows) != 1)
        return foreign

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(work, range(8))) == 0
    assert tenantry.pool.ledger.open == tenantry.pool.ledger.at_rest <= 9
    tenantry.close()


@pytest.mark.parametrize(("login_connections", "seed", "count"), [(1, 1, 2500), (3, 2, 1500)])
def test_cancelled_requests_leave_nothing_foreign_and_nothing_stuck(
    dev: Dev, crowd: list[str], login_connections: int, seed: int, count: int
) -> None:
    """Thousands of requests, cancelled at random awaits, on a pool of one connection per login."""
    dice = random.Random(seed)
    figures = {"done": 0, "cancelled": 0, "rows": 0, "foreign": 0, "wrong": 0}

    async def request(tenantry: AsyncTenantry, slug: str) -> None:
        async with tenantry.tenant(slug) as tenant, tenantry.transaction() as tx:
            for statement in ("SELECT tenant_id, body FROM messages", "SELECT tenant_id, topic FROM channels"):
                rows = await (await tx.execute(statement)).fetchall()
                # All rows, whoever put them there: other tests leave some of the tenant's own without a canary.
                figures["foreign"] += sum(row[0] != tenant.uuid for row in rows)
                figures["foreign"] += sum("canary-" in row[1] and row[1] != canary(slug) for row in rows)
                figures["wrong"] += sum(row[1] == canary(slug) for row in rows) != 1
                figures["rows"] += len(rows)
            await tx.execute("SET LOCAL statement_timeout = '5s'")
            await tx.execute("SELECT set_config('application_name', %s, false)", (canary(slug)[:40],))
        figures["done"] += 1

    async def attempt(tenantry: AsyncTenantry, slug: str) -> None:
        task = asyncio.ensure_future(request(tenantry, slug))
        if dice.random() < 0.6:
            # From "before it began" to "when it is nearly done".
            if dice.random() < 0.3:
                for _ in range(dice.randrange(30)):
                    await asyncio.sleep(0)
            else:
                await asyncio.sleep(dice.random() * 0.02)
            task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            figures["cancelled"] += 1
        assert package.current_or_none() is None

    async def main() -> None:
        tenantry = AsyncTenantry(dev.settings(login_connections=login_connections, wait_seconds=120, waiting=5000))
        limit = asyncio.Semaphore(24)

        async def bounded() -> None:
            async with limit:
                await attempt(tenantry, dice.choice(crowd))

        await asyncio.gather(*(bounded() for _ in range(count)))
        ledger = tenantry.pool.ledger
        assert ledger.open == ledger.at_rest <= 3 * login_connections
        assert ledger.waiting == 0
        # Nobody is stuck: everybody can be served once more, at once.
        for slug in crowd:
            await asyncio.wait_for(request(tenantry, slug), 10)
        await tenantry.close()

    asyncio.run(main())
    print(figures)
    assert figures["foreign"] == figures["wrong"] == 0
    assert figures["cancelled"] > count / 10
    assert figures["done"] > count / 10
    with dev.superuser() as other:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            row = other.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'canary-%'"
                " OR state LIKE 'idle in transaction%' AND usename LIKE 'tn_%'"
            ).fetchone()
            if row == (0,):
                break
            time.sleep(0.1)
        assert row == (0,), "sessions stayed on the server"


def test_a_caller_that_is_cancelled_at_the_moment_it_is_served_gives_back(dev: Dev, seeded: None) -> None:
    async def main() -> None:
        tenantry = AsyncTenantry(dev.settings(login_connections=1, wait_seconds=5))
        async with tenantry.tenant("acme"):
            holder = await tenantry.connect()
            await holder.rollback()
            waiter = asyncio.ensure_future(tenantry.connect())
            while tenantry.pool.ledger.waiting == 0:
                await asyncio.sleep(0)
            # Given to the one who waits, who is cancelled before it can notice.
            await holder.close()
            assert tenantry.pool.ledger.waiting == 0
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
            assert tenantry.pool.ledger.at_rest == tenantry.pool.ledger.open == 1
            async with tenantry.transaction() as tx:
                await tx.execute("SELECT 1")
        await tenantry.close()

    asyncio.run(main())


def test_tasks_do_not_share_a_transaction(dev: Dev, seeded: None) -> None:
    async def main() -> None:
        tenantry = AsyncTenantry(dev.settings())

        async def inner() -> int:
            async with tenantry.transaction() as tx:
                return tx.info.backend_pid

        async with tenantry.tenant("acme"), tenantry.transaction() as outer:
            mine = outer.info.backend_pid
            assert await inner() == mine, "the same task nests"
            others = await asyncio.gather(inner(), inner())
            assert mine not in others
        await tenantry.close()

    asyncio.run(main())


def test_a_cancelled_statement_closes_its_connection(dev: Dev, seeded: None) -> None:
    async def main() -> None:
        tenantry = AsyncTenantry(dev.settings(login_connections=1))
        pids: list[int] = []

        async def long() -> None:
            async with tenantry.tenant("acme"), tenantry.transaction() as tx:
                pids.append(tx.info.backend_pid)
                await tx.execute("SELECT pg_sleep(30)")

        task = asyncio.ensure_future(long())
        while not pids:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert tenantry.pool.ledger.open == 0
        async with tenantry.tenant("acme"), tenantry.transaction() as tx:
            assert tx.info.backend_pid != pids[0]
        await tenantry.close()

    asyncio.run(main())


def test_an_async_transaction_keeps_the_same_promises(dev: Dev, seeded: None) -> None:
    async def main() -> None:
        tenantry = AsyncTenantry(dev.settings())
        async with tenantry.tenant("globex"):
            with pytest.raises(LookupError):
                async with tenantry.transaction() as tx:
                    await tx.execute("INSERT INTO channels (name) VALUES ('undone')")
                    raise LookupError
            async with tenantry.transaction() as tx:
                row = await (await tx.execute("SELECT count(*) FROM channels WHERE name = 'undone'")).fetchone()
                assert row == (0,)
            with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                async with tenantry.transaction() as tx:
                    with pytest.raises(psycopg.errors.DivisionByZero):
                        await tx.execute("SELECT 1/0")
            cursor = tx.cursor()
            for use in (
                lambda: tx.execute("SELECT 1"),
                lambda: cursor.execute("SELECT 1"),
                lambda: cursor.executemany("SELECT %s", [(1,)]),
                lambda: anext(cursor.stream("SELECT 1")),
            ):
                with pytest.raises(package.TenantScopeMissing):
                    await use()
            with pytest.raises(package.TenantScopeMissing):
                cursor.copy("COPY messages TO STDOUT")
        with pytest.raises(package.TenantScopeMissing):
            async with tenantry.transaction():
                pass
        await tenantry.close()

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_does_not_use_its_parents_connections(dev: Dev, tenantry: Tenantry) -> None:
    with tenantry.tenant("acme"):
        with tenantry.transaction() as tx:
            mine = tx.info.backend_pid
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            answer = b"error"
            try:
                with tenantry.transaction() as tx:
                    answer = str(tx.info.backend_pid).encode()
                tenantry.close()
            finally:
                os.write(write, answer)
                os._exit(0)
        os.waitpid(child, 0)
        theirs = os.read(read, 100)
        os.close(read)
        os.close(write)
        assert theirs.isdigit()
        assert int(theirs) != mine
        with tenantry.transaction() as tx:
            assert tx.info.backend_pid == mine, "the child did not say goodbye in our name"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_does_not_end_its_parents_transaction(tenantry: Tenantry) -> None:
    with tenantry.tenant("acme"), tenantry.transaction() as tx:
        child = os.fork()
        if child == 0:
            try:
                tx.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert tx.execute("SELECT tenantry.current_tenant()").fetchone() is not None


def test_module_functions(dev: Dev, seeded: None) -> None:
    package.configure(dev.settings())
    with package.tenant("acme"), package.transaction() as tx:
        assert tx.execute("SELECT body FROM messages WHERE body LIKE 'canary-%'").fetchone() == (canary("acme"),)

    async def main() -> Any:
        async with package.tenant("acme"), package.transaction() as tx:
            row = await (await tx.execute("SELECT body FROM messages WHERE body LIKE 'canary-%'")).fetchone()
        await package.aclose()
        return row

    assert asyncio.run(main()) == (canary("acme"),)
