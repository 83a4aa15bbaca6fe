"""The twenty tables of the benchmark's product, as a Django project would have them."""
from django.db import models

TABLES = 20


def table(number):
    name = f"Item{number:02}"
    fields = {
        "__module__": __name__,
        "name": models.TextField(),
        "body": models.JSONField(default=dict),
        "created_at": models.DateTimeField(auto_now_add=True, db_index=True),
    }
    if number > 0:
        before = f"product.Item{number - 1:02}"
        fields["parent"] = models.ForeignKey(before, null=True, on_delete=models.PROTECT)
    if number == 0:
        fields["note"] = models.TextField(default="", db_default="")
    return type(name, (models.Model,), fields)


for place in range(TABLES):
    globals()[f"Item{place:02}"] = table(place)
