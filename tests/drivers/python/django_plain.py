"""What applications do with Django's ORM, said as a transcript."""

import datetime
import decimal
import os
import sys
import types

import django
from django.conf import settings

from transcript import DATABASE, HOST, PASSWORD, PORT, ROOT, SSLMODE, USER, run, say

# The models below belong to an application, which this file is.
application = types.ModuleType("drivers")
application.__path__ = [os.path.dirname(os.path.abspath(__file__))]
sys.modules["drivers"] = application

settings.configure(
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql", "HOST": HOST, "PORT": PORT, "USER": USER, "PASSWORD": PASSWORD, "NAME": DATABASE,
        "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"sslmode": SSLMODE, **({"sslrootcert": ROOT} if ROOT else {})},
    }},
    INSTALLED_APPS=["drivers"], USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.db import IntegrityError, close_old_connections, connection, models, transaction  # noqa: E402
from django.db.models import Count, F, Q, Sum  # noqa: E402


class Customer(models.Model):
    name = models.CharField(max_length=80, unique=True)
    born = models.DateField(null=True)
    worth = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    notes = models.JSONField(null=True)
    seen = models.DateTimeField(null=True)

    class Meta:
        app_label, db_table = "drivers", "dj_customers"


class Order(models.Model):
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    item = models.CharField(max_length=80)
    count = models.IntegerField(default=1)

    class Meta:
        app_label, db_table = "drivers", "dj_orders"


def schema():
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS dj_orders, dj_customers")
    with connection.schema_editor() as editor:
        editor.create_model(Customer)
        editor.create_model(Order)
    names = connection.introspection.table_names()
    say("tables", [name for name in names if name.startswith("dj_")])


def objects():
    seen = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc)
    Customer.objects.bulk_create([
        Customer(name=f"customer {n}", born=datetime.date(2000, 1, n % 28 + 1), worth=decimal.Decimal(n), notes={"n": n}, seen=seen)
        for n in range(1, 51)
    ], batch_size=20)
    for customer in Customer.objects.order_by("id")[:10]:
        customer.orders.create(item="first")
        customer.orders.create(item="second", count=2)
    say("filtered", list(Customer.objects.filter(Q(name__contains="1") & ~Q(worth__lt=15)).order_by("id").values_list("name", "worth")[:5]))
    say("json", Customer.objects.filter(notes__n__gte=49).count())
    say("annotated", list(Customer.objects.annotate(n=Count("orders"), s=Sum("orders__count")).filter(n__gt=0).order_by("id").values_list("n", "s")[:3]))
    say("related", [(order.customer.name, order.item) for order in Order.objects.select_related("customer").order_by("id")[:3]])
    say("prefetched", sum(len(customer.orders.all()) for customer in Customer.objects.prefetch_related("orders")))
    say("updated", Order.objects.filter(item="first").update(count=F("count") + 5))
    say("got or made", Customer.objects.get_or_create(name="customer 1")[1], Customer.objects.update_or_create(name="new", defaults={"worth": 1})[1])
    say("seen", Customer.objects.order_by("id").first().seen)


def cursors():
    say("iterated", sum(1 for _ in Customer.objects.iterator(chunk_size=7)))
    with transaction.atomic():
        say("within", sum(1 for _ in Order.objects.order_by("id").iterator(chunk_size=3)))


def transactions():
    try:
        with transaction.atomic():
            Customer.objects.create(name="another")
            with transaction.atomic():
                Customer.objects.create(name="customer 2")
    except IntegrityError as error:
        say("refused", error.__cause__.sqlstate)
    with transaction.atomic():
        Customer.objects.create(name="kept")
        try:
            with transaction.atomic():
                Customer.objects.create(name="customer 2")
        except IntegrityError:
            say("undone", Customer.objects.filter(name="kept").exists())
        say("locked", Customer.objects.select_for_update().filter(name="kept").count())
    done = []
    with transaction.atomic():
        transaction.on_commit(lambda: done.append("committed"))
    say("commits", done, Customer.objects.filter(name="another").count())


def reconnecting():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        before = cursor.fetchone()[0]
    for _ in range(3):
        close_old_connections()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            say("the same connection", cursor.fetchone()[0] == before)
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        say("another connection", cursor.fetchone()[0] != before)
        cursor.execute("DROP TABLE dj_orders, dj_customers")


run([schema, objects, cursors, transactions, reconnecting])
