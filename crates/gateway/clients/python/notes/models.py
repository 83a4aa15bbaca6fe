"""One model, on a table that Django does not manage."""

from django.db import models
from django.db.models.functions import Now


class Note(models.Model):
    # The database fills it in (Django sends DEFAULT); the key that Django knows is the number alone.
    tenant_id = models.UUIDField(editable=False, db_default=models.Func(function="tenantry.current_tenant"))
    id = models.BigAutoField(primary_key=True)
    body = models.TextField()
    at = models.DateTimeField(db_default=Now())
    data = models.JSONField(null=True)

    class Meta:
        managed = False
        db_table = "note"
