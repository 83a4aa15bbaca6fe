import django.db.models.deletion
from django.db import migrations, models

TABLES = 20


def create(number):
    fields = [
        ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
        ("name", models.TextField()),
        ("body", models.JSONField(default=dict)),
        ("created_at", models.DateTimeField(auto_now_add=True, db_index=True)),
    ]
    if number > 0:
        before = f"product.item{number - 1:02}"
        fields.append(
            ("parent", models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to=before))
        )
    return migrations.CreateModel(name=f"Item{number:02}", fields=fields)


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [create(number) for number in range(TABLES)]
