"""The test kit: tenants for tests, and checks that every model enforces its tenant's scope.

`TenantFactory` makes tenants in an installation for tests (`tenantry dev`) and removes them again. `scope_suite` makes
a class of tests from a base class of models and an example per model. The pytest plugin (loaded by itself) has the
fixtures `tenantry_factory` and `make_tenant`.
"""

from tenantry.testing.factory import MadeTenant, TenantFactory
from tenantry.testing.suite import django_models, scope_suite, sqlalchemy_models

__all__ = ["MadeTenant", "TenantFactory", "django_models", "scope_suite", "sqlalchemy_models"]
