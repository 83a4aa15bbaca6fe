"""SQLAlchemy 2 with a mapped class, on psycopg and on asyncpg: `sqlalchemy_notes.py psycopg|asyncpg`."""

import asyncio
import os
import sys
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

import sqlalchemy as sa
from program import LARGE_ROWS, LARGE_TEXT, ROWS, URL, Program, fails, holds, own, same
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

DRIVER = sys.argv[1]
program = Program(f"sqlalchemy-{DRIVER}", sa.__version__)
check, MARK = program.check, program.mark


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "note"
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=sa.FetchedValue())
    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    body: Mapped[str]
    at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())
    data: Mapped[dict | None] = mapped_column(postgresql.JSONB)


def engine(**settings):
    """A synchronous engine; the one on asyncpg runs below the asynchronous one."""
    url = sa.make_url(URL).set(drivername=f"postgresql+{DRIVER}")
    if DRIVER == "psycopg":
        return sa.create_engine(url, pool_size=2, **settings)
    # asyncpg takes TLS settings from a connection string only.
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    import asyncpg

    made = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(URL, timeout=10), pool_size=2, **settings
    )
    return made


ENGINE = engine()


def session_check(function):
    """Runs a check that takes a session, on either kind of engine."""
    if DRIVER == "psycopg":

        def run():
            with Session(ENGINE) as session:
                function(session)
    else:

        async def run():
            async with AsyncSession(ENGINE) as session:
                await session.run_sync(function)

    run.__name__ = function.__name__
    return check(run)


def isolated(session, level):
    session.connection(execution_options={"isolation_level": level})


@session_check
def own_rows(session):
    own(session.scalars(sa.select(Note.body)))
    own(note.body for note in session.scalars(sa.select(Note).order_by(Note.id)))
    same(session.scalar(sa.select(sa.func.count()).select_from(Note)), ROWS)


@session_check
def write(session):
    note = Note(body=MARK, data={"first": 1})
    session.add(note)
    session.commit()
    holds(note.tenant_id is not None and note.at.tzinfo is not None, "defaults are read back")
    note.body = f"{MARK} changed"
    session.commit()
    found = session.scalars(sa.select(Note).where(Note.id == note.id)).one()
    same(found.body, f"{MARK} changed")
    session.delete(found)
    session.commit()
    notes = [Note(body=f"{MARK} {n}") for n in range(500)]
    session.add_all(notes)
    session.flush()
    same(len({note.id for note in notes}), 500, "ids of a batch")
    gone = session.execute(sa.delete(Note).where(Note.body.like(f"{MARK}%")))
    same(gone.rowcount, 500, "rows deleted")
    session.commit()
    own(session.scalars(sa.select(Note.body)))


@session_check
def rollback(session):
    session.add(Note(body=MARK))
    session.flush()
    same(session.scalar(sa.select(sa.func.count()).select_from(Note)), ROWS + 1)
    inner = session.begin_nested()
    session.execute(sa.delete(Note))
    inner.rollback()
    same(session.scalar(sa.select(sa.func.count()).select_from(Note)), ROWS + 1, "after a savepoint")
    session.rollback()
    own(session.scalars(sa.select(Note.body)))


@session_check
def error_in_transaction(session):
    session.add(Note(body=MARK))
    session.flush()
    fails(sa.exc.DBAPIError, session.execute, sa.select(sa.literal(1) / sa.literal(0)))
    session.rollback()
    own(session.scalars(sa.select(Note.body)))
    fails(sa.exc.ProgrammingError, session.execute, sa.text("SELECT * FROM no_such_table"))
    session.rollback()
    own(session.scalars(sa.select(Note.body)))


@session_check
def prepared(session):
    for n in range(20):
        same(session.scalar(sa.select(sa.func.count()).select_from(Note).where(Note.id != -n - 1)), ROWS)
        same(session.scalar(sa.select(sa.literal(n) + 1)), n + 1)
        session.commit()


@session_check
def cursor(session):
    rows = session.execute(
        sa.select(Note.body).union_all(sa.select(sa.func.generate_series(1, 5000).cast(sa.Text))),
        execution_options={"yield_per": 100},
    )
    same(sum(1 for _ in rows), 5000 + ROWS, "rows of a server-side cursor")


@session_check
def large_result(session):
    series = sa.select(sa.func.generate_series(1, LARGE_ROWS))
    same(sum(session.scalars(series)), LARGE_ROWS * (LARGE_ROWS + 1) // 2, "sum")


@session_check
def large_text(session):
    text = "x" * LARGE_TEXT
    session.add(Note(body=text, data={"size": LARGE_TEXT}))
    session.flush()
    session.expire_all()
    same(session.scalar(sa.select(Note.body).where(Note.data["size"].as_integer() == LARGE_TEXT)), text, "text")
    session.rollback()


@session_check
def sticky_settings(session):
    session.execute(sa.text("SET TIME ZONE 'Asia/Tokyo'"))
    session.commit()
    connection = session.connection()
    # The session may have got another connection of the pool; on this one the setting stays from now on.
    connection.execute(sa.text("SET TIME ZONE 'Asia/Tokyo'"))
    for _ in range(5):
        same(connection.scalar(sa.text("SHOW TimeZone")), "Asia/Tokyo")
    connection.execute(sa.text("RESET TIME ZONE"))
    session.commit()


@session_check
def serializable(session):
    isolated(session, "SERIALIZABLE")
    own(session.scalars(sa.select(Note.body)))
    same(session.scalar(sa.text("SHOW transaction_isolation")), "serializable")
    session.commit()
    same(session.scalar(sa.text("SHOW transaction_isolation")), "read committed", "the next transaction")


@session_check
def autocommit(session):
    isolated(session, "AUTOCOMMIT")
    own(session.scalars(sa.select(Note.body)))
    same(session.scalar(sa.text("SELECT count(*) FROM note")), ROWS)


@session_check
def types(session):
    values = {
        "a": uuid4(),
        "b": Decimal("12345678901234567890.123456789"),
        "c": b"\x00\xff" * 500,
        "d": [1, 2, 4],
        "e": {"x": [1, None]},
        "f": "ü\u2603",
    }
    kinds = [sa.Uuid, sa.Numeric, sa.LargeBinary, postgresql.ARRAY(sa.Integer), postgresql.JSONB, sa.Text]
    columns = [
        sa.cast(sa.literal(value, kind), kind if kind is not sa.Uuid else postgresql.UUID).label(name)
        for (name, value), kind in zip(values.items(), kinds)
    ]
    same(dict(session.execute(sa.select(*columns)).mappings().one()), values, "values")


@session_check
def inspect(session):
    inspector = sa.inspect(session.connection())
    names = [column["name"] for column in inspector.get_columns("note")]
    same(names, ["tenant_id", "id", "body", "at", "data"], "columns")
    same(inspector.get_pk_constraint("note")["constrained_columns"], ["tenant_id", "id"], "primary key")
    holds("note" in sa.Table("note", sa.MetaData(), autoload_with=session.connection()).name, "a reflected table")


@check
async def crowd():
    def work(session):
        own(session.scalars(sa.select(Note.body).where(Note.body.not_like("client %"))))
        note = Note(body=f"{MARK} crowd")
        session.add(note)
        session.flush()
        session.delete(note)
        session.commit()

    async def one():
        for _ in range(10):
            if DRIVER == "psycopg":

                def run():
                    with Session(ENGINE) as session:
                        work(session)

                await asyncio.to_thread(run)
            else:
                async with AsyncSession(ENGINE) as session:
                    await session.run_sync(work)

    await asyncio.gather(*(one() for _ in range(8)))


program.absent(
    copy="SQLAlchemy has none of its own",
    notice="SQLAlchemy has none of its own",
    cancel="SQLAlchemy has none of its own",
    pipeline="SQLAlchemy has none of its own",
    many_statements="SQLAlchemy has none of its own",
)
program.run()
