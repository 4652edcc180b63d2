"""SQLAlchemy's ORM on sealed models, over each of its usual drivers, said as a transcript."""

import asyncio
import sys

import sqlalchemy as sa
from people import ADA, BOB, CHANGED, CHLOE, DORA, EVE, GONE, LOANS, MANY, MEMBERS, UPSERTED, refused, run, say
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, contains_eager, joinedload, mapped_column, relationship, selectinload, subqueryload
from transcript import DATABASE, HOST, PASSWORD, PORT, USER


class Base(DeclarativeBase):
    pass


class Member(Base):
    __tablename__ = "members"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    email: Mapped[str] = mapped_column(sa.Text, unique=True)
    phone: Mapped[str | None] = mapped_column(sa.Text)
    note: Mapped[str | None] = mapped_column(sa.Text)
    city: Mapped[str] = mapped_column(sa.Text)
    visits: Mapped[int] = mapped_column(default=0)
    loans: Mapped[list["Loan"]] = relationship(back_populates="member", cascade="all, delete-orphan", order_by="Loan.id")

    def said(self):
        return [self.id, self.email, self.phone, self.note, self.city, self.visits]


class Loan(Base):
    __tablename__ = "loans"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    member_id: Mapped[int] = mapped_column(sa.ForeignKey("members.id"))
    title: Mapped[str] = mapped_column(sa.Text)
    email: Mapped[str | None] = mapped_column(sa.Text)
    remark: Mapped[str | None] = mapped_column(sa.Text)
    member: Mapped[Member] = relationship(back_populates="loans")
    # By the sealed column, as some schemas have it.
    named: Mapped[Member | None] = relationship(primaryjoin=lambda: sa.orm.foreign(Loan.email) == Member.email, viewonly=True)


def state(error):
    error = getattr(error, "orig", error)
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def writes(s):
    ada = Member(**MEMBERS[0])
    s.add(ada)
    s.commit()
    say("create", ada.said())
    s.add_all([Member(**member) for member in MEMBERS[1:]])
    s.flush()
    say("bulk", [member.said() for member in s.scalars(sa.select(Member).order_by(Member.id))])
    # In pages, each with RETURNING in the order of what was given.
    made = s.scalars(sa.insert(Member).returning(Member.email, sort_by_parameter_order=True), MANY).all()
    say("bulk", made[0], made[-1], len(made))
    s.execute(sa.insert(Loan), [
        {"member_id": s.scalar(sa.select(Member.id).where(Member.email == loan["member"])), **{key: loan[key] for key in ("title", "email", "remark")}}
        for loan in LOANS
    ])
    s.execute(sa.insert(Loan).from_select(
        ["member_id", "title", "email", "remark"], sa.select(Member.id, sa.literal("Copied"), Member.email, sa.null()).where(Member.city == "Oslo")
    ))
    s.commit()
    say("loans", s.execute(sa.select(Loan.title, Loan.email, Loan.remark).order_by(Loan.id)).all())


def searches(s):
    ids = sa.select(Member.id).order_by(Member.id)
    ada = s.scalar(sa.select(Member).where(Member.email == ADA))
    s.expunge_all()
    say("key", s.get(Member, ada.id).said(), s.get(Member, -1))
    say("equal", s.scalars(sa.select(Member).filter_by(email=BOB)).one().said(), s.scalars(sa.select(Member.email).filter_by(phone=MEMBERS[0]["phone"]).order_by(Member.id)).all())
    say("equal", s.scalar(sa.select(Member.note).where(Member.email == sa.bindparam("mail")), {"mail": CHLOE}), s.query(Member.id).filter(Member.email == "nobody").all())
    say("in", s.scalars(ids.where(Member.email.in_([ADA, EVE, "nobody"]))).all(), s.scalars(ids.where(Member.email.in_([]))).all(),
        s.scalars(ids.where(Member.email.in_(sa.select(Loan.email)))).all(), s.scalars(ids.where(sa.tuple_(Member.email, Member.phone).in_([(ADA, MEMBERS[0]["phone"])]))).all())
    say("null", s.scalars(ids.where(Member.phone.is_(None))).all(), s.scalar(sa.select(sa.func.count()).where(Member.note.is_not(None))))
    say("or", s.scalars(ids.where(sa.or_(Member.email == ADA, Member.phone == MEMBERS[1]["phone"], sa.and_(Member.note.is_(None), Member.city == "Oslo")))).all())
    mail = sa.bindparam("mail", type_=sa.Text)
    optional = ids.where(sa.or_(mail.is_(None), Member.email == mail), Member.visits < 100)
    say("or", s.scalars(optional, {"mail": None}).all(), s.scalars(optional, {"mail": BOB}).all())
    say("not", s.scalars(ids.where(Member.email != ADA, Member.city != "Many")).all(), s.scalars(ids.where(~Member.email.in_([ADA, BOB]), Member.visits < 100)).all(),
        s.scalars(ids.where(Member.phone.is_distinct_from(MEMBERS[0]["phone"]), Member.visits < 100)).all())
    say("literal", s.scalars(ids.where(Member.email == sa.literal(BOB, literal_execute=True))).all(), s.execute(sa.text("SELECT note FROM members WHERE email = :mail"), {"mail": BOB}).scalars().all())


def related(s):
    say("join", s.execute(sa.select(Member.email, Loan.title, Loan.remark).join(Loan).where(Member.email.in_([ADA, BOB])).order_by(Loan.id)).all())
    named = aliased(Member)
    say("join", s.execute(sa.select(Loan.title, named.email, named.note).join(named, named.email == Loan.email).order_by(Loan.id)).all())
    say("join", s.execute(sa.select(Member.email, Loan.remark).outerjoin(Loan).where(Member.city == "London").order_by(Member.id, Loan.id)).all())
    for option in (joinedload, selectinload, subqueryload):
        s.expunge_all()
        found = s.scalars(sa.select(Member).options(option(Member.loans)).where(Member.phone == MEMBERS[0]["phone"]).order_by(Member.id)).unique().all()
        say("eager", option.__name__, [[member.email, [[loan.title, loan.email, loan.remark] for loan in member.loans]] for member in found])
        s.expunge_all()
        say("eager", option.__name__, [[loan.title, loan.named and loan.named.note] for loan in s.scalars(sa.select(Loan).options(option(Loan.named)).order_by(Loan.id)).unique()])
    s.expunge_all()
    # A page of members, and around it the join.
    page = sa.select(Member).options(joinedload(Member.loans)).where(Member.visits < 100).order_by(Member.visits.desc()).limit(2).offset(1)
    say("eager", [[member.email, [loan.remark for loan in member.loans]] for member in s.scalars(page).unique()])
    s.expunge_all()
    loans = s.scalars(sa.select(Loan).join(Loan.member).options(contains_eager(Loan.member)).where(Member.email == ADA).order_by(Loan.id))
    say("eager", [[loan.title, loan.member.phone] for loan in loans], [loan.title for loan in s.get(Member, s.scalar(sa.select(Member.id).filter_by(email=BOB))).loans])


def counts(s):
    count = sa.func.count
    say("count", s.scalar(sa.select(count()).select_from(Member)), s.scalar(sa.select(count(Member.phone.distinct()))), s.query(Member).filter(Member.email == ADA).count())
    say("exists", s.scalar(sa.select(sa.exists().where(Member.email == ADA))), s.scalar(sa.select(sa.exists().where(Member.email == "nobody"))),
        s.scalars(sa.select(Member.email).where(Member.loans.any(Loan.email == EVE)).order_by(Member.id)).all(), s.scalars(sa.select(Loan.title).where(Loan.member.has(email=BOB))).all())
    say("group", s.execute(sa.select(Member.phone, count()).where(Member.visits < 100).group_by(Member.phone).order_by(count().desc(), sa.func.min(Member.id))).all(),
        len(s.scalars(sa.select(Member.phone).distinct()).all()))
    for offset in (0, 2, 4):
        say("page", [member.email for member in s.scalars(sa.select(Member).where(Member.city != "Many").order_by(Member.visits.desc()).limit(2).offset(offset))])
    row_number = sa.func.row_number().over(partition_by=Member.phone, order_by=Member.id)
    ranked = sa.select(Member.email, row_number.label("n")).where(Member.phone.is_not(None), Member.visits < 100).subquery()
    say("window", s.execute(sa.select(ranked.c.email, ranked.c.n).where(ranked.c.n == 2)).all())
    some = sa.select(Member.id, Member.email).where(Member.visits < 6).cte("some")
    say("with", s.execute(sa.select(some.c.email).order_by(some.c.id)).scalars().all(),
        sorted(s.scalars(sa.union(sa.select(Member.email).where(Member.city == "Oslo"), sa.select(Loan.email).where(Loan.email.is_not(None)))).all()))


def changes(s):
    ada = s.scalars(sa.select(Member).filter_by(email=ADA)).one()
    ada.email, ada.note, ada.visits = CHANGED["email"], CHANGED["note"], Member.visits + 1
    s.commit()
    say("update", ada.said())
    ada.email, ada.phone = ADA, None
    s.commit()
    updated = s.execute(sa.update(Member).where(Member.email == EVE).values(phone=CHANGED["phone"]).returning(Member.email, Member.phone)).all()
    say("update", updated, s.execute(sa.update(Member).where(Member.phone == "nothing").values(note=None)).rowcount)
    s.execute(sa.update(Member), [{"id": ada.id, "phone": MEMBERS[0]["phone"]}, {"id": ada.id + 1, "phone": MEMBERS[1]["phone"]}])
    s.execute(sa.update(Member).where(Member.city != "Many").values(note=sa.case((Member.email == BOB, MEMBERS[1]["note"]), else_=Member.note)))
    s.execute(sa.update(Loan).where(Loan.member_id == Member.id, Member.email == BOB).values(email=Member.email))
    s.commit()
    s.expire_all()
    say("update", [member.said() for member in s.scalars(sa.select(Member).where(Member.visits < 100).order_by(Member.id))], s.scalar(sa.select(Loan.email).filter_by(title="Dracula")))
    rows = pg_insert(Member).values([UPSERTED, {**GONE, "email": EVE}])
    rows = rows.on_conflict_do_update(index_elements=[Member.email], set_={"phone": rows.excluded.phone, "note": rows.excluded.note, "visits": Member.visits + 1})
    say("upsert", sorted(s.execute(rows.returning(Member.email, Member.phone, Member.visits)).all()))
    say("upsert", s.execute(pg_insert(Member).values(MEMBERS[0]).on_conflict_do_nothing().returning(Member.id)).all(),
        s.merge(Member(id=ada.id, **{**MEMBERS[0], "city": "Bath"})).said(), s.scalar(sa.select(Member.note).filter_by(email=DORA)))
    s.commit()


def ends(s):
    s.add(Member(**GONE))
    s.flush()
    say("transaction", s.scalar(sa.select(Member.note).filter_by(email=GONE["email"])))
    s.rollback()
    say("transaction", s.scalar(sa.select(Member.note).filter_by(email=GONE["email"])))
    for email in (ADA, GONE["email"]):
        try:
            with s.begin_nested():
                s.execute(sa.insert(Member).values(**{**GONE, "email": email}))
                say("savepoint", email, "kept")
        except IntegrityError as error:
            say("duplicate", state(error), "members_email_key" in str(error.orig))
    s.commit()
    say("savepoint", s.scalar(sa.select(Member.phone).filter_by(email=GONE["email"])))
    outer = s.begin_nested()
    s.execute(sa.update(Member).where(Member.email == GONE["email"]).values(note="sentinel note: undone"))
    outer.rollback()
    say("savepoint", s.scalar(sa.select(Member.note).filter_by(email=GONE["email"]).with_for_update()))
    refused("lower", lambda: s.execute(sa.select(sa.func.lower(Member.email))), state)
    s.rollback()
    many = sa.select(Member.email).where(Member.city == "Many").order_by(Member.id).execution_options(yield_per=25)
    # asyncpg reads portals of the protocol; the others DECLARE.
    say("page", [list(part) for part in s.scalars(many).partitions()])
    refused("ilike", lambda: s.scalars(sa.select(Member.id).where(Member.email.ilike("ADA%"))).all(), state)
    s.rollback()
    # `note` is sealed at random, and the key beside it.
    say("distinct", sorted(member.said() for member in s.scalars(sa.select(Member).join(Loan).distinct())))
    s.delete(s.scalars(sa.select(Member).filter_by(email=BOB)).one())
    gone = s.execute(sa.delete(Member).where(Member.email.in_([GONE["email"], EVE])).returning(Member.email)).scalars().all()
    s.commit()
    say("delete", sorted(gone), s.scalar(sa.select(sa.func.count()).select_from(Loan)), s.scalars(sa.select(Member.email).where(Member.visits < 100).order_by(Member.id)).all())
    say("delete", s.execute(sa.delete(Loan)).rowcount, s.execute(sa.delete(Member)).rowcount)
    s.commit()


def work(session):
    for part in (writes, searches, related, counts, changes, ends):
        part(session)


def over(driver):
    def it():
        engine = sa.create_engine(sa.URL.create(f"postgresql+{driver}", USER, PASSWORD, HOST, PORT, DATABASE, {"sslmode": "disable"}))
        with Session(engine) as session:
            work(session)
        engine.dispose()

    return it


def asyncpg():
    async def main():
        engine = create_async_engine(sa.URL.create("postgresql+asyncpg", USER, PASSWORD, HOST, PORT, DATABASE), connect_args={"ssl": False})
        async with engine.connect() as connection:
            await connection.run_sync(lambda sync: work(Session(sync)))
        await engine.dispose()

    asyncio.run(main())


run(over("psycopg"), over("psycopg2"), asyncpg)
