//! Temporary copies of sealed columns: the session that made one uses it like the table that it is a copy of.
//! Nothing that was sealed is legible to the server in it, whatever becomes of the transaction.

use std::collections::HashSet;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::harness::{Frame, Raw, VERSIONS};
use crate::shop::{self, errors, firsts, records, states};

const DOMAIN: &str = "sentinel.example";

/// What a client sees of an answer, but for its errors' words.
fn told(frames: &[Frame]) -> Vec<String> {
    let wanted = frames.iter().filter(|frame| frame.tag != b'N' && frame.tag != b'S');
    wanted
        .map(|frame| match frame.tag {
            b'E' => format!("E {}", frame.field(b'C').unwrap()),
            b'D' => format!("D {:?}", frame.values()),
            b'T' => "T".to_owned(),
            tag => format!("{} {}", char::from(tag), frame.body.escape_ascii()),
        })
        .collect()
}

fn refused(frames: &[Frame]) -> Option<String> {
    let error = frames.iter().find(|frame| frame.tag == b'E')?;
    let own = error.field(b'C').unwrap().starts_with("SG");
    own.then(|| format!("{:?}: {:?}", error.field(b'M').unwrap(), error.field(b'D')))
}

/// Staging and reports, as applications write them.
const SERVED: &[&str] = &[
    "CREATE TEMP TABLE one AS SELECT id, email, phone, id * 2 AS twice FROM customers",
    "SELECT id, email, phone, twice FROM one ORDER BY id",
    "SELECT * FROM one WHERE email = 'ada@sentinel.example'",
    "SELECT c.phone, one.email FROM customers c JOIN one USING (email) ORDER BY c.id",
    "INSERT INTO one VALUES (7, 'new@sentinel.example', '+7', 14)",
    "INSERT INTO one (id, email) SELECT id + 10, email FROM customers",
    "UPDATE one SET email = 'moved@sentinel.example' WHERE id = 7 RETURNING email, id",
    "DELETE FROM one WHERE email = 'ada@sentinel.example'",
    "SELECT count(*), count(DISTINCT email) FROM one",
    "CREATE INDEX ON one (email)",
    "SELECT email FROM pg_temp.one WHERE email IN ('moved@sentinel.example', 'x') ORDER BY id",
    "DROP TABLE one",
    "SELECT email FROM one",
    "BEGIN",
    "CREATE TEMP TABLE staged (LIKE customers INCLUDING ALL) ON COMMIT DROP",
    "INSERT INTO staged (id, email, phone) VALUES (20, 'twenty@sentinel.example', '+20'), (1, 'one@sentinel.example', '+1')",
    "INSERT INTO customers SELECT * FROM staged ON CONFLICT (id) DO UPDATE SET email = excluded.email, phone = excluded.phone",
    "SELECT email FROM staged ORDER BY id",
    "COMMIT",
    "SELECT email FROM staged",
    "SELECT id, email, phone FROM customers ORDER BY id",
    "CREATE TEMPORARY TABLE two (key, mail) AS SELECT id, coalesce(email, 'none@sentinel.example') FROM customers WITH DATA",
    "SELECT mail FROM two ORDER BY key",
    "SELECT mail FROM two WHERE mail = 'none@sentinel.example'",
    "SELECT id, email INTO TEMP three FROM customers WHERE email = 'one@sentinel.example'",
    "SELECT email FROM three",
    "TRUNCATE three",
    "SELECT email FROM three",
    "CREATE TEMP TABLE IF NOT EXISTS three AS SELECT id, email FROM customers",
    "SELECT email FROM three ORDER BY id",
    "CREATE TEMP TABLE IF NOT EXISTS four AS SELECT id, email FROM customers",
    "SELECT email FROM four ORDER BY id",
    "CREATE TEMP TABLE five AS SELECT email FROM three JOIN four USING (email)",
    "SELECT email FROM five",
    "SELECT a.email FROM three a JOIN four b ON a.email = b.email ORDER BY a.id",
    "DISCARD ALL",
    "SELECT email FROM three",
    "CREATE TEMP TABLE three AS SELECT id FROM customers",
    "SELECT id FROM three ORDER BY id",
];

struct Both {
    server: sealgate::store::postgres::Throwaway,
    gate: crate::harness::Gate,
    tap: crate::harness::Tap,
}

impl Both {
    fn new(major: u32) -> Both {
        let server = shop::server(major);
        server.execute("postgres", "CREATE DATABASE plain").unwrap();
        server.execute("plain", shop::SCHEMA).unwrap();
        let (gate, tap) = shop::open(&server);
        let both = Both { server, gate, tap };
        for raw in &mut both.sessions() {
            let sql = "INSERT INTO customers (id, email, phone, note) VALUES (1, 'ada@sentinel.example', '+44', 'n'), \
                (2, 'bob@sentinel.example', NULL, NULL), (3, NULL, '+46', NULL)";
            assert_eq!(states(&raw.query(sql)), [""; 0]);
        }
        both
    }

    fn sessions(&self) -> [Raw; 2] {
        [
            Raw::login(self.server.address(), "postgres", "plain"),
            Raw::login(self.gate.address(), "postgres", "postgres"),
        ]
    }

    fn nothing_is_legible(&self) {
        assert!(!shop::holds(&self.tap.to_server(), DOMAIN.as_bytes()), "a value went upstream");
    }
}

#[test]
fn a_temporary_copy_is_used_like_the_table_that_it_is_a_copy_of() {
    for major in VERSIONS {
        let both = Both::new(major);
        for extended in [false, true] {
            let [mut plain, mut gate] = both.sessions();
            for sql in SERVED {
                let run = |raw: &mut Raw| {
                    if !extended {
                        return raw.query(sql);
                    }
                    raw.parse("", sql, &[]);
                    raw.bind("", "", &[], &[], &[]);
                    raw.execute("", 0);
                    raw.sync()
                };
                let (direct, through) = (run(&mut plain), run(&mut gate));
                assert_eq!(
                    told(&direct),
                    told(&through),
                    "{major}, extended {extended}: {sql}: {:?}",
                    refused(&through)
                );
            }
        }
        assert!(!shop::holds(&both.tap.to_server(), DOMAIN.as_bytes()), "{major}: a value went upstream");
        // Who reads the copy is on record as reading the field.
        let read = |record: &&serde_json::Value| {
            record["kind"] == "intent"
                && record["statement"].as_str().is_some_and(|text| text.contains("FROM two"))
                && record["fields"].to_string().contains("public.customers.email")
        };
        crate::harness::await_that("records of the field behind the copy", || {
            records(&both.gate).iter().filter(read).count() >= 4
        });
    }
}

#[test]
fn what_would_make_something_else_of_a_copy_is_refused_and_nobody_else_has_it() {
    let both = Both::new(18);
    let [_, mut raw] = both.sessions();
    assert_eq!(
        states(&raw.query("CREATE TEMP TABLE mine AS SELECT id, email, phone FROM customers")),
        [""; 0]
    );
    for sql in [
        "ALTER TABLE mine ADD COLUMN more text",
        "ALTER TABLE mine RENAME TO yours",
        "ALTER TABLE mine RENAME email TO mail",
        "ALTER TABLE mine ALTER email TYPE bytea USING email::bytea",
        "ALTER TABLE pg_temp.mine SET SCHEMA public",
        "CREATE TEMP TABLE child () INHERITS (mine)",
        "CREATE VIEW pg_temp.shown AS SELECT email FROM mine",
        "CREATE TEMP TABLE mine (id int, email text)",
        "CREATE TRIGGER t BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE TABLE kept AS SELECT email FROM mine",
        "SELECT lower(email) FROM mine",
        "SELECT * FROM mine WHERE email LIKE 'a%'",
        "INSERT INTO orders (id, item) SELECT id, email FROM mine",
        "INSERT INTO mine (email) SELECT item FROM orders",
        "UPDATE mine SET email = phone",
        "CREATE TEMP TABLE derived AS SELECT upper(email) AS email FROM mine",
        "CREATE TEMP TABLE customers AS SELECT * FROM customers",
        "CREATE TEMP TABLE length AS SELECT email FROM customers",
    ] {
        let frames = raw.query(sql);
        assert!(refused(&frames).is_some(), "{sql}: {:?}", told(&frames));
    }
    // To another session the name is one like any other.
    let [_, mut other] = both.sessions();
    assert_eq!(states(&other.query("SELECT email FROM mine")), ["42P01"]);
    assert_eq!(states(&other.query("CREATE TEMP TABLE mine (email text)")), [""; 0]);
    assert_eq!(states(&other.query("INSERT INTO mine VALUES ('anything')")), [""; 0]);
    assert_eq!(firsts(&other.query("SELECT email FROM mine")), ["anything"]);
    assert_eq!(firsts(&raw.query("SELECT email FROM mine WHERE id = 1")), [format!("ada@{DOMAIN}")]);
    both.nothing_is_legible();
}

#[test]
fn whatever_its_transaction_does_nothing_that_is_put_into_a_copy_is_legible() {
    const TABLES: [&str; 2] = ["low", "high"];
    let both = Both::new(15);
    let mut rng = StdRng::seed_from_u64(20_261_128);
    let (mut answered, mut other, mut put) = (0, 0, Vec::new());
    for round in 0..60 {
        let [mut plain, mut gate] = both.sessions();
        let mut story: Vec<String> = Vec::new();
        for step in 0..14 {
            let table = TABLES.choose(&mut rng).unwrap();
            let number = round * 100 + step;
            let sql = match rng.random_range(if step == 0 { 6..8 } else { 0..20 }) {
                0 | 1 => "BEGIN".to_owned(),
                2 => "COMMIT".to_owned(),
                3 => "ROLLBACK".to_owned(),
                4 => "SAVEPOINT s".to_owned(),
                5 => "ROLLBACK TO s".to_owned(),
                6 => format!("CREATE TEMP TABLE {table} AS SELECT id, email FROM customers"),
                7 => format!("CREATE TEMP TABLE {table} (LIKE customers) ON COMMIT DROP"),
                8 => format!("CREATE TEMP TABLE {table} AS SELECT id, email FROM customers; SELECT 1/0"),
                9 => format!("DROP TABLE IF EXISTS {table}"),
                10 => "SELECT 1/0".to_owned(),
                11 => "DO 'BEGIN PERFORM 1; END'".to_owned(),
                12..=16 => format!("INSERT INTO {table} (id, email) VALUES ({number}, 'n{number}@{DOMAIN}')"),
                _ => format!("SELECT email FROM {table} WHERE email <> 'n{number}@{DOMAIN}' ORDER BY id"),
            };
            story.push(sql.clone());
            let through = gate.query(&sql);
            if refused(&through).is_some() {
                // From here on the two differ.
                other += 1;
                break;
            }
            let direct = plain.query(&sql);
            assert_eq!(told(&direct), told(&through), "round {round}: {story:#?}");
            answered += 1;
            // What a table that is not there was to be given was nothing's.
            if sql.contains("VALUES") && states(&through).is_empty() {
                put.push(format!("n{number}@{DOMAIN}"));
            }
        }
    }
    eprintln!(
        "{answered} answered as directly, {other} stories ended by a refusal, {} values put",
        put.len()
    );
    assert!(answered > 500 && put.len() > 20, "{answered}, {}", put.len());
    let sent = both.tap.to_server();
    let legible: Vec<&String> = put.iter().filter(|value| shop::holds(&sent, value.as_bytes())).collect();
    assert!(legible.is_empty(), "{legible:?} went upstream");
    assert!(errors(&both.sessions()[1].query("SELECT 1")).is_empty());
}

/// Attacks by what is sent before the server has answered: the name means a copy by then, and no catalog says so.
#[test]
fn what_is_sent_behind_the_making_of_a_copy_is_not_put_into_it_unsealed() {
    const MAKES: [&str; 3] = [
        "CREATE TEMP TABLE ahead AS SELECT id, email FROM customers",
        "CREATE TEMP TABLE ahead (LIKE customers)",
        "SELECT id, email INTO TEMP ahead FROM customers",
    ];
    const PUTS: &str = "INSERT INTO ahead (id, email) VALUES (9, 'ahead@sentinel.example')";
    for major in VERSIONS {
        let both = Both::new(major);
        for makes in MAKES {
            for begins in [false, true] {
                for way in ["two texts", "one text", "one batch", "two batches"] {
                    let [_, mut raw] = both.sessions();
                    if begins {
                        raw.query("BEGIN");
                    }
                    let text = |sql: &str| format!("{sql}\0").into_bytes();
                    let parts = |raw: &mut Raw, sql: &str| {
                        raw.parse("", sql, &[]);
                        raw.bind("", "", &[], &[], &[]);
                        raw.execute("", 0);
                    };
                    let answers = match way {
                        "two texts" => {
                            raw.send(b'Q', &text(makes));
                            raw.send(b'Q', &text(PUTS));
                            2
                        }
                        "one text" => {
                            raw.send(b'Q', &text(&format!("{makes}; {PUTS}")));
                            1
                        }
                        "one batch" => {
                            parts(&mut raw, makes);
                            parts(&mut raw, PUTS);
                            raw.send(b'S', &[]);
                            1
                        }
                        _ => {
                            parts(&mut raw, makes);
                            raw.send(b'S', &[]);
                            parts(&mut raw, PUTS);
                            raw.send(b'S', &[]);
                            2
                        }
                    };
                    let said: Vec<_> = (0..answers).flat_map(|_| told(&raw.until_ready())).collect();
                    assert!(
                        !shop::holds(&both.tap.to_server(), b"ahead@sentinel"),
                        "{major}: {makes}, {way}, in a transaction {begins}: {said:?}"
                    );
                }
            }
        }
    }
}

const COPIES: &str = "CREATE TEMP TABLE x AS SELECT id, email FROM customers";
const PLAIN: &str = "CREATE TEMP TABLE x (id int, email text)";

/// One message or several, and how many times the server is ready behind them.
fn batch(raw: &mut Raw, parts: &[&str], synced: bool) -> usize {
    for sql in parts {
        raw.parse("", sql, &[]);
        raw.bind("", "", &[], &[], &[]);
        raw.execute("", 0);
        if synced {
            raw.send(b'S', &[]);
        }
    }
    if synced { parts.len() } else { 0 }
}

fn text(raw: &mut Raw, sql: &str) -> usize {
    raw.send(b'Q', &format!("{sql}\0").into_bytes());
    1
}

/// Attacks by going back: whatever a transaction has dropped or made of copies, and however it ends, what is given to
/// the name that one has is sealed, refused, or nobody's.
#[test]
fn a_name_that_a_copy_has_had_stays_a_copys_until_its_drop_is_committed() {
    const STEPS: &[&str] = &[
        COPIES,
        "CREATE TEMP TABLE x ON COMMIT DROP AS SELECT id, email FROM customers",
        "CREATE TEMP TABLE IF NOT EXISTS x AS SELECT id, email FROM customers",
        "CREATE TEMP TABLE x (LIKE customers)",
        "DROP TABLE x",
        "DROP TABLE x",
        "DROP TABLE IF EXISTS x",
        "BEGIN",
        "BEGIN",
        "COMMIT",
        "COMMIT AND CHAIN",
        "ROLLBACK",
        "ROLLBACK AND CHAIN",
        "SAVEPOINT s",
        "SAVEPOINT t",
        "ROLLBACK TO s",
        "ROLLBACK TO t",
        "RELEASE s",
        "SELECT 1/0",
        "DISCARD ALL",
        "DISCARD TEMP",
    ];
    let both = Both::new(18);
    let mut rng = StdRng::seed_from_u64(20_261_130);
    let mut put = Vec::new();
    for round in 0..90 {
        let [_, mut raw] = both.sessions();
        let mut story = vec![COPIES.to_owned()];
        raw.query(COPIES);
        raw.parse("s1", "INSERT INTO x (id, email) VALUES ($1, $2)", &[]);
        raw.sync();
        if rng.random_bool(0.6) {
            for sql in ["BEGIN", "SAVEPOINT s"].iter().take(rng.random_range(1..3)) {
                story.push((*sql).to_owned());
                raw.query(sql);
            }
        }
        for step in 0..6 {
            let value = format!("x{round}-{step}@{DOMAIN}");
            let insert = format!("INSERT INTO x (id, email) VALUES ({step}, '{value}')");
            let mut parts: Vec<&str> =
                (0..rng.random_range(0..3)).map(|_| *STEPS.choose(&mut rng).unwrap()).collect();
            if rng.random_bool(0.6) {
                parts.insert(rng.random_range(0..=parts.len()), &insert);
            }
            let (way, ready) = match rng.random_range(0..5) {
                0 => ("one text", text(&mut raw, &parts.join("; "))),
                1 => ("texts", parts.iter().map(|sql| text(&mut raw, sql)).sum()),
                2 => ("batches", batch(&mut raw, &parts, true)),
                3 => {
                    batch(&mut raw, &parts, false);
                    raw.send(b'S', &[]);
                    ("one batch", 1)
                }
                _ => {
                    batch(&mut raw, &parts, false);
                    raw.bind("", "s1", &[], &[Some(b"7"), Some(value.as_bytes())], &[]);
                    raw.execute("", 0);
                    raw.send(b'S', &[]);
                    ("one batch with what was prepared", 1)
                }
            };
            story.push(format!("{way}: {}", parts.join("; ")));
            let said: Vec<_> = (0..ready).flat_map(|_| raw.until_ready()).collect();
            // What a table that is not there was to be given was nothing's.
            if said.iter().any(|frame| frame.tag == b'C' && frame.body.starts_with(b"INSERT")) {
                put.push((value, story.clone()));
            }
        }
    }
    let sent = both.tap.to_server();
    let sent = String::from_utf8_lossy(&sent);
    let legible: HashSet<&str> = sent
        .match_indices(DOMAIN)
        .filter_map(|(at, _)| {
            sent[..at].rsplit(|one: char| !(one.is_ascii_alphanumeric() || "-@".contains(one))).next()
        })
        .collect();
    let wrong: Vec<_> =
        put.iter().filter(|(value, _)| legible.contains(value.trim_end_matches(DOMAIN))).collect();
    assert!(wrong.is_empty(), "{} values went upstream, such as {:#?}", wrong.len(), wrong[0]);
    assert!(put.len() > 40, "{} values were put anywhere", put.len());
}

/// What was prepared for a plain table is executed behind its replacement by a copy.
#[test]
fn what_was_prepared_for_a_plain_table_gives_no_value_to_the_copy_that_takes_its_place() {
    const VALUE: &str = "prepared@sentinel.example";
    const INSERTS: &str = "INSERT INTO x VALUES ($1, $2)";
    for major in VERSIONS {
        let both = Both::new(major);
        for way in ["one batch", "a text before", "a COPY", "one text", "two texts", "a view"] {
            let [_, mut raw] = both.sessions();
            let before = if way == "a view" { "CREATE TABLE x (id int, email text)" } else { PLAIN };
            assert_eq!(states(&raw.query(before)), [""; 0], "{major}: {way}");
            let made =
                if way == "a view" { "CREATE VIEW x AS SELECT id, email FROM customers" } else { COPIES };
            let prepared = if way == "a COPY" { "COPY x FROM STDIN" } else { INSERTS };
            raw.parse("s1", prepared, &[]);
            raw.sync();
            raw.query(&format!("PREPARE p (int, text) AS {INSERTS}"));
            let values: &[Option<&[u8]>] = &[Some(b"9"), Some(VALUE.as_bytes())];
            let values = if way == "a COPY" { &[] } else { values };
            let executes = format!("EXECUTE p (9, '{VALUE}')");
            let ready = match way {
                "one text" => text(&mut raw, &format!("DROP TABLE x; {made}; {executes}")),
                "two texts" => text(&mut raw, &format!("DROP TABLE x; {made}")) + text(&mut raw, &executes),
                _ => {
                    let mut ready = 1;
                    if way == "a text before" {
                        ready += text(&mut raw, &format!("DROP TABLE x; {made}"));
                    } else {
                        batch(&mut raw, &["DROP TABLE x", made], false);
                    }
                    raw.bind("", "s1", &[], values, &[]);
                    raw.execute("", 0);
                    if way == "a COPY" {
                        raw.send(b'd', format!("9\t{VALUE}\n").as_bytes());
                        raw.send(b'c', &[]);
                    }
                    raw.send(b'S', &[]);
                    ready
                }
            };
            let said: Vec<_> = (0..ready).flat_map(|_| told(&raw.until_ready())).collect();
            assert!(
                !shop::holds(&both.tap.to_server(), VALUE.as_bytes()),
                "{major}: {way}: it went upstream: {said:?}"
            );
            // And where it is sent for itself it is judged anew.
            raw.query(if way == "a view" {
                "DROP VIEW IF EXISTS x; DROP TABLE IF EXISTS x"
            } else {
                "DROP TABLE IF EXISTS x"
            });
            assert_eq!(states(&raw.query("SELECT 1")), [""; 0], "{major}: {way}");
        }
    }
}
