// What applications do with node-postgres, said as a transcript that does not depend on the way there.
"use strict";

const { readFileSync } = require("node:fs");
const { Readable } = require("node:stream");
const { pipeline } = require("node:stream/promises");
const { once } = require("node:events");
const path = require("node:path");
const modules = path.join(__dirname, "..", "..", "..", "target", "node", "node_modules");
const pg = require(path.join(modules, "pg"));
const Cursor = require(path.join(modules, "pg-cursor"));
const QueryStream = require(path.join(modules, "pg-query-stream"));
const copy = require(path.join(modules, "pg-copy-streams"));

let part = "";
const say = (what, ...values) => console.log(`${part}: ${what}: ${JSON.stringify(values)}`);
const root = process.env.PGSSLROOTCERT;
const ssl = root ? { ca: readFileSync(root), rejectUnauthorized: true } : false;

async function connect(options = {}) {
  const client = new pg.Client({ ssl, ...options });
  client.on("error", () => {});
  await client.connect();
  return client;
}

async function refused(what, promise) {
  try {
    await promise;
  } catch (error) {
    return say(what, error.code ?? null, error.severity ?? null, error.message, error.detail ?? null, error.constraint ?? null);
  }
  throw new Error(`${what}: no error`);
}

const parts = {
  async login() {
    const c = await connect({ application_name: "a driver", statement_timeout: 7000 });
    say("pid is the server's", c.processID === (await c.query("SELECT pg_backend_pid() AS pid")).rows[0].pid);
    say("settings", (await c.query("SELECT current_setting('application_name') a, current_setting('statement_timeout') b")).rows);
    await c.end();
    await refused("wrong password", connect({ password: "wrong" }));
    await refused("no database", connect({ database: "no_such_database" }));
  },
  async types() {
    const c = await connect();
    const text = "SELECT $1::int4 a, $2::int8 b, $3::text c, $4::bytea d, $5::jsonb e, $6::timestamptz f, $7::int4[] g, $8::numeric h, $9::bool i";
    const values = [7, "9007199254740993", "gr\u00fc\u00df \u4e2d", Buffer.from([0, 255]), { k: [1, null] }, "2024-02-29T12:00:00Z", [1, null, 3], "1.50", true];
    for (const name of [undefined, "named", "named"]) {
      const { rows, fields } = await c.query({ name, text, values });
      say("row", rows, fields.map((field) => [field.name, field.dataTypeID]));
    }
    say("binary", (await c.query({ text: "SELECT $1::int4 a, 1.5::float8 b, true c", values: [7], binary: true })).rows);
    say("many", (await c.query("SELECT 1 a; SELECT 2 a; SELECT 3 a")).map((result) => result.rows[0].a));
    await c.end();
  },
  async pipelines() {
    const c = await connect();
    const answers = await Promise.all([...Array(200).keys()].map((n) => c.query("SELECT $1::int4 * 2 AS n", [n])));
    say("in order", answers.every((answer, n) => answer.rows[0].n === 2 * n));
    const settled = await Promise.allSettled([c.query("SELECT 1"), c.query("SELECT 1/0"), c.query("SELECT 3 AS n")]);
    say("settled", settled.map((one) => one.reason?.code ?? one.value.rows));
    await c.end();
  },
  async cursors() {
    const c = await connect();
    const cursor = c.query(new Cursor("SELECT n, repeat('x', n) t FROM generate_series(1, 50) n"));
    say("read", (await cursor.read(7)).length, (await cursor.read(100)).length, (await cursor.read(1)).length);
    await cursor.close();
    let sum = 0;
    for await (const row of c.query(new QueryStream("SELECT n FROM generate_series(1, 1000) n", [], { batchSize: 90 }))) sum += row.n;
    say("streamed", sum);
    await c.end();
  },
  async copies() {
    const c = await connect();
    await c.query("CREATE TEMP TABLE c (id int, t text)");
    const rows = [...Array(5000).keys()].map((n) => `${n}\trow ${n}\n`);
    await pipeline(Readable.from(rows), c.query(copy.from("COPY c FROM STDIN")));
    let out = "";
    for await (const piece of c.query(copy.to("COPY (SELECT * FROM c ORDER BY id) TO STDOUT"))) out += piece;
    say("the same", out === rows.join(""));
    await refused("does not fit", pipeline(Readable.from(["1\tone\nx\ttwo\n"]), c.query(copy.from("COPY c FROM STDIN"))));
    say("after", (await c.query("SELECT count(*) FROM c")).rows);
    await c.end();
  },
  // Of a table that is sealed on some ways.
  async personalCopies() {
    const c = await connect();
    const rows = [...Array(5000).keys()].map((n) => `${n}\t${n % 7 === 6 ? "\\N" : `person ${n}\\té`}\n`);
    await pipeline(Readable.from(rows), c.query(copy.from("COPY personal (id, email) FROM STDIN")));
    let out = "";
    const read = c.query(copy.to("COPY (SELECT id, email FROM personal ORDER BY id) TO STDOUT"));
    read.setEncoding("utf8");
    for await (const piece of read) out += piece;
    say("the same", out === rows.join(""));
    say("found", (await c.query("SELECT id FROM personal WHERE email = $1", ["person 7\té"])).rows);
    await refused("does not fit", pipeline(Readable.from(["1\tone\nx\ttwo\n"]), c.query(copy.from("COPY personal FROM STDIN"))));
    say("after", (await c.query("SELECT count(email) FROM personal")).rows);
    await c.query("DELETE FROM personal");
    await c.end();
  },
  async transactions() {
    const c = await connect();
    await c.query("CREATE TEMP TABLE t (id int PRIMARY KEY)");
    await c.query("BEGIN");
    await c.query("INSERT INTO t VALUES (1)");
    await c.query("SAVEPOINT s");
    await refused("twice", c.query("INSERT INTO t VALUES ($1)", [1]));
    await refused("failed", c.query("SELECT 1"));
    await c.query("ROLLBACK TO s");
    await c.query("COMMIT");
    say("kept", (await c.query("TABLE t")).rows);
    await c.end();
  },
  async notifications() {
    const [listening, speaking] = [await connect(), await connect()];
    const notices = [];
    listening.on("notice", (notice) => notices.push(notice.message));
    await listening.query("LISTEN drivers");
    const heard = once(listening, "notification");
    await speaking.query("SELECT pg_notify('drivers', $1)", ["hello"]);
    const [message] = await heard;
    say("heard", message.channel, message.payload, message.processId === speaking.processID);
    await listening.query("DO $$BEGIN RAISE NOTICE 'a notice'; END$$");
    say("notices", notices);
    await Promise.all([listening.end(), speaking.end()]);
  },
  async cancelling() {
    const [c, other] = [await connect(), await connect()];
    const sleeping = refused("cancelled", c.query("SELECT pg_sleep(60)"));
    const asleep = "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
    const cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
    while ((await other.query(cancel, [c.processID])).rowCount === 0);
    await sleeping;
    // By the secret that the server, or the gate, gave this client; the driver has no TLS for it.
    const again = new pg.Query("SELECT pg_sleep(60)");
    const ended = refused("by a request", new Promise((resolve, reject) => {
      again.callback = (error, result) => (error ? reject(error) : resolve(result));
    }));
    c.query(again);
    while ((await other.query(asleep, [c.processID])).rowCount === 0);
    if (ssl) await other.query(cancel, [c.processID]);
    else new pg.Client().cancel(c, again);
    await ended;
    say("after", (await c.query("SELECT 'well' AS it")).rows);
    await Promise.all([c.end(), other.end()]);
  },
  async largeObjects() {
    const c = await connect();
    await c.query("BEGIN");
    const { rows: [{ oid }] } = await c.query("SELECT lo_from_bytea(0, $1) AS oid", [Buffer.alloc(1500000, 7)]);
    const { rows } = await c.query("SELECT length(lo_get($1)) a, lo_get($1, 1499998, 10) b", [oid]);
    say("read", rows[0].a, rows[0].b);
    await c.query("SELECT lo_unlink($1)", [oid]);
    await c.query("COMMIT");
    await refused("gone", c.query("SELECT lo_get($1)", [4294967295]));
    await c.end();
  },
  async longValues() {
    const c = await connect();
    const { rows } = await c.query("SELECT length($1) a, repeat('y', 5000000) b", ["x".repeat(5000000)]);
    say("lengths", rows[0].a, rows[0].b.length);
    await c.end();
  },
  async pools() {
    const pool = new pg.Pool({ ssl, max: 4 });
    const answers = await Promise.all([...Array(100).keys()].map((n) => pool.query("SELECT $1::int4 AS n", [n])));
    say("pooled", answers.reduce((sum, answer) => sum + answer.rows[0].n, 0));
    await pool.end();
    const [c, killer] = [await connect(), await connect()];
    await killer.query("SELECT pg_terminate_backend($1, 5000)", [c.processID]);
    const after = await Promise.allSettled([c.query("SELECT 1")]);
    say("ended", after[0].status);
    const fresh = await connect();
    say("connected again", (await fresh.query("SELECT 1 AS n")).rows);
    await Promise.all([fresh.end(), killer.end()]);
  },
};

(async () => {
  for (const [name, run] of Object.entries(parts)) {
    part = name;
    await run();
  }
  console.log("done");
})().catch((error) => {
  console.error(`failed in ${part}`, error);
  process.exit(1);
});
