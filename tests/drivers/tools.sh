#!/usr/bin/env bash
# What pgbench, pg_dump and pg_restore do, said without what differs between two runs. Connects by PG*.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
first="tools_first" second="tools_second"
say() { printf '%s\n' "$*"; }
query() { psql -XAtq -v ON_ERROR_STOP=1 -d "$1" -c "$2"; }

# Without the key that protects a dump against its own data, which is new each time.
dump() { pg_dump -d "$1" | grep -v -e '^\\restrict' -e '^\\unrestrict' -e '^-- Dumped'; }

fresh() {
    query postgres "DROP DATABASE IF EXISTS $1 WITH (FORCE)" 2>/dev/null
    query postgres "CREATE DATABASE $1"
}

fresh "$first"
pgbench -i -q -s 1 "$first" 2>&1 | grep -c done | sed 's/^/pgbench: initialised: /'
query "$first" "SELECT count(*), sum(abalance), min(aid), max(aid) FROM pgbench_accounts" | sed 's/^/pgbench: accounts: /'
for mode in simple extended prepared; do
    done="$(pgbench -n -M "$mode" -c 3 -t 40 "$first" 2>/dev/null | grep 'actually processed')"
    say "pgbench: $mode: $done"
done
cat > "$folder/pipeline.sql" <<'EOF'
\set aid random(1, 100000)
\startpipeline
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;
SELECT 1;
\endpipeline
EOF
for mode in extended prepared; do
    done="$(pgbench -n -M "$mode" -c 2 -t 60 -f "$folder/pipeline.sql" "$first" 2>/dev/null | grep 'actually processed')"
    say "pgbench: pipeline, $mode: $done"
done
say "pgbench: history: $(query "$first" "SELECT count(*) FROM pgbench_history")"
query "$first" "DROP TABLE pgbench_history, pgbench_tellers, pgbench_branches, pgbench_accounts"

query "$first" "
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
    CREATE TABLE things (id int PRIMARY KEY, name text, mood mood, data bytea, at timestamptz, tags text[], doc jsonb);
    INSERT INTO things SELECT n, 'thing ' || n || E'\\t\\\\n\\'\"', (ARRAY['sad', 'ok', 'happy'])[n % 3 + 1]::mood,
        decode(md5(n::text), 'hex'), '2024-02-29 12:00:00+00'::timestamptz + n * interval '1 minute',
        ARRAY['a' || n, NULL], jsonb_build_object('n', n) FROM generate_series(1, 3000) AS n;
    CREATE INDEX ON things (name);
    CREATE VIEW happy AS SELECT id, name FROM things WHERE mood = 'happy';
    CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * n';
    CREATE SEQUENCE numbers START 42;
    SELECT lo_from_bytea(4711, decode(repeat('00ff10', 50000), 'hex'))" >/dev/null
plain="$(dump "$first" | sha256sum | cut -c1-16)"
say "pg_dump: plain: $plain"

for format in custom directory; do
    jobs=()
    [[ $format == directory ]] && jobs=(-j 2)
    pg_dump -F "$format" "${jobs[@]}" -f "$folder/$format" -d "$first"
    fresh "$second"
    pg_restore --exit-on-error -j 2 -d "$second" "$folder/$format"
    say "pg_restore: $format: the same again: $([[ "$(dump "$second" | sha256sum | cut -c1-16)" == "$plain" ]] && echo yes || echo no)"
done
fresh "$second"
pg_dump -d "$first" | psql -Xq -v ON_ERROR_STOP=1 -d "$second" >/dev/null
say "psql: plain: the same again: $([[ "$(dump "$second" | sha256sum | cut -c1-16)" == "$plain" ]] && echo yes || echo no)"
pg_dumpall --globals-only --no-role-passwords | grep -c '^CREATE ROLE' | sed 's/^/pg_dumpall: roles: /'

# By force: the gate reads the catalog of a database in a session of its own.
query postgres "DROP DATABASE $first WITH (FORCE)"
query postgres "DROP DATABASE $second WITH (FORCE)"
say done
