"""Django's ORM on sealed models, said as a transcript: with parameters bound by the client, as it comes, and by the server."""

import os
import sys
import types

import django
from django.conf import settings
from people import ADA, BOB, CHANGED, CHLOE, DORA, EVE, GONE, LOANS, MANY, MEMBERS, UPSERTED, refused, run, say
from transcript import DATABASE, HOST, PASSWORD, PORT, USER

# The models below belong to an application, which this file is.
application = types.ModuleType("drivers")
application.__path__ = [os.path.dirname(os.path.abspath(__file__))]
sys.modules["drivers"] = application


def database(**options):
    return {
        "ENGINE": "django.db.backends.postgresql", "HOST": HOST, "PORT": PORT, "USER": USER, "PASSWORD": PASSWORD, "NAME": DATABASE,
        "OPTIONS": {"sslmode": "disable", **options},
    }


settings.configure(
    DATABASES={"default": database(), "bound": database(server_side_binding=True)},
    INSTALLED_APPS=["drivers"], USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.db import IntegrityError, models, transaction  # noqa: E402
from django.db.models import Case, Count, Exists, F, OuterRef, Prefetch, Q, Subquery, Value, When, Window  # noqa: E402
from django.db.models.functions import Coalesce, Lower, RowNumber  # noqa: E402


class Member(models.Model):
    email = models.TextField(unique=True)
    phone = models.TextField(null=True)
    note = models.TextField(null=True)
    city = models.TextField()
    visits = models.IntegerField(default=0)

    class Meta:
        app_label, db_table = "drivers", "members"

    def said(self):
        return [self.id, self.email, self.phone, self.note, self.city, self.visits]


class Loan(models.Model):
    member = models.ForeignKey(Member, models.CASCADE, related_name="loans")
    title = models.TextField()
    # By the sealed column, as some schemas have it.
    named = models.ForeignKey(Member, models.DO_NOTHING, to_field="email", db_column="email", null=True, related_name="+", db_constraint=False)
    remark = models.TextField(null=True)

    class Meta:
        app_label, db_table = "drivers", "loans"


def state(error):
    return getattr(error.__cause__, "sqlstate", None)


def writes(members, loans):
    say("create", members.create(**MEMBERS[0]).said())
    made = members.bulk_create([Member(**member) for member in MEMBERS[1:]])
    say("bulk", [member.said() for member in made])
    say("bulk", len(members.bulk_create([Member(**member) for member in MANY], batch_size=25)), members.get(email=MANY[-1]["email"]).note)
    loans.bulk_create([
        Loan(member=members.get(email=loan["member"]), title=loan["title"], named_id=loan["email"], remark=loan["remark"]) for loan in LOANS
    ])
    Loan(member=members.get(city="Oslo"), title="Saved", named=members.get(email=EVE)).save(using=loans.db)
    say("loans", loans.order_by("id").values_list("title", "named_id", "remark"))


def searches(members, loans):
    ids = members.order_by("id").values_list("id", flat=True)
    ada = members.get(email=ADA)
    say("key", members.get(pk=ada.pk).said(), members.in_bulk([ada.pk])[ada.pk].phone, members.in_bulk([EVE], field_name="email")[EVE].city, members.filter(pk=-1).first())
    say("equal", members.get(email=BOB).said(), ids.filter(phone=MEMBERS[0]["phone"]), members.get(email__exact=CHLOE).note, ids.filter(email="nobody"))
    say("in", ids.filter(email__in=[ADA, EVE, "nobody"]), ids.filter(email__in=[]), ids.filter(email__in=loans.filter(title="Ulysses").values("named")))
    say("null", ids.filter(phone__isnull=True), members.filter(note__isnull=False).count(), ids.filter(phone=None))
    say("or", ids.filter(Q(email=ADA) | Q(phone=MEMBERS[1]["phone"]) | Q(note=None, city="Oslo")))
    say("not", ids.exclude(email=ADA).exclude(city="Many"), ids.filter(~Q(email__in=[ADA, BOB]), visits__lt=100), ids.exclude(phone=MEMBERS[0]["phone"]).filter(visits__lt=100))
    found = members.raw("SELECT id, email, note FROM members WHERE email = %s AND visits < %s", [BOB, 50])
    say("raw", [[member.email, member.note] for member in found])
    # A filter that may be absent, with a value for each of its places.
    optional = "SELECT id FROM members WHERE (%s::text IS NULL OR email = %s) AND (%s IS NULL OR visits = %s) ORDER BY id LIMIT 3"
    for mail, visits in ((BOB, 3), (None, 9), (ADA, 3)):
        say("raw", [member.id for member in members.raw(optional, [mail, mail, visits, visits])])


def related(members, loans):
    say("join", loans.filter(member__email__in=[ADA, BOB]).order_by("id").values_list("member__email", "title", "remark"))
    say("join", loans.filter(named__city="London").values_list("title", "named__note"), members.filter(loans__named=EVE).order_by("id").values_list("email", flat=True))
    say("join", members.filter(city="London").order_by("id", "loans__id").values_list("email", "loans__remark"))
    say("eager", [[loan.title, loan.member.email, loan.named and loan.named.note] for loan in loans.select_related("member", "named").order_by("id")])
    known = members.prefetch_related(Prefetch("loans", loans.order_by("id"))).filter(phone=MEMBERS[0]["phone"]).order_by("id")
    say("eager", [[member.email, [[loan.title, loan.remark] for loan in member.loans.all()]] for member in known])
    say("eager", [[loan.title, loan.named and loan.named.email] for loan in loans.prefetch_related("named").order_by("id")])


def counts(members, loans):
    say("count", members.count(), members.filter(email=ADA).count(), members.aggregate(n=Count("phone", distinct=True), m=Count("note"))["n"])
    say("exists", members.filter(email=ADA).exists(), members.filter(email="nobody").exists(), members.filter(Exists(loans.filter(named=OuterRef("email")))).order_by("id").values_list("email", flat=True))
    say("count", members.annotate(n=Count("loans")).filter(n__gt=0).order_by("id").values_list("email", "note", "n"))
    say("count", loans.values("member__email").annotate(n=Count("id")).order_by("n", "member_id").values_list("member_id", "member__email", "n"))
    say("group", members.filter(visits__lt=100).values("phone").annotate(n=Count("id"), first=models.Min("id")).order_by("-n", "first").values_list("phone", "n"), members.values("phone").distinct().count())
    for start in (0, 2, 4):
        say("page", members.exclude(city="Many").order_by("-visits")[start:start + 2].values_list("email", flat=True))
    say("page", len(list(members.filter(city="Many").iterator(chunk_size=25))))
    latest = loans.filter(member=OuterRef("pk")).order_by("-id")
    say("subquery", members.annotate(remark=Subquery(latest.values("remark")[:1])).filter(visits__lt=100).order_by("id").values_list("email", "remark"))
    ranked = members.filter(visits__lt=100).annotate(n=Window(RowNumber(), partition_by="phone", order_by="id")).order_by("id")
    say("window", ranked.values_list("email", "n"))
    say("coalesce", members.filter(visits__lt=100).order_by("id").annotate(reached=Coalesce("phone", Value("+44 20 7946 none", models.TextField()))).values_list("reached", flat=True))
    say("union", sorted(members.filter(city="Oslo").values_list("email", flat=True).union(loans.exclude(named=None).values_list("named_id", flat=True))))


def changes(members, loans):
    ada = members.get(email=ADA)
    ada.email, ada.note, ada.visits = CHANGED["email"], CHANGED["note"], F("visits") + 1
    ada.save()
    ada.refresh_from_db()
    say("update", ada.said())
    ada.email, ada.phone = ADA, None
    ada.save(update_fields=["email", "phone"])
    say("update", members.filter(email=EVE).update(phone=CHANGED["phone"]), members.get(email=EVE).phone, members.filter(phone="nothing").update(note=None))
    london = list(members.filter(visits__lt=100).order_by("id"))
    for member, kept in zip(london, MEMBERS):
        member.phone, member.note, member.city = kept["phone"], kept["note"], kept["city"].upper()
    say("update", members.bulk_update(london, ["phone", "note", "city"], batch_size=3), [member.said() for member in members.filter(visits__lt=100).order_by("id")])
    members.filter(visits__lt=100).update(note=Case(When(email=BOB, then=Value(MEMBERS[1]["note"], models.TextField())), default=F("note")))
    say("update", members.get(email=BOB).note, members.get(email=ADA).note)
    made = members.bulk_create([Member(**UPSERTED), Member(**{**GONE, "email": EVE})], update_conflicts=True, unique_fields=["email"], update_fields=["phone", "note"])
    say("upsert", len(made), members.filter(email__in=[DORA, EVE]).order_by("id").values_list("email", "phone", "note"))
    members.bulk_create([Member(**MEMBERS[0])], ignore_conflicts=True)
    one, made = members.get_or_create(email=ADA, defaults={"city": "Bath"})
    say("upsert", one.said(), made, members.get_or_create(email=GONE["email"], defaults={"phone": GONE["phone"], "city": "Nowhere"})[1])
    one, made = members.update_or_create(email=GONE["email"], defaults={"note": GONE["note"]})
    say("upsert", one.said()[1:], made)
    one.delete()


def ends(members, loans):
    def atomic():
        return transaction.atomic(using=members.db)

    try:
        with atomic():
            members.create(**GONE)
            say("transaction", members.get(email=GONE["email"]).note)
            raise RuntimeError("rolled back")
    except RuntimeError:
        say("transaction", members.filter(email=GONE["email"]).first())
    with atomic():
        for email in (ADA, GONE["email"]):
            try:
                with atomic():
                    members.create(**{**GONE, "email": email})
                    say("savepoint", email, "kept")
            except IntegrityError as error:
                say("duplicate", state(error), "members_email_key" in str(error))
        point = transaction.savepoint(using=members.db)
        members.filter(email=GONE["email"]).update(note="sentinel note: undone")
        transaction.savepoint_rollback(point, using=members.db)
        say("savepoint", members.select_for_update().get(email=GONE["email"]).note)
    refused("iexact", lambda: members.filter(email__iexact=ADA).count(), state)
    refused("icontains", lambda: members.filter(email__icontains="ada").count(), state)
    refused("Lower", lambda: list(members.values_list(Lower("email"))), state)
    refused("order_by", lambda: list(members.order_by("email")), state)
    # `note` is sealed at random, and the key beside it.
    say("distinct", [member.said() for member in members.filter(loans__title__in=["Emma", "Ulysses"]).distinct()])
    say("in", members.filter(pk__in=members.filter(loans__title__in=["Emma", "Ulysses"]).values("pk").distinct()).values_list("email", "note"))
    say("delete", members.get(email=BOB).delete(), members.filter(email__in=[GONE["email"], EVE]).delete())
    say("delete", members.filter(visits__lt=100).order_by("id").values_list("email", flat=True), loans.count(), loans.all()._raw_delete(loans.db), members.all().delete()[0])


def over(alias):
    def it():
        for part in (writes, searches, related, counts, changes, ends):
            part(Member.objects.using(alias), Loan.objects.using(alias))

    return it


run(over("default"), over("bound"))
