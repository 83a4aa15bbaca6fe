from __future__ import annotations

from django.db import models

from tenantry.django.models import TenantManager, TenantScoped


class Channel(TenantScoped):
    name = models.TextField()
    topic = models.TextField(default="")

    class Meta:
        db_table = "channels"
        managed = False


class Message(TenantScoped):
    channel = models.ForeignKey(Channel, models.CASCADE, db_constraint=False)
    body = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "messages"
        managed = False


class Country(models.Model):
    code = models.TextField(primary_key=True)
    name = models.TextField()

    class Meta:
        db_table = "countries"
        managed = False


class PlacedChannel(models.Model):
    """For an app that does not know the column."""

    name = models.TextField()
    objects = TenantManager()

    class Meta:
        db_table = "channels"
        managed = False
