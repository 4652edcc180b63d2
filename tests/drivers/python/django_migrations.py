"""Django's own migrations, as they stand: those of its contrib applications, and what its schema editor writes for a
model whose columns are of many types and have defaults."""

import os
import sys
import types

import django
from django.conf import settings
from transcript import DATABASE, HOST, PASSWORD, PORT, USER

application = types.ModuleType("drivers")
application.__path__ = [os.path.dirname(os.path.abspath(__file__))]
sys.modules["drivers"] = application

settings.configure(
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql", "HOST": HOST, "PORT": PORT, "USER": USER, "PASSWORD": PASSWORD, "NAME": DATABASE,
        "DISABLE_SERVER_SIDE_CURSORS": True, "OPTIONS": {"sslmode": "disable"},
    }},
    INSTALLED_APPS=[
        "django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "django.contrib.messages",
        "django.contrib.admin", "django.contrib.sites", "drivers",
    ],
    USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", MIGRATION_MODULES={"drivers": None}, SITE_ID=1,
)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.db.models import Q  # noqa: E402
from django.db.models.functions import Lower, Now  # noqa: E402

call_command("migrate", verbosity=0)


class Person(models.Model):
    email = models.EmailField(unique=True)
    phone = models.CharField(max_length=20, default="", db_index=True)
    born = models.DateField(null=True)
    level = models.IntegerField(default=3)
    active = models.BooleanField(default=True)
    salary = models.DecimalField(max_digits=10, decimal_places=2, default=0)
    note = models.TextField(default="", blank=True)
    city = models.CharField(max_length=50, default="none", db_index=True)
    created = models.DateTimeField(db_default=Now())

    class Meta:
        app_label, db_table = "drivers", "people"
        indexes = [models.Index(fields=["phone", "city"], name="people_phone_city")]
        constraints = [
            models.UniqueConstraint(Lower("email"), name="people_email_lower"),
            models.CheckConstraint(condition=Q(level__in=[1, 2, 3]), name="people_level_known"),
            models.UniqueConstraint(fields=["phone"], condition=Q(phone__isnull=False), name="people_phone_once"),
        ]


def field(made, name):
    made.set_attributes_from_name(name)
    made.model = Person
    return made


with connection.schema_editor() as editor:
    editor.create_model(Person)
with connection.schema_editor() as editor:
    editor.add_field(Person, field(models.CharField(max_length=40, default="x"), "nick"))
    editor.add_field(Person, field(models.CharField(max_length=20, db_default="somewhere"), "place"))
    old, new = Person._meta.get_field("born"), field(models.DateField(null=True, db_index=True), "born")
    editor.alter_field(Person, old, new)
    editor.add_index(Person, models.Index(fields=["level"], name="people_level"))
    editor.remove_constraint(Person, Person._meta.constraints[2])
    # One definition and what it is filled with, in one transaction.
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO people (email, born, phone, level, active, salary, note, city, nick) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            ["ada@sentinel.example", "1815-12-10", "+44 20 7946 0001", 3, True, "10.50", "sentinel note", "London", "ada"],
        )
with connection.schema_editor() as editor:
    editor.alter_field(Person, field(models.CharField(max_length=40, default="x"), "nick"), field(models.CharField(max_length=40, null=True), "nick"))

from django.contrib.auth.models import User  # noqa: E402

User.objects.create_user("ada", "Ada@sentinel.example", "secret", first_name="Ada")
print("user:", User.objects.filter(email="Ada@sentinel.example").values_list("username", "first_name", "last_name")[0])
print("done")
