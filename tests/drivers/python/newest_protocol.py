"""What libpq 18 does in protocol 3.2, said so that it is the same by every way: long cancel keys, and what is
left of a version that the other side does not know. Connects by PG*."""

import threading

import psycopg

from transcript import run, say


def connect(**options):
    return psycopg.connect(**{"connect_timeout": 10, "autocommit": True, **options})


def cancelled(c):
    """Cancels a statement of this session, whichever one runs."""
    with connect() as watcher:
        def cancel():
            seen = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
            while watcher.execute(seen, (c.info.backend_pid,)).fetchone() != (1,):
                pass
            c.cancel_safe()

        thread = threading.Thread(target=cancel)
        thread.start()
        try:
            c.execute("SELECT pg_sleep(60)")
        except psycopg.errors.QueryCanceled as error:
            return error.sqlstate
        finally:
            thread.join()


def versions():
    say("libpq", psycopg.pq.version() // 10000)
    for options in ({}, {"max_protocol_version": "3.0"}, {"max_protocol_version": "3.2"}, {"max_protocol_version": "latest"},
                    {"min_protocol_version": "3.0", "max_protocol_version": "latest"}):
        with connect(**options) as c:
            say("login", options, c.execute("SELECT session_user").fetchone())
            say("pid is the server's", c.info.backend_pid == c.execute("SELECT pg_backend_pid()").fetchone()[0])
            say("cancelled", cancelled(c), c.execute("SELECT 'well'").fetchone())


def newest_alone():
    """Where the other side knows 3.2: a server of 18, and whatever the server, the gate."""
    with connect(min_protocol_version="3.2", max_protocol_version="3.2") as c:
        say("version", c.pgconn.full_protocol_version)
        say("cancelled", cancelled(c), c.execute("SELECT 'well'").fetchone())


run([versions, newest_alone])
