"""`manage.py tenant_command acme,globex clearsessions`: runs a command inside of tenants, one after the other."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from typing import Any, ClassVar

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from tenantry.django.backend.base import DatabaseWrapper, engine
from tenantry.errors import TenantryError


class Command(BaseCommand):
    """Runs another command with a tenant as the current one."""

    help = "Runs a command inside of one or more tenants. Ends with 1 if it failed for any of them."
    requires_system_checks: ClassVar[list[str]] = []  # type: ignore[misc]

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Tenants, the command, and what it gets."""
        parser.add_argument("tenants", help="slugs or ids, separated by commas")
        parser.add_argument("command", help="the command to run")
        parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")
        parser.add_argument(
            "--no-transaction", action="store_true", help="the command opens its transactions by itself"
        )
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="which of the settings' databases")

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs it for each tenant; one that fails does not keep the others from their turn."""
        wrapper = connections[options["database"]]
        if not isinstance(wrapper, DatabaseWrapper):
            raise CommandError(f"the engine of database `{options['database']}` is not tenantry.django.backend")
        serving = engine(options["database"], wrapper.settings_dict)
        names = [name.strip() for name in options["tenants"].split(",") if name.strip()]
        if not names:
            raise CommandError("name at least one tenant")
        failed: list[str] = []
        for name in names:
            try:
                with serving.tenant(name):
                    one = nullcontext() if options["no_transaction"] else transaction.atomic(using=options["database"])
                    with one:
                        call_command(options["command"], *options["arguments"], stdout=self.stdout, stderr=self.stderr)
            except (TenantryError, CommandError) as error:
                failed.append(name)
                self.stderr.write(f"{name}: {error}")
        if failed:
            raise CommandError(f"failed for {', '.join(failed)}")
