"""Models of tenants: the tenant column, an explicit scope, and no default scope.

Counts and pages of `objects` mean what they say: the database shows the current tenant's rows and no others.
`for_current_tenant` says so in the code, tells the planner, and raises where there is no tenant.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models

from tenantry import context

TENANT_COLUMN = "tenant_id"


class TenantField(models.UUIDField):  # type: ignore[type-arg]
    """The tenant of a row: filled with the current one, not editable. The database refuses another tenant's id."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("editable", False)
        super().__init__(*args, **kwargs)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Fills the column when a row is made."""
        value = getattr(model_instance, self.attname)
        if value is None and add:
            value = context.current().uuid
            setattr(model_instance, self.attname, value)
        return value


class TenantQuerySet(models.QuerySet[Any]):
    """A query set with the explicit scope."""

    def for_current_tenant(self) -> TenantQuerySet:
        """The rows of the current tenant. Raises `TenantScopeMissing` without a tenant.

        For models without tenant column, whose tables are the tenant's own, these are all rows.
        """
        tenant = context.current()
        try:
            self.model._meta.get_field(TENANT_COLUMN)
        except FieldDoesNotExist:
            rows: TenantQuerySet = self.all()
            return rows
        rows = self.filter(tenant_id=tenant.uuid)
        return rows


TenantManager = models.Manager.from_queryset(TenantQuerySet)
"""A manager with `for_current_tenant`. It hides nothing."""


class TenantScoped(models.Model):
    """The base of models whose table has the tenant column.

    The table's primary key is `(tenant_id, id)`; for Django `id` alone is the key, which is right inside of a tenant.
    """

    tenant_id = TenantField()

    objects = TenantManager()

    class Meta:
        """No table of its own."""

        abstract = True
