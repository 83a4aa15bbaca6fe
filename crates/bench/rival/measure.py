"""Times django-tenants on a fleet of schemas: measure.py <schemas>

Prints one line of JSON, in seconds: a migration that adds a column, and one with nothing to do, by its standard and its
multiprocessing executor. The schemas are copies of one that was migrated, made by its own `clone_schema`.
"""
import contextlib, json, os, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
os.environ["DJANGO_SETTINGS_MODULE"] = "fleet.settings"

import django

django.setup()

from django.core.management import call_command
from django.db import connection
from django_tenants.clone import CloneSchema

from customers.models import Client

BASE = "base"


def quiet(*args, **kwargs):
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        call_command(*args, verbosity=0, interactive=False, **kwargs)


def timed(*args, **kwargs):
    began = time.monotonic()
    quiet(*args, **kwargs)
    return time.monotonic() - began


def columns():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM information_schema.columns WHERE table_name = 'product_item00' AND column_name = 'note'"
        )
        return cursor.fetchone()[0]


def back():
    """Every schema as it was before the column, without the time that this takes."""
    for client in Client.objects.exclude(schema_name="public"):
        with connection.cursor() as cursor:
            cursor.execute(f'ALTER TABLE "{client.schema_name}".product_item00 DROP COLUMN note')
            cursor.execute(f"DELETE FROM \"{client.schema_name}\".django_migrations WHERE app = 'product' AND name = '0002_note'")


def main():
    count = int(sys.argv[1])
    quiet("migrate_schemas", shared=True)
    Client.objects.create(schema_name=BASE, name=BASE)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {BASE}")
    quiet("migrate_schemas", "product", "0001", schema_name=BASE)
    for number in range(1, count):
        name = f"t{number}"
        CloneSchema().clone_schema(BASE, name, set_connection=False)
        Client.objects.create(schema_name=name, name=name)
    found = {"schemas": Client.objects.count(), "django": django.__version__}
    for executor in ["standard", "multiprocessing"]:
        found[f"add_{executor}"] = timed("migrate_schemas", tenant=True, executor=executor)
        assert columns() == count, (columns(), count)
        found[f"noop_{executor}"] = timed("migrate_schemas", tenant=True, executor=executor)
        if executor == "standard":
            back()
    print(json.dumps(found))


main()
