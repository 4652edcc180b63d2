//! Names that a driver has given by the protocol, and that code of the database then gives to something
//! else: what is bound to them means what the driver prepared, and nobody's value is opened or stored by
//! the plan of another statement.

use crate::harness::Raw;
use crate::shop::{self, firsts, holds, states, tags};

const SEED: &str = "INSERT INTO customers (id, email, phone, city, note) VALUES \
    (1, 's3ntinel-ada@x.example', 's3ntinel+1', 'Rome', 'one'), (2, 's3ntinel-bob@x.example', 's3ntinel+2', 'Oslo', 'two')";

/// Names are put together, so that nobody sees them.
const CODE: &str = "CREATE FUNCTION takes_s() RETURNS void LANGUAGE plpgsql AS \
      $$ BEGIN EXECUTE 'DEALLOCATE s'; EXECUTE 'PREPARE s AS SELECT note || '''' FROM cust'||'omers ORDER BY id'; END $$; \
    CREATE FUNCTION takes_u() RETURNS void LANGUAGE plpgsql AS \
      $$ BEGIN EXECUTE 'DEALLOCATE u'; EXECUTE 'PREPARE u(text) AS INSERT INTO cust'||'omers (id, email) VALUES (97, $1) RETURNING id'; END $$; \
    CREATE FUNCTION makes_w() RETURNS void LANGUAGE plpgsql AS \
      $$ BEGIN EXECUTE 'PREPARE w(text) AS INSERT INTO cust'||'omers (id, email) VALUES (98, $1)'; END $$; \
    CREATE FUNCTION takes_c() RETURNS void LANGUAGE plpgsql AS \
      $$ DECLARE r refcursor := 'c'; BEGIN CLOSE r; OPEN r FOR EXECUTE 'SELECT note || '''' FROM cust'||'omers ORDER BY id'; END $$;";

/// Binds and runs a statement.
fn run(raw: &mut Raw, statement: &str, values: &[Option<&[u8]>]) -> Vec<crate::harness::Frame> {
    raw.bind("", statement, &[], values, &[]);
    raw.execute("", 0);
    raw.sync()
}

#[test]
fn code_that_takes_a_driver_s_name_is_given_and_shows_nothing() {
    let server = shop::server(18);
    server.execute("postgres", CODE).unwrap();
    let (gate, tap) = shop::open(&server);
    let login = || Raw::login(gate.address(), "postgres", "postgres");
    let mut look = login();
    assert_eq!(states(&look.query(SEED)), [""; 0]);
    // Somebody's sealed value lies in a column that is not classified.
    server
        .execute("postgres", "UPDATE customers SET note = (SELECT email FROM customers WHERE id = 1)")
        .unwrap();
    let theirs = ["s3ntinel-ada@x.example", "s3ntinel-bob@x.example"];
    for between in ["SELECT takes_s()", "SELECT takes_s() FROM customers LIMIT 1"] {
        let mut raw = login();
        raw.parse("s", "SELECT email FROM customers ORDER BY id", &[]);
        assert_eq!(firsts(&run(&mut raw, "s", &[])), theirs);
        assert_eq!(states(&raw.query(between)), [""; 0], "{between}");
        // Once and again: it is prepared anew ahead of the first.
        for _ in 0..2 {
            assert_eq!(firsts(&run(&mut raw, "s", &[])), theirs, "{between}");
        }
        // In one batch, whose answers have not come.
        for sql in [between, ""] {
            if sql.is_empty() {
                raw.bind("", "s", &[], &[], &[]);
            } else {
                raw.parse("", sql, &[]);
                raw.bind("", "", &[], &[], &[]);
            }
            raw.execute("", 0);
        }
        let frames = raw.sync();
        let shown: Vec<_> = firsts(&frames).into_iter().filter(|value| !value.is_empty()).collect();
        assert_eq!(shown, theirs, "{between}: {:?}", tags(&frames));
        raw.query(between);
        assert_eq!(firsts(&raw.query("EXECUTE s")), theirs);
        // A failed transaction takes no statement away.
        raw.query("BEGIN");
        raw.query(between);
        raw.query("SELECT 1/0");
        assert!(!states(&run(&mut raw, "s", &[])).is_empty());
        raw.query("ROLLBACK");
        assert_eq!(firsts(&run(&mut raw, "s", &[])), theirs, "{between}");
    }

    // A statement that touched nothing is given a value.
    let mut raw = login();
    raw.parse("u", "SELECT $1::text", &[]);
    assert_eq!(firsts(&run(&mut raw, "u", &[Some(b"s3ntinel-u")])), ["s3ntinel-u"]);
    assert_eq!(states(&raw.query("SELECT takes_u()")), [""; 0]);
    assert_eq!(firsts(&run(&mut raw, "u", &[Some(b"s3ntinel-u")])), ["s3ntinel-u"]);

    // One that only code has prepared.
    assert_eq!(states(&raw.query("SELECT makes_w()")), [""; 0]);
    assert!(!states(&run(&mut raw, "w", &[Some(b"s3ntinel-w")])).is_empty());
    assert_eq!(states(&raw.query("EXECUTE w('s3ntinel-w')")), ["SG001"]);
    assert!(!holds(&tap.to_server(), b"s3ntinel-w"));
    // What is not there is the server's to say.
    assert_eq!(states(&run(&mut raw, "nobody", &[Some(b"1")])), ["26000"]);
    let stored = server.query("postgres", "SELECT id FROM customers WHERE id > 90").unwrap();
    assert!(stored.is_empty(), "{stored:?}");

    // A portal of the protocol.
    let mut raw = login();
    raw.query("BEGIN");
    raw.parse("", "SELECT email FROM customers ORDER BY id", &[]);
    raw.bind("c", "", &[], &[], &[]);
    raw.execute("c", 1);
    assert_eq!(firsts(&raw.sync()), theirs[..1]);
    assert_eq!(states(&raw.query("SELECT takes_c()")), [""; 0]);
    raw.execute("c", 0);
    let frames = raw.sync();
    assert!(frames.iter().all(|frame| !holds(&frame.body, b"s3ntinel")), "{:?}", tags(&frames));
    assert_eq!(states(&frames), ["SG001"]);
    raw.query("ROLLBACK");
    // One that runs the code itself stays what it is, and so does the unnamed one.
    raw.query("BEGIN");
    for portal in ["d", ""] {
        raw.parse("", "SELECT email, makes_w() IS NULL FROM customers ORDER BY id LIMIT 1", &[]);
        raw.bind(portal, "", &[], &[], &[]);
        raw.execute(portal, 1);
        raw.execute(portal, 1);
        let mut frames = raw.sync();
        raw.execute(portal, 1);
        frames.extend(raw.sync());
        assert_eq!((firsts(&frames), states(&frames)), (vec![theirs[0].to_owned()], vec![]), "{portal}");
        raw.query("ROLLBACK");
        raw.query("DEALLOCATE ALL");
        raw.query("BEGIN");
    }
}
