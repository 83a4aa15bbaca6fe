from django.core.management.base import BaseCommand

import tenantry


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("--fail", action="store_true")

    def handle(self, *args, **options):
        from shop.models import Channel

        if options["fail"]:
            raise tenantry.TenantBusy("on purpose")
        self.stdout.write(f"{tenantry.current().slug} {Channel.objects.count() > 0}")
