//! What SQL makes and runs by name on sealed columns: cursors and prepared statements. What the gate says
//! is what a plain server says, word for word; and where a name is not certain, nothing is opened.

use crate::harness::{Frame, Raw, VERSIONS, await_that};
use crate::shop::{self, classified, errors, firsts, holds, records, states, tags};
use sealgate::store::postgres::Throwaway;

const MARK: &str = "s3ntinel";

const SEED: &str = "INSERT INTO customers (id, email, phone, city, note) VALUES \
    (1, 's3ntinel-ada@x.example', 's3ntinel+1', 'Rome', 'one'), (2, 's3ntinel-bob@x.example', 's3ntinel+2', 'Oslo', 'two'), \
    (3, 's3ntinel-eve@x.example', NULL, 'Rome', 'three'), (4, NULL, 's3ntinel+4', 'Bonn', NULL)";

/// What a server said, without what differs between two databases.
fn told(frames: &[Frame]) -> Vec<String> {
    let told = frames.iter().filter(|frame| frame.tag != b'S').map(|frame| match frame.tag {
        b'E' | b'N' => format!("{} {}", char::from(frame.tag), frame.field(b'C').unwrap()),
        b'T' => format!("T {:?}", described(frame)),
        tag => format!("{} {}", char::from(tag), String::from_utf8_lossy(&frame.body)),
    });
    told.collect()
}

/// Name, type and format of each column.
fn described(frame: &Frame) -> Vec<(String, u32, u16)> {
    let mut rest = &frame.body[2..];
    let mut all = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let fixed = &rest[end + 1..];
        let format = u16::from_be_bytes(fixed[16..18].try_into().unwrap());
        all.push((
            String::from_utf8_lossy(&rest[..end]).into_owned(),
            u32::from_be_bytes(fixed[6..10].try_into().unwrap()),
            format,
        ));
        rest = &fixed[18..];
    }
    all
}

/// Texts that are sent one by one, each as a Query.
const SCRIPTS: &[&[&str]] = &[
    &[
        "BEGIN",
        "DECLARE c CURSOR FOR SELECT id, email, phone FROM customers ORDER BY id",
        "FETCH 2 FROM c",
        "FETCH NEXT c",
        "FETCH ALL IN c",
        "FETCH c",
        "CLOSE c",
        "COMMIT",
    ],
    &[
        "BEGIN; DECLARE c CURSOR FOR SELECT email FROM customers ORDER BY id; FETCH 3 FROM c",
        "MOVE 1 FROM c",
        "FETCH ALL FROM c",
        "COMMIT",
        "FETCH c",
    ],
    &[
        "BEGIN",
        "DECLARE c SCROLL CURSOR FOR SELECT id, email FROM customers ORDER BY id",
        "FETCH LAST c",
        "FETCH PRIOR c",
        "FETCH ABSOLUTE 2 c",
        "FETCH RELATIVE -1 c",
        "FETCH BACKWARD ALL c",
        "MOVE FORWARD ALL c",
        "FETCH FIRST c",
        "ROLLBACK",
    ],
    &[
        "DECLARE h CURSOR WITH HOLD FOR SELECT email, note, COALESCE(phone, 's3ntinel-none') FROM customers ORDER BY id",
        "FETCH 2 FROM h",
        "SELECT 1",
        "BEGIN",
        "FETCH 1 FROM h",
        "ROLLBACK",
        "FETCH ALL FROM h",
        "CLOSE h",
        "FETCH h",
    ],
    &[
        "BEGIN",
        "DECLARE b BINARY CURSOR FOR SELECT id, email FROM customers ORDER BY id",
        "FETCH ALL FROM b",
        "END",
    ],
    &[
        "BEGIN",
        "DECLARE u CURSOR FOR SELECT id, email FROM customers WHERE email = 's3ntinel-bob@x.example' FOR UPDATE",
        "FETCH u",
        "UPDATE customers SET email = 's3ntinel-bobby@x.example', phone = 's3ntinel+9' WHERE CURRENT OF u RETURNING email, phone",
        "FETCH u",
        "COMMIT",
        "SELECT email FROM customers WHERE id = 2",
        "BEGIN",
        "DECLARE u CURSOR FOR SELECT * FROM customers WHERE id = 2 FOR UPDATE",
        "FETCH u",
        "DELETE FROM customers WHERE CURRENT OF u",
        "ROLLBACK",
    ],
    &[
        "BEGIN",
        "SAVEPOINT s",
        "DECLARE c CURSOR FOR SELECT email FROM customers ORDER BY id",
        "FETCH 1 FROM c",
        "ROLLBACK TO s",
        "FETCH 1 FROM c",
        "ROLLBACK TO s",
        "DECLARE c CURSOR FOR SELECT id, phone FROM customers ORDER BY id",
        "FETCH 2 FROM c",
        "RELEASE s",
        "FETCH 2 FROM c",
        "COMMIT",
    ],
    &[
        "BEGIN",
        "DECLARE \"My Cur\" CURSOR FOR SELECT email FROM customers ORDER BY id",
        "DECLARE MYCUR CURSOR FOR SELECT phone FROM customers ORDER BY id",
        "FETCH \"My Cur\"",
        "FETCH mycur",
        "FETCH \"MYCUR\"",
        "ROLLBACK",
    ],
    &[
        "BEGIN",
        "DECLARE c CURSOR FOR SELECT email FROM customers ORDER BY id",
        "CLOSE c",
        "DECLARE c CURSOR FOR SELECT phone, email FROM customers ORDER BY id",
        "FETCH 2 c",
        "CLOSE ALL",
        "DECLARE c CURSOR FOR SELECT note FROM customers ORDER BY id",
        "FETCH 2 c",
        "DECLARE c CURSOR FOR SELECT email FROM customers",
        "ROLLBACK",
        "FETCH c",
    ],
    &[
        "BEGIN; DECLARE c CURSOR FOR SELECT email FROM customers ORDER BY id; FETCH c; CLOSE c; DECLARE c CURSOR FOR SELECT id, phone FROM customers ORDER BY id; FETCH c; MOVE c; FETCH BACKWARD 1 FROM c; COMMIT",
    ],
    &[
        "BEGIN; DECLARE c CURSOR FOR SELECT email FROM customers; DECLARE c CURSOR FOR SELECT id FROM customers; FETCH c",
        "ROLLBACK",
    ],
    &[
        "DECLARE c CURSOR FOR SELECT email FROM customers",
        "FETCH c",
        "DECLARE c CURSOR FOR SELECT nothing FROM customers",
        "FETCH c",
    ],
    &[
        "BEGIN",
        "DECLARE c CURSOR FOR SELECT email FROM customers ORDER BY id",
        "ALTER TABLE customers ADD COLUMN more int",
        "ROLLBACK",
    ],
    &[
        "BEGIN",
        "DECLARE c CURSOR FOR SELECT email FROM customers ORDER BY id",
        "CREATE TABLE other_table (id int)",
        "FETCH 2 FROM c",
        "ROLLBACK",
    ],
    &[
        "BEGIN",
        "DECLARE c CURSOR FOR SELECT city, upper(city), email FROM customers ORDER BY id",
        "FETCH 2 FROM c",
        "FETCH ALL FROM c",
        "COMMIT",
    ],
    &[
        "BEGIN",
        "DECLARE c CURSOR FOR WITH x AS (SELECT email, id FROM customers UNION ALL SELECT phone, id FROM customers WHERE phone IS NULL AND email IS NULL) SELECT id, email FROM customers WHERE email IN ('s3ntinel-ada@x.example', 's3ntinel-eve@x.example') ORDER BY id",
        "FETCH ALL c",
        "COMMIT",
    ],
    &[
        "PREPARE p AS SELECT email, phone FROM customers WHERE email = $1",
        "EXECUTE p('s3ntinel-ada@x.example')",
        "EXECUTE p(E's3ntinel-eve\\x40x.example')",
        "EXECUTE p($$s3ntinel-eve@x.example$$)",
        "EXECUTE p('s3ntinel-ada@x.example'::text)",
        "EXECUTE p(NULL)",
        "EXECUTE p()",
        "EXECUTE p('a', 'b')",
        "DEALLOCATE p",
        "EXECUTE p('nobody')",
    ],
    &[
        "PREPARE p(text[]) AS SELECT email FROM customers WHERE email = ANY($1) ORDER BY id",
        "EXECUTE p('{s3ntinel-ada@x.example,\"s3ntinel-eve@x.example\"}')",
        "EXECUTE p(ARRAY['s3ntinel-ada@x.example', NULL, 's3ntinel-eve@x.example'])",
        "EXECUTE p(ARRAY['s3ntinel-ada@x.example']::text[])",
        "DEALLOCATE PREPARE p",
    ],
    &[
        "PREPARE i(int, text, varchar, text) AS INSERT INTO customers (id, email, phone, note) VALUES ($1, $2, $3, $4) RETURNING email, phone, note",
        "EXECUTE i(10, 's3ntinel-x@x.example', 's3ntinel+10', 'plain')",
        "EXECUTE i(10, 's3ntinel-y@x.example', 's3ntinel+10', 'plain')",
        "EXECUTE i(11, 's3ntinel-x@x.example', 's3ntinel+10', 'plain')",
        "SELECT email, phone, note FROM customers WHERE id = 10",
        "DELETE FROM customers WHERE id = 10",
        "DEALLOCATE ALL",
    ],
    &[
        "PREPARE i AS INSERT INTO customers VALUES ($1, $2, $3)",
        "EXECUTE i(12, 's3ntinel-z@x.example', 's3ntinel+12')",
        "DELETE FROM customers WHERE id = 12",
        "DEALLOCATE i",
    ],
    &[
        "PREPARE q AS SELECT email FROM customers WHERE email = 's3ntinel-ada@x.example' OR phone IS NULL ORDER BY id",
        "EXECUTE q",
        "PREPARE q AS SELECT 1",
        "EXECUTE q",
        "DEALLOCATE q",
        "PREPARE q AS SELECT phone FROM customers ORDER BY id",
        "EXECUTE q",
        "DISCARD ALL",
        "EXECUTE q",
    ],
    &[
        "PREPARE q(text) AS SELECT id FROM customers WHERE email = $1; EXECUTE q('s3ntinel-ada@x.example'); DEALLOCATE q; PREPARE q AS SELECT note FROM customers ORDER BY id; EXECUTE q; DEALLOCATE q",
    ],
    &[
        "PREPARE u(text, text) AS UPDATE customers SET phone = $2 WHERE email = $1 RETURNING phone",
        "BEGIN",
        "EXECUTE u('s3ntinel-ada@x.example', 's3ntinel+77')",
        "ROLLBACK",
        "EXECUTE u('s3ntinel-ada@x.example', 's3ntinel+1')",
        "DEALLOCATE u",
    ],
    &[
        "PREPARE q(int) AS SELECT email FROM customers WHERE id = $1",
        "EXECUTE q(1)",
        "EXECUTE q(1 + 1)",
        "EXECUTE q('3')",
        "BEGIN; DECLARE c CURSOR FOR SELECT 1; EXECUTE q(2); COMMIT",
        "DEALLOCATE q",
    ],
    &[
        "PREPARE q(text, int) AS SELECT email FROM customers WHERE ($1::text IS NULL OR email = $1) AND ($2::int IS NULL OR id = $2) ORDER BY id",
        "EXECUTE q('s3ntinel-ada@x.example', NULL)",
        "EXECUTE q(NULL, 2)",
        "DEALLOCATE q",
    ],
    &[
        "PREPARE \"Q q\" AS SELECT email FROM customers ORDER BY id LIMIT 1",
        "EXECUTE \"Q q\"",
        "EXECUTE \"q q\"",
        "DEALLOCATE \"Q q\"",
    ],
    &[
        "PREPARE q AS SELECT email FROM customers ORDER BY id LIMIT 1; BEGIN; EXECUTE q; ROLLBACK",
        "EXECUTE q",
        "DEALLOCATE q",
    ],
];

struct Pair {
    server: Throwaway,
    gate: crate::harness::Gate,
    tap: crate::harness::Tap,
}

impl Pair {
    fn new(major: u32) -> Pair {
        let server = shop::server(major);
        server.execute("postgres", "CREATE DATABASE plain").unwrap();
        server
            .execute(
                "plain",
                "CREATE TABLE customers (id int PRIMARY KEY, email text UNIQUE, phone text, city text, note text); \
                 CREATE TABLE orders (id int PRIMARY KEY, item text, blob bytea);",
            )
            .unwrap();
        let (gate, tap) = shop::open(&server);
        let pair = Pair { server, gate, tap };
        for raw in [&mut pair.plain(), &mut pair.sealed()] {
            assert_eq!(states(&raw.query(SEED)), [""; 0]);
        }
        pair
    }

    fn plain(&self) -> Raw {
        Raw::login(self.server.address(), "postgres", "plain")
    }

    fn sealed(&self) -> Raw {
        Raw::login(self.gate.address(), "postgres", "postgres")
    }
}

#[test]
fn cursors_and_prepared_statements_of_sql_answer_as_on_a_plain_server() {
    for major in VERSIONS {
        let pair = Pair::new(major);
        let (mut plain, mut sealed) = (pair.plain(), pair.sealed());
        for script in SCRIPTS {
            for (number, sql) in script.iter().enumerate() {
                let (direct, through) = (plain.query(sql), sealed.query(sql));
                let detail =
                    through.iter().find(|frame| frame.tag == b'E').and_then(|frame| frame.field(b'D'));
                assert_eq!(told(&direct), told(&through), "{major}: {:?} {detail:?}", &script[..=number]);
            }
        }
        assert!(!holds(&pair.tap.to_server(), MARK.as_bytes()), "{major}: a value went upstream");
    }
}

/// The same by the extended protocol: every text is parsed, bound, described and executed.
#[test]
fn cursors_and_prepared_statements_answer_alike_by_the_extended_protocol() {
    for major in VERSIONS {
        let pair = Pair::new(major);
        let (mut plain, mut sealed) = (pair.plain(), pair.sealed());
        for describes in [b"".as_slice(), b"S", b"P"] {
            for script in SCRIPTS {
                let texts = script.iter().filter(|sql| !sql.contains("; "));
                for sql in texts {
                    let run = |raw: &mut Raw| {
                        raw.parse("", sql, &[]);
                        if describes == b"S" {
                            raw.describe(b'S', "");
                        }
                        raw.bind("", "", &[], &[], &[]);
                        if describes == b"P" {
                            raw.describe(b'P', "");
                        }
                        raw.execute("", 0);
                        raw.sync()
                    };
                    let (direct, through) = (run(&mut plain), run(&mut sealed));
                    let detail =
                        through.iter().find(|frame| frame.tag == b'E').and_then(|frame| frame.field(b'D'));
                    assert_eq!(told(&direct), told(&through), "{major}: {sql} of {script:?} {detail:?}");
                }
                for raw in [&mut plain, &mut sealed] {
                    raw.query("ROLLBACK");
                    raw.query("DEALLOCATE ALL");
                }
            }
        }
        assert!(!holds(&pair.tap.to_server(), MARK.as_bytes()), "{major}: a value went upstream");
    }
}

/// Names that the protocol makes and SQL uses, and the other way.
#[test]
fn the_protocol_and_sql_share_their_names() {
    for major in VERSIONS {
        let pair = Pair::new(major);
        let (mut plain, mut sealed) = (pair.plain(), pair.sealed());
        let script = |raw: &mut Raw| {
            let mut all = Vec::new();
            // A portal of the protocol, read on by SQL.
            all.extend(raw.query("BEGIN"));
            raw.parse("", "SELECT id, email FROM customers WHERE email <> $1 ORDER BY id", &[]);
            raw.bind("pp", "", &[], &[Some(b"s3ntinel-ada@x.example")], &[1]);
            raw.execute("pp", 1);
            all.extend(raw.sync());
            all.extend(raw.query("FETCH ALL FROM pp"));
            all.extend(raw.query("CLOSE pp"));
            // A cursor of SQL, read on by the protocol, with a value of a parameter.
            raw.parse("", "DECLARE c SCROLL CURSOR FOR SELECT email, phone FROM customers WHERE email <> $1 ORDER BY id", &[]);
            raw.bind("", "", &[], &[Some(b"s3ntinel-bob@x.example")], &[]);
            raw.execute("", 0);
            all.extend(raw.sync());
            raw.describe(b'P', "c");
            raw.execute("c", 1);
            all.extend(raw.sync());
            all.extend(raw.query("FETCH NEXT FROM c"));
            raw.execute("c", 0);
            all.extend(raw.sync());
            raw.close(b'P', "c");
            all.extend(raw.sync());
            all.extend(raw.query("FETCH c"));
            all.extend(raw.query("ROLLBACK"));
            // A statement of the protocol, run by SQL.
            raw.parse("ps", "SELECT phone FROM customers WHERE email = $1", &[]);
            all.extend(raw.sync());
            all.extend(raw.query("EXECUTE ps('s3ntinel-ada@x.example')"));
            all.extend(raw.query("EXPLAIN (COSTS OFF) SELECT 1"));
            raw.close(b'S', "ps");
            all.extend(raw.sync());
            all.extend(raw.query("EXECUTE ps('nobody')"));
            // A statement of SQL, bound by the protocol.
            all.extend(raw.query("PREPARE ss(text) AS SELECT email FROM customers WHERE email = $1"));
            raw.describe(b'S', "ss");
            raw.bind("", "ss", &[], &[Some(b"s3ntinel-ada@x.example")], &[]);
            raw.describe(b'P', "");
            raw.execute("", 0);
            all.extend(raw.sync());
            all.extend(raw.query("DEALLOCATE ss"));
            raw.bind("", "ss", &[], &[Some(b"nobody")], &[]);
            all.extend(raw.sync());
            // FETCH as a prepared statement, of one cursor after the other.
            raw.parse("f", "FETCH 1 FROM c", &[]);
            all.extend(raw.sync());
            for query in ["email", "id, phone", "note"] {
                all.extend(raw.query("BEGIN"));
                all.extend(
                    raw.query(&format!("DECLARE c CURSOR FOR SELECT {query} FROM customers ORDER BY id")),
                );
                raw.bind("", "f", &[], &[], &[]);
                raw.execute("", 0);
                all.extend(raw.sync());
                all.extend(raw.query("COMMIT"));
            }
            // DECLARE and FETCH in one batch.
            all.extend(raw.query("BEGIN"));
            for sql in
                ["DECLARE c CURSOR FOR SELECT email FROM customers ORDER BY id", "FETCH 2 FROM c", "CLOSE c"]
            {
                raw.parse("", sql, &[]);
                raw.bind("", "", &[], &[], &[]);
                raw.describe(b'P', "");
                raw.execute("", 0);
            }
            all.extend(raw.sync());
            all.extend(raw.query("COMMIT"));
            // In one write, without waiting.
            raw.cork();
            for sql in [
                "BEGIN",
                "DECLARE c CURSOR FOR SELECT email FROM customers ORDER BY id",
                "FETCH 2 FROM c",
                "COMMIT",
            ] {
                raw.send(b'Q', &crate::harness::string(sql));
            }
            for _ in 0..4 {
                all.extend(raw.until_ready());
            }
            told(&all)
        };
        assert_eq!(script(&mut plain), script(&mut sealed), "{major}");
        assert!(!holds(&pair.tap.to_server(), MARK.as_bytes()), "{major}: a value went upstream");
    }
}

#[test]
fn each_fetch_is_on_record_before_its_rows_and_counted() {
    let pair = Pair::new(15);
    let mut raw = pair.sealed();
    raw.query("BEGIN");
    raw.query("DECLARE c CURSOR FOR SELECT email, city FROM customers ORDER BY id");
    await_that("the outcome of DECLARE", || {
        let last = records(&pair.gate).pop().unwrap();
        last["kind"] == "outcome" && last["action"] == "search"
    });
    let before = records(&pair.gate).len();
    assert_eq!(firsts(&raw.query("FETCH 2 FROM c")).len(), 2);
    assert_eq!(tags(&raw.query("MOVE 1 FROM c")), "CZT");
    assert_eq!(firsts(&raw.query("FETCH ALL FROM c")), [""]);
    raw.query("COMMIT");
    let found = || records(&pair.gate).split_off(before);
    await_that("the outcomes", || found().iter().filter(|one| one["kind"] == "outcome").count() >= 3);
    let found = found();
    let intents: Vec<_> = found.iter().filter(|one| one["kind"] == "intent").collect();
    let outcomes: Vec<_> = found.iter().filter(|one| one["kind"] == "outcome").collect();
    let actions: Vec<_> = intents.iter().map(|one| one["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["read", "search", "read"], "{found:?}");
    for intent in &intents {
        assert!(
            intent["statement"].as_str().unwrap().starts_with("DECLARE c CURSOR FOR SELECT email"),
            "{intent}"
        );
        assert!(intent["fields"].to_string().contains("public.customers.email"), "{intent}");
    }
    let rows: Vec<_> =
        outcomes.iter().map(|one| (one["rows"].as_u64().unwrap(), one["cells"].as_u64().unwrap())).collect();
    assert_eq!(rows, [(2, 4), (1, 0), (1, 1)], "{outcomes:?}");
}

/// Names are put together, so that nobody sees them.
const OPAQUE: &str = "CREATE FUNCTION swapped() RETURNS void LANGUAGE plpgsql AS \
      $$ BEGIN EXECUTE 'DEALLOCATE p'; EXECUTE 'PREPARE p AS SELECT note || '''' FROM cust'||'omers ORDER BY id'; END $$; \
    CREATE FUNCTION swap() RETURNS void LANGUAGE plpgsql AS \
      $$ DECLARE r refcursor := 'c'; BEGIN CLOSE r; OPEN r FOR EXECUTE 'SELECT note || '''' FROM cust'||'omers ORDER BY id'; END $$; \
    CREATE FUNCTION own() RETURNS refcursor LANGUAGE plpgsql AS \
      $$ DECLARE r refcursor := 'r'; BEGIN OPEN r FOR EXECUTE 'SELECT note || '''' FROM cust'||'omers ORDER BY id'; RETURN r; END $$;";

#[test]
fn a_name_that_code_may_have_taken_opens_nothing() {
    for major in VERSIONS {
        let pair = Pair::new(major);
        pair.server.execute("postgres", OPAQUE).unwrap();
        // Somebody's sealed value lies in a column that is not classified.
        pair.server
            .execute("postgres", "UPDATE customers SET note = (SELECT email FROM customers WHERE id = 1)")
            .unwrap();
        let mut look = pair.sealed();
        await_that("the functions in the catalog", || {
            look.query("CREATE TABLE IF NOT EXISTS looked (id int)");
            states(&look.query("SELECT own()")).is_empty()
        });
        let opened = |frames: &[Frame]| frames.iter().any(|frame| holds(&frame.body, MARK.as_bytes()));
        for declare in ["SELECT COALESCE(email, phone) FROM customers", "SELECT email FROM customers"] {
            for (between, fetch) in [
                ("SELECT swap()", "FETCH ALL FROM c"),
                ("SELECT swap() FROM customers LIMIT 1", "FETCH ALL FROM c"),
                ("DO $$ BEGIN PERFORM swap(); END $$", "FETCH ALL FROM c"),
            ] {
                for extended in [false, true] {
                    let mut raw = pair.sealed();
                    raw.query("BEGIN");
                    assert_eq!(states(&raw.query(&format!("DECLARE c CURSOR FOR {declare}"))), [""; 0]);
                    assert!(opened(&raw.query("FETCH 1 FROM c")), "{declare}");
                    let swapped = raw.query(between);
                    let frames = if extended {
                        raw.parse("", fetch, &[]);
                        raw.bind("", "", &[], &[], &[]);
                        raw.execute("", 0);
                        raw.sync()
                    } else {
                        raw.query(fetch)
                    };
                    assert!(!opened(&frames), "{major}: {declare}, {between}: {:?}", tags(&frames));
                    // What is refused has failed the transaction.
                    let said = if states(&swapped).is_empty() { "SG001" } else { "25P02" };
                    assert_eq!(states(&frames), [said], "{major}: {declare}, {between}");
                    // And by the protocol.
                    raw.query("ROLLBACK");
                    raw.query("BEGIN");
                    raw.query(&format!("DECLARE c CURSOR FOR {declare}"));
                    raw.query(between);
                    raw.execute("c", 0);
                    assert!(!opened(&raw.sync()), "{major}: {declare}, {between}");
                    // In one text, and in one batch.
                    raw.query("ROLLBACK");
                    let text = format!("BEGIN; DECLARE c CURSOR FOR {declare}; {between}; {fetch}");
                    assert!(!opened(&raw.query(&text)), "{major}: {text}");
                    raw.query("ROLLBACK");
                    raw.query("BEGIN");
                    for sql in [&*format!("DECLARE c CURSOR FOR {declare}"), between, fetch] {
                        raw.parse("", sql, &[]);
                        raw.bind("", "", &[], &[], &[]);
                        raw.execute("", 0);
                    }
                    assert!(!opened(&raw.sync()), "{major}: a batch of {declare}, {between}, {fetch}");
                }
            }
            let mut raw = pair.sealed();
            raw.query(&format!("PREPARE p AS {declare}"));
            assert!(opened(&raw.query("EXECUTE p")));
            assert_eq!(states(&raw.query("SELECT swapped()")), [""; 0]);
            assert!(!opened(&raw.query("EXECUTE p")), "{major}: {declare}");
            raw.bind("", "p", &[], &[], &[]);
            raw.execute("", 0);
            assert!(!opened(&raw.sync()), "{major}: {declare}");
            raw.query("DEALLOCATE p");
            raw.query(&format!("PREPARE p AS {declare}"));
            assert!(opened(&raw.query("EXECUTE p")), "made anew behind the code");
        }
        // A cursor of code itself shows what is stored.
        let mut raw = pair.sealed();
        raw.query("BEGIN");
        assert_eq!(firsts(&raw.query("SELECT own()")), ["r"]);
        let frames = raw.query("FETCH ALL FROM r");
        assert!(!opened(&frames) && firsts(&frames).iter().all(|value| value.starts_with("SEAL")), "{major}");
    }
}

/// A driver's statement is prepared again under its name where that is not certain. Where the server cannot do that now,
/// it can later, as a plain server keeps what it has.
#[test]
fn a_statement_that_could_not_be_prepared_again_stays_what_it_was() {
    for major in VERSIONS {
        let pair = Pair::new(major);
        pair.server.execute("postgres", OPAQUE).unwrap();
        let mut raw = pair.sealed();
        await_that("the functions in the catalog", || {
            raw.query("CREATE TABLE IF NOT EXISTS looked (id int)");
            states(&raw.query("SELECT own()")).is_empty()
        });
        for text in [
            "SELECT email FROM customers WHERE id = $1",
            "SELECT email FROM customers WHERE id = $1 AND email = 's3ntinel-ada@x.example'",
            "SELECT email FROM customers WHERE id = $1 / 1",
        ] {
            raw.parse("ps", text, &[23]);
            assert_eq!(errors(&raw.sync()), [], "{text}");
            let executed = |raw: &mut Raw, extended: bool, value: &str| {
                if extended {
                    raw.bind("", "ps", &[], &[Some(value.as_bytes())], &[]);
                    raw.execute("", 0);
                    raw.sync()
                } else {
                    raw.query(&format!("EXECUTE ps({value})"))
                }
            };
            for extended in [false, true] {
                // While somebody has the table nobody can prepare it.
                let mut other = Raw::login(pair.server.address(), "postgres", "postgres");
                raw.query("SELECT swapped()");
                other.query("BEGIN");
                other.query("LOCK TABLE customers");
                raw.query("SET lock_timeout = '50ms'");
                assert_eq!(
                    states(&executed(&mut raw, extended, "1")),
                    ["55P03"],
                    "{major}: {text} {extended}"
                );
                other.query("ROLLBACK");
                raw.query("SET lock_timeout = 0");
                let frames = executed(&mut raw, extended, "1");
                let said = errors(&frames);
                assert_eq!(
                    (firsts(&frames), said),
                    (vec!["s3ntinel-ada@x.example".to_owned()], vec![]),
                    "{major}: {text} {extended}"
                );
                // Behind an error of its own batch it is not prepared at all.
                raw.query("SELECT swapped()");
                raw.parse("", "SELECT 1/0", &[]);
                raw.bind("", "", &[], &[], &[]);
                raw.execute("", 0);
                raw.bind("", "ps", &[], &[Some(b"1")], &[]);
                raw.execute("", 0);
                assert_eq!(states(&raw.sync()), ["22012"], "{major}: {text}");
                assert_eq!(
                    firsts(&executed(&mut raw, extended, "1")),
                    ["s3ntinel-ada@x.example"],
                    "{major}: {text}"
                );
                // And one that fails itself is there for the next.
                raw.query("SELECT swapped()");
                assert_eq!(states(&executed(&mut raw, extended, "99999999999")), ["22003"]);
                assert_eq!(
                    firsts(&executed(&mut raw, extended, "1")),
                    ["s3ntinel-ada@x.example"],
                    "{major}: {text}"
                );
            }
            raw.close(b'S', "ps");
            assert_eq!(errors(&raw.sync()), [], "{text}");
        }
        assert!(!holds(&pair.tap.to_server(), MARK.as_bytes()), "{major}: a value went upstream");
    }
}

/// Functions that open a cursor: named by the caller, with and without values for the query, by themselves, and by the server.
const OPENERS: &str = "CREATE FUNCTION listed(c refcursor) RETURNS refcursor LANGUAGE plpgsql AS \
      $$ BEGIN OPEN c FOR SELECT id, email, note FROM customers ORDER BY id; RETURN c; END $$; \
    CREATE FUNCTION one_of(c refcursor, wanted text, lowest int) RETURNS refcursor LANGUAGE plpgsql AS \
      $$ BEGIN OPEN c NO SCROLL FOR SELECT id, email FROM customers WHERE email = wanted AND id >= lowest; RETURN c; END $$; \
    CREATE FUNCTION nameless() RETURNS refcursor LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS \
      $$ DECLARE d refcursor; BEGIN OPEN d FOR SELECT id, phone FROM customers ORDER BY id; RETURN d; END $$; \
    CREATE FUNCTION constant() RETURNS refcursor LANGUAGE plpgsql AS \
      $$ DECLARE d refcursor := 'of phones'; BEGIN OPEN d SCROLL FOR SELECT id, phone FROM customers ORDER BY id; RETURN d; END $$; ";

fn opens(raw: &mut Raw, call: &str) {
    await_that("the functions in the catalog", || {
        raw.query("CREATE TABLE IF NOT EXISTS looked (id int)");
        raw.query("BEGIN");
        let states = states(&raw.query(call));
        raw.query("ROLLBACK");
        states.is_empty()
    });
}

/// The second value of each row.
fn seconds(frames: &[Frame]) -> Vec<String> {
    let rows = frames.iter().filter(|frame| frame.tag == b'D').map(Frame::values);
    let second = |row: Vec<Option<Vec<u8>>>| Some(row.get(1)?.clone().unwrap_or_else(|| b"null".to_vec()));
    rows.filter_map(second).map(|value| String::from_utf8(value).unwrap()).collect()
}

#[test]
fn a_cursor_that_a_function_opens_is_judged_by_the_query_of_the_function() {
    for major in VERSIONS {
        let pair = Pair::new(major);
        pair.server.execute("postgres", OPENERS).unwrap();
        let mut raw = pair.sealed();
        opens(&mut raw, "SELECT listed('x')");
        let emails = seconds(&raw.query("SELECT id, email FROM customers ORDER BY id"));
        let phones = seconds(&raw.query("SELECT id, phone FROM customers ORDER BY id"));
        for call in
            ["SELECT listed('mine')", "SELECT public.listed('mine') AS r", "SELECT * FROM listed('mine')"]
        {
            raw.query("BEGIN");
            assert_eq!(firsts(&raw.query(call)), ["mine"], "{major}: {call}");
            assert_eq!(seconds(&raw.query("FETCH 1 FROM mine")), emails[..1], "{major}: {call}");
            assert_eq!(seconds(&raw.query("FETCH ALL IN \"mine\"")), emails[1..], "{major}: {call}");
            assert_eq!(errors(&raw.query("CLOSE mine; COMMIT")), []);
        }
        // In one text, where the text tells the name.
        assert_eq!(seconds(&raw.query("SELECT constant(); FETCH ALL FROM \"of phones\""))[..], phones[..]);
        // What the server, or a parameter, names is known by the answer.
        raw.query("BEGIN");
        for call in ["SELECT nameless()", "SELECT listed(NULL)"] {
            let frames = raw.query(call);
            assert_eq!(errors(&frames), [], "{major}: {call}");
            let name = firsts(&frames).remove(0);
            assert!(name.starts_with("<unnamed portal "), "{major}: {name}");
            let shown = seconds(&raw.query(&format!("FETCH ALL IN \"{name}\"")));
            assert_eq!(
                shown,
                if call.contains("nameless") { &phones[..] } else { &emails[..] },
                "{major}: {call}"
            );
        }
        raw.query("COMMIT");
        let late = raw.query("SELECT listed(NULL); FETCH ALL FROM \"<unnamed portal 9>\"");
        assert_eq!(states(&late), ["SG001"], "{major}");
        // A value for a sealed column, as a literal and as a parameter, in the way of drivers.
        raw.query("BEGIN");
        assert_eq!(firsts(&raw.query("SELECT one_of('lit', 's3ntinel-ada@x.example', 1)")), ["lit"]);
        assert_eq!(seconds(&raw.query("FETCH ALL FROM lit")), ["s3ntinel-ada@x.example"]);
        raw.parse("", "select * from one_of($1, $2, $3) as result", &[]);
        let values = ["by parameter", "s3ntinel-ada@x.example", "1"].map(|value| Some(value.as_bytes()));
        raw.bind("", "", &[], &values, &[]);
        raw.describe(b'P', "");
        raw.execute("", 0);
        let frames = raw.sync();
        assert_eq!((errors(&frames), firsts(&frames)), (vec![], vec!["by parameter".to_owned()]), "{major}");
        raw.parse("", "FETCH ALL IN \"by parameter\"", &[]);
        raw.bind("", "", &[], &[], &[]);
        raw.describe(b'P', "");
        raw.execute("", 0);
        assert_eq!(seconds(&raw.sync()), ["s3ntinel-ada@x.example"], "{major}");
        raw.query("COMMIT");
        // A portal of a transaction that has ended is not there, and a name that is taken is an error, as directly.
        assert_eq!(states(&raw.query("FETCH ALL FROM lit")), ["34000"], "{major}");
        raw.query("BEGIN; DECLARE mine CURSOR FOR SELECT id, note FROM customers ORDER BY id");
        assert_eq!(states(&raw.query("SELECT listed('mine')")), ["42P03"], "{major}");
        raw.query("ROLLBACK");
        assert!(!holds(&pair.tap.to_server(), MARK.as_bytes()), "{major}: a value went upstream");
        // The call is on record as a search, and each FETCH as a read of what the function's query shows.
        let before = records(&pair.gate).len();
        raw.query("BEGIN");
        raw.query("SELECT listed('told')");
        raw.query("FETCH 3 FROM told");
        raw.query("COMMIT");
        let found = || records(&pair.gate).split_off(before);
        let is = |one: &serde_json::Value, kind: &str, action: &str| {
            one["kind"] == kind && one["action"] == action
        };
        let read =
            |one: &serde_json::Value| is(one, "outcome", "read") && one["rows"] == 3 && one["cells"] == 3;
        await_that("the outcome of FETCH", || found().iter().any(read));
        for action in ["search", "read"] {
            let intents = found().into_iter().filter(|one| is(one, "intent", action));
            let told = intents.filter(|one| one["statement"].as_str().unwrap().contains("listed"));
            let fields = told.map(|one| one["fields"].to_string()).collect::<Vec<_>>();
            assert_eq!(fields.len(), 1, "{major}: {action}");
            assert!(fields[0].contains("public.customers.email"), "{major}: {fields:?}");
        }
    }
}

/// Whatever is done to the function, its name or the name of its cursor, no value is shown but by what the function was.
#[test]
fn a_cursor_of_a_function_shows_nothing_by_another_query_than_its_own() {
    for major in VERSIONS {
        let pair = Pair::new(major);
        pair.server.execute("postgres", OPENERS).unwrap();
        pair.server
            .execute(
                "postgres",
                "CREATE TABLE forged (id int, email text); INSERT INTO forged SELECT id, email FROM customers; \
                 CREATE FUNCTION swaps() RETURNS int LANGUAGE plpgsql AS $$ \
                   DECLARE n refcursor := (SELECT name FROM pg_cursors WHERE name = 'c' OR name LIKE '<unnamed%' LIMIT 1); \
                   BEGIN CLOSE n; OPEN n FOR EXECUTE 'SELECT id, email || chr(32) AS email, id AS note FROM for'||'ged ORDER BY id'; RETURN 1; END $$",
            )
            .unwrap();
        let opener = |head: &str, rest: &str| {
            format!(
                "CREATE FUNCTION {head} RETURNS refcursor LANGUAGE plpgsql {rest} AS \
                $$ BEGIN OPEN c FOR SELECT id, email FROM customers; RETURN c; END $$; "
            )
        };
        let others = [
            opener("two(c refcursor)", ""),
            "CREATE FUNCTION two(c text) RETURNS text LANGUAGE sql AS 'SELECT c'; ".to_owned(),
            opener("stays(c refcursor)", "STABLE"),
            opener("strict(c refcursor)", "STRICT"),
            opener("safe(c refcursor)", "PARALLEL SAFE"),
            opener("sets(c refcursor)", "SET work_mem = '1MB'"),
            opener("opens_two(c refcursor)", "")
                .replace("RETURN c", "c := NULL; OPEN c FOR SELECT 1; RETURN c"),
        ];
        pair.server.execute("postgres", &others.concat()).unwrap();
        let mut raw = pair.sealed();
        opens(&mut raw, "SELECT listed('x')");
        // Code that nobody follows has put another one under the name.
        raw.query("BEGIN");
        raw.query("SELECT listed('c')");
        assert_eq!(firsts(&raw.query("SELECT swaps()")), ["1"], "{major}");
        assert_eq!(states(&raw.query("FETCH ALL FROM c")), ["SG001"], "{major}");
        raw.query("ROLLBACK");
        let in_one = raw.query("SELECT listed('c'); SELECT swaps(); FETCH ALL FROM c");
        assert_eq!(states(&in_one), ["SG001"], "{major}");
        // And where only the answer tells the name: of two statements in one text the second may have been that code.
        raw.query("BEGIN");
        let frames = raw.query("SELECT listed(NULL); SELECT swaps()");
        assert_eq!((firsts(&frames).len(), errors(&frames)), (2, vec![]), "{major}");
        let fetched = raw.query(&format!("FETCH ALL FROM \"{}\"", firsts(&frames)[0]));
        assert_eq!(states(&fetched), ["SG001"], "{major}");
        raw.query("ROLLBACK");
        // A savepoint takes it away, and another one has its name since.
        raw.query("BEGIN");
        raw.query("SAVEPOINT s");
        raw.query("SELECT listed('c')");
        raw.query("ROLLBACK TO s");
        raw.query("DECLARE c CURSOR FOR SELECT id, email FROM forged ORDER BY id");
        let shown = seconds(&raw.query("FETCH ALL FROM c"));
        assert!(shown.len() == 4 && !shown.iter().any(|value| value.contains(MARK)), "{major}: {shown:?}");
        raw.query("ROLLBACK");
        // Two functions of one name, and those that may not run when they are called, or not here.
        for called in
            ["two('x'::refcursor)", "stays('x')", "strict('x')", "safe('x')", "sets('x')", "opens_two('x')"]
        {
            let frames = raw.query(&format!("SELECT {called}"));
            let error = frames.iter().find(|frame| frame.tag == b'E').unwrap();
            assert_eq!(error.field(b'C').as_deref(), Some("SG001"), "{major}: {called}");
            assert_eq!(error.field(b'H').as_deref(), Some("Write the query itself."), "{major}: {called}");
        }
        // What was opened by the function as it was stays what it was.
        raw.query("BEGIN");
        raw.query("SELECT listed('c')");
        let empty = "CREATE OR REPLACE FUNCTION listed(c refcursor) RETURNS refcursor LANGUAGE plpgsql AS $$ BEGIN RETURN c; END $$";
        pair.server.execute("postgres", empty).unwrap();
        assert_eq!(seconds(&raw.query("FETCH 1 FROM c")), ["s3ntinel-ada@x.example"], "{major}");
        raw.query("ROLLBACK");
        assert!(!holds(&pair.tap.to_server(), MARK.as_bytes()), "{major}: a value went upstream");
    }
}

/// A temporary table may stand where the function's query finds it: what that holds is not taken for what is sealed.
#[test]
fn a_cursor_of_a_function_that_finds_another_table_opens_nothing_of_it() {
    for major in VERSIONS {
        let pair = Pair::new(major);
        pair.server.execute("postgres", OPENERS).unwrap();
        let mut raw = pair.sealed();
        opens(&mut raw, "SELECT listed('x')");
        let stored = "CREATE TABLE forged AS SELECT id, email, note FROM customers; \
            CREATE FUNCTION shadows() RETURNS int LANGUAGE plpgsql AS $$ BEGIN \
              EXECUTE 'CREATE TEMP TABLE cust'||'omers AS SELECT * FROM forged'; RETURN 1; END $$";
        pair.server.execute("postgres", stored).unwrap();
        await_that("the function in the catalog", || {
            raw.query("CREATE TABLE IF NOT EXISTS looked (id int)");
            states(&raw.query("SELECT shadows()")).is_empty()
        });
        raw.send(b'Q', &crate::harness::string("BEGIN; SELECT listed('c')"));
        raw.until_ready();
        raw.send(b'Q', &crate::harness::string("FETCH ALL FROM c"));
        let mut frames = Vec::new();
        while let Some(frame) = raw.read() {
            let ends = frame.tag == b'Z';
            frames.push(frame);
            if ends {
                break;
            }
        }
        assert!(!frames.iter().any(|frame| frame.tag == b'D'), "{major}: {}", tags(&frames));
        assert_eq!(states(&frames), ["SG001"], "{major}");
    }
}

/// A function that hides its query, or has another one of its name, opens nothing, whatever the names of its portals are.
#[test]
fn a_cursor_of_a_function_that_is_not_followed_opens_nothing() {
    for major in VERSIONS {
        let pair = Pair::new(major);
        pair.server
            .execute(
                "postgres",
                "CREATE FUNCTION listed(c refcursor) RETURNS refcursor LANGUAGE plpgsql AS \
                   $$ BEGIN OPEN c FOR SELECT id, email FROM customers ORDER BY id; MOVE c; RETURN c; END $$; \
                 CREATE FUNCTION ordered(c refcursor) RETURNS refcursor LANGUAGE plpgsql AS \
                   $$ BEGIN OPEN c FOR SELECT id, item FROM orders ORDER BY id; RETURN c; END $$; \
                 CREATE FUNCTION hidden() RETURNS refcursor LANGUAGE plpgsql AS \
                   $$ DECLARE c refcursor; BEGIN OPEN c FOR EXECUTE 'SELECT email FROM cust'||'omers ORDER BY id'; RETURN c; END $$; \
                 INSERT INTO orders (id, item) VALUES (1, 'tea')",
            )
            .unwrap();
        let mut raw = pair.sealed();
        await_that("the functions in the catalog", || {
            raw.query("CREATE TABLE IF NOT EXISTS looked (id int)");
            states(&raw.query("SELECT listed('x')")) == ["SG001"]
        });
        // Over what is not classified it is as directly, by the name that the application chose.
        for _ in 0..2 {
            raw.query("BEGIN");
            assert_eq!(firsts(&raw.query("SELECT ordered('of orders')")), ["of orders"]);
            assert_eq!(firsts(&raw.query("FETCH ALL FROM \"of orders\"")), ["1"]);
            assert_eq!(errors(&raw.query("CLOSE \"of orders\"; COMMIT")), []);
        }
        let frames = raw.query("SELECT listed('mine')");
        let error = frames.iter().find(|frame| frame.tag == b'E').unwrap();
        assert!(error.field(b'D').unwrap().contains("the body of function public.listed names customers"));
        assert_eq!(error.field(b'H').as_deref(), Some("Write the query itself."));
        // And so it goes.
        raw.query("BEGIN");
        raw.query("DECLARE mine CURSOR FOR SELECT id, email FROM customers ORDER BY id");
        assert_eq!(firsts(&raw.query("FETCH ALL FROM mine")), ["1", "2", "3", "4"]);
        // One that hides what it reads is not opened, and where the server says that it shows a sealed column ends there.
        let name = firsts(&raw.query("SELECT hidden()")).remove(0);
        raw.send(b'Q', &crate::harness::string(&format!("FETCH ALL FROM \"{name}\"")));
        let mut frames = Vec::new();
        while let Some(frame) = raw.read() {
            frames.push(frame);
        }
        let error = frames.iter().find(|frame| frame.tag == b'E').unwrap();
        assert_eq!(error.field(b'C').as_deref(), Some("SG001"), "{major}");
        assert!(error.field(b'H').unwrap().contains("a cursor that a function has opened shows none"));
        assert!(!frames.iter().any(|frame| frame.tag == b'D'), "{major}");
    }
}

#[test]
fn a_cursor_is_judged_by_the_policy_that_holds() {
    let server = shop::server(15);
    let gate = crate::harness::Setup::before(server.address())
        .field("public.customers", "email", "equality")
        .field("public.customers", "phone", "random")
        .start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    assert_eq!(states(&raw.query(SEED)), [""; 0]);
    let declared = raw.query("DECLARE c CURSOR WITH HOLD FOR SELECT email, note FROM customers ORDER BY id");
    assert_eq!(states(&declared), [""; 0]);
    raw.query("PREPARE p AS SELECT email FROM customers ORDER BY id");
    // A change of the catalog alone leaves them what they are.
    server.execute("postgres", "CREATE TABLE elsewhere (id int)").unwrap();
    let mut other = Raw::login(gate.address(), "postgres", "postgres");
    other.query("CREATE TABLE here (customers int)");
    for _ in 0..2 {
        assert_eq!(firsts(&raw.query("FETCH 1 FROM c")).len(), 1);
        assert_eq!(firsts(&raw.query("EXECUTE p")).len(), 4);
        other.query("ALTER TABLE customers ADD COLUMN IF NOT EXISTS more int");
    }
    gate.configure(|text| {
        format!("{text}\n[[field]]\ntable = \"public.customers\"\ncolumn = \"city\"\nclass = \"place\"\nseal = \"none\"\n")
    });
    gate.signal("HUP");
    await_that("the reload", || gate.log().contains("the configuration was read again"));
    let frames = raw.query("FETCH ALL FROM c");
    assert_eq!((firsts(&frames).len(), states(&frames)), (0, vec!["SG001".to_owned()]));
    raw.query("CLOSE c");
    raw.query("DECLARE c CURSOR WITH HOLD FOR SELECT email, city FROM customers ORDER BY id");
    assert_eq!(firsts(&raw.query("FETCH 1 FROM c")), ["s3ntinel-ada@x.example"]);
    assert_eq!(firsts(&raw.query("EXECUTE p")).len(), 4);
}

#[test]
fn an_argument_that_is_no_literal_is_refused_and_an_explanation_opens_nothing() {
    for major in VERSIONS {
        let pair = Pair::new(major);
        let mut raw = pair.sealed();
        raw.query("PREPARE p(text) AS SELECT email FROM customers WHERE email = $1");
        for argument in [
            "lower('s3ntinel-ADA@x.example')",
            "'s3ntinel-' || 'ada'",
            "N's3ntinel-ada@x.example'",
            "current_user",
        ] {
            assert_eq!(states(&raw.query(&format!("EXECUTE p({argument})"))), ["SG001"], "{argument}");
        }
        let of_number = "PREPARE n(int) AS SELECT email FROM customers WHERE email = $1";
        assert_eq!(states(&raw.query(of_number)), ["SG004"]);
        assert_eq!(
            states(&raw.query("CREATE TABLE copied AS EXECUTE p('s3ntinel-ada@x.example')")),
            ["SG001"]
        );
        for sql in [
            "EXPLAIN EXECUTE p('s3ntinel-ada@x.example')",
            "EXPLAIN ANALYZE EXECUTE p('s3ntinel-ada@x.example')",
            "EXPLAIN (ANALYZE, VERBOSE, FORMAT YAML) EXECUTE p('s3ntinel-ada@x.example')",
            "EXPLAIN (ANALYZE, VERBOSE, FORMAT XML) SELECT email, phone FROM customers WHERE email IN ('s3ntinel-ada@x.example', 's3ntinel-eve@x.example')",
            "EXPLAIN (ANALYZE, FORMAT JSON) UPDATE customers SET phone = 's3ntinel+5' WHERE email = 's3ntinel-ada@x.example' RETURNING phone",
            "EXPLAIN (VERBOSE, COSTS OFF) SELECT 's3ntinel-ada@x.example' = email FROM customers",
            "EXPLAIN (VERBOSE, FORMAT JSON) SELECT email FROM customers WHERE email = 's3ntinel-ada@x.example'",
            "EXPLAIN (ANALYZE, VERBOSE) SELECT email FROM customers WHERE email = 's3ntinel-ada@x.example'",
            "EXPLAIN DECLARE c CURSOR FOR SELECT email FROM customers WHERE email = 's3ntinel-ada@x.example'",
        ] {
            let before = records(&pair.gate).len();
            let frames = raw.query(sql);
            assert_eq!(errors(&frames), [], "{sql}");
            let shown: Vec<u8> = frames.iter().flat_map(|frame| frame.body.clone()).collect();
            assert!(!holds(&shown, MARK.as_bytes()) && !firsts(&frames).is_empty(), "{sql}");
            assert!(!holds(&shown, b"SEAL"), "{sql} {}", shown.escape_ascii());
            await_that("the record", || records(&pair.gate).len() >= before + 2);
            let intent = records(&pair.gate)
                .split_off(before)
                .into_iter()
                .find(|one| one["kind"] == "intent")
                .unwrap();
            let expected = match sql {
                sql if sql.contains("UPDATE") => "write",
                sql if sql.contains("ANALYZE") => "read",
                _ => "search",
            };
            assert_eq!(intent["action"], expected, "{sql}: {intent}");
        }
        assert!(!holds(&pair.tap.to_server(), MARK.as_bytes()), "{major}: a value went upstream");
    }
}

#[test]
fn names_are_bounded() {
    let server = shop::server(18);
    let gate = classified(crate::harness::Setup::before(server.address())).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    // Who closes what he opens can go on for ever.
    for number in 0..12_000 {
        let text = format!(
            "BEGIN; DECLARE c{number} CURSOR FOR SELECT email FROM customers; CLOSE c{number}; COMMIT"
        );
        raw.send(b'Q', &crate::harness::string(&text));
        let frames = raw.until_ready();
        assert_eq!(states(&frames), [""; 0], "{number}");
    }
}

/// What is described in the same batch as code that nobody follows, and behind it, is told and shown as what it is.
#[test]
fn what_is_described_behind_code_in_the_same_batch_is_told_as_a_plain_server_tells_it() {
    for major in VERSIONS {
        let pair = Pair::new(major);
        let hidden = "CREATE FUNCTION hidden() RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT 1'; RETURN 1; END $$";
        pair.server.execute("postgres", hidden).unwrap();
        pair.server.execute("plain", hidden).unwrap();
        let (mut plain, mut sealed) = (pair.plain(), pair.sealed());
        await_that("the function in the catalog", || {
            sealed.query("CREATE TABLE IF NOT EXISTS looked (id int)");
            errors(&sealed.query("SELECT hidden()")).is_empty()
        });
        for (statement, portal) in [("", ""), ("s", "p"), ("", "q")] {
            let mut both = [&mut plain, &mut sealed].map(|raw| {
                raw.parse("code", "SELECT hidden()", &[]);
                raw.bind("", "code", &[], &[], &[]);
                raw.execute("", 0);
                raw.parse(statement, "SELECT id, email FROM customers WHERE id < $1 ORDER BY id", &[]);
                raw.describe(b'S', statement);
                raw.bind(portal, statement, &[], &[Some(b"3")], &[]);
                raw.describe(b'P', portal);
                raw.execute(portal, 1);
                raw.execute(portal, 0);
                raw.close(b'S', "code");
                raw.close(b'S', statement);
                raw.sync()
            });
            let [directly, through] = &mut both;
            assert_eq!(told(through), told(directly), "{major}: {statement} {portal}");
            assert_eq!(seconds(through).len(), 2, "{major}");
        }
    }
}
