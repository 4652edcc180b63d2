"""What applications do with SQLAlchemy 2, over psycopg and over asyncpg, said as a transcript."""

import asyncio
import datetime
import decimal

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from transcript import DATABASE, HOST, PASSWORD, PORT, ROOT, SSLMODE, USER, run, say


def url(dialect):
    query = {}
    if "psycopg" in dialect:
        query = {"sslmode": SSLMODE, **({"sslrootcert": ROOT} if ROOT else {})}
    return sa.URL.create(f"postgresql+{dialect}", USER, PASSWORD, HOST, PORT, DATABASE, query)


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "sa_customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(80), unique=True)
    born: Mapped[datetime.date | None]
    worth: Mapped[decimal.Decimal | None] = mapped_column(sa.Numeric(12, 2))
    notes: Mapped[dict | None] = mapped_column(sa.JSON)
    orders: Mapped[list["Order"]] = relationship(back_populates="customer", cascade="all, delete-orphan")


class Order(Base):
    __tablename__ = "sa_orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str]
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("sa_customers.id"))
    customer: Mapped[Customer] = relationship(back_populates="orders")


def work(session):
    """One application's day; the same for both dialects."""
    session.add_all([
        Customer(id=n, name=f"customer {n}", born=datetime.date(2000, 1, n), worth=decimal.Decimal(n) / 3, notes={"n": [n, None]},
                 orders=[Order(id=n * 10 + m, item=f"item {m}") for m in range(3)])
        for n in range(1, 21)
    ])
    session.commit()
    say("joined", session.execute(
        sa.select(Customer.name, sa.func.count(Order.id)).join(Order).group_by(Customer.name).order_by(Customer.name).limit(3)
    ).all())
    one = session.scalars(sa.select(Customer).where(Customer.id == sa.bindparam("id")), {"id": 7}).one()
    say("one", one.name, one.born, one.worth, one.notes, [order.item for order in one.orders])
    say("in", session.scalars(sa.select(Customer.id).where(Customer.id.in_([3, 1, 99])).order_by(Customer.id)).all())
    for n in (1, 21):
        nested = session.begin_nested()
        try:
            session.add(Customer(id=100 + n, name=f"customer {n}"))
            session.flush()
            nested.commit()
            say("savepoint", n, "kept")
        except IntegrityError as error:
            nested.rollback()
            say("savepoint", n, "undone", error.orig.sqlstate)
    session.commit()
    say("returning", session.execute(
        sa.insert(Order).returning(Order.id), [{"id": 900 + n, "item": "many", "customer_id": 1} for n in range(50)]
    ).scalars().all()[:3])
    session.rollback()
    say("after a rollback", session.scalar(sa.select(sa.func.count()).select_from(Order)))
    streamed = session.scalars(sa.select(Order.id).order_by(Order.id).execution_options(yield_per=7))
    say("streamed", sum(streamed))
    try:
        session.execute(sa.text("SELECT 1 / :zero"), {"zero": 0})
    except DBAPIError as error:
        say("error", error.orig.sqlstate)
    session.rollback()
    session.delete(session.get(Customer, 7))
    session.commit()
    say("deleted", session.scalar(sa.select(sa.func.count()).select_from(Order)))


def psycopg():
    engine = sa.create_engine(url("psycopg"), pool_size=2, pool_pre_ping=True)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    say("tables", sorted(sa.inspect(engine).get_table_names())[-2:])
    with Session(engine) as session:
        work(session)
    with engine.connect() as connection:
        two_phases = connection.begin_twophase("a driver")
        connection.execute(sa.insert(Order).values(id=1000, item="in two phases", customer_id=1))
        two_phases.prepare()
        with engine.connect() as other:
            prepared = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"
            say("prepared", other.scalars(sa.text(prepared)).all())
        two_phases.commit()
    with engine.connect() as connection:
        say("committed", connection.scalar(sa.select(Order.item).where(Order.id == 1000)))
        connection.rollback()
        connection.execution_options(isolation_level="SERIALIZABLE")
        say("isolation", connection.scalar(sa.text("SHOW transaction_isolation")))
    Base.metadata.drop_all(engine)
    engine.dispose()


def asyncpg():
    async def main():
        arguments = {"ssl": False}
        if ROOT:
            import ssl

            arguments = {"ssl": ssl.create_default_context(cafile=ROOT)}
        engine = create_async_engine(url("asyncpg"), connect_args=arguments)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)
        async with engine.connect() as connection:
            await connection.run_sync(lambda sync: work(Session(sync)))
        async with engine.connect() as connection:
            result = await connection.stream(sa.select(Order.id).order_by(Order.id))
            say("stream", len([row async for row in result]))
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
        await engine.dispose()

    asyncio.run(main())


run([psycopg, asyncpg])
