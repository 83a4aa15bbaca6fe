"""Tenant context and sealed PostgreSQL transactions for Python applications.

```python
import tenantry

with tenantry.tenant("acme"), tenantry.transaction() as tx:
    print(tx.execute("SELECT count(*) FROM messages").fetchone())
```

Middleware is in `tenantry.asgi` and `tenantry.wsgi`, object mappers in `tenantry.sqlalchemy` and `tenantry.django`,
jobs in `tenantry.jobs`, the test kit in `tenantry.testing`, the linter in `tenantry.lint`.
"""

from tenantry.aclient import AsyncClient
from tenantry.client import Client
from tenantry.context import current, current_or_none, no_scope
from tenantry.engine import AsyncTenantry, Tenantry, aclose, close, configure, tenant, transaction
from tenantry.errors import (
    ControlPlaneRefused,
    ControlPlaneUnavailable,
    CredentialRefused,
    DatabaseUnavailable,
    JobHeld,
    JobRefused,
    SettingsInvalid,
    TenantBusy,
    TenantGone,
    TenantMismatch,
    TenantMoved,
    TenantNotFound,
    TenantNotOpen,
    TenantPreparing,
    TenantryError,
    TenantScopeMissing,
    TenantSuspended,
)
from tenantry.guard import enforce_tenant_isolation
from tenantry.model import Route, Tenant
from tenantry.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "AsyncTenantry",
    "Client",
    "ControlPlaneRefused",
    "ControlPlaneUnavailable",
    "CredentialRefused",
    "DatabaseUnavailable",
    "JobHeld",
    "JobRefused",
    "Route",
    "Settings",
    "SettingsInvalid",
    "Tenant",
    "TenantBusy",
    "TenantGone",
    "TenantMismatch",
    "TenantMoved",
    "TenantNotFound",
    "TenantNotOpen",
    "TenantPreparing",
    "TenantScopeMissing",
    "TenantSuspended",
    "Tenantry",
    "TenantryError",
    "aclose",
    "close",
    "configure",
    "current",
    "current_or_none",
    "enforce_tenant_isolation",
    "no_scope",
    "tenant",
    "transaction",
]
