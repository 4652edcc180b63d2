"""What applications do with asyncpg, said as a transcript that does not depend on the way there. It
describes a statement once and then binds without asking again, and speaks binary throughout."""

import asyncio
import io

import asyncpg

from transcript import DATABASE, HOST, PASSWORD, PORT, ROOT, SSLMODE, TYPES, USER, run_async, say, short


async def connect(**options):
    tls = {"ssl": SSLMODE} if ROOT is None else {"dsn": f"postgresql://?sslmode={SSLMODE}&sslrootcert={ROOT}"}
    arguments = {"host": HOST, "port": PORT, "user": USER, "password": PASSWORD, "database": DATABASE, "timeout": 20}
    return await asyncpg.connect(**{**arguments, **tls, **options})


async def refused(awaitable):
    try:
        await awaitable
    except asyncpg.PostgresError as error:
        say("error", *(getattr(error, name) for name in ("severity", "sqlstate", "message", "detail", "hint", "table_name",
                                                         "column_name", "constraint_name", "context", "position")))
        return
    raise AssertionError("no error")


async def login():
    c = await connect(server_settings={"application_name": "a driver", "search_path": "pg_catalog", "statement_timeout": "9s"})
    say("pid is the server's", c.get_server_pid() == await c.fetchval("SELECT pg_backend_pid()"))
    settings = c.get_settings()
    say("settings", settings.application_name, settings.client_encoding, settings.DateStyle, settings.TimeZone)
    say("shown", [await c.fetchval(f"SHOW {name}") for name in ("search_path", "statement_timeout")])
    await c.close()
    await refused(connect(password="wrong"))
    await refused(connect(database="no_such_database"))


async def types():
    c = await connect()
    row = await c.fetchrow(TYPES.replace("ROW(1, 'two')::text", "ROW(1, 'two'::text)"))
    say("row", tuple(row))
    statement = await c.prepare("SELECT $1::numeric, $2::timestamptz, $3::uuid[], $4::jsonb, $5::bytea, $6::int8range, $7::interval")
    say("parameters", [(t.name, t.oid) for t in statement.get_parameters()], [(a.name, a.type.name) for a in statement.get_attributes()])
    say("null", tuple(await statement.fetchrow(*[None] * 7)))
    await c.execute("CREATE SCHEMA asyncpg_types; CREATE TYPE asyncpg_types.mood AS ENUM ('sad', 'well'); CREATE TYPE asyncpg_types.pair AS (a int, b asyncpg_types.mood)")
    say("own types", await c.fetchval("SELECT ARRAY[ROW(1, 'well')::asyncpg_types.pair, NULL]"), await c.fetchval("SELECT $1::asyncpg_types.pair", (2, "sad")))
    await c.set_type_codec("json", encoder=str, decoder=lambda text: ["decoded", text], schema="pg_catalog")
    say("codec", await c.fetchval("SELECT '[1]'::json"))
    await c.execute("DROP SCHEMA asyncpg_types CASCADE")
    await c.close()


async def prepared():
    c = await connect(statement_cache_size=3)
    for n in range(12):
        say("cached", await c.fetchval(f"SELECT $1::int + {n % 5}", n), await c.fetchval("SELECT $1::text || 'x'", str(n)))
    say("kept", await c.fetchval("SELECT count(*) <= 4 FROM pg_prepared_statements"))
    await c.execute("CREATE TEMP TABLE changing (a int); INSERT INTO changing VALUES (1)")
    for change in ("SELECT 1", "ALTER TABLE changing ADD b text DEFAULT 'b'", "ALTER TABLE changing ALTER a TYPE text", "DEALLOCATE ALL", "DISCARD ALL"):
        await c.execute(change)
        if change == "DISCARD ALL":
            await refused(c.fetch("SELECT * FROM changing"))
            break
        try:
            say(change, [tuple(row) for row in await c.fetch("SELECT * FROM changing")])
        except asyncpg.PostgresError as error:
            say(change, error.sqlstate, str(error))
    await refused(c.prepare("SELECT no_such"))
    await refused(c.fetchval("SELECT 1 / $1::int", 0))
    say("after", await c.fetchval("SELECT 1"))
    await c.close()


async def batches():
    c = await connect()
    await c.execute("CREATE TEMP TABLE b (id int PRIMARY KEY, t text)")
    await c.executemany("INSERT INTO b VALUES ($1, $2)", [(n, "x" * (n % 300)) for n in range(5000)])
    say("in", tuple(await c.fetchrow("SELECT count(*), sum(length(t)) FROM b")))
    await refused(c.executemany("INSERT INTO b VALUES ($1, $2)", [(n, "y") for n in range(9000, 4000, -1)]))
    say("none of it", tuple(await c.fetchrow("SELECT count(*), max(id) FROM b")))
    rows = await c.fetchmany("INSERT INTO b VALUES ($1, $2) RETURNING id", [(n, "z") for n in range(6000, 6005)])
    say("returned", [row["id"] for row in rows])
    say("simple", await c.execute("SELECT 1; DELETE FROM b WHERE id >= 6000; UPDATE b SET t = ''"))
    await c.close()


async def cursors():
    c = await connect()
    async with c.transaction():
        cursor = await c.cursor("SELECT n FROM generate_series(1, 100) n")
        say("fetched", [r["n"] for r in await cursor.fetch(3)], await cursor.forward(20), (await cursor.fetchrow())["n"], len(await cursor.fetch(500)))
        say("streamed", sum([row["n"] async for row in c.cursor("SELECT n FROM generate_series(1, 3000) n", prefetch=70)]))
        inner = [[(a["n"], b["m"]) async for b in c.cursor("SELECT m FROM generate_series(1, 3) m", prefetch=1)] async for a in c.cursor("SELECT n FROM generate_series(1, 3) n", prefetch=1)]
        say("two at once", inner)
    await refused(fail_within_cursor(c))
    await c.close()


async def fail_within_cursor(c):
    async with c.transaction():
        async for _ in c.cursor("SELECT 100 / (50 - n) FROM generate_series(1, 100) n", prefetch=10):
            pass


async def copies():
    c = await connect()
    await c.execute("CREATE TEMP TABLE copied (id int, t text, b bytea)")
    records = [(n, None if n % 5 == 0 else f"tab\t{n}", bytes([n % 256]) * (n % 70)) for n in range(4000)]
    say("in", await c.copy_records_to_table("copied", records=records, columns=["id", "t", "b"]))
    for options in ({}, {"format": "csv", "header": True}, {"format": "binary"}):
        out = io.BytesIO()
        say("out", await c.copy_from_query("SELECT * FROM copied ORDER BY id", output=out, **options), short(out.getvalue()))
    out.seek(0)
    say("back", await c.copy_to_table("copied", source=out, format="binary"))
    await refused(c.copy_to_table("copied", source=io.BytesIO(b"1\nnone\n" + b"2\n" * 100000), columns=["id"]))
    await refused(c.copy_from_query("SELECT 1 / (500 - n) FROM generate_series(1, 1000) n", output=io.BytesIO()))

    async def gives_up():
        yield b"1\n"
        raise RuntimeError("given up")

    try:
        await c.copy_to_table("copied", source=gives_up(), columns=["id"])
    except RuntimeError as error:
        say("client", str(error))
    say("after", await c.fetchval("SELECT count(*) FROM copied"))
    await c.close()


async def cancelling():
    c = await connect()
    for _ in range(3):
        try:
            await c.fetch("SELECT pg_sleep(60)", timeout=0.05)
        except asyncio.TimeoutError:
            say("timed out", await c.fetchval("SELECT 'well'"))
    watcher = await connect()
    task = asyncio.create_task(c.execute("SELECT pg_sleep(60)"))
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'"
    while await watcher.fetchval(asleep, c.get_server_pid()) == 0:
        pass
    await watcher.close()
    task.cancel()
    say("cancelled", isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError))
    say("after", await c.fetchval("SELECT 'well'"))
    await c.close()


async def notifications():
    listening, speaking = await connect(), await connect()
    heard, notices = asyncio.Queue(), []
    await listening.add_listener("drivers", lambda c, pid, channel, payload: heard.put_nowait((pid, channel, payload)))
    listening.add_log_listener(lambda c, notice: notices.append((notice.severity, notice.sqlstate, notice.message, notice.hint)))
    await speaking.execute("NOTIFY drivers; NOTIFY drivers, 'two'")
    await speaking.fetchval("SELECT pg_notify('drivers', $1)", "x" * 7000)
    for _ in range(3):
        pid, channel, payload = await asyncio.wait_for(heard.get(), 20)
        say("heard", channel, short(payload), pid == speaking.get_server_pid())
    await listening.execute("DO $$BEGIN RAISE NOTICE 'a notice' USING HINT = 'a hint'; END$$; DROP TABLE IF EXISTS not_there")
    await asyncio.sleep(0)
    say("notices", notices)
    await listening.close()
    await speaking.close()


async def transactions():
    c = await connect()
    await c.execute("CREATE TEMP TABLE t (id int PRIMARY KEY, n int CHECK (n > 0))")
    for bad in ("INSERT INTO t VALUES (1, 1), (1, 2)", "INSERT INTO t VALUES (2, -1)", "SELEC 1", "SELECT 1/0", "SELECT * FROM no_such"):
        async with c.transaction():
            await c.execute("INSERT INTO t SELECT coalesce(max(id), 10) + 1, 1 FROM t")
            inner = c.transaction()
            await inner.start()
            await refused(c.execute(bad))
            await refused(c.execute("SELECT 1"))
            await inner.rollback()
    say("kept", await c.fetchval("SELECT count(*) FROM t"), c.is_in_transaction())
    async with c.transaction(isolation="serializable", readonly=True, deferrable=True):
        say("level", await c.fetchval("SHOW transaction_isolation"), await c.fetchval("SHOW transaction_read_only"))
    await c.close()


async def long_values():
    c = await connect()
    for size in (70_000, 1 << 20, 20 << 20):
        value = bytes(range(256)) * (size // 256)
        say("bytes", short(await c.fetchval("SELECT $1::bytea", value)))
    say("statement", await c.fetchval("SELECT length('" + "y" * 3_000_000 + "')"))
    say("parameters", await c.fetchval("SELECT cardinality(ARRAY[" + ", ".join(f"${n}::int" for n in range(1, 20001)) + "])", *[1] * 20000))
    say("rows", sum(row[0] for row in await c.fetch("SELECT n, repeat('x', 100) FROM generate_series(1, 20000) n")))
    await c.close()


async def two_phases():
    c = await connect()
    await c.execute("DROP TABLE IF EXISTS two_phases_asyncpg; CREATE TABLE two_phases_asyncpg (id int)")
    for number, end in enumerate(("COMMIT", "ROLLBACK")):
        await c.execute(f"BEGIN; INSERT INTO two_phases_asyncpg VALUES ({number}); PREPARE TRANSACTION 'asyncpg {number}'")
        say("prepared", await c.fetchval("SELECT count(*) FROM pg_prepared_xacts WHERE gid LIKE 'asyncpg %'"), await c.execute(f"{end} PREPARED 'asyncpg {number}'"))
    say("left", [tuple(row) for row in await c.fetch("TABLE two_phases_asyncpg")], await c.execute("DROP TABLE two_phases_asyncpg"))
    await c.close()


async def pools():
    async with asyncpg.create_pool(host=HOST, port=PORT, user=USER, password=PASSWORD, database=DATABASE, min_size=2, max_size=5,
                                   connect=lambda *_, **options: connect(**{key: options[key] for key in ("loop", "connection_class", "record_class") if key in options})) as pool:
        async def work(n):
            async with pool.acquire() as c:
                await c.execute("SET application_name = 'changed'")
                return await c.fetchval("SELECT $1::int * 2", n)

        say("sum", sum(await asyncio.gather(*map(work, range(200)))))
        say("reset", await pool.fetchval("SHOW application_name"))
        async with pool.acquire() as c:
            pid = c.get_server_pid()
            await pool.execute(f"SELECT pg_terminate_backend({pid}, 5000)")
            try:
                await c.fetchval("SELECT 1")
            except (asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError) as error:
                say("ended", getattr(error, "sqlstate", None))
        say("again", await pool.fetchval("SELECT 1"))


asyncio.run(run_async([login, types, prepared, batches, cursors, copies, cancelling, notifications, transactions, long_values, two_phases, pools]))
