"""What applications do with psycopg 3, said as a transcript that does not depend on the way there."""

import threading

import psycopg
from psycopg import errors
from psycopg.types.json import Jsonb

from transcript import TYPES, run, say, short


def connect(**options):
    return psycopg.connect(**{"connect_timeout": 10, "autocommit": True, **options})


def told(error):
    fields = error.diag
    say("error", fields.severity, error.sqlstate, fields.message_primary, fields.message_detail, fields.message_hint,
        fields.schema_name, fields.table_name, fields.column_name, fields.constraint_name, fields.context, fields.statement_position)


def refused(what, *arguments, **options):
    try:
        what(*arguments, **options)
    except psycopg.Error as error:
        told(error)
        return error
    raise AssertionError("no error")


def login():
    with connect(application_name="a driver", options="-c statement_timeout=7s -c search_path=pg_catalog") as c:
        say("pid is the server's", c.info.backend_pid == c.execute("SELECT pg_backend_pid()").fetchone()[0])
        for name in ("application_name", "statement_timeout", "search_path", "client_encoding", "DateStyle", "TimeZone"):
            say(name, c.execute(f"SHOW {name}").fetchone()[0])
        for name in ("server_encoding", "is_superuser", "session_authorization", "integer_datetimes", "standard_conforming_strings"):
            say(name, c.info.parameter_status(name))
        c.execute("SET application_name = 'another'; SET DateStyle = 'German'")
        say("told of", c.info.parameter_status("application_name"), c.info.parameter_status("DateStyle"))
    with connect(client_encoding="LATIN1") as c:
        say("latin1", c.execute("SELECT 'gr\u00fc\u00df'").fetchone(), c.info.encoding)
    for options in ({"password": "wrong"}, {"dbname": "no_such_database"}, {"user": "nobody"}, {"options": "-c no_such=1"}):
        try:
            connect(**options)
        except psycopg.OperationalError as error:
            say("refused", list(options), str(error).partition("FATAL:")[2].strip())


def types():
    with connect() as c:
        for binary in (False, True):
            with c.cursor(binary=binary) as cursor:
                cursor.execute(TYPES)
                say("binary" if binary else "text", cursor.fetchall())
                say("described", [(column.name, column.type_code, column.internal_size) for column in cursor.description])
        values = (7, 1.25, "text", b"\x00\xff", None, [1, 2, None], Jsonb({"k": [1]}), True)
        for mark in ("%s", "%b", "%t"):
            marks = ", ".join([mark] * len(values)) if mark != "%b" else "%s, %b, %b, %b, %s, %b, %b, %b"
            say("sent by " + mark, c.execute(f"SELECT {marks}", values).fetchone())


def prepared():
    with connect() as c:
        for n in range(8):
            say("row", c.execute("SELECT %s::int * 2, %s::text", (n, "x" * n)).fetchone())
        say("kept", c.execute("SELECT count(*) FROM pg_prepared_statements").fetchone())
        c.execute("DEALLOCATE ALL")
        refused(c.execute, "SELECT 1/%s", (0,), prepare=True)
        c.execute("CREATE TEMP TABLE changing (a int)")
        say("before", c.execute("SELECT * FROM changing", prepare=True).fetchall())
        c.execute("DO 'BEGIN ALTER TABLE changing ADD b text; END'")  # not seen by the driver
        refused(c.execute, "SELECT * FROM changing", prepare=True)


def batches():
    with connect() as c:
        c.execute("CREATE TEMP TABLE b (id int PRIMARY KEY, t text)")
        with c.pipeline() as pipeline:
            rows = [c.execute("INSERT INTO b VALUES (%s, %s) RETURNING id, t", (n, f"row {n}")) for n in range(300)]
            pipeline.sync()
            say("first and last", rows[0].fetchall(), rows[-1].fetchall(), rows[7].statusmessage)
        try:
            with c.pipeline():
                c.execute("INSERT INTO b VALUES (1000, 'undone')")
                c.execute("INSERT INTO b VALUES (1, 'again')")
                c.execute("INSERT INTO b VALUES (1001, 'never')")
        except psycopg.Error as error:
            told(error)
        say("left", c.execute("SELECT count(*), max(id) FROM b").fetchone())
        with c.cursor() as cursor:
            cursor.executemany("UPDATE b SET t = %s WHERE id = %s RETURNING id", [("new", n) for n in range(20)], returning=True)
            seen = [cursor.fetchone()]
            while cursor.nextset():
                seen.append(cursor.fetchone())
            say("many", seen)
        cursor = psycopg.ClientCursor(c).execute("SELECT 1; UPDATE b SET t = 'x' WHERE id < 3; ; SELECT 'three', 3")
        say("simple", cursor.fetchall(), cursor.statusmessage)
        while cursor.nextset():
            say("next", cursor.statusmessage, cursor.description and cursor.fetchall())


def cursors():
    with connect(autocommit=False) as c:
        with c.cursor("scrolled", scrollable=True) as cursor:
            cursor.execute("SELECT n, repeat('x', n) FROM generate_series(1, 100) n")
            say("fetched", cursor.fetchmany(3), cursor.scroll(50), cursor.fetchone()[0], cursor.scroll(2, "absolute"), cursor.fetchone())
        with c.cursor("held", withhold=True) as cursor:
            cursor.execute("SELECT n FROM generate_series(1, 50) n")
            c.commit()
            say("held", len(cursor.fetchall()))
        c.commit()
        with c.cursor() as cursor:
            say("streamed", sum(row[0] for row in cursor.stream("SELECT n FROM generate_series(1, 5000) n")))
        with c.cursor() as cursor:
            refused(lambda: list(cursor.stream("SELECT 100 / (50 - n) FROM generate_series(1, 100) n")))
        c.rollback()


def copies():
    with connect() as c, c.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE copied (id int, t text, b bytea)")
        rows = [(n, None if n % 5 == 0 else f"tab\t and \\ and \n {n}", bytes([n % 256]) * (n % 70)) for n in range(3000)]
        with cursor.copy("COPY copied FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        say("in", cursor.rowcount, cursor.statusmessage)
        for options in ("", "(FORMAT csv, HEADER)", "(FORMAT binary)"):
            with cursor.copy(f"COPY (SELECT * FROM copied ORDER BY id) TO STDOUT {options}") as copy:
                say("out " + options, short(b"".join(copy)), cursor.statusmessage)
        with cursor.copy("COPY copied TO STDOUT (FORMAT binary)") as out:
            taken = b"".join(out)
        with cursor.copy("COPY copied FROM STDIN (FORMAT binary)") as copy:
            for at in range(0, len(taken), 777):
                copy.write(taken[at:at + 777])
        say("binary in", cursor.statusmessage)

        def broken(statement, data):
            with cursor.copy(statement) as copy:
                for piece in data:
                    copy.write(piece)

        refused(broken, "COPY copied (id) FROM STDIN", ["1\n2\n", "none\n", *["3\n"] * 10000])
        refused(broken, "COPY no_such_table FROM STDIN", ["1\n"])
        try:
            with cursor.copy("COPY copied (id) FROM STDIN") as copy:
                copy.write("1\n")
                raise RuntimeError("given up")
        except RuntimeError as error:
            say("client", str(error))

        def read(statement):
            with cursor.copy(statement) as copy:
                return sum(map(len, copy))

        refused(read, "COPY (SELECT 1/(500-n) FROM generate_series(1, 1000) n) TO STDOUT")
    with connect() as c:
        say("after", c.execute("SELECT 1").fetchone())


def cancelling():
    with connect() as c, connect() as watcher:
        pid, seen = c.info.backend_pid, "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"

        def cancel():
            while watcher.execute(seen, (pid,)).fetchone() != (1,):
                pass
            c.cancel_safe()

        for _ in range(3):
            thread = threading.Thread(target=cancel)
            thread.start()
            error = refused(c.execute, "SELECT pg_sleep(60)")
            thread.join()
            assert isinstance(error, errors.QueryCanceled)
            say("after", c.execute("SELECT 'well'").fetchone())
        c.cancel_safe()
        say("idle is not harmed", c.execute("SELECT 'well'").fetchone())
        c.execute("SET statement_timeout = 20")
        refused(c.execute, "SELECT pg_sleep(60)")


def notifications():
    with connect() as listening, connect() as speaking:
        notices = []
        listening.add_notice_handler(lambda notice: notices.append((notice.severity, notice.sqlstate, notice.message_primary, notice.message_hint)))
        listening.execute("LISTEN drivers")
        speaking.execute("SELECT pg_notify('drivers', 'one'), pg_notify('drivers', repeat('x', 7000))")
        speaking.execute("NOTIFY drivers")
        for n in listening.notifies(timeout=20, stop_after=3):
            say("heard", n.channel, short(n.payload), n.pid == speaking.info.backend_pid)
        listening.execute("NOTIFY drivers, 'to myself'")
        for n in listening.notifies(timeout=20, stop_after=1):
            say("heard", n.payload, n.pid == listening.info.backend_pid)
        listening.execute("DO $$BEGIN RAISE NOTICE 'a notice' USING HINT = 'a hint'; RAISE WARNING 'a warning'; END$$")
        listening.execute("DROP TABLE IF EXISTS not_there")
        say("notices", notices)


def large_objects():
    with connect(autocommit=False) as c:
        oid = c.execute("SELECT lo_from_bytea(0, %s)", (b"0123456789" * 50000,)).fetchone()[0]
        handle = c.execute("SELECT lo_open(%s, 393216)", (oid,)).fetchone()[0]
        say("sought", c.execute("SELECT lo_lseek64(%s, 499990, 0)", (handle,)).fetchone(), c.execute("SELECT loread(%s, 100)", (handle,)).fetchone())
        say("whole", short(c.execute("SELECT lo_get(%s)", (oid,), binary=True).fetchone()[0]))
        say("gone", c.execute("SELECT lo_unlink(%s)", (oid,)).fetchone())
        refused(c.execute, "SELECT lo_get(%s)", (2147483000,))


def transactions():
    with connect(autocommit=False) as c:
        c.execute("CREATE TEMP TABLE t (id int PRIMARY KEY, n int CHECK (n > 0))")
        c.commit()
        for status, bad in enumerate(["INSERT INTO t VALUES (1, 1), (1, 2)", "INSERT INTO t VALUES (2, -1)", "SELEC 1", "SELECT nothing",
                                      "SELECT 1/0", "SELECT 'x'::int", "INSERT INTO t VALUES (NULL, 1)", "RAISE", "SELECT * FROM no_such"]):
            with c.transaction():
                c.execute("INSERT INTO t VALUES (%s, 1)", (100 + status,))
                try:
                    with c.transaction():
                        c.execute(bad)
                except psycopg.Error as error:
                    told(error)
        say("kept", c.execute("SELECT count(*) FROM t").fetchone(), c.info.transaction_status.name)
        c.commit()
        refused(c.execute, "SELECT 1/0")
        say("status", c.info.transaction_status.name)
        refused(c.execute, "SELECT 1")
        c.rollback()
        say("status", c.info.transaction_status.name)
        for level in ("SERIALIZABLE", "REPEATABLE READ"):
            with c.transaction():
                c.execute(f"SET TRANSACTION ISOLATION LEVEL {level} READ ONLY")
                say("level", c.execute("SHOW transaction_isolation").fetchone())
            c.commit()
        c.read_only = True
        refused(c.execute, "CREATE TABLE never (a int)")
        c.rollback()


def long_values():
    with connect() as c:
        for size in (100, 70_000, 1 << 20, 20 << 20):
            value = bytes(range(256)) * (size // 256 + 1)
            say("bytes", short(c.execute("SELECT %b::bytea", (value,), binary=True).fetchone()[0]))
        say("text", short(c.execute("SELECT repeat('\u00e4', 3000000)").fetchone()[0]))
        say("statement", c.execute("SELECT length('" + "y" * 3_000_000 + "')").fetchone())
        say("columns", sum(c.execute("SELECT " + ", ".join(map(str, range(1600)))).fetchone()))
        say("parameters", c.execute("SELECT cardinality(ARRAY[" + ", ".join(["%s::int"] * 5000) + "])", [1] * 5000).fetchone())


def two_phases():
    with connect(autocommit=False) as c:
        c.execute("DROP TABLE IF EXISTS two_phases_psycopg")
        c.execute("CREATE TABLE two_phases_psycopg (id int)")
        c.commit()
        for number, end in enumerate((c.tpc_commit, c.tpc_rollback)):
            xid = c.xid(7, f"psycopg {number}", "branch")
            c.tpc_begin(xid)
            c.execute("INSERT INTO two_phases_psycopg VALUES (%s)", (number,))
            c.tpc_prepare()
            with connect() as other:
                say("prepared", [xid.gtrid for xid in other.tpc_recover()])
            end()
            say("left", c.execute("SELECT id FROM two_phases_psycopg").fetchall())
            c.rollback()
        c.execute("DROP TABLE two_phases_psycopg")
        c.commit()


def reconnecting():
    with connect() as killer:
        c = connect()
        killer.execute("SELECT pg_terminate_backend(%s, 5000)", (c.info.backend_pid,))
        try:
            c.execute("SELECT 1")
        except psycopg.Error as error:
            say("ended", type(error).__name__, error.sqlstate, str(error).splitlines()[0], c.closed, c.broken)
        for _ in range(25):
            with connect() as again:
                assert again.execute("SELECT 1").fetchone() == (1,)
        say("connected again", True)


run([login, types, prepared, batches, cursors, copies, cancelling, notifications, large_objects, transactions, long_values, two_phases, reconnecting])
