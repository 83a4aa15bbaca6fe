"""The Django application: registers the system check."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register


class TenantryConfig(AppConfig):
    """Add `tenantry.django` to INSTALLED_APPS."""

    name = "tenantry.django"
    label = "tenantry"
    verbose_name = "Tenantry"
    default = True

    def ready(self) -> None:
        """Registers the check of models."""
        from tenantry.django.checks import models_have_the_tenant_column

        register(models_have_the_tenant_column, Tags.models)
