"""The database backend `tenantry.django.backend`."""
