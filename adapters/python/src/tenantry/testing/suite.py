"""Shared checks: each model that has a table is tried, and a model without an example fails.

```python
TestScope = scope_suite(sqlalchemy_models(Base), examples={Message: lambda s: Message(body="hi")})
```

The class needs two fixtures, `tenants` (two open tenants) and `tenantry_instance` (a `Tenantry`); both have defaults in
the plugin.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import psycopg
import pytest

from tenantry import context
from tenantry.engine import Tenantry
from tenantry.errors import TenantScopeMissing
from tenantry.model import Tenant


class Mapper(Protocol):
    """How one object mapper does what the checks need."""

    def models(self) -> Sequence[type[Any]]:
        """All models that have a table."""

    def make(self, tenantry: Tenantry, model: type[Any], example: Callable[..., Any]) -> Any:
        """Stores an example in the current tenant; its key."""

    def count(self, tenantry: Tenantry, model: type[Any], key: Any) -> int:
        """How many rows with this key the current tenant sees."""

    def unscoped(self, tenantry: Tenantry, model: type[Any]) -> Any:
        """Queries the model without any scope."""

    def adopt(self, tenantry: Tenantry, model: type[Any], example: Callable[..., Any], owner: uuid.UUID) -> None:
        """Gives an example, and whatever else is there, to another tenant."""


def scope_suite(
    mapper: Mapper, examples: Mapping[type[Any], Callable[..., Any]], exempt: Mapping[type[Any], str] | None = None
) -> type[Any]:
    """A class of tests for pytest. `examples` make one valid row per model, with whatever it refers to; they get the
    session (SQLAlchemy) or nothing (Django). `exempt` models are nobody's, each with the reason."""
    reasons = dict(exempt or {})
    models = [model for model in mapper.models() if model not in reasons]
    covered = [model for model in models if model in examples]

    class TestTenantScope:
        """Every model enforces its tenant's scope."""

        def test_every_model_has_an_example(self) -> None:
            """A model that no example covers is a model that nobody has tried."""
            missing = sorted(model.__name__ for model in models if model not in examples)
            assert not missing, f"give an example for {', '.join(missing)}"

        def test_every_exemption_has_a_reason(self) -> None:
            """An exemption says why its rows are nobody's."""
            assert all(reason.strip() for reason in reasons.values())

        @pytest.mark.parametrize("model", covered, ids=lambda model: model.__name__)
        def test_rows_stay_with_their_tenant(
            self, model: type[Any], tenants: tuple[Tenant, Tenant], tenantry_instance: Tenantry
        ) -> None:
            """A row is seen by its tenant and by no other."""
            mine, other = tenants
            with context.scope(mine):
                key = mapper.make(tenantry_instance, model, examples[model])
                assert mapper.count(tenantry_instance, model, key) == 1
            with context.scope(other):
                assert mapper.count(tenantry_instance, model, key) == 0

        @pytest.mark.parametrize("model", covered, ids=lambda model: model.__name__)
        def test_a_query_needs_a_tenant(self, model: type[Any], tenantry_instance: Tenantry) -> None:
            """Without a tenant a query raises before it is sent."""
            with context.no_scope(), pytest.raises(TenantScopeMissing):
                mapper.unscoped(tenantry_instance, model)

        @pytest.mark.parametrize("model", covered, ids=lambda model: model.__name__)
        def test_another_tenants_id_is_refused(
            self, model: type[Any], tenants: tuple[Tenant, Tenant], tenantry_instance: Tenantry
        ) -> None:
            """A row that names another tenant is not stored."""
            mine, other = tenants
            with context.scope(mine), pytest.raises(Exception) as caught:
                mapper.adopt(tenantry_instance, model, examples[model], other.uuid)
            assert _is_refusal(caught.value), caught.value

    return TestTenantScope


def sqlalchemy_models(base: type[Any]) -> Mapper:
    """The models of a declarative base."""
    return _SqlAlchemy(base)


def django_models(*apps: str) -> Mapper:
    """The models of Django applications, by label."""
    return _Django(apps)


class _SqlAlchemy:
    def __init__(self, base: type[Any]) -> None:
        self._base = base

    def models(self) -> Sequence[type[Any]]:
        return [mapper.class_ for mapper in self._base.registry.mappers]

    def make(self, tenantry: Tenantry, model: type[Any], example: Callable[..., Any]) -> Any:
        from sqlalchemy import inspect

        from tenantry.sqlalchemy import session

        with session(tenantry) as opened:
            row = example(opened)
            opened.add(row)
            opened.flush()
            return inspect(row).identity

    def count(self, tenantry: Tenantry, model: type[Any], key: Any) -> int:
        from tenantry.sqlalchemy import session

        with session(tenantry) as opened:
            return int(opened.get(model, key) is not None)

    def unscoped(self, tenantry: Tenantry, model: type[Any]) -> Any:
        from sqlalchemy import select
        from sqlalchemy.orm import Session

        from tenantry.sqlalchemy import create_engine

        with Session(create_engine(tenantry)) as opened:
            return opened.execute(select(model)).first()

    def adopt(self, tenantry: Tenantry, model: type[Any], example: Callable[..., Any], owner: uuid.UUID) -> None:
        from sqlalchemy import update

        from tenantry.sqlalchemy import session

        with session(tenantry) as opened:
            opened.add(example(opened))
            opened.flush()
            opened.execute(update(model).values(tenant_id=owner).execution_options(synchronize_session=False))


class _Django:
    def __init__(self, apps: Sequence[str]) -> None:
        self._apps = apps

    def models(self) -> Sequence[type[Any]]:
        from django.apps import apps

        return [
            model
            for label in self._apps
            for model in apps.get_app_config(label).get_models(include_auto_created=True)
            if not model._meta.proxy
        ]

    def make(self, tenantry: Tenantry, model: type[Any], example: Callable[..., Any]) -> Any:
        from django.db import transaction

        with transaction.atomic():
            row = example()
            row.save()
            return row.pk

    def count(self, tenantry: Tenantry, model: type[Any], key: Any) -> int:
        from django.db import transaction

        with transaction.atomic():
            return int(model._base_manager.filter(pk=key).count())

    def unscoped(self, tenantry: Tenantry, model: type[Any]) -> Any:
        from django.db import transaction

        with transaction.atomic():
            return model._base_manager.first()

    def adopt(self, tenantry: Tenantry, model: type[Any], example: Callable[..., Any], owner: uuid.UUID) -> None:
        from django.db import transaction

        with transaction.atomic():
            example().save()
            model._base_manager.update(tenant_id=owner)


def _is_refusal(error: BaseException) -> bool:
    """Whether the database refused a row by its policy, however deep the object mapper has wrapped that."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, psycopg.errors.InsufficientPrivilege):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
