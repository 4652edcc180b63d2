//! Views over sealed columns: one that only passes them on is a table with sealed columns, for reading
//! and for writing; any other is refused by its own name, with the reason.

use crate::harness::{Raw, Setup, Tap, VERSIONS, await_that, pg, search_server};
use crate::shop::{self, errors, firsts, records};

const SENTINEL: &str = "ada@sentinel.example";

fn ok(raw: &mut Raw, sql: &str) -> Vec<String> {
    let frames = raw.query(sql);
    let detail = frames.iter().find(|frame| frame.tag == b'E').and_then(|frame| frame.field(b'D'));
    assert_eq!(errors(&frames), [], "{sql}: {detail:?}");
    firsts(&frames)
}

#[test]
fn a_view_that_passes_sealed_columns_on_is_used_like_a_table() {
    for major in VERSIONS {
        let server = shop::server(major);
        let define = "CREATE VIEW people AS SELECT id AS number, email AS mail, phone, note FROM customers WHERE email IS NOT NULL; \
            CREATE VIEW pairs AS SELECT a.number, b.mail FROM people a JOIN people b USING (mail); \
            CREATE MATERIALIZED VIEW past AS SELECT number, mail FROM people";
        server.execute("postgres", define).unwrap();
        let (gate, tap) = shop::open(&server);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        ok(&mut raw, &format!("INSERT INTO people (number, mail, phone) VALUES (1, '{SENTINEL}', '+44')"));
        ok(&mut raw, "INSERT INTO people VALUES (2, 'bob@sentinel.example', '+45', 'n')");
        assert_eq!(ok(&mut raw, &format!("SELECT phone FROM people WHERE mail = '{SENTINEL}'")), ["+44"]);
        assert_eq!(ok(&mut raw, "SELECT mail, number FROM pairs WHERE number = 1"), [SENTINEL]);
        assert_eq!(ok(&mut raw, "SELECT mail FROM past"), [""; 0]);
        ok(&mut raw, "REFRESH MATERIALIZED VIEW past");
        assert_eq!(ok(&mut raw, "SELECT mail FROM past ORDER BY number"), [SENTINEL, "bob@sentinel.example"]);
        ok(&mut raw, "UPDATE people SET mail = 'eve@sentinel.example' WHERE mail = 'bob@sentinel.example'");
        assert_eq!(ok(&mut raw, "SELECT email FROM customers WHERE id = 2"), ["eve@sentinel.example"]);
        assert_eq!(
            ok(&mut raw, "DELETE FROM people WHERE mail = 'eve@sentinel.example' RETURNING mail"),
            ["eve@sentinel.example"]
        );
        ok(&mut raw, "DROP VIEW people CASCADE");
        assert!(!shop::holds(&tap.to_server(), b"sentinel.example"), "{major}");
        assert_eq!(search_server(&server, b"sentinel.example"), []);
        // What is read through a view is on record as what it is.
        let fields = |record: &serde_json::Value| record["fields"].to_string();
        let read = |record: &serde_json::Value| {
            record["kind"] == "intent" && fields(record).contains("public.customers.email")
        };
        await_that("records of the fields behind the view", || {
            records(&gate).iter().filter(|one| read(one)).count() > 8
        });
    }
}

#[test]
fn what_cannot_be_followed_is_refused_by_name_for_that_view_alone() {
    let cases = [
        ("SELECT id, lower(email) AS mail FROM customers", "lower"),
        ("SELECT id, email AS mail FROM customers WHERE email = 'ada@sentinel.example'", "compare a value"),
        ("SELECT id, coalesce(email, 'none') AS mail FROM customers", "compare a value"),
        ("SELECT id, email AS mail FROM customers ORDER BY email", "order"),
        ("SELECT id, email || phone AS mail FROM customers", "||"),
        ("SELECT c.id, c.email AS mail FROM customers c JOIN orders o ON o.item = c.email", "no meaning"),
        ("SELECT id, (customers.*)::text AS mail FROM customers", ""),
    ];
    for major in VERSIONS {
        let server = shop::server(major);
        for (number, (query, _)) in cases.iter().enumerate() {
            server.execute("postgres", &format!("CREATE VIEW v{number} AS {query}")).unwrap();
        }
        let instead = "CREATE VIEW acting AS SELECT id, email FROM customers; CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql \
            AS 'BEGIN INSERT INTO orders (id, item) VALUES (NEW.id, NEW.email); RETURN NEW; END'; \
            CREATE TRIGGER acts INSTEAD OF INSERT ON acting FOR EACH ROW EXECUTE FUNCTION act(); \
            CREATE VIEW filling AS SELECT id, email FROM customers; ALTER VIEW filling ALTER email SET DEFAULT 'nobody'";
        server.execute("postgres", instead).unwrap();
        let (gate, _tap) = shop::open(&server);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        ok(&mut raw, &format!("INSERT INTO customers (id, email) VALUES (1, '{SENTINEL}')"));
        for (number, (query, why)) in cases.iter().enumerate() {
            let frames = raw.query(&format!("SELECT id FROM v{number}"));
            let error = frames.iter().find(|frame| frame.tag == b'E').unwrap_or_else(|| panic!("{query}"));
            let detail = error.field(b'D').unwrap();
            assert!(
                detail.contains(&format!("public.v{number}")) && detail.contains(why),
                "{query}: {detail}"
            );
            // Nor may it be made through the gate.
            let states = shop::states(&raw.query(&format!("CREATE VIEW w{number} AS {query}")));
            assert!(states.first().is_some_and(|state| state.starts_with("SG")), "{query}: {states:?}");
        }
        // Its rows are shown, and it takes none.
        for view in ["acting", "filling"] {
            assert_eq!(ok(&mut raw, &format!("SELECT email FROM {view}")), [SENTINEL]);
            let states = shop::states(&raw.query(&format!("INSERT INTO {view} (id) VALUES (9)")));
            assert_eq!(states, ["SG001"], "{view}");
        }
    }
}

/// Attacks by names: a view's name may stand for a temporary relation that was there before it, and what is
/// dropped in an open transaction may be there again.
#[test]
fn the_name_of_a_view_is_settled_by_the_path_and_matters_until_the_transaction_is_over() {
    for major in VERSIONS {
        let server = shop::server(major);
        let define =
            "CREATE VIEW people AS SELECT id AS number, email AS mail FROM customers; CREATE SCHEMA mine";
        server.execute("postgres", define).unwrap();
        let (gate, tap) = shop::open(&server);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        ok(&mut raw, &format!("INSERT INTO people VALUES (1, '{SENTINEL}')"));
        let stolen = server.query("postgres", "SELECT email FROM customers").unwrap().concat();
        let stolen = stolen[0].clone().unwrap();
        // A temporary table of a name that means nothing yet holds a sealed value of another's.
        ok(
            &mut raw,
            &format!("CREATE TEMP TABLE scratch (mail text); INSERT INTO scratch VALUES ('{stolen}')"),
        );
        server
            .execute("postgres", "CREATE VIEW mine.scratch AS SELECT email AS mail FROM customers")
            .unwrap();
        await_that("the view is known", || {
            shop::states(&raw.query("SELECT mail || '' FROM mine.scratch")) == ["SG001"]
        });
        for sql in
            ["SELECT coalesce(mail, NULL) FROM scratch", "SELECT mail FROM scratch", "SELECT * FROM scratch"]
        {
            let frames = raw.query(sql);
            assert!(!firsts(&frames).contains(&SENTINEL.to_owned()), "{sql}");
        }
        assert_eq!(ok(&mut raw, "SELECT coalesce(mail, NULL) FROM mine.scratch"), [SENTINEL]);
        for attempt in [
            &["BEGIN", "DROP VIEW people", "ROLLBACK AND CHAIN"][..],
            &["BEGIN; SAVEPOINT a; DROP VIEW people; ROLLBACK TO a"],
            &["SET search_path = mine", "BEGIN", "DROP VIEW IF EXISTS people"],
            &["SET search_path = mine", "BEGIN; DROP VIEW IF EXISTS people"],
        ] {
            for sql in attempt {
                raw.query(sql);
            }
            raw.query("INSERT INTO public.people (number, mail) VALUES (12, 'leak@sentinel.example')");
            raw.query("ROLLBACK");
            raw.query("RESET search_path");
        }
        // What would take rows before anybody knows of it is not made here.
        for sql in [
            "CREATE VIEW fresh AS SELECT id AS number, email AS mail FROM customers",
            "CREATE OR REPLACE VIEW people AS SELECT id AS number, email AS mail FROM customers",
            "CREATE MATERIALIZED VIEW fresh AS SELECT email FROM customers",
        ] {
            assert_eq!(shop::states(&raw.query(sql)), ["SG001"], "{major}: {sql}");
        }
        assert!(!shop::holds(&tap.to_server(), b"leak@sentinel"), "{major}");
    }
}

/// A view of sealed columns is made like any other. Attacks: rows for it stand in the same text, in the same
/// batch, behind it before its answer, and come from another session.
#[test]
fn a_view_that_is_made_through_the_gate_takes_no_value_before_it_is_known() {
    for major in VERSIONS {
        let server = shop::server(major);
        let (gate, tap) = shop::open(&server);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        let mut other = Raw::login(gate.address(), "postgres", "postgres");
        let steal = |number: usize, at: usize| {
            format!("INSERT INTO v{number} (number, mail) VALUES ({at}, 'leak@sentinel.example')")
        };
        let made = |number: usize| {
            format!("CREATE VIEW v{number} AS SELECT id AS number, email AS mail FROM customers")
        };
        for number in 0..8 {
            let (view, rows) = (made(number), steal(number, 100 + number));
            match number % 4 {
                0 => drop(raw.query(&format!("{view}; {rows}"))),
                1 => {
                    for sql in [&view, &rows] {
                        raw.parse("", sql, &[]);
                        raw.bind("", "", &[], &[], &[]);
                        raw.execute("", 0);
                    }
                    raw.sync();
                }
                2 => {
                    raw.cork();
                    raw.send(b'Q', &[view.as_bytes(), b"\0"].concat());
                    raw.send(b'Q', &[rows.as_bytes(), b"\0"].concat());
                    raw.until_ready();
                    raw.until_ready();
                }
                _ => {
                    raw.query("BEGIN");
                    ok(&mut raw, &view);
                    let theirs = raw.query(&rows);
                    assert_eq!(shop::states(&theirs), ["SG001"], "{major}");
                    raw.query("ROLLBACK");
                    ok(&mut raw, &view);
                    other.query(&rows);
                }
            }
        }
        let unsealed =
            server.query("postgres", "SELECT id FROM customers WHERE email NOT LIKE 'SEAL%'").unwrap();
        assert!(unsealed.is_empty(), "{major}: {unsealed:?}");
        for sql in [
            "CREATE TEMP VIEW w AS SELECT email FROM customers",
            "CREATE VIEW pg_temp.w AS SELECT email FROM customers",
        ] {
            assert_eq!(shop::states(&raw.query(sql)), ["SG001"], "{major}: {sql}");
        }
        ok(
            &mut raw,
            "CREATE VIEW people (number, mail) AS SELECT id, email FROM customers WHERE email IS NOT NULL",
        );
        ok(
            &mut raw,
            "CREATE VIEW again AS SELECT p.number, p.mail FROM people p JOIN customers c ON c.email = p.mail",
        );
        ok(&mut raw, &format!("INSERT INTO people VALUES (1, '{SENTINEL}')"));
        assert_eq!(ok(&mut raw, &format!("SELECT number FROM people WHERE mail = '{SENTINEL}'")), ["1"]);
        assert_eq!(ok(&mut other, "SELECT mail FROM people WHERE number = 1"), [SENTINEL]);
        assert_eq!(ok(&mut other, &format!("SELECT number FROM again WHERE mail = '{SENTINEL}'")), ["1"]);
        // As migrations have it that run again and again.
        for sql in [
            "CREATE OR REPLACE VIEW v3 AS SELECT id AS number, email AS mail FROM customers WHERE id > 0",
            "DROP VIEW v3; CREATE VIEW v3 AS SELECT email AS mail, id AS number FROM customers",
            "DROP VIEW IF EXISTS v3, none; CREATE VIEW v3 AS SELECT id, email AS mail FROM customers",
            "CREATE OR REPLACE VIEW fresh AS SELECT id, email FROM customers; COMMENT ON VIEW fresh IS 'new'; GRANT SELECT ON fresh TO PUBLIC",
        ] {
            ok(&mut raw, sql);
        }
        assert_eq!(ok(&mut other, &format!("SELECT id FROM v3 WHERE mail = '{SENTINEL}'")), ["1"]);
        assert_eq!(ok(&mut other, &format!("SELECT id FROM fresh WHERE email = '{SENTINEL}'")), ["1"]);
        for sql in [
            format!(
                "CREATE OR REPLACE VIEW v3 AS SELECT id, email AS mail FROM customers; {}",
                steal(3, 200)
            ),
            format!("DROP VIEW v3; {}", steal(3, 201)),
            format!(
                "DROP VIEW v3; CREATE VIEW v3 AS SELECT id AS number, email AS mail FROM customers; {}",
                steal(3, 202)
            ),
        ] {
            assert_eq!(shop::states(&raw.query(&sql)), ["SG001"], "{major}: {sql}");
        }
        ok(&mut raw, "CREATE MATERIALIZED VIEW past AS SELECT id, email FROM customers");
        ok(&mut raw, "REFRESH MATERIALIZED VIEW past");
        assert!(ok(&mut other, "SELECT email FROM past").contains(&SENTINEL.to_owned()));
        assert!(!shop::holds(&tap.to_server(), b"sentinel.example"), "{major}");
        assert_eq!(search_server(&server, b"sentinel.example"), []);
        // What may be temporary could not be told from it.
        ok(&mut raw, "CREATE TEMP TABLE scratch (id int)");
        let sql = "CREATE VIEW w AS SELECT email FROM customers JOIN scratch USING (id)";
        assert_eq!(shop::states(&raw.query(sql)), ["SG001"], "{major}");
    }
}

/// Attacks by new names, before anybody has read them: of a partition, and of the table.
#[test]
fn what_gets_a_name_through_the_gate_takes_no_value_by_it_before_it_is_known() {
    for major in VERSIONS {
        let server = pg(major);
        let define = "CREATE TABLE parted (id int, email text) PARTITION BY LIST (id)";
        server.execute("postgres", define).unwrap();
        let tap = Tap::before(server.address());
        let gate = Setup::before(tap.address()).field("public.parted", "email", "equality").start();
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        for number in 0..5 {
            let renamed = [
                "ALTER TABLE parted RENAME TO others".to_owned(),
                "INSERT INTO others (id, email) VALUES (1, 'leak@sentinel.example')"
                    .replace("leak", &format!("leak{number}")),
            ];
            let texts = if number > 3 {
                renamed
            } else {
                [
                    format!("CREATE TABLE part{number} PARTITION OF parted FOR VALUES IN ({number})"),
                    format!(
                        "INSERT INTO part{number} (id, email) VALUES ({number}, 'leak@sentinel.example')"
                    ),
                ]
            };
            match number % 2 {
                0 => {
                    for sql in &texts {
                        raw.parse("", sql, &[]);
                        raw.bind("", "", &[], &[], &[]);
                        raw.execute("", 0);
                    }
                    raw.sync();
                }
                _ => {
                    raw.cork();
                    texts.iter().for_each(|sql| raw.send(b'Q', &[sql.as_bytes(), b"\0"].concat()));
                    raw.until_ready();
                    raw.until_ready();
                }
            }
            raw.query("ALTER TABLE others RENAME TO parted");
        }
        ok(&mut raw, &format!("INSERT INTO parted VALUES (1, '{SENTINEL}')"));
        assert_eq!(ok(&mut raw, &format!("SELECT id FROM parted WHERE email = '{SENTINEL}'")), ["1"]);
        for number in 0..5 {
            let leak = format!("leak{number}@sentinel.example");
            assert!(!shop::holds(&tap.to_server(), leak.as_bytes()), "{major}: {leak}");
        }
    }
}

/// What the schema puts into a sealed column that a row leaves out is not sealed.
#[test]
fn no_view_fills_a_sealed_column_with_an_unsealed_default() {
    for major in VERSIONS {
        let server = shop::server(major);
        let define = "ALTER TABLE customers ALTER email SET DEFAULT 'nobody@sentinel.example'; \
            CREATE VIEW places AS SELECT id, note FROM customers; \
            CREATE VIEW spots AS SELECT id FROM places; \
            CREATE VIEW people AS SELECT id, email FROM customers; \
            CREATE TABLE inbox (id int); \
            CREATE RULE r AS ON INSERT TO inbox DO INSTEAD INSERT INTO customers (id) VALUES (NEW.id); \
            CREATE TABLE outbox (id int); \
            CREATE RULE r AS ON INSERT TO outbox DO ALSO INSERT INTO spots VALUES (NEW.id); \
            CREATE TABLE post (id int); \
            CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO places (id) VALUES (NEW.id); RETURN NEW; END $$; \
            CREATE TRIGGER t BEFORE INSERT ON post FOR EACH ROW EXECUTE FUNCTION f()";
        server.execute("postgres", define).unwrap();
        let (gate, _tap) = shop::open(&server);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        for sql in [
            "INSERT INTO customers (id) VALUES (1)",
            "INSERT INTO places (id, note) VALUES (1, 'n')",
            "INSERT INTO places VALUES (1)",
            "INSERT INTO public.spots SELECT 1",
            "INSERT INTO people (id) VALUES (1)",
            "INSERT INTO inbox VALUES (1)",
            "INSERT INTO outbox VALUES (1)",
            "INSERT INTO post VALUES (1)",
            "WITH a AS (INSERT INTO places (id) VALUES (1) RETURNING id) SELECT * FROM a",
            "COPY places (id) FROM STDIN",
        ] {
            assert_eq!(shop::states(&raw.query(sql)), ["SG001"], "{major}: {sql}");
        }
        assert_eq!(
            server.query("postgres", "SELECT count(*) FROM customers").unwrap()[0][0].as_deref(),
            Some("0"),
            "{major}"
        );
        // What is given a value goes on, and so does reading.
        ok(&mut raw, "INSERT INTO customers (id, email, note) VALUES (2, 'ada@sentinel.example', 'n')");
        assert_eq!(ok(&mut raw, "SELECT id FROM places"), ["2"]);
        assert_eq!(ok(&mut raw, "SELECT id FROM spots"), ["2"]);
        assert_eq!(ok(&mut raw, "SELECT email FROM people"), ["ada@sentinel.example"]);
        // And all does once the default is gone.
        server.execute("postgres", "ALTER TABLE customers ALTER email DROP DEFAULT").unwrap();
        await_that("the catalog to be read", || {
            errors(&raw.query("INSERT INTO spots VALUES (3)")).is_empty()
        });
    }
}
