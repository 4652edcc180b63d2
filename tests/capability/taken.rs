//! Names that code of the database takes: it deallocates a statement that the driver has prepared, or
//! closes its portal, and puts another one in its place. What the client means by the name stays the
//! client's, and is opened; what code has put there is never laid out by the client's plan.

use crate::harness::{Frame, Raw, VERSIONS, await_that};
use crate::shop::{self, firsts, holds, records, states, tags};

const MARK: &[u8] = b"s3ntinel";

const SEED: &str = "INSERT INTO customers (id, email, phone, city, note) VALUES \
    (1, 's3ntinel-ada@x.example', 's3ntinel+1', 'Rome', 'one'), (2, 's3ntinel-bob@x.example', 's3ntinel+2', 'Oslo', 'two'), \
    (3, 's3ntinel-eve@x.example', NULL, 'Rome', 'three'), (4, NULL, 's3ntinel+4', 'Bonn', NULL)";

/// Names are put together, so that nobody sees them.
const OPAQUE: &str = "CREATE FUNCTION swapped() RETURNS void LANGUAGE plpgsql AS \
      $$ BEGIN EXECUTE 'DEALLOCATE p'; EXECUTE 'PREPARE p AS SELECT note || '''', city FROM cust'||'omers ORDER BY id'; END $$; \
    CREATE FUNCTION taken() RETURNS void LANGUAGE plpgsql AS \
      $$ BEGIN EXECUTE 'DEALLOCATE p'; EXECUTE 'PREPARE p AS SELECT city, note FROM cust'||'omers ORDER BY id'; END $$; \
    CREATE FUNCTION swap() RETURNS void LANGUAGE plpgsql AS \
      $$ DECLARE r refcursor := 'c'; BEGIN CLOSE r; OPEN r FOR EXECUTE 'SELECT note || '''', city FROM cust'||'omers ORDER BY id'; END $$; \
    CREATE FUNCTION noise() RETURNS int LANGUAGE plpgsql AS $$ DECLARE n int; BEGIN EXECUTE 'SELECT 1' INTO n; RETURN n; END $$;";

struct Shop {
    gate: crate::harness::Gate,
    tap: crate::harness::Tap,
    _server: sealgate::store::postgres::Throwaway,
}

impl Shop {
    /// Somebody's sealed value lies in a column that is not classified.
    fn new(major: u32) -> Shop {
        let server = shop::server(major);
        server.execute("postgres", OPAQUE).unwrap();
        let (gate, tap) = shop::open(&server);
        let shop = Shop { gate, tap, _server: server };
        assert_eq!(states(&shop.raw().query(SEED)), [""; 0]);
        let forged = "UPDATE customers SET note = (SELECT email FROM customers WHERE id = 1)";
        shop._server.execute("postgres", forged).unwrap();
        shop
    }

    fn raw(&self) -> Raw {
        Raw::login(self.gate.address(), "postgres", "postgres")
    }
}

fn opened(frames: &[Frame]) -> bool {
    frames.iter().any(|frame| holds(&frame.body, MARK))
}

fn run(raw: &mut Raw, statement: &str) -> Vec<Frame> {
    raw.bind("", statement, &[], &[], &[]);
    raw.execute("", 0);
    raw.sync()
}

fn rows(frames: &[Frame]) -> Vec<Vec<u8>> {
    frames.iter().filter(|frame| frame.tag == b'D').map(|frame| frame.body.clone()).collect()
}

const OWN: &[&str] = &[
    "SELECT COALESCE(email, phone), city FROM customers ORDER BY id",
    "SELECT email, phone FROM customers ORDER BY id",
    "SELECT COALESCE(email, 's3ntinel-none'), city FROM customers WHERE email <> 's3ntinel-bob@x.example' ORDER BY id",
    "SELECT * FROM customers ORDER BY id",
];

#[test]
fn a_prepared_statement_whose_name_code_has_taken_is_still_the_clients() {
    for major in VERSIONS {
        let shop = Shop::new(major);
        for own in OWN {
            for between in ["SELECT swapped()", "SELECT swapped(), email FROM customers WHERE id = 1"] {
                let mut raw = shop.raw();
                raw.parse("p", own, &[]);
                assert_eq!(states(&raw.sync()), [""; 0], "{own}");
                let expected = rows(&run(&mut raw, "p"));
                assert!(!expected.is_empty(), "{own}");
                // Each way to run it, behind the code.
                for way in ["bind", "describe", "execute", "extended", "transaction"] {
                    let said = match way {
                        "extended" => {
                            raw.parse("", between, &[]);
                            run(&mut raw, "")
                        }
                        "transaction" => {
                            raw.query("BEGIN");
                            raw.query(between)
                        }
                        _ => raw.query(between),
                    };
                    assert_eq!(states(&said), [""; 0], "{major}: {between}");
                    let frames = match way {
                        "execute" => raw.query("EXECUTE p"),
                        "describe" => {
                            raw.describe(b'S', "p");
                            let mut frames = raw.sync();
                            assert_eq!(tags(&frames), "tTZI", "{major}: {own}");
                            frames.extend(run(&mut raw, "p"));
                            frames
                        }
                        _ => run(&mut raw, "p"),
                    };
                    assert_eq!(rows(&frames), expected, "{major}: {own}, {between}, {way}");
                    raw.query("COMMIT");
                }
                // In one batch, without waiting.
                raw.parse("", between, &[]);
                for statement in ["", "p"] {
                    raw.bind("", statement, &[], &[], &[]);
                    raw.execute("", 0);
                }
                let frames = raw.sync();
                let in_one = rows(&frames).split_off(rows(&frames).len().min(1));
                assert!(
                    in_one == expected || states(&frames) == ["SG001"],
                    "{major}: {own}: {}",
                    tags(&frames)
                );
                // In one text.
                let frames = raw.query(&format!("{between}; EXECUTE p"));
                assert_eq!(states(&frames), ["SG001"], "{major}: {own}");
                // In a transaction that has failed it is left alone.
                raw.query("BEGIN");
                raw.query(between);
                raw.query("SELECT 1 / 0");
                let frames = run(&mut raw, "p");
                assert!(!opened(&frames) && states(&frames) == ["SG001"], "{major}: {own}");
                raw.query("ROLLBACK");
                assert_eq!(rows(&run(&mut raw, "p")), expected, "{major}: {own}");
            }
        }
        assert!(!holds(&shop.tap.to_server(), MARK), "{major}: a value went upstream");
    }
}

#[test]
fn a_portal_that_code_may_have_taken_opens_nothing() {
    for major in VERSIONS {
        let shop = Shop::new(major);
        for own in OWN {
            let mut raw = shop.raw();
            let begin = |raw: &mut Raw| {
                raw.query("ROLLBACK");
                raw.query("BEGIN");
                raw.parse("", own, &[]);
                raw.bind("c", "", &[], &[], &[]);
                raw.execute("c", 1);
                let frames = raw.sync();
                assert_eq!((rows(&frames).len(), opened(&frames)), (1, true), "{own}");
            };
            let on = |raw: &mut Raw| {
                raw.execute("c", 0);
                raw.sync()
            };
            begin(&mut raw);
            assert_eq!(states(&raw.query("SELECT swap()")), [""; 0]);
            assert_eq!(states(&on(&mut raw)), ["SG001"], "{major}: {own}");
            begin(&mut raw);
            raw.query("SELECT swap()");
            raw.describe(b'P', "c");
            assert_eq!(states(&raw.sync()), ["SG001"], "{major}: {own}");
            for text in ["SELECT swap(); FETCH ALL FROM c", "SELECT swap(); FETCH 1 FROM c; FETCH 1 FROM c"] {
                begin(&mut raw);
                assert_eq!(states(&raw.query(text)), ["SG001"], "{major}: {own}: {text}");
            }
            begin(&mut raw);
            raw.query("FETCH 1 FROM c; SELECT swap()");
            assert_eq!(states(&raw.query("FETCH ALL FROM c")), ["SG001"], "{major}: {own}");
            begin(&mut raw);
            raw.parse("", "SELECT swap()", &[]);
            raw.bind("", "", &[], &[], &[]);
            raw.execute("", 0);
            raw.execute("c", 0);
            assert_eq!(states(&raw.sync()), ["SG001"], "{major}: {own}");
        }
        // What runs in a portal cannot take that one away: it is read on, though not past other code.
        let mut raw = shop.raw();
        raw.query("BEGIN");
        raw.parse("", "SELECT email, noise() FROM customers ORDER BY id", &[]);
        raw.bind("c", "", &[], &[], &[]);
        for _ in 0..3 {
            raw.execute("c", 1);
            let frames = raw.sync();
            assert_eq!((rows(&frames).len(), opened(&frames)), (1, true), "{major}");
        }
        raw.query("SELECT noise()");
        raw.execute("c", 1);
        assert_eq!(states(&raw.sync()), ["SG001"], "{major}");
    }
}

/// Names of what touches nothing, which code gives to what shows a legible column.
#[test]
fn what_code_shows_under_a_harmless_name_is_on_record() {
    for major in VERSIONS {
        let shop = Shop::new(major);
        let intents = || {
            let found = records(&shop.gate).into_iter().filter(|one| one["kind"] == "intent");
            found.collect::<Vec<_>>()
        };
        // Its text is kept: it is the client's own again.
        let mut raw = shop.raw();
        raw.parse("p", "SELECT 'mine', 'own'", &[]);
        raw.sync();
        assert_eq!(states(&raw.query("SELECT taken()")), [""; 0]);
        assert_eq!(firsts(&run(&mut raw, "p")), ["mine"], "{major}");
        // It is not: what it shows is said to be anything.
        let mut raw = shop.raw();
        raw.parse("p", &format!("SELECT 'mine', 'own' /* {} */", "x".repeat(70_000)), &[]);
        assert_eq!(states(&raw.sync()), [""; 0]);
        assert_eq!(states(&raw.query("SELECT taken()")), [""; 0]);
        let before = intents().len();
        assert_eq!(firsts(&run(&mut raw, "p")), ["Rome", "Oslo", "Rome", "Bonn"], "{major}");
        await_that("the intent", || intents().len() > before);
        let intent = intents().pop().unwrap();
        assert_eq!(intent["attribution"], "possible", "{intent}");
        assert!(intent["fields"].to_string().contains("public.customers.city"), "{intent}");
        // And so of portals.
        let mut raw = shop.raw();
        raw.query("BEGIN");
        raw.parse("", "SELECT n::text, n::text FROM generate_series(1, 9) n", &[]);
        raw.bind("c", "", &[], &[], &[]);
        raw.execute("c", 1);
        assert_eq!(rows(&raw.sync()).len(), 1);
        raw.query("SELECT swap()");
        let before = intents().len();
        raw.execute("c", 0);
        let frames = raw.sync();
        assert!(!opened(&frames) && rows(&frames).len() == 4, "{major}: {}", tags(&frames));
        await_that("the intent", || intents().len() > before);
        assert_eq!(intents().pop().unwrap()["attribution"], "possible");
    }
}
