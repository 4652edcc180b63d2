"""What the Python programs beside this file share: where to connect, and a transcript that two runs
have in common, so without process ids, ports, object ids and times."""

import hashlib
import os
import re
import sys
import traceback

HOST, PORT = os.environ["PGHOST"], int(os.environ["PGPORT"])
USER, PASSWORD, DATABASE = os.environ["PGUSER"], os.environ["PGPASSWORD"], os.environ["PGDATABASE"]
SSLMODE, ROOT = os.environ["PGSSLMODE"], os.environ.get("PGSSLROOTCERT")

# One row of many types, as a server prints and as it packs them; the same on every version.
TYPES = """SELECT 1::int2, -2::int4, 9007199254740993::int8, 1.5::float4, 'NaN'::float8, 12345678901234567890.123::numeric,
    true, 'text \u00fc\u4e2d\U0001f600'::text, 'x'::char(3), 'v'::varchar(9), '\\x00ff10'::bytea, '2024-02-29'::date,
    '23:59:59.999999'::time, '2024-02-29 12:00:00.000001'::timestamp, '2024-02-29 12:00:00+00'::timestamptz,
    '1 year 2 mons 3 days 04:05:06'::interval, '6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid, '{"a": [1, null]}'::jsonb,
    '[1, "b"]'::json, ARRAY[1, NULL, 3], ARRAY[['a', 'b'], ['c', 'd']], '192.168.0.1/24'::inet, int4range(1, 10),
    ROW(1, 'two')::text, B'1010'::bit(4), NULL::text, ''::text"""

_part = ""


def say(what, *values):
    # The number of a temporary schema is that of the server's process.
    values = (re.sub(r"pg_temp_\d+", "pg_temp", repr(value)) for value in values)
    print(f"{_part}: {what}:", *values, flush=True)


def short(value):
    """A long value as its length and digest."""
    value = value.encode() if isinstance(value, str) else bytes(value)
    return f"{len(value)} bytes, {hashlib.sha256(value).hexdigest()[:16]}"


def run(parts):
    """Runs the parts in order, and their coroutines with the given runner; ends with `done`."""
    global _part
    for part in parts:
        _part = part.__name__
        try:
            part()
        except Exception:
            traceback.print_exc()
            sys.exit(f"failed in {_part}")
    print("done")


async def run_async(parts):
    global _part
    for part in parts:
        _part = part.__name__
        try:
            await part()
        except Exception:
            traceback.print_exc()
            sys.exit(f"failed in {_part}")
    print("done")
