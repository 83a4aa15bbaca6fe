"""SQLAlchemy: models with and without the tenant column, sync and asyncio, at every level."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from datetime import datetime

import psycopg
import pytest
from sqlalchemy import ForeignKeyConstraint, Identity, event, func, select, text
from sqlalchemy import create_engine as plain_engine
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.pool import NullPool
from world import Dev, canary, outdated

from tenantry import AsyncTenantry, TenantMismatch, TenantMoved, Tenantry, TenantScopeMissing
from tenantry.sqlalchemy import (
    TenantPlaced,
    TenantScoped,
    async_session,
    create_async_engine,
    create_engine,
    session,
)
from tenantry.testing import TenantFactory, scope_suite, sqlalchemy_models


class Base(DeclarativeBase):
    pass


class User(TenantScoped, Base):
    __tablename__ = "users"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    email: Mapped[str]
    display_name: Mapped[str]


class Channel(TenantScoped, Base):
    __tablename__ = "channels"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str]
    messages: Mapped[list[Message]] = relationship(back_populates="channel", passive_deletes="all")


class Message(TenantScoped, Base):
    __tablename__ = "messages"
    __table_args__ = (ForeignKeyConstraint(["tenant_id", "channel_id"], ["channels.tenant_id", "channels.id"]),)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    channel_id: Mapped[int]
    body: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    channel: Mapped[Channel] = relationship(back_populates="messages")


class Placed(DeclarativeBase):
    """The same tables for an app that does not know the column."""


class PlacedChannel(TenantPlaced, Placed):
    __tablename__ = "channels"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str]


EXAMPLES = {
    User: lambda s: User(email=f"{uuid.uuid4().hex}@a.example", display_name="x"),
    Channel: lambda s: Channel(name=uuid.uuid4().hex),
    Message: lambda s: Message(body="hi", channel=Channel(name=uuid.uuid4().hex)),
}

TestScope = scope_suite(sqlalchemy_models(Base), EXAMPLES)


@pytest.mark.parametrize("slug", ["acme", "globex", "initech"])
def test_the_same_code_works_at_every_level(tenantry: Tenantry, slug: str) -> None:
    name = uuid.uuid4().hex
    with tenantry.tenant(slug) as tenant:
        with session(tenantry) as s:
            channel = Channel(name=name, messages=[Message(body="one"), Message(body="two")])
            s.add(channel)
            s.flush()
            assert channel.tenant_id == tenant.uuid
            key = (channel.tenant_id, channel.id)
        with session(tenantry) as s:
            found = s.get_one(Channel, key)
            assert sorted(message.body for message in found.messages) == ["one", "two"]
            total = s.scalar(select(func.count()).select_from(Message.for_current_tenant().subquery()))
            assert total == s.scalar(select(func.count()).select_from(Message))
            assert s.scalars(select(Message.body).where(Message.body.like("canary-%"))).all() == [canary(slug)]
            s.delete(found)


@pytest.mark.parametrize("slug", ["acme", "globex", "initech"])
def test_models_without_the_column(tenantry: Tenantry, slug: str) -> None:
    with tenantry.tenant(slug), session(tenantry) as s:
        row = PlacedChannel(name=uuid.uuid4().hex)
        s.add(row)
        s.flush()
        assert row.id in s.scalars(PlacedChannel.for_current_tenant().with_only_columns(PlacedChannel.id)).all()
        s.delete(row)


def test_unscoped_use_raises_before_anything_is_sent(tenantry: Tenantry) -> None:
    engine = create_engine(tenantry)
    for use in (
        lambda: Message.for_current_tenant(),
        lambda: PlacedChannel.for_current_tenant(),
        lambda: session(tenantry).__enter__(),
        lambda: engine.connect(),
        lambda: Session(engine).execute(select(Message)),
    ):
        with pytest.raises(TenantScopeMissing):
            use()
    assert tenantry.pool.ledger.open == 0


def test_a_session_does_not_leave_its_scope(tenantry: Tenantry) -> None:
    with tenantry.tenant("acme"):
        opened = Session(create_engine(tenantry))
        opened.execute(select(Message))
    with pytest.raises(TenantScopeMissing):
        opened.execute(select(Message))
    with tenantry.tenant("globex"), pytest.raises(TenantMismatch):
        opened.execute(select(Message))
    opened.close()


def test_each_transaction_of_a_connection_is_entered(tenantry: Tenantry) -> None:
    with tenantry.tenant("acme") as tenant, create_engine(tenantry).connect() as conn:
        for _ in range(3):
            assert conn.scalar(text("SELECT tenantry.current_tenant()")) == tenant.uuid
            conn.commit()
        with conn.begin_nested():
            assert conn.scalar(text("SELECT tenantry.current_tenant()")) == tenant.uuid
        conn.rollback()


def test_a_connection_that_outlives_a_move_says_so(
    dev: Dev, tenantry: Tenantry, tenantry_factory: TenantFactory
) -> None:
    made = tenantry_factory.make()
    with tenantry.tenant(made.tenant), create_engine(tenantry).connect() as conn:
        conn.execute(text("SELECT 1"))
        conn.commit()
        with dev.superuser() as other:
            other.execute("UPDATE tenantry.tenant SET epoch = epoch + 1 WHERE tenant_id = %s", (made.tenant.uuid,))
            with pytest.raises(TenantMoved):
                conn.execute(text("SELECT 1"))
            other.execute("UPDATE tenantry.tenant SET epoch = epoch - 1 WHERE tenant_id = %s", (made.tenant.uuid,))


def test_an_outdated_route_is_no_error(tenantry: Tenantry) -> None:
    outdated(tenantry, "acme", generation=99)
    with tenantry.tenant("acme"), session(tenantry) as s:
        assert s.scalar(select(func.count()).select_from(User)) is not None


def test_autocommit_is_refused(tenantry: Tenantry) -> None:
    engine = create_engine(tenantry).execution_options(isolation_level="AUTOCOMMIT")
    for _ in range(2):
        with (
            tenantry.tenant("acme"),
            pytest.raises((psycopg.ProgrammingError, ProgrammingError, TenantScopeMissing)),
            engine.connect() as conn,
        ):
            conn.execute(text("SELECT 1"))


def test_errors_undo_everything(tenantry: Tenantry) -> None:
    name = uuid.uuid4().hex
    with tenantry.tenant("acme"):
        with pytest.raises(LookupError), session(tenantry) as s:
            s.add(Channel(name=name))
            s.flush()
            raise LookupError
        with session(tenantry) as s:
            assert s.scalars(select(Channel).where(Channel.name == name)).all() == []


def test_many_rows_at_once(tenantry: Tenantry) -> None:
    prefix = uuid.uuid4().hex[:8]
    with tenantry.tenant("acme") as tenant, session(tenantry) as s:
        rows = [User(email=f"{prefix}{number}@a.example", display_name=prefix) for number in range(50)]
        s.add_all(rows)
        s.flush()
        assert {row.tenant_id for row in rows} == {tenant.uuid}
        streamed = s.execute(select(User).where(User.display_name == prefix).execution_options(yield_per=7)).scalars()
        assert sum(1 for _ in streamed) == 50
        s.execute(text("DELETE FROM users WHERE display_name = :prefix"), {"prefix": prefix})


@pytest.mark.parametrize("slug", ["acme", "globex", "initech"])
def test_asyncio(dev: Dev, seeded: None, slug: str) -> None:
    async def main() -> None:
        tenantry = AsyncTenantry(dev.settings())
        async with tenantry.tenant(slug):
            async with async_session(tenantry) as s:
                channel = Channel(name=uuid.uuid4().hex)
                s.add(channel)
                await s.flush()
                await s.delete(channel)
            async with async_session(tenantry) as s:
                assert (await s.scalars(select(Message.body).where(Message.body.like("canary-%")))).all() == [
                    canary(slug)
                ]
            engine = create_async_engine(tenantry)
            async with engine.connect() as conn:
                stream = await conn.stream(text("SELECT generate_series(1, 100)"))
                assert sum([row[0] async for row in stream]) == 5050
                await conn.commit()
                assert (await conn.execute(text("SELECT tenantry.current_tenant()"))).scalar() is not None
        with pytest.raises(TenantScopeMissing):
            async with async_session(tenantry):
                pass
        with pytest.raises(TenantScopeMissing):
            async with create_async_engine(tenantry).connect():
                pass
        assert tenantry.pool.ledger.open == tenantry.pool.ledger.at_rest
        await tenantry.close()

    asyncio.run(main())


@pytest.mark.parametrize("pause", [0.0, 0.002, 0.01, 0.05])
def test_a_cancelled_session_leaves_nothing_behind(dev: Dev, seeded: None, pause: float) -> None:
    async def main() -> None:
        tenantry = AsyncTenantry(dev.settings(login_connections=1, wait_seconds=30))

        async def work(slug: str) -> list[str]:
            async with tenantry.tenant(slug), async_session(tenantry) as s:
                await s.execute(text("SELECT pg_sleep(0.003)"))
                return list((await s.scalars(select(Message.body).where(Message.body.like("canary-%")))).all())

        for _ in range(30):
            task = asyncio.ensure_future(work("acme"))
            await asyncio.sleep(pause)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert await work("acme") == [canary("acme")]
        assert tenantry.pool.ledger.open == tenantry.pool.ledger.at_rest == 1
        await tenantry.close()

    asyncio.run(main())


class Uncovered(DeclarativeBase):
    pass


class Covered(TenantScoped, Uncovered):
    __tablename__ = "users"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)


def test_the_suite_fails_for_a_model_without_example() -> None:
    suite = scope_suite(sqlalchemy_models(Uncovered), {})
    with pytest.raises(AssertionError, match="Covered"):
        suite().test_every_model_has_an_example()
    suite = scope_suite(sqlalchemy_models(Uncovered), {}, exempt={Covered: ""})
    with pytest.raises(AssertionError):
        suite().test_every_exemption_has_a_reason()


@pytest.fixture
def unsafe(dev: Dev) -> Iterator[Tenantry]:
    """A table that nobody protects, as a mapper would find it."""
    with dev.superuser() as other:
        other.execute("CREATE TABLE app.unsafe (id bigint PRIMARY KEY, note text)")
        other.execute("GRANT SELECT, INSERT ON app.unsafe TO PUBLIC")
        instance = Tenantry(dev.settings())
        yield instance
        instance.close()
        other.execute("DROP TABLE app.unsafe")


class Unsafe(DeclarativeBase):
    pass


class UnsafeRow(TenantPlaced, Unsafe):
    __tablename__ = "unsafe"
    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str]


def test_the_suite_fails_for_a_model_that_leaks(unsafe: Tenantry, tenants: object) -> None:
    suite = scope_suite(sqlalchemy_models(Unsafe), {UnsafeRow: lambda s: UnsafeRow(id=1, note="x")})
    with pytest.raises(AssertionError):
        suite().test_rows_stay_with_their_tenant(UnsafeRow, tenants, unsafe)


def test_a_plain_engine_is_not_guarded(dev: Dev) -> None:
    """What the guard adds: the same query on an engine of one's own is not refused by us."""
    password = (dev.data / "postgres.password").read_text().strip()
    url = f"postgresql+psycopg://postgres:{password}@127.0.0.1:{dev.pg_port}/tn_prod_chat"
    engine = plain_engine(url, poolclass=NullPool)
    heard: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: heard.append(given[2]))
    with engine.connect() as conn:
        assert conn.scalar(text("SELECT 1")) == 1
    assert heard
