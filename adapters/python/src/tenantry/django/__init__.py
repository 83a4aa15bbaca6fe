"""Django: a database backend, middleware, models, a system check and a command, for 4.2 and newer.

```python
INSTALLED_APPS = ["tenantry.django", ...]
MIDDLEWARE = ["tenantry.django.middleware.TenantMiddleware", ...]        # first
DATABASES = {"default": {"ENGINE": "tenantry.django.backend"}}
TENANTRY = {"base_domains": ["example.com"]}
```
"""
