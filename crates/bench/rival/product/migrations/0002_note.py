from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("product", "0001_initial")]
    operations = [migrations.AddField("Item00", "note", models.TextField(default="", db_default=""))]
