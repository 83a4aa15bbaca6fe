"""A small Django project on a table that is there already: ORM, views with ATOMIC_REQUESTS, pool, server-side cursors."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

from program import HAS_COPY_FROM, LARGE_ROWS, LARGE_TEXT, ROWS, Program, fails, holds, own, same

os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
import django  # noqa: E402
import psycopg  # noqa: E402

django.setup()

from django.db import DatabaseError, OperationalError, ProgrammingError, connection, connections, transaction  # noqa: E402
from django.db.models import Count, F, Max, Q, Value  # noqa: E402
from django.db.models.functions import Concat, Length, TruncHour  # noqa: E402
from django.test import Client  # noqa: E402
from django.utils import timezone as zones  # noqa: E402
from notes.models import Note  # noqa: E402

program = Program("django", django.get_version())
check, MARK = program.check, program.mark


def bodies(alias="default"):
    return Note.objects.using(alias).values_list("body", flat=True)


@check
def own_rows():
    for alias in connections:
        own(bodies(alias))
        same(Note.objects.using(alias).filter(~Q(body="")).count(), ROWS)


@check
def write():
    note = Note.objects.create(body=MARK, data={"first": 1})
    holds(note.at.tzinfo is not None and note.tenant_id is not None, "defaults are read back")
    Note.objects.filter(pk=note.pk).update(body=Concat(F("body"), Value(" changed")))
    note.refresh_from_db()
    same(note.body, f"{MARK} changed")
    note.data = {"second": [2]}
    note.save()
    same(Note.objects.get(data__second__0=2).pk, note.pk)
    note.delete()
    Note.objects.bulk_create([Note(body=f"{MARK} {n}") for n in range(500)], batch_size=100)
    made = Note.objects.filter(body__startswith=MARK)
    same(made.aggregate(n=Count("pk"), longest=Max(Length("body"))), {"n": 500, "longest": len(MARK) + 4})
    same(made.delete()[0], 500, "rows deleted")
    same(Note.objects.get_or_create(body=MARK)[1], True)
    same(Note.objects.get_or_create(body=MARK)[1], False)
    Note.objects.filter(body=MARK).delete()
    own(bodies())


@check
def rollback():
    class Enough(Exception):
        pass

    def work():
        with transaction.atomic():
            Note.objects.create(body=MARK)
            fails(Enough, inner)
            same(Note.objects.count(), ROWS + 1, "after a savepoint")
            raise Enough

    def inner():
        with transaction.atomic():
            Note.objects.all().delete()
            raise Enough

    fails(Enough, work)
    own(bodies())


@check
def error_in_transaction():
    def work():
        with transaction.atomic():
            Note.objects.create(body=MARK)
            connection.cursor().execute("SELECT 1/0")

    fails(DatabaseError, work)
    own(bodies())
    with transaction.atomic():

        def missing():
            with transaction.atomic():
                connection.cursor().execute("SELECT * FROM no_such_table")

        fails(ProgrammingError, missing)
        own(bodies())


@check
def prepared():
    # This alias has server-side binding and psycopg's own preparing on.
    for n in range(20):
        same(Note.objects.using("bound").exclude(pk=-n - 1).count(), ROWS)
        same(Note.objects.using("bound").filter(body__contains="no such", pk__gt=n).count(), 0)


@check
def cursor():
    with transaction.atomic():
        same(sum(1 for _ in Note.objects.iterator(chunk_size=1)), ROWS, "rows of a server-side cursor")
        first = Note.objects.order_by("pk").iterator(chunk_size=1)
        next(first)
        own(bodies())
        same(len(list(first)), ROWS - 1, "rows after another query")


@check
def large_result():
    with connection.cursor() as cursor:
        cursor.execute("SELECT n FROM generate_series(1, %s) AS n", [LARGE_ROWS])
        same(sum(row[0] for row in cursor), LARGE_ROWS * (LARGE_ROWS + 1) // 2, "sum")


@check
def large_text():
    note = Note.objects.create(body=MARK + "x" * LARGE_TEXT)
    note.refresh_from_db()
    same(len(note.body), LARGE_TEXT + len(MARK), "characters")
    note.delete()


@check
def copy():
    def load():
        with transaction.atomic(), connection.cursor() as cursor:
            with cursor.copy("COPY note (body) FROM STDIN") as copy:
                for n in range(100):
                    copy.write_row((f"{MARK} {n}",))
            same(Note.objects.count(), 100 + ROWS)
            transaction.set_rollback(True)

    if HAS_COPY_FROM:
        load()
    else:
        # psycopg's own error: what it does by itself, Django does not translate.
        fails(psycopg.errors.FeatureNotSupported, load)
    own(bodies())


@check
def cancel():
    with connection.cursor() as cursor:
        thread = threading.Timer(0.3, connection.connection.cancel_safe)
        thread.start()
        began = datetime.now()
        fails(OperationalError, cursor.execute, "SELECT pg_sleep(30)")
        holds((datetime.now() - began).total_seconds() < 1.3, "a cancelled query ends within a second")
        thread.join()
    own(bodies())


@check
def sticky_settings():
    note = Note.objects.create(body=MARK, at=datetime(2026, 3, 29, 1, 30, tzinfo=timezone.utc))
    try:
        for _ in range(5):
            for alias, zone in (("default", "UTC"), ("tokyo", "Asia/Tokyo")):
                with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
                    cursor.execute("SHOW TimeZone")
                    same(cursor.fetchone(), (zone,), alias)
                    cursor.execute("SELECT at::text FROM note WHERE id = %s", [note.pk])
                    same(cursor.fetchone()[0][:13], {"UTC": "2026-03-29 01", "Asia/Tokyo": "2026-03-29 10"}[zone])
        same(
            Note.objects.annotate(hour=TruncHour("at")).get(pk=note.pk).hour,
            datetime(2026, 3, 29, 1, tzinfo=timezone.utc),
        )
        holds(zones.now() > note.at, "times have zones")
    finally:
        note.delete()


@check
def serializable():
    with transaction.atomic(using="serializable"):
        own(bodies("serializable"))
        with connections["serializable"].cursor() as cursor:
            cursor.execute("SHOW transaction_isolation")
            same(cursor.fetchone(), ("serializable",))


@check
def views():
    client = Client()
    own(client.get("/notes").json()["bodies"])
    made = client.post("/notes", {"body": MARK}, content_type="application/json")
    same(made.status_code, 201)
    same(client.get(f"/notes/{made.json()['id']}").json()["body"], MARK)
    client.raise_request_exception = False
    same(client.post("/notes", {"body": MARK, "fail": True}, content_type="application/json").status_code, 500)
    same(Note.objects.filter(body=MARK).count(), 1, "a failed request leaves nothing")
    same(client.delete(f"/notes/{made.json()['id']}").status_code, 204)
    own(bodies())


@check
def inspect():
    with connection.cursor() as cursor:
        names = [column.name for column in connection.introspection.get_table_description(cursor, "note")]
        same(names, ["tenant_id", "id", "body", "at", "data"], "columns")
        holds("note" in connection.introspection.table_names(cursor), "the table is listed")


@check
def crowd():
    def work(n):
        try:
            for _ in range(10):
                with transaction.atomic(using="pool"):
                    own(bodies("pool").exclude(body__startswith="client "))
                    Note.objects.using("pool").create(body=f"{MARK} {n}").delete()
        finally:
            connections["pool"].close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))


program.absent(
    notice="Django hands none on",
    pipeline="Django has none",
    many_statements="Django splits statements itself",
    types="the other checks have them",
)
program.run()
