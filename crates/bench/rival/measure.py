"""Times django-tenants on a fleet of schemas: measure.py <schemas>

Prints one line of JSON, in seconds: a migration that adds a column, and one with nothing to do, by its standard and its
multiprocessing executor. The schemas are copies of one that was migrated, made from its dump: django-tenants' own
`clone_schema` makes the same tables, a second and more for each.
"""
import contextlib, json, os, subprocess, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
os.environ["DJANGO_SETTINGS_MODULE"] = "fleet.settings"

import django

django.setup()

from django.core.management import call_command
from django.db import connection

from customers.models import Client

# A word that nothing else in a dump has.
BASE = "copied_for_the_benchmark"


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


def dump():
    """The first schema as statements, with the rows of Django's own ledger of migrations."""
    command = [os.environ["PG_DUMP"], "--no-owner", "--inserts", f"--schema={BASE}"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # Lines for psql alone, and the search path of the session, which is Django's.
    left_out = ("\\", "SELECT pg_catalog.set_config('search_path'")
    return "\n".join(line for line in text.splitlines() if not line.startswith(left_out))


def main():
    count = int(sys.argv[1])
    quiet("migrate_schemas", shared=True)
    Client.objects.create(schema_name=BASE, name=BASE)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {BASE}")
    quiet("migrate_schemas", "product", "0001", schema_name=BASE)
    statements = dump()
    for number in range(1, count):
        name = f"t{number}"
        with connection.cursor() as cursor:
            cursor.execute(statements.replace(BASE, name))
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
