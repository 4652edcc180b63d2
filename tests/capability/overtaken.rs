//! New names of what is classified, while texts of other sessions are on their way that were judged when
//! the name meant nothing.

use sealgate::store::postgres::Throwaway;

use crate::harness::{Frame, Gate, Raw, Setup, Tap, VERSIONS, await_that, pg};
use crate::shop::{errors, holds, states};

const DEFINED: &str = "CREATE TABLE parted (id int, email text, phone text) PARTITION BY LIST (id); \
     CREATE TABLE plain (id int); CREATE ROLE other LOGIN; CREATE SCHEMA own AUTHORIZATION other; \
     CREATE SCHEMA held; CREATE VIEW held.inside AS SELECT id, phone FROM parted; \
     CREATE VIEW shown AS SELECT id, phone FROM parted";

fn served(server: &Throwaway, tap: &Tap) -> Gate {
    server.execute("postgres", DEFINED).unwrap();
    Setup::before(tap.address())
        .field("public.parted", "email", "equality")
        .field("public.parted", "phone", "none")
        .start()
}

/// Sends a text that waits for a lock which another session holds, and is at the server.
fn waiting(gate: &Gate, server: &Throwaway, behind: &str) -> Raw {
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let text = format!("SELECT pg_advisory_lock(7){behind}");
    raw.send(b'Q', &[text.as_bytes(), b"\0"].concat());
    await_that(&text, || waiters(server) == "1");
    raw
}

fn waiters(server: &Throwaway) -> String {
    let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    server.query("postgres", waits).unwrap()[0][0].clone().unwrap()
}

fn detail(frames: &[Frame]) -> String {
    frames.iter().find(|frame| frame.tag == b'E').and_then(|frame| frame.field(b'D')).unwrap_or_default()
}

/// A holder of the lock, past the gate.
fn holder(server: &Throwaway) -> Raw {
    let mut holder = Raw::login(server.address(), "postgres", "postgres");
    assert!(errors(&holder.query("SELECT pg_advisory_lock(7)")).is_empty());
    holder
}

const PART: &str = "CREATE TABLE part PARTITION OF parted FOR VALUES IN (1)";
const LEAK: &str = "leak@sentinel.example";

#[test]
fn no_text_on_its_way_uses_a_name_that_another_session_gives_meanwhile() {
    for major in VERSIONS {
        let server = pg(major);
        let tap = Tap::before(server.address());
        let gate = served(&server, &tap);
        let insert = |table: &str| format!("; INSERT INTO {table} (id, email) VALUES (1, '{LEAK}')");
        for (behind, definition) in [
            (insert("part"), vec![PART]),
            (insert("PaRt"), vec![PART]),
            (insert("public.\"part\""), vec!["BEGIN", PART, "COMMIT"]),
            ("; SELECT * FROM lr".to_owned(), vec!["CREATE VIEW lr AS SELECT id, phone FROM parted"]),
            (
                "; SELECT * FROM lr".to_owned(),
                vec!["BEGIN", "CREATE VIEW lr AS SELECT id, phone FROM parted", "COMMIT"],
            ),
            (
                "; SELECT * FROM lr".to_owned(),
                vec!["CREATE MATERIALIZED VIEW lr AS SELECT id, phone FROM parted"],
            ),
            ("; SELECT * FROM lr".to_owned(), vec!["ALTER VIEW shown RENAME TO lr"]),
            ("; SELECT * FROM own.shown".to_owned(), vec!["ALTER VIEW shown SET SCHEMA own"]),
            ("; SELECT * FROM fresh.inside".to_owned(), vec!["ALTER SCHEMA held RENAME TO fresh"]),
            (insert("sr"), vec!["CREATE VIEW sr AS SELECT id, email FROM parted"]),
            (
                insert("sr"),
                vec!["BEGIN", "CREATE OR REPLACE VIEW sr AS SELECT id, email FROM parted", "COMMIT"],
            ),
            (insert("renamed"), vec!["ALTER TABLE parted RENAME TO renamed"]),
            (insert("U&\"\\0070art\""), vec![PART]),
        ] {
            let mut held = holder(&server);
            let mut first = waiting(&gate, &server, &behind);
            let mut second = Raw::login(gate.address(), "postgres", "postgres");
            let (last, before) = definition.split_last().unwrap();
            for sql in before {
                assert_eq!(states(&second.query(sql)), [""; 0], "{major}: {sql}");
            }
            let answer = second.query(last);
            assert!(!states(&answer).is_empty(), "{major}: {behind} and {definition:?}");
            if states(&answer) == ["SG001"] && !detail(&answer).contains("under way") {
                // It is refused whoever does what.
                assert!(
                    last.contains("SET SCHEMA") || last.contains("RENAME"),
                    "{last}: {}",
                    detail(&answer)
                );
            }
            second.query("ROLLBACK");
            assert!(errors(&held.query("SELECT pg_advisory_unlock(7)")).is_empty());
            let answer = first.until_ready();
            assert_eq!(states(&answer).len(), 1, "{major}: {behind}: there is nothing of that name");
            // When it has ended nothing stands in the way.
            first.query("SELECT pg_advisory_unlock(7)");
        }
        assert!(errors(&Raw::login(gate.address(), "postgres", "postgres").query(PART)).is_empty());
    }
}

#[test]
fn a_text_on_its_way_that_cannot_use_the_name_is_not_waited_for() {
    let server = pg(18);
    let tap = Tap::before(server.address());
    let gate = served(&server, &tap);
    let mut held = holder(&server);
    let mut first = waiting(&gate, &server, "; INSERT INTO plain VALUES (1); SELECT id, phone FROM parted");
    let mut second = Raw::login(gate.address(), "postgres", "postgres");
    for sql in [PART, "BEGIN", "CREATE VIEW lr AS SELECT id, phone FROM parted", "COMMIT"] {
        assert_eq!(states(&second.query(sql)), [""; 0], "{sql}");
    }
    // What is prepared may have any name looked up again, so that it has to end.
    let mut third = Raw::login(gate.address(), "postgres", "postgres");
    third.parse("named", "SELECT pg_advisory_lock(7)", &[]);
    assert!(errors(&third.sync()).is_empty());
    third.bind("", "named", &[], &[], &[]);
    third.execute("", 0);
    third.send(b'S', b"");
    await_that("both wait", || waiters(&server) == "2");
    let another = "CREATE TABLE part2 PARTITION OF parted FOR VALUES IN (2)";
    let refused = second.query(another);
    assert_eq!(states(&refused), ["SG001"]);
    assert!(detail(&refused).contains("under way"), "{}", detail(&refused));
    assert!(errors(&held.query("SELECT pg_advisory_unlock(7)")).is_empty());
    assert!(errors(&first.until_ready()).is_empty());
    drop(first);
    assert!(errors(&third.until_ready()).is_empty());
    assert_eq!(states(&second.query(another)), [""; 0]);
    assert!(!holds(&tap.to_server(), b"sentinel"));
}

#[test]
fn who_makes_a_table_that_has_only_the_name_of_a_classified_one_holds_up_nobody() {
    let server = pg(18);
    let tap = Tap::before(server.address());
    let gate = served(&server, &tap);
    let mut user = Raw::login(gate.address(), "postgres", "postgres");
    for definition in [
        &["CREATE TABLE own.parted (id int, email text)"][..],
        &["SET search_path = own", "CREATE TABLE parted (id int, email text)"],
        &["CREATE TABLE own.parted (id int, email text)", "ALTER TABLE own.parted ADD note text"],
        &["CREATE TABLE own.parted (id int, email text)", "DROP TABLE own.parted"],
        &["CREATE TABLE own.other (parted int, note text DEFAULT 'parted')"],
        &["CREATE TABLE own.parted (parted xml, id int GENERATED ALWAYS AS (1) STORED)"],
    ] {
        let mut other = Raw::login(gate.address(), "other", "postgres");
        assert!(errors(&other.query("BEGIN")).is_empty());
        for sql in definition {
            let answer = other.query(sql);
            assert!(
                states(&answer).iter().all(|state| state.starts_with("SG")),
                "{sql}: {:?}",
                errors(&answer)
            );
        }
        // It would wait for as long as the other's transaction is open.
        assert_eq!(
            states(&user.query("SELECT id FROM public.parted WHERE email = 'a'")),
            [""; 0],
            "{definition:?}"
        );
        assert_eq!(states(&user.query("SELECT id FROM parted WHERE email = 'a'")), [""; 0], "{definition:?}");
        other.query("ROLLBACK");
    }
}

/// A definition may wait at the server for as long as somebody holds a lock: what cannot use its name goes on, and
/// so does the end of a transaction that it waits for.
#[test]
fn a_definition_that_waits_holds_up_nothing_but_its_own_name() {
    let server = pg(18);
    let tap = Tap::before(server.address());
    let gate = served(&server, &tap);
    let mut user = Raw::login(gate.address(), "postgres", "postgres");
    assert_eq!(states(&user.query("BEGIN; SELECT id FROM parted")), [""; 0]);
    let mut definer = Raw::login(gate.address(), "postgres", "postgres");
    definer.send(b'Q', &[PART.as_bytes(), b"\0"].concat());
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    await_that("it waits", || server.query("postgres", waits).unwrap()[0][0].as_deref() == Some("1"));
    // Whoever comes, in both protocols, named and not.
    let mut other = Raw::login(gate.address(), "postgres", "postgres");
    assert_eq!(states(&other.query("SELECT count(*) FROM plain")), [""; 0]);
    other.parse("kept", "SELECT count(*) FROM plain", &[]);
    other.bind("", "kept", &[], &[], &[]);
    other.execute("", 0);
    assert_eq!(states(&other.sync()), [""; 0]);
    other.bind("", "kept", &[], &[], &[]);
    other.execute("", 0);
    assert_eq!(states(&other.sync()), [""; 0]);
    // What may use the name waits, until the catalog is known; then it is judged.
    let leak = format!("INSERT INTO part (id, email) VALUES (1, '{LEAK}')");
    other.send(b'Q', &[leak.as_bytes(), b"\0"].concat());
    assert_eq!(states(&user.query("COMMIT")), [""; 0]);
    assert_eq!(states(&definer.until_ready()), [""; 0]);
    assert_eq!(states(&other.until_ready()), ["SG001"]);
    assert!(!holds(&tap.to_server(), b"sentinel"));
}

/// A utility statement has its names looked up when it is executed, however long ago it was bound.
#[test]
fn a_portal_of_before_takes_no_value_by_a_name_that_came_since() {
    let server = pg(18);
    let tap = Tap::before(server.address());
    let gate = served(&server, &tap);
    for (number, (name, text)) in [
        ("", "COPY part{} (id, email) FROM STDIN"),
        ("s", "COPY part{} (id, email) FROM STDIN"),
        ("", "/* a */ copy part{} FROM STDIN"),
        ("s", "-- a\n COPY part{} FROM STDIN (FORMAT csv)"),
    ]
    .into_iter()
    .enumerate()
    {
        let table = |text: &str| text.replace("{}", &number.to_string());
        let mut first = Raw::login(gate.address(), "postgres", "postgres");
        let mut second = Raw::login(gate.address(), "postgres", "postgres");
        assert_eq!(states(&first.query("BEGIN")), [""; 0]);
        first.parse(name, &table(text), &[]);
        first.bind("kept", name, &[], &[], &[]);
        assert_eq!(states(&first.sync()), [""; 0], "{text}");
        let part = format!("CREATE TABLE part{number} PARTITION OF parted FOR VALUES IN ({number})");
        assert_eq!(states(&second.query(&part)), [""; 0]);
        first.execute("kept", 0);
        first.send(b'd', format!("{number}\t{LEAK}\t\n").as_bytes());
        first.send(b'c', b"");
        assert_eq!(states(&first.sync()), ["SG001"], "{text}");
    }
    assert!(!holds(&tap.to_server(), b"sentinel"));
    assert_eq!(server.query("postgres", "SELECT FROM parted").unwrap().len(), 0);
}
