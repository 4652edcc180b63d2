"""What SQLAlchemy writes to make tables, of columns of many types with defaults; and Alembic's operations, as far as they are
SQLAlchemy's own constructs."""

from datetime import date

from sqlalchemy import (
    Boolean, CheckConstraint, Column, Date, DateTime, ForeignKey, Identity, Index, Integer, MetaData, Numeric, String, Table, Text,
    create_engine, func, text,
)
from transcript import DATABASE, HOST, PASSWORD, PORT, USER

engine = create_engine(f"postgresql+psycopg://{USER}:{PASSWORD}@{HOST}:{PORT}/{DATABASE}")
metadata = MetaData()
people = Table(
    "people", metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("email", String(254), nullable=False, unique=True, comment="as it was given"),
    Column("phone", String(20), nullable=False, server_default="", index=True),
    Column("born", Date, server_default=text("'2000-01-01'::date")),
    Column("level", Integer, nullable=False, server_default="3"),
    Column("active", Boolean, nullable=False, server_default=text("false")),
    Column("salary", Numeric(10, 2), nullable=False, server_default=text("0")),
    Column("note", Text),
    Column("city", String(50), server_default="none"),
    Column("created", DateTime(timezone=True), server_default=func.now()),
    CheckConstraint("level IN (1, 2, 3)", name="level_known"),
    comment="people and what is known of them",
)
Index("people_email_lower", func.lower(people.c.email), unique=True)
Index("people_phone_pattern", people.c.phone, postgresql_ops={"phone": "varchar_pattern_ops"})
Index("people_born_known", people.c.born, postgresql_where=people.c.born.isnot(None))
guests = Table(
    "guests", metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("email", String(254), ForeignKey("people.email", deferrable=True, initially="DEFERRED", ondelete="CASCADE", onupdate="CASCADE")),
)

metadata.create_all(engine)
metadata.create_all(engine)
with engine.begin() as connection:
    for statement in [
        "ALTER TABLE people ADD COLUMN nick VARCHAR(40) DEFAULT 'x' NOT NULL",
        "ALTER TABLE people ADD COLUMN place VARCHAR(20)",
        "ALTER TABLE people ALTER COLUMN place SET DEFAULT 'somewhere'",
        "ALTER TABLE people ALTER COLUMN phone TYPE VARCHAR(20)",
        "ALTER TABLE people ALTER COLUMN born DROP DEFAULT",
        "ALTER TABLE people ALTER COLUMN nick DROP NOT NULL",
        "CREATE INDEX ix_people_level ON people (level)",
    ]:
        connection.execute(text(statement))
    connection.execute(people.insert(), [{"email": "Ada@sentinel.example", "born": date(1815, 12, 10), "note": "sentinel note"}])
    connection.execute(guests.insert(), [{"email": "ada@sentinel.example"} if DATABASE == "sealed" else {"email": "Ada@sentinel.example"}])
with engine.connect() as connection:
    rows = connection.execute(text("SELECT phone, born, level, active, salary, city, nick, place FROM people")).all()
    print("people:", [[str(value) for value in row] for row in rows])
    print("guests:", connection.execute(text("SELECT count(*) FROM guests g JOIN people p USING (email)")).scalar())
print("done")
