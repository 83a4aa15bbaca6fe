"""What the Django setting `TENANTRY` may hold: fields of `Identification`, and the ones below."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from tenantry.errors import SettingsInvalid
from tenantry.identify import Identification


@dataclass(frozen=True)
class Options:
    """The parts of `TENANTRY` that are not about identification."""

    atomic_requests: bool = True
    """Whether the middleware puts each request into one transaction, sessions and users included."""
    exempt_models: dict[str, str] = field(default_factory=dict)
    """Models without tenant column, `app.Model`, each with the reason."""
    tenant_key: bool = True
    """Whether the app's tables have the column `tenant_id`; without, only levels schema and database can run it."""


def read() -> tuple[Identification, Options]:
    """Reads and checks the setting."""
    given: dict[str, Any] = dict(getattr(settings, "TENANTRY", {}))
    known = {spec.name for spec in fields(Options)}
    own = {name: given.pop(name) for name in list(given) if name in known}
    try:
        return Identification(**given), Options(**own)
    except (TypeError, SettingsInvalid) as error:
        raise ImproperlyConfigured(f"TENANTRY: {error}") from None
