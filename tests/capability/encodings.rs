//! Clients whose encoding is neither UTF8 nor SQL_ASCII: sealed text is not converted, so what touches it
//! is refused with a word why, by whatever way the encoding came, and never wrong; all else is the server's.

use crate::harness::{Frame, Raw, VERSIONS, string};
use crate::shop::{self, errors, firsts, holds, states};

const ACUTE: &str = "s3ntinel-José@x.example";

fn refused(frames: &[Frame]) {
    let error = frames.iter().find(|frame| frame.tag == b'E').unwrap();
    assert_eq!(error.field(b'C').as_deref(), Some("SG001"));
    let detail = error.field(b'D').unwrap();
    assert!(detail.contains("client_encoding") || detail.contains("client encoding"), "{detail}");
}

/// What a session of another encoding may do, and what not.
fn check(raw: &mut Raw, way: &str) {
    refused(&raw.query("SELECT email FROM customers"));
    refused(&raw.query("INSERT INTO customers (id, email) VALUES (9, 's3ntinel-plain')"));
    refused(&raw.query("COPY customers (id, email) TO STDOUT"));
    refused(&raw.query("COPY customers (id, email) FROM STDIN"));
    raw.parse("", "INSERT INTO customers (id, email) VALUES (9, $1)", &[]);
    raw.bind("", "", &[], &[Some(b"s3ntinel-Jos\xe9")], &[]);
    raw.execute("", 0);
    refused(&raw.sync());
    // What is not classified is as it is at the server, byte for byte.
    raw.parse("", "SELECT $1::text", &[]);
    raw.bind("", "", &[], &[Some(b"Jos\xe9")], &[]);
    raw.execute("", 0);
    let frames = raw.sync();
    let row = frames.iter().find(|frame| frame.tag == b'D').unwrap();
    assert_eq!(row.values()[0].as_deref(), Some(&b"Jos\xe9"[..]), "{way}");
    // And the way out that the hint names.
    assert_eq!(errors(&raw.query("SET client_encoding TO 'UTF8'")), []);
    assert_eq!(firsts(&raw.query("SELECT email FROM customers")), [ACUTE], "{way}");
}

#[test]
fn another_encoding_is_refused_by_whatever_way_it_came() {
    for major in VERSIONS {
        let server = shop::server(major);
        let roles = "CREATE ROLE latin LOGIN SUPERUSER; ALTER ROLE latin SET client_encoding = 'LATIN1'; \
            CREATE FUNCTION turn() RETURNS text LANGUAGE plpgsql AS \
            $$ BEGIN RETURN set_config('client_' || 'encoding', 'LATIN1', false); END $$";
        server.execute("postgres", roles).unwrap();
        let (gate, tap) = shop::open(&server);
        let plain = || Raw::login(gate.address(), "postgres", "postgres");
        let with = |name: &str, value: &str| {
            let who = [("user", "postgres"), ("database", "postgres"), (name, value)];
            Raw::login_with(gate.address(), &who)
        };
        let seed = format!("INSERT INTO customers (id, email) VALUES (1, '{ACUTE}')");
        assert_eq!(errors(&plain().query(&seed)), []);
        for encoding in ["LATIN1", "LATIN9", "WIN1252"] {
            check(&mut with("client_encoding", encoding), encoding);
            check(&mut with("options", &format!("-c client_encoding={encoding}")), encoding);
        }
        check(&mut Raw::login(gate.address(), "latin", "postgres"), "the role's own");
        for sql in [
            "SET client_encoding TO 'LATIN1'",
            "SET NAMES 'LATIN9'",
            "SELECT set_config('client_encoding', 'WIN1252', false)",
            "SELECT turn()",
        ] {
            let mut raw = plain();
            assert_eq!(errors(&raw.query(sql)), [], "{sql}");
            check(&mut raw, sql);
            // In one write, without waiting for what the server says of it.
            let mut raw = plain();
            raw.cork();
            raw.send(b'Q', &string(sql));
            raw.parse("", "UPDATE customers SET phone = $1 WHERE id = 1", &[]);
            // UTF-8 for one letter, LATIN1 for two.
            raw.bind("", "", &[], &[Some(b"s3ntinel-\xc3\xa9")], &[]);
            raw.execute("", 0);
            raw.send(b'S', b"");
            let frames = [raw.until_ready(), raw.until_ready()].concat();
            assert_eq!(states(&frames), ["SG001"], "{major}: {sql}");
            // What is written in ASCII may have gone on: its rows are not shown wrong.
            let mut raw = plain();
            raw.cork();
            raw.send(b'Q', &string(sql));
            raw.send(b'Q', &string("SELECT email FROM customers"));
            raw.send(b'X', b"");
            let mut seen = Vec::new();
            while let Some(frame) = raw.read() {
                seen.push(frame);
            }
            let rows = seen.iter().filter(|frame| frame.tag == b'D');
            assert!(!rows.into_iter().any(|frame| holds(&frame.body, b"s3ntinel")), "{major}: {sql}");
        }
        // RESET leads back to what the session began with.
        let mut raw = with("client_encoding", "LATIN1");
        raw.query("SET client_encoding TO 'UTF8'");
        assert_eq!(firsts(&raw.query("SELECT email FROM customers")), [ACUTE]);
        raw.query("RESET client_encoding");
        check(&mut raw, "RESET");
        // A portal that was opened before.
        let mut raw = plain();
        raw.query("BEGIN");
        raw.parse("", "SELECT email FROM customers", &[]);
        raw.bind("c", "", &[], &[], &[]);
        assert_eq!(errors(&raw.sync()), []);
        raw.query("SET client_encoding TO 'LATIN1'");
        raw.execute("c", 0);
        refused(&raw.sync());
        // A text that turns it and takes data.
        let mut raw = plain();
        refused(&raw.query("SET client_encoding TO 'LATIN1'; COPY customers (id, email) FROM STDIN"));
        assert!(!holds(&tap.to_server(), b"s3ntinel"), "{major}: a value went upstream");
    }
}

/// What changes the encoding, and what is read in the same text or batch before the server has said so.
#[test]
fn what_changes_the_encoding_shows_no_sealed_value_in_the_same_text_or_batch() {
    let server = shop::server(18);
    let (gate, _tap) = shop::open(&server);
    let plain = || Raw::login(gate.address(), "postgres", "postgres");
    let seed = format!("INSERT INTO customers (id, email) VALUES (1, '{ACUTE}')");
    assert_eq!(errors(&plain().query(&seed)), []);
    let read = "SELECT email FROM customers";
    let batch = |raw: &mut Raw, first: &str| {
        for sql in [first, read] {
            raw.parse("", sql, &[]);
            raw.bind("", "", &[], &[], &[]);
            raw.execute("", 0);
        }
        raw.sync()
    };
    for change in [
        "SET client_encoding = 'LATIN1'",
        "SET LOCAL Client_Encoding TO LATIN1",
        "SET NAMES 'LATIN1'",
        "RESET client_encoding",
        "SELECT set_config('client_encoding', 'LATIN1', false)",
        "SELECT set_config('CLIENT_' || 'encoding', 'LATIN1', false)",
        "SELECT set_config(lower('client_encoding'), 'LATIN1', false)",
    ] {
        refused(&plain().query(&format!("{change}; {read}")));
        refused(&batch(&mut plain(), change));
    }
    for sql in [
        "WITH c AS MATERIALIZED (SELECT set_config('client_encoding', 'LATIN1', false) AS s) \
            SELECT email FROM customers, c WHERE c.s <> ''",
        "SELECT set_config('client_' || 'encoding', 'LATIN1', false), email FROM customers",
    ] {
        refused(&plain().query(sql));
    }
    // What leads back to the encoding that the session began with.
    for change in ["RESET ALL", "DISCARD ALL", "ROLLBACK"] {
        let who = [("user", "postgres"), ("database", "postgres"), ("client_encoding", "LATIN1")];
        let mut raw = Raw::login_with(gate.address(), &who);
        if change == "ROLLBACK" {
            raw.query("BEGIN");
        }
        raw.query("SET client_encoding TO 'UTF8'");
        if change != "DISCARD ALL" {
            refused(&raw.query(&format!("{change}; {read}")));
        }
        if change == "ROLLBACK" {
            raw.query("ROLLBACK; BEGIN; SET client_encoding TO 'UTF8'");
        }
        refused(&batch(&mut raw, change));
    }
    // What sets anything else goes on, as middleware has it.
    for settings in [
        "SELECT set_config('request.jwt.claims', '{}', true), set_config('role', 'postgres', true)",
        "SELECT set_config('search_path', '\"public\"', true)",
        "SET application_name = 'x'",
        "SET LOCAL ROLE postgres",
        "RESET application_name",
        "SELECT 1",
    ] {
        assert_eq!(
            firsts(&plain().query(&format!("BEGIN; {settings}; {read}"))).last().unwrap(),
            ACUTE,
            "{settings}"
        );
        assert_eq!(firsts(&batch(&mut plain(), settings)).last().unwrap(), ACUTE, "{settings}");
    }
}
