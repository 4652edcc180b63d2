"""What is measured: each workload with the text that it runs, by which client, and against whom.

A workload runs on a channel (plain, or TLS on both hops) and by a login (trust or SCRAM). All of
its targets take turns under the same of both, and are compared with each other alone.
"""

import os

from servers import DATABASE, PLAIN, SCRAM, TLS, TRUST, USER, BenchError

DIRECT, BOUNCER, POOL = "direct", "pgbouncer", "pgbouncer+pool"
SEALGATE, POLICY, RELAY = "sealgate", "sealgate+policy", "sealgate+relay"
OS, LEASED, FULL, BEFORE = "sealgate+os", "sealgate+lease", "sealgate+full", "sealgate+before"
# What [audit] says: the record is on disk before a value is shown, but for `os`.
LEVELS = {
    POLICY: 'durability = "intent"',
    OS: 'durability = "os"',
    LEASED: 'durability = "intent"\nlease = { executions = 1000, values = 10000, window = "50ms" }',
    FULL: 'durability = "full"',
    BEFORE: 'durability = "intent"',
}
TARGETS = {
    DIRECT: "to the server itself",
    BOUNCER: "PgBouncer in session mode, one client session one server session",
    POOL: "PgBouncer in session mode, handing server sessions on (connect alone)",
    SEALGATE: "no field is classified; SCRAM is ended and begun anew",
    POLICY: "one column of one table is sealed",
    OS: "the same, the record handed to the operating system before a value is shown",
    LEASED: "the same, one intent for up to 1,000 executions and 50 ms",
    FULL: "the same, the end of a result waits for its outcome, too",
    BEFORE: "one column of one table is sealed, by another program (--before)",
    RELAY: "no field is classified; SCRAM is passed through (connect alone)",
}
PROXIES = (DIRECT, BOUNCER, SEALGATE)
PLAIN_TABLE, SEALED_TABLE, COLUMN = "people_plain", "people_sealed", "email"
WIDE_TABLE, SINK = "visits", "visits_sink"
WIDE_ROWS, SINK_ROWS = 100_000, 10_000
# Read as a whole: what a direct client gets of it is sealed.
SCAN_TABLE, SCAN_COLUMNS = "customers_sealed", ("name", "email", "phone")
SCAN_SINK, SCAN_ALL = "customers_sink", ("id", "city", *SCAN_COLUMNS)

# What an application keeps of an event: numbers, texts, money, times, an address, a few NULLs.
WIDE_COLUMNS = ("id", "account_id", "placed_at", "amount", "status", "city", "browser", "address", "note")
WIDE_SQL = f"""
CREATE TABLE {WIDE_TABLE} (id integer PRIMARY KEY, account_id bigint NOT NULL, placed_at timestamptz NOT NULL,
    amount numeric(12, 2) NOT NULL, status text NOT NULL, city text, browser text NOT NULL, address inet, note text);
INSERT INTO {WIDE_TABLE} SELECT i, i * 7919 % 1000003, timestamptz '2026-01-01 00:00Z' + i * interval '17 seconds',
    (i * 31 % 100000) / 100.0, (ARRAY['open', 'paid', 'sent', 'returned'])[1 + i % 4],
    CASE WHEN i % 10 > 0 THEN 'Town of ' || md5((i % 500)::text) END,
    'Mozilla/5.0 (X11; Linux x86_64) Engine/' || i % 40, ('10.' || i % 200 || '.' || i % 250 || '.1')::inet,
    CASE WHEN i % 3 = 0 THEN repeat('left at the door ', 1 + i % 5) END
FROM generate_series(1, {WIDE_ROWS}) i;
"""

FAMILIES = {
    "statements": ("Statements", "Many short statements on tables that are not classified."),
    "classified": ("A classified column", "One text column read by key: sealed through Sealgate, plain through the others; "
                   "each read is on record, on disk, before it is shown."),
    "classified-bulk": ("Sealed rows in bulk", f"Rows of a table with {len(SCAN_COLUMNS)} sealed columns, one after another: a direct client reads "
                        "them sealed, through Sealgate they are opened."),
    "bulk": ("Bulk", f"Rows of {len(WIDE_COLUMNS)} columns of a table that is not classified, one after another."),
    "connections": ("Connections", "A new connection for each trivial statement."),
    "idle": ("Idle sessions", "What the memory of the proxy's process grows by for each session that has run one statement "
             "and waits; the kernel's own buffers are not in it. PgBouncer keeps its clients' state in slabs."),
}


class Workload:
    """`clients`: by channel, how many at a time unless the command line says so; a channel that is
    not named there runs when the workload is asked for by name."""

    def __init__(self, name, family, about, clients, targets, *, unit="transaction", extra_logins=()):
        self.name = name
        self.family = family
        self.about = about
        self.clients = clients
        self.targets = targets
        self.unit = unit
        self.extra_logins = extra_logins
        self.bytes_each = None

    def logins(self, channel):
        return (SCRAM,) if channel == TLS else (TRUST, *self.extra_logins)

    def targets_of(self, channel, login):
        relayed = channel == PLAIN and login == SCRAM
        return [name for name in self.targets if name != RELAY or relayed]


class Pgbench(Workload):
    """Run by pgbench, with `options` that may depend on the target."""

    def __init__(self, *arguments, options, sampled=0.1, connects=False, **more):
        super().__init__(*arguments, **more)
        self.options = options
        self.sampled = sampled  # share of transactions whose latency pgbench writes down
        self.connects = connects

    def arguments(self, target):
        return self.options(target) if callable(self.options) else self.options


class Copy(Workload):
    """Run by psql, since pgbench knows no COPY: `text` is one transaction of the client of that number, and may depend on the target."""

    def __init__(self, *arguments, text, **more):
        super().__init__(*arguments, **more)
        self.text = text


class Idle(Workload):
    """Sessions that are opened and kept."""


def _script(folder, name, text):
    path = os.path.join(folder, f"{name}.sql")
    with open(path, "w") as out:
        out.write(text)
    return path


def all_workloads(folder, rows, idle):
    """Every workload in the order of the report. Scripts and data that they need lie in `folder`."""
    by_key = {
        table: _script(folder, table, f"\\set id random(1, {rows})\nSELECT {COLUMN} FROM {table} WHERE id = :id;\n")
        for table in (PLAIN_TABLE, SEALED_TABLE)
    }
    scan = _script(folder, "scan", f"SELECT * FROM {WIDE_TABLE};\n")
    scan_sealed = _script(folder, "scan-sealed", f"SELECT * FROM {SCAN_TABLE};\n")
    trivial = _script(folder, "trivial", "SELECT 1;\n")
    data, plain_data, sealed_data = (os.path.join(folder, f"{name}.tsv") for name in ("sink", "scan-plain", "scan-sealed"))
    sealed = lambda target: ["-M", "prepared", "--file", by_key[SEALED_TABLE if target.name in LEVELS else PLAIN_TABLE]]  # noqa: E731
    few, one, many = [8], [1], [1, 8, 64]
    return [
        Pgbench("untouched", "statements", "pgbench -S -M prepared: a SELECT by key", {PLAIN: many, TLS: many},
                (*PROXIES, POLICY), options=["-S", "-M", "prepared"]),
        Pgbench("extended", "statements", "the same, parsed anew each time (-M extended)", {PLAIN: few},
                (*PROXIES, POLICY), options=["-S", "-M", "extended"]),
        Pgbench("simple", "statements", "the same by the simple protocol (-M simple)", {PLAIN: few},
                (*PROXIES, POLICY), options=["-S", "-M", "simple"]),
        Pgbench("tpcb", "statements", "pgbench's TPC-B-like transaction of seven statements, prepared", {PLAIN: few, TLS: few},
                (*PROXIES, POLICY), options=["-b", "tpcb-like", "-M", "prepared"]),
        Pgbench("sealed", "classified", "SELECT of one text column by key, prepared", {PLAIN: many},
                (DIRECT, BOUNCER, *LEVELS), options=sealed),
        Pgbench("sealed-scan", "classified-bulk", f"SELECT * of a table with {len(SCAN_COLUMNS)} sealed columns", {PLAIN: one},
                (DIRECT, BOUNCER, POLICY, OS), options=["-M", "prepared", "--file", scan_sealed], sampled=1, unit="scan"),
        Pgbench("scan", "bulk", f"SELECT * of {WIDE_ROWS:,} rows", {PLAIN: one, TLS: one},
                (*PROXIES, POLICY), options=["-M", "prepared", "--file", scan], sampled=1, unit="scan"),
        Copy("copy-out", "bulk", f"COPY ... TO STDOUT of {WIDE_ROWS:,} rows", {PLAIN: one, TLS: one},
             PROXIES, text=f"COPY {WIDE_TABLE} TO STDOUT;\n", unit="COPY"),
        Copy("copy-sealed-out", "classified-bulk", f"COPY ... TO STDOUT of a table with {len(SCAN_COLUMNS)} sealed columns", {PLAIN: one},
             (DIRECT, POLICY, OS), text=f"COPY {SCAN_TABLE} TO STDOUT;\n", unit="COPY"),
        Copy("copy-sealed-in", "classified-bulk", "BEGIN, TRUNCATE, COPY ... FROM STDIN of as many such rows into an unlogged table, COMMIT",
             {PLAIN: one}, (DIRECT, POLICY, OS), unit="COPY",
             text=lambda target: f"BEGIN;\nTRUNCATE {SCAN_SINK};\n\\copy {SCAN_SINK} ({', '.join(SCAN_ALL)}) "
                                 f"FROM '{sealed_data if target.name == DIRECT else plain_data}'\nCOMMIT;\n"),
        Copy("copy-in", "bulk", f"BEGIN, TRUNCATE, COPY ... FROM STDIN of {SINK_ROWS:,} rows into an unlogged table, COMMIT",
             {PLAIN: one, TLS: one}, PROXIES, unit="COPY",
             text=f"BEGIN;\nTRUNCATE {SINK}_{{client}};\n\\copy {SINK}_{{client}} FROM '{data}'\nCOMMIT;\n"),
        Pgbench("connect", "connections", "pgbench -C: connect, log in, SELECT 1, leave", {PLAIN: few, TLS: few},
                (DIRECT, BOUNCER, POOL, SEALGATE, RELAY), options=["-C", "-M", "simple", "--file", trivial], sampled=1,
                connects=True, unit="connection", extra_logins=(SCRAM,)),
        Idle("idle", "idle", "memory of the proxy for each idle session", {PLAIN: idle, TLS: idle}, (BOUNCER, SEALGATE, POLICY)),
    ]


def make_scanned(postgres):
    """The table that is scanned, and one that takes its rows, before a policy names their columns."""
    columns = ", ".join(f"{column} text NOT NULL" for column in SCAN_COLUMNS)
    postgres.sql(f"CREATE TABLE {SCAN_TABLE} (id integer PRIMARY KEY, city text NOT NULL, {columns}); "
                 f"CREATE UNLOGGED TABLE {SCAN_SINK} (id integer, city text NOT NULL, {columns})", user=USER)


def seed_scan(postgres, target, rows, folder):
    """Fills it through Sealgate, and proves that it is sealed; leaves its rows as files, as they are read and as they are stored."""
    lines = [f"{i}\tTown {i % 500}\tPerson Number {i}\tperson{i}@bench.example\t+49 30 {i:08}" for i in range(1, rows + 1)]
    for table in (SCAN_TABLE, SCAN_SINK):
        copy = f"COPY {table} ({', '.join(SCAN_ALL)}) FROM STDIN;\n"
        postgres.sql(copy + "\n".join(lines) + "\n\\.\n", target=target)
    below = postgres.sql(f"SELECT count(*), count(*) FILTER (WHERE email LIKE '%bench.example%') FROM {SCAN_TABLE}")
    if below.strip() != f"{rows}|0":
        raise BenchError(f"the table for scans holds, of rows and plaintexts, {below.strip()} and not {rows}|0")
    stored = postgres.sql(f"COPY {SCAN_SINK} ({', '.join(SCAN_ALL)}) TO STDOUT", user=USER)
    for name, text in (("scan-plain", "\n".join(lines) + "\n"), ("scan-sealed", stored.rstrip("\n") + "\n")):
        with open(os.path.join(folder, f"{name}.tsv"), "w") as out:
            out.write(text)


def seed_bulk(postgres, folder, clients_max):
    """The wide table, one sink for each client, and the rows that go into it; says how many bytes of rows each moves."""
    postgres.sql(WIDE_SQL, user=USER)
    for client in range(clients_max):
        postgres.sql(f"CREATE UNLOGGED TABLE {SINK}_{client} AS TABLE {WIDE_TABLE} WITH NO DATA", user=USER)
    with open(os.path.join(folder, "sink.tsv"), "w") as out:
        out.write(postgres.sql(f"COPY (TABLE {WIDE_TABLE} LIMIT {SINK_ROWS}) TO STDOUT", user=USER))
    # A DataRow: a type byte, a length, a count, and for each column a length and the text. COPY: a row as text.
    texts = " + ".join(f"coalesce(octet_length({column}::text), 0)" for column in WIDE_COLUMNS)
    scan = postgres.sql(f"SELECT sum({7 + 4 * len(WIDE_COLUMNS)} + {texts}) FROM {WIDE_TABLE}", user=USER)
    out = len(postgres.sql(f"COPY {WIDE_TABLE} TO STDOUT", user=USER).encode())
    return {"scan": int(scan), "copy-out": out, "copy-in": os.path.getsize(os.path.join(folder, "sink.tsv"))}


__all__ = [
    "BEFORE", "BOUNCER", "COLUMN", "Copy", "DATABASE", "DIRECT", "FAMILIES", "Idle", "LEVELS", "PLAIN_TABLE", "POLICY", "POOL", "Pgbench",
    "RELAY", "SCAN_COLUMNS", "SCAN_SINK", "SCAN_TABLE", "SEALED_TABLE", "SEALGATE", "TARGETS", "all_workloads", "make_scanned", "seed_bulk",
    "seed_scan",
]
