"""The system check of models: `tenantry.E001` for a model without the tenant column, `tenantry.E002` for an exemption
without a reason, `tenantry.W001` for an exemption that nobody needs any more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning
from django.db import models

from tenantry.django import conf
from tenantry.django.models import TENANT_COLUMN


def models_have_the_tenant_column(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Looks at every model that has a table."""
    _, options = conf.read()
    if not options.tenant_key:
        return []
    return judge(_models(app_configs), options.exempt_models, everything=app_configs is None)


def judge(found: Iterable[type[models.Model]], exempt: dict[str, str], everything: bool) -> list[CheckMessage]:
    """What is wrong with these models. `everything`: no model is missing from them, so stale exemptions can be told."""
    messages: list[CheckMessage] = []
    used: set[str] = set()
    for model in found:
        name = model._meta.label
        if any(field.column == TENANT_COLUMN for field in model._meta.local_concrete_fields):
            continue
        if name in exempt:
            used.add(name)
            continue
        hint = "Derive it from tenantry.django.models.TenantScoped, or exempt it in TENANTRY['exempt_models']."
        messages.append(Error(f"the model has no column `{TENANT_COLUMN}`", hint=hint, obj=model, id="tenantry.E001"))
    for name, reason in exempt.items():
        if not isinstance(reason, str) or not reason.strip():
            hint = "Say why its rows are nobody's."
            messages.append(Error(f"the exemption of `{name}` has no reason", hint=hint, id="tenantry.E002"))
        if everything and name not in used:
            hint = "Remove it from TENANTRY['exempt_models']."
            messages.append(Warning(f"the exemption of `{name}` is not needed", hint=hint, id="tenantry.W001"))
    return messages


def _models(app_configs: Any) -> list[type[models.Model]]:
    configs = app_configs if app_configs is not None else apps.get_app_configs()
    found = [model for config in configs for model in config.get_models(include_auto_created=True)]
    return [model for model in found if not model._meta.proxy and model._meta.managed is not None]
