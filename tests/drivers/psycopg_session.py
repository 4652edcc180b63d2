"""Drives psycopg 3 the ways applications do. Arguments: host, port, and the shop's kind.

Exits with a traceback where anything is not as it would be on a plain server.
"""

import sys

import psycopg
from psycopg import errors, sql
from psycopg.rows import dict_row

HOST, PORT = sys.argv[1], sys.argv[2]
DSN = f"host={HOST} port={PORT} user=postgres dbname=postgres connect_timeout=10"
PEOPLE = [(n, f"user{n}@sentinel.example", f"+44 20 7946 {n:04}", f"Town of {n}") for n in range(1, 41)]
INSERT = "INSERT INTO customers (id, email, phone, city) VALUES (%s, %s, %s, %s)"


def connect(**options):
    return psycopg.connect(DSN, **options)


def fresh(connection):
    connection.execute("DELETE FROM customers")
    connection.execute("DELETE FROM orders")
    connection.commit()


def text_and_binary():
    with connect() as connection:
        fresh(connection)
        with connection.cursor() as cursor:
            cursor.executemany(INSERT, PEOPLE)
            assert cursor.rowcount == len(PEOPLE)
        connection.commit()
        for binary in (False, True):
            with connection.cursor(binary=binary) as cursor:
                cursor.execute("SELECT id, email, phone, city FROM customers ORDER BY id")
                assert cursor.fetchall() == PEOPLE
                assert [column.name for column in cursor.description] == ["id", "email", "phone", "city"]
                assert cursor.description[1].type_code == psycopg.adapters.types["text"].oid
                cursor.execute("SELECT id FROM customers WHERE email = %s", [PEOPLE[4][1]], binary=binary)
                assert cursor.fetchone() == (5,)
                cursor.execute("SELECT id FROM customers WHERE email = %b", [PEOPLE[6][1]])
                assert cursor.fetchone() == (7,)
                cursor.execute("SELECT count(*) FROM customers WHERE email = ANY(%s)", [[p[1] for p in PEOPLE[:9]]])
                assert cursor.fetchone() == (9,)
                cursor.execute("SELECT id FROM customers WHERE email = %s", [None])
                assert cursor.fetchall() == []
        with connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute("SELECT * FROM customers WHERE id = 3").fetchone()
            assert (row["email"], row["city"], row["note"]) == (PEOPLE[2][1], PEOPLE[2][3], None)
        odd = "it's \\ \"q\" %; \u00fc\u4e2d\U0001f600 \n"
        connection.execute(INSERT, (99, odd, odd, odd))
        assert connection.execute("SELECT email, phone, city FROM customers WHERE email = %s", [odd]).fetchone() == (odd,) * 3
        # With the literals in the text; one that would need a prefix is not read (E'...').
        quoted = "it's \"q\" \u00fc\u4e2d\U0001f600 \n"
        literal = sql.SQL("UPDATE customers SET email = {0}, phone = {0} WHERE id = 99").format(sql.Literal(quoted))
        assert connection.execute(literal).rowcount == 1
        literal = sql.SQL("SELECT phone FROM customers WHERE email = {}").format(sql.Literal(quoted))
        assert connection.execute(literal).fetchone() == (quoted,)
        try:
            with connection.transaction():
                connection.execute(sql.SQL("SELECT phone FROM customers WHERE email = {}").format(sql.Literal(odd)))
        except psycopg.Error as error:
            assert error.sqlstate == "SG001", error
        with psycopg.ClientCursor(connection) as cursor:
            cursor.execute("SELECT id FROM customers WHERE email = %s", [PEOPLE[1][1]])
            assert cursor.fetchone() == (2,)
        connection.rollback()


def prepared_after_five():
    with connect() as connection:
        for n in range(12):
            row = connection.execute("SELECT email, phone FROM customers WHERE id = %s", [n + 1]).fetchone()
            assert row == PEOPLE[n][1:3], (n, row)
            row = connection.execute("SELECT id FROM customers WHERE email = %s", [PEOPLE[n][1]], prepare=True).fetchone()
            assert row == (n + 1,)
            with connection.cursor(binary=True) as cursor:
                assert cursor.execute("SELECT city, email FROM customers WHERE id = %s", [n + 1]).fetchone() == (PEOPLE[n][3], PEOPLE[n][1])
        kept = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()[0]
        assert kept >= 3, "psycopg prepares what it runs often"


def pipelines():
    with connect() as connection:
        with connection.pipeline():
            cursors = [connection.execute("SELECT email FROM customers WHERE id = %s", [n]) for n, *_ in PEOPLE]
            connection.execute("INSERT INTO orders VALUES (1, 'x')")
            plain = connection.execute("SELECT item FROM orders")
        assert [cursor.fetchone()[0] for cursor in cursors] == [person[1] for person in PEOPLE]
        assert plain.fetchone() == ("x",)
        with connection.pipeline(), connection.cursor() as cursor:
            cursor.executemany("UPDATE customers SET phone = %s WHERE id = %s RETURNING phone", [("again", n) for n in range(1, 9)], returning=True)
            seen = [cursor.fetchone()[0]]
            while cursor.nextset():
                seen.append(cursor.fetchone()[0])
            assert seen == ["again"] * 8, seen
        connection.rollback()
        # A refused statement in the middle: what came before is undone, what comes after works.
        try:
            with connection.pipeline():
                connection.execute("INSERT INTO orders VALUES (2, 'y')")
                connection.execute("SELECT lower(email) FROM customers")
                connection.execute("SELECT 1")
        except psycopg.Error as error:
            assert error.sqlstate == "SG001", error.sqlstate
            assert str(error).startswith("sealgate:"), error
        else:
            raise AssertionError("not refused")
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (0,)


def errors_in_transactions():
    with connect() as connection:
        with connection.transaction():
            connection.execute("INSERT INTO orders VALUES (10, 'kept')")
            for bad, state in [("SELECT lower(email) FROM customers", "SG001"), ("SELECT 1/0", "22012")]:
                try:
                    with connection.transaction():
                        connection.execute("INSERT INTO orders VALUES (11, 'undone')")
                        connection.execute(bad)
                except psycopg.Error as error:
                    assert error.sqlstate == state, error
                else:
                    raise AssertionError(bad)
        assert connection.execute("SELECT id FROM orders").fetchall() == [(10,)]
        try:
            connection.execute(INSERT, PEOPLE[0])
        except errors.UniqueViolation as error:
            assert "sentinel" not in str(error), "a server's error must not tell what is sealed"
        try:
            connection.execute("SELECT 1")
        except errors.InFailedSqlTransaction:
            pass
        connection.rollback()
        connection.execute("DELETE FROM orders")


def copies():
    with connect() as connection, connection.cursor() as cursor:
        with cursor.copy("COPY orders (id, item) FROM STDIN") as copy:
            for n in range(2000):
                copy.write_row((n, f"item {n}" if n % 3 else None))
        with cursor.copy("COPY orders (id, item) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int4", "text"])
            rows = list(copy.rows())
        assert len(rows) == 2000 and rows[4] == (4, "item 4") and rows[3] == (3, None)
        try:
            with cursor.copy("COPY orders (id) FROM STDIN") as copy:
                copy.write("1\nno number\n")
        except errors.InvalidTextRepresentation:
            connection.rollback()
        try:
            with cursor.copy("COPY orders (id) FROM STDIN") as copy:
                copy.write("77777\n")
                raise RuntimeError("the client gives up")
        except RuntimeError:
            connection.rollback()
        with cursor.copy("COPY (SELECT email FROM customers ORDER BY id) TO STDOUT") as copy:
            assert [row[0] for row in copy.rows()] == [person[1] for person in PEOPLE]
        with cursor.copy("COPY customers (id, email, phone) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "text", "text"])
            copy.write_row((77777, "copied@sentinel.example", None))
        cursor.execute("SELECT id FROM customers WHERE email = %s", ("copied@sentinel.example",))
        assert cursor.fetchall() == [(77777,)]
        cursor.execute("DELETE FROM customers WHERE id = 77777")
        try:
            with cursor.copy("COPY (SELECT email || 'x' FROM customers) TO STDOUT") as copy:
                copy.read()
        except psycopg.Error as error:
            assert error.sqlstate == "SG001", error
            connection.rollback()
        else:
            raise AssertionError("a COPY that looks into a sealed column")
        assert cursor.execute("SELECT count(*) FROM orders").fetchone() == (0,)


def streams_and_cursors():
    with connect() as connection:
        connection.execute("INSERT INTO orders SELECT n, 'item' FROM generate_series(1, 300) n")
        with connection.cursor() as cursor:
            assert sum(1 for _ in cursor.stream("SELECT id FROM orders")) == 300
            emails = [row[0] for row in cursor.stream("SELECT email FROM customers ORDER BY id")]
            assert emails == [person[1] for person in PEOPLE]
        with connection.cursor("server_side") as cursor:
            cursor.execute("SELECT id FROM orders ORDER BY id")
            assert len(cursor.fetchmany(120)) == 120 and len(cursor.fetchall()) == 180
        connection.rollback()


for part in (text_and_binary, prepared_after_five, pipelines, errors_in_transactions, copies, streams_and_cursors):
    try:
        part()
    except Exception:
        print(f"failed in {part.__name__}", file=sys.stderr)
        raise
print("ok")
